//! [`Ec2`]: the service, opened.
//!
//! Invariant: it holds no rows in memory, only which places have their default things.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};

use api::{Call, InstanceRoles, Region, SecurityGroupUsers};
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::RwLock;
use store::{Scan, Store, StoreError, Transaction, View};
use tokio::sync::watch;
use wire::{ApiError, EncodedResponse};

use crate::defaults;
use crate::engine::InstanceOptions;
use crate::errors::Refusal;
use crate::images::UnknownImages;
use crate::metadata::MetadataSource;
use crate::place::{Layout, OpenError, Place, hex_17};
use crate::reconcile::{self, Reconciling};
use crate::request::Request;
use crate::rows::*;

/// What the service stands on.
pub struct Ec2Options {
    /// Where rows are.
    pub store: Store,
    /// Stamps launches.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn Ids>,
    /// The zones' names, `us-east-1a`. One belongs to the region that its name begins with.
    pub zones: Vec<String>,
    /// The region of zones whose names don't say theirs.
    pub region: Region,
    /// How instances are run. `None` keeps networks, and refuses to run instances.
    pub instances: Option<InstanceOptions>,
    /// What an image id that nobody registered stands for.
    pub unknown_images: UnknownImages,
    /// Who keeps instance profiles. Without it there are none.
    pub instance_roles: Option<Arc<dyn InstanceRoles>>,
}

/// AWS's Elastic Compute Cloud, as far as servers need it. Clones are the same service.
#[derive(Clone)]
pub struct Ec2 {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) group_users: RwLock<Option<Weak<dyn SecurityGroupUsers>>>,
    pub(crate) instances: Option<InstanceOptions>,
    pub(crate) unknown_images: UnknownImages,
    pub(crate) instance_roles: Option<Arc<dyn InstanceRoles>>,
    /// Places whose default things are rows.
    seeded: RwLock<HashSet<Place>>,
    /// Ends with the service.
    _reconciling: Option<Reconciling>,
}

impl Ec2 {
    /// Opens the service. With an engine, it must be called inside a tokio runtime: rows and engine are brought
    /// together there for as long as a clone lives.
    ///
    /// # Errors
    /// When the zones' names can't be.
    pub fn open(options: Ec2Options) -> Result<Self, OpenError> {
        let Ec2Options { store, clock, ids, zones, region, instances, unknown_images, instance_roles } = options;
        let layout = Arc::new(Layout::new(zones, region)?);
        let reconciling = instances.as_ref().map(|options| {
            let metadata = MetadataSource {
                store: store.clone(),
                clock: clock.clone(),
                ids: ids.clone(),
                layout: layout.clone(),
                instance_roles: instance_roles.clone(),
            };
            reconcile::start(store.clone(), clock.clone(), metadata, options.clone())
        });
        let inner = Inner {
            store,
            clock,
            ids,
            layout,
            group_users: RwLock::default(),
            instances,
            unknown_images,
            instance_roles,
            seeded: RwLock::default(),
            _reconciling: reconciling,
        };
        Ok(Self { inner: Arc::new(inner) })
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

    /// Forgets machines, instances, networks, images and tags, durably; the engine ends what it runs of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reset(&self) -> Result<(), StoreError> {
        self.inner.store.write_async(forget_all).await?;
        self.inner.seeded.write().clear();
        Ok(())
    }

    /// Where a call acts; refused when it was only a trial. Comes first in every operation.
    pub(crate) async fn request(&self, call: &Call, dry_run: Option<bool>) -> Result<Request, ApiError> {
        let place = Place::of(call)?;
        if dry_run == Some(true) {
            return Err(Refusal::DryRun.into());
        }
        self.make_defaults(&place).await.map_err(Refusal::from)?;
        Ok(Request::new(place, call, self.inner.clone()))
    }

    async fn make_defaults(&self, place: &Place) -> Result<(), StoreError> {
        if self.inner.seeded.read().contains(place) {
            return Ok(());
        }
        let (layout, asked) = (self.inner.layout.clone(), place.clone());
        let made = self.inner.store.read_async(move |view| defaults::are_made(view, &layout, &asked)).await?;
        if !made {
            let (layout, asked) = (self.inner.layout.clone(), place.clone());
            self.inner.store.write_async(move |tx| defaults::make(tx, &layout, &asked)).await?;
        }
        self.inner.seeded.write().insert(place.clone());
        Ok(())
    }

    /// Looks at one moment of the rows.
    pub(crate) async fn look<I: Send + 'static, R: Send + 'static>(
        &self,
        request: Request,
        input: I,
        look: fn(&View<'_>, &Request, I) -> Result<R, Refusal>,
    ) -> Result<R, ApiError> {
        Ok(self.inner.store.read_async(move |view| look(view, &request, input)).await?)
    }

    /// Changes rows in one transaction.
    pub(crate) async fn change<I: Send + 'static, R: Send + 'static>(
        &self,
        request: Request,
        input: I,
        change: fn(&mut Transaction<'_>, &Request, I) -> Result<R, Refusal>,
    ) -> Result<R, ApiError> {
        let written = self.inner.store.write_async(move |tx| {
            let answer = change(tx, &request, input)?;
            touch(tx)?;
            Ok::<_, Refusal>(answer)
        });
        Ok(written.await?)
    }
}

fn forget_all(tx: &mut Transaction<'_>) -> Result<(), StoreError> {
    tx.delete_range(&MACHINES, &Scan::all())?;
    tx.delete_range(&GROUPS, &Scan::all())?;
    tx.delete_range(&TAGS, &Scan::all())?;
    tx.delete_range(&SEEDS, &Scan::all())?;
    tx.delete_range(&VPCS, &Scan::all())?;
    tx.delete_range(&SUBNETS, &Scan::all())?;
    tx.delete_range(&GATEWAYS, &Scan::all())?;
    tx.delete_range(&ROUTE_TABLES, &Scan::all())?;
    tx.delete_range(&ACLS, &Scan::all())?;
    tx.delete_range(&INTERFACES, &Scan::all())?;
    tx.delete_range(&ADDRESSES, &Scan::all())?;
    tx.delete_range(&INSTANCES, &Scan::all())?;
    tx.delete_range(&KEY_PAIRS, &Scan::all())?;
    tx.delete_range(&IMAGES, &Scan::all())?;
    tx.delete_range(&TEMPLATES, &Scan::all())?;
    tx.delete_range(&TEMPLATE_VERSIONS, &Scan::all())?;
    tx.delete_range(&TOKENS, &Scan::all())?;
    touch(tx)
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
