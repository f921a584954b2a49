//! [`Networks`]: all VPCs with what is in them, as one immutable value.
//!
//! Invariants:
//! - It is complete: what is not in it does not exist, and goes away when it is published.
//! - References inside it resolve; [`Networks::check`] says which does not, and nothing of such a value takes effect.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::instance::InstanceId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Arc<str>);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(/** `vpc-…`. */ VpcId);
id!(/** `subnet-…`. */ SubnetId);
id!(/** `sg-…`. */ GroupId);
id!(/** `acl-…`. */ AclId);
id!(/** `eni-…`. */ InterfaceId);

/// Everything that packets are judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// All VPCs, by id.
    pub vpcs: BTreeMap<VpcId, Arc<Vpc>>,
}

/// A network of its own: addresses of two VPCs may be the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vpc {
    /// Its address ranges.
    pub cidrs: Vec<Ipv4Network>,
    /// By id.
    pub subnets: BTreeMap<SubnetId, Subnet>,
    /// By id.
    pub groups: BTreeMap<GroupId, SecurityGroup>,
    /// By id.
    pub acls: BTreeMap<AclId, NetworkAcl>,
    /// By id; those without an instance only reserve their address.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
    /// Load balancers' presences in this VPC.
    pub balancer_nodes: Vec<BalancerNode>,
}

/// A range of a VPC's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Within one of the VPC's.
    pub cidr: Ipv4Network,
    /// Whether its route table leads to the internet. Without it only the VPC is reached.
    pub internet: bool,
    /// What is checked where packets cross its border. `None` lets everything pass.
    pub acl: Option<AclId>,
}

/// A stateful filter: what no rule allows is dropped, and answers to what was allowed pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// What may come in.
    pub ingress: Vec<Rule>,
    /// What may go out.
    pub egress: Vec<Rule>,
}

/// Lets packets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which.
    pub protocol: Protocol,
    /// From whom (ingress), to whom (egress).
    pub peer: Peer,
}

/// What a rule or an entry speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Everything.
    Any,
    /// TCP, on ports from the first to the last, both included.
    Tcp {
        /// The first port.
        first: u16,
        /// The last.
        last: u16,
    },
    /// UDP, likewise.
    Udp {
        /// The first port.
        first: u16,
        /// The last.
        last: u16,
    },
    /// ICMP; `None` is any type, or any code.
    Icmp {
        /// The ICMP type.
        kind: Option<u8>,
        /// Its code.
        code: Option<u8>,
    },
    /// Another protocol by its number, all of it.
    Other(u8),
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Addresses.
    Network(Ipv4Network),
    /// The members of a group of this VPC.
    Group(GroupId),
}

/// A stateless filter at a subnet's border: the first entry that matches decides; none drops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAcl {
    /// For packets into the subnet, in order of their numbers.
    pub ingress: Vec<AclEntry>,
    /// For packets out of it.
    pub egress: Vec<AclEntry>,
}

/// One entry of a network ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Which packets.
    pub protocol: Protocol,
    /// Addresses outside the subnet.
    pub network: Ipv4Network,
    /// What happens to them.
    pub action: AclAction,
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclAction {
    /// The packet passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// An instance's network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Whose it is. An instance has one interface at most.
    pub instance: Option<InstanceId>,
    /// Its private address, within the subnet.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Where it stands.
    pub subnet: SubnetId,
    /// Whose rules hold for it.
    pub groups: Vec<GroupId>,
    /// Its names in the VPC's DNS, lowercase, without a final dot: `ip-10-0-0-5.ec2.internal`. The first one is the
    /// answer when its address is looked up.
    pub names: Vec<Arc<str>>,
}

/// A load balancer's presence: where its connections to targets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerNode {
    /// Its private address, within the subnet; local to the VPC's router ([`crate::Engine::namespace`]).
    pub address: Ipv4Addr,
    /// Where it stands.
    pub subnet: SubnetId,
    /// The load balancer's groups, which targets' rules name.
    pub groups: Vec<GroupId>,
}

/// An address with the length of its prefix, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv4Network {
    /// The first address of the network.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}
