//! Regions, zones, the default VPC and its subnets, and what an account may have.
//!
//! Invariant: none of this is stored; it follows from the configuration and from account and region.

use api::ec2::*;
use api::{Call, Region as RegionName};
use store::{StoreError, View};

use crate::errors::Refusal;
use crate::filters::Filters;
use crate::paging::Page;
use crate::place::{Layout, Place, VPC_CIDR, Zone};
use crate::security_groups::GROUPS_PER_INTERFACE_MAX;
use crate::{MACHINES_MAX, tags};

/// A subnet's addresses less the five that AWS keeps of each.
const SUBNET_ADDRESSES: i32 = 4_096 - 5;

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The regions that have zones.
pub(crate) fn regions(layout: &Layout, call: &Call, input: DescribeRegionsInput) -> Result<Vec<Region>, Refusal> {
    let filters = Filters::parse(input.filters, &["endpoint", "opt-in-status", "region-name"])?;
    let known = layout.regions();
    let unknown: Vec<&String> =
        input.region_names.iter().filter(|name| known.iter().all(|region| region.as_str() != **name)).collect();
    if !unknown.is_empty() {
        return Err(Refusal::InvalidValue(format!("Invalid region names: {unknown:?}")));
    }
    // One endpoint answers for all regions.
    let endpoint = call.endpoint.authority.to_string();
    let opt_in = "opt-in-not-required";
    let wanted = |region: &RegionName| {
        (input.region_names.is_empty() || input.region_names.iter().any(|name| name == region.as_str()))
            && filters.pass(&[], |name| match name {
                "endpoint" => vec![endpoint.clone()],
                "opt-in-status" => owned(&[opt_in]),
                _ => owned(&[region.as_str()]),
            })
    };
    let described = |region: RegionName| Region {
        endpoint: Some(endpoint.clone()),
        opt_in_status: Some(opt_in.to_owned()),
        region_name: Some(region.to_string()),
        ..Region::default()
    };
    Ok(known.into_iter().filter(wanted).map(described).collect())
}

/// The zones of the call's region.
pub(crate) fn zones(
    layout: &Layout,
    place: &Place,
    input: DescribeAvailabilityZonesInput,
) -> Result<Vec<AvailabilityZone>, Refusal> {
    const KNOWN: [&str; 11] = [
        "group-long-name",
        "group-name",
        "message",
        "opt-in-status",
        "parent-zone-id",
        "parent-zone-name",
        "region-name",
        "state",
        "zone-id",
        "zone-name",
        "zone-type",
    ];
    let filters = Filters::parse(input.filters, &KNOWN)?;
    let region = &place.region;
    for name in &input.zone_names {
        if layout.zones_in(region).all(|zone| zone.name != *name) {
            return Err(Refusal::InvalidValue(format!("Invalid availability zone: [{name}]")));
        }
    }
    for id in &input.zone_ids {
        if layout.zones_in(region).all(|zone| zone_id(region, zone) != *id) {
            return Err(Refusal::InvalidValue(format!("Invalid availability zone-id: [{id}]")));
        }
    }
    let described = layout.zones_in(region).map(|zone| AvailabilityZone {
        group_name: Some(region.to_string()),
        network_border_group: Some(region.to_string()),
        opt_in_status: Some("opt-in-not-required".to_owned()),
        region_name: Some(region.to_string()),
        state: Some("available".to_owned()),
        zone_id: Some(zone_id(region, zone)),
        zone_name: Some(zone.name.clone()),
        zone_type: Some("availability-zone".to_owned()),
        ..AvailabilityZone::default()
    });
    let wanted = |zone: &AvailabilityZone| {
        let named = |names: &[String], name: &Option<String>| {
            names.is_empty() || name.as_ref().is_some_and(|name| names.contains(name))
        };
        let values = |name: &str| {
            let value = match name {
                "group-name" => &zone.group_name,
                "opt-in-status" => &zone.opt_in_status,
                "region-name" => &zone.region_name,
                "state" => &zone.state,
                "zone-id" => &zone.zone_id,
                "zone-name" => &zone.zone_name,
                "zone-type" => &zone.zone_type,
                _ => &None,
            };
            value.iter().cloned().collect()
        };
        named(&input.zone_names, &zone.zone_name) && named(&input.zone_ids, &zone.zone_id) && filters.pass(&[], values)
    };
    Ok(described.filter(wanted).collect())
}

