//! Zones, subnets, security groups, and the addresses that nodes get.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ::api::ec2::{IpPermission, IpRange, Ipv6Range, UserIdGroupPair};
use ::api::elb::*;
use host::sim::{Rng, Seed, for_each_seed};
use wire::ApiError;

use super::platform::*;
use crate::rows::{AttributesRow, ListenerRow, LoadBalancerRow, Protocol, ZoneRow};
use crate::zones::{Taken, Zone, Zones};

fn in_subnets(name: &str, subnets: &[&str]) -> CreateLoadBalancerInput {
    CreateLoadBalancerInput {
        load_balancer_name: name.into(),
        subnets: texts(subnets),
        listeners: vec![http(80, 80)],
        ..Default::default()
    }
}

async fn attach(p: &Platform, subnets: &[&str]) -> Result<Vec<String>, ApiError> {
    let input = AttachLoadBalancerToSubnetsInput { load_balancer_name: "web".into(), subnets: texts(subnets) };
    Ok(p.elb.attach_load_balancer_to_subnets(&p.call, input).await?.subnets)
}

async fn detach(p: &Platform, subnets: &[&str]) -> Result<Vec<String>, ApiError> {
    let input = DetachLoadBalancerFromSubnetsInput { load_balancer_name: "web".into(), subnets: texts(subnets) };
    Ok(p.elb.detach_load_balancer_from_subnets(&p.call, input).await?.subnets)
}

async fn enable(p: &Platform, zones: &[&str]) -> Result<Vec<String>, ApiError> {
    let input = EnableAvailabilityZonesForLoadBalancerInput {
        load_balancer_name: "web".into(),
        availability_zones: texts(zones),
    };
    Ok(p.elb.enable_availability_zones_for_load_balancer(&p.call, input).await?.availability_zones)
}

async fn disable(p: &Platform, zones: &[&str]) -> Result<Vec<String>, ApiError> {
    let input = DisableAvailabilityZonesForLoadBalancerInput {
        load_balancer_name: "web".into(),
        availability_zones: texts(zones),
    };
    Ok(p.elb.disable_availability_zones_for_load_balancer(&p.call, input).await?.availability_zones)
}

