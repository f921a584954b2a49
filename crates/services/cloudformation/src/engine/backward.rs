//! Backward: what a stack needs no longer is deleted, dependents first.
//!
//! Invariants:
//! - Something is deleted only when nothing that is still to be deleted needs it.
//! - What cannot be deleted keeps its row, so that it is known and can be tried again.
//! - A resource whose making was cut short by a crash is looked for before it is given up.

use std::collections::BTreeSet;
use std::sync::Arc;

use store::StoreError;
use tokio::task::JoinSet;

use super::RETRY;
use super::forward::at_rest;
use super::ledger::{self, Told};
use super::run::Run;
use super::steps::Around;
use crate::resources::failure::Failure;
use crate::rows::{self, Phase, Physical, RESOURCES, Replaced, ResourceRow};
use crate::service::Hint;
use crate::template::DeletionPolicy;

/// How often the clean-up after an update tries to delete something before it leaves it.
const CLEANUP_TRIES_MAX: u32 = 3;
/// How many steps of one stack are under way at once.
const STEPS_MAX: usize = 50;

/// Something to delete: a whole resource, or what another has replaced.
#[derive(Clone, Debug)]
struct Item {
    logical: String,
    needs: BTreeSet<String>,
    /// `None`: the resource itself.
    replaced: Option<Replaced>,
}

impl Item {
    /// Two items of one resource are two.
    fn name(&self) -> (&str, Option<&str>) {
        (&self.logical, self.replaced.as_ref().map(|old| old.physical.id.as_str()))
    }
}

/// What became of an item.
struct Gone {
    item: Item,
    row: ResourceRow,
    outcome: Result<(), Failure>,
}

impl Run {
    /// Deletes what the present phase deletes, and says what the stack is then.
    pub(crate) async fn backward(&mut self, hint: &Hint) -> Result<(), StoreError> {
        if self.operation.phase == Phase::Delete
            && let Some(reason) = self.exports_in_use().await?
        {
            return self.refuse_delete(reason).await;
        }
        let around = self.around();
        self.find_lost(&around).await;
        let mut left = self.items();
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut steps = JoinSet::new();
        let mut under_way: Vec<Item> = Vec::new();
        loop {
            for item in ready(&left, &under_way, &failed) {
                if steps.len() >= STEPS_MAX {
                    break;
                }
                left.retain(|other| other.name() != item.name());
                under_way.push(item.clone());
                let Some(row) = self.rows.get(&item.logical).cloned() else { continue };
                let policy = self.policy_of(&item, &row);
                steps.spawn(delete(around.clone(), item, row, policy));
            }
            if steps.is_empty() {
                break;
            }
            tokio::select! {
                Some(done) = steps.join_next() => {
                    let gone = match done {
                        Ok(gone) => gone,
                        // Nobody knows how far it got: the phase begins anew.
                        Err(error) => {
                            tracing::error!(%error, stack = self.stack.name, "a step did not come to its end");
                            tokio::time::sleep(RETRY).await;
                            return Ok(());
                        }
                    };
                    under_way.retain(|other| other.name() != gone.item.name());
                    self.settle(&around, gone, &mut left, &mut failed).await?;
                }
                () = hint.changed() => {}
            }
        }
        self.after_backward(failed).await
    }

    /// Steps that were begun and whose outcome nobody recorded.
    async fn find_lost(&mut self, around: &Around) {
        let lost: Vec<String> = self
            .rows
            .values()
            .filter(|row| row.physical.is_none() && (row.is_in_progress() || row.status.ends_with("_FAILED")))
            .filter(|row| !row.status.starts_with("DELETE"))
            .map(|row| row.logical.clone())
            .collect();
        for logical in lost {
            let Some(row) = self.rows.get_mut(&logical) else { continue };
            // Only a step that may have called a service can have left anything.
            if row.is_in_progress()
                && let Some(id) = around.find_lost(row).await
            {
                row.physical = Some(Physical { id, properties: row.asked.clone(), ..Physical::default() });
                around.put(Told { row: row.clone(), event: None }).await;
            }
        }
    }

    /// What the present phase deletes.
    fn items(&self) -> Vec<Item> {
        let is_all = matches!(self.operation.phase, Phase::Delete | Phase::RollbackCreate);
        let mut items = Vec::new();
        for row in self.rows.values().filter(|row| !row.is_gone()) {
            let old = row.replaced.iter().map(|old| Item {
                logical: row.logical.clone(),
                needs: old.needs.clone(),
                replaced: Some(old.clone()),
            });
            items.extend(old);
            let goes = is_all
                || match self.operation.phase {
                    // The rows that the operation did not touch are those that its template does not have.
                    Phase::Cleanup => row.operation != self.operation.number,
                    _ => row.is_new,
                };
            if goes {
                items.push(Item { logical: row.logical.clone(), needs: row.needs.clone(), replaced: None });
            }
        }
        items
    }

