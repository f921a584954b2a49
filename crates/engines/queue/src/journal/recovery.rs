//! Recovery: from the files of a directory to queues.
//!
//! Invariants:
//! - Reading changes nothing on the disk.
//! - The last frame may have reached the page cache only: it is copied into a new file, and synced, before anybody
//!   sees what it says.
//! - A torn tail is forgotten, damage before it never is: the rest is served, and what is missing is named.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Disk, FileKind, Ids};

use super::checkpoint::{self, BadCheckpoint, CHECKPOINT_PREFIX, CHECKPOINT_VERSION, Head, UNFINISHED_SUFFIX};
use super::file::{
    BadHeader, FILE_VERSION, FIRST_FRAME, FileHeader, FileSupply, JOURNAL_PREFIX, JournalFile, SPARE_PREFIX,
    journal_name, number_in,
};
use super::frame::{Frame, FrameHeader, HEADER_BYTES, first_chain};
use super::record::{BadRecord, Record, payload_of};
use super::replay::{Lost, Replay};
use super::scan::{Found, Scanner};
use super::writer::FileJournal;
use crate::error::OpenError;
use crate::queue::Body;

/// Bytes of a journal file that could not be read as frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, below the engine's directory.
    pub file: String,
    /// The first damaged byte.
    pub offset: u64,
    /// How many bytes are affected, those of whole records within included.
    pub bytes: u64,
}

/// What was found in an engine's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Queues that ever held a message and were not deleted.
    pub queues: usize,
    /// Messages alive.
    pub messages: usize,
    /// Frames replayed.
    pub frames: u64,
    /// Records replayed.
    pub records: u64,
    /// Bytes replayed.
    pub bytes: u64,
    /// Whether the log ended in an unfinished write, which was never acknowledged.
    pub torn_tail: Option<Damage>,
    /// Damage within the log: what it said is lost, and the rest is served. Deletes that stood there are undone.
    pub damaged: Vec<Damage>,
    /// Checkpoints that could not be read; an older one, or the whole log, took their place.
    pub damaged_checkpoints: usize,
    /// Messages that were lost to damage, by queue.
    pub lost: Vec<Lost>,
}

impl Recovery {
    /// Whether all that was ever acknowledged is there.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.lost.is_empty() && self.damaged_checkpoints == 0
    }
}

/// A journal file as found.
pub(crate) struct FoundFile {
    pub(crate) file: Arc<JournalFile>,
    /// Where its frames end, as far as known.
    pub(crate) end: u64,
}

/// The log's last frame.
struct Tail {
    file: u32,
    offset: u32,
    header: FrameHeader,
    body: Vec<u8>,
}

/// Everything that a directory holds.
pub(crate) struct Loaded {
    pub(crate) replay: Replay,
    pub(crate) files: BTreeMap<u32, FoundFile>,
    /// Numbers of the checkpoints, rising.
    pub(crate) checkpoints: Vec<u64>,
    pub(crate) unfinished: Vec<String>,
    pub(crate) spares: Vec<String>,
    pub(crate) epoch: u32,
    pub(crate) report: Recovery,
    pub(crate) replayed_bytes: u64,
    head: Option<Head>,
    next_lsn: u64,
    next_number: u32,
    tail: Option<Tail>,
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { what, path, source }
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, OpenError> {
    let file = disk.open(path).map_err(io_error("open", path))?;
    let length = file.len().map_err(io_error("read", path))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(|e| io_error("read", path)(io::Error::other(e)))?];
    file.read_exact_at(&mut bytes, 0).map_err(io_error("read", path))?;
    Ok(bytes)
}

