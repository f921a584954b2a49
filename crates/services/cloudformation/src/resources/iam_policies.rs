//! Policies: inline ones of roles, and managed ones.
//!
//! Invariants:
//! - An inline policy is put again with the same outcome; one that is gone is no error when it is to go.
//! - A managed policy's document changes by a new version in force; of the older ones the oldest makes room.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::iam::{document, each, iam, is_ours};
use super::property::{json as json_property, text, texts};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required, text as text_of, texts as texts_of};

/// `AWS::IAM::Policy`.
pub(super) struct Policy;
/// `AWS::IAM::RolePolicy`.
pub(super) struct RolePolicy;
/// `AWS::IAM::ManagedPolicy`.
pub(super) struct ManagedPolicy;

static POLICY: Table = Table::new(
    "AWS::IAM::Policy",
    &[json_property("PolicyDocument").required(), text("PolicyName").required(), texts("Roles")],
    &["Id"],
)
.needing("CAPABILITY_IAM");

static ROLE_POLICY: Table = Table::new(
    "AWS::IAM::RolePolicy",
    &[
        json_property("PolicyDocument").required(),
        text("PolicyName").required().replaces(),
        text("RoleName").required().replaces(),
    ],
    &[],
)
.needing("CAPABILITY_IAM");

static MANAGED_POLICY: Table = Table::new(
    "AWS::IAM::ManagedPolicy",
    &[
        text("Description").replaces(),
        text("ManagedPolicyName").replaces(),
        text("Path").replaces(),
        json_property("PolicyDocument").required(),
        texts("Roles"),
    ],
    &[
        "AttachmentCount",
        "CreateDate",
        "DefaultVersionId",
        "IsAttachable",
        "PermissionsBoundaryUsageCount",
        "PolicyArn",
        "PolicyId",
        "UpdateDate",
    ],
)
.named_by("ManagedPolicyName")
.needing("CAPABILITY_IAM");

fn roles(properties: &Properties) -> Vec<String> {
    properties.get("Roles").map(texts_of).unwrap_or_default()
}

async fn put(step: &Step, role: &str, properties: &Properties) -> Done {
    let name = required(properties, "PolicyName")?;
    let text = document(properties, "PolicyDocument");
    let input = json!({"RoleName": role, "PolicyName": name, "PolicyDocument": text});
    iam(step, "PutRolePolicy", input).await.map(drop)
}

async fn remove(step: &Step, role: &str, properties: &Properties) -> Done {
    let name = required(properties, "PolicyName")?;
    unless_missing(iam(step, "DeleteRolePolicy", json!({"RoleName": role, "PolicyName": name})).await).map(drop)
}

#[async_trait]
impl ResourceType for Policy {
    fn table(&self) -> &'static Table {
        &POLICY
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let roles = roles(properties);
        if roles.is_empty() {
            return Err(Failure::refused("At least one of [Groups,Roles,Users] must be non-empty."));
        }
        // The id is ours: there is nothing of that name.
        step.record(&step.name(128)).await?;
        for role in roles {
            put(step, &role, properties).await?;
        }
        Ok(())
    }

    async fn update(&self, step: &Step, _: &str, old: &Properties, new: &Properties) -> Done {
        let (before, after) = (roles(old), roles(new));
        if after.is_empty() {
            return Err(Failure::refused("At least one of [Groups,Roles,Users] must be non-empty."));
        }
        for role in &after {
            put(step, role, new).await?;
        }
        let is_renamed = text_of(old, "PolicyName") != text_of(new, "PolicyName");
        for role in before.iter().filter(|role| is_renamed || !after.contains(role)) {
            remove(step, role, old).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        for role in roles(properties) {
            remove(step, &role, properties).await?;
        }
        Ok(())
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Id": id})))
    }
}

