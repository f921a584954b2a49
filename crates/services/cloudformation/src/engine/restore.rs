//! Restore: what an update changed becomes what it was.
//!
//! Invariants:
//! - Every row that the update touched has in `before` what it was when the stack was last at rest; it is restored from
//!   that alone.
//! - A physical resource that the update made is remembered until the clean-up deletes it.

use store::StoreError;
use tokio::task::JoinSet;

use super::forward::change;
use super::ledger::Told;
use super::run::Run;
use super::steps::{Around, kind_of};
use crate::resources::failure::Failure;
use crate::resources::property;
use crate::rows::{Phase, Physical, Replaced, ResourceRow};
use crate::service::Hint;
use crate::template::DeletionPolicy;

/// How many steps of one stack are under way at once.
const STEPS_MAX: usize = 50;

impl Run {
    /// Restores what the update changed, in the order of what needs what.
    pub(crate) async fn restore(&mut self, _: &Hint) -> Result<(), StoreError> {
        let around = self.around();
        self.find_made(&around).await;
        let mut steps: JoinSet<ResourceRow> = JoinSet::new();
        let mut begun = std::collections::BTreeSet::new();
        loop {
            let ready: Vec<ResourceRow> = self
                .rows
                .values()
                .filter(|row| !begun.contains(&row.logical) && self.can_be_restored(row))
                .cloned()
                .collect();
            for row in ready {
                if steps.len() >= STEPS_MAX || self.restoring_failed() {
                    break;
                }
                begun.insert(row.logical.clone());
                let skips = self.operation.skip.contains(&row.logical);
                steps.spawn(restore_one(around.clone(), row, self.operation.number, skips));
            }
            match steps.join_next().await {
                Some(Ok(row)) => drop(self.rows.insert(row.logical.clone(), row)),
                Some(Err(error)) => {
                    tracing::error!(%error, stack = self.stack.name, "a step did not come to its end");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    return Ok(());
                }
                None => break,
            }
        }
        self.after_restore().await
    }

    /// What a step of the update made before a crash and did not record.
    async fn find_made(&mut self, around: &Around) {
        let lost: Vec<String> = self
            .rows
            .values()
            .filter(|row| row.is_in_progress() && row.physical.is_none() && row.operation != self.operation.number)
            .map(|row| row.logical.clone())
            .collect();
        for logical in lost {
            let Some(row) = self.rows.get_mut(&logical) else { continue };
            if let Some(id) = around.find_lost(row).await {
                row.physical = Some(Physical { id, properties: row.asked.clone(), ..Physical::default() });
                around.put(Told { row: row.clone(), event: None }).await;
            }
        }
    }

    fn is_to_be_restored(&self, row: &ResourceRow) -> bool {
        row.before.is_some() && !row.is_new
    }

    fn can_be_restored(&self, row: &ResourceRow) -> bool {
        let Some(before) = row.before.as_ref().filter(|_| !row.is_new) else { return false };
        let is_waiting = |name: &String| self.rows.get(name).is_some_and(|other| self.is_to_be_restored(other));
        !before.needs.iter().any(is_waiting)
    }

    fn restoring_failed(&self) -> bool {
        self.rows.values().any(|row| row.operation == self.operation.number && row.status == "UPDATE_FAILED")
    }

    async fn after_restore(&mut self) -> Result<(), StoreError> {
        let failed: Vec<String> = self
            .rows
            .values()
            .filter(|row| row.operation == self.operation.number && row.status == "UPDATE_FAILED")
            .map(|row| row.logical.clone())
            .collect();
        let number = self.operation.number;
        let changed = self.inner.ledger.change(&self.key, move |stack| {
            let Some(now) = stack.operation.as_mut().filter(|now| now.number == number) else { return };
            if failed.is_empty() {
                now.phase = Phase::RollbackCleanup;
                (stack.status, stack.reason) = ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS".into(), None);
            } else {
                now.is_paused = true;
                let reason = format!("The following resource(s) failed to update: [{}].", failed.join(", "));
                (stack.status, stack.reason) = ("UPDATE_ROLLBACK_FAILED".into(), Some(reason));
            }
        });
        self.stack = changed.await?;
        Ok(())
    }
}

/// The row as it was, with what the clean-up must know.
fn restored(row: &ResourceRow, before: &ResourceRow, number: u64) -> ResourceRow {
    let mut restored = before.clone();
    restored.operation = number;
    restored.generation = row.generation.max(before.generation);
    // What was retired by this update is in use again; what this update made is not.
    restored.replaced = row.replaced.iter().filter(|old| old.physical.id != before.physical_id()).cloned().collect();
    let made = row.physical.clone().filter(|made| !made.id.is_empty() && made.id != before.physical_id());
    if let Some(physical) = made
        && !restored.replaced.iter().any(|old| old.physical.id == physical.id)
    {
        let (needs, policy, generation) = (row.needs.clone(), DeletionPolicy::Delete, row.generation);
        restored.replaced.push(Replaced { physical, needs, policy, generation, tries: 0 });
    }
    restored
}

async fn restore_one(around: Around, mut row: ResourceRow, number: u64, skips: bool) -> ResourceRow {
    let Some(before) = row.before.clone() else { return row };
    let mut done = restored(&row, &before, number);
    let is_same_thing = row.physical.is_none() || row.physical_id() == before.physical_id();
    let was = before.physical.as_ref().map(|physical| physical.properties.clone()).unwrap_or_default();
    // Asked for is what may have been applied, wholly or in part.
    let differs = !matches!(change(&row.kind, &row.asked, &was, None), Ok(None));
    let is_changed = is_same_thing && row.physical.is_some() && differs;
    if !is_changed && is_same_thing && row.status == before.status {
        around.put(Told { row: done.clone(), event: None }).await;
        return done;
    }
    row.operation = number;
    around.conclude(&mut row, "UPDATE_IN_PROGRESS", None).await;
    let outcome = match (is_changed, skips) {
        (true, false) => bring_back(&around, &row, &before).await,
        _ => Ok(None),
    };
    match outcome {
        Ok(physical) => {
            done.physical = physical.or(done.physical);
            around.conclude(&mut done, "UPDATE_COMPLETE", None).await;
            done
        }
        Err(failure) => {
            around.conclude(&mut row, "UPDATE_FAILED", Some(failure.to_string())).await;
            row
        }
    }
}

/// Changes the physical resource back.
async fn bring_back(around: &Around, row: &ResourceRow, before: &ResourceRow) -> Result<Option<Physical>, Failure> {
    let (kind, Some(physical)) = (kind_of(&row.kind)?, &before.physical) else { return Ok(None) };
    let table = kind.table().properties;
    let old = property::checked(table, &row.asked);
    let new = property::checked(table, &physical.properties).map_err(Failure::Refused)?;
    // What never passed its own check was never applied.
    let Ok(old) = old else { return Ok(None) };
    around.update_back(row, physical, &old, &new).await.map(Some)
}
