//! Group commit: what waits goes into one frame, one write, one sync; then the callers hear of it.
//!
//! Invariants:
//! - Calls are written in the order in which they were queued, and a call is never split.
//! - The lock is not held while anything is encoded, written or synced.
//! - No artificial delay: while one batch is synced, the next one gathers. Only leases, for which nobody waits, ride on
//!   the next commit, for at most [`LEASE_FLUSH`].

use std::sync::Arc;
use std::time::Duration;

use host::Timestamp;
use tokio::sync::oneshot;

use super::lifecycle::Stop;
use super::{FileUse, Shard, State};
use crate::engine::Writer;
use crate::error::EngineError;
use crate::journal::Position;
use crate::journal::bodies::Content;
use crate::journal::frame::Frame;
use crate::journal::record::{PUT_OVERHEAD_BYTES, Record};
use crate::journal::writer::{Appended, FileJournal};
use crate::message::QueueId;
use crate::queue::{self, Body, Entry};
use crate::stats::SYNC_BUCKETS_US;

/// How long leases wait for a commit to ride on. A crash forgets them, and their messages come early.
pub(super) const LEASE_FLUSH: Duration = Duration::from_millis(100);
/// What a record without a payload counts for in the size of a batch.
const NOTE_BYTES: usize = 64;

/// A message on its way into a queue.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) sequence: u64,
    pub(super) delay_s: u16,
    pub(super) content: Content,
}

/// A change on its way into the journal, and what is left to do once it is there.
pub(super) enum Op {
    /// New messages.
    Send { queue: QueueId, sent_at: Timestamp, messages: Vec<Fresh> },
    /// A change that the queue knows already.
    Note(Record<'static>),
    /// A dead letter leaves `from`.
    DeadLetter { from: (QueueId, u64), to: QueueId, entry: Entry },
    /// A message was deleted while it was moving; it arrives and goes.
    DeleteMoved { queue: QueueId, sequence: u64 },
    /// Messages leave `from` on request, each as a new message of another queue.
    Transfer { from: QueueId, sent_at: Timestamp, moves: Vec<(u64, QueueId, Fresh)> },
    /// A message's payload moves to the head of the journal.
    Relocate { queue: QueueId, entry: Entry, content: Content },
    /// Nothing: whoever waits for it waits for all before it.
    Barrier,
}

/// A change with the one who waits for it.
pub(super) struct Call {
    op: Op,
    bytes: usize,
    done: Option<oneshot::Sender<Result<(), EngineError>>>,
}

impl Call {
    pub(super) fn new(op: Op, done: Option<oneshot::Sender<Result<(), EngineError>>>) -> Self {
        let put = |content: &Content| PUT_OVERHEAD_BYTES + content.1.len();
        let bytes = match &op {
            Op::Send { messages, .. } => messages.iter().map(|message| put(&message.content)).sum(),
            Op::Transfer { moves, .. } => moves.iter().map(|(_, _, message)| put(&message.content)).sum(),
            Op::Relocate { content, .. } => put(content),
            Op::Note(_) | Op::DeadLetter { .. } | Op::DeleteMoved { .. } | Op::Barrier => NOTE_BYTES,
        };
        Self { op, bytes, done }
    }
}

/// What commits: the log's end and the memory that each commit uses again.
pub(super) struct Committer {
    journal: Option<FileJournal>,
    frame: Frame,
    batch: Vec<Call>,
    /// Where the payloads of the batch lie in the frame, and how long their records are.
    places: Vec<(u32, u32)>,
}

impl Committer {
    pub(super) fn new(journal: Option<FileJournal>) -> Self {
        Self { journal, frame: Frame::default(), batch: Vec::new(), places: Vec::new() }
    }

