//! [`Iam`]: the service, and what all of its operations share.
//!
//! Invariant: nobody but the account's own keys, its roles' sessions and Millpond's services gets as far as an operation.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use api::{AccountId, Call, CertificateUsers, Principal, ServerCertificate};
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::{Mutex, RwLock};
use store::{Revision, Scan, Store, StoreError};
use wire::{ApiError, EncodedResponse};

use crate::seal::Seal;
use crate::{AuthError, KeysError, MasterKey, instance_profiles, policies, roles, server_certificates};

/// Base32 as RFC 4648 has it, in which AWS writes its ids.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// AWS's Identity and Access Management: roles, policies, instance profiles and server certificates. Clones are the same
/// service.
#[derive(Clone)]
pub struct Iam {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) seal: Seal,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// Who is asked before a server certificate is deleted.
    pub(crate) users: RwLock<Option<Weak<dyn CertificateUsers>>>,
    /// Server certificates by ARN, with the row's revision: the same one is the same `Arc` until its row changes.
    pub(crate) open: Mutex<HashMap<String, (Revision, Arc<ServerCertificate>)>>,
}

impl Iam {
    /// Opens one private key, if there is any, to see that the master key is the right one.
    ///
    /// # Errors
    /// When rows cannot be read, or were sealed under another master key.
    pub fn open(
        store: Store,
        master_key: &MasterKey,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, KeysError> {
        let seal = Seal::new(master_key);
        let (users, open) = (RwLock::default(), Mutex::default());
        let inner = Inner { store, seal, clock, ids, users, open };
        server_certificates::check_seal(&inner)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Answers one request; `body` is the form or the JSON document, for a GET the query string. Errors are encoded
    /// too.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        match api::iam::dispatch(self, call, operation, &body).await {
            Ok(answer) => answer,
            Err(error) => api::iam::encode_error(call, &error),
        }
    }

    /// Forgets everything but the access keys, durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reset(&self) -> Result<(), StoreError> {
        let forget = |tx: &mut store::Transaction<'_>| {
            tx.delete_range(&server_certificates::TABLE, &Scan::all())?;
            tx.delete_range(&roles::TABLE, &Scan::all())?;
            tx.delete_range(&policies::TABLE, &Scan::all())?;
            tx.delete_range(&instance_profiles::TABLE, &Scan::all())
        };
        self.inner.store.write_async(forget).await?;
        self.inner.open.lock().clear();
        Ok(())
    }
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iam").finish_non_exhaustive()
    }
}

/// A new id: its kind's four letters, `AROA`, and 17 characters.
pub(crate) fn new_id(ids: &dyn Ids, kind: &str) -> String {
    let mut random = [0; 17];
    ids.fill(&mut random);
    // 256 is a multiple of 32: every letter is as likely.
    let letters = random.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    kind.chars().chain(letters).collect()
}

/// The account that a call acts for.
pub(crate) fn account_of(call: &Call) -> Result<&AccountId, ApiError> {
    match call.identity.principal {
        Principal::Anonymous => Err(AuthError::missing_token()),
        Principal::Account { .. } | Principal::Session(_) | Principal::Service { .. } => Ok(call.account()),
    }
}

/// The key of a row. Names are not told apart by case.
pub(crate) fn key(account: &AccountId, name: &str) -> String {
    format!("{account}\0{}", name.to_ascii_lowercase())
}

/// What the keys of an account's rows begin with.
pub(crate) fn prefix(account: &AccountId) -> String {
    format!("{account}\0")
}

/// A moment as IAM tells it: whole seconds.
pub(crate) fn moment(ms: u64) -> wire::value::EpochMs {
    wire::value::EpochMs(i64::try_from(ms / 1000 * 1000).unwrap_or(i64::MAX))
}
