//! Delay: a message may not be seen before it is due.
//!
//! Invariant: a delayed message has an entry in `delays` under its due time.

use std::cmp::Reverse;

use host::Timestamp;

use super::{QueueState, State};

impl QueueState {
    /// Hides a ready message until it is due.
    pub(super) fn delay(&mut self, sequence: u64, due_at: Timestamp) {
        if self.table.set_state(sequence, State::Delayed).is_some() {
            self.ready -= 1;
            self.delayed += 1;
            self.delays.push(Reverse((due_at, sequence)));
        }
    }

    /// Makes ready what is due.
    pub(super) fn release_due(&mut self, now: Timestamp) {
        while let Some(Reverse((due_at, sequence))) = self.delays.peek().copied()
            && due_at <= now
        {
            self.delays.pop();
            // Purged and expired messages leave their entries behind.
            if self.table.get(sequence).is_some_and(|entry| entry.state() == State::Delayed) {
                self.delayed -= 1;
                self.make_ready(sequence);
            }
        }
    }
}
