//! The publisher: spooled access records become objects in S3, every 5 or 60 minutes.
//!
//! Invariants:
//! - A file is removed from the spool only after its object was put: a crash between the two puts it again, under the
//!   same key.
//! - What was logged before logging was turned off, or before the load balancer was deleted, is still delivered.
//! - A bucket that refuses is tried again, less and less often, and keeps nobody else's log from being delivered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Weak;
use std::time::Duration;

use ::api::Call;
use balancer::{LoadBalancerId, Sealed};
use serde::{Deserialize, Serialize};
use store::{Scan, StoreError, Table};
use tokio_util::sync::CancellationToken;
use wire::ApiError;

use crate::access_log::{self, Owner};
use crate::errors;
use crate::rows::{AccessLogRow, LoadBalancerRow};
use crate::service::{Elb, Inner};

/// Where the logs of load balancers go that log no more, by id and the moment of their last.
pub(crate) const RETIRED: Table<RetiredLog> = Table::new("elb_retired_logs");
/// All intervals are multiples of it.
const STEP: Duration = Duration::from_secs(5 * 60);
/// The first wait after a failure; it doubles up to [`STEP`].
const RETRY: Duration = Duration::from_secs(15);
/// How long after a log was turned off its last records may still come: the change is not live at once.
const SETTLED: Duration = Duration::from_secs(60);
/// How long the remains of a log that was turned off are tried.
const RETIRED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A log that was turned off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RetiredLog {
    id: u64,
    account: String,
    region: String,
    name: String,
    log: AccessLogRow,
    /// When it was turned off.
    at_ms: u64,
}

/// Why access logs were not all published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{failed} files of access records could not be published: {reason}; they are tried again")]
pub struct PublishError {
    /// How many.
    pub failed: usize,
    /// Why the first was not.
    pub reason: String,
}

/// Where one load balancer's files go.
struct Place {
    account: String,
    region: String,
    name: String,
    log: AccessLogRow,
}

impl Elb {
    /// Publishes all records up to now, without waiting for the interval to end; how many objects were put.
    ///
    /// # Errors
    /// When a bucket refuses or the spool cannot be read; what was not put is tried again.
    pub async fn publish_logs_now(&self) -> Result<usize, PublishError> {
        self.publish_logs(|_| true).await
    }

    /// Publishes what waits of the load balancers whose interval is `due`, and what an earlier try left behind.
    async fn publish_logs(&self, due: impl Fn(&AccessLogRow) -> bool) -> Result<usize, PublishError> {
        let _publishing = self.inner.publishing.lock().await;
        let mut round = Round::default();
        let (rows, retired) = match self.read_logs().await {
            Ok(both) => both,
            Err(error) => return Err(PublishError { failed: 0, reason: error.to_string() }),
        };
        let mut places: HashMap<LoadBalancerId, Place> = HashMap::new();
        for retired in retired.values() {
            places.insert(LoadBalancerId(retired.id), retired.place());
        }
        for row in rows.iter() {
            // One that logs to a new place has its old records there too: they were sealed when the place changed.
            if let Some(log) = &row.attributes.access_log {
                places.insert(LoadBalancerId(row.id), Place::new(Owner::of(row), log.clone()));
            }
        }
        for id in places.iter().filter(|(_, place)| due(&place.log)).map(|(id, _)| *id) {
            if let Err(error) = self.inner.balancer.seal(id).await {
                round.failed(&error);
            }
        }
        let files = self.inner.balancer.sealed().await.unwrap_or_else(|error| {
            round.failed(&error);
            Vec::new()
        });
        for file in &files {
            match places.get(&file.load_balancer) {
                Some(place) => match self.deliver(place, file).await {
                    Ok(()) => round.published += 1,
                    Err(error) => round.failed(&error),
                },
                // Nobody logs any more, and nobody is left whose log it was.
                None => self.discard(file).await,
            }
        }
        // Only what was sealed just now is known to be delivered whole.
        let all_delivered = round.failed == 0;
        self.forget_retired(&retired, |log| all_delivered && due(log)).await;
        round.end()
    }

    async fn read_logs(&self) -> Result<(Vec<LoadBalancerRow>, BTreeMap<String, RetiredLog>), StoreError> {
        let rows = self.all_rows().await?;
        let retired = self.inner.store.read_async(|view| view.scan(&RETIRED, &Scan::all()));
        let retired: Vec<store::Row<RetiredLog>> = retired.await?;
        Ok((rows, retired.into_iter().map(|row| (row.key, row.value)).collect()))
    }

    async fn deliver(&self, place: &Place, file: &Sealed) -> Result<(), String> {
        let body = self.inner.balancer.read(file).await.map_err(|error| error.to_string())?;
        let key = access_log::key(place.owner(), &place.log, file);
        let put = self.put(place.owner(), &place.log, key, body.into()).await;
        put.map_err(|error| format!("bucket {}: {error}", place.log.bucket))?;
        // The object is there: should this fail, the next round puts the same one again.
        self.inner.balancer.remove(file).await.map_err(|error| error.to_string())
    }

