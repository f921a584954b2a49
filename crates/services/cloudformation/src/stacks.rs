//! What can be done to a stack: made, changed, deleted, and all the ways out of a failure.
//!
//! Invariants:
//! - What a stack may become is decided in the transaction that begins it: two requests cannot both begin something.
//! - A driver is woken after its stack's row was written, never before.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::api::Call;
use ::api::cloudformation::{
    CancelUpdateStackInput, ContinueUpdateRollbackInput, CreateStackInput, CreateStackOutput, DeleteStackInput,
    GetStackPolicyInput, GetStackPolicyOutput, RollbackStackInput, RollbackStackOutput, SetStackPolicyInput,
    UpdateStackInput, UpdateStackOutput, UpdateTerminationProtectionInput, UpdateTerminationProtectionOutput,
};
use parking_lot::Mutex;
use store::{Scan, StoreError, Transaction};
use wire::ApiError;

use crate::errors;
use crate::limits::{POLICY_BYTES_MAX, STACK_NAME_CHARACTERS_MAX, STACKS_MAX};
use crate::names;
use crate::policy::StackPolicy;
use crate::prepare::{self, Prepared, Source};
use crate::rows::{self, CHANGE_SETS, NAMES, OnFailure, Operation, Phase, STACKS, StackRow, TEMPLATES, Target};
use crate::service::{CloudFormation, Inner};

/// How a request that needs a stack says that there is none.
pub(crate) type Missing = fn(&str) -> ApiError;

/// A stack's name as AWS wants it.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let fits = name.len() <= STACK_NAME_CHARACTERS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(is_fine);
    if fits { Ok(()) } else { Err(errors::stack_name(name)) }
}

impl StackRow {
    /// A stack that nothing was done to.
    pub(crate) fn blank(inner: &Inner, call: &Call, name: &str) -> Self {
        Self {
            account: call.account().to_string(),
            region: call.region.to_string(),
            name: name.to_owned(),
            uid: names::uuid(&*inner.ids),
            created_ms: inner.ledger.now_ms(),
            endpoint: format!("{}://{}", call.endpoint.scheme, call.endpoint.authority),
            acts_as: role_of(call),
            ..Self::default()
        }
    }
}

/// An operation that begins now.
pub(crate) fn operation(phase: Phase, number: u64, target: Target, token: Option<String>) -> Operation {
    Operation {
        number,
        phase,
        is_paused: false,
        target,
        on_failure: OnFailure::Rollback,
        token,
        deadline_ms: None,
        is_cancelled: false,
        retain: BTreeSet::new(),
        skip: BTreeSet::new(),
        policy: None,
        retain_except_on_create: false,
    }
}

impl Inner {
    /// A stack by name or id; `None` if there is none. Deleted stacks are known by their ids only.
    pub(crate) async fn lookup(&self, call: &Call, name: &str) -> Result<Option<StackRow>, ApiError> {
        let (account, region) = (call.account().to_string(), call.region.to_string());
        let name = name.to_owned();
        let read = self.store.read_async(move |view| {
            if let Some(uid) = uid_of(&name) {
                let found = view.get(&STACKS, &rows::stack_key(&account, &region, uid))?;
                return Ok(found.map(|row| row.value).filter(|stack| stack.id() == name));
            }
            let Some(key) = view.get(&NAMES, &rows::name_key(&account, &region, &name))? else { return Ok(None) };
            Ok(view.get(&STACKS, &key.value)?.map(|row| row.value))
        });
        read.await.map_err(|error: StoreError| errors::from_store(call, &error))
    }

    /// A stack that must be there.
    pub(crate) async fn stack(&self, call: &Call, name: &str, missing: Missing) -> Result<StackRow, ApiError> {
        self.lookup(call, name).await?.ok_or_else(|| missing(name))
    }

