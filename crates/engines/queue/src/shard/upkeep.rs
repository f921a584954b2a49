//! Upkeep: preparing files, taking checkpoints, moving the last messages out of old files.
//!
//! Invariants:
//! - Nothing here holds the lock for longer than a few hundred messages take.
//! - A file is given up only when neither of the two latest checkpoints, nor a replay from the older one, needs it.
//! - A full disk stops the upkeep, not the shard; any other failure stops the shard.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::commit::{Call, Op};
use super::receive::{Read, Wanted, read_all};
use super::{DiskSide, FileUse, Shard, State};
use crate::engine::{Limits, Writer};
use crate::journal::checkpoint::{CheckpointWriter, Head, checkpoint_name};
use crate::journal::file::{FIRST_FRAME, FileSupply};
use crate::message::QueueId;
use crate::queue::{self, Entry};

/// Messages looked at under one lock.
const STRIDE: usize = 512;
/// Bytes of payloads moved forward in one go.
const RELOCATE_BYTES: u64 = 1 << 20;
/// A file of which less than one in so many bytes lives is emptied.
const MOSTLY_DEAD: u64 = 4;
/// A file with less than this part of the usual size is emptied in any case: restarts leave such.
const SMALL_FILE_PART: u64 = 1024;
/// After a start with more mostly dead files than this, they are emptied at once.
const SPARSE_FILES_MAX: usize = 8;
/// Checkpoints kept.
const CHECKPOINTS: usize = 2;
/// How much larger than the one before a new file is, up to the usual size.
const GROWTH: u32 = 4;

/// What the shard knows of its upkeep.
#[derive(Default)]
pub(super) struct Upkeep {
    since_checkpoint: u64,
    checkpoint_bytes: u64,
    /// Numbers of the checkpoints on disk, rising.
    checkpoints: Vec<u64>,
    /// Files that the checkpoint before the latest did not need.
    dead: Vec<u32>,
    running: bool,
    /// The journal file during which preparing the next one failed.
    gave_up_at: Option<u32>,
}

impl Upkeep {
    /// After a recovery that replayed so many bytes from file `start` on.
    pub(super) fn recovered(
        checkpoints: Vec<u64>,
        replayed: u64,
        files: &BTreeMap<u32, FileUse>,
        start: u32,
        limits: &Limits,
    ) -> Self {
        let sparse = files.values().filter(|file| file.is_sparse(limits)).count();
        let since_checkpoint = if sparse > SPARSE_FILES_MAX { limits.checkpoint_bytes } else { replayed };
        // Whatever the latest checkpoint says of these files, the log after it says that their messages are gone.
        let dead = files.iter().filter(|(number, file)| **number < start && file.live == 0);
        let dead = dead.map(|(number, _)| *number).collect();
        Self { checkpoints, since_checkpoint, dead, ..Self::default() }
    }

    pub(super) fn written(&mut self, bytes: u64) {
        self.since_checkpoint += bytes;
    }
}

impl FileUse {
    /// Whether little enough lives in the file to be moved out of it.
    fn is_sparse(&self, limits: &Limits) -> bool {
        let frames = self.end.saturating_sub(FIRST_FRAME.into());
        self.live_bytes * MOSTLY_DEAD < self.end || frames < u64::from(limits.file_bytes) / SMALL_FILE_PART
    }
}

impl State {
    pub(super) fn upkeep_is_due(&self, limits: &Limits, supply: Option<&FileSupply>) -> bool {
        supply.is_some_and(|supply| self.needs_checkpoint(limits) || self.needs_file(supply))
    }

    fn needs_checkpoint(&self, limits: &Limits) -> bool {
        // A checkpoint of a large backlog costs as much as much journal does.
        let due = limits.checkpoint_bytes.max(self.upkeep.checkpoint_bytes * 2);
        !self.poisoned && self.upkeep.since_checkpoint >= due
    }

    fn needs_file(&self, supply: &FileSupply) -> bool {
        let capacity = self.files.get(&self.end.file).map_or(0, |current| current.file.header.capacity);
        let gave_up = self.upkeep.gave_up_at == Some(self.end.file);
        !self.poisoned && !gave_up && self.end.offset > capacity / 2 && !supply.is_prepared()
    }
}

