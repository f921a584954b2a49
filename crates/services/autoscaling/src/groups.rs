//! Groups: created and deleted, and what both and an update check.
//!
//! Invariants:
//! - What a group names (zones, subnets, launch source, load balancers) was there when it was named.
//! - min <= desired <= max, always.
//! - A parameter that would have no effect here is refused by name.

use ::api::autoscaling::*;
use ::api::{Call, Principal};
use store::{Scan, Transaction};
use wire::ApiError;

use crate::causes;
use crate::draft::uuid;
use crate::errors;
use crate::hooks;
use crate::limits::{GROUP_SIZE_MAX, GROUPS_MAX};
use crate::load_balancers;
use crate::placement::Placement;
use crate::rows::{self, GROUPS, GroupRow, LAUNCH_CONFIGURATIONS, LaunchSource, Lifecycle};
use crate::service::{Autoscaling, Refused};
use crate::tags;
use crate::termination;

/// Seconds between two scaling activities when nobody says.
const COOLDOWN_DEFAULT_S: i32 = 300;
/// The shortest life that may be set as the longest, a day.
const LIFETIME_MIN_S: i32 = 86_400;
/// The longest, a year.
const LIFETIME_MAX_S: i32 = 31_536_000;

impl Autoscaling {
    pub(crate) async fn create_group(&self, call: &Call, input: CreateAutoScalingGroupInput) -> Result<(), ApiError> {
        refuse_unsupported_in_create(&input)?;
        let desired = input.desired_capacity.unwrap_or(input.min_size);
        check_sizes(input.min_size, input.max_size, desired)?;
        let names = load_balancer_names(input.load_balancer_names.clone(), &input.traffic_sources)?;
        let source = self.launch_source(call, input.launch_configuration_name.clone(), input.launch_template.clone());
        let source = source.await?.ok_or_else(errors::no_launch_source)?;
        let place = self.place(call, input.availability_zones.clone(), input.vpc_zone_identifier.as_deref()).await?;
        self.check_load_balancers(call, &names).await?;
        let mut row = self.new_row(call, input, (source, place), desired)?;
        load_balancers::attach(&mut row, names)?;
        self.insert(row).await?;
        self.inner.hint.notify_one();
        Ok(())
    }

    fn new_row(
        &self,
        call: &Call,
        input: CreateAutoScalingGroupInput,
        (source, place): (LaunchSource, Placement),
        desired: i32,
    ) -> Result<GroupRow, ApiError> {
        let now = self.inner.clock.now();
        let name = input.auto_scaling_group_name;
        if name.contains(':') || name.contains('\0') {
            return Err(errors::group_name_malformed(&name));
        }
        let mut row = GroupRow {
            uid: uuid(&*self.inner.ids),
            account: call.account().as_str().to_owned(),
            region: call.region.as_str().to_owned(),
            name,
            created_ms: now.as_millis(),
            source,
            min: input.min_size,
            max: input.max_size,
            desired,
            default_cooldown_s: checked_seconds("DefaultCooldown", input.default_cooldown)?
                .unwrap_or(COOLDOWN_DEFAULT_S),
            default_warmup_s: warmup(input.default_instance_warmup)?,
            zones: place.zones,
            subnets: place.subnets,
            load_balancers: Vec::new(),
            health_check_type: health_check_type(input.health_check_type)?.unwrap_or_else(|| "EC2".to_owned()),
            grace_period_s: checked_seconds("HealthCheckGracePeriod", input.health_check_grace_period)?.unwrap_or(0),
            termination_policies: termination::check(input.termination_policies)?,
            protects_new: input.new_instances_protected_from_scale_in.unwrap_or(false),
            instance_lifetime_max_s: lifetime(input.max_instance_lifetime)?,
            deletion_protection: deletion_protection(input.deletion_protection)?,
            service_linked_role_arn: input.service_linked_role_arn,
            tags: std::collections::BTreeMap::new(),
            suspended: std::collections::BTreeMap::new(),
            metrics: std::collections::BTreeSet::new(),
            hooks: Vec::new(),
            policies: std::collections::BTreeMap::new(),
            scheduled_actions: std::collections::BTreeMap::new(),
            refreshes: Vec::new(),
            instances: Vec::new(),
            deleting: false,
            cause: (desired > 0).then(|| causes::created(now, desired)),
            replacements: Vec::new(),
            scaled_ms: None,
            failures: 0,
            failed_ms: 0,
            failed_zone: None,
            launch_after_ms: 0,
            activities: 0,
        };
        let by_service = matches!(call.identity.principal, Principal::Service { .. });
        tags::add(&mut row, input.tags, by_service)?;
        for hook in input.lifecycle_hook_specification_list {
            hooks::add(&mut row, hooks::from_specification(hook)?)?;
        }
        Ok(row)
    }

