//! The packet filter of a VPC's router, whole: one table, written anew and put in place at once.
//!
//! Invariants:
//! - It is a pure function of the published VPC: two writings of the same VPC are the same text.
//! - A packet that comes from a card without bearing that card's address goes no further: whoever identifies an
//!   instance by its address may.
//! - An instance never hears that one of the router's services is away: while no engine serves them (it was killed, it is
//!   being replaced), the kernel keeps silent, and who asked asks again.
//! - Judged in this order: address, network ACL, egress rules (before destinations are rewritten); ingress rules and
//!   network ACL last (after sources were rewritten back).

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::config::{Interface, Vpc};
use super::security_group::{self, Direction};
use super::{
    DNS_ADDRESS, EGRESS_ADDRESS, EGRESS_MARK, EGRESS_TCP_PORT, EGRESS_UDP_PORT, METADATA_ADDRESS, METADATA_PORT,
    network_acl,
};

/// The router's end of an instance's pair of cards.
pub(crate) fn card(address: Ipv4Addr) -> String {
    format!("v{:08x}", u32::from(address))
}

/// The script that replaces the table of before, if there is one.
pub(super) fn script(vpc: &Vpc, endpoints: &[Ipv4Addr]) -> String {
    let mut out = String::from("table ip millpond\ndelete table ip millpond\ntable ip millpond {\n");
    security_group::sets_and_chains(vpc, &mut out);
    network_acl::chains(vpc, &mut out);
    let cards: Vec<&Interface> = vpc.interfaces.values().filter(|interface| interface.instance.is_some()).collect();
    for interface in &cards {
        for direction in [Direction::In, Direction::Out] {
            security_group::card_chain(&mut out, &card(interface.address), &interface.groups, direction);
        }
    }
    for node in &vpc.balancer_nodes {
        for direction in [Direction::In, Direction::Out] {
            security_group::card_chain(&mut out, &card(node.address), &node.groups, direction);
        }
    }
    from_instances(&mut out, vpc, &cards);
    to_instances(&mut out, vpc, &cards);
    nobody_there(&mut out, vpc, endpoints);
    to_and_from_nodes(&mut out, vpc, endpoints);
    to_the_internet(&mut out, vpc, &cards);
    out.push_str("}\n");
    out
}

fn from_instances(out: &mut String, vpc: &Vpc, cards: &[&Interface]) {
    base_chain(out, "own-address", "filter", "prerouting", -300, "accept");
    let _ = writeln!(out, "iifname \"lo\" accept");
    elements(
        out,
        "iifname . ip saddr",
        cards,
        |one| Some(format!("\"{}\" . {}", card(one.address), one.address)),
        "accept",
    );
    let _ = writeln!(out, "drop\n}}");
    base_chain(out, "acl-from-instances", "filter", "prerouting", -160, "accept");
    let acl = |one: &&Interface| {
        let chain = network_acl::chain_name(vpc, &one.subnet, Direction::Out)?;
        Some(format!("\"{}\" : jump {chain}", card(one.address)))
    };
    elements(out, "iifname vmap", cards, acl, "");
    let _ = writeln!(out, "}}");
    base_chain(out, "from-instances", "filter", "prerouting", -150, "accept");
    let _ = writeln!(out, "ip daddr {{ {} }} accept", always_reached(vpc));
    let _ = writeln!(out, "ct state established,related accept");
    let group = |one: &&Interface| Some(format!("\"{0}\" : jump out-{0}", card(one.address)));
    elements(out, "iifname vmap", cards, group, "");
    let _ = writeln!(out, "}}");
}

fn to_instances(out: &mut String, vpc: &Vpc, cards: &[&Interface]) {
    base_chain(out, "acl-to-instances", "filter", "postrouting", 140, "accept");
    let acl = |one: &&Interface| {
        let chain = network_acl::chain_name(vpc, &one.subnet, Direction::In)?;
        Some(format!("\"{}\" : jump {chain}", card(one.address)))
    };
    elements(out, "oifname vmap", cards, acl, "");
    let _ = writeln!(out, "}}");
    base_chain(out, "to-instances", "filter", "postrouting", 150, "accept");
    let _ = writeln!(out, "ct state established,related accept");
    let group = |one: &&Interface| Some(format!("\"{0}\" : jump in-{0}", card(one.address)));
    elements(out, "oifname vmap", cards, group, "");
    let _ = writeln!(out, "}}");
}

/// Without a listener the kernel would refuse. Before connection tracking, to which a refusal would be an end. Resets of
/// connections that were there are let through: only the answer to a first packet acknowledges without a number of its own.
fn nobody_there(out: &mut String, vpc: &Vpc, endpoints: &[Ipv4Addr]) {
    base_chain(out, "nobody-there", "filter", "output", -300, "accept");
    let services = [METADATA_ADDRESS, DNS_ADDRESS, EGRESS_ADDRESS].into_iter().chain(vpc.resolver());
    let services: Vec<String> = services.chain(endpoints.iter().copied()).map(|one| one.to_string()).collect();
    let services = services.join(", ");
    let _ = writeln!(out, "ip saddr {{ {services} }} tcp flags & (rst | ack) == (rst | ack) tcp sequence 0 drop");
    let _ = writeln!(out, "ip saddr {{ {services} }} icmp type destination-unreachable drop\n}}");
}

