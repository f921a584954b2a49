//! `--reach HOST:PORT`: what a captive may reach beside Millpond.
//!
//! Invariant: pure. A loopback address is the same inside; a name gets an address of its own, which DNS tells.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::SOCKETS_MAX;

/// How many may be named; with Millpond's own they have to fit into one message.
const REACHES_MAX: usize = SOCKETS_MAX - 8;

/// One thing to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The name to be answered by DNS, in lower case.
    pub(super) name: Option<String>,
    /// Where it stands inside.
    pub(super) inside: SocketAddrV4,
    /// Where it is, as it was written.
    pub(super) outside: String,
}

/// Reads what was named.
pub(super) fn read(written: &[String]) -> anyhow::Result<Vec<Reach>> {
    anyhow::ensure!(written.len() <= REACHES_MAX, "--reach may be given {REACHES_MAX} times at most");
    let mut reaches: Vec<Reach> = Vec::new();
    for text in written {
        let reach = one(text, &reaches)?;
        reaches.push(reach);
    }
    Ok(reaches)
}

fn one(text: &str, before: &[Reach]) -> anyhow::Result<Reach> {
    let wrong = || anyhow::anyhow!("cannot reach {text:?}: write a name or 127.x.y.z, a colon and a port");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host == "localhost" {
        return Ok(Reach {
            name: None,
            inside: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            outside: text.to_owned(),
        });
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        anyhow::ensure!(
            address.is_loopback(),
            "cannot reach {text:?}: inside there are only 127.x.y.z addresses; name it by its DNS name"
        );
        return Ok(Reach { name: None, inside: SocketAddrV4::new(address, port), outside: text.to_owned() });
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_letter) {
        return Err(wrong());
    }
    // The same name has one address, whatever the port.
    let known = before.iter().find(|reach| reach.name.as_deref() == Some(&host)).map(|reach| *reach.inside.ip());
    let names = before.iter().filter_map(|reach| reach.name.as_ref().map(|_| *reach.inside.ip()));
    let next = names.map(|ip| ip.octets()[3]).max().unwrap_or(0) + 1;
    let address = known.unwrap_or(Ipv4Addr::new(127, 66, 1, next));
    Ok(Reach { name: Some(host), inside: SocketAddrV4::new(address, port), outside: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(written: &[&str]) -> anyhow::Result<Vec<String>> {
        let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
        Ok(read(&written)?.iter().map(|reach| reach.inside.to_string()).collect())
    }

    #[test]
    fn loopback_stays_and_names_get_addresses() {
        let found =
            inside(&["localhost:5432", "127.0.0.9:80", "Example.org:443", "b.org:1", "example.org.:80"]).unwrap();
        assert_eq!(found, ["127.0.0.1:5432", "127.0.0.9:80", "127.66.1.1:443", "127.66.1.2:1", "127.66.1.1:80"]);
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        for wrong in ["example.org", "example.org:0", "example.org:x", ":80", "10.0.0.1:80", "[::1]:80", "a b:80"] {
            assert!(inside(&[wrong]).is_err(), "{wrong}");
        }
        assert!(inside(&["a:1"; SOCKETS_MAX]).is_err());
    }
}
