//! Scheduled actions: a group's sizes change at a time, once or again and again.
//!
//! Invariants:
//! - An action is due at `next_ms`; what was missed while nobody looked is done once, not as often as it was missed.
//! - While ScheduledActions is suspended, what is due passes by.
//! - An action that was its last is forgotten.

use ::api::Call;
use ::api::autoscaling::*;
use host::Timestamp;
use wire::ApiError;
use wire::value::EpochMs;

use crate::causes;
use crate::cron::Schedule;
use crate::draft::{Draft, uuid};
use crate::errors;
use crate::groups::check_sizes;
use crate::limits::{SCHEDULED_ACTIONS_MAX, SCHEDULED_ACTIONS_PER_CALL_MAX};
use crate::paging;
use crate::processes::SCHEDULED_ACTIONS;
use crate::rows::{GroupRow, ScheduledActionRow};
use crate::service::Autoscaling;

/// Does what is due.
pub(crate) fn run_due(draft: &mut Draft) {
    let now_ms = draft.now_ms();
    let due: Vec<String> = draft
        .row
        .scheduled_actions
        .iter()
        .filter(|(_, action)| action.next_ms <= now_ms)
        .map(|(name, _)| name.clone())
        .collect();
    for name in due {
        let Some(action) = draft.row.scheduled_actions.get(&name).cloned() else { continue };
        if !draft.row.suspends(SCHEDULED_ACTIONS) {
            run(draft, &name, &action);
        }
        match next(&action, draft.now) {
            Some(next_ms) => {
                draft.row.scheduled_actions.insert(name, ScheduledActionRow { next_ms, ..action });
            }
            None => {
                draft.row.scheduled_actions.remove(&name);
            }
        }
    }
}

fn run(draft: &mut Draft, name: &str, action: &ScheduledActionRow) {
    let (min, max) = (action.min.unwrap_or(draft.row.min), action.max.unwrap_or(draft.row.max));
    let desired = action.desired.unwrap_or(draft.row.desired);
    // One bound may have moved past the other since the action was made; then nothing fits.
    if max < min {
        tracing::warn!(group = draft.row.name, action = name, "a scheduled action's bounds do not fit the group's");
        return;
    }
    let desired = desired.clamp(min, max);
    (draft.row.min, draft.row.max) = (min, max);
    let cause = causes::constrained(draft.now, "a scheduled action", (min, max, desired), draft.row.desired);
    draft.set_desired(desired, cause);
}

fn next(action: &ScheduledActionRow, after: Timestamp) -> Option<u64> {
    let schedule = Schedule::parse(action.recurrence.as_deref()?, action.time_zone.as_deref()).ok()?;
    let next = schedule.next(after)?.as_millis();
    (action.end_ms.is_none_or(|end| next <= end)).then_some(next)
}

/// An action as a request gives it.
struct Given {
    name: String,
    start: Option<EpochMs>,
    end: Option<EpochMs>,
    recurrence: Option<String>,
    time_zone: Option<String>,
    sizes: (Option<i32>, Option<i32>, Option<i32>),
}

fn put(draft: &mut Draft, given: Given) -> Result<(), ApiError> {
    let now_ms = draft.now_ms();
    let (min, max, desired) = given.sizes;
    if min.is_none() && max.is_none() && desired.is_none() {
        return Err(errors::scheduled_action_without_sizes());
    }
    let (low, high) = (min.unwrap_or(0), max.unwrap_or(crate::limits::GROUP_SIZE_MAX));
    check_sizes(low, high, desired.unwrap_or(low).max(if desired.is_some() { i32::MIN } else { low }))?;
    let ms = |moment: EpochMs| u64::try_from(moment.0).unwrap_or(0);
    let (start_ms, end_ms) = (given.start.map(ms), given.end.map(ms));
    if start_ms.is_some_and(|start| start < now_ms) {
        return Err(errors::start_time_past());
    }
    if end_ms.is_some_and(|end| end < now_ms) {
        return Err(errors::end_time_past());
    }
    if let (Some(start), Some(end)) = (start_ms, end_ms)
        && end < start
    {
        return Err(errors::end_before_start());
    }
    let first = match &given.recurrence {
        Some(recurrence) => {
            let schedule = Schedule::parse(recurrence, given.time_zone.as_deref())?;
            let next = start_ms.or_else(|| schedule.next(draft.now).map(Timestamp::as_millis));
            next.ok_or_else(|| errors::recurrence_invalid(recurrence))?
        }
        None if given.time_zone.is_some() => return Err(errors::time_zone_without_recurrence()),
        None => start_ms.ok_or_else(errors::start_time_missing)?,
    };
    let actions = &mut draft.row.scheduled_actions;
    let old = actions.get(&given.name).map(|action| action.uid.clone());
    let row = ScheduledActionRow {
        uid: old.unwrap_or_else(|| uuid(&*draft.ids)),
        min,
        max,
        desired,
        recurrence: given.recurrence,
        time_zone: given.time_zone,
        start_ms,
        end_ms,
        next_ms: first,
    };
    actions.insert(given.name, row);
    if actions.len() > SCHEDULED_ACTIONS_MAX {
        return Err(errors::too_many("scheduled actions", SCHEDULED_ACTIONS_MAX));
    }
    Ok(())
}

