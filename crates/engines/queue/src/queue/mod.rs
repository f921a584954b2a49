//! The queue: who may see which message, and when.
//!
//! Invariants:
//! - A message is in exactly one of ready, delayed, in flight, held and moving.
//! - A ready message stands at or after the cursor, or in `returned`.
//! - Sequence numbers rise by one per message, in the order in which the journal holds them.
//!
//! A pure state machine: no I/O, no clock, no waiting. Time comes in as `now`; what must be journalled comes out as
//! return values. It knows where payloads lie, never what they say.

pub(crate) mod dead_letter;
mod delay;
mod retention;
mod table;
mod visibility;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use host::Timestamp;

use crate::message::{Counts, QueueId, Settings};
pub(crate) use table::{Body, Entry, History, State, Table};

/// Receives after which SQS leaves a message out of the age of the oldest.
const POISON_PILL_RECEIVES: u32 = 3;
/// Messages that one receive moves to the dead-letter queue at most, so that no receive takes long.
const DEAD_LETTERS_PER_RECEIVE_MAX: usize = 1000;

/// See the module.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(crate) settings: Settings,
    /// The number of the next message.
    next_sequence: u64,
    /// The latest number that the journal holds.
    applied_sequence: u64,
    /// All messages up to this number were purged, also such as the journal has not taken yet.
    purged_to: u64,
    table: Table,
    /// Every ready message from this number on was never taken before.
    cursor: u64,
    /// Ready messages before the cursor: lapsed, freed or due after the cursor had passed.
    returned: BTreeSet<u64>,
    /// In flight, by the end of the lease.
    leases: BTreeSet<(Timestamp, u64)>,
    /// Delayed, by due time; entries of purged messages remain until then.
    delays: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// Moving messages, and where to.
    moving: HashMap<u64, (QueueId, u64)>,
    /// No live message was sent before this.
    oldest: Timestamp,
    ready: usize,
    delayed: usize,
    held: usize,
}

/// A message lent to a receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lent {
    pub(crate) sequence: u64,
    pub(crate) sent_at: Timestamp,
    pub(crate) body: Body,
    /// With this receive.
    pub(crate) history: History,
    /// Without it, to take it back.
    pub(crate) before: Option<History>,
}

/// What a receive did.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) lent: Vec<Lent>,
    /// Messages that were received too often; they are held for the move to the dead-letter queue.
    pub(crate) dead: Vec<u64>,
}

