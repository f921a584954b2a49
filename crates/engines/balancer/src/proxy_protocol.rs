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

/// Whether a line follows the specification's grammar, and for whose connection it is. For tests and fuzzing: targets
/// read the line, we never do.
#[doc(hidden)]
pub fn parse(line: &[u8]) -> Result<Option<(SocketAddr, SocketAddr)>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "not text")?;
    let text = text.strip_suffix("\r\n").ok_or("no CR LF at its end")?;
    if line.len() > LINE_MAX || text.contains(['\r', '\n']) {
        return Err("not one line of at most 107 bytes");
    }
    let words: Vec<&str> = text.split(' ').collect();
    let (family, source, destination, source_port, destination_port) = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Ok(None),
        ["PROXY", family, source, destination, from, to] => (family, source, destination, from, to),
        _ => return Err("not six words, PROXY the first"),
    };
    let address = |ip: &str, port: &str| -> Result<SocketAddr, &'static str> {
        let ip = match family {
            "TCP4" => IpAddr::V4(ip.parse().map_err(|_| "no IPv4 address")?),
            "TCP6" => IpAddr::V6(ip.parse().map_err(|_| "no IPv6 address")?),
            _ => return Err("an unknown family"),
        };
        // "007" and "+7" are numbers to Rust.
        if port.len() > 1 && port.starts_with(['0', '+']) || port.starts_with('+') {
            return Err("a port with more than its digits");
        }
        Ok(SocketAddr::new(ip, port.parse().map_err(|_| "no port")?))
    };
    Ok(Some((address(source, source_port)?, address(destination, destination_port)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(client: &str, local: &str) -> String {
        String::from_utf8(line(client.parse().unwrap(), local.parse().unwrap())).unwrap()
    }

    #[test]
    fn the_line_is_as_the_specification_has_it() {
        assert_eq!(
            written("192.168.0.1:56324", "192.168.0.11:443"),
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
        );
        assert_eq!(written("[2001:db8::1]:5", "[::1]:3306"), "PROXY TCP6 2001:db8::1 ::1 5 3306\r\n");
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_written_as_ipv4() {
        let expected = "PROXY TCP4 10.0.0.9 10.0.0.1 5 80\r\n";
        assert_eq!(written("[::ffff:10.0.0.9]:5", "[::ffff:10.0.0.1]:80"), expected);
        assert_eq!(written("10.0.0.9:5", "[::ffff:10.0.0.1]:80"), expected);
    }

    #[test]
    fn addresses_of_two_families_are_unknown() {
        assert_eq!(written("10.0.0.9:5", "[::1]:80"), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn a_zone_or_flow_of_an_address_is_no_part_of_the_line() {
        let scoped = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 3, 9);
        let line = line(scoped.into(), "[::1]:80".parse().unwrap());
        assert_eq!(line, b"PROXY TCP6 fe80::1 ::1 7 80\r\n");
    }

    proptest::proptest! {
        #[test]
        fn any_two_addresses_make_a_line_that_says_them(client: SocketAddr, local: SocketAddr) {
            let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
            let (client, local) = (canonical(client), canonical(local));
            let expected = (client.is_ipv4() == local.is_ipv4()).then_some((client, local));
            proptest::prop_assert_eq!(parse(&line(client, local)), Ok(expected));
        }
    }
}
