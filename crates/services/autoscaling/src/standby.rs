//! Standby: an instance stays in its group, and out of its service.
//!
//! Invariants:
//! - One on standby does not count, is not judged, and is in no load balancer.
//! - It comes back as a new one comes: past the hooks, into the load balancers.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::activities;
use crate::causes;
use crate::draft::{Draft, status};
use crate::errors;
use crate::instances::{check_count, position};
use crate::rows::Lifecycle;
use crate::service::Autoscaling;

impl Autoscaling {
    pub(crate) async fn enter(&self, call: &Call, input: EnterStandbyInput) -> Result<EnterStandbyOutput, ApiError> {
        check_count(&input.instance_ids)?;
        let (ids, decrements) = (input.instance_ids, input.should_decrement_desired_capacity);
        let activities = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
            let sizes = decrements.then(|| (draft.row.desired, draft.row.desired - count));
            if sizes.is_some_and(|(_, to)| to < draft.row.min) {
                return Err(errors::sizes_forbid(&draft.row, "place into standby", ids.len()));
            }
            let mut begun = Vec::new();
            for id in &ids {
                let index = position(draft, id)?;
                if draft.row.instances[index].lifecycle != Lifecycle::InService {
                    return Err(errors::instance_not_in_service(id, draft.row.instances[index].lifecycle_word()));
                }
                begun.push(go(draft, index, id, sizes));
            }
            if let Some((_, to)) = sizes {
                draft.row.desired = to;
                draft.row.scaled_ms = Some(draft.now_ms());
            }
            Ok(begun)
        });
        Ok(EnterStandbyOutput { activities: activities.await? })
    }

    pub(crate) async fn exit(&self, call: &Call, input: ExitStandbyInput) -> Result<ExitStandbyOutput, ApiError> {
        check_count(&input.instance_ids)?;
        let ids = input.instance_ids;
        let activities = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
            let sizes = (draft.row.desired, draft.row.desired.saturating_add(count));
            if sizes.1 > draft.row.max {
                return Err(errors::sizes_forbid(&draft.row, "take out of standby", ids.len()));
            }
            let mut begun = Vec::new();
            for id in &ids {
                let index = position(draft, id)?;
                if draft.row.instances[index].lifecycle != Lifecycle::Standby {
                    return Err(errors::instance_not_on_standby(id, draft.row.instances[index].lifecycle_word()));
                }
                begun.push(come_back(draft, index, id, sizes));
            }
            draft.row.desired = sizes.1;
            draft.row.scaled_ms = Some(draft.now_ms());
            Ok(begun)
        });
        Ok(ExitStandbyOutput { activities: activities.await? })
    }
}

fn go(draft: &mut Draft, index: usize, id: &str, sizes: Option<(i32, i32)>) -> Activity {
    let cause = causes::user_moved(draft.now, id, "moved to standby", sizes);
    let place = (draft.row.instances[index].zone.clone(), draft.row.instances[index].subnet.clone());
    let description = format!("Moving EC2 instance to Standby: {id}");
    let mut activity = draft.begin(description, cause, (&place.0, place.1.as_deref()));
    activity.progress = 50;
    let told = activities::describe(&activity);
    let instance = &mut draft.row.instances[index];
    instance.lifecycle = Lifecycle::EnteringStandby;
    instance.activity = Some(activity);
    told
}

fn come_back(draft: &mut Draft, index: usize, id: &str, (from, to): (i32, i32)) -> Activity {
    let cause = causes::user_moved(draft.now, id, "moved out of standby", Some((from, to)));
    let place = (draft.row.instances[index].zone.clone(), draft.row.instances[index].subnet.clone());
    let description = format!("Moving EC2 instance out of Standby: {id}");
    let mut activity = draft.begin(description, cause, (&place.0, place.1.as_deref()));
    activity.progress = 30;
    activity.status = status::PRE_IN_SERVICE.to_owned();
    let told = activities::describe(&activity);
    let instance = &mut draft.row.instances[index];
    instance.lifecycle = Lifecycle::Pending;
    instance.in_service_ms = None;
    instance.unhealthy = None;
    (instance.unbalanced, instance.hooked) = (false, false);
    instance.activity = Some(activity);
    told
}
