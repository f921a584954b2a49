//! The DNS server: answers for load balancers' names with the addresses of nodes that can serve.
//!
//! Invariants:
//! - An answer is worked out from one immutable [`Table`], which publishing swaps whole, and from the health of targets
//!   at that moment. Nothing is locked.
//! - Bytes from outside are answered, or not; they never end a socket's service, and what they may occupy is bounded:
//!   datagrams are answered one after the other, TCP connections are counted and have deadlines.
//! - Authoritative only: nothing is asked of anybody else, and names of other zones are refused.

mod answer;
mod server;
mod table;

use std::net::SocketAddr;

pub(crate) use server::{Server, start};

/// Where names are answered for, and which.
#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// UDP and TCP are served at each. On a machine with several addresses name those that are asked, rather than
    /// 0.0.0.0: the system may answer from another than was asked.
    pub listen: Vec<SocketAddr>,
    /// All names below it are ours.
    pub zone: String,
}
