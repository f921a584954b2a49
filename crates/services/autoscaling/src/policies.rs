//! Scaling policies: how much a group grows or shrinks when it is told to.
//!
//! Invariants:
//! - The capacity stays between the group's bounds, whatever a policy says.
//! - What needs a metric is kept and shown, and does nothing of itself: no CloudWatch watches it.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::causes;
use crate::draft::{Draft, uuid};
use crate::errors;
use crate::limits::{POLICIES_MAX, STEPS_MAX};
use crate::paging;
use crate::rows::{GroupRow, PolicyRow};
use crate::service::Autoscaling;
use crate::stored;
use crate::update::check_cooldown;

/// The operation by whose schema the request is kept.
const OPERATION: &str = "PutScalingPolicy";
const CHANGE: &str = "ChangeInCapacity";
const EXACT: &str = "ExactCapacity";
const PERCENT: &str = "PercentChangeInCapacity";
const SIMPLE: &str = "SimpleScaling";
const STEP: &str = "StepScaling";
const TARGET_TRACKING: &str = "TargetTrackingScaling";

/// All there are.
pub(crate) const ADJUSTMENT_TYPES: [&str; 3] = [CHANGE, EXACT, PERCENT];

fn kind(input: &PutScalingPolicyInput) -> &str {
    input.policy_type.as_deref().unwrap_or(SIMPLE)
}

fn check(input: &PutScalingPolicyInput) -> Result<(), ApiError> {
    match kind(input) {
        SIMPLE => {
            check_adjustment_type(input)?;
            if input.scaling_adjustment.is_none() {
                return Err(errors::policy_parameter_missing("ScalingAdjustment", SIMPLE));
            }
            if !input.step_adjustments.is_empty() {
                return Err(errors::policy_parameter_unwanted("StepAdjustments", SIMPLE));
            }
        }
        STEP => {
            check_adjustment_type(input)?;
            check_steps(&input.step_adjustments)?;
            if input.cooldown.is_some() {
                return Err(errors::policy_parameter_unwanted("Cooldown", STEP));
            }
            if input.scaling_adjustment.is_some() {
                return Err(errors::policy_parameter_unwanted("ScalingAdjustment", STEP));
            }
        }
        TARGET_TRACKING => {
            let target = input.target_tracking_configuration.as_ref();
            let target = target
                .ok_or_else(|| errors::policy_parameter_missing("TargetTrackingConfiguration", TARGET_TRACKING))?;
            let one =
                target.predefined_metric_specification.is_some() != target.customized_metric_specification.is_some();
            if !one {
                return Err(errors::target_metric_unclear());
            }
        }
        "PredictiveScaling" => return Err(errors::value_not_supported("PolicyType", "PredictiveScaling")),
        other => return Err(errors::policy_type_unknown(other)),
    }
    let is_percent = input.adjustment_type.as_deref() == Some(PERCENT);
    let magnitude = input.min_adjustment_magnitude.or(input.min_adjustment_step);
    if magnitude.is_some() && !is_percent {
        return Err(errors::magnitude_without_percent());
    }
    if magnitude.is_some_and(|magnitude| magnitude < 1) || input.cooldown.is_some_and(|seconds| seconds < 0) {
        return Err(errors::policy_number_invalid());
    }
    Ok(())
}

fn check_adjustment_type(input: &PutScalingPolicyInput) -> Result<(), ApiError> {
    match input.adjustment_type.as_deref() {
        None => Err(errors::policy_parameter_missing("AdjustmentType", kind(input))),
        Some(known) if ADJUSTMENT_TYPES.contains(&known) => Ok(()),
        Some(other) => Err(errors::adjustment_type_unknown(other)),
    }
}

/// Steps follow each other without gap or overlap, open at most at their ends.
fn check_steps(steps: &[StepAdjustment]) -> Result<(), ApiError> {
    if steps.is_empty() {
        return Err(errors::policy_parameter_missing("StepAdjustments", STEP));
    }
    if steps.len() > STEPS_MAX {
        return Err(errors::too_many("step adjustments", STEPS_MAX));
    }
    let lower = |step: &StepAdjustment| step.metric_interval_lower_bound.unwrap_or(f64::NEG_INFINITY);
    let upper = |step: &StepAdjustment| step.metric_interval_upper_bound.unwrap_or(f64::INFINITY);
    let mut sorted: Vec<_> = steps.iter().collect();
    sorted.sort_by(|a, b| lower(a).total_cmp(&lower(b)));
    let ordered = sorted.iter().all(|step| lower(step) < upper(step));
    let joined = sorted.windows(2).all(|pair| upper(pair[0]).total_cmp(&lower(pair[1])).is_eq());
    if ordered && joined { Ok(()) } else { Err(errors::steps_do_not_join()) }
}

