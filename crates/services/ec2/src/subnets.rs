//! Subnets: ranges of a VPC's addresses, each in a zone.
//!
//! Invariants:
//! - A subnet lies in its VPC and shares no address with another.
//! - A subnet has one network ACL at any time, and at most one route table of its own.
//! - A subnet in which an interface or a registered machine is, is not deleted.

use api::ec2::*;
use store::{Scan, StoreError, Transaction, View};

use crate::address_pool;
use crate::errors::{self, Refusal};
use crate::listing::{Kind, Wanted, text, truth};
use crate::regions::zone_id;
use crate::request::Request;
use crate::rows::*;
use crate::{network_acls, network_interfaces, tags, vpcs};

/// AWS's quota: subnets of a VPC.
const SUBNETS_MAX: usize = 200;

pub(crate) const KIND: Kind<SubnetRow> = Kind { table: &SUBNETS, id: "subnet" };

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateSubnetInput,
) -> Result<CreateSubnetOutput, Refusal> {
    vpcs::refuse_given(&[
        ("Ipv6CidrBlock", input.ipv6_cidr_block.is_some()),
        ("OutpostArn", input.outpost_arn.is_some()),
        ("Ipv6Native", input.ipv6_native == Some(true)),
        ("Ipv4IpamPoolId", input.ipv4_ipam_pool_id.is_some()),
        ("Ipv4NetmaskLength", input.ipv4_netmask_length.is_some()),
        ("Ipv6IpamPoolId", input.ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", input.ipv6_netmask_length.is_some()),
    ])?;
    let vpc = vpcs::KIND.get(tx, request, &input.vpc_id)?;
    let given = input.cidr_block.ok_or(Refusal::Missing("cidrBlock".into()))?;
    let cidr = vpcs::block(&given)?;
    if !vpcs::PREFIXES.contains(&cidr.prefix()) || !vpc.cidr.contains(cidr) {
        return Err(errors::subnet_range(&given));
    }
    let others: Vec<SubnetRow> = KIND.all(tx, request)?.into_iter().map(|(_, row)| row).collect();
    let others: Vec<&SubnetRow> = others.iter().filter(|row| row.vpc_id == input.vpc_id).collect();
    if others.iter().any(|other| other.cidr.overlaps(cidr)) {
        return Err(errors::subnet_conflict(&given));
    }
    if others.len() >= SUBNETS_MAX {
        return Err(errors::too_many_subnets());
    }
    let zone = zone(request, input.availability_zone, input.availability_zone_id)?;
    let tags = tags::specified(request, input.tag_specifications, "subnet")?;
    let id = request.new_id("subnet");
    let row = SubnetRow { vpc_id: input.vpc_id, zone, cidr, is_default: false, gives_public: false, next_offset: 0 };
    tx.insert(&SUBNETS, &request.key(&id), &row)?;
    let association = AssociationRow { id: request.new_id("aclassoc"), subnet_id: id.clone() };
    network_acls::join_default(tx, &request.place, &row.vpc_id, association)?;
    let tags = tags::put_new(tx, request, &id, "subnet", &tags)?;
    Ok(CreateSubnetOutput { subnet: Some(described(tx, request, &id, row, tags)?) })
}

/// The zone that a client names, or the region's first.
fn zone(request: &Request, name: Option<String>, id: Option<String>) -> Result<String, Refusal> {
    let region = &request.place.region;
    let known = || request.layout().zones_in(region).map(|zone| zone.name.clone()).collect::<Vec<_>>();
    let found = match (&name, &id) {
        (Some(_), Some(_)) => return Err(Refusal::Combination("availabilityZone", "availabilityZoneId")),
        (Some(name), None) => request.layout().zones_in(region).find(|zone| zone.name == *name),
        (None, Some(id)) => request.layout().zones_in(region).find(|zone| zone_id(region, zone) == *id),
        (None, None) => request.layout().zones_in(region).next(),
    };
    let found = found.map(|zone| zone.name.clone());
    found.ok_or_else(|| errors::no_such_zone(&name.or(id).unwrap_or_default(), &known()))
}

pub(crate) fn delete(tx: &mut Transaction<'_>, request: &Request, input: DeleteSubnetInput) -> Result<(), Refusal> {
    let id = &input.subnet_id;
    let row = KIND.get(tx, request, id)?;
    let interfaces = network_interfaces::KIND.all(tx, request)?;
    let mut is_used = interfaces.iter().any(|(_, interface)| interface.subnet_id == *id);
    if row.is_default {
        // Registered machines stand in the default subnet of their zone.
        let machines = tx.scan(&MACHINES, &Scan::prefix(&request.place.prefix()))?;
        is_used |= machines.iter().any(|machine| machine.value.zone == row.zone);
    }
    if is_used {
        return Err(errors::has_dependencies("subnet", id));
    }
    for (table_id, mut table) in crate::route_tables::KIND.all(tx, request)? {
        if table.associations.iter().any(|association| association.subnet_id == *id) {
            table.associations.retain(|association| association.subnet_id != *id);
            tx.put(&ROUTE_TABLES, &request.key(&table_id), &table)?;
        }
    }
    network_acls::leave(tx, request, id)?;
    tx.delete(&SUBNETS, &request.key(id))?;
    Ok(tags::forget(tx, &request.place, id)?)
}

pub(crate) fn modify(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ModifySubnetAttributeInput,
) -> Result<(), Refusal> {
    let is_on = |given: &Option<AttributeBooleanValue>| given.as_ref().is_some_and(|given| given.value == Some(true));
    vpcs::refuse_given(&[
        ("AssignIpv6AddressOnCreation", is_on(&input.assign_ipv6_address_on_creation)),
        ("EnableDns64", is_on(&input.enable_dns64)),
        ("MapCustomerOwnedIpOnLaunch", is_on(&input.map_customer_owned_ip_on_launch)),
        ("CustomerOwnedIpv4Pool", input.customer_owned_ipv4_pool.is_some()),
        ("EnableLniAtDeviceIndex", input.enable_lni_at_device_index.is_some()),
        ("EnableResourceNameDnsARecordOnLaunch", is_on(&input.enable_resource_name_dns_a_record_on_launch)),
        ("EnableResourceNameDnsAAAARecordOnLaunch", is_on(&input.enable_resource_name_dns_aaaa_record_on_launch)),
    ])?;
    if let Some(kind) = input.private_dns_hostname_type_on_launch.filter(|kind| kind != "ip-name") {
        return Err(errors::unsupported_value("privateDnsHostnameTypeOnLaunch", &kind));
    }
    let mut row = KIND.get(tx, request, &input.subnet_id)?;
    if let Some(gives_public) = input.map_public_ip_on_launch.and_then(|given| given.value) {
        row.gives_public = gives_public;
    }
    tx.put(&SUBNETS, &request.key(&input.subnet_id), &row)?;
    Ok(())
}

const KNOWN: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "availabilityZone",
    "availabilityZoneId",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "customer-owned-ipv4-pool",
    "default-for-az",
    "defaultForAz",
    "enable-dns64",
    "enable-lni-at-device-index",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "ipv6-native",
    "map-customer-owned-ip-on-launch",
    "map-public-ip-on-launch",
    "outpost-arn",
    "owner-id",
    "private-dns-name-options-on-launch.hostname-type",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
    "vpcId",
];

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeSubnetsInput,
) -> Result<DescribeSubnetsOutput, Refusal> {
    let DescribeSubnetsInput { subnet_ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(subnet_ids, filters, KNOWN, max_results, next_token.as_deref())?;
    let describe = |id: &str, row, tags| Ok(described(view, request, id, row, tags)?);
    let (subnets, next_token) = KIND.list(view, request, &wanted, describe, values)?;
    Ok(DescribeSubnetsOutput { next_token, subnets })
}

fn values(subnet: &Subnet, name: &str) -> Vec<String> {
    match name {
        "availability-zone" | "availabilityZone" => text(&subnet.availability_zone),
        "availability-zone-id" | "availabilityZoneId" => text(&subnet.availability_zone_id),
        "available-ip-address-count" => {
            subnet.available_ip_address_count.map(|count| count.to_string()).into_iter().collect()
        }
        "cidr" | "cidr-block" | "cidrBlock" => text(&subnet.cidr_block),
        "default-for-az" | "defaultForAz" => truth(subnet.default_for_az),
        "enable-dns64" | "ipv6-native" => vec!["false".to_owned()],
        "map-public-ip-on-launch" => truth(subnet.map_public_ip_on_launch),
        "owner-id" => text(&subnet.owner_id),
        "state" => text(&subnet.state),
        "subnet-arn" => text(&subnet.subnet_arn),
        "subnet-id" => text(&subnet.subnet_id),
        "vpc-id" | "vpcId" => text(&subnet.vpc_id),
        _ => Vec::new(),
    }
}

fn described(
    view: &View<'_>,
    request: &Request,
    id: &str,
    row: SubnetRow,
    tags: Vec<Tag>,
) -> Result<Subnet, StoreError> {
    let taken = address_pool::taken(view, &request.place, id)?.len() as u64;
    let free = address_pool::capacity(row.cidr).saturating_sub(taken);
    // A zone that the configuration lost has no number any more.
    let zone_id = request.layout().zone(&row.zone).map(|(region, zone)| zone_id(region, zone));
    Ok(Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(row.zone),
        availability_zone_id: zone_id,
        available_ip_address_count: Some(i32::try_from(free).unwrap_or(i32::MAX)),
        cidr_block: Some(row.cidr.to_string()),
        default_for_az: Some(row.is_default),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(row.gives_public),
        owner_id: Some(request.account()),
        state: Some("available".to_owned()),
        subnet_arn: Some(request.arn("subnet", id)),
        subnet_id: Some(id.to_owned()),
        tags,
        vpc_id: Some(row.vpc_id),
        ..Subnet::default()
    })
}
