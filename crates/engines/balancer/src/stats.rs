//! What the data plane counts, as plain numbers for readers outside of it.
//!
//! Invariant: [`NodeStats::cloudwatch`] is the one place that knows what CloudWatch calls them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{LoadBalancerId, TargetId};
use crate::health::{Checker, HealthReason, HealthState};
use crate::metrics::Latencies;
use crate::registry::Entry;
use crate::state::{NodeState, TargetState};

/// One node's numbers. Counters rise from when the node began to serve; others are as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStats {
    /// The load balancer.
    pub load_balancer: LoadBalancerId,
    /// Its name.
    pub load_balancer_name: Arc<str>,
    /// The node's zone.
    pub zone: Arc<str>,
    /// The node's address.
    pub address: IpAddr,
    /// Requests completed (HTTP) or connections made (TCP).
    pub request_count: u64,
    /// Targets that are in service, as this node sees them.
    pub healthy_hosts: u64,
    /// Targets that are out of service; new ones that nothing is known of count neither here nor there.
    pub unhealthy_hosts: u64,
    /// How long targets took to answer (TCP: to connect).
    pub latency: Latencies,
    /// Responses of targets by their status' first digit, from 2 to 5.
    pub backend_responses: [u64; 4],
    /// The balancer's own 4xx.
    pub elb_4xx: u64,
    /// The balancer's own 5xx.
    pub elb_5xx: u64,
    /// Connections to targets that could not be made.
    pub backend_connection_errors: u64,
    /// Requests and connections turned away for a full surge queue.
    pub spillover_count: u64,
    /// Requests and connections that wait for a target now.
    pub surge_queue_length: u64,
    /// The longest that the surge queue was since the last time that these numbers were read.
    pub surge_queue_length_max: u64,
    /// Requests that do not follow RFC 9112.
    pub desync_non_compliant: u64,
    /// Client connections now.
    pub active_connections: u64,
    /// Client connections taken.
    pub new_connections: u64,
    /// Bytes both ways.
    pub processed_bytes: u64,
    /// Targets that this node may use.
    pub targets: Vec<TargetStats>,
}

/// One target's numbers, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStats {
    /// The target.
    pub id: TargetId,
    /// Where it listens.
    pub address: IpAddr,
    /// Where it stands.
    pub zone: Arc<str>,
    /// Whether new requests go there.
    pub state: HealthState,
    /// Why they do not.
    pub reason: HealthReason,
    /// What was wrong at the last check that failed: `got 404, not 200`.
    pub failure: Option<Arc<str>>,
    /// Requests (or TCP connections) under way.
    pub outstanding: u64,
    /// Open connections, idle ones too.
    pub connections: u64,
}

/// One of CloudWatch's metrics (namespace AWS/ELB) of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// CloudWatch's name.
    pub name: &'static str,
    /// Whether it only rises, so that a rate is a difference; else it is as it is now.
    pub is_counter: bool,
    /// The value.
    pub value: u64,
}

impl NodeStats {
    /// All but the latencies under CloudWatch's names. (EstimatedALBConsumedLCUs is a price, not a count, and is left
    /// out.)
    pub fn cloudwatch(&self) -> [Metric; 17] {
        let counter = |name, value| Metric { name, is_counter: true, value };
        let gauge = |name, value| Metric { name, is_counter: false, value };
        let [of_2xx, of_3xx, of_4xx, of_5xx] = self.backend_responses;
        [
            counter("RequestCount", self.request_count),
            counter("HTTPCode_Backend_2XX", of_2xx),
            counter("HTTPCode_Backend_3XX", of_3xx),
            counter("HTTPCode_Backend_4XX", of_4xx),
            counter("HTTPCode_Backend_5XX", of_5xx),
            counter("HTTPCode_ELB_4XX", self.elb_4xx),
            counter("HTTPCode_ELB_5XX", self.elb_5xx),
            counter("BackendConnectionErrors", self.backend_connection_errors),
            counter("SpilloverCount", self.spillover_count),
            counter("DesyncMitigationMode_NonCompliant_Request_Count", self.desync_non_compliant),
            counter("EstimatedALBNewConnectionCount", self.new_connections),
            counter("EstimatedProcessedBytes", self.processed_bytes),
            gauge("EstimatedALBActiveConnectionCount", self.active_connections),
            gauge("HealthyHostCount", self.healthy_hosts),
            gauge("UnHealthyHostCount", self.unhealthy_hosts),
            gauge("SurgeQueueLength", self.surge_queue_length),
            gauge("SurgeQueueLengthMaximum", self.surge_queue_length_max),
        ]
    }

    /// A node that has not done anything.
    #[cfg(test)]
    pub(crate) fn nothing(load_balancer: LoadBalancerId, name: Arc<str>, zone: Arc<str>) -> Self {
        let node = crate::config::Node { zone, address: IpAddr::from([127, 0, 0, 1]), egress: None };
        let state = crate::state::NodeState::new(load_balancer, &node);
        read(load_balancer, name, &state, Vec::new())
    }
}

/// The numbers of all nodes of a load balancer.
pub(crate) fn of(entry: &Entry, checker: &Checker) -> impl Iterator<Item = NodeStats> {
    entry.nodes.iter().map(|node| {
        let targets = node.targets.iter().map(|target| target_stats(target, checker)).collect();
        read(entry.load_balancer.id, Arc::clone(&entry.load_balancer.name), &node.state, targets)
    })
}

