//! Roles, policies and instance profiles through the API.

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

const TRUST: &str =
    r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}]}"#;
const READ: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}"#;
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

struct Account {
    iam: Iam,
    call: Call,
}

fn account() -> Account {
    let (clock, ids) = (Arc::new(SimClock::frozen(Timestamp(1_767_225_600_000))), Arc::new(SimIds::new(Seed(1))));
    let iam = Iam::open(Store::in_memory().unwrap(), &MasterKey::from_bytes([7; 32]), clock, ids).unwrap();
    Account { iam, call: call(Principal::Account { access_key_id: "AKIA".into() }) }
}

fn code<T: std::fmt::Debug>(answer: Result<T, ApiError>) -> String {
    let error = answer.unwrap_err();
    error.query_code.as_deref().unwrap_or(&error.code).to_owned()
}

fn role(name: &str) -> CreateRoleInput {
    CreateRoleInput { role_name: name.into(), assume_role_policy_document: TRUST.into(), ..CreateRoleInput::default() }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

impl Account {
    async fn make(&self, name: &str) -> Role {
        self.iam.create_role(&self.call, role(name)).await.unwrap().role
    }

    async fn get(&self, name: &str) -> Result<Role, ApiError> {
        Ok(self.iam.get_role(&self.call, GetRoleInput { role_name: name.into() }).await?.role)
    }

    async fn put(&self, role: &str, policy: &str, document: &str) -> Result<(), ApiError> {
        let input =
            PutRolePolicyInput { role_name: role.into(), policy_name: policy.into(), policy_document: document.into() };
        self.iam.put_role_policy(&self.call, input).await
    }

    async fn attach(&self, role: &str, arn: &str) -> Result<(), ApiError> {
        let input = AttachRolePolicyInput { role_name: role.into(), policy_arn: arn.into() };
        self.iam.attach_role_policy(&self.call, input).await
    }

    async fn delete(&self, name: &str) -> Result<(), ApiError> {
        self.iam.delete_role(&self.call, DeleteRoleInput { role_name: name.into() }).await
    }

    async fn policy(&self, name: &str) -> String {
        let input = CreatePolicyInput {
            policy_name: name.into(),
            policy_document: READ.into(),
            ..CreatePolicyInput::default()
        };
        self.iam.create_policy(&self.call, input).await.unwrap().policy.unwrap().arn.unwrap()
    }

    async fn add_to_profile(&self, profile: &str, role: &str) -> Result<(), ApiError> {
        let input = AddRoleToInstanceProfileInput { instance_profile_name: profile.into(), role_name: role.into() };
        self.iam.add_role_to_instance_profile(&self.call, input).await
    }
}

#[tokio::test]
async fn a_role_is_what_it_was_made_as_and_what_it_was_changed_to() {
    let account = account();
    let input = CreateRoleInput {
        path: Some("/team/".into()),
        description: Some("at night".into()),
        max_session_duration: Some(7200),
        tags: vec![tag("team", "web")],
        ..role("Worker")
    };
    let made = account.iam.create_role(&account.call, input).await.unwrap().role;
    assert_eq!(made.arn, "arn:aws:iam::123456789012:role/team/Worker");
    assert!(made.role_id.starts_with("AROA") && made.role_id.len() == 21);
    assert!(made.assume_role_policy_document.as_ref().unwrap().starts_with("%7B%22Statement%22"));
    assert_eq!(account.get("Worker").await.unwrap(), made);
    // CreateRole: names are one whatever their case.
    assert_eq!(code(account.iam.create_role(&account.call, role("worker")).await), "EntityAlreadyExists");
    assert_eq!(code(account.get("nobody").await), "NoSuchEntity");
    // UpdateRole
    let input = UpdateRoleInput {
        role_name: "Worker".into(),
        description: Some(String::new()),
        max_session_duration: Some(43_200),
    };
    account.iam.update_role(&account.call, input).await.unwrap();
    let input = UpdateRoleDescriptionInput { role_name: "Worker".into(), description: "by day".into() };
    let updated = account.iam.update_role_description(&account.call, input).await.unwrap().role.unwrap();
    assert_eq!((updated.description.as_deref(), updated.max_session_duration), (Some("by day"), Some(43_200)));
    // UpdateAssumeRolePolicy
    let trust = |text: &str| UpdateAssumeRolePolicyInput { role_name: "Worker".into(), policy_document: text.into() };
    assert_eq!(
        code(account.iam.update_assume_role_policy(&account.call, trust(READ)).await),
        "MalformedPolicyDocument"
    );
    let anyone = TRUST.replace(r#"{"AWS":"123456789012"}"#, "\"*\"");
    account.iam.update_assume_role_policy(&account.call, trust(&anyone)).await.unwrap();
    assert!(account.get("Worker").await.unwrap().assume_role_policy_document.unwrap().contains("%22%2A%22"));
}

#[tokio::test]
async fn a_roles_tags_come_and_go() {
    let account = account();
    account.make("a").await;
    let input = TagRoleInput { role_name: "a".into(), tags: vec![tag("x", "1"), tag("y", "2")] };
    account.iam.tag_role(&account.call, input).await.unwrap();
    let input = UntagRoleInput { role_name: "a".into(), tag_keys: vec!["x".into()] };
    account.iam.untag_role(&account.call, input).await.unwrap();
    let input = ListRoleTagsInput { role_name: "a".into(), ..ListRoleTagsInput::default() };
    assert_eq!(account.iam.list_role_tags(&account.call, input).await.unwrap().tags, [tag("y", "2")]);
    let reserved = TagRoleInput { role_name: "a".into(), tags: vec![tag("aws:x", "1")] };
    assert_eq!(code(account.iam.tag_role(&account.call, reserved).await), "InvalidInput");
}

#[tokio::test]
async fn roles_are_listed_page_by_page_below_a_path() {
    let account = account();
    for (name, path) in [("c", "/x/"), ("a", "/"), ("B", "/x/y/")] {
        let input = CreateRoleInput { path: Some(path.into()), ..role(name) };
        account.iam.create_role(&account.call, input).await.unwrap();
    }
    let list = async |prefix: Option<&str>, max, marker| {
        let input = ListRolesInput { path_prefix: prefix.map(str::to_owned), max_items: max, marker };
        let answer = account.iam.list_roles(&account.call, input).await.unwrap();
        let names: Vec<String> = answer.roles.into_iter().map(|role| role.role_name).collect();
        (names, answer.marker)
    };
    assert_eq!(list(None, None, None).await.0, ["a", "B", "c"]);
    assert_eq!(list(Some("/x/"), None, None).await.0, ["B", "c"]);
    let (first, marker) = list(None, Some(2), None).await;
    assert_eq!(first, ["a", "B"]);
    assert_eq!(list(None, Some(2), marker).await, (vec!["c".to_owned()], None));
    let bad = ListRolesInput { marker: Some("?".into()), ..ListRolesInput::default() };
    assert_eq!(code(account.iam.list_roles(&account.call, bad).await), "ValidationError");
}

#[tokio::test]
async fn inline_policies_are_put_read_and_deleted_within_a_quota() {
    let account = account();
    account.make("a").await;
    account.put("a", "read", READ).await.unwrap();
    let input = GetRolePolicyInput { role_name: "a".into(), policy_name: "read".into() };
    let found = account.iam.get_role_policy(&account.call, input.clone()).await.unwrap();
    assert!(found.policy_document.starts_with("%7B%22Version%22%3A%222012-10-17%22"));
    assert_eq!(code(account.put("a", "bad", TRUST).await), "MalformedPolicyDocument");
    assert_eq!(code(account.put("a", "no good", READ).await), "ValidationError");
    let long = READ.replace("s3:Get*", &format!("s3:{}", "x".repeat(10_240)));
    assert_eq!(code(account.put("a", "long", &long).await), "LimitExceeded");
    let list = ListRolePoliciesInput { role_name: "a".into(), ..ListRolePoliciesInput::default() };
    assert_eq!(account.iam.list_role_policies(&account.call, list).await.unwrap().policy_names, ["read"]);
    let delete = DeleteRolePolicyInput { role_name: "a".into(), policy_name: "read".into() };
    account.iam.delete_role_policy(&account.call, delete.clone()).await.unwrap();
    assert_eq!(code(account.iam.delete_role_policy(&account.call, delete).await), "NoSuchEntity");
    assert_eq!(code(account.iam.get_role_policy(&account.call, input).await), "NoSuchEntity");
}

#[tokio::test]
async fn managed_policies_are_attached_if_they_are_there() {
    let account = account();
    account.make("a").await;
    account.attach("a", ADMINISTRATOR).await.unwrap();
    account.attach("a", ADMINISTRATOR).await.unwrap();
    assert_eq!(code(account.attach("a", "arn:aws:iam::aws:policy/Nothing").await), "NoSuchEntity");
    assert_eq!(code(account.attach("a", "arn:aws:iam::123456789012:policy/Nothing").await), "NoSuchEntity");
    assert_eq!(code(account.attach("a", "no arn").await), "InvalidInput");
    let list = ListAttachedRolePoliciesInput { role_name: "a".into(), ..ListAttachedRolePoliciesInput::default() };
    let listed = account.iam.list_attached_role_policies(&account.call, list).await.unwrap().attached_policies;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].policy_name.as_deref(), Some("AdministratorAccess"));
    let detach = DetachRolePolicyInput { role_name: "a".into(), policy_arn: ADMINISTRATOR.into() };
    account.iam.detach_role_policy(&account.call, detach.clone()).await.unwrap();
    assert_eq!(code(account.iam.detach_role_policy(&account.call, detach).await), "NoSuchEntity");
    for n in 0..10 {
        let arn = account.policy(&format!("p{n}")).await;
        account.attach("a", &arn).await.unwrap();
    }
    assert_eq!(code(account.attach("a", ADMINISTRATOR).await), "LimitExceeded");
}

