//! Who a statement is about.
//!
//! Invariants:
//! - Only a whole `*` is a wildcard: AWS matches no part of a principal's name.
//! - An account, or its root's ARN, stands for every principal of that account.
//! - A role's ARN stands for its sessions too; a session's ARN for that session.
//!
//! Whether a principal exists is not known here: AWS refuses those that don't, we take what is well formed.

use crate::error::{PolicyError, Problem};
use crate::evaluate::Principal;
use crate::node::Node;

/// A principal as a policy writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `*` or `{"AWS": "*"}`: everyone, also the anonymous and AWS's services.
    Everyone,
    /// An account's id, or its root's ARN.
    Account(Box<str>),
    /// A user, role or session.
    Arn(Box<str>),
    /// `sns.amazonaws.com`; `None` for `*`: any service.
    Service(Option<Box<str>>),
    CanonicalUser(Box<str>),
    /// Well formed, but nobody here signs in this way: never matches.
    Federated,
}

impl Named {
    /// Reads the value of `Principal` or `NotPrincipal`.
    pub(crate) fn parse_all(node: &Node, place: &str) -> Result<Vec<Self>, PolicyError> {
        let invalid = |place: &str| PolicyError::new(Problem::InvalidPrincipal, place);
        if let Node::Text(text) = node {
            return if text == "*" { Ok(vec![Self::Everyone]) } else { Err(invalid(place)) };
        }
        let mut all = Vec::new();
        for (kind, values) in node.members(place)? {
            let place = format!("{place}.{kind}");
            for value in values.one_or_many() {
                let Node::Text(text) = value else { return Err(invalid(&place)) };
                all.push(Self::parse(kind, text).ok_or_else(|| invalid(&place))?);
            }
        }
        if all.is_empty() { Err(invalid(place)) } else { Ok(all) }
    }

    fn parse(kind: &str, text: &str) -> Option<Self> {
        match kind {
            "AWS" if text == "*" => Some(Self::Everyone),
            "AWS" if is_account(text) => Some(Self::Account(text.into())),
            "AWS" => Self::parse_arn(text),
            "Service" if text == "*" => Some(Self::Service(None)),
            "Service" => is_host_name(text).then(|| Self::Service(Some(text.into()))),
            "CanonicalUser" => {
                let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_id.then(|| Self::CanonicalUser(text.into()))
            }
            "Federated" => (text == "*" || is_host_name(text) || text.starts_with("arn:")).then_some(Self::Federated),
            _ => None,
        }
    }

    fn parse_arn(text: &str) -> Option<Self> {
        let arn = Arn::split(text)?;
        // CloudFront's origin access identities are the one kind of principal without an account.
        let is_origin_access_identity = arn.service == "iam" && arn.account == "cloudfront";
        if !is_account(arn.account) && !is_origin_access_identity {
            return None;
        }
        if arn.service == "iam" && arn.resource == "root" {
            return Some(Self::Account(arn.account.into()));
        }
        let (kind, name) = arn.resource.split_once('/')?;
        let known = match arn.service {
            "iam" => matches!(kind, "user" | "role"),
            "sts" => matches!(kind, "assumed-role" | "federated-user"),
            _ => false,
        };
        let plain = !name.is_empty() && !text.contains(['*', '?']);
        (known && plain).then(|| Self::Arn(text.into()))
    }

    /// Whether `principal` is meant.
    pub(crate) fn covers(&self, principal: &Principal<'_>) -> bool {
        match (self, principal) {
            (Self::Everyone, _) | (Self::Service(None), Principal::Service { .. }) => true,
            (Self::Service(Some(wanted)), Principal::Service { name }) => **wanted == **name,
            (Self::Account(wanted), Principal::Account { account, .. }) => **wanted == **account,
            (Self::Arn(wanted), Principal::Account { arn: Some(arn), .. }) => is_or_has_session(wanted, arn),
            (Self::CanonicalUser(wanted), Principal::Account { canonical_user: Some(id), .. }) => {
                wanted.eq_ignore_ascii_case(id)
            }
            _ => false,
        }
    }
}

