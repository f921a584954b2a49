//! The way out: connections that leave a VPC, carried by the engine from the router to the world.
//!
//! Invariants:
//! - The host stays as it is: no forwarding, no cable, no filter of its own; a connection leaves as one of this process.
//! - Link-local and loopback addresses and the host's own are never reached, so neither is its metadata service.
//! - What cannot be reached is refused to the instance: its connection is reset, not accepted and forgotten.
//!
//! TCP and UDP are carried; ICMP and other protocols end in the VPC.

mod tcp;
mod udp;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub(crate) use tcp::serve as serve_tcp;
pub(crate) use udp::{serve as serve_udp, socket as udp_socket};

use super::config::Ipv4Network;

/// Where no instance gets through the engine.
pub(crate) struct Denied {
    pub(crate) networks: Vec<Ipv4Network>,
}

impl Denied {
    pub(crate) fn new(more: &[Ipv4Network]) -> Arc<Self> {
        let always = [([0, 0, 0, 0], 8), ([127, 0, 0, 0], 8), ([169, 254, 0, 0], 16), ([224, 0, 0, 0], 3)];
        let always = always.map(|(address, prefix)| Ipv4Network { address: Ipv4Addr::from(address), prefix });
        Arc::new(Self { networks: always.iter().chain(more).copied().collect() })
    }

    fn covers(&self, address: Ipv4Addr) -> bool {
        self.networks.iter().any(|network| network.contains(address)) || is_own(address)
    }
}

/// Whether an address is one of the host's: only those can be bound to.
fn is_own(address: Ipv4Addr) -> bool {
    std::net::UdpSocket::bind((IpAddr::V4(address), 0)).is_ok()
}
