//! UpdateAutoScalingGroup, and the desired capacity.
//!
//! Invariants:
//! - What an update does not name stays as it was.
//! - The desired capacity follows the bounds when an update moves them past it.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::causes;
use crate::draft::Draft;
use crate::errors;
use crate::groups::{self, check_sizes};
use crate::placement::Placement;
use crate::rows::{GroupRow, LaunchSource};
use crate::service::Autoscaling;
use crate::termination;

impl Autoscaling {
    pub(crate) async fn update_group(&self, call: &Call, input: UpdateAutoScalingGroupInput) -> Result<(), ApiError> {
        groups::refuse_unsupported_in_update(&input)?;
        let name = input.auto_scaling_group_name.clone();
        self.group(call, &name).await?;
        let source =
            self.launch_source(call, input.launch_configuration_name.clone(), input.launch_template.clone()).await?;
        let place = match (&input.vpc_zone_identifier, input.availability_zones.is_empty()) {
            (None, true) => None,
            (identifier, _) => Some(self.place(call, input.availability_zones.clone(), identifier.as_deref()).await?),
        };
        self.change(call, &name, move |draft| update(draft, input, source, place)).await
    }

    pub(crate) async fn set_capacity(&self, call: &Call, input: SetDesiredCapacityInput) -> Result<(), ApiError> {
        let honor_cooldown = input.honor_cooldown == Some(true);
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            let desired = input.desired_capacity;
            if desired > draft.row.max {
                return Err(errors::desired_above_max(desired, draft.row.max));
            }
            if desired < draft.row.min {
                return Err(errors::desired_below_min(desired, draft.row.min));
            }
            if honor_cooldown && desired != draft.row.desired {
                check_cooldown(draft, draft.row.default_cooldown_s)?;
            }
            let cause = causes::set(draft.now, draft.row.desired, desired);
            draft.set_desired(desired, cause);
            Ok(())
        })
        .await
    }
}

/// Refuses while an activity goes on, or within a time after the last one.
pub(crate) fn check_cooldown(draft: &Draft, cooldown_s: i32) -> Result<(), ApiError> {
    if let Some(activity) = draft.row.instances.iter().find_map(|instance| instance.activity.as_ref()) {
        return Err(errors::activity_blocks(&activity.id));
    }
    let cooldown_ms = u64::from(cooldown_s.unsigned_abs()) * 1000;
    let cools = draft.row.scaled_ms.is_some_and(|scaled| draft.now_ms() < scaled.saturating_add(cooldown_ms));
    if cools { Err(errors::cooling_down(&draft.row.name)) } else { Ok(()) }
}

fn update(
    draft: &mut Draft,
    input: UpdateAutoScalingGroupInput,
    source: Option<LaunchSource>,
    place: Option<Placement>,
) -> Result<(), ApiError> {
    let resized = input.min_size.is_some() || input.max_size.is_some() || input.desired_capacity.is_some();
    let (min, max) = (input.min_size.unwrap_or(draft.row.min), input.max_size.unwrap_or(draft.row.max));
    if max < min {
        return Err(errors::max_below_min(min, max));
    }
    let desired = input.desired_capacity.unwrap_or(draft.row.desired.clamp(min, max));
    check_sizes(min, max, desired)?;
    settings(&mut draft.row, input)?;
    let row = &mut draft.row;
    if let Some(source) = source {
        row.source = source;
        // What kept failing may be mended by what is launched now.
        (row.failures, row.launch_after_ms) = (0, 0);
    }
    if let Some(place) = place {
        (row.zones, row.subnets, row.failed_zone) = (place.zones, place.subnets, None);
    }
    (row.min, row.max) = (min, max);
    if resized {
        let cause = causes::constrained(draft.now, "a user request", (min, max, desired), draft.row.desired);
        draft.set_desired(desired, cause);
    }
    Ok(())
}

fn settings(row: &mut GroupRow, input: UpdateAutoScalingGroupInput) -> Result<(), ApiError> {
    if let Some(seconds) = groups::checked_seconds("DefaultCooldown", input.default_cooldown)? {
        row.default_cooldown_s = seconds;
    }
    if let Some(seconds) = groups::checked_seconds("HealthCheckGracePeriod", input.health_check_grace_period)? {
        row.grace_period_s = seconds;
    }
    if let Some(kind) = groups::health_check_type(input.health_check_type)? {
        row.health_check_type = kind;
    }
    if input.default_instance_warmup.is_some() {
        row.default_warmup_s = groups::warmup(input.default_instance_warmup)?;
    }
    if input.max_instance_lifetime.is_some() {
        row.instance_lifetime_max_s = groups::lifetime(input.max_instance_lifetime)?;
    }
    if input.deletion_protection.is_some() {
        row.deletion_protection = groups::deletion_protection(input.deletion_protection)?;
    }
    if !input.termination_policies.is_empty() {
        row.termination_policies = termination::check(input.termination_policies)?;
    }
    if let Some(protects) = input.new_instances_protected_from_scale_in {
        row.protects_new = protects;
    }
    if input.service_linked_role_arn.is_some() {
        row.service_linked_role_arn = input.service_linked_role_arn;
    }
    Ok(())
}
