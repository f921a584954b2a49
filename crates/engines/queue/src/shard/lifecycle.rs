//! Opening and closing a shard.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;

use host::Timestamp;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use super::commit::{Committer, Op};
use super::timer::Timer;
use super::upkeep::Upkeep;
use super::{DiskSide, FileUse, Shard, Slot, State, durable};
use crate::engine::{Options, Writer};
use crate::error::{EngineError, OpenError};
use crate::journal::Position;
use crate::journal::bodies::Bodies;
use crate::journal::recovery::{self, Loaded, Recovery};
use crate::message::Settings;
use crate::queue::QueueState;
use crate::receipt_handle::HandleKey;

/// A shard's threads.
pub(crate) struct Threads {
    upkeep: JoinHandle<()>,
    writer: JoinHandle<()>,
}

/// Which threads shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Upkeep,
    All,
}

impl Shard {
    /// Opens a shard, recovering what its directory holds. Blocks.
    pub(crate) fn open(options: Options) -> Result<(Arc<Self>, Recovery), OpenError> {
        let Some(disk) = options.disk.clone() else {
            let mut key = [0; 16];
            options.ids.fill(&mut key);
            let state = State::new(Bodies::all(), false);
            // Without a disk there is nothing that a thread could wait for.
            let options = Options { writer: Writer::Inline, ..options };
            let shard = Self::build(options, HandleKey::new(key), None, state, Committer::new(None));
            return Ok((Arc::new(shard), Recovery::default()));
        };
        let dir = options.dir.clone();
        let failed = |source| OpenError::Io { what: "create", path: dir.clone(), source };
        disk.create_dir_all(&dir).map_err(failed)?;
        let key = HandleKey::open(&*disk, &dir, &*options.ids)?;
        let mut loaded = recovery::load(&*disk, &dir)?;
        recovery::sweep(&*disk, &dir, &loaded.unfinished)?;
        let ids = Arc::clone(&options.ids);
        let (supply, journal) = loaded.begin(Arc::clone(&disk), &dir, ids, options.limits.file_bytes)?;
        let report = std::mem::take(&mut loaded.report);
        log_recovery(&report);
        let side = DiskSide { disk, dir, supply, epoch: loaded.epoch };
        let mut state = State::new(Bodies::recent(options.limits.body_cache_bytes), true);
        state.recover(loaded, journal.end(), &options);
        Ok((Arc::new(Self::build(options, key, Some(side), state, Committer::new(Some(journal)))), report))
    }

    fn build(options: Options, key: HandleKey, disk: Option<DiskSide>, state: State, committer: Committer) -> Self {
        Self {
            clock: options.clock,
            ids: options.ids,
            limits: options.limits,
            key,
            writer: options.writer,
            disk,
            state: Mutex::new(state),
            calls: Condvar::new(),
            work: Condvar::new(),
            committer: Mutex::new(committer),
            timer: Arc::new(Notify::new()),
            poisoned: watch::channel(None).0,
        }
    }

    /// Starts the shard's threads, if it has any.
    pub(crate) fn start(self: &Arc<Self>) -> Result<Option<Threads>, OpenError> {
        if self.writer == Writer::Inline {
            return Ok(None);
        }
        let spawn = |name: &str, run: fn(&Self)| {
            let shard = Arc::clone(self);
            let builder = std::thread::Builder::new().name(name.to_owned());
            builder.spawn(move || run(&shard)).map_err(OpenError::Thread)
        };
        let writer = spawn("queue-writer", Self::run_writer)?;
        match spawn("queue-upkeep", Self::run_upkeep) {
            Ok(upkeep) => Ok(Some(Threads { upkeep, writer })),
            Err(error) => {
                self.tell(Stop::All);
                Err(error)
            }
        }
    }

