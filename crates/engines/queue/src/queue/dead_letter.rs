//! Leaving a queue for another: dead letters, and moves on request.
//!
//! Invariants:
//! - A message leaves when the journal holds its move, not before: until then it is in the old queue, and hidden.
//! - A held message may still be deleted or purged; a moving one is decided, and follows its move.

use host::Timestamp;

use super::{Body, Entry, History, QueueState, State};
use crate::message::QueueId;

impl QueueState {
    /// Whether one more receive would exceed what the dead-letter rule allows.
    pub(super) fn is_dead_letter(&self, sequence: u64) -> bool {
        let Some(dead_letter) = self.settings.dead_letter else { return false };
        self.history(sequence).is_some_and(|history| history.received_here >= dead_letter.max_receive_count)
    }

    /// Hides a ready message while its move is prepared.
    pub(super) fn hold(&mut self, sequence: u64) {
        if self.table.set_state(sequence, State::Held).is_some() {
            self.ready -= 1;
            self.held += 1;
        }
    }

    /// Holds up to `max` ready messages that `goes` names.
    pub(crate) fn hold_ready(&mut self, max: usize, goes: impl Fn(Option<QueueId>) -> bool) -> Vec<(u64, Body)> {
        let (mut held, mut stays) = (Vec::new(), Vec::new());
        while held.len() < max {
            let Some(sequence) = self.take_ready() else { break };
            let Some(entry) = self.table.get(sequence) else { continue };
            let source = entry.history.as_ref().and_then(|history| history.source);
            let body = entry.body;
            if goes(source) {
                self.hold(sequence);
                held.push((sequence, body));
            } else {
                stays.push(sequence);
            }
        }
        self.returned.extend(stays);
        self.check();
        held
    }

    /// Makes a held message ready again.
    pub(crate) fn release(&mut self, sequence: u64) {
        if self.table.get(sequence).is_some_and(|entry| entry.state() == State::Held) {
            self.held -= 1;
            self.make_ready(sequence);
        }
        self.check();
    }

    /// The move of a held message to a number in another queue goes to the journal. Returns the message as it is
    /// here, or `None` if it was deleted meanwhile.
    pub(crate) fn start_move(&mut self, sequence: u64, to: (QueueId, u64)) -> Option<Entry> {
        if self.table.get(sequence)?.state() != State::Held {
            return None;
        }
        let entry = self.table.set_state(sequence, State::Moving)?.clone();
        self.held -= 1;
        self.moving.insert(sequence, to);
        self.check();
        Some(entry)
    }

    /// Where a message is moving to.
    pub(crate) fn moving_to(&self, sequence: u64) -> Option<(QueueId, u64)> {
        self.moving.get(&sequence).copied()
    }

    /// The journal holds the move: the message leaves.
    pub(crate) fn finish_move(&mut self, sequence: u64) -> Option<Entry> {
        self.moving.remove(&sequence)?;
        let entry = self.table.remove(sequence);
        self.check();
        entry
    }
}

/// A dead letter as its new queue sees it: same send time and counts, no lease, its source remembered.
pub(crate) fn as_dead_letter(entry: &Entry, sequence: u64, source: QueueId, now: Timestamp) -> Entry {
    let before = entry.history.as_deref().copied().unwrap_or_default();
    let history = History { visible_at: Timestamp(0), received_here: 0, source: Some(source), moved_at: now, ..before };
    Entry::new(sequence, entry.sent_at, 0, entry.body, Some(history))
}
