//! [`Iam`]: server certificates, which a user uploads and load balancers serve.
//!
//! Invariants:
//! - What is kept was [checked](check): key, certificate and chain belong together.
//! - A private key is sealed under the master key, bound to its certificate and account.
//! - A certificate that somebody uses is not deleted, and keeps answering to the ARN that it had when it was renamed.
//!
//! Knows nothing of load balancers: who uses a certificate, [`CertificateUsers`] answers.

mod api_impl;
mod check;
mod errors;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};

use api::{AccountId, Call, CertificateUsers, Principal, ServerCertificate, ServerCertificates};
use async_trait::async_trait;
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use store::{Revision, Row, Scan, Store, StoreError, Table};
use tokio::sync::watch;
use wire::{ApiError, EncodedResponse};

pub use check::{CheckedCertificate, Unfit};
use errors::Refusal;

use crate::seal::{Seal, Sealed};
use crate::{AuthError, KeysError, MasterKey};

/// AWS's quota: server certificates in an account.
pub(crate) const CERTIFICATES_MAX: usize = 20;
/// How many open certificates are remembered. Beyond it they are opened again, at the cost of microseconds.
const OPEN_MAX: usize = 256;
/// Base32 as RFC 4648 has it, in which AWS writes its ids.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const TABLE: Table<CertificateRow> = Table::new("iam_server_certificates");

/// A certificate as it stands in the store, by account and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CertificateRow {
    name: String,
    path: String,
    /// `ASCA` and 17 characters.
    id: String,
    /// As uploaded, in PEM.
    body: String,
    chain: Option<String>,
    private_key: Sealed,
    uploaded_at_ms: u64,
    expires_at_ms: u64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// ARNs that it had before it was renamed, by which somebody still uses it.
    #[serde(default)]
    former_arns: Vec<String>,
}

impl CertificateRow {
    fn arn(&self, account: &str) -> String {
        names::arn(account, &self.path, &self.name)
    }
}

/// AWS's Identity and Access Management, as far as it keeps server certificates. Clones are the same service.
#[derive(Clone)]
pub struct Iam {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    seal: Seal,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    users: RwLock<Option<Weak<dyn CertificateUsers>>>,
    /// By ARN, with the row's revision: the same certificate is the same `Arc` until its row changes.
    open: Mutex<HashMap<String, (Revision, Arc<ServerCertificate>)>>,
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
        if let Some(row) = inner.store.read(|view| view.first(&TABLE, &Scan::all()))?
            && inner.private_key(&row).is_none()
        {
            return Err(KeysError::SealedCertificate { name: row.value.name });
        }
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

    /// Forgets all server certificates, durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reset(&self) -> Result<(), StoreError> {
        self.inner.store.write_async(|tx| tx.delete_range(&TABLE, &Scan::all())).await?;
        self.inner.open.lock().clear();
        Ok(())
    }

    /// Who uses one of a certificate's ARNs, by the user's own ARN.
    async fn user_of(&self, arns: &[String]) -> Result<Option<String>, ApiError> {
        let users = self.inner.users.read().as_ref().and_then(Weak::upgrade);
        let Some(users) = users else { return Ok(None) };
        for arn in arns {
            if let Some(user) = users.use_of(arn).await? {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iam").finish_non_exhaustive()
    }
}

impl Inner {
    fn new_id(&self) -> String {
        let mut random = [0; 17];
        self.ids.fill(&mut random);
        // 256 is a multiple of 32: every letter is as likely.
        let letters = random.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
        "ASCA".chars().chain(letters).collect()
    }

    /// The private key of a row, in DER; `None` if it does not open.
    fn private_key(&self, row: &Row<CertificateRow>) -> Option<Vec<u8>> {
        let (account, _) = row.key.split_once('\0')?;
        self.seal.open(&bound_to(account, &row.value.id), &row.value.private_key)
    }

    /// The certificate of a row, from memory if its row has not changed.
    fn opened(&self, arn: &str, row: &Row<CertificateRow>) -> Result<Arc<ServerCertificate>, Refusal> {
        if let Some((revision, open)) = self.open.lock().get(arn)
            && *revision == row.revision
        {
            return Ok(Arc::clone(open));
        }
        let sealed = || Refusal::Sealed(row.value.name.clone());
        let open = Arc::new(ServerCertificate {
            arn: arn.to_owned(),
            name: row.value.name.clone(),
            chain_der: CheckedCertificate::chain_der(&row.value.body, row.value.chain.as_deref()).ok_or_else(sealed)?,
            private_key_der: self.private_key(row).ok_or_else(sealed)?,
        });
        let mut remembered = self.open.lock();
        if remembered.len() >= OPEN_MAX {
            remembered.clear();
        }
        remembered.insert(arn.to_owned(), (row.revision, Arc::clone(&open)));
        Ok(open)
    }

    async fn find(&self, arn: &str) -> Result<Option<Arc<ServerCertificate>>, Refusal> {
        let Some((account, name)) = names::parse_arn(arn) else { return Ok(None) };
        let (key, prefix, wanted) = (key(&account, name), prefix(&account), arn.to_owned());
        let found = self.store.read_async(move |view| {
            let is_named = |row: &Row<CertificateRow>| row.value.arn(account.as_str()) == wanted;
            if let Some(row) = view.get(&TABLE, &key)?.filter(is_named) {
                return Ok::<_, StoreError>(Some(row));
            }
            let rows = view.scan(&TABLE, &Scan::prefix(&prefix).limit(CERTIFICATES_MAX))?;
            Ok(rows.into_iter().find(|row| row.value.former_arns.contains(&wanted)))
        });
        match found.await? {
            Some(row) => self.opened(arn, &row).map(Some),
            None => {
                self.open.lock().remove(arn);
                Ok(None)
            }
        }
    }
}

#[async_trait]
impl ServerCertificates for Iam {
    async fn find(&self, arn: &str) -> Result<Option<Arc<ServerCertificate>>, ApiError> {
        Ok(self.inner.find(arn).await?)
    }

    fn ask_before_delete(&self, users: Weak<dyn CertificateUsers>) {
        *self.inner.users.write() = Some(users);
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.store.watch(&TABLE)
    }
}

/// The row's key. Names are not told apart by case.
fn key(account: &AccountId, name: &str) -> String {
    format!("{account}\0{}", name.to_ascii_lowercase())
}

/// What the keys of an account's rows begin with.
fn prefix(account: &AccountId) -> String {
    format!("{account}\0")
}

/// The data that a sealed private key is bound to. The id, not the name, which may change.
fn bound_to(account: &str, id: &str) -> String {
    format!("server-certificate\0{account}\0{id}")
}

/// The account that a call acts for.
fn account_of(call: &Call) -> Result<&AccountId, ApiError> {
    match call.identity.principal {
        Principal::Anonymous => Err(AuthError::missing_token()),
        Principal::Account { .. } | Principal::Service { .. } => Ok(call.account()),
    }
}

#[cfg(test)]
mod tests;