    /// What becomes of an item.
    fn policy_of(&self, item: &Item, row: &ResourceRow) -> DeletionPolicy {
        let policy = match &item.replaced {
            Some(old) => old.policy,
            None => row.deletion_policy,
        };
        let is_rollback = matches!(self.operation.phase, Phase::RollbackCreate | Phase::RollbackCleanup);
        match policy {
            _ if self.operation.retain.contains(&item.logical) => DeletionPolicy::Retain,
            // What an update made and takes back is nobody's data yet.
            DeletionPolicy::Retain if is_rollback && item.replaced.is_some() => DeletionPolicy::Delete,
            DeletionPolicy::Retain if is_rollback && self.operation.retain_except_on_create => DeletionPolicy::Delete,
            DeletionPolicy::RetainExceptOnCreate if is_rollback => DeletionPolicy::Delete,
            DeletionPolicy::RetainExceptOnCreate => DeletionPolicy::Retain,
            other => other,
        }
    }

    /// Takes note of what became of an item.
    async fn settle(
        &mut self,
        around: &Around,
        gone: Gone,
        left: &mut Vec<Item>,
        failed: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let Gone { mut item, row, outcome } = gone;
        let is_cleanup = matches!(self.operation.phase, Phase::Cleanup | Phase::RollbackCleanup);
        if let Err(failure) = &outcome {
            tracing::warn!(stack = self.stack.name, logical = item.logical, %failure, "a resource could not be deleted");
        }
        match (&mut item.replaced, outcome) {
            (Some(old), outcome) => {
                old.tries += 1;
                let gives_up = outcome.is_err() && old.tries >= CLEANUP_TRIES_MAX;
                let (id, tries) = (old.physical.id.clone(), old.tries);
                let Some(row) = self.rows.get_mut(&item.logical) else { return Ok(()) };
                match outcome.is_ok() || (gives_up && is_cleanup) {
                    true => row.replaced.retain(|other| other.physical.id != id),
                    false => row.replaced.iter_mut().filter(|o| o.physical.id == id).for_each(|o| o.tries = tries),
                }
                around.put(Told { row: row.clone(), event: None }).await;
                if outcome.is_err() {
                    match gives_up {
                        false => left.push(item),
                        true if is_cleanup => {}
                        true => drop(failed.insert(item.logical)),
                    }
                }
            }
            (None, Ok(())) if is_cleanup => {
                self.inner.ledger.forget(&self.stack.uid, &item.logical).await?;
                self.rows.remove(&item.logical);
            }
            (None, Ok(())) => drop(self.rows.insert(item.logical, row)),
            // The clean-up leaves what does not go after some tries, as on AWS; its row goes with it.
            (None, Err(_)) if is_cleanup => {
                let tries = self.tries.entry(item.logical.clone()).or_insert(0);
                *tries += 1;
                if *tries >= CLEANUP_TRIES_MAX {
                    self.inner.ledger.forget(&self.stack.uid, &item.logical).await?;
                    self.rows.remove(&item.logical);
                } else {
                    self.rows.insert(item.logical.clone(), row);
                    left.push(item);
                }
            }
            (None, Err(_)) => {
                self.rows.insert(item.logical.clone(), row);
                failed.insert(item.logical);
            }
        }
        Ok(())
    }

    /// What the stack is when nothing is left to delete, or what is left does not go.
    async fn after_backward(&mut self, failed: BTreeSet<String>) -> Result<(), StoreError> {
        let (phase, number) = (self.operation.phase, self.operation.number);
        let rows: Vec<ResourceRow> = match phase {
            Phase::Cleanup | Phase::RollbackCleanup => self.rows.values().map(at_rest).collect(),
            _ => Vec::new(),
        };
        let names: Vec<String> = failed.into_iter().collect();
        let now_ms = self.inner.ledger.now_ms();
        let changed = self.inner.ledger.change_with(&self.key, move |tx, stack| {
            let is_same = stack.operation.as_ref().is_some_and(|now| now.number == number && now.phase == phase);
            if !is_same {
                return Ok(());
            }
            let reason = format!("The following resource(s) failed to delete: [{}].", names.join(", "));
            let (status, reason) = match (phase, names.is_empty()) {
                (Phase::Delete, true) => {
                    ledger::free(tx, stack)?;
                    // Nothing is exported by what is gone; that nobody imports it was asked before.
                    ledger::set_exports(tx, stack, &[])?;
                    stack.deleted_ms = Some(now_ms);
                    ("DELETE_COMPLETE", None)
                }
                (Phase::Delete, false) => ("DELETE_FAILED", Some(reason)),
                (Phase::RollbackCreate, true) => ("ROLLBACK_COMPLETE", None),
                (Phase::RollbackCreate, false) => ("ROLLBACK_FAILED", Some(reason)),
                (Phase::RollbackCleanup, _) => ("UPDATE_ROLLBACK_COMPLETE", None),
                _ => ("UPDATE_COMPLETE", None),
            };
            for row in &rows {
                tx.put(&RESOURCES, &rows::resource_key(&stack.uid, &row.logical), row)?;
            }
            (stack.status, stack.reason, stack.operation) = (status.to_owned(), reason, None);
            Ok(())
        });
        self.stack = changed.await?;
        Ok(())
    }

