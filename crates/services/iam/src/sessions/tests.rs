//! Tokens, who holds them, and what their roles let them do.

use std::time::Duration;

use api::iam::Iam as _;
use api::iam::*;
use api::{Call, InstanceRoles as _, Question, Verdict};
use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};
use wire::ApiError;

use super::*;
use crate::Iam;
use crate::testing::call;

/// What several tests stand on: IAM, its sessions, and a clock to move.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) iam: Iam,
    pub(crate) sessions: Arc<Sessions>,
    /// The account's own.
    pub(crate) call: Call,
}

pub(crate) fn account() -> AccountId {
    AccountId::parse("123456789012").unwrap()
}

pub(crate) fn house() -> House {
    let (store, clock) = (Store::in_memory().unwrap(), Arc::new(SimClock::frozen(Timestamp(1_767_225_600_000))));
    let (ids, key) = (Arc::new(SimIds::new(Seed(1))), MasterKey::from_bytes([7; 32]));
    let iam = Iam::open(store.clone(), &key, clock.clone(), ids.clone()).unwrap();
    let sessions = Arc::new(Sessions::new(store.clone(), &key, clock.clone(), ids));
    let call = call(Principal::Account { access_key_id: "AKIA".into() });
    House { store, clock, iam, sessions, call }
}

impl House {
    pub(crate) async fn role(&self, name: &str, trusts: &str) {
        let trust = format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{trusts},"Action":"sts:AssumeRole"}}]}}"#);
        let input = CreateRoleInput {
            role_name: name.into(),
            assume_role_policy_document: trust,
            ..CreateRoleInput::default()
        };
        self.iam.create_role(&self.call, input).await.unwrap();
    }

    pub(crate) async fn may(&self, role: &str, effect: &str, action: &str, resource: &str) {
        let input = PutRolePolicyInput {
            role_name: role.into(),
            policy_name: format!("{effect}-{}", action.replace([':', '*'], "-")),
            policy_document: format!(
                r#"{{"Statement":[{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}]}}"#
            ),
        };
        self.iam.put_role_policy(&self.call, input).await.unwrap();
    }

    /// A call of a session of a role.
    pub(crate) async fn as_role(&self, role: &str) -> Call {
        let arn = format!("arn:aws:iam::123456789012:role/{role}");
        let session = self.sessions.acting(&arn, "one", None).await.unwrap().unwrap();
        call(Principal::Session(Arc::new(session)))
    }

    fn bearer(&self, role: &str, policy: Option<&str>) -> Bearer {
        let found = self.store.read(|view| roles::named_if_any(view, &account(), role)).unwrap().unwrap().value;
        Bearer::Role {
            name: found.name,
            id: found.id,
            session_name: "one".into(),
            policy: policy.map(str::to_owned),
            policy_arns: Vec::new(),
        }
    }

    fn recognised(&self, made: &TemporaryCredentials) -> Result<Recognised, TokenError> {
        self.sessions.recognise(&made.access_key_id, &made.session_token).unwrap()
    }
}

fn says(call: &Call, action: &str, resource: &str) -> Verdict {
    call.identity.session().unwrap().decide(&Question::new(call, action, resource))
}

fn call_of(recognised: Recognised) -> Call {
    call(recognised.identity.principal)
}

#[tokio::test]
async fn a_token_is_its_session_until_its_time_is_over() {
    let house = house();
    house.role("worker", "\"*\"").await;
    let made = house.sessions.give_out(&account(), house.bearer("worker", None), 900).unwrap();
    assert!(made.access_key_id.starts_with("ASIA"));
    let found = house.recognised(&made).unwrap();
    assert_eq!(found.key.secret.reveal(), made.secret_access_key);
    assert_eq!(found.identity.arn().unwrap(), "arn:aws:sts::123456789012:assumed-role/worker/one");
    assert_eq!(house.sessions.recognise("ASIAOTHER", &made.session_token).unwrap().err(), Some(TokenError::Invalid));
    house.clock.advance(Duration::from_secs(899));
    assert!(house.recognised(&made).is_ok());
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.recognised(&made).err(), Some(TokenError::Expired));
}

#[tokio::test]
async fn a_token_outlives_a_restart_and_not_its_role() {
    let house = house();
    house.role("worker", "\"*\"").await;
    let made = house.sessions.give_out(&account(), house.bearer("worker", None), 900).unwrap();
    let (key, ids) = (MasterKey::from_bytes([7; 32]), Arc::new(SimIds::new(Seed(2))));
    let restarted = Sessions::new(house.store.clone(), &key, house.clock.clone(), ids.clone());
    assert!(restarted.recognise(&made.access_key_id, &made.session_token).unwrap().is_ok());
    let other = Sessions::new(house.store.clone(), &MasterKey::from_bytes([8; 32]), house.clock.clone(), ids);
    assert!(other.recognise(&made.access_key_id, &made.session_token).unwrap().is_err());
    let delete = DeleteRoleInput { role_name: "worker".into() };
    house.iam.delete_role(&house.call, delete).await.unwrap();
    house.role("worker", "\"*\"").await;
    assert_eq!(house.recognised(&made).err(), Some(TokenError::Invalid), "the role of that name is another");
}

