//! Nodes' network interfaces, and the ways to instances that are run here.

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ::api::elb::{
    ApplySecurityGroupsToLoadBalancerInput, CreateLoadBalancerInput, DeleteLoadBalancerInput,
    DetachLoadBalancerFromSubnetsInput, Elb as _,
};
use ::api::{InstanceNetworks, Way};
use parking_lot::Mutex;

use super::platform::{Platform, http, platform, texts};

/// One VPC's network, whose addresses a test sets; the instances 1 and 3 are run here.
struct FakeNetworks {
    namespace: Arc<File>,
    addresses: Mutex<Vec<Ipv4Addr>>,
}

impl InstanceNetworks for FakeNetworks {
    fn way_to(&self, instance_id: &str, _: Ipv4Addr) -> Option<Way> {
        match instance_id {
            "i-00000001" => Some(Way::Vpc),
            "i-00000003" => Some(Way::Host([127, 0, 0, 3].into())),
            _ => None,
        }
    }

    fn network(&self, vpc_id: &str, address: Ipv4Addr) -> Option<Arc<File>> {
        (vpc_id == "vpc-1" && self.addresses.lock().contains(&address)).then(|| Arc::clone(&self.namespace))
    }
}

async fn platform_with_networks() -> (Platform, Arc<FakeNetworks>) {
    let p = platform().await;
    #[allow(clippy::disallowed_methods, reason = "a file that is always there")]
    let namespace = Arc::new(File::open("/proc/self/ns/net").unwrap());
    let networks = Arc::new(FakeNetworks { namespace, addresses: Mutex::default() });
    *p.ec2.networks.lock() = Some(networks.clone());
    (p.restarted().await, networks)
}

/// Description, subnet and groups of each interface.
fn interfaces(p: &Platform) -> Vec<String> {
    let all = p.ec2.interfaces.lock();
    let text = |one: &::api::ec2::NetworkInterface| {
        let groups: Vec<_> = one.groups.iter().filter_map(|group| group.group_id.clone()).collect();
        let (description, subnet) = (one.description.clone().unwrap(), one.subnet_id.clone().unwrap());
        format!("{description} {subnet} {}", groups.join(",")).trim_end().to_owned()
    };
    let mut texts: Vec<_> = all.iter().map(text).collect();
    texts.sort();
    texts
}

async fn create(p: &Platform, subnets: &[&str]) {
    let input = CreateLoadBalancerInput {
        load_balancer_name: "web".into(),
        subnets: texts(subnets),
        security_groups: texts(&["sg-1"]),
        listeners: vec![http(80, 8080)],
        ..Default::default()
    };
    p.elb.create_load_balancer(&p.call, input).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_has_a_network_interface_in_its_subnet_for_as_long_as_it_stands() {
    let (p, _) = platform_with_networks().await;
    create(&p, &["subnet-a", "subnet-b"]).await;
    assert_eq!(interfaces(&p), ["ELB web subnet-a sg-1", "ELB web subnet-b sg-1"]);
    p.ec2.add_group("sg-2", "front", Vec::new());
    let (load_balancer_name, security_groups) = ("web".into(), texts(&["sg-2"]));
    let apply = ApplySecurityGroupsToLoadBalancerInput { load_balancer_name, security_groups };
    p.elb.apply_security_groups_to_load_balancer(&p.call, apply).await.unwrap();
    let detach = DetachLoadBalancerFromSubnetsInput { load_balancer_name: "web".into(), subnets: texts(&["subnet-a"]) };
    p.elb.detach_load_balancer_from_subnets(&p.call, detach).await.unwrap();
    assert_eq!(interfaces(&p), ["ELB web subnet-b sg-2"]);
    p.elb.delete_load_balancer(&p.call, DeleteLoadBalancerInput { load_balancer_name: "web".into() }).await.unwrap();
    assert_eq!(interfaces(&p), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_or_ec2_kept_from_being_done_is_done_later() {
    let (p, _) = platform_with_networks().await;
    create(&p, &["subnet-a"]).await;
    // As if the process had died between the row and the interface.
    p.ec2.interfaces.lock().clear();
    let p = p.restarted().await;
    assert_eq!(interfaces(&p), ["ELB web subnet-a sg-1"]);
    *p.ec2.down.lock() = true;
    p.elb.delete_load_balancer(&p.call, DeleteLoadBalancerInput { load_balancer_name: "web".into() }).await.unwrap();
    assert_eq!(interfaces(&p).len(), 1);
    *p.ec2.down.lock() = false;
    let p = p.restarted().await;
    assert_eq!(interfaces(&p), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn only_instances_that_run_in_the_vpc_are_behind_the_nodes_egress() {
    let (p, networks) = platform_with_networks().await;
    create(&p, &["subnet-a", "subnet-b"]).await;
    p.register(&["i-00000001", "i-00000002", "i-00000003"]).await.unwrap();
    let served = p.plane.served().load_balancers[0].clone();
    let targets: Vec<_> =
        served.targets.iter().map(|target| (target.address.to_string(), target.behind_egress)).collect();
    let expected = [("10.0.0.1", true), ("10.0.0.2", false), ("127.0.0.3", false)];
    assert_eq!(targets, expected.map(|(address, behind)| (address.to_owned(), behind)));
    assert!(served.nodes.iter().all(|node| node.egress.is_none()), "the VPC's network is not there yet");
    *networks.addresses.lock() = vec![[10, 0, 9, 1].into(), [10, 0, 9, 2].into()];
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let nodes = p.plane.served().load_balancers[0].nodes.clone();
    let sources: Vec<_> = nodes.iter().map(|node| node.egress.as_ref().unwrap().source.to_string()).collect();
    assert_eq!(sources, ["10.0.9.1", "10.0.9.2"]);
}
