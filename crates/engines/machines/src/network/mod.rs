//! Networks: a router namespace a VPC, a pair of virtual cards an instance, filters between them.
//!
//! Invariants:
//! - What the kernel has is a function of the published [`config::Networks`] and of the running instances.
//! - The host's own namespace is never changed: a router has no cable to it. What leaves a VPC is carried by the engine,
//!   connection by connection, which so decides what may be reached.

pub(crate) mod config;
pub(crate) mod dns;
pub(crate) mod egress;
pub(crate) mod filter;
pub(crate) mod metadata;
pub(crate) mod namespace;
pub(crate) mod network_acl;
pub(crate) mod networks;
pub(crate) mod programs;
pub(crate) mod security_group;
pub(crate) mod vpc;

use std::net::Ipv4Addr;

/// Where instances ask for metadata.
pub(crate) const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub(crate) const METADATA_PORT: u16 = 80;
/// Where an unprivileged instance asks, on its own loopback address.
pub(crate) const METADATA_PORT_UNPRIVILEGED: u16 = 16_925;
/// Where the engine answers what an unprivileged instance's first process passes on.
pub(crate) const METADATA_PORT_BEHIND: u16 = 16_926;
/// Where instances ask for names; the VPC's second address answers as well.
pub(crate) const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Where connections that leave the VPC are sent to by the router.
pub(crate) const EGRESS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 251);
pub(crate) const EGRESS_TCP_PORT: u16 = 65_001;
pub(crate) const EGRESS_UDP_PORT: u16 = 65_002;
/// The mark of datagrams that leave the VPC.
pub(crate) const EGRESS_MARK: u32 = 1;
