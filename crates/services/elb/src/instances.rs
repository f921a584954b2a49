//! Instances behind a load balancer: registered, deregistered, and how they are.
//!
//! Invariants:
//! - Only instances that EC2 knows are registered; the row holds ids, EC2 holds what they stand for.
//! - Deregistering drains inside the balancer; no row remembers it.

use std::collections::HashMap;

use ::api::Call;
use ::api::elb::*;
use balancer::{HealthReason, HealthState, LoadBalancerId, TargetHealth};
use wire::ApiError;

use crate::describe;
use crate::errors;
use crate::limits::INSTANCES_MAX;
use crate::rows::LoadBalancerRow;
use crate::service::Elb;
use crate::world::{self, Facts};

const IN_SERVICE: &str = "InService";
const OUT_OF_SERVICE: &str = "OutOfService";
const UNKNOWN: &str = "Unknown";
const NOT_APPLICABLE: &str = "N/A";
const BY_ELB: &str = "ELB";
const BY_INSTANCE: &str = "Instance";

const TRANSIENT: &str = "A transient error occurred. Please try again later.";
const FAILED: &str = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
const NOT_YET: &str = "Instance has not passed the configured HealthyThreshold number of health checks consecutively.";
const REGISTERING: &str = "Instance registration is still in progress.";
const ZONE_OFF: &str =
    "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";
const NOT_REGISTERED: &str = "Instance is not currently registered with the LoadBalancer.";
const DEREGISTERING: &str = "Instance deregistration currently in progress.";
const ZONE_GOING: &str = "Disable Availability Zone is currently in progress.";
const PENDING: &str = "Instance is in pending state.";
const STOPPED: &str = "Instance is in stopped state.";
const TERMINATED: &str = "Instance is in terminated state.";

impl Elb {
    pub(crate) async fn register(
        &self,
        call: &Call,
        input: RegisterInstancesWithLoadBalancerInput,
    ) -> Result<RegisterInstancesWithLoadBalancerOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        let ids = ids(input.instances)?;
        let facts = self.facts(call).await?;
        for id in ids {
            let instance = facts.instances.get(&id).ok_or_else(|| not_found(&id))?;
            if instance.vpc_id.is_some() && row.vpc_id.is_some() && instance.vpc_id != row.vpc_id {
                return Err(errors::instance_of_another_vpc(&id));
            }
            if !row.instances.contains(&id) {
                row.instances.push(id);
            }
        }
        if row.instances.len() > INSTANCES_MAX {
            return Err(errors::too_many_instances());
        }
        let instances = describe::instances(&row.instances);
        self.commit(call, draft).await?;
        Ok(RegisterInstancesWithLoadBalancerOutput { instances })
    }

    pub(crate) async fn deregister(
        &self,
        call: &Call,
        input: DeregisterInstancesFromLoadBalancerInput,
    ) -> Result<DeregisterInstancesFromLoadBalancerOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        let ids = ids(input.instances)?;
        let facts = self.facts(call).await?;
        // One that is registered can always be taken away, even when EC2 has forgotten it.
        if let Some(id) = ids.iter().find(|id| !row.instances.contains(id) && !facts.instances.contains_key(*id)) {
            return Err(not_found(id));
        }
        row.instances.retain(|id| !ids.contains(id));
        let instances = describe::instances(&row.instances);
        self.commit(call, draft).await?;
        Ok(DeregisterInstancesFromLoadBalancerOutput { instances })
    }

    pub(crate) async fn describe_health(
        &self,
        call: &Call,
        input: DescribeInstanceHealthInput,
    ) -> Result<DescribeInstanceHealthOutput, ApiError> {
        let row = self.row(call, &input.load_balancer_name).await?;
        let facts = self.facts(call).await?;
        let health = self.inner.balancer.target_health(LoadBalancerId(row.id));
        let wanted = if input.instances.is_empty() {
            let draining = health.iter().filter(|target| target.draining).map(|target| target.id.0.to_string());
            let draining: Vec<_> = draining.filter(|id| !row.instances.contains(id)).collect();
            row.instances.iter().cloned().chain(draining).collect()
        } else {
            ids(input.instances)?
        };
        let by_id: HashMap<&str, &TargetHealth> = health.iter().map(|target| (&*target.id.0, target)).collect();
        let one = |id: String| {
            let known = row.instances.contains(&id) || by_id.contains_key(id.as_str());
            if !known && !facts.instances.contains_key(&id) {
                return Err(not_found(&id));
            }
            let (state, reason, description) = state_of(&row, &id, &facts, by_id.get(id.as_str()).copied());
            Ok(InstanceState {
                instance_id: Some(id),
                state: Some(state.to_owned()),
                reason_code: Some(reason.to_owned()),
                description: Some(description.to_owned()),
            })
        };
        let instance_states = wanted.into_iter().map(one).collect::<Result<_, _>>()?;
        Ok(DescribeInstanceHealthOutput { instance_states })
    }

    async fn facts(&self, call: &Call) -> Result<Facts, ApiError> {
        let facts = world::facts(&*self.inner.ec2, call).await;
        facts.map_err(|error| errors::from_dependency(call, "EC2", &error))
    }
}

