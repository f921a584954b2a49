//! AddPermission and RemovePermission: statements in a queue's policy, one a label.
//!
//! Invariants:
//! - Statements that we did not write stay as they are; the last one's end is the policy's end.
//! - A policy that passed [`check_policy`] parses, and keeps SQS's limits.
//!
//! Who may do what is decided in `access`.

use policy::{Document, Limits, NewStatement, Policy};
use wire::ApiError;

use crate::errors;
use crate::limits::{
    LABEL_MAX, PERMISSION_ACTIONS_MAX, POLICY_BYTES_MAX, POLICY_CONDITIONS_MAX, POLICY_PRINCIPALS_MAX,
    POLICY_STATEMENTS_MAX,
};
use crate::queue_name::is_plain;

/// The version that AWS gives to the policies it writes.
const VERSION: &str = "2008-10-17";

const LIMITS: Limits = Limits {
    bytes_max: POLICY_BYTES_MAX,
    statements_max: POLICY_STATEMENTS_MAX,
    principals_max: POLICY_PRINCIPALS_MAX,
    conditions_max: POLICY_CONDITIONS_MAX,
    ..Limits::NONE
};

/// What another account can be granted. The batch operations go with their single ones.
const GRANTABLE: [&str; 9] = [
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
];

/// The policy with a statement more.
pub(crate) fn add(
    policy: Option<&str>,
    queue_arn: &str,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Result<String, ApiError> {
    check_request(label, accounts, actions)?;
    let mut document = match policy {
        Some(policy) => outline(policy)?,
        None => Document::new(VERSION, &format!("{queue_arn}/SQSDefaultPolicy")),
    };
    if document.has(label) {
        return Err(errors::label_exists(label));
    }
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let actions: Vec<String> = actions.iter().map(|action| format!("SQS:{action}")).collect();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    document.add(&NewStatement { sid: label, accounts: &accounts, actions: &actions, resource: queue_arn });
    check_policy(&document.to_string()).map_err(|_| errors::policy_full())
}

/// The policy without the label's statement; `None` when nothing is left of it.
pub(crate) fn remove(policy: Option<&str>, label: &str) -> Result<Option<String>, ApiError> {
    let mut document = outline(policy.ok_or_else(|| errors::label_not_found(label))?)?;
    if !document.remove(label) {
        return Err(errors::label_not_found(label));
    }
    Ok(if document.is_empty() { None } else { Some(document.to_string()) })
}

/// A policy as the attribute takes it: AWS's grammar, and SQS's limits on it.
pub(crate) fn check_policy(text: &str) -> Result<String, ApiError> {
    match Policy::parse_within(text, &LIMITS) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            tracing::debug!(%error, "refused a queue policy");
            Err(errors::invalid_attribute_value("Policy"))
        }
    }
}

fn check_request(label: &str, accounts: &[String], actions: &[String]) -> Result<(), ApiError> {
    if label.is_empty() || label.len() > LABEL_MAX || !is_plain(label) {
        return Err(errors::label_malformed(label));
    }
    if accounts.is_empty() {
        return Err(errors::missing_parameter("AWSAccountIds"));
    }
    if actions.is_empty() {
        return Err(errors::missing_parameter("Actions"));
    }
    if actions.len() > PERMISSION_ACTIONS_MAX {
        return Err(errors::too_many_actions(actions.len()));
    }
    if let Some(action) = actions.iter().find(|action| !GRANTABLE.contains(&action.as_str())) {
        return Err(errors::action_not_grantable(action));
    }
    let is_account = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    match accounts.iter().find(|id| !is_account(id)) {
        Some(bad) => Err(errors::principal_unverifiable(bad)),
        None => Ok(()),
    }
}

