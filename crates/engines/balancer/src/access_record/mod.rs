//! Access records: one line per request or TCP connection, in Classic ELB's format.
//!
//! Invariants:
//! - Recording never waits for the disk: what does not fit into a worker's bounded buffer is dropped and counted.
//! - A record is on disk, synced, within a second of being made, if the disk is well; if it is not, traffic does not
//!   notice, and what was lost is counted.
//! - Whatever clients send, a record is one line of 15 fields.

mod format;
mod recorder;
mod spool;
mod store;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(crate) use recorder::Recorder;
pub use spool::{Spool, SpoolStats};
pub use store::Sealed;

/// What is known of one request or TCP connection when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Microseconds since the Unix epoch when the request's first byte (TCP: the connection) came.
    pub(crate) received_us: u64,
    pub(crate) client: SocketAddr,
    /// `None`: it never reached a target.
    pub(crate) target: Option<SocketAddr>,
    /// Received to dispatched; these three are `None` (written -1) when it was not dispatched.
    pub(crate) request_processing: Option<Duration>,
    pub(crate) backend_processing: Option<Duration>,
    pub(crate) response_processing: Option<Duration>,
    /// `None` (written -) for TCP.
    pub(crate) elb_status: Option<u16>,
    /// `None` for TCP, and (written 0, as ELB does) where no target answered.
    pub(crate) backend_status: Option<u16>,
    /// Without heads for HTTP, totals for TCP.
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// `None` for TCP, and where no request line could be read.
    pub(crate) request: Option<RequestLine<'a>>,
    pub(crate) user_agent: Option<&'a [u8]>,
    /// `None` without TLS.
    pub(crate) tls: Option<TlsInfo>,
}

/// A request's line, for its record: `"GET http://host:80/path HTTP/1.1"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The Host header as the client sent it, without a port; or the node's address.
    pub(crate) host: &'a [u8],
    /// The listener's.
    pub(crate) port: u16,
    /// As the client sent it.
    pub(crate) target: &'a [u8],
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub(crate) version: &'static str,
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TlsInfo {
    /// OpenSSL's name, `ECDHE-ECDSA-AES128-GCM-SHA256`.
    pub(crate) cipher: &'static str,
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) protocol: &'static str,
}

/// Which log a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogKey {
    pub(crate) load_balancer: crate::LoadBalancerId,
    pub(crate) node: IpAddr,
}

/// A record's line, for those who check what it looks like.
pub(crate) fn line(load_balancer: &str, record: &Record<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    format::line(&mut line, &mut format::DateCache::default(), load_balancer, record);
    line
}
