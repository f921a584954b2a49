//! Roles and instance profiles.
//!
//! Invariants:
//! - What a role has beside itself (policies, attachments) can be put again: a step that crashed in between goes on.
//! - A role that somebody else gave a policy is not deleted, as on AWS.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::iam::{document, each, iam, is_ours};
use super::property::{Kind, Property, integer, json as json_property, list, tags, text, texts};
use super::step::{Step, list_of, only};
use super::{Done, Properties, ResourceType, Table, text as text_of, texts as texts_of};

/// `AWS::IAM::Role`.
pub(super) struct Role;
/// `AWS::IAM::InstanceProfile`.
pub(super) struct InstanceProfile;

const POLICY: &[Property] = &[text("PolicyName").required(), json_property("PolicyDocument").required()];

static ROLE: Table = Table::new(
    "AWS::IAM::Role",
    &[
        json_property("AssumeRolePolicyDocument").required(),
        text("Description"),
        texts("ManagedPolicyArns"),
        integer("MaxSessionDuration"),
        text("Path").replaces(),
        text("PermissionsBoundary"),
        list("Policies", &Kind::Structure(POLICY)),
        text("RoleName").replaces(),
        tags(),
    ],
    &["Arn", "RoleId"],
)
.named_by("RoleName")
.needing("CAPABILITY_IAM");

static INSTANCE_PROFILE: Table = Table::new(
    "AWS::IAM::InstanceProfile",
    &[text("InstanceProfileName").replaces(), text("Path").replaces(), texts("Roles").required()],
    &["Arn"],
)
.named_by("InstanceProfileName")
.needing("CAPABILITY_IAM");

fn role_name(step: &Step, properties: &Properties) -> String {
    text_of(properties, "RoleName").map_or_else(|| step.name(64), str::to_owned)
}

/// The inline policies among a role's properties: names and documents.
fn inline(properties: &Properties) -> Vec<(String, String)> {
    let policies = properties.get("Policies").and_then(Value::as_array).into_iter().flatten();
    policies
        .map(|policy| {
            let name = policy["PolicyName"].as_str().unwrap_or_default().to_owned();
            (name, policy["PolicyDocument"].to_string())
        })
        .collect()
}

fn attached(properties: &Properties) -> Vec<String> {
    properties.get("ManagedPolicyArns").map(texts_of).unwrap_or_default()
}

/// Gives a role the policies of its properties, but for those that it has by `old`.
async fn give(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    let before = inline(old);
    for (name, text) in inline(new).into_iter().filter(|policy| !before.contains(policy)) {
        let input = json!({"RoleName": id, "PolicyName": name, "PolicyDocument": text});
        iam(step, "PutRolePolicy", input).await?;
    }
    let before = attached(old);
    for arn in attached(new).into_iter().filter(|arn| !before.contains(arn)) {
        iam(step, "AttachRolePolicy", json!({"RoleName": id, "PolicyArn": arn})).await?;
    }
    Ok(())
}

