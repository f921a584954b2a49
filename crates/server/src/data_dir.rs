//! The data directory: whose it is, in which version, and where each part keeps its own.
//!
//! Invariants:
//! - At most one process uses a directory: the lock is the kernel's and falls with the process, however it ends.
//! - A directory that a newer version wrote, or that is not Millpond's, is left untouched.
//! - Nobody but its owner can read it: it holds other people's messages and keys.
//!
//! ```text
//! LOCK      flock'ed while a process uses the directory; holds its id for people
//! VERSION   the format's number
//! keys/     the master key that access keys are sealed with
//! the rest  belongs to the store, the queue engine and S3; see `wiring`
//! ```

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Why a data directory cannot be used; reads as one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "cannot use data directory {dir}: another Millpond{holder} is using it; stop that one, or choose another with --data-dir"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// ` (process 123)` where known.
        holder: String,
    },
    /// A newer version wrote it.
    #[error(
        "cannot use data directory {dir}: a newer Millpond wrote it (format {found}, this version reads up to {FORMAT}); run that version, or choose another with --data-dir"
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// The number in its VERSION.
        found: u32,
    },
    /// It holds something else.
    #[error(
        "cannot use data directory {dir}: it is not empty and not Millpond's (it has no readable VERSION); choose another with --data-dir"
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
    },
    /// There is none.
    #[error("there is no data directory at {dir}; name one with --data-dir, or create it with `millpond serve`")]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The system refused.
    #[error("cannot use data directory {dir}: {source}; check that it lies on a local disk and belongs to you")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A data directory that nobody else uses while this lives.
#[derive(Debug)]
pub struct Inspected {
    _lock: Option<File>,
}

/// A data directory that this process holds until it drops this.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes the directory at `path`, creating it where there is none.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        create_dir(path).map_err(|source| io_error(path, source))?;
        Self::take(path)
    }

    /// Holds the directory at `path` against servers for as long as the value lives, and changes nothing in it.
    pub fn inspect(path: &Path) -> Result<Inspected, DataDirError> {
        Self::check(path)?;
        let lock = match fs::OpenOptions::new().read(true).open(path.join("LOCK")) {
            Ok(file) => Some(file),
            // A copy without its lock is nobody's.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(io_error(path, source)),
        };
        if let Some(file) = &lock {
            flock(file, FlockOperation::NonBlockingLockShared).map_err(|error| not_locked(path, file, error))?;
        }
        Ok(Inspected { _lock: lock })
    }

    /// Whether there is a data directory of a version that we read; takes and changes nothing.
    pub fn check(path: &Path) -> Result<(), DataDirError> {
        match fs::read_to_string(path.join("VERSION")).map(|text| text.trim().parse::<u32>()) {
            Ok(Ok(found)) if found > FORMAT => Err(DataDirError::Newer { dir: path.into(), found }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(DataDirError::NotOurs { dir: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataDirError::Missing { dir: path.into() }),
            Err(source) => Err(io_error(path, source)),
        }
    }

    fn take(path: &Path) -> Result<Self, DataDirError> {
        check_ours(path)?;
        let lock = lock(path)?;
        match Self::check(path) {
            Err(DataDirError::Missing { .. }) => write_version(path).map_err(|source| io_error(path, source))?,
            checked => checked?,
        }
        prepare(path).map_err(|source| io_error(path, source))?;
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn io_error(path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { dir: path.into(), source }
}

/// Before the lock file is created: a directory of somebody else's must stay as it is.
fn check_ours(path: &Path) -> Result<(), DataDirError> {
    if path.join("VERSION").exists() {
        return Ok(());
    }
    let mut entries = fs::read_dir(path).map_err(|source| io_error(path, source))?;
    // A process that died between creating LOCK and VERSION leaves the former behind.
    let foreign = entries
        .any(|entry| !entry.is_ok_and(|entry| entry.file_name() == "LOCK" || entry.file_name() == "VERSION.new"));
    if foreign { Err(DataDirError::NotOurs { dir: path.into() }) } else { Ok(()) }
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let io_error = |source| io_error(path, source);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("LOCK"))
        .map_err(io_error)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| not_locked(path, &file, error))?;
    file.set_len(0).map_err(io_error)?;
    file.rewind().map_err(io_error)?;
    writeln!(file, "{}", std::process::id()).map_err(io_error)?;
    Ok(file)
}

fn not_locked(path: &Path, file: &File, error: rustix::io::Errno) -> DataDirError {
    if error != rustix::io::Errno::WOULDBLOCK {
        return io_error(path, error.into());
    }
    let mut id = String::new();
    let _ = file.take(32).read_to_string(&mut id);
    let holder = id.trim().parse::<u32>().map(|id| format!(" (process {id})")).unwrap_or_default();
    DataDirError::InUse { dir: path.into(), holder }
}

#[allow(clippy::disallowed_methods, reason = "written once, before any service exists; durable by the syncs here")]
fn write_version(path: &Path) -> io::Result<()> {
    let unnamed = path.join("VERSION.new");
    let mut file = File::create(&unnamed)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&unnamed, path.join("VERSION"))?;
    sync_dir(path)
}

fn prepare(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    create_dir(&path.join("keys"))?;
    sync_dir(path)
}

#[allow(clippy::disallowed_methods, reason = "opens a directory only to sync its names")]
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests look at the directory from outside")]
    use super::*;

    fn refusal(result: Result<DataDir, DataDirError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_directory_in_use_is_refused_and_free_again_when_its_holder_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let held = DataDir::open(&path).unwrap();
        let sentence = refusal(DataDir::open(&path));
        assert!(sentence.contains(&format!("(process {}) is using it", std::process::id())), "{sentence}");
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_and_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("VERSION"), "2\n").unwrap();
        let sentence = refusal(DataDir::open(root.path()));
        assert!(sentence.contains("format 2, this version reads up to 1"), "{sentence}");
        assert!(!root.path().join("keys").exists());
    }

    #[test]
    fn a_directory_of_somebody_elses_is_refused_and_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        let sentence = refusal(DataDir::open(root.path()));
        assert!(sentence.contains("not empty and not Millpond's"), "{sentence}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_not_created_by_those_who_only_look() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        assert!(DataDir::inspect(&path).unwrap_err().to_string().contains("no data directory"));
        assert!(!path.exists());
    }

    #[test]
    fn who_looks_and_who_serves_keep_each_other_out() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let held = DataDir::open(&path).unwrap();
        assert!(DataDir::inspect(&path).unwrap_err().to_string().contains("is using it"));
        drop(held);
        let _one = DataDir::inspect(&path).unwrap();
        let _another = DataDir::inspect(&path).unwrap();
        assert!(refusal(DataDir::open(&path)).contains("is using it"));
    }

    #[test]
    fn only_the_owner_can_look_inside() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
