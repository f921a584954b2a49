//! Server certificates, which a user uploads and load balancers serve.
//!
//! Invariants:
//! - What is kept was [checked](check): key, certificate and chain belong together.
//! - A private key is sealed under the master key, bound to its certificate and account.
//! - A certificate that somebody uses is not deleted, and keeps answering to the ARN that it had when it was renamed.
//!
//! Knows nothing of load balancers: who uses a certificate, [`CertificateUsers`] answers.

mod check;
pub(crate) mod operations;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use api::{CertificateUsers, ServerCertificate, ServerCertificates};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use store::{Row, Scan, StoreError, Table};
use tokio::sync::watch;
use wire::ApiError;

pub use check::{CheckedCertificate, Unfit};

use crate::KeysError;
use crate::names::{self, kind};
use crate::refusal::Refusal;
use crate::seal::Sealed;
use crate::service::{Iam, Inner, key, prefix};

/// AWS's quota: server certificates in an account.
pub(crate) const CERTIFICATES_MAX: usize = 20;
/// How many open certificates are remembered. Beyond it they are opened again, at the cost of microseconds.
const OPEN_MAX: usize = 256;
pub(crate) const TABLE: Table<CertificateRow> = Table::new("iam_server_certificates");

/// A certificate as it stands in the store, by account and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CertificateRow {
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
        names::arn(kind::SERVER_CERTIFICATE, account, &self.path, &self.name)
    }
}

/// Opens one private key, if there is any, to see that the master key is the right one.
pub(crate) fn check_seal(inner: &Inner) -> Result<(), KeysError> {
    if let Some(row) = inner.store.read(|view| view.first(&TABLE, &Scan::all()))?
        && inner.private_key(&row).is_none()
    {
        return Err(KeysError::SealedCertificate { name: row.value.name });
    }
    Ok(())
}

impl Iam {
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

impl Inner {
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
        let Some((account, name)) = names::parse_arn(kind::SERVER_CERTIFICATE, arn) else { return Ok(None) };
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

/// The data that a sealed private key is bound to. The id, not the name, which may change.
fn bound_to(account: &str, id: &str) -> String {
    format!("server-certificate\0{account}\0{id}")
}

#[cfg(test)]
mod tests;
