//! An EC2 and an ELB in memory.
//!
//! Invariants:
//! - As AWS's: RunInstances with a token that was used launches nothing anew; a terminated instance stays to be seen.
//! - A [`Fuse`] stops the world at one call, before or after its effect, as `kill -9` would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ::api::Call;
use ::api::ec2::{self, *};
use ::api::elb;
use async_trait::async_trait;
use parking_lot::Mutex;
use wire::ApiError;

use crate::ports::{Balancers, Machines};

/// Burns at one call; what comes after waits for ever.
#[derive(Default)]
pub(crate) struct Fuse {
    left: Mutex<Option<(u64, bool)>>,
    pub(crate) burnt: tokio::sync::Notify,
}

impl Fuse {
    /// Burns at the call after so many; `effective` if that call still has its effect.
    pub(crate) fn light(&self, calls: u64, effective: bool) {
        *self.left.lock() = Some((calls, effective));
    }

    pub(crate) fn put_out(&self) {
        *self.left.lock() = None;
    }

    /// Whether this is the call; then whether it has its effect.
    fn burns(&self) -> Option<bool> {
        let mut left = self.left.lock();
        let (calls, effective) = left.as_mut()?;
        if *calls > 0 {
            *calls -= 1;
            return None;
        }
        let effective = std::mem::replace(effective, false);
        Some(effective)
    }

    async fn stop(&self) -> ! {
        self.burnt.notify_one();
        std::future::pending::<()>().await;
        unreachable!("nobody wakes a process that was killed")
    }

