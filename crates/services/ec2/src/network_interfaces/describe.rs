//! Network interfaces, as EC2 describes them, and the names that addresses have.
//!
//! Invariant: a name is the same wherever it is told: here, of an instance, in its metadata and in the VPC's DNS.

use std::net::Ipv4Addr;

use api::ec2::*;
use store::View;
use wire::value::EpochMs;

use super::KIND;
use crate::errors::Refusal;
use crate::listing::{Wanted, text, truth};
use crate::request::Request;
use crate::rows::*;
use crate::{addresses, vpcs};

/// How EC2 calls a service that keeps interfaces for users.
fn requester_id(service: &str) -> String {
    match service {
        "elasticloadbalancing.amazonaws.com" => "amazon-elb".to_owned(),
        other => other.to_owned(),
    }
}

/// `ip-10-0-0-5.ec2.internal`.
pub(crate) fn private_name(region: &api::Region, address: Ipv4Addr) -> String {
    format!("ip-{}.{}", dashed(address), vpcs::private_domain(region))
}

/// `ec2-198-18-0-5.compute-1.amazonaws.com`.
pub(crate) fn public_name(region: &api::Region, address: Ipv4Addr) -> String {
    let part = match region.as_str() {
        "us-east-1" => "compute-1".to_owned(),
        region => format!("{region}.compute"),
    };
    format!("ec2-{}.{part}.amazonaws.com", dashed(address))
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

/// `02:00:5e:10:00:01`.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

const KNOWN: &[&str] = &[
    "addresses.association.owner-id",
    "addresses.association.public-ip",
    "addresses.primary",
    "addresses.private-ip-address",
    "association.allocation-id",
    "association.association-id",
    "association.ip-owner-id",
    "association.public-dns-name",
    "association.public-ip",
    "attachment.attach-time",
    "attachment.attachment-id",
    "attachment.delete-on-termination",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.instance-owner-id",
    "attachment.nat-gateway-id",
    "attachment.status",
    "availability-zone",
    "description",
    "group-id",
    "group-name",
    "interface-type",
    "ipv6-addresses.ipv6-address",
    "mac-address",
    "network-interface-id",
    "operator.managed",
    "operator.principal",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "requester-id",
    "requester-managed",
    "source-dest-check",
    "status",
    "subnet-id",
    "vpc-id",
];

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeNetworkInterfacesInput,
) -> Result<DescribeNetworkInterfacesOutput, Refusal> {
    let DescribeNetworkInterfacesInput { network_interface_ids: ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(ids, filters, KNOWN, max_results, next_token.as_deref())?;
    let describe = |id: &str, row, tags| described(view, request, id, row, tags);
    let (network_interfaces, next_token) = KIND.list(view, request, &wanted, describe, values)?;
    Ok(DescribeNetworkInterfacesOutput { network_interfaces, next_token })
}

fn values(interface: &NetworkInterface, name: &str) -> Vec<String> {
    let association = interface.association.as_ref();
    let attachment = interface.attachment.as_ref();
    let of_association = |value: fn(&NetworkInterfaceAssociation) -> &Option<String>| {
        association.map(|one| text(value(one))).unwrap_or_default()
    };
    let of_attachment = |value: fn(&NetworkInterfaceAttachment) -> &Option<String>| {
        attachment.map(|one| text(value(one))).unwrap_or_default()
    };
    match name {
        "addresses.association.public-ip" | "association.public-ip" => of_association(|one| &one.public_ip),
        "addresses.primary" => vec!["true".to_owned()],
        "addresses.private-ip-address" | "private-ip-address" => text(&interface.private_ip_address),
        "association.allocation-id" => of_association(|one| &one.allocation_id),
        "association.association-id" => of_association(|one| &one.association_id),
        "addresses.association.owner-id" | "association.ip-owner-id" => of_association(|one| &one.ip_owner_id),
        "association.public-dns-name" => of_association(|one| &one.public_dns_name),
        "attachment.attachment-id" => of_attachment(|one| &one.attachment_id),
        "attachment.delete-on-termination" => truth(attachment.and_then(|one| one.delete_on_termination)),
        "attachment.device-index" => {
            attachment.and_then(|one| one.device_index).map(|index| index.to_string()).into_iter().collect()
        }
        "attachment.instance-id" => of_attachment(|one| &one.instance_id),
        "attachment.instance-owner-id" => of_attachment(|one| &one.instance_owner_id),
        "attachment.status" => of_attachment(|one| &one.status),
        "availability-zone" => text(&interface.availability_zone),
        "description" => text(&interface.description),
        "group-id" => interface.groups.iter().filter_map(|group| group.group_id.clone()).collect(),
        "group-name" => interface.groups.iter().filter_map(|group| group.group_name.clone()).collect(),
        "interface-type" => text(&interface.interface_type),
        "mac-address" => text(&interface.mac_address),
        "network-interface-id" => text(&interface.network_interface_id),
        "owner-id" => text(&interface.owner_id),
        "private-dns-name" => text(&interface.private_dns_name),
        "requester-id" => text(&interface.requester_id),
        "requester-managed" => truth(interface.requester_managed),
        "source-dest-check" => truth(interface.source_dest_check),
        "status" => text(&interface.status),
        "subnet-id" => text(&interface.subnet_id),
        "vpc-id" => text(&interface.vpc_id),
        _ => Vec::new(),
    }
}

/// The groups of an interface with their names.
pub(crate) fn group_identifiers(
    view: &View<'_>,
    request: &Request,
    ids: &[String],
) -> Result<Vec<GroupIdentifier>, Refusal> {
    let mut groups = Vec::with_capacity(ids.len());
    for id in ids {
        let row = view.get(&GROUPS, &request.key(id))?;
        groups.push(GroupIdentifier { group_id: Some(id.clone()), group_name: row.map(|row| row.value.name) });
    }
    Ok(groups)
}

pub(super) fn described(
    view: &View<'_>,
    request: &Request,
    id: &str,
    row: InterfaceRow,
    tags: Vec<Tag>,
) -> Result<NetworkInterface, Refusal> {
    let region = &request.place.region;
    let vpc = vpcs::KIND.get(view, request, &row.vpc_id)?;
    let public_name = |address| if vpc.dns_hostnames { Some(public_name(region, address)) } else { None };
    let elastic = addresses::of_interface(view, &request.place, id)?;
    let association = match (&elastic, row.public) {
        (Some((allocation_id, address)), _) => Some(NetworkInterfaceAssociation {
            allocation_id: Some(allocation_id.clone()),
            association_id: address.association.as_ref().map(|one| one.id.clone()),
            ip_owner_id: Some(request.account()),
            public_dns_name: public_name(address.public),
            public_ip: Some(address.public.to_string()),
            ..NetworkInterfaceAssociation::default()
        }),
        (None, Some(public)) => Some(NetworkInterfaceAssociation {
            ip_owner_id: Some("amazon".to_owned()),
            public_dns_name: public_name(public),
            public_ip: Some(public.to_string()),
            ..NetworkInterfaceAssociation::default()
        }),
        (None, None) => None,
    };
    let private_name = vpc.dns_support.then(|| private_name(region, row.address));
    let requester = row.requester.as_deref().map(requester_id);
    let attachment = row.attachment.map(|attachment| NetworkInterfaceAttachment {
        attach_time: Some(EpochMs(i64::try_from(attachment.at_ms).unwrap_or(i64::MAX))),
        attachment_id: Some(attachment.id),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: Some(i32::from(attachment.instance_id.is_none())),
        instance_owner_id: Some(match attachment.instance_id {
            Some(_) => request.account(),
            None => requester.clone().unwrap_or_default(),
        }),
        instance_id: attachment.instance_id,
        status: Some("attached".to_owned()),
        ..NetworkInterfaceAttachment::default()
    });
    let address = NetworkInterfacePrivateIpAddress {
        association: association.clone(),
        primary: Some(true),
        private_dns_name: private_name.clone(),
        private_ip_address: Some(row.address.to_string()),
    };
    Ok(NetworkInterface {
        association,
        availability_zone: Some(row.zone),
        description: Some(row.description),
        groups: group_identifiers(view, request, &row.groups)?,
        interface_type: Some("interface".to_owned()),
        mac_address: Some(mac_text(row.mac)),
        network_interface_id: Some(id.to_owned()),
        owner_id: Some(request.account()),
        private_dns_name: private_name,
        private_ip_address: Some(row.address.to_string()),
        private_ip_addresses: vec![address],
        requester_managed: Some(requester.is_some()),
        requester_id: requester,
        source_dest_check: Some(row.source_dest_check),
        status: Some(if attachment.is_some() { "in-use" } else { "available" }.to_owned()),
        attachment,
        subnet_id: Some(row.subnet_id),
        tag_set: tags,
        vpc_id: Some(row.vpc_id),
        ..NetworkInterface::default()
    })
}
