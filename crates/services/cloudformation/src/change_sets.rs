//! Change sets: what an update would do, kept until somebody does it.
//!
//! Invariants:
//! - A change set is worked out when it is made; executing it goes for the very target that was shown.
//! - Executing one makes every other of its stack obsolete.

use ::api::Call;
use ::api::cloudformation::{
    Change, ChangeSetSummary, CreateChangeSetInput, CreateChangeSetOutput, DeleteChangeSetInput, DeleteChangeSetOutput,
    DescribeChangeSetInput, DescribeChangeSetOutput, ExecuteChangeSetInput, ListChangeSetsInput, ListChangeSetsOutput,
    ResourceChange, ResourceChangeDetail, ResourceTargetDefinition,
};
use store::{Scan, StoreError, Transaction};
use wire::ApiError;
use wire::value::EpochMs;

use crate::describe::{epoch, page, parameters, tag_list};
use crate::errors;
use crate::limits::LIST_PAGE;
use crate::names;
use crate::prepare::{self, Source};
use crate::rows::{
    self, CHANGE_SETS, ChangeRow, ChangeSetRow, DetailRow, NAMES, OnFailure, Phase, STACKS, StackRow, TEMPLATES, Target,
};
use crate::service::CloudFormation;
use crate::stacks::{check_name, looks_up_as, operation, refuse_deployment, refuse_triggers};

/// What AWS says of a change set that would change nothing; `aws cloudformation deploy` looks for it.
const NOTHING: &str =
    "The submitted information didn't contain changes. Submit different information to create a change set.";
/// AWS's limit on a change set's name.
const NAME_CHARACTERS_MAX: usize = 128;

fn refuse(input: &CreateChangeSetInput) -> Result<(), ApiError> {
    refuse_triggers(input.rollback_configuration.as_ref(), &input.notification_ar_ns, &input.resource_types)?;
    if let Some(resource) = input.resources_to_import.first() {
        return Err(errors::unsupported("ResourcesToImport", &resource.logical_resource_id));
    }
    refuse_deployment(input.deployment_config.as_ref())?;
    if let Some(mode) = &input.deployment_mode {
        return Err(errors::unsupported("DeploymentMode", mode));
    }
    // ImportExistingResources, which CDK's bootstrap says, needs nothing refused: what exists already is not taken over,
    // but fails its resource by its name.
    let name = &input.change_set_name;
    let fits = name.len() <= NAME_CHARACTERS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Ok(()) } else { Err(errors::change_set_name(name)) }
}

