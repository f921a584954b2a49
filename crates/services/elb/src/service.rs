//! [`Elb`]: the service as the server holds it, and the way of a change: row, balancer, answer.
//!
//! Invariants:
//! - Changes happen one after another and run to their end even when the client has hung up.
//! - A change is durable in `store` before the balancer learns of it, and live before it is answered.

use std::future::Future;
use std::sync::{Arc, Weak};

use ::api::{AccountId, Call, CertificateUsers, Region, SecurityGroupUsers, ServerCertificates};
use async_trait::async_trait;
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::Mutex;
use store::{Revision, Scan, Store, StoreError};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{ApiError, EncodedResponse};

use crate::data_plane::{DataPlane, Reserved};
use crate::errors;
use crate::inventory::{FromEc2, Inventory};
use crate::live::Live;
use crate::publisher::RETIRED;
use crate::rows::{self, LOAD_BALANCERS, LoadBalancerRow};
use crate::usage::USAGE;
use crate::zones::{Zone, Zones};

/// What the service is made of.
pub struct ElbOptions {
    /// Load balancers.
    pub store: Store,
    /// Stamps, and the hours of access logs.
    pub clock: Arc<dyn Clock>,
    /// DNS names, and the names of log files.
    pub ids: Arc<dyn Ids>,
    /// Knows instances, subnets and security groups.
    pub ec2: Arc<dyn ::api::ec2::Ec2>,
    /// Knows certificates.
    pub certificates: Arc<dyn ServerCertificates>,
    /// Takes access logs.
    pub object_store: Arc<dyn ::api::ObjectStore>,
    /// Serves. The service owns it: no other caller may publish to it.
    pub balancer: balancer::Balancer,
    /// Where nodes can stand.
    pub zones: Vec<Zone>,
    /// Knows the ways to instances that are run here. `None`: there are none, and nodes stand on the host alone.
    pub instance_networks: Option<Arc<dyn ::api::InstanceNetworks>>,
    /// What DNS names end with after name and region: `elb.localhost` makes `web-1234567890.us-east-1.elb.localhost`.
    pub dns_domain: String,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rows could not be read.
    #[error("cannot read the load balancers: {0}")]
    Store(#[from] StoreError),
}

/// Classic ELB. Cheap to clone.
#[derive(Clone)]
pub struct Elb {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) ec2: Arc<dyn Inventory>,
    pub(crate) certificates: Arc<dyn ServerCertificates>,
    pub(crate) object_store: Arc<dyn ::api::ObjectStore>,
    pub(crate) balancer: Arc<dyn DataPlane>,
    pub(crate) zones: Zones,
    pub(crate) instance_networks: Option<Arc<dyn ::api::InstanceNetworks>>,
    pub(crate) dns_domain: String,
    /// What the balancer serves now.
    pub(crate) live: tokio::sync::Mutex<Live>,
    /// Held by whoever publishes access logs: a file must not be put twice.
    pub(crate) publishing: tokio::sync::Mutex<()>,
    /// What was used, once the first numbers came.
    pub(crate) usage: tokio::sync::Mutex<Option<balancer::UsageReport>>,
    /// Held by whoever changes load balancers. Asynchronous because a change waits for disk and balancer.
    changes: Arc<tokio::sync::Mutex<()>>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Everything but the balancer.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) ec2: Arc<dyn Inventory>,
    pub(crate) certificates: Arc<dyn ServerCertificates>,
    pub(crate) object_store: Arc<dyn ::api::ObjectStore>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) instance_networks: Option<Arc<dyn ::api::InstanceNetworks>>,
    pub(crate) dns_domain: String,
}

/// A load balancer about to change; nobody else changes one meanwhile.
pub(crate) struct Draft {
    pub(crate) row: LoadBalancerRow,
    key: String,
    revision: Revision,
    /// Addresses that the change will listen on, kept until it is live.
    pub(crate) reserved: Option<Reserved>,
    _changes: OwnedMutexGuard<()>,
}

