//! [`InstanceNetworks`]: how ELB learns the way to an instance without knowing what runs it.
//!
//! Invariants:
//! - An instance in a VPC of its own network is reached through that network or not at all.
//! - A network that is told has the asked-for address at that moment.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The way to an instance that is run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of its VPC's network, from the address of a network interface there.
    Vpc,
    /// From the host, at this address.
    Host(IpAddr),
}

/// Whoever runs instances.
pub trait InstanceNetworks: Send + Sync + 'static {
    /// How an instance is reached whose private address is this; `None` for one that is not run here, a registered
    /// machine for instance.
    fn way_to(&self, instance_id: &str, address: Ipv4Addr) -> Option<Way>;

    /// The network namespace in which a VPC's instances are reached, and an interface's `address` is local; `None` while
    /// there is none such.
    fn network(&self, vpc_id: &str, address: Ipv4Addr) -> Option<Arc<File>>;
}
