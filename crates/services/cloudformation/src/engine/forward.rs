//! Forward: resources are made and changed in the order of their dependencies, as many at once as may be.
//!
//! Invariants:
//! - A resource's step begins when all that it needs is done in this operation.
//! - After the first failure nothing new begins; what is under way is cancelled and comes to its end before anything else
//!   is decided.
//! - A stack is at rest, with its outputs and exports, in the same transaction that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use store::StoreError;
use tokio::task::JoinSet;

use super::ledger::{self, Told};
use super::run::{Evaluated, Run, Wanted};
use super::steps::{Aim, Around, kind_of, retired};
use crate::policy::{StackPolicy, UpdateAction};
use crate::resources::property::{self, Update};
use crate::resources::{self, failure::Failure};
use crate::rows::{self, OnFailure, OutputRow, Phase, RESOURCES, ResourceRow};
use crate::service::Hint;
use crate::template::{DeletionPolicy, TemplateError, holds};

/// How many steps of one stack are under way at once.
const STEPS_MAX: usize = 50;

/// What a resource needs to become what it should be.
enum Need {
    /// Nothing: it is that already.
    Nothing,
    /// Its row alone changes.
    Row,
    Create,
    Update,
    Replace,
}

type Steps = JoinSet<ResourceRow>;

impl Run {
    /// Does the forward phase of an operation.
    pub(crate) async fn forward(&mut self, hint: &Hint) -> Result<(), StoreError> {
        let wanted = match self.wanted().await? {
            Ok(wanted) => Arc::new(wanted),
            Err(error) => return self.fail_forward(vec![error.to_string()]).await,
        };
        if let Some(problem) = self.refused_removals(&wanted).await? {
            return self.fail_forward(vec![problem]).await;
        }
        let around = self.around();
        let mut steps = Steps::new();
        self.resume(&wanted, &around, &mut steps);
        let mut stopped = self.has_failed();
        loop {
            if !stopped {
                self.begin_ready(&wanted, &around, &mut steps).await?;
            }
            stopped = self.has_failed();
            if stopped {
                self.cancel.cancel();
            }
            if steps.is_empty() {
                break;
            }
            tokio::select! {
                Some(done) = steps.join_next() => self.take(done),
                () = hint.changed() => stopped |= self.look_again().await?,
                () = self.deadline() => { stopped = true; self.cancel.cancel(); }
            }
            if self.cancel.is_cancelled() {
                stopped = true;
            }
        }
        self.decide(&wanted).await
    }

    pub(crate) fn around(&self) -> Around {
        Around {
            tools: self.inner.tools(),
            ledger: self.inner.ledger.clone(),
            origin: self.inner.origin(&self.stack),
            stack: Arc::new(self.stack.clone()),
            token: self.operation.token.clone(),
            cancel: self.cancel.clone(),
        }
    }

    /// Takes a step's end. One that has none has left its row in progress, and is taken up again.
    fn take(&mut self, done: Result<ResourceRow, tokio::task::JoinError>) {
        match done {
            Ok(row) => drop(self.rows.insert(row.logical.clone(), row)),
            Err(error) => {
                tracing::error!(%error, stack = self.stack.name, "a step did not come to its end");
            }
        }
    }

    /// What somebody asked for meanwhile; whether to stop.
    async fn look_again(&mut self) -> Result<bool, StoreError> {
        let Some(stack) = self.inner.ledger.stack(&self.key).await? else { return Ok(true) };
        let now = stack.operation.clone();
        let goes_on = now.as_ref().is_some_and(|now| {
            now.number == self.operation.number && now.phase == self.operation.phase && !now.is_cancelled
        });
        self.stack = stack;
        if !goes_on {
            self.cancel.cancel();
        }
        Ok(!goes_on)
    }

    /// Waits until the operation has taken too long.
    async fn deadline(&self) {
        let Some(deadline_ms) = self.operation.deadline_ms else { return std::future::pending().await };
        let left = deadline_ms.saturating_sub(self.inner.ledger.now_ms());
        tokio::time::sleep(std::time::Duration::from_millis(left)).await;
    }

