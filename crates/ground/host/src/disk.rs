//! Disk: the few file operations that durability needs, and nothing that hides a failure.
//!
//! Invariants:
//! - Nothing is durable before `sync_data` (for bytes) or `sync_dir` (for names) returned `Ok`.
//! - Every call blocks; callers on an async runtime use a thread of their own or `spawn_blocking`.
//! - Paths are relative to the root that the disk was opened with; `..` and absolute paths are refused.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Zeros are written in pieces of this size: large enough to hide the system call, small enough for the stack's peace.
const ZEROS_BYTES: usize = 1 << 20;

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
    /// Creates a directory and its parents; no error if it exists. Durable when it returns: each new name is synced.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, FileKind)>>;
    /// Renames atomically, replacing a file that stands at `to`. Durable after [`Disk::sync_dir`] of `to`'s directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file. Its bytes stay readable through handles that are open.
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
    /// Makes the file at least `bytes` long, the new part written with zeros, so that later writes neither run out of
    /// room nor change metadata (on ext4 a commit into such a file syncs in about 60 % of the time of a growing one).
    /// Bytes already there stay. Durable after [`DiskFile::sync_data`]. A copy-on-write file system may still run out.
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

/// The path without `.`, checked to stay below the root.
///
/// # Errors
/// `InvalidInput` for absolute paths and for any `..`.
pub(crate) fn relative(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("path {} leaves the disk's root", path.display()),
                ));
            }
        }
    }
    Ok(clean)
}

/// The machine's own disk, below one root directory.
///
/// ```
/// # use host::{Disk, DiskFile, SystemDisk};
/// # use std::path::Path;
/// # fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let disk = SystemDisk::new(dir.path().to_path_buf());
/// disk.create_dir_all(Path::new("tmp"))?;
/// disk.create_dir_all(Path::new("blobs"))?;
/// let file = disk.create(Path::new("tmp/1"))?;
/// file.write_all_at(b"bytes", 0)?;
/// file.sync_data()?; // the bytes are durable
/// disk.rename(Path::new("tmp/1"), Path::new("blobs/1"))?;
/// disk.sync_dir(Path::new("blobs"))?; // and so is the name
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SystemDisk {
    root: PathBuf,
}

impl SystemDisk {
    /// A disk below `root`, which exists or is made by `create_dir_all("")`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory that all paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.root.join(relative(path)?))
    }
}

/// Makes the names in `directory`, a path on the host, durable.
fn sync_host_dir(directory: &Path) -> io::Result<()> {
    // An empty path is what `Path::parent` says of `a` in the working directory.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    OpenOptions::new().read(true).open(directory)?.sync_all()
}

/// Creates `directory` and what is missing above it, syncing the parent of each new name.
fn create_host_dir_all(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    if !parent.as_os_str().is_empty() {
        create_host_dir_all(parent)?;
    }
    match fs::create_dir(directory) {
        Ok(()) => sync_host_dir(parent),
        // Somebody else was faster; whoever came first also syncs, but may not have got to it yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => sync_host_dir(parent),
        Err(error) => Err(error),
    }
}

impl Disk for SystemDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.resolve(path)?)?;
        Ok(Arc::new(SystemFile { file }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        // Keys, messages and objects are nobody's business but the owner's.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.resolve(path)?)?;
        Ok(Arc::new(SystemFile { file }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        create_host_dir_all(&self.resolve(path)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, FileKind)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.resolve(path)?)? {
            let entry = entry?;
            let kind = if entry.file_type()?.is_dir() { FileKind::Directory } else { FileKind::File };
            // A name that is not UTF-8 was not made by us, and nothing that we could do with it would be right.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, kind));
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    #[allow(clippy::disallowed_methods, reason = "this is host::Disk")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    #[allow(clippy::disallowed_methods, reason = "this is host::Disk")]
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.resolve(path)?)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_host_dir(&self.resolve(path)?)
    }

    fn space(&self) -> io::Result<Space> {
        let numbers = rustix::fs::statvfs(&self.root)?;
        Ok(Space {
            available: numbers.f_bavail.saturating_mul(numbers.f_frsize),
            total: numbers.f_blocks.saturating_mul(numbers.f_frsize),
        })
    }
}

/// One open file of the machine's disk.
struct SystemFile {
    file: File,
}

impl DiskFile for SystemFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut end = self.len()?;
        if bytes <= end {
            return Ok(());
        }
        // Asked for first, so that a full disk says so at once, before a partial run of zeros. The length must grow
        // with the zeros, not ahead of them: a crash between the two would leave a file that looks ready and is not.
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        // An allocated block is still "unwritten": the first write to it changes metadata, which each commit would
        // then pay for. Writing the zeros pays once.
        let zeros = vec![0; ZEROS_BYTES];
        while end < bytes {
            let piece = usize::try_from(bytes - end).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
            self.file.write_all_at(&zeros[..piece], end)?;
            end += piece as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, SystemDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = SystemDisk::new(dir.path().to_path_buf());
        (dir, disk)
    }

    #[test]
    fn a_path_that_leaves_the_root_is_refused() {
        let (_dir, disk) = disk();
        for path in ["/etc/passwd", "../x", "a/../../x", "a/.."] {
            for result in [disk.open(Path::new(path)).map(drop), disk.create_dir_all(Path::new(path))] {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
            }
        }
    }

    #[test]
    fn create_refuses_what_exists_and_open_what_does_not() {
        let (_dir, disk) = disk();
        assert_eq!(disk.open(Path::new("a")).map(drop).unwrap_err().kind(), io::ErrorKind::NotFound);
        disk.create(Path::new("a")).unwrap();
        assert_eq!(disk.create(Path::new("a")).map(drop).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn bytes_are_found_again_where_they_were_written() {
        let (_dir, disk) = disk();
        disk.create_dir_all(Path::new("x/y")).unwrap();
        disk.create_dir_all(Path::new("x/y")).unwrap();
        let file = disk.create(Path::new("x/y/f")).unwrap();
        file.write_all_at(b"world", 6).unwrap();
        file.write_all_at(b"hello", 0).unwrap();
        file.sync_data().unwrap();
        disk.rename(Path::new("x/y/f"), Path::new("x/g")).unwrap();
        disk.sync_dir(Path::new("x")).unwrap();
        let mut bytes = [9; 11];
        disk.open(Path::new("x/g")).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"hello\0world");
        assert_eq!(file.read_exact_at(&mut bytes, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(
            disk.list(Path::new("x")).unwrap(),
            [("g".to_owned(), FileKind::File), ("y".to_owned(), FileKind::Directory)]
        );
        disk.remove(Path::new("x/g")).unwrap();
        assert_eq!(disk.list(Path::new("x")).unwrap().len(), 1);
    }

    #[test]
    fn allocating_keeps_what_is_there_and_fills_with_zeros() {
        let (_dir, disk) = disk();
        let file = disk.create(Path::new("f")).unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        let bytes = ZEROS_BYTES as u64 + 4096;
        file.allocate(bytes).unwrap();
        file.allocate(10).unwrap();
        assert_eq!(file.len().unwrap(), bytes);
        let mut content = vec![1; usize::try_from(bytes).unwrap()];
        file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content[..3], b"abc");
        assert!(content[3..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn space_is_that_of_the_file_system() {
        let (_dir, disk) = disk();
        let space = disk.space().unwrap();
        assert!(space.total > 0 && space.available <= space.total);
    }
}
