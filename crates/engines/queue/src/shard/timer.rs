//! The shard's timer: wakes those who wait when a lease lapses or a delay ends.
//!
//! Invariants:
//! - One task per shard, whatever the number of messages; it sleeps while nobody waits or nothing will change.
//! - Only queues that somebody waits for are looked at: the others catch up when they are used.

use std::sync::{Arc, Weak};
use std::time::Duration;

use host::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Shard, State};

/// Looks at the clock at least this often while a deadline is near or far: an operator may set the clock.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Shortest sleep, the timer's resolution.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// What the shard knows of its timer.
#[derive(Default)]
pub(super) struct Timer {
    armed: Option<Timestamp>,
    task: Option<JoinHandle<()>>,
}

impl Timer {
    /// Makes the timer look at `deadline` or before.
    pub(super) fn arm(&mut self, deadline: Timestamp, notify: &Notify) {
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.armed = Some(deadline);
            notify.notify_one();
        }
    }
}

impl Shard {
    /// Starts the timer's task if it does not run, on the caller's runtime.
    pub(super) fn start_timer(self: &Arc<Self>, state: &mut State) {
        if state.timer.task.as_ref().is_none_or(JoinHandle::is_finished) {
            state.timer.armed = None;
            let notify = Arc::clone(&self.timer);
            state.timer.task = Some(tokio::spawn(run(Arc::downgrade(self), notify)));
        }
    }

    /// Does what is due, and returns how long nothing will be.
    fn fire(&self) -> Option<Duration> {
        let now = self.clock.now();
        let mut state = self.lock();
        let watched: Vec<_> = state.watched.iter().copied().collect();
        let mut next: Option<Timestamp> = None;
        for id in watched {
            let waits = state.queues.get(&id).is_some_and(|slot| !slot.waiters.is_empty());
            if !waits || state.up_to(id, now).is_err() {
                state.watched.remove(&id);
                continue;
            }
            state.settle(id, &self.timer);
            let deadline = state.queues.get(&id).and_then(|slot| slot.machine.next_deadline());
            next = next.into_iter().chain(deadline).min();
        }
        state.timer.armed = next;
        next.map(|deadline| deadline.since(now).clamp(SLEEP_MIN, SLEEP_MAX))
    }
}

async fn run(shard: Weak<Shard>, notify: Arc<Notify>) {
    loop {
        let Some(sleep) = shard.upgrade().map(|shard| shard.fire()) else { return };
        match sleep {
            Some(sleep) => {
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    () = notify.notified() => {}
                }
            }
            None => notify.notified().await,
        }
    }
}