    /// Who imports what the stack exports.
    async fn exports_in_use(&self) -> Result<Option<String>, StoreError> {
        let stack = self.stack.clone();
        let said = Arc::new(parking_lot::Mutex::new(None));
        let told = Arc::clone(&said);
        // Tried and undone: the exports go when the stack is gone.
        let tried = self.inner.store.write_async(move |tx| {
            *told.lock() = ledger::set_exports(tx, &stack, &[])?;
            Err::<(), _>(StoreError::Ended)
        });
        match tried.await {
            Ok(()) | Err(StoreError::Ended) => Ok(said.lock().take().map(|trouble| trouble.to_string())),
            Err(error) => Err(error),
        }
    }

    async fn refuse_delete(&mut self, reason: String) -> Result<(), StoreError> {
        let number = self.operation.number;
        let changed = self.inner.ledger.change(&self.key, move |stack| {
            if stack.operation.as_ref().is_some_and(|now| now.number == number) {
                (stack.status, stack.reason, stack.operation) = ("DELETE_FAILED".into(), Some(reason), None);
            }
        });
        self.stack = changed.await?;
        Ok(())
    }
}

/// The items that nothing else needs any more. A circle, which only several broken updates can leave, is cut open.
fn ready(left: &[Item], under_way: &[Item], failed: &BTreeSet<String>) -> Vec<Item> {
    let is_needed = |item: &Item| {
        let needs_it = |other: &&Item| other.logical != item.logical && other.needs.contains(&item.logical);
        left.iter().chain(under_way).any(|other| needs_it(&other))
    };
    let free: Vec<Item> = left.iter().filter(|item| !is_needed(item)).cloned().collect();
    // What did not go keeps what it needs; that is tried all the same, and refused by its service.
    if free.is_empty() && under_way.is_empty() && (!left.is_empty() || failed.is_empty()) {
        return left.to_vec();
    }
    free
}

/// Deletes an item, or lets it be where its policy says so.
async fn delete(around: Around, item: Item, mut row: ResourceRow, policy: DeletionPolicy) -> Gone {
    let mut shown = row.clone();
    if let Some(old) = &item.replaced {
        shown.physical = Some(old.physical.clone());
    }
    if policy == DeletionPolicy::Retain {
        around.tell(&mut shown, "DELETE_SKIPPED", None, item.replaced.is_none()).await;
        return Gone { row: if item.replaced.is_none() { shown } else { row }, item, outcome: Ok(()) };
    }
    let physical = shown.physical.clone().filter(|physical| !physical.id.is_empty());
    let Some(physical) = physical else {
        // Nothing was made: nothing is told but that it is gone.
        around.tell(&mut shown, "DELETE_COMPLETE", None, item.replaced.is_none()).await;
        return Gone { row: shown, item, outcome: Ok(()) };
    };
    around.tell(&mut shown, "DELETE_IN_PROGRESS", None, item.replaced.is_none()).await;
    let generation = item.replaced.as_ref().map_or(row.generation, |old| old.generation);
    let outcome = match policy {
        DeletionPolicy::Snapshot => {
            let kind = &row.kind;
            Err(Failure::refused(format!("The resource type {kind} does not support DeletionPolicy Snapshot")))
        }
        _ => around.delete(&row, &physical, generation).await,
    };
    let (status, reason) = match &outcome {
        Ok(()) => ("DELETE_COMPLETE", None),
        Err(failure) => ("DELETE_FAILED", Some(failure.to_string())),
    };
    around.tell(&mut shown, status, reason, item.replaced.is_none()).await;
    if item.replaced.is_none() {
        row = shown;
    }
    Gone { item, row, outcome }
}

impl Around {
    /// Tells of a row as it is shown; it is the resource's own row only where the resource itself goes.
    async fn tell(&self, shown: &mut ResourceRow, status: &str, reason: Option<String>, is_own: bool) {
        if is_own {
            return self.conclude(shown, status, reason).await;
        }
        shown.status = status.to_owned();
        shown.reason = reason;
        shown.updated_ms = self.ledger.now_ms();
        let event = self.ledger.event(shown, self.token.as_deref(), None);
        loop {
            let (ledger, uid, event) = (self.ledger.clone(), self.stack.uid.clone(), event.clone());
            match self.ledger.store.write_async(move |tx| ledger.tell(tx, &uid, &event)).await {
                Ok(()) => return,
                Err(error) => super::steps::wait_for_store(&error).await,
            }
        }
    }
}
