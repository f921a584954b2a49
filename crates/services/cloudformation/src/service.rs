//! [`CloudFormation`]: the service as the server holds it, and its drivers.
//!
//! Invariants:
//! - What is asked for is durable before it is answered; a driver does it afterwards.
//! - When the service is opened, it goes on with whatever was under way.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::api::{AccountId, Call, Endpoint, Platform, Region};
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::{Scan, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use wire::{ApiError, EncodedResponse};

use crate::classic_json;
use crate::engine::{self, ledger::Ledger};
use crate::errors;
use crate::limits::{CALLS_MAX, DELETED_KEPT_MS};
use crate::names;
use crate::resources::step::{ActsAs, Origin, Tools};
use crate::rows::{self, CHANGE_SETS, EVENTS, NAMES, RESOURCES, STACKS, StackRow, TEMPLATES};

/// How often what deleted stacks leave behind is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// What the service is made of.
pub struct CloudFormationOptions {
    /// Stacks and everything about them.
    pub store: Store,
    /// Time, for events and for how long signals are waited for.
    pub clock: Arc<dyn Clock>,
    /// Ids of stacks, events and requests.
    pub ids: Arc<dyn Ids>,
    /// Every service.
    pub platform: Arc<dyn Platform>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rows could not be read.
    #[error("cannot read the stacks: {0}")]
    Store(#[from] StoreError),
}

/// CloudFormation. Cheap to clone.
#[derive(Clone)]
pub struct CloudFormation {
    pub(crate) inner: Arc<Inner>,
}

/// Tells a driver that its stack's row was changed.
#[derive(Clone, Default)]
pub(crate) struct Hint(Arc<Notify>);

impl Hint {
    /// Waits for the next change.
    pub(crate) async fn changed(&self) {
        self.0.notified().await;
    }
}

struct Driver {
    hint: Hint,
    /// Whether somebody woke it since it last looked for something to do.
    is_woken: bool,
    task: JoinHandle<()>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) ledger: Ledger,
    calls: Arc<Semaphore>,
    this: Weak<Inner>,
    drivers: Mutex<HashMap<String, Driver>>,
    sweeper: Mutex<Option<JoinHandle<()>>>,
}

impl CloudFormation {
    /// Opens the service and goes on with what was under way. Needs a tokio runtime.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn open(options: CloudFormationOptions) -> Result<Self, OpenError> {
        let CloudFormationOptions { store, clock, ids, platform } = options;
        let ledger = Ledger::new(store.clone(), clock, Arc::clone(&ids));
        let inner = Arc::new_cyclic(|this| Inner {
            store,
            ids,
            platform,
            ledger,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            this: this.clone(),
            drivers: Mutex::default(),
            sweeper: Mutex::default(),
        });
        let stacks = inner.store.read_async(|view| view.scan(&STACKS, &Scan::all())).await?;
        for stack in stacks.into_iter().filter(|row: &store::Row<StackRow>| row.value.running().is_some()) {
            inner.wake(&stack.key);
        }
        *inner.sweeper.lock() = Some(tokio::spawn(sweep_forever(Arc::downgrade(&inner))));
        Ok(Self { inner })
    }

    /// Answers a request. `operation` is the action's name, empty when the request names none; `body` is the form or the
    /// document.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        if call.identity.is_anonymous() {
            return ::api::cloudformation::encode_error(call, &errors::missing_authentication_token());
        }
        if let Some(document) = classic_json::document(call, &body) {
            return self.handle_classic(call, operation, document).await;
        }
        match ::api::cloudformation::dispatch(self, call, operation, &body).await {
            Ok(response) => response,
            Err(error) => ::api::cloudformation::encode_error(call, &error),
        }
    }

    async fn handle_classic(&self, call: &Call, operation: &str, document: Bytes) -> EncodedResponse {
        let as_json = Call { protocol: ::api::Protocol::Json11, ..call.clone() };
        match ::api::cloudformation::dispatch(self, &as_json, operation, &document).await {
            Ok(answer) => classic_json::success(call, operation, answer),
            Err(error) => classic_json::failure(call, &error),
        }
    }

    /// Stops: what is under way goes on when the service is opened again.
    pub async fn close(&self) {
        if let Some(sweeper) = self.inner.sweeper.lock().take() {
            sweeper.abort();
        }
        let drivers: Vec<Driver> = std::mem::take(&mut *self.inner.drivers.lock()).into_values().collect();
        for driver in &drivers {
            driver.task.abort();
        }
        for driver in drivers {
            // Aborted, so that it says nothing else.
            let _ = driver.task.await;
        }
    }

    /// Forgets all stacks of all accounts; their resources are the caller's to remove.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn reset(&self) -> Result<(), OpenError> {
        self.close().await;
        let write = self.inner.store.write_async(|tx| {
            tx.delete_range(&STACKS, &Scan::all())?;
            tx.delete_range(&NAMES, &Scan::all())?;
            tx.delete_range(&TEMPLATES, &Scan::all())?;
            tx.delete_range(&RESOURCES, &Scan::all())?;
            tx.delete_range(&EVENTS, &Scan::all())?;
            tx.delete_range(&CHANGE_SETS, &Scan::all())?;
            tx.delete_range(&rows::EXPORTS, &Scan::all())?;
            tx.delete_range(&rows::IMPORTS, &Scan::all())?;
            tx.delete_range(&rows::SIGNALS, &Scan::all()).map(drop)
        });
        Ok(write.await?)
    }

    /// How many stacks something is being done to.
    pub fn busy(&self) -> usize {
        self.inner.drivers.lock().len()
    }
}

