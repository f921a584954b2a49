//! [`Keys`]: the access keys in the store, their secrets sealed.
//!
//! Invariants:
//! - A secret is sealed with XChaCha20-Poly1305 under the master key, bound to its access key id and account: a row
//!   copied over another, or moved to another account, does not open.
//! - What is cached is believed for [`RECHECK_AFTER`] and no longer; an id that is not cached is always looked up.
//!   Another process may so make and delete keys while this one runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::AccountId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host::{Clock, Ids, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use store::{Row, Scan, Store, StoreError, Table};
use wire::signature::SigningKeys;

use crate::MasterKey;
use crate::seal::{Seal, Sealed};

/// How long a deleted key may go on working in another process that had seen it.
pub const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// How many keys there may be in all. Bounds the cache as well.
pub const KEYS_MAX: usize = 1_000;
/// Base32 as RFC 4648 has it; AWS's access key ids use it.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const TABLE: Table<KeyRow> = Table::new("iam_access_keys");

/// A key as it stands in the store, by its access key id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeyRow {
    account: String,
    description: String,
    created_at_ms: u64,
    /// Base64 of 24 bytes.
    nonce: String,
    /// Base64 of the sealed secret access key.
    sealed_secret: String,
}

/// A secret access key. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl Secret {
    /// The 40 characters, for the one time that they are shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A key just made: the only time its secret is told.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// `AKIA` and 16 characters.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: Secret,
}

/// What can be told of a key afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// `AKIA` and 16 characters.
    pub access_key_id: String,
    /// Whose root user it signs for.
    pub account: AccountId,
    /// The operator's own words.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a key could not be made, read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The store failed.
    #[error("the store of access keys failed: {0}")]
    Store(#[from] StoreError),
    /// A secret does not open.
    #[error(
        "the secret of access key {access_key_id} does not open with this master key; start with the master key it was \
         made with (keys/master.key in the data directory, or MILLPOND_MASTER_KEY)"
    )]
    Sealed {
        /// Which one.
        access_key_id: String,
    },
    /// A certificate's private key does not open.
    #[error(
        "the private key of server certificate {name} does not open with this master key; start with the master key it \
         was made with (keys/master.key in the data directory, or MILLPOND_MASTER_KEY)"
    )]
    SealedCertificate {
        /// Which one.
        name: String,
    },
    /// There are [`KEYS_MAX`] already.
    #[error("there are {KEYS_MAX} access keys already; delete one first (millpond keys delete)")]
    TooMany,
}

/// A key with its secret open; lives in memory only.
pub(crate) struct OpenKey {
    pub(crate) account: AccountId,
    pub(crate) secret: Secret,
    pub(crate) signing_keys: SigningKeys,
}

/// A key of the store, and when it was last seen there.
struct Seen {
    key: Arc<OpenKey>,
    row: KeyRow,
    checked_at_ms: AtomicU64,
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenKey").field("account", &self.account).finish_non_exhaustive()
    }
}

/// The access keys. Blocks on the store for a key it has not seen lately.
pub struct Keys {
    store: Store,
    seal: Seal,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    open: RwLock<HashMap<Box<str>, Arc<Seen>>>,
    /// Whether there is no key, and when that was looked up.
    emptiness: RwLock<Option<(Timestamp, bool)>>,
}

