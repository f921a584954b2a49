//! [`Ssm`]: the service as the server holds it.
//!
//! Invariants:
//! - Every change is one transaction, decided inside it.
//! - A server with another master key than the one that sealed does not start.

use std::fmt;
use std::sync::Arc;

use ::api::{Call, Principal, Secrets};
use bytes::Bytes;
use host::Clock;
use store::{Scan, Store, StoreError, Transaction, View};
use wire::{ApiError, EncodedResponse};

use crate::errors::{self, Refusal};
use crate::images::{FromEc2, Images};
use crate::rows::{Kept, PARAMETERS, Place, VERSIONS, VersionRow};

/// How many versions are looked at, at the start, for a secret to try the master key on.
const LOOKED_AT_MAX: usize = 1000;

/// What the service is made of.
pub struct SsmOptions {
    /// Parameters.
    pub store: Store,
    /// Stamps.
    pub clock: Arc<dyn Clock>,
    /// Seals SecureStrings.
    pub secrets: Arc<dyn Secrets>,
    /// Knows the images that AWS's public parameters name.
    pub ec2: Arc<dyn ::api::ec2::Ec2>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rows could not be read.
    #[error("cannot read the parameters: {0}")]
    Store(#[from] StoreError),
    /// The master key is another one.
    #[error(
        "the parameter {name} was sealed under another master key; restore keys/master.key (or MILLPOND_MASTER_KEY) \
         from a backup"
    )]
    Sealed {
        /// A parameter that does not open.
        name: String,
    },
}

/// Parameter Store. Clones are the same service.
#[derive(Clone)]
pub struct Ssm {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) images: Arc<dyn Images>,
}

impl Ssm {
    /// Opens the parameters, and one of the secrets among them.
    ///
    /// # Errors
    /// When rows cannot be read, or were sealed under another master key.
    pub fn open(options: SsmOptions) -> Result<Self, OpenError> {
        let SsmOptions { store, clock, secrets, ec2 } = options;
        Self::with(Inner { store, clock, secrets, images: Arc::new(FromEc2(ec2)) })
    }

    pub(crate) fn with(inner: Inner) -> Result<Self, OpenError> {
        let Inner { store, secrets, .. } = &inner;
        let rows = store.read(|view| view.scan(&VERSIONS, &Scan::all().limit(LOOKED_AT_MAX)))?;
        let sealed = rows.iter().find_map(|row| match &row.value.value {
            Kept::Sealed(sealed) => Some((&row.key, sealed)),
            Kept::Plain(_) => None,
        });
        if let Some((key, sealed)) = sealed
            && secrets.open(&bound_to(key), sealed).is_none()
        {
            return Err(OpenError::Sealed { name: key.split('\0').nth(2).unwrap_or_default().to_owned() });
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Answers one request; `body` is the JSON document. Errors are encoded too.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        match ::api::ssm::dispatch(self, call, operation, &body).await {
            Ok(answer) => answer,
            Err(error) => ::api::ssm::encode_error(call, &error),
        }
    }

    /// Forgets all parameters, durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reset(&self) -> Result<(), StoreError> {
        let forget = |tx: &mut Transaction<'_>| {
            tx.delete_range(&VERSIONS, &Scan::all())?;
            tx.delete_range(&PARAMETERS, &Scan::all())
        };
        self.inner.store.write_async(forget).await.map(drop)
    }

    pub(crate) async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        self.inner.store.read_async(read).await.map_err(|Refusal(error)| error)
    }

    pub(crate) async fn write<R: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        self.inner.store.write_async(write).await.map_err(|Refusal(error)| error)
    }
}

impl fmt::Debug for Ssm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssm").finish_non_exhaustive()
    }
}

/// What a secret is bound to: the key of its version's row.
pub(crate) fn bound_to(version_key: &str) -> String {
    format!("ssm-parameter\0{version_key}")
}

/// Whose parameters a call means.
pub(crate) fn place_of(call: &Call) -> Result<Place, ApiError> {
    if call.identity.principal == Principal::Anonymous {
        return Err(errors::anonymous());
    }
    Ok(Place { account: call.account().as_str().to_owned(), region: call.region.as_str().to_owned() })
}

/// A version's value as it is answered: a secret only where it was asked for, else what it was sealed to.
pub(crate) fn value_of(
    secrets: &dyn Secrets,
    version_key: &str,
    version: &VersionRow,
    decrypt: bool,
) -> Result<String, ApiError> {
    let sealed = match &version.value {
        Kept::Plain(value) => return Ok(value.clone()),
        Kept::Sealed(sealed) if !decrypt => return Ok(sealed.clone()),
        Kept::Sealed(sealed) => sealed,
    };
    let opened = secrets.open(&bound_to(version_key), sealed).and_then(|bytes| String::from_utf8(bytes).ok());
    opened.ok_or_else(|| {
        tracing::error!("a parameter's secret does not open with this master key");
        errors::internal()
    })
}
