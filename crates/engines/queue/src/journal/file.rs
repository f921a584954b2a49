//! Journal files: made ahead of time, used once at a time, used again.
//!
//! Invariants:
//! - A file named `journal-N` has a synced header with number N and a salt that no other use of its bytes ever had.
//! - Numbers rise in the order of use; a number may stay without a frame.
//! - A file is used again only when nobody holds it any more.
//!
//! Layout of the header, little-endian: magic 8 bytes | version u8 | 0 u8×3 | number u32 | salt u64 | capacity u32 |
//! crc u32; frames start at [`FIRST_FRAME`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crc32c::crc32c;
use host::{Disk, DiskFile, Ids};
use parking_lot::Mutex;

use super::record::Reader;

/// Where frames start: the header has a page of its own, so that no later write can tear it.
pub(crate) const FIRST_FRAME: u32 = 4096;
/// The format version of journal files that this program writes, and the newest that it reads.
pub(crate) const FILE_VERSION: u8 = 1;
/// How names of journal files start.
pub(crate) const JOURNAL_PREFIX: &str = "journal-";
/// How names of files start that wait for their next use.
pub(crate) const SPARE_PREFIX: &str = "spare-";

const MAGIC: [u8; 8] = *b"MPjournl";
const HEADER_BYTES: usize = 32;
/// Bytes zeroed between two syncs.
const ZERO_STEP: u32 = 1 << 20;
/// Files kept for their next use.
const SPARES_MAX: usize = 2;
/// Largest size of a file that is made while a commit waits for it.
const URGENT_CAPACITY: u32 = 4 << 20;

/// What a journal file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) number: u32,
    pub(crate) salt: u64,
    /// Bytes after which no frame is appended.
    pub(crate) capacity: u32,
}

/// Why a header could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Written by a later version.
    Newer(u8),
    /// Damaged.
    Damaged,
}

impl FileHeader {
    fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[FILE_VERSION, 0, 0, 0]);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.resize(FIRST_FRAME as usize, 0);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadHeader> {
        let header = bytes.get(..HEADER_BYTES).ok_or(BadHeader::Damaged)?;
        let read = |mut fields: Reader<'_>| {
            let magic: [u8; 8] = fields.take()?;
            let [version, ..]: [u8; 4] = fields.take()?;
            let header = Self { number: fields.u32()?, salt: fields.u64()?, capacity: fields.u32()? };
            let whole = fields.u32()? == crc32c(&bytes[..HEADER_BYTES - 4]);
            (magic == MAGIC && whole).then_some((version, header))
        };
        match read(Reader(header)).ok_or(BadHeader::Damaged)? {
            (FILE_VERSION, header) => Ok(header),
            (version, _) if version > FILE_VERSION => Err(BadHeader::Newer(version)),
            _ => Err(BadHeader::Damaged),
        }
    }
}

/// A journal file in use. Whoever reads from it holds it, and so keeps it from being used again.
pub(crate) struct JournalFile {
    pub(crate) header: FileHeader,
    pub(crate) handle: Arc<dyn DiskFile>,
}

/// The name of a journal file.
pub(crate) fn journal_name(number: u32) -> String {
    format!("{JOURNAL_PREFIX}{number:08x}")
}

/// The number in a name with this prefix.
pub(crate) fn number_in(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    u64::from_str_radix(digits, 16).ok()
}

/// A file that has no header yet: its name, itself, and how much of it to use.
type Made = (String, Arc<dyn DiskFile>, u32);

/// Writes zeros step by step, so that other writers of the disk get their turn.
fn zero(file: &dyn DiskFile, bytes: u32) -> io::Result<()> {
    let mut end = 0;
    while end < bytes {
        end = end.saturating_add(ZERO_STEP).min(bytes);
        file.allocate(end.into())?;
        file.sync_data()?;
    }
    Ok(())
}

/// Makes journal files.
pub(crate) struct FileSupply {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    ids: Arc<dyn Ids>,
    /// The usual size of a file.
    file_bytes: u32,
    next_number: AtomicU32,
    prepared: Mutex<Option<Arc<JournalFile>>>,
    spares: Mutex<Vec<String>>,
}

