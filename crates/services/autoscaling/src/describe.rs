//! Groups and their instances as clients see them, and the lists that never change.
//!
//! Invariant: an instance is shown once EC2 has an id for it.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;
use wire::value::EpochMs;

use crate::errors;
use crate::launch_source::{configuration_name, specification};
use crate::limits::{GROUPS_MAX, LAUNCH_CONFIGURATIONS_MAX};
use crate::metrics;
use crate::paging;
use crate::rows::{GroupRow, InstanceRow, LAUNCH_CONFIGURATIONS};
use crate::service::Autoscaling;
use crate::tags;

fn moment(ms: u64) -> EpochMs {
    EpochMs(i64::try_from(ms).unwrap_or(i64::MAX))
}

impl Autoscaling {
    pub(crate) async fn describe_groups(
        &self,
        call: &Call,
        input: DescribeAutoScalingGroupsInput,
    ) -> Result<DescribeAutoScalingGroupsOutput, ApiError> {
        for filter in &input.filters {
            tags::check_group_filter(filter)?;
        }
        let mut groups = self.groups_of(call).await?;
        let names = &input.auto_scaling_group_names;
        groups.retain(|group| {
            (names.is_empty() || names.contains(&group.name))
                && input.filters.iter().all(|filter| tags::group_matches(group, filter))
        });
        let key = |group: &GroupRow| group.name.clone();
        let (page, next_token) = paging::page(groups, input.max_records, input.next_token.as_deref(), key)?;
        let with_instances = input.include_instances != Some(false);
        let auto_scaling_groups = page.iter().map(|group| group_output(group, with_instances)).collect();
        Ok(DescribeAutoScalingGroupsOutput { auto_scaling_groups, next_token })
    }

    pub(crate) async fn describe_instances(
        &self,
        call: &Call,
        input: DescribeAutoScalingInstancesInput,
    ) -> Result<DescribeAutoScalingInstancesOutput, ApiError> {
        let ids = &input.instance_ids;
        let mut found = Vec::new();
        for group in &self.groups_of(call).await? {
            let wanted =
                |instance: &&InstanceRow| instance.id.as_ref().is_some_and(|id| ids.is_empty() || ids.contains(id));
            found.extend(group.instances.iter().filter(wanted).map(|instance| details(group, instance)));
        }
        found.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
        let key = |instance: &AutoScalingInstanceDetails| instance.instance_id.clone();
        let (page, next_token) = paging::page(found, input.max_records, input.next_token.as_deref(), key)?;
        Ok(DescribeAutoScalingInstancesOutput { auto_scaling_instances: page, next_token })
    }

    pub(crate) async fn account_limits(&self, call: &Call) -> Result<DescribeAccountLimitsOutput, ApiError> {
        let prefix = crate::rows::prefix(call.account().as_str(), call.region.as_str());
        let scan = store::Scan::prefix(&prefix);
        let read = self.inner.store.read_async(move |view| view.count(&LAUNCH_CONFIGURATIONS, &scan)).await;
        let configurations = read.map_err(|error: store::StoreError| errors::from_store(&error))?;
        let number = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
        Ok(DescribeAccountLimitsOutput {
            max_number_of_auto_scaling_groups: number(GROUPS_MAX),
            max_number_of_launch_configurations: number(LAUNCH_CONFIGURATIONS_MAX),
            number_of_auto_scaling_groups: number(self.groups_of(call).await?.len()),
            number_of_launch_configurations: number(configurations),
        })
    }
}