#[tokio::test]
async fn a_boundary_is_a_policy_that_is_there() {
    let account = account();
    let none = CreateRoleInput { permissions_boundary: Some("arn:aws:iam::aws:policy/Nothing".into()), ..role("a") };
    assert_eq!(code(account.iam.create_role(&account.call, none).await), "NoSuchEntity");
    account.make("a").await;
    let arn = account.policy("bound").await;
    let input = PutRolePermissionsBoundaryInput { role_name: "a".into(), permissions_boundary: arn.clone() };
    account.iam.put_role_permissions_boundary(&account.call, input).await.unwrap();
    let boundary = account.get("a").await.unwrap().permissions_boundary.unwrap();
    assert_eq!(boundary.permissions_boundary_arn.as_deref(), Some(arn.as_str()));
    let delete = DeletePolicyInput { policy_arn: arn.clone() };
    assert_eq!(code(account.iam.delete_policy(&account.call, delete.clone()).await), "DeleteConflict");
    let input = DeleteRolePermissionsBoundaryInput { role_name: "a".into() };
    account.iam.delete_role_permissions_boundary(&account.call, input).await.unwrap();
    assert_eq!(account.get("a").await.unwrap().permissions_boundary, None);
    account.iam.delete_policy(&account.call, delete).await.unwrap();
}

