//! Whatever two addresses a connection has, the line that tells a target of them is one that targets can read.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use balancer::proxy_protocol::{LINE_MAX, line, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|addresses: [(bool, [u8; 16], u16); 2]| {
    let [client, local] = addresses.map(|(is_ipv4, ip, port)| {
        let ip = if is_ipv4 { IpAddr::from([ip[0], ip[1], ip[2], ip[3]]) } else { IpAddr::from(ip) };
        SocketAddr::new(ip, port)
    });
    let line = line(client, local);
    assert!(line.len() <= LINE_MAX);
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, local) = (canonical(client), canonical(local));
    let expected = (client.is_ipv4() == local.is_ipv4()).then_some((client, local));
    assert_eq!(parse(&line), Ok(expected), "{}", String::from_utf8_lossy(&line));
});
