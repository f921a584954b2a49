//! Least outstanding requests: which target a request goes to when nothing else decides.
//!
//! Invariants:
//! - A target out of service, or one that the caller won't have, is never chosen.
//! - Among those with equally few requests targets take turns, so that an idle load balancer spreads its requests.
//!
//! As AWS has it for HTTP and HTTPS listeners: "How Elastic Load Balancing works", routing algorithm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::state::TargetState;

/// The index of the target in service with the fewest requests, of those that are `usable`. `None`: there is none.
pub(super) fn least_outstanding(
    targets: &[Arc<TargetState>],
    turn: &AtomicUsize,
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let start = turn.fetch_add(1, Ordering::Relaxed).checked_rem(targets.len())?;
    let mut chosen = None;
    let mut fewest = u32::MAX;
    for index in (start..targets.len()).chain(0..start) {
        let target = &targets[index];
        if !target.is_in_service() || !usable(index) {
            continue;
        }
        let outstanding = target.outstanding.load(Ordering::Relaxed);
        if outstanding == 0 {
            return Some(index);
        }
        if chosen.is_none() || outstanding < fewest {
            (chosen, fewest) = (Some(index), outstanding);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Target, TargetId};

    fn targets(outstanding: &[u32]) -> Vec<Arc<TargetState>> {
        let state = |(number, &outstanding): (usize, &u32)| {
            let target = Target {
                id: TargetId(format!("i-{number}").into()),
                address: [10, 0, 0, 1].into(),
                zone: "us-east-1a".into(),
                behind_egress: false,
            };
            let state = TargetState::new(&target);
            state.in_service.store(true, Ordering::Relaxed);
            state.outstanding.store(outstanding, Ordering::Relaxed);
            Arc::new(state)
        };
        outstanding.iter().enumerate().map(state).collect()
    }

    fn chosen(targets: &[Arc<TargetState>], times: usize) -> Vec<Option<usize>> {
        let turn = AtomicUsize::new(0);
        (0..times).map(|_| least_outstanding(targets, &turn, |_| true)).collect()
    }

    #[test]
    fn the_target_with_the_fewest_requests_is_chosen_wherever_it_stands() {
        for at in 0..3 {
            let mut outstanding = [7, 5, 6];
            outstanding[at] = 1;
            assert_eq!(chosen(&targets(&outstanding), 6), [Some(at); 6]);
        }
    }

    #[test]
    fn equally_busy_targets_take_turns() {
        for outstanding in [0, 3] {
            let targets = targets(&[outstanding; 3]);
            assert_eq!(chosen(&targets, 6), [Some(0), Some(1), Some(2), Some(0), Some(1), Some(2)]);
        }
    }

    #[test]
    fn a_target_out_of_service_or_unwanted_is_passed_over_however_idle_it_is() {
        let targets = targets(&[0, 9, 0]);
        targets[0].in_service.store(false, Ordering::Relaxed);
        let turn = AtomicUsize::new(0);
        for _ in 0..6 {
            assert_eq!(least_outstanding(&targets, &turn, |index| index != 2), Some(1));
        }
        targets[1].in_service.store(false, Ordering::Relaxed);
        assert_eq!(least_outstanding(&targets, &turn, |index| index != 2), None);
    }

    #[test]
    fn no_targets_are_nobody() {
        assert_eq!(least_outstanding(&[], &AtomicUsize::new(5), |_| true), None);
    }

    #[test]
    fn a_turn_that_wraps_around_is_still_one() {
        let turn = AtomicUsize::new(usize::MAX);
        let targets = targets(&[2, 2]);
        assert!(least_outstanding(&targets, &turn, |_| true).is_some());
        assert!(least_outstanding(&targets, &turn, |_| true).is_some());
    }
}
