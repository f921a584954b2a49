//! What users do to single instances: attach, detach, terminate, protect, call ill.
//!
//! Invariants:
//! - An instance is in one group at most.
//! - What a user does changes the desired capacity only where the request says so, and never past the group's bounds.

use std::collections::HashMap;

use ::api::Call;
use ::api::autoscaling::*;
use ::api::ec2::DescribeInstancesInput;
use wire::ApiError;

use crate::activities;
use crate::causes;
use crate::draft::{Draft, status, uuid};
use crate::errors;
use crate::limits::INSTANCES_PER_CALL_MAX;
use crate::rows::{GroupRow, InstanceRow, Lifecycle};
use crate::service::Autoscaling;

/// Refuses to handle too many at once, or none.
pub(crate) fn check_count(ids: &[String]) -> Result<(), ApiError> {
    if ids.is_empty() {
        return Err(errors::no_instance_ids());
    }
    if ids.len() > INSTANCES_PER_CALL_MAX {
        return Err(errors::too_many_at_once("InstanceIds", INSTANCES_PER_CALL_MAX));
    }
    let mut seen = std::collections::BTreeSet::new();
    match ids.iter().find(|id| !seen.insert(*id)) {
        Some(twice) => Err(errors::instance_named_twice(twice)),
        None => Ok(()),
    }
}

/// Where an instance stands in its group's row.
pub(crate) fn position(draft: &Draft, id: &str) -> Result<usize, ApiError> {
    let found = draft.row.instances.iter().position(|instance| instance.id.as_deref() == Some(id));
    found.ok_or_else(|| errors::instance_not_in_group(id, &draft.row.name))
}

impl Autoscaling {
    pub(crate) async fn set_health(&self, call: &Call, input: SetInstanceHealthInput) -> Result<(), ApiError> {
        let healthy = match input.health_status.as_str() {
            "Healthy" => true,
            "Unhealthy" => false,
            other => return Err(errors::health_status_unknown(other)),
        };
        let respects_grace = input.should_respect_grace_period != Some(false);
        let id = input.instance_id;
        let group = self.group_of_instance(call, &id).await?;
        self.change(call, &group, move |draft| {
            let index = position(draft, &id)?;
            let grace_ms = u64::from(draft.row.grace_period_s.unsigned_abs()) * 1000;
            let now_ms = draft.now_ms();
            let instance = &mut draft.row.instances[index];
            let since = instance.in_service_ms.unwrap_or(now_ms);
            let in_grace = respects_grace && now_ms < since.saturating_add(grace_ms);
            instance.unhealthy = match (healthy, in_grace) {
                (true, _) => None,
                (false, true) => instance.unhealthy.take(),
                (false, false) => Some(causes::USER_SAYS_SO.to_owned()),
            };
            Ok(())
        })
        .await
    }

    pub(crate) async fn protect(&self, call: &Call, input: SetInstanceProtectionInput) -> Result<(), ApiError> {
        let (ids, protected) = (input.instance_ids, input.protected_from_scale_in);
        if ids.is_empty() {
            return Err(errors::no_instance_ids());
        }
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            for id in &ids {
                let index = position(draft, id)?;
                draft.row.instances[index].protected = protected;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn attach(&self, call: &Call, input: AttachInstancesInput) -> Result<(), ApiError> {
        let ids = input.instance_ids;
        check_count(&ids)?;
        let group = self.group(call, &input.auto_scaling_group_name).await?;
        let taken: HashMap<String, String> = self
            .groups_of(call)
            .await?
            .into_iter()
            .flat_map(|group| {
                let name = group.name;
                group.instances.into_iter().filter_map(move |instance| Some((instance.id?, name.clone())))
            })
            .collect();
        if let Some((id, owner)) = ids.iter().find_map(|id| Some((id, taken.get(id)?))) {
            return Err(errors::instance_in_a_group(id, owner));
        }
        let brought = self.bring(call, &group, &ids).await?;
        self.change(call, &group.name, move |draft| {
            let from = draft.row.desired;
            let to = from.saturating_add(i32::try_from(brought.len()).unwrap_or(i32::MAX));
            if to > draft.row.max {
                return Err(errors::sizes_forbid(&draft.row, "attach", brought.len()));
            }
            for row in brought {
                // A second request may have brought it meanwhile.
                if draft.row.instance(row.id.as_deref().unwrap_or_default()).is_none() {
                    take_in(draft, row, (from, to));
                }
            }
            draft.row.desired = to;
            draft.row.scaled_ms = Some(draft.now_ms());
            Ok(())
        })
        .await
    }

    /// Rows for instances that EC2 runs where the group is.
    async fn bring(&self, call: &Call, group: &GroupRow, ids: &[String]) -> Result<Vec<InstanceRow>, ApiError> {
        let input = DescribeInstancesInput { instance_ids: ids.to_vec(), ..Default::default() };
        let found = self.inner.ec2.describe_instances(&Self::to_others(call)?, input).await;
        let found = found.map_err(|error| errors::from_dependency("EC2", &error))?;
        let mut rows = Vec::new();
        for instance in found.reservations.into_iter().flat_map(|reservation| reservation.instances) {
            let id = instance.instance_id.unwrap_or_default();
            let state = instance.state.and_then(|state| state.name).unwrap_or_else(|| "running".to_owned());
            if state != "running" {
                return Err(errors::instance_not_running(&id, &state));
            }
            let zone = instance.placement.and_then(|placement| placement.availability_zone).unwrap_or_default();
            if !group.zones.contains(&zone) {
                return Err(errors::instance_in_another_zone(&id, &zone));
            }
            rows.push(InstanceRow {
                token: uuid(&*self.inner.ids),
                id: Some(id),
                zone,
                subnet: instance.subnet_id,
                instance_type: instance.instance_type,
                image_id: instance.image_id,
                source: None,
                lifecycle: Lifecycle::Pending,
                unhealthy: None,
                protected: group.protects_new,
                created_ms: self.inner.clock.now().as_millis(),
                in_service_ms: None,
                load_balancers: Vec::new(),
                unbalanced: false,
                drains: Vec::new(),
                waits: Vec::new(),
                hooked: false,
                terminate_ms: None,
                untagged: true,
                surplus: false,
                activity: None,
            });
        }
        Ok(rows)
    }

    pub(crate) async fn detach(
        &self,
        call: &Call,
        input: DetachInstancesInput,
    ) -> Result<DetachInstancesOutput, ApiError> {
        check_count(&input.instance_ids)?;
        let (ids, decrements) = (input.instance_ids, input.should_decrement_desired_capacity);
        let activities = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let mut begun = Vec::new();
            for id in &ids {
                let index = position(draft, id)?;
                let lifecycle = draft.row.instances[index].lifecycle;
                if !matches!(lifecycle, Lifecycle::InService | Lifecycle::Standby) {
                    return Err(errors::instance_not_in_service(id, draft.row.instances[index].lifecycle_word()));
                }
                // One on standby counts no more; there is nothing to lower.
                let sizes = (decrements && lifecycle == Lifecycle::InService)
                    .then(|| (draft.row.desired, draft.row.desired - 1));
                if sizes.is_some_and(|(_, to)| to < draft.row.min) {
                    return Err(errors::sizes_forbid(&draft.row, "detach", ids.len()));
                }
                begun.push(let_go(draft, index, id, sizes));
                if let Some((_, to)) = sizes {
                    draft.row.desired = to;
                    draft.row.scaled_ms = Some(draft.now_ms());
                }
            }
            Ok(begun)
        });
        Ok(DetachInstancesOutput { activities: activities.await? })
    }

