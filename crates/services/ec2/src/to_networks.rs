//! From rows to what the engine enforces.
//!
//! Invariants:
//! - Pure: the same rows give the same [`Networks`].
//! - Only VPCs in which an instance stands that is not terminated are there, with load balancers' nodes in them. An empty
//!   VPC costs nothing, and a node alone has nobody to reach in it.
//! - What the engine doesn't carry, IPv6, is left out: it could reach nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use machines::{
    AclAction, AclEntry, AclId, BalancerNode, GroupId, InstanceId, Interface, InterfaceId, Ipv4Network, NetworkAcl,
    Networks, Peer, Protocol, SecurityGroup, Subnet, SubnetId, Vpc, VpcId,
};
use store::{Scan, StoreError, Table, View};

use crate::cidr::Cidr;
use crate::network_interfaces::{LOAD_BALANCING, private_name};
use crate::place::Place;
use crate::route_tables::leads_to_internet;
use crate::rows::*;

/// All rows of networks, each with its place and id.
#[derive(Default)]
pub(crate) struct NetworkRows {
    vpcs: Rows<VpcRow>,
    subnets: Rows<SubnetRow>,
    gateways: Rows<GatewayRow>,
    route_tables: Rows<RouteTableRow>,
    acls: Rows<AclRow>,
    groups: Rows<GroupRow>,
    interfaces: Rows<InterfaceRow>,
}

type Rows<T> = Vec<(String, T)>;

