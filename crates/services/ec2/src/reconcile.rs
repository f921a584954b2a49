//! Rows and engine, brought together: what rows ask for is done, what the engine says is written down.
//!
//! Invariants:
//! - Networks are published before an instance that stands in them is launched.
//! - Each pass starts from the rows: a crash at any point is made good by the first pass of the next process.
//! - Of one instance one deed is under way at a time; nobody waits for another.
//! - What the engine runs and no row knows is ended.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use host::Clock;
use machines::{EngineError, InstanceId, InstanceSpec, Networks};
use store::{Scan, Store, StoreError, Transaction, View};
use tokio::task::{JoinHandle, JoinSet};

use crate::engine::{InstanceEngine, InstanceOptions, Instances};
use crate::life::{self, Deed};
use crate::metadata::MetadataSource;
use crate::network_interfaces;
use crate::place::Place;
use crate::rows::*;
use crate::to_networks::{NetworkRows, id_in};
use crate::{tags, to_engine};

/// How long nothing happens until rows and engine are compared nonetheless.
const PERIOD: Duration = Duration::from_secs(10);
/// How long until what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The task that brings rows and engine together; ends when dropped.
pub(crate) struct Reconciling(JoinHandle<()>);

impl Drop for Reconciling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the task.
pub(crate) fn start(
    store: Store,
    clock: Arc<dyn Clock>,
    metadata: MetadataSource,
    options: InstanceOptions,
) -> Reconciling {
    options.engine.set_metadata(Arc::new(metadata));
    let reconciler = Reconciler { store, clock, options, published: None, busy: HashSet::new(), deeds: JoinSet::new() };
    Reconciling(tokio::spawn(reconciler.run()))
}

struct Reconciler {
    store: Store,
    clock: Arc<dyn Clock>,
    options: InstanceOptions,
    /// What the engine enforces.
    published: Option<Networks>,
    /// Instances with a deed under way.
    busy: HashSet<String>,
    deeds: JoinSet<Done>,
}

/// A deed that is over.
struct Done {
    key: String,
    deed: Deed,
    outcome: Result<(), EngineError>,
}

/// What one look at the rows brings.
struct Seen {
    networks: Networks,
    /// Deeds to do, with the instance's row key and what it is made from.
    deeds: Vec<(String, Deed, Option<InstanceSpec>)>,
    /// Instances of the engine that no row knows.
    strays: Vec<InstanceId>,
}

