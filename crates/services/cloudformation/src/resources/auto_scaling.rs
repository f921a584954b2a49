//! Auto Scaling: launch configurations, groups, and what makes groups move.
//!
//! Invariant: names follow from the step, so that putting something again after a crash changes what is there and makes
//! nothing new.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::auto_scaling_rolling::{self as rolling, autoscaling, group};
use super::ec2_network::{ignore, object};
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, boolean, integer, json as document, list, number, structure, text, texts};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required, text as text_of, texts as texts_of};

/// `AWS::AutoScaling::LaunchConfiguration`.
pub(super) struct LaunchConfiguration;
/// `AWS::AutoScaling::AutoScalingGroup`.
pub(super) struct AutoScalingGroup;
/// `AWS::AutoScaling::LifecycleHook`.
pub(super) struct LifecycleHook;
/// `AWS::AutoScaling::ScalingPolicy`.
pub(super) struct ScalingPolicy;
/// `AWS::AutoScaling::ScheduledAction`.
pub(super) struct ScheduledAction;

const EBS: &[Property] = &[
    boolean("DeleteOnTermination"),
    boolean("Encrypted"),
    integer("Iops"),
    text("SnapshotId"),
    integer("Throughput"),
    integer("VolumeSize"),
    text("VolumeType"),
];
const MAPPING: &[Property] =
    &[text("DeviceName").required(), structure("Ebs", EBS), boolean("NoDevice"), text("VirtualName")];
const METADATA: &[Property] = &[text("HttpEndpoint"), integer("HttpPutResponseHopLimit"), text("HttpTokens")];
static LAUNCH_CONFIGURATION: Table = Table::new(
    "AWS::AutoScaling::LaunchConfiguration",
    &[
        boolean("AssociatePublicIpAddress").replaces(),
        list("BlockDeviceMappings", &Kind::Structure(MAPPING)).replaces(),
        boolean("EbsOptimized").replaces(),
        text("IamInstanceProfile").replaces(),
        text("ImageId").replaces(),
        text("InstanceId").replaces(),
        boolean("InstanceMonitoring").replaces(),
        text("InstanceType").replaces(),
        text("KernelId").replaces(),
        text("KeyName").replaces(),
        text("LaunchConfigurationName").replaces(),
        structure("MetadataOptions", METADATA).replaces(),
        text("PlacementTenancy").replaces(),
        text("RamDiskId").replaces(),
        texts("SecurityGroups").replaces(),
        text("SpotPrice").replaces(),
        text("UserData").replaces(),
    ],
    &[],
)
.named_by("LaunchConfigurationName");

fn launch_configuration(name: &str, properties: &Properties) -> Value {
    let mut input = properties.clone();
    input.insert("LaunchConfigurationName".into(), json!(name));
    if let Some(monitoring) = properties.get("InstanceMonitoring") {
        input.insert("InstanceMonitoring".into(), json!({"Enabled": monitoring}));
    }
    if let Some(id) = input.remove("RamDiskId") {
        input.insert("RamdiskId".into(), id);
    }
    Value::Object(input)
}

/// Seconds since the epoch as milliseconds.
fn moment_ms(value: &Value) -> Option<f64> {
    value.as_f64().map(|seconds| seconds * 1000.0)
}