    /// Changes a stack's row if `begin` finds nothing against it, and wakes its driver.
    pub(crate) async fn start<F>(&self, call: &Call, key: &str, begin: F) -> Result<StackRow, ApiError>
    where
        F: FnOnce(&mut Transaction<'_>, &mut StackRow) -> Result<Result<(), ApiError>, StoreError> + Send + 'static,
    {
        let refusal = Arc::new(Mutex::new(None));
        let told = Arc::clone(&refusal);
        let (caller, is_narrowed) = (role_of(call), call.identity.session().is_some_and(|session| session.is_narrowed));
        let changed = self.ledger.change_with(key, move |tx, stack| {
            let before = stack.operation.as_ref().map(|now| now.number);
            let begun = begin(tx, stack)?;
            // Another operation: it acts with the stack's role, or for whoever asked for it.
            let is_another = stack.operation.as_ref().map(|now| now.number) != before;
            let begun = begun.and_then(|()| match is_another && is_narrowed && stack.role_arn.is_none() {
                true => Err(errors::narrowed_session()),
                false => Ok(()),
            });
            if is_another {
                stack.acts_as = stack.role_arn.clone().or(caller);
            }
            match begun {
                Ok(()) => Ok(()),
                Err(error) => {
                    *told.lock() = Some(error);
                    Err(StoreError::Ended)
                }
            }
        });
        let changed = changed.await;
        if let Some(error) = refusal.lock().take() {
            return Err(error);
        }
        let stack = changed.map_err(|error| errors::from_store(call, &error))?;
        self.wake(key);
        Ok(stack)
    }
}

/// The role whose session asks, if one does.
pub(crate) fn role_of(call: &Call) -> Option<String> {
    call.identity.session().map(|session| session.role_arn.to_string())
}

/// The role as which a request's parameters are looked up: the one that it gives to the stack, the stack's, the caller's.
pub(crate) fn looks_up_as(call: &Call, given: Option<&String>, stack: &StackRow) -> Option<String> {
    given.or(stack.role_arn.as_ref()).cloned().or_else(|| role_of(call))
}

/// The last part of a stack's ARN.
fn uid_of(name: &str) -> Option<&str> {
    name.starts_with("arn:").then(|| name.rsplit('/').next()).flatten()
}

/// States in which a stack can be updated.
const UPDATABLE: [&str; 8] = [
    "CREATE_COMPLETE",
    "CREATE_FAILED",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",
];

/// What a stack is made with beside its template.
#[derive(Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) token: Option<String>,
    pub(crate) on_failure: OnFailure,
    pub(crate) disable_rollback: bool,
    pub(crate) timeout_min: Option<u32>,
    pub(crate) role_arn: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) protection: bool,
    pub(crate) parent: Option<String>,
    pub(crate) root: Option<String>,
    pub(crate) retain_except_on_create: bool,
}

/// Writes a prepared target's template and makes the target the stack's aim.
pub(crate) fn aim(
    tx: &mut Transaction<'_>,
    stack: &mut StackRow,
    prepared: Prepared,
    phase: Phase,
    token: Option<String>,
) -> Result<(), StoreError> {
    let number = stack.number();
    tx.put(&TEMPLATES, &rows::numbered_key(&stack.uid, number), &prepared.text)?;
    stack.why = None;
    let target = Target { template: number, ..prepared.target };
    let next = stack.number();
    stack.operation = Some(operation(phase, next, target, token));
    Ok(())
}

impl CloudFormation {
    pub(crate) async fn create(&self, call: &Call, input: CreateStackInput) -> Result<CreateStackOutput, ApiError> {
        check_name(&input.stack_name)?;
        refuse_triggers(input.rollback_configuration.as_ref(), &input.notification_ar_ns, &input.resource_types)?;
        refuse_deployment(input.deployment_config.as_ref())?;
        self.inner.check_role(call, input.role_arn.as_deref()).await?;
        let on_failure = match (input.disable_rollback, input.on_failure.as_deref()) {
            (Some(_), Some(_)) => return Err(errors::disable_and_on_failure()),
            (Some(true), None) | (_, Some("DO_NOTHING")) => OnFailure::DoNothing,
            (_, Some("DELETE")) => OnFailure::Delete,
            _ => OnFailure::Rollback,
        };
        let policy = self.policy_text(call, input.stack_policy_body, input.stack_policy_url).await?;
        let source = Source { body: input.template_body, url: input.template_url, previous: false };
        let text = self.inner.text(call, source, None).await?;
        let mut stack = StackRow::blank(&self.inner, call, &input.stack_name);
        stack.acts_as = looks_up_as(call, input.role_arn.as_ref(), &stack);
        let (given, tags) = (prepare::given(input.parameters)?, prepare::tags(input.tags)?);
        let prepared = self.inner.prepare(&stack, text, given, tags, input.capabilities).await?;
        let wishes = Wishes {
            token: input.client_request_token,
            on_failure,
            disable_rollback: on_failure == OnFailure::DoNothing,
            timeout_min: input.timeout_in_minutes.and_then(|minutes| u32::try_from(minutes).ok()),
            role_arn: input.role_arn,
            policy,
            protection: input.enable_termination_protection.unwrap_or(false),
            retain_except_on_create: input.retain_except_on_create.unwrap_or(false),
            ..Wishes::default()
        };
        let id = self.inner.begin_create(call, stack, prepared, wishes).await?;
        Ok(CreateStackOutput { stack_id: Some(id), operation_id: None })
    }

