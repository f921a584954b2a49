//! [`Ecr`]: the service as the server holds it.
//!
//! Invariant: every change is one transaction, decided inside it.

use std::fmt;
use std::sync::Arc;

use ::api::{Call, Principal};
use bytes::Bytes;
use host::Clock;
use store::{Row, Scan, Store, StoreError, Transaction, View};
use wire::{ApiError, EncodedResponse};

use crate::errors::{self, Refusal};
use crate::rows::{Place, REPOSITORIES, RepositoryRow};

/// What the service is made of.
pub struct EcrOptions {
    /// Repositories.
    pub store: Store,
    /// Stamps.
    pub clock: Arc<dyn Clock>,
}

/// ECR. Clones are the same service.
#[derive(Clone)]
pub struct Ecr {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Ecr {
    /// Repositories in a store.
    pub fn open(options: EcrOptions) -> Self {
        let EcrOptions { store, clock } = options;
        Self { inner: Arc::new(Inner { store, clock }) }
    }

    /// Answers one request; `body` is the JSON document. Errors are encoded too.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        match ::api::ecr::dispatch(self, call, operation, &body).await {
            Ok(answer) => answer,
            Err(error) => ::api::ecr::encode_error(call, &error),
        }
    }

    /// Forgets all repositories, durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reset(&self) -> Result<(), StoreError> {
        self.inner.store.write_async(|tx| tx.delete_range(&REPOSITORIES, &Scan::all())).await.map(drop)
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

    /// Changes a repository; what the change gives back.
    pub(crate) async fn change<R: Send + 'static>(
        &self,
        place: Place,
        name: String,
        change: impl FnOnce(&mut RepositoryRow) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        self.write(move |tx| {
            let mut row = named(tx, &place, &name)?;
            let changed = change(&mut row.value)?;
            tx.replace(&REPOSITORIES, &row.key, row.revision, &row.value)?;
            Ok(changed)
        })
        .await
    }
}

impl fmt::Debug for Ecr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecr").finish_non_exhaustive()
    }
}

/// Whose registry a call means. Another account's has nothing that may be seen.
pub(crate) fn place_of(call: &Call, registry: Option<&str>) -> Result<Place, ApiError> {
    if call.identity.principal == Principal::Anonymous {
        return Err(errors::anonymous());
    }
    let account = registry.unwrap_or(call.account().as_str());
    if account != call.account().as_str() {
        return Err(errors::invalid("registryId", "must be the id of the caller's own account"));
    }
    Ok(Place { account: account.to_owned(), region: call.region.as_str().to_owned() })
}

/// The repository of that name.
pub(crate) fn named(view: &View<'_>, place: &Place, name: &str) -> Result<Row<RepositoryRow>, Refusal> {
    let row = view.get(&REPOSITORIES, &place.key(name))?;
    row.ok_or_else(|| errors::not_found(name, &place.account).into())
}