impl CloudFormation {
    pub(crate) async fn make_change_set(
        &self,
        call: &Call,
        input: CreateChangeSetInput,
    ) -> Result<CreateChangeSetOutput, ApiError> {
        refuse(&input)?;
        self.inner.check_role(call, input.role_arn.as_deref()).await?;
        let kind = input.change_set_type.clone().unwrap_or_else(|| "UPDATE".into());
        let known = self.inner.lookup(call, &input.stack_name).await?;
        let (mut stack, is_new) = match (kind.as_str(), known) {
            ("CREATE", Some(stack)) if stack.status == "REVIEW_IN_PROGRESS" => (stack, false),
            ("CREATE", Some(stack)) => return Err(errors::cannot_be(&stack.id(), &stack.status, "created")),
            ("CREATE", None) => {
                check_name(&input.stack_name)?;
                (StackRow::blank(&self.inner, call, &input.stack_name), true)
            }
            ("UPDATE", Some(stack))
                if stack.status.ends_with("_IN_PROGRESS") || stack.status == "ROLLBACK_COMPLETE" =>
            {
                return Err(errors::cannot_be(&stack.id(), &stack.status, "updated"));
            }
            ("UPDATE", Some(stack)) => (stack, false),
            ("UPDATE", None) => return Err(errors::stack_in_brackets(&input.stack_name)),
            (other, _) => return Err(errors::change_set_type(other)),
        };
        stack.acts_as = looks_up_as(call, input.role_arn.as_ref(), &stack);
        let previous = input.use_previous_template.unwrap_or(false);
        let source = Source { body: input.template_body, url: input.template_url, previous };
        let text = self.inner.text(call, source, Some(&stack)).await?;
        let given = prepare::given(input.parameters)?;
        let tags = if input.tags.is_empty() { stack.current.tags.clone() } else { prepare::tags(input.tags)? };
        let prepared = self.inner.prepare(&stack, text, given, tags, input.capabilities).await?;
        let preview = self.inner.preview(&stack, &prepared).await.map_err(|error| errors::from_store(call, &error))?;
        let (status, reason, changes) = match preview {
            Ok(preview) if !preview.retyped.is_empty() => {
                let names: Vec<&str> = preview.retyped.iter().map(String::as_str).collect();
                ("FAILED", Some(errors::type_changed(&names).message), Vec::new())
            }
            Ok(preview) if !preview.is_changed => ("FAILED", Some(NOTHING.to_owned()), Vec::new()),
            Ok(preview) => ("CREATE_COMPLETE", None, preview.changes),
            Err(error) => ("FAILED", Some(error.to_string()), Vec::new()),
        };
        // Without nested stacks there is nothing to include, and CDK always says so.
        if input.include_nested_stacks == Some(true)
            && let Some(nested) = changes.iter().find(|change| change.kind == "AWS::CloudFormation::Stack")
        {
            return Err(errors::unsupported("IncludeNestedStacks", &nested.logical));
        }
        let name = input.change_set_name;
        let id = format!(
            "arn:aws:cloudformation:{}:{}:changeSet/{name}/{}",
            stack.region,
            stack.account,
            names::uuid(&*self.inner.ids)
        );
        let row = ChangeSetRow {
            id: id.clone(),
            name,
            description: input.description,
            created_ms: self.inner.ledger.now_ms(),
            kind,
            status: status.to_owned(),
            reason,
            execution: if status == "FAILED" { "UNAVAILABLE" } else { "AVAILABLE" }.to_owned(),
            target: prepared.target,
            changes,
            role_arn: input.role_arn,
            on_failure: input.on_stack_failure,
            based_on: stack.last_number,
            token: input.client_token,
        };
        let stack_id = self.keep_change_set(call, stack, is_new, row, prepared.text).await?;
        Ok(CreateChangeSetOutput { id: Some(id), stack_id: Some(stack_id) })
    }

    /// Keeps a change set, and the stack in review that it is for; the stack's id.
    async fn keep_change_set(
        &self,
        call: &Call,
        stack: StackRow,
        is_new: bool,
        mut row: ChangeSetRow,
        text: String,
    ) -> Result<String, ApiError> {
        let ledger = self.inner.ledger.clone();
        let (name, id) = (row.name.clone(), stack.id());
        let write = self.inner.store.write_async(move |tx| {
            let mut stack = stack;
            if is_new {
                let key = rows::name_key(&stack.account, &stack.region, &stack.name);
                if tx.get(&NAMES, &key)?.is_some() {
                    return Ok(Err(errors::stack_exists(&stack.name)));
                }
                (stack.status, stack.reason) = ("REVIEW_IN_PROGRESS".into(), Some("User Initiated".into()));
                stack.current = Target { template: 0, ..row.target.clone() };
                tx.put(&NAMES, &key, &stack.key())?;
                ledger.tell(tx, &stack.uid, &ledger.stack_event(&stack))?;
            } else if let Some(now) = tx.get(&STACKS, &stack.key())? {
                stack = now.value;
            }
            let of_stack = Scan::prefix(&rows::of_stack(&stack.uid));
            for other in tx.scan(&CHANGE_SETS, &of_stack)?.into_iter().filter(|other| other.value.name == row.name) {
                // The CLI names its change sets by the second, and here several pass in one.
                if other.value.status != "FAILED" {
                    return Ok(Err(errors::change_set_exists(&row.name)));
                }
                tx.delete(&TEMPLATES, &other.key)?;
                tx.delete(&CHANGE_SETS, &other.key)?;
            }
            let number = stack.number();
            tx.put(&TEMPLATES, &rows::numbered_key(&stack.uid, number), &text)?;
            (row.target.template, row.based_on) = (number, stack.last_number);
            tx.put(&CHANGE_SETS, &rows::numbered_key(&stack.uid, number), &row)?;
            tx.put(&STACKS, &stack.key(), &stack)?;
            Ok::<_, StoreError>(Ok(()))
        });
        write.await.map_err(|error| errors::from_store(call, &error))??;
        tracing::debug!(change_set = name, stack = id, "a change set was made");
        Ok(id)
    }