    pub(crate) async fn update(&self, call: &Call, input: UpdateStackInput) -> Result<UpdateStackOutput, ApiError> {
        refuse_triggers(input.rollback_configuration.as_ref(), &input.notification_ar_ns, &input.resource_types)?;
        refuse_deployment(input.deployment_config.as_ref())?;
        self.inner.check_role(call, input.role_arn.as_deref()).await?;
        let mut stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        stack.acts_as = looks_up_as(call, input.role_arn.as_ref(), &stack);
        if !UPDATABLE.contains(&stack.status.as_str()) || stack.status == "REVIEW_IN_PROGRESS" {
            return Err(errors::cannot_be(&stack.id(), &stack.status, "updated"));
        }
        let policy = self.policy_text(call, input.stack_policy_body, input.stack_policy_url).await?;
        let during = (input.stack_policy_during_update_body, input.stack_policy_during_update_url);
        let during = self.policy_text(call, during.0, during.1).await?;
        let previous = input.use_previous_template.unwrap_or(false);
        let source = Source { body: input.template_body, url: input.template_url, previous };
        let text = self.inner.text(call, source, Some(&stack)).await?;
        let given = prepare::given(input.parameters)?;
        // Who names no tags keeps those that there are.
        let tags = if input.tags.is_empty() { stack.current.tags.clone() } else { prepare::tags(input.tags)? };
        let prepared = self.inner.prepare(&stack, text, given, tags, input.capabilities).await?;
        let wishes = Wishes {
            token: input.client_request_token,
            on_failure: if input.disable_rollback.unwrap_or(false) {
                OnFailure::DoNothing
            } else {
                OnFailure::Rollback
            },
            role_arn: input.role_arn,
            policy,
            retain_except_on_create: input.retain_except_on_create.unwrap_or(false),
            ..Wishes::default()
        };
        let id = self.inner.begin_update(call, &stack, prepared, wishes, during).await?;
        Ok(UpdateStackOutput { stack_id: Some(id), operation_id: None })
    }

    pub(crate) async fn delete(&self, call: &Call, input: DeleteStackInput) -> Result<(), ApiError> {
        // Deleting what is not there is a success, as on AWS.
        let Some(stack) = self.inner.lookup(call, &input.stack_name).await? else { return Ok(()) };
        refuse_deployment(input.deployment_config.as_ref())?;
        if let Some(mode) = input.deletion_mode.filter(|mode| mode != "STANDARD") {
            return Err(errors::unsupported("DeletionMode", mode));
        }
        self.inner.check_role(call, input.role_arn.as_deref()).await?;
        let retain: BTreeSet<String> = input.retain_resources.into_iter().collect();
        let wishes = Wishes { token: input.client_request_token, role_arn: input.role_arn, ..Wishes::default() };
        self.inner.begin_delete(call, &stack, retain, wishes, false).await
    }

