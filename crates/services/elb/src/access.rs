//! From security groups' rules to who may connect.
//!
//! Invariant: a rule that is not understood opens nothing.

use std::net::IpAddr;

use api::ec2::IpPermission;
use balancer::{AccessRule, IpNetwork};

use crate::limits::ACCESS_RULES_MAX;
use crate::world::Facts;

/// What these groups let in; a source group stands for its members' addresses.
pub(crate) fn rules(groups: &[String], facts: &Facts) -> Vec<AccessRule> {
    let known = groups.iter().filter_map(|id| facts.groups.get(id));
    let mut rules: Vec<_> =
        known.flat_map(|group| &group.ingress).flat_map(|permission| of(permission, facts)).collect();
    if rules.len() > ACCESS_RULES_MAX {
        tracing::warn!(?groups, rules = rules.len(), "too many access rules; those beyond the bound open nothing");
        rules.truncate(ACCESS_RULES_MAX);
    }
    rules
}

fn of(permission: &IpPermission, facts: &Facts) -> Vec<AccessRule> {
    let Some((first_port, last_port)) = ports(permission) else { return Vec::new() };
    let v4 = permission.ip_ranges.iter().filter_map(|range| range.cidr_ip.as_deref());
    let v6 = permission.ipv6_ranges.iter().filter_map(|range| range.cidr_ipv6.as_deref());
    let mut networks: Vec<_> = v4.chain(v6).filter_map(network).collect();
    for pair in &permission.user_id_group_pairs {
        let Some(group) = &pair.group_id else { continue };
        let members = facts.instances.values().filter(|instance| instance.groups.contains(group));
        networks.extend(members.filter_map(|instance| instance.address).map(single));
    }
    // The members come from a hash map; equal facts must make equal rules.
    networks.sort_by_key(|network| (network.address, network.prefix));
    networks.dedup();
    networks.into_iter().map(|from| AccessRule { from, first_port, last_port }).collect()
}

fn ports(permission: &IpPermission) -> Option<(u16, u16)> {
    let port = |port: Option<i32>| u16::try_from(port?).ok();
    match permission.ip_protocol.as_deref() {
        Some("-1") => Some((0, u16::MAX)),
        Some("tcp" | "6") => match (permission.from_port, permission.to_port) {
            (None | Some(-1), None | Some(-1)) => Some((0, u16::MAX)),
            (first, last) => Some((port(first)?, port(last)?)),
        },
        _ => None,
    }
}

/// `10.0.0.0/8`.
fn network(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    (prefix <= single(address).prefix).then_some(IpNetwork { address, prefix })
}

fn single(address: IpAddr) -> IpNetwork {
    IpNetwork { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}
