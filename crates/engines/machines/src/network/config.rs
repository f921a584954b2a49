//! [`Networks`]: all VPCs with what is in them, as one immutable value.
//!
//! Invariants:
//! - It is complete: what is not in it does not exist, and goes away when it is published.
//! - References inside it resolve; [`Networks::check`] says which does not, and nothing of such a value takes effect.

use std::collections::{BTreeMap, BTreeSet};
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

impl Ipv4Network {
    /// Every address.
    pub const ANY: Self = Self { address: Ipv4Addr::UNSPECIFIED, prefix: 0 };

    /// Whether `address` is one of the network's.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (u32::from(address) ^ u32::from(self.address)) & self.mask() == 0
    }

    /// The address that is `offset` after the first.
    pub fn nth(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from((u32::from(self.address) & self.mask()).wrapping_add(offset))
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }
}

impl fmt::Display for Ipv4Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nth(0), self.prefix.min(32))
    }
}

impl Subnet {
    /// The router's address in it.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.cidr.nth(1)
    }
}

impl Vpc {
    /// The resolver's address in it: the second after the base.
    pub(crate) fn resolver(&self) -> Option<Ipv4Addr> {
        self.cidrs.first().map(|cidr| cidr.nth(2))
    }

    /// Who has this address.
    pub(crate) fn interface_at(&self, address: Ipv4Addr) -> Option<&Interface> {
        self.interfaces.values().find(|interface| interface.address == address)
    }
}

impl Networks {
    /// An instance's interface, and where it stands.
    pub(crate) fn interface_of(&self, instance: &InstanceId) -> Option<(&VpcId, &Arc<Vpc>, &Interface)> {
        self.vpcs.iter().find_map(|(id, vpc)| {
            let interface = vpc.interfaces.values().find(|interface| interface.instance.as_ref() == Some(instance))?;
            Some((id, vpc, interface))
        })
    }

    /// Whether everything that is named is there. The sentence names what is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut instances = BTreeSet::new();
        for (id, vpc) in &self.vpcs {
            check_name(&id.0)?;
            vpc.check().map_err(|why| format!("{id}: {why}"))?;
            for instance in vpc.interfaces.values().filter_map(|interface| interface.instance.as_ref()) {
                if !instances.insert(instance) {
                    return Err(format!("{instance} has two interfaces"));
                }
            }
        }
        Ok(())
    }
}

impl Vpc {
    fn check(&self) -> Result<(), String> {
        let names = self.subnets.keys().map(|id| &id.0).chain(self.groups.keys().map(|id| &id.0));
        for name in names.chain(self.acls.keys().map(|id| &id.0)).chain(self.interfaces.keys().map(|id| &id.0)) {
            check_name(name)?;
        }
        for (id, subnet) in &self.subnets {
            if subnet.acl.as_ref().is_some_and(|acl| !self.acls.contains_key(acl)) {
                return Err(format!("{id} names a network ACL that is not there"));
            }
        }
        for (id, group) in &self.groups {
            for rule in group.ingress.iter().chain(&group.egress) {
                if matches!(&rule.peer, Peer::Group(peer) if !self.groups.contains_key(peer)) {
                    return Err(format!("a rule of {id} names a group that is not there"));
                }
            }
        }
        let mut addresses = BTreeSet::new();
        for (id, interface) in &self.interfaces {
            self.check_place(interface.address, &interface.subnet, &interface.groups)
                .map_err(|why| format!("{id}: {why}"))?;
            if !addresses.insert(interface.address) {
                return Err(format!("{} is taken twice", interface.address));
            }
        }
        for node in &self.balancer_nodes {
            self.check_place(node.address, &node.subnet, &node.groups)?;
            // A node's address may be reserved by an interface without an instance.
            if self.interface_at(node.address).is_some_and(|interface| interface.instance.is_some()) {
                return Err(format!("{} is an instance's and a load balancer's", node.address));
            }
        }
        Ok(())
    }

    fn check_place(&self, address: Ipv4Addr, subnet: &SubnetId, groups: &[GroupId]) -> Result<(), String> {
        let place = self.subnets.get(subnet).ok_or_else(|| format!("{subnet} is not there"))?;
        if !place.cidr.contains(address) {
            return Err(format!("{address} is not in {subnet}, {}", place.cidr));
        }
        match groups.iter().find(|group| !self.groups.contains_key(group)) {
            Some(group) => Err(format!("{group} is not there")),
            None => Ok(()),
        }
    }
}

/// Names go into files' names and into scripts.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = !name.is_empty() && name.len() <= 64 && name.bytes().all(fits) && !name.starts_with('-');
    if good { Ok(()) } else { Err(format!("{name:?} is no id: lowercase letters, digits and dashes, 64 at most")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_knows_its_addresses() {
        let network = Ipv4Network { address: Ipv4Addr::new(172, 31, 38, 0), prefix: 24 };
        assert!(network.contains(Ipv4Addr::new(172, 31, 38, 255)) && !network.contains(Ipv4Addr::new(172, 31, 39, 0)));
        assert_eq!((network.nth(1), network.to_string()), (Ipv4Addr::new(172, 31, 38, 1), "172.31.38.0/24".into()));
        assert!(Ipv4Network::ANY.contains(Ipv4Addr::BROADCAST));
        assert_eq!(Ipv4Network { address: Ipv4Addr::new(10, 1, 2, 3), prefix: 8 }.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn names_that_could_leave_a_script_or_a_directory_are_refused() {
        for name in ["", "-x", "a/b", "..", "sg 1", "sg;", "Sg", "sg\n"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("sg-0123456789abcdef0").is_ok());
    }
}
