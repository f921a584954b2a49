//! Instance refreshes: all instances replaced by new ones, a few at a time.
//!
//! Invariants:
//! - At least MinHealthyPercentage of the desired capacity serves and is warm, but for a group so small that not even one
//!   could be replaced so: there it is one at a time, as AWS does.
//! - With a MaxHealthyPercentage above 100, new instances come before old ones go.
//! - One refresh of a group at a time.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;
use wire::value::EpochMs;

use crate::causes;
use crate::converge::intend_surplus;
use crate::draft::{Draft, uuid};
use crate::errors;
use crate::limits::REFRESHES_MAX;
use crate::paging;
use crate::processes::{INSTANCE_REFRESH, LAUNCH, TERMINATE};
use crate::rows::{GroupRow, InstanceRow, Lifecycle, RefreshRow, RefreshStatus};
use crate::service::Autoscaling;
use crate::stored;

/// The operation by whose schema the request is kept.
const OPERATION: &str = "StartInstanceRefresh";
const MIN_HEALTHY_DEFAULT: i32 = 90;
/// How long a checkpoint waits when nobody says.
const CHECKPOINT_DELAY_DEFAULT_S: i32 = 3600;

/// What decides the pace.
struct Pace {
    min_healthy: i32,
    max_healthy: i32,
    warmup_ms: u64,
    checkpoints: Vec<i32>,
    checkpoint_delay_ms: u64,
    replaces_protected: bool,
    replaces_standby: bool,
}

impl Pace {
    fn of(row: &GroupRow, refresh: &RefreshRow) -> Self {
        let request: StartInstanceRefreshInput = stored::read(OPERATION, &refresh.request).unwrap_or_default();
        let preferences = request.preferences.unwrap_or_default();
        let warmup_s = preferences.instance_warmup.or(row.default_warmup_s).unwrap_or(row.grace_period_s);
        let delay_s = preferences.checkpoint_delay.unwrap_or(CHECKPOINT_DELAY_DEFAULT_S);
        Self {
            min_healthy: preferences.min_healthy_percentage.unwrap_or(MIN_HEALTHY_DEFAULT),
            max_healthy: preferences.max_healthy_percentage.unwrap_or(100),
            warmup_ms: u64::from(warmup_s.unsigned_abs()) * 1000,
            checkpoints: preferences.checkpoint_percentages,
            checkpoint_delay_ms: u64::from(delay_s.unsigned_abs()) * 1000,
            replaces_protected: preferences.scale_in_protected_instances.as_deref() == Some("Refresh"),
            replaces_standby: preferences.standby_instances.as_deref() == Some("Terminate"),
        }
    }
}

/// Takes a refresh a step further.
pub(crate) fn drive(draft: &mut Draft) {
    let Some(mut refresh) = draft.row.refresh().cloned() else { return };
    let pace = Pace::of(&draft.row, &refresh);
    let stays = |token: &String| {
        draft
            .row
            .instances
            .iter()
            .any(|instance| instance.token == *token && !leaves(instance) && wanted(instance, &pace))
    };
    refresh.left.retain(stays);
    let suspended = [INSTANCE_REFRESH, LAUNCH, TERMINATE].iter().any(|process| draft.row.suspends(process));
    match refresh.status {
        RefreshStatus::Cancelling => end(draft, &mut refresh, RefreshStatus::Cancelled),
        _ if suspended => {}
        _ => {
            refresh.status = RefreshStatus::InProgress;
            replace_some(draft, &mut refresh, &pace);
        }
    }
    if let Some(last) = draft.row.refreshes.last_mut() {
        *last = refresh;
    }
}

fn leaves(instance: &InstanceRow) -> bool {
    instance.is_terminating() || instance.lifecycle == Lifecycle::Detaching
}

fn wanted(instance: &InstanceRow, pace: &Pace) -> bool {
    (pace.replaces_protected || !instance.protected)
        && (pace.replaces_standby || !matches!(instance.lifecycle, Lifecycle::Standby | Lifecycle::EnteringStandby))
}