/// Reads a directory; changes nothing.
pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Loaded, OpenError> {
    let mut loaded = Loaded {
        replay: Replay::default(),
        files: BTreeMap::new(),
        checkpoints: Vec::new(),
        unfinished: Vec::new(),
        spares: Vec::new(),
        epoch: 0,
        report: Recovery::default(),
        replayed_bytes: 0,
        head: None,
        next_lsn: 0,
        next_number: 1,
        tail: None,
    };
    let mut numbers = BTreeSet::new();
    for (name, kind) in disk.list(dir).map_err(io_error("list", dir))? {
        if kind != FileKind::File {
            continue;
        }
        if let Some(number) = number_in(&name, JOURNAL_PREFIX).and_then(|number| u32::try_from(number).ok()) {
            numbers.insert(number);
        } else if let Some(number) = number_in(&name, CHECKPOINT_PREFIX) {
            loaded.checkpoints.push(number);
        } else if name.starts_with(CHECKPOINT_PREFIX) && name.ends_with(UNFINISHED_SUFFIX) {
            loaded.unfinished.push(name);
        } else if let Some(number) = number_in(&name, SPARE_PREFIX) {
            loaded.next_number = loaded.next_number.max(u32::try_from(number).unwrap_or(0).saturating_add(1));
            loaded.spares.push(name);
        }
    }
    loaded.checkpoints.sort_unstable();
    loaded.read_checkpoint(disk, dir)?;
    for number in numbers {
        loaded.read_journal(disk, dir, number)?;
    }
    loaded.finish();
    Ok(loaded)
}

impl Loaded {
    fn read_checkpoint(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
        for number in self.checkpoints.iter().rev() {
            let path = dir.join(checkpoint::checkpoint_name(*number));
            match checkpoint::read(&read_file(disk, &path)?) {
                Ok((head, replay)) => {
                    (self.replay, self.epoch, self.next_lsn) = (replay, head.epoch, head.start.lsn);
                    self.head = Some(head);
                    return Ok(());
                }
                Err(BadCheckpoint::Newer(found)) => {
                    return Err(OpenError::Newer { path, found, known: CHECKPOINT_VERSION });
                }
                Err(BadCheckpoint::Damaged) => {
                    tracing::error!(path = %path.display(), "a checkpoint is damaged; an older one takes its place");
                    self.report.damaged_checkpoints += 1;
                }
            }
        }
        Ok(())
    }

    fn read_journal(&mut self, disk: &dyn Disk, dir: &Path, number: u32) -> Result<(), OpenError> {
        self.next_number = self.next_number.max(number.saturating_add(1));
        let path = dir.join(journal_name(number));
        let handle = disk.open(&path).map_err(io_error("open", &path))?;
        let length = handle.len().map_err(io_error("read", &path))?;
        let mut head = vec![0; usize::try_from(length.min(u64::from(FIRST_FRAME))).unwrap_or(0)];
        handle.read_exact_at(&mut head, 0).map_err(io_error("read", &path))?;
        let start = self.head.map(|head| head.start).unwrap_or_default();
        let header = match FileHeader::read(&head) {
            Ok(header) if header.number == number => Some(header),
            Err(BadHeader::Newer(found)) => return Err(OpenError::Newer { path, found, known: FILE_VERSION }),
            Ok(_) | Err(BadHeader::Damaged) => None,
        };
        let ended = self.head.is_some_and(|head| head.clean && head.start.file == number);
        if number < start.file || ended {
            // Nothing to replay: the checkpoint knows it all, or nothing came after its clean end.
            // Payloads may lie here, and each is checked when it is read; the header is of no use any more.
            let header = header.unwrap_or(FileHeader { number, salt: 0, capacity: 0 });
            let end = if ended { start.offset.into() } else { length };
            self.files.insert(number, FoundFile { file: Arc::new(JournalFile { header, handle }), end });
            return Ok(());
        }
        let bytes = read_file(disk, &path)?;
        let header = match header.or_else(|| guess_header(&bytes, number, self.next_lsn)) {
            Some(header) => header,
            None => {
                self.report.damaged.push(Damage { file: journal_name(number), offset: 0, bytes: length });
                self.replay.gap();
                FileHeader { number, salt: 0, capacity: 0 }
            }
        };
        let end = if header.salt == 0 { length } else { self.replay_file(&header, &bytes, start.offset) };
        self.files.insert(number, FoundFile { file: Arc::new(JournalFile { header, handle }), end });
        Ok(())
    }