    pub(crate) async fn terminate_by_user(
        &self,
        call: &Call,
        input: TerminateInstanceInAutoScalingGroupInput,
    ) -> Result<TerminateInstanceInAutoScalingGroupOutput, ApiError> {
        let one = input.instance_id.is_some();
        let ids: Vec<String> = input.instance_id.into_iter().chain(input.instance_ids).collect();
        check_count(&ids)?;
        let group = match input.auto_scaling_group_name {
            Some(name) => name,
            None => self.group_of_instance(call, &ids[0]).await?,
        };
        let decrements = input.should_decrement_desired_capacity;
        let mut begun = self
            .change(call, &group, move |draft| {
                ids.iter().map(|id| end(draft, id, decrements)).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        Ok(match one && begun.len() == 1 {
            true => TerminateInstanceInAutoScalingGroupOutput { activity: begun.pop(), activities: Vec::new() },
            false => TerminateInstanceInAutoScalingGroupOutput { activity: None, activities: begun },
        })
    }
}

fn take_in(draft: &mut Draft, mut row: InstanceRow, (from, to): (i32, i32)) {
    let cause = causes::attached(draft.now, from, to);
    let id = row.id.clone().unwrap_or_default();
    let description = format!("Attaching an existing EC2 instance: {id}");
    let mut activity = draft.begin(description, cause, (&row.zone, row.subnet.as_deref()));
    activity.status = status::PRE_IN_SERVICE.to_owned();
    activity.progress = 50;
    row.activity = Some(activity);
    draft.row.instances.push(row);
}

fn let_go(draft: &mut Draft, index: usize, id: &str, sizes: Option<(i32, i32)>) -> Activity {
    let cause = causes::user_moved(draft.now, id, "detached", sizes);
    let place = (draft.row.instances[index].zone.clone(), draft.row.instances[index].subnet.clone());
    let description = format!("Detaching EC2 instance: {id}");
    let mut activity = draft.begin(description, cause, (&place.0, place.1.as_deref()));
    activity.progress = 50;
    let told = activities::describe(&activity);
    let instance = &mut draft.row.instances[index];
    instance.lifecycle = Lifecycle::Detaching;
    instance.activity = Some(activity);
    told
}

fn end(draft: &mut Draft, id: &str, decrements: bool) -> Result<Activity, ApiError> {
    let found = draft.row.instances.iter().position(|instance| instance.id.as_deref() == Some(id));
    let index = found.ok_or_else(|| errors::instance_not_managed(id))?;
    let instance = &draft.row.instances[index];
    if instance.is_terminating() || instance.lifecycle == Lifecycle::Detaching {
        let blocking = instance.activity.as_ref().map(|activity| activity.id.clone()).unwrap_or_default();
        return Err(errors::activity_blocks(&blocking));
    }
    let counted = instance.counts();
    let sizes = (decrements && counted).then(|| (draft.row.desired, draft.row.desired - 1));
    if sizes.is_some_and(|(_, to)| to < draft.row.min) {
        return Err(errors::desired_equals_min(draft.row.min));
    }
    let cause = causes::user_moved(draft.now, id, "taken out of service", sizes);
    draft.terminate(index, cause);
    match sizes {
        Some((_, to)) => {
            draft.row.desired = to;
            draft.row.scaled_ms = Some(draft.now_ms());
        }
        None if counted => draft.row.replacements.push(causes::UNHEALTHY.to_owned()),
        None => {}
    }
    Ok(draft.row.instances[index].activity.as_ref().map(activities::describe).unwrap_or_default())
}
