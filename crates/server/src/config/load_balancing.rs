//! The sections of the configuration that are for load balancers: `[[zone]]`, `[dns]` and `[balancer]`.
//!
//! Invariants:
//! - There is a zone at least; an address belongs to one zone only.
//! - DNS is answered only for a zone that the operator has named.

use std::net::{IpAddr, SocketAddr};

use api::Region;
use serde::Deserialize;

use super::{ConfigError, OneOrMany, bounded, parse_domain, refuse, resolve, seconds, worker_threads};

/// What load balancers' names end with unless `[dns] zone` says otherwise: most systems resolve it to loopback.
pub const DEFAULT_DNS_DOMAIN: &str = "elb.localhost";
/// The zones of the region when none is configured.
const DEFAULT_ZONES: [char; 3] = ['a', 'b', 'c'];
const MIB: usize = 1 << 20;

/// Where load balancers stand, under which names, and what they may cost.
#[derive(Clone, Debug)]
pub struct LoadBalancing {
    /// In the order given; never empty.
    pub zones: Vec<elb::Zone>,
    /// What names end with, after name and region.
    pub dns_domain: String,
    /// Where DNS is answered for the names; empty for nowhere.
    pub dns_listen: Vec<SocketAddr>,
    /// Threads that serve traffic, beside those for the API.
    pub worker_threads: usize,
    /// What traffic may cost.
    pub limits: balancer::Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZoneSection {
    name: String,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    internal_addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsSection {
    listen: Option<OneOrMany>,
    zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BalancerSection {
    worker_threads: Option<usize>,
    connections_max: Option<usize>,
    target_connections_max: Option<usize>,
    surge_queue_max: Option<usize>,
    pooled_connections_max: Option<usize>,
    request_line_bytes_max: Option<usize>,
    header_bytes_max: Option<usize>,
    request_head_bytes_max: Option<usize>,
    response_head_bytes_max: Option<usize>,
    connect_timeout_s: Option<f64>,
    handshake_timeout_s: Option<f64>,
}

impl DnsSection {
    /// With what flags and environment say instead.
    pub(super) fn overridden(self, listen: Vec<String>, zone: Option<String>) -> Self {
        let listen = if listen.is_empty() { self.listen } else { Some(OneOrMany::Many(listen)) };
        Self { listen, zone: zone.or(self.zone) }
    }
}

impl LoadBalancing {
    pub(super) fn read(
        region: &Region,
        zones: Vec<ZoneSection>,
        dns: DnsSection,
        balancer: &BalancerSection,
    ) -> Result<Self, ConfigError> {
        let listen = dns.listen.map(OneOrMany::into_vec).unwrap_or_default();
        if !listen.is_empty() && dns.zone.is_none() {
            return refuse("cannot answer DNS without a zone: set dns.zone to the one that is delegated here".into());
        }
        Ok(Self {
            zones: read_zones(region, zones)?,
            dns_domain: match &dns.zone {
                Some(zone) => parse_domain("dns.zone", zone)?,
                None => DEFAULT_DNS_DOMAIN.into(),
            },
            dns_listen: resolve(&listen, "203.0.113.10:53")?,
            worker_threads: worker_threads("balancer.worker_threads", balancer.worker_threads)?,
            limits: limits(balancer)?,
        })
    }

    /// The zones' names.
    pub fn zone_names(&self) -> Vec<String> {
        self.zones.iter().map(|zone| zone.name.clone()).collect()
    }
}

fn read_zones(region: &Region, sections: Vec<ZoneSection>) -> Result<Vec<elb::Zone>, ConfigError> {
    if sections.is_empty() {
        let zone = |letter| elb::Zone {
            name: format!("{region}{letter}"),
            addresses: Vec::new(),
            internal_addresses: Vec::new(),
        };
        return Ok(DEFAULT_ZONES.into_iter().map(zone).collect());
    }
    let mut zones: Vec<elb::Zone> = Vec::new();
    for section in sections {
        let ZoneSection { name, addresses, internal_addresses } = section;
        check_zone_name(region, &name)?;
        if zones.iter().any(|zone| zone.name == name) {
            return refuse(format!("cannot have zone {name} twice: write all of its addresses in one [[zone]]"));
        }
        let zone = elb::Zone {
            addresses: read_addresses(&name, &addresses)?,
            internal_addresses: read_addresses(&name, &internal_addresses)?,
            name,
        };
        for address in zone.addresses.iter().chain(&zone.internal_addresses) {
            let has_it =
                |other: &&elb::Zone| other.addresses.iter().chain(&other.internal_addresses).any(|a| a == address);
            if let Some(other) = zones.iter().find(has_it) {
                return refuse(format!(
                    "cannot use address {address} in zone {}: zone {} has it; a node's address tells its zone",
                    zone.name, other.name
                ));
            }
        }
        zones.push(zone);
    }
    Ok(zones)
}

/// AWS's tools take a zone's last letter off to find its region.
fn check_zone_name(region: &Region, name: &str) -> Result<(), ConfigError> {
    let own = name.strip_prefix(region.as_str());
    let (rest, letter) = name.split_at(name.len() - name.chars().next_back().map_or(0, char::len_utf8));
    let is_letter = letter.bytes().all(|b| b.is_ascii_lowercase()) && !letter.is_empty();
    let looks_like_a_region =
        rest.split('-').count() >= 3 && rest.ends_with(|c: char| c.is_ascii_digit()) && Region::parse(rest).is_some();
    if is_letter && (own.is_some_and(|own| own.len() == 1) || looks_like_a_region) {
        return Ok(());
    }
    refuse(format!("cannot use zone {name:?}: a zone is named as its region and a letter, such as {region}a"))
}

fn read_addresses(zone: &str, texts: &[String]) -> Result<Vec<IpAddr>, ConfigError> {
    let mut addresses = Vec::new();
    for text in texts {
        let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
        let address = address.ok().filter(|address| !address.is_unspecified() && !address.is_multicast());
        let Some(address) = address else {
            return refuse(format!(
                "cannot use address {text:?} in zone {zone}: it must be one IP address of this machine, such as \
                 203.0.113.10, without a port"
            ));
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn limits(given: &BalancerSection) -> Result<balancer::Limits, ConfigError> {
    let default = balancer::Limits::default();
    let count =
        |key: &str, given, default, least, most| bounded(&format!("balancer.{key}"), given, default, least, most);
    let time = |key: &str, given, default| seconds(&format!("balancer.{key}"), given, default);
    let limits = balancer::Limits {
        connections_max: count("connections_max", given.connections_max, default.connections_max, 1, 10_000_000)?,
        target_connections_max: count(
            "target_connections_max",
            given.target_connections_max,
            default.target_connections_max,
            1,
            1_000_000,
        )?,
        // 0 would turn every request away that finds no free target at once.
        surge_queue_max: count("surge_queue_max", given.surge_queue_max, default.surge_queue_max, 1, 1_000_000)?,
        pooled_connections_max: count(
            "pooled_connections_max",
            given.pooled_connections_max,
            default.pooled_connections_max,
            0,
            100_000,
        )?,
        request_line_bytes_max: count(
            "request_line_bytes_max",
            given.request_line_bytes_max,
            default.request_line_bytes_max,
            512,
            MIB,
        )?,
        header_bytes_max: count("header_bytes_max", given.header_bytes_max, default.header_bytes_max, 512, MIB)?,
        request_head_bytes_max: count(
            "request_head_bytes_max",
            given.request_head_bytes_max,
            default.request_head_bytes_max,
            4096,
            MIB,
        )?,
        response_head_bytes_max: count(
            "response_head_bytes_max",
            given.response_head_bytes_max,
            default.response_head_bytes_max,
            4096,
            MIB,
        )?,
        connect_timeout: time("connect_timeout_s", given.connect_timeout_s, default.connect_timeout)?,
        handshake_timeout: time("handshake_timeout_s", given.handshake_timeout_s, default.handshake_timeout)?,
    };
    for (key, bytes) in
        [("request_line_bytes_max", limits.request_line_bytes_max), ("header_bytes_max", limits.header_bytes_max)]
    {
        if bytes > limits.request_head_bytes_max {
            return refuse(format!(
                "cannot use balancer.{key} = {bytes}: it is above balancer.request_head_bytes_max, {}",
                limits.request_head_bytes_max
            ));
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests;
