//! What load balancers were used for: hours and bytes, as AWS bills them.
//!
//! Invariants:
//! - An hour that was begun counts whole, as AWS bills it.
//! - Bytes count from the process' start; whoever needs them longer reads them from /metrics.

use std::collections::HashMap;
use std::net::IpAddr;

use balancer::LoadBalancerId;
use parking_lot::Mutex;
use store::StoreError;

use crate::service::Elb;

/// Bytes of a GB, as AWS counts them.
const GB: f64 = 1_000_000_000.0;

/// What one load balancer was used for.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// Whose it is.
    pub account: String,
    /// Where it stands.
    pub region: String,
    /// Its name.
    pub load_balancer: String,
    /// Hours since it was created, the current one included.
    pub hours: u64,
    /// Bytes both ways since this process began.
    pub processed_bytes: u64,
    /// Requests, or TCP connections, since this process began.
    pub requests: u64,
}

impl Usage {
    /// [`Usage::processed_bytes`] in GB.
    pub fn processed_gb(&self) -> f64 {
        self.processed_bytes as f64 / GB
    }
}

/// Adds up nodes' counters, which begin anew when a node does.
#[derive(Default)]
pub(crate) struct Meter {
    state: Mutex<MeterState>,
}

#[derive(Default)]
struct MeterState {
    last: HashMap<(LoadBalancerId, IpAddr), Traffic>,
    total: HashMap<LoadBalancerId, Traffic>,
}

#[derive(Clone, Copy, Default)]
struct Traffic {
    bytes: u64,
    requests: u64,
}

impl Meter {
    /// Takes a reading in.
    pub(crate) fn read(&self, nodes: &[balancer::NodeStats]) {
        let mut state = self.state.lock();
        let MeterState { last, total } = &mut *state;
        for node in nodes {
            let now = Traffic { bytes: node.processed_bytes, requests: node.request_count };
            let before = last.insert((node.load_balancer, node.address), now).unwrap_or_default();
            let total = total.entry(node.load_balancer).or_default();
            // A counter that fell is another node's, which began at zero.
            total.bytes += now.bytes.checked_sub(before.bytes).unwrap_or(now.bytes);
            total.requests += now.requests.checked_sub(before.requests).unwrap_or(now.requests);
        }
        last.retain(|key, _| nodes.iter().any(|node| (node.load_balancer, node.address) == *key));
    }

    /// Forgets load balancers that are no more.
    fn retain(&self, alive: impl Fn(LoadBalancerId) -> bool) {
        self.state.lock().total.retain(|id, _| alive(*id));
    }

    fn of(&self, id: LoadBalancerId) -> Traffic {
        self.state.lock().total.get(&id).copied().unwrap_or_default()
    }
}

impl Elb {
    /// What each load balancer was used for, given the balancer's numbers now.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn usage(&self, nodes: &[balancer::NodeStats]) -> Result<Vec<Usage>, StoreError> {
        self.inner.meter.read(nodes);
        let rows = self.all_rows().await?;
        self.inner.meter.retain(|id| rows.iter().any(|row| row.id == id.0));
        let now = self.inner.clock.now();
        let one = |row: crate::rows::LoadBalancerRow| {
            let traffic = self.inner.meter.of(LoadBalancerId(row.id));
            Usage {
                hours: now.since(host::Timestamp(row.created_ms)).as_secs() / 3600 + 1,
                account: row.account,
                region: row.region,
                load_balancer: row.name,
                processed_bytes: traffic.bytes,
                requests: traffic.requests,
            }
        };
        Ok(rows.into_iter().map(one).collect())
    }
}
