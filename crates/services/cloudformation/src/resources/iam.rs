//! Server certificates, and what all types of IAM share.
//!
//! Invariant: a private key goes to IAM and into no event.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::property::{tags, text};
use super::step::{Step, list_of, only};
use super::{Done, Properties, ResourceType, Table, text as text_of};

/// `AWS::IAM::ServerCertificate`.
pub(super) struct ServerCertificate;

static SERVER_CERTIFICATE: Table = Table::new(
    "AWS::IAM::ServerCertificate",
    &[
        text("CertificateBody").replaces(),
        text("CertificateChain").replaces(),
        text("Path"),
        text("PrivateKey").replaces(),
        text("ServerCertificateName").replaces(),
        tags(),
    ],
    &["Arn"],
)
.named_by("ServerCertificateName");

/// Has IAM answer an operation.
pub(super) async fn iam(step: &Step, operation: &str, input: Value) -> Result<Value, Failure> {
    step.call("iam", operation, input).await
}

/// A policy document among properties as IAM takes it: a text.
pub(super) fn document(properties: &Properties, name: &str) -> Value {
    properties.get(name).map_or(Value::Null, |document| json!(document.to_string()))
}

/// Whether tags say that this step made what has them.
pub(super) fn is_ours(step: &Step, tags: &Value) -> bool {
    let tags = tags.as_array().into_iter().flatten();
    let has = |key: &str, value: &str| tags.clone().into_iter().any(|tag| tag["Key"] == key && tag["Value"] == value);
    step.own_tags().into_iter().all(|(key, value)| has(key, value))
}

/// One member of each structure in a list.
pub(super) fn each(list: &Value, member: &str) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item[member].as_str()).map(str::to_owned).collect()
}

fn name_of(step: &Step, properties: &Properties) -> String {
    text_of(properties, "ServerCertificateName").map_or_else(|| step.name(128), str::to_owned)
}

#[async_trait]
impl ResourceType for ServerCertificate {
    fn table(&self) -> &'static Table {
        &SERVER_CERTIFICATE
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = name_of(step, properties);
        let found =
            unless_missing(iam(step, "ListServerCertificateTags", json!({"ServerCertificateName": name})).await)?;
        Ok((is_ours(step, &found["Tags"]) && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let name = name_of(step, properties);
        let mut input = only(properties, &["CertificateBody", "CertificateChain", "Path", "PrivateKey"]);
        input.insert("ServerCertificateName".into(), json!(name));
        input.insert("Tags".into(), step.tag_list(properties));
        iam(step, "UploadServerCertificate", Value::Object(input)).await?;
        step.record(&name).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        if old.get("Path") != new.get("Path") {
            let path = text_of(new, "Path").unwrap_or("/");
            iam(step, "UpdateServerCertificate", json!({"ServerCertificateName": id, "NewPath": path})).await?;
        }
        let (before, after) = (step.tags(old), step.tags(new));
        let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
        if !gone.is_empty() {
            iam(step, "UntagServerCertificate", json!({"ServerCertificateName": id, "TagKeys": gone})).await?;
        }
        if before != after {
            let input = json!({"ServerCertificateName": id, "Tags": list_of(&after)});
            iam(step, "TagServerCertificate", input).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let mut looks = 0;
        loop {
            match iam(step, "DeleteServerCertificate", json!({"ServerCertificateName": id})).await {
                // Its load balancer may be about to go.
                Err(failure) if failure.is(&["DeleteConflict", "DeleteConflictException"]) && looks < 30 => {
                    step.pause(looks).await?;
                }
                other => return unless_missing(other).map(drop),
            }
            looks += 1;
        }
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = iam(step, "GetServerCertificate", json!({"ServerCertificateName": id})).await?;
        Ok(object(json!({"Arn": found["ServerCertificate"]["ServerCertificateMetadata"]["Arn"]})))
    }
}
