//! Security groups as packet filter: a set of addresses a group, a chain a group and direction.
//!
//! Invariants:
//! - A rule accepts or says nothing: the order of rules and of groups does not matter.
//! - A group's members are those that have it now: a rule that names a group follows its members.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::config::{GroupId, Peer, Protocol, Rule, Vpc};

/// Which end of a packet a rule's peer is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(super) fn word(self) -> &'static str {
        if self == Self::In { "in" } else { "out" }
    }

    /// The field of a packet where the peer's address stands.
    pub(super) fn peer(self) -> &'static str {
        if self == Self::In { "saddr" } else { "daddr" }
    }
}

/// All sets and chains of a VPC's groups.
pub(super) fn sets_and_chains(vpc: &Vpc, out: &mut String) {
    for (id, group) in &vpc.groups {
        let members = members(vpc, id);
        let elements: Vec<String> = members.iter().map(Ipv4Addr::to_string).collect();
        let elements =
            if elements.is_empty() { String::new() } else { format!(" elements = {{ {} }};", elements.join(", ")) };
        let _ = writeln!(out, "set members-{id} {{ type ipv4_addr;{elements} }}");
        chain(out, id, Direction::In, &group.ingress);
        chain(out, id, Direction::Out, &group.egress);
    }
}

/// A chain for one network card (or balancer node): what none of its groups accepts is dropped.
pub(super) fn card_chain(out: &mut String, card: &str, groups: &[GroupId], direction: Direction) {
    let word = direction.word();
    let _ = writeln!(out, "chain {word}-{card} {{");
    for group in groups {
        let _ = writeln!(out, "jump {word}-{group}");
    }
    let _ = writeln!(out, "drop\n}}");
}

fn members(vpc: &Vpc, group: &GroupId) -> Vec<Ipv4Addr> {
    let interfaces = vpc.interfaces.values().map(|interface| (interface.address, &interface.groups));
    let nodes = vpc.balancer_nodes.iter().map(|node| (node.address, &node.groups));
    let mut members: Vec<Ipv4Addr> =
        interfaces.chain(nodes).filter(|(_, groups)| groups.contains(group)).map(|(address, _)| address).collect();
    members.sort_unstable();
    members.dedup();
    members
}

fn chain(out: &mut String, id: &GroupId, direction: Direction, rules: &[Rule]) {
    let _ = writeln!(out, "chain {}-{id} {{", direction.word());
    for rule in rules {
        let peer = match &rule.peer {
            Peer::Network(network) if network.prefix == 0 => String::new(),
            Peer::Network(network) => format!("ip {} {network} ", direction.peer()),
            Peer::Group(group) => format!("ip {} @members-{group} ", direction.peer()),
        };
        let _ = writeln!(out, "{peer}{}accept", matching(&rule.protocol));
    }
    let _ = writeln!(out, "}}");
}

/// The words that match a protocol, with a space after them if there are any.
pub(super) fn matching(protocol: &Protocol) -> String {
    match protocol {
        Protocol::Any => String::new(),
        Protocol::Tcp { first, last } => format!("tcp dport {first}-{last} "),
        Protocol::Udp { first, last } => format!("udp dport {first}-{last} "),
        Protocol::Icmp { kind: None, .. } => "meta l4proto icmp ".into(),
        Protocol::Icmp { kind: Some(kind), code: None } => format!("icmp type {kind} "),
        Protocol::Icmp { kind: Some(kind), code: Some(code) } => format!("icmp type {kind} icmp code {code} "),
        Protocol::Other(number) => format!("meta l4proto {number} "),
    }
}