    /// Answers a call, unless the world stops.
    async fn through<T>(&self, effect: impl FnOnce() -> T) -> T {
        match self.burns() {
            None => effect(),
            Some(true) => {
                effect();
                self.stop().await
            }
            Some(false) => self.stop().await,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FakeInstance {
    pub(crate) state: String,
    pub(crate) zone: String,
    pub(crate) subnet: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) asked: RunInstancesInput,
    /// A code with which EC2 refuses to end it.
    pub(crate) refuses_to_end: Option<&'static str>,
}

#[derive(Default)]
pub(crate) struct Ec2State {
    pub(crate) instances: BTreeMap<String, FakeInstance>,
    /// Answers of the next launches: refusals first, then launches.
    pub(crate) refusals: VecDeque<ApiError>,
    /// Zones that refuse all launches.
    pub(crate) full_zones: BTreeSet<String>,
    /// Whether what is launched stays pending.
    pub(crate) slow: bool,
    /// How often a launch was asked for.
    pub(crate) runs: usize,
    /// How many launches had an effect.
    pub(crate) launched: usize,
    pub(crate) down: bool,
}

pub(crate) struct FakeEc2 {
    pub(crate) state: Mutex<Ec2State>,
    pub(crate) fuse: Arc<Fuse>,
}

fn refusal(code: &'static str, message: &str) -> ApiError {
    ApiError::sender(code, message.to_owned())
}

/// Subnets and their zones.
pub(crate) const SUBNETS: [(&str, &str); 3] =
    [("subnet-a", "us-east-1a"), ("subnet-b", "us-east-1b"), ("subnet-a2", "us-east-1a")];

impl Ec2State {
    /// One that nobody launched through Auto Scaling.
    pub(crate) fn add(&mut self, id: &str, zone: &str) {
        let instance = FakeInstance { state: "running".to_owned(), zone: zone.to_owned(), ..FakeInstance::default() };
        self.instances.insert(id.to_owned(), instance);
    }

    pub(crate) fn kill(&mut self, id: &str) {
        self.instances.get_mut(id).unwrap().state = "terminated".to_owned();
    }

    pub(crate) fn living(&self) -> Vec<String> {
        let lives = |instance: &FakeInstance| matches!(instance.state.as_str(), "pending" | "running" | "stopped");
        self.instances.iter().filter(|(_, one)| lives(one)).map(|(id, _)| id.clone()).collect()
    }

    fn run(&mut self, input: RunInstancesInput) -> Result<RunInstancesOutput, ApiError> {
        self.runs += 1;
        let token = input.client_token.clone().unwrap();
        let known = self.instances.iter().find(|(_, one)| one.token.as_ref() == Some(&token));
        if let Some((id, _)) = known {
            return Ok(output(id));
        }
        if let Some(refusal) = self.refusals.pop_front() {
            return Err(refusal);
        }
        let subnet = input.subnet_id.clone().or(input.network_interfaces.first().and_then(|one| one.subnet_id.clone()));
        let of_subnet =
            SUBNETS.iter().find(|(id, _)| Some(*id) == subnet.as_deref()).map(|(_, zone)| (*zone).to_owned());
        let zone = of_subnet.or(input.placement.as_ref().and_then(|place| place.availability_zone.clone())).unwrap();
        if self.full_zones.contains(&zone) {
            return Err(refusal("InsufficientInstanceCapacity", "There is no room in this zone."));
        }
        self.launched += 1;
        let id = format!("i-{:017x}", self.launched);
        let tags = input.tag_specifications.iter().flat_map(|specification| specification.tags.clone());
        let tags = tags.map(|tag| (tag.key.unwrap(), tag.value.unwrap())).collect();
        let state = "pending".to_owned();
        self.instances.insert(
            id.clone(),
            FakeInstance { state, zone, subnet, token: Some(token), tags, asked: input, refuses_to_end: None },
        );
        Ok(output(&id))
    }

    fn describe(&mut self, input: &DescribeInstancesInput) -> Result<DescribeInstancesOutput, ApiError> {
        if let Some(id) = input.instance_ids.iter().find(|id| !self.instances.contains_key(*id)) {
            return Err(refusal("InvalidInstanceID.NotFound", &format!("The instance ID '{id}' does not exist")));
        }
        let asked = |id: &String| input.instance_ids.is_empty() || input.instance_ids.contains(id);
        let shown = self.instances.iter().filter(|(id, _)| asked(id)).map(|(id, one)| instance(id, one)).collect();
        let output = DescribeInstancesOutput {
            reservations: vec![RunInstancesOutput { instances: shown, ..Default::default() }],
            ..Default::default()
        };
        for instance in self.instances.values_mut() {
            match instance.state.as_str() {
                "pending" if !self.slow => instance.state = "running".to_owned(),
                "shutting-down" => instance.state = "terminated".to_owned(),
                _ => {}
            }
        }
        Ok(output)
    }
}

fn output(id: &str) -> RunInstancesOutput {
    let instance = ec2::Instance { instance_id: Some(id.to_owned()), ..Default::default() };
    RunInstancesOutput { instances: vec![instance], ..Default::default() }
}

fn instance(id: &str, one: &FakeInstance) -> ec2::Instance {
    ec2::Instance {
        instance_id: Some(id.to_owned()),
        client_token: one.token.clone(),
        state: Some(ec2::InstanceState { name: Some(one.state.clone()), ..Default::default() }),
        placement: Some(Placement { availability_zone: Some(one.zone.clone()), ..Default::default() }),
        subnet_id: one.subnet.clone(),
        instance_type: Some("t2.micro".to_owned()),
        image_id: Some("ami-12345678".to_owned()),
        ..Default::default()
    }
}

impl FakeEc2 {
    async fn answer<T>(&self, effect: impl FnOnce(&mut Ec2State) -> Result<T, ApiError> + Send) -> Result<T, ApiError> {
        let answer = || {
            let mut state = self.state.lock();
            if state.down {
                return Err(ApiError::receiver("InternalError", "An internal error has occurred"));
            }
            effect(&mut state)
        };
        self.fuse.through(answer).await
    }
}

#[async_trait]
impl Machines for FakeEc2 {
    async fn create_tags(&self, _: &Call, input: CreateTagsInput) -> Result<(), ApiError> {
        self.answer(move |state| {
            for id in input.resources {
                let tags = input.tags.iter().map(|tag| (tag.key.clone().unwrap(), tag.value.clone().unwrap()));
                state.instances.get_mut(&id).unwrap().tags.extend(tags);
            }
            Ok(())
        })
        .await
    }

    async fn describe_availability_zones(
        &self,
        _: &Call,
        _: DescribeAvailabilityZonesInput,
    ) -> Result<DescribeAvailabilityZonesOutput, ApiError> {
        let zone = |name: &str| AvailabilityZone { zone_name: Some(name.to_owned()), ..Default::default() };
        let zones = ["us-east-1a", "us-east-1b", "us-east-1c"].map(zone).to_vec();
        self.answer(|_| Ok(DescribeAvailabilityZonesOutput { availability_zones: zones })).await
    }

    async fn describe_instances(
        &self,
        _: &Call,
        input: DescribeInstancesInput,
    ) -> Result<DescribeInstancesOutput, ApiError> {
        self.answer(move |state| state.describe(&input)).await
    }

    async fn describe_launch_template_versions(
        &self,
        _: &Call,
        input: DescribeLaunchTemplateVersionsInput,
    ) -> Result<DescribeLaunchTemplateVersionsOutput, ApiError> {
        let known = input.launch_template_name.as_deref().is_none_or(|name| name == "web")
            && input.launch_template_id.as_deref().is_none_or(|id| id == "lt-1");
        if !known {
            return Err(refusal("InvalidLaunchTemplateName.NotFoundException", "There is no such launch template."));
        }
        let number = match input.versions.first().map(String::as_str) {
            Some("$Latest") => 3,
            Some("$Default") | None => 1,
            Some(number) => number.parse().unwrap(),
        };
        let version = LaunchTemplateVersion {
            launch_template_id: Some("lt-1".to_owned()),
            launch_template_name: Some("web".to_owned()),
            version_number: Some(number),
            ..Default::default()
        };
        let output = DescribeLaunchTemplateVersionsOutput { launch_template_versions: vec![version], next_token: None };
        self.answer(|_| Ok(output)).await
    }

    async fn describe_subnets(&self, _: &Call, input: DescribeSubnetsInput) -> Result<DescribeSubnetsOutput, ApiError> {
        let mut subnets = Vec::new();
        for id in input.subnet_ids {
            let Some((_, zone)) = SUBNETS.iter().find(|(known, _)| *known == id) else {
                return Err(refusal("InvalidSubnetID.NotFound", &format!("The subnet ID '{id}' does not exist")));
            };
            subnets.push(Subnet {
                subnet_id: Some(id),
                availability_zone: Some((*zone).to_owned()),
                vpc_id: Some("vpc-1".to_owned()),
                ..Default::default()
            });
        }
        self.answer(|_| Ok(DescribeSubnetsOutput { subnets, next_token: None })).await
    }

    async fn run_instances(&self, _: &Call, input: RunInstancesInput) -> Result<RunInstancesOutput, ApiError> {
        self.answer(move |state| state.run(input)).await
    }

    async fn terminate_instances(
        &self,
        _: &Call,
        input: TerminateInstancesInput,
    ) -> Result<TerminateInstancesOutput, ApiError> {
        self.answer(move |state| {
            let refuses = |id: &String| state.instances[id].refuses_to_end;
            if let Some(code) = input.instance_ids.iter().find_map(refuses) {
                return Err(refusal(code, "It is not ended."));
            }
            for id in input.instance_ids {
                let instance = state.instances.get_mut(&id).unwrap();
                if instance.state != "terminated" {
                    instance.state = "shutting-down".to_owned();
                }
            }
            Ok(TerminateInstancesOutput::default())
        })
        .await
    }
}

#[derive(Default)]
pub(crate) struct FakeBalancer {
    /// Registered instances.
    pub(crate) registered: BTreeSet<String>,
    /// Those of them that fail their health checks.
    pub(crate) failing: BTreeSet<String>,
    /// Deregistered ones with connections.
    pub(crate) draining: BTreeSet<String>,
    /// Whether deregistering drains.
    pub(crate) drains: bool,
}

#[derive(Default)]
pub(crate) struct FakeElb {
    pub(crate) balancers: Mutex<BTreeMap<String, FakeBalancer>>,
    /// What was registered and deregistered, in order.
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) down: Mutex<bool>,
    pub(crate) fuse: Arc<Fuse>,
}

impl FakeElb {
    async fn answer<T>(&self, name: &str, effect: impl FnOnce(&mut FakeBalancer) -> T + Send) -> Result<T, ApiError> {
        let answer = || {
            if *self.down.lock() {
                return Err(ApiError::receiver("InternalFailure", "no"));
            }
            let mut balancers = self.balancers.lock();
            let balancer = balancers.get_mut(name).ok_or_else(|| {
                elb::errors::access_point_not_found_exception(format!(
                    "There is no ACTIVE Load Balancer named '{name}'"
                ))
            });
            balancer.map(effect)
        };
        self.fuse.through(answer).await
    }
}

fn health(id: &str, state: &str, reason: &str, description: &str) -> elb::InstanceState {
    elb::InstanceState {
        instance_id: Some(id.to_owned()),
        state: Some(state.to_owned()),
        reason_code: Some(reason.to_owned()),
        description: Some(description.to_owned()),
    }
}

#[async_trait]
impl Balancers for FakeElb {
    async fn deregister_instances_from_load_balancer(
        &self,
        _: &Call,
        input: elb::DeregisterInstancesFromLoadBalancerInput,
    ) -> Result<elb::DeregisterInstancesFromLoadBalancerOutput, ApiError> {
        let ids: Vec<_> = input.instances.into_iter().filter_map(|instance| instance.instance_id).collect();
        let name = input.load_balancer_name;
        self.log.lock().push(format!("-{name} {}", ids.join(" ")));
        self.answer(&name, move |balancer| {
            for id in ids {
                if balancer.registered.remove(&id) && balancer.drains {
                    balancer.draining.insert(id);
                }
            }
            Default::default()
        })
        .await
    }

