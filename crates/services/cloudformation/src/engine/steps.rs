//! The steps of one resource: made, changed, deleted; each from its durable begin to its durable end.
//!
//! Invariants:
//! - A step that was begun is in its row; a step taken up again after a crash first looks for what its earlier life made.
//! - A store that cannot write is waited for: a step never ends otherwise than durably.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use store::StoreError;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Told};
use super::panics::survived;
use super::waiting;
use crate::resources::failure::Failure;
use crate::resources::step::{Origin, Recorder, Step, Tools};
use crate::resources::{self, ResourceType, property};
use crate::rows::{Physical, Replaced, ResourceRow, StackRow};

/// How long a step waits before it tries to write again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What all steps of an operation share.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) tools: Tools,
    pub(crate) ledger: Ledger,
    pub(crate) origin: Origin,
    pub(crate) stack: Arc<StackRow>,
    pub(crate) token: Option<String>,
    pub(crate) cancel: CancellationToken,
}

/// What a step shall bring about.
#[derive(Clone)]
pub(crate) enum Aim {
    /// A physical resource with the properties that the row asks for.
    Create { creation_policy: Option<Value>, update_policy: Option<Value> },
    /// The present physical resource with the properties that the row asks for. A policy for signals counts when something is
    /// made, not when it is changed.
    Update { old: Map<String, Value>, update_policy: Option<Value> },
}

/// The row while its step is under way.
struct Writer {
    around: Around,
    row: Arc<Mutex<ResourceRow>>,
}

#[async_trait]
impl Recorder for Writer {
    async fn record(&self, physical: &str) -> Result<(), Failure> {
        let now_ms = self.around.ledger.now_ms();
        let told = {
            let mut row = self.row.lock();
            let (is_first, properties) = (row.physical.is_none(), row.asked.clone());
            let found = row.physical.get_or_insert_default();
            found.id = physical.to_owned();
            if is_first {
                found.properties = properties;
            }
            row.updated_ms = now_ms;
            let mut shown = row.clone();
            shown.reason = (row.status == "CREATE_IN_PROGRESS").then(|| "Resource creation Initiated".to_owned());
            let event = self.around.ledger.event(&shown, self.around.token.as_deref(), None);
            Told { row: row.clone(), event: Some(event) }
        };
        self.around.put(told).await;
        Ok(())
    }

    async fn note(&self, sentence: &str) -> Result<(), Failure> {
        let told = {
            let mut row = self.row.lock().clone();
            row.updated_ms = self.around.ledger.now_ms();
            row.reason = Some(sentence.to_owned());
            let event = self.around.ledger.event(&row, self.around.token.as_deref(), None);
            Told { row: self.row.lock().clone(), event: Some(event) }
        };
        self.around.put(told).await;
        Ok(())
    }

    async fn waiting_since(&self) -> Result<u64, Failure> {
        let (since, row) = {
            let mut row = self.row.lock();
            let since = *row.waiting_ms.get_or_insert(self.around.ledger.now_ms());
            (since, row.clone())
        };
        self.around.put(Told { row, event: None }).await;
        Ok(since)
    }
}

impl Around {
    /// Writes, and tries again until it is written.
    pub(crate) async fn put(&self, told: Told) {
        loop {
            let copy = Told { row: told.row.clone(), event: told.event.clone() };
            match self.ledger.put(&self.stack.uid, copy).await {
                Ok(()) => return,
                Err(error) => wait_for_store(&error).await,
            }
        }
    }

    /// Writes a row with a new status and tells of it.
    pub(crate) async fn conclude(&self, row: &mut ResourceRow, status: &str, reason: Option<String>) {
        row.status = status.to_owned();
        row.reason = reason;
        row.updated_ms = self.ledger.now_ms();
        let event = self.ledger.event(row, self.token.as_deref(), None);
        self.put(Told { row: row.clone(), event: Some(event) }).await;
    }

    /// A step over a row.
    fn step(&self, row: &ResourceRow, physical: Option<String>, generation: u32) -> (Step, Arc<Mutex<ResourceRow>>) {
        let shared = Arc::new(Mutex::new(row.clone()));
        let before = row.before.as_ref().map(|before| before.physical_id().to_owned());
        let others = row.replaced.iter().map(|old| old.physical.id.clone()).chain(before);
        let step = Step {
            tools: self.tools.clone(),
            origin: self.origin.clone(),
            stack_id: self.stack.id(),
            stack_name: self.stack.name.clone(),
            stack_uid: self.stack.uid.clone(),
            logical: row.logical.clone(),
            generation,
            begun_ms: row.begun_ms,
            others: others.filter(|id| !id.is_empty() && Some(id) != physical.as_ref()).collect(),
            update_policy: None,
            creation_policy: None,
            physical: Mutex::new(physical),
            recorder: Arc::new(Writer { around: self.clone(), row: Arc::clone(&shared) }),
            cancel: self.cancel.clone(),
        };
        (step, shared)
    }