impl Shard {
    /// The upkeep thread.
    pub(super) fn run_upkeep(&self) {
        loop {
            let mut state = self.lock();
            while state.stop.is_none() && !state.upkeep_is_due(&self.limits, self.supply()) {
                self.work.wait(&mut state);
            }
            if state.stop.is_some() {
                return;
            }
            drop(state);
            self.upkeep();
        }
    }

    /// Does in the caller's thread what the upkeep thread would.
    pub(super) fn upkeep_inline(&self) {
        loop {
            let mut state = self.lock();
            // The upkeep commits, too.
            if state.upkeep.running || !state.upkeep_is_due(&self.limits, self.supply()) {
                return;
            }
            state.upkeep.running = true;
            drop(state);
            self.upkeep();
            self.lock().upkeep.running = false;
        }
    }

    fn supply(&self) -> Option<&FileSupply> {
        self.disk.as_ref().map(|side| &*side.supply)
    }

    fn upkeep(&self) {
        let Some(side) = &self.disk else { return };
        let (file, capacity) = {
            let state = self.lock();
            let capacity = state.files.get(&state.end.file).map_or(0, |current| current.file.header.capacity);
            (state.needs_file(&side.supply).then_some(state.end.file), capacity)
        };
        if let Some(current) = file
            && let Err(error) = side.supply.prepare(capacity, GROWTH)
        {
            self.upkeep_failed("cannot prepare a journal file", &error);
            self.lock().upkeep.gave_up_at = Some(current);
        }
        let due = self.lock().needs_checkpoint(&self.limits);
        if due && let Err(error) = self.empty_old_files(side).and_then(|()| self.checkpoint(side, false)) {
            self.upkeep_failed("cannot take a checkpoint", &error);
            // Try again after as much journal as between any two.
            self.lock().upkeep.since_checkpoint = 0;
        }
    }

    fn upkeep_failed(&self, what: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::StorageFull {
            tracing::error!(%error, "{what}; free some disk space");
        } else {
            self.poison(&format!("{what}: {error}"));
        }
    }

    /// Takes a checkpoint, and gives up what is not needed any more.
    pub(super) fn checkpoint(&self, side: &DiskSide, clean: bool) -> io::Result<()> {
        let (head, dead, mut ids, number) = {
            let mut state = self.lock();
            let head = Head { epoch: side.epoch, start: state.end, clean };
            let dead = state.files.iter().filter(|(number, file)| **number < state.end.file && file.live == 0);
            let dead: Vec<u32> = dead.map(|(number, _)| *number).collect();
            let ids: Vec<QueueId> = state.queues.keys().copied().collect();
            state.upkeep.since_checkpoint = 0;
            (head, dead, ids, state.upkeep.checkpoints.last().map_or(1, |last| last + 1))
        };
        ids.sort_unstable();
        let mut writer = CheckpointWriter::create(Arc::clone(&side.disk), &side.dir, number, &head)?;
        for id in ids {
            self.checkpoint_queue(&mut writer, id)?;
        }
        let bytes = writer.finish()?;
        self.rotate(side, number, bytes, dead)
    }

    fn checkpoint_queue(&self, writer: &mut CheckpointWriter, id: QueueId) -> io::Result<()> {
        let Some((last, purged_to)) = self.lock().queues.get(&id).map(|slot| slot.machine.marks()) else {
            return Ok(());
        };
        writer.queue(id, last, purged_to)?;
        let mut next = 0;
        loop {
            let entries: Vec<Entry> = match self.lock().queues.get(&id) {
                Some(slot) => slot.machine.messages_from(next).take(STRIDE).cloned().collect(),
                None => Vec::new(),
            };
            let Some(last) = entries.last() else { return Ok(()) };
            next = last.sequence + 1;
            entries.iter().try_for_each(|entry| writer.message(entry))?;
        }
    }

