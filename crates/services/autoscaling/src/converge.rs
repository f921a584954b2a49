//! From the capacity that there is to the capacity that is asked for.
//!
//! Invariants:
//! - A launch is an intent in the row first, and at most [`LAUNCHES_IN_FLIGHT_MAX`] are under way in a group.
//! - After a failure no launch begins before `launch_after_ms`.
//! - Zones are balanced: a launch goes to the zone with the fewest instances, an end comes from the one with the most.

use crate::causes;
use crate::draft::{Draft, status, uuid};
use crate::lifecycle;
use crate::limits::LAUNCHES_IN_FLIGHT_MAX;
use crate::processes::{ADD_TO_LOAD_BALANCER, AZ_REBALANCE, LAUNCH, REPLACE_UNHEALTHY, TERMINATE};
use crate::rows::{AttachState, GroupRow, InstanceRow, Lifecycle};
use crate::termination;
use crate::world::World;

/// How long a zone in which a launch failed comes last.
const ZONE_AVOIDED_MS: u64 = 5 * 60 * 1000;

/// Ends what must go, launches what is missing.
pub(crate) fn converge(draft: &mut Draft, world: &World) {
    replace_unhealthy(draft);
    replace_old(draft);
    let wanted = usize::try_from(draft.row.desired).unwrap_or(0);
    let capacity = draft.row.capacity();
    if capacity < wanted {
        launch(draft, world, wanted - capacity, wanted);
    } else if capacity > wanted {
        shrink(draft, capacity - wanted, wanted);
    } else {
        draft.row.cause = None;
        draft.row.replacements.clear();
        rebalance(draft);
    }
}

/// Ends all instances of a group that is being deleted.
pub(crate) fn wind_down(draft: &mut Draft) {
    for index in (0..draft.row.instances.len()).rev() {
        if !draft.row.instances[index].is_terminating() {
            if draft.row.instances[index].id.is_none() {
                abandon(draft, index);
                continue;
            }
            let cause = draft.deletion_cause();
            draft.terminate(index, cause);
        }
        let instance = &mut draft.row.instances[index];
        // A forced deletion waits for no hook.
        instance.hooked = true;
        instance.waits.clear();
        if instance.lifecycle == Lifecycle::TerminatingWait {
            instance.lifecycle = Lifecycle::TerminatingProceed;
        }
    }
}

/// Gives up an intent. EC2 does not know it, or it would have been adopted, and nobody is asking EC2 now.
fn abandon(draft: &mut Draft, index: usize) {
    draft.end_of(index, status::CANCELLED, None);
    draft.remove(index);
}

fn replace_unhealthy(draft: &mut Draft) {
    if draft.row.suspends(REPLACE_UNHEALTHY) || draft.row.suspends(TERMINATE) {
        return;
    }
    for index in 0..draft.row.instances.len() {
        let instance = &draft.row.instances[index];
        if instance.lifecycle != Lifecycle::InService {
            continue;
        }
        let Some(why) = instance.unhealthy.clone() else { continue };
        let cause = causes::taken_out(draft.now, &why);
        draft.terminate(index, cause);
        draft.row.replacements.push(causes::UNHEALTHY.to_owned());
    }
}

/// Ends the oldest instance that has lived for too long; one at a time.
fn replace_old(draft: &mut Draft) {
    let Some(lifetime_s) = draft.row.instance_lifetime_max_s else { return };
    let lifetime_ms = u64::from(lifetime_s.unsigned_abs()) * 1000;
    let now_ms = draft.now_ms();
    if draft.row.suspends(TERMINATE) || draft.row.suspends(LAUNCH) || !is_calm(&draft.row) {
        return;
    }
    let is_old = |instance: &InstanceRow| instance.created_ms.saturating_add(lifetime_ms) <= now_ms;
    let in_service = |instance: &InstanceRow| instance.lifecycle == Lifecycle::InService;
    let oldest = draft.row.instances.iter().enumerate().filter(|(_, one)| in_service(one) && is_old(one));
    let Some((index, _)) = oldest.min_by_key(|(_, instance)| instance.created_ms) else { return };
    let cause = causes::taken_out(draft.now, causes::LIFETIME);
    draft.terminate(index, cause);
    draft.row.replacements.push(causes::LIFETIME.to_owned());
}

/// Whether nobody comes or goes.
fn is_calm(row: &GroupRow) -> bool {
    row.instances.iter().all(|instance| matches!(instance.lifecycle, Lifecycle::InService | Lifecycle::Standby))
}

fn launch(draft: &mut Draft, world: &World, missing: usize, wanted: usize) {
    let in_flight = draft.row.instances.iter().filter(|one| one.is_pending() && one.waits.is_empty()).count();
    let count = missing.min(LAUNCHES_IN_FLIGHT_MAX.saturating_sub(in_flight));
    if count == 0 || !may_launch(draft) {
        return;
    }
    let had = draft.row.capacity();
    if let Some(name) = missing_load_balancer(&draft.row, world) {
        return fail_before_launch(draft, &name, had, wanted);
    }
    for _ in 0..count {
        let cause = match draft.row.replacements.is_empty() {
            false => causes::launched(draft.now, &draft.row.replacements.remove(0)),
            true => draft.with_cause(causes::started(draft.now, had, wanted)),
        };
        intend(draft, cause, false);
    }
}

fn may_launch(draft: &Draft) -> bool {
    !draft.row.suspends(LAUNCH) && draft.now_ms() >= draft.row.launch_after_ms
}

