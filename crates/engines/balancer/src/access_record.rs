//! Access records: one line per request or TCP connection, in Classic ELB's format.
//!
//! Invariants:
//! - Recording never waits: what the bounded channel cannot take is dropped and counted.
//! - A record is on disk, synced, within a second of being made.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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

/// Takes records of one worker thread. A stand-in that drops them.
pub(crate) struct Recorder;

impl Recorder {
    #[allow(dead_code, reason = "its callers come with it")]
    pub(crate) fn record(&self, _key: LogKey, _lb_name: &str, _record: &Record<'_>) {}
}

/// Records on disk, until they are published. A stand-in that keeps none.
#[derive(Clone)]
pub struct Spool;

impl Spool {
    pub(crate) fn start(
        _disk: std::sync::Arc<dyn host::Disk>,
        _dir: std::path::PathBuf,
        _clock: std::sync::Arc<dyn host::Clock>,
        _ids: std::sync::Arc<dyn host::Ids>,
    ) -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn recorder(&self) -> Recorder {
        Recorder
    }

    pub(crate) fn close(&self) {}
}
