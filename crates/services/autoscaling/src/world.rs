//! [`World`]: what EC2 and ELB say of a region's instances and load balancers.
//!
//! Invariant: it is gathered anew for each look and never stored; a row names things, their owners know them.

use std::collections::{BTreeSet, HashMap};

use ::api::Call;
use ::api::ec2::DescribeInstancesInput;
use ::api::elb::{DescribeInstanceHealthInput, InstanceState};
use wire::ApiError;

use crate::ports::{Balancers, Machines};
use crate::rows::GroupRow;

/// Rows that one question to EC2 brings.
const PAGE_ROWS: i32 = 1000;
/// Pages that are asked for at most, against an EC2 that never ends.
const PAGES_MAX: usize = 1000;
/// ELB's sentence about a target that it drains.
const DEREGISTERING: &str = "Instance deregistration currently in progress.";

/// What is known outside of Auto Scaling.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// Instances by id.
    pub(crate) instances: HashMap<String, Fact>,
    /// Their ids by the token that they were launched with.
    pub(crate) by_token: HashMap<String, String>,
    /// Load balancers by name.
    pub(crate) load_balancers: HashMap<String, Balancer>,
}

/// What EC2 says of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fact {
    /// `running`, `pending`, `stopped`, …
    pub(crate) state: String,
    pub(crate) subnet: Option<String>,
    pub(crate) instance_type: Option<String>,
    pub(crate) image_id: Option<String>,
}

/// What ELB says of a load balancer.
#[derive(Clone, Debug)]
pub(crate) enum Balancer {
    /// There is none of this name.
    Missing,
    /// ELB did not answer.
    Unknown,
    /// Its targets by id.
    Known(HashMap<String, Target>),
}

/// What ELB says of a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) in_service: bool,
    /// Whether it is the instance that is at fault when it is out of service.
    pub(crate) by_instance: bool,
    pub(crate) deregistering: bool,
}

impl World {
    /// Whether EC2 runs an instance, or is about to.
    pub(crate) fn lives(&self, id: &str) -> bool {
        self.instances.get(id).is_some_and(|fact| matches!(fact.state.as_str(), "pending" | "running"))
    }

    /// Whether nothing is left of an instance.
    pub(crate) fn is_gone(&self, id: &str) -> bool {
        self.instances.get(id).is_none_or(|fact| fact.state == "terminated")
    }

    /// Whether a load balancer was deleted.
    pub(crate) fn misses(&self, load_balancer: &str) -> bool {
        matches!(self.load_balancers.get(load_balancer), Some(Balancer::Missing))
    }

    /// What a load balancer says of an instance; nothing when it did not answer.
    pub(crate) fn target(&self, load_balancer: &str, id: &str) -> Option<Target> {
        match self.load_balancers.get(load_balancer)? {
            // One that it does not know is out of service by its own absence.
            Balancer::Known(targets) => {
                Some(targets.get(id).cloned().unwrap_or(Target { by_instance: true, ..Target::default() }))
            }
            Balancer::Missing | Balancer::Unknown => None,
        }
    }

    /// Whether ELB did not answer for a load balancer.
    pub(crate) fn is_silent(&self, load_balancer: &str) -> bool {
        matches!(self.load_balancers.get(load_balancer), Some(Balancer::Unknown))
    }

    /// Whether a load balancer has an instance, and is not letting go of it.
    pub(crate) fn has_registered(&self, load_balancer: &str, id: &str) -> bool {
        match self.load_balancers.get(load_balancer) {
            Some(Balancer::Known(targets)) => targets.get(id).is_some_and(|target| !target.deregistering),
            _ => false,
        }
    }

    /// Whether a load balancer still drains an instance, or may.
    pub(crate) fn drains(&self, load_balancer: &str, id: &str) -> bool {
        match self.load_balancers.get(load_balancer) {
            Some(Balancer::Known(targets)) => targets.get(id).is_some_and(|target| target.deregistering),
            Some(Balancer::Unknown) | None => true,
            Some(Balancer::Missing) => false,
        }
    }
}

/// Asks about all that the groups of one account and region name.
pub(crate) async fn gather(
    ec2: &dyn Machines,
    elb: &dyn Balancers,
    call: &Call,
    groups: &[GroupRow],
) -> Result<World, ApiError> {
    let mut world = World::default();
    instances(ec2, call, &mut world).await?;
    let attached = groups.iter().flat_map(|group| group.load_balancers.iter().map(|one| &one.name));
    let of_instances = groups.iter().flat_map(|group| &group.instances).flat_map(|instance| {
        instance.load_balancers.iter().chain(instance.drains.iter().map(|drain| &drain.load_balancer))
    });
    let names: BTreeSet<&String> = attached.chain(of_instances).collect();
    for name in names {
        let balancer = balancer(elb, call, name).await;
        world.load_balancers.insert(name.clone(), balancer);
    }
    Ok(world)
}

async fn instances(ec2: &dyn Machines, call: &Call, world: &mut World) -> Result<(), ApiError> {
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let input = DescribeInstancesInput { max_results: Some(PAGE_ROWS), next_token, ..Default::default() };
        let page = ec2.describe_instances(call, input).await?;
        for instance in page.reservations.into_iter().flat_map(|reservation| reservation.instances) {
            let Some(id) = instance.instance_id else { continue };
            if let Some(token) = instance.client_token.filter(|token| !token.is_empty()) {
                world.by_token.insert(token, id.clone());
            }
            let fact = Fact {
                state: instance.state.and_then(|state| state.name).unwrap_or_else(|| "running".to_owned()),
                subnet: instance.subnet_id,
                instance_type: instance.instance_type,
                image_id: instance.image_id,
            };
            world.instances.insert(id, fact);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    Ok(())
}

async fn balancer(elb: &dyn Balancers, call: &Call, name: &str) -> Balancer {
    let input = DescribeInstanceHealthInput { load_balancer_name: name.to_owned(), ..Default::default() };
    match elb.describe_instance_health(call, input).await {
        Ok(health) => Balancer::Known(health.instance_states.into_iter().filter_map(target).collect()),
        Err(error) if is_missing(&error) => Balancer::Missing,
        Err(error) => {
            tracing::warn!(load_balancer = name, %error, "ELB does not say how instances are");
            Balancer::Unknown
        }
    }
}

/// Whether an error of ELB says that there is no such load balancer.
pub(crate) fn is_missing(error: &ApiError) -> bool {
    error.code == "AccessPointNotFoundException" || error.query_code.as_deref() == Some("LoadBalancerNotFound")
}

fn target(state: InstanceState) -> Option<(String, Target)> {
    let target = Target {
        in_service: state.state.as_deref() == Some("InService"),
        by_instance: state.reason_code.as_deref() == Some("Instance"),
        deregistering: state.description.as_deref() == Some(DEREGISTERING),
    };
    Some((state.instance_id?, target))
}
