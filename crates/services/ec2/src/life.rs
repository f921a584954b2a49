//! An instance's life: what its row becomes by what the engine says, and what the engine is to do next.
//!
//! Invariants:
//! - Pure: row, engine's word and moment decide.
//! - Whoever ends an instance, it says so in AWS's words; a reason that a user gave is not written over.
//! - Each deed can be done again: a crash between deed and row costs nothing.

use machines::{Instance, InstanceState, OnExit, Reason};

use crate::rows::{Goal, InstanceRow, State};

/// How long a terminated instance is shown, as on AWS.
pub(crate) const SHOWN_TERMINATED_MS: u64 = 60 * 60 * 1000;

/// What the engine is to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Launch,
    Start,
    Reboot,
    Stop,
    Terminate,
    /// What can change while it runs has changed.
    Modify,
    /// It has been shown for long enough.
    Forget,
}

/// The row after what the engine says of the instance; nothing, if it has none.
pub(crate) fn seen(row: &InstanceRow, engine: Option<&Instance>, now_ms: u64) -> InstanceRow {
    let mut next = row.clone();
    match engine {
        None => missing(&mut next),
        Some(instance) => present(&mut next, instance),
    }
    if next.state != row.state {
        next.since_ms = now_ms;
    }
    next
}

fn missing(row: &mut InstanceRow) {
    if row.state == State::Terminated {
        return;
    }
    if row.goal == Goal::Terminated {
        row.state = State::Terminated;
    } else if row.is_launched {
        end(row, State::Terminated, Some(&Reason::LaunchFailed("the engine has no trace of it any more".into())));
    }
}

fn present(row: &mut InstanceRow, instance: &Instance) {
    row.is_launched = true;
    if row.state == State::Terminated {
        return;
    }
    if row.start {
        // The engine still speaks of the time before; it has been told once it says otherwise.
        if matches!(instance.state, InstanceState::Stopped | InstanceState::Stopping) {
            return;
        }
        row.start = false;
    }
    match (row.goal, instance.state) {
        (_, InstanceState::Terminated) => end(row, State::Terminated, instance.reason.as_ref()),
        (_, InstanceState::ShuttingDown) => end(row, State::ShuttingDown, instance.reason.as_ref()),
        (Goal::Terminated, _) => row.state = State::ShuttingDown,
        (_, InstanceState::Stopped) => end(row, State::Stopped, instance.reason.as_ref()),
        (_, InstanceState::Stopping) => end(row, State::Stopping, instance.reason.as_ref()),
        (Goal::Stopped, InstanceState::Pending | InstanceState::Running) => row.state = State::Stopping,
        (Goal::Running, InstanceState::Pending) => row.state = State::Pending,
        (Goal::Running, InstanceState::Running) => {
            row.state = State::Running;
            row.reason = None;
        }
    }
}

/// It is on its way to an end or there; if nobody asked for that, the engine's reason is told.
fn end(row: &mut InstanceRow, state: State, reason: Option<&Reason>) {
    row.state = state;
    let goal = if state.is_ending() { Goal::Terminated } else { Goal::Stopped };
    if row.goal == goal {
        return;
    }
    (row.goal, row.reboot) = (goal, false);
    let (code, sentence) = match reason {
        Some(Reason::ShutDownInside) | None => {
            ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown".into())
        }
        Some(Reason::Asked) => ("Client.UserInitiatedShutdown", "User initiated shutdown".into()),
        Some(Reason::Killed) => ("Server.InternalError", "Its first process was killed".into()),
        Some(Reason::LaunchFailed(why)) => ("Server.InternalError", format!("Internal error on launch: {why}")),
    };
    row.reason = Some((code.to_owned(), format!("{code}: {sentence}")));
    row.transition_reason = match reason {
        Some(Reason::Killed | Reason::LaunchFailed(_)) => "Server.InternalError".to_owned(),
        _ => String::new(),
    };
}

/// An instance that could not be launched.
pub(crate) fn launch_failed(row: &mut InstanceRow, why: String, now_ms: u64) {
    end(row, State::Terminated, Some(&Reason::LaunchFailed(why)));
    row.since_ms = now_ms;
}

/// What the engine is to do next.
pub(crate) fn deed(row: &InstanceRow, engine: Option<&Instance>, now_ms: u64) -> Option<Deed> {
    let is_old = row.state == State::Terminated && now_ms.saturating_sub(row.since_ms) >= SHOWN_TERMINATED_MS;
    let Some(instance) = engine else {
        let is_new = row.goal == Goal::Running && !row.is_launched && row.state != State::Terminated;
        return if is_new { Some(Deed::Launch) } else { is_old.then_some(Deed::Forget) };
    };
    match (row.goal, instance.state) {
        (_, InstanceState::ShuttingDown) => None,
        (_, InstanceState::Terminated) => is_old.then_some(Deed::Forget),
        (Goal::Terminated, _) => Some(Deed::Terminate),
        (Goal::Stopped, InstanceState::Running | InstanceState::Pending) => Some(Deed::Stop),
        (Goal::Running, InstanceState::Stopped) if row.start => Some(Deed::Start),
        (Goal::Running, InstanceState::Running) if row.reboot => Some(Deed::Reboot),
        (Goal::Running, InstanceState::Running) if instance.spec.on_exit != on_exit(row) => Some(Deed::Modify),
        _ => None,
    }
}

/// What becomes of an instance that shuts itself down.
pub(crate) fn on_exit(row: &InstanceRow) -> OnExit {
    if row.shutdown_terminates { OnExit::Terminate } else { OnExit::Stop }
}