#[async_trait]
impl ResourceType for RolePolicy {
    fn table(&self) -> &'static Table {
        &ROLE_POLICY
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let (policy, role) = (required(properties, "PolicyName")?, required(properties, "RoleName")?);
        step.record(&format!("{policy}|{role}")).await?;
        put(step, role, properties).await
    }

    async fn update(&self, step: &Step, _: &str, _: &Properties, new: &Properties) -> Done {
        put(step, required(new, "RoleName")?, new).await
    }

    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        remove(step, required(properties, "RoleName")?, properties).await
    }
}

fn policy_name(step: &Step, properties: &Properties) -> String {
    text_of(properties, "ManagedPolicyName").map_or_else(|| step.name(128), str::to_owned)
}

fn policy_arn(step: &Step, properties: &Properties) -> String {
    let path = text_of(properties, "Path").unwrap_or("/");
    format!("arn:aws:iam::{}:policy{path}{}", step.origin.account, policy_name(step, properties))
}

async fn attach(step: &Step, arn: &str, roles: &[String]) -> Done {
    for role in roles {
        iam(step, "AttachRolePolicy", json!({"RoleName": role, "PolicyArn": arn})).await?;
    }
    Ok(())
}

async fn detach(step: &Step, arn: &str, roles: impl Iterator<Item = &String>) -> Done {
    for role in roles {
        unless_missing(iam(step, "DetachRolePolicy", json!({"RoleName": role, "PolicyArn": arn})).await)?;
    }
    Ok(())
}

/// Deletes versions that are not in force, the oldest first, until `left` versions are left.
async fn prune(step: &Step, arn: &str, left: usize) -> Done {
    let found = iam(step, "ListPolicyVersions", json!({"PolicyArn": arn})).await?;
    let versions = found["Versions"].as_array().cloned().unwrap_or_default();
    let count = versions.len();
    let old: Vec<Value> = versions.into_iter().rev().filter(|version| version["IsDefaultVersion"] != true).collect();
    for id in each(&Value::Array(old), "VersionId").into_iter().take(count.saturating_sub(left)) {
        iam(step, "DeletePolicyVersion", json!({"PolicyArn": arn, "VersionId": id})).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for ManagedPolicy {
    fn table(&self) -> &'static Table {
        &MANAGED_POLICY
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let arn = policy_arn(step, properties);
        let found = unless_missing(iam(step, "ListPolicyTags", json!({"PolicyArn": arn})).await)?;
        Ok((is_ours(step, &found["Tags"]) && !step.others.contains(&arn)).then_some(arn))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let arn = match step.known() {
            Some(arn) => arn,
            None => {
                let mut input = only(properties, &["Description", "Path"]);
                input.insert("PolicyName".into(), json!(policy_name(step, properties)));
                input.insert("PolicyDocument".into(), document(properties, "PolicyDocument"));
                input.insert("Tags".into(), step.tag_list(&Properties::new()));
                iam(step, "CreatePolicy", Value::Object(input)).await?;
                let arn = policy_arn(step, properties);
                step.record(&arn).await?;
                arn
            }
        };
        attach(step, &arn, &roles(properties)).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        if old.get("PolicyDocument") != new.get("PolicyDocument") {
            prune(step, id, 4).await?;
            let text = document(new, "PolicyDocument");
            let input = json!({"PolicyArn": id, "PolicyDocument": text, "SetAsDefault": true});
            iam(step, "CreatePolicyVersion", input).await?;
        }
        let (before, after) = (roles(old), roles(new));
        attach(step, id, &after).await?;
        detach(step, id, before.iter().filter(|role| !after.contains(role))).await
    }

    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done {
        detach(step, id, roles(properties).iter()).await?;
        unless_missing(prune(step, id, 1).await)?;
        unless_missing(iam(step, "DeletePolicy", json!({"PolicyArn": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = iam(step, "GetPolicy", json!({"PolicyArn": id})).await?;
        let mut attributes = object(json!({"PolicyArn": id}));
        for name in MANAGED_POLICY.attributes.iter().filter(|name| **name != "PolicyArn") {
            // Attributes are texts.
            let text = match &found["Policy"][*name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            attributes.insert((*name).to_owned(), json!(text));
        }
        Ok(attributes)
    }
}
