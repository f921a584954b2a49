//! An instance's way: into service, out of it, past hooks and load balancers.
//!
//! ```text
//! Pending → [Pending:Wait] → Pending:Proceed → InService ⇄ EnteringStandby → Standby
//!                                                  │
//!                                                  ├→ Detaching → (gone from the group)
//!                                                  └→ Terminating → [Terminating:Wait] → Terminating:Proceed → (gone)
//! ```
//!
//! Invariants:
//! - Into service: first the hooks, then the load balancers. Out of it: first the load balancers and their draining, then
//!   the hooks, then EC2.
//! - An instance's row goes only when EC2 has nothing left of it, or when it was detached.
//! - Every wait has an end: hooks by their timeout, draining by [`DRAIN_MAX_MS`](crate::limits::DRAIN_MAX_MS).

use crate::causes;
use crate::draft::{DRAINING, Draft, status};
use crate::hooks;
use crate::processes::ADD_TO_LOAD_BALANCER;
use crate::rows::{AttachState, GroupRow, HookResult, InstanceRow, Lifecycle, Transition};
use crate::world::{Balancer, World};

/// Takes note of what was done and never written down: launches whose ids were lost, and registrations with load
/// balancers that are being detached.
pub(crate) fn adopt(draft: &mut Draft, world: &World) {
    adopt_launches(draft, world);
    let GroupRow { instances, load_balancers, .. } = &mut draft.row;
    for balancer in load_balancers.iter().filter(|one| one.state == AttachState::Removing) {
        for instance in instances.iter_mut() {
            adopt_registration(instance, &balancer.name, world);
        }
    }
}

/// A registration whose answer was lost is one all the same: what is to leave must leave it, too.
fn adopt_registration(instance: &mut InstanceRow, name: &String, world: &World) {
    let noted =
        instance.load_balancers.contains(name) || instance.drains.iter().any(|drain| drain.load_balancer == *name);
    if !noted && instance.id.as_ref().is_some_and(|id| world.has_registered(name, id)) {
        instance.load_balancers.push(name.clone());
    }
}

fn adopt_launches(draft: &mut Draft, world: &World) {
    for index in 0..draft.row.instances.len() {
        let instance = &draft.row.instances[index];
        if instance.id.is_some() {
            continue;
        }
        if let Some(id) = world.by_token.get(&instance.token) {
            launched(draft, index, id.clone());
        }
    }
}

/// Notes that EC2 has launched an intent.
pub(crate) fn launched(draft: &mut Draft, index: usize, id: String) {
    let instance = &mut draft.row.instances[index];
    if let Some(activity) = instance.activity.as_mut().filter(|_| instance.lifecycle == Lifecycle::Pending) {
        activity.description = format!("Launching a new EC2 instance: {id}");
        activity.progress = 30;
    }
    instance.id = Some(id);
}

/// Moves each instance on as far as it can go without a call.
pub(crate) fn advance(draft: &mut Draft, world: &World) {
    let tokens: Vec<_> = draft.row.instances.iter().map(|instance| instance.token.clone()).collect();
    for token in tokens {
        // Each step is final for the state that it leaves; the longest way has six.
        for _ in 0..6 {
            let Some(index) = draft.index_of(&token) else { break };
            let before = draft.row.instances[index].lifecycle;
            step(draft, world, index);
            if draft.index_of(&token).is_none_or(|index| draft.row.instances[index].lifecycle == before) {
                break;
            }
        }
    }
}

fn step(draft: &mut Draft, world: &World, index: usize) {
    match draft.row.instances[index].lifecycle {
        Lifecycle::Pending | Lifecycle::PendingWait | Lifecycle::PendingProceed => step_in(draft, world, index),
        Lifecycle::InService | Lifecycle::Standby => {}
        Lifecycle::EnteringStandby => {
            if is_released(draft, world, index) {
                draft.row.instances[index].lifecycle = Lifecycle::Standby;
                draft.end_of(index, status::SUCCESSFUL, None);
            }
        }
        Lifecycle::Detaching => {
            if is_released(draft, world, index) {
                draft.end_of(index, status::SUCCESSFUL, None);
                draft.remove(index);
            }
        }
        Lifecycle::Terminating | Lifecycle::TerminatingWait | Lifecycle::TerminatingProceed => {
            step_out(draft, world, index);
        }
    }
}

