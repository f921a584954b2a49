//! HTTP/1.x heads and chunks: what comes in is understood, and what goes out is written from that.
//!
//! Invariants:
//! - What is forwarded has exactly one reading: one framing, one `Host`, lines that end in CRLF, names that are tokens and
//!   values without control characters. Bytes are copied as they came only where they are that already.
//! - A request is understood in one way or refused; which is true however the bytes were cut on their way.
//! - Parsing is bounded by [`Limits`] and [`HEADERS_MAX`], never panics, and allocates nothing for an ordinary message.
//! - A request without any peculiarity is [`Tier::Compliant`] by construction; all others are classified by [`desync`].
//!
//! [`Limits`]: crate::config::Limits
//! [`Tier::Compliant`]: desync::Tier::Compliant

mod chunked;
mod desync;
mod headers;
mod lenient;
mod request;
mod response;
mod scan;
#[cfg(test)]
pub(super) mod tests;

use std::net::IpAddr;

pub(crate) use chunked::{ChunkDecoder, ChunkEvent};
pub(crate) use desync::{Tier, Verdict};
pub(crate) use request::parse_request;
pub(crate) use response::parse_response;

/// Header lines of one head. Servers bound them too: Python's at 100, Apache's at 100, Node's at 2,000.
pub(crate) const HEADERS_MAX: usize = 256;

/// AWS: a longer one is answered 405.
const METHOD_BYTES_MAX: usize = 127;

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection; answers only.
    UntilClose,
}

/// A part of the bytes that were parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        // Heads are bounded far below; a bound that somebody raises beyond 4 GiB costs the log its words, no more.
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What was understood of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Bytes of the head, with its empty line.
    pub(crate) bytes: usize,
    pub(crate) framing: Framing,
    /// The version is HTTP/1.`minor`; 0 for HTTP/0.9 as well.
    pub(crate) minor: u8,
    /// A request of HTTP/0.9: the answer is a body without a head.
    pub(crate) is_simple: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expect_continue: bool,
    /// The client asks for another protocol.
    pub(crate) upgrade: bool,
    pub(crate) is_head: bool,
    pub(crate) idempotent: bool,
    /// Others could read this request differently: neither connection is used after it.
    pub(crate) is_last: bool,
    pub(crate) desync: Verdict,
    method: Span,
    target: Span,
    host: Span,
    agent: Option<Span>,
}

impl RequestHead {
    pub(crate) fn method<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.method.of(bytes)
    }

    /// The target as it came; its path only where it named a host, too.
    pub(crate) fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.target.of(bytes)
    }

    pub(crate) fn host<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.host.of(bytes)
    }

    pub(crate) fn user_agent<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.agent.map(|agent| agent.of(bytes))
    }

    pub(crate) fn version_name(&self) -> &'static str {
        match (self.is_simple, self.minor) {
            (true, _) => "HTTP/0.9",
            (false, 0) => "HTTP/1.0",
            (false, _) => "HTTP/1.1",
        }
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) desync: Verdict,
}

/// How it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// 400: it has no safe reading, is too large, or its class is not allowed.
    Bad,
    /// 405.
    MethodTooLong,
}

impl Refusal {
    fn bad(desync: Verdict) -> Self {
        Self { kind: RefusalKind::Bad, desync }
    }
}

/// What targets are told of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarded {
    pub(crate) client: IpAddr,
    pub(crate) proto: &'static str,
    pub(crate) port: u16,
    /// Ours: the `Host` of a request that names none.
    pub(crate) node: IpAddr,
}

/// What was understood of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) bytes: usize,
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// The target keeps its connection open after this.
    pub(crate) keep_alive: bool,
}

/// What an answer's `Connection` header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persist {
    Unsaid,
    KeepAlive,
    Close,
}

/// An answer that can't be passed on: 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadResponse;