    async fn insert(&self, row: GroupRow) -> Result<(), ApiError> {
        let insert = move |tx: &mut Transaction<'_>| {
            if let Some(found) = tx.get(&GROUPS, &row.key())? {
                return Err(Refused(match found.value.deleting {
                    true => errors::group_exists_pending_delete(&row.name),
                    false => errors::group_exists(&row.name),
                }));
            }
            if tx.count(&GROUPS, &Scan::prefix(&rows::prefix(&row.account, &row.region)))? >= GROUPS_MAX {
                return Err(Refused(errors::too_many("AutoScalingGroups", GROUPS_MAX)));
            }
            still_there(tx, &row)?;
            tx.insert(&GROUPS, &row.key(), &row)?;
            Ok(())
        };
        self.inner.store.write_async(insert).await.map_err(|Refused(error)| error)
    }

    pub(crate) async fn delete_group(&self, call: &Call, input: DeleteAutoScalingGroupInput) -> Result<(), ApiError> {
        let force = input.force_delete == Some(true);
        let name = input.auto_scaling_group_name;
        let key = rows::key(call.account().as_str(), call.region.as_str(), &name);
        let deleted = self.edit(key, move |draft| {
            let row = &mut draft.row;
            if row.deleting {
                return Ok(());
            }
            match row.deletion_protection.as_deref() {
                Some("prevent-all-deletion") => return Err(errors::deletion_prevented(&row.name)),
                Some("prevent-force-deletion") if force => return Err(errors::deletion_prevented(&row.name)),
                _ => {}
            }
            let rests = |lifecycle| matches!(lifecycle, Lifecycle::InService | Lifecycle::Standby);
            if !force && row.instances.iter().any(|instance| rests(instance.lifecycle)) {
                return Err(errors::group_has_instances());
            }
            if !force && !row.instances.is_empty() {
                return Err(errors::group_is_busy());
            }
            if row.instances.is_empty() {
                draft.delete = true;
            } else {
                row.deleting = true;
                row.cause = None;
            }
            Ok(())
        });
        deleted.await?.ok_or_else(|| errors::group_not_found(&name))?;
        self.inner.hint.notify_one();
        Ok(())
    }
}

/// A launch configuration may be deleted between the check and the row.
pub(crate) fn still_there(tx: &Transaction<'_>, row: &GroupRow) -> Result<(), Refused> {
    let LaunchSource::Configuration { name, .. } = &row.source else { return Ok(()) };
    let there = tx.contains(&LAUNCH_CONFIGURATIONS, &rows::key(&row.account, &row.region, name))?;
    if there { Ok(()) } else { Err(Refused(errors::launch_configuration_unknown(name))) }
}

/// Refuses what has no meaning on machines of one's own, or is not there yet.
fn refuse_unsupported_in_create(input: &CreateAutoScalingGroupInput) -> Result<(), ApiError> {
    refuse(&[
        ("InstanceId (a group made from an instance)", input.instance_id.is_some()),
        ("MixedInstancesPolicy", input.mixed_instances_policy.is_some()),
        ("TargetGroupARNs", !input.target_group_ar_ns.is_empty()),
        ("PlacementGroup", input.placement_group.as_ref().is_some_and(|group| !group.is_empty())),
        ("CapacityRebalance", input.capacity_rebalance == Some(true)),
        ("Context", input.context.is_some()),
        ("InstanceMaintenancePolicy", limits_maintenance(input.instance_maintenance_policy.as_ref())),
        ("InstanceLifecyclePolicy", input.instance_lifecycle_policy.is_some()),
        ("AvailabilityZoneIds", !input.availability_zone_ids.is_empty()),
        ("AvailabilityZoneDistribution", insists(input.availability_zone_distribution.as_ref())),
        ("AvailabilityZoneImpairmentPolicy", input.availability_zone_impairment_policy.is_some()),
        ("CapacityReservationSpecification", input.capacity_reservation_specification.is_some()),
        ("Operator", input.operator.is_some()),
    ])?;
    check_capacity_type(input.desired_capacity_type.as_deref())
}

/// The same, in an update.
pub(crate) fn refuse_unsupported_in_update(input: &UpdateAutoScalingGroupInput) -> Result<(), ApiError> {
    refuse(&[
        ("MixedInstancesPolicy", input.mixed_instances_policy.is_some()),
        ("PlacementGroup", input.placement_group.as_ref().is_some_and(|group| !group.is_empty())),
        ("CapacityRebalance", input.capacity_rebalance == Some(true)),
        ("Context", input.context.is_some()),
        ("InstanceMaintenancePolicy", limits_maintenance(input.instance_maintenance_policy.as_ref())),
        ("InstanceLifecyclePolicy", input.instance_lifecycle_policy.is_some()),
        ("AvailabilityZoneIds", !input.availability_zone_ids.is_empty()),
        ("AvailabilityZoneDistribution", insists(input.availability_zone_distribution.as_ref())),
        ("AvailabilityZoneImpairmentPolicy", input.availability_zone_impairment_policy.is_some()),
        ("CapacityReservationSpecification", input.capacity_reservation_specification.is_some()),
    ])?;
    check_capacity_type(input.desired_capacity_type.as_deref())
}

