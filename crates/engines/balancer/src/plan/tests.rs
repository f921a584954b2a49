//! Plans over random configurations, which the registry's tests use too.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{
    Backend, BackendProtocol, HealthCheck, HealthCheckKind, Listener, LoadBalancer, Node, Target, TargetId,
};

/// As little of a load balancer as decides about sockets and states.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    pub(crate) id: u64,
    /// Zones with a node, as numbers; the address follows from `shared_address`.
    pub(crate) nodes: Vec<u8>,
    /// Whether its nodes have the zone's common address, rather than one of their own.
    pub(crate) shared_address: bool,
    pub(crate) listeners: Vec<(u16, bool)>,
    /// Instances, each with its zone.
    pub(crate) targets: Vec<(u8, u8)>,
    pub(crate) cross_zone: bool,
    pub(crate) draining_s: Option<u64>,
}

impl Sketch {
    pub(crate) fn load_balancer(&self) -> Arc<LoadBalancer> {
        let address = |zone: u8| match self.shared_address {
            true => IpAddr::V4(Ipv4Addr::new(127, zone, 0, 1)),
            false => IpAddr::V4(Ipv4Addr::new(127, zone, 1, u8::try_from(self.id).unwrap())),
        };
        Arc::new(LoadBalancer {
            id: LoadBalancerId(self.id),
            name: format!("lb-{}", self.id).into(),
            dns_names: vec![],
            nodes: self
                .nodes
                .iter()
                .map(|zone| Node { zone: zone_name(*zone), address: address(*zone), egress: None })
                .collect(),
            listeners: self.listeners.iter().map(|(port, http)| Arc::new(listener(*port, *http))).collect(),
            targets: self.targets.iter().map(|(id, zone)| Arc::new(target(*id, *zone))).collect(),
            health_check: HealthCheck {
                kind: HealthCheckKind::Tcp,
                port: 80,
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                unhealthy_threshold: 2,
                healthy_threshold: 2,
            },
            cross_zone: self.cross_zone,
            idle_timeout: Duration::from_secs(60),
            connection_draining: self.draining_s.map(Duration::from_secs),
            desync_mode: Default::default(),
            access: vec![],
            access_log: false,
        })
    }
}

pub(crate) fn zone_name(zone: u8) -> Arc<str> {
    format!("us-east-1{}", char::from(b'a' + zone)).into()
}

fn target(id: u8, zone: u8) -> Target {
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, zone, id));
    Target { id: TargetId(format!("i-{id}").into()), address, zone: zone_name(zone), behind_egress: false }
}

fn listener(port: u16, http: bool) -> Listener {
    let protocol = if http { BackendProtocol::Http } else { BackendProtocol::Tcp };
    Listener {
        port,
        frontend: if http { Frontend::Http } else { Frontend::Tcp },
        backend: Backend { protocol, port: 80, proxy_protocol: false, trusted_keys: None },
        stickiness: None,
    }
}

pub(crate) fn config(sketches: &[Sketch]) -> Config {
    Config { load_balancers: sketches.iter().map(Sketch::load_balancer).collect() }
}

prop_compose! {
    fn sketch()(
        id in 1..5_u64,
        nodes in proptest::sample::subsequence(vec![0_u8, 1, 2], 0..=3),
        shared_address in any::<bool>(),
        ports in proptest::sample::subsequence(vec![80_u16, 81, 82], 0..=3),
        http in any::<bool>(),
        ids in proptest::sample::subsequence(vec![1_u8, 2, 3, 4], 0..=4),
        zones in proptest::collection::vec(0..3_u8, 4),
        cross_zone in any::<bool>(),
        draining_s in proptest::option::of(1..4_u64),
    ) -> Sketch {
        let listeners = ports.into_iter().map(|port| (port, http)).collect();
        let targets = ids.into_iter().zip(zones).collect();
        Sketch { id, nodes, shared_address, listeners, targets, cross_zone, draining_s }
    }
}