    pub(crate) async fn cancel_update(&self, call: &Call, input: CancelUpdateStackInput) -> Result<(), ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        let begin = |_: &mut Transaction<'_>, stack: &mut StackRow| {
            let running = stack.operation.as_mut().filter(|now| now.phase == Phase::Update && !now.is_paused);
            Ok(match running {
                Some(now) => {
                    now.is_cancelled = true;
                    Ok(())
                }
                None => Err(errors::cannot_cancel(&stack.status)),
            })
        };
        self.inner.start(call, &stack.key(), begin).await.map(drop)
    }

    pub(crate) async fn continue_rollback(
        &self,
        call: &Call,
        input: ContinueUpdateRollbackInput,
    ) -> Result<(), ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        self.inner.check_role(call, input.role_arn.as_deref()).await?;
        let role_arn = input.role_arn;
        let rows = self.inner.ledger.resources(&stack.uid).await.map_err(|error| errors::from_store(call, &error))?;
        let has_failed = |name: &str| rows.iter().any(|row| row.logical == name && row.status == "UPDATE_FAILED");
        let wrong: Vec<&str> =
            input.resources_to_skip.iter().map(String::as_str).filter(|name| !has_failed(name)).collect();
        if !wrong.is_empty() {
            return Err(errors::cannot_skip(&wrong));
        }
        let skip: BTreeSet<String> = input.resources_to_skip.into_iter().collect();
        let begin = move |_: &mut Transaction<'_>, stack: &mut StackRow| {
            if stack.status != "UPDATE_ROLLBACK_FAILED" {
                return Ok(Err(errors::cannot_continue(&stack.id(), &stack.status)));
            }
            let number = stack.number();
            let Some(now) = &mut stack.operation else { return Ok(Err(errors::internal())) };
            (now.number, now.phase, now.is_paused, now.skip) = (number, Phase::RollbackUpdate, false, skip);
            (stack.status, stack.reason) = ("UPDATE_ROLLBACK_IN_PROGRESS".into(), None);
            stack.role_arn = role_arn.or(stack.role_arn.take());
            Ok(Ok(()))
        };
        self.inner.start(call, &stack.key(), begin).await.map(drop)
    }

    pub(crate) async fn rollback(
        &self,
        call: &Call,
        input: RollbackStackInput,
    ) -> Result<RollbackStackOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        refuse_deployment(input.deployment_config.as_ref())?;
        self.inner.check_role(call, input.role_arn.as_deref()).await?;
        let role_arn = input.role_arn;
        let (token, retain) = (input.client_request_token, input.retain_except_on_create.unwrap_or(false));
        let begin = move |_: &mut Transaction<'_>, stack: &mut StackRow| {
            let number = stack.number();
            let (phase, status) = match stack.status.as_str() {
                "CREATE_FAILED" => (Phase::RollbackCreate, "ROLLBACK_IN_PROGRESS"),
                "UPDATE_FAILED" => (Phase::RollbackUpdate, "UPDATE_ROLLBACK_IN_PROGRESS"),
                status => return Ok(Err(errors::cannot_be(&stack.id(), status, "rolled back"))),
            };
            let Some(now) = &mut stack.operation else { return Ok(Err(errors::internal())) };
            (now.number, now.phase, now.is_paused, now.token) = (number, phase, false, token);
            now.retain_except_on_create = retain;
            (stack.status, stack.reason) = (status.into(), None);
            stack.role_arn = role_arn.or(stack.role_arn.take());
            Ok(Ok(()))
        };
        let stack = self.inner.start(call, &stack.key(), begin).await?;
        Ok(RollbackStackOutput { stack_id: Some(stack.id()), operation_id: None })
    }

    pub(crate) async fn protect(
        &self,
        call: &Call,
        input: UpdateTerminationProtectionInput,
    ) -> Result<UpdateTerminationProtectionOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        if stack.parent.is_some() {
            return Err(errors::protected_nested(&stack.name));
        }
        let protection = input.enable_termination_protection;
        let begin = move |_: &mut Transaction<'_>, stack: &mut StackRow| {
            stack.termination_protection = protection;
            Ok(Ok(()))
        };
        let stack = self.inner.start(call, &stack.key(), begin).await?;
        Ok(UpdateTerminationProtectionOutput { stack_id: Some(stack.id()) })
    }

    pub(crate) async fn set_policy(&self, call: &Call, input: SetStackPolicyInput) -> Result<(), ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        let policy = self.policy_text(call, input.stack_policy_body, input.stack_policy_url).await?;
        let begin = move |_: &mut Transaction<'_>, stack: &mut StackRow| {
            stack.policy = policy;
            Ok(Ok(()))
        };
        self.inner.start(call, &stack.key(), begin).await.map(drop)
    }

    pub(crate) async fn get_policy(
        &self,
        call: &Call,
        input: GetStackPolicyInput,
    ) -> Result<GetStackPolicyOutput, ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        Ok(GetStackPolicyOutput { stack_policy_body: stack.policy })
    }

    /// A stack policy out of a request, checked.
    async fn policy_text(
        &self,
        call: &Call,
        body: Option<String>,
        url: Option<String>,
    ) -> Result<Option<String>, ApiError> {
        let text = match (body, url) {
            (None, None) => return Ok(None),
            (Some(body), None) => body,
            (None, Some(url)) => self.inner.object(call, &url).await?,
            (Some(_), Some(_)) => return Err(errors::two_policies()),
        };
        if text.len() > POLICY_BYTES_MAX {
            return Err(errors::stack_policy(format!("longer than {POLICY_BYTES_MAX} bytes")));
        }
        StackPolicy::parse(&text).map_err(errors::stack_policy)?;
        Ok(Some(text))
    }
}