    /// Replays a file. Returns where its frames end.
    fn replay_file(&mut self, header: &FileHeader, bytes: &[u8], start: u32) -> u64 {
        let number = header.number;
        let scanner = match self.head {
            Some(head) if head.start.file == number => {
                Scanner::from(bytes, header.salt, head.start.lsn, start as usize)
            }
            // The first frame of a file may be a copy of the last frame of the one before.
            _ => {
                let copied = self.tail.as_ref().map_or(self.next_lsn, |tail| tail.header.first_lsn);
                Scanner::new(bytes, header.salt, copied)
            }
        };
        let mut end = u64::from(start.max(FIRST_FRAME));
        for found in scanner {
            match found {
                Found::Frame { offset, header, body } => {
                    self.replay_frame(number, offset, &header, body);
                    end = offset as u64 + header.span();
                }
                Found::Damage { offset, end, body } => {
                    self.damage(number, offset as u64, (end - offset) as u64);
                    self.salvage(number, offset, body);
                }
                Found::End { offset, torn, body } if torn => {
                    let file = journal_name(number);
                    let bytes = (HEADER_BYTES + body.len()) as u64;
                    // Only the last file may end like this; `replay_frame` calls an earlier one damaged.
                    self.report.torn_tail = Some(Damage { file, offset: offset as u64, bytes });
                }
                Found::End { .. } => {}
            }
        }
        end
    }

    fn replay_frame(&mut self, file: u32, offset: usize, header: &FrameHeader, body: &[u8]) {
        if header.first_lsn > self.next_lsn {
            if let Some(torn) = self.report.torn_tail.take() {
                self.report.damaged.push(torn);
            }
            self.replay.gap();
        }
        // A torn end with the log going on right behind it was copied or never acknowledged.
        self.report.torn_tail = None;
        self.epoch = self.epoch.max(header.epoch);
        self.report.frames += 1;
        self.report.records += u64::from(header.records);
        self.report.bytes += header.span();
        self.replayed_bytes += header.span();
        self.next_lsn = header.next_lsn();
        self.apply(file, offset, body);
        self.tail = Some(Tail { file, offset: to_u32(offset), header: *header, body: body.to_vec() });
    }

    /// Applies all records of a whole frame, or the whole ones of a damaged frame.
    fn apply(&mut self, file: u32, frame: usize, body: &[u8]) {
        let mut at = 0;
        while at < body.len() {
            match Record::read(&body[at..]) {
                Ok((record, length)) => {
                    let offset = to_u32(frame + HEADER_BYTES + at);
                    self.replay.apply(&record, Body { file, offset, length: to_u32(length), slot: 0 });
                    at += length;
                }
                Err(BadRecord::Damaged { length }) => {
                    self.replay.gap();
                    at += length;
                }
                Err(BadRecord::Length) => break,
            }
        }
    }

    fn salvage(&mut self, file: u32, offset: usize, body: &[u8]) {
        self.apply(file, offset, body);
        // Whatever stood in the damaged part, numbers that jump from here on are its losses.
        self.replay.gap();
    }

    fn damage(&mut self, file: u32, offset: u64, bytes: u64) {
        self.report.damaged.push(Damage { file: journal_name(file), offset, bytes });
        self.replay.gap();
    }

    fn finish(&mut self) {
        // A payload in a file that is not there any more is a lost message.
        let missing: Vec<_> = self
            .replay
            .messages()
            .filter(|(_, entry)| !self.files.contains_key(&entry.body.file))
            .map(|(queue, entry)| (queue, entry.sequence))
            .collect();
        for (id, sequence) in missing {
            if let Some(queue) = self.replay.queues.get_mut(&id) {
                queue.table.remove(sequence);
            }
            self.replay.lost.push(Lost { queue: id, first: sequence, last: sequence });
        }
        self.report.lost = std::mem::take(&mut self.replay.lost);
        self.report.queues = self.replay.queues.len();
        self.report.messages = self.replay.messages().count();
    }

    /// The file in which the replay started; 0 if the whole log was replayed.
    pub(crate) fn start_file(&self) -> u32 {
        self.head.map_or(0, |head| head.start.file)
    }