fn read(load_balancer: LoadBalancerId, name: Arc<str>, node: &NodeState, targets: Vec<TargetStats>) -> NodeStats {
    let metrics = &node.metrics;
    let hosts = |state| targets.iter().filter(|target| target.state == state).count() as u64;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let waiting = node.surge_queue.load(Ordering::Relaxed) as u64;
    NodeStats {
        load_balancer,
        load_balancer_name: name,
        zone: Arc::clone(&node.zone),
        address: node.address,
        request_count: read(&metrics.request_count),
        healthy_hosts: hosts(HealthState::InService),
        unhealthy_hosts: hosts(HealthState::OutOfService),
        latency: metrics.latency.read(),
        backend_responses: [
            read(&metrics.backend_2xx),
            read(&metrics.backend_3xx),
            read(&metrics.backend_4xx),
            read(&metrics.backend_5xx),
        ],
        elb_4xx: read(&metrics.elb_4xx),
        elb_5xx: read(&metrics.elb_5xx),
        backend_connection_errors: read(&metrics.backend_connection_errors),
        spillover_count: read(&metrics.spillover_count),
        surge_queue_length: waiting,
        surge_queue_length_max: metrics.surge_queue_length_max.swap(0, Ordering::Relaxed).max(waiting),
        desync_non_compliant: read(&metrics.desync_non_compliant),
        active_connections: read(&metrics.active_connections),
        new_connections: read(&metrics.new_connections),
        processed_bytes: read(&metrics.processed_bytes),
        targets,
    }
}

fn target_stats(target: &TargetState, checker: &Checker) -> TargetStats {
    let judgement = checker.judgement(target);
    TargetStats {
        id: target.id.clone(),
        address: target.address,
        zone: Arc::clone(&target.zone),
        state: judgement.state,
        reason: judgement.reason,
        failure: judgement.failure,
        outstanding: u64::from(target.outstanding.load(Ordering::Relaxed)),
        connections: u64::from(target.connections.load(Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::config::{Node, Target};

    fn target(number: u8, state: HealthState) -> TargetStats {
        let target = Target {
            id: TargetId(format!("i-{number}").into()),
            address: IpAddr::from([10, 0, 0, number]),
            zone: "a".into(),
            behind_egress: false,
        };
        TargetStats {
            id: target.id,
            address: target.address,
            zone: target.zone,
            state,
            reason: HealthReason::None,
            failure: None,
            outstanding: 0,
            connections: 0,
        }
    }

    fn value(stats: &NodeStats, name: &str) -> u64 {
        let metrics = stats.cloudwatch();
        metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).value
    }

    #[test]
    fn counters_appear_under_cloudwatchs_names() {
        let state = NodeState::new(
            LoadBalancerId(1),
            &Node { zone: "a".into(), address: IpAddr::from([127, 0, 1, 1]), egress: None },
        );
        let counters = [
            (&state.metrics.request_count, "RequestCount"),
            (&state.metrics.backend_2xx, "HTTPCode_Backend_2XX"),
            (&state.metrics.backend_3xx, "HTTPCode_Backend_3XX"),
            (&state.metrics.backend_4xx, "HTTPCode_Backend_4XX"),
            (&state.metrics.backend_5xx, "HTTPCode_Backend_5XX"),
            (&state.metrics.elb_4xx, "HTTPCode_ELB_4XX"),
            (&state.metrics.elb_5xx, "HTTPCode_ELB_5XX"),
            (&state.metrics.backend_connection_errors, "BackendConnectionErrors"),
            (&state.metrics.spillover_count, "SpilloverCount"),
            (&state.metrics.desync_non_compliant, "DesyncMitigationMode_NonCompliant_Request_Count"),
            (&state.metrics.new_connections, "EstimatedALBNewConnectionCount"),
            (&state.metrics.processed_bytes, "EstimatedProcessedBytes"),
            (&state.metrics.active_connections, "EstimatedALBActiveConnectionCount"),
        ];
        for (number, (counter, _)) in counters.iter().enumerate() {
            counter.store(100 + number as u64, Relaxed);
        }
        let stats = read(LoadBalancerId(1), "web".into(), &state, Vec::new());
        for (number, (_, name)) in counters.iter().enumerate() {
            assert_eq!(value(&stats, name), 100 + number as u64, "{name}");
        }
    }

    #[test]
    fn new_targets_are_neither_healthy_nor_unhealthy() {
        let state = NodeState::new(
            LoadBalancerId(1),
            &Node { zone: "a".into(), address: IpAddr::from([127, 0, 1, 1]), egress: None },
        );
        let states = [HealthState::InService, HealthState::InService, HealthState::OutOfService, HealthState::Unknown];
        let targets = states.into_iter().zip(1..).map(|(state, number)| target(number, state)).collect();
        let stats = read(LoadBalancerId(1), "web".into(), &state, targets);
        assert_eq!((value(&stats, "HealthyHostCount"), value(&stats, "UnHealthyHostCount")), (2, 1));
    }

    #[test]
    fn the_surge_queues_longest_is_that_since_the_last_reading() {
        let state = NodeState::new(
            LoadBalancerId(1),
            &Node { zone: "a".into(), address: IpAddr::from([127, 0, 1, 1]), egress: None },
        );
        state.surge_queue.store(3, Relaxed);
        state.metrics.surge_queue_length_max.store(40, Relaxed);
        let readings: Vec<(u64, u64)> = (0..2)
            .map(|_| read(LoadBalancerId(1), "web".into(), &state, Vec::new()))
            .map(|stats| (value(&stats, "SurgeQueueLength"), value(&stats, "SurgeQueueLengthMaximum")))
            .collect();
        assert_eq!(readings, [(3, 40), (3, 3)]);
    }
}
