//! [`Store`]: records in files, one file per load balancer and node at a time.
//!
//! Invariants:
//! - What [`Store::sync`] took is on the disk when it returns, but for what it counts as dropped.
//! - A file given out as [`Sealed`] is not written any more and ends with a whole line.
//! - All files together stay below a bound: the oldest go first, and are counted.
//! - A disk that fails costs records, which are counted, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use host::{Disk, DiskFile, FileKind, Timestamp};

use super::recorder::Lines;
use super::{LogKey, format};
use crate::config::LoadBalancerId;

/// A file that reached this is followed by another: a reader holds a file in memory.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How long after a failure the disk is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Records of one load balancer and node that are ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The load balancer.
    pub load_balancer: LoadBalancerId,
    /// The node's address.
    pub node: IpAddr,
    /// When the earliest of its requests came.
    pub first: Timestamp,
    /// When the latest of its requests came.
    pub last: Timestamp,
    /// How many records it has.
    pub records: u64,
    /// Its length.
    pub bytes: u64,
    /// Tells it from all others of the same spool; later files have higher numbers.
    pub number: u64,
}

/// What happened to records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) dropped: u64,
    pub(super) files_dropped: u64,
}

struct File {
    key: LogKey,
    path: PathBuf,
    /// While it may be written.
    handle: Option<Arc<dyn DiskFile>>,
    bytes: u64,
    records: u64,
    synced_bytes: u64,
    synced_records: u64,
    first_us: u64,
    last_us: u64,
}

impl File {
    fn sealed(&self, number: u64) -> Sealed {
        Sealed {
            load_balancer: self.key.load_balancer,
            node: self.key.node,
            first: Timestamp(self.first_us / 1000),
            last: Timestamp(self.last_us / 1000),
            records: self.records,
            bytes: self.bytes,
            number,
        }
    }
}

/// Lines of one log, gathered from all workers.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: u64,
    first_us: u64,
    last_us: u64,
}

/// The files.
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bytes_max: u64,
    files: BTreeMap<u64, File>,
    /// The files that are written now.
    open: HashMap<LogKey, u64>,
    next_number: u64,
    /// Names were made that a crash may still take.
    new_names: bool,
    paused_until: Option<Timestamp>,
    pending: HashMap<LogKey, Pending>,
    pub(super) counts: Counts,
}

