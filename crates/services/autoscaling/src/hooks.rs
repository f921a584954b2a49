//! Lifecycle hooks: an instance waits on its way in or out until somebody says that it may go on.
//!
//! Invariants:
//! - Every wait has an end: its heartbeat's timeout, and 48 hours or a hundred timeouts whatever heartbeats come.
//! - A hook that nobody answers ends with its default result.
//! - Nobody is notified: a notification target is refused, for a hook that calls for nobody would hold instances up.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::draft::{Draft, uuid};
use crate::errors;
use crate::limits::{HOOK_MAX_MS, HOOKS_MAX};
use crate::rows::{GroupRow, HookResult, HookRow, Transition, WaitRow};
use crate::service::Autoscaling;

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
const CONTINUE: &str = "CONTINUE";
const ABANDON: &str = "ABANDON";
/// Seconds that a hook waits when nobody says.
const TIMEOUT_DEFAULT_S: i32 = 3600;
const TIMEOUT_MIN_S: i32 = 30;
const TIMEOUT_MAX_S: i32 = 7200;
/// Heartbeats can stretch a wait this many times.
const TIMEOUTS_MAX: u64 = 100;

/// Begins to wait for all hooks of a transition.
pub(crate) fn begin(draft: &Draft, transition: Transition) -> Vec<WaitRow> {
    let now_ms = draft.now_ms();
    let wait = |hook: &HookRow| WaitRow {
        hook: hook.name.clone(),
        token: uuid(&*draft.ids),
        started_ms: now_ms,
        deadline_ms: now_ms.saturating_add(u64::from(hook.heartbeat_timeout_s.unsigned_abs()) * 1000),
        heartbeat_timeout_s: hook.heartbeat_timeout_s,
        default_result: hook.default_result,
        result: None,
    };
    draft.row.hooks.iter().filter(|hook| hook.transition == transition).map(wait).collect()
}

/// How an instance's waiting ended and why, if it did. One that abandons ends it for all.
pub(crate) fn outcome(draft: &mut Draft, index: usize) -> Option<(HookResult, String)> {
    let now_ms = draft.now_ms();
    let waits = &mut draft.row.instances[index].waits;
    let mut why = "Lifecycle Action Completed with ABANDON Result";
    for wait in waits.iter_mut().filter(|wait| wait.result.is_none() && wait.deadline_ms <= now_ms) {
        wait.result = Some(wait.default_result);
        why = "Heartbeat Timeout";
    }
    if let Some(wait) = waits.iter().find(|wait| wait.result == Some(HookResult::Abandon)) {
        let token = &wait.token;
        let sentence = format!(
            "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {token} was abandoned: {why}"
        );
        return Some((HookResult::Abandon, sentence));
    }
    waits.iter().all(|wait| wait.result.is_some()).then(|| (HookResult::Continue, String::new()))
}

/// Adds a hook to a row, or replaces the one of its name.
pub(crate) fn add(row: &mut GroupRow, hook: HookRow) -> Result<(), ApiError> {
    match row.hooks.iter_mut().find(|one| one.name == hook.name) {
        Some(one) => *one = hook,
        None => row.hooks.push(hook),
    }
    if row.hooks.len() > HOOKS_MAX { Err(errors::too_many("lifecycle hooks", HOOKS_MAX)) } else { Ok(()) }
}

/// A hook that comes with its group.
pub(crate) fn from_specification(given: LifecycleHookSpecification) -> Result<HookRow, ApiError> {
    check_target(given.notification_target_arn.as_deref(), given.role_arn.as_deref())?;
    Ok(HookRow {
        name: given.lifecycle_hook_name,
        transition: transition(&given.lifecycle_transition)?,
        default_result: given.default_result.as_deref().map_or(Ok(HookResult::Abandon), result)?,
        heartbeat_timeout_s: given.heartbeat_timeout.map_or(Ok(TIMEOUT_DEFAULT_S), timeout)?,
        notification_metadata: given.notification_metadata,
    })
}

