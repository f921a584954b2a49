//! What stacks, their resources, events, exports and templates look like from outside.
//!
//! Invariants:
//! - A secret (NoEcho) is never shown: `****` stands in its place.
//! - Pages are cut by position in an order that does not change under the reader.

use std::collections::BTreeMap;

use ::api::Call;
use ::api::cloudformation::*;
use store::{Scan, StoreError};
use wire::ApiError;
use wire::value::EpochMs;

use crate::errors;
use crate::limits::{EVENTS_PAGE, LIST_PAGE, RESOURCES_PAGE, STACKS_MAX, STACKS_PAGE};
use crate::rows::{self, EVENTS, EXPORTS, IMPORTS, ResourceRow, STACKS, StackRow, Target};
use crate::service::CloudFormation;

/// What stands in the place of a secret.
const HIDDEN: &str = "****";

/// A moment as the wire has it.
pub(crate) fn epoch(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn moment(ms: u64) -> EpochMs {
    EpochMs(epoch(ms))
}

/// One page of a list, and the token of the next.
pub(crate) fn page<T>(mut all: Vec<T>, token: Option<&str>, size: usize) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start = match token {
        None => 0,
        Some(token) => {
            token.parse::<usize>().ok().filter(|start| *start <= all.len()).ok_or_else(errors::next_token)?
        }
    };
    let next = start + size;
    let token = (next < all.len()).then(|| next.to_string());
    all.truncate(next);
    Ok((all.split_off(start), token))
}

/// Parameters as they are shown.
pub(crate) fn parameters(target: &Target) -> Vec<Parameter> {
    let show = |(name, row): (&String, &rows::ParameterRow)| Parameter {
        parameter_key: Some(name.clone()),
        parameter_value: Some(if row.no_echo { HIDDEN.to_owned() } else { row.value.clone() }),
        resolved_value: row.resolved.clone().map(|value| if row.no_echo { HIDDEN.to_owned() } else { value }),
        use_previous_value: None,
    };
    target.parameters.iter().map(show).collect()
}

/// Tags as they are shown.
pub(crate) fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

fn drift() -> StackDriftInformation {
    StackDriftInformation { stack_drift_status: "NOT_CHECKED".into(), last_check_timestamp: None }
}

fn stack(row: StackRow) -> Stack {
    let output = |output: rows::OutputRow| Output {
        output_key: Some(output.name),
        output_value: Some(output.value),
        description: output.description,
        export_name: output.export,
    };
    Stack {
        stack_id: Some(row.id()),
        stack_name: row.name,
        change_set_id: row.change_set,
        description: row.current.description.clone(),
        parameters: parameters(&row.current),
        creation_time: moment(row.created_ms),
        deletion_time: row.deleted_ms.map(moment),
        last_updated_time: row.updated_ms.map(moment),
        rollback_configuration: Some(RollbackConfiguration::default()),
        stack_status: row.status,
        stack_status_reason: row.reason,
        disable_rollback: Some(row.disable_rollback),
        timeout_in_minutes: row.timeout_min.and_then(|minutes| i32::try_from(minutes).ok()),
        capabilities: row.current.capabilities,
        outputs: row.outputs.into_iter().map(output).collect(),
        role_arn: row.role_arn,
        tags: tag_list(&row.current.tags),
        enable_termination_protection: Some(row.termination_protection),
        parent_id: row.parent,
        root_id: row.root,
        drift_information: Some(drift()),
        ..Stack::default()
    }
}

/// Whether a resource is still told of: what an update took away is not.
fn is_shown(row: &ResourceRow) -> bool {
    !row.status.is_empty()
}

impl CloudFormation {
    async fn all_stacks(&self, call: &Call) -> Result<Vec<StackRow>, ApiError> {
        let place = rows::place(call.account().as_str(), call.region.as_str());
        let read = self.inner.store.read_async(move |view| view.scan(&STACKS, &Scan::prefix(&place)));
        let rows = read.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        let mut stacks: Vec<StackRow> = rows.into_iter().map(|row| row.value).collect();
        // Newest first, as on AWS.
        stacks.sort_by(|a, b| b.created_ms.cmp(&a.created_ms).then_with(|| a.uid.cmp(&b.uid)));
        Ok(stacks)
    }

    async fn resource_rows(&self, call: &Call, stack: &StackRow) -> Result<Vec<ResourceRow>, ApiError> {
        let rows = self.inner.ledger.resources(&stack.uid).await;
        let mut rows = rows.map_err(|error| errors::from_store(call, &error))?;
        rows.retain(is_shown);
        Ok(rows)
    }

    pub(crate) async fn show_stacks(
        &self,
        call: &Call,
        input: DescribeStacksInput,
    ) -> Result<DescribeStacksOutput, ApiError> {
        if let Some(name) = input.stack_name.filter(|name| !name.is_empty()) {
            let found = self.inner.stack(call, &name, errors::stack_with_id).await?;
            return Ok(DescribeStacksOutput { stacks: vec![stack(found)], next_token: None });
        }
        let mut stacks = self.all_stacks(call).await?;
        stacks.retain(|stack| !stack.is_gone());
        let (stacks, next_token) = page(stacks, input.next_token.as_deref(), STACKS_PAGE)?;
        Ok(DescribeStacksOutput { stacks: stacks.into_iter().map(stack).collect(), next_token })
    }

