//! [`Autoscaling`]: the service as the server holds it, and how its rows are changed.
//!
//! Invariants:
//! - A change is one transaction that reads the group, changes it and writes it with what ended; it happens once polled,
//!   even when the client hangs up.
//! - Nothing about a group is held in memory between two looks.

use std::sync::Arc;

use ::api::Call;
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::Mutex;
use store::{Scan, Store, StoreError, Transaction};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{ApiError, EncodedResponse};

use crate::activities;
use crate::draft::Draft;
use crate::errors;
use crate::live::{self, Failing};
use crate::ports::{Balancers, Machines};
use crate::rows::{self, ACTIVITIES, GROUPS, GroupRow, LAUNCH_CONFIGURATIONS};

/// What the service is made of.
pub struct AutoscalingOptions {
    /// Groups, launch configurations and activities.
    pub store: Store,
    /// Time, for cooldowns, grace, schedules and activities.
    pub clock: Arc<dyn Clock>,
    /// Ids of activities, and the tokens of launches.
    pub ids: Arc<dyn Ids>,
    /// Launches and ends instances.
    pub ec2: Arc<dyn ::api::ec2::Ec2>,
    /// Balances load over them.
    pub elb: Arc<dyn ::api::elb::Elb>,
}

/// The same, with what is asked of the others and no more.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) ec2: Arc<dyn Machines>,
    pub(crate) elb: Arc<dyn Balancers>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rows could not be read.
    #[error("cannot read the Auto Scaling groups: {0}")]
    Store(#[from] StoreError),
}

