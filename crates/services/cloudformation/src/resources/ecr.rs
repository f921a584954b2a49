//! Repositories of ECR.
//!
//! Invariant: a repository that somebody else made is never taken for ours.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, boolean, json as document, list, structure, tags, text};
use super::step::{Step, list_of};
use super::{Done, Properties, ResourceType, Table, text as text_of};

/// `AWS::ECR::Repository`.
pub(super) struct Repository;

const ENCRYPTION: &[Property] = &[text("EncryptionType").required(), text("KmsKey")];
const EXCLUSION: &[Property] = &[
    text("ImageTagMutabilityExclusionFilterType").required(),
    text("ImageTagMutabilityExclusionFilterValue").required(),
];
const LIFECYCLE: &[Property] = &[text("LifecyclePolicyText"), text("RegistryId")];
static REPOSITORY: Table = Table::new(
    "AWS::ECR::Repository",
    &[
        boolean("EmptyOnDelete"),
        structure("EncryptionConfiguration", ENCRYPTION).replaces(),
        structure("ImageScanningConfiguration", &[boolean("ScanOnPush")]),
        text("ImageTagMutability"),
        list("ImageTagMutabilityExclusionFilters", &Kind::Structure(EXCLUSION)),
        structure("LifecyclePolicy", LIFECYCLE),
        text("RepositoryName").replaces(),
        document("RepositoryPolicyText"),
        tags(),
    ],
    &["Arn", "RepositoryUri"],
)
.named_by("RepositoryName");

async fn ecr(step: &Step, operation: &str, input: Value) -> Result<Value, Failure> {
    step.call("ecr", operation, input).await
}

fn name_of(step: &Step, properties: &Properties) -> String {
    text_of(properties, "RepositoryName").map_or_else(|| step.name(256).to_ascii_lowercase(), str::to_owned)
}

fn arn(step: &Step, name: &str) -> String {
    format!("arn:aws:ecr:{}:{}:repository/{name}", step.origin.region, step.origin.account)
}

/// Mutability and what is excluded from it.
fn mutability(properties: &Properties) -> Map<String, Value> {
    let filters = properties.get("ImageTagMutabilityExclusionFilters").and_then(Value::as_array);
    let filter = |one: &Value| {
        json!({
            "filterType": one["ImageTagMutabilityExclusionFilterType"],
            "filter": one["ImageTagMutabilityExclusionFilterValue"],
        })
    };
    let filters: Vec<Value> = filters.into_iter().flatten().map(filter).collect();
    let mutability = text_of(properties, "ImageTagMutability").unwrap_or("MUTABLE");
    let mut input = object(json!({"imageTagMutability": mutability}));
    // ECR refuses an empty list.
    if !filters.is_empty() {
        input.insert("imageTagMutabilityExclusionFilters".into(), Value::Array(filters));
    }
    input
}

fn scanning(properties: &Properties) -> Value {
    let on_push = properties.get("ImageScanningConfiguration").map(|one| one["ScanOnPush"] == true);
    json!({"scanOnPush": on_push.unwrap_or(false)})
}

fn lifecycle(properties: &Properties) -> Option<&str> {
    properties.get("LifecyclePolicy").and_then(|policy| policy["LifecyclePolicyText"].as_str())
}

/// Policies, which are set after a repository is made and may be taken away.
async fn bring_policies(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    match (lifecycle(old), lifecycle(new)) {
        (old, new) if old == new => {}
        (_, Some(text)) => {
            let input = json!({"repositoryName": name, "lifecyclePolicyText": text});
            ecr(step, "PutLifecyclePolicy", input).await?;
        }
        (_, None) => {
            unless_missing(ecr(step, "DeleteLifecyclePolicy", json!({"repositoryName": name})).await)?;
        }
    }
    match (old.get("RepositoryPolicyText"), new.get("RepositoryPolicyText")) {
        (old, new) if old == new => {}
        (_, Some(policy)) => {
            let input = json!({"repositoryName": name, "policyText": policy.to_string()});
            ecr(step, "SetRepositoryPolicy", input).await?;
        }
        (_, None) => {
            unless_missing(ecr(step, "DeleteRepositoryPolicy", json!({"repositoryName": name})).await)?;
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Repository {
    fn table(&self) -> &'static Table {
        &REPOSITORY
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = name_of(step, properties);
        let found = ecr(step, "ListTagsForResource", json!({"resourceArn": arn(step, &name)})).await;
        let found = unless_missing(found)?;
        let tags = found["tags"].as_array().cloned().unwrap_or_default();
        let has = |key: &str, value: &str| tags.iter().any(|tag| tag["Key"] == key && tag["Value"] == value);
        let is_ours = step.own_tags().into_iter().all(|(key, value)| has(key, value));
        Ok((is_ours && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = match step.known() {
            Some(name) => name,
            None => {
                let name = name_of(step, properties);
                let mut input = mutability(properties);
                input.insert("repositoryName".into(), json!(name));
                input.insert("imageScanningConfiguration".into(), scanning(properties));
                input.insert("tags".into(), step.tag_list(properties));
                if let Some(encryption) = properties.get("EncryptionConfiguration") {
                    let encryption =
                        json!({"encryptionType": encryption["EncryptionType"], "kmsKey": encryption["KmsKey"]});
                    input.insert("encryptionConfiguration".into(), encryption);
                }
                ecr(step, "CreateRepository", Value::Object(input)).await?;
                name
            }
        };
        step.record(&name).await?;
        bring_policies(step, &name, &Properties::new(), properties).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        if mutability(old) != mutability(new) {
            let mut input = mutability(new);
            input.insert("repositoryName".into(), json!(id));
            ecr(step, "PutImageTagMutability", Value::Object(input)).await?;
        }
        if scanning(old) != scanning(new) {
            let input = json!({"repositoryName": id, "imageScanningConfiguration": scanning(new)});
            ecr(step, "PutImageScanningConfiguration", input).await?;
        }
        bring_policies(step, id, old, new).await?;
        let (before, after) = (step.tags(old), step.tags(new));
        let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
        if !gone.is_empty() {
            ecr(step, "UntagResource", json!({"resourceArn": arn(step, id), "tagKeys": gone})).await?;
        }
        if before != after {
            ecr(step, "TagResource", json!({"resourceArn": arn(step, id), "tags": list_of(&after)})).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done {
        let force = properties.get("EmptyOnDelete") == Some(&Value::Bool(true));
        unless_missing(ecr(step, "DeleteRepository", json!({"repositoryName": id, "force": force})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = ecr(step, "DescribeRepositories", json!({"repositoryNames": [id]})).await?;
        let repository = &found["repositories"][0];
        Ok(object(json!({"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]})))
    }
}
