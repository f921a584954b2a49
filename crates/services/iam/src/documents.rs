//! Policy documents: what a role or a managed policy may say, and the refusals of what it may not.
//!
//! Invariants:
//! - What is kept was parsed here: every kept document can be asked.
//! - White space counts for nothing in a document's length, as on AWS.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::{Kind, Limits, Policy, PolicyError, Problem};

use crate::names::check_characters;
use crate::refusal::{self, Refusal};

/// AWS's quotas, in characters without white space: a trust policy,
pub(crate) const TRUST_MAX: usize = 2_048;
/// the inline policies of a role together,
pub(crate) const INLINE_MAX: usize = 10_240;
/// and a version of a managed policy.
pub(crate) const MANAGED_MAX: usize = 6_144;

/// RFC 3986's unreserved characters stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A document as IAM's answers carry it: percent-encoded.
pub(crate) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, RESERVED).to_string()
}

/// How long a document is to a quota.
pub(crate) fn length(document: &str) -> usize {
    document.chars().filter(|letter| !letter.is_whitespace()).count()
}

/// Parses what is attached to a role.
pub(crate) fn identity(document: &str) -> Result<Policy, Refusal> {
    check_characters("policyDocument", document)?;
    let policy = Policy::parse_kind(document, Kind::Identity, &Limits { distinct_sids: true, ..Limits::NONE });
    let policy = policy.map_err(|error| Refusal::Malformed(sentence(&error)))?;
    if policy.statements().iter().flat_map(policy::Statement::actions).any(|action| action == "*:*") {
        return Err(Refusal::Malformed(VENDOR.to_owned()));
    }
    Ok(policy)
}

/// Parses who may take a role.
pub(crate) fn trust(document: &str) -> Result<Policy, Refusal> {
    check_characters("assumeRolePolicyDocument", document)?;
    let policy = Policy::parse_kind(document, Kind::Trust, &Limits { distinct_sids: true, ..Limits::NONE });
    let policy = policy.map_err(|error| Refusal::Malformed(sentence(&error)))?;
    let is_sts = |action: &str| action.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sts:"));
    if !policy.statements().iter().flat_map(policy::Statement::actions).all(is_sts) {
        return Err(Refusal::Malformed("AssumeRole policy may only specify STS AssumeRole actions.".to_owned()));
    }
    if length(document) > TRUST_MAX {
        return Err(refusal::quota("ACLSizePerRole", TRUST_MAX));
    }
    Ok(policy)
}

const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";

/// IAM's own sentence where there is a record of it, else the problem and its place.
pub(crate) fn sentence(error: &PolicyError) -> String {
    match error.problem() {
        Problem::NotJson | Problem::DuplicateField(_) => "This policy contains invalid Json".to_owned(),
        Problem::UnknownField(_) | Problem::WrongType | Problem::NoStatements => {
            format!("Syntax errors in policy. ({error})")
        }
        Problem::MissingField("Action") => "Policy statement must contain actions.".to_owned(),
        Problem::MissingField("Resource") => "Policy statement must contain resources.".to_owned(),
        Problem::ProhibitedField("Principal" | "NotPrincipal") => {
            "Policy document should not specify a principal.".to_owned()
        }
        Problem::ProhibitedField(_) | Problem::MissingField(_) => error.problem().to_string(),
        Problem::InvalidAction | Problem::InvalidConditionKey => VENDOR.to_owned(),
        Problem::InvalidResource => format!("Resource must be in ARN format or \"*\". ({error})"),
        Problem::DuplicateSid(sid) => format!("Statement IDs (SID) in a single policy must be unique. ({sid})"),
        Problem::InvalidPrincipal => format!("Invalid principal in policy ({error})"),
        _ => format!("Syntax errors in policy. ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refused: Result<Policy, Refusal>) -> String {
        refused.unwrap_err().to_string()
    }

    #[test]
    fn what_a_role_may_not_say_is_refused_in_iams_words() {
        for (document, expected) in [
            ("{", "This policy contains invalid Json"),
            (r#"{"Statement":[{"Effect":"Allow","Resource":"*"}]}"#, "Policy statement must contain actions."),
            (r#"{"Statement":[{"Effect":"Allow","Action":"s3:*"}]}"#, "Policy statement must contain resources."),
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}"#,
                "Policy document should not specify a principal.",
            ),
            (r#"{"Statement":[{"Effect":"Allow","Action":"read","Resource":"*"}]}"#, VENDOR),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"site"}]}"#,
                "Resource must be in ARN format or \"*\". (Policy has invalid resource, at Statement[0].Resource)",
            ),
        ] {
            assert_eq!(told(identity(document)), expected, "{document}");
        }
    }

    #[test]
    fn a_trust_policy_names_principals_and_no_resources() {
        let good = r#"{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"AWS":"123456789012"},
                       "Condition":{"Null":{"sts:ExternalId":"true"}}}]}"#;
        assert!(trust(good).is_ok());
        for (document, expected) in [
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}]}"#,
                "Has prohibited field Resource",
            ),
            (r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}"#, "Missing required field Principal"),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Principal":"*"}]}"#,
                "AssumeRole policy may only specify STS AssumeRole actions.",
            ),
        ] {
            assert_eq!(told(trust(document)), expected, "{document}");
        }
        let long = format!(r#"{{"Id":"{}",{}"#, "x".repeat(TRUST_MAX), &good[1..]);
        assert_eq!(told(trust(&long)), "Cannot exceed quota for ACLSizePerRole: 2048");
    }

    #[test]
    fn a_document_is_told_percent_encoded_and_measured_without_white_space() {
        assert_eq!(encoded("{\"a\": 1}"), "%7B%22a%22%3A%201%7D");
        assert_eq!(length(" {\n\t\"a\" : 1 } "), 7);
    }
}
