//! Update policies of Auto Scaling groups: instances are replaced batch by batch.
//!
//! Invariants:
//! - What is left to do is read off the group itself (instances whose launch configuration is not the group's), so that a
//!   crash in the middle only makes the rest be done later.
//! - A batch is over when its new instances are in service and, where the policy waits for signals, have signalled.

use std::time::Duration;

use serde_json::{Value, json};

use super::failure::{Failure, unless_missing};
use super::step::Step;
use super::{Done, Properties, texts as texts_of};
use crate::duration;

/// How long a group may take until it has the instances that it wants, where no policy says.
const SETTLE_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a group may take to end its instances.
const GONE_MAX: Duration = Duration::from_secs(30 * 60);

/// Has Auto Scaling answer an operation.
pub(super) async fn autoscaling(step: &Step, operation: &str, input: Value) -> Result<Value, Failure> {
    step.call("autoscaling", operation, input).await
}

/// A group as Auto Scaling describes it; null if there is none.
pub(super) async fn group(step: &Step, name: &str) -> Result<Value, Failure> {
    let input = json!({"AutoScalingGroupNames": [name]});
    let found = unless_missing(autoscaling(step, "DescribeAutoScalingGroups", input).await)?;
    Ok(found["AutoScalingGroups"][0].clone())
}

fn instances(group: &Value) -> impl Iterator<Item = &Value> {
    group["Instances"].as_array().into_iter().flatten()
}

fn in_service(group: &Value) -> usize {
    instances(group).filter(|one| one["LifecycleState"] == "InService").count()
}

fn size(group: &Value, name: &str) -> usize {
    group[name].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
}

/// Time since a moment of the clock.
fn since(step: &Step, ms: u64) -> Duration {
    Duration::from_millis(step.tools.clock.now().0.saturating_sub(ms))
}

/// Waits until a group has the instances that it wants. Where signals are waited for, they say more.
pub(super) async fn settle(step: &Step, name: &str) -> Done {
    let waits = step.creation_policy.as_ref().is_some_and(|policy| policy.get("ResourceSignal").is_some());
    if waits {
        return Ok(());
    }
    let (begun, mut looks) = (step.tools.clock.now().0, 0);
    loop {
        let group = group(step, name).await?;
        let (current, wanted) = (in_service(&group), size(&group, "DesiredCapacity"));
        if current >= wanted {
            return Ok(());
        }
        if since(step, begun) > SETTLE_MAX {
            let (min, max) = (size(&group, "MinSize"), size(&group, "MaxSize"));
            let why = last_failure(step, name).await?;
            return Err(Failure::refused(format!(
                "Group did not stabilize. {{current/minSize/maxSize group size = {current}/{min}/{max}}}.{why}"
            )));
        }
        step.pause(looks).await?;
        looks += 1;
    }
}

/// What the newest activity that failed says.
async fn last_failure(step: &Step, name: &str) -> Result<String, Failure> {
    let found = autoscaling(step, "DescribeScalingActivities", json!({"AutoScalingGroupName": name})).await?;
    let activities = found["Activities"].as_array().into_iter().flatten();
    let failed = activities.into_iter().find(|one| one["StatusCode"] == "Failed");
    let message = failed.and_then(|one| one["StatusMessage"].as_str());
    Ok(message.map(|message| format!(" Failed Scaling Activity: {message}")).unwrap_or_default())
}

/// Waits until a group is gone.
pub(super) async fn until_gone(step: &Step, name: &str) -> Done {
    let (begun, mut looks) = (step.tools.clock.now().0, 0);
    while !group(step, name).await?.is_null() {
        if since(step, begun) > GONE_MAX {
            return Err(Failure::refused(format!("Auto Scaling group {name} did not end its instances in time")));
        }
        step.pause(looks).await?;
        looks += 1;
    }
    Ok(())
}

/// What the update policy says of replacing instances.
struct Policy {
    batch_max: usize,
    in_service_min: usize,
    pause: Duration,
    waits_for_signals: bool,
    success_percent: usize,
    suspended: Vec<String>,
}

