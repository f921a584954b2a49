//! Request heads: the fast way, for the requests that browsers and programs send.
//!
//! Invariants:
//! - One pass, no allocation. Lines go out as they came, in runs, where they are written as we would write them; what is
//!   removed or added interrupts a run.
//! - A request that is peculiar in any way, dangerous or not, is left to [`lenient`], which reads it from its beginning:
//!   what this function accepts is Compliant, and `lenient` would say the same of it.

use super::desync::Verdict;
use super::headers::{self, Name, Options};
use super::scan::{decimal, is_blank, target_end, text_end, token_end};
use super::{Forwarded, Framing, HEADERS_MAX, METHOD_BYTES_MAX, Refusal, RequestHead, Span, lenient};
use crate::config::{DesyncMode, Limits};

/// Reads the head at the beginning of `bytes`, and writes to `out` how a target is told of it. `None` if the head isn't
/// complete; `out` is of no use then.
///
/// # Errors
/// The request is not served.
pub(crate) fn parse_request(
    bytes: &[u8],
    limits: &Limits,
    mode: DesyncMode,
    forwarded: &Forwarded,
    out: &mut Vec<u8>,
) -> Result<Option<RequestHead>, Refusal> {
    if let Some(head) = parse_ordinary(bytes, limits, forwarded, out) {
        return Ok(Some(head));
    }
    out.clear();
    lenient::parse_request(bytes, limits, mode, forwarded, out)
}

/// `None` if the request is incomplete or not ordinary.
pub(super) fn parse_ordinary(
    bytes: &[u8],
    limits: &Limits,
    forwarded: &Forwarded,
    out: &mut Vec<u8>,
) -> Option<RequestHead> {
    let (line, minor, at) = request_line(bytes, limits)?;
    let mut pass = Pass::new(bytes, line.method.of(bytes), minor, out);
    let end = pass.headers(at, limits)?;
    pass.finish(line, end, forwarded)
}

/// The request line's parts.
#[derive(Clone, Copy)]
struct Line {
    method: Span,
    target: Span,
}

/// The line, its version's minor number, and where it ends.
fn request_line(bytes: &[u8], limits: &Limits) -> Option<(Line, u8, usize)> {
    let method_end = token_end(bytes, 0);
    let target_start = method_end + 1;
    if method_end == 0 || method_end > METHOD_BYTES_MAX || bytes.get(method_end..target_start + 1)? != b" /" {
        return None;
    }
    let target_end = target_end(bytes, target_start);
    let minor = match bytes.get(target_end..target_end + 11)? {
        b" HTTP/1.1\r\n" => 1,
        b" HTTP/1.0\r\n" => 0,
        _ => return None,
    };
    let line = Line { method: Span::new(0, method_end), target: Span::new(target_start, target_end) };
    (target_end + 9 <= limits.request_line_bytes_max && bytes.get(..method_end)? != b"CONNECT").then_some((
        line,
        minor,
        target_end + 11,
    ))
}

/// What the headers said so far.
struct Pass<'a> {
    bytes: &'a [u8],
    out: &'a mut Vec<u8>,
    minor: u8,
    is_head: bool,
    has_content: bool,
    idempotent: bool,
    /// Where the lines begin that are yet to be copied.
    run: usize,
    framing: Framing,
    options: Options,
    expect_continue: bool,
    host: Option<Span>,
    agent: Option<Span>,
    forwarded_for: Option<Span>,
}

impl<'a> Pass<'a> {
    fn new(bytes: &'a [u8], method: &[u8], minor: u8, out: &'a mut Vec<u8>) -> Self {
        Self {
            bytes,
            out,
            minor,
            is_head: method == b"HEAD",
            has_content: method != b"GET" && method != b"HEAD",
            idempotent: is_idempotent(method),
            run: 0,
            framing: Framing::None,
            options: Options::default(),
            expect_continue: false,
            host: None,
            agent: None,
            forwarded_for: None,
        }
    }

