//! Checkpoints: all queues in one file, so that recovery replays only what came after.
//!
//! Invariants:
//! - A checkpoint named without `.new` is whole and synced. The one before it is kept, with all files that it needs:
//!   one damaged checkpoint loses nothing.
//! - It is taken piecemeal while the queues go on. Its start is the end of the log before the first piece was looked
//!   at; replaying from there sets right whatever changed meanwhile.
//!
//! Layout: blocks of length u32 | crc u32 | bytes. The first holds magic 8 bytes | version u8 | flags u8 | epoch u32 |
//! LSN u64 | file u32 | offset u32. The others hold items, with numbers as LEB128: queues, messages (as differences to
//! the one before in the block) and, last of all, the totals.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32c::crc32c;
use host::{Disk, DiskFile, Timestamp};

use super::Position;
use super::record::Reader;
use super::replay::{Replay, ReplayQueue};
use crate::message::QueueId;
use crate::queue::{Body, Entry, History, Table};

/// The format version of checkpoints that this program writes, and the newest that it reads.
pub(crate) const CHECKPOINT_VERSION: u8 = 1;
/// How names of checkpoints start.
pub(crate) const CHECKPOINT_PREFIX: &str = "checkpoint-";
/// How names of unfinished checkpoints end.
pub(crate) const UNFINISHED_SUFFIX: &str = ".new";

const MAGIC: [u8; 8] = *b"MPcheckp";
const CLEAN: u8 = 1;
const BLOCK_BYTES: usize = 256 << 10;

const QUEUE: u8 = 1;
const MESSAGE: u8 = 2;
const END: u8 = 3;

const HAS_HISTORY: u8 = 1;
const HAS_DELAY: u8 = 2;
const HAS_SOURCE: u8 = 4;

/// What a checkpoint says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counts the openings of the shard.
    pub(crate) epoch: u32,
    /// Where replay starts.
    pub(crate) start: Position,
    /// Whether the log ended there: the engine was closed.
    pub(crate) clean: bool,
}

/// The name of a checkpoint.
pub(crate) fn checkpoint_name(number: u64) -> String {
    format!("{CHECKPOINT_PREFIX}{number:016x}")
}

/// The previous message of a block.
#[derive(Clone, Copy, Default)]
struct Previous {
    sequence: u64,
    sent_at: u64,
    file: u32,
    offset: u32,
}

/// Writes a checkpoint.
pub(crate) struct CheckpointWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    number: u64,
    file: Arc<dyn DiskFile>,
    written: u64,
    block: Vec<u8>,
    queue: Option<[u64; 3]>,
    previous: Previous,
    queues: u64,
    messages: u64,
}

impl CheckpointWriter {
    pub(crate) fn create(disk: Arc<dyn Disk>, dir: &Path, number: u64, head: &Head) -> io::Result<Self> {
        let path = dir.join(checkpoint_name(number) + UNFINISHED_SUFFIX);
        let file = match disk.create(&path) {
            // Left by an attempt that found the disk full.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&path)?;
                disk.create(&path)?
            }
            created => created?,
        };
        let mut writer = Self {
            file,
            disk,
            dir: dir.to_path_buf(),
            number,
            written: 0,
            block: Vec::with_capacity(BLOCK_BYTES + 1024),
            queue: None,
            previous: Previous::default(),
            queues: 0,
            messages: 0,
        };
        writer.block.extend_from_slice(&MAGIC);
        writer.block.extend_from_slice(&[CHECKPOINT_VERSION, if head.clean { CLEAN } else { 0 }]);
        writer.block.extend_from_slice(&head.epoch.to_le_bytes());
        writer.block.extend_from_slice(&head.start.lsn.to_le_bytes());
        writer.block.extend_from_slice(&head.start.file.to_le_bytes());
        writer.block.extend_from_slice(&head.start.offset.to_le_bytes());
        writer.flush()?;
        Ok(writer)
    }

    /// Begins a queue; its messages follow.
    pub(crate) fn queue(&mut self, id: QueueId, last: u64, purged_to: u64) -> io::Result<()> {
        self.queues += 1;
        self.queue = Some([id.0, last, purged_to]);
        self.queue_item();
        self.flush_full()
    }

    fn queue_item(&mut self) {
        self.previous = Previous::default();
        if let Some(numbers) = self.queue {
            self.block.push(QUEUE);
            numbers.iter().for_each(|number| write_number(&mut self.block, *number));
        }
    }

    /// Adds a message of the queue; messages come in order.
    pub(crate) fn message(&mut self, entry: &Entry) -> io::Result<()> {
        let (out, previous) = (&mut self.block, self.previous);
        let history = entry.history.as_deref();
        let source = history.and_then(|history| history.source);
        let flag = |set, flag| if set { flag } else { 0 };
        out.extend_from_slice(&[
            MESSAGE,
            flag(history.is_some(), HAS_HISTORY)
                | flag(entry.delay_s > 0, HAS_DELAY)
                | flag(source.is_some(), HAS_SOURCE),
        ]);
        write_number(out, entry.sequence - previous.sequence);
        write_difference(out, previous.sent_at, entry.sent_at.0);
        write_difference(out, previous.file.into(), entry.body.file.into());
        write_difference(out, previous.offset.into(), entry.body.offset.into());
        write_number(out, entry.body.length.into());
        if entry.delay_s > 0 {
            write_number(out, entry.delay_s.into());
        }
        if let Some(history) = history {
            let times = [history.first_received_at, history.received_at, history.visible_at, history.moved_at];
            times.iter().for_each(|time| write_number(out, time.0));
            write_number(out, history.receive_count.into());
            write_number(out, history.received_here.into());
        }
        if let Some(source) = source {
            write_number(out, source.0);
        }
        self.previous = Previous {
            sequence: entry.sequence,
            sent_at: entry.sent_at.0,
            file: entry.body.file,
            offset: entry.body.offset,
        };
        self.messages += 1;
        self.flush_full()
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
            self.queue_item();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut head = [0; 8];
        head[..4].copy_from_slice(&u32::try_from(self.block.len()).map_err(io::Error::other)?.to_le_bytes());
        head[4..].copy_from_slice(&crc32c(&self.block).to_le_bytes());
        self.block.splice(..0, head);
        self.file.write_all_at(&self.block, self.written)?;
        self.written += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Makes the checkpoint the latest one. Returns its size.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.block.push(END);
        write_number(&mut self.block, self.queues);
        write_number(&mut self.block, self.messages);
        self.flush()?;
        self.file.sync_data()?;
        let name = checkpoint_name(self.number);
        self.disk.rename(&self.dir.join(name.clone() + UNFINISHED_SUFFIX), &self.dir.join(name))?;
        self.disk.sync_dir(&self.dir)?;
        Ok(self.written)
    }
}