/// On the way into service.
fn step_in(draft: &mut Draft, world: &World, index: usize) {
    let instance = &draft.row.instances[index];
    // An intent waits for its launch.
    let Some(id) = instance.id.clone() else { return };
    if !world.lives(&id) {
        return fail(
            draft,
            index,
            "Instance became unhealthy while waiting for instance to be in InService state.".to_owned(),
        );
    }
    match instance.lifecycle {
        Lifecycle::Pending => {
            let fact = world.instances.get(&id).cloned().unwrap_or_default();
            if fact.state != "running" {
                return;
            }
            let instance = &mut draft.row.instances[index];
            instance.instance_type = fact.instance_type.or(instance.instance_type.take());
            instance.image_id = fact.image_id.or(instance.image_id.take());
            instance.subnet = instance.subnet.take().or(fact.subnet);
            begin_hooks(draft, index, Transition::Launching, (Lifecycle::PendingWait, Lifecycle::PendingProceed));
        }
        Lifecycle::PendingWait => match hooks::outcome(draft, index) {
            None => {}
            Some((HookResult::Continue, _)) => {
                proceed(draft, index, Lifecycle::PendingProceed, status::PRE_IN_SERVICE);
            }
            Some((HookResult::Abandon, why)) => fail(draft, index, why),
        },
        _ => balance(draft, world, index),
    }
}

/// Before service: all attached load balancers must have it.
fn balance(draft: &mut Draft, world: &World, index: usize) {
    let suspended = draft.row.suspends(ADD_TO_LOAD_BALANCER);
    let wanted: Vec<String> = draft
        .row
        .load_balancers
        .iter()
        .filter(|one| one.state != AttachState::Removing)
        .map(|one| one.name.clone())
        .collect();
    if let Some(name) = wanted.iter().find(|name| !suspended && world.misses(name)) {
        return fail(draft, index, no_load_balancer(name));
    }
    let refreshes = draft.row.refresh().is_some();
    let instance = &mut draft.row.instances[index];
    if suspended && !wanted.is_empty() {
        instance.unbalanced = true;
    } else if !wanted.iter().all(|name| instance.load_balancers.contains(name)) {
        return;
    }
    instance.lifecycle = Lifecycle::InService;
    instance.in_service_ms = Some(draft.now.as_millis());
    instance.hooked = false;
    // For a refresh it stays on top until it is warm and an old one goes; else the group chooses at once who is one too many.
    instance.surplus &= refreshes;
    instance.waits.clear();
    draft.row.scaled_ms = Some(draft.now.as_millis());
    draft.end_of(index, status::SUCCESSFUL, None);
}

/// AWS's sentence for a launch that a load balancer's absence forbids.
pub(crate) fn no_load_balancer(name: &str) -> String {
    format!("There is no ACTIVE Load Balancer named '{name}'. Updating load balancer configuration failed.")
}

/// A launch that came to nothing: what there is of it is ended, and the next one waits.
fn fail(draft: &mut Draft, index: usize, message: String) {
    tracing::warn!(group = draft.row.name, instance = draft.row.instances[index].id, message, "a launch failed");
    draft.end_of(index, status::CANCELLED, Some(message));
    draft.row.failed_zone = Some(draft.row.instances[index].zone.clone());
    draft.strike(0);
    let cause = causes::taken_out(draft.now, causes::NOT_RUNNING);
    draft.terminate(index, cause);
    // What never served passes no hook on its way out.
    draft.row.instances[index].hooked = true;
}

/// On the way out.
fn step_out(draft: &mut Draft, world: &World, index: usize) {
    match draft.row.instances[index].lifecycle {
        Lifecycle::Terminating => {
            if !is_released(draft, world, index) {
                return;
            }
            let done = (Lifecycle::TerminatingWait, Lifecycle::TerminatingProceed);
            begin_hooks(draft, index, Transition::Terminating, done);
        }
        Lifecycle::TerminatingWait => {
            if hooks::outcome(draft, index).is_some() {
                proceed(draft, index, Lifecycle::TerminatingProceed, status::IN_PROGRESS);
            }
        }
        _ => {
            let id = draft.row.instances[index].id.as_ref();
            if id.is_none_or(|id| world.is_gone(id)) {
                draft.end_of(index, status::SUCCESSFUL, None);
                draft.row.scaled_ms = Some(draft.now_ms());
                draft.remove(index);
            }
        }
    }
}

