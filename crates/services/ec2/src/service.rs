//! [`Ec2`]: the service, opened.
//!
//! Invariant: it holds no rows in memory.

use std::fmt;
use std::sync::{Arc, Weak};

use api::{Call, Region, SecurityGroupUsers};
use bytes::Bytes;
use host::Ids;
use parking_lot::RwLock;
use store::{Scan, Store, StoreError};
use tokio::sync::watch;
use wire::EncodedResponse;

use crate::errors::Refusal;
use crate::place::{Layout, OpenError, Place, hex_17};
use crate::rows::{CHANGES, GROUPS, MACHINES, TAGS, touch};

/// What the service stands on.
pub struct Ec2Options {
    /// Where rows are.
    pub store: Store,
    /// The source of ids.
    pub ids: Arc<dyn Ids>,
    /// The zones' names, `us-east-1a`. One belongs to the region that its name begins with.
    pub zones: Vec<String>,
    /// The region of zones whose names don't say theirs.
    pub region: Region,
}

/// AWS's Elastic Compute Cloud, as far as servers must be named. Clones are the same service.
#[derive(Clone)]
pub struct Ec2 {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) layout: Layout,
    pub(crate) group_users: RwLock<Option<Weak<dyn SecurityGroupUsers>>>,
}

impl Ec2 {
    /// Opens the service.
    ///
    /// # Errors
    /// When the zones' names can't be.
    pub fn open(options: Ec2Options) -> Result<Self, OpenError> {
        let Ec2Options { store, ids, zones, region } = options;
        let layout = Layout::new(zones, region)?;
        Ok(Self { inner: Arc::new(Inner { store, ids, layout, group_users: RwLock::default() }) })
    }

    /// Answers one request; `body` is the form, for a GET the query string. Errors are encoded too.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        match api::ec2::dispatch(self, call, operation, &body).await {
            Ok(answer) => answer,
            Err(error) => api::ec2::encode_error(call, &error),
        }
    }

    /// A number that changes after each change that this process made; what another process changed, a look finds.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.store.watch(&CHANGES)
    }

    /// Who is to be asked before a security group is deleted. The last one given counts.
    pub fn ask_before_delete(&self, users: Weak<dyn SecurityGroupUsers>) {
        *self.inner.group_users.write() = Some(users);
    }

    /// Forgets machines, security groups and tags, durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reset(&self) -> Result<(), StoreError> {
        let forget = |tx: &mut store::Transaction<'_>| {
            tx.delete_range(&MACHINES, &Scan::all())?;
            tx.delete_range(&GROUPS, &Scan::all())?;
            tx.delete_range(&TAGS, &Scan::all())?;
            touch(tx)
        };
        self.inner.store.write_async(forget).await
    }

    /// A new id of a kind, `sg-…`.
    pub(crate) fn new_id(&self, kind: &str) -> String {
        new_id(&*self.inner.ids, kind)
    }

    /// Where a call acts; refused when it was only a trial. Comes first in every operation.
    pub(crate) fn enter(call: &Call, dry_run: Option<bool>) -> Result<Place, Refusal> {
        let place = Place::of(call)?;
        if dry_run == Some(true) { Err(Refusal::DryRun) } else { Ok(place) }
    }
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2").field("layout", &self.inner.layout).finish_non_exhaustive()
    }
}

/// A new id of a kind, `i-…`.
pub(crate) fn new_id(ids: &dyn Ids, kind: &str) -> String {
    let mut random = [0; 9];
    ids.fill(&mut random);
    format!("{kind}-{}", hex_17(&random))
}