    /// Brings a resource to what its row asks for; the row as it is then.
    pub(crate) async fn bring(self, row: ResourceRow, aim: Aim, resumed: bool) -> ResourceRow {
        let physical = row.physical.as_ref().map(|physical| physical.id.clone());
        let (mut step, shared) = self.step(&row, physical, row.generation);
        let is_update = match &aim {
            Aim::Create { creation_policy, update_policy } => {
                (step.creation_policy, step.update_policy) = (creation_policy.clone(), update_policy.clone());
                false
            }
            Aim::Update { update_policy, .. } => {
                step.update_policy.clone_from(update_policy);
                true
            }
        };
        let work = |tried| self.work(&step, &row, aim.clone(), resumed || tried > 0);
        let outcome = survived(&row.logical, work).await;
        let mut row = shared.lock().clone();
        // Statuses of a replacement are an update's, as on AWS.
        let verb = if row.status.starts_with("UPDATE") { "UPDATE" } else { "CREATE" };
        match outcome {
            Ok(physical) => {
                row.physical = Some(physical);
                row.waiting_ms = None;
                self.conclude(&mut row, &format!("{verb}_COMPLETE"), None).await;
            }
            Err(Failure::Cancelled) => {
                let what = if is_update || verb == "UPDATE" { "update" } else { "creation" };
                self.conclude(&mut row, &format!("{verb}_FAILED"), Some(format!("Resource {what} cancelled"))).await;
            }
            Err(failure) => self.conclude(&mut row, &format!("{verb}_FAILED"), Some(failure.to_string())).await,
        }
        row
    }

    async fn work(&self, step: &Step, row: &ResourceRow, aim: Aim, resumed: bool) -> Result<Physical, Failure> {
        let kind = kind_of(&row.kind)?;
        let properties = property::checked(kind.table().properties, &row.asked).map_err(Failure::Refused)?;
        match &aim {
            Aim::Create { creation_policy, .. } => {
                if resumed
                    && step.known().is_none()
                    && let Some(id) = kind.find(step, &properties).await?
                {
                    step.record(&id).await?;
                }
                // Begun after somebody said stop: nothing is made that would only be deleted.
                if self.cancel.is_cancelled() && step.known().is_none() {
                    return Err(Failure::Cancelled);
                }
                kind.create(step, &properties).await?;
                waiting::for_signals(step, creation_policy.as_ref()).await?;
            }
            Aim::Update { old, .. } => {
                let old = property::checked(kind.table().properties, old).unwrap_or_default();
                let id = step.known().unwrap_or_default();
                kind.update(step, &id, &old, &properties).await?;
            }
        }
        let id = step.known().unwrap_or_default();
        let attributes = kind.attributes(step, &id, &properties).await?;
        let reference = Some(kind.reference(&id));
        Ok(Physical { id, properties: row.asked.clone(), attributes, reference })
    }

    /// Finds what an earlier life of a step made and did not record.
    pub(crate) async fn find_lost(&self, row: &ResourceRow) -> Option<String> {
        let kind = resources::find(&row.kind)?;
        let properties = property::checked(kind.table().properties, &row.asked).ok()?;
        let (step, _) = self.step(row, None, row.generation);
        // Nothing is lost but time when a service cannot answer: it is asked again.
        for looks in 0.. {
            match survived(&row.logical, |_| kind.find(&step, &properties)).await {
                Ok(found) => return found,
                Err(failure) if looks < 8 => {
                    tracing::warn!(logical = row.logical, %failure, "cannot look for what a crash may have left behind");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(_) => return None,
            }
        }
        None
    }

    /// Changes a physical resource back to what it was; what it is known by then.
    pub(crate) async fn update_back(
        &self,
        row: &ResourceRow,
        physical: &Physical,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Result<Physical, Failure> {
        let kind = kind_of(&row.kind)?;
        let (mut step, _) = self.step(row, Some(physical.id.clone()), row.generation);
        step.update_policy = row.before.as_ref().and_then(|before| before.update_policy.clone());
        survived(&row.logical, |_| kind.update(&step, &physical.id, old, new)).await?;
        let id = step.known().unwrap_or_default();
        let attributes = kind.attributes(&step, &id, new).await?;
        Ok(Physical { reference: Some(kind.reference(&id)), id, attributes, properties: physical.properties.clone() })
    }

    /// Deletes one physical resource.
    pub(crate) async fn delete(&self, row: &ResourceRow, physical: &Physical, generation: u32) -> Result<(), Failure> {
        let kind = kind_of(&row.kind)?;
        // Properties that no longer fit their table must not keep anything from being deleted.
        let properties = property::checked(kind.table().properties, &physical.properties);
        let properties = properties.unwrap_or_else(|_| physical.properties.clone());
        let (step, _) = self.step(row, Some(physical.id.clone()), generation);
        survived(&row.logical, |_| kind.delete(&step, &physical.id, &properties)).await
    }
}

/// A row's type. Templates with unknown types are refused before there is a row.
pub(crate) fn kind_of(name: &str) -> Result<&'static dyn ResourceType, Failure> {
    resources::find(name).ok_or_else(|| Failure::refused(format!("Unrecognized resource types: [{name}]")))
}

/// Waits before a write is tried again.
pub(crate) async fn wait_for_store(error: &StoreError) {
    tracing::error!(%error, "the store does not take what became of a resource; trying again");
    tokio::time::sleep(STORE_RETRY).await;
}

/// What a row's physical resource is when another takes its place.
pub(crate) fn retired(row: &ResourceRow) -> Option<Replaced> {
    let physical = row.physical.clone().filter(|physical| !physical.id.is_empty())?;
    let (needs, policy) = (row.needs.clone(), row.update_replace_policy);
    Some(Replaced { physical, needs, policy, generation: row.generation, tries: 0 })
}