impl QueueState {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::recovered(settings, 1, 0, Table::default(), Timestamp(0))
    }

    /// A queue as the journal tells it: the states of its messages follow from their histories and `now`.
    pub(crate) fn recovered(
        settings: Settings,
        next_sequence: u64,
        purged_to: u64,
        table: Table,
        now: Timestamp,
    ) -> Self {
        let mut queue = Self {
            settings,
            next_sequence,
            applied_sequence: next_sequence - 1,
            purged_to,
            table: Table::default(),
            cursor: 0,
            returned: BTreeSet::new(),
            leases: BTreeSet::new(),
            delays: BinaryHeap::new(),
            moving: HashMap::new(),
            oldest: Timestamp(u64::MAX),
            ready: 0,
            delayed: 0,
            held: 0,
        };
        let leased: Vec<(u64, Timestamp)> = table
            .from(0)
            .filter_map(|entry| Some((entry.sequence, entry.history.as_ref()?.visible_at)))
            .filter(|(_, visible_at)| *visible_at > now)
            .collect();
        let delayed: Vec<(u64, Timestamp)> = table
            .from(0)
            .filter(|entry| entry.delay_s > 0 && entry.history.as_ref().is_none_or(|h| h.receive_count == 0))
            .map(|entry| (entry.sequence, entry.due_at()))
            .filter(|(_, due_at)| *due_at > now)
            .collect();
        queue.oldest = table.from(0).map(|entry| entry.sent_at).min().unwrap_or(queue.oldest);
        queue.ready = table.len();
        queue.table = table;
        leased.into_iter().for_each(|(sequence, visible_at)| queue.lease(sequence, visible_at));
        delayed.into_iter().for_each(|(sequence, due_at)| queue.delay(sequence, due_at));
        queue.check();
        queue
    }

    /// Numbers for `count` messages; returns the first. They are inserted when the journal holds them, in this order.
    pub(crate) fn reserve(&mut self, count: usize) -> u64 {
        let first = self.next_sequence;
        self.next_sequence += count as u64;
        first
    }

    /// Takes in a message that the journal holds. False when it was purged meanwhile.
    pub(crate) fn insert(&mut self, entry: Entry, now: Timestamp) -> bool {
        let (sequence, due_at) = (entry.sequence, entry.due_at());
        debug_assert!(sequence > self.applied_sequence, "numbers rise");
        self.applied_sequence = sequence;
        if sequence <= self.purged_to {
            return false;
        }
        self.oldest = self.oldest.min(entry.sent_at);
        // A clock that was set back may not delay what has no delay.
        let delayed = entry.delay_s > 0 && due_at > now;
        self.table.insert(entry);
        self.ready += 1;
        if delayed {
            self.delay(sequence, due_at);
        }
        self.check();
        true
    }

    /// Whether a message with this number was purged before the journal took it.
    pub(crate) fn is_purged(&self, sequence: u64) -> bool {
        sequence <= self.purged_to
    }

    /// Lends up to `max` ready messages for `visibility_timeout_s`, the oldest first. Without `dead_letters` the
    /// dead-letter rule rests: there is no queue to move to.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        max: usize,
        visibility_timeout_s: u32,
        dead_letters: bool,
    ) -> Taken {
        let visible_at = now.plus(Duration::from_secs(u64::from(visibility_timeout_s)));
        let room = if visibility_timeout_s == 0 { usize::MAX } else { self.room_in_flight() };
        let max = max.min(room);
        let mut taken = Taken::default();
        while taken.lent.len() < max && taken.dead.len() < DEAD_LETTERS_PER_RECEIVE_MAX {
            let Some(sequence) = self.take_ready() else { break };
            if dead_letters && self.is_dead_letter(sequence) {
                self.hold(sequence);
                taken.dead.push(sequence);
            } else if let Some(lent) = self.lend(sequence, now, visible_at) {
                taken.lent.push(lent);
            }
        }
        if visibility_timeout_s == 0 {
            self.returned.extend(taken.lent.iter().map(|lent| lent.sequence));
        }
        self.check();
        taken
    }

    /// The next ready message; it counts as ready until its state changes.
    fn take_ready(&mut self) -> Option<u64> {
        if let Some(sequence) = self.returned.pop_first() {
            return Some(sequence);
        }
        if self.ready == 0 {
            return None;
        }
        let sequence = self.table.next_ready(self.cursor)?;
        self.cursor = sequence + 1;
        Some(sequence)
    }

    /// Puts a message among the ready ones again, or for the first time.
    fn make_ready(&mut self, sequence: u64) {
        if self.table.set_state(sequence, State::Ready).is_some() {
            self.ready += 1;
            if sequence < self.cursor {
                self.returned.insert(sequence);
            }
        }
    }

    /// Takes a message out, whatever its state, and returns where its payload lies. A moving message stays: its move
    /// is in the journal's queue already.
    pub(crate) fn delete(&mut self, sequence: u64) -> Option<Body> {
        let entry = self.table.get(sequence)?;
        let state = entry.state();
        match state {
            State::Dead | State::Moving => return None,
            State::Ready => {
                self.ready -= 1;
                self.returned.remove(&sequence);
            }
            State::Delayed => self.delayed -= 1,
            State::InFlight => {
                let visible_at = entry.history.as_ref().map(|history| history.visible_at).unwrap_or_default();
                self.leases.remove(&(visible_at, sequence));
            }
            State::Held => self.held -= 1,
        }
        let entry = self.table.remove(sequence)?;
        self.check();
        Some(entry.body)
    }

    /// Drops everything sent until now, also what the journal has not taken yet. Returns the number up to which, and
    /// where the payloads lie.
    pub(crate) fn purge(&mut self) -> (u64, Vec<Body>) {
        self.purged_to = self.next_sequence - 1;
        let (gone, oldest) = self.table.remove_where(Timestamp(u64::MAX), |entry| entry.state() != State::Moving);
        self.oldest = oldest;
        self.returned.clear();
        self.leases.clear();
        self.delays.clear();
        (self.ready, self.delayed, self.held) = (0, 0, 0);
        self.check();
        (self.purged_to, gone.into_iter().map(|entry| entry.body).collect())
    }

    /// How many messages there are. A message on its way to another queue counts as in flight.
    pub(crate) fn counts(&self) -> Counts {
        let in_flight = self.leases.len() + self.held + self.moving.len();
        Counts { visible: self.ready, in_flight, delayed: self.delayed }
    }

    /// Messages that may be received now.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// Age of the oldest message; see [`crate::Queue::oldest_age`].
    pub(crate) fn oldest_age(&self, now: Timestamp) -> Duration {
        let oldest = self
            .table
            .from(0)
            .find(|entry| entry.history.as_ref().is_none_or(|history| history.received_here < POISON_PILL_RECEIVES));
        oldest.map_or(Duration::ZERO, |entry| {
            let moved_at = entry.history.as_ref().map(|history| history.moved_at).unwrap_or_default();
            now.since(entry.sent_at.max(moved_at))
        })
    }

    /// When something will change by itself, for those who wait.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let lease = self.leases.first().map(|(visible_at, _)| *visible_at);
        let delay = self.delays.peek().map(|Reverse((due_at, _))| *due_at);
        lease.into_iter().chain(delay).min()
    }

    /// The message with this number.
    pub(crate) fn message(&self, sequence: u64) -> Option<&Entry> {
        self.table.get(sequence)
    }

    /// All messages from a number on, in order.
    pub(crate) fn messages_from(&self, sequence: u64) -> impl Iterator<Item = &Entry> {
        self.table.from(sequence)
    }

    /// Where a payload lies from now on.
    pub(crate) fn set_body(&mut self, sequence: u64, body: Body) {
        if let Some(entry) = self.table.get_mut(sequence) {
            entry.body = body;
        }
    }

    /// The latest number that the journal holds, and the number up to which messages were purged.
    pub(crate) fn marks(&self) -> (u64, u64) {
        (self.applied_sequence, self.purged_to.min(self.applied_sequence))
    }

    fn check(&self) {
        debug_assert_eq!(
            self.ready + self.delayed + self.leases.len() + self.held + self.moving.len(),
            self.table.len(),
            "a message is in exactly one state"
        );
    }
}

#[cfg(test)]
mod tests;
