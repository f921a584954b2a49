//! Counters of one node, named as CloudWatch names them (namespace AWS/ELB).
//!
//! Invariants:
//! - Counters only rise; whoever wants a rate takes differences.
//! - What the balancer answers itself counts as `HTTPCode_ELB_*`, never as `HTTPCode_Backend_*`.

mod histogram;

use std::sync::atomic::AtomicU64;

pub use histogram::Latencies;
pub(crate) use histogram::LatencyHistogram;

/// One node's counters since it began.
#[derive(Debug, Default)]
pub(crate) struct NodeMetrics {
    /// Requests completed (HTTP) or connections made (TCP).
    pub(crate) request_count: AtomicU64,
    /// From sending to the first header byte; TCP: connect times.
    pub(crate) latency: LatencyHistogram,
    pub(crate) backend_2xx: AtomicU64,
    pub(crate) backend_3xx: AtomicU64,
    pub(crate) backend_4xx: AtomicU64,
    pub(crate) backend_5xx: AtomicU64,
    pub(crate) elb_4xx: AtomicU64,
    pub(crate) elb_5xx: AtomicU64,
    pub(crate) backend_connection_errors: AtomicU64,
    pub(crate) spillover_count: AtomicU64,
    /// The longest that the surge queue has been since the last reading.
    pub(crate) surge_queue_length_max: AtomicU64,
    pub(crate) desync_non_compliant: AtomicU64,
    pub(crate) active_connections: AtomicU64,
    pub(crate) new_connections: AtomicU64,
    /// Bytes both ways, heads included.
    pub(crate) processed_bytes: AtomicU64,
}
