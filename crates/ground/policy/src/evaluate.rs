//! Who asks for what, and what a policy says to it.
//!
//! Invariants:
//! - An explicit deny wins over every allow, wherever it stands; without either, nothing is said.
//! - The order of statements never changes the answer, only which of several deciding statements is named: the first.
//! - Evaluation is pure; it takes at most (size of the policy) x (size of the request) steps.
//!
//! Knows no resource's owner. Whether an allow suffices, or is needed at all, is the caller's to say.

use std::borrow::Cow;

use crate::date;
use crate::document::{Effect, Policy};
use crate::pattern::Variables;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Nobody signed.
    Anonymous,
    /// A principal of an account.
    Account {
        /// The account's twelve digits.
        account: &'a str,
        /// The user, role session or federated user; `None` is the account's root.
        arn: Option<&'a str>,
        /// S3's name for the account, 64 hex digits, where the caller knows it.
        canonical_user: Option<&'a str>,
    },
    /// An AWS service that acts for itself.
    Service {
        /// `sns.amazonaws.com`.
        name: &'a str,
    },
}

/// A request, as the policy language sees it.
///
/// ```
/// use policy::{Principal, Request};
/// let request = Request::new(Principal::Anonymous, "s3:GetObject", "arn:aws:s3:::site/index.html")
///     .with("aws:SourceIp", "203.0.113.7")
///     .with("aws:SecureTransport", "false");
/// ```
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(crate) principal: Principal<'a>,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) resource_is_known: bool,
    context: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>,
}

impl<'a> Request<'a> {
    /// `action` is `s3:GetObject`, `resource` an ARN. Sets the condition keys that follow from the principal:
    /// `aws:PrincipalAccount`, `aws:PrincipalArn`, `aws:PrincipalType`, `aws:userid`, `aws:username`,
    /// `aws:PrincipalIsAWSService`, `aws:PrincipalServiceName`, each where AWS has it.
    pub fn new(principal: Principal<'a>, action: &'a str, resource: &'a str) -> Self {
        let request = Self { principal, action, resource, resource_is_known: true, context: Vec::with_capacity(12) };
        match principal {
            Principal::Anonymous => request.with("aws:PrincipalType", "Anonymous").with("aws:userid", "anonymous"),
            Principal::Service { name } => {
                request.with("aws:PrincipalIsAWSService", "true").with("aws:PrincipalServiceName", name)
            }
            Principal::Account { account, arn, .. } => request.with_account(account, arn),
        }
    }

    fn with_account(self, account: &'a str, arn: Option<&'a str>) -> Self {
        let request = self.with("aws:PrincipalAccount", account).with("aws:PrincipalIsAWSService", "false");
        let Some(arn) = arn else {
            let root = format!("arn:aws:iam::{account}:root");
            return request
                .with("aws:PrincipalArn", root)
                .with("aws:PrincipalType", "Account")
                .with("aws:userid", account);
        };
        let request = request.with("aws:PrincipalArn", arn);
        let resource = arn.rsplit(':').next().unwrap_or_default();
        match resource.split_once('/') {
            Some(("user", path)) => {
                let name = path.rsplit('/').next().unwrap_or_default();
                request.with("aws:PrincipalType", "User").with("aws:username", name)
            }
            Some(("assumed-role", _)) => request.with("aws:PrincipalType", "AssumedRole"),
            Some(("federated-user", _)) => request.with("aws:PrincipalType", "FederatedUser"),
            _ => request,
        }
    }

    /// Sets a condition key to one value, in place of what it had.
    pub fn with(self, key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        self.with_all(key, [value])
    }

    /// Sets a condition key to several values, in place of what it had; to none removes it.
    pub fn with_all<V: Into<Cow<'a, str>>>(
        mut self,
        key: impl Into<Cow<'a, str>>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let key = key.into();
        let values: Vec<_> = values.into_iter().map(Into::into).collect();
        match self.context.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(&key)) {
            Some((_, old)) => *old = values,
            None => self.context.push((key, values)),
        }
        self
    }

    /// Says that the principal counts by its own name only: a statement about its whole account is not about it. In its
    /// own account, what an account is given, the account's policies hand on.
    pub fn of_itself(self) -> Self {
        let principal = match self.principal {
            Principal::Account { arn, canonical_user: _, .. } => {
                Principal::Account { account: "", arn, canonical_user: None }
            }
            other => other,
        };
        Self { principal, ..self }
    }

    /// Says that the resource is not known for certain: a deny counts whatever it is about. Allows still have to cover
    /// what was given as the resource, `arn:aws:ec2:us-east-1:123456789012:*`.
    pub fn with_unknown_resource(self) -> Self {
        Self { resource_is_known: false, ..self }
    }

    /// Sets `aws:CurrentTime` and `aws:EpochTime`.
    pub fn at(self, unix_ms: u64) -> Self {
        self.with("aws:CurrentTime", date::format(unix_ms)).with("aws:EpochTime", (unix_ms / 1000).to_string())
    }

    /// The values of a condition key; its name is not case-sensitive.
    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let found = self.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.into_iter().flat_map(|(_, values)| values).map(|value| &**value)
    }
}

impl Variables for Request<'_> {
    fn single_value(&self, key: &str) -> Option<&str> {
        let mut values = self.values(key);
        let first = values.next();
        // AWS: "you can use any single-valued condition key as a variable".
        if values.next().is_none() { first } else { None }
    }
}

/// What a policy says. The statement is its index, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement denies it: nothing can allow it.
    ExplicitDeny {
        /// The first that does.
        statement: usize,
    },
    /// A statement allows it, and none denies it.
    Allow {
        /// The first that does.
        statement: usize,
    },
    /// No statement is about it.
    NoMatch,
}

impl Policy {
    /// What the policy says to `request`.
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        let mut decision = Decision::NoMatch;
        for (index, statement) in self.statements().iter().enumerate() {
            // A second allow adds nothing; only a deny can still change the answer.
            let matters = statement.effect() == Effect::Deny || decision == Decision::NoMatch;
            if !matters || statement.mismatch(request).is_some() {
                continue;
            }
            match statement.effect() {
                Effect::Deny => return Decision::ExplicitDeny { statement: index },
                Effect::Allow => decision = Decision::Allow { statement: index },
            }
        }
        decision
    }
}