/// Balancer nodes, metadata, DNS and endpoints are the router's own addresses.
fn to_and_from_nodes(out: &mut String, vpc: &Vpc, endpoints: &[Ipv4Addr]) {
    let nodes = &vpc.balancer_nodes;
    for (name, hook, field, direction, opposite) in [
        ("from-router", "output", "saddr", Direction::Out, "accept"),
        ("to-router", "input", "daddr", Direction::In, "drop"),
    ] {
        base_chain(out, &format!("acl-{name}"), "filter", hook, -10, "accept");
        let acl = |node: &super::config::BalancerNode| {
            let chain = network_acl::chain_name(vpc, &node.subnet, direction)?;
            Some(format!("{} : jump {chain}", node.address))
        };
        elements(out, &format!("ip {field} vmap"), nodes, acl, "");
        let _ = writeln!(out, "}}");
        base_chain(out, name, "filter", hook, 0, opposite);
        let _ = writeln!(out, "ct state established,related accept");
        if direction == Direction::In {
            own_services(out, vpc, endpoints);
        }
        let group = |node: &super::config::BalancerNode| {
            Some(format!("{} : jump {}-{}", node.address, direction.word(), card(node.address)))
        };
        elements(out, &format!("ip {field} vmap"), nodes, group, "");
        let _ = writeln!(out, "}}");
    }
}

fn own_services(out: &mut String, vpc: &Vpc, endpoints: &[Ipv4Addr]) {
    let _ = writeln!(out, "iifname \"lo\" accept");
    let _ = writeln!(out, "ip daddr {METADATA_ADDRESS} tcp dport {METADATA_PORT} accept");
    let resolvers = vpc.resolver().map_or_else(|| DNS_ADDRESS.to_string(), |own| format!("{DNS_ADDRESS}, {own}"));
    let _ = writeln!(out, "ip daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 accept");
    let _ = writeln!(out, "icmp type echo-request accept");
    elements(out, "meta l4proto tcp ip daddr", endpoints, |endpoint| Some(endpoint.to_string()), "accept");
    // Only what was sent here by the rewriting of its destination; nobody may ask the way out for himself.
    let _ = writeln!(out, "ip daddr {EGRESS_ADDRESS} ct status dnat accept");
    let _ = writeln!(out, "meta mark {EGRESS_MARK} accept");
}

/// Whatever leaves the VPC goes through the engine: to a listener of its own, which knows the first destination.
fn to_the_internet(out: &mut String, vpc: &Vpc, cards: &[&Interface]) {
    let may = |one: &&Interface| {
        let subnet = vpc.subnets.get(&one.subnet)?;
        subnet.internet.then(|| format!("\"{}\"", card(one.address)))
    };
    let inside: Vec<String> = vpc.cidrs.iter().map(ToString::to_string).collect();
    let inside = [inside.join(", "), "169.254.0.0/16, 127.0.0.0/8, 224.0.0.0/3".to_owned()];
    let inside = inside.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    base_chain(out, "tcp-to-internet", "nat", "prerouting", -100, "accept");
    let tcp = format!("ip daddr != {{ {inside} }} meta l4proto tcp dnat to {EGRESS_ADDRESS}:{EGRESS_TCP_PORT}");
    elements(out, "iifname", cards, may, &tcp);
    let _ = writeln!(out, "}}");
    base_chain(out, "udp-to-internet", "filter", "prerouting", -120, "accept");
    let udp = format!(
        "ip daddr != {{ {inside} }} meta l4proto udp meta mark set {EGRESS_MARK} tproxy to {EGRESS_ADDRESS}:{EGRESS_UDP_PORT} accept"
    );
    elements(out, "iifname", cards, may, &udp);
    let _ = writeln!(out, "}}");
}

/// What no rule may keep an instance from: AWS exempts them too.
fn always_reached(vpc: &Vpc) -> String {
    let resolver = vpc.resolver().map(|own| format!(", {own}")).unwrap_or_default();
    format!("{METADATA_ADDRESS}, {DNS_ADDRESS}{resolver}")
}

fn base_chain(out: &mut String, name: &str, kind: &str, hook: &str, priority: i32, policy: &str) {
    let _ = writeln!(out, "chain {name} {{\ntype {kind} hook {hook} priority {priority}; policy {policy};");
}

/// A rule over an anonymous set (or map): none when the set would be empty, which nft refuses.
fn elements<T>(out: &mut String, what: &str, all: &[T], one: impl Fn(&T) -> Option<String>, then: &str) {
    let elements: Vec<String> = all.iter().filter_map(one).collect();
    if !elements.is_empty() {
        let _ = writeln!(out, "{what} {{ {} }} {then}", elements.join(", "));
    }
}
