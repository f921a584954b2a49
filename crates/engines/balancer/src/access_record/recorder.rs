//! [`Recorder`]: where one worker leaves its records, for the spool's thread to fetch.
//!
//! Invariants:
//! - The lock is shared by two: the worker and, a few times a second, the spool's thread, which holds it just long
//!   enough to exchange the buffer for an empty one.
//! - A buffer never holds more than [`BUFFER_BYTES_MAX`] and one line.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::format::{self, DateCache};
use super::{LogKey, Record};

/// Beyond this the worker does not wait for the spool's next round but calls for it.
const CALL_BYTES: usize = 1 << 20;
/// Beyond this records are dropped and counted: the disk cannot keep up, or is dead.
pub(super) const BUFFER_BYTES_MAX: usize = 8 << 20;

/// Lines of one log that follow each other in a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) key: LogKey,
    /// Where it ends; it begins where the one before ends.
    pub(super) end: usize,
    pub(super) records: u64,
    /// The earliest and the latest request.
    pub(super) first_us: u64,
    pub(super) last_us: u64,
}

/// Lines, and to which logs they belong.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) segments: Vec<Segment>,
    /// Records that were dropped since the last exchange.
    pub(super) dropped: u64,
    called: bool,
}

impl Lines {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.segments.clear();
        self.dropped = 0;
        self.called = false;
    }
}

#[derive(Default)]
struct State {
    lines: Lines,
    dates: DateCache,
}

/// Wakes the spool's thread.
#[derive(Default)]
pub(super) struct Bell {
    pub(super) rung: Mutex<bool>,
    pub(super) wake: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.wake.notify_one();
    }
}

/// Takes the records of one worker thread.
pub(crate) struct Recorder {
    state: Arc<Mutex<State>>,
    bell: Arc<Bell>,
}

/// The spool's end of a recorder.
pub(super) struct Source(Arc<Mutex<State>>);

impl Recorder {
    pub(super) fn new(bell: Arc<Bell>) -> (Self, Source) {
        let state = Arc::new(Mutex::new(State::default()));
        (Self { state: Arc::clone(&state), bell }, Source(state))
    }

    /// One that no spool empties.
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        Self::new(Arc::default()).0
    }

    /// What it has noted, as it will stand in the log.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.state.lock().lines.bytes).into_owned()
    }

    /// Notes a request or TCP connection that has ended. Never waits.
    pub(crate) fn record(&self, key: LogKey, load_balancer: &str, record: &Record<'_>) {
        let mut locked = self.state.lock();
        let state = &mut *locked;
        let lines = &mut state.lines;
        if lines.bytes.len() >= BUFFER_BYTES_MAX {
            lines.dropped += 1;
            return;
        }
        format::line(&mut lines.bytes, &mut state.dates, load_balancer, record);
        let (end, us) = (lines.bytes.len(), record.received_us);
        match lines.segments.last_mut() {
            Some(last) if last.key == key => {
                last.end = end;
                last.records += 1;
                last.first_us = last.first_us.min(us);
                last.last_us = last.last_us.max(us);
            }
            _ => lines.segments.push(Segment { key, end, records: 1, first_us: us, last_us: us }),
        }
        if end >= CALL_BYTES && !lines.called {
            lines.called = true;
            // Whom this wakes wants the lock at once.
            drop(locked);
            self.bell.ring();
        }
    }
}

impl Source {
    /// Exchanges the worker's lines for `empty`.
    pub(super) fn take(&self, empty: &mut Lines) {
        debug_assert!(empty.bytes.is_empty() && empty.segments.is_empty());
        std::mem::swap(&mut self.0.lock().lines, empty);
    }

    /// Whether its worker has ended.
    pub(super) fn is_orphaned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