/// Takes from a role the policies of `old` that `new` does not have.
async fn take(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    let kept = inline(new);
    for (name, _) in inline(old).into_iter().filter(|(name, _)| !kept.iter().any(|(kept, _)| kept == name)) {
        unless_missing(iam(step, "DeleteRolePolicy", json!({"RoleName": id, "PolicyName": name})).await)?;
    }
    let kept = attached(new);
    for arn in attached(old).into_iter().filter(|arn| !kept.contains(arn)) {
        unless_missing(iam(step, "DetachRolePolicy", json!({"RoleName": id, "PolicyArn": arn})).await)?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Role {
    fn table(&self) -> &'static Table {
        &ROLE
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = role_name(step, properties);
        let found = unless_missing(iam(step, "ListRoleTags", json!({"RoleName": name})).await)?;
        Ok((is_ours(step, &found["Tags"]) && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = match step.known() {
            Some(name) => name,
            None => {
                let name = role_name(step, properties);
                let mut input = only(properties, &["Description", "MaxSessionDuration", "Path", "PermissionsBoundary"]);
                input.insert("RoleName".into(), json!(name));
                let trust = document(properties, "AssumeRolePolicyDocument");
                input.insert("AssumeRolePolicyDocument".into(), trust);
                input.insert("Tags".into(), step.tag_list(properties));
                iam(step, "CreateRole", Value::Object(input)).await?;
                step.record(&name).await?;
                name
            }
        };
        give(step, &name, &Properties::new(), properties).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        let differs = |name: &str| old.get(name) != new.get(name);
        if differs("AssumeRolePolicyDocument") {
            let trust = document(new, "AssumeRolePolicyDocument");
            iam(step, "UpdateAssumeRolePolicy", json!({"RoleName": id, "PolicyDocument": trust})).await?;
        }
        if differs("Description") || differs("MaxSessionDuration") {
            let longest = new.get("MaxSessionDuration").cloned().unwrap_or(json!(3600));
            let description = text_of(new, "Description").unwrap_or_default();
            let input = json!({"RoleName": id, "Description": description, "MaxSessionDuration": longest});
            iam(step, "UpdateRole", input).await?;
        }
        if differs("PermissionsBoundary") {
            match text_of(new, "PermissionsBoundary") {
                Some(arn) => {
                    let input = json!({"RoleName": id, "PermissionsBoundary": arn});
                    iam(step, "PutRolePermissionsBoundary", input).await?;
                }
                None => {
                    iam(step, "DeleteRolePermissionsBoundary", json!({"RoleName": id})).await?;
                }
            }
        }
        give(step, id, old, new).await?;
        take(step, id, old, new).await?;
        let (before, after) = (step.tags(old), step.tags(new));
        let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
        if !gone.is_empty() {
            iam(step, "UntagRole", json!({"RoleName": id, "TagKeys": gone})).await?;
        }
        if before != after {
            iam(step, "TagRole", json!({"RoleName": id, "Tags": list_of(&after)})).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done {
        take(step, id, properties, &Properties::new()).await?;
        unless_missing(iam(step, "DeleteRole", json!({"RoleName": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = iam(step, "GetRole", json!({"RoleName": id})).await?;
        Ok(object(json!({"Arn": found["Role"]["Arn"], "RoleId": found["Role"]["RoleId"]})))
    }
}

fn profile_name(step: &Step, properties: &Properties) -> String {
    text_of(properties, "InstanceProfileName").map_or_else(|| step.name(128), str::to_owned)
}

fn roles(properties: &Properties) -> Vec<String> {
    properties.get("Roles").map(texts_of).unwrap_or_default()
}

/// Brings a profile from the role that it has to the one that it should have.
async fn set_role(step: &Step, id: &str, wanted: &[String]) -> Done {
    let found = iam(step, "GetInstanceProfile", json!({"InstanceProfileName": id})).await?;
    let present: Vec<String> = each(&found["InstanceProfile"]["Roles"], "RoleName");
    for role in present.iter().filter(|role| !wanted.contains(role)) {
        let input = json!({"InstanceProfileName": id, "RoleName": role});
        iam(step, "RemoveRoleFromInstanceProfile", input).await?;
    }
    for role in wanted.iter().filter(|role| !present.contains(role)) {
        iam(step, "AddRoleToInstanceProfile", json!({"InstanceProfileName": id, "RoleName": role})).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for InstanceProfile {
    fn table(&self) -> &'static Table {
        &INSTANCE_PROFILE
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = profile_name(step, properties);
        let input = json!({"InstanceProfileName": name});
        let found = unless_missing(iam(step, "ListInstanceProfileTags", input).await)?;
        Ok((is_ours(step, &found["Tags"]) && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = match step.known() {
            Some(name) => name,
            None => {
                let name = profile_name(step, properties);
                let mut input = only(properties, &["Path"]);
                input.insert("InstanceProfileName".into(), json!(name));
                input.insert("Tags".into(), step.tag_list(&Properties::new()));
                iam(step, "CreateInstanceProfile", Value::Object(input)).await?;
                step.record(&name).await?;
                name
            }
        };
        set_role(step, &name, &roles(properties)).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        set_role(step, id, &roles(new)).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(set_role(step, id, &[]).await)?;
        unless_missing(iam(step, "DeleteInstanceProfile", json!({"InstanceProfileName": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = iam(step, "GetInstanceProfile", json!({"InstanceProfileName": id})).await?;
        Ok(object(json!({"Arn": found["InstanceProfile"]["Arn"]})))
    }
}
