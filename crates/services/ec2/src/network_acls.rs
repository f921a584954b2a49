//! Network ACLs: stateless filters at a subnet's border.
//!
//! Invariants:
//! - A VPC has exactly one default ACL; a subnet is in exactly one ACL's associations.
//! - Entries are in order of direction and number, each number once; the last one, which denies, is not stored.

use api::ec2::*;
use store::{Scan, StoreError, Transaction, View};

use crate::cidr::Cidr;
use crate::client_tokens::{self, Asked};
use crate::errors::{self, Refusal};
use crate::listing::{Kind, Wanted, text, truth};
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::rules::ipv6_network;
use crate::{tags, vpcs};

/// The number that EC2 shows as `*`: whatever no entry matches is denied.
const LAST_NUMBER: i32 = 32_767;
/// AWS's quota: entries of an ACL in one direction, at most.
const ENTRIES_MAX: usize = 40;
/// AWS's quota: network ACLs of a VPC, times its VPCs.
const ACLS_MAX: usize = 200 * 500;

pub(crate) const KIND: Kind<AclRow> = Kind { table: &ACLS, id: "acl" };

/// The entries of a VPC's default ACL: everything passes.
pub(crate) fn open_entries() -> Vec<EntryRow> {
    let entry = |egress| EntryRow {
        egress,
        number: 100,
        protocol: "-1".to_owned(),
        allows: true,
        network: "0.0.0.0/0".to_owned(),
        ports: None,
        icmp: None,
    };
    vec![entry(false), entry(true)]
}

/// Puts a new subnet into its VPC's default ACL.
pub(crate) fn join_default(
    tx: &mut Transaction<'_>,
    place: &Place,
    vpc_id: &str,
    association: AssociationRow,
) -> Result<(), StoreError> {
    let acls = tx.scan(&ACLS, &Scan::prefix(&place.prefix()))?;
    let default = acls.into_iter().find(|row| row.value.is_default && row.value.vpc_id == vpc_id);
    let Some(mut default) = default else { return Ok(()) };
    default.value.associations.push(association);
    tx.put(&ACLS, &default.key, &default.value).map(drop)
}

/// Takes a subnet that is deleted out of its ACL.
pub(crate) fn leave(tx: &mut Transaction<'_>, request: &Request, subnet_id: &str) -> Result<(), Refusal> {
    for (id, mut acl) in KIND.all(tx, request)? {
        let before = acl.associations.len();
        acl.associations.retain(|association| association.subnet_id != subnet_id);
        if acl.associations.len() != before {
            tx.put(&ACLS, &request.key(&id), &acl)?;
        }
    }
    Ok(())
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateNetworkAclInput,
) -> Result<CreateNetworkAclOutput, Refusal> {
    let asked = Asked::new("CreateNetworkAcl", input.client_token.clone(), &input.vpc_id);
    if let Some(made) = client_tokens::made(tx, request, &asked)? {
        let id = made.first().cloned().unwrap_or_default();
        let (row, tags) = (KIND.get(tx, request, &id)?, tags::of(tx, &request.place, &id)?);
        let network_acl = Some(described(request, &id, row, tags));
        return Ok(CreateNetworkAclOutput { client_token: input.client_token, network_acl });
    }
    vpcs::KIND.get(tx, request, &input.vpc_id)?;
    if tx.count(&ACLS, &Scan::prefix(&request.place.prefix()))? >= ACLS_MAX {
        return Err(errors::too_many_acls());
    }
    let tags = tags::specified(request, input.tag_specifications, "network-acl")?;
    let id = request.new_id("acl");
    let row = AclRow { vpc_id: input.vpc_id, is_default: false, associations: Vec::new(), entries: Vec::new() };
    tx.insert(&ACLS, &request.key(&id), &row)?;
    let tags = tags::put_new(tx, request, &id, "network-acl", &tags)?;
    client_tokens::remember(tx, request, &asked, vec![id.clone()])?;
    let network_acl = Some(described(request, &id, row, tags));
    Ok(CreateNetworkAclOutput { client_token: input.client_token, network_acl })
}