    /// Begins a new file, with the last frame copied into it.
    pub(crate) fn begin(
        &mut self,
        disk: Arc<dyn Disk>,
        dir: &Path,
        ids: Arc<dyn Ids>,
        file_bytes: u32,
    ) -> Result<(Arc<FileSupply>, FileJournal), OpenError> {
        let failed = || io_error("begin a journal file in", dir);
        let spares = std::mem::take(&mut self.spares);
        let supply = Arc::new(FileSupply::new(disk, dir, ids, file_bytes, self.next_number, spares));
        let tail = self.tail.take();
        let bytes = tail.as_ref().map_or(0, |tail| usize::try_from(tail.header.span()).unwrap_or(0));
        let file = supply.next(0, bytes).map_err(failed())?;
        let epoch = self.epoch + 1;
        let lsn = tail.as_ref().map_or(self.next_lsn, |tail| tail.header.first_lsn);
        let mut journal = FileJournal::new(Arc::clone(&supply), Arc::clone(&file), epoch, lsn);
        if let Some(tail) = tail {
            let mut frame = Frame::default();
            frame.clear();
            frame.push_bytes(tail.header.records, &tail.body);
            let copy = journal.append(&mut frame).map_err(failed())?;
            tracing::debug!(from = tail.file, offset = tail.offset, to = copy.file, "copied the last frame");
            self.apply(copy.file, copy.offset as usize, &tail.body);
        }
        let end = u64::from(journal.end().offset);
        self.files.insert(file.header.number, FoundFile { file, end });
        self.epoch = epoch;
        Ok((supply, journal))
    }
}

/// A header for a file whose own is damaged: the salt of its first frame, if that one can be read and is no stale one.
fn guess_header(bytes: &[u8], number: u32, lsn: u64) -> Option<FileHeader> {
    let frame = FrameHeader::read(bytes.get(FIRST_FRAME as usize..)?)?;
    let first = frame.chain == first_chain(frame.salt) && frame.first_lsn >= lsn;
    first.then_some(FileHeader { number, salt: frame.salt, capacity: 0 })
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What a start would find.
    pub recovery: Recovery,
    /// Journal files looked at.
    pub files: usize,
    /// Payloads read back and found whole.
    pub payloads_whole: usize,
    /// Messages whose payload is damaged: queue and sequence number.
    pub payloads_damaged: Vec<Lost>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.recovery.is_whole() && self.payloads_damaged.is_empty()
    }
}

/// Reads an engine's directory offline, every payload included, and says what it found. Changes nothing.
///
/// # Errors
/// When a file cannot be read, or was written by a later version.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<Report, OpenError> {
    let loaded = load(disk, dir)?;
    let mut report = Report { files: loaded.files.len(), ..Report::default() };
    for (queue, entry) in loaded.replay.messages() {
        let whole = loaded.files.get(&entry.body.file).is_some_and(|found| read_payload(&found.file, &entry.body));
        if whole {
            report.payloads_whole += 1;
        } else {
            let (first, last) = (entry.sequence, entry.sequence);
            report.payloads_damaged.push(Lost { queue, first, last });
        }
    }
    report.recovery = loaded.report;
    Ok(report)
}

fn read_payload(file: &JournalFile, body: &Body) -> bool {
    let mut bytes = vec![0; body.length as usize];
    file.handle.read_exact_at(&mut bytes, u64::from(body.offset)).is_ok() && payload_of(&bytes).is_some()
}

/// Removes what an unfinished checkpoint left.
pub(crate) fn sweep(disk: &dyn Disk, dir: &Path, names: &[String]) -> Result<(), OpenError> {
    for name in names {
        let path: PathBuf = dir.join(name);
        disk.remove(&path).map_err(io_error("remove", &path))?;
    }
    Ok(())
}

/// Reads arbitrary bytes as a journal file and replays what they say; for fuzzing.
#[doc(hidden)]
pub fn scan_bytes(bytes: &[u8]) -> usize {
    let salt = FileHeader::read(bytes).map(|header| header.salt).ok();
    let salt = salt.or_else(|| guess_header(bytes, 1, 0).map(|header| header.salt)).unwrap_or_default();
    let mut replay = Replay::default();
    let mut records = 0;
    for found in Scanner::new(bytes, salt, 0) {
        let (Found::Frame { body, .. } | Found::Damage { body, .. } | Found::End { body, .. }) = found;
        let mut at = 0;
        while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
            match Record::read(rest) {
                Ok((record, length)) => {
                    replay.apply(&record, Body::default());
                    records += 1;
                    at += length;
                }
                Err(BadRecord::Damaged { length }) => at += length,
                Err(BadRecord::Length) => break,
            }
        }
    }
    records
}