impl Store {
    /// Finds what an earlier process left, and makes it ready to be published.
    ///
    /// # Errors
    /// The directory cannot be made or read. A file that cannot be read stays where it is, unused.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf, bytes_max: u64) -> io::Result<Self> {
        disk.create_dir_all(&dir)?;
        let mut store = Self {
            disk,
            dir,
            bytes_max,
            files: BTreeMap::new(),
            open: HashMap::new(),
            next_number: 1,
            new_names: false,
            paused_until: None,
            pending: HashMap::new(),
            counts: Counts::default(),
        };
        for (name, kind) in store.disk.list(&store.dir)? {
            let Some((number, key)) = parse_name(&name).filter(|_| kind == FileKind::File) else { continue };
            store.next_number = store.next_number.max(number.saturating_add(1));
            let path = store.dir.join(&name);
            match recover(store.disk.as_ref(), &path, key) {
                Ok(Some(file)) => drop(store.files.insert(number, file)),
                Ok(None) => store.disk.remove(&path)?,
                Err(error) => tracing::warn!(file = %path.display(), %error, "access records cannot be read"),
            }
        }
        Ok(store)
    }

    /// Leaves all files, synced, to whoever opens the directory next, and goes on in another one.
    pub(super) fn move_to(&mut self, dir: PathBuf, now: Timestamp) -> io::Result<()> {
        self.write(now);
        self.sync(now);
        let next = Self::open(Arc::clone(&self.disk), dir, self.bytes_max)?;
        *self = Self { counts: self.counts, ..next };
        Ok(())
    }

    /// Takes over the files of a directory that nobody uses any longer; how many.
    pub(super) fn adopt(&mut self, dir: PathBuf) -> io::Result<usize> {
        let other = Self::open(Arc::clone(&self.disk), dir, self.bytes_max)?;
        let adopted = other.files.len();
        for file in other.files.into_values() {
            let number = self.next_number;
            self.next_number += 1;
            let path = self.dir.join(name(number, file.key));
            self.disk.rename(&file.path, &path)?;
            self.files.insert(number, File { path, ..file });
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(adopted)
    }

    /// Gathers lines; [`Store::write`] writes them.
    pub(super) fn gather(&mut self, lines: &Lines) {
        let mut start = 0;
        for segment in &lines.segments {
            let pending = self.pending.entry(segment.key).or_default();
            if pending.records == 0 {
                pending.first_us = u64::MAX;
            }
            pending.bytes.extend_from_slice(&lines.bytes[start..segment.end]);
            pending.records += segment.records;
            pending.first_us = pending.first_us.min(segment.first_us);
            pending.last_us = pending.last_us.max(segment.last_us);
            start = segment.end;
        }
        self.counts.dropped += lines.dropped;
    }

    /// Writes what was gathered.
    pub(super) fn write(&mut self, now: Timestamp) {
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        // A clock that was set back must not pause us for long.
        let paused = self.paused_until.is_some_and(|until| now < until && until.since(now) <= PAUSE);
        for (key, pending) in pending {
            if paused || self.paused_until == Some(now.plus(PAUSE)) {
                self.counts.dropped += pending.records;
                continue;
            }
            match self.append(key, &pending) {
                Ok(()) => self.counts.written += pending.records,
                Err(error) => self.failed(key, pending.records, now, &error),
            }
        }
        self.make_room();
    }

    /// Makes durable what was written. What cannot be is dropped: after a failed sync the system no longer knows which
    /// of the bytes are on the disk.
    pub(super) fn sync(&mut self, now: Timestamp) {
        if self.new_names
            && let Err(error) = self.disk.sync_dir(&self.dir)
        {
            // The files' bytes are in order; their names get another chance at the next sync.
            tracing::warn!(%error, "the access records' directory cannot be synced");
        } else {
            self.new_names = false;
        }
        let open: Vec<(LogKey, u64)> = self.open.iter().map(|(key, number)| (*key, *number)).collect();
        for (key, number) in open {
            let Some(file) = self.files.get_mut(&number).filter(|file| file.bytes > file.synced_bytes) else {
                continue;
            };
            let Some(handle) = &file.handle else { continue };
            match handle.sync_data() {
                Ok(()) => (file.synced_bytes, file.synced_records) = (file.bytes, file.records),
                Err(error) => {
                    let lost = file.records - file.synced_records;
                    self.counts.written -= lost;
                    (file.bytes, file.records) = (file.synced_bytes, file.synced_records);
                    self.failed(key, lost, now, &error);
                }
            }
        }
    }

    /// Closes the load balancer's files and starts new ones; all that wait to be published, oldest first.
    pub(super) fn seal(&mut self, load_balancer: LoadBalancerId, now: Timestamp) -> Vec<Sealed> {
        self.sync(now);
        let keys: Vec<LogKey> = self.open.keys().filter(|key| key.load_balancer == load_balancer).copied().collect();
        keys.into_iter().for_each(|key| self.close(key));
        let of_it =
            |(number, file): (&u64, &File)| (file.key.load_balancer == load_balancer).then(|| file.sealed(*number));
        self.files.iter().filter_map(of_it).collect()
    }

    /// All files that are not being written.
    pub(super) fn sealed(&self) -> Vec<Sealed> {
        let closed = self.files.iter().filter(|(number, file)| self.open.get(&file.key) != Some(number));
        closed.map(|(number, file)| file.sealed(*number)).collect()
    }

    /// A sealed file's bytes.
    ///
    /// # Errors
    /// `NotFound` if it was removed or dropped; what the disk says.
    pub(super) fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        let file = self.files.get(&number).ok_or(io::ErrorKind::NotFound)?;
        let length = usize::try_from(file.bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        self.disk.open(&file.path)?.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Forgets a sealed file, as when it was published.
    ///
    /// # Errors
    /// What the disk says; the file is then still there. None if it is gone already.
    pub(super) fn remove(&mut self, number: u64) -> io::Result<()> {
        let Some(file) = self.files.get(&number) else { return Ok(()) };
        match self.disk.remove(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.forget(number);
        // Else a crash would bring it back, to be published twice.
        self.disk.sync_dir(&self.dir)
    }

    /// How many files there are, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.files.len() as u64, self.files.values().map(|file| file.bytes).sum())
    }

    fn append(&mut self, key: LogKey, pending: &Pending) -> io::Result<()> {
        let length = pending.bytes.len() as u64;
        let is_full = |file: &File| file.bytes > 0 && file.bytes + length > FILE_BYTES_MAX;
        if self.open.get(&key).and_then(|number| self.files.get(number)).is_some_and(is_full) {
            self.close(key);
        }
        let number = match self.open.get(&key) {
            Some(number) => *number,
            None => self.create(key)?,
        };
        let file = self.files.get_mut(&number).ok_or(io::ErrorKind::NotFound)?;
        let handle = file.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
        handle.write_all_at(&pending.bytes, file.bytes)?;
        file.bytes += length;
        file.records += pending.records;
        file.first_us = file.first_us.min(pending.first_us);
        file.last_us = file.last_us.max(pending.last_us);
        Ok(())
    }

    fn create(&mut self, key: LogKey) -> io::Result<u64> {
        let number = self.next_number;
        self.next_number += 1;
        let path = self.dir.join(name(number, key));
        let handle = self.disk.create(&path)?;
        self.new_names = true;
        self.files.insert(number, File { handle: Some(handle), first_us: u64::MAX, ..File::empty(key, path) });
        self.open.insert(key, number);
        Ok(number)
    }

    /// Ends the file that is written for `key`; the next record starts another.
    fn close(&mut self, key: LogKey) {
        let Some(number) = self.open.remove(&key) else { return };
        let Some(file) = self.files.get_mut(&number) else { return };
        // Synced by whoever seals, but not when the file was full: it is not looked at again before.
        let lost = match file.handle.take() {
            Some(handle) if file.bytes > file.synced_bytes => match handle.sync_data() {
                Ok(()) => 0,
                Err(_) => file.records - file.synced_records,
            },
            _ => 0,
        };
        if lost > 0 {
            (file.bytes, file.records) = (file.synced_bytes, file.synced_records);
            self.counts.written -= lost;
            self.counts.dropped += lost;
        }
        if file.bytes == 0 {
            let _ = self.disk.remove(&file.path);
            self.forget(number);
        }
    }

    fn failed(&mut self, key: LogKey, lost: u64, now: Timestamp, error: &io::Error) {
        self.counts.dropped += lost;
        tracing::warn!(%error, records = lost, "access records were lost; traffic is not affected");
        self.paused_until = Some(now.plus(PAUSE));
        if let Some(file) = self.open.get(&key).and_then(|number| self.files.get(number)) {
            // Half a line may stand behind the last whole one. If this fails too, the next start cuts it, and readers
            // never look beyond the length that we know.
            let _ = file.handle.as_ref().map(|handle| handle.set_len(file.bytes));
        }
        self.close(key);
    }

    fn make_room(&mut self) {
        while self.size().1 > self.bytes_max {
            let Some((&number, file)) = self.files.iter().next() else { return };
            tracing::warn!(
                records = file.records,
                bytes = file.bytes,
                "the oldest access records were dropped: too many wait to be published"
            );
            let (path, records) = (file.path.clone(), file.records);
            self.counts.dropped += records;
            self.counts.files_dropped += 1;
            let _ = self.disk.remove(&path);
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(file) = self.files.remove(&number)
            && self.open.get(&file.key) == Some(&number)
        {
            self.open.remove(&file.key);
        }
    }
}

impl File {
    fn empty(key: LogKey, path: PathBuf) -> Self {
        Self {
            key,
            path,
            handle: None,
            bytes: 0,
            records: 0,
            synced_bytes: 0,
            synced_records: 0,
            first_us: 0,
            last_us: 0,
        }
    }
}

/// `0000000000000012-00000000000000a1-127.0.1.1.log`: number, load balancer, node.
fn name(number: u64, key: LogKey) -> String {
    format!("{number:016x}-{:016x}-{}.log", key.load_balancer.0, key.node)
}

fn parse_name(name: &str) -> Option<(u64, LogKey)> {
    let mut parts = name.strip_suffix(".log")?.splitn(3, '-');
    let number = u64::from_str_radix(parts.next()?, 16).ok()?;
    let load_balancer = LoadBalancerId(u64::from_str_radix(parts.next()?, 16).ok()?);
    Some((number, LogKey { load_balancer, node: parts.next()?.parse().ok()? }))
}

/// Reads what an earlier process wrote, up to the last whole line, and cuts the rest; `None` if nothing is left.
fn recover(disk: &dyn Disk, path: &Path, key: LogKey) -> io::Result<Option<File>> {
    let handle = disk.open(path)?;
    let length = handle.len()?;
    // What is longer was not written by us.
    let mut bytes = vec![0; usize::try_from(length.min(2 * FILE_BYTES_MAX)).map_err(|_| io::ErrorKind::FileTooLarge)?];
    handle.read_exact_at(&mut bytes, 0)?;
    let mut file = File { first_us: u64::MAX, ..File::empty(key, path.to_path_buf()) };
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        // A crash leaves zeros where a sector was not written, and anything may stand behind them.
        let whole = line.ends_with(b"\n") && memchr::memchr(0, line).is_none();
        let Some(us) = format::received_us(line).filter(|_| whole) else { break };
        file.bytes += line.len() as u64;
        file.records += 1;
        file.first_us = file.first_us.min(us);
        file.last_us = file.last_us.max(us);
    }
    if file.bytes < length {
        tracing::info!(file = %path.display(), bytes = length - file.bytes, "access records cut short by a crash");
        handle.set_len(file.bytes)?;
        handle.sync_data()?;
    }
    (file.synced_bytes, file.synced_records) = (file.bytes, file.records);
    Ok((file.bytes > 0).then_some(file))
}

#[cfg(test)]
mod tests;
