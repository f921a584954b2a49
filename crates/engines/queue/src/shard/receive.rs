//! Receiving: at once, or after a wait; from memory, or from the journal's files.
//!
//! Invariants:
//! - A message is lent only if its receiver gets to see it: a dropped future gives back what it took.
//! - Those who wait are served in the order in which they came.

use std::sync::Arc;

use host::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::commit::{Call, Op};
use super::{Shard, State};
use crate::engine::Writer;
use crate::error::EngineError;
use crate::journal::bodies::Content;
use crate::journal::file::JournalFile;
use crate::journal::record::{Lease, Record, payload_of};
use crate::message::{QueueId, Receive, Received};
use crate::queue::dead_letter::as_dead_letter;
use crate::queue::{Body, Lent};
use crate::receipt_handle::Handle;

/// What one look at the queue gave.
enum Look {
    Lent(Loan),
    Nothing,
    Wait(oneshot::Receiver<()>),
}

/// A place among those who wait. Given up when dropped, and then the next in line takes over what was promised.
struct Seat {
    shard: Arc<Shard>,
    queue: QueueId,
    ticket: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shard.lock();
        if let Ok(slot) = state.slot(self.queue) {
            slot.waiters.leave(self.ticket);
        }
        state.settle(self.queue, &self.shard.timer);
    }
}

/// Messages lent and not handed over yet. Given back when dropped.
struct Loan {
    shard: Arc<Shard>,
    queue: QueueId,
    lent: Vec<Lent>,
    contents: Vec<Option<Content>>,
    /// What must be read from the journal: which message, and from which file.
    missing: Vec<(usize, Arc<JournalFile>)>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.lent.is_empty() {
            self.shard.give_back(self.queue, &self.lent);
        }
    }
}