impl FileSupply {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        ids: Arc<dyn Ids>,
        file_bytes: u32,
        next_number: u32,
        spares: Vec<String>,
    ) -> Self {
        Self {
            disk,
            dir: dir.to_path_buf(),
            ids,
            file_bytes,
            next_number: AtomicU32::new(next_number),
            prepared: Mutex::new(None),
            spares: Mutex::new(spares),
        }
    }

    /// The next file, for at least `bytes` of frames: the prepared one, or a small one made at once.
    pub(crate) fn next(&self, current: u32, bytes: usize) -> io::Result<Arc<JournalFile>> {
        let bytes = u32::try_from(bytes + FIRST_FRAME as usize).map_err(io::Error::other)?;
        if let Some(file) = self.prepared.lock().take() {
            if file.header.number > current && file.header.capacity >= bytes {
                return Ok(file);
            }
            self.retire(&file)?;
        }
        self.make(self.file_bytes.min(URGENT_CAPACITY).max(bytes), false)
    }

    /// Whether a file stands ready.
    pub(crate) fn is_prepared(&self) -> bool {
        self.prepared.lock().is_some()
    }

    /// Makes a file ready for [`FileSupply::next`], all its blocks written: syncs cost half as much then. It is
    /// `growth` times as large as the one in use, up to the usual size: a young engine takes little disk.
    pub(crate) fn prepare(&self, current_capacity: u32, growth: u32) -> io::Result<()> {
        let file = self.make(current_capacity.saturating_mul(growth).min(self.file_bytes), true)?;
        *self.prepared.lock() = Some(file);
        Ok(())
    }

    /// Makes a file of its own from a spare one, or from nothing.
    fn make(&self, capacity: u32, zeroed: bool) -> io::Result<Arc<JournalFile>> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (name, handle, capacity) = match self.open_spare(capacity)? {
            Some(spare) => spare,
            None => self.create(number, capacity, zeroed)?,
        };
        let header = FileHeader { number, salt: self.ids.u64(), capacity };
        handle.write_all_at(&header.write(), 0)?;
        handle.sync_data()?;
        self.disk.rename(&self.dir.join(&name), &self.dir.join(journal_name(number)))?;
        self.disk.sync_dir(&self.dir)?;
        Ok(Arc::new(JournalFile { header, handle }))
    }

    fn open_spare(&self, capacity: u32) -> io::Result<Option<Made>> {
        let Some(name) = self.spares.lock().pop() else { return Ok(None) };
        let handle = self.disk.open(&self.dir.join(&name))?;
        let length = u32::try_from(handle.len()?).unwrap_or(u32::MAX);
        if length >= capacity {
            // All of it, if it is larger than asked for.
            return Ok(Some((name, handle, length.min(self.file_bytes).max(capacity))));
        }
        self.disk.remove(&self.dir.join(&name))?;
        Ok(None)
    }

    fn create(&self, number: u32, capacity: u32, zeroed: bool) -> io::Result<Made> {
        let name = format!("{SPARE_PREFIX}{number:08x}");
        let path = self.dir.join(&name);
        let handle = self.disk.create(&path)?;
        if zeroed && let Err(error) = zero(&*handle, capacity) {
            // On a full disk, half a file is room that others need. If even this fails, the next start finds it.
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        Ok((name, handle, capacity))
    }

    /// Takes a file out of use that no message and no replay needs: it waits for its next use, or goes.
    pub(crate) fn retire(&self, file: &JournalFile) -> io::Result<()> {
        let path = self.dir.join(journal_name(file.header.number));
        let mut spares = self.spares.lock();
        if spares.len() < SPARES_MAX {
            let name = format!("{SPARE_PREFIX}{:08x}", file.header.number);
            self.disk.rename(&path, &self.dir.join(&name))?;
            // The name must be gone before the bytes change, or a crash could show the new header under the old name.
            self.disk.sync_dir(&self.dir)?;
            spares.push(name);
        } else {
            self.disk.remove(&path)?;
        }
        Ok(())
    }

    /// Files on disk that hold no frame.
    pub(crate) fn idle_files(&self) -> usize {
        self.spares.lock().len() + usize::from(self.is_prepared())
    }
}
