//! A CloudFormation over a cloud in memory, with its clock in hand.
//!
//! Invariant: a test's service can be dropped and opened again on the same store at any moment.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use api::cloudformation::{
    Cloudformation as _, CreateStackInput, DeleteStackInput, DescribeStackEventsInput, DescribeStackResourceInput,
    DescribeStackResourcesInput, DescribeStacksInput, Parameter, SignalResourceInput, Stack, StackEvent, StackResource,
    UpdateStackInput,
};
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use cloudformation::{CloudFormation, CloudFormationOptions};
use host::sim::{SimClock, SimIds};
use host::{Clock, Timestamp};
use store::Store;
use wire::ApiError;

use crate::cloud::Cloud;

pub(crate) const NOON: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) struct Platform {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Store,
    pub(crate) service: CloudFormation,
    ids: Arc<SimIds>,
}

impl Platform {
    pub(crate) async fn open() -> Self {
        let clock = Arc::new(SimClock::on_tokio(NOON));
        let store = Store::in_memory().unwrap();
        let ids = Arc::new(SimIds::new(host::sim::Seed(7)));
        let cloud = Cloud::new(clock.clone());
        let service = service(&store, &clock, &ids, &cloud).await;
        Self { cloud, clock, store, service, ids }
    }

    /// Drops the service as a crash would, and opens it again on the same store.
    pub(crate) async fn restart(&mut self) {
        self.service.close().await;
        self.service = service(&self.store, &self.clock, &self.ids, &self.cloud).await;
    }

    pub(crate) async fn create(&self, name: &str, template: &str) -> Result<String, ApiError> {
        let input = CreateStackInput {
            stack_name: name.into(),
            template_body: Some(template.into()),
            ..CreateStackInput::default()
        };
        self.create_as(input).await
    }

    pub(crate) async fn create_as(&self, input: CreateStackInput) -> Result<String, ApiError> {
        Ok(self.service.create_stack(&call(), input).await?.stack_id.unwrap())
    }

    pub(crate) async fn update(&self, name: &str, template: &str) -> Result<String, ApiError> {
        let input = UpdateStackInput {
            stack_name: name.into(),
            template_body: Some(template.into()),
            ..UpdateStackInput::default()
        };
        Ok(self.service.update_stack(&call(), input).await?.stack_id.unwrap())
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), ApiError> {
        let input = DeleteStackInput { stack_name: name.into(), ..DeleteStackInput::default() };
        self.service.delete_stack(&call(), input).await
    }

    pub(crate) async fn stack(&self, name: &str) -> Result<Stack, ApiError> {
        let input = DescribeStacksInput { stack_name: Some(name.into()), next_token: None };
        Ok(self.service.describe_stacks(&call(), input).await?.stacks.remove(0))
    }

    /// Waits until nothing is being done to a stack; its status then.
    pub(crate) async fn settled(&self, name: &str) -> String {
        for _ in 0..200_000 {
            let stack = self.stack(name).await.unwrap();
            if !stack.stack_status.ends_with("_IN_PROGRESS") {
                return stack.stack_status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} does not come to rest: {:?}", self.stack(name).await);
    }

    pub(crate) async fn resources(&self, name: &str) -> Vec<StackResource> {
        let input =
            DescribeStackResourcesInput { stack_name: Some(name.into()), ..DescribeStackResourcesInput::default() };
        self.service.describe_stack_resources(&call(), input).await.unwrap().stack_resources
    }

    pub(crate) async fn physical(&self, name: &str, logical: &str) -> String {
        let input = DescribeStackResourceInput { stack_name: name.into(), logical_resource_id: logical.into() };
        let found = self.service.describe_stack_resource(&call(), input).await.unwrap();
        found.stack_resource_detail.unwrap().physical_resource_id.unwrap()
    }

    /// Events, oldest first.
    pub(crate) async fn events(&self, name: &str) -> Vec<StackEvent> {
        let (mut all, mut next_token) = (Vec::new(), None);
        loop {
            let input = DescribeStackEventsInput { stack_name: name.into(), next_token };
            let page = self.service.describe_stack_events(&call(), input).await.unwrap();
            all.extend(page.stack_events);
            next_token = page.next_token;
            if next_token.is_none() {
                all.reverse();
                return all;
            }
        }
    }

    /// The reasons that a resource's events give.
    pub(crate) async fn reasons(&self, name: &str, logical: &str) -> Vec<String> {
        let of_resource = |event: &StackEvent| event.logical_resource_id.as_deref() == Some(logical);
        let events = self.events(name).await.into_iter().filter(of_resource);
        events.filter_map(|event| event.resource_status_reason).collect()
    }

    pub(crate) async fn output(&self, name: &str, key: &str) -> Option<String> {
        let outputs = self.stack(name).await.unwrap().outputs;
        outputs.into_iter().find(|output| output.output_key.as_deref() == Some(key))?.output_value
    }

    pub(crate) async fn signal(
        &self,
        name: &str,
        logical: &str,
        unique_id: &str,
        status: &str,
    ) -> Result<(), ApiError> {
        let input = SignalResourceInput {
            stack_name: name.into(),
            logical_resource_id: logical.into(),
            unique_id: unique_id.into(),
            status: status.into(),
        };
        self.service.signal_resource(&call(), input).await
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now().0
    }
}

async fn service(store: &Store, clock: &Arc<SimClock>, ids: &Arc<SimIds>, cloud: &Arc<Cloud>) -> CloudFormation {
    let options =
        CloudFormationOptions { store: store.clone(), clock: clock.clone(), ids: ids.clone(), platform: cloud.clone() };
    CloudFormation::open(options).await.unwrap()
}

pub(crate) fn call() -> Call {
    Call {
        identity: Identity {
            principal: Principal::Account { access_key_id: "AKIA".into() },
            account: AccountId::parse("123456789012").unwrap(),
        },
        region: Region::parse("eu-west-1").unwrap(),
        request_id: RequestId("test".into()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol: Protocol::Query,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

pub(crate) fn parameter(key: &str, value: &str) -> Parameter {
    Parameter { parameter_key: Some(key.into()), parameter_value: Some(value.into()), ..Parameter::default() }
}