/// A zone's id as AWS builds them: `use1-az1` in us-east-1.
pub(crate) fn zone_id(region: &RegionName, zone: &Zone) -> String {
    let parts: Vec<&str> = region.as_str().split('-').collect();
    let short = match parts[..] {
        [continent, direction, number] => {
            // Compass points by their letters: southeast is se, central is c.
            let compass = ["north", "south", "east", "west", "central"];
            let mut letters = String::new();
            let mut rest = direction;
            while let Some(point) = compass.iter().find(|point| rest.starts_with(**point)) {
                letters.push_str(&point[..1]);
                rest = &rest[point.len()..];
            }
            if rest.is_empty() { format!("{continent}{letters}{number}") } else { region.to_string() }
        }
        _ => region.to_string(),
    };
    format!("{short}-az{}", zone.index + 1)
}

/// The default VPC.
pub(crate) fn vpcs(view: &View<'_>, place: &Place, input: DescribeVpcsInput) -> Result<DescribeVpcsOutput, Refusal> {
    const KNOWN: [&str; 18] = [
        "cidr",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "cidrBlock",
        "dhcp-options-id",
        "dhcpOptionsId",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.ipv6-pool",
        "ipv6-cidr-block-association.state",
        "is-default",
        "isDefault",
        "instance-tenancy",
        "owner-id",
        "state",
        "vpc-id",
        "vpcId",
    ];
    let filters = Filters::parse(input.filters, &KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let id = place.vpc_id();
    let missing: Vec<String> = input.vpc_ids.iter().filter(|wanted| **wanted != id).cloned().collect();
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "vpc", ids: missing });
    }
    let tags = tags::of(view, place, &id)?;
    let association = place.derived("vpc-cidr-assoc", "");
    let passes = filters.pass(&tags, |name| match name {
        "cidr" | "cidrBlock" | "cidr-block-association.cidr-block" => owned(&[VPC_CIDR]),
        "cidr-block-association.association-id" => vec![association.clone()],
        "cidr-block-association.state" => owned(&["associated"]),
        "is-default" | "isDefault" => owned(&["true"]),
        "instance-tenancy" => owned(&["default"]),
        "owner-id" => vec![place.account.to_string()],
        "state" => owned(&["available"]),
        "vpc-id" | "vpcId" => vec![id.clone()],
        _ => Vec::new(),
    });
    let block = VpcCidrBlockAssociation {
        association_id: Some(association.clone()),
        cidr_block: Some(VPC_CIDR.to_owned()),
        cidr_block_state: Some(VpcCidrBlockState { state: Some("associated".to_owned()), ..Default::default() }),
    };
    let vpc = Vpc {
        cidr_block: Some(VPC_CIDR.to_owned()),
        cidr_block_association_set: vec![block],
        instance_tenancy: Some("default".to_owned()),
        is_default: Some(true),
        owner_id: Some(place.account.to_string()),
        state: Some("available".to_owned()),
        tags,
        vpc_id: Some(id),
        ..Vpc::default()
    };
    let (vpcs, next_token) = page.of(passes.then_some(vpc).into_iter(), |vpc| vpc.vpc_id.clone().unwrap_or_default());
    Ok(DescribeVpcsOutput { next_token, vpcs })
}

/// A zone's default subnet.
fn subnet_cidr(zone: &Zone) -> String {
    format!("172.31.{}.0/20", zone.index * 16)
}

