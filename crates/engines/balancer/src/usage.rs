//! [`UsageReport`]: the two things that Classic ELB is paid for, load balancer hours and gigabytes, by day.
//!
//! Invariants:
//! - Pure: readings of counters go in, a report comes out; whoever keeps it over restarts keeps its lines.
//! - An hour (of UTC) in which a load balancer was seen counts once, however often it was seen, as AWS charges partial
//!   hours.
//! - Bytes are counted once, also when a node's counter begins anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use host::Timestamp;

use crate::config::LoadBalancerId;
use crate::stats::NodeStats;

/// Days that a report goes back.
const DAYS_MAX: u64 = 92;
const HOURS_A_DAY: u64 = 24;
const SECONDS_AN_HOUR: u64 = 3600;

/// One load balancer on one day of UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// When the day began.
    pub day: Timestamp,
    /// The load balancer.
    pub load_balancer: LoadBalancerId,
    /// Its name.
    pub name: Arc<str>,
    /// A bit for each hour of the day in which it existed; the lowest is midnight's.
    pub hours_seen: u32,
    /// Bytes that it processed, both ways.
    pub bytes: u64,
}

impl UsageLine {
    /// Load balancer hours, as AWS calls `LoadBalancerUsage`.
    pub fn hours(&self) -> u32 {
        self.hours_seen.count_ones()
    }

    /// Gigabytes (of 2^30), as AWS calls `DataProcessing-Bytes`.
    pub fn gigabytes(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 30)
    }
}

/// Sums up what load balancers were used.
#[derive(Clone, Debug, Default)]
pub struct UsageReport {
    lines: BTreeMap<(u64, LoadBalancerId), UsageLine>,
    /// The nodes' byte counters at the last reading.
    counters: HashMap<(LoadBalancerId, Arc<str>), u64>,
}

impl UsageReport {
    /// Goes on from the lines of an earlier process.
    pub fn new(saved: impl IntoIterator<Item = UsageLine>) -> Self {
        let keyed = |line: UsageLine| ((day(line.day), line.load_balancer), line);
        Self { lines: saved.into_iter().map(keyed).collect(), counters: HashMap::new() }
    }

    /// Takes a reading of all nodes; call it at least once an hour, and before the balancer ends.
    pub fn observe(&mut self, nodes: &[NodeStats], now: Timestamp) {
        let today = day(now);
        let hour = now.as_secs() / SECONDS_AN_HOUR % HOURS_A_DAY;
        let mut counters = HashMap::with_capacity(nodes.len());
        for node in nodes {
            let key = (node.load_balancer, Arc::clone(&node.zone));
            let before = self.counters.get(&key).copied().unwrap_or(0);
            let line = self.lines.entry((today, node.load_balancer)).or_insert_with(|| UsageLine {
                day: Timestamp::from_secs(today * HOURS_A_DAY * SECONDS_AN_HOUR),
                load_balancer: node.load_balancer,
                name: Arc::clone(&node.load_balancer_name),
                hours_seen: 0,
                bytes: 0,
            });
            line.hours_seen |= 1 << hour;
            // A counter that is lower than before began anew.
            let more = node.processed_bytes.checked_sub(before).unwrap_or(node.processed_bytes);
            line.bytes = line.bytes.saturating_add(more);
            counters.insert(key, node.processed_bytes);
        }
        self.counters = counters;
        let first = (today.saturating_sub(DAYS_MAX), LoadBalancerId(0));
        self.lines = self.lines.split_off(&first);
    }

    /// The report: by day, then by load balancer.
    pub fn lines(&self) -> impl Iterator<Item = &UsageLine> {
        self.lines.values()
    }
}

fn day(time: Timestamp) -> u64 {
    time.as_secs() / SECONDS_AN_HOUR / HOURS_A_DAY
}

#[cfg(test)]
mod tests;