    /// Ends the threads once what was queued is written, and waits for them.
    pub(crate) fn join(&self, threads: Threads) {
        // The upkeep may be waiting for the writer.
        self.tell(Stop::Upkeep);
        let upkeep = threads.upkeep.join();
        self.tell(Stop::All);
        if upkeep.and(threads.writer.join()).is_err() {
            tracing::error!("a thread of the queue engine panicked");
        }
    }

    fn tell(&self, stop: Stop) {
        self.lock().stop = Some(stop);
        self.calls.notify_all();
        self.work.notify_all();
    }

    /// Nothing is accepted any more; what was accepted becomes durable, leases too.
    pub(crate) async fn finish(&self) -> Result<(), EngineError> {
        self.drain();
        let done = {
            let mut state = self.lock();
            if let Some(EngineError::Poisoned(reason)) = &state.refusing {
                return Err(EngineError::Poisoned(Arc::clone(reason)));
            }
            state.refusing = Some(EngineError::Closed);
            Self::submit(&mut state, Op::Barrier)
        };
        self.kick();
        durable(Some(done)).await
    }

    /// The last checkpoint, after the threads have ended. Blocks.
    pub(crate) fn seal(&self) -> Result<(), EngineError> {
        let Some(side) = &self.disk else { return Ok(()) };
        let mut committer = self.committer.lock();
        while self.commit(&mut committer) {}
        if self.lock().poisoned {
            return Err(EngineError::Closed);
        }
        self.checkpoint(side, true).map_err(|error| self.poison(&format!("cannot take the last checkpoint: {error}")))
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // The timer's task holds no shard, only this.
        self.timer.notify_one();
    }
}

impl State {
    fn new(bodies: Bodies, durable: bool) -> Self {
        Self {
            queues: HashMap::new(),
            pending: VecDeque::new(),
            urgent: false,
            writing: false,
            bodies,
            files: BTreeMap::new(),
            end: Position::default(),
            upkeep: Upkeep::default(),
            stats: crate::stats::ShardStats::default(),
            durable,
            refusing: None,
            poisoned: false,
            draining: false,
            stop: None,
            asleep: false,
            next_ticket: 0,
            watched: BTreeSet::new(),
            timer: Timer::default(),
            space_checked_at: Timestamp(0),
        }
    }

    fn recover(&mut self, loaded: Loaded, end: Position, options: &Options) {
        let (start, now) = (loaded.start_file(), options.clock.now());
        self.end = end;
        for (number, found) in loaded.files {
            self.files.insert(number, FileUse { file: found.file, end: found.end, live: 0, live_bytes: 0 });
        }
        for (id, queue) in loaded.replay.queues {
            queue.table.from(0).for_each(|entry| self.retain(&entry.body));
            // Until the caller says what the settings are, nothing may be dropped for its age.
            let settings = Settings { retention_s: u32::MAX, ..Settings::default() };
            let machine = QueueState::recovered(settings, queue.last + 1, queue.purged_to, queue.table, now);
            self.queues.insert(id, Slot::new(machine));
        }
        let replayed = loaded.replayed_bytes;
        self.upkeep = Upkeep::recovered(loaded.checkpoints, replayed, &self.files, start, &options.limits);
    }
}

fn log_recovery(report: &Recovery) {
    let Recovery { queues, messages, frames, bytes, .. } = *report;
    tracing::info!(queues, messages, frames, bytes, "the queue journal was replayed");
    if let Some(torn) = &report.torn_tail {
        let (file, offset) = (&torn.file, torn.offset);
        tracing::warn!(file, offset, "the journal ended in an unfinished write, which was never acknowledged; ignored");
    }
    for damage in &report.damaged {
        let (file, offset, bytes) = (&damage.file, damage.offset, damage.bytes);
        tracing::error!(file, offset, bytes, "the journal is damaged; the rest is served");
    }
    for lost in &report.lost {
        let (first, last) = (lost.first, lost.last);
        tracing::error!(queue = %lost.queue, first, last, "messages were lost to damage");
    }
}
