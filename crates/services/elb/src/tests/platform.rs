//! ELB among its fakes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ::api::elb::{Elb as _, *};
use ::api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};
use store::Store;
use wire::ApiError;

use super::fakes::{FakeCertificates, FakeEc2, FakePlane, FakeS3};
use crate::data_plane::DataPlane;
use crate::service::{Elb, Parts};
use crate::zones::Zone;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const CERTIFICATE: &str = "arn:aws:iam::123456789012:server-certificate/web";
/// 2026-01-01.
pub(crate) const NOW: Timestamp = Timestamp(1_767_225_600_000);

#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) elb: Elb,
    pub(crate) call: Call,
    pub(crate) ec2: Arc<FakeEc2>,
    pub(crate) certificates: Arc<FakeCertificates>,
    pub(crate) s3: Arc<FakeS3>,
    pub(crate) plane: Arc<FakePlane>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Store,
}

/// ELB with two zones of a default VPC, on the fake balancer.
pub(crate) async fn platform() -> Platform {
    let plane = Arc::new(FakePlane::default());
    *plane.now.lock() = NOW;
    platform_on(zones(), Arc::clone(&plane), plane).await
}

pub(crate) fn zones() -> Vec<Zone> {
    let zone = |name: &str| Zone { name: name.into(), addresses: Vec::new(), internal_addresses: Vec::new() };
    ["us-east-1a", "us-east-1b", "eu-west-1a"].map(zone).to_vec()
}

pub(crate) async fn platform_on(zones: Vec<Zone>, plane: Arc<FakePlane>, serves: Arc<dyn DataPlane>) -> Platform {
    let ec2 = Arc::new(FakeEc2::default());
    ec2.add_subnet("subnet-a", "vpc-1", "us-east-1a", true);
    ec2.add_subnet("subnet-b", "vpc-1", "us-east-1b", true);
    ec2.add_subnet("subnet-a2", "vpc-1", "us-east-1a", false);
    ec2.add_subnet("subnet-x", "vpc-2", "us-east-1b", false);
    ec2.add_group("sg-1", "web-sg", Vec::new());
    ec2.add_instance("i-00000001", "10.0.0.1", "us-east-1a");
    ec2.add_instance("i-00000002", "10.0.0.2", "us-east-1b");
    ec2.add_instance("i-00000003", "10.0.0.3", "us-east-1a");
    let certificates = Arc::new(FakeCertificates::new());
    let s3 = Arc::new(FakeS3::default());
    let clock = Arc::new(SimClock::on_tokio(NOW));
    let store = Store::in_memory().unwrap();
    let elb = open(&store, &clock, &ec2, &certificates, &s3, zones, serves).await;
    Platform { elb, call: call(ACCOUNT, "us-east-1"), ec2, certificates, s3, plane, clock, store }
}

pub(crate) async fn open(
    store: &Store,
    clock: &Arc<SimClock>,
    ec2: &Arc<FakeEc2>,
    certificates: &Arc<FakeCertificates>,
    s3: &Arc<FakeS3>,
    zones: Vec<Zone>,
    plane: Arc<dyn DataPlane>,
) -> Elb {
    let parts = Parts {
        store: store.clone(),
        clock: clock.clone(),
        ids: Arc::new(SimIds::new(Seed(7))),
        ec2: ec2.clone(),
        certificates: certificates.clone(),
        object_store: s3.clone(),
        zones,
        instance_networks: ec2.networks.lock().clone(),
        dns_domain: "elb.localhost".into(),
    };
    Elb::with(parts, plane).await.unwrap()
}