    /// A change set by its name and its stack's, or by its id; with its key.
    pub(crate) async fn change_set(
        &self,
        call: &Call,
        name: &str,
        stack: Option<&str>,
    ) -> Result<(StackRow, String, ChangeSetRow), ApiError> {
        let told = |error: StoreError| errors::from_store(call, &error);
        let missing = || errors::change_set(name);
        if name.starts_with("arn:") {
            let place = rows::place(call.account().as_str(), call.region.as_str());
            let id = name.to_owned();
            let read = self.inner.store.read_async(move |view| {
                for stack in view.scan(&STACKS, &Scan::prefix(&place))? {
                    let sets = view.scan(&CHANGE_SETS, &Scan::prefix(&rows::of_stack(&stack.value.uid)))?;
                    if let Some(found) = sets.into_iter().find(|row| row.value.id == id) {
                        return Ok(Some((stack.value, found.key, found.value)));
                    }
                }
                Ok(None)
            });
            return read.await.map_err(told)?.ok_or_else(missing);
        }
        let stack = stack.ok_or_else(errors::change_set_without_stack)?;
        let stack = self.inner.stack(call, stack, errors::stack_in_brackets).await?;
        let prefix = rows::of_stack(&stack.uid);
        let read = self.inner.store.read_async(move |view| view.scan(&CHANGE_SETS, &Scan::prefix(&prefix)));
        let found = read.await.map_err(told)?.into_iter().find(|row| row.value.name == name);
        let found = found.ok_or_else(missing)?;
        Ok((stack, found.key, found.value))
    }

    pub(crate) async fn show_change_set(
        &self,
        call: &Call,
        input: DescribeChangeSetInput,
    ) -> Result<DescribeChangeSetOutput, ApiError> {
        let with_values = input.include_property_values == Some(true);
        let (stack, _, row) = self.change_set(call, &input.change_set_name, input.stack_name.as_deref()).await?;
        let (changes, next_token) = page(row.changes, input.next_token.as_deref(), LIST_PAGE)?;
        Ok(DescribeChangeSetOutput {
            change_set_id: Some(row.id),
            change_set_name: Some(row.name),
            stack_id: Some(stack.id()),
            stack_name: Some(stack.name),
            description: row.description,
            parameters: parameters(&row.target),
            creation_time: Some(EpochMs(epoch(row.created_ms))),
            execution_status: Some(row.execution),
            status: Some(row.status),
            status_reason: row.reason,
            capabilities: row.target.capabilities,
            tags: tag_list(&row.target.tags),
            changes: changes.into_iter().map(|one| change(one, with_values)).collect(),
            on_stack_failure: row.on_failure,
            include_nested_stacks: Some(false),
            next_token,
            ..DescribeChangeSetOutput::default()
        })
    }