/// Why a checkpoint could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadCheckpoint {
    /// Written by a later version.
    Newer(u8),
    /// Damaged.
    Damaged,
}

/// Reads a checkpoint.
pub(crate) fn read(mut bytes: &[u8]) -> Result<(Head, Replay), BadCheckpoint> {
    let head = read_head(next_block(&mut bytes).ok_or(BadCheckpoint::Damaged)?)?;
    let mut items = Items::default();
    while !items.ended {
        let block = next_block(&mut bytes).ok_or(BadCheckpoint::Damaged)?;
        items.read_block(block).ok_or(BadCheckpoint::Damaged)?;
    }
    Ok((head, items.replay))
}

fn next_block<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut fields = Reader(bytes);
    let (length, crc) = (fields.u32()?, fields.u32()?);
    let (block, rest) = fields.0.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    (crc32c(block) == crc).then_some(block)
}

fn read_head(block: &[u8]) -> Result<Head, BadCheckpoint> {
    let mut fields = Reader(block);
    let magic: [u8; 8] = fields.take().ok_or(BadCheckpoint::Damaged)?;
    let version = fields.u8().ok_or(BadCheckpoint::Damaged)?;
    match (magic == MAGIC, version) {
        (true, CHECKPOINT_VERSION) => {}
        (true, version) if version > CHECKPOINT_VERSION => return Err(BadCheckpoint::Newer(version)),
        _ => return Err(BadCheckpoint::Damaged),
    }
    let read = |fields: &mut Reader<'_>| {
        let (flags, epoch) = (fields.u8()?, fields.u32()?);
        let start = Position { lsn: fields.u64()?, file: fields.u32()?, offset: fields.u32()? };
        Some(Head { epoch, start, clean: flags & CLEAN != 0 })
    };
    read(&mut fields).ok_or(BadCheckpoint::Damaged)
}

#[derive(Default)]
struct Items {
    replay: Replay,
    queue: Option<QueueId>,
    previous: Previous,
    queues: u64,
    messages: u64,
    ended: bool,
}