    /// Encodes the batch and makes it durable. `None` when there was nothing to write.
    fn write(&mut self) -> std::io::Result<Option<Appended>> {
        self.places.clear();
        let Some(journal) = &mut self.journal else { return Ok(None) };
        self.frame.clear();
        for call in &self.batch {
            encode(&call.op, &mut self.frame, &mut self.places);
        }
        if self.frame.records() == 0 {
            return Ok(None);
        }
        journal.append(&mut self.frame).map(Some)
    }
}

impl Fresh {
    fn record(&self, queue: QueueId, sent_at: Timestamp) -> Record<'_> {
        let (sequence, delay_s, (id, payload)) = (self.sequence, self.delay_s, &self.content);
        Record::Put { queue, sequence, sent_at, delay_s, history: None, id: *id, payload }
    }
}

fn encode(op: &Op, frame: &mut Frame, places: &mut Vec<(u32, u32)>) {
    match op {
        Op::Send { queue, sent_at, messages } => {
            places.extend(messages.iter().map(|message| frame.push(&message.record(*queue, *sent_at))));
        }
        Op::Transfer { from, sent_at, moves } => {
            places.extend(moves.iter().map(|(_, to, message)| frame.push(&message.record(*to, *sent_at))));
            let sequences = moves.iter().map(|(sequence, ..)| *sequence).collect();
            frame.push(&Record::Delete { queue: *from, sequences });
        }
        Op::Relocate { queue, entry, content: (id, payload) } => {
            let (queue, sequence, sent_at, delay_s) = (*queue, entry.sequence, entry.sent_at, entry.delay_s);
            let history = entry.history.as_deref().copied();
            places.push(frame.push(&Record::Put { queue, sequence, sent_at, delay_s, history, id: *id, payload }));
        }
        Op::Note(record) => drop(frame.push(record)),
        Op::DeadLetter { from, to, entry } => {
            frame.push(&Record::Move {
                from: *from,
                to: *to,
                sequence: entry.sequence,
                sent_at: entry.sent_at,
                body: entry.body,
                history: entry.history.as_deref().copied().unwrap_or_default(),
            });
        }
        Op::DeleteMoved { queue, sequence } => {
            frame.push(&Record::Delete { queue: *queue, sequences: vec![*sequence] });
        }
        Op::Barrier => {}
    }
}

/// Hands out the places of a batch's payloads, in order.
struct Places<'a> {
    places: std::slice::Iter<'a, (u32, u32)>,
    file: u32,
    frame: u32,
}

impl Places<'_> {
    fn next(&mut self, content: &Content) -> Body {
        match self.places.next() {
            Some((offset, length)) => Body { file: self.file, offset: self.frame + offset, length: *length, slot: 0 },
            // Without a journal there is no place, only a size.
            None => Body { length: u32::try_from(content.1.len()).unwrap_or(u32::MAX), ..Body::default() },
        }
    }
}

impl Shard {
    /// Sees to it that what was queued gets committed: tells the writer thread, or does it here.
    pub(super) fn kick(&self) {
        match self.writer {
            Writer::Thread => drop(self.calls.notify_one()),
            Writer::Inline => {
                let mut committer = self.committer.lock();
                while self.commit(&mut committer) {}
                drop(committer);
                self.upkeep_inline();
            }
        }
    }

    /// The writer thread.
    pub(super) fn run_writer(&self) {
        let mut committer = self.committer.lock();
        loop {
            let mut state = self.lock();
            while !state.urgent {
                if state.stop == Some(Stop::All) {
                    if state.pending.is_empty() {
                        return;
                    }
                    break;
                }
                // The first wait after a commit ends by itself, to take leases along; then only a call ends it, so
                // that an idle engine uses no CPU.
                if state.asleep && state.pending.is_empty() {
                    self.calls.wait(&mut state);
                    state.asleep = false;
                } else if self.calls.wait_for(&mut state, LEASE_FLUSH).timed_out() {
                    if !state.pending.is_empty() {
                        break;
                    }
                    state.asleep = true;
                }
            }
            drop(state);
            self.commit(&mut committer);
        }
    }

