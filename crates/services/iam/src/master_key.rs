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
    /// Another process makes the key at this moment, or was interrupted before it had written it.
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
        match read(disk, FILE)? {
            Found::Nothing => Ok(None),
            Found::Key(key) => Ok(Some(key)),
            Found::Damaged => Err(MasterKeyError::Damaged),
        }
    }

    fn create(disk: &dyn Disk, ids: &dyn Ids) -> Result<Self, MasterKeyError> {
        let failed = failure("write", UNFINISHED);
        disk.create_dir_all(Path::new(DIRECTORY)).map_err(&failed)?;
        match disk.create(Path::new(UNFINISHED)) {
            Ok(file) => {
                // Whoever finished between our look and our create was first: its key is the one.
                if let Some(key) = Self::load(disk)? {
                    disk.remove(Path::new(UNFINISHED)).map_err(&failed)?;
                    return Ok(key);
                }
                let mut bytes = [0; 32];
                ids.fill(&mut bytes);
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                file.write_all_at(format!("{PREFIX}{digits}\n").as_bytes(), 0).map_err(&failed)?;
                file.sync_data().map_err(&failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::adopt(disk)?,
            Err(error) => return Err(failed(error)),
        }
        Self::finish(disk)
    }

    /// Takes over what another process began, or was interrupted in; a complete key is as good as one of our own.
    fn adopt(disk: &dyn Disk) -> Result<(), MasterKeyError> {
        match read(disk, UNFINISHED)? {
            Found::Damaged => Err(MasterKeyError::Unfinished),
            Found::Nothing => Ok(()),
            Found::Key(_) => {
                let failed = failure("sync", UNFINISHED);
                disk.open(Path::new(UNFINISHED))
                    .and_then(|file| file.sync_data())
                    .or_else(not_found_is_fine)
                    .map_err(failed)
            }
        }
    }

    fn finish(disk: &dyn Disk) -> Result<Self, MasterKeyError> {
        let failed = failure("write", FILE);
        // Not found: another process, with the same key in hand, was faster.
        disk.rename(Path::new(UNFINISHED), Path::new(FILE)).or_else(not_found_is_fine).map_err(&failed)?;
        disk.sync_dir(Path::new(DIRECTORY)).map_err(&failed)?;
        Self::load(disk)?.ok_or(MasterKeyError::Unfinished)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What a file holds.
enum Found {
    Nothing,
    Key(MasterKey),
    Damaged,
}

fn read(disk: &dyn Disk, path: &'static str) -> Result<Found, MasterKeyError> {
    let failed = failure("read", path);
    let file = match disk.open(Path::new(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
    };
    let length = file.len().map_err(&failed)?.min(FILE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0).map_err(&failed)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let key = text.strip_prefix(PREFIX).and_then(MasterKey::from_hex);
    Ok(key.map_or(Found::Damaged, Found::Key))
}

fn not_found_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn failure(what: &'static str, path: &'static str) -> impl Fn(io::Error) -> MasterKeyError {
    move |source| MasterKeyError::Io { what, path: path.into(), source }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use host::SystemDisk;
    use host::sim::{Seed, SimDisk, SimIds, for_each_seed};

    use super::*;

    #[test]
    fn the_key_is_made_once_and_found_again() {
        let disk = SimDisk::new(Seed(7));
        let made = MasterKey::load_or_create(&disk, &SimIds::new(Seed(1))).unwrap();
        let found = MasterKey::load_or_create(&disk.crash(), &SimIds::new(Seed(2))).unwrap();
        assert_eq!(made.bytes(), found.bytes());
        assert_ne!(made.bytes(), &[0; 32]);
    }

    #[test]
    fn a_key_that_was_given_out_survives_a_crash_at_any_moment() {
        for_each_seed(200, |seed| {
            let disk = SimDisk::new(seed);
            disk.with_faults(|faults| faults.power_off_after = Some(seed.0 % 12));
            let given_out = MasterKey::load_or_create(&disk, &SimIds::new(Seed(1)));
            let after = MasterKey::load_or_create(&disk.crash(), &SimIds::new(Seed(2)));
            match (given_out, after) {
                (Ok(before), Ok(after)) => assert_eq!(before.bytes(), after.bytes()),
                (Ok(_), Err(error)) => panic!("the key is gone: {error}"),
                (Err(_), Ok(_) | Err(MasterKeyError::Unfinished)) => {}
                (Err(_), Err(error)) => panic!("an interrupted start is told as {error}"),
            }
        });
    }

    #[test]
    fn a_complete_key_of_an_interrupted_start_is_adopted() {
        let disk = SimDisk::new(Seed(7));
        disk.create_dir_all(Path::new(DIRECTORY)).unwrap();
        let file = disk.create(Path::new(UNFINISHED)).unwrap();
        file.write_all_at(format!("{PREFIX}{}\n", "ab".repeat(32)).as_bytes(), 0).unwrap();
        let key = MasterKey::load_or_create(&disk, &SimIds::new(Seed(1))).unwrap();
        assert_eq!(key.bytes(), &[0xab; 32]);
        assert!(disk.open(Path::new(UNFINISHED)).is_err());
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let disk = SimDisk::new(Seed(7));
        disk.create_dir_all(Path::new(DIRECTORY)).unwrap();
        let file = disk.create(Path::new(FILE)).unwrap();
        file.write_all_at(b"millpond-master-key-1:abc", 0).unwrap();
        let refused = MasterKey::load_or_create(&disk, &SimIds::new(Seed(1)));
        assert!(matches!(refused, Err(MasterKeyError::Damaged)), "{refused:?}");
        assert_eq!(file.len().unwrap(), 25);
    }

    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let disk = SystemDisk::new(root.path().to_path_buf());
        MasterKey::load_or_create(&disk, &SimIds::new(Seed(1))).unwrap();
        let mode = std::fs::metadata(root.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_is_written_as_64_digits() {
        assert_eq!(MasterKey::from_hex(&"Ab".repeat(32)).unwrap().bytes(), &[0xab; 32]);
        for text in ["", "ab", &"ab".repeat(33), &"xy".repeat(32)] {
            assert!(MasterKey::from_hex(text).is_none(), "{text}");
        }
    }
}
