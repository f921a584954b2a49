//! Instances: registered machines, as EC2 describes them.
//!
//! Invariant: nothing is said of a machine that Millpond doesn't know: no image, no type, and no status checks, for it
//! runs none.

use std::net::IpAddr;

// A reservation is what RunInstances answers.
use api::ec2::{RunInstancesOutput as Reservation, *};
use store::{Row, Scan, View};
use wire::value::EpochMs;

use crate::errors::Refusal;
use crate::filters::Filters;
use crate::machines::id_in;
use crate::network::zone_id;
use crate::paging::Page;
use crate::place::{Layout, Place, is_well_formed};
use crate::rows::{MACHINES, MachineRow};
use crate::tags::Loaded;

/// EC2's code of the state `running`.
const RUNNING: i32 = 16;

/// Every filter that EC2 has for instances, apart from tags.
const KNOWN: &[&str] = &[
    "affinity",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "capacity-reservation-id",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "ebs-optimized",
    "ena-support",
    "enclave-options.enabled",
    "hibernation-options.configured",
    "host-id",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "kernel-id",
    "key-name",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "metadata-options.http-endpoint",
    "metadata-options.http-tokens",
    "monitoring-state",
    "network-interface.addresses.private-ip-address",
    "network-interface.availability-zone",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.network-interface-id",
    "network-interface.private-ip-address",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "outpost-arn",
    "owner-id",
    "placement-group-name",
    "placement-partition-number",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-ip-address",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tenancy",
    "tpm-support",
    "usage-operation",
    "virtualization-type",
    "vpc-id",
];

/// Every filter that EC2 has for the status of instances.
const KNOWN_OF_STATUS: &[&str] = &[
    "attached-ebs-status.status",
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
];

/// The instances that a client wants to see.
pub(crate) fn describe(
    view: &View<'_>,
    layout: &Layout,
    place: &Place,
    input: DescribeInstancesInput,
) -> Result<DescribeInstancesOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let rows = rows(view, place, &input.instance_ids, &page)?;
    let loaded = Loaded::load(view, place, "i", !input.instance_ids.is_empty())?;
    let mut instances = Vec::new();
    for row in &rows {
        let tags = loaded.of(view, place, id_in(&row.key))?;
        let instance = instance(layout, place, row, tags);
        if filters.pass(&instance.tags, |name| values(place, &instance, name)) {
            instances.push(instance);
        }
    }
    let id = |instance: &Instance| instance.instance_id.clone().unwrap_or_default();
    let (instances, next_token) = page.of(instances.into_iter(), id);
    Ok(DescribeInstancesOutput { next_token, reservations: reservations(place, instances) })
}

/// The status of the instances that a client wants to see.
pub(crate) fn describe_status(
    view: &View<'_>,
    layout: &Layout,
    place: &Place,
    input: DescribeInstanceStatusInput,
) -> Result<DescribeInstanceStatusOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN_OF_STATUS)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let loaded = Loaded::load(view, place, "i", !input.instance_ids.is_empty())?;
    let mut statuses = Vec::new();
    for row in rows(view, place, &input.instance_ids, &page)? {
        let tags = loaded.of(view, place, id_in(&row.key))?;
        let zone_id = zone_id_of(layout, &row.value.zone);
        let unchecked =
            || Some(InstanceStatusSummary { status: Some("not-applicable".to_owned()), ..Default::default() });
        let passes = filters.pass(&tags, |name| match name {
            "availability-zone" => vec![row.value.zone.clone()],
            "availability-zone-id" => zone_id.iter().cloned().collect(),
            "instance-state-code" => vec![RUNNING.to_string()],
            "instance-state-name" => vec!["running".to_owned()],
            "instance-status.status" | "system-status.status" => vec!["not-applicable".to_owned()],
            _ => Vec::new(),
        });
        if passes {
            statuses.push(InstanceStatus {
                availability_zone: Some(row.value.zone.clone()),
                availability_zone_id: zone_id,
                instance_id: Some(id_in(&row.key).to_owned()),
                instance_state: Some(running()),
                instance_status: unchecked(),
                system_status: unchecked(),
                ..InstanceStatus::default()
            });
        }
    }
    let id = |status: &InstanceStatus| status.instance_id.clone().unwrap_or_default();
    let (instance_statuses, next_token) = page.of(statuses.into_iter(), id);
    Ok(DescribeInstanceStatusOutput { instance_statuses, next_token })
}

