//! The one file that knows Auto Scaling's error codes and sentences.
//!
//! Invariants:
//! - Every `ApiError` of this crate is built here; the other files name the situation, never the wording.
//! - No sentence carries internal detail: what went wrong inside goes to the log.
//!
//! Sentences marked "recorded" were seen in answers of AWS; the others follow AWS's documentation or its style.

use std::fmt::Display;

use ::api::autoscaling::errors as model;
use store::StoreError;
use wire::ApiError;

use crate::rows::{GroupRow, LaunchSource};

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationError", message)
}

// --- what is not there yet ---------------------------------------------------------------------------------------

/// A parameter that would have no effect.
pub(crate) fn not_supported(what: &str) -> ApiError {
    validation(format!("{what} is not supported by Millpond"))
}

/// A value that would have no effect.
pub(crate) fn value_not_supported(name: &str, value: &str) -> ApiError {
    validation(format!("{name} '{value}' is not supported by Millpond"))
}

/// A hook's target: nobody would be told. Recorded.
pub(crate) fn notification_target_unreachable(target: &str, role: &str) -> ApiError {
    validation(format!(
        "Unable to publish test message to notification target {target} using IAM role {role}. Please check your target \
         and role configuration and try to put lifecycle hook again."
    ))
}

/// A topic to notify: there is no SNS.
pub(crate) fn topic_unreachable(topic: &str) -> ApiError {
    validation(format!("Unable to publish test message to notification target {topic}: Millpond has no SNS"))
}

// --- launch configurations and templates -------------------------------------------------------------------------

/// CreateLaunchConfiguration of an existing name. Recorded.
pub(crate) fn launch_configuration_exists(name: &str) -> ApiError {
    model::already_exists_fault(format!(
        "Launch Configuration by this name already exists - A launch configuration already exists with the name {name}"
    ))
}

/// DeleteLaunchConfiguration of none. Recorded.
pub(crate) fn launch_configuration_not_found(name: &str) -> ApiError {
    validation(format!("Launch configuration name not found - Launch configuration {name} not found"))
}

/// A group that is to use one that is not there.
pub(crate) fn launch_configuration_unknown(name: &str) -> ApiError {
    validation(format!(
        "Launch configuration name not found - A launch configuration with the name: {name} does not exist"
    ))
}

/// DeleteLaunchConfiguration of one that a group uses. Recorded.
pub(crate) fn launch_configuration_in_use(name: &str, group: &str) -> ApiError {
    model::resource_in_use_fault(format!(
        "Cannot delete launch configuration {name} because it is attached to AutoScalingGroup {group}"
    ))
}

/// An intent whose launch configuration was deleted before EC2 was asked.
pub(crate) fn launch_configuration_gone(source: &LaunchSource) -> ApiError {
    let name = match source {
        LaunchSource::Configuration { name, .. } | LaunchSource::Template { name, .. } => name,
    };
    validation(format!("The launch configuration {name} does not exist."))
}

/// Neither an image nor an instance to be like.
pub(crate) fn launch_configuration_incomplete() -> ApiError {
    validation(
        "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType parameters.",
    )
}

/// Security groups by id and by name at once.
pub(crate) fn security_groups_mixed() -> ApiError {
    validation("Security groups must be given either all by their ids or all by their names")
}

/// A public address, and security groups by name.
pub(crate) fn public_address_with_group_names() -> ApiError {
    validation("AssociatePublicIpAddress requires that security groups are given by their ids")
}

/// More than 16 KiB.
pub(crate) fn user_data_too_long() -> ApiError {
    validation("User data is limited to 16384 bytes")
}

/// User data that is not base64.
pub(crate) fn user_data_not_base64() -> ApiError {
    validation("Invalid BASE64 encoding of user data")
}

/// A group without a launch source. Recorded.
pub(crate) fn no_launch_source() -> ApiError {
    validation(
        "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy \
         parameter.",
    )
}

