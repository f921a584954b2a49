//! Which instances are ill.
//!
//! Invariants:
//! - EC2's word counts at once; ELB's counts when the group's type says so, after the grace period, and once the load
//!   balancer has had at least one healthy instance of the group.
//! - Whoever was found ill stays so, unless a user says otherwise.

use crate::causes;
use crate::draft::Draft;
use crate::groups::trusts_elb;
use crate::limits::STABLE_MS;
use crate::processes::HEALTH_CHECK;
use crate::rows::{AttachState, GroupRow, InstanceRow, Lifecycle};
use crate::world::World;

/// Marks those that EC2 or ELB say are ill.
pub(crate) fn judge(draft: &mut Draft, world: &World) {
    forgive(draft);
    if draft.row.suspends(HEALTH_CHECK) {
        return;
    }
    let now_ms = draft.now_ms();
    let mut died_young = false;
    for index in 0..draft.row.instances.len() {
        let Some(why) = illness(&draft.row, &draft.row.instances[index], world, now_ms) else { continue };
        let instance = &mut draft.row.instances[index];
        tracing::info!(group = draft.row.name, instance = instance.id, why, "an instance is unhealthy");
        instance.unhealthy = Some(why.to_owned());
        died_young |= instance.in_service_ms.is_some_and(|since| now_ms < since.saturating_add(STABLE_MS));
    }
    if died_young {
        // Once a look, however many fell; the first time costs nothing, a group that keeps falling waits.
        draft.strike(1);
    }
}

fn illness(row: &GroupRow, instance: &InstanceRow, world: &World, now_ms: u64) -> Option<&'static str> {
    if instance.lifecycle != Lifecycle::InService || instance.unhealthy.is_some() {
        return None;
    }
    let id = instance.id.as_deref()?;
    if !world.lives(id) {
        return Some(causes::NOT_RUNNING);
    }
    let grace_ms = u64::from(row.grace_period_s.unsigned_abs()) * 1000;
    let in_grace = instance.in_service_ms.is_some_and(|since| now_ms < since.saturating_add(grace_ms));
    if in_grace || !trusts_elb(row) {
        return None;
    }
    let unwanted = row.load_balancers.iter().any(|balancer| {
        balancer.state == AttachState::InService
            && instance.load_balancers.contains(&balancer.name)
            && world.target(&balancer.name, id).is_some_and(|target| !target.in_service && target.by_instance)
    });
    unwanted.then_some(causes::NOT_BALANCED)
}

/// Forgets failed launches once an instance that was launched since then has proved itself.
fn forgive(draft: &mut Draft) {
    let now_ms = draft.now_ms();
    let row = &mut draft.row;
    let proved = |instance: &InstanceRow| {
        instance.lifecycle == Lifecycle::InService
            && instance.unhealthy.is_none()
            && instance.created_ms >= row.failed_ms
            && instance.in_service_ms.is_some_and(|since| since.saturating_add(STABLE_MS) <= now_ms)
    };
    if row.failures > 0 && row.instances.iter().any(proved) {
        row.failures = 0;
        row.launch_after_ms = 0;
    }
}