/// What is stored was checked when it was set: a failure here is ours.
fn outline(text: &str) -> Result<Document, ApiError> {
    Document::parse(text).map_err(|error| {
        tracing::error!(%error, "a stored queue policy does not parse");
        errors::internal()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:111111111111:orders";

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn grant(policy: Option<&str>, label: &str) -> Result<String, ApiError> {
        add(policy, ARN, label, &strings(&["222222222222"]), &strings(&["ReceiveMessage"]))
    }

    #[test]
    fn a_permission_is_written_as_aws_writes_it() {
        let accounts = strings(&["111111111111", "668614515564"]);
        let text = add(None, ARN, "crossaccountpermission", &accounts, &strings(&["ReceiveMessage"])).unwrap();
        let expected = json!({
            "Version": "2008-10-17",
            "Id": format!("{ARN}/SQSDefaultPolicy"),
            "Statement": [{
                "Sid": "crossaccountpermission",
                "Effect": "Allow",
                "Principal": { "AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::668614515564:root"] },
                "Action": "SQS:ReceiveMessage",
                "Resource": ARN,
            }],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn a_label_is_used_once() {
        let one = grant(None, "a").unwrap();
        let error = grant(Some(&one), "a").unwrap_err();
        assert_eq!(error.message, "Value a for parameter Label is invalid. Reason: Already exists.");
        let two = grant(Some(&one), "b").unwrap();
        assert_eq!(Document::parse(&two).unwrap().len(), 2);
    }

    #[test]
    fn removing_the_last_statement_removes_the_policy() {
        let one = grant(None, "a").unwrap();
        let two = grant(Some(&one), "b").unwrap();
        let rest = remove(Some(&two), "a").unwrap().unwrap();
        assert!(Document::parse(&rest).unwrap().has("b"));
        assert_eq!(remove(Some(&rest), "b").unwrap(), None);
    }

    #[test]
    fn an_unknown_label_cannot_be_removed() {
        let one = grant(None, "a").unwrap();
        for policy in [None, Some(one.as_str())] {
            let error = remove(policy, "x").unwrap_err();
            assert_eq!(error.message, "Value x for parameter Label is invalid. Reason: can't find label.");
        }
    }

    #[test]
    fn a_request_has_a_good_label_real_accounts_and_up_to_seven_grantable_actions() {
        let account = strings(&["222222222222"]);
        let send = strings(&["SendMessage"]);
        let message = |label: &str, accounts: &[String], actions: &[String]| {
            add(None, ARN, label, accounts, actions).unwrap_err().message
        };
        assert!(add(None, ARN, &"l".repeat(80), &account, &strings(&["*"])).is_ok());
        assert!(message(&"l".repeat(81), &account, &send).contains("parameter Label"));
        assert!(message("a b", &account, &send).contains("parameter Label"));
        assert!(message("a", &strings(&["12345"]), &send).contains("Reason: Unable to verify."));
        assert_eq!(message("a", &[], &send), "The request must contain the parameter AWSAccountIds.");
        assert_eq!(message("a", &account, &[]), "The request must contain the parameter Actions.");
        assert!(message("a", &account, &strings(&["CreateQueue"])).starts_with("Value SQS:CreateQueue for parameter"));
        assert!(add(None, ARN, "a", &account, &strings(&GRANTABLE[1..8])).is_ok());
        let eight = add(None, ARN, "a", &account, &strings(&GRANTABLE[1..])).unwrap_err();
        assert_eq!((eight.code.as_ref(), eight.status), ("OverLimit", 403));
        assert_eq!(eight.message, "8 Actions were found, maximum allowed is 7.");
    }

    fn policy_of(statements: Vec<Value>) -> String {
        json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
    }

    fn statement(principals: usize, conditions: usize) -> Value {
        let accounts: Vec<String> = (0..principals).map(|n| format!("{n:012}")).collect();
        let keys: serde_json::Map<String, Value> =
            (0..conditions).map(|n| (format!("aws:PrincipalTag/{n}"), json!("x"))).collect();
        let mut statement = json!({
            "Effect": "Allow", "Principal": { "AWS": accounts }, "Action": "sqs:SendMessage", "Resource": ARN,
        });
        if conditions > 0 {
            statement["Condition"] = json!({ "StringEquals": keys });
        }
        statement
    }

    #[test]
    fn a_policy_keeps_sqs_s_limits_at_and_past_their_edges() {
        assert!(check_policy(&policy_of(vec![statement(1, 0); 20])).is_ok());
        assert!(check_policy(&policy_of(vec![statement(1, 0); 21])).is_err());
        assert!(check_policy(&policy_of(vec![statement(50, 0)])).is_ok());
        assert!(check_policy(&policy_of(vec![statement(51, 0)])).is_err());
        assert!(check_policy(&policy_of(vec![statement(1, 10)])).is_ok());
        assert!(check_policy(&policy_of(vec![statement(1, 11)])).is_err());
        let policy = policy_of(vec![statement(1, 0)]);
        assert!(check_policy(&format!("{policy}{}", " ".repeat(8_192 - policy.len()))).is_ok());
        assert!(check_policy(&format!("{policy}{}", " ".repeat(8_193 - policy.len()))).is_err());
    }

    #[test]
    fn what_is_no_policy_is_an_invalid_attribute_value() {
        for bad in ["x", "{}", "[]", "{\"Statement\":[{\"Effect\":\"Maybe\"}]}"] {
            let error = check_policy(bad).unwrap_err();
            assert_eq!(error.message, "Invalid value for the parameter Policy.", "{bad}");
        }
    }

    #[test]
    fn a_grant_that_makes_the_policy_too_long_is_over_limit() {
        let mut policy = grant(None, "l0").unwrap();
        for n in 1..20 {
            policy = grant(Some(&policy), &format!("l{n}")).unwrap();
        }
        assert_eq!(grant(Some(&policy), "l20").unwrap_err().code, "OverLimit");
    }
}
