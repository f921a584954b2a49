//! [`plan`]: what follows from a group's row and from what EC2 and ELB say.
//!
//! Invariants:
//! - Pure: it changes the draft, and nothing else. What is to be asked of EC2 and ELB then follows from the row (`calls`).
//! - Idempotent: with the same world and at the same moment, a second pass changes nothing that the first one settled.
//! - No call to EC2 for this group is under way while it runs, so an intent that EC2 does not know was never launched.

use crate::converge;
use crate::draft::Draft;
use crate::health;
use crate::lifecycle;
use crate::refresh;
use crate::rows::{GroupRow, Lifecycle};
use crate::scheduled_actions;
use crate::world::World;

/// Brings a group one step closer to what is asked of it.
pub(crate) fn plan(draft: &mut Draft, world: &World) {
    lifecycle::adopt(draft, world);
    if !draft.row.deleting {
        scheduled_actions::run_due(draft);
        health::judge(draft, world);
    }
    lifecycle::advance(draft, world);
    if draft.row.deleting {
        converge::wind_down(draft);
        draft.delete = draft.row.instances.is_empty();
        return;
    }
    lifecycle::attach_states(draft, world);
    refresh::drive(draft);
    converge::converge(draft, world);
}

/// Whether nothing is under way in a group: the next look may wait.
pub(crate) fn is_settled(row: &GroupRow) -> bool {
    let rests = |lifecycle| matches!(lifecycle, Lifecycle::InService | Lifecycle::Standby);
    !row.deleting
        && row.refresh().is_none()
        && row.instances.iter().all(|instance| rests(instance.lifecycle))
        && i32::try_from(row.capacity()) == Ok(row.desired)
}