    /// Commits one batch. False when nothing waited.
    pub(super) fn commit(&self, committer: &mut Committer) -> bool {
        if !self.take_batch(committer) {
            return false;
        }
        let (started, result) = (now_for_metrics(), committer.write());
        let took = started.elapsed();
        let answer = match result {
            Ok(appended) => {
                self.apply_batch(committer, appended, took);
                Ok(())
            }
            Err(error) => Err(self.poison(&format!("cannot write the journal: {error}"))),
        };
        for call in committer.batch.drain(..) {
            if let Some(done) = call.done {
                // A caller that went away does not need its answer.
                let _ = done.send(answer.clone());
            }
        }
        true
    }

    fn take_batch(&self, committer: &mut Committer) -> bool {
        let mut state = self.lock();
        if state.poisoned {
            // Nothing may follow a frame that may not be whole. Dropping the calls tells those who wait.
            state.pending.clear();
        }
        let mut bytes = 0;
        while bytes < self.limits.commit_bytes
            && committer.batch.len() < self.limits.commit_calls
            && let Some(call) = state.pending.pop_front()
        {
            bytes += call.bytes;
            committer.batch.push(call);
        }
        state.urgent = !state.pending.is_empty();
        state.writing = !committer.batch.is_empty();
        state.writing
    }

    fn apply_batch(&self, committer: &mut Committer, appended: Option<Appended>, took: Duration) {
        let now = self.clock.now();
        let mut state = self.lock();
        let (file, frame) = appended.as_ref().map_or((0, 0), |appended| (appended.file, appended.offset));
        if let Some(appended) = appended {
            count_commit(&mut state, &appended, committer.batch.len(), took);
            state.end_at(appended);
        }
        let mut places = Places { places: committer.places.iter(), file, frame };
        for call in &mut committer.batch {
            let op = std::mem::replace(&mut call.op, Op::Barrier);
            self.apply(&mut state, op, &mut places, now);
        }
        state.writing = false;
        if state.upkeep_is_due(&self.limits, self.disk.as_ref().map(|side| &*side.supply)) {
            self.work.notify_one();
        }
    }

    /// What is left to do for a change that is in the journal.
    fn apply(&self, state: &mut State, op: Op, places: &mut Places<'_>, now: Timestamp) {
        match op {
            Op::Send { queue, sent_at, messages } => {
                let (count, mut bytes) = (messages.len() as u64, 0);
                for message in messages {
                    bytes += message.content.1.len() as u64;
                    let body = places.next(&message.content);
                    state.put(queue, sent_at, message, body, now);
                }
                if let Ok(slot) = state.slot(queue) {
                    slot.stats.sent += count;
                    slot.stats.sent_bytes += bytes;
                }
                state.settle(queue, &self.timer);
            }
            Op::Transfer { from, sent_at, moves } => {
                for (sequence, to, message) in moves {
                    if let Some(left) = state.slot(from).ok().and_then(|slot| slot.machine.finish_move(sequence)) {
                        state.release(&left.body);
                    }
                    let body = places.next(&message.content);
                    state.put(to, sent_at, message, body, now);
                    state.settle(to, &self.timer);
                }
            }
            Op::DeadLetter { from, to, entry } => {
                if let Ok(slot) = state.slot(from.0) {
                    slot.machine.finish_move(from.1);
                    slot.stats.dead_lettered += 1;
                }
                let body = entry.body;
                if !state.slot(to).is_ok_and(|slot| slot.machine.insert(entry, now)) {
                    state.release(&body);
                }
                state.settle(to, &self.timer);
            }
            Op::DeleteMoved { queue, sequence } => {
                if let Some(body) = state.slot(queue).ok().and_then(|slot| slot.machine.delete(sequence)) {
                    state.release(&body);
                }
            }
            Op::Relocate { queue, entry, content } => {
                let body = places.next(&content);
                state.relocated(queue, &entry, body);
            }
            Op::Note(_) | Op::Barrier => {}
        }
    }