    pub(crate) async fn summaries(&self, call: &Call, input: ListStacksInput) -> Result<ListStacksOutput, ApiError> {
        let mut stacks = self.all_stacks(call).await?;
        let wanted = input.stack_status_filter;
        stacks.retain(|stack| wanted.is_empty() || wanted.contains(&stack.status));
        let (stacks, next_token) = page(stacks, input.next_token.as_deref(), STACKS_PAGE)?;
        let summary = |row: StackRow| StackSummary {
            stack_id: Some(row.id()),
            stack_name: row.name,
            template_description: row.current.description,
            creation_time: moment(row.created_ms),
            last_updated_time: row.updated_ms.map(moment),
            deletion_time: row.deleted_ms.map(moment),
            stack_status: row.status,
            stack_status_reason: row.reason,
            parent_id: row.parent,
            root_id: row.root,
            drift_information: Some(StackDriftInformationSummary {
                stack_drift_status: "NOT_CHECKED".into(),
                last_check_timestamp: None,
            }),
            ..StackSummary::default()
        };
        Ok(ListStacksOutput { stack_summaries: stacks.into_iter().map(summary).collect(), next_token })
    }

    pub(crate) async fn events(
        &self,
        call: &Call,
        input: DescribeStackEventsInput,
    ) -> Result<DescribeStackEventsOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        let prefix = rows::of_stack(&stack.uid);
        let mut scan = Scan::prefix(&prefix).limit(EVENTS_PAGE + 1);
        if let Some(token) = &input.next_token {
            if token.len() > 20 || !token.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(errors::next_token());
            }
            scan = scan.after(&format!("{prefix}{token}"));
        }
        let read = self.inner.store.read_async(move |view| view.scan(&EVENTS, &scan));
        let mut found = read.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        let more = found.len() > EVENTS_PAGE;
        found.truncate(EVENTS_PAGE);
        let last = found.last().and_then(|row| row.key.rsplit('\0').next()).map(str::to_owned);
        let event = |row: store::Row<rows::EventRow>| StackEvent {
            stack_id: stack.id(),
            event_id: row.value.id,
            stack_name: stack.name.clone(),
            logical_resource_id: Some(row.value.logical),
            physical_resource_id: Some(row.value.physical),
            resource_type: Some(row.value.kind),
            timestamp: moment(row.value.at_ms),
            resource_status: Some(row.value.status),
            resource_status_reason: row.value.reason,
            resource_properties: row.value.properties,
            client_request_token: row.value.token,
            ..StackEvent::default()
        };
        let stack_events = found.into_iter().map(event).collect();
        Ok(DescribeStackEventsOutput { stack_events, next_token: last.filter(|_| more) })
    }

    pub(crate) async fn show_resource(
        &self,
        call: &Call,
        input: DescribeStackResourceInput,
    ) -> Result<DescribeStackResourceOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_quotes).await?;
        let rows = self.resource_rows(call, &stack).await?;
        let row = rows.into_iter().find(|row| row.logical == input.logical_resource_id);
        let row = row.ok_or_else(|| errors::resource(&input.logical_resource_id, &stack.name))?;
        let detail = StackResourceDetail {
            stack_name: Some(stack.name.clone()),
            stack_id: Some(stack.id()),
            physical_resource_id: Some(row.physical_id().to_owned()),
            logical_resource_id: row.logical,
            resource_type: row.kind,
            last_updated_timestamp: moment(row.updated_ms),
            resource_status: row.status,
            resource_status_reason: row.reason,
            metadata: row.metadata.map(|metadata| metadata.to_string()),
            drift_information: Some(resource_drift()),
            ..StackResourceDetail::default()
        };
        Ok(DescribeStackResourceOutput { stack_resource_detail: Some(detail) })
    }

    pub(crate) async fn show_resources(
        &self,
        call: &Call,
        input: DescribeStackResourcesInput,
    ) -> Result<DescribeStackResourcesOutput, ApiError> {
        let stack = match (input.stack_name, input.physical_resource_id) {
            (Some(name), None) => self.inner.stack(call, &name, errors::stack_with_id).await?,
            (None, Some(physical)) => self.stack_of(call, &physical).await?,
            _ => return Err(errors::name_or_physical()),
        };
        let mut rows = self.resource_rows(call, &stack).await?;
        if let Some(logical) = &input.logical_resource_id {
            rows.retain(|row| row.logical == *logical);
            if rows.is_empty() {
                return Err(errors::resource(logical, &stack.name));
            }
        }
        let resource = |row: ResourceRow| StackResource {
            stack_name: Some(stack.name.clone()),
            stack_id: Some(stack.id()),
            physical_resource_id: Some(row.physical_id().to_owned()),
            logical_resource_id: row.logical,
            resource_type: row.kind,
            timestamp: moment(row.updated_ms),
            resource_status: row.status,
            resource_status_reason: row.reason,
            drift_information: Some(resource_drift()),
            ..StackResource::default()
        };
        Ok(DescribeStackResourcesOutput { stack_resources: rows.into_iter().map(resource).collect() })
    }

    /// The stack that a physical resource belongs to.
    async fn stack_of(&self, call: &Call, physical: &str) -> Result<StackRow, ApiError> {
        for stack in self.all_stacks(call).await?.into_iter().filter(|stack| !stack.is_gone()) {
            let rows = self.resource_rows(call, &stack).await?;
            if rows.iter().any(|row| row.physical_id() == physical && !row.is_gone()) {
                return Ok(stack);
            }
        }
        Err(errors::physical(physical))
    }

    pub(crate) async fn list_resources(
        &self,
        call: &Call,
        input: ListStackResourcesInput,
    ) -> Result<ListStackResourcesOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_with_id).await?;
        let rows = self.resource_rows(call, &stack).await?;
        let (rows, next_token) = page(rows, input.next_token.as_deref(), RESOURCES_PAGE)?;
        let summary = |row: ResourceRow| StackResourceSummary {
            physical_resource_id: Some(row.physical_id().to_owned()),
            logical_resource_id: row.logical,
            resource_type: row.kind,
            last_updated_timestamp: moment(row.updated_ms),
            resource_status: row.status,
            resource_status_reason: row.reason,
            drift_information: Some(StackResourceDriftInformationSummary {
                stack_resource_drift_status: "NOT_CHECKED".into(),
                last_check_timestamp: None,
            }),
            ..StackResourceSummary::default()
        };
        Ok(ListStackResourcesOutput { stack_resource_summaries: rows.into_iter().map(summary).collect(), next_token })
    }

    pub(crate) async fn exports(&self, call: &Call, input: ListExportsInput) -> Result<ListExportsOutput, ApiError> {
        let place = rows::place(call.account().as_str(), call.region.as_str());
        let read = self.inner.store.read_async(move |view| view.scan(&EXPORTS, &Scan::prefix(&place)));
        let found = read.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        let (found, next_token) = page(found, input.next_token.as_deref(), LIST_PAGE)?;
        let export = |row: store::Row<rows::ExportRow>| Export {
            exporting_stack_id: Some(row.value.stack_id),
            name: Some(row.value.name),
            value: Some(row.value.value),
        };
        Ok(ListExportsOutput { exports: found.into_iter().map(export).collect(), next_token })
    }

    pub(crate) async fn imports(&self, call: &Call, input: ListImportsInput) -> Result<ListImportsOutput, ApiError> {
        let prefix = rows::imports_of(call.account().as_str(), call.region.as_str(), &input.export_name);
        let read = self.inner.store.read_async(move |view| {
            let mut names = Vec::new();
            for row in view.scan(&IMPORTS, &Scan::prefix(&prefix))? {
                names.extend(view.get(&STACKS, &row.value)?.map(|stack| stack.value.name));
            }
            Ok(names)
        });
        let names = read.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        if names.is_empty() {
            return Err(errors::export(&input.export_name));
        }
        let (imports, next_token) = page(names, input.next_token.as_deref(), LIST_PAGE)?;
        Ok(ListImportsOutput { imports, next_token })
    }

    pub(crate) async fn template_of(
        &self,
        call: &Call,
        input: GetTemplateInput,
    ) -> Result<GetTemplateOutput, ApiError> {
        let (stack, number) = match (&input.change_set_name, &input.stack_name) {
            (Some(name), stack) => {
                let (stack, _, row) = self.change_set(call, name, stack.as_deref()).await?;
                (stack, row.target.template)
            }
            (None, Some(name)) => {
                let stack = self.inner.stack(call, name, errors::stack_with_id).await?;
                let number = stack.current.template;
                (stack, number)
            }
            (None, None) => return Err(errors::name_or_physical()),
        };
        // A stack in review has no template yet.
        let body = match number {
            0 => None,
            number => Some(self.inner.stored_template(call, &stack.uid, number).await?),
        };
        let stages_available = vec!["Original".into(), "Processed".into()];
        Ok(GetTemplateOutput { template_body: body, stages_available })
    }
}

fn resource_drift() -> StackResourceDriftInformation {
    StackResourceDriftInformation { stack_resource_drift_status: "NOT_CHECKED".into(), last_check_timestamp: None }
}

/// AWS's limits as they hold here.
pub(crate) fn account_limits() -> DescribeAccountLimitsOutput {
    let limit = |name: &str, value: usize| AccountLimit {
        name: Some(name.to_owned()),
        value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
    };
    let account_limits = vec![
        limit("StackLimit", STACKS_MAX),
        limit("StackOutputsLimit", crate::template::OUTPUTS_MAX),
        limit("ConcurrentResourcesLimit", crate::limits::CALLS_MAX),
    ];
    DescribeAccountLimitsOutput { account_limits, next_token: None }
}