impl Keys {
    /// Reads one key, if there are any, to see that the master key is the right one.
    pub fn open(
        store: Store,
        master_key: &MasterKey,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, KeysError> {
        let seal = Seal::new(master_key);
        let keys = Self { store, seal, clock, ids, open: RwLock::default(), emptiness: RwLock::default() };
        if let Some(row) = keys.store.read(|view| view.first(&TABLE, &Scan::all()))? {
            keys.unseal(&row.key, &row.value)?;
        }
        Ok(keys)
    }

    /// Makes a key for an account's root user, durable when this returns. `description` is for the operator's eyes.
    pub fn create(&self, account: &AccountId, description: &str) -> Result<NewKey, KeysError> {
        let access_key_id = new_access_key_id(&*self.ids, "AKIA");
        let secret_access_key = new_secret(&*self.ids);
        let row = self.seal(&access_key_id, account, description, &secret_access_key)?;
        self.store.write(|tx| {
            if tx.count(&TABLE, &Scan::all().limit(KEYS_MAX))? >= KEYS_MAX {
                return Err(KeysError::TooMany);
            }
            tx.insert(&TABLE, &access_key_id, &row)?;
            Ok(())
        })?;
        *self.emptiness.write() = None;
        Ok(NewKey { access_key_id, secret_access_key })
    }

    /// All keys, by access key id.
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeysError> {
        let rows = self.store.read(|view| view.scan(&TABLE, &Scan::all().limit(KEYS_MAX)))?;
        let info = |row: Row<KeyRow>| {
            let account = AccountId::parse(&row.value.account)?;
            let created_at = Timestamp(row.value.created_at_ms);
            Some(KeyInfo { access_key_id: row.key, account, description: row.value.description, created_at })
        };
        Ok(rows.into_iter().filter_map(info).collect())
    }

    /// Deletes a key, durably; whether there was one. It stops working here at once, in other processes within
    /// [`RECHECK_AFTER`].
    pub fn delete(&self, access_key_id: &str) -> Result<bool, KeysError> {
        let existed = self.store.write(|tx| tx.delete(&TABLE, access_key_id))?;
        self.open.write().remove(access_key_id);
        *self.emptiness.write() = None;
        Ok(existed)
    }

    /// Whether there is no key at all; as of at most [`RECHECK_AFTER`] ago.
    pub fn is_empty(&self) -> Result<bool, KeysError> {
        let now = self.clock.now();
        if let Some((checked_at, empty)) = *self.emptiness.read()
            && is_fresh(checked_at, now)
        {
            return Ok(empty);
        }
        let empty = self.store.read(|view| view.first(&TABLE, &Scan::all()))?.is_none();
        *self.emptiness.write() = Some((now, empty));
        Ok(empty)
    }

    /// The key with this id, open; `None` when there is none.
    pub(crate) fn find(&self, access_key_id: &str) -> Result<Option<Arc<OpenKey>>, KeysError> {
        let now = self.clock.now();
        let known = self.open.read().get(access_key_id).cloned();
        if let Some(seen) = &known
            && is_fresh(Timestamp(seen.checked_at_ms.load(Ordering::Relaxed)), now)
        {
            return Ok(Some(Arc::clone(&seen.key)));
        }
        let Some(row) = self.store.read(|view| view.get(&TABLE, access_key_id))? else {
            self.open.write().remove(access_key_id);
            return Ok(None);
        };
        if let Some(seen) = known.filter(|seen| seen.row == row.value) {
            seen.checked_at_ms.store(now.as_millis(), Ordering::Relaxed);
            return Ok(Some(Arc::clone(&seen.key)));
        }
        let key = Arc::new(self.opened(access_key_id, &row.value)?);
        let checked_at_ms = AtomicU64::new(now.as_millis());
        let seen = Arc::new(Seen { key: Arc::clone(&key), row: row.value, checked_at_ms });
        let mut open = self.open.write();
        // Only keys that exist get here, so the bound is met only by deleting and making keys by the thousand.
        if open.len() >= KEYS_MAX {
            open.clear();
        }
        open.insert(access_key_id.into(), seen);
        Ok(Some(key))
    }

    fn opened(&self, access_key_id: &str, row: &KeyRow) -> Result<OpenKey, KeysError> {
        let secret = self.unseal(access_key_id, row)?;
        let account = AccountId::parse(&row.account).ok_or_else(|| sealed(access_key_id))?;
        Ok(OpenKey { account, secret, signing_keys: SigningKeys::default() })
    }

    fn seal(
        &self,
        access_key_id: &str,
        account: &AccountId,
        description: &str,
        secret: &Secret,
    ) -> Result<KeyRow, KeysError> {
        let bound_to = bound_to(access_key_id, account.as_str());
        let closed = self.seal.close(&*self.ids, &bound_to, secret.reveal().as_bytes());
        let Sealed { nonce, text: sealed_secret } = closed.ok_or_else(|| sealed(access_key_id))?;
        Ok(KeyRow {
            account: account.to_string(),
            description: description.to_owned(),
            created_at_ms: self.clock.now().as_millis(),
            nonce,
            sealed_secret,
        })
    }

    fn unseal(&self, access_key_id: &str, row: &KeyRow) -> Result<Secret, KeysError> {
        let open = || {
            let closed = Sealed { nonce: row.nonce.clone(), text: row.sealed_secret.clone() };
            let secret = self.seal.open(&bound_to(access_key_id, &row.account), &closed)?;
            String::from_utf8(secret).ok().map(Secret)
        };
        open().ok_or_else(|| sealed(access_key_id))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("open", &self.open.read().len()).finish_non_exhaustive()
    }
}

/// An access key id: its kind's four letters and 16 characters.
pub(crate) fn new_access_key_id(ids: &dyn Ids, kind: &str) -> String {
    let mut random = [0; 16];
    ids.fill(&mut random);
    // 256 is a multiple of 32: every letter is as likely.
    let letters = random.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    kind.chars().chain(letters).collect()
}

pub(crate) fn new_secret(ids: &dyn Ids) -> Secret {
    let mut random = [0; 30];
    ids.fill(&mut random);
    Secret(STANDARD.encode(random))
}

/// The data that a sealed secret is bound to.
fn bound_to(access_key_id: &str, account: &str) -> String {
    format!("{access_key_id}\0{account}")
}

fn sealed(access_key_id: &str) -> KeysError {
    KeysError::Sealed { access_key_id: access_key_id.to_owned() }
}

/// A clock that was set back makes nothing fresh for longer.
fn is_fresh(checked_at: Timestamp, now: Timestamp) -> bool {
    now >= checked_at && now.since(checked_at) < RECHECK_AFTER
}

#[cfg(test)]
mod tests {
    use host::sim::{Seed, SimClock, SimIds};

    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn account() -> AccountId {
        AccountId::parse("123456789012").unwrap()
    }

