//! What the data plane counts, as plain numbers for readers outside of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{LoadBalancerId, TargetId};
use crate::registry::{Entry, NodeEntry};
use crate::state::TargetState;

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
    /// Microseconds that targets took to answer (TCP: to connect), summed.
    pub latency_us_sum: u64,
    /// How many latencies the sum holds.
    pub latency_count: u64,
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
    pub in_service: bool,
    /// Requests (or TCP connections) under way.
    pub outstanding: u64,
    /// Open connections, idle ones too.
    pub connections: u64,
}

/// The numbers of all nodes of a load balancer.
pub(crate) fn of(entry: &Entry) -> impl Iterator<Item = NodeStats> {
    entry.nodes.iter().map(|node| node_stats(entry, node))
}

fn node_stats(entry: &Entry, node: &NodeEntry) -> NodeStats {
    let metrics = &node.state.metrics;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let waiting = node.state.surge_queue.load(Ordering::Relaxed) as u64;
    NodeStats {
        load_balancer: entry.load_balancer.id,
        load_balancer_name: Arc::clone(&entry.load_balancer.name),
        zone: Arc::clone(&node.state.zone),
        address: node.state.address,
        request_count: read(&metrics.request_count),
        latency_us_sum: read(&metrics.latency_us_sum),
        latency_count: read(&metrics.latency_count),
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
        targets: node.targets.iter().map(|target| target_stats(target)).collect(),
    }
}

fn target_stats(target: &TargetState) -> TargetStats {
    TargetStats {
        id: target.id.clone(),
        address: target.address,
        zone: Arc::clone(&target.zone),
        in_service: target.is_in_service(),
        outstanding: u64::from(target.outstanding.load(Ordering::Relaxed)),
        connections: u64::from(target.connections.load(Ordering::Relaxed)),
    }
}
