//! The PROXY protocol's first version: one line that tells a target who the client is.
//!
//! Invariants:
//! - The line is at most [`LINE_MAX`] bytes and follows the grammar for any two addresses.
//! - Both addresses are of one family in it; an IPv4 address within IPv6 is written as what it is.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// The longest line that the specification knows, CR and LF included.
pub const LINE_MAX: usize = 107;

/// The line for a client's connection to one of our addresses.
pub fn line(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (client_ip, local_ip) = (client.ip().to_canonical(), local.ip().to_canonical());
    let family = match (client_ip, local_ip) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        // Cannot happen to one connection; "UNKNOWN" lets the target use the connection's own addresses.
        _ => return b"PROXY UNKNOWN\r\n".to_vec(),
    };
    let mut line = Vec::with_capacity(LINE_MAX);
    // Writing to memory cannot fail.
    let _ = write!(line, "PROXY {family} {client_ip} {local_ip} {} {}\r\n", client.port(), local.port());
    line
}
