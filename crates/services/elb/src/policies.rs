//! Policies of load balancers: made, described, deleted, and set on listeners and backend servers.
//!
//! Invariants:
//! - A listener or backend server names only policies that the load balancer has and that fit its protocol.
//! - Setting policies replaces the whole set; an empty set clears it.

use api::Call;
use api::elb::*;
use wire::ApiError;

use crate::errors;
use crate::limits::{POLICIES_MAX, POLICY_NAME_BYTES_MAX};
use crate::policy_types::{self, APP_COOKIE, BACKEND_AUTHENTICATION, LB_COOKIE, PROXY_PROTOCOL, SSL_NEGOTIATION};
use crate::rows::{ListenerRow, LoadBalancerRow, PolicyRow};
use crate::security_policies;
use crate::service::Elb;

impl Elb {
    pub(crate) async fn create_policy(
        &self,
        call: &Call,
        load_balancer: &str,
        policy: &str,
        type_name: &str,
        attributes: Vec<PolicyAttribute>,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, load_balancer).await?;
        let row = &mut draft.row;
        check_name(policy)?;
        let new = policy_types::build(row, policy, type_name, attributes)?;
        match row.policy(policy) {
            // Said again, nothing changes; so AWS answers retried requests.
            Some(old) if *old == new => return Ok(()),
            Some(_) => return Err(errors::policy_exists(policy, &row.name)),
            None => row.policies.push(new),
        }
        if row.policies.len() > POLICIES_MAX {
            return Err(errors::too_many_policies());
        }
        self.commit(call, draft).await
    }

    pub(crate) async fn delete_policy(
        &self,
        call: &Call,
        input: DeleteLoadBalancerPolicyInput,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let (row, name) = (&mut draft.row, &input.policy_name);
        if row.policy(name).is_none() {
            return Err(errors::policy_not_found(name, &row.name));
        }
        let by_listener = row.listeners.iter().any(|listener| listener.policies.contains(name));
        let by_backend = row.backend_policies.values().any(|policies| policies.contains(name));
        let by_policy =
            row.policies.iter().any(|policy| policy.values("PublicKeyPolicyName").any(|referred| referred == name));
        if by_listener || by_backend || by_policy {
            return Err(errors::policy_in_use(name));
        }
        row.policies.retain(|policy| policy.name != *name);
        self.commit(call, draft).await
    }

    pub(crate) async fn set_listener_policies(
        &self,
        call: &Call,
        input: SetLoadBalancerPoliciesOfListenerInput,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        let names = distinct(input.policy_names);
        adopt_predefined(row, &names);
        let port = input.load_balancer_port;
        let listener = row.listener(port).ok_or_else(|| errors::listener_not_found(&row.name, port))?;
        check_for_listener(row, listener, &names)?;
        for listener in row.listeners.iter_mut().filter(|listener| i32::from(listener.port) == port) {
            listener.policies.clone_from(&names);
        }
        self.commit(call, draft).await
    }

    pub(crate) async fn set_backend_policies(
        &self,
        call: &Call,
        input: SetLoadBalancerPoliciesForBackendServerInput,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        let names = distinct(input.policy_names);
        let unknown = || errors::instance_port_unknown(input.instance_port);
        let port = u16::try_from(input.instance_port).map_err(|_| unknown())?;
        let listeners: Vec<_> = row.listeners.iter().filter(|listener| listener.instance_port == port).collect();
        if listeners.is_empty() {
            return Err(unknown());
        }
        check_for_backend(row, &listeners, &names)?;
        if names.is_empty() {
            row.backend_policies.remove(&port);
        } else {
            row.backend_policies.insert(port, names);
        }
        self.commit(call, draft).await
    }

    pub(crate) async fn describe_policies(
        &self,
        call: &Call,
        input: DescribeLoadBalancerPoliciesInput,
    ) -> Result<DescribeLoadBalancerPoliciesOutput, ApiError> {
        let names = input.policy_names;
        let load_balancer = input.load_balancer_name.filter(|name| !name.is_empty());
        let all: Vec<PolicyRow> = match &load_balancer {
            Some(name) => self.row(call, name).await?.policies,
            None => security_policies::all().collect(),
        };
        let missing = |policy: &str| match &load_balancer {
            Some(name) => errors::policy_not_found(policy, name),
            None => errors::sample_policy_not_found(policy),
        };
        let policy_descriptions = if names.is_empty() {
            all.iter().map(security_policies::describe).collect()
        } else {
            let one = |name: &String| {
                let found = all.iter().find(|policy| policy.name == *name);
                found.map(security_policies::describe).ok_or_else(|| missing(name))
            };
            names.iter().map(one).collect::<Result<_, _>>()?
        };
        Ok(DescribeLoadBalancerPoliciesOutput { policy_descriptions })
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let length = (1..=POLICY_NAME_BYTES_MAX).contains(&name.len());
    if !length || !name.bytes().all(allowed) || name.starts_with(security_policies::PREFIX) {
        return Err(errors::policy_name_malformed());
    }
    Ok(())
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = Vec::with_capacity(names.len());
    // `PolicyNames=` clears: the Query protocol has no other way to write an empty list.
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// A predefined policy that a listener names becomes one of the load balancer's, as the default one did.
pub(crate) fn adopt_predefined(row: &mut LoadBalancerRow, names: &[String]) {
    for name in names {
        if row.policy(name).is_none() {
            row.policies.extend(security_policies::find(name));
        }
    }
}

fn check_for_listener(row: &LoadBalancerRow, listener: &ListenerRow, names: &[String]) -> Result<(), ApiError> {
    let (mut sticky, mut negotiating) = (0, 0);
    for name in names {
        let policy = row.policy(name).ok_or_else(|| errors::policy_not_found(name, &row.name))?;
        let (fits, wanted) = match policy.type_name.as_str() {
            LB_COOKIE | APP_COOKIE => (listener.protocol.is_http(), "HTTP and HTTPS listeners"),
            SSL_NEGOTIATION => (listener.protocol.is_secure(), "HTTPS and SSL listeners"),
            policy_types::PUBLIC_KEY => (false, "a policy of type BackendServerAuthenticationPolicyType"),
            _ => (false, "backend servers"),
        };
        if !fits {
            return Err(errors::policy_does_not_fit(name, &policy.type_name, wanted));
        }
        match policy.type_name.as_str() {
            SSL_NEGOTIATION => negotiating += 1,
            _ => sticky += 1,
        }
        if policy.type_name == SSL_NEGOTIATION && !policy_types::is_negotiable(policy) {
            return Err(errors::policy_leaves_nothing(name));
        }
    }
    if sticky > 1 {
        return Err(errors::policy_kind_repeated("stickiness"));
    }
    if negotiating > 1 {
        return Err(errors::policy_kind_repeated("SSL negotiation"));
    }
    Ok(())
}

fn check_for_backend(row: &LoadBalancerRow, listeners: &[&ListenerRow], names: &[String]) -> Result<(), ApiError> {
    let mut types = Vec::new();
    for name in names {
        let policy = row.policy(name).ok_or_else(|| errors::policy_not_found(name, &row.name))?;
        let (fits, wanted) = match policy.type_name.as_str() {
            PROXY_PROTOCOL => {
                let tcp = listeners.iter().any(|listener| !listener.instance_protocol.is_http());
                (tcp, "backend servers behind TCP and SSL listeners")
            }
            BACKEND_AUTHENTICATION => {
                let secure = listeners.iter().any(|listener| listener.instance_protocol.is_secure());
                (secure, "backend servers that use HTTPS or SSL")
            }
            policy_types::PUBLIC_KEY => (false, "a policy of type BackendServerAuthenticationPolicyType"),
            _ => (false, "listeners"),
        };
        if !fits {
            return Err(errors::policy_does_not_fit(name, &policy.type_name, wanted));
        }
        if types.contains(&policy.type_name) {
            return Err(errors::policy_kind_repeated(&policy.type_name));
        }
        types.push(policy.type_name.clone());
    }
    Ok(())
}