/// Refuses what nothing here would honour.
pub(crate) fn refuse_triggers(
    rollback: Option<&::api::cloudformation::RollbackConfiguration>,
    notifications: &[String],
    types: &[String],
) -> Result<(), ApiError> {
    if let Some(trigger) = rollback.and_then(|rollback| rollback.rollback_triggers.first()) {
        return Err(errors::unsupported("RollbackConfiguration", format!("{:?}", trigger.arn)));
    }
    if let Some(arn) = notifications.first() {
        return Err(errors::unsupported("NotificationARNs", arn));
    }
    match types.iter().find(|kind| *kind != "AWS::*" && *kind != "*") {
        Some(kind) => Err(errors::unsupported("ResourceTypes", kind)),
        None => Ok(()),
    }
}

/// Refuses every way to deploy but the one that there is, which CDK names.
pub(crate) fn refuse_deployment(config: Option<&::api::cloudformation::DeploymentConfig>) -> Result<(), ApiError> {
    let Some(config) = config else { return Ok(()) };
    match config.mode.as_deref() {
        Some(mode) if mode != "STANDARD" => Err(errors::unsupported("DeploymentConfig", mode)),
        _ if config.disable_rollback == Some(true) => {
            Err(errors::unsupported("DeploymentConfig", "DisableRollback; say so outside of it"))
        }
        _ => Ok(()),
    }
}

/// What came of a request to make a stack.
enum Begun {
    Stack { id: String, key: String },
    NameTaken,
    TooMany,
}

impl Inner {
    /// Begins to make a stack; its id.
    pub(crate) async fn begin_create(
        &self,
        call: &Call,
        mut stack: StackRow,
        prepared: Prepared,
        wishes: Wishes,
    ) -> Result<String, ApiError> {
        if wishes.role_arn.is_none() && call.identity.session().is_some_and(|session| session.is_narrowed) {
            return Err(errors::narrowed_session());
        }
        (stack.status, stack.disable_rollback) = ("CREATE_IN_PROGRESS".into(), wishes.disable_rollback);
        (stack.timeout_min, stack.role_arn, stack.policy) = (wishes.timeout_min, wishes.role_arn, wishes.policy);
        stack.acts_as = stack.role_arn.clone().or_else(|| role_of(call));
        (stack.parent, stack.root, stack.termination_protection) = (wishes.parent, wishes.root, wishes.protection);
        stack.reason = wishes.token.is_none().then(|| "User Initiated".to_owned());
        stack.token.clone_from(&wishes.token);
        stack.current.description.clone_from(&prepared.target.description);
        let (ledger, place) = (self.ledger.clone(), rows::place(&stack.account, &stack.region));
        let name_key = rows::name_key(&stack.account, &stack.region, &stack.name);
        let (name, now_ms) = (stack.name.clone(), self.ledger.now_ms());
        let write = self.store.write_async(move |tx| {
            if let Some(known) = tx.get(&NAMES, &name_key)? {
                let other = tx.get(&STACKS, &known.value)?.map(|row| row.value);
                // The same request again.
                let is_same = |other: &&StackRow| wishes.token.is_some() && other.token == wishes.token;
                let same = other.as_ref().filter(is_same);
                let begun = same.map_or(Begun::NameTaken, |other| Begun::Stack { id: other.id(), key: other.key() });
                return Ok::<_, StoreError>(begun);
            }
            if tx.keys(&NAMES, &Scan::prefix(&place).limit(STACKS_MAX + 1))?.len() >= STACKS_MAX {
                return Ok(Begun::TooMany);
            }
            // What a request shows before anything is done is what was asked for.
            stack.current = Target { template: 0, ..prepared.target.clone() };
            aim(tx, &mut stack, prepared, Phase::Create, wishes.token)?;
            if let Some(now) = &mut stack.operation {
                stack.current.template = now.target.template;
                now.on_failure = wishes.on_failure;
                now.retain_except_on_create = wishes.retain_except_on_create;
                now.deadline_ms = stack.timeout_min.map(|minutes| now_ms + u64::from(minutes) * 60_000);
            }
            tx.put(&NAMES, &name_key, &stack.key())?;
            tx.put(&STACKS, &stack.key(), &stack)?;
            ledger.tell(tx, &stack.uid, &ledger.stack_event(&stack))?;
            Ok(Begun::Stack { id: stack.id(), key: stack.key() })
        });
        let begun = write.await.map_err(|error| errors::from_store(call, &error))?;
        match begun {
            Begun::Stack { id, key } => {
                self.wake(&key);
                Ok(id)
            }
            Begun::TooMany => Err(errors::too_many_stacks(STACKS_MAX)),
            Begun::NameTaken => Err(errors::stack_exists(&name)),
        }
    }