pub(crate) fn delete(tx: &mut Transaction<'_>, request: &Request, input: DeleteNetworkAclInput) -> Result<(), Refusal> {
    let id = &input.network_acl_id;
    let row = KIND.get(tx, request, id)?;
    if row.is_default {
        return Err(errors::default_acl(id));
    }
    if !row.associations.is_empty() {
        return Err(errors::has_dependencies("networkAcl", id));
    }
    tx.delete(&ACLS, &request.key(id))?;
    Ok(tags::forget(tx, &request.place, id)?)
}

/// An entry as a client writes it.
struct Draft {
    egress: bool,
    number: i32,
    protocol: String,
    action: String,
    v4: Option<String>,
    v6: Option<String>,
    ports: Option<PortRange>,
    icmp: Option<IcmpTypeCode>,
}

impl Draft {
    fn check(self) -> Result<EntryRow, Refusal> {
        if !(1..LAST_NUMBER).contains(&self.number) {
            return Err(errors::acl_entry_number(self.number));
        }
        let protocol = match self.protocol.to_ascii_lowercase().as_str() {
            "-1" | "all" => "-1".to_owned(),
            "tcp" => "6".to_owned(),
            "udp" => "17".to_owned(),
            "icmp" => "1".to_owned(),
            number => match number.parse::<u8>() {
                Ok(number) => number.to_string(),
                Err(_) => return Err(errors::invalid_value("protocol", &self.protocol)),
            },
        };
        let allows = match self.action.as_str() {
            "allow" => true,
            "deny" => false,
            other => return Err(errors::invalid_value("ruleAction", other)),
        };
        let network = match (self.v4, self.v6) {
            (Some(_), Some(_)) => return Err(Refusal::Combination("cidrBlock", "ipv6CidrBlock")),
            (Some(text), None) => {
                let cidr: Cidr = text.parse().map_err(|_| errors::no_cidr("cidrBlock", &text))?;
                cidr.to_string()
            }
            (None, Some(text)) => ipv6_network(&text).ok_or_else(|| errors::no_cidr("ipv6CidrBlock", &text))?,
            (None, None) => return Err(Refusal::Missing("cidrBlock".into())),
        };
        let ports = match protocol.as_str() {
            "6" | "17" => Some(ports(self.ports)?),
            _ => None,
        };
        let icmp = match protocol.as_str() {
            "1" | "58" => {
                let given = self.icmp.ok_or(Refusal::Missing("icmpTypeCode.type".into()))?;
                Some((given.r#type.unwrap_or(-1), given.code.unwrap_or(-1)))
            }
            _ => None,
        };
        let is_icmp = |(kind, code): (i32, i32)| (-1..=255).contains(&kind) && (-1..=255).contains(&code);
        if let Some((kind, code)) = icmp.filter(|icmp| !is_icmp(*icmp)) {
            return Err(errors::invalid_value("icmpTypeCode", &format!("{kind}/{code}")));
        }
        Ok(EntryRow { egress: self.egress, number: self.number, protocol, allows, network, ports, icmp })
    }
}

fn ports(given: Option<PortRange>) -> Result<(u16, u16), Refusal> {
    let PortRange { from, to } = given.ok_or(Refusal::Missing("portRange".into()))?;
    let (from, to) = (from.ok_or(Refusal::Missing("portRange.from".into()))?, to.unwrap_or(from.unwrap_or_default()));
    match (u16::try_from(from), u16::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to => Ok((from, to)),
        // EC2 takes -1 for all of them.
        _ if (from, to) == (-1, -1) => Ok((0, u16::MAX)),
        _ => Err(errors::invalid_value("portRange", &format!("{from}-{to}"))),
    }
}

pub(crate) fn create_entry(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateNetworkAclEntryInput,
) -> Result<(), Refusal> {
    let entry = Draft {
        egress: input.egress,
        number: input.rule_number,
        protocol: input.protocol,
        action: input.rule_action,
        v4: input.cidr_block,
        v6: input.ipv6_cidr_block,
        ports: input.port_range,
        icmp: input.icmp_type_code,
    }
    .check()?;
    let mut row = KIND.get(tx, request, &input.network_acl_id)?;
    if position(&row, entry.egress, entry.number).is_ok() {
        return Err(errors::acl_entry_exists(entry.number));
    }
    if row.entries.iter().filter(|other| other.egress == entry.egress).count() >= ENTRIES_MAX {
        return Err(errors::too_many_acl_entries());
    }
    row.entries.push(entry);
    row.entries.sort_by_key(|entry| (entry.egress, entry.number));
    tx.put(&ACLS, &request.key(&input.network_acl_id), &row)?;
    Ok(())
}

/// Where an entry is.
fn position(row: &AclRow, egress: bool, number: i32) -> Result<usize, Refusal> {
    let found = row.entries.iter().position(|entry| (entry.egress, entry.number) == (egress, number));
    found.ok_or_else(|| errors::no_such_acl_entry(number))
}

pub(crate) fn replace_entry(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ReplaceNetworkAclEntryInput,
) -> Result<(), Refusal> {
    let entry = Draft {
        egress: input.egress,
        number: input.rule_number,
        protocol: input.protocol,
        action: input.rule_action,
        v4: input.cidr_block,
        v6: input.ipv6_cidr_block,
        ports: input.port_range,
        icmp: input.icmp_type_code,
    }
    .check()?;
    let mut row = KIND.get(tx, request, &input.network_acl_id)?;
    let at = position(&row, entry.egress, entry.number)?;
    row.entries[at] = entry;
    tx.put(&ACLS, &request.key(&input.network_acl_id), &row)?;
    Ok(())
}

pub(crate) fn delete_entry(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DeleteNetworkAclEntryInput,
) -> Result<(), Refusal> {
    let mut row = KIND.get(tx, request, &input.network_acl_id)?;
    let at = position(&row, input.egress, input.rule_number)?;
    row.entries.remove(at);
    tx.put(&ACLS, &request.key(&input.network_acl_id), &row)?;
    Ok(())
}

pub(crate) fn replace_association(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ReplaceNetworkAclAssociationInput,
) -> Result<ReplaceNetworkAclAssociationOutput, Refusal> {
    let is_meant = |association: &AssociationRow| association.id == input.association_id;
    let found = KIND.all(tx, request)?.into_iter().find(|(_, acl)| acl.associations.iter().any(is_meant));
    let (old_id, mut old) = found.ok_or_else(|| errors::no_such_association(&input.association_id))?;
    let new_acl_id = &input.network_acl_id;
    let mut new = KIND.get(tx, request, new_acl_id)?;
    let moved: Vec<AssociationRow> = old.associations.extract_if(.., |row| is_meant(row)).collect();
    let subnet_id = moved.into_iter().next().map(|row| row.subnet_id).unwrap_or_default();
    if new.vpc_id != old.vpc_id {
        return Err(errors::different_networks("Network ACL", new_acl_id, "subnet", &subnet_id));
    }
    let id = request.new_id("aclassoc");
    tx.put(&ACLS, &request.key(&old_id), &old)?;
    if old_id == *new_acl_id {
        new = old;
    }
    new.associations.push(AssociationRow { id: id.clone(), subnet_id });
    tx.put(&ACLS, &request.key(new_acl_id), &new)?;
    Ok(ReplaceNetworkAclAssociationOutput { new_association_id: Some(id) })
}

const KNOWN: &[&str] = &[
    "association.association-id",
    "association.network-acl-id",
    "association.subnet-id",
    "default",
    "entry.cidr",
    "entry.egress",
    "entry.icmp.code",
    "entry.icmp.type",
    "entry.ipv6-cidr",
    "entry.port-range.from",
    "entry.port-range.to",
    "entry.protocol",
    "entry.rule-action",
    "entry.rule-number",
    "network-acl-id",
    "owner-id",
    "vpc-id",
];

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeNetworkAclsInput,
) -> Result<DescribeNetworkAclsOutput, Refusal> {
    let DescribeNetworkAclsInput { network_acl_ids: ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(ids, filters, KNOWN, max_results, next_token.as_deref())?;
    let describe = |id: &str, row, tags| Ok(described(request, id, row, tags));
    let (network_acls, next_token) = KIND.list(view, request, &wanted, describe, values)?;
    Ok(DescribeNetworkAclsOutput { network_acls, next_token })
}

fn values(acl: &NetworkAcl, name: &str) -> Vec<String> {
    let of_associations = |value: fn(&NetworkAclAssociation) -> Option<String>| {
        acl.associations.iter().filter_map(value).collect::<Vec<_>>()
    };
    let of_entries =
        |value: fn(&NetworkAclEntry) -> Option<String>| acl.entries.iter().filter_map(value).collect::<Vec<_>>();
    match name {
        "association.association-id" => of_associations(|one| one.network_acl_association_id.clone()),
        "association.network-acl-id" => of_associations(|one| one.network_acl_id.clone()),
        "association.subnet-id" => of_associations(|one| one.subnet_id.clone()),
        "default" => truth(acl.is_default),
        "entry.cidr" => of_entries(|entry| entry.cidr_block.clone()),
        "entry.egress" => of_entries(|entry| entry.egress.map(|egress| egress.to_string())),
        "entry.icmp.code" => of_entries(|entry| Some(entry.icmp_type_code.as_ref()?.code?.to_string())),
        "entry.icmp.type" => of_entries(|entry| Some(entry.icmp_type_code.as_ref()?.r#type?.to_string())),
        "entry.ipv6-cidr" => of_entries(|entry| entry.ipv6_cidr_block.clone()),
        "entry.port-range.from" => of_entries(|entry| Some(entry.port_range.as_ref()?.from?.to_string())),
        "entry.port-range.to" => of_entries(|entry| Some(entry.port_range.as_ref()?.to?.to_string())),
        "entry.protocol" => of_entries(|entry| entry.protocol.clone()),
        "entry.rule-action" => of_entries(|entry| entry.rule_action.clone()),
        "entry.rule-number" => of_entries(|entry| entry.rule_number.map(|number| number.to_string())),
        "network-acl-id" => text(&acl.network_acl_id),
        "owner-id" => text(&acl.owner_id),
        "vpc-id" => text(&acl.vpc_id),
        _ => Vec::new(),
    }
}

fn described(request: &Request, id: &str, row: AclRow, tags: Vec<Tag>) -> NetworkAcl {
    let association = |association: AssociationRow| NetworkAclAssociation {
        network_acl_association_id: Some(association.id),
        network_acl_id: Some(id.to_owned()),
        subnet_id: Some(association.subnet_id),
    };
    let last = |egress| NetworkAclEntry {
        cidr_block: Some("0.0.0.0/0".to_owned()),
        egress: Some(egress),
        protocol: Some("-1".to_owned()),
        rule_action: Some("deny".to_owned()),
        rule_number: Some(LAST_NUMBER),
        ..NetworkAclEntry::default()
    };
    let (out, into): (Vec<EntryRow>, Vec<EntryRow>) = row.entries.into_iter().partition(|entry| entry.egress);
    let mut entries: Vec<NetworkAclEntry> = out.into_iter().map(entry).collect();
    entries.push(last(true));
    entries.extend(into.into_iter().map(entry));
    entries.push(last(false));
    NetworkAcl {
        associations: row.associations.into_iter().map(association).collect(),
        entries,
        is_default: Some(row.is_default),
        network_acl_id: Some(id.to_owned()),
        owner_id: Some(request.account()),
        tags,
        vpc_id: Some(row.vpc_id),
    }
}

fn entry(row: EntryRow) -> NetworkAclEntry {
    let is_v6 = row.network.contains(':');
    NetworkAclEntry {
        cidr_block: (!is_v6).then(|| row.network.clone()),
        egress: Some(row.egress),
        icmp_type_code: row.icmp.map(|(kind, code)| IcmpTypeCode { code: Some(code), r#type: Some(kind) }),
        ipv6_cidr_block: is_v6.then_some(row.network),
        port_range: row.ports.map(|(from, to)| PortRange { from: Some(from.into()), to: Some(to.into()) }),
        protocol: Some(row.protocol),
        rule_action: Some(if row.allows { "allow" } else { "deny" }.to_owned()),
        rule_number: Some(row.number),
    }
}
