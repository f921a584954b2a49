//! Zones, and the addresses that nodes get there.
//!
//! Invariants:
//! - A node's address is chosen once, when its zone is enabled, and kept in the row: restarts do not move it.
//! - Two load balancers share an address only where the operator configured the zone's addresses, and then never a port.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use wire::ApiError;

use crate::errors;
use crate::rows::LoadBalancerRow;

/// Loopback addresses that a zone without configured ones hands out.
const LOOPBACK_NODES_MAX: u16 = 60_000;
/// The second byte of the first zone's loopback range for internet-facing nodes, `127.16.0.0/16`.
const LOOPBACK_PUBLIC: u8 = 16;
/// The same for internal nodes, `127.144.0.0/16`.
const LOOPBACK_INTERNAL: u8 = 144;
/// Zones that have a loopback range of their own; those beyond share the last one's.
const LOOPBACK_ZONES_MAX: u8 = 100;

/// A zone as the operator configured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// `us-east-1a`; it belongs to the region that its name begins with.
    pub name: String,
    /// Addresses of this machine for nodes. Empty: a loopback range of its own.
    pub addresses: Vec<IpAddr>,
    /// Addresses for nodes of internal load balancers. Empty: as `addresses`, or another loopback range.
    pub internal_addresses: Vec<IpAddr>,
}

/// All zones.
#[derive(Clone, Debug)]
pub(crate) struct Zones {
    zones: Vec<Zone>,
}

impl Zones {
    pub(crate) fn new(zones: Vec<Zone>) -> Self {
        Self { zones }
    }

    /// Whether this region has this zone.
    pub(crate) fn check(&self, region: &str, name: &str) -> Result<(), ApiError> {
        let mut known = self.zones.iter().map(|zone| zone.name.as_str()).filter(|zone| zone.starts_with(region));
        if name.starts_with(region) && known.clone().any(|zone| zone == name) {
            return Ok(());
        }
        Err(errors::zone_invalid(name, &known.by_ref().collect::<Vec<_>>()))
    }

    /// An address for a node of this zone on which all of `ports` are free: an unused one, else one that is shared.
    pub(crate) fn allocate(
        &self,
        name: &str,
        internal: bool,
        ports: &[u16],
        taken: &Taken,
    ) -> Result<IpAddr, ApiError> {
        let index = self.zones.iter().position(|zone| zone.name == name);
        let zone = index.and_then(|index| self.zones.get(index));
        let configured: &[IpAddr] = match zone {
            Some(zone) if internal && !zone.internal_addresses.is_empty() => &zone.internal_addresses,
            Some(zone) => &zone.addresses,
            None => &[],
        };
        let free = if configured.is_empty() {
            loopback(index.unwrap_or(0), internal).find(|address| !taken.ports.contains_key(address))
        } else {
            let unused = configured.iter().find(|address| !taken.ports.contains_key(*address));
            unused
                .or_else(|| configured.iter().find(|address| taken.first_conflict(**address, ports).is_none()))
                .copied()
        };
        free.ok_or_else(|| {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            errors::zone_has_no_free_address(name, &ports.join(", "))
        })
    }
}

/// `127.16.0.1`, `127.16.0.2`, … for the first zone.
fn loopback(index: usize, internal: bool) -> impl Iterator<Item = IpAddr> {
    let zone = u8::try_from(index).unwrap_or(LOOPBACK_ZONES_MAX).min(LOOPBACK_ZONES_MAX);
    let second = zone + if internal { LOOPBACK_INTERNAL } else { LOOPBACK_PUBLIC };
    (1..=LOOPBACK_NODES_MAX).filter(|low| !matches!(low & 0xff, 0 | 255)).map(move |low| {
        let [third, fourth] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, second, third, fourth))
    })
}

/// The ports that nodes of all load balancers have, by address.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    ports: HashMap<IpAddr, Vec<(u16, String)>>,
}

impl Taken {
    /// Of all `rows` but the one with this id.
    pub(crate) fn by_others<'a>(rows: impl IntoIterator<Item = &'a LoadBalancerRow>, id: Option<u64>) -> Self {
        let mut taken = Self::default();
        for row in rows.into_iter().filter(|row| Some(row.id) != id) {
            for zone in &row.zones {
                let ports = taken.ports.entry(zone.address).or_default();
                ports.extend(row.listeners.iter().map(|listener| (listener.port, row.name.clone())));
            }
        }
        taken
    }

    /// The first of these ports that somebody has on this address.
    fn first_conflict(&self, address: IpAddr, ports: &[u16]) -> Option<(u16, &str)> {
        let taken = self.ports.get(&address)?;
        taken.iter().find(|(port, _)| ports.contains(port)).map(|(port, name)| (*port, name.as_str()))
    }

    /// Whether a load balancer may have these ports on its nodes.
    pub(crate) fn check(&self, row: &LoadBalancerRow, ports: &[u16]) -> Result<(), ApiError> {
        for zone in &row.zones {
            if let Some((port, by)) = self.first_conflict(zone.address, ports) {
                return Err(errors::port_is_taken(port, zone.address, by));
            }
        }
        Ok(())
    }
}