/// The rows of these instances, or of all, by instance id.
fn rows(view: &View<'_>, place: &Place, ids: &[String], page: &Page) -> Result<Vec<Row<MachineRow>>, Refusal> {
    if ids.is_empty() {
        return Ok(view.scan(&MACHINES, &Scan::prefix(&place.prefix()))?);
    }
    if page.is_partial() {
        return Err(Refusal::Combination("instancesSet", "maxResults"));
    }
    let mut ids = ids.to_vec();
    ids.sort();
    ids.dedup();
    if let Some(id) = ids.iter().find(|id| !is_well_formed("i", id)) {
        return Err(Refusal::Malformed { kind: "i", id: id.clone() });
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in ids {
        match view.get(&MACHINES, &place.key(&id))? {
            Some(row) => found.push(row),
            None => missing.push(id),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(Refusal::NotFound { kind: "i", ids: missing }) }
}

fn instance(layout: &Layout, place: &Place, row: &Row<MachineRow>, tags: Vec<Tag>) -> Instance {
    let MachineRow { address, zone, added_at_ms } = &row.value;
    let id = id_in(&row.key);
    let (private_ip_address, ipv6_address) = match address {
        IpAddr::V4(address) => (Some(address.to_string()), None),
        IpAddr::V6(address) => (None, Some(address.to_string())),
    };
    let placement = Placement {
        availability_zone: Some(zone.clone()),
        availability_zone_id: zone_id_of(layout, zone),
        tenancy: Some("default".to_owned()),
        ..Placement::default()
    };
    Instance {
        instance_id: Some(id.to_owned()),
        ipv6_address,
        launch_time: Some(EpochMs(i64::try_from(*added_at_ms).unwrap_or(i64::MAX))),
        monitoring: Some(Monitoring { state: Some("disabled".to_owned()), ..Monitoring::default() }),
        placement: Some(placement),
        private_ip_address,
        security_groups: default_groups(place),
        state: Some(running()),
        subnet_id: Some(place.subnet_id(zone)),
        tags,
        vpc_id: Some(place.vpc_id()),
        ..Instance::default()
    }
}

fn running() -> InstanceState {
    InstanceState { code: Some(RUNNING), name: Some("running".to_owned()) }
}

fn default_groups(place: &Place) -> Vec<GroupIdentifier> {
    vec![GroupIdentifier { group_id: Some(place.default_group_id()), group_name: Some("default".to_owned()) }]
}

/// `None` for a zone that the configuration has no more.
fn zone_id_of(layout: &Layout, zone: &str) -> Option<String> {
    layout.zone(zone).map(|(region, zone)| zone_id(region, zone))
}

/// Each machine was registered alone, so each has a reservation of its own, named after it.
fn reservation_id(instance: &Instance) -> String {
    format!("r-{}", instance.instance_id.as_deref().unwrap_or_default().trim_start_matches("i-"))
}

fn reservations(place: &Place, instances: Vec<Instance>) -> Vec<Reservation> {
    let reservation = |instance: Instance| Reservation {
        owner_id: Some(place.account.to_string()),
        reservation_id: Some(reservation_id(&instance)),
        instances: vec![instance],
        ..Reservation::default()
    };
    instances.into_iter().map(reservation).collect()
}

/// What an instance has under a filter's name.
fn values(place: &Place, instance: &Instance, name: &str) -> Vec<String> {
    let placement = instance.placement.as_ref();
    let text = |value: Option<&String>| value.cloned().into_iter().collect();
    match name {
        "availability-zone" | "network-interface.availability-zone" => {
            text(placement.and_then(|placement| placement.availability_zone.as_ref()))
        }
        "availability-zone-id" => text(placement.and_then(|placement| placement.availability_zone_id.as_ref())),
        "instance-id" => text(instance.instance_id.as_ref()),
        "instance-state-code" => vec![RUNNING.to_string()],
        "instance-state-name" => vec!["running".to_owned()],
        "instance.group-id" | "network-interface.group-id" => vec![place.default_group_id()],
        "instance.group-name" | "network-interface.group-name" => vec!["default".to_owned()],
        "ipv6-address" => text(instance.ipv6_address.as_ref()),
        "launch-time" => launch_time(instance).into_iter().collect(),
        "monitoring-state" => vec!["disabled".to_owned()],
        "owner-id" => vec![place.account.to_string()],
        "private-ip-address"
        | "network-interface.addresses.private-ip-address"
        | "network-interface.private-ip-address" => text(instance.private_ip_address.as_ref()),
        "reservation-id" => vec![reservation_id(instance)],
        "subnet-id" | "network-interface.subnet-id" => text(instance.subnet_id.as_ref()),
        "tenancy" => vec!["default".to_owned()],
        "vpc-id" | "network-interface.vpc-id" => text(instance.vpc_id.as_ref()),
        _ => Vec::new(),
    }
}

/// `2026-01-01T00:00:00.000Z`, the form that EC2's filter compares.
fn launch_time(instance: &Instance) -> Option<String> {
    let EpochMs(ms) = instance.launch_time?;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
    let (hour, minute, second, ms) = (moment.hour(), moment.minute(), moment.second(), moment.millisecond());
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}
