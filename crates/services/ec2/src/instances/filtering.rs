//! What an instance has under the names of EC2's filters.
//!
//! Invariant: a filter looks at what is described, so what is shown can be found.

use api::ec2::{GroupIdentifier, Instance, InstanceNetworkInterface};
use wire::value::EpochMs;

use crate::listing::{text, truth};
use crate::moments;

/// Every filter that EC2 has for instances, apart from tags.
pub(super) const KNOWN: &[&str] = &[
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

/// What an instance has under a filter's name.
pub(super) fn values(reservation_id: &str, owner: &str, instance: &Instance, name: &str) -> Vec<String> {
    let placement = instance.placement.as_ref();
    match name {
        "architecture" => text(&instance.architecture),
        "availability-zone" => placement.map(|placement| text(&placement.availability_zone)).unwrap_or_default(),
        "availability-zone-id" => placement.map(|placement| text(&placement.availability_zone_id)).unwrap_or_default(),
        "client-token" => text(&instance.client_token),
        "dns-name" => text(&instance.public_dns_name),
        "ebs-optimized" => truth(instance.ebs_optimized),
        "hypervisor" => text(&instance.hypervisor),
        "image-id" => text(&instance.image_id),
        "instance-id" => text(&instance.instance_id),
        "instance-state-code" => {
            instance.state.as_ref().and_then(|state| state.code).map(|code| code.to_string()).into_iter().collect()
        }
        "instance-state-name" => instance.state.as_ref().map(|state| text(&state.name)).unwrap_or_default(),
        "instance-type" => text(&instance.instance_type),
        "instance.group-id" => group_ids(&instance.security_groups),
        "instance.group-name" => group_names(&instance.security_groups),
        "ip-address" => text(&instance.public_ip_address),
        "ipv6-address" => text(&instance.ipv6_address),
        "key-name" => text(&instance.key_name),
        "launch-index" => instance.ami_launch_index.map(|index| index.to_string()).into_iter().collect(),
        "launch-time" => launch_time(instance).into_iter().collect(),
        "monitoring-state" => instance.monitoring.as_ref().map(|one| text(&one.state)).unwrap_or_default(),
        "owner-id" => vec![owner.to_owned()],
        "platform-details" => text(&instance.platform_details),
        "private-dns-name" => text(&instance.private_dns_name),
        "private-ip-address" => text(&instance.private_ip_address),
        "reason" => text(&instance.state_transition_reason),
        "reservation-id" => vec![reservation_id.to_owned()],
        "root-device-name" => text(&instance.root_device_name),
        "root-device-type" => text(&instance.root_device_type),
        "source-dest-check" => truth(instance.source_dest_check),
        "state-reason-code" => instance.state_reason.as_ref().map(|reason| text(&reason.code)).unwrap_or_default(),
        "state-reason-message" => {
            instance.state_reason.as_ref().map(|reason| text(&reason.message)).unwrap_or_default()
        }
        "subnet-id" => text(&instance.subnet_id),
        "tenancy" => placement.map(|placement| text(&placement.tenancy)).unwrap_or_default(),
        "usage-operation" => text(&instance.usage_operation),
        "virtualization-type" => text(&instance.virtualization_type),
        "vpc-id" => text(&instance.vpc_id),
        name => match name.strip_prefix("network-interface.") {
            Some(name) => of_interfaces(instance, name),
            None => of_metadata(instance, name),
        },
    }
}

fn of_interfaces(instance: &Instance, name: &str) -> Vec<String> {
    let zone = instance.placement.as_ref().and_then(|placement| placement.availability_zone.clone());
    let interfaces = instance.network_interfaces.iter();
    let value = |interface: &InstanceNetworkInterface| match name {
        "addresses.private-ip-address" | "private-ip-address" => text(&interface.private_ip_address),
        "availability-zone" => text(&zone),
        "group-id" => group_ids(&interface.groups),
        "group-name" => group_names(&interface.groups),
        "network-interface-id" => text(&interface.network_interface_id),
        "subnet-id" => text(&interface.subnet_id),
        "vpc-id" => text(&interface.vpc_id),
        _ => Vec::new(),
    };
    let found: Vec<String> = interfaces.flat_map(value).collect();
    // A registered machine has no interface that is told, but is found by what one would have.
    if !instance.network_interfaces.is_empty() {
        return found;
    }
    match name {
        "addresses.private-ip-address" | "private-ip-address" => text(&instance.private_ip_address),
        "availability-zone" => text(&zone),
        "group-id" => group_ids(&instance.security_groups),
        "group-name" => group_names(&instance.security_groups),
        "subnet-id" => text(&instance.subnet_id),
        "vpc-id" => text(&instance.vpc_id),
        _ => Vec::new(),
    }
}

fn of_metadata(instance: &Instance, name: &str) -> Vec<String> {
    let Some(options) = &instance.metadata_options else { return Vec::new() };
    match name {
        "metadata-options.http-endpoint" => text(&options.http_endpoint),
        "metadata-options.http-tokens" => text(&options.http_tokens),
        _ => Vec::new(),
    }
}

fn group_ids(groups: &[GroupIdentifier]) -> Vec<String> {
    groups.iter().filter_map(|group| group.group_id.clone()).collect()
}

fn group_names(groups: &[GroupIdentifier]) -> Vec<String> {
    groups.iter().filter_map(|group| group.group_name.clone()).collect()
}

/// `2026-01-01T00:00:00.000Z`, the form that EC2's filter compares.
fn launch_time(instance: &Instance) -> Option<String> {
    let EpochMs(ms) = instance.launch_time?;
    Some(moments::iso_ms(u64::try_from(ms).ok()?))
}