fn check_target(target: Option<&str>, role: Option<&str>) -> Result<(), ApiError> {
    match (target.filter(|arn| !arn.is_empty()), role.filter(|arn| !arn.is_empty())) {
        (None, None) => Ok(()),
        (None, Some(role)) => Err(errors::value_not_supported("RoleARN without NotificationTargetARN", role)),
        (Some(target), role) => Err(errors::notification_target_unreachable(target, role.unwrap_or("null"))),
    }
}

fn transition(text: &str) -> Result<Transition, ApiError> {
    match text {
        LAUNCHING => Ok(Transition::Launching),
        TERMINATING => Ok(Transition::Terminating),
        other => Err(errors::transition_unknown(other)),
    }
}

fn result(text: &str) -> Result<HookResult, ApiError> {
    match text {
        CONTINUE => Ok(HookResult::Continue),
        ABANDON => Ok(HookResult::Abandon),
        other => Err(errors::hook_result_unknown(other)),
    }
}

fn timeout(seconds: i32) -> Result<i32, ApiError> {
    let fits = (TIMEOUT_MIN_S..=TIMEOUT_MAX_S).contains(&seconds);
    if fits { Ok(seconds) } else { Err(errors::heartbeat_timeout_out_of_range(seconds, TIMEOUT_MIN_S, TIMEOUT_MAX_S)) }
}

impl Autoscaling {
    pub(crate) async fn put_hook(&self, call: &Call, input: PutLifecycleHookInput) -> Result<(), ApiError> {
        check_target(input.notification_target_arn.as_deref(), input.role_arn.as_deref())?;
        let given_transition = input.lifecycle_transition.as_deref().map(transition).transpose()?;
        let given_result = input.default_result.as_deref().map(result).transpose()?;
        let given_timeout = input.heartbeat_timeout.map(timeout).transpose()?;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            let old = draft.row.hooks.iter().find(|hook| hook.name == input.lifecycle_hook_name).cloned();
            let transition = given_transition.or(old.as_ref().map(|old| old.transition));
            let hook = HookRow {
                name: input.lifecycle_hook_name,
                transition: transition.ok_or_else(errors::transition_missing)?,
                default_result: given_result
                    .or(old.as_ref().map(|old| old.default_result))
                    .unwrap_or(HookResult::Abandon),
                heartbeat_timeout_s: given_timeout
                    .or(old.as_ref().map(|old| old.heartbeat_timeout_s))
                    .unwrap_or(TIMEOUT_DEFAULT_S),
                notification_metadata: input.notification_metadata.or(old.and_then(|old| old.notification_metadata)),
            };
            add(&mut draft.row, hook)
        })
        .await
    }

    pub(crate) async fn delete_hook(&self, call: &Call, input: DeleteLifecycleHookInput) -> Result<(), ApiError> {
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            let name = &input.lifecycle_hook_name;
            let found = draft.row.hooks.iter().position(|hook| hook.name == *name);
            let hook = draft.row.hooks.remove(found.ok_or_else(|| errors::hook_not_found(name))?);
            // Whoever waits for it goes where AWS lets it go.
            let result = match hook.transition {
                Transition::Launching => HookResult::Abandon,
                Transition::Terminating => HookResult::Continue,
            };
            let waits = draft.row.instances.iter_mut().flat_map(|instance| &mut instance.waits);
            for wait in waits.filter(|wait| wait.hook == *name && wait.result.is_none()) {
                wait.result = Some(result);
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn describe_hooks(
        &self,
        call: &Call,
        input: DescribeLifecycleHooksInput,
    ) -> Result<DescribeLifecycleHooksOutput, ApiError> {
        let group = self.group(call, &input.auto_scaling_group_name).await?;
        let names = &input.lifecycle_hook_names;
        if let Some(unknown) = names.iter().find(|name| !group.hooks.iter().any(|hook| hook.name == **name)) {
            return Err(errors::hook_not_found(unknown));
        }
        let wanted = group.hooks.iter().filter(|hook| names.is_empty() || names.contains(&hook.name));
        Ok(DescribeLifecycleHooksOutput { lifecycle_hooks: wanted.map(|hook| describe(&group, hook)).collect() })
    }

    pub(crate) async fn complete_action(
        &self,
        call: &Call,
        input: CompleteLifecycleActionInput,
    ) -> Result<(), ApiError> {
        let result = result(&input.lifecycle_action_result)?;
        let action = Action {
            hook: input.lifecycle_hook_name,
            token: input.lifecycle_action_token,
            instance: input.instance_id,
        };
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            action.find(&mut draft.row)?.result = Some(result);
            Ok(())
        })
        .await
    }

    pub(crate) async fn heartbeat(
        &self,
        call: &Call,
        input: RecordLifecycleActionHeartbeatInput,
    ) -> Result<(), ApiError> {
        let action = Action {
            hook: input.lifecycle_hook_name,
            token: input.lifecycle_action_token,
            instance: input.instance_id,
        };
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            let now_ms = draft.now_ms();
            let wait = action.find(&mut draft.row)?;
            let timeout_ms = u64::from(wait.heartbeat_timeout_s.unsigned_abs()) * 1000;
            let last = wait.started_ms.saturating_add(global_timeout_ms(wait.heartbeat_timeout_s));
            wait.deadline_ms = now_ms.saturating_add(timeout_ms).min(last);
            Ok(())
        })
        .await
    }
}