#[async_trait]
impl ResourceType for LaunchConfiguration {
    fn table(&self) -> &'static Table {
        &LAUNCH_CONFIGURATION
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = text_of(properties, "LaunchConfigurationName").map_or_else(|| step.name(255), str::to_owned);
        let found =
            autoscaling(step, "DescribeLaunchConfigurations", json!({"LaunchConfigurationNames": [name]})).await?;
        let one = &found["LaunchConfigurations"][0];
        // It carries no tags: ours is one that came after this step was begun.
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double exactly")]
        let is_ours = moment_ms(&one["CreatedTime"]).is_some_and(|at| at + 1000.0 > step.begun_ms as f64);
        Ok((is_ours && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let name = text_of(properties, "LaunchConfigurationName").map_or_else(|| step.name(255), str::to_owned);
        autoscaling(step, "CreateLaunchConfiguration", launch_configuration(&name, properties)).await?;
        step.record(&name).await
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let mut looks = 0;
        loop {
            let gone = autoscaling(step, "DeleteLaunchConfiguration", json!({"LaunchConfigurationName": id})).await;
            match gone {
                Err(failure) if failure.is(&["ValidationError"]) => return Ok(()),
                // Its group may be about to go.
                Err(failure) if failure.is(&["ResourceInUse"]) && looks < 30 => step.pause(looks).await?,
                other => return unless_missing(other).map(drop),
            }
            looks += 1;
        }
    }
}

const FROM_TEMPLATE: &[Property] = &[text("LaunchTemplateId"), text("LaunchTemplateName"), text("Version").required()];
const GROUP_TAG: &[Property] =
    &[text("Key").required(), boolean("PropagateAtLaunch").required(), text("Value").required()];
const METRICS: &[Property] = &[text("Granularity").required(), texts("Metrics")];
const HOOK: &[Property] = &[
    text("DefaultResult"),
    integer("HeartbeatTimeout"),
    text("LifecycleHookName").required(),
    text("LifecycleTransition").required(),
    text("NotificationMetadata"),
    text("NotificationTargetARN"),
    text("RoleARN"),
];
static AUTO_SCALING_GROUP: Table = Table::new(
    "AWS::AutoScaling::AutoScalingGroup",
    &[
        text("AutoScalingGroupName").replaces(),
        texts("AvailabilityZones"),
        boolean("CapacityRebalance"),
        integer("Cooldown"),
        integer("DefaultInstanceWarmup"),
        integer("DesiredCapacity"),
        integer("HealthCheckGracePeriod"),
        text("HealthCheckType"),
        text("LaunchConfigurationName"),
        structure("LaunchTemplate", FROM_TEMPLATE),
        list("LifecycleHookSpecificationList", &Kind::Structure(HOOK)).replaces(),
        texts("LoadBalancerNames"),
        integer("MaxInstanceLifetime"),
        integer("MaxSize").required(),
        list("MetricsCollection", &Kind::Structure(METRICS)),
        integer("MinSize").required(),
        boolean("NewInstancesProtectedFromScaleIn"),
        list("Tags", &Kind::Structure(GROUP_TAG)),
        texts("TerminationPolicies"),
        texts("VPCZoneIdentifier"),
    ],
    &["AutoScalingGroupARN"],
)
.named_by("AutoScalingGroupName");

/// What creating and updating a group have in common.
const GROUP_MEMBERS: [&str; 14] = [
    "AvailabilityZones",
    "CapacityRebalance",
    "DefaultInstanceWarmup",
    "DesiredCapacity",
    "HealthCheckGracePeriod",
    "HealthCheckType",
    "LaunchConfigurationName",
    "LaunchTemplate",
    "MaxInstanceLifetime",
    "MaxSize",
    "MinSize",
    "NewInstancesProtectedFromScaleIn",
    "TerminationPolicies",
    "Cooldown",
];

fn group_input(name: &str, properties: &Properties) -> Properties {
    let mut input = only(properties, &GROUP_MEMBERS);
    if let Some(cooldown) = input.remove("Cooldown") {
        input.insert("DefaultCooldown".into(), cooldown);
    }
    if let Some(subnets) = properties.get("VPCZoneIdentifier") {
        input.insert("VPCZoneIdentifier".into(), json!(texts_of(subnets).join(",")));
    }
    input.insert("AutoScalingGroupName".into(), json!(name));
    input
}

/// A group's tags; the stack's and CloudFormation's own go on to the instances.
fn group_tags(step: &Step, name: &str, properties: &Properties) -> Vec<Value> {
    let spread = |key: &str| {
        let own = properties.get("Tags").and_then(Value::as_array).into_iter().flatten();
        own.into_iter().find(|tag| tag["Key"] == key).and_then(|tag| tag["PropagateAtLaunch"].as_bool()).unwrap_or(true)
    };
    let tag = |(key, value): (&String, &String)| {
        json!({
            "Key": key, "Value": value, "PropagateAtLaunch": spread(key), "ResourceId": name,
            "ResourceType": "auto-scaling-group",
        })
    };
    step.tags(properties).iter().map(tag).collect()
}

async fn set_metrics(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    if old.get("MetricsCollection") == new.get("MetricsCollection") {
        return Ok(());
    }
    if old.contains_key("MetricsCollection") {
        autoscaling(step, "DisableMetricsCollection", json!({"AutoScalingGroupName": name})).await?;
    }
    for one in new.get("MetricsCollection").and_then(Value::as_array).into_iter().flatten() {
        let mut input = object(one.clone());
        input.insert("AutoScalingGroupName".into(), json!(name));
        autoscaling(step, "EnableMetricsCollection", Value::Object(input)).await?;
    }
    Ok(())
}

/// Tags and load balancers of a group that is there.
async fn bring_group(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    let balancers = |properties: &Properties| properties.get("LoadBalancerNames").map(texts_of).unwrap_or_default();
    let (before, after) = (balancers(old), balancers(new));
    for (operation, these, others) in
        [("AttachLoadBalancers", &after, &before), ("DetachLoadBalancers", &before, &after)]
    {
        let part: Vec<&String> = these.iter().filter(|one| !others.contains(one)).collect();
        if !part.is_empty() {
            autoscaling(step, operation, json!({"AutoScalingGroupName": name, "LoadBalancerNames": part})).await?;
        }
    }
    let (before, after) = (group_tags(step, name, old), group_tags(step, name, new));
    let gone: Vec<&Value> = before.iter().filter(|tag| !after.iter().any(|other| other["Key"] == tag["Key"])).collect();
    if !gone.is_empty() {
        autoscaling(step, "DeleteTags", json!({"Tags": gone})).await?;
    }
    let set: Vec<&Value> = after.iter().filter(|tag| !before.contains(tag)).collect();
    if !set.is_empty() {
        autoscaling(step, "CreateOrUpdateTags", json!({"Tags": set})).await?;
    }
    set_metrics(step, name, old, new).await
}

fn is_ours(step: &Step, group: &Value) -> bool {
    let tags = group["Tags"].as_array().into_iter().flatten();
    let has = |key: &str, value: &str| tags.clone().into_iter().any(|tag| tag["Key"] == key && tag["Value"] == value);
    step.own_tags().into_iter().all(|(key, value)| has(key, value))
}

#[async_trait]
impl ResourceType for AutoScalingGroup {
    fn table(&self) -> &'static Table {
        &AUTO_SCALING_GROUP
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = text_of(properties, "AutoScalingGroupName").map_or_else(|| step.name(255), str::to_owned);
        let found = group(step, &name).await?;
        Ok((is_ours(step, &found) && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = match step.known() {
            Some(name) => name,
            None => {
                let name = text_of(properties, "AutoScalingGroupName").map_or_else(|| step.name(255), str::to_owned);
                let mut input = group_input(&name, properties);
                input.extend(only(properties, &["LifecycleHookSpecificationList", "LoadBalancerNames"]));
                input.insert("Tags".into(), json!(group_tags(step, &name, properties)));
                autoscaling(step, "CreateAutoScalingGroup", Value::Object(input)).await?;
                name
            }
        };
        step.record(&name).await?;
        set_metrics(step, &name, &Map::new(), properties).await?;
        rolling::settle(step, &name).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        let mut input = group_input(id, new);
        // Sizes that the template does not change may have been changed by a schedule, and stay then.
        if rolling::keeps_sizes(step) {
            for size in
                ["DesiredCapacity", "MaxSize", "MinSize"].into_iter().filter(|size| old.get(*size) == new.get(*size))
            {
                input.remove(size);
            }
        }
        rolling::begin(step, id, old, new).await?;
        autoscaling(step, "UpdateAutoScalingGroup", Value::Object(input)).await?;
        bring_group(step, id, old, new).await?;
        rolling::replace_instances(step, id, old, new).await?;
        rolling::settle(step, id).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let input = json!({"AutoScalingGroupName": id, "ForceDelete": true});
        match autoscaling(step, "DeleteAutoScalingGroup", input).await {
            Err(failure) if failure.is(&["ScalingActivityInProgress", "ResourceInUse"]) => {}
            // No such group: Auto Scaling has one code for everything that is wrong.
            Err(failure) if failure.is(&["ValidationError"]) => {}
            other => return_missing(other)?,
        }
        rolling::until_gone(step, id).await
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"AutoScalingGroupARN": group(step, id).await?["AutoScalingGroupARN"]})))
    }

    fn must_replace(&self, old: &Properties, new: &Properties, update_policy: Option<&Value>) -> bool {
        let replacing = update_policy.map(|policy| &policy["AutoScalingReplacingUpdate"]["WillReplace"]);
        let will = replacing.and_then(crate::template::text).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        will && rolling::is_for_instances(old, new)
    }
}