impl Autoscaling {
    pub(crate) async fn put_action(
        &self,
        call: &Call,
        input: PutScheduledUpdateGroupActionInput,
    ) -> Result<(), ApiError> {
        let given = Given {
            name: input.scheduled_action_name,
            // `Time` is the old name of `StartTime`.
            start: input.start_time.or(input.time),
            end: input.end_time,
            recurrence: input.recurrence,
            time_zone: input.time_zone,
            sizes: (input.min_size, input.max_size, input.desired_capacity),
        };
        self.change(call, &input.auto_scaling_group_name, move |draft| put(draft, given)).await
    }

    pub(crate) async fn put_actions(
        &self,
        call: &Call,
        input: BatchPutScheduledUpdateGroupActionInput,
    ) -> Result<BatchPutScheduledUpdateGroupActionOutput, ApiError> {
        let given = input.scheduled_update_group_actions;
        check_count(given.len())?;
        let failed = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let mut failed = Vec::new();
            for one in given {
                let name = one.scheduled_action_name.clone();
                let given = Given {
                    name: one.scheduled_action_name,
                    start: one.start_time,
                    end: one.end_time,
                    recurrence: one.recurrence,
                    time_zone: one.time_zone,
                    sizes: (one.min_size, one.max_size, one.desired_capacity),
                };
                let before = draft.row.scheduled_actions.clone();
                if let Err(error) = put(draft, given) {
                    draft.row.scheduled_actions = before;
                    failed.push(failure(name, &error));
                }
            }
            Ok(failed)
        });
        Ok(BatchPutScheduledUpdateGroupActionOutput { failed_scheduled_update_group_actions: failed.await? })
    }

    pub(crate) async fn delete_action(&self, call: &Call, input: DeleteScheduledActionInput) -> Result<(), ApiError> {
        let name = input.scheduled_action_name;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            let removed = draft.row.scheduled_actions.remove(&name);
            removed.map(drop).ok_or_else(|| errors::scheduled_action_not_found(&name))
        })
        .await
    }

    pub(crate) async fn delete_actions(
        &self,
        call: &Call,
        input: BatchDeleteScheduledActionInput,
    ) -> Result<BatchDeleteScheduledActionOutput, ApiError> {
        let names = input.scheduled_action_names;
        check_count(names.len())?;
        let failed = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let missing = names.into_iter().filter(|name| draft.row.scheduled_actions.remove(name).is_none());
            Ok(missing
                .map(|name| {
                    let error = errors::scheduled_action_not_found(&name);
                    failure(name, &error)
                })
                .collect())
        });
        Ok(BatchDeleteScheduledActionOutput { failed_scheduled_actions: failed.await? })
    }

    pub(crate) async fn describe_actions(
        &self,
        call: &Call,
        input: DescribeScheduledActionsInput,
    ) -> Result<DescribeScheduledActionsOutput, ApiError> {
        let groups = match &input.auto_scaling_group_name {
            Some(name) => vec![self.group(call, name).await?],
            None => self.groups_of(call).await?,
        };
        let ms = |moment: EpochMs| u64::try_from(moment.0).unwrap_or(0);
        let (from, until) = (input.start_time.map(ms), input.end_time.map(ms));
        let names = &input.scheduled_action_names;
        let wanted = |(name, action): &(&String, &ScheduledActionRow)| {
            let in_time =
                from.is_none_or(|from| action.next_ms >= from) && until.is_none_or(|end| action.next_ms <= end);
            // With names, AWS looks at no times.
            if names.is_empty() { in_time } else { names.contains(name) }
        };
        let mut all = Vec::new();
        for group in &groups {
            all.extend(group.scheduled_actions.iter().filter(&wanted).map(|(name, row)| describe(group, name, row)));
        }
        let key = |action: &ScheduledUpdateGroupAction| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}\0{}", text(&action.auto_scaling_group_name), text(&action.scheduled_action_name))
        };
        let (page, next_token) = paging::page(all, input.max_records, input.next_token.as_deref(), key)?;
        Ok(DescribeScheduledActionsOutput { next_token, scheduled_update_group_actions: page })
    }
}

fn check_count(count: usize) -> Result<(), ApiError> {
    if count <= SCHEDULED_ACTIONS_PER_CALL_MAX {
        Ok(())
    } else {
        Err(errors::too_many_at_once("scheduled actions", SCHEDULED_ACTIONS_PER_CALL_MAX))
    }
}

fn failure(name: String, error: &ApiError) -> FailedScheduledUpdateGroupActionRequest {
    FailedScheduledUpdateGroupActionRequest {
        error_code: Some(error.code.to_string()),
        error_message: Some(error.message.clone()),
        scheduled_action_name: name,
    }
}

fn describe(group: &GroupRow, name: &str, row: &ScheduledActionRow) -> ScheduledUpdateGroupAction {
    let moment = |ms: u64| EpochMs(i64::try_from(ms).unwrap_or(i64::MAX));
    let GroupRow { account, region, name: group, .. } = group;
    let arn = format!(
        "arn:aws:autoscaling:{region}:{account}:scheduledUpdateGroupAction:{}:autoScalingGroupName/{group}:\
         scheduledActionName/{name}",
        row.uid
    );
    ScheduledUpdateGroupAction {
        auto_scaling_group_name: Some(group.clone()),
        desired_capacity: row.desired,
        end_time: row.end_ms.map(moment),
        max_size: row.max,
        min_size: row.min,
        recurrence: row.recurrence.clone(),
        scheduled_action_arn: Some(arn),
        scheduled_action_name: Some(name.to_owned()),
        start_time: Some(moment(row.next_ms)),
        time: Some(moment(row.next_ms)),
        time_zone: row.time_zone.clone(),
    }
}