/// The default subnets of the region's zones.
pub(crate) fn subnets(
    view: &View<'_>,
    layout: &Layout,
    place: &Place,
    input: DescribeSubnetsInput,
) -> Result<DescribeSubnetsOutput, Refusal> {
    const KNOWN: [&str; 24] = [
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
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-public-ip-on-launch",
        "outpost-arn",
        "owner-id",
        "state",
        "subnet-arn",
        "subnet-id",
        "vpc-id",
        "vpcId",
    ];
    let filters = Filters::parse(input.filters, &KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let mut described = layout
        .zones_in(&place.region)
        .map(|zone| subnet(view, place, zone))
        .collect::<Result<Vec<Subnet>, StoreError>>()?;
    described.sort_by(|a, b| a.subnet_id.cmp(&b.subnet_id));
    let is_there = |id: &&String| described.iter().any(|subnet| subnet.subnet_id.as_ref() == Some(*id));
    let missing: Vec<String> = input.subnet_ids.iter().filter(|id| !is_there(id)).cloned().collect();
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "subnet", ids: missing });
    }
    let wanted = |subnet: &Subnet| {
        let text = |value: &Option<String>| value.iter().cloned().collect();
        (input.subnet_ids.is_empty() || subnet.subnet_id.as_ref().is_some_and(|id| input.subnet_ids.contains(id)))
            && filters.pass(&subnet.tags, |name| match name {
                "availability-zone" | "availabilityZone" => text(&subnet.availability_zone),
                "availability-zone-id" | "availabilityZoneId" => text(&subnet.availability_zone_id),
                "available-ip-address-count" => subnet.available_ip_address_count.iter().map(i32::to_string).collect(),
                "cidr" | "cidr-block" | "cidrBlock" => text(&subnet.cidr_block),
                "default-for-az" | "defaultForAz" => owned(&["true"]),
                "enable-dns64" | "ipv6-native" | "map-public-ip-on-launch" => owned(&["false"]),
                "owner-id" => text(&subnet.owner_id),
                "state" => text(&subnet.state),
                "subnet-arn" => text(&subnet.subnet_arn),
                "subnet-id" => text(&subnet.subnet_id),
                "vpc-id" | "vpcId" => text(&subnet.vpc_id),
                _ => Vec::new(),
            })
    };
    let id = |subnet: &Subnet| subnet.subnet_id.clone().unwrap_or_default();
    let (subnets, next_token) = page.of(described.into_iter().filter(wanted), id);
    Ok(DescribeSubnetsOutput { next_token, subnets })
}

fn subnet(view: &View<'_>, place: &Place, zone: &Zone) -> Result<Subnet, StoreError> {
    let id = place.subnet_id(&zone.name);
    Ok(Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(zone.name.clone()),
        availability_zone_id: Some(zone_id(&place.region, zone)),
        // No machine has an address of it: those that are registered keep their own.
        available_ip_address_count: Some(SUBNET_ADDRESSES),
        cidr_block: Some(subnet_cidr(zone)),
        default_for_az: Some(true),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        map_public_ip_on_launch: Some(false),
        owner_id: Some(place.account.to_string()),
        state: Some("available".to_owned()),
        subnet_arn: Some(format!("arn:aws:ec2:{}:{}:subnet/{id}", place.region, place.account)),
        tags: tags::of(view, place, &id)?,
        vpc_id: Some(place.vpc_id()),
        subnet_id: Some(id),
        ..Subnet::default()
    })
}

/// What an account may have.
pub(crate) fn account_attributes(place: &Place, names: &[String]) -> Result<Vec<AccountAttribute>, Refusal> {
    // The default VPC has no addresses of its own to give out, so there are no Elastic IPs.
    let all = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", place.vpc_id()),
        ("max-instances", MACHINES_MAX.to_string()),
        ("vpc-max-security-groups-per-interface", GROUPS_PER_INTERFACE_MAX.to_string()),
        ("max-elastic-ips", "0".to_owned()),
        ("vpc-max-elastic-ips", "0".to_owned()),
    ];
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|(known, _)| known != name)) {
        return Err(Refusal::InvalidValue(format!("Invalid account attribute name: {unknown}")));
    }
    let wanted = all.into_iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name));
    let attribute = |(name, value): (&str, String)| AccountAttribute {
        attribute_name: Some(name.to_owned()),
        attribute_values: vec![AccountAttributeValue { attribute_value: Some(value) }],
    };
    Ok(wanted.map(attribute).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zones_id_is_built_as_aws_builds_it() {
        let id = |region: &str, index| zone_id(&RegionName::parse(region).unwrap(), &Zone { name: "z".into(), index });
        assert_eq!(id("us-east-1", 0), "use1-az1");
        assert_eq!(id("ap-southeast-2", 2), "apse2-az3");
        assert_eq!(id("eu-central-1", 0), "euc1-az1");
        assert_eq!(id("cellar", 0), "cellar-az1");
    }
}