fn return_missing(outcome: Result<Value, Failure>) -> Done {
    unless_missing(outcome).map(drop)
}

static LIFECYCLE_HOOK: Table = Table::new(
    "AWS::AutoScaling::LifecycleHook",
    &[
        text("AutoScalingGroupName").required().replaces(),
        text("DefaultResult"),
        integer("HeartbeatTimeout"),
        text("LifecycleHookName").replaces(),
        text("LifecycleTransition").required(),
        text("NotificationMetadata"),
        text("NotificationTargetARN"),
        text("RoleARN"),
    ],
    &[],
)
.named_by("LifecycleHookName");

#[async_trait]
impl ResourceType for LifecycleHook {
    fn table(&self) -> &'static Table {
        &LIFECYCLE_HOOK
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = text_of(properties, "LifecycleHookName").map_or_else(|| step.name(255), str::to_owned);
        step.record(&name).await?;
        self.update(step, &name, properties, properties).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        let mut input = new.clone();
        input.insert("LifecycleHookName".into(), json!(id));
        autoscaling(step, "PutLifecycleHook", Value::Object(input)).await.map(drop)
    }

    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done {
        let mut input = only(properties, &["AutoScalingGroupName"]);
        input.insert("LifecycleHookName".into(), json!(id));
        let gone = autoscaling(step, "DeleteLifecycleHook", Value::Object(input)).await;
        ignore(unless_missing(gone), &["ValidationError"])
    }
}