fn missing_load_balancer(row: &GroupRow, world: &World) -> Option<String> {
    if row.suspends(ADD_TO_LOAD_BALANCER) {
        return None;
    }
    let attached = row.load_balancers.iter().filter(|one| one.state != AttachState::Removing);
    attached.map(|one| &one.name).find(|name| world.misses(name)).cloned()
}

/// A launch that would end outside of its load balancer is not begun.
fn fail_before_launch(draft: &mut Draft, name: &str, had: usize, wanted: usize) {
    let (zone, subnet) = place(draft);
    let cause = draft.with_cause(causes::started(draft.now, had, wanted));
    let message = lifecycle::no_load_balancer(name);
    let description = format!("Launching a new EC2 instance.  Status Reason: {message}");
    let activity = draft.begin(description, cause, (&zone, subnet.as_deref()));
    draft.end(activity, status::FAILED, Some(message));
    draft.strike(0);
}

/// Writes down that an instance is to be launched.
fn intend(draft: &mut Draft, cause: String, surplus: bool) {
    let (zone, subnet) = place(draft);
    let mut activity = draft.begin("Launching a new EC2 instance".to_owned(), cause, (&zone, subnet.as_deref()));
    activity.status = status::PRE_IN_SERVICE.to_owned();
    draft.row.instances.push(InstanceRow {
        token: uuid(&*draft.ids),
        id: None,
        zone,
        subnet,
        instance_type: None,
        image_id: None,
        source: Some(draft.row.source.clone()),
        lifecycle: Lifecycle::Pending,
        unhealthy: None,
        protected: draft.row.protects_new,
        created_ms: draft.now_ms(),
        in_service_ms: None,
        load_balancers: Vec::new(),
        unbalanced: false,
        drains: Vec::new(),
        waits: Vec::new(),
        hooked: false,
        terminate_ms: None,
        untagged: false,
        surplus,
        activity: Some(activity),
    });
}

/// Launches one for a refresh, on top of the desired capacity.
pub(crate) fn intend_surplus(draft: &mut Draft, cause: String) {
    if may_launch(draft) {
        intend(draft, cause, true);
    }
}

/// The zone and subnet of the next launch.
fn place(draft: &Draft) -> (String, Option<String>) {
    let row = &draft.row;
    let lives = |instance: &&InstanceRow| instance.counts() || instance.surplus;
    let in_zone = |zone: &String| row.instances.iter().filter(lives).filter(|one| one.zone == *zone).count();
    let avoided = |zone: &String| {
        row.failed_zone.as_ref() == Some(zone) && draft.now_ms() < row.failed_ms.saturating_add(ZONE_AVOIDED_MS)
    };
    let zone = row.zones.iter().min_by_key(|zone| (avoided(zone), in_zone(zone))).cloned().unwrap_or_default();
    let in_subnet =
        |id: &String| row.instances.iter().filter(lives).filter(|one| one.subnet.as_ref() == Some(id)).count();
    let subnets = row.subnets.iter().filter(|subnet| subnet.zone == zone);
    let subnet = subnets.map(|subnet| &subnet.id).min_by_key(|id| in_subnet(id)).cloned();
    (zone, subnet)
}

fn shrink(draft: &mut Draft, excess: usize, wanted: usize) {
    if draft.row.suspends(TERMINATE) {
        return;
    }
    let had = draft.row.capacity();
    for _ in 0..excess {
        // What is not launched yet is given up first.
        let intent = draft.row.instances.iter().position(|one| one.id.is_none() && one.is_pending() && one.counts());
        if let Some(index) = intent {
            abandon(draft, index);
            continue;
        }
        let Some(index) = termination::choose(&draft.row, draft.now) else { return };
        let id = draft.row.instances[index].id.clone().unwrap_or_default();
        let cause = draft.with_cause(causes::shrunk(draft.now, had, wanted, &id));
        draft.terminate(index, cause);
    }
}

/// Launches into the emptiest zone when another has two more, or when an instance is where none should be; the one too
/// many is then ended as any other.
fn rebalance(draft: &mut Draft) {
    let row = &draft.row;
    let suspended = [AZ_REBALANCE, LAUNCH, TERMINATE].iter().any(|process| row.suspends(process));
    let ill = row.instances.iter().any(|instance| instance.unhealthy.is_some());
    let busy = row.instances.iter().any(|instance| instance.surplus) || row.refresh().is_some();
    if suspended || ill || busy || !is_calm(row) || !may_launch(draft) {
        return;
    }
    let zones = termination::zones(row);
    let of_group: Vec<usize> = zones.iter().filter(|(zone, _)| row.zones.contains(zone)).map(|(_, n)| *n).collect();
    let spread = of_group.iter().max().unwrap_or(&0) - of_group.iter().min().unwrap_or(&0);
    let misplaced = zones.iter().any(|(zone, count)| *count > 0 && !row.zones.contains(zone));
    let protected = row.instances.iter().all(|instance| instance.protected);
    if (spread > 1 || misplaced) && !protected {
        let place = place(draft);
        let emptiest = zones.iter().filter(|(zone, _)| row.zones.contains(zone)).min_by_key(|(_, count)| *count);
        // Where the emptiest zone takes nobody, a launch elsewhere would balance nothing, again and again.
        if emptiest.is_some_and(|(_, least)| zones.iter().any(|(zone, count)| *zone == place.0 && count == least)) {
            let cause = causes::balancing(draft.now, &zones);
            intend(draft, cause, true);
        }
    }
}