#[tokio::test]
async fn a_session_may_what_its_roles_policies_say_at_this_moment() {
    let house = house();
    house.role("worker", "\"*\"").await;
    let made = house.sessions.give_out(&account(), house.bearer("worker", None), 900).unwrap();
    let asked = || says(&call_of(house.recognised(&made).unwrap()), "s3:GetObject", "arn:aws:s3:::b/k");
    assert_eq!(asked(), Verdict::NotAllowed);
    house.may("worker", "Allow", "s3:*", "*").await;
    assert_eq!(asked(), Verdict::Allowed);
    house.may("worker", "Deny", "s3:Get*", "arn:aws:s3:::b/*").await;
    assert_eq!(asked(), Verdict::Denied);
}

#[tokio::test]
async fn a_managed_policys_new_version_counts_at_once() {
    let house = house();
    house.role("worker", "\"*\"").await;
    let document =
        |action: &str| format!(r#"{{"Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#);
    let input = CreatePolicyInput {
        policy_name: "p".into(),
        policy_document: document("s3:*"),
        ..CreatePolicyInput::default()
    };
    let arn = house.iam.create_policy(&house.call, input).await.unwrap().policy.unwrap().arn.unwrap();
    let attach = AttachRolePolicyInput { role_name: "worker".into(), policy_arn: arn.clone() };
    house.iam.attach_role_policy(&house.call, attach).await.unwrap();
    assert_eq!(says(&house.as_role("worker").await, "s3:GetObject", "arn:aws:s3:::b/k"), Verdict::Allowed);
    let version =
        CreatePolicyVersionInput { policy_arn: arn, policy_document: document("sqs:*"), set_as_default: Some(true) };
    house.iam.create_policy_version(&house.call, version).await.unwrap();
    assert_eq!(says(&house.as_role("worker").await, "s3:GetObject", "arn:aws:s3:::b/k"), Verdict::NotAllowed);
}

#[tokio::test]
async fn a_boundary_and_a_sessions_policy_only_take_away() {
    let house = house();
    house.role("worker", "\"*\"").await;
    house.may("worker", "Allow", "s3:*", "*").await;
    let read = r#"{"Statement":[{"Effect":"Allow","Action":["s3:Get*","sqs:*"],"Resource":"*"}]}"#;
    let made = house.sessions.give_out(&account(), house.bearer("worker", Some(read)), 900).unwrap();
    let narrowed = call_of(house.recognised(&made).unwrap());
    let bound = PutRolePermissionsBoundaryInput {
        role_name: "worker".into(),
        permissions_boundary: "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess".into(),
    };
    house.iam.put_role_permissions_boundary(&house.call, bound).await.unwrap();
    let bounded = house.as_role("worker").await;
    for call in [narrowed, bounded] {
        assert_eq!(says(&call, "s3:GetObject", "arn:aws:s3:::b/k"), Verdict::Allowed);
        assert_eq!(says(&call, "s3:PutObject", "arn:aws:s3:::b/k"), Verdict::NotAllowed);
        assert_eq!(says(&call, "sqs:ListQueues", "*"), Verdict::NotAllowed);
    }
}

#[tokio::test]
async fn an_instance_gets_credentials_of_a_role_that_trusts_ec2() {
    let house = house();
    house.role("web", r#"{"Service":"ec2.amazonaws.com"}"#).await;
    house.role("other", r#"{"AWS":"123456789012"}"#).await;
    let profile = async |role: &str| -> Result<api::InstanceProfile, ApiError> {
        let name = || format!("of-{role}");
        let input =
            CreateInstanceProfileInput { instance_profile_name: name(), ..CreateInstanceProfileInput::default() };
        house.iam.create_instance_profile(&house.call, input).await?;
        let input = AddRoleToInstanceProfileInput { instance_profile_name: name(), role_name: role.into() };
        house.iam.add_role_to_instance_profile(&house.call, input).await?;
        Ok(house.sessions.profile(&account(), &name()).await?.unwrap())
    };
    let (web, other) = (profile("web").await.unwrap(), profile("other").await.unwrap());
    assert_eq!(web.role_arn.as_deref(), Some("arn:aws:iam::123456789012:role/web"));
    assert_eq!(house.sessions.profile(&account(), &web.arn).await.unwrap().as_ref(), Some(&web));
    assert_eq!(house.sessions.profile(&account(), "nothing").await.unwrap(), None);
    let told = || house.sessions.credentials(&account(), &web, "i-1").unwrap().unwrap().credentials.unwrap();
    let first = told();
    assert_eq!(told(), first, "the same for an hour");
    let found = house.recognised(&first).unwrap();
    assert_eq!(found.identity.arn().unwrap(), "arn:aws:sts::123456789012:assumed-role/web/i-1");
    house.clock.advance(Duration::from_secs(3_600));
    assert_ne!(told(), first);
    assert!(house.recognised(&first).is_ok(), "the old ones are good for some hours more");
    let refused = house.sessions.credentials(&account(), &other, "i-1").unwrap().unwrap();
    assert_eq!(refused.credentials.unwrap_err(), "EC2 cannot assume the role other.");
    let gone = api::InstanceProfile { id: "AIPAOTHER".into(), ..web };
    assert_eq!(house.sessions.credentials(&account(), &gone, "i-1").unwrap(), None);
}