fn replace_some(draft: &mut Draft, refresh: &mut RefreshRow, pace: &Pace) {
    let now_ms = draft.now_ms();
    let serves = |instance: &InstanceRow| instance.lifecycle == Lifecycle::InService && instance.unhealthy.is_none();
    let is_ready = |instance: &InstanceRow| {
        let warm = instance.in_service_ms.is_some_and(|since| since.saturating_add(pace.warmup_ms) <= now_ms);
        serves(instance) && (warm || refresh.left.contains(&instance.token))
    };
    let desired = usize::try_from(draft.row.desired).unwrap_or(0);
    let ready = draft.row.instances.iter().filter(|instance| is_ready(instance)).count();
    if refresh.left.is_empty() {
        if ready >= desired && !draft.row.instances.iter().any(InstanceRow::is_pending) {
            end(draft, refresh, RefreshStatus::Successful);
        }
        return;
    }
    if waits_at_checkpoint(refresh, pace, ready >= desired, now_ms) {
        return;
    }
    let share = |percentage: i32| usize::try_from(percentage.max(0)).unwrap_or(0) * desired;
    let least = share(pace.min_healthy).div_ceil(100);
    let surplus = if pace.max_healthy > 100 { (share(pace.max_healthy - 100) / 100).max(1) } else { 0 };
    let least = if surplus == 0 && least >= desired { desired.saturating_sub(1) } else { least };
    let on_top = draft.row.instances.iter().filter(|instance| instance.surplus).count();
    let missing = surplus.min(refresh.left.len()).saturating_sub(on_top);
    for _ in 0..missing {
        let cause = causes::launched(draft.now, causes::REFRESH);
        intend_surplus(draft, cause);
    }
    for _ in 0..ready.saturating_sub(least) {
        let Some(token) = refresh.left.first().cloned() else { break };
        refresh.left.remove(0);
        replace(draft, &token);
    }
}

/// Ends an old instance. One that stands on top of the capacity takes its place, or else the next launch will.
fn replace(draft: &mut Draft, token: &str) {
    let Some(index) = draft.index_of(token) else { return };
    let counted = draft.row.instances[index].counts();
    let id = draft.row.instances[index].id.clone().unwrap_or_default();
    let cause = causes::refreshed(draft.now, &id);
    draft.terminate(index, cause);
    let in_service = |instance: &&mut InstanceRow| instance.surplus && instance.lifecycle == Lifecycle::InService;
    match draft.row.instances.iter_mut().find(in_service) {
        Some(instance) if counted => instance.surplus = false,
        _ if counted => draft.row.replacements.push(causes::REFRESH.to_owned()),
        _ => {}
    }
}

/// Whether a refresh rests at a checkpoint; one is reached when so much has been replaced and serves.
fn waits_at_checkpoint(refresh: &mut RefreshRow, pace: &Pace, all_ready: bool, now_ms: u64) -> bool {
    let done = percentage(refresh);
    if let Some((reached, until)) = refresh.checkpoint {
        if now_ms < until {
            return true;
        }
        refresh.passed = reached;
        refresh.checkpoint = None;
    }
    let next = pace.checkpoints.iter().copied().find(|checkpoint| *checkpoint > refresh.passed);
    match next.filter(|checkpoint| done >= *checkpoint) {
        Some(_) if !all_ready => true,
        Some(checkpoint) => {
            refresh.checkpoint = Some((checkpoint, now_ms.saturating_add(pace.checkpoint_delay_ms)));
            true
        }
        None => false,
    }
}

fn end(draft: &mut Draft, refresh: &mut RefreshRow, status: RefreshStatus) {
    refresh.status = status;
    refresh.ended_ms = Some(draft.now_ms());
    refresh.checkpoint = None;
    for instance in &mut draft.row.instances {
        instance.surplus = false;
    }
}

fn percentage(refresh: &RefreshRow) -> i32 {
    match refresh.total {
        0 => 100,
        total => i32::try_from((total - refresh.left.len().min(total)) * 100 / total).unwrap_or(100),
    }
}

impl Autoscaling {
    pub(crate) async fn start_refresh(
        &self,
        call: &Call,
        input: StartInstanceRefreshInput,
    ) -> Result<StartInstanceRefreshOutput, ApiError> {
        check(&input)?;
        let group = self.group(call, &input.auto_scaling_group_name).await?;
        let current = self.resolved(&Self::to_others(call)?, &group.source).await;
        let request = stored::write(OPERATION, &input)?;
        let skips = input.preferences.as_ref().is_some_and(|preferences| preferences.skip_matching == Some(true));
        let id = self.change(call, &input.auto_scaling_group_name, move |draft| {
            if draft.row.refresh().is_some() {
                return Err(errors::refresh_in_progress());
            }
            let old = |instance: &&InstanceRow| {
                let matches = instance.source.as_ref() == Some(&current);
                !leaves(instance) && instance.id.is_some() && !(skips && matches)
            };
            let left: Vec<_> = draft.row.instances.iter().filter(old).map(|instance| instance.token.clone()).collect();
            let id = uuid(&*draft.ids);
            draft.row.refreshes.push(RefreshRow {
                id: id.clone(),
                status: RefreshStatus::Pending,
                reason: None,
                started_ms: draft.now_ms(),
                ended_ms: None,
                request,
                total: left.len(),
                left,
                checkpoint: None,
                passed: 0,
            });
            let surplus = draft.row.refreshes.len().saturating_sub(REFRESHES_MAX);
            draft.row.refreshes.drain(..surplus);
            Ok(id)
        });
        Ok(StartInstanceRefreshOutput { instance_refresh_id: Some(id.await?) })
    }

