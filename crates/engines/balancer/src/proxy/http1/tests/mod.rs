//! The parsers by themselves: what they write, what they refuse, and that they never care how bytes were cut.

pub(in crate::proxy) mod oracle;
mod properties;
mod requests;
mod responses;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::config::{DesyncMode, Limits};

const FORWARDED: Forwarded = Forwarded {
    client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    proto: "http",
    port: 80,
    node: IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1)),
};

/// What is added to every request.
const ADDED: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\r\n";

const MODES: [DesyncMode; 3] = [DesyncMode::Monitor, DesyncMode::Defensive, DesyncMode::Strictest];

fn parse(bytes: &[u8], mode: DesyncMode) -> Result<Option<(RequestHead, Vec<u8>)>, Refusal> {
    let mut out = Vec::new();
    let head = parse_request(bytes, &Limits::default(), mode, &FORWARDED, &mut out)?;
    Ok(head.map(|head| (head, out)))
}

/// A request that must be complete and served.
fn forwarded_in(text: &str, mode: DesyncMode) -> (RequestHead, String) {
    let (head, out) = parse(text.as_bytes(), mode).unwrap_or_else(|refusal| panic!("{text:?}: {refusal:?}")).unwrap();
    (head, String::from_utf8_lossy(&out).into_owned())
}

fn forwarded(text: &str) -> (RequestHead, String) {
    forwarded_in(text, DesyncMode::Defensive)
}

fn answer_to(bytes: &[u8], request: &RequestHead) -> Result<Option<(ResponseHead, Vec<u8>)>, BadResponse> {
    let mut out = Vec::new();
    let head = parse_response(bytes, &Limits::default(), request, &mut out, |_| Persist::Unsaid)?;
    Ok(head.map(|head| (head, out)))
}