fn begin_hooks(draft: &mut Draft, index: usize, transition: Transition, (wait, done): (Lifecycle, Lifecycle)) {
    let waits = match draft.row.instances[index].hooked {
        true => Vec::new(),
        false => hooks::begin(draft, transition),
    };
    let instance = &mut draft.row.instances[index];
    instance.hooked = true;
    if waits.is_empty() {
        instance.lifecycle = done;
        return;
    }
    instance.waits = waits;
    instance.lifecycle = wait;
    if let Some(activity) = &mut instance.activity {
        activity.status = status::MID_LIFECYCLE_ACTION.to_owned();
        activity.description = activity.description.trim_end_matches(DRAINING).to_owned();
    }
}

fn proceed(draft: &mut Draft, index: usize, lifecycle: Lifecycle, status: &str) {
    let instance = &mut draft.row.instances[index];
    instance.lifecycle = lifecycle;
    if let Some(activity) = &mut instance.activity {
        activity.status = status.to_owned();
    }
}

/// Whether no load balancer has the instance any more; notes which still drain it.
fn is_released(draft: &mut Draft, world: &World, index: usize) -> bool {
    let (now_ms, hurry) = (draft.now_ms(), draft.row.deleting);
    let GroupRow { instances, load_balancers, .. } = &mut draft.row;
    let instance = &mut instances[index];
    let Some(id) = instance.id.clone() else { return true };
    for balancer in load_balancers.iter() {
        // Whether it has the instance is not known: going on could leave it there for ever.
        if world.is_silent(&balancer.name) {
            return false;
        }
        adopt_registration(instance, &balancer.name, world);
    }
    instance.load_balancers.retain(|name| !world.misses(name));
    // Nothing can be under way on an instance that is dead, and a forced deletion waits for nothing.
    let waits = world.lives(&id) && !hurry;
    instance.drains.retain(|drain| waits && now_ms < drain.deadline_ms && world.drains(&drain.load_balancer, &id));
    if let Some(activity) = &mut instance.activity {
        let plain = activity.description.trim_end_matches(DRAINING).to_owned();
        let (suffix, status) = match instance.drains.is_empty() {
            true => ("", status::IN_PROGRESS),
            false => (DRAINING, status::WAITING_FOR_DRAINING),
        };
        activity.description = plain + suffix;
        activity.status = status.to_owned();
        activity.progress = 50;
    }
    instance.load_balancers.is_empty() && instance.drains.is_empty()
}

/// Moves load balancers on: added when all that serve are registered, in service when one of them is healthy, gone when
/// they have let go.
pub(crate) fn attach_states(draft: &mut Draft, world: &World) {
    let row = &mut draft.row;
    let serving = || row.instances.iter().filter(|one| one.lifecycle == Lifecycle::InService && !one.unbalanced);
    let holds = |name: &String| {
        row.instances.iter().any(|instance| {
            let drained = instance.drains.iter().any(|drain| {
                drain.load_balancer == *name && instance.id.as_ref().is_some_and(|id| world.drains(name, id))
            });
            instance.load_balancers.contains(name) || drained
        })
    };
    let mut states = Vec::new();
    for balancer in &row.load_balancers {
        let name = &balancer.name;
        let registered = serving().all(|instance| instance.load_balancers.contains(name));
        let healthy = || {
            let one = |id: &String| world.target(name, id).is_some_and(|target| target.in_service);
            serving().filter_map(|instance| instance.id.as_ref()).any(one)
        };
        states.push(match balancer.state {
            AttachState::Removing if holds(name) => Some(AttachState::Removing),
            AttachState::Removing => None,
            AttachState::Adding if registered => Some(AttachState::Added),
            AttachState::Added if healthy() => Some(AttachState::InService),
            // One that was deleted and made anew must prove itself anew.
            AttachState::InService if matches!(world.load_balancers.get(name), Some(Balancer::Missing)) => {
                Some(AttachState::Added)
            }
            state => Some(state),
        });
    }
    let mut states = states.into_iter();
    row.load_balancers.retain_mut(|balancer| match states.next().flatten() {
        Some(state) => {
            balancer.state = state;
            true
        }
        None => false,
    });
    for instance in &mut row.instances {
        if instance.lifecycle == Lifecycle::InService {
            let id = instance.id.clone().unwrap_or_default();
            instance.drains.retain(|drain| world.drains(&drain.load_balancer, &id));
        }
    }
}