impl Shard {
    pub(crate) async fn receive(self: &Arc<Self>, id: QueueId, request: Receive) -> Result<Vec<Received>, EngineError> {
        let mut seat = None;
        let mut deadline = None;
        loop {
            let look = self.look_for(id, &request, &mut seat);
            // Dead letters go to the journal, whatever else the look gave.
            self.kick_if_urgent();
            match look? {
                Look::Lent(loan) => {
                    drop(seat);
                    return loan.hand_over().await;
                }
                Look::Nothing => return Ok(Vec::new()),
                Look::Wait(woken) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + request.wait);
                    // Being woken and losing the one who wakes both mean: look again.
                    if tokio::time::timeout_at(deadline, woken).await.is_err() {
                        drop(seat);
                        self.count_empty(id);
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    fn kick_if_urgent(&self) {
        let urgent = self.lock().urgent;
        if urgent {
            self.kick();
        }
    }

    fn count_empty(&self, id: QueueId) {
        if let Ok(slot) = self.lock().slot(id) {
            slot.stats.empty_receives += 1;
        }
    }

    fn look_for(
        self: &Arc<Self>,
        id: QueueId,
        request: &Receive,
        seat: &mut Option<Seat>,
    ) -> Result<Look, EngineError> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        let may_wait = !request.wait.is_zero() && !state.draining;
        let ticket = seat.as_ref().map(|seat| seat.ticket);
        let slot = match state.up_to(id, now) {
            Ok(slot) => slot,
            // Deleted while this one waited.
            Err(EngineError::NoSuchQueue) if ticket.is_some() => return Ok(Look::Nothing),
            Err(error) => return Err(error),
        };
        if let Some(ticket) = ticket {
            slot.waiters.leave(ticket);
        }
        if slot.machine.room_in_flight() == 0 && request.wait.is_zero() {
            return Err(EngineError::OverInFlight);
        }
        // Who is willing to wait does not overtake those who do.
        let in_line = may_wait && ticket.is_none() && slot.machine.ready() <= slot.waiters.promised();
        let lent = if in_line { Vec::new() } else { self.lend(&mut state, id, request, now) };
        if !lent.is_empty() {
            state.settle(id, &self.timer);
            return Ok(Look::Lent(self.loan(&mut state, id, lent)));
        }
        if !may_wait {
            state.slot(id)?.stats.empty_receives += 1;
            return Ok(Look::Nothing);
        }
        let ticket = ticket.unwrap_or_else(|| {
            state.next_ticket += 1;
            state.next_ticket
        });
        let woken = state.slot(id)?.waiters.wait(ticket, request.max);
        state.watched.insert(id);
        self.start_timer(&mut state);
        state.settle(id, &self.timer);
        drop(state);
        seat.get_or_insert_with(|| Seat { shard: Arc::clone(self), queue: id, ticket });
        Ok(Look::Wait(woken))
    }

    /// Lends messages, and sends those to the dead-letter queue that were received too often.
    fn lend(&self, state: &mut State, id: QueueId, request: &Receive, now: Timestamp) -> Vec<Lent> {
        let Some(slot) = state.queues.get(&id) else { return Vec::new() };
        let visibility_timeout_s = request.visibility_timeout_s.unwrap_or(slot.machine.settings.visibility_timeout_s);
        let to = slot.machine.settings.dead_letter.map(|dead_letter| dead_letter.queue);
        let to = to.filter(|to| *to != id && state.queues.contains_key(to));
        let Some(slot) = state.queues.get_mut(&id) else { return Vec::new() };
        let taken = slot.machine.receive(now, request.max, visibility_timeout_s, to.is_some());
        slot.stats.received += taken.lent.len() as u64;
        if let Some(to) = to
            && !taken.dead.is_empty()
        {
            taken.dead.into_iter().for_each(|sequence| state.bury((id, sequence), to, now));
        }
        if !taken.lent.is_empty() {
            let leases = taken.lent.iter().map(|lent| Lease { sequence: lent.sequence, history: lent.history });
            self.note_lazily(state, Record::Lease { queue: id, leases: leases.collect() });
        }
        taken.lent
    }

    fn loan(self: &Arc<Self>, state: &mut State, queue: QueueId, lent: Vec<Lent>) -> Loan {
        let contents: Vec<Option<Content>> = lent.iter().map(|lent| state.bodies.get(&lent.body)).collect();
        let missing: Vec<(usize, Arc<JournalFile>)> = contents
            .iter()
            .enumerate()
            .filter(|(_, content)| content.is_none())
            .filter_map(|(place, _)| Some((place, Arc::clone(&state.files.get(&lent[place].body.file)?.file))))
            .collect();
        state.stats.cache_hits += (lent.len() - missing.len()) as u64;
        state.stats.cache_misses += missing.len() as u64;
        Loan { shard: Arc::clone(self), queue, lent, contents, missing }
    }

    fn give_back(&self, id: QueueId, lent: &[Lent]) {
        let mut state = self.lock();
        let Ok(slot) = state.slot(id) else { return };
        let returned = lent.iter().filter(|lent| slot.machine.give_back(lent));
        let leases: Vec<Lease> =
            returned.map(|lent| Lease { sequence: lent.sequence, history: lent.before.unwrap_or_default() }).collect();
        slot.stats.received -= lent.len() as u64;
        self.note_lazily(&mut state, Record::Lease { queue: id, leases });
        state.settle(id, &self.timer);
    }

    /// Gives up messages whose payload is damaged on disk.
    pub(super) fn give_up(&self, id: QueueId, damaged: &[(u64, Body)]) {
        let mut state = self.lock();
        for (sequence, body) in damaged {
            tracing::error!(queue = %id, sequence, file = body.file, offset = body.offset, "a message is damaged on disk and lost");
            let Ok(slot) = state.slot(id) else { return };
            if slot.machine.message(*sequence).is_some_and(|entry| entry.body == *body)
                && let Some(body) = slot.machine.delete(*sequence)
            {
                state.release(&body);
                state.stats.lost += 1;
            }
        }
    }
}

impl State {
    /// Starts a held message's move to the dead-letter queue.
    fn bury(&mut self, from: (QueueId, u64), to: QueueId, now: Timestamp) {
        let Ok(target) = self.slot(to) else { return };
        let sequence = target.machine.reserve(1);
        let Ok(slot) = self.slot(from.0) else { return };
        if let Some(entry) = slot.machine.start_move(from.1, (to, sequence)) {
            let entry = as_dead_letter(&entry, sequence, from.0, now);
            self.pending.push_back(Call::new(Op::DeadLetter { from, to, entry }, None));
            self.urgent = true;
        }
    }
}

impl Loan {
    async fn hand_over(mut self) -> Result<Vec<Received>, EngineError> {
        if !self.missing.is_empty() {
            let wanted: Vec<Wanted> = std::mem::take(&mut self.missing)
                .into_iter()
                .map(|(place, file)| Wanted { place, file, body: self.lent[place].body })
                .collect();
            let read = match self.shard.writer {
                Writer::Inline => read_all(wanted),
                Writer::Thread => match tokio::task::spawn_blocking(|| read_all(wanted)).await {
                    Ok(read) => read,
                    Err(_) => return Err(EngineError::Closed),
                },
            };
            self.take_read(read);
        }
        let lent = std::mem::take(&mut self.lent);
        let contents = std::mem::take(&mut self.contents);
        let received = lent.iter().zip(contents).filter_map(|(lent, content)| Some(self.received(lent, content?)));
        Ok(received.collect())
    }

    fn take_read(&mut self, read: Vec<(usize, Read)>) {
        let mut damaged = Vec::new();
        for (place, read) in read {
            match read {
                Read::Whole(content) => self.contents[place] = Some(content),
                Read::Damaged => damaged.push((self.lent[place].sequence, self.lent[place].body)),
                // The message stays hidden until its lease ends, and is tried again then.
                Read::Failed => {}
            }
        }
        if !damaged.is_empty() {
            self.shard.give_up(self.queue, &damaged);
        }
    }

    fn received(&self, lent: &Lent, (id, payload): Content) -> Received {
        let history = &lent.history;
        let handle = self.shard.key.seal(&Handle {
            queue: self.queue,
            sequence: lent.sequence,
            receive_count: history.receive_count,
            received_at: history.received_at,
        });
        Received {
            handle,
            id,
            payload,
            sent_at: lent.sent_at,
            first_received_at: history.first_received_at,
            receive_count: history.receive_count,
            dead_letter_source: history.source,
            sequence: lent.sequence,
        }
    }
}

/// A payload to be read from a journal file.
pub(super) struct Wanted {
    pub(super) place: usize,
    pub(super) file: Arc<JournalFile>,
    pub(super) body: Body,
}

/// What reading a payload gave.
pub(super) enum Read {
    Whole(Content),
    /// The disk gave other bytes than were written.
    Damaged,
    /// The disk gave none.
    Failed,
}

/// Reads payloads; neighbours in one go. Blocks.
pub(super) fn read_all(mut wanted: Vec<Wanted>) -> Vec<(usize, Read)> {
    /// Bytes read in one go at most, unless one message is larger.
    const RUN_BYTES_MAX: u32 = 1 << 20;
    /// Bytes between two payloads that are cheaper to read than to leave out.
    const GAP_MAX: u32 = 4096;
    wanted.sort_by_key(|wanted| (wanted.body.file, wanted.body.offset));
    let mut read = Vec::with_capacity(wanted.len());
    let end = |body: &Body| body.offset.saturating_add(body.length);
    let mut rest = wanted.as_slice();
    while let Some(first) = rest.first() {
        let mut count = 1;
        while let Some(next) = rest.get(count)
            && next.body.file == first.body.file
            && next.body.offset <= end(&rest[count - 1].body).saturating_add(GAP_MAX)
            && end(&next.body) - first.body.offset <= RUN_BYTES_MAX
        {
            count += 1;
        }
        let (run, after) = rest.split_at(count);
        read_run(run, &mut read);
        rest = after;
    }
    read
}

fn read_run(run: &[Wanted], read: &mut Vec<(usize, Read)>) {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
    let start = first.body.offset;
    let mut bytes = vec![0; (last.body.offset - start + last.body.length) as usize];
    if let Err(error) = first.file.handle.read_exact_at(&mut bytes, start.into()) {
        tracing::error!(%error, file = first.body.file, offset = start, "cannot read messages from the journal");
        read.extend(run.iter().map(|wanted| (wanted.place, Read::Failed)));
        return;
    }
    for wanted in run {
        let at = (wanted.body.offset - start) as usize;
        let content = payload_of(&bytes[at..at + wanted.body.length as usize]);
        let content = content.map(|(id, payload)| Read::Whole((id, bytes::Bytes::copy_from_slice(payload))));
        read.push((wanted.place, content.unwrap_or(Read::Damaged)));
    }
}