async fn apply(p: &Platform, groups: &[&str]) -> Result<Vec<String>, ApiError> {
    let input =
        ApplySecurityGroupsToLoadBalancerInput { load_balancer_name: "web".into(), security_groups: texts(groups) };
    Ok(p.elb.apply_security_groups_to_load_balancer(&p.call, input).await?.security_groups)
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_stands_in_zones_or_in_subnets() {
    let p = platform().await;
    let create = async |input| p.elb.create_load_balancer(&p.call, input).await;
    let sentence = "Either AvailabilityZones or SubnetIds must be specified";
    refused(create(in_subnets("web", &[])).await, "ValidationError", sentence);
    let both =
        CreateLoadBalancerInput { availability_zones: texts(&["us-east-1a"]), ..in_subnets("web", &["subnet-a"]) };
    let sentence = "Only one of SubnetIds or AvailabilityZones parameter may be specified";
    refused(create(both).await, "ValidationError", sentence);
    for zone in ["us-east-1z", "eu-west-1a"] {
        let elsewhere = CreateLoadBalancerInput { availability_zones: texts(&[zone]), ..in_subnets("web", &[]) };
        refused_with(create(elsewhere).await, "ValidationError", "zones of this region are: us-east-1a, us-east-1b");
    }
    let absent = create(in_subnets("web", &["subnet-0"])).await;
    refused(absent, "SubnetNotFound", "The subnet ID 'subnet-0' does not exist");
    refused_with(create(in_subnets("web", &["subnet-a", "subnet-x"])).await, "InvalidSubnet", "one VPC");
    let sentence = "ELB cannot be attached to multiple subnets in the same AZ.";
    refused(create(in_subnets("web", &["subnet-a", "subnet-a2"])).await, "InvalidConfigurationRequest", sentence);
    create(in_subnets("web", &["subnet-x"])).await.unwrap();
    let described = p.describe("web").await;
    assert_eq!((described.vpc_id.as_deref(), described.availability_zones), (Some("vpc-2"), texts(&["us-east-1b"])));
}

#[tokio::test(start_paused = true)]
async fn subnets_are_attached_and_detached_but_for_the_last() {
    let p = platform().await;
    p.elb.create_load_balancer(&p.call, in_subnets("web", &["subnet-a2"])).await.unwrap();
    assert_eq!(attach(&p, &["subnet-b", "subnet-a2"]).await.unwrap(), ["subnet-a2", "subnet-b"]);
    assert_eq!(p.plane.served().load_balancers[0].nodes.len(), 2);
    refused_with(attach(&p, &["subnet-a"]).await, "InvalidConfigurationRequest", "multiple subnets in the same AZ");
    refused_with(attach(&p, &["subnet-x"]).await, "InvalidSubnet", "one VPC");
    refused_with(attach(&p, &["subnet-0"]).await, "SubnetNotFound", "subnet-0");
    assert_eq!(detach(&p, &["subnet-a2"]).await.unwrap(), ["subnet-b"]);
    refused_with(detach(&p, &["subnet-b"]).await, "InvalidConfigurationRequest", "at least one subnet");
    assert_eq!(p.plane.served().load_balancers[0].nodes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn zones_are_enabled_and_disabled_but_for_the_last() {
    let p = platform().await;
    p.web().await;
    let before = p.plane.served().load_balancers[0].nodes.clone();
    assert_eq!(disable(&p, &["us-east-1a"]).await.unwrap(), ["us-east-1b"]);
    let left = p.plane.served().load_balancers[0].nodes.clone();
    assert_eq!(left, before[1..]);
    refused_with(disable(&p, &["us-east-1b"]).await, "InvalidConfigurationRequest", "at least one Availability Zone");
    refused_with(disable(&p, &["us-east-1z"]).await, "ValidationError", "us-east-1z");
    assert_eq!(enable(&p, &["us-east-1a", "us-east-1b"]).await.unwrap(), ["us-east-1b", "us-east-1a"]);
    refused_with(enable(&p, &["eu-west-1a"]).await, "ValidationError", "eu-west-1a");
    p.elb.delete_load_balancer(&p.call, DeleteLoadBalancerInput { load_balancer_name: "web".into() }).await.unwrap();
    p.elb.create_load_balancer(&p.call, in_subnets("web", &["subnet-x"])).await.unwrap();
    refused_with(enable(&p, &["us-east-1a"]).await, "InvalidSubnet", "one VPC");
}

#[tokio::test(start_paused = true)]
async fn security_groups_exist_and_are_five_at_most() {
    let p = platform().await;
    p.web().await;
    refused(apply(&p, &["sg-0"]).await, "InvalidSecurityGroup", "One or more security groups are invalid: sg-0");
    refused_with(apply(&p, &[]).await, "InvalidConfigurationRequest", "At least one");
    let six: Vec<String> = (10..16).map(|number| format!("sg-{number}")).collect();
    for id in &six {
        p.ec2.add_group(id, id, Vec::new());
    }
    let six: Vec<&str> = six.iter().map(String::as_str).collect();
    refused_with(apply(&p, &six).await, "InvalidConfigurationRequest", "at most 5");
    assert_eq!(apply(&p, &["sg-1", "sg-10", "sg-1"]).await.unwrap(), ["sg-1", "sg-10"]);
    let described = p.describe("web").await;
    let source = SourceSecurityGroup { group_name: Some("web-sg".into()), owner_alias: Some(ACCOUNT.into()) };
    assert_eq!((described.security_groups.len(), described.source_security_group), (2, Some(source)));
    let absent = CreateLoadBalancerInput { security_groups: texts(&["sg-0"]), ..in_subnets("new", &["subnet-a"]) };
    refused_with(p.elb.create_load_balancer(&p.call, absent).await, "InvalidSecurityGroup", "sg-0");
}

#[tokio::test(start_paused = true)]
async fn rules_of_security_groups_decide_who_may_connect() {
    let p = platform().await;
    p.web().await;
    let anybody = p.plane.served().load_balancers[0].access.clone();
    assert_eq!((anybody.len(), anybody[0].first_port, anybody[0].from.prefix), (2, 80, 0));
    let member = ::api::ec2::GroupIdentifier { group_id: Some("sg-1".into()), ..Default::default() };
    p.ec2.change("i-00000002", |instance| instance.security_groups = vec![member]);
    let range = |cidr: &str| IpRange { cidr_ip: Some(cidr.into()), ..Default::default() };
    let tcp = |first, last| IpPermission {
        ip_protocol: Some("tcp".into()),
        from_port: Some(first),
        to_port: Some(last),
        ..Default::default()
    };
    let rules = vec![
        IpPermission {
            ip_ranges: vec![range("10.0.0.0/8")],
            ipv6_ranges: vec![Ipv6Range { cidr_ipv6: Some("2001:db8::/32".into()), ..Default::default() }],
            ..tcp(80, 81)
        },
        IpPermission {
            user_id_group_pairs: vec![UserIdGroupPair { group_id: Some("sg-1".into()), ..Default::default() }],
            ..tcp(443, 443)
        },
        IpPermission { ip_protocol: Some("-1".into()), ip_ranges: vec![range("192.0.2.1/32")], ..Default::default() },
        // What is not understood opens nothing.
        IpPermission { ip_protocol: Some("udp".into()), ip_ranges: vec![range("0.0.0.0/0")], ..tcp(80, 80) },
        IpPermission { ip_ranges: vec![range("0.0.0.0/33"), range("anywhere")], ..tcp(80, 80) },
    ];
    p.ec2.add_group("sg-2", "front", rules);
    apply(&p, &["sg-2"]).await.unwrap();
    let told: Vec<_> = p.plane.served().load_balancers[0]
        .access
        .iter()
        .map(|rule| format!("{}/{} {}-{}", rule.from.address, rule.from.prefix, rule.first_port, rule.last_port))
        .collect();
    assert_eq!(told, ["10.0.0.0/8 80-81", "2001:db8::/32 80-81", "10.0.0.2/32 443-443", "192.0.2.1/32 0-65535"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_kept_over_restarts_and_other_load_balancers() {
    let p = platform().await;
    p.web().await;
    let nodes = |p: &Platform| {
        let served = p.plane.served().load_balancers;
        served.iter().find(|one| &*one.name == "web").unwrap().nodes.clone()
    };
    let before = nodes(&p);
    let addresses: Vec<_> = before.iter().map(|node| node.address.to_string()).collect();
    assert_eq!(addresses, ["127.16.0.1", "127.17.0.1"]);
    p.create("api", vec![http(80, 80)]).await.unwrap();
    let p = p.restarted().await;
    assert_eq!(nodes(&p), before);
}

#[tokio::test(start_paused = true)]
async fn load_balancers_share_an_address_on_other_ports_when_there_is_no_more() {
    let one = |name: &str, last: u8| Zone {
        name: name.into(),
        addresses: vec![IpAddr::from([127, 99, 0, last])],
        internal_addresses: Vec::new(),
    };
    let plane = std::sync::Arc::new(super::fakes::FakePlane::default());
    let p = platform_on(vec![one("us-east-1a", 1), one("us-east-1b", 2)], plane.clone(), plane).await;
    p.create("web", vec![http(80, 80)]).await.unwrap();
    p.create("api", vec![http(81, 80)]).await.unwrap();
    let answer = p.create("more", vec![http(80, 80)]).await;
    refused_with(answer, "InvalidConfigurationRequest", "has no address left on which port 80 is free");
    let input = CreateLoadBalancerListenersInput { load_balancer_name: "api".into(), listeners: vec![http(80, 80)] };
    let answer = p.elb.create_load_balancer_listeners(&p.call, input).await;
    refused_with(
        answer,
        "InvalidConfigurationRequest",
        "Port 80 of address 127.99.0.1 is taken by load balancer 'web'",
    );
}

fn row(id: u64, ports: &[u16]) -> LoadBalancerRow {
    let listener = |port: &u16| ListenerRow {
        port: *port,
        protocol: Protocol::Tcp,
        instance_port: 80,
        instance_protocol: Protocol::Tcp,
        certificate: None,
        policies: Vec::new(),
    };
    LoadBalancerRow {
        id,
        account: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: format!("lb{id}"),
        internal: false,
        created_ms: 0,
        dns_name: String::new(),
        vpc_id: None,
        zones: Vec::new(),
        security_groups: Vec::new(),
        source_group: None,
        listeners: ports.iter().map(listener).collect(),
        policies: Vec::new(),
        backend_policies: BTreeMap::new(),
        health_check: crate::health_check::unset(),
        instances: Vec::new(),
        attributes: AttributesRow::default(),
        tags: BTreeMap::new(),
    }
}

#[test]
fn whatever_comes_and_goes_no_two_load_balancers_have_a_port_of_an_address() {
    for_each_seed(200, |seed: Seed| {
        let mut rng = Rng::new(seed);
        let address = |zone: u8, last: u64| IpAddr::from([127, 99, zone, u8::try_from(last).unwrap()]);
        let zone = |number: u8, rng: &mut Rng| Zone {
            name: format!("us-east-1{}", char::from(b'a' + number)),
            addresses: (0..rng.below(4)).map(|last| address(number, last)).collect(),
            internal_addresses: (0..rng.below(3)).map(|last| address(number + 10, last)).collect(),
        };
        let configured = vec![zone(0, &mut rng), zone(1, &mut rng)];
        let zones = Zones::new(configured.clone());
        let mut rows: Vec<LoadBalancerRow> = Vec::new();
        for id in 1..40 {
            if rng.one_in(4) && !rows.is_empty() {
                let gone = rng.index(rows.len());
                rows.remove(gone);
            }
            let ports = [80 + u16::try_from(rng.below(3)).unwrap(), 443];
            let mut new = row(id, &ports[..1 + rng.index(2)]);
            new.internal = rng.one_in(2);
            let ports: Vec<_> = new.listeners.iter().map(|listener| listener.port).collect();
            for zone in &configured {
                let taken = Taken::by_others(rows.iter().chain([&new]), None);
                // Refused is fine; what is placed must hold.
                let Ok(address) = zones.allocate(&zone.name, new.internal, &ports, &taken) else { continue };
                let pool = if new.internal && !zone.internal_addresses.is_empty() {
                    &zone.internal_addresses
                } else {
                    &zone.addresses
                };
                assert!(pool.contains(&address) || (pool.is_empty() && address.is_loopback()), "{address}");
                new.zones.push(ZoneRow { zone: zone.name.clone(), subnet: None, address });
            }
            rows.push(new);
            let mut holders = HashMap::new();
            for row in &rows {
                for (zone, listener) in
                    row.zones.iter().flat_map(|zone| row.listeners.iter().map(move |one| (zone, one)))
                {
                    let other = holders.insert((zone.address, listener.port), row.id);
                    assert_eq!(other, None, "{}:{}", zone.address, listener.port);
                }
            }
        }
    });
}