    /// A new checkpoint stands: the oldest goes, and with it the files that only it needed.
    fn rotate(&self, side: &DiskSide, number: u64, bytes: u64, dead: Vec<u32>) -> io::Result<()> {
        let (old, files) = {
            let mut state = self.lock();
            state.stats.checkpoints += 1;
            state.upkeep.checkpoint_bytes = bytes;
            state.upkeep.checkpoints.push(number);
            let keep_from = state.upkeep.checkpoints.len().saturating_sub(CHECKPOINTS);
            let old: Vec<u64> = state.upkeep.checkpoints.drain(..keep_from).collect();
            let unneeded = std::mem::replace(&mut state.upkeep.dead, dead);
            let mut files = Vec::new();
            for number in unneeded {
                // Somebody may still be reading a message that is deleted by now: the file waits for the next time.
                let free = state.files.get(&number).is_some_and(|used| Arc::strong_count(&used.file) == 1);
                match state.files.remove(&number) {
                    Some(used) if free => files.push(used.file),
                    Some(used) => drop(state.files.insert(number, used)),
                    None => {}
                }
            }
            (old, files)
        };
        for number in old {
            side.disk.remove(&side.dir.join(checkpoint_name(number)))?;
        }
        files.iter().try_for_each(|file| side.supply.retire(file))?;
        side.disk.sync_dir(&side.dir)
    }

    /// Writes the messages of mostly dead files once more, at the head of the journal.
    fn empty_old_files(&self, side: &DiskSide) -> io::Result<()> {
        let (victims, mut ids) = {
            let state = self.lock();
            let current = state.end.file;
            let sparse = state
                .files
                .iter()
                .filter(|(number, file)| **number < current && file.live > 0 && file.is_sparse(&self.limits));
            let victims: Vec<u32> = sparse.map(|(number, _)| *number).collect();
            (victims, state.queues.keys().copied().collect::<Vec<_>>())
        };
        if victims.is_empty() {
            return Ok(());
        }
        tracing::debug!(files = victims.len(), dir = %side.dir.display(), "moving messages out of old journal files");
        ids.sort_unstable();
        ids.into_iter().try_for_each(|id| self.relocate_queue(id, &victims))
    }

    fn relocate_queue(&self, id: QueueId, victims: &[u32]) -> io::Result<()> {
        let (mut next, mut found, mut bytes) = (0, Vec::new(), 0);
        loop {
            let mut looked_at = 0;
            {
                let state = self.lock();
                let Some(slot) = state.queues.get(&id) else { return Ok(()) };
                for entry in slot.machine.messages_from(next).take(STRIDE) {
                    looked_at += 1;
                    next = entry.sequence + 1;
                    if victims.contains(&entry.body.file) {
                        bytes += u64::from(entry.body.length);
                        found.push((entry.sequence, entry.body));
                    }
                }
            }
            if bytes >= RELOCATE_BYTES || looked_at < STRIDE {
                self.relocate(id, std::mem::take(&mut found))?;
                bytes = 0;
            }
            if looked_at < STRIDE {
                return Ok(());
            }
        }
    }

    fn relocate(&self, id: QueueId, messages: Vec<(u64, queue::Body)>) -> io::Result<()> {
        let wanted: Vec<Wanted> = {
            let state = self.lock();
            let file = |body: &queue::Body| Some(Arc::clone(&state.files.get(&body.file)?.file));
            let all = messages.iter().enumerate();
            all.filter_map(|(place, (_, body))| Some(Wanted { place, file: file(body)?, body: *body })).collect()
        };
        let mut damaged = Vec::new();
        let mut contents = Vec::new();
        for (place, read) in read_all(wanted) {
            match read {
                Read::Whole(content) => contents.push((messages[place], content)),
                Read::Damaged => damaged.push(messages[place]),
                Read::Failed => {}
            }
        }
        if !damaged.is_empty() {
            self.give_up(id, &damaged);
        }
        let done = {
            let mut state = self.lock();
            for ((sequence, body), content) in contents {
                let Some(slot) = state.queues.get(&id) else { break };
                let entry = slot.machine.message(sequence).filter(|entry| entry.body == body);
                if let Some(entry) = entry.filter(|entry| entry.state() != queue::State::Moving) {
                    let op = Op::Relocate { queue: id, entry: entry.clone(), content };
                    state.pending.push_back(Call::new(op, None));
                }
            }
            Self::submit(&mut state, Op::Barrier)
        };
        self.kick();
        let answer = match self.writer {
            Writer::Thread => done.blocking_recv().ok(),
            Writer::Inline => {
                let mut done = done;
                done.try_recv().ok()
            }
        };
        match answer {
            Some(Ok(())) => Ok(()),
            _ => Err(io::Error::other("the journal stopped")),
        }
    }
}
