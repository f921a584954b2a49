//! Rows of networks: VPCs and what is in them.
//!
//! Invariant: a row names others by id; those are there for as long as it names them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use store::Table;

use crate::cidr::Cidr;

/// Which default things were made, by account and region.
pub(crate) const SEEDS: Table<SeedRow> = Table::new("ec2_seeds");
/// VPCs, by account, region and id. So are all that follow.
pub(crate) const VPCS: Table<VpcRow> = Table::new("ec2_vpcs");
/// Subnets.
pub(crate) const SUBNETS: Table<SubnetRow> = Table::new("ec2_subnets");
/// Internet gateways.
pub(crate) const GATEWAYS: Table<GatewayRow> = Table::new("ec2_internet_gateways");
/// Route tables.
pub(crate) const ROUTE_TABLES: Table<RouteTableRow> = Table::new("ec2_route_tables");
/// Network ACLs.
pub(crate) const ACLS: Table<AclRow> = Table::new("ec2_network_acls");
/// Network interfaces.
pub(crate) const INTERFACES: Table<InterfaceRow> = Table::new("ec2_network_interfaces");
/// Elastic IP addresses.
pub(crate) const ADDRESSES: Table<AddressRow> = Table::new("ec2_addresses");

/// The default things of an account in a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeedRow {
    /// Zones that got their default subnet, whatever became of it.
    pub(crate) zones: Vec<String>,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VpcRow {
    pub(crate) cidr: Cidr,
    pub(crate) is_default: bool,
    pub(crate) dns_support: bool,
    pub(crate) dns_hostnames: bool,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubnetRow {
    pub(crate) vpc_id: String,
    pub(crate) zone: String,
    pub(crate) cidr: Cidr,
    /// Whether it is its zone's default one.
    pub(crate) is_default: bool,
    /// Whether instances in it get a public address unless they say otherwise.
    pub(crate) gives_public: bool,
    /// Where the search for a free address begins: behind the one that was given last.
    pub(crate) next_offset: u32,
}

/// An internet gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayRow {
    pub(crate) vpc_id: Option<String>,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteTableRow {
    pub(crate) vpc_id: String,
    /// The association that makes it its VPC's main one.
    pub(crate) main_association: Option<String>,
    pub(crate) associations: Vec<AssociationRow>,
    /// Besides the one to the VPC itself.
    pub(crate) routes: Vec<RouteRow>,
}

/// That a subnet uses a route table or a network ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AssociationRow {
    pub(crate) id: String,
    pub(crate) subnet_id: String,
}

/// A route to an internet gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteRow {
    /// A network in IPv4 or IPv6, in its canonical form.
    pub(crate) destination: String,
    pub(crate) gateway_id: String,
}

/// A network ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AclRow {
    pub(crate) vpc_id: String,
    pub(crate) is_default: bool,
    pub(crate) associations: Vec<AssociationRow>,
    /// In order of direction and number.
    pub(crate) entries: Vec<EntryRow>,
}

/// An entry of a network ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryRow {
    pub(crate) egress: bool,
    pub(crate) number: i32,
    /// By its number, or `-1` for all.
    pub(crate) protocol: String,
    pub(crate) allows: bool,
    /// A network in IPv4 or IPv6, in its canonical form.
    pub(crate) network: String,
    /// For TCP and UDP.
    pub(crate) ports: Option<(u16, u16)>,
    /// For ICMP: type and code, -1 for any.
    pub(crate) icmp: Option<(i32, i32)>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InterfaceRow {
    pub(crate) subnet_id: String,
    pub(crate) vpc_id: String,
    pub(crate) zone: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: [u8; 6],
    pub(crate) groups: Vec<String>,
    pub(crate) description: String,
    /// The service that made it for a user, who can't touch it then.
    pub(crate) requester: Option<String>,
    pub(crate) source_dest_check: bool,
    pub(crate) attachment: Option<AttachmentRow>,
    /// A public address that goes when its instance stops.
    pub(crate) public: Option<Ipv4Addr>,
}

/// Where an interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachmentRow {
    /// `eni-attach-…`.
    pub(crate) id: String,
    /// None for what a service keeps to itself.
    pub(crate) instance_id: Option<String>,
    pub(crate) at_ms: u64,
    pub(crate) delete_on_termination: bool,
}

/// An Elastic IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressRow {
    pub(crate) public: Ipv4Addr,
    pub(crate) association: Option<AddressAssociationRow>,
}

/// That an address stands for an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressAssociationRow {
    /// `eipassoc-…`.
    pub(crate) id: String,
    pub(crate) interface_id: String,
}