    fn is_late(&self) -> bool {
        self.operation.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.inner.ledger.now_ms())
    }

    fn is_done(&self, logical: &str) -> bool {
        self.rows.get(logical).is_some_and(|row| {
            row.operation == self.operation.number
                && matches!(row.status.as_str(), "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE")
        })
    }

    fn has_failed(&self) -> bool {
        self.rows.values().any(|row| row.operation == self.operation.number && row.status.ends_with("_FAILED"))
    }

    /// Takes up the steps that an earlier life had begun.
    fn resume(&mut self, wanted: &Arc<Wanted>, around: &Around, steps: &mut Steps) {
        let begun: Vec<ResourceRow> = self
            .rows
            .values()
            .filter(|row| row.operation == self.operation.number && row.is_in_progress())
            .cloned()
            .collect();
        for row in begun {
            let Some(resource) = wanted.template.resources.get(&row.logical) else { continue };
            let evaluated = wanted.evaluate(resource, &self.operation.target.tags, &self.world(wanted));
            let (creation_policy, update_policy) = match evaluated {
                Ok(evaluated) => (evaluated.creation_policy, evaluated.update_policy),
                Err(_) => (resource.creation_policy.clone(), resource.update_policy.clone()),
            };
            let in_place = row.before.as_ref().filter(|before| {
                before.physical.is_some() && row.status == "UPDATE_IN_PROGRESS" && before.generation == row.generation
            });
            let aim = match in_place {
                Some(before) => {
                    let old = before.physical.as_ref().map(|physical| physical.properties.clone()).unwrap_or_default();
                    Aim::Update { old, update_policy }
                }
                None => Aim::Create { creation_policy, update_policy },
            };
            steps.spawn(around.clone().bring(row, aim, true));
        }
    }

    /// Begins every step that can begin.
    async fn begin_ready(
        &mut self,
        wanted: &Arc<Wanted>,
        around: &Around,
        steps: &mut Steps,
    ) -> Result<(), StoreError> {
        loop {
            let is_begun = |row: &ResourceRow| row.operation == self.operation.number && !row.is_gone();
            let ready: Vec<String> = wanted
                .graph
                .iter()
                .filter(|(logical, _)| !self.rows.get(*logical).is_some_and(is_begun))
                .filter(|(_, needs)| needs.iter().all(|need| self.is_done(need)))
                .map(|(logical, _)| logical.clone())
                .collect();
            let (mut begun, mut settled) = (0, 0);
            for logical in ready {
                if steps.len() >= STEPS_MAX || self.has_failed() {
                    return Ok(());
                }
                match self.begin(wanted, around, &logical, steps).await? {
                    true => begun += 1,
                    false => settled += 1,
                }
            }
            // What was settled at once may have been all that others waited for.
            if settled == 0 {
                let _ = begun;
                return Ok(());
            }
        }
    }

    /// Begins one step; whether there is anything to wait for.
    async fn begin(
        &mut self,
        wanted: &Arc<Wanted>,
        around: &Around,
        logical: &str,
        steps: &mut Steps,
    ) -> Result<bool, StoreError> {
        let Some(resource) = wanted.template.resources.get(logical) else { return Ok(false) };
        let evaluated = wanted.evaluate(resource, &self.operation.target.tags, &self.world(wanted));
        let mut evaluated = match evaluated {
            Ok(evaluated) => evaluated,
            Err(error) => {
                return self.begin_failed(wanted, logical, &resource.kind, error.to_string()).await.map(|()| false);
            }
        };
        if let Err(reason) = self.inner.resolve_references(&self.stack, &mut evaluated.properties).await {
            return self.begin_failed(wanted, logical, &resource.kind, reason).await.map(|()| false);
        }
        let needs = wanted.graph.get(logical).cloned().unwrap_or_default();
        let present = self.rows.get(logical).filter(|row| !row.is_gone()).cloned();
        let need = need(present.as_ref(), &resource.kind, &evaluated);
        let mut row = self.next_row(present.as_ref(), logical, &resource.kind, &evaluated, needs);
        if let Some(reason) = self.refusal(&need, &row, present.as_ref(), &evaluated) {
            let status = if present.is_some() { "UPDATE_FAILED" } else { "CREATE_FAILED" };
            around.conclude(&mut row, status, Some(reason)).await;
            self.rows.insert(logical.to_owned(), row);
            return Ok(false);
        }
        let Evaluated { creation_policy, update_policy, imports, properties, .. } = evaluated;
        let (status, reason, aim) = match need {
            Need::Nothing => {
                around.put(Told { row: row.clone(), event: None }).await;
                self.rows.insert(logical.to_owned(), row);
                return Ok(false);
            }
            Need::Row => {
                around.conclude(&mut row, "UPDATE_COMPLETE", None).await;
                self.rows.insert(logical.to_owned(), row);
                return Ok(false);
            }
            Need::Create => ("CREATE_IN_PROGRESS", None, Aim::Create { creation_policy, update_policy }),
            Need::Replace => {
                let reason = "Requested update requires the creation of a new physical resource; hence creating one.";
                row.replaced.extend(retired(&row));
                row.physical = None;
                row.generation += 1;
                ("UPDATE_IN_PROGRESS", Some(reason.to_owned()), Aim::Create { creation_policy, update_policy })
            }
            Need::Update => {
                let old = row.physical.as_ref().map(|physical| physical.properties.clone()).unwrap_or_default();
                ("UPDATE_IN_PROGRESS", None, Aim::Update { old, update_policy })
            }
        };
        let now_ms = self.inner.ledger.now_ms();
        (row.status, row.reason, row.begun_ms, row.updated_ms) = (status.to_owned(), reason, now_ms, now_ms);
        row.waiting_ms = None;
        let event = self.inner.ledger.event(&row, self.token(), Some(wanted.shown(&properties)));
        self.inner.ledger.begin(&self.stack, Told { row: row.clone(), event: Some(event) }, imports).await?;
        self.rows.insert(logical.to_owned(), row.clone());
        steps.spawn(around.clone().bring(row, aim, false));
        Ok(true)
    }

    /// The row of a resource in this operation, before anything is done.
    fn next_row(
        &self,
        present: Option<&ResourceRow>,
        logical: &str,
        kind: &str,
        evaluated: &Evaluated,
        needs: BTreeSet<String>,
    ) -> ResourceRow {
        let mut row = present.cloned().unwrap_or_else(|| {
            let generation = self.rows.get(logical).map_or(1, |gone| gone.generation + 1);
            blank(logical, kind, generation)
        });
        if present.is_some() && row.before.is_none() && !row.is_new {
            row.before = Some(Box::new(row.clone()));
        }
        row.is_new |= present.is_none();
        row.operation = self.operation.number;
        row.asked.clone_from(&evaluated.properties);
        row.metadata.clone_from(&evaluated.metadata);
        row.update_policy.clone_from(&evaluated.update_policy);
        row.deletion_policy = evaluated.deletion_policy;
        row.update_replace_policy = evaluated.update_replace_policy;
        row.needs = needs;
        row
    }

    /// Why a change may not be: a stack policy, or a name that two would have.
    fn refusal(
        &self,
        need: &Need,
        row: &ResourceRow,
        present: Option<&ResourceRow>,
        evaluated: &Evaluated,
    ) -> Option<String> {
        let present = present?;
        let action = match need {
            Need::Update => UpdateAction::Modify,
            Need::Replace => UpdateAction::Replace,
            Need::Nothing | Need::Row | Need::Create => return None,
        };
        if let Some(reason) = self.policy().and_then(|policy| policy.denial(action, &row.logical, &row.kind)) {
            return Some(reason);
        }
        let name = resources::find(&row.kind)?.table().name_property?;
        let (old, new) = (&present.physical.as_ref()?.properties, &evaluated.properties);
        let is_same_name = new.get(name).is_some() && new.get(name) == old.get(name);
        (is_same_name && matches!(need, Need::Replace)).then(|| {
            format!(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {} and update \
                 the stack again.",
                crate::template::text(&new[name]).unwrap_or_default()
            )
        })
    }

    fn policy(&self) -> Option<StackPolicy> {
        let text = self.operation.policy.as_ref().or(self.stack.policy.as_ref())?;
        // It was read when it was set.
        StackPolicy::parse(text).ok()
    }

    /// A resource whose values cannot be had.
    async fn begin_failed(
        &mut self,
        wanted: &Wanted,
        logical: &str,
        kind: &str,
        reason: String,
    ) -> Result<(), StoreError> {
        let present = self.rows.get(logical).filter(|row| !row.is_gone()).cloned();
        let evaluated = Evaluated {
            properties: present.as_ref().map(|row| row.asked.clone()).unwrap_or_default(),
            metadata: present.as_ref().and_then(|row| row.metadata.clone()),
            creation_policy: None,
            update_policy: present.as_ref().and_then(|row| row.update_policy.clone()),
            deletion_policy: present.as_ref().map_or(DeletionPolicy::Delete, |row| row.deletion_policy),
            update_replace_policy: present.as_ref().map_or(DeletionPolicy::Delete, |row| row.update_replace_policy),
            imports: BTreeSet::new(),
        };
        let needs = wanted.graph.get(logical).cloned().unwrap_or_default();
        let mut row = self.next_row(present.as_ref(), logical, kind, &evaluated, needs);
        let status = if present.is_some() { "UPDATE_FAILED" } else { "CREATE_FAILED" };
        self.around().conclude(&mut row, status, Some(reason)).await;
        self.rows.insert(logical.to_owned(), row);
        Ok(())
    }

    /// Resources that the new template leaves out although the stack's policy keeps them.
    async fn refused_removals(&mut self, wanted: &Wanted) -> Result<Option<String>, StoreError> {
        let Some(policy) = self.policy().filter(|_| self.operation.phase == Phase::Update) else { return Ok(None) };
        let removed = self.rows.values().filter(|row| !row.is_gone() && !wanted.graph.contains_key(&row.logical));
        let denied = removed.filter_map(|row| policy.denial(UpdateAction::Delete, &row.logical, &row.kind));
        Ok(denied.into_iter().next())
    }

    /// What comes after all steps have come to their ends.
    async fn decide(&mut self, wanted: &Wanted) -> Result<(), StoreError> {
        self.look_again().await?;
        let is_same = self
            .stack
            .operation
            .as_ref()
            .is_some_and(|now| now.number == self.operation.number && now.phase == self.operation.phase);
        // Somebody decided otherwise meanwhile: the loop around takes that up.
        if !is_same {
            return Ok(());
        }
        let is_cancelled = self.stack.operation.as_ref().is_some_and(|now| now.is_cancelled);
        let failed = |verb: &str| -> Vec<&str> {
            let status = format!("{verb}_FAILED");
            let of_this =
                self.rows.values().filter(|row| row.operation == self.operation.number && row.status == status);
            of_this.map(|row| row.logical.as_str()).collect()
        };
        let (not_created, not_updated) = (failed("CREATE"), failed("UPDATE"));
        let mut reasons = Vec::new();
        if !not_created.is_empty() {
            reasons.push(format!("The following resource(s) failed to create: [{}].", not_created.join(", ")));
        }
        if !not_updated.is_empty() {
            reasons.push(format!("The following resource(s) failed to update: [{}].", not_updated.join(", ")));
        }
        if is_cancelled {
            return self.fail_forward(vec!["User Initiated".to_owned()]).await;
        }
        if self.is_late() && !wanted.graph.keys().all(|logical| self.is_done(logical)) {
            return self.fail_forward(vec!["Stack creation time exceeded the specified timeout.".to_owned()]).await;
        }
        if !reasons.is_empty() {
            return self.fail_forward(reasons).await;
        }
        // A step without an end: begun, and nobody knows how far. It is taken up again.
        if !wanted.graph.keys().all(|logical| self.is_done(logical)) {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            return Ok(());
        }
        match self.outputs(wanted) {
            Ok(outputs) => self.complete(wanted, outputs).await,
            Err(error) => self.fail_forward(vec![error.to_string()]).await,
        }
    }

    /// The outputs of the stack as its resources are now.
    fn outputs(&self, wanted: &Wanted) -> Result<(Vec<OutputRow>, BTreeSet<String>), TemplateError> {
        let world = self.world(wanted);
        let at = wanted.evaluator(&world);
        let mut outputs = Vec::new();
        for (name, output) in &wanted.template.outputs {
            if !holds(output.condition.as_deref(), &wanted.conditions) {
                continue;
            }
            let value = at.text(&output.value)?.ok_or_else(|| TemplateError::output_is_no_string(name))?;
            let export = match &output.export {
                Some(export) => Some(at.text(export)?.ok_or_else(|| TemplateError::export_is_no_string(name))?),
                None => None,
            };
            outputs.push(OutputRow { name: name.clone(), value, description: output.description.clone(), export });
        }
        // Everything once more, for the sake of what it imports.
        for (_, resource) in wanted.template.wanted(&wanted.conditions) {
            _ = at.members(&resource.properties);
        }
        let imports = std::mem::take(&mut *world.imported.lock());
        Ok((outputs, imports))
    }

    /// The stack is what was wanted.
    async fn complete(
        &mut self,
        wanted: &Wanted,
        (outputs, imports): (Vec<OutputRow>, BTreeSet<String>),
    ) -> Result<(), StoreError> {
        let (operation, description) = (self.operation.clone(), wanted.template.description.clone());
        let rows: Vec<ResourceRow> = match operation.phase {
            Phase::Create => self.rows.values().map(at_rest).collect(),
            _ => Vec::new(),
        };
        let trouble = Arc::new(parking_lot::Mutex::new(None));
        let (said, now_ms) = (Arc::clone(&trouble), self.inner.ledger.now_ms());
        let changed = self.inner.ledger.change_with(&self.key, move |tx, stack| {
            let same = stack
                .operation
                .as_ref()
                .is_some_and(|now| now.number == operation.number && now.phase == operation.phase);
            if !same {
                return Ok(());
            }
            let exports: Vec<(String, String)> =
                outputs.iter().filter_map(|output| Some((output.export.clone()?, output.value.clone()))).collect();
            if let Some(found) = ledger::set_exports(tx, stack, &exports)? {
                *said.lock() = Some(found.to_string());
                return Ok(());
            }
            ledger::set_imports(tx, stack, &imports)?;
            for row in &rows {
                tx.put(&RESOURCES, &rows::resource_key(&stack.uid, &row.logical), row)?;
            }
            (stack.outputs, stack.current) = (outputs, operation.target.clone());
            (stack.current.description, stack.reason) = (description, None);
            if operation.phase == Phase::Create {
                (stack.status, stack.operation) = ("CREATE_COMPLETE".into(), None);
            } else {
                stack.status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS".into();
                stack.updated_ms = Some(now_ms);
                if let Some(operation) = &mut stack.operation {
                    operation.phase = Phase::Cleanup;
                }
            }
            Ok(())
        });
        self.stack = changed.await?;
        let trouble = trouble.lock().take();
        match trouble {
            Some(reason) => self.fail_forward(vec![reason]).await,
            None => Ok(()),
        }
    }

    /// The stack did not become what was wanted.
    async fn fail_forward(&mut self, mut reasons: Vec<String>) -> Result<(), StoreError> {
        let operation = self.operation.clone();
        let is_create = operation.phase == Phase::Create;
        let is_cancelled = self.stack.operation.as_ref().is_some_and(|now| now.is_cancelled);
        let on_failure = if is_cancelled { OnFailure::Rollback } else { operation.on_failure };
        match on_failure {
            OnFailure::Rollback if is_create => reasons.push("Rollback requested by user.".to_owned()),
            OnFailure::Delete => reasons.push("Delete requested by user.".to_owned()),
            _ => {}
        }
        let (reason, number) = (reasons.join(" "), self.operation.number);
        let changed = self.inner.ledger.change(&self.key, move |stack| {
            let next = stack.number();
            let Some(now) = stack.operation.as_mut().filter(|now| now.number == number) else { return };
            let (status, phase) = match (is_create, on_failure) {
                (true, OnFailure::Rollback) => ("ROLLBACK_IN_PROGRESS", Some(Phase::RollbackCreate)),
                (true, OnFailure::Delete) => ("DELETE_IN_PROGRESS", Some(Phase::Delete)),
                (true, OnFailure::DoNothing) => ("CREATE_FAILED", None),
                (false, OnFailure::DoNothing) => ("UPDATE_FAILED", None),
                (false, _) => ("UPDATE_ROLLBACK_IN_PROGRESS", Some(Phase::RollbackUpdate)),
            };
            match phase {
                Some(phase) => (now.phase, now.number, now.deadline_ms) = (phase, next, None),
                None => now.is_paused = true,
            }
            stack.why = Some(reason.clone());
            (stack.status, stack.reason) = (status.to_owned(), Some(reason));
        });
        self.stack = changed.await?;
        Ok(())
    }
}