fn flag(policy: &Value, name: &str) -> bool {
    crate::template::text(&policy[name]).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn policy(step: &Step) -> Result<Option<Policy>, Failure> {
    let Some(rolling) = step.update_policy.as_ref().and_then(|policy| policy.get("AutoScalingRollingUpdate")) else {
        return Ok(None);
    };
    let number = |name: &str, otherwise: usize| {
        let text = crate::template::text(&rolling[name]);
        text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let waits_for_signals = flag(rolling, "WaitOnResourceSignals");
    let written = crate::template::text(&rolling["PauseTime"]);
    let written = written.unwrap_or_else(|| if waits_for_signals { "PT5M" } else { "PT0S" }.to_owned());
    let pause = duration::parse(&written)
        .ok_or_else(|| Failure::refused(format!("Invalid PauseTime {written} in AutoScalingRollingUpdate")))?;
    Ok(Some(Policy {
        batch_max: number("MaxBatchSize", 1).max(1),
        in_service_min: number("MinInstancesInService", 0),
        pause,
        waits_for_signals,
        success_percent: number("MinSuccessfulInstancesPercent", 100).min(100),
        suspended: rolling.get("SuspendProcesses").map(texts_of).unwrap_or_default(),
    }))
}

/// Whether sizes that the template leaves as they were are not the update's business.
pub(super) fn keeps_sizes(step: &Step) -> bool {
    let scheduled = step.update_policy.as_ref().map(|policy| &policy["AutoScalingScheduledAction"]);
    scheduled.is_some_and(|scheduled| flag(scheduled, "IgnoreUnmodifiedGroupSizeProperties"))
}

/// Whether a change is one for which instances are replaced.
pub(super) fn is_for_instances(old: &Properties, new: &Properties) -> bool {
    ["LaunchConfigurationName", "LaunchTemplate", "VPCZoneIdentifier"]
        .iter()
        .any(|name| old.get(*name) != new.get(*name))
}

/// Suspends what the policy wants suspended while instances are replaced.
pub(super) async fn begin(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    let Some(policy) = policy(step)?.filter(|_| is_for_instances(old, new)) else { return Ok(()) };
    if policy.in_service_min >= max_size(new) {
        return Err(Failure::refused("MinInstancesInService must be less than the autoscaling group's MaxSize"));
    }
    if !policy.suspended.is_empty() {
        let input = json!({"AutoScalingGroupName": name, "ScalingProcesses": policy.suspended});
        autoscaling(step, "SuspendProcesses", input).await?;
    }
    Ok(())
}

fn max_size(properties: &Properties) -> usize {
    properties.get("MaxSize").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
}

/// Replaces the instances that were launched from what the group had before.
pub(super) async fn replace_instances(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    let Some(policy) = policy(step)?.filter(|_| is_for_instances(old, new)) else { return Ok(()) };
    let subnets_changed = old.get("VPCZoneIdentifier") != new.get("VPCZoneIdentifier");
    let outcome = roll(step, name, &policy, subnets_changed, new).await;
    if !policy.suspended.is_empty() {
        let input = json!({"AutoScalingGroupName": name, "ScalingProcesses": policy.suspended});
        autoscaling(step, "ResumeProcesses", input).await?;
    }
    outcome
}

/// Whether an instance is one that the group would launch now.
fn is_new(group: &Value, instance: &Value, zones: Option<&[String]>) -> bool {
    let launched = match (group["LaunchConfigurationName"].as_str(), group["LaunchTemplate"].is_object()) {
        (Some(configuration), _) => instance["LaunchConfigurationName"] == configuration,
        (None, true) => {
            let (wanted, has) = (&group["LaunchTemplate"], &instance["LaunchTemplate"]);
            let is_fixed = wanted["Version"].as_str().is_some_and(|version| !version.starts_with('$'));
            wanted["LaunchTemplateId"] == has["LaunchTemplateId"] && (!is_fixed || wanted["Version"] == has["Version"])
        }
        (None, false) => true,
    };
    let zone = instance["AvailabilityZone"].as_str().unwrap_or_default();
    launched && zones.is_none_or(|zones| zones.iter().any(|known| known == zone))
}

async fn roll(step: &Step, name: &str, policy: &Policy, subnets_changed: bool, new: &Properties) -> Done {
    let mut announced = false;
    loop {
        let group = group(step, name).await?;
        let zones: Option<Vec<String>> = subnets_changed.then(|| texts_of(&group["AvailabilityZones"]));
        let old: Vec<String> = instances(&group)
            .filter(|one| !is_new(&group, one, zones.as_deref()))
            .filter(|one| one["LifecycleState"] == "InService" || one["LifecycleState"] == "Pending")
            .filter_map(|one| one["InstanceId"].as_str().map(str::to_owned))
            .collect();
        if !announced && !old.is_empty() {
            announced = true;
            step.note(&format!(
                "Rolling update initiated. Terminating {} obsolete instance(s) in batches of {}, while keeping at least {} \
                 instance(s) in service.",
                old.len(),
                policy.batch_max,
                policy.in_service_min
            ))
            .await?;
        }
        if old.is_empty() {
            return settle_sizes(step, name, &group, new).await;
        }
        let wanted = size(&group, "DesiredCapacity");
        let spare = wanted.saturating_sub(policy.in_service_min);
        let batch = old.len().min(policy.batch_max);
        match spare {
            0 => grow(step, name, &group, policy, batch).await?,
            spare => shrink(step, name, &old[..batch.min(spare)], wanted > target(new, wanted)).await?,
        }
        batch_comes(step, name, policy, zones.as_deref()).await?;
    }
}

/// How many instances the template wants.
fn target(new: &Properties, otherwise: usize) -> usize {
    let wanted = new.get("DesiredCapacity").or_else(|| new.get("MinSize")).and_then(Value::as_u64);
    wanted.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(otherwise)
}

/// Makes room for a batch where no instance may go first.
async fn grow(step: &Step, name: &str, group: &Value, policy: &Policy, batch: usize) -> Done {
    let wanted = size(group, "DesiredCapacity");
    let more = (wanted + batch).min(size(group, "MaxSize"));
    if more <= wanted {
        return Err(Failure::refused(format!(
            "The group cannot keep {} instance(s) in service: its size is at its maximum of {wanted}",
            policy.in_service_min
        )));
    }
    autoscaling(step, "SetDesiredCapacity", json!({"AutoScalingGroupName": name, "DesiredCapacity": more}))
        .await
        .map(drop)
}

async fn shrink(step: &Step, name: &str, ids: &[String], for_good: bool) -> Done {
    step.note(&format!("Terminating instance(s) [{}]; replacing with {} new instance(s).", ids.join(","), ids.len()))
        .await?;
    for id in ids {
        let input = json!({"InstanceId": id, "ShouldDecrementDesiredCapacity": for_good});
        match autoscaling(step, "TerminateInstanceInAutoScalingGroup", input).await {
            // Gone already, or going.
            Err(failure) if failure.is(&["ValidationError", "ScalingActivityInProgress"]) => {}
            other => drop(other?),
        }
    }
    // The group must have seen that they go before it is asked whether it is whole.
    let mut looks = 0;
    loop {
        let group = group(step, name).await?;
        let alive = |one: &&Value| {
            ids.iter().any(|id| one["InstanceId"] == id.as_str()) && one["LifecycleState"] == "InService"
        };
        if instances(&group).find(alive).is_none() {
            return Ok(());
        }
        step.pause(looks).await?;
        looks += 1;
    }
}

/// Waits until the group is whole and every new instance has signalled.
async fn batch_comes(step: &Step, name: &str, policy: &Policy, zones: Option<&[String]>) -> Done {
    let (begun, mut looks) = (step.tools.clock.now().0, 0);
    let limit = if policy.waits_for_signals { policy.pause } else { SETTLE_MAX };
    loop {
        let group = group(step, name).await?;
        let new: Vec<&str> = instances(&group)
            .filter(|one| is_new(&group, one, zones))
            .filter_map(|one| one["InstanceId"].as_str())
            .collect();
        let is_whole = in_service(&group) >= size(&group, "DesiredCapacity");
        if !policy.waits_for_signals && is_whole {
            return step.wait(policy.pause).await;
        }
        if policy.waits_for_signals {
            let signals = step.tools.stacks.signals(step, &step.logical).await?;
            let of = |id: &&&str| signals.iter().find(|signal| signal.unique_id == **id);
            let (heard, failed) = (new.iter().filter(|id| of(id).is_some()).count(), {
                new.iter().filter(|id| of(id).is_some_and(|signal| !signal.is_success)).count()
            });
            let allowed = new.len() * (100 - policy.success_percent) / 100;
            if failed > allowed {
                return Err(Failure::refused(format!(
                    "Received {failed} FAILURE signal(s) out of {}. Unable to satisfy {}% MinSuccessfulInstancesPercent requirement",
                    new.len(),
                    policy.success_percent
                )));
            }
            if is_whole && heard == new.len() {
                return Ok(());
            }
            if since(step, begun) > limit && is_whole && failed + (new.len() - heard) <= allowed {
                return Ok(());
            }
        }
        if since(step, begun) > limit {
            return Err(match policy.waits_for_signals {
                true => Failure::refused(
                    "Failed to receive resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.",
                ),
                false => Failure::refused(format!("Group did not stabilize.{}", last_failure(step, name).await?)),
            });
        }
        step.pause(looks).await?;
        looks += 1;
    }
}

/// Gives the group back the size that it was made larger from.
async fn settle_sizes(step: &Step, name: &str, group: &Value, new: &Properties) -> Done {
    let (wanted, target) = (size(group, "DesiredCapacity"), target(new, size(group, "DesiredCapacity")));
    if wanted <= target || keeps_sizes(step) {
        return Ok(());
    }
    autoscaling(step, "SetDesiredCapacity", json!({"AutoScalingGroupName": name, "DesiredCapacity": target}))
        .await
        .map(drop)
}
