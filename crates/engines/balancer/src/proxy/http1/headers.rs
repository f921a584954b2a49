//! The headers that the relay has to know by name.
//!
//! Invariants:
//! - A name is told by its letters, whatever their case, and never by a part of it.

use std::net::IpAddr;

use super::{Forwarded, desync};

/// What a header's name means to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Nothing: it is passed on.
    Other,
    /// Nothing, but somebody could take it for a length or a coding.
    Suspicious,
    Connection,
    /// For the next hop only, and always removed.
    HopByHop,
    /// `Proxy-Authorization` and its kin: meant for a proxy, so not for targets.
    Proxy,
    Expect,
    Upgrade,
    Host,
    UserAgent,
    ContentLength,
    TransferEncoding,
    ForwardedFor,
    /// Ours to say: a client's is dropped.
    ForwardedOurs,
}

impl Name {
    pub(super) fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            10 if is("user-agent") => Self::UserAgent,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::HopByHop,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            16 if is("x-forwarded-port") => Self::ForwardedOurs,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("x-forwarded-proto") => Self::ForwardedOurs,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            14.. if desync::resembles_framing(name) => Self::Suspicious,
            7.. if name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"proxy-")) => Self::Proxy,
            _ => Self::Other,
        }
    }
}

/// What a `Connection` header's elements say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Other headers are named.
    pub(super) has_names: bool,
}

impl Options {
    pub(super) fn add(&mut self, value: &[u8]) {
        for option in super::scan::list(value) {
            let is = |known: &str| option.eq_ignore_ascii_case(known.as_bytes());
            match option.len() {
                0 => {}
                5 if is("close") => self.close = true,
                7 if is("upgrade") => self.upgrade = true,
                10 if is("keep-alive") => self.keep_alive = true,
                _ => self.has_names = true,
            }
        }
    }
}

/// A `Host` header's value, or a target's authority, that names one host for everybody.
pub(super) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b':' | b'_' | b'[' | b']' | b'~' | b'%')
            || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
    })
}

pub(super) fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// An address as headers have it: IPv6 in the plain, without brackets.
pub(super) fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_number(out, octet.into());
            }
        }
        IpAddr::V6(ip) => out.extend_from_slice(ip.to_string().as_bytes()),
    }
}

/// The `Host` of a request that names none: our address.
pub(super) fn push_own_host(out: &mut Vec<u8>, node: IpAddr) {
    out.extend_from_slice(b"Host: ");
    let is_v6 = node.to_canonical().is_ipv6();
    if is_v6 {
        out.push(b'[');
    }
    push_address(out, node);
    if is_v6 {
        out.push(b']');
    }
    out.extend_from_slice(b"\r\n");
}

/// The X-Forwarded headers, `earlier` being what `X-Forwarded-For` said when it came.
pub(super) fn push_forwarded<'a>(out: &mut Vec<u8>, forwarded: &Forwarded, earlier: impl Iterator<Item = &'a [u8]>) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    for value in earlier.filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    push_address(out, forwarded.client);
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(forwarded.proto.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Port: ");
    push_number(out, forwarded.port.into());
    out.extend_from_slice(b"\r\n");
}