    pub(crate) async fn list_sets(
        &self,
        call: &Call,
        input: ListChangeSetsInput,
    ) -> Result<ListChangeSetsOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        let prefix = rows::of_stack(&stack.uid);
        let read = self.inner.store.read_async(move |view| view.scan(&CHANGE_SETS, &Scan::prefix(&prefix)));
        let found = read.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        let (found, next_token) = page(found, input.next_token.as_deref(), LIST_PAGE)?;
        let summary = |row: store::Row<ChangeSetRow>| ChangeSetSummary {
            stack_id: Some(stack.id()),
            stack_name: Some(stack.name.clone()),
            change_set_id: Some(row.value.id),
            change_set_name: Some(row.value.name),
            execution_status: Some(row.value.execution),
            status: Some(row.value.status),
            status_reason: row.value.reason,
            creation_time: Some(EpochMs(epoch(row.value.created_ms))),
            description: row.value.description,
            include_nested_stacks: Some(false),
            ..ChangeSetSummary::default()
        };
        Ok(ListChangeSetsOutput { summaries: found.into_iter().map(summary).collect(), next_token })
    }

    pub(crate) async fn delete_set(
        &self,
        call: &Call,
        input: DeleteChangeSetInput,
    ) -> Result<DeleteChangeSetOutput, ApiError> {
        let found = self.change_set(call, &input.change_set_name, input.stack_name.as_deref()).await;
        let (_, key, row) = match found {
            // Deleting what is not there is a success.
            Err(error) if error.code == "ChangeSetNotFoundException" => return Ok(DeleteChangeSetOutput {}),
            other => other?,
        };
        if row.execution == "EXECUTE_IN_PROGRESS" {
            return Err(errors::change_set_busy(&row.name, &row.execution));
        }
        let write = self.inner.store.write_async(move |tx| {
            tx.delete(&TEMPLATES, &key)?;
            tx.delete(&CHANGE_SETS, &key).map(drop)
        });
        write.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        Ok(DeleteChangeSetOutput {})
    }

    pub(crate) async fn execute_set(&self, call: &Call, input: ExecuteChangeSetInput) -> Result<(), ApiError> {
        let (stack, _, row) = self.change_set(call, &input.change_set_name, input.stack_name.as_deref()).await?;
        if row.execution != "AVAILABLE" {
            return Err(errors::change_set_status(&row.name, &row.execution));
        }
        let on_failure = match (input.disable_rollback, row.on_failure.as_deref()) {
            (Some(true), _) | (_, Some("DO_NOTHING")) => OnFailure::DoNothing,
            (_, Some("DELETE")) => OnFailure::Delete,
            _ => OnFailure::Rollback,
        };
        let (token, retain) = (input.client_request_token, input.retain_except_on_create.unwrap_or(false));
        let now_ms = self.inner.ledger.now_ms();
        let begin = move |tx: &mut Transaction<'_>, stack: &mut StackRow| {
            let is_new = stack.status == "REVIEW_IN_PROGRESS";
            if stack.running().is_some() {
                return Ok(Err(errors::cannot_be(&stack.id(), &stack.status, "updated")));
            }
            // Others were worked out against what the stack will no longer be; templates in use stay.
            for other in tx.scan(&CHANGE_SETS, &Scan::prefix(&rows::of_stack(&stack.uid)))? {
                if other.value.id != row.id {
                    tx.delete(&TEMPLATES, &other.key)?;
                }
                tx.delete(&CHANGE_SETS, &other.key)?;
            }
            let number = stack.number();
            let phase = if is_new { Phase::Create } else { Phase::Update };
            let mut begun = operation(phase, number, row.target.clone(), token);
            (begun.on_failure, begun.retain_except_on_create) = (on_failure, retain);
            stack.status = if is_new { "CREATE_IN_PROGRESS" } else { "UPDATE_IN_PROGRESS" }.into();
            stack.reason = Some("User Initiated".into());
            stack.role_arn = row.role_arn.clone().or(stack.role_arn.take());
            stack.change_set = Some(row.id.clone());
            if is_new {
                stack.current = row.target.clone();
            } else {
                stack.updated_ms = Some(now_ms);
            }
            stack.operation = Some(begun);
            Ok(Ok(()))
        };
        self.inner.start(call, &stack.key(), begin).await.map(drop)
    }
}

fn change(row: ChangeRow, with_values: bool) -> Change {
    let detail = |detail: DetailRow| ResourceChangeDetail {
        target: Some(target(&detail, with_values)),
        evaluation: Some(detail.evaluation),
        change_source: detail.source,
        causing_entity: detail.cause,
    };
    let change = ResourceChange {
        action: Some(row.action),
        logical_resource_id: Some(row.logical),
        physical_resource_id: row.physical,
        resource_type: Some(row.kind),
        replacement: row.replacement,
        policy_action: row.policy_action,
        scope: row.scope,
        details: row.details.into_iter().map(detail).collect(),
        before_context: row.before.filter(|_| with_values),
        after_context: row.after.filter(|_| with_values),
        ..ResourceChange::default()
    };
    Change { r#type: Some("Resource".into()), resource_change: Some(change), ..Change::default() }
}

/// What changes about a resource, with the values themselves where they are asked for.
fn target(detail: &DetailRow, with_values: bool) -> ResourceTargetDefinition {
    let target = ResourceTargetDefinition {
        attribute: Some(detail.attribute.clone()),
        name: detail.name.clone(),
        requires_recreation: Some(detail.recreation.clone()),
        ..ResourceTargetDefinition::default()
    };
    if !with_values || detail.attribute == "Metadata" {
        return target;
    }
    let kind = match (&detail.before, &detail.after) {
        (None, _) => "Add",
        (_, None) => "Remove",
        _ => "Modify",
    };
    let name = detail.name.as_deref().unwrap_or(&detail.attribute);
    ResourceTargetDefinition {
        path: Some(format!("/Properties/{name}")),
        before_value: detail.before.clone(),
        after_value: detail.after.clone(),
        attribute_change_type: Some(kind.to_owned()),
        ..target
    }
}
