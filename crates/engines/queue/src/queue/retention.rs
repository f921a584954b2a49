//! Retention: nothing outlives its time, counted from the send.
//!
//! Invariant: `oldest` is never later than the send time of a live message.

use std::time::Duration;

use host::Timestamp;

use super::{Body, QueueState, State};

impl QueueState {
    /// Drops what is too old, whatever its state, and returns its numbers and where the payloads lie. Moving messages
    /// stay: their new queue decides. Costs next to nothing while nothing is too old.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<(u64, Body)> {
        let retention = Duration::from_secs(u64::from(self.settings.retention_s));
        if self.oldest.plus(retention) > now {
            return Vec::new();
        }
        let sent_until = Timestamp(now.0.saturating_sub(u64::from(self.settings.retention_s) * 1000));
        let old: Vec<u64> = self
            .table
            .sent_until(sent_until)
            .filter(|entry| entry.sent_at <= sent_until && entry.state() != State::Moving)
            .map(|entry| entry.sequence)
            .collect();
        let gone = old.into_iter().filter_map(|sequence| Some((sequence, self.delete(sequence)?))).collect();
        let (_, oldest) = self.table.remove_where(sent_until, |_| false);
        self.oldest = oldest;
        gone
    }
}
