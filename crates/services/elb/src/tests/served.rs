//! From rows to what the balancer serves: properties that hold for any rows and any world.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use balancer::{BackendProtocol, Frontend};
use host::sim::{Rng, Seed, for_each_seed};

use crate::rows::{AttributesRow, HealthCheckRow, ListenerRow, LoadBalancerRow, PolicyRow, Protocol, ZoneRow};
use crate::security_policies;
use crate::to_balancer::config;
use crate::world::{Facts, GroupFacts, InstanceFacts, World};

const PROTOCOLS: [Protocol; 4] = [Protocol::Http, Protocol::Https, Protocol::Tcp, Protocol::Ssl];
const STATES: [&str; 4] = ["running", "pending", "stopped", "terminated"];

fn below(rng: &mut Rng, bound: u64) -> usize {
    usize::try_from(rng.below(bound)).unwrap()
}

fn listener(rng: &mut Rng, port: u16) -> ListenerRow {
    let protocol = *rng.pick(&PROTOCOLS).unwrap();
    let behind = if protocol.is_http() { [Protocol::Http, Protocol::Https] } else { [Protocol::Tcp, Protocol::Ssl] };
    let mut policies = Vec::new();
    if protocol.is_secure() {
        policies.push(security_policies::DEFAULT.to_owned());
    }
    if protocol.is_http() && rng.one_in(2) {
        policies.push("sticky".to_owned());
    }
    ListenerRow {
        port,
        protocol,
        instance_port: 8000 + port,
        instance_protocol: behind[below(rng, 2)],
        certificate: protocol.is_secure().then(|| format!("arn:{}", rng.below(3))),
        policies,
    }
}

fn row(rng: &mut Rng, id: u64) -> LoadBalancerRow {
    let zones = ["us-east-1a", "us-east-1b", "us-east-1c"];
    let zone = |(number, zone): (usize, &&str)| ZoneRow {
        zone: (*zone).to_owned(),
        subnet: None,
        address: std::net::IpAddr::from([127, 16, u8::try_from(number).unwrap(), u8::try_from(id).unwrap()]),
    };
    let count = 1 + below(rng, 3);
    LoadBalancerRow {
        id,
        account: "123456789012".into(),
        region: "us-east-1".into(),
        name: format!("lb{id}"),
        internal: rng.one_in(2),
        created_ms: 0,
        dns_name: format!("LB{id}-1.us-east-1.elb.localhost"),
        vpc_id: None,
        zones: zones.iter().enumerate().take(count).map(zone).collect(),
        security_groups: if rng.one_in(2) { vec!["sg-1".into()] } else { Vec::new() },
        source_group: None,
        listeners: (0..u16::try_from(rng.below(5)).unwrap()).map(|port| listener(rng, 80 + port)).collect(),
        policies: vec![
            PolicyRow {
                name: "sticky".into(),
                type_name: crate::policy_types::LB_COOKIE.into(),
                attributes: vec![("CookieExpirationPeriod".into(), rng.below(3).to_string())],
            },
            security_policies::default_policy().unwrap(),
        ],
        backend_policies: BTreeMap::new(),
        health_check: HealthCheckRow { target: "HTTP:80/x".into(), ..crate::health_check::unset() },
        instances: (0..rng.below(6)).map(|number| format!("i-{number}")).collect(),
        attributes: AttributesRow { cross_zone: rng.one_in(2), draining: rng.one_in(2), ..AttributesRow::default() },
        tags: BTreeMap::new(),
    }
}

fn world(rng: &mut Rng) -> World {
    let mut facts = Facts::default();
    for number in 0..6 {
        if rng.one_in(4) {
            continue;
        }
        let instance = InstanceFacts {
            way: None,
            address: (!rng.one_in(5)).then(|| std::net::IpAddr::from([10, 0, 0, number])),
            zone: ["us-east-1a", "us-east-1b"][below(rng, 2)].into(),
            state: (*rng.pick(&STATES).unwrap()).into(),
            vpc_id: None,
            groups: vec!["sg-1".into()],
        };
        facts.instances.insert(format!("i-{number}"), instance);
    }
    let pair = ::api::ec2::UserIdGroupPair { group_id: Some("sg-1".into()), ..Default::default() };
    let ingress = ::api::ec2::IpPermission {
        ip_protocol: Some("tcp".into()),
        from_port: Some(80),
        to_port: Some(90),
        user_id_group_pairs: vec![pair],
        ..Default::default()
    };
    facts.groups.insert("sg-1".into(), GroupFacts { name: "web".into(), ingress: vec![ingress] });
    let mut certificates = HashMap::new();
    for number in 0..2 {
        let certificate =
            balancer::Certificate { chain: vec![vec![number]], private_key: balancer::PrivateKey(vec![number]) };
        certificates.insert(format!("arn:{number}"), Arc::new(certificate));
    }
    World { regions: BTreeMap::from([(("123456789012".into(), "us-east-1".into()), facts)]), certificates }
}

