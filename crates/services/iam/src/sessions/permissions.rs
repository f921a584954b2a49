//! [`RolePermissions`]: what a role's policies, its boundary and its session's policies say together.
//!
//! Invariants:
//! - A deny in any of them wins. Without one, the role's own policies must allow, and the boundary and the session's
//!   policies, where there are any, must allow as well.
//! - A policy that cannot be read denies everything: a lost deny must not open anything.

use std::sync::Arc;

use api::{Permissions, Question, Verdict};
use host::Clock;
use policy::{Decision, Policy, Principal, Request};

/// Policies of one kind, each with where it stands, for the log.
#[derive(Debug, Default)]
pub(crate) struct Policies(pub(crate) Vec<(String, Option<Policy>)>);

/// A session's permissions.
pub(crate) struct RolePermissions {
    pub(crate) account: Arc<str>,
    pub(crate) role_arn: Arc<str>,
    pub(crate) session_arn: Arc<str>,
    pub(crate) user_id: Arc<str>,
    pub(crate) own: Arc<Policies>,
    pub(crate) boundary: Option<Arc<Policies>>,
    pub(crate) of_session: Option<Arc<Policies>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Policies {
    fn decide(&self, request: &Request<'_>) -> Verdict {
        let mut verdict = Verdict::NotAllowed;
        for (place, policy) in &self.0 {
            let Some(policy) = policy else {
                tracing::error!(place, "a stored policy cannot be read: it denies everything");
                return Verdict::Denied;
            };
            match policy.evaluate(request) {
                Decision::ExplicitDeny { .. } => return Verdict::Denied,
                Decision::Allow { .. } => verdict = Verdict::Allowed,
                Decision::NoMatch => {}
            }
        }
        verdict
    }
}

impl Permissions for RolePermissions {
    fn decide(&self, question: &Question<'_>) -> Verdict {
        let principal =
            Principal::Account { account: &self.account, arn: Some(&self.session_arn), canonical_user: None };
        let mut request = Request::new(principal, question.action, question.resource)
            .at(self.clock.now().as_millis())
            .with("aws:PrincipalArn", &*self.role_arn)
            .with("aws:userid", &*self.user_id)
            .with("aws:RequestedRegion", question.call.region.as_str());
        request = with_call(request, question.call);
        if let Some(account) = account_in(question.resource) {
            request = request.with("aws:ResourceAccount", account);
        }
        for (key, value) in question.context {
            request = request.with(*key, value.as_str());
        }
        if !question.is_exact {
            request = request.with_unknown_resource();
        }
        let mut verdict = self.own.decide(&request);
        for bound in [&self.boundary, &self.of_session].into_iter().flatten() {
            verdict = match (verdict, bound.decide(&request)) {
                (Verdict::Denied, _) | (_, Verdict::Denied) => Verdict::Denied,
                (Verdict::Allowed, Verdict::Allowed) => Verdict::Allowed,
                _ => Verdict::NotAllowed,
            };
        }
        verdict
    }
}

/// The condition keys that follow from how a request came.
pub(crate) fn with_call<'a>(request: Request<'a>, call: &'a api::Call) -> Request<'a> {
    let secure = if call.endpoint.scheme == "https" { "true" } else { "false" };
    let mut request =
        request.with("aws:SourceIp", call.source_ip.to_canonical().to_string()).with("aws:SecureTransport", secure);
    if let Some(user_agent) = &call.user_agent {
        request = request.with("aws:UserAgent", &**user_agent);
    }
    if let Some(referer) = &call.referer {
        request = request.with("aws:Referer", &**referer);
    }
    request
}

/// The account in an ARN, where it has one.
fn account_in(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| account.len() == 12)
}