    /// Gives up: nothing is acknowledged any more. Returns what callers are told.
    pub(super) fn poison(&self, reason: &str) -> EngineError {
        let mut state = self.lock();
        if let Some(first @ EngineError::Poisoned(_)) = &state.refusing {
            return first.clone();
        }
        tracing::error!(reason, "the queue journal failed; the process must restart");
        let reason: Arc<str> = reason.into();
        let error = EngineError::Poisoned(Arc::clone(&reason));
        // Whoever meets the error can see the reason here.
        self.poisoned.send_replace(Some(reason));
        state.refusing = Some(error.clone());
        state.poisoned = true;
        state.writing = false;
        state.urgent = false;
        let pending = std::mem::take(&mut state.pending);
        state.queues.values_mut().for_each(|slot| slot.waiters.wake_all());
        drop(state);
        for done in pending.into_iter().filter_map(|call| call.done) {
            let _ = done.send(Err(error.clone()));
        }
        error
    }
}

impl State {
    /// Queues a change for which nobody waits.
    pub(super) fn note(&mut self, record: Record<'static>) {
        if !self.durable {
            return;
        }
        self.pending.push_back(Call::new(Op::Note(record), None));
    }

    /// Deletes for which nobody waits.
    pub(super) fn note_deleted(&mut self, queue: QueueId, sequences: Vec<u64>) {
        self.note(Record::Delete { queue, sequences });
    }

    /// Whether something was queued that is not durable yet.
    pub(super) fn is_committing(&self) -> bool {
        self.writing || !self.pending.is_empty()
    }

    fn put(&mut self, queue: QueueId, sent_at: Timestamp, message: Fresh, mut body: Body, now: Timestamp) {
        // A queue deleted or purged meanwhile takes nothing, and the payload is dead on arrival.
        let Some(slot) = self.queues.get_mut(&queue) else { return };
        let wanted = !slot.machine.is_purged(message.sequence);
        if wanted {
            self.bodies.keep(&mut body, message.content);
            self.retain(&body);
        }
        if let Some(slot) = self.queues.get_mut(&queue) {
            slot.machine.insert(Entry::new(message.sequence, sent_at, message.delay_s, body, None), now);
        }
    }

    fn relocated(&mut self, queue: QueueId, entry: &Entry, body: Body) {
        let Some(slot) = self.queues.get_mut(&queue) else { return };
        // Gone, or on its way to another queue, while its copy was written: then nobody needs the copy.
        let message = slot.machine.message(entry.sequence);
        if message.is_some_and(|now| now.body == entry.body && now.state() != queue::State::Moving) {
            slot.machine.set_body(entry.sequence, body);
            self.release(&entry.body);
            self.retain(&body);
            self.stats.relocated += 1;
        }
    }

    fn end_at(&mut self, appended: Appended) {
        let Position { file, offset, .. } = appended.end;
        if let Some(begun) = appended.begun {
            self.files.insert(file, FileUse { file: begun, end: 0, live: 0, live_bytes: 0 });
        }
        if let Some(current) = self.files.get_mut(&file) {
            current.end = offset.into();
        }
        self.end = appended.end;
    }
}

fn count_commit(state: &mut State, appended: &Appended, calls: usize, took: Duration) {
    let bytes = u64::from(appended.end.offset - appended.offset);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let bucket = SYNC_BUCKETS_US.partition_point(|bound| *bound < took_us);
    let stats = &mut state.stats;
    stats.commits += 1;
    stats.calls += calls as u64;
    stats.journal_bytes += bytes;
    stats.sync_us += took_us;
    stats.sync_histogram[bucket] += 1;
    state.upkeep.written(bytes);
}

/// A moment to measure from.
#[allow(clippy::disallowed_methods, reason = "a duration for metrics, which nothing depends on")]
fn now_for_metrics() -> std::time::Instant {
    std::time::Instant::now()
}