/// Auto Scaling. Cheap to clone.
#[derive(Clone)]
pub struct Autoscaling {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) ec2: Arc<dyn Machines>,
    pub(crate) elb: Arc<dyn Balancers>,
    /// Held during a look at all groups; what failed at the last one.
    pub(crate) reconciling: tokio::sync::Mutex<Failing>,
    /// Hints that something is to be done.
    pub(crate) hint: Notify,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Autoscaling {
    /// Starts the service; groups are looked after from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn open(options: AutoscalingOptions) -> Result<Self, OpenError> {
        let AutoscalingOptions { store, clock, ids, ec2, elb } = options;
        let parts = Parts { store, clock, ids, ec2: Arc::new(ec2), elb: Arc::new(elb) };
        let autoscaling = Self::at_rest(parts).await?;
        autoscaling.start();
        Ok(autoscaling)
    }

    /// Looks after groups from now on.
    pub(crate) fn start(&self) {
        let inner = Arc::downgrade(&self.inner);
        let task = tokio::spawn(live::reconcile_forever(inner, self.inner.stop.clone()));
        self.inner.tasks.lock().push(task);
    }

    /// The service without its clockwork: groups are looked after when [`tick`](Self::tick) is called, and only then.
    pub(crate) async fn at_rest(parts: Parts) -> Result<Self, OpenError> {
        let Parts { store, clock, ids, ec2, elb } = parts;
        let inner = Inner {
            store,
            clock,
            ids,
            ec2,
            elb,
            reconciling: tokio::sync::Mutex::default(),
            hint: Notify::new(),
            stop: CancellationToken::new(),
            tasks: Mutex::default(),
        };
        let autoscaling = Self { inner: Arc::new(inner) };
        // Rows that cannot be read must keep the server from starting; anything else repairs itself.
        autoscaling.all_groups().await?;
        Ok(autoscaling)
    }

    /// Answers a request. `operation` is the action's name, empty when the request names none; `body` is the form.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        if call.identity.is_anonymous() {
            return ::api::autoscaling::encode_error(call, &errors::missing_authentication_token());
        }
        match ::api::autoscaling::dispatch(self, call, operation, &body).await {
            Ok(response) => response,
            Err(error) => ::api::autoscaling::encode_error(call, &error),
        }
    }

    /// Stops looking after groups; a look that is under way comes to its end first. Instances go on.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        let tasks = std::mem::take(&mut *self.inner.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of Auto Scaling did not end well");
            }
        }
    }

    /// Forgets all groups, launch configurations and activities of all accounts; their instances stay.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn reset(&self) -> Result<(), OpenError> {
        // Nobody launches meanwhile what nobody would remember.
        let _reconciling = self.inner.reconciling.lock().await;
        let forget = |tx: &mut Transaction<'_>| {
            tx.delete_range(&GROUPS, &Scan::all())?;
            tx.delete_range(&LAUNCH_CONFIGURATIONS, &Scan::all())?;
            tx.delete_range(&ACTIVITIES, &Scan::all())?;
            Ok::<_, StoreError>(())
        };
        Ok(self.inner.store.write_async(forget).await?)
    }

    /// The call that asks EC2 and ELB on behalf of a caller's groups.
    pub(crate) fn to_others(call: &Call) -> Result<Call, ApiError> {
        crate::service_call::call(call.account().as_str(), call.region.as_str()).ok_or_else(errors::internal)
    }

    /// All groups of all accounts.
    pub(crate) async fn all_groups(&self) -> Result<Vec<GroupRow>, StoreError> {
        let rows = self.inner.store.read_async(|view| view.scan(&GROUPS, &Scan::all())).await?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// The caller's groups, by name.
    pub(crate) async fn groups_of(&self, call: &Call) -> Result<Vec<GroupRow>, ApiError> {
        let prefix = rows::prefix(call.account().as_str(), call.region.as_str());
        let read = self.inner.store.read_async(move |view| view.scan(&GROUPS, &Scan::prefix(&prefix)));
        let rows = read.await.map_err(|error: StoreError| errors::from_store(&error))?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// One of the caller's groups, if there is one.
    pub(crate) async fn find(&self, call: &Call, name: &str) -> Result<Option<GroupRow>, ApiError> {
        let key = rows::key(call.account().as_str(), call.region.as_str(), name);
        let read = self.inner.store.read_async(move |view| view.get(&GROUPS, &key));
        let row = read.await.map_err(|error: StoreError| errors::from_store(&error))?;
        Ok(row.map(|row| row.value))
    }

    /// One of the caller's groups.
    pub(crate) async fn group(&self, call: &Call, name: &str) -> Result<GroupRow, ApiError> {
        self.find(call, name).await?.ok_or_else(|| errors::group_not_found(name))
    }

    /// The name of the caller's group that has an instance.
    pub(crate) async fn group_of_instance(&self, call: &Call, id: &str) -> Result<String, ApiError> {
        let groups = self.groups_of(call).await?;
        let found = groups.into_iter().find(|group| group.instance(id).is_some());
        found.map(|group| group.name).ok_or_else(|| errors::instance_not_managed(id))
    }

    /// Changes one of the caller's groups, durably, and lets the change take its course.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        call: &Call,
        name: &str,
        change: impl FnOnce(&mut Draft) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let key = rows::key(call.account().as_str(), call.region.as_str(), name);
        let checked = move |draft: &mut Draft| {
            if draft.row.deleting {
                return Err(errors::group_pending_delete(&draft.row.name));
            }
            change(draft)
        };
        let changed = self.edit(key, checked).await?.ok_or_else(|| errors::group_not_found(name))?;
        self.inner.hint.notify_one();
        Ok(changed)
    }

    /// Changes a group, if it is there.
    pub(crate) async fn edit<T: Send + 'static>(
        &self,
        key: String,
        change: impl FnOnce(&mut Draft) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Option<T>, ApiError> {
        let (now, ids) = (self.inner.clock.now(), Arc::clone(&self.inner.ids));
        let work = move |tx: &mut Transaction<'_>| {
            let Some(found) = tx.get(&GROUPS, &key)? else { return Ok::<_, Refused>(None) };
            let mut draft = Draft::new(found.value.clone(), now, ids);
            let answer = change(&mut draft).map_err(Refused)?;
            activities::keep(tx, &draft)?;
            if draft.delete {
                activities::outlive(tx, &draft.row)?;
                tx.delete(&GROUPS, &key)?;
            } else if draft.row != found.value {
                tx.replace(&GROUPS, &key, found.revision, &draft.row)?;
            }
            Ok(Some(answer))
        };
        self.inner.store.write_async(work).await.map_err(|Refused(error)| error)
    }
}

/// What ends a transaction of ours.
pub(crate) struct Refused(pub(crate) ApiError);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(errors::from_store(&error))
    }
}
