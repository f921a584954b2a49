//! Stand-in.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::state::TargetState;

pub(crate) fn least_outstanding(
    targets: &[Arc<TargetState>],
    turn: &AtomicUsize,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let start = turn.fetch_add(1, Ordering::Relaxed);
    (0..targets.len())
        .map(|offset| (start + offset) % targets.len())
        .filter(|&index| targets[index].is_in_service() && usable(index))
        .min_by_key(|&index| targets[index].outstanding.load(Ordering::Relaxed))
}