#[tokio::test]
async fn a_role_is_not_deleted_while_it_has_or_is_something() {
    let account = account();
    account.make("a").await;
    account.put("a", "read", READ).await.unwrap();
    assert_eq!(code(account.delete("a").await), "DeleteConflict");
    let input = DeleteRolePolicyInput { role_name: "a".into(), policy_name: "read".into() };
    account.iam.delete_role_policy(&account.call, input).await.unwrap();
    account.attach("a", ADMINISTRATOR).await.unwrap();
    assert_eq!(code(account.delete("a").await), "DeleteConflict");
    let input = DetachRolePolicyInput { role_name: "a".into(), policy_arn: ADMINISTRATOR.into() };
    account.iam.detach_role_policy(&account.call, input).await.unwrap();
    account.delete("a").await.unwrap();
    assert_eq!(code(account.delete("a").await), "NoSuchEntity");
}

#[tokio::test]
async fn an_instance_profile_has_one_role_that_stays_while_it_has_it() {
    let account = account();
    account.make("a").await;
    account.make("b").await;
    let input = CreateInstanceProfileInput {
        instance_profile_name: "web".into(),
        tags: vec![tag("x", "1")],
        ..CreateInstanceProfileInput::default()
    };
    let made = account.iam.create_instance_profile(&account.call, input.clone()).await.unwrap().instance_profile;
    assert_eq!(made.arn, "arn:aws:iam::123456789012:instance-profile/web");
    assert_eq!(code(account.iam.create_instance_profile(&account.call, input).await), "EntityAlreadyExists");
    account.add_to_profile("web", "a").await.unwrap();
    assert_eq!(code(account.add_to_profile("web", "b").await), "LimitExceeded");
    assert_eq!(code(account.add_to_profile("none", "b").await), "NoSuchEntity");
    assert_eq!(code(account.delete("a").await), "DeleteConflict");
    let get = GetInstanceProfileInput { instance_profile_name: "web".into() };
    let found = account.iam.get_instance_profile(&account.call, get).await.unwrap().instance_profile;
    assert_eq!(found.roles[0].role_name, "a");
    let of_role =
        ListInstanceProfilesForRoleInput { role_name: "a".into(), ..ListInstanceProfilesForRoleInput::default() };
    let listed = account.iam.list_instance_profiles_for_role(&account.call, of_role).await.unwrap();
    assert_eq!(listed.instance_profiles.len(), 1);
    let all = account.iam.list_instance_profiles(&account.call, ListInstanceProfilesInput::default()).await.unwrap();
    assert_eq!(all.instance_profiles[0].instance_profile_name, "web");
    let delete = DeleteInstanceProfileInput { instance_profile_name: "web".into() };
    assert_eq!(code(account.iam.delete_instance_profile(&account.call, delete.clone()).await), "DeleteConflict");
    let remove =
        |role: &str| RemoveRoleFromInstanceProfileInput { instance_profile_name: "web".into(), role_name: role.into() };
    let refused = account.iam.remove_role_from_instance_profile(&account.call, remove("b")).await;
    assert_eq!(code(refused), "NoSuchEntity");
    account.iam.remove_role_from_instance_profile(&account.call, remove("a")).await.unwrap();
    account.iam.delete_instance_profile(&account.call, delete).await.unwrap();
    account.delete("a").await.unwrap();
}

#[tokio::test]
async fn an_instance_profiles_tags_come_and_go() {
    let account = account();
    let name = || "web".to_owned();
    let input = CreateInstanceProfileInput { instance_profile_name: name(), ..CreateInstanceProfileInput::default() };
    account.iam.create_instance_profile(&account.call, input).await.unwrap();
    let input = TagInstanceProfileInput { instance_profile_name: name(), tags: vec![tag("x", "1"), tag("y", "2")] };
    account.iam.tag_instance_profile(&account.call, input).await.unwrap();
    let input = UntagInstanceProfileInput { instance_profile_name: name(), tag_keys: vec!["y".into()] };
    account.iam.untag_instance_profile(&account.call, input).await.unwrap();
    let input =
        ListInstanceProfileTagsInput { instance_profile_name: name(), ..ListInstanceProfileTagsInput::default() };
    let tags = account.iam.list_instance_profile_tags(&account.call, input).await.unwrap().tags;
    assert_eq!(tags, [tag("x", "1")]);
}