impl Reconciler {
    async fn run(mut self) {
        let mut changes = self.store.watch(&CHANGES);
        let mut instances = self.options.engine.instances();
        loop {
            let seen = instances.borrow_and_update().clone();
            let wait = match self.pass(seen).await {
                Ok(()) => PERIOD,
                Err(error) => {
                    tracing::error!(%error, "instances and rows could not be brought together; trying again");
                    RETRY
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = instances.changed() => if changed.is_err() { return },
                Some(done) = self.deeds.join_next() => self.finish(done).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn pass(&mut self, engine: Instances) -> Result<(), PassError> {
        let now_ms = self.clock.now().as_millis();
        self.write_down(&engine, now_ms).await?;
        let (seen, options) = (engine.clone(), self.options.clone());
        let seen = self.store.read_async(move |view| look(view, &seen, &options, now_ms)).await?;
        let published = self.publish(seen.networks).await;
        for (key, deed, spec) in seen.deeds {
            if self.busy.insert(key.clone()) {
                self.begin(key, deed, spec);
            }
        }
        for id in seen.strays {
            let is_over = engine.get(&id).is_some_and(|one| one.state == machines::InstanceState::Terminated);
            let deed = if is_over { Deed::Forget } else { Deed::Terminate };
            let key = id.0.to_string();
            if self.busy.insert(key.clone()) {
                self.begin(key, deed, None);
            }
        }
        // Networks that can't be had keep no instance from being ended.
        Ok(published?)
    }

    async fn publish(&mut self, networks: Networks) -> Result<(), EngineError> {
        if self.published.as_ref() != Some(&networks) {
            self.options.engine.publish(networks.clone()).await?;
            self.published = Some(networks);
        }
        Ok(())
    }

    /// Writes down what the engine says, if that is news.
    async fn write_down(&self, engine: &Instances, now_ms: u64) -> Result<(), StoreError> {
        let seen = engine.clone();
        let has_news = self.store.read_async(move |view| {
            let rows = view.scan(&INSTANCES, &Scan::all())?;
            Ok::<_, StoreError>(rows.iter().any(|row| news(row, &seen, now_ms).is_some()))
        });
        if !has_news.await? {
            return Ok(());
        }
        let seen = engine.clone();
        let write = move |tx: &mut Transaction<'_>| {
            for row in tx.scan(&INSTANCES, &Scan::all())? {
                if let Some(next) = news(&row, &seen, now_ms) {
                    keep(tx, &row.key, &next)?;
                }
            }
            touch(tx)
        };
        self.store.write_async(write).await
    }

    fn begin(&mut self, key: String, deed: Deed, spec: Option<InstanceSpec>) {
        let engine = self.options.engine.clone();
        let id = InstanceId(id_in(&key).into());
        self.deeds.spawn(async move {
            let outcome = act(&*engine, deed, id, spec).await;
            if outcome.as_ref().is_err_and(|error| !is_final(deed, error)) {
                // The next pass tries it again; until then nothing else is done to this instance.
                tokio::time::sleep(RETRY).await;
            }
            Done { key, deed, outcome }
        });
    }

    /// Notes in the row that a deed is done, or why an instance can't be.
    async fn finish(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let Ok(Done { key, deed, outcome }) = done else {
            // Its task panicked: without knowing whose it was, all are looked at anew.
            self.busy.clear();
            return;
        };
        self.busy.remove(&key);
        let failed = match outcome {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, ?deed, instance = id_in(&key), "the engine refused");
                if !is_final(deed, &error) {
                    return;
                }
                Some(error.to_string())
            }
        };
        let now_ms = self.clock.now().as_millis();
        let noted = self.store.write_async(move |tx| note(tx, &key, deed, failed, now_ms)).await;
        if let Err(error) = noted {
            tracing::error!(%error, "what the engine did could not be written down");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the networks could not be published: {0}")]
    Engine(#[from] EngineError),
}

/// The row that a row becomes, if the engine says something new.
fn news(row: &store::Row<InstanceRow>, engine: &Instances, now_ms: u64) -> Option<InstanceRow> {
    let instance = engine.get(&InstanceId(id_in(&row.key).into())).map(|instance| &**instance);
    let next = life::seen(&row.value, instance, now_ms);
    (next != row.value).then_some(next)
}

/// Keeps a row, and lets go of what an instance in its state has no more.
fn keep(tx: &mut Transaction<'_>, key: &str, row: &InstanceRow) -> Result<(), StoreError> {
    tx.put(&INSTANCES, key, row)?;
    let Some(place) = Place::in_key(key) else { return Ok(()) };
    match row.state {
        State::Stopped => network_interfaces::set_public(tx, &place, &row.interface_id, None),
        State::Terminated => disconnect(tx, &place, &row.interface_id),
        State::Pending | State::Running | State::Stopping | State::ShuttingDown => Ok(()),
    }
}

/// The interface of a terminated instance goes with it, unless its owner wants it for another.
fn disconnect(tx: &mut Transaction<'_>, place: &Place, interface_id: &str) -> Result<(), StoreError> {
    let Some(mut interface) = tx.get(&INTERFACES, &place.key(interface_id))? else { return Ok(()) };
    if interface.value.attachment.as_ref().is_some_and(|attachment| attachment.delete_on_termination) {
        return network_interfaces::remove(tx, place, interface_id);
    }
    interface.value.attachment = None;
    interface.value.public = None;
    tx.put(&INTERFACES, &interface.key, &interface.value).map(drop)
}

fn look(view: &View<'_>, engine: &Instances, options: &InstanceOptions, now_ms: u64) -> Result<Seen, StoreError> {
    let networks = NetworkRows::read(view)?.networks();
    let mut known = HashSet::new();
    let mut deeds = Vec::new();
    for row in view.scan(&INSTANCES, &Scan::all())? {
        let id = id_in(&row.key).to_owned();
        let instance = engine.get(&InstanceId(id.as_str().into())).map(|instance| &**instance);
        if let Some(deed) = life::deed(&row.value, instance, now_ms)
            && let Some(place) = Place::in_key(&row.key)
        {
            let interface = view.get(&INTERFACES, &place.key(&row.value.interface_id))?;
            let spec = interface.map(|interface| to_engine::spec(&place, &id, &row.value, &interface.value, options));
            deeds.push((row.key, deed, spec));
        }
        known.insert(id);
    }
    let strays = engine.keys().filter(|id| !known.contains(&*id.0)).cloned().collect();
    Ok(Seen { networks, deeds, strays })
}

async fn act(
    engine: &dyn InstanceEngine,
    deed: Deed,
    id: InstanceId,
    spec: Option<InstanceSpec>,
) -> Result<(), EngineError> {
    let outcome = match (deed, spec) {
        (Deed::Launch, Some(spec)) => engine.launch(spec).await,
        (Deed::Modify, Some(spec)) => engine.modify(spec).await,
        (Deed::Start, Some(spec)) => {
            engine.modify(spec).await?;
            engine.start_instance(&id).await
        }
        (Deed::Launch | Deed::Modify | Deed::Start, None) => Err(EngineError::NoInterface(id)),
        (Deed::Reboot, _) => engine.reboot(&id).await,
        (Deed::Stop, _) => engine.stop(&id).await,
        (Deed::Terminate, _) => engine.terminate(&id).await,
        (Deed::Forget, _) => engine.forget(&id).await,
    };
    match outcome {
        // Done by a process that ended before it could note it.
        Err(EngineError::InstanceExists(_)) if deed == Deed::Launch => Ok(()),
        Err(EngineError::NoSuchInstance(_)) if matches!(deed, Deed::Forget | Deed::Terminate) => Ok(()),
        outcome => outcome,
    }
}

/// Whether trying again is of no use: an instance that can't be launched is terminated, as on AWS.
fn is_final(deed: Deed, error: &EngineError) -> bool {
    let can_change = matches!(error, EngineError::NoInterface(_) | EngineError::NoSuchVpc(_));
    deed == Deed::Launch && !can_change
}

fn note(
    tx: &mut Transaction<'_>,
    key: &str,
    deed: Deed,
    failed: Option<String>,
    now_ms: u64,
) -> Result<(), StoreError> {
    // A stray has no row.
    let Some(row) = tx.get(&INSTANCES, key)? else { return Ok(()) };
    let mut row = row.value;
    match (deed, failed) {
        (Deed::Launch, Some(why)) => life::launch_failed(&mut row, why, now_ms),
        (Deed::Launch, None) => row.is_launched = true,
        (Deed::Start, _) => row.start = false,
        (Deed::Reboot, _) => row.reboot = false,
        (Deed::Forget, _) => {
            tx.delete(&INSTANCES, key)?;
            if let Some(place) = Place::in_key(key) {
                tags::forget(tx, &place, id_in(key))?;
            }
            return touch(tx);
        }
        (Deed::Stop | Deed::Terminate | Deed::Modify, _) => return Ok(()),
    }
    keep(tx, key, &row)?;
    touch(tx)
}