pub(crate) fn call(account: &str, region: &str) -> Call {
    Call {
        identity: Identity {
            principal: Principal::Account { access_key_id: "AKIA".into() },
            account: AccountId::parse(account).unwrap(),
        },
        region: Region::parse(region).unwrap(),
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

impl Platform {
    /// The process dies and another one starts on the same store and the same balancer's spool.
    pub(crate) async fn restarted(self) -> Self {
        self.elb.close().await;
        let serves: Arc<dyn DataPlane> = self.plane.clone();
        let elb = open(&self.store, &self.clock, &self.ec2, &self.certificates, &self.s3, zones(), serves).await;
        Self { elb, ..self }
    }

    pub(crate) async fn create(&self, name: &str, listeners: Vec<Listener>) -> Result<String, ApiError> {
        let input = CreateLoadBalancerInput {
            load_balancer_name: name.into(),
            availability_zones: texts(&["us-east-1a", "us-east-1b"]),
            listeners,
            ..Default::default()
        };
        self.elb.create_load_balancer(&self.call, input).await.map(|created| created.dns_name.unwrap())
    }

    /// A load balancer named `web` with an HTTP listener.
    pub(crate) async fn web(&self) {
        self.create("web", vec![http(80, 8080)]).await.unwrap();
    }

    pub(crate) async fn register(&self, ids: &[&str]) -> Result<Vec<String>, ApiError> {
        let input =
            RegisterInstancesWithLoadBalancerInput { load_balancer_name: "web".into(), instances: instances(ids) };
        let output = self.elb.register_instances_with_load_balancer(&self.call, input).await?;
        Ok(ids_of(output.instances))
    }

    pub(crate) async fn deregister(&self, ids: &[&str]) -> Result<Vec<String>, ApiError> {
        let input =
            DeregisterInstancesFromLoadBalancerInput { load_balancer_name: "web".into(), instances: instances(ids) };
        let output = self.elb.deregister_instances_from_load_balancer(&self.call, input).await?;
        Ok(ids_of(output.instances))
    }

    pub(crate) async fn describe(&self, name: &str) -> LoadBalancerDescription {
        let input = DescribeLoadBalancersInput { load_balancer_names: texts(&[name]), ..Default::default() };
        let mut output = self.elb.describe_load_balancers(&self.call, input).await.unwrap();
        output.load_balancer_descriptions.remove(0)
    }

    pub(crate) async fn modify(&self, attributes: LoadBalancerAttributes) -> Result<LoadBalancerAttributes, ApiError> {
        let input = ModifyLoadBalancerAttributesInput {
            load_balancer_name: "web".into(),
            load_balancer_attributes: attributes,
        };
        let output = self.elb.modify_load_balancer_attributes(&self.call, input).await?;
        assert_eq!(output.load_balancer_name.as_deref(), Some("web"));
        Ok(output.load_balancer_attributes.unwrap())
    }

    pub(crate) async fn attributes(&self) -> LoadBalancerAttributes {
        let input = DescribeLoadBalancerAttributesInput { load_balancer_name: "web".into() };
        let output = self.elb.describe_load_balancer_attributes(&self.call, input).await.unwrap();
        output.load_balancer_attributes.unwrap()
    }

    pub(crate) async fn policy(&self, name: &str, of: &str, given: &[(&str, &str)]) -> Result<(), ApiError> {
        let attribute = |(name, value): &(&str, &str)| PolicyAttribute {
            attribute_name: Some((*name).into()),
            attribute_value: Some((*value).into()),
        };
        let input = CreateLoadBalancerPolicyInput {
            load_balancer_name: "web".into(),
            policy_name: name.into(),
            policy_type_name: of.into(),
            policy_attributes: given.iter().map(attribute).collect(),
        };
        self.elb.create_load_balancer_policy(&self.call, input).await.map(drop)
    }

    pub(crate) async fn set_policies(&self, port: i32, names: &[&str]) -> Result<(), ApiError> {
        let input = SetLoadBalancerPoliciesOfListenerInput {
            load_balancer_name: "web".into(),
            load_balancer_port: port,
            policy_names: texts(names),
        };
        self.elb.set_load_balancer_policies_of_listener(&self.call, input).await.map(drop)
    }

    pub(crate) async fn set_backend(&self, port: i32, names: &[&str]) -> Result<(), ApiError> {
        let input = SetLoadBalancerPoliciesForBackendServerInput {
            load_balancer_name: "web".into(),
            instance_port: port,
            policy_names: texts(names),
        };
        self.elb.set_load_balancer_policies_for_backend_server(&self.call, input).await.map(drop)
    }
}

pub(crate) fn listener(protocol: &str, port: i32, instance_protocol: &str, instance_port: i32) -> Listener {
    Listener {
        protocol: protocol.into(),
        load_balancer_port: port,
        instance_protocol: (!instance_protocol.is_empty()).then(|| instance_protocol.into()),
        instance_port,
        ssl_certificate_id: None,
    }
}

pub(crate) fn http(port: i32, instance_port: i32) -> Listener {
    listener("HTTP", port, "HTTP", instance_port)
}

pub(crate) fn secure(protocol: &str, port: i32, instance_protocol: &str, instance_port: i32) -> Listener {
    let plain = listener(protocol, port, instance_protocol, instance_port);
    Listener { ssl_certificate_id: Some(CERTIFICATE.into()), ..plain }
}

pub(crate) fn instances(ids: &[&str]) -> Vec<Instance> {
    ids.iter().map(|id| Instance { instance_id: Some((*id).into()) }).collect()
}

pub(crate) fn ids_of(instances: Vec<Instance>) -> Vec<String> {
    instances.into_iter().map(|instance| instance.instance_id.unwrap()).collect()
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: Some(value.into()) }
}

/// The Query protocol's code, which is what a user sees.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str, sentence: &str) {
    let error = answer.unwrap_err();
    let seen = error.query_code.as_ref().unwrap_or(&error.code);
    assert_eq!((&**seen, error.message.as_str()), (code, sentence));
}

/// The same, where the beginning of the sentence says enough.
#[track_caller]
pub(crate) fn refused_with<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str, part: &str) {
    let error = answer.unwrap_err();
    let seen = error.query_code.as_ref().unwrap_or(&error.code);
    assert_eq!(&**seen, code, "{}", error.message);
    assert!(error.message.contains(part), "{}", error.message);
}
