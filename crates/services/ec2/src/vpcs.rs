//! VPCs and their attributes.
//!
//! Invariants:
//! - A VPC has a main route table, a default network ACL and a default security group for as long as it is there.
//! - A VPC that anything else is in is not deleted.

use api::ec2::*;
use store::{Scan, Transaction, View};

use crate::cidr::Cidr;
use crate::errors::{self, Refusal};
use crate::listing::{Kind, Wanted, text, truth};
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::{network_acls, route_tables, security_groups, tags};

/// VPCs in a region. AWS begins with 5 and raises it on demand; here nobody has to ask.
const VPCS_MAX: usize = 500;
/// AWS: how large and how small a VPC or subnet may be.
pub(crate) const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

pub(crate) const KIND: Kind<VpcRow> = Kind { table: &VPCS, id: "vpc" };

/// Reads a network that a VPC or a subnet is to have; `parameter` names it to the client.
pub(crate) fn block(text: &str) -> Result<Cidr, Refusal> {
    text.parse().map_err(|_| errors::no_cidr("cidrBlock", text))
}

/// Refuses parameters that would have no effect.
pub(crate) fn refuse_given(given: &[(&'static str, bool)]) -> Result<(), Refusal> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((parameter, _)) => Err(errors::unsupported_parameter(parameter)),
        None => Ok(()),
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateVpcInput,
) -> Result<CreateVpcOutput, Refusal> {
    refuse_given(&[
        ("AmazonProvidedIpv6CidrBlock", input.amazon_provided_ipv6_cidr_block == Some(true)),
        ("Ipv6Pool", input.ipv6_pool.is_some()),
        ("Ipv6CidrBlock", input.ipv6_cidr_block.is_some()),
        ("Ipv4IpamPoolId", input.ipv4_ipam_pool_id.is_some()),
        ("Ipv4NetmaskLength", input.ipv4_netmask_length.is_some()),
        ("Ipv6IpamPoolId", input.ipv6_ipam_pool_id.is_some()),
        ("Ipv6NetmaskLength", input.ipv6_netmask_length.is_some()),
        ("VpcEncryptionControl", input.vpc_encryption_control.is_some()),
    ])?;
    if let Some(tenancy) = input.instance_tenancy.filter(|tenancy| tenancy != "default") {
        return Err(errors::unsupported_value("instanceTenancy", &tenancy));
    }
    let given = input.cidr_block.ok_or(Refusal::Missing("cidrBlock".into()))?;
    let cidr = block(&given)?;
    if !PREFIXES.contains(&cidr.prefix()) {
        return Err(errors::vpc_range(&given));
    }
    if tx.count(&VPCS, &Scan::prefix(&request.place.prefix()))? >= VPCS_MAX {
        return Err(errors::too_many_vpcs());
    }
    let tags = tags::specified(request, input.tag_specifications, "vpc")?;
    let id = request.new_id("vpc");
    let row = VpcRow { cidr, is_default: false, dns_support: true, dns_hostnames: false };
    tx.insert(&VPCS, &request.key(&id), &row)?;
    furnish(tx, request, &id)?;
    let tags = tags::put_new(tx, request, &id, "vpc", &tags)?;
    Ok(CreateVpcOutput { vpc: Some(described(request, &id, &row, tags)) })
}

/// What each VPC has from the start.
fn furnish(tx: &mut Transaction<'_>, request: &Request, vpc_id: &str) -> Result<(), Refusal> {
    let table = RouteTableRow {
        vpc_id: vpc_id.to_owned(),
        main_association: Some(request.new_id("rtbassoc")),
        associations: Vec::new(),
        routes: Vec::new(),
    };
    tx.insert(&ROUTE_TABLES, &request.key(&request.new_id("rtb")), &table)?;
    let acl = AclRow {
        vpc_id: vpc_id.to_owned(),
        is_default: true,
        associations: Vec::new(),
        entries: network_acls::open_entries(),
    };
    tx.insert(&ACLS, &request.key(&request.new_id("acl")), &acl)?;
    let group_id = request.new_id("sg");
    let ids = (request.new_id("sgr"), request.new_id("sgr"));
    tx.insert(&GROUPS, &request.key(&group_id), &security_groups::default_row(vpc_id, &group_id, ids))?;
    Ok(())
}

pub(crate) fn delete(tx: &mut Transaction<'_>, request: &Request, input: DeleteVpcInput) -> Result<(), Refusal> {
    let id = &input.vpc_id;
    KIND.get(tx, request, id)?;
    let tables = of_vpc(route_tables::KIND.all(tx, request)?, id, |row| &row.vpc_id);
    let acls = of_vpc(network_acls::KIND.all(tx, request)?, id, |row| &row.vpc_id);
    let groups = of_vpc(security_groups::KIND.all(tx, request)?, id, |row| &row.vpc_id);
    let is_used = crate::subnets::KIND.all(tx, request)?.iter().any(|(_, row)| row.vpc_id == *id)
        || crate::internet_gateways::KIND.all(tx, request)?.iter().any(|(_, row)| row.vpc_id.as_ref() == Some(id))
        || tables.iter().any(|(_, row)| row.main_association.is_none())
        || acls.iter().any(|(_, row)| !row.is_default)
        || groups.iter().any(|(_, row)| row.name != security_groups::DEFAULT_NAME);
    if is_used {
        return Err(errors::has_dependencies("vpc", id));
    }
    for (table_id, _) in &tables {
        tx.delete(&ROUTE_TABLES, &request.key(table_id))?;
        tags::forget(tx, &request.place, table_id)?;
    }
    for (acl_id, _) in &acls {
        tx.delete(&ACLS, &request.key(acl_id))?;
        tags::forget(tx, &request.place, acl_id)?;
    }
    for (group_id, group) in &groups {
        security_groups::remove(tx, request, group_id, group)?;
    }
    tx.delete(&VPCS, &request.key(id))?;
    Ok(tags::forget(tx, &request.place, id)?)
}

fn of_vpc<T>(rows: Vec<(String, T)>, vpc_id: &str, vpc_of: impl Fn(&T) -> &String) -> Vec<(String, T)> {
    rows.into_iter().filter(|(_, row)| vpc_of(row) == vpc_id).collect()
}

const KNOWN: &[&str] = &[
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

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeVpcsInput,
) -> Result<DescribeVpcsOutput, Refusal> {
    let DescribeVpcsInput { vpc_ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(vpc_ids, filters, KNOWN, max_results, next_token.as_deref())?;
    let describe = |id: &str, row: VpcRow, tags| Ok(described(request, id, &row, tags));
    let (vpcs, next_token) = KIND.list(view, request, &wanted, describe, values)?;
    Ok(DescribeVpcsOutput { next_token, vpcs })
}

fn values(vpc: &Vpc, name: &str) -> Vec<String> {
    match name {
        "cidr" | "cidrBlock" | "cidr-block-association.cidr-block" => text(&vpc.cidr_block),
        "cidr-block-association.association-id" => {
            vpc.cidr_block_association_set.iter().filter_map(|block| block.association_id.clone()).collect()
        }
        "cidr-block-association.state" => vec!["associated".to_owned()],
        "dhcp-options-id" | "dhcpOptionsId" => text(&vpc.dhcp_options_id),
        "is-default" | "isDefault" => truth(vpc.is_default),
        "instance-tenancy" => text(&vpc.instance_tenancy),
        "owner-id" => text(&vpc.owner_id),
        "state" => text(&vpc.state),
        "vpc-id" | "vpcId" => text(&vpc.vpc_id),
        _ => Vec::new(),
    }
}

fn described(request: &Request, id: &str, row: &VpcRow, tags: Vec<Tag>) -> Vpc {
    // The default VPC's part is the empty name, so that its association keeps its id.
    let own = if row.is_default { "" } else { id };
    let block = VpcCidrBlockAssociation {
        association_id: Some(request.place.derived("vpc-cidr-assoc", own)),
        cidr_block: Some(row.cidr.to_string()),
        cidr_block_state: Some(VpcCidrBlockState { state: Some("associated".to_owned()), ..Default::default() }),
    };
    Vpc {
        cidr_block: Some(row.cidr.to_string()),
        cidr_block_association_set: vec![block],
        dhcp_options_id: Some(dhcp_options_id(&request.place)),
        instance_tenancy: Some("default".to_owned()),
        is_default: Some(row.is_default),
        owner_id: Some(request.account()),
        state: Some("available".to_owned()),
        tags,
        vpc_id: Some(id.to_owned()),
        ..Vpc::default()
    }
}

/// Changes one attribute.
pub(crate) fn modify_attribute(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ModifyVpcAttributeInput,
) -> Result<(), Refusal> {
    let value = |given: Option<AttributeBooleanValue>| given.and_then(|given| given.value);
    let (hostnames, support) = (value(input.enable_dns_hostnames), value(input.enable_dns_support));
    if value(input.enable_network_address_usage_metrics) == Some(true) {
        return Err(errors::unsupported_parameter("EnableNetworkAddressUsageMetrics"));
    }
    if hostnames.is_some() && support.is_some() {
        return Err(Refusal::Combination("enableDnsHostnames", "enableDnsSupport"));
    }
    let mut row = KIND.get(tx, request, &input.vpc_id)?;
    row.dns_hostnames = hostnames.unwrap_or(row.dns_hostnames);
    row.dns_support = support.unwrap_or(row.dns_support);
    tx.put(&VPCS, &request.key(&input.vpc_id), &row)?;
    Ok(())
}

pub(crate) fn describe_attribute(
    view: &View<'_>,
    request: &Request,
    input: DescribeVpcAttributeInput,
) -> Result<DescribeVpcAttributeOutput, Refusal> {
    let row = KIND.get(view, request, &input.vpc_id)?;
    let is = |value| Some(AttributeBooleanValue { value: Some(value) });
    let mut output = DescribeVpcAttributeOutput { vpc_id: Some(input.vpc_id), ..Default::default() };
    match input.attribute.as_str() {
        "enableDnsHostnames" => output.enable_dns_hostnames = is(row.dns_hostnames),
        "enableDnsSupport" => output.enable_dns_support = is(row.dns_support),
        "enableNetworkAddressUsageMetrics" => output.enable_network_address_usage_metrics = is(false),
        other => return Err(errors::unknown_attribute(other)),
    }
    Ok(output)
}

/// The one set of DHCP options, which all VPCs use.
pub(crate) fn dhcp_options_id(place: &Place) -> String {
    place.derived("dopt", "")
}

/// The domain that private names end in.
pub(crate) fn private_domain(region: &api::Region) -> String {
    match region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

pub(crate) fn describe_dhcp_options(
    view: &View<'_>,
    request: &Request,
    input: DescribeDhcpOptionsInput,
) -> Result<DescribeDhcpOptionsOutput, Refusal> {
    let known = ["dhcp-options-id", "key", "owner-id", "value"];
    let DescribeDhcpOptionsInput { dhcp_options_ids: ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(ids, filters, &known, max_results, next_token.as_deref())?;
    let id = dhcp_options_id(&request.place);
    let missing: Vec<String> = wanted.ids.iter().filter(|wanted| **wanted != id).cloned().collect();
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "dopt", ids: missing });
    }
    let tags = tags::of(view, &request.place, &id)?;
    let configured =
        [("domain-name", private_domain(&request.place.region)), ("domain-name-servers", "AmazonProvidedDNS".into())];
    let passes = wanted.filters.pass(&tags, |name| match name {
        "dhcp-options-id" => vec![id.clone()],
        "key" => configured.iter().map(|(key, _)| (*key).to_owned()).collect(),
        "owner-id" => vec![request.account()],
        _ => configured.iter().map(|(_, value)| value.clone()).collect(),
    });
    let configuration = |(key, value): &(&str, String)| DhcpConfiguration {
        key: Some((*key).to_owned()),
        values: vec![AttributeValue { value: Some(value.clone()) }],
    };
    let options = DhcpOptions {
        dhcp_configurations: configured.iter().map(configuration).collect(),
        dhcp_options_id: Some(id),
        owner_id: Some(request.account()),
        tags,
    };
    Ok(DescribeDhcpOptionsOutput { dhcp_options: passes.then_some(options).into_iter().collect(), next_token: None })
}
