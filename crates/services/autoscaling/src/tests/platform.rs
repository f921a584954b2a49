//! The service on a store in memory, with a clock that stands and ids that repeat.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ::api::autoscaling::{Autoscaling as _, *};
use ::api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use host::sim::{Seed, SimClock, SimIds};
use host::{Clock, Timestamp};
use parking_lot::Mutex;
use store::Store;
use wire::ApiError;

use super::fakes::{Ec2State, FakeBalancer, FakeEc2, FakeElb, Fuse};
use crate::service::{Autoscaling, Parts};

/// 2026-01-01.
pub(crate) const NOW: Timestamp = Timestamp(1_767_225_600_000);

pub(crate) struct Platform {
    pub(crate) autoscaling: Autoscaling,
    pub(crate) store: Store,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) ids: Arc<SimIds>,
    pub(crate) ec2: Arc<FakeEc2>,
    pub(crate) elb: Arc<FakeElb>,
    pub(crate) call: Call,
}

pub(crate) fn call() -> Call {
    Call {
        identity: Identity {
            principal: Principal::Account { access_key_id: "AKIA".into() },
            account: AccountId::parse("123456789012").unwrap(),
        },
        region: Region::parse("us-east-1").unwrap(),
        request_id: RequestId("the-id".into()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol: Protocol::Query,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

pub(crate) async fn platform() -> Platform {
    seeded(Seed(7), Arc::new(SimClock::frozen(NOW))).await
}

/// A platform with a launch configuration `lc` and a load balancer `elb`.
pub(crate) async fn seeded(seed: Seed, clock: Arc<SimClock>) -> Platform {
    let fuse = Arc::new(Fuse::default());
    let store = Store::in_memory().unwrap();
    let ids = Arc::new(SimIds::new(seed));
    let ec2 = Arc::new(FakeEc2 { state: Mutex::new(Ec2State::default()), fuse: Arc::clone(&fuse) });
    let elb = Arc::new(FakeElb { fuse, ..Default::default() });
    elb.balancers.lock().insert("elb".to_owned(), FakeBalancer::default());
    let autoscaling = service(&store, &clock, &ids, &ec2, &elb).await;
    let platform = Platform { autoscaling, store, clock, ids, ec2, elb, call: call() };
    platform.autoscaling.create_launch_configuration(&platform.call, configuration("lc")).await.unwrap();
    platform
}

async fn service(
    store: &Store,
    clock: &Arc<SimClock>,
    ids: &Arc<SimIds>,
    ec2: &Arc<FakeEc2>,
    elb: &Arc<FakeElb>,
) -> Autoscaling {
    let parts = Parts {
        store: store.clone(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ids: Arc::clone(ids) as Arc<dyn host::Ids>,
        ec2: Arc::clone(ec2) as Arc<dyn crate::ports::Machines>,
        elb: Arc::clone(elb) as Arc<dyn crate::ports::Balancers>,
    };
    Autoscaling::at_rest(parts).await.unwrap()
}

pub(crate) fn configuration(name: &str) -> CreateLaunchConfigurationInput {
    CreateLaunchConfigurationInput {
        launch_configuration_name: name.to_owned(),
        image_id: Some("ami-12345678".to_owned()),
        instance_type: Some("t2.micro".to_owned()),
        ..Default::default()
    }
}

/// A group `g` in one zone.
pub(crate) fn group(min: i32, max: i32, desired: i32) -> CreateAutoScalingGroupInput {
    CreateAutoScalingGroupInput {
        auto_scaling_group_name: "g".to_owned(),
        launch_configuration_name: Some("lc".to_owned()),
        min_size: min,
        max_size: max,
        desired_capacity: Some(desired),
        availability_zones: vec!["us-east-1a".to_owned()],
        ..Default::default()
    }
}

/// The same behind the load balancer.
pub(crate) fn balanced(min: i32, max: i32, desired: i32) -> CreateAutoScalingGroupInput {
    CreateAutoScalingGroupInput {
        load_balancer_names: vec!["elb".to_owned()],
        health_check_type: Some("ELB".to_owned()),
        health_check_grace_period: Some(10),
        ..group(min, max, desired)
    }
}

impl Platform {
    pub(crate) async fn create(&self, input: CreateAutoScalingGroupInput) {
        self.autoscaling.create_auto_scaling_group(&self.call, input).await.unwrap();
        self.settle().await;
    }

    /// The service killed and started again on what is durable.
    pub(crate) async fn restart(&mut self) {
        self.autoscaling = service(&self.store, &self.clock, &self.ids, &self.ec2, &self.elb).await;
    }

    /// Looks after groups until nothing changes, and EC2 has nothing new to say either.
    pub(crate) async fn settle(&self) {
        let mut still = 0;
        for _ in 0..200 {
            still = if self.autoscaling.tick().await { 0 } else { still + 1 };
            if still == 2 {
                return;
            }
        }
        panic!("the group never settles: {:#?}", self.autoscaling.all_groups().await);
    }

    /// Lets time pass in steps of a second, with a look after each.
    pub(crate) async fn advance_s(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            self.settle().await;
        }
    }

    pub(crate) async fn describe(&self) -> AutoScalingGroup {
        let input = DescribeAutoScalingGroupsInput::default();
        let output = self.autoscaling.describe_auto_scaling_groups(&self.call, input).await.unwrap();
        output.auto_scaling_groups.into_iter().find(|group| group.auto_scaling_group_name == "g").unwrap()
    }

    /// The group's instances by id and state, `InService`.
    pub(crate) async fn states(&self) -> Vec<(String, String)> {
        let instances = self.describe().await.instances;
        instances.into_iter().map(|instance| (instance.instance_id, instance.lifecycle_state)).collect()
    }

    /// Ids of the instances that serve.
    pub(crate) async fn serving(&self) -> Vec<String> {
        self.states().await.into_iter().filter(|(_, state)| state == "InService").map(|(id, _)| id).collect()
    }

    /// Activities, newest first.
    pub(crate) async fn activities(&self) -> Vec<Activity> {
        let input = DescribeScalingActivitiesInput::default();
        self.autoscaling.describe_scaling_activities(&self.call, input).await.unwrap().activities
    }

    pub(crate) async fn set_desired(&self, desired: i32) {
        let input = SetDesiredCapacityInput {
            auto_scaling_group_name: "g".to_owned(),
            desired_capacity: desired,
            ..Default::default()
        };
        self.autoscaling.set_desired_capacity(&self.call, input).await.unwrap();
    }

    pub(crate) async fn suspend(&self, process: &str) {
        let input = SuspendProcessesInput {
            auto_scaling_group_name: "g".to_owned(),
            scaling_processes: vec![process.to_owned()],
        };
        self.autoscaling.suspend_processes(&self.call, input).await.unwrap();
    }

    pub(crate) async fn resume(&self, process: &str) {
        let input = ResumeProcessesInput {
            auto_scaling_group_name: "g".to_owned(),
            scaling_processes: vec![process.to_owned()],
        };
        self.autoscaling.resume_processes(&self.call, input).await.unwrap();
    }
}

/// `Code: sentence`.
pub(crate) fn refused<T: Debug>(answer: Result<T, ApiError>) -> String {
    let error = answer.unwrap_err();
    assert!((400..500).contains(&error.status), "{error}");
    let code = error.query_code.clone().unwrap_or(error.code.clone());
    format!("{code}: {}", error.message)
}

/// The code alone.
pub(crate) fn code<T: Debug>(answer: Result<T, ApiError>) -> String {
    refused(answer).split(':').next().unwrap().to_owned()
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