/// A group with two. Recorded.
pub(crate) fn two_launch_sources() -> ApiError {
    validation(
        "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy \
         parameter.",
    )
}

/// A launch template by id and name, or by neither. Recorded.
pub(crate) fn launch_template_unclear() -> ApiError {
    validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
}

/// EC2 answers with no version.
pub(crate) fn launch_template_version_unknown() -> ApiError {
    validation("You must use a valid fully-formed launch template. The version does not exist.")
}

// --- groups ------------------------------------------------------------------------------------------------------

/// No group of this name. Recorded.
pub(crate) fn group_not_found(name: &str) -> ApiError {
    validation(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}

/// A group that is on its way out.
pub(crate) fn group_pending_delete(name: &str) -> ApiError {
    validation(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' is pending delete"))
}

/// CreateAutoScalingGroup of an existing name. Recorded.
pub(crate) fn group_exists(name: &str) -> ApiError {
    model::already_exists_fault(format!(
        "AutoScalingGroup by this name already exists - A group with the name {name} already exists"
    ))
}

/// CreateAutoScalingGroup of a name that is not free yet. Recorded.
pub(crate) fn group_exists_pending_delete(name: &str) -> ApiError {
    model::already_exists_fault(format!(
        "AutoScalingGroup by this name already exists - A group with the name {name} is already pending delete"
    ))
}

/// A name that would not fit into an ARN.
pub(crate) fn group_name_malformed(name: &str) -> ApiError {
    validation(format!("Group name '{name}' must not contain a colon"))
}

/// DeleteAutoScalingGroup with instances in it. Recorded.
pub(crate) fn group_has_instances() -> ApiError {
    model::resource_in_use_fault(
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the \
         group.",
    )
}

/// DeleteAutoScalingGroup while something is under way. Recorded.
pub(crate) fn group_is_busy() -> ApiError {
    model::scaling_activity_in_progress_fault(
        "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
    )
}

/// DeletionProtection forbids it.
pub(crate) fn deletion_prevented(name: &str) -> ApiError {
    validation(format!("AutoScalingGroup '{name}' cannot be deleted: its deletion protection forbids it"))
}

/// A negative bound.
pub(crate) fn size_negative() -> ApiError {
    validation("Group sizes must not be negative")
}

/// Bounds the wrong way round. Recorded.
pub(crate) fn max_below_min(min: i32, max: i32) -> ApiError {
    validation(format!("Max bound, {max}, must be greater than or equal to min bound, {min}"))
}

/// A bound beyond ours.
pub(crate) fn size_too_large(size: i32, max: i32) -> ApiError {
    validation(format!("Max bound, {size}, must not be greater than {max}"))
}

/// A desired capacity outside of the bounds. Recorded.
pub(crate) fn desired_out_of_bounds(desired: i32, min: i32, max: i32) -> ApiError {
    validation(format!("Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"))
}

/// SetDesiredCapacity too high. Recorded.
pub(crate) fn desired_above_max(desired: i32, max: i32) -> ApiError {
    validation(format!("New SetDesiredCapacity value {desired} is above max value {max} for the AutoScalingGroup."))
}

/// SetDesiredCapacity too low. Recorded.
pub(crate) fn desired_below_min(desired: i32, min: i32) -> ApiError {
    validation(format!("New SetDesiredCapacity value {desired} is below min value {min} for the AutoScalingGroup."))
}

/// An activity goes on. Recorded.
pub(crate) fn activity_blocks(id: &str) -> ApiError {
    model::scaling_activity_in_progress_fault(format!("Scaling activity {id} is in progress and blocks this action"))
}

/// The cooldown is not over.
pub(crate) fn cooling_down(group: &str) -> ApiError {
    model::scaling_activity_in_progress_fault(format!(
        "The cooldown period of AutoScalingGroup '{group}' is not over and blocks this action"
    ))
}

/// A time span below zero.
pub(crate) fn seconds_negative(name: &str, seconds: i32) -> ApiError {
    validation(format!("{name} must not be negative: {seconds}"))
}

/// MaxInstanceLifetime out of range.
pub(crate) fn lifetime_out_of_range(seconds: i32, min: i32, max: i32) -> ApiError {
    validation(format!("MaxInstanceLifetime must be 0 or between {min} and {max} seconds: {seconds}"))
}

/// A health check of no kind.
pub(crate) fn health_check_type_unknown(kind: &str) -> ApiError {
    validation(format!("{kind} is not a valid health check type. Valid health check types are EC2 and ELB."))
}

/// A termination policy that there is not.
pub(crate) fn termination_policy_unknown(policy: &str) -> ApiError {
    validation(format!("'{policy}' is not a valid termination policy"))
}

/// A process that there is not.
pub(crate) fn process_unknown(process: &str) -> ApiError {
    validation(format!("'{process}' is not a valid scaling process"))
}

/// A metric that there is not.
pub(crate) fn metric_unknown(metric: &str) -> ApiError {
    validation(format!("'{metric}' is not a valid metric"))
}

/// A granularity that there is not. Recorded.
pub(crate) fn granularity_unknown(granularity: &str) -> ApiError {
    validation(format!("Valid metrics granularity type is: [1Minute], not [{granularity}]."))
}

/// Neither zones nor subnets. Recorded.
pub(crate) fn no_zones() -> ApiError {
    validation("At least one Availability Zone or VPC Subnet is required.")
}

/// Zones that EC2 does not know. Recorded.
pub(crate) fn zones_invalid(zones: &[String]) -> ApiError {
    validation(format!("Invalid availability zones: [{}]", zones.join(", ")))
}

/// Zones that are not those of the subnets. Recorded.
pub(crate) fn zones_and_subnets_differ() -> ApiError {
    validation("The availability zones of the specified subnets and the AutoScalingGroup do not match")
}

/// No such subnet. Recorded.
pub(crate) fn subnet_not_found(id: &str) -> ApiError {
    validation(format!("The subnet ID '{id}' does not exist"))
}

/// Subnets of several networks.
pub(crate) fn subnets_of_several_vpcs() -> ApiError {
    validation("The subnets of an AutoScalingGroup must be in one VPC")
}

/// A load balancer that is not there. Recorded.
pub(crate) fn load_balancers_invalid() -> ApiError {
    validation("Provided Load Balancers may not be valid. Please ensure they exist and try again.")
}

/// DetachLoadBalancers of one that is not attached. Recorded.
pub(crate) fn load_balancer_not_attached(name: &str) -> ApiError {
    validation(format!("Trying to remove Load Balancers that are not part of the group: {name}"))
}

// --- instances ---------------------------------------------------------------------------------------------------

/// No group has this instance. Recorded.
pub(crate) fn instance_not_managed(id: &str) -> ApiError {
    validation(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
}

/// The group has no such instance. Recorded.
pub(crate) fn instance_not_in_group(id: &str, group: &str) -> ApiError {
    validation(format!("The instance {id} is not part of Auto Scaling group {group}."))
}

/// AttachInstances of one that is taken.
pub(crate) fn instance_in_a_group(id: &str, group: &str) -> ApiError {
    validation(format!("Instance {id} is already part of AutoScalingGroup:{group}"))
}

/// AttachInstances of one that does not run. Recorded.
pub(crate) fn instance_not_running(id: &str, state: &str) -> ApiError {
    validation(format!("Instance {id} is not in correct state. Instance(s) must be in 'running' state, not '{state}'."))
}

/// AttachInstances of one that is elsewhere.
pub(crate) fn instance_in_another_zone(id: &str, zone: &str) -> ApiError {
    validation(format!("Instance {id} is in availability zone {zone}, which the AutoScalingGroup does not use"))
}

/// One that does not serve. Recorded.
pub(crate) fn instance_not_in_service(id: &str, state: &str) -> ApiError {
    validation(format!("The instance {id} is not in InService or Standby state: it is in {state}."))
}

/// ExitStandby of one that is not on standby. Recorded.
pub(crate) fn instance_not_on_standby(id: &str, state: &str) -> ApiError {
    validation(format!("The instance {id} is not in Standby state: it is in {state}."))
}

/// A request that names no instance.
pub(crate) fn no_instance_ids() -> ApiError {
    validation("At least one instance ID must be specified")
}

/// A request that names an instance twice.
pub(crate) fn instance_named_twice(id: &str) -> ApiError {
    validation(format!("Instance {id} is specified more than once"))
}

/// The bounds forbid what a user wants with instances. Recorded for standby.
pub(crate) fn sizes_forbid(row: &GroupRow, what: &str, count: usize) -> ApiError {
    let GroupRow { name, min, max, desired, .. } = row;
    let noun = if count == 1 { "instance" } else { "instances" };
    validation(format!(
        "AutoScalingGroup {name} has min-size={min}, max-size={max}, and desired-size={desired}. To {what} {count} \
         {noun}, please update the AutoScalingGroup sizes appropriately."
    ))
}

/// TerminateInstanceInAutoScalingGroup below the minimum. Recorded.
pub(crate) fn desired_equals_min(min: i32) -> ApiError {
    validation(format!(
        "Currently, desiredSize equals minSize ({min}). Terminating instance without replacement will violate group's min \
         size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size."
    ))
}

/// SetInstanceHealth of no kind.
pub(crate) fn health_status_unknown(status: &str) -> ApiError {
    validation(format!("{status} is not a valid health status. Valid values are Healthy and Unhealthy."))
}

// --- hooks -------------------------------------------------------------------------------------------------------

/// No hook of this name. Recorded.
pub(crate) fn hook_not_found(name: &str) -> ApiError {
    validation(format!("No Lifecycle Hook found with name: {name}"))
}

/// No instance waits with this token. Recorded.
pub(crate) fn no_action_with_token(token: &str) -> ApiError {
    validation(format!("No active Lifecycle Action found with token {token}"))
}

/// The instance does not wait. Recorded.
pub(crate) fn no_action_with_instance(id: &str) -> ApiError {
    validation(format!("No active Lifecycle Action found with instance ID {id}"))
}

/// Neither a token nor an instance.
pub(crate) fn action_unnamed() -> ApiError {
    validation("Either LifecycleActionToken or InstanceId must be specified")
}

/// A new hook without its transition.
pub(crate) fn transition_missing() -> ApiError {
    validation("LifecycleTransition must be specified for a new lifecycle hook")
}

/// A transition that there is not.
pub(crate) fn transition_unknown(transition: &str) -> ApiError {
    validation(format!("{transition} is not a valid lifecycle transition"))
}

/// A result that there is not.
pub(crate) fn hook_result_unknown(result: &str) -> ApiError {
    validation(format!("{result} is not a valid lifecycle action result. Valid values are CONTINUE and ABANDON."))
}

/// A heartbeat timeout out of range.
pub(crate) fn heartbeat_timeout_out_of_range(seconds: i32, min: i32, max: i32) -> ApiError {
    validation(format!("HeartbeatTimeout must be between {min} and {max} seconds: {seconds}"))
}

// --- policies ----------------------------------------------------------------------------------------------------

/// No policy of this name.
pub(crate) fn policy_not_found(name: &str) -> ApiError {
    validation(format!("No scaling policy found with name or ARN: {name}"))
}

/// A policy's name without its group.
pub(crate) fn policy_group_missing() -> ApiError {
    validation("AutoScalingGroupName must be specified when the policy is given by its name")
}

/// A policy type that there is not.
pub(crate) fn policy_type_unknown(kind: &str) -> ApiError {
    validation(format!("{kind} is not a valid policy type"))
}

/// A policy that lacks what it means.
pub(crate) fn policy_parameter_missing(name: &str, kind: &str) -> ApiError {
    validation(format!("{name} must be specified for policy type {kind}"))
}

/// A policy that says what its type does not know.
pub(crate) fn policy_parameter_unwanted(name: &str, kind: &str) -> ApiError {
    validation(format!("{name} must not be specified for policy type {kind}"))
}

/// A target tracking policy with no metric, or two.
pub(crate) fn target_metric_unclear() -> ApiError {
    validation(
        "TargetTrackingConfiguration must contain either PredefinedMetricSpecification or CustomizedMetricSpecification",
    )
}

/// An adjustment type that there is not. Recorded.
pub(crate) fn adjustment_type_unknown(kind: &str) -> ApiError {
    validation(format!(
        "{kind} is not a valid adjustment type. Valid adjustment types are ChangeInCapacity, ExactCapacity and \
         PercentChangeInCapacity."
    ))
}

/// MinAdjustmentMagnitude without a percentage.
pub(crate) fn magnitude_without_percent() -> ApiError {
    validation("MinAdjustmentMagnitude is only valid with AdjustmentType PercentChangeInCapacity")
}

/// A number of a policy that is too small.
pub(crate) fn policy_number_invalid() -> ApiError {
    validation("MinAdjustmentMagnitude must be positive, Cooldown must not be negative")
}

/// Steps with a gap or an overlap.
pub(crate) fn steps_do_not_join() -> ApiError {
    validation("StepAdjustment intervals can't overlap or have gaps between them")
}

/// ExecutePolicy of a step policy without its metric.
pub(crate) fn step_needs_metric() -> ApiError {
    validation("MetricValue and BreachThreshold must be specified for policy type StepScaling")
}

/// No step for a breach.
pub(crate) fn no_step(breach: f64) -> ApiError {
    validation(format!("No step adjustment found for metric difference {breach}"))
}

/// ExecutePolicy of one that is switched off.
pub(crate) fn policy_disabled(name: &str) -> ApiError {
    validation(format!("The scaling policy {name} is disabled"))
}

/// ExecutePolicy of one that only a metric executes.
pub(crate) fn policy_not_executable(name: &str, kind: &str) -> ApiError {
    validation(format!("The scaling policy {name} of type {kind} cannot be executed by a user"))
}

// --- schedules ---------------------------------------------------------------------------------------------------

/// No scheduled action of this name.
pub(crate) fn scheduled_action_not_found(name: &str) -> ApiError {
    validation(format!("Scheduled action name not found - Scheduled action {name} not found"))
}

/// A scheduled action that would do nothing.
pub(crate) fn scheduled_action_without_sizes() -> ApiError {
    validation("At least one of MinSize, MaxSize and DesiredCapacity must be specified")
}

/// A start in the past. Recorded.
pub(crate) fn start_time_past() -> ApiError {
    validation("Given start time is in the past")
}

/// An end in the past. Recorded.
pub(crate) fn end_time_past() -> ApiError {
    validation("Given end time is in the past")
}

/// An end before the start.
pub(crate) fn end_before_start() -> ApiError {
    validation("Given end time is before the start time")
}

/// Neither a start nor a recurrence.
pub(crate) fn start_time_missing() -> ApiError {
    validation("Either StartTime or Recurrence must be specified")
}

/// A recurrence that cron does not know. Recorded.
pub(crate) fn recurrence_invalid(recurrence: &str) -> ApiError {
    validation(format!("Given recurrence string: {recurrence} is invalid"))
}

/// A time zone that there is not.
pub(crate) fn time_zone_unknown(zone: &str) -> ApiError {
    validation(format!("The time zone {zone} is not a valid time zone"))
}

/// A time zone that nothing is in.
pub(crate) fn time_zone_without_recurrence() -> ApiError {
    validation("TimeZone can only be specified with Recurrence")
}

// --- refreshes ---------------------------------------------------------------------------------------------------

/// StartInstanceRefresh while one goes on. Recorded.
pub(crate) fn refresh_in_progress() -> ApiError {
    model::instance_refresh_in_progress_fault(
        "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
    )
}

/// CancelInstanceRefresh of none. Recorded.
pub(crate) fn no_active_refresh() -> ApiError {
    model::active_instance_refresh_not_found_fault(
        "No in progress or pending Instance Refresh found for Auto Scaling group",
    )
}

/// MaxHealthyPercentage alone.
pub(crate) fn max_healthy_without_min() -> ApiError {
    validation("MinHealthyPercentage must be specified with MaxHealthyPercentage")
}

/// MaxHealthyPercentage out of range.
pub(crate) fn max_healthy_out_of_range() -> ApiError {
    validation("MaxHealthyPercentage must be between 100 and 200, and at most 100 more than MinHealthyPercentage")
}

/// MinHealthyPercentage out of range.
pub(crate) fn min_healthy_out_of_range() -> ApiError {
    validation("MinHealthyPercentage must be between 0 and 100")
}

/// Checkpoints that do not rise.
pub(crate) fn checkpoints_invalid() -> ApiError {
    validation("CheckpointPercentages must be between 1 and 100, in ascending order")
}

// --- tags --------------------------------------------------------------------------------------------------------

/// CreateOrUpdateTags of a group that is not there. Recorded.
pub(crate) fn tagged_group_not_found(name: &str) -> ApiError {
    validation(format!("AutoScalingGroup not found - AutoScaling Group {name} not found"))
}

/// A key of AWS's.
pub(crate) fn tag_key_reserved() -> ApiError {
    validation("Tag keys starting with 'aws:' are reserved for AWS use")
}

/// A key or value that is too long.
pub(crate) fn tag_too_long(key: &str) -> ApiError {
    validation(format!("Tag key must be at most 128 characters and tag value at most 256 characters: {key}"))
}

/// A key given twice.
pub(crate) fn duplicate_tag_key(key: &str) -> ApiError {
    validation(format!("Duplicate tag key '{key}' specified"))
}

/// A kind of resource that has no tags here.
pub(crate) fn tag_resource_type(kind: &str) -> ApiError {
    validation(format!("'{kind}' is not a valid resource type. The only valid type is auto-scaling-group."))
}

/// A filter that there is not.
pub(crate) fn filter_unknown(name: &str) -> ApiError {
    validation(format!("Filter type {name} is not correct."))
}

// --- the frame ---------------------------------------------------------------------------------------------------

/// One more than there may be.
pub(crate) fn too_many(what: &str, max: usize) -> ApiError {
    model::limit_exceeded_fault(format!("The quota of {max} {what} has been reached"))
}

/// More than one request may name.
pub(crate) fn too_many_at_once(what: &str, max: usize) -> ApiError {
    validation(format!("{what}: at most {max} can be specified in one request"))
}

/// MaxRecords out of range.
pub(crate) fn max_records_out_of_range(max_records: impl Display) -> ApiError {
    validation(format!("MaxRecords must be between 1 and 100: {max_records}"))
}

/// A token that we did not give out.
pub(crate) fn next_token_invalid() -> ApiError {
    model::invalid_next_token("The NextToken value is not valid.")
}

/// Nobody signed.
pub(crate) fn missing_authentication_token() -> ApiError {
    ApiError::sender("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
}

/// Something failed inside; the cause is in the log.
pub(crate) fn internal() -> ApiError {
    ApiError::receiver("InternalFailure", "We encountered an internal error. Please try again.")
}

/// A row that could not be read or written; the cause goes to the log.
pub(crate) fn from_store(error: &StoreError) -> ApiError {
    tracing::error!(%error, "the store failed");
    internal()
}

/// Another service's refusal is the user's business, its failure is not.
pub(crate) fn from_dependency(service: &'static str, error: &ApiError) -> ApiError {
    if error.status < 500 {
        return validation(error.message.clone());
    }
    tracing::error!(service, %error, "a service that Auto Scaling asks failed");
    ApiError::receiver("ServiceUnavailable", format!("{service} did not answer in time. Please try again."))
        .with_status(503)
}
