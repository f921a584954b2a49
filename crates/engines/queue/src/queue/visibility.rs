//! Visibility: a message lent to one receiver is hidden from the others until the lease ends.
//!
//! Invariants:
//! - A message in flight has its lease in `leases` under its history's `visible_at`.
//! - A lease is named by its receive count and time: what an old handle asks for never touches a newer lease.

use std::time::Duration;

use host::Timestamp;

use super::{History, Lent, QueueState, State};
use crate::error::VisibilityError;

/// The longest that one receive may hide a message, however often its timeout is changed; SQS's limit.
const HIDDEN_MAX: Duration = Duration::from_secs(12 * 60 * 60);

impl QueueState {
    /// Brings the queue up to `now`: what lapsed or is due becomes ready. Call it before anything that looks.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        while let Some((visible_at, sequence)) = self.leases.first().copied()
            && visible_at <= now
        {
            self.leases.pop_first();
            self.make_ready(sequence);
        }
        self.release_due(now);
        self.check();
    }

    /// How many more messages may be in flight.
    pub(crate) fn room_in_flight(&self) -> usize {
        self.settings.in_flight_max.saturating_sub(self.leases.len())
    }

    /// Lends a message that [`QueueState::take_ready`] gave.
    pub(super) fn lend(&mut self, sequence: u64, now: Timestamp, visible_at: Timestamp) -> Option<Lent> {
        let hidden = visible_at > now;
        let state = if hidden { State::InFlight } else { State::Ready };
        let entry = self.table.set_state(sequence, state)?;
        let (sent_at, body, before) = (entry.sent_at, entry.body, entry.history.as_deref().copied());
        let history = entry.history_mut();
        if history.receive_count == 0 {
            history.first_received_at = now;
        }
        history.receive_count = history.receive_count.saturating_add(1);
        history.received_here = history.received_here.saturating_add(1);
        history.received_at = now;
        history.visible_at = visible_at;
        let lent = Lent { sequence, sent_at, body, history: *history, before };
        if hidden {
            self.ready -= 1;
            self.leases.insert((visible_at, sequence));
        }
        Some(lent)
    }

    /// Puts a ready message in flight, for recovery.
    pub(super) fn lease(&mut self, sequence: u64, visible_at: Timestamp) {
        if self.table.set_state(sequence, State::InFlight).is_some() {
            self.ready -= 1;
            self.leases.insert((visible_at, sequence));
        }
    }

    /// Takes a loan back as if it had never been: the receiver went away before it saw the message.
    /// False when the message was touched since.
    pub(crate) fn give_back(&mut self, lent: &Lent) -> bool {
        let Some(entry) = self.table.get_mut(lent.sequence) else { return false };
        if entry.history.as_deref() != Some(&lent.history) {
            return false;
        }
        entry.history = lent.before.map(Box::new);
        if entry.state() == State::InFlight {
            self.leases.remove(&(lent.history.visible_at, lent.sequence));
            self.make_ready(lent.sequence);
        }
        self.check();
        true
    }

    /// Ends the lease `timeout_s` from now, at once if that is 0. Returns when the message becomes visible.
    pub(crate) fn change_visibility(
        &mut self,
        sequence: u64,
        receive_count: u32,
        received_at: Timestamp,
        now: Timestamp,
        timeout_s: u32,
    ) -> Result<Timestamp, VisibilityError> {
        let entry = self.table.get_mut(sequence).ok_or(VisibilityError::Gone)?;
        let in_flight = entry.state() == State::InFlight;
        let history = entry.history.as_deref_mut().ok_or(VisibilityError::NotInFlight)?;
        if !in_flight || history.receive_count != receive_count || history.received_at != received_at {
            return Err(VisibilityError::NotInFlight);
        }
        let visible_at = now.plus(Duration::from_secs(u64::from(timeout_s)));
        if visible_at.since(received_at) > HIDDEN_MAX {
            return Err(VisibilityError::TooLong);
        }
        self.leases.remove(&(history.visible_at, sequence));
        history.visible_at = visible_at;
        if visible_at > now {
            self.leases.insert((visible_at, sequence));
        } else {
            self.make_ready(sequence);
        }
        self.check();
        Ok(visible_at)
    }

    /// The history of a message, if it has one.
    pub(crate) fn history(&self, sequence: u64) -> Option<History> {
        self.table.get(sequence)?.history.as_deref().copied()
    }
}
