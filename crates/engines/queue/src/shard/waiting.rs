//! Who waits for messages of a queue, in the order of arrival.
//!
//! Invariant: a receiver that was woken holds a promise until it looked or went away, so that one message wakes one.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

/// See the module.
#[derive(Default)]
pub(crate) struct Waiters {
    waiting: BTreeMap<u64, Waiter>,
    /// Messages promised to those woken, by ticket.
    promises: BTreeMap<u64, usize>,
}

struct Waiter {
    max: usize,
    wake: oneshot::Sender<()>,
}

impl Waiters {
    /// Waits under a ticket; lower tickets are served first.
    pub(crate) fn wait(&mut self, ticket: u64, max: usize) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        self.waiting.insert(ticket, Waiter { max, wake });
        woken
    }

    /// The one with this ticket looks, or has gone away.
    pub(crate) fn leave(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
        self.promises.remove(&ticket);
    }

    /// Messages that somebody woken is about to take.
    pub(crate) fn promised(&self) -> usize {
        self.promises.values().sum()
    }

    /// Wakes as many as `messages` messages serve.
    pub(crate) fn wake(&mut self, messages: usize) {
        let mut left = messages.saturating_sub(self.promised());
        while left > 0
            && let Some((ticket, waiter)) = self.waiting.pop_first()
        {
            let share = waiter.max.min(left);
            if waiter.wake.send(()).is_ok() {
                self.promises.insert(ticket, share);
                left -= share;
            }
        }
    }

    /// Wakes all: there is news that concerns everybody.
    pub(crate) fn wake_all(&mut self) {
        while let Some((_, waiter)) = self.waiting.pop_first() {
            // One that has gone away meanwhile needs no news.
            let _ = waiter.wake.send(());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wake_those_who_came_first_and_no_more_than_they_serve() {
        let mut waiters = Waiters::default();
        let mut woken: Vec<_> = (0..4).map(|ticket| waiters.wait(ticket, 2)).collect();
        waiters.wake(3);
        let state: Vec<bool> = woken.iter_mut().map(|woken| woken.try_recv().is_ok()).collect();
        assert_eq!(state, [true, true, false, false]);
        waiters.wake(3);
        assert!(woken[2].try_recv().is_err(), "the three messages are promised already");
        waiters.leave(0);
        waiters.wake(3);
        assert!(woken[2].try_recv().is_ok());
    }

    #[test]
    fn one_that_went_away_is_passed_over() {
        let mut waiters = Waiters::default();
        drop(waiters.wait(0, 1));
        let mut second = waiters.wait(1, 1);
        waiters.wake(1);
        assert!(second.try_recv().is_ok());
    }
}