fn group_output(row: &GroupRow, with_instances: bool) -> AutoScalingGroup {
    let shown = |instance: &&InstanceRow| with_instances && instance.id.is_some();
    let subnets: Vec<_> = row.subnets.iter().map(|subnet| subnet.id.as_str()).collect();
    let mut zones = row.zones.clone();
    zones.sort();
    let source = |name: &String| TrafficSourceIdentifier { identifier: name.clone(), r#type: Some("elb".to_owned()) };
    let names: Vec<String> = row.load_balancers.iter().map(|one| one.name.clone()).collect();
    AutoScalingGroup {
        auto_scaling_group_arn: Some(row.arn()),
        auto_scaling_group_name: row.name.clone(),
        availability_zones: zones,
        capacity_rebalance: Some(false),
        created_time: moment(row.created_ms),
        default_cooldown: row.default_cooldown_s,
        default_instance_warmup: row.default_warmup_s,
        deletion_protection: row.deletion_protection.clone(),
        desired_capacity: row.desired,
        enabled_metrics: metrics::enabled(row),
        health_check_grace_period: Some(row.grace_period_s),
        health_check_type: row.health_check_type.clone(),
        instances: row.instances.iter().filter(shown).map(|instance| instance_output(row, instance)).collect(),
        launch_configuration_name: configuration_name(&row.source),
        launch_template: specification(&row.source),
        traffic_sources: names.iter().map(source).collect(),
        load_balancer_names: names,
        max_instance_lifetime: row.instance_lifetime_max_s,
        max_size: row.max,
        min_size: row.min,
        new_instances_protected_from_scale_in: Some(row.protects_new),
        service_linked_role_arn: Some(service_linked_role(row)),
        status: row.deleting.then(|| "Delete in progress".to_owned()),
        suspended_processes: row
            .suspended
            .iter()
            .map(|(name, reason)| SuspendedProcess {
                process_name: Some(name.clone()),
                suspension_reason: Some(reason.clone()),
            })
            .collect(),
        tags: tags::of_group(row),
        termination_policies: row.termination_policies.clone(),
        vpc_zone_identifier: Some(subnets.join(",")),
        ..Default::default()
    }
}

fn service_linked_role(row: &GroupRow) -> String {
    row.service_linked_role_arn.clone().unwrap_or_else(|| {
        format!(
            "arn:aws:iam::{}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            row.account
        )
    })
}

fn instance_output(row: &GroupRow, instance: &InstanceRow) -> Instance {
    let details = details(row, instance);
    Instance {
        availability_zone: details.availability_zone,
        health_status: instance.health_word().to_owned(),
        image_id: details.image_id,
        instance_id: details.instance_id,
        instance_type: details.instance_type,
        launch_configuration_name: details.launch_configuration_name,
        launch_template: details.launch_template,
        lifecycle_state: details.lifecycle_state,
        protected_from_scale_in: details.protected_from_scale_in,
        ..Default::default()
    }
}

fn details(row: &GroupRow, instance: &InstanceRow) -> AutoScalingInstanceDetails {
    AutoScalingInstanceDetails {
        auto_scaling_group_name: row.name.clone(),
        availability_zone: instance.zone.clone(),
        // AWS shouts here, and only here.
        health_status: instance.health_word().to_ascii_uppercase(),
        image_id: instance.image_id.clone(),
        instance_id: instance.id.clone().unwrap_or_default(),
        instance_type: instance.instance_type.clone(),
        launch_configuration_name: instance.source.as_ref().and_then(configuration_name),
        launch_template: instance.source.as_ref().and_then(specification),
        lifecycle_state: instance.lifecycle_word().to_owned(),
        protected_from_scale_in: instance.protected,
        ..Default::default()
    }
}

/// DescribeAdjustmentTypes.
pub(crate) fn adjustment_types() -> DescribeAdjustmentTypesOutput {
    let adjustment = |name: &&str| AdjustmentType { adjustment_type: Some((*name).to_owned()) };
    DescribeAdjustmentTypesOutput {
        adjustment_types: crate::policies::ADJUSTMENT_TYPES.iter().map(adjustment).collect(),
    }
}

/// DescribeAutoScalingNotificationTypes.
pub(crate) fn notification_types() -> DescribeAutoScalingNotificationTypesOutput {
    let names = [
        "autoscaling:EC2_INSTANCE_LAUNCH",
        "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
        "autoscaling:EC2_INSTANCE_TERMINATE",
        "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
        "autoscaling:TEST_NOTIFICATION",
    ];
    DescribeAutoScalingNotificationTypesOutput { auto_scaling_notification_types: names.map(str::to_owned).to_vec() }
}