/// Which action a client means.
struct Action {
    hook: String,
    token: Option<String>,
    instance: Option<String>,
}

impl Action {
    fn find<'r>(&self, row: &'r mut GroupRow) -> Result<&'r mut WaitRow, ApiError> {
        if !row.hooks.iter().any(|hook| hook.name == self.hook) {
            return Err(errors::hook_not_found(&self.hook));
        }
        if self.token.is_none() && self.instance.is_none() {
            return Err(errors::action_unnamed());
        }
        let meant = |id: Option<&String>| self.instance.is_none() || self.instance.as_ref() == id;
        let instances = row.instances.iter_mut().filter(|instance| meant(instance.id.as_ref()));
        let mut waits = instances.flat_map(|instance| &mut instance.waits);
        let found = waits.find(|wait| {
            wait.hook == self.hook
                && wait.result.is_none()
                && self.token.as_ref().is_none_or(|token| *token == wait.token)
        });
        found.ok_or_else(|| match (&self.token, &self.instance) {
            (Some(token), _) => errors::no_action_with_token(token),
            (None, instance) => errors::no_action_with_instance(instance.as_deref().unwrap_or_default()),
        })
    }
}

fn global_timeout_ms(heartbeat_timeout_s: i32) -> u64 {
    (u64::from(heartbeat_timeout_s.unsigned_abs()) * 1000 * TIMEOUTS_MAX).min(HOOK_MAX_MS)
}

fn describe(group: &GroupRow, hook: &HookRow) -> LifecycleHook {
    let transition = match hook.transition {
        Transition::Launching => LAUNCHING,
        Transition::Terminating => TERMINATING,
    };
    let result = match hook.default_result {
        HookResult::Continue => CONTINUE,
        HookResult::Abandon => ABANDON,
    };
    LifecycleHook {
        auto_scaling_group_name: Some(group.name.clone()),
        default_result: Some(result.to_owned()),
        global_timeout: i32::try_from(global_timeout_ms(hook.heartbeat_timeout_s) / 1000).ok(),
        heartbeat_timeout: Some(hook.heartbeat_timeout_s),
        lifecycle_hook_name: Some(hook.name.clone()),
        lifecycle_transition: Some(transition.to_owned()),
        notification_metadata: hook.notification_metadata.clone(),
        notification_target_arn: None,
        role_arn: None,
    }
}

/// DescribeLifecycleHookTypes.
pub(crate) fn types() -> DescribeLifecycleHookTypesOutput {
    DescribeLifecycleHookTypesOutput { lifecycle_hook_types: vec![LAUNCHING.to_owned(), TERMINATING.to_owned()] }
}
