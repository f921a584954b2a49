//! Latencies, counted in buckets 2 % wide.

use std::time::Duration;

const BUCKETS: usize = 1024;
const GROWTH: f64 = 1.02;

/// A histogram from 1 us upwards; each bucket is 2 % wider than the one before it.
#[derive(Clone)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
}

impl Latencies {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }

    /// Counts one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = latency.as_secs_f64() * 1e6;
        let bucket = (us.max(1.0).ln() / GROWTH.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    /// The latency that a `share` (0 to 1) of the calls did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return GROWTH.powi(bucket as i32 + 1) / 1e3;
            }
        }
        0.0
    }
}