    pub(crate) async fn cancel_refresh(
        &self,
        call: &Call,
        input: CancelInstanceRefreshInput,
    ) -> Result<CancelInstanceRefreshOutput, ApiError> {
        if input.wait_for_transitioning_instances == Some(false) {
            return Err(errors::value_not_supported("WaitForTransitioningInstances", "false"));
        }
        let id = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let last = draft.row.refreshes.last_mut().filter(|refresh| refresh.ended_ms.is_none());
            let refresh = last.ok_or_else(errors::no_active_refresh)?;
            refresh.status = RefreshStatus::Cancelling;
            refresh.reason = Some("Cancelled due to user request.".to_owned());
            Ok(refresh.id.clone())
        });
        Ok(CancelInstanceRefreshOutput { instance_refresh_id: Some(id.await?) })
    }

    pub(crate) async fn describe_refreshes(
        &self,
        call: &Call,
        input: DescribeInstanceRefreshesInput,
    ) -> Result<DescribeInstanceRefreshesOutput, ApiError> {
        let group = self.group(call, &input.auto_scaling_group_name).await?;
        let ids = &input.instance_refresh_ids;
        let mut all: Vec<_> = group.refreshes.iter().rev().enumerate().collect();
        all.retain(|(_, refresh)| ids.is_empty() || ids.contains(&refresh.id));
        let key = |(index, _): &(usize, &RefreshRow)| format!("{index:04}");
        let (page, next_token) = paging::page(all, input.max_records, input.next_token.as_deref(), key)?;
        let instance_refreshes =
            page.into_iter().map(|(_, refresh)| describe(&group, refresh)).collect::<Result<_, _>>()?;
        Ok(DescribeInstanceRefreshesOutput { instance_refreshes, next_token })
    }
}

fn check(input: &StartInstanceRefreshInput) -> Result<(), ApiError> {
    if let Some(strategy) = input.strategy.as_ref().filter(|strategy| *strategy != "Rolling") {
        return Err(errors::value_not_supported("Strategy", strategy));
    }
    if input.desired_configuration.is_some() {
        return Err(errors::not_supported("DesiredConfiguration (update the group first)"));
    }
    let Some(preferences) = &input.preferences else { return Ok(()) };
    if preferences.auto_rollback == Some(true) {
        return Err(errors::value_not_supported("AutoRollback", "true"));
    }
    if preferences.alarm_specification.is_some() {
        return Err(errors::not_supported("AlarmSpecification"));
    }
    if preferences.bake_time.is_some_and(|seconds| seconds != 0) {
        return Err(errors::not_supported("BakeTime"));
    }
    for (name, given) in [
        ("ScaleInProtectedInstances", &preferences.scale_in_protected_instances),
        ("StandbyInstances", &preferences.standby_instances),
    ] {
        if let Some(wait) = given.as_ref().filter(|given| *given == "Wait") {
            return Err(errors::value_not_supported(name, wait));
        }
    }
    let (min, max) = (preferences.min_healthy_percentage, preferences.max_healthy_percentage);
    if max.is_some() && min.is_none() {
        return Err(errors::max_healthy_without_min());
    }
    if max.is_some_and(|max| !(100..=200).contains(&max) || max - min.unwrap_or(0) > 100) {
        return Err(errors::max_healthy_out_of_range());
    }
    if min.is_some_and(|min| !(0..=100).contains(&min)) {
        return Err(errors::min_healthy_out_of_range());
    }
    let rises = preferences.checkpoint_percentages.windows(2).all(|pair| pair[0] < pair[1]);
    let fits = preferences.checkpoint_percentages.iter().all(|percentage| (1..=100).contains(percentage));
    if rises && fits { Ok(()) } else { Err(errors::checkpoints_invalid()) }
}

fn describe(group: &GroupRow, row: &RefreshRow) -> Result<InstanceRefresh, ApiError> {
    let request: StartInstanceRefreshInput = stored::read(OPERATION, &row.request)?;
    let moment = |ms: u64| EpochMs(i64::try_from(ms).unwrap_or(i64::MAX));
    let status = match row.status {
        RefreshStatus::Pending => "Pending",
        RefreshStatus::InProgress => "InProgress",
        RefreshStatus::Successful => "Successful",
        RefreshStatus::Cancelling => "Cancelling",
        RefreshStatus::Cancelled => "Cancelled",
    };
    let waiting = row.checkpoint.map(|(at, _)| format!("Waiting at the checkpoint of {at} percent."));
    Ok(InstanceRefresh {
        auto_scaling_group_name: Some(group.name.clone()),
        end_time: row.ended_ms.map(moment),
        instance_refresh_id: Some(row.id.clone()),
        instances_to_update: i32::try_from(row.left.len()).ok(),
        percentage_complete: Some(percentage(row)),
        preferences: request.preferences,
        start_time: Some(moment(row.started_ms)),
        status: Some(status.to_owned()),
        status_reason: row.reason.clone().or(waiting),
        strategy: Some("Rolling".to_owned()),
        ..Default::default()
    })
}
