//! Who is told what, and who may take which role.

use api::sts::Sts as _;
use bytes::Bytes;

use super::*;
use crate::sessions::tests::{House, account, house};
use crate::testing::call;

const ROLE: &str = "arn:aws:iam::123456789012:role/worker";

fn asked(name: &str) -> AssumeRoleInput {
    AssumeRoleInput { role_arn: ROLE.into(), role_session_name: name.into(), ..AssumeRoleInput::default() }
}

async fn assume(house: &House, call: &Call, input: AssumeRoleInput) -> Result<AssumeRoleOutput, String> {
    let answer = Sts::new(house.sessions.clone()).assume_role(call, input).await;
    answer.map_err(|error| format!("{}: {}", error.query_code.as_deref().unwrap_or(&error.code), error.message))
}

fn of_account(digits: &str) -> Call {
    let mut call = call(Principal::Account { access_key_id: "AKIA".into() });
    call.identity.account = AccountId::parse(digits).unwrap();
    call
}

async fn identity(call: &Call) -> (u16, String) {
    let form = Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15");
    let answer = Sts::new(house().sessions).handle(call, "GetCallerIdentity", form).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_root_key_is_told_its_account_and_arn() {
    let (status, body) = identity(&of_account("123456789012")).await;
    assert_eq!(status, 200);
    for element in ["<Arn>arn:aws:iam::123456789012:root</Arn>", "<Account>123456789012</Account>", "<UserId>"] {
        assert!(body.contains(element), "{body}");
    }
}

#[tokio::test]
async fn nobody_is_told_nothing() {
    let (status, body) = identity(&call(Principal::Anonymous)).await;
    assert_eq!(status, 403);
    assert!(body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
}

#[tokio::test]
async fn a_session_is_told_its_role_and_name() {
    let house = house();
    house.role("worker", "\"*\"").await;
    let (_, body) = identity(&house.as_role("worker").await).await;
    assert!(body.contains("<Arn>arn:aws:sts::123456789012:assumed-role/worker/one</Arn>"), "{body}");
    assert!(body.contains(":one</UserId>"), "{body}");
}

#[tokio::test]
async fn who_a_role_trusts_gets_credentials_that_work() {
    let house = house();
    house.role("worker", r#"{"AWS":"123456789012"}"#).await;
    let input = AssumeRoleInput { duration_seconds: Some(900), ..asked("nightly") };
    let answer = assume(&house, &house.call, input).await.unwrap();
    let user = answer.assumed_role_user.unwrap();
    assert_eq!(user.arn, "arn:aws:sts::123456789012:assumed-role/worker/nightly");
    assert!(user.assumed_role_id.starts_with("AROA") && user.assumed_role_id.ends_with(":nightly"));
    let credentials = answer.credentials.unwrap();
    assert_eq!(credentials.expiration, EpochMs(1_767_225_600_000 + 900_000));
    let found = house.sessions.recognise(&credentials.access_key_id, &credentials.session_token).unwrap().unwrap();
    assert_eq!(found.identity.arn().unwrap(), user.arn);
}

#[tokio::test]
async fn who_it_does_not_trust_learns_not_even_whether_it_is_there() {
    let house = house();
    house.role("worker", r#"{"AWS":"444455556666"}"#).await;
    let expected = format!(
        "AccessDenied: User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: \
         {ROLE}"
    );
    assert_eq!(assume(&house, &house.call, asked("one")).await.unwrap_err(), expected);
    let nothing = AssumeRoleInput { role_arn: ROLE.replace("worker", "none"), ..asked("one") };
    assert_eq!(assume(&house, &house.call, nothing).await.unwrap_err(), expected.replace("worker", "none"));
    assert!(assume(&house, &of_account("444455556666"), asked("one")).await.is_ok());
    assert!(assume(&house, &call(Principal::Anonymous), asked("one")).await.unwrap_err().starts_with("Missing"));
}

#[tokio::test]
async fn a_trust_policys_conditions_count() {
    let house = house();
    house.role("worker", r#"{"AWS":"123456789012"}"#).await;
    let trust = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole",
                    "Condition":{"StringEquals":{"sts:ExternalId":"secret"}}}]}"#;
    let input = api::iam::UpdateAssumeRolePolicyInput { role_name: "worker".into(), policy_document: trust.into() };
    api::iam::Iam::update_assume_role_policy(&house.iam, &house.call, input).await.unwrap();
    assert!(assume(&house, &house.call, asked("one")).await.unwrap_err().starts_with("AccessDenied"));
    for (id, is_right) in [("secret", true), ("wrong", false)] {
        let input = AssumeRoleInput { external_id: Some(id.into()), ..asked("one") };
        assert_eq!(assume(&house, &house.call, input).await.is_ok(), is_right);
    }
}

#[tokio::test]
async fn a_session_needs_its_own_roles_permission_or_to_be_named() {
    let house = house();
    house.role("worker", r#"{"AWS":"123456789012"}"#).await;
    house.role("first", "\"*\"").await;
    let first = house.as_role("first").await;
    assert!(assume(&house, &first, asked("one")).await.is_err());
    house.may("first", "Allow", "sts:AssumeRole", ROLE).await;
    assert!(assume(&house, &house.as_role("first").await, asked("one")).await.is_ok());
    let long = AssumeRoleInput { duration_seconds: Some(3601), ..asked("one") };
    let refused = assume(&house, &house.as_role("first").await, long).await.unwrap_err();
    assert!(refused.contains("exceeds"), "{refused}");
    // Named itself it needs no permission of its own, but a deny still counts.
    house.role("second", "\"*\"").await;
    let trust = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/second"},
                    "Action":"sts:AssumeRole"}]}"#;
    let input = api::iam::UpdateAssumeRolePolicyInput { role_name: "worker".into(), policy_document: trust.into() };
    api::iam::Iam::update_assume_role_policy(&house.iam, &house.call, input).await.unwrap();
    assert!(assume(&house, &house.as_role("second").await, asked("one")).await.is_ok());
    house.may("second", "Deny", "sts:*", "*").await;
    assert!(assume(&house, &house.as_role("second").await, asked("one")).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let house = house();
    house.role("worker", "\"*\"").await;
    let tag = Tag { key: "a".into(), value: "b".into() };
    for (input, expected) in [
        (AssumeRoleInput { tags: vec![tag], ..asked("one") }, "The parameter Tags is not supported here."),
        (AssumeRoleInput { source_identity: Some("ann".into()), ..asked("one") }, "SourceIdentity"),
        (asked("one two"), "regular expression pattern: [\\w+=,.@-]*"),
        (AssumeRoleInput { role_arn: "arn:aws:iam::123456789012:user/x".into(), ..asked("one") }, "is invalid"),
        (AssumeRoleInput { duration_seconds: Some(3601), ..asked("one") }, "MaxSessionDuration"),
        (AssumeRoleInput { policy: Some("{".into()), ..asked("one") }, "MalformedPolicyDocument"),
        (
            AssumeRoleInput {
                policy_arns: vec![PolicyDescriptorType { arn: Some("arn:aws:iam::aws:policy/Nothing".into()) }],
                ..asked("one")
            },
            "does not exist",
        ),
    ] {
        let refused = assume(&house, &house.call, input).await.unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn an_accounts_own_key_gets_a_session_of_an_hour_at_most() {
    let house = house();
    let sts = Sts::new(house.sessions.clone());
    let input = GetSessionTokenInput { duration_seconds: Some(43_200), ..GetSessionTokenInput::default() };
    let made = sts.get_session_token(&house.call, input).await.unwrap().credentials.unwrap();
    assert_eq!(made.expiration, EpochMs(1_767_225_600_000 + 3_600_000));
    let found = house.sessions.recognise(&made.access_key_id, &made.session_token).unwrap().unwrap();
    assert_eq!((found.identity.account.clone(), found.made_for.as_deref()), (account(), Some("AKIA")));
    let of_session = call(found.identity.principal);
    assert!(sts.get_session_token(&of_session, GetSessionTokenInput::default()).await.is_err());
}