    async fn discard(&self, file: &Sealed) {
        tracing::warn!(load_balancer = file.load_balancer.0, records = file.records, "access records of nobody");
        if let Err(error) = self.inner.balancer.remove(file).await {
            tracing::error!(%error, "cannot remove a file of access records");
        }
    }

    /// Forgets logs that are delivered, or were refused for too long.
    async fn forget_retired(
        &self,
        retired: &BTreeMap<String, RetiredLog>,
        is_delivered: impl Fn(&AccessLogRow) -> bool,
    ) {
        let now = self.inner.clock.now();
        let is_over = |log: &RetiredLog| {
            let age = now.since(host::Timestamp(log.at_ms));
            (age > SETTLED && is_delivered(&log.log)) || age > RETIRED_FOR
        };
        let keys: Vec<_> = retired.iter().filter(|(_, log)| is_over(log)).map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            return;
        }
        let forget = self
            .inner
            .store
            .write_async(move |tx| keys.iter().try_for_each(|key| tx.delete(&RETIRED, key).map(|_| ())));
        if let Err(error) = forget.await {
            let error: StoreError = error;
            tracing::error!(%error, "cannot forget a log that was turned off");
        }
    }

    /// Remembers where a log went that is about to be turned off, or to go elsewhere.
    pub(crate) async fn retire_log(
        &self,
        call: &Call,
        row: &LoadBalancerRow,
        log: AccessLogRow,
    ) -> Result<(), ApiError> {
        // What waits goes to the old place now; only if that fails it may be found at the new one.
        let place = Place::new(Owner::of(row), log.clone());
        let _publishing = self.inner.publishing.lock().await;
        let id = LoadBalancerId(row.id);
        match self.inner.balancer.seal(id).await {
            Ok(files) => {
                for file in files.iter().filter(|file| file.load_balancer == id) {
                    if let Err(error) = self.deliver(&place, file).await {
                        tracing::warn!(load_balancer = row.name, error, "access records are not delivered yet");
                    }
                }
            }
            Err(error) => tracing::warn!(load_balancer = row.name, %error, "cannot seal access records"),
        }
        let at_ms = self.inner.clock.now().as_millis();
        let Place { account, region, name, log } = place;
        let retired = RetiredLog { id: row.id, account, region, name, log, at_ms };
        let key = format!("{:020}", row.id);
        let write = self.inner.store.write_async(move |tx| tx.put(&RETIRED, &key, &retired).map(|_| ()));
        write.await.map_err(|error: StoreError| errors::from_store(call, &error))
    }
}

impl Place {
    fn new(owner: Owner<'_>, log: AccessLogRow) -> Self {
        let Owner { account, region, load_balancer } = owner;
        Self { account: account.to_owned(), region: region.to_owned(), name: load_balancer.to_owned(), log }
    }

    fn owner(&self) -> Owner<'_> {
        Owner { account: &self.account, region: &self.region, load_balancer: &self.name }
    }
}

impl RetiredLog {
    fn place(&self) -> Place {
        let owner = Owner { account: &self.account, region: &self.region, load_balancer: &self.name };
        Place::new(owner, self.log.clone())
    }
}

/// What one round did.
#[derive(Default)]
struct Round {
    published: usize,
    failed: usize,
    reason: Option<String>,
}

impl Round {
    fn failed(&mut self, error: &impl ToString) {
        self.failed += 1;
        self.reason.get_or_insert_with(|| error.to_string());
    }

    fn end(self) -> Result<usize, PublishError> {
        match self.reason {
            None => Ok(self.published),
            Some(reason) => Err(PublishError { failed: self.failed, reason }),
        }
    }
}

/// Publishes at the end of each interval until told to stop, or until nobody holds the service any more.
pub(crate) async fn publish_forever(inner: Weak<Inner>, stop: CancellationToken) {
    let step_ms = u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX);
    let hour_steps = 12;
    let Some(mut done) = inner.upgrade().map(|inner| inner.clock.now().as_millis() / step_ms) else { return };
    // What the process before left behind is published soon, not at the next hour.
    let mut retry = Some(RETRY);
    loop {
        let Some(now_ms) = inner.upgrade().map(|inner| inner.clock.now().as_millis()) else { return };
        let next = Duration::from_millis((done + 1).saturating_mul(step_ms).saturating_sub(now_ms).max(1));
        // Short naps: the clock may be set meanwhile.
        let nap = next.min(retry.unwrap_or(Duration::from_secs(30))).min(Duration::from_secs(30));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(retry.map_or(nap, |retry| next.min(retry))) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        let step = inner.clock.now().as_millis() / step_ms;
        let (hour, is_new) = (step / hour_steps > done / hour_steps, step > done);
        if !is_new && retry.is_none() {
            // A clock that was set back begins its intervals anew.
            done = done.min(step);
            continue;
        }
        done = step;
        let published = Elb { inner }.publish_logs(|log| is_new && (hour || log.interval_min == 5)).await;
        retry = match published {
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "access logs");
                Some(retry.map_or(RETRY, |retry| (retry * 2).min(STEP)))
            }
        };
    }
}
