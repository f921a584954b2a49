//! [`Session`]: somebody who has taken a role, and what the role's policies let him do.
//!
//! Invariants:
//! - A session is told apart from its account: what its role's policies do not allow is refused, whoever asks for it.
//! - What a session may do is asked of [`Permissions`] and nowhere else; services add what their own resources'
//!   policies say.

use std::fmt;
use std::sync::Arc;

use crate::Call;

/// A role's session.
#[derive(Clone)]
pub struct Session {
    /// The key that signed, `ASIA…`.
    pub access_key_id: Arc<str>,
    /// `arn:aws:iam::123456789012:role/team/worker`.
    pub role_arn: Arc<str>,
    /// `arn:aws:sts::123456789012:assumed-role/worker/nightly`.
    pub arn: Arc<str>,
    /// `AROA…:nightly`.
    pub user_id: Arc<str>,
    /// Whether it may less than its role, by policies of its own: who acts later with the role cannot stand in for it.
    pub is_narrowed: bool,
    /// What it may do.
    pub permissions: Arc<dyn Permissions>,
}

/// What the policies of a session's role say, as they are at this moment.
pub trait Permissions: Send + Sync {
    /// What they say to a question.
    fn decide(&self, question: &Question<'_>) -> Verdict;
}

/// May the caller do this?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks, and how.
    pub call: &'a Call,
    /// `sqs:SendMessage`.
    pub action: &'a str,
    /// On what, an ARN; `*` for an action that has no resource.
    pub resource: &'a str,
    /// Whether `resource` is the very one. If not, an allow must cover whatever it may be, and any deny counts.
    pub is_exact: bool,
    /// Condition keys beside those that follow from the call.
    pub context: &'a [(&'a str, String)],
}

impl<'a> Question<'a> {
    /// A question about one resource.
    pub fn new(call: &'a Call, action: &'a str, resource: &'a str) -> Self {
        Self { call, action, resource, is_exact: true, context: &[] }
    }
}

/// What identity policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some statement allows it, and none denies it.
    Allowed,
    /// A statement denies it: nothing can allow it.
    Denied,
    /// No statement allows it.
    NotAllowed,
}

impl Session {
    /// What the role's policies say to a question.
    pub fn decide(&self, question: &Question<'_>) -> Verdict {
        self.permissions.decide(question)
    }

    /// The sentence of a refusal: `User: … is not authorized to perform: … on resource: …`.
    pub fn refusal(&self, action: &str, resource: &str, verdict: Verdict) -> String {
        let on = if resource == "*" { String::new() } else { format!(" on resource: {resource}") };
        let why = match verdict {
            Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
            _ => format!("because no identity-based policy allows the {action} action"),
        };
        format!("User: {} is not authorized to perform: {action}{on} {why}", self.arn)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("arn", &self.arn).field("access_key_id", &self.access_key_id).finish()
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        (&self.access_key_id, &self.arn) == (&other.access_key_id, &other.arn)
    }
}

impl Eq for Session {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Permissions for Nothing {
        fn decide(&self, _: &Question<'_>) -> Verdict {
            Verdict::NotAllowed
        }
    }

    #[test]
    fn a_refusal_names_who_what_and_why() {
        let session = Session {
            access_key_id: "ASIA".into(),
            role_arn: "arn:aws:iam::123456789012:role/worker".into(),
            arn: "arn:aws:sts::123456789012:assumed-role/worker/one".into(),
            user_id: "AROA:one".into(),
            is_narrowed: false,
            permissions: Arc::new(Nothing),
        };
        assert_eq!(
            session.refusal("sqs:ListQueues", "*", Verdict::NotAllowed),
            "User: arn:aws:sts::123456789012:assumed-role/worker/one is not authorized to perform: sqs:ListQueues \
             because no identity-based policy allows the sqs:ListQueues action"
        );
        let denied = session.refusal("s3:GetObject", "arn:aws:s3:::b/k", Verdict::Denied);
        assert!(denied.ends_with("on resource: arn:aws:s3:::b/k with an explicit deny in an identity-based policy"));
    }
}