impl NetworkRows {
    /// Of all accounts and regions.
    pub(crate) fn read(view: &View<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            vpcs: read(view, &VPCS)?,
            subnets: read(view, &SUBNETS)?,
            gateways: read(view, &GATEWAYS)?,
            route_tables: read(view, &ROUTE_TABLES)?,
            acls: read(view, &ACLS)?,
            groups: read(view, &GROUPS)?,
            interfaces: read(view, &INTERFACES)?,
        })
    }

    /// What the engine is to enforce.
    pub(crate) fn networks(&self) -> Networks {
        let mut networks = Networks::default();
        for (key, row) in &self.vpcs {
            let Some(place) = Place::in_key(key) else { continue };
            let id = id_in(key);
            if self.interfaces.iter().any(|(_, interface)| interface.vpc_id == id && is_present(interface)) {
                networks.vpcs.insert(VpcId(id.into()), Arc::new(self.vpc(&place, id, row)));
            }
        }
        networks
    }

    fn vpc(&self, place: &Place, id: &str, row: &VpcRow) -> Vpc {
        let subnets = self.subnets.iter().filter(|(_, subnet)| subnet.vpc_id == id);
        let groups: Vec<_> = self.groups.iter().filter(|(_, group)| group.vpc_id == id).collect();
        // One bad name would keep all that is published from taking effect.
        let is_there = |name: &str| groups.iter().any(|(key, _)| id_in(key) == name);
        let acls = self.acls.iter().filter(|(_, acl)| acl.vpc_id == id);
        let interfaces = self.interfaces.iter().filter(|(_, interface)| interface.vpc_id == id);
        let (nodes, cards): (Vec<_>, Vec<_>) = interfaces.partition(|(_, interface)| is_node(interface));
        Vpc {
            cidrs: vec![network(row.cidr)],
            subnets: subnets.map(|(key, subnet)| (SubnetId(id_in(key).into()), self.subnet(key, subnet))).collect(),
            groups: groups
                .iter()
                .map(|(key, group)| (GroupId(id_in(key).into()), security_group(group, &is_there)))
                .collect(),
            acls: acls.map(|(key, acl)| (AclId(id_in(key).into()), network_acl(acl))).collect(),
            interfaces: cards.into_iter().map(|(key, row)| card(place, key, row)).collect::<BTreeMap<_, _>>(),
            balancer_nodes: nodes.into_iter().map(|(_, row)| node(row)).collect(),
        }
    }

    fn subnet(&self, key: &str, row: &SubnetRow) -> Subnet {
        let id = id_in(key);
        let uses = |associations: &[AssociationRow]| associations.iter().any(|one| one.subnet_id == id);
        let mut tables = self.route_tables.iter().map(|(_, table)| table).filter(|table| table.vpc_id == row.vpc_id);
        let own = tables.clone().find(|table| uses(&table.associations));
        let table = own.or_else(|| tables.find(|table| table.main_association.is_some()));
        let is_attached = |gateway_id: &str| {
            self.gateways
                .iter()
                .any(|(key, gateway)| id_in(key) == gateway_id && gateway.vpc_id.as_ref() == Some(&row.vpc_id))
        };
        let acl = self.acls.iter().find(|(_, acl)| uses(&acl.associations));
        Subnet {
            cidr: network(row.cidr),
            internet: table.is_some_and(|table| leads_to_internet(table, is_attached)),
            acl: acl.map(|(key, _)| AclId(id_in(key).into())),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(view: &View<'_>, table: &Table<T>) -> Result<Rows<T>, StoreError> {
    Ok(view.scan(table, &Scan::all())?.into_iter().map(|row| (row.key, row.value)).collect())
}

/// The id at the end of a row's key.
pub(crate) fn id_in(key: &str) -> &str {
    key.rsplit('\0').next().unwrap_or_default()
}

/// Whether it is a load balancer's.
fn is_node(row: &InterfaceRow) -> bool {
    row.requester.as_deref() == Some(LOAD_BALANCING)
}

fn is_present(row: &InterfaceRow) -> bool {
    row.attachment.as_ref().is_some_and(|attachment| attachment.instance_id.is_some())
}

fn network(cidr: Cidr) -> Ipv4Network {
    Ipv4Network { address: cidr.address(), prefix: cidr.prefix() }
}

fn ipv4(text: &str) -> Option<Ipv4Network> {
    text.parse().ok().map(network)
}

fn group_ids(ids: &[String]) -> Vec<GroupId> {
    ids.iter().map(|id| GroupId(id.as_str().into())).collect()
}

fn card(place: &Place, key: &str, row: &InterfaceRow) -> (InterfaceId, Interface) {
    let instance = row.attachment.as_ref().and_then(|attachment| attachment.instance_id.as_deref());
    let interface = Interface {
        instance: instance.map(|id| InstanceId(id.into())),
        address: row.address,
        mac: row.mac,
        subnet: SubnetId(row.subnet_id.as_str().into()),
        groups: group_ids(&row.groups),
        names: vec![private_name(&place.region, row.address).into()],
    };
    (InterfaceId(id_in(key).into()), interface)
}

fn node(row: &InterfaceRow) -> BalancerNode {
    BalancerNode {
        address: row.address,
        subnet: SubnetId(row.subnet_id.as_str().into()),
        groups: group_ids(&row.groups),
    }
}

fn security_group(row: &GroupRow, is_there: &dyn Fn(&str) -> bool) -> SecurityGroup {
    let names_one = |rule: &Rule| match &rule.source {
        Source::Group(id) => is_there(id),
        Source::Ipv4(_) | Source::Ipv6(_) => true,
    };
    let rules =
        |rules: &[RuleRow]| rules.iter().map(|row| &row.rule).filter(|rule| names_one(rule)).filter_map(rule).collect();
    SecurityGroup { ingress: rules(&row.rules), egress: rules(&row.egress) }
}

fn rule(rule: &Rule) -> Option<machines::Rule> {
    let peer = match &rule.source {
        Source::Ipv4(cidr) => Peer::Network(ipv4(cidr)?),
        Source::Group(id) => Peer::Group(GroupId(id.as_str().into())),
        Source::Ipv6(_) => return None,
    };
    let port = |port: i32| u16::try_from(port).ok();
    let byte = |number: i32| u8::try_from(number).ok();
    let protocol = match (rule.protocol.as_str(), rule.ports) {
        ("-1", _) => Protocol::Any,
        ("tcp", Some((first, last))) => Protocol::Tcp { first: port(first)?, last: port(last)? },
        ("udp", Some((first, last))) => Protocol::Udp { first: port(first)?, last: port(last)? },
        ("icmp", Some((kind, code))) => Protocol::Icmp { kind: byte(kind), code: byte(code) },
        ("icmpv6", _) => return None,
        (number, _) => Protocol::Other(number.parse().ok()?),
    };
    Some(machines::Rule { protocol, peer })
}

fn network_acl(row: &AclRow) -> NetworkAcl {
    let entries =
        |egress: bool| row.entries.iter().filter(|entry| entry.egress == egress).filter_map(acl_entry).collect();
    NetworkAcl { ingress: entries(false), egress: entries(true) }
}

fn acl_entry(row: &EntryRow) -> Option<AclEntry> {
    let byte = |number: i32| u8::try_from(number).ok();
    let protocol = match (row.protocol.as_str(), row.ports, row.icmp) {
        ("-1", _, _) => Protocol::Any,
        ("6", Some((first, last)), _) => Protocol::Tcp { first, last },
        ("17", Some((first, last)), _) => Protocol::Udp { first, last },
        ("1", _, Some((kind, code))) => Protocol::Icmp { kind: byte(kind), code: byte(code) },
        ("58", _, _) => return None,
        (number, _, _) => Protocol::Other(number.parse().ok()?),
    };
    let action = if row.allows { AclAction::Allow } else { AclAction::Deny };
    Some(AclEntry { protocol, network: ipv4(&row.network)?, action })
}
