//! The VPC's resolver: instances' own names, names that the server answers for, and the rest of the world.
//!
//! Invariants:
//! - An instance's private name is answered in its own VPC only.
//! - What nobody here knows is asked of the host's resolvers; where there are none, it is "no such name".

mod answer;
mod server;

use std::net::Ipv4Addr;

use crate::network::config::VpcId;

pub(crate) use server::{Resolver, resolvers_of};

/// Names that others answer for: AWS's hosts, load balancers.
pub trait Names: Send + Sync + 'static {
    /// What `name` (lowercase, without a final dot) means to an instance of this VPC. Answers at once, from memory.
    fn resolve(&self, vpc: &VpcId, name: &str) -> NameAnswer;
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAnswer {
    /// These addresses (none: the name exists, without an IPv4 address).
    Addresses {
        /// In this order.
        addresses: Vec<Ipv4Addr>,
        /// How long they may be kept.
        ttl_s: u32,
    },
    /// It does not exist.
    NoSuchName,
    /// Somebody else's: ask the host's resolvers.
    Elsewhere,
}