#[test]
fn for_any_rows_and_world_all_is_served_that_can_be_and_nothing_else() {
    for_each_seed(300, |seed: Seed| {
        let mut rng = Rng::new(seed);
        let rows: Vec<_> = (1..4).map(|id| row(&mut rng, id)).collect();
        let world = world(&mut rng);
        let served = config(&rows, &world);
        assert_eq!(served.load_balancers.len(), rows.len());
        let facts = world.regions.values().next().unwrap();
        for (row, served) in rows.iter().zip(&served.load_balancers) {
            assert_eq!((served.id.0, &*served.name), (row.id, row.name.as_str()));
            assert_eq!(served.nodes.len(), row.zones.len());
            let can_serve =
                |one: &&ListenerRow| one.certificate.as_ref().is_none_or(|arn| world.certificates.contains_key(arn));
            let expected: Vec<_> = row.listeners.iter().filter(can_serve).collect();
            assert_eq!(served.listeners.len(), expected.len());
            for (served, row) in served.listeners.iter().zip(expected) {
                assert_eq!((served.port, served.backend.port), (row.port, row.instance_port));
                assert_eq!(matches!(served.frontend, Frontend::Https(_) | Frontend::Ssl(_)), row.protocol.is_secure());
                let is_http = matches!(served.backend.protocol, BackendProtocol::Http | BackendProtocol::Https);
                assert_eq!(is_http, row.protocol.is_http());
                assert_eq!(served.stickiness.is_some(), row.policies.iter().any(|name| name == "sticky"));
            }
            let runs = |id: &&String| {
                facts.instances.get(*id).is_some_and(|one| one.state == "running" && one.address.is_some())
            };
            let expected: Vec<_> = row.instances.iter().filter(runs).map(String::as_str).collect();
            assert_eq!(served.targets.iter().map(|target| &*target.id.0).collect::<Vec<_>>(), expected);
            assert_eq!(served.connection_draining.is_some(), row.attributes.draining);
            assert!(served.dns_names.iter().all(|name| name.chars().all(|c| !c.is_ascii_uppercase())));
            assert!(!row.security_groups.is_empty() || served.access.len() == 2 * row.listeners.len());
        }
    });
}

#[test]
fn the_same_rows_and_world_make_the_same_configuration() {
    for_each_seed(100, |seed: Seed| {
        let build = || {
            // Hash maps differ in their order from one to the next.
            let mut rng = Rng::new(seed);
            let rows: Vec<_> = (1..4).map(|id| row(&mut rng, id)).collect();
            config(&rows, &world(&mut rng))
        };
        assert_eq!(build(), build());
    });
}

#[test]
fn a_change_of_one_load_balancer_leaves_the_others_as_they_were() {
    for_each_seed(100, |seed: Seed| {
        let mut rng = Rng::new(seed);
        let mut rows: Vec<_> = (1..4).map(|id| row(&mut rng, id)).collect();
        let world = world(&mut rng);
        let before = config(&rows, &world);
        rows[1] = row(&mut rng, 2);
        let after = config(&rows, &world);
        assert_eq!(before.load_balancers[0], after.load_balancers[0]);
        assert_eq!(before.load_balancers[2], after.load_balancers[2]);
    });
}

#[test]
fn rows_of_the_first_version_are_read() {
    let old = r#"{"cross_zone":true,"access_log":{"bucket":"b","prefix":"","interval_min":5},"draining":true,
        "draining_timeout_s":300,"idle_timeout_s":60,"desync_mode":"defensive"}"#;
    let row: AttributesRow = serde_json::from_str(old).unwrap();
    assert!(row.cross_zone && row.access_log.is_some() && row.log_before.is_none());
}