    /// Begins to change a stack; its id.
    pub(crate) async fn begin_update(
        &self,
        call: &Call,
        stack: &StackRow,
        prepared: Prepared,
        wishes: Wishes,
        during: Option<String>,
    ) -> Result<String, ApiError> {
        let preview = self.preview(stack, &prepared).await.map_err(|error| errors::from_store(call, &error))?;
        let preview = preview.map_err(|error| errors::template(&error))?;
        if !preview.retyped.is_empty() {
            let names: Vec<&str> = preview.retyped.iter().map(String::as_str).collect();
            return Err(errors::type_changed(&names));
        }
        let goes_on = matches!(stack.status.as_str(), "CREATE_FAILED" | "UPDATE_FAILED");
        if !preview.is_changed && !goes_on && wishes.policy.is_none() {
            return Err(errors::no_updates());
        }
        let now_ms = self.ledger.now_ms();
        let begin = move |tx: &mut Transaction<'_>, stack: &mut StackRow| {
            if !UPDATABLE.contains(&stack.status.as_str()) {
                return Ok(Err(errors::cannot_be(&stack.id(), &stack.status, "updated")));
            }
            let is_new = matches!(stack.status.as_str(), "CREATE_FAILED" | "REVIEW_IN_PROGRESS");
            let phase = if is_new { Phase::Create } else { Phase::Update };
            stack.reason = wishes.token.is_none().then(|| "User Initiated".to_owned());
            aim(tx, stack, prepared, phase, wishes.token)?;
            stack.status = if is_new { "CREATE_IN_PROGRESS" } else { "UPDATE_IN_PROGRESS" }.into();
            stack.updated_ms = if is_new { stack.updated_ms } else { Some(now_ms) };
            stack.policy = wishes.policy.or(stack.policy.take());
            stack.role_arn = wishes.role_arn.or(stack.role_arn.take());
            if let Some(now) = &mut stack.operation {
                now.policy = during;
                now.on_failure = wishes.on_failure;
                now.retain_except_on_create = wishes.retain_except_on_create;
            }
            Ok(Ok(()))
        };
        Ok(self.start(call, &stack.key(), begin).await?.id())
    }

    /// Begins to delete a stack.
    pub(crate) async fn begin_delete(
        &self,
        call: &Call,
        stack: &StackRow,
        retain: BTreeSet<String>,
        wishes: Wishes,
        by_parent: bool,
    ) -> Result<(), ApiError> {
        if stack.is_gone() {
            return Ok(());
        }
        if stack.termination_protection && !by_parent {
            return Err(errors::protected(&stack.name));
        }
        if !retain.is_empty() && stack.status != "DELETE_FAILED" {
            return Err(errors::retain_without_failure());
        }
        let rows = self.ledger.resources(&stack.uid).await.map_err(|error| errors::from_store(call, &error))?;
        let unknown: Vec<&str> = retain
            .iter()
            .filter(|name| !rows.iter().any(|row| row.logical == **name && row.status == "DELETE_FAILED"))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            return Err(errors::retained_unknown(&unknown));
        }
        let begin = move |tx: &mut Transaction<'_>, stack: &mut StackRow| {
            let running = stack.running().map(|now| now.phase);
            let is_in_review = stack.status == "REVIEW_IN_PROGRESS";
            match running {
                None | Some(Phase::Create | Phase::RollbackCreate) => {}
                // It is being deleted already.
                Some(Phase::Delete) => return Ok(Ok(())),
                Some(_) => return Ok(Err(errors::cannot_be_deleted(&stack.name, &stack.status))),
            }
            let number = stack.number();
            let target = stack.operation.take().map_or_else(|| stack.current.clone(), |now| now.target);
            let mut begun = operation(Phase::Delete, number, target, wishes.token);
            stack.role_arn = wishes.role_arn.or(stack.role_arn.take());
            begun.retain = retain;
            stack.reason = begun.token.is_none().then(|| "User Initiated".to_owned());
            (stack.status, stack.operation) = ("DELETE_IN_PROGRESS".into(), Some(begun));
            if is_in_review {
                tx.delete_range(&CHANGE_SETS, &Scan::prefix(&rows::of_stack(&stack.uid)))?;
            }
            Ok(Ok(()))
        };
        self.start(call, &stack.key(), begin).await.map(drop)
    }
}
