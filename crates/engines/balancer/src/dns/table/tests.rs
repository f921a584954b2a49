//! Which names there are, and which of their nodes are given out.

use std::time::Duration;

use super::*;
use crate::config::{self, DesyncMode, HealthCheck, HealthCheckKind, LoadBalancer, LoadBalancerId, Target, TargetId};
use crate::state::NodeState;

type NodeWithTargets = (Arc<NodeState>, Arc<[Arc<TargetState>]>);

/// A load balancer to be found.
pub(in crate::dns) struct Balancer {
    load_balancer: Arc<LoadBalancer>,
    nodes: Vec<NodeWithTargets>,
}

impl Balancer {
    pub(in crate::dns) fn new(names: &[&str]) -> Self {
        let load_balancer = LoadBalancer {
            id: LoadBalancerId(1),
            name: "web".into(),
            dns_names: names.iter().map(|name| name.trim_end_matches('.').into()).collect(),
            nodes: Vec::new(),
            listeners: Vec::new(),
            targets: Vec::new(),
            health_check: HealthCheck {
                kind: HealthCheckKind::Tcp,
                port: 80,
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                unhealthy_threshold: 2,
                healthy_threshold: 10,
            },
            cross_zone: false,
            idle_timeout: Duration::from_secs(60),
            connection_draining: None,
            desync_mode: DesyncMode::Defensive,
            access: Vec::new(),
            access_log: false,
        };
        Self { load_balancer: Arc::new(load_balancer), nodes: Vec::new() }
    }

    pub(in crate::dns) fn node(mut self, address: &str, targets: u32) -> Self {
        let node = config::Node { zone: address.into(), address: address.parse().unwrap(), egress: None };
        let target = |number| Target {
            id: TargetId(format!("i-{number}").into()),
            address: IpAddr::from([10, 0, 0, 1]),
            zone: address.into(),
            behind_egress: false,
        };
        let targets = (0..targets).map(|number| Arc::new(TargetState::new(&target(number)))).collect();
        self.nodes.push((Arc::new(NodeState::new(self.load_balancer.id, &node)), targets));
        self
    }

    pub(in crate::dns) fn targets(&self) -> Vec<Arc<TargetState>> {
        self.nodes.iter().flat_map(|(_, targets)| targets.iter().cloned()).collect()
    }

    pub(in crate::dns) fn watched(&self) -> Vec<Watched> {
        let watched = |(node, targets): &NodeWithTargets| Watched {
            load_balancer: Arc::clone(&self.load_balancer),
            node: Arc::clone(node),
            targets: Arc::clone(targets),
        };
        self.nodes.iter().map(watched).collect()
    }
}

/// The zone example.com with these load balancers.
pub(in crate::dns) fn table(balancers: &[&Balancer]) -> Table {
    let watched: Vec<Watched> = balancers.iter().flat_map(|balancer| balancer.watched()).collect();
    let listen = ["127.0.0.53:53".parse().unwrap(), "[::]:53".parse().unwrap()];
    Table::empty("example.com", &listen).unwrap().with(&watched, 100)
}

#[test]
fn a_zone_that_is_no_name_is_none() {
    assert!(Table::empty("elb..localhost", &[]).is_none());
    assert!(Table::empty(&"x".repeat(64), &[]).is_none());
    assert!(Table::empty("Localhost.", &[]).is_some());
}

#[test]
fn a_serial_rises_even_if_the_clock_does_not() {
    let first = Table::empty("example.com", &[]).unwrap().with(&[], 100);
    assert_eq!(first.serial, 100);
    assert_eq!(first.with(&[], 100).serial, 101);
    assert_eq!(first.with(&[], 50).serial, 101);
    assert_eq!(first.with(&[], 200).serial, 200);
}

#[test]
fn a_name_of_another_zone_is_left_out() {
    let table = table(&[&Balancer::new(&["web-1.example.org"]).node("127.0.1.1", 1)]);
    assert!(table.find(&parse("web-1.example.org").unwrap()).is_none());
}