    /// Reads headers up to the empty line; where that begins.
    fn headers(&mut self, start: usize, limits: &Limits) -> Option<usize> {
        let mut at = start;
        if self.minor == 0 {
            // The line as it came, but for the version.
            self.out.extend_from_slice(self.bytes.get(..start - 3)?);
            self.out.extend_from_slice(b"1\r\n");
            self.run = start;
        }
        for _ in 0..=HEADERS_MAX {
            if self.bytes.get(at..at + 2)? == b"\r\n" {
                return (at + 2 <= limits.request_head_bytes_max).then_some(at);
            }
            at = self.header(at, limits)?;
        }
        None
    }

    /// Reads one header; where the next begins.
    fn header(&mut self, at: usize, limits: &Limits) -> Option<usize> {
        let name_end = token_end(self.bytes, at);
        let value_start = name_end + 2;
        if name_end == at || self.bytes.get(name_end..value_start)? != b": " {
            return None;
        }
        let value_end = text_end(self.bytes, value_start);
        let line_end = value_end + 2;
        let value = self.bytes.get(value_start..value_end)?;
        let is_plain =
            value.first().is_some_and(|&byte| !is_blank(byte)) && value.last().is_some_and(|&b| !is_blank(b));
        if self.bytes.get(value_end..line_end)? != b"\r\n" || !is_plain || value_end - at > limits.header_bytes_max {
            return None;
        }
        let name = Name::of(self.bytes.get(at..name_end)?);
        if name != Name::Other && !self.take(name, value, Span::new(value_start, value_end))? {
            self.flush(at);
            self.run = line_end;
        }
        Some(line_end)
    }

    /// Whether a header that means something goes out as it came. `None` where it takes more thought.
    fn take(&mut self, name: Name, value: &[u8], span: Span) -> Option<bool> {
        match name {
            Name::Other => return Some(true),
            Name::Host => {
                let is_first = self.host.replace(span).is_none();
                return (is_first && headers::is_host(value)).then_some(true);
            }
            Name::UserAgent => {
                self.agent.get_or_insert(span);
                return Some(true);
            }
            Name::ContentLength => {
                let length = decimal(value)?;
                let is_plain = value == b"0" || value.first() != Some(&b'0');
                if !is_plain || !self.has_content || self.framing != Framing::None {
                    return None;
                }
                self.framing = Framing::Length(length);
                return Some(true);
            }
            Name::TransferEncoding => {
                let is_plain = value.eq_ignore_ascii_case(b"chunked") && self.minor > 0 && self.has_content;
                if !is_plain || self.framing != Framing::None {
                    return None;
                }
                self.framing = Framing::Chunked;
                return Some(true);
            }
            Name::Connection => {
                self.options.add(value);
                if self.options.has_names {
                    return None;
                }
            }
            Name::Expect => self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::ForwardedFor => {
                if self.forwarded_for.replace(span).is_some() {
                    return None;
                }
            }
            Name::HopByHop | Name::Proxy | Name::ForwardedOurs => {}
            Name::Upgrade | Name::Suspicious => return None,
        }
        Some(false)
    }

    fn flush(&mut self, end: usize) {
        self.out.extend_from_slice(self.bytes.get(self.run..end).unwrap_or_default());
    }

    fn finish(mut self, line: Line, end: usize, forwarded: &Forwarded) -> Option<RequestHead> {
        self.flush(end);
        match (self.host, self.minor) {
            (Some(_), _) => {}
            (None, 0) => headers::push_own_host(self.out, forwarded.node),
            (None, _) => return None,
        }
        headers::push_forwarded(self.out, forwarded, self.forwarded_for.map(|span| span.of(self.bytes)).into_iter());
        self.out.extend_from_slice(b"\r\n");
        Some(RequestHead {
            bytes: end + 2,
            framing: self.framing,
            minor: self.minor,
            is_simple: false,
            keep_alive: keeps_alive(self.options, self.minor),
            expect_continue: self.expect_continue && self.minor > 0,
            upgrade: false,
            is_head: self.is_head,
            idempotent: self.idempotent,
            is_last: false,
            desync: Verdict::default(),
            method: line.method,
            target: line.target,
            host: self.host.unwrap_or_default(),
            agent: self.agent,
        })
    }
}

/// Whether a connection goes on that says this.
pub(super) fn keeps_alive(options: Options, minor: u8) -> bool {
    !options.close && (minor > 0 || options.keep_alive)
}

/// RFC 9110, 9.2.2.
pub(super) fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}
