//! [`MasterKey`]: the key that seals all secrets at rest.
//!
//! Invariant: a master key that sealed something is never replaced; when in doubt, the operator is asked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use host::{Disk, Ids};

const DIRECTORY: &str = "keys";
const FILE: &str = "keys/master.key";
/// Written first and renamed when complete; also keeps two processes from making a key at the same time.
const UNFINISHED: &str = "keys/master.key.new";
/// Before the 64 hexadecimal digits, so that the file says what it is.
const PREFIX: &str = "millpond-master-key-1:";
const FILE_BYTES_MAX: u64 = 1024;

/// 256 bits that seal the secret access keys.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("cannot {what} {}: {source}; check that the data directory belongs to the user who runs millpond", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file, relative to the data directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error(
        "{FILE} in the data directory is not a master key; restore it from a backup, or delete it together with all access keys"
    )]
    Damaged,
    /// Another process makes the key at this moment, or was interrupted in it.
    #[error(
        "another millpond is writing its master key into this data directory; try again, and if this stays, \
         a start was interrupted: delete {UNFINISHED} there"
    )]
    Unfinished,
}

impl MasterKey {
    /// A key that the operator keeps elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key from 64 hexadecimal digits, as `MILLPOND_MASTER_KEY` holds it; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Reads `keys/master.key` below the data directory, and makes it where there is none. Blocks.
    pub fn load_or_create(disk: &dyn Disk, ids: &dyn Ids) -> Result<Self, MasterKeyError> {
        match Self::load(disk)? {
            Some(key) => Ok(key),
            None => Self::create(disk, ids),
        }
    }

    fn load(disk: &dyn Disk) -> Result<Option<Self>, MasterKeyError> {
        let failed = failure("read", FILE);
        let file = match disk.open(Path::new(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let length = file.len().map_err(&failed)?;
        let length = usize::try_from(length.min(FILE_BYTES_MAX)).unwrap_or_default();
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0).map_err(&failed)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let key = text.strip_prefix(PREFIX).and_then(Self::from_hex);
        key.map(Some).ok_or(MasterKeyError::Damaged)
    }

    fn create(disk: &dyn Disk, ids: &dyn Ids) -> Result<Self, MasterKeyError> {
        let failed = failure("write", FILE);
        disk.create_dir_all(Path::new(DIRECTORY)).map_err(&failed)?;
        let file = disk.create(Path::new(UNFINISHED)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => MasterKeyError::Unfinished,
            _ => failed(error),
        })?;
        // Whoever was before us between our look and our create has renamed by now: its key is the one.
        if let Some(key) = Self::load(disk)? {
            disk.remove(Path::new(UNFINISHED)).map_err(&failed)?;
            return Ok(key);
        }
        let mut bytes = [0; 32];
        ids.fill(&mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        file.write_all_at(format!("{PREFIX}{digits}\n").as_bytes(), 0).map_err(&failed)?;
        file.sync_data().map_err(&failed)?;
        disk.rename(Path::new(UNFINISHED), Path::new(FILE)).map_err(&failed)?;
        disk.sync_dir(Path::new(DIRECTORY)).map_err(&failed)?;
        disk.sync_dir(Path::new("")).map_err(&failed)?;
        Ok(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn failure(what: &'static str, path: &'static str) -> impl Fn(io::Error) -> MasterKeyError {
    move |source| MasterKeyError::Io { what, path: path.into(), source }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}