impl Autoscaling {
    pub(crate) async fn put_policy(
        &self,
        call: &Call,
        input: PutScalingPolicyInput,
    ) -> Result<PutScalingPolicyOutput, ApiError> {
        check(&input)?;
        let request = stored::write(OPERATION, &input)?;
        let name = input.policy_name;
        let arn = self.change(call, &input.auto_scaling_group_name, move |draft| {
            let uid = match draft.row.policies.get(&name) {
                Some(old) => old.uid.clone(),
                None => uuid(&*draft.ids),
            };
            let arn = arn(&draft.row, &name, &uid);
            draft.row.policies.insert(name, PolicyRow { uid, request });
            if draft.row.policies.len() > POLICIES_MAX {
                return Err(errors::too_many("scaling policies", POLICIES_MAX));
            }
            Ok(arn)
        });
        Ok(PutScalingPolicyOutput { alarms: Vec::new(), policy_arn: Some(arn.await?) })
    }

    pub(crate) async fn delete_policy_named(&self, call: &Call, input: DeletePolicyInput) -> Result<(), ApiError> {
        let (group, policy) = self.policy_named(call, input.auto_scaling_group_name, &input.policy_name).await?;
        self.change(call, &group, move |draft| {
            draft.row.policies.remove(&policy).map(drop).ok_or_else(|| errors::policy_not_found(&policy))
        })
        .await
    }

    pub(crate) async fn describe_all_policies(
        &self,
        call: &Call,
        input: DescribePoliciesInput,
    ) -> Result<DescribePoliciesOutput, ApiError> {
        let groups = match &input.auto_scaling_group_name {
            Some(name) => vec![self.group(call, name).await?],
            None => self.groups_of(call).await?,
        };
        let mut all = Vec::new();
        for group in &groups {
            for (name, row) in &group.policies {
                let policy = describe(group, name, row)?;
                let names = &input.policy_names;
                let named = names.is_empty()
                    || names.contains(name)
                    || policy.policy_arn.as_ref().is_some_and(|arn| names.contains(arn));
                let kinds = &input.policy_types;
                if named && (kinds.is_empty() || policy.policy_type.as_ref().is_some_and(|kind| kinds.contains(kind))) {
                    all.push(policy);
                }
            }
        }
        let key = |policy: &ScalingPolicy| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}\0{}", text(&policy.auto_scaling_group_name), text(&policy.policy_name))
        };
        let (scaling_policies, next_token) = paging::page(all, input.max_records, input.next_token.as_deref(), key)?;
        Ok(DescribePoliciesOutput { next_token, scaling_policies })
    }

    pub(crate) async fn execute(&self, call: &Call, input: ExecutePolicyInput) -> Result<(), ApiError> {
        let (group, policy) = self.policy_named(call, input.auto_scaling_group_name, &input.policy_name).await?;
        let (metric, threshold) = (input.metric_value, input.breach_threshold);
        let honors_cooldown = input.honor_cooldown == Some(true);
        self.change(call, &group, move |draft| {
            let row = draft.row.policies.get(&policy).ok_or_else(|| errors::policy_not_found(&policy))?;
            let request: PutScalingPolicyInput = stored::read(OPERATION, &row.request)?;
            if request.enabled == Some(false) {
                return Err(errors::policy_disabled(&policy));
            }
            let adjustment = match kind(&request) {
                SIMPLE => request.scaling_adjustment.unwrap_or(0),
                STEP => step(&request, metric, threshold)?,
                other => return Err(errors::policy_not_executable(&policy, other)),
            };
            if honors_cooldown && kind(&request) == SIMPLE {
                check_cooldown(draft, request.cooldown.unwrap_or(draft.row.default_cooldown_s))?;
            }
            adjust(draft, &policy, &request, adjustment);
            Ok(())
        })
        .await
    }

    /// The group and the name of a policy that is given by its name or its ARN.
    async fn policy_named(
        &self,
        call: &Call,
        group: Option<String>,
        policy: &str,
    ) -> Result<(String, String), ApiError> {
        if let Some((_, rest)) = policy.split_once(":autoScalingGroupName/") {
            let (group, name) = rest.split_once(":policyName/").ok_or_else(|| errors::policy_not_found(policy))?;
            let found = self.find(call, group).await?;
            let found =
                found.filter(|row| row.policies.get(name).is_some_and(|one| arn(row, name, &one.uid) == policy));
            return found.map(|row| (row.name, name.to_owned())).ok_or_else(|| errors::policy_not_found(policy));
        }
        let group = group.ok_or_else(errors::policy_group_missing)?;
        Ok((group, policy.to_owned()))
    }
}

fn step(request: &PutScalingPolicyInput, metric: Option<f64>, threshold: Option<f64>) -> Result<i32, ApiError> {
    let (Some(metric), Some(threshold)) = (metric, threshold) else { return Err(errors::step_needs_metric()) };
    let breach = metric - threshold;
    let fits = |step: &&StepAdjustment| {
        let lower = step.metric_interval_lower_bound.unwrap_or(f64::NEG_INFINITY);
        let upper = step.metric_interval_upper_bound.unwrap_or(f64::INFINITY);
        // Above the threshold a step takes its lower bound in, below it its upper bound.
        if breach >= 0.0 { lower <= breach && breach < upper } else { lower < breach && breach <= upper }
    };
    let found = request.step_adjustments.iter().find(fits);
    found.map(|step| step.scaling_adjustment).ok_or_else(|| errors::no_step(breach))
}

