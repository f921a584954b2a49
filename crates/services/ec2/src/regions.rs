//! Regions, their zones, and what an account may have in them.
//!
//! Invariant: none of this is stored; it follows from the configuration and from account and region.

use api::Region as RegionName;
use api::ec2::*;
use store::View;

use crate::addresses::ADDRESSES_MAX;
use crate::errors::Refusal;
use crate::filters::Filters;
use crate::place::Zone;
use crate::request::Request;
use crate::rows::VPCS;
use crate::run::INSTANCES_MAX;
use crate::security_groups::GROUPS_PER_INTERFACE_MAX;

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The regions that have zones.
pub(crate) fn regions(
    _: &View<'_>,
    request: &Request,
    input: DescribeRegionsInput,
) -> Result<DescribeRegionsOutput, Refusal> {
    let filters = Filters::parse(input.filters, &["endpoint", "opt-in-status", "region-name"])?;
    let known = request.layout().regions();
    let unknown: Vec<&String> =
        input.region_names.iter().filter(|name| known.iter().all(|region| region.as_str() != **name)).collect();
    if !unknown.is_empty() {
        return Err(Refusal::InvalidValue(format!("Invalid region names: {unknown:?}")));
    }
    // One endpoint answers for all regions.
    let endpoint = request.authority.to_string();
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
    Ok(DescribeRegionsOutput { regions: known.into_iter().filter(wanted).map(described).collect() })
}

/// The zones of the call's region.
pub(crate) fn zones(
    _: &View<'_>,
    request: &Request,
    input: DescribeAvailabilityZonesInput,
) -> Result<DescribeAvailabilityZonesOutput, Refusal> {
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
    let (layout, region) = (request.layout(), &request.place.region);
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
    Ok(DescribeAvailabilityZonesOutput { availability_zones: described.filter(wanted).collect() })
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

/// What an account may have.
pub(crate) fn account_attributes(
    view: &View<'_>,
    request: &Request,
    input: DescribeAccountAttributesInput,
) -> Result<DescribeAccountAttributesOutput, Refusal> {
    let default_vpc = request.place.vpc_id();
    let has_default = view.contains(&VPCS, &request.key(&default_vpc))?;
    let all = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", if has_default { default_vpc } else { "none".to_owned() }),
        ("max-instances", INSTANCES_MAX.to_string()),
        ("vpc-max-security-groups-per-interface", GROUPS_PER_INTERFACE_MAX.to_string()),
        ("max-elastic-ips", ADDRESSES_MAX.to_string()),
        ("vpc-max-elastic-ips", ADDRESSES_MAX.to_string()),
    ];
    let names = &input.attribute_names;
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|(known, _)| known != name)) {
        return Err(Refusal::InvalidValue(format!("Invalid account attribute name: {unknown}")));
    }
    let wanted = all.into_iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name));
    let attribute = |(name, value): (&str, String)| AccountAttribute {
        attribute_name: Some(name.to_owned()),
        attribute_values: vec![AccountAttributeValue { attribute_value: Some(value) }],
    };
    Ok(DescribeAccountAttributesOutput { account_attributes: wanted.map(attribute).collect() })
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
