//! A shard: queues that share a journal.
//!
//! Invariants:
//! - The queues change under one lock, held for no I/O; what a change means for the journal is queued under the same
//!   lock, so the journal has all changes in the order in which they happened.
//! - New messages become visible when the journal holds them; deletes and leases take effect at once and are
//!   acknowledged (deletes) or not (leases) when the journal holds them.
//! - After a failed write nothing is acknowledged any more.

mod change;
mod commit;
mod lifecycle;
mod receive;
mod timer;
mod transfer;
mod upkeep;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::{Clock, Disk, Ids, Timestamp};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};

use crate::engine::{Limits, Writer};
use crate::error::EngineError;
use crate::journal::Position;
use crate::journal::bodies::Bodies;
use crate::journal::file::{FileSupply, JournalFile};
use crate::message::{Counts, QueueId, Settings};
use crate::queue::{Body, QueueState};
use crate::receipt_handle::HandleKey;
use crate::stats::{QueueStats, ShardStats};
use commit::{Call, Committer, Op};
pub(crate) use lifecycle::Threads;
use upkeep::Upkeep;
use waiting::Waiters;

/// How long the disk's free space is believed.
const SPACE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Shard {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    limits: Limits,
    key: HandleKey,
    writer: Writer,
    disk: Option<DiskSide>,
    state: Mutex<State>,
    /// Tells the writer thread that calls wait.
    calls: Condvar,
    /// Tells the upkeep thread that there is work.
    work: Condvar,
    committer: Mutex<Committer>,
    timer: Arc<Notify>,
    poisoned: watch::Sender<Option<Arc<str>>>,
}

/// What a shard that keeps its messages needs beside its queues.
struct DiskSide {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    supply: Arc<FileSupply>,
    epoch: u32,
}

/// What the lock protects.
struct State {
    queues: HashMap<QueueId, Slot>,
    pending: VecDeque<Call>,
    /// Whether somebody waits for a pending call.
    urgent: bool,
    /// Whether a batch is being written.
    writing: bool,
    bodies: Bodies,
    files: BTreeMap<u32, FileUse>,
    /// The end of what the queues know of the log.
    end: Position,
    upkeep: Upkeep,
    stats: ShardStats,
    /// Whether there is a journal.
    durable: bool,
    /// Why nothing is accepted any more.
    refusing: Option<EngineError>,
    /// Whether the journal failed.
    poisoned: bool,
    draining: bool,
    /// Which threads shall end.
    stop: Option<lifecycle::Stop>,
    /// Whether the writer thread sleeps until it is told.
    asleep: bool,
    next_ticket: u64,
    /// Queues that somebody may wait for.
    watched: BTreeSet<QueueId>,
    timer: timer::Timer,
    space_checked_at: Timestamp,
}

/// A queue with those who wait for it.
struct Slot {
    machine: QueueState,
    waiters: Waiters,
    stats: QueueStats,
}

/// A journal file and what still needs it.
struct FileUse {
    file: Arc<JournalFile>,
    /// Bytes of frames.
    end: u64,
    live: u64,
    live_bytes: u64,
}

impl Slot {
    fn new(machine: QueueState) -> Self {
        Self { machine, waiters: Waiters::default(), stats: QueueStats::default() }
    }
}

impl State {
    fn check(&self) -> Result<(), EngineError> {
        self.refusing.clone().map_or(Ok(()), Err)
    }

    fn slot(&mut self, id: QueueId) -> Result<&mut Slot, EngineError> {
        self.queues.get_mut(&id).ok_or(EngineError::NoSuchQueue)
    }

    /// Brings a queue up to `now`, and returns it.
    fn up_to(&mut self, id: QueueId, now: Timestamp) -> Result<&mut Slot, EngineError> {
        let slot = self.queues.get_mut(&id).ok_or(EngineError::NoSuchQueue)?;
        slot.machine.advance(now);
        let expired = slot.machine.expire(now);
        if !expired.is_empty() {
            slot.stats.expired += expired.len() as u64;
            let sequences = expired.iter().map(|(sequence, _)| *sequence).collect();
            expired.iter().for_each(|(_, body)| self.release(body));
            self.note_deleted(id, sequences);
        }
        self.slot(id)
    }

    /// A payload is not needed any more.
    fn release(&mut self, body: &Body) {
        self.bodies.forget(body);
        if let Some(file) = self.files.get_mut(&body.file) {
            file.live -= 1;
            file.live_bytes -= u64::from(body.length);
        }
    }

    /// A payload is needed from now on.
    fn retain(&mut self, body: &Body) {
        if let Some(file) = self.files.get_mut(&body.file) {
            file.live += 1;
            file.live_bytes += u64::from(body.length);
        }
    }

