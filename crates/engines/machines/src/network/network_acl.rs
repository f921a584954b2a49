//! Network ACLs as packet filter: a stateless chain a subnet and direction.
//!
//! Invariants:
//! - Only what crosses the subnet's border is judged, and nothing that goes to or comes from link-local addresses.
//! - The first entry that matches decides; what none matches is dropped.

use std::fmt::Write as _;

use super::config::{AclAction, AclEntry, Ipv4Network, Protocol, Subnet, SubnetId, Vpc};
use super::security_group::{Direction, matching};

/// Chains of all subnets whose ACL does not let everything pass.
pub(super) fn chains(vpc: &Vpc, out: &mut String) {
    for (id, subnet) in &vpc.subnets {
        for direction in [Direction::In, Direction::Out] {
            if let Some(entries) = entries(vpc, subnet, direction) {
                chain(out, id, subnet, direction, entries);
            }
        }
    }
}

/// The chain that judges what crosses a subnet's border in this direction, if there is one.
pub(super) fn chain_name(vpc: &Vpc, subnet: &SubnetId, direction: Direction) -> Option<String> {
    entries(vpc, vpc.subnets.get(subnet)?, direction)?;
    Some(format!("acl-{}-{subnet}", direction.word()))
}

fn entries<'a>(vpc: &'a Vpc, subnet: &Subnet, direction: Direction) -> Option<&'a [AclEntry]> {
    let acl = vpc.acls.get(subnet.acl.as_ref()?)?;
    let entries = if direction == Direction::In { &acl.ingress } else { &acl.egress };
    let everything = AclEntry { protocol: Protocol::Any, network: Ipv4Network::ANY, action: AclAction::Allow };
    (entries.first() != Some(&everything)).then_some(entries)
}

fn chain(out: &mut String, id: &SubnetId, subnet: &Subnet, direction: Direction, entries: &[AclEntry]) {
    let peer = direction.peer();
    let _ = writeln!(out, "chain acl-{}-{id} {{", direction.word());
    let _ = writeln!(out, "ip {peer} {{ {}, 169.254.0.0/16 }} return", subnet.cidr);
    for entry in entries {
        let network = if entry.network.prefix == 0 { String::new() } else { format!("ip {peer} {} ", entry.network) };
        let verdict = if entry.action == AclAction::Allow { "return" } else { "drop" };
        let _ = writeln!(out, "{network}{}{verdict}", matching(&entry.protocol));
    }
    let _ = writeln!(out, "drop\n}}");
}