/// Load balancers whose ids may clash and whose addresses may too.
pub(crate) fn sketches() -> impl Strategy<Value = Vec<Sketch>> {
    proptest::collection::vec(sketch(), 0..5)
}

/// Applies a plan to a table of what is served, as the publisher does with sockets.
fn carry_out(serving: &mut HashMap<SocketAddr, Option<Serves>>, plan: &Plan) {
    for wanted in &plan.open {
        assert_eq!(serving.insert(wanted.address, Some(wanted.serves)), None, "opened twice");
    }
    for wanted in &plan.keep {
        assert_eq!(serving[&wanted.address], Some(wanted.serves), "kept, but it is another");
    }
    for wanted in &plan.replace {
        let before = serving.insert(wanted.address, Some(wanted.serves)).expect("only what is there is replaced");
        assert_ne!(before, Some(wanted.serves), "replaced by itself");
    }
    for address in &plan.close {
        serving.remove(address).expect("only what is there is closed");
    }
}

proptest! {
    #[test]
    fn whatever_came_before_exactly_the_last_configuration_is_served(
        history in proptest::collection::vec(sketches(), 1..6),
    ) {
        let mut serving = HashMap::new();
        for sketches in &history {
            let config = config(sketches);
            let plan = plan(&serving, &config);
            carry_out(&mut serving, &plan);
            let mut expected = addresses(&config);
            let mut served: Vec<_> = serving.keys().copied().collect();
            expected.sort_unstable();
            served.sort_unstable();
            prop_assert_eq!(served, expected);
            // Whoever serves an address has that listener at that node, and the same plan again changes nothing.
            let again = super::plan(&serving, &config);
            prop_assert!(again.open.is_empty() && again.replace.is_empty() && again.close.is_empty());
            for wanted in &again.keep {
                let load_balancer = &config.load_balancers[wanted.load_balancer];
                prop_assert_eq!(load_balancer.id, wanted.serves.load_balancer);
                prop_assert_eq!(load_balancer.nodes[wanted.node].address, wanted.address.ip());
                prop_assert_eq!(load_balancer.listeners[wanted.listener].port, wanted.address.port());
            }
        }
    }
}

fn sketch_of(id: u64) -> Sketch {
    Sketch {
        id,
        nodes: vec![0],
        shared_address: true,
        listeners: vec![(80, true)],
        targets: vec![(1, 0)],
        cross_zone: false,
        draining_s: None,
    }
}

#[test]
fn two_load_balancers_share_an_address_on_different_ports() {
    let other = Sketch { listeners: vec![(81, true)], ..sketch_of(2) };
    let plan = plan(&HashMap::new(), &config(&[sketch_of(1), other]));
    assert_eq!((plan.open.len(), plan.duplicates.len()), (2, 0));
}

#[test]
fn of_two_that_want_one_address_the_one_that_has_it_keeps_it() {
    let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let plan_of = |serving: &HashMap<_, _>| plan(serving, &config(&[sketch_of(1), sketch_of(2)]));
    let first = plan_of(&HashMap::new());
    assert_eq!(first.duplicates, [address]);
    assert_eq!(first.open[0].serves.load_balancer, LoadBalancerId(1));

    let second = Serves { load_balancer: LoadBalancerId(2), speaks: Speaks::Http };
    let later = plan_of(&HashMap::from([(address, Some(second))]));
    assert_eq!(later.duplicates, [address]);
    assert_eq!(later.keep[0].serves, second);
}

#[test]
fn an_address_that_speaks_another_protocol_from_now_on_is_replaced() {
    let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let http = Serves { load_balancer: LoadBalancerId(1), speaks: Speaks::Http };
    let tcp = Sketch { listeners: vec![(80, false)], ..sketch_of(1) };
    let plan = plan(&HashMap::from([(address, Some(http))]), &config(&[tcp]));
    assert_eq!(plan.replace.len(), 1);
    assert!(plan.open.is_empty() && plan.keep.is_empty() && plan.close.is_empty());
}