    /// After a change to a queue: wakes those whom it serves, and sees to it that the timer knows the next deadline.
    fn settle(&mut self, id: QueueId, timer: &Notify) {
        let Some(slot) = self.queues.get_mut(&id) else { return };
        if slot.waiters.is_empty() {
            return;
        }
        let room = slot.machine.room_in_flight();
        slot.waiters.wake(slot.machine.ready().min(room));
        if !slot.waiters.is_empty()
            && let Some(deadline) = slot.machine.next_deadline()
        {
            self.timer.arm(deadline, timer);
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether the shard keeps its messages.
    fn is_durable(&self) -> bool {
        self.disk.is_some()
    }

    /// Whether there are no threads, and every call does its own work.
    pub(crate) fn is_inline(&self) -> bool {
        self.writer == Writer::Inline
    }

    pub(crate) fn poisoned(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.poisoned.subscribe()
    }

    /// Creates a queue, or gives the one there is these settings.
    pub(crate) fn configure(&self, id: QueueId, settings: Settings, create: bool) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        match state.queues.get_mut(&id) {
            Some(slot) => slot.machine.settings = settings,
            None if create => {
                state.queues.insert(id, Slot::new(QueueState::new(settings)));
            }
            None => return Err(EngineError::NoSuchQueue),
        }
        state.up_to(id, now)?;
        state.settle(id, &self.timer);
        Ok(())
    }

    pub(crate) fn queue_ids(&self) -> Vec<QueueId> {
        let mut ids: Vec<QueueId> = self.lock().queues.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Looks at a queue brought up to now.
    fn look<T>(&self, id: QueueId, look: impl FnOnce(&Slot, Timestamp) -> T) -> Result<T, EngineError> {
        let now = self.clock.now();
        let mut state = self.lock();
        let seen = look(state.up_to(id, now)?, now);
        state.settle(id, &self.timer);
        Ok(seen)
    }

    pub(crate) fn counts(&self, id: QueueId) -> Result<Counts, EngineError> {
        self.look(id, |slot, _| slot.machine.counts())
    }

    pub(crate) fn oldest_age(&self, id: QueueId) -> Result<Duration, EngineError> {
        self.look(id, |slot, now| slot.machine.oldest_age(now))
    }

    pub(crate) fn queue_stats(&self, id: QueueId) -> Result<QueueStats, EngineError> {
        self.look(id, |slot, _| slot.stats)
    }

    pub(crate) fn settings(&self, id: QueueId) -> Result<Settings, EngineError> {
        self.look(id, |slot, _| slot.machine.settings.clone())
    }

    pub(crate) fn stats(&self) -> ShardStats {
        let idle = self.disk.as_ref().map_or(0, |side| side.supply.idle_files());
        let state = self.lock();
        ShardStats {
            files: (state.files.len() + idle) as u64,
            queues: state.queues.len() as u64,
            waiting: state.queues.values().map(|slot| slot.waiters.len() as u64).sum(),
            ..state.stats
        }
    }

    /// Whether there is room for more messages; asks the disk about once a second.
    fn check_space(&self, state: &mut State, now: Timestamp) -> Result<(), EngineError> {
        let Some(side) = &self.disk else { return Ok(()) };
        // A clock that was set back must not stop the checks.
        let age = now.0.abs_diff(state.space_checked_at.0);
        if u128::from(age) >= SPACE_CHECK_INTERVAL.as_millis() {
            state.space_checked_at = now;
            // A disk that cannot even say this will say so at the next write.
            let space = side.disk.space().ok();
            let floor = |total: u64| total / 100 * u64::from(self.limits.disk_floor_percent);
            let full = space.is_some_and(|space| space.available < floor(space.total));
            if full != state.stats.disk_full {
                state.stats.disk_full = full;
                tracing::warn!(full, "the disk's free space crossed the floor below which sends are refused");
            }
        }
        if state.stats.disk_full { Err(EngineError::DiskFull) } else { Ok(()) }
    }

    /// Queues a change for the journal; the receiver tells when it is durable.
    fn submit(state: &mut State, op: Op) -> Done {
        let (done, durable) = oneshot::channel();
        state.urgent = true;
        state.pending.push_back(Call::new(op, Some(done)));
        durable
    }
}

/// Tells when a change is durable.
type Done = oneshot::Receiver<Result<(), EngineError>>;

/// Waits until a change is durable.
async fn durable(done: Option<Done>) -> Result<(), EngineError> {
    match done {
        Some(done) => done.await.unwrap_or(Err(EngineError::Closed)),
        None => Ok(()),
    }
}
