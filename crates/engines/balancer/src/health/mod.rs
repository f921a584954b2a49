//! Health checks: which targets may get new requests, and why others may not.
//!
//! Invariants:
//! - Each node judges for itself every target that it may use, and nobody else writes `TargetState::in_service` while
//!   the target is registered.
//! - A target's checks come at a fixed period, however long answers take, and never two at a time.
//! - A target that stays from one configuration to the next keeps its standing, also when the check itself changes.
//! - Checks of many targets are spread over the interval, in the same way for the same seed.

mod checker;
mod judge;
mod probe;

use std::sync::Arc;

use host::Timestamp;

pub(crate) use checker::{Checker, Watched};

use crate::config::TargetId;

/// Whether a target serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthState {
    /// It is new, and no check has passed, nor have enough failed.
    #[default]
    Unknown,
    /// It does.
    InService,
    /// It does not.
    OutOfService,
}

/// Why a target is not in service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthReason {
    /// It is new, and no check has passed, nor have enough failed.
    #[default]
    RegistrationInProgress,
    /// Nothing to explain: it is in service.
    None,
    /// As many checks in a row as the unhealthy threshold says have failed, and the last one too.
    FailedUnhealthyThreshold,
    /// Checks pass again, but not yet as many in a row as the healthy threshold says.
    NotPassedHealthyThreshold,
}

/// What is known of a target's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) state: HealthState,
    pub(crate) reason: HealthReason,
    /// What was wrong when a check failed last, if one has since the target was last in service.
    pub(crate) failure: Option<Arc<str>>,
    /// Since when the state is what it is.
    pub(crate) since: Timestamp,
}

/// How a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// The target.
    pub id: TargetId,
    /// Where it stands.
    pub zone: Arc<str>,
    /// Whether it serves.
    pub state: HealthState,
    /// Why it does not.
    pub reason: HealthReason,
    /// What was wrong at the last check that failed, for people: `got 404, not 200`.
    pub failure: Option<Arc<str>>,
    /// Since when the state is what it is.
    pub since: Timestamp,
    /// Whether it was deregistered, or its zone disabled, and it finishes what it has begun.
    pub draining: bool,
}

impl TargetHealth {
    pub(crate) fn new(id: TargetId, zone: Arc<str>, judgement: Judgement, draining: bool) -> Self {
        let Judgement { state, reason, failure, since } = judgement;
        Self { id, zone, state, reason, failure, since, draining }
    }
}