impl Inner {
    /// Has a stack's driver look at its row; starts one where there is none.
    pub(crate) fn wake(&self, key: &str) {
        let Some(this) = self.this.upgrade() else { return };
        let mut drivers = self.drivers.lock();
        if let Some(driver) = drivers.get_mut(key) {
            driver.is_woken = true;
            driver.hint.0.notify_one();
            return;
        }
        let hint = Hint::default();
        let task = tokio::spawn(engine::drive(this, key.to_owned(), hint.clone()));
        drivers.insert(key.to_owned(), Driver { hint, is_woken: false, task });
    }

    /// Whether a driver that found nothing to do may end: nobody woke it meanwhile.
    pub(crate) fn ends(&self, key: &str) -> bool {
        let mut drivers = self.drivers.lock();
        match drivers.get_mut(key) {
            Some(driver) if driver.is_woken => {
                driver.is_woken = false;
                false
            }
            _ => {
                drivers.remove(key);
                true
            }
        }
    }

    /// What steps work with.
    pub(crate) fn tools(&self) -> Tools {
        Tools {
            platform: Arc::clone(&self.platform),
            clock: Arc::clone(&self.ledger.clock),
            ids: Arc::clone(&self.ids),
            calls: Arc::clone(&self.calls),
            stacks: Arc::new(crate::nested::Signals(self.this.clone())),
        }
    }

    /// Where a stack's calls come from.
    pub(crate) fn origin(&self, stack: &StackRow) -> Origin {
        let (scheme, authority) = match stack.endpoint.split_once("://") {
            Some(("https", authority)) => ("https", authority),
            Some((_, authority)) => ("http", authority),
            None => ("http", "localhost"),
        };
        Origin {
            // Both were taken from a call.
            account: AccountId::parse(&stack.account).unwrap_or_else(blank_account),
            region: Region::parse(&stack.region).unwrap_or_else(blank_region),
            endpoint: Endpoint { scheme, authority: authority.into() },
            acts_as: stack
                .acts_as
                .clone()
                .map(|role_arn| ActsAs { is_service_role: stack.role_arn.as_ref() == Some(&role_arn), role_arn }),
        }
    }

    /// Refuses a role that CloudFormation may not act with for the caller.
    pub(crate) async fn check_role(&self, call: &Call, role_arn: Option<&str>) -> Result<(), ApiError> {
        let Some(arn) = role_arn else { return Ok(()) };
        let is_own = arn.split(':').nth(4) == Some(call.account().as_str());
        match is_own && self.platform.acting(arn, true).await?.is_some() {
            true => Ok(()),
            false => Err(errors::role_cannot_be_assumed(arn)),
        }
    }

    /// Has a service answer an operation for a stack.
    pub(crate) async fn ask(
        &self,
        stack: &StackRow,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let call = self.origin(stack).acting(&*self.platform, service, names::uuid(&*self.ids)).await?;
        self.platform.invoke(&call, service, operation, input).await
    }

    /// The zones of the stack's region.
    pub(crate) async fn zones(&self, stack: &StackRow) -> BTreeMap<String, Vec<String>> {
        let found = match self.ask(stack, "ec2", "DescribeAvailabilityZones", json!({})).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "EC2 does not tell its zones");
                return BTreeMap::new();
            }
        };
        let zones = found["AvailabilityZones"].as_array().into_iter().flatten();
        let mut names: Vec<String> = zones.filter_map(|zone| zone["ZoneName"].as_str()).map(str::to_owned).collect();
        names.sort();
        BTreeMap::from([(stack.region.clone(), names)])
    }
}

fn blank_account() -> AccountId {
    AccountId::parse("000000000000").expect("twelve digits")
}

fn blank_region() -> Region {
    Region::parse("us-east-1").expect("a region's name")
}

/// Forgets stacks that were deleted long ago, as AWS does after 90 days.
async fn sweep_forever(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = sweep(&inner).await {
            tracing::warn!(%error, "cannot forget stacks that were deleted long ago");
        }
        drop(inner);
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn sweep(inner: &Inner) -> Result<(), StoreError> {
    let before_ms = inner.ledger.now_ms().saturating_sub(DELETED_KEPT_MS);
    let write = inner.store.write_async(move |tx| {
        for row in tx.scan(&STACKS, &Scan::all())? {
            if row.value.deleted_ms.is_none_or(|deleted_ms| deleted_ms > before_ms) {
                continue;
            }
            let of_stack = Scan::prefix(&rows::of_stack(&row.value.uid));
            tx.delete_range(&RESOURCES, &of_stack)?;
            tx.delete_range(&EVENTS, &of_stack)?;
            tx.delete_range(&TEMPLATES, &of_stack)?;
            tx.delete_range(&CHANGE_SETS, &of_stack)?;
            tx.delete(&STACKS, &row.key)?;
        }
        Ok::<_, StoreError>(())
    });
    write.await
}