fn refuse(given: &[(&str, bool)]) -> Result<(), ApiError> {
    let unsupported = given.iter().find(|(_, is_given)| *is_given);
    unsupported.map_or(Ok(()), |(name, _)| Err(errors::not_supported(name)))
}

/// -1 is how a client says that there is to be no such policy.
fn limits_maintenance(policy: Option<&InstanceMaintenancePolicy>) -> bool {
    let is_set = |percentage: Option<i32>| percentage.is_some_and(|percentage| percentage != -1);
    policy.is_some_and(|policy| is_set(policy.min_healthy_percentage) || is_set(policy.max_healthy_percentage))
}

fn insists(distribution: Option<&AvailabilityZoneDistribution>) -> bool {
    let strategy = distribution.and_then(|distribution| distribution.capacity_distribution_strategy.as_deref());
    strategy.is_some_and(|strategy| strategy != "balanced-best-effort")
}

fn check_capacity_type(given: Option<&str>) -> Result<(), ApiError> {
    match given {
        None | Some("units") => Ok(()),
        Some(other) => Err(errors::value_not_supported("DesiredCapacityType", other)),
    }
}

/// Checks that sizes fit each other.
pub(crate) fn check_sizes(min: i32, max: i32, desired: i32) -> Result<(), ApiError> {
    if min < 0 || max < 0 {
        return Err(errors::size_negative());
    }
    if max < min {
        return Err(errors::max_below_min(min, max));
    }
    if desired < min || desired > max {
        return Err(errors::desired_out_of_bounds(desired, min, max));
    }
    if max > GROUP_SIZE_MAX { Err(errors::size_too_large(max, GROUP_SIZE_MAX)) } else { Ok(()) }
}

/// A time span of a group that is not negative.
pub(crate) fn checked_seconds(name: &str, given: Option<i32>) -> Result<Option<i32>, ApiError> {
    match given {
        Some(seconds) if seconds < 0 => Err(errors::seconds_negative(name, seconds)),
        other => Ok(other),
    }
}

/// DefaultInstanceWarmup; -1 takes it away.
pub(crate) fn warmup(given: Option<i32>) -> Result<Option<i32>, ApiError> {
    checked_seconds("DefaultInstanceWarmup", given.filter(|seconds| *seconds != -1))
}

/// MaxInstanceLifetime; 0 takes it away.
pub(crate) fn lifetime(given: Option<i32>) -> Result<Option<i32>, ApiError> {
    match given.filter(|seconds| *seconds != 0) {
        Some(seconds) if !(LIFETIME_MIN_S..=LIFETIME_MAX_S).contains(&seconds) => {
            Err(errors::lifetime_out_of_range(seconds, LIFETIME_MIN_S, LIFETIME_MAX_S))
        }
        other => Ok(other),
    }
}

/// `EC2`, `ELB`, or both with a comma.
pub(crate) fn health_check_type(given: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    match given.split(',').find(|one| !matches!(one.trim(), "EC2" | "ELB")) {
        Some(other @ ("EBS" | "VPC_LATTICE")) => Err(errors::value_not_supported("HealthCheckType", other)),
        Some(other) => Err(errors::health_check_type_unknown(other)),
        None => Ok(Some(given)),
    }
}

/// Whether ELB's word counts for a group's health.
pub(crate) fn trusts_elb(row: &GroupRow) -> bool {
    row.health_check_type.split(',').any(|one| one.trim() == "ELB")
}

/// DeletionProtection.
pub(crate) fn deletion_protection(given: Option<String>) -> Result<Option<String>, ApiError> {
    match given.as_deref() {
        None => Ok(None),
        Some("none" | "prevent-force-deletion" | "prevent-all-deletion") => Ok(given),
        Some(other) => Err(errors::value_not_supported("DeletionProtection", other)),
    }
}

/// Load balancers, given under either of two names.
fn load_balancer_names(mut names: Vec<String>, sources: &[TrafficSourceIdentifier]) -> Result<Vec<String>, ApiError> {
    for source in sources {
        match source.r#type.as_deref() {
            Some("elb") => names.push(source.identifier.clone()),
            other => {
                return Err(errors::value_not_supported("TrafficSources.Type", other.unwrap_or(&source.identifier)));
            }
        }
    }
    Ok(names)
}