/// What a policy makes of a capacity, before the group's bounds.
fn adjusted(capacity: i32, request: &PutScalingPolicyInput, adjustment: i32) -> i32 {
    match request.adjustment_type.as_deref() {
        Some(EXACT) => adjustment,
        Some(PERCENT) => {
            let hundredths = i64::from(capacity) * i64::from(adjustment);
            // Towards zero, but at least one where there is anything to do.
            let change = match hundredths / 100 {
                0 => hundredths.signum(),
                whole => whole,
            };
            let least = i64::from(request.min_adjustment_magnitude.or(request.min_adjustment_step).unwrap_or(0));
            let direction = i64::from(adjustment.signum());
            let change = if change.abs() < least { least * direction } else { change };
            i32::try_from((i64::from(capacity) + change).clamp(i64::from(i32::MIN), i64::from(i32::MAX)))
                .unwrap_or(capacity)
        }
        _ => capacity.saturating_add(adjustment),
    }
}

fn adjust(draft: &mut Draft, policy: &str, request: &PutScalingPolicyInput, adjustment: i32) {
    let from = draft.row.desired;
    let to = adjusted(from, request, adjustment).clamp(draft.row.min, draft.row.max);
    let cause = causes::executed(draft.now, policy, from, to);
    draft.set_desired(to, cause);
}

fn arn(row: &GroupRow, name: &str, uid: &str) -> String {
    let GroupRow { account, region, name: group, .. } = row;
    format!("arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uid}:autoScalingGroupName/{group}:policyName/{name}")
}

fn describe(group: &GroupRow, name: &str, row: &PolicyRow) -> Result<ScalingPolicy, ApiError> {
    let request: PutScalingPolicyInput = stored::read(OPERATION, &row.request)?;
    let kind = kind(&request).to_owned();
    let aggregation = (kind == STEP).then(|| request.metric_aggregation_type.unwrap_or_else(|| "Average".to_owned()));
    Ok(ScalingPolicy {
        adjustment_type: request.adjustment_type,
        alarms: Vec::new(),
        auto_scaling_group_name: Some(group.name.clone()),
        cooldown: request.cooldown,
        enabled: Some(request.enabled.unwrap_or(true)),
        estimated_instance_warmup: request.estimated_instance_warmup,
        metric_aggregation_type: aggregation,
        min_adjustment_magnitude: request.min_adjustment_magnitude,
        min_adjustment_step: request.min_adjustment_step,
        policy_arn: Some(arn(group, name, &row.uid)),
        policy_name: Some(name.to_owned()),
        policy_type: Some(kind),
        predictive_scaling_configuration: None,
        scaling_adjustment: request.scaling_adjustment,
        step_adjustments: request.step_adjustments,
        target_tracking_configuration: request.target_tracking_configuration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: &str, least: Option<i32>) -> PutScalingPolicyInput {
        PutScalingPolicyInput {
            adjustment_type: Some(kind.to_owned()),
            min_adjustment_magnitude: least,
            ..Default::default()
        }
    }

    #[test]
    fn adjustments_round_as_aws_rounds() {
        let cases = [
            (10, CHANGE, None, 3, 13),
            (10, CHANGE, None, -3, 7),
            (10, EXACT, None, 4, 4),
            (10, PERCENT, None, 10, 11),
            (10, PERCENT, None, 127, 22),
            (10, PERCENT, None, 3, 11),
            (10, PERCENT, None, -3, 9),
            (10, PERCENT, None, -66, 4),
            (10, PERCENT, Some(2), 10, 12),
            (10, PERCENT, Some(2), -10, 8),
            (0, PERCENT, None, 50, 0),
        ];
        for (capacity, kind, least, adjustment, expected) in cases {
            assert_eq!(
                adjusted(capacity, &request(kind, least), adjustment),
                expected,
                "{capacity} {kind} {adjustment}"
            );
        }
    }

    #[test]
    fn steps_without_gap_or_overlap_are_taken() {
        let step = |lower: Option<f64>, upper: Option<f64>| StepAdjustment {
            metric_interval_lower_bound: lower,
            metric_interval_upper_bound: upper,
            scaling_adjustment: 1,
        };
        assert!(check_steps(&[step(Some(10.0), None), step(Some(0.0), Some(10.0))]).is_ok());
        assert!(check_steps(&[step(None, Some(-10.0)), step(Some(-10.0), Some(0.0))]).is_ok());
        assert!(check_steps(&[step(Some(0.0), Some(10.0)), step(Some(11.0), None)]).is_err());
        assert!(check_steps(&[step(Some(0.0), Some(10.0)), step(Some(5.0), None)]).is_err());
        assert!(check_steps(&[step(Some(5.0), Some(5.0))]).is_err());
        assert!(check_steps(&[]).is_err());
    }
}