const STEP: &[Property] =
    &[number("MetricIntervalLowerBound"), number("MetricIntervalUpperBound"), integer("ScalingAdjustment").required()];
static SCALING_POLICY: Table = Table::new(
    "AWS::AutoScaling::ScalingPolicy",
    &[
        text("AdjustmentType"),
        text("AutoScalingGroupName").required().replaces(),
        integer("Cooldown"),
        integer("EstimatedInstanceWarmup"),
        text("MetricAggregationType"),
        integer("MinAdjustmentMagnitude"),
        text("PolicyType"),
        integer("ScalingAdjustment"),
        list("StepAdjustments", &Kind::Structure(STEP)),
        document("TargetTrackingConfiguration"),
    ],
    &["Arn", "PolicyName"],
);

/// The name of a policy within its ARN.
fn policy_name(arn: &str) -> &str {
    arn.rsplit_once("policyName/").map_or(arn, |(_, name)| name)
}

#[async_trait]
impl ResourceType for ScalingPolicy {
    fn table(&self) -> &'static Table {
        &SCALING_POLICY
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        // Putting it again gives the same ARN.
        self.update(step, &step.name(255), properties, properties).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        let mut input = new.clone();
        input.insert("PolicyName".into(), json!(policy_name(id)));
        let put = autoscaling(step, "PutScalingPolicy", Value::Object(input)).await?;
        step.record(put["PolicyARN"].as_str().unwrap_or(id)).await
    }

    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done {
        let mut input = only(properties, &["AutoScalingGroupName"]);
        input.insert("PolicyName".into(), json!(policy_name(id)));
        let gone = autoscaling(step, "DeletePolicy", Value::Object(input)).await;
        ignore(unless_missing(gone), &["ValidationError"])
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Arn": id, "PolicyName": policy_name(id)})))
    }
}

static SCHEDULED_ACTION: Table = Table::new(
    "AWS::AutoScaling::ScheduledAction",
    &[
        text("AutoScalingGroupName").required().replaces(),
        integer("DesiredCapacity"),
        text("EndTime"),
        integer("MaxSize"),
        integer("MinSize"),
        text("Recurrence"),
        text("StartTime"),
        text("TimeZone"),
    ],
    &["ScheduledActionName"],
);

#[async_trait]
impl ResourceType for ScheduledAction {
    fn table(&self) -> &'static Table {
        &SCHEDULED_ACTION
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = step.name(255);
        step.record(&name).await?;
        self.update(step, &name, properties, properties).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        let mut input = new.clone();
        for name in ["StartTime", "EndTime"] {
            if let Some(written) = text_of(new, name) {
                let moment = OffsetDateTime::parse(written, &Rfc3339).map_err(|_| {
                    Failure::refused(format!("Value of property {name} must be a timestamp: {written}"))
                })?;
                input.insert(name.into(), json!(moment.unix_timestamp()));
            }
        }
        input.insert("ScheduledActionName".into(), json!(id));
        autoscaling(step, "PutScheduledUpdateGroupAction", Value::Object(input)).await.map(drop)
    }

    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done {
        let group = required(properties, "AutoScalingGroupName")?;
        let input = json!({"AutoScalingGroupName": group, "ScheduledActionName": id});
        let gone = autoscaling(step, "DeleteScheduledAction", input).await;
        ignore(unless_missing(gone), &["ValidationError"])
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"ScheduledActionName": id})))
    }
}
