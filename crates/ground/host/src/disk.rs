//! Disk: the few file operations that durability needs, and nothing that hides a failure.
//!
//! Invariants:
//! - Nothing is durable before `sync_data` (for bytes) or `sync_dir` (for names) returned `Ok`.
//! - Every call blocks; callers on an async runtime use a thread of their own or `spawn_blocking`.
//! - Paths are relative to the root that the disk was opened with; `..` and absolute paths are refused.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Bytes free and in all on the file system that holds the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still allocate.
    pub available: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A directory tree that outlives the process.
pub trait Disk: Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a new, empty file; fails if it exists. The name is durable after [`Disk::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a directory and its parents; no error if it exists.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, FileKind)>>;
    /// Renames atomically, replacing what stands at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Room left on the file system.
    fn space(&self) -> io::Result<Space>;
}

/// An open file with positional I/O.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads exactly `buffer.len()` bytes from `offset`; `UnexpectedEof` past the end.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file as needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves `bytes` of space from the start, zero-filled, so that later writes cannot run out of room.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Makes the written bytes, and the length needed to read them, durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// The machine's own disk, below one root directory.
#[derive(Clone, Debug)]
pub struct SystemDisk {
    root: std::path::PathBuf,
}