    async fn describe_instance_health(
        &self,
        _: &Call,
        input: elb::DescribeInstanceHealthInput,
    ) -> Result<elb::DescribeInstanceHealthOutput, ApiError> {
        self.answer(&input.load_balancer_name, |balancer| {
            let registered = balancer.registered.iter().map(|id| match balancer.failing.contains(id) {
                true => health(id, "OutOfService", "Instance", "Instance has failed."),
                false => health(id, "InService", "N/A", "N/A"),
            });
            let draining = balancer.draining.iter();
            let draining =
                draining.map(|id| health(id, "InService", "N/A", "Instance deregistration currently in progress."));
            elb::DescribeInstanceHealthOutput { instance_states: registered.chain(draining).collect() }
        })
        .await
    }

    async fn describe_load_balancers(
        &self,
        _: &Call,
        input: elb::DescribeLoadBalancersInput,
    ) -> Result<elb::DescribeLoadBalancersOutput, ApiError> {
        for name in &input.load_balancer_names {
            self.answer(name, |_| ()).await?;
        }
        Ok(Default::default())
    }

    async fn register_instances_with_load_balancer(
        &self,
        _: &Call,
        input: elb::RegisterInstancesWithLoadBalancerInput,
    ) -> Result<elb::RegisterInstancesWithLoadBalancerOutput, ApiError> {
        let ids: Vec<_> = input.instances.into_iter().filter_map(|instance| instance.instance_id).collect();
        let name = input.load_balancer_name;
        self.log.lock().push(format!("+{name} {}", ids.join(" ")));
        self.answer(&name, move |balancer| {
            for id in ids {
                balancer.draining.remove(&id);
                balancer.registered.insert(id);
            }
            Default::default()
        })
        .await
    }
}