impl Elb {
    /// Starts the service: when this returns, the balancer serves what the rows say (what EC2, IAM or the machine deny
    /// at that moment is logged and tried again every second). Needs a tokio runtime.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn open(options: ElbOptions) -> Result<Self, OpenError> {
        let parts = Parts {
            store: options.store,
            clock: options.clock,
            ids: options.ids,
            ec2: Arc::new(FromEc2(options.ec2)),
            certificates: options.certificates,
            object_store: options.object_store,
            zones: options.zones,
            instance_networks: options.instance_networks,
            dns_domain: options.dns_domain,
        };
        Self::with(parts, Arc::new(options.balancer)).await
    }

    pub(crate) async fn with(parts: Parts, balancer: Arc<dyn DataPlane>) -> Result<Self, OpenError> {
        let inner = Inner {
            store: parts.store,
            clock: parts.clock,
            ids: parts.ids,
            ec2: parts.ec2,
            certificates: parts.certificates,
            object_store: parts.object_store,
            balancer,
            zones: Zones::new(parts.zones),
            instance_networks: parts.instance_networks,
            dns_domain: parts.dns_domain.trim_matches('.').to_ascii_lowercase(),
            live: tokio::sync::Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            usage: tokio::sync::Mutex::default(),
            changes: Arc::default(),
            stop: CancellationToken::new(),
            tasks: Mutex::default(),
        };
        let elb = Self { inner: Arc::new(inner) };
        // Rows that cannot be read must keep the server from starting; anything else repairs itself.
        elb.all_rows().await?;
        elb.reconcile().await;
        let users: Weak<dyn CertificateUsers> = Arc::downgrade(&elb.inner) as Weak<dyn CertificateUsers>;
        elb.inner.certificates.ask_before_delete(users);
        let tasks = vec![
            tokio::spawn(crate::live::reconcile_forever(Arc::downgrade(&elb.inner), elb.inner.stop.clone())),
            tokio::spawn(crate::publisher::publish_forever(Arc::downgrade(&elb.inner), elb.inner.stop.clone())),
        ];
        *elb.inner.tasks.lock() = tasks;
        Ok(elb)
    }

    /// Whom EC2 asks before it deletes a security group.
    pub fn security_group_users(&self) -> Weak<dyn SecurityGroupUsers> {
        Arc::downgrade(&self.inner) as Weak<dyn SecurityGroupUsers>
    }

    /// Answers a request. `operation` is the action's name, empty when the request names none; `body` is the form.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        if call.identity.is_anonymous() {
            return ::api::elb::encode_error(call, &errors::missing_authentication_token());
        }
        match ::api::elb::dispatch(self, call, operation, &body).await {
            Ok(response) => response,
            Err(error) => ::api::elb::encode_error(call, &error),
        }
    }

    /// Stops reconciling and publishing logs; what is spooled stays for the next start. Traffic goes on until the
    /// balancer drains.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        let tasks = std::mem::take(&mut *self.inner.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of ELB did not end well");
            }
        }
    }

    /// Deletes all load balancers of all accounts, and what they were used for.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn reset(&self) -> Result<(), OpenError> {
        let elb = self.clone();
        let work = tokio::spawn(async move {
            let _changes = Arc::clone(&elb.inner.changes).lock_owned().await;
            let forget = |tx: &mut store::Transaction<'_>| {
                tx.delete_range(&LOAD_BALANCERS, &Scan::all())?;
                tx.delete_range(&USAGE, &Scan::all())?;
                // Nor is a log delivered to a bucket of before.
                tx.delete_range(&RETIRED, &Scan::all()).map(|_| ())
            };
            elb.inner.store.write_async(forget).await?;
            *elb.inner.usage.lock().await = None;
            elb.reconcile().await;
            Ok(())
        });
        work.await.unwrap_or(Err(OpenError::Store(StoreError::Closed)))
    }

    /// Runs a change to its end, even when the client goes away: rows and balancer must not part.
    pub(crate) async fn to_the_end<T, F>(&self, change: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        if self.inner.stop.is_cancelled() {
            return Err(errors::service_unavailable());
        }
        tokio::spawn(change).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a change of a load balancer did not come to its end");
            Err(errors::internal())
        })
    }

    /// Waits until no change is under way, and keeps others out.
    pub(crate) async fn begin_change(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.inner.changes).lock_owned().await
    }

    /// All rows of all accounts.
    pub(crate) async fn all_rows(&self) -> Result<Vec<LoadBalancerRow>, StoreError> {
        let rows = self.inner.store.read_async(|view| view.scan(&LOAD_BALANCERS, &Scan::all())).await?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// The caller's load balancers, by name.
    pub(crate) async fn rows_of(&self, call: &Call) -> Result<Vec<LoadBalancerRow>, ApiError> {
        let prefix = rows::prefix(call.account().as_str(), call.region.as_str());
        let read = self.inner.store.read_async(move |view| view.scan(&LOAD_BALANCERS, &Scan::prefix(&prefix)));
        let rows = read.await.map_err(|error| errors::from_store(call, &error))?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// One of the caller's load balancers.
    pub(crate) async fn row(&self, call: &Call, name: &str) -> Result<LoadBalancerRow, ApiError> {
        self.find(call, name).await?.map(|row| row.value).ok_or_else(|| errors::load_balancer_not_found(name))
    }

    /// One of the caller's load balancers, if there is one.
    pub(crate) async fn find(&self, call: &Call, name: &str) -> Result<Option<store::Row<LoadBalancerRow>>, ApiError> {
        let key = rows::key(call.account().as_str(), call.region.as_str(), name);
        let read = self.inner.store.read_async(move |view| view.get(&LOAD_BALANCERS, &key));
        read.await.map_err(|error: StoreError| errors::from_store(call, &error))
    }

    /// One of the caller's load balancers, to be changed.
    pub(crate) async fn draft(&self, call: &Call, name: &str) -> Result<Draft, ApiError> {
        let changes = self.begin_change().await;
        let row = self.find(call, name).await?.ok_or_else(|| errors::load_balancer_not_found(name))?;
        Ok(Draft { row: row.value, key: row.key, revision: row.revision, reserved: None, _changes: changes })
    }

    /// Makes a draft durable, then live.
    pub(crate) async fn commit(&self, call: &Call, draft: Draft) -> Result<(), ApiError> {
        let Draft { row, key, revision, reserved, _changes: changes } = draft;
        let write =
            self.inner.store.write_async(move |tx| tx.replace(&LOAD_BALANCERS, &key, revision, &row).map(|_| ()));
        write.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        self.reconcile().await;
        drop((reserved, changes));
        Ok(())
    }
}

#[async_trait]
impl CertificateUsers for Inner {
    async fn use_of(&self, arn: &str) -> Result<Option<String>, ApiError> {
        let rows = self.store.read_async(|view| view.scan(&LOAD_BALANCERS, &Scan::all())).await;
        let rows = rows.map_err(|error: StoreError| {
            tracing::error!(%error, "the store failed");
            errors::internal()
        })?;
        let uses = |row: &LoadBalancerRow| row.listeners.iter().any(|one| one.certificate.as_deref() == Some(arn));
        Ok(rows.into_iter().map(|row| row.value).find(uses).map(|row| row.arn()))
    }
}

#[async_trait]
impl SecurityGroupUsers for Inner {
    async fn uses_group(&self, account: &AccountId, region: &Region, group_id: &str) -> Result<bool, ApiError> {
        let prefix = rows::prefix(account.as_str(), region.as_str());
        let rows = self.store.read_async(move |view| view.scan(&LOAD_BALANCERS, &Scan::prefix(&prefix))).await;
        let rows = rows.map_err(|error: StoreError| {
            tracing::error!(%error, "the store failed");
            errors::internal()
        })?;
        Ok(rows.iter().any(|row| row.value.security_groups.iter().any(|group| group == group_id)))
    }
}