impl Items {
    fn read_block(&mut self, block: &[u8]) -> Option<()> {
        let mut fields = Reader(block);
        while !fields.0.is_empty() {
            match fields.u8()? {
                QUEUE => self.read_queue(&mut fields)?,
                MESSAGE => self.read_message(&mut fields)?,
                END => {
                    let (queues, messages) = (read_number(&mut fields)?, read_number(&mut fields)?);
                    self.ended = queues == self.queues && messages == self.messages;
                    return self.ended.then_some(());
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn read_queue(&mut self, fields: &mut Reader<'_>) -> Option<()> {
        let id = QueueId(read_number(fields)?);
        let (last, purged_to) = (read_number(fields)?, read_number(fields)?);
        // A queue is named again in each block that its messages reach into.
        let queue = self.replay.queues.entry(id).or_insert_with(|| {
            self.queues += 1;
            ReplayQueue::default()
        });
        (queue.last, queue.purged_to) = (last, purged_to);
        self.queue = Some(id);
        self.previous = Previous::default();
        Some(())
    }

    fn read_message(&mut self, fields: &mut Reader<'_>) -> Option<()> {
        let previous = self.previous;
        let flags = fields.u8()?;
        let sequence = previous.sequence.checked_add(read_number(fields)?)?;
        let sent_at = read_difference(fields, previous.sent_at)?;
        let body = Body {
            file: u32::try_from(read_difference(fields, previous.file.into())?).ok()?,
            offset: u32::try_from(read_difference(fields, previous.offset.into())?).ok()?,
            length: u32::try_from(read_number(fields)?).ok()?,
            slot: 0,
        };
        let delay_s = if flags & HAS_DELAY == 0 { 0 } else { u16::try_from(read_number(fields)?).ok()? };
        let mut history = if flags & HAS_HISTORY == 0 { None } else { Some(read_history(fields)?) };
        if flags & HAS_SOURCE != 0 {
            history.as_mut()?.source = Some(QueueId(read_number(fields)?));
        }
        self.previous = Previous { sequence, sent_at, file: body.file, offset: body.offset };
        self.messages += 1;
        let table: &mut Table = &mut self.replay.queues.get_mut(&self.queue?)?.table;
        table.insert(Entry::new(sequence, Timestamp(sent_at), delay_s, body, history));
        Some(())
    }
}

fn read_history(fields: &mut Reader<'_>) -> Option<History> {
    let mut time = || read_number(fields).map(Timestamp);
    let (first_received_at, received_at, visible_at, moved_at) = (time()?, time()?, time()?, time()?);
    let receive_count = u32::try_from(read_number(fields)?).ok()?;
    let received_here = u32::try_from(read_number(fields)?).ok()?;
    let source = None;
    Some(History { first_received_at, received_at, visible_at, receive_count, received_here, source, moved_at })
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(fields: &mut Reader<'_>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = fields.u8()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The difference of two numbers, with its sign in the lowest bit: small either way.
fn write_difference(out: &mut Vec<u8>, from: u64, to: u64) {
    let difference = to.wrapping_sub(from).cast_signed();
    write_number(out, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
}

fn read_difference(fields: &mut Reader<'_>, from: u64) -> Option<u64> {
    let coded = read_number(fields)?;
    let difference = (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed();
    Some(from.wrapping_add(difference.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::sim::{Rng, Seed, SimDisk};

    fn written(messages: u64) -> Vec<u8> {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(Seed(1)));
        let start = Position { lsn: 77, file: 3, offset: 4096 };
        let head = Head { epoch: 2, start, clean: true };
        let mut writer = CheckpointWriter::create(Arc::clone(&disk), Path::new(""), 9, &head).unwrap();
        for queue in 0..3 {
            writer.queue(QueueId(queue), messages, 1).unwrap();
            (1..=messages).for_each(|sequence| writer.message(&message(sequence)).unwrap());
        }
        let bytes = writer.finish().unwrap();
        let file = disk.open(Path::new(&checkpoint_name(9))).unwrap();
        let mut read = vec![0; usize::try_from(bytes).unwrap()];
        file.read_exact_at(&mut read, 0).unwrap();
        read
    }

    fn message(sequence: u64) -> Entry {
        let body = Body { file: 7, offset: 4096 + 300 * (sequence as u32), length: 300, slot: 0 };
        let history = History { receive_count: 3, moved_at: Timestamp(5), ..History::default() };
        let history = match sequence % 3 {
            0 => None,
            1 => Some(history),
            _ => Some(History { source: Some(QueueId(8)), ..history }),
        };
        Entry::new(sequence, Timestamp(1_700_000_000_000 - sequence), (sequence % 2) as u16, body, history)
    }

    #[test]
    fn a_checkpoint_reads_back_as_written() {
        // Enough for several blocks.
        let (head, replay) = read(&written(30_000)).unwrap();
        assert_eq!((head.epoch, head.start.lsn, head.clean), (2, 77, true));
        assert_eq!(replay.queues.len(), 3);
        for queue in replay.queues.values() {
            assert_eq!((queue.last, queue.purged_to, queue.table.len()), (30_000, 1, 30_000));
            for (entry, sequence) in queue.table.from(0).zip(1..) {
                assert_eq!(format!("{entry:?}"), format!("{:?}", message(sequence)));
            }
        }
    }

    #[test]
    fn a_damaged_or_cut_checkpoint_is_refused() {
        let bytes = written(50);
        let mut rng = Rng::new(Seed(2));
        for _ in 0..500 {
            let mut damaged = bytes.clone();
            damaged[rng.index(bytes.len())] ^= 1 << rng.index(8);
            assert!(read(&damaged).is_err());
            assert!(read(&bytes[..rng.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_message_of_a_backlog_takes_under_twelve_bytes() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(Seed(1)));
        let head = Head { epoch: 2, start: Position::default(), clean: false };
        let mut writer = CheckpointWriter::create(disk, Path::new(""), 9, &head).unwrap();
        writer.queue(QueueId(1), 0, 0).unwrap();
        for sequence in 1..=10_000 {
            let body = Body { file: 7, offset: 4096 + 310 * (sequence as u32), length: 308, slot: 0 };
            let entry = Entry::new(sequence, Timestamp(1_700_000_000_000 + sequence / 20), 0, body, None);
            writer.message(&entry).unwrap();
        }
        assert!(writer.finish().unwrap() < 120_000);
    }
}