/// The parts of `arn:partition:service:region:account:resource` that tell principals apart.
struct Arn<'a> {
    service: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (scheme, partition) = (parts.next()?, parts.next()?);
        let (service, _region, account, resource) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let named = scheme == "arn" && !partition.is_empty() && !service.is_empty() && !resource.is_empty();
        named.then_some(Self { service, account, resource })
    }
}

/// Whether `actual` is `wanted`, or a session of the role `wanted`. A session's ARN leaves out the role's path.
fn is_or_has_session(wanted: &str, actual: &str) -> bool {
    if wanted == actual {
        return true;
    }
    let (Some(wanted), Some(actual)) = (Arn::split(wanted), Arn::split(actual)) else { return false };
    let role = wanted.resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
    let session = actual.resource.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next());
    let same_account = wanted.service == "iam" && actual.service == "sts" && wanted.account == actual.account;
    same_account && role.is_some() && role == session
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    text.contains('.') && !text.starts_with('.') && !text.ends_with('.') && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: &str, text: &str) -> Named {
        Named::parse(kind, text).unwrap_or_else(|| panic!("{kind} {text} should be a principal"))
    }

    fn user<'a>(account: &'a str, arn: Option<&'a str>) -> Principal<'a> {
        Principal::Account { account, arn, canonical_user: None }
    }

    #[test]
    fn an_account_stands_for_all_its_principals() {
        let ann = user("111122223333", Some("arn:aws:iam::111122223333:user/ann"));
        for written in ["111122223333", "arn:aws:iam::111122223333:root"] {
            assert!(named("AWS", written).covers(&ann), "{written}");
            assert!(named("AWS", written).covers(&user("111122223333", None)), "{written}");
            assert!(!named("AWS", written).covers(&user("444455556666", None)), "{written}");
            assert!(!named("AWS", written).covers(&Principal::Anonymous), "{written}");
        }
    }

    #[test]
    fn a_user_stands_for_himself_only() {
        let ann = named("AWS", "arn:aws:iam::111122223333:user/ann");
        assert!(ann.covers(&user("111122223333", Some("arn:aws:iam::111122223333:user/ann"))));
        assert!(!ann.covers(&user("111122223333", Some("arn:aws:iam::111122223333:user/bob"))));
        assert!(!ann.covers(&user("111122223333", None)));
    }

    #[test]
    fn a_role_stands_for_its_sessions() {
        let role = named("AWS", "arn:aws:iam::111122223333:role/team/worker");
        assert!(role.covers(&user("111122223333", Some("arn:aws:sts::111122223333:assumed-role/worker/one"))));
        assert!(!role.covers(&user("111122223333", Some("arn:aws:sts::111122223333:assumed-role/other/worker"))));
        assert!(!role.covers(&user("444455556666", Some("arn:aws:sts::444455556666:assumed-role/worker/one"))));
    }

    #[test]
    fn everyone_includes_the_anonymous_and_services() {
        let service = Principal::Service { name: "sns.amazonaws.com" };
        for principal in [Principal::Anonymous, user("111122223333", None), service] {
            assert!(named("AWS", "*").covers(&principal));
        }
        assert!(named("Service", "*").covers(&service));
        assert!(!named("Service", "*").covers(&Principal::Anonymous));
        assert!(!named("Service", "s3.amazonaws.com").covers(&service));
    }

    #[test]
    fn a_canonical_user_is_matched_by_his_id() {
        let id = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";
        let owner = Principal::Account { account: "111122223333", arn: None, canonical_user: Some(id) };
        assert!(named("CanonicalUser", id).covers(&owner));
        assert!(!named("CanonicalUser", id).covers(&user("111122223333", None)));
    }

    #[test]
    fn what_can_be_nobody_is_refused() {
        for (kind, text) in [
            ("AWS", ""),
            ("AWS", "12345"),
            ("AWS", "ann"),
            ("AWS", "arn:aws:iam::111122223333:user/*"),
            ("AWS", "arn:aws:iam::*:root"),
            ("AWS", "arn:aws:iam::111122223333:group/staff"),
            ("AWS", "arn:aws:s3:::bucket"),
            ("Service", "sns"),
            ("CanonicalUser", "abc"),
            ("aws", "*"),
            ("Robot", "x"),
        ] {
            assert_eq!(Named::parse(kind, text), None, "{kind} {text}");
        }
    }
}
