//! Termination policies: which instance goes first.
//!
//! Invariants:
//! - What is protected from scale-in is never chosen.
//! - An instance where none should be goes first, then one of the fullest zone; the policies decide among those, each
//!   among what the one before it left.
//! - Deterministic: what AWS leaves to chance goes by age.

use std::collections::BTreeMap;

use ::api::autoscaling::DescribeTerminationPolicyTypesOutput;
use host::Timestamp;
use wire::ApiError;

use crate::errors;
use crate::rows::{GroupRow, InstanceRow, LaunchSource, Lifecycle};

const ALLOCATION_STRATEGY: &str = "AllocationStrategy";
const CLOSEST_TO_NEXT_HOUR: &str = "ClosestToNextInstanceHour";
const DEFAULT: &str = "Default";
const NEWEST: &str = "NewestInstance";
const OLDEST: &str = "OldestInstance";
const OLDEST_CONFIGURATION: &str = "OldestLaunchConfiguration";
const OLDEST_TEMPLATE: &str = "OldestLaunchTemplate";
const POLICIES: [&str; 7] =
    [ALLOCATION_STRATEGY, CLOSEST_TO_NEXT_HOUR, DEFAULT, NEWEST, OLDEST, OLDEST_CONFIGURATION, OLDEST_TEMPLATE];

/// The policies that a group gets.
pub(crate) fn check(given: Vec<String>) -> Result<Vec<String>, ApiError> {
    if given.is_empty() {
        return Ok(vec![DEFAULT.to_owned()]);
    }
    match given.iter().find(|policy| !POLICIES.contains(&policy.as_str())) {
        Some(unknown) => Err(errors::termination_policy_unknown(unknown)),
        None => Ok(given),
    }
}

/// DescribeTerminationPolicyTypes.
pub(crate) fn types() -> DescribeTerminationPolicyTypesOutput {
    DescribeTerminationPolicyTypesOutput { termination_policy_types: POLICIES.map(str::to_owned).to_vec() }
}

/// How many instances serve in each zone: the group's, and any other that has some.
pub(crate) fn zones(row: &GroupRow) -> Vec<(String, usize)> {
    let mut zones: BTreeMap<&str, usize> = row.zones.iter().map(|zone| (zone.as_str(), 0)).collect();
    for instance in row.instances.iter().filter(|instance| instance.counts()) {
        *zones.entry(&instance.zone).or_default() += 1;
    }
    zones.into_iter().map(|(zone, count)| (zone.to_owned(), count)).collect()
}

/// The position of the instance that is to go.
pub(crate) fn choose(row: &GroupRow, now: Timestamp) -> Option<usize> {
    let candidate = |instance: &InstanceRow| instance.counts() && !instance.protected && instance.id.is_some();
    let mut left: Vec<usize> = (0..row.instances.len()).filter(|index| candidate(&row.instances[*index])).collect();
    let misplaced: Vec<usize> =
        left.iter().copied().filter(|index| !row.zones.contains(&row.instances[*index].zone)).collect();
    if !misplaced.is_empty() {
        left = misplaced;
    }
    let counts: BTreeMap<String, usize> = zones(row).into_iter().collect();
    let fullness = |index: &usize| counts.get(&row.instances[*index].zone).copied().unwrap_or(0);
    let fullest = left.iter().map(fullness).max()?;
    left.retain(|index| fullness(index) == fullest);
    // An instance that does not serve yet is missed least.
    prefer(row, &mut left, |instance| u64::from(instance.lifecycle == Lifecycle::InService));
    for policy in &row.termination_policies {
        narrow(row, &mut left, policy, now);
    }
    left.into_iter().min_by_key(|index| row.instances[*index].created_ms)
}

fn narrow(row: &GroupRow, left: &mut Vec<usize>, policy: &str, now: Timestamp) {
    match policy {
        OLDEST => prefer(row, left, |instance| instance.created_ms),
        NEWEST => prefer(row, left, |instance| u64::MAX - instance.created_ms),
        OLDEST_CONFIGURATION => prefer(row, left, configuration_age),
        OLDEST_TEMPLATE => prefer(row, left, |instance| template_age(row, instance)),
        CLOSEST_TO_NEXT_HOUR => prefer(row, left, |instance| to_next_hour(instance, now)),
        DEFAULT => {
            prefer(row, left, configuration_age);
            prefer(row, left, |instance| template_age(row, instance));
            prefer(row, left, |instance| to_next_hour(instance, now));
        }
        // Only groups with several types have strategies, and there are none.
        _ => {}
    }
}

/// Keeps those with the lowest rank.
fn prefer(row: &GroupRow, left: &mut Vec<usize>, rank: impl Fn(&InstanceRow) -> u64) {
    let lowest = left.iter().map(|index| rank(&row.instances[*index])).min();
    left.retain(|index| Some(rank(&row.instances[*index])) == lowest);
}

/// Launch configurations rank by age, and before templates.
fn configuration_age(instance: &InstanceRow) -> u64 {
    match &instance.source {
        Some(LaunchSource::Configuration { created_ms, .. }) => *created_ms,
        Some(LaunchSource::Template { .. }) => u64::MAX,
        None => u64::MAX - 1,
    }
}

/// Another template than the group's ranks first, then the oldest version.
fn template_age(row: &GroupRow, instance: &InstanceRow) -> u64 {
    match (&instance.source, &row.source) {
        (Some(LaunchSource::Template { id, version, .. }), LaunchSource::Template { id: current, .. }) => {
            if id == current { version.parse().unwrap_or(u64::MAX) } else { 0 }
        }
        (Some(LaunchSource::Template { .. }), _) => 0,
        _ => u64::MAX,
    }
}

fn to_next_hour(instance: &InstanceRow, now: Timestamp) -> u64 {
    const HOUR_MS: u64 = 60 * 60 * 1000;
    HOUR_MS - now.as_millis().saturating_sub(instance.created_ms) % HOUR_MS
}
