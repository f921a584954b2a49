//! Managed policies and their versions through the API.

use std::sync::Arc;

use api::iam::Iam as _;
use api::iam::*;
use api::{Call, Principal};
use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};
use store::Store;
use wire::ApiError;

use crate::testing::call;
use crate::{Iam, MasterKey};

const READ: &str = r#"{"Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}"#;
const OF_AWS: &str = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess";

fn account() -> (Iam, Call) {
    let (clock, ids) = (Arc::new(SimClock::frozen(Timestamp(1_767_225_600_000))), Arc::new(SimIds::new(Seed(1))));
    let iam = Iam::open(Store::in_memory().unwrap(), &MasterKey::from_bytes([7; 32]), clock, ids).unwrap();
    (iam, call(Principal::Account { access_key_id: "AKIA".into() }))
}

fn code<T: std::fmt::Debug>(answer: Result<T, ApiError>) -> String {
    let error = answer.unwrap_err();
    error.query_code.as_deref().unwrap_or(&error.code).to_owned()
}

fn policy(name: &str) -> CreatePolicyInput {
    CreatePolicyInput {
        policy_name: name.into(),
        policy_document: READ.into(),
        path: Some("/x/".into()),
        description: Some("reads".into()),
        tags: vec![Tag { key: "a".into(), value: "1".into() }],
    }
}

async fn made(iam: &Iam, call: &Call, name: &str) -> String {
    iam.create_policy(call, policy(name)).await.unwrap().policy.unwrap().arn.unwrap()
}

async fn version(iam: &Iam, call: &Call, arn: &str, set_as_default: bool) -> Result<String, ApiError> {
    let input = CreatePolicyVersionInput {
        policy_arn: arn.into(),
        policy_document: READ.replace("Get", "List"),
        set_as_default: Some(set_as_default),
    };
    Ok(iam.create_policy_version(call, input).await?.policy_version.unwrap().version_id.unwrap())
}

#[tokio::test]
async fn a_policy_is_found_by_its_arn_with_its_path() {
    let (iam, call) = account();
    let arn = made(&iam, &call, "Read").await;
    assert_eq!(arn, "arn:aws:iam::123456789012:policy/x/Read");
    assert_eq!(code(iam.create_policy(&call, policy("read")).await), "EntityAlreadyExists");
    let get = async |arn: &str| iam.get_policy(&call, GetPolicyInput { policy_arn: arn.into() }).await;
    let found = get(&arn).await.unwrap().policy.unwrap();
    assert_eq!((found.default_version_id.as_deref(), found.attachment_count), (Some("v1"), Some(0)));
    assert_eq!((found.description.as_deref(), found.tags.len()), (Some("reads"), 1));
    for missing in ["arn:aws:iam::123456789012:policy/Read", "arn:aws:iam::444455556666:policy/x/Read"] {
        assert_eq!(code(get(missing).await), "NoSuchEntity", "{missing}");
    }
    assert_eq!(code(get("x").await), "InvalidInput");
    let of_aws = get(OF_AWS).await.unwrap().policy.unwrap();
    assert_eq!(of_aws.policy_name.as_deref(), Some("AmazonS3ReadOnlyAccess"));
    let long = CreatePolicyInput { policy_document: READ.replace("Get*", &"x".repeat(6144)), ..policy("long") };
    assert_eq!(code(iam.create_policy(&call, long).await), "LimitExceeded");
}

#[tokio::test]
async fn policies_are_listed_by_whose_they_are_and_whether_a_role_has_them() {
    let (iam, call) = account();
    let arn = made(&iam, &call, "Read").await;
    let list = async |scope: &str, only_attached: bool| {
        let input = ListPoliciesInput {
            scope: Some(scope.into()),
            only_attached: Some(only_attached),
            ..ListPoliciesInput::default()
        };
        let found = iam.list_policies(&call, input).await.unwrap().policies;
        found.into_iter().filter_map(|policy| policy.arn).collect::<Vec<_>>()
    };
    assert_eq!(list("Local", false).await, std::slice::from_ref(&arn));
    assert!(list("AWS", false).await.contains(&OF_AWS.to_owned()));
    assert_eq!(list("All", false).await.len(), list("AWS", false).await.len() + 1);
    assert!(list("All", true).await.is_empty());
    let trust = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}"#;
    let role = CreateRoleInput {
        role_name: "a".into(),
        assume_role_policy_document: trust.into(),
        ..CreateRoleInput::default()
    };
    iam.create_role(&call, role).await.unwrap();
    let attach = AttachRolePolicyInput { role_name: "a".into(), policy_arn: arn.clone() };
    iam.attach_role_policy(&call, attach).await.unwrap();
    assert_eq!(list("All", true).await, std::slice::from_ref(&arn));
    let entities = ListEntitiesForPolicyInput { policy_arn: arn.clone(), ..ListEntitiesForPolicyInput::default() };
    let found = iam.list_entities_for_policy(&call, entities).await.unwrap().policy_roles;
    assert_eq!(found[0].role_name.as_deref(), Some("a"));
    assert_eq!(code(iam.delete_policy(&call, DeletePolicyInput { policy_arn: arn }).await), "DeleteConflict");
}

