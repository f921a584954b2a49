//! Looking after groups.
//!
//! Invariants:
//! - [`Autoscaling::tick`] is idempotent and one at a time: called at any moment, it brings every group a step closer to
//!   what is asked of it, and leaves a group that is there alone.
//! - A group's row is durable before EC2 or ELB are asked for what it says.
//! - A hint may be lost: every second repairs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use ::api::Call;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::draft::Draft;
use crate::limits::GROUPS_AT_ONCE_MAX;
use crate::plan::{is_settled, plan};
use crate::rows::GroupRow;
use crate::service::{Autoscaling, Inner};
use crate::service_call;
use crate::world::{self, World};

/// Time between two looks when nobody gives a hint.
const TICK: Duration = Duration::from_secs(1);
/// The same while a group is on its way.
const TICK_UNSETTLED: Duration = Duration::from_millis(200);
/// Looks in a row without a pause: what keeps changing must not keep the machine busy.
const TICKS_AT_ONCE_MAX: u32 = 16;
/// Time between two searches for activities that are too old.
const FORGET_EVERY_MS: u64 = 60 * 60 * 1000;

/// What failed at the last look; each is logged once.
#[derive(Default)]
pub(crate) struct Failing {
    places: BTreeSet<(String, String)>,
    rows: bool,
    forgot_ms: u64,
}

/// What a look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Something changed: the next look may find more to do.
    pub(crate) moved: bool,
    /// Something is under way.
    pub(crate) unsettled: bool,
}

impl Autoscaling {
    /// Looks after all groups once; whether anything changed. What fails is logged, and repaired by a later call.
    #[cfg(test)]
    pub(crate) async fn tick(&self) -> bool {
        self.look().await.moved
    }

    pub(crate) async fn look(&self) -> Look {
        let mut failing = self.inner.reconciling.lock().await;
        let groups = match self.all_groups().await {
            Ok(groups) => groups,
            Err(error) => {
                if !std::mem::replace(&mut failing.rows, true) {
                    tracing::error!(%error, "cannot read the Auto Scaling groups; they are left alone");
                }
                return Look::default();
            }
        };
        failing.rows = false;
        self.forget(&mut failing).await;
        let mut look = Look { moved: false, unsettled: groups.iter().any(|group| !is_settled(group)) };
        let mut places: BTreeMap<(String, String), Vec<GroupRow>> = BTreeMap::new();
        for group in groups {
            places.entry((group.account.clone(), group.region.clone())).or_default().push(group);
        }
        for (place, groups) in places {
            let Some(call) = service_call::call(&place.0, &place.1) else { continue };
            match world::gather(&*self.inner.ec2, &*self.inner.elb, &call, &groups).await {
                Ok(world) => {
                    failing.places.remove(&place);
                    look.moved |= self.look_after_all(&call, groups, &world).await;
                }
                Err(error) => {
                    if failing.places.insert(place) {
                        tracing::error!(%error, "EC2 does not say what runs; the Auto Scaling groups are left alone");
                    }
                }
            }
        }
        look
    }

    async fn look_after_all(&self, call: &Call, groups: Vec<GroupRow>, world: &World) -> bool {
        let looks = futures_util::stream::iter(groups).map(|group| self.look_after(call, group, world));
        looks.buffer_unordered(GROUPS_AT_ONCE_MAX).fold(false, async |any, one| any || one).await
    }

    /// Plans, makes the plan durable, and asks for what it needs.
    async fn look_after(&self, call: &Call, group: GroupRow, world: &World) -> bool {
        let mut trial = Draft::new(group.clone(), self.inner.clock.now(), std::sync::Arc::clone(&self.inner.ids));
        plan(&mut trial, world);
        let changes = trial.delete || !trial.ended.is_empty() || trial.row != group;
        let mut row = group;
        if changes {
            // Planned again on the row as it is by then: a user may have been quicker.
            let known = world.clone();
            let planned = move |draft: &mut Draft| {
                plan(draft, &known);
                Ok((draft.row.clone(), draft.delete))
            };
            row = match self.edit(row.key(), planned).await {
                Ok(Some((row, false))) => row,
                Ok(_) => return true,
                Err(error) => {
                    tracing::error!(group = row.name, %error, "a group's next step could not be written down");
                    return false;
                }
            };
        }
        self.perform(call, &row, world).await || changes
    }

    async fn forget(&self, failing: &mut Failing) {
        let now = self.inner.clock.now();
        if now.as_millis() < failing.forgot_ms.saturating_add(FORGET_EVERY_MS) {
            return;
        }
        failing.forgot_ms = now.as_millis();
        if let Err(error) = self.forget_old_activities(now).await {
            tracing::error!(%error, "old activities could not be forgotten");
        }
    }
}

/// Looks after groups on hints and ticks until told to stop, or until nobody holds the service any more.
pub(crate) async fn reconcile_forever(inner: Weak<Inner>, stop: CancellationToken) {
    let mut at_once = 0;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let autoscaling = Autoscaling { inner };
        let look = autoscaling.look().await;
        at_once = if look.moved { at_once + 1 } else { 0 };
        let pause = match look {
            Look { moved: true, .. } if at_once < TICKS_AT_ONCE_MAX => Duration::ZERO,
            Look { moved: true, .. } | Look { unsettled: true, .. } => TICK_UNSETTLED,
            Look { .. } => TICK,
        };
        if at_once >= TICKS_AT_ONCE_MAX {
            at_once = 0;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = autoscaling.inner.hint.notified() => {}
        }
    }
}
