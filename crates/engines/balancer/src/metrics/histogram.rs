//! Latencies: their sum, and how many fell where.
//!
//! Invariants:
//! - Noting one costs two additions to atomics.
//! - A quantile is off by at most an eighth of its value, up to 71 minutes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Four to each doubling, from a microsecond to 2^32 of them.
const BUCKETS: usize = 124;

/// Latencies of one node, as workers note them.
#[derive(Debug)]
pub(crate) struct LatencyHistogram {
    sum_us: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { sum_us: AtomicU64::new(0), buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl LatencyHistogram {
    /// Notes one.
    pub(crate) fn record(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// All so far.
    pub(crate) fn read(&self) -> Latencies {
        Latencies {
            sum_us: self.sum_us.load(Ordering::Relaxed),
            buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
        }
    }
}

/// Latencies, as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    sum_us: u64,
    /// As many as the histogram has, or none.
    buckets: Vec<u64>,
}

impl Latencies {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// Their mean.
    pub fn mean(&self) -> Option<Duration> {
        self.sum_us.checked_div(self.count()).map(Duration::from_micros)
    }

    /// What the given part of them does not exceed: `quantile(0.99)` is the p99.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((count as f64 * part).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        for (index, in_bucket) in self.buckets.iter().enumerate() {
            if below + in_bucket >= rank {
                // As if they lay evenly within the bucket.
                let (from, to) = bounds_us(index);
                let share = (rank - below) as f64 / *in_bucket as f64;
                return Some(Duration::from_micros(from + ((to - from) as f64 * share) as u64));
            }
            below += in_bucket;
        }
        None
    }

    /// Upper bounds that rise, each with how many do not exceed it, as Prometheus has histograms; without those where
    /// nothing changes.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        self.buckets.iter().enumerate().filter(|(_, in_bucket)| **in_bucket > 0).map(move |(index, in_bucket)| {
            sum += in_bucket;
            (Duration::from_micros(bounds_us(index).1), sum)
        })
    }

    /// Adds another's, as of another node.
    pub fn add(&mut self, other: &Self) {
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
        self.buckets.resize(BUCKETS, 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, more)| *sum += more);
    }

    /// What came since an earlier reading of the same node. After a restart in between: all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        let buckets: Option<Vec<u64>> =
            self.buckets.iter().zip(before).map(|(now, before)| now.checked_sub(before)).collect();
        match buckets {
            Some(buckets) => Self { sum_us: self.sum_us.wrapping_sub(earlier.sum_us), buckets },
            None => self.clone(),
        }
    }
}

fn bucket(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let doublings = us.ilog2() as usize;
    let quarter = (us >> (doublings - 2)) as usize & 3;
    ((doublings - 1) * 4 + quarter).min(BUCKETS - 1)
}

/// Where a bucket begins, and where the next does.
fn bounds_us(bucket: usize) -> (u64, u64) {
    if bucket < 4 {
        return (bucket as u64, bucket as u64 + 1);
    }
    let (doublings, quarter) = (bucket / 4 + 1, (bucket % 4) as u64);
    ((4 + quarter) << (doublings - 2), (5 + quarter) << (doublings - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies_us: impl IntoIterator<Item = u64>) -> Latencies {
        let histogram = LatencyHistogram::default();
        latencies_us.into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram.read()
    }

    #[test]
    fn every_latency_lies_within_its_bucket_and_buckets_follow_each_other() {
        for index in 1..BUCKETS {
            assert_eq!(bounds_us(index - 1).1, bounds_us(index).0);
        }
        for us in (0..5000).chain([1 << 20, (1 << 32) - 1]) {
            let (from, to) = bounds_us(bucket(us));
            assert!((from..to).contains(&us), "{us}");
            assert!(to - from <= (us / 4).max(1), "{us}");
        }
        assert_eq!(bounds_us(BUCKETS - 1).1, 1 << 32);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_close() {
        let latencies = of(1..=10_000);
        for (part, us) in [(0.5, 5000.0), (0.9, 9000.0), (0.99, 9900.0), (0.001, 10.0)] {
            let found = latencies.quantile(part).unwrap().as_secs_f64() * 1e6;
            assert!((found - us).abs() <= us / 8.0 + 1.0, "{part}: {found}, not {us}");
        }
        assert_eq!(latencies.count(), 10_000);
        assert_eq!(latencies.mean(), Some(Duration::from_micros(5000)));
        assert_eq!(latencies.sum(), Duration::from_micros(50_005_000));
    }

    #[test]
    fn nothing_measured_has_no_quantile() {
        for none in [Latencies::default(), of([])] {
            assert_eq!((none.quantile(0.5), none.mean(), none.cumulative().next()), (None, None, None));
        }
    }

    #[test]
    fn nodes_add_up_and_earlier_readings_are_taken_off() {
        let mut sum = Latencies::default();
        sum.add(&of([10, 20]));
        sum.add(&of([10, 3000]));
        assert_eq!(sum, of([10, 10, 20, 3000]));
        assert_eq!(sum.since(&of([10, 20])), of([10, 3000]));
        assert_eq!(sum.since(&Latencies::default()), sum);
        // A node that began anew counts from nothing.
        assert_eq!(of([5]).since(&sum), of([5]));
    }

    #[test]
    fn cumulative_counts_end_with_all() {
        let rising: Vec<(u64, u64)> =
            of([1, 1, 100, 1000]).cumulative().map(|(bound, count)| (bound.as_micros() as u64, count)).collect();
        assert_eq!(rising, [(2, 2), (112, 3), (1024, 4)]);
    }
}