    fn keys_in(store: &Store, clock: &Arc<SimClock>, seed: u64) -> Keys {
        let master_key = MasterKey::from_bytes([7; 32]);
        Keys::open(store.clone(), &master_key, Arc::clone(clock) as Arc<dyn Clock>, Arc::new(SimIds::new(Seed(seed))))
            .unwrap()
    }

    fn keys() -> (Store, Arc<SimClock>, Keys) {
        let (store, clock) = (Store::in_memory().unwrap(), Arc::new(SimClock::frozen(NOW)));
        let keys = keys_in(&store, &clock, 1);
        (store, clock, keys)
    }

    fn secret_of(keys: &Keys, access_key_id: &str) -> Option<String> {
        keys.find(access_key_id).unwrap().map(|key| key.secret.reveal().to_owned())
    }

    #[test]
    fn a_new_key_looks_like_one_of_aws_and_is_found() {
        let (_, _, keys) = keys();
        assert!(keys.is_empty().unwrap());
        let new = keys.create(&account(), "laptop").unwrap();
        let (id, secret) = (&new.access_key_id, new.secret_access_key.reveal());
        assert!(id.len() == 20 && id.starts_with("AKIA"), "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)), "{id}");
        assert_eq!(secret.len(), 40);
        assert_eq!(secret_of(&keys, id).as_deref(), Some(secret));
        assert!(!keys.is_empty().unwrap());
        let info =
            KeyInfo { access_key_id: id.clone(), account: account(), description: "laptop".into(), created_at: NOW };
        assert_eq!(keys.list().unwrap(), [info]);
    }

    #[test]
    fn no_secret_stands_in_the_store_or_in_a_log() {
        let (store, _, keys) = keys();
        let new = keys.create(&account(), "").unwrap();
        let secret = new.secret_access_key.reveal();
        let row = store.read(|view| view.get(&TABLE, &new.access_key_id)).unwrap().unwrap().value;
        assert!(!format!("{row:?}").contains(secret));
        let sealed = STANDARD.decode(&row.sealed_secret).unwrap();
        assert!(!sealed.windows(8).any(|window| secret.as_bytes().starts_with(window)));
        let open = keys.find(&new.access_key_id).unwrap();
        assert!(!format!("{new:?} {keys:?} {open:?}").contains(secret));
    }

    #[test]
    fn another_master_key_is_refused_with_what_to_do() {
        let (store, clock, keys) = keys();
        keys.create(&account(), "").unwrap();
        let other = MasterKey::from_bytes([8; 32]);
        let refused = Keys::open(store, &other, clock, Arc::new(SimIds::new(Seed(1)))).unwrap_err();
        assert!(refused.to_string().contains("start with the master key"), "{refused}");
    }

    #[test]
    fn a_row_moved_to_another_id_or_account_does_not_open() {
        let (store, _, keys) = keys();
        let new = keys.create(&account(), "").unwrap();
        let row = store.read(|view| view.get(&TABLE, &new.access_key_id)).unwrap().unwrap().value;
        let stolen = KeyRow { account: "999999999999".into(), ..row.clone() };
        store
            .write(|tx| {
                tx.insert(&TABLE, "AKIAOTHER", &row)?;
                tx.put(&TABLE, &new.access_key_id, &stolen)
            })
            .unwrap();
        for id in ["AKIAOTHER", &new.access_key_id] {
            assert!(matches!(keys.find(id), Err(KeysError::Sealed { .. })), "{id}");
        }
    }

    /// Two processes on one file: each with a store of its own, and no table when the first one opens it.
    fn two_processes(clock: &Arc<SimClock>) -> (tempfile::TempDir, Keys, Keys) {
        let directory = tempfile::tempdir().unwrap();
        let store = || Store::open(&directory.path().join("control.db")).unwrap();
        let (server, tool) = (keys_in(&store(), clock, 1), keys_in(&store(), clock, 2));
        (directory, server, tool)
    }

    #[test]
    fn a_key_made_by_another_process_works_at_once() {
        let clock = Arc::new(SimClock::frozen(NOW));
        let (_directory, server, tool) = two_processes(&clock);
        assert!(server.is_empty().unwrap());
        let new = tool.create(&account(), "").unwrap();
        assert!(secret_of(&server, &new.access_key_id).is_some());
        clock.advance(RECHECK_AFTER);
        assert!(!server.is_empty().unwrap());
    }

    #[test]
    fn a_key_deleted_by_another_process_stops_working_within_a_second() {
        let clock = Arc::new(SimClock::frozen(NOW));
        let (_directory, server, tool) = two_processes(&clock);
        let new = tool.create(&account(), "").unwrap();
        assert!(secret_of(&server, &new.access_key_id).is_some());
        assert!(tool.delete(&new.access_key_id).unwrap());
        clock.advance(RECHECK_AFTER);
        assert_eq!(secret_of(&server, &new.access_key_id), None);
    }

    #[test]
    fn a_key_deleted_here_stops_working_at_once() {
        let (_, _, keys) = keys();
        let new = keys.create(&account(), "").unwrap();
        assert!(secret_of(&keys, &new.access_key_id).is_some());
        assert!(keys.delete(&new.access_key_id).unwrap());
        assert!(!keys.delete(&new.access_key_id).unwrap());
        assert_eq!(secret_of(&keys, &new.access_key_id), None);
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_deleted_key_alive() {
        let (store, clock, keys) = keys();
        let new = keys.create(&account(), "").unwrap();
        assert!(secret_of(&keys, &new.access_key_id).is_some());
        keys_in(&store, &clock, 2).delete(&new.access_key_id).unwrap();
        clock.set(Timestamp(NOW.as_millis() - 3_600_000));
        assert_eq!(secret_of(&keys, &new.access_key_id), None);
    }

    #[test]
    fn checking_a_key_again_keeps_its_derived_signing_keys() {
        let (_, clock, keys) = keys();
        let new = keys.create(&account(), "").unwrap();
        let first = keys.find(&new.access_key_id).unwrap().unwrap();
        clock.advance(RECHECK_AFTER * 3);
        let again = keys.find(&new.access_key_id).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn there_is_a_bound_on_the_number_of_keys() {
        let (store, _, keys) = keys();
        let row = |n: usize| (format!("AKIA{n:016}"), keys.seal("x", &account(), "", &Secret(String::new())).unwrap());
        let rows: Vec<_> = (0..KEYS_MAX).map(row).collect();
        store
            .write(|tx| {
                for (id, row) in &rows {
                    tx.insert(&TABLE, id, row)?;
                }
                Ok::<_, StoreError>(())
            })
            .unwrap();
        assert!(matches!(keys.create(&account(), ""), Err(KeysError::TooMany)));
    }
}