/// State, reason code and description.
pub(crate) fn state_of(
    row: &LoadBalancerRow,
    id: &str,
    facts: &Facts,
    health: Option<&TargetHealth>,
) -> (&'static str, &'static str, &'static str) {
    let draining = health.is_some_and(|health| health.draining);
    if !row.instances.iter().any(|registered| registered == id) {
        return match draining {
            true => (IN_SERVICE, NOT_APPLICABLE, DEREGISTERING),
            false => (OUT_OF_SERVICE, BY_INSTANCE, NOT_REGISTERED),
        };
    }
    let Some(instance) = facts.instances.get(id) else { return (OUT_OF_SERVICE, BY_INSTANCE, TERMINATED) };
    match instance.state.as_str() {
        "running" => {}
        "pending" => return (OUT_OF_SERVICE, BY_INSTANCE, PENDING),
        "stopping" | "stopped" => return (OUT_OF_SERVICE, BY_INSTANCE, STOPPED),
        _ => return (OUT_OF_SERVICE, BY_INSTANCE, TERMINATED),
    }
    if !row.zones.iter().any(|zone| zone.zone == instance.zone) {
        let description = if draining { ZONE_GOING } else { ZONE_OFF };
        return (OUT_OF_SERVICE, BY_ELB, description);
    }
    match health {
        // The row is ahead of the balancer, or the instance has no address: it will be told of soon, or never.
        None if instance.address.is_some() => (OUT_OF_SERVICE, BY_ELB, REGISTERING),
        None => (UNKNOWN, BY_ELB, TRANSIENT),
        Some(health) => judged(health),
    }
}

fn judged(health: &TargetHealth) -> (&'static str, &'static str, &'static str) {
    match health.state {
        HealthState::InService => (IN_SERVICE, NOT_APPLICABLE, NOT_APPLICABLE),
        HealthState::Unknown => (OUT_OF_SERVICE, BY_ELB, REGISTERING),
        HealthState::OutOfService if health.reason == HealthReason::NotPassedHealthyThreshold => {
            (OUT_OF_SERVICE, BY_INSTANCE, NOT_YET)
        }
        HealthState::OutOfService => (OUT_OF_SERVICE, BY_INSTANCE, FAILED),
    }
}

fn ids(instances: Vec<Instance>) -> Result<Vec<String>, ApiError> {
    let mut ids: Vec<String> = Vec::with_capacity(instances.len());
    for id in instances.into_iter().filter_map(|instance| instance.instance_id) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() { Err(errors::no_instances()) } else { Ok(ids) }
}

fn not_found(id: &str) -> ApiError {
    let hex = |digits: &str| (8..=17).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    match id.strip_prefix("i-") {
        Some(digits) if hex(digits) => errors::instance_not_found(id),
        _ => errors::instance_id_malformed(id),
    }
}
