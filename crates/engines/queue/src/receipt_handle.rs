//! Receipt handles: a lease in one word, made and understood without a table.
//!
//! Invariants:
//! - A handle is authenticated with a key that only this data directory has: nobody makes one up, nobody turns one
//!   queue's into another's.
//! - The key is kept, so handles outlive a restart.
//!
//! Layout before base64url: version u8 | queue u64 | sequence u64 | receive count u32 | received at u64 |
//! SipHash-2-4-128 of these 16 bytes.

use std::hash::Hasher;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crc32c::crc32c;
use host::{Disk, FileKind, Ids, Timestamp};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::error::OpenError;
use crate::message::QueueId;

const VERSION: u8 = 1;
const FIELD_BYTES: usize = 29;
const HANDLE_BYTES: usize = FIELD_BYTES + 16;
const TEXT_BYTES: usize = HANDLE_BYTES / 3 * 4;

const KEY_NAME: &str = "handles.key";
const KEY_MAGIC: [u8; 8] = *b"MPhandle";
const KEY_VERSION: u8 = 1;
const KEY_FILE_BYTES: usize = 8 + 1 + 16 + 4;

/// What a handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) queue: QueueId,
    pub(crate) sequence: u64,
    /// With `received_at`, names the lease.
    pub(crate) receive_count: u32,
    pub(crate) received_at: Timestamp,
}

/// Makes and reads handles.
#[derive(Clone, Copy)]
pub(crate) struct HandleKey(SipHasher24);

impl HandleKey {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(&key))
    }

    /// The directory's key, made at its first use.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, ids: &dyn Ids) -> Result<Self, OpenError> {
        let path = dir.join(KEY_NAME);
        let failed = |what| {
            let path = path.clone();
            move |source| OpenError::Io { what, path, source }
        };
        let names = disk.list(dir).map_err(failed("list"))?;
        if names.contains(&(KEY_NAME.to_owned(), FileKind::File)) {
            let mut bytes = [0; KEY_FILE_BYTES];
            let file = disk.open(&path).map_err(failed("open"))?;
            let length = file.len().map_err(failed("read"))?;
            if length == KEY_FILE_BYTES as u64 {
                file.read_exact_at(&mut bytes, 0).map_err(failed("read"))?;
            }
            return parse_key(&bytes).map(Self::new).ok_or(OpenError::DamagedKey { path });
        }
        let mut key = [0; 16];
        ids.fill(&mut key);
        let unfinished = dir.join(format!("{KEY_NAME}.new"));
        if names.contains(&(format!("{KEY_NAME}.new"), FileKind::File)) {
            disk.remove(&unfinished).map_err(failed("remove"))?;
        }
        let file = disk.create(&unfinished).map_err(failed("create"))?;
        file.write_all_at(&write_key(key), 0).map_err(failed("write"))?;
        file.sync_data().map_err(failed("sync"))?;
        disk.rename(&unfinished, &path).map_err(failed("rename"))?;
        disk.sync_dir(dir).map_err(failed("sync the directory of"))?;
        Ok(Self::new(key))
    }

    fn mac(&self, fields: &[u8]) -> [u8; 16] {
        let mut hasher = self.0;
        hasher.write(fields);
        hasher.finish128().as_bytes()
    }

    pub(crate) fn seal(&self, handle: &Handle) -> String {
        let mut bytes = [0; HANDLE_BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&handle.queue.0.to_le_bytes());
        bytes[9..17].copy_from_slice(&handle.sequence.to_le_bytes());
        bytes[17..21].copy_from_slice(&handle.receive_count.to_le_bytes());
        bytes[21..29].copy_from_slice(&handle.received_at.0.to_le_bytes());
        let mac = self.mac(&bytes[..FIELD_BYTES]);
        bytes[FIELD_BYTES..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text says, if it is a handle of this key.
    pub(crate) fn open_handle(&self, text: &str) -> Option<Handle> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let mut bytes = [0; HANDLE_BYTES];
        // Asked for exactly its size, the decoder fills it or fails.
        URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (fields, mac) = bytes.split_at(FIELD_BYTES);
        // No early exit: the time it takes tells nothing about how much was right.
        let difference = self.mac(fields).iter().zip(mac).fold(0, |seen, (a, b)| seen | (a ^ b));
        if difference != 0 || fields[0] != VERSION {
            return None;
        }
        let number = |at: usize| fields[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        Some(Handle {
            queue: QueueId(number(1)?),
            sequence: number(9)?,
            receive_count: fields[17..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?,
            received_at: Timestamp(number(21)?),
        })
    }
}

fn write_key(key: [u8; 16]) -> Vec<u8> {
    let mut out = KEY_MAGIC.to_vec();
    out.push(KEY_VERSION);
    out.extend_from_slice(&key);
    let crc = crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn parse_key(bytes: &[u8; KEY_FILE_BYTES]) -> Option<[u8; 16]> {
    let key: [u8; 16] = *bytes[9..].first_chunk()?;
    (write_key(key) == bytes).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::sim::{Seed, SimDisk, SimIds};

    fn handle() -> Handle {
        Handle { queue: QueueId(7), sequence: 8, receive_count: 9, received_at: Timestamp(10) }
    }

    #[test]
    fn a_handle_says_what_was_sealed_and_no_other_key_reads_it() {
        let text = HandleKey::new([1; 16]).seal(&handle());
        assert_eq!(HandleKey::new([1; 16]).open_handle(&text), Some(handle()));
        assert_eq!(HandleKey::new([2; 16]).open_handle(&text), None);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn no_changed_character_passes() {
        let key = HandleKey::new([1; 16]);
        let text = key.seal(&handle());
        for place in 0..text.len() {
            for replacement in ["A", "b", "-", "=", "é", ""] {
                let mut changed = text.clone();
                changed.replace_range(place..=place, replacement);
                assert!(changed == text || key.open_handle(&changed).is_none(), "{changed}");
            }
        }
        assert_eq!(key.open_handle(""), None);
    }

    #[test]
    fn the_key_outlives_a_crash_and_a_damaged_one_is_refused() {
        let disk = SimDisk::new(Seed(1));
        let dir = Path::new("");
        let key = HandleKey::open(&disk, dir, &SimIds::new(Seed(1))).unwrap();
        let text = key.seal(&handle());
        let disk = disk.crash();
        let key = HandleKey::open(&disk, dir, &SimIds::new(Seed(2))).unwrap();
        assert_eq!(key.open_handle(&text), Some(handle()));
        disk.flip_bit(Path::new(KEY_NAME), 100).unwrap();
        assert!(matches!(HandleKey::open(&disk, dir, &SimIds::new(Seed(3))), Err(OpenError::DamagedKey { .. })));
    }
}