/// A row without anything in it yet.
fn blank(logical: &str, kind: &str, generation: u32) -> ResourceRow {
    ResourceRow {
        logical: logical.to_owned(),
        kind: kind.to_owned(),
        status: String::new(),
        reason: None,
        updated_ms: 0,
        operation: 0,
        generation,
        begun_ms: 0,
        waiting_ms: None,
        physical: None,
        asked: Map::new(),
        needs: BTreeSet::new(),
        deletion_policy: DeletionPolicy::Delete,
        update_replace_policy: DeletionPolicy::Delete,
        metadata: None,
        update_policy: None,
        before: None,
        is_new: false,
        replaced: Vec::new(),
    }
}

/// A row of a stack that is at rest.
pub(crate) fn at_rest(row: &ResourceRow) -> ResourceRow {
    ResourceRow { before: None, is_new: false, ..row.clone() }
}

/// What a resource needs.
fn need(present: Option<&ResourceRow>, kind: &str, evaluated: &Evaluated) -> Need {
    let Some(row) = present else { return Need::Create };
    // Never made, or not wholly, by an operation that failed and was not rolled back.
    let Some(physical) = row.physical.as_ref().filter(|_| row.status != "CREATE_FAILED") else {
        return if row.physical.is_some() { Need::Replace } else { Need::Create };
    };
    let was_failed = row.status.ends_with("_FAILED");
    match change(kind, &physical.properties, &evaluated.properties, evaluated.update_policy.as_ref()) {
        Ok(None) if was_failed => Need::Update,
        Ok(None) => {
            let same = row.metadata == evaluated.metadata
                && row.deletion_policy == evaluated.deletion_policy
                && row.update_replace_policy == evaluated.update_replace_policy;
            match (same, row.metadata == evaluated.metadata) {
                (true, _) => Need::Nothing,
                (false, true) => Need::Nothing,
                (false, false) => Need::Row,
            }
        }
        Ok(Some(Update::Replacement)) => Need::Replace,
        // What is refused is refused by its step.
        Ok(Some(_)) | Err(_) => Need::Update,
    }
}

/// What the difference between properties means; `None` where there is none.
pub(crate) fn change(
    kind: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    update_policy: Option<&Value>,
) -> Result<Option<Update>, Failure> {
    let found = kind_of(kind)?;
    let table = found.table().properties;
    let new = property::checked(table, new).map_err(Failure::Refused)?;
    let old = property::checked(table, old).unwrap_or_default();
    let changed = property::changed(table, &old, &new);
    if changed.is_empty() {
        return Ok(None);
    }
    let replaces = changed.iter().any(|(_, update)| *update == Update::Replacement);
    if replaces || found.must_replace(&old, &new, update_policy) {
        return Ok(Some(Update::Replacement));
    }
    let interrupts = changed.iter().any(|(_, update)| *update == Update::SomeInterruption);
    Ok(Some(if interrupts { Update::SomeInterruption } else { Update::NoInterruption }))
}

/// A stack's resources by their logical ids.
pub(crate) type ByName = BTreeMap<String, ResourceRow>;