#[tokio::test]
async fn a_policy_has_five_versions_at_most_and_one_of_them_is_in_force() {
    let (iam, call) = account();
    let arn = made(&iam, &call, "Read").await;
    assert_eq!(version(&iam, &call, &arn, false).await.unwrap(), "v2");
    assert_eq!(version(&iam, &call, &arn, true).await.unwrap(), "v3");
    let get = GetPolicyVersionInput { policy_arn: arn.clone(), version_id: "v3".into() };
    let found = iam.get_policy_version(&call, get).await.unwrap().policy_version.unwrap();
    assert_eq!(found.is_default_version, Some(true));
    assert!(found.document.unwrap().contains("s3%3AList"));
    let delete = |version: &str| DeletePolicyVersionInput { policy_arn: arn.clone(), version_id: version.into() };
    assert_eq!(code(iam.delete_policy_version(&call, delete("v3")).await), "DeleteConflict");
    assert_eq!(code(iam.delete_policy_version(&call, delete("v9")).await), "NoSuchEntity");
    assert_eq!(code(iam.delete_policy(&call, DeletePolicyInput { policy_arn: arn.clone() }).await), "DeleteConflict");
    let set = SetDefaultPolicyVersionInput { policy_arn: arn.clone(), version_id: "v1".into() };
    iam.set_default_policy_version(&call, set).await.unwrap();
    for n in ["v4", "v5"] {
        assert_eq!(version(&iam, &call, &arn, false).await.unwrap(), n);
    }
    assert_eq!(code(version(&iam, &call, &arn, false).await), "LimitExceeded");
    let list = ListPolicyVersionsInput { policy_arn: arn.clone(), max_items: Some(3), marker: None };
    let page = iam.list_policy_versions(&call, list.clone()).await.unwrap();
    let ids = |page: &ListPolicyVersionsOutput| {
        page.versions.iter().filter_map(|version| version.version_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&page), ["v5", "v4", "v3"]);
    let rest = iam.list_policy_versions(&call, ListPolicyVersionsInput { marker: page.marker, ..list }).await.unwrap();
    assert_eq!(ids(&rest), ["v2", "v1"]);
    for version in ["v2", "v3", "v4", "v5"] {
        iam.delete_policy_version(&call, delete(version)).await.unwrap();
    }
    iam.delete_policy(&call, DeletePolicyInput { policy_arn: arn }).await.unwrap();
}

#[tokio::test]
async fn awss_own_policies_are_read_and_never_changed() {
    let (iam, call) = account();
    let get = GetPolicyVersionInput { policy_arn: OF_AWS.into(), version_id: "v3".into() };
    assert!(iam.get_policy_version(&call, get).await.unwrap().policy_version.unwrap().document.is_some());
    assert_eq!(code(version(&iam, &call, OF_AWS, true).await), "AccessDenied");
    assert_eq!(code(iam.delete_policy(&call, DeletePolicyInput { policy_arn: OF_AWS.into() }).await), "AccessDenied");
}

#[tokio::test]
async fn a_policys_tags_come_and_go() {
    let (iam, call) = account();
    let arn = made(&iam, &call, "Read").await;
    let tags = vec![Tag { key: "b".into(), value: "2".into() }];
    iam.tag_policy(&call, TagPolicyInput { policy_arn: arn.clone(), tags }).await.unwrap();
    let input = UntagPolicyInput { policy_arn: arn.clone(), tag_keys: vec!["a".into()] };
    iam.untag_policy(&call, input).await.unwrap();
    let input = ListPolicyTagsInput { policy_arn: arn, ..ListPolicyTagsInput::default() };
    assert_eq!(iam.list_policy_tags(&call, input).await.unwrap().tags[0].key, "b");
}
