//! [`Judge`]: from the outcomes of checks to a target's standing.
//!
//! Invariants:
//! - Pure: outcomes go in, the standing comes out.
//! - Only consecutive outcomes count: one of the other kind starts the count anew.

use super::{HealthReason, HealthState};

/// One target's standing at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judge {
    state: HealthState,
    /// Outcomes in a row that speak against the state.
    against: u32,
}

impl Judge {
    /// For a target that is new, or (`in_service`) one that was in service before and comes back.
    pub(super) fn new(in_service: bool) -> Self {
        Self { state: if in_service { HealthState::InService } else { HealthState::Unknown }, against: 0 }
    }

    /// The check has changed: earlier outcomes say nothing about it, but the standing stays until new ones do.
    pub(super) fn restart(&mut self) {
        self.against = 0;
    }

    /// Takes a check's outcome.
    pub(super) fn take(&mut self, passed: bool, unhealthy_threshold: u32, healthy_threshold: u32) {
        let (speaks_against, threshold, other) = match self.state {
            // A new target is in service after its first pass.
            HealthState::Unknown if passed => {
                *self = Self::new(true);
                return;
            }
            HealthState::Unknown | HealthState::InService => (!passed, unhealthy_threshold, HealthState::OutOfService),
            HealthState::OutOfService => (passed, healthy_threshold, HealthState::InService),
        };
        self.against = if speaks_against { self.against.saturating_add(1) } else { 0 };
        if self.against > 0 && self.against >= threshold {
            *self = Self { state: other, against: 0 };
        }
    }

    pub(super) fn state(self) -> HealthState {
        self.state
    }

    pub(super) fn reason(self) -> HealthReason {
        match self.state {
            HealthState::Unknown => HealthReason::RegistrationInProgress,
            HealthState::InService => HealthReason::None,
            HealthState::OutOfService if self.against > 0 => HealthReason::NotPassedHealthyThreshold,
            HealthState::OutOfService => HealthReason::FailedUnhealthyThreshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` passes, `-` fails; thresholds 2 and 3.
    fn after(judge: Judge, outcomes: &str) -> Judge {
        outcomes.chars().fold(judge, |mut judge, outcome| {
            judge.take(outcome == '+', 2, 3);
            judge
        })
    }

    fn standing(outcomes: &str) -> (HealthState, HealthReason) {
        let judge = after(Judge::new(false), outcomes);
        (judge.state(), judge.reason())
    }

    const UNKNOWN: (HealthState, HealthReason) = (HealthState::Unknown, HealthReason::RegistrationInProgress);
    const IN_SERVICE: (HealthState, HealthReason) = (HealthState::InService, HealthReason::None);
    const FAILED: (HealthState, HealthReason) = (HealthState::OutOfService, HealthReason::FailedUnhealthyThreshold);
    const NOT_YET: (HealthState, HealthReason) = (HealthState::OutOfService, HealthReason::NotPassedHealthyThreshold);

    #[test]
    fn a_new_target_is_in_service_after_its_first_pass() {
        assert_eq!(standing(""), UNKNOWN);
        assert_eq!(standing("+"), IN_SERVICE);
        assert_eq!(standing("-+"), IN_SERVICE);
    }

    #[test]
    fn a_new_target_that_keeps_failing_is_out_of_service() {
        assert_eq!(standing("-"), UNKNOWN);
        assert_eq!(standing("--"), FAILED);
    }

    #[test]
    fn only_failures_in_a_row_take_a_target_out_of_service() {
        assert_eq!(standing("+-+-+-+-"), IN_SERVICE);
        assert_eq!(standing("+-+--"), FAILED);
    }

    #[test]
    fn a_target_comes_back_after_as_many_passes_in_a_row_as_the_threshold_says() {
        assert_eq!(standing("+--++"), NOT_YET);
        assert_eq!(standing("+--++-"), FAILED);
        assert_eq!(standing("+--++-++"), NOT_YET);
        assert_eq!(standing("+--++-+++"), IN_SERVICE);
    }

    #[test]
    fn a_target_that_never_was_in_service_needs_the_threshold_once_it_has_failed() {
        assert_eq!(standing("--+"), NOT_YET);
        assert_eq!(standing("--+++"), IN_SERVICE);
    }

    #[test]
    fn a_changed_check_keeps_the_standing_and_counts_anew() {
        let mut judge = after(Judge::new(false), "+-");
        judge.restart();
        assert_eq!(after(judge, "-").state(), HealthState::InService);
        assert_eq!(after(judge, "--").state(), HealthState::OutOfService);
        let mut judge = after(Judge::new(false), "--++");
        judge.restart();
        assert_eq!(judge.reason(), HealthReason::FailedUnhealthyThreshold);
        assert_eq!(after(judge, "++").state(), HealthState::OutOfService);
        assert_eq!(after(judge, "+++").state(), HealthState::InService);
    }

    #[test]
    fn a_threshold_of_1_is_reached_at_once() {
        let mut judge = Judge::new(true);
        judge.take(false, 1, 1);
        assert_eq!(judge.state(), HealthState::OutOfService);
        judge.take(true, 1, 1);
        assert_eq!(judge.state(), HealthState::InService);
    }
}
