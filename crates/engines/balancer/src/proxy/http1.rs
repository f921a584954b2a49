//! Stand-in.
use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;

use crate::config::Limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Default)]
pub(crate) struct ChunkDecoder {
    left: u64,
    state: u8,
    trailers: Vec<u8>,
}

pub(crate) enum ChunkEvent {
    Data(Range<usize>),
    More,
    End,
}

impl ChunkDecoder {
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, ChunkEvent), ()> {
        match self.state {
            0 => match httparse::parse_chunk_size(input).map_err(|_| ())? {
                httparse::Status::Partial => Ok((0, ChunkEvent::More)),
                httparse::Status::Complete((n, 0)) => {
                    self.state = 3;
                    Ok((n, ChunkEvent::Data(0..0)))
                }
                httparse::Status::Complete((n, size)) => {
                    self.left = size;
                    self.state = 1;
                    Ok((n, ChunkEvent::Data(0..0)))
                }
            },
            1 => {
                let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
                if n == 0 {
                    return Ok((0, ChunkEvent::More));
                }
                self.left -= n as u64;
                if self.left == 0 {
                    self.state = 2;
                }
                Ok((n, ChunkEvent::Data(0..n)))
            }
            2 => {
                if input.len() < 2 {
                    return Ok((0, ChunkEvent::More));
                }
                if &input[..2] != b"\r\n" {
                    return Err(());
                }
                self.state = 0;
                Ok((2, ChunkEvent::Data(0..0)))
            }
            _ => {
                let Some(n) = memchr::memmem::find(input, b"\r\n") else { return Ok((0, ChunkEvent::More)) };
                if n == 0 {
                    return Ok((2, ChunkEvent::End));
                }
                self.trailers.extend_from_slice(&input[..n + 2]);
                Ok((n + 2, ChunkEvent::Data(0..0)))
            }
        }
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

type Span = (u32, u32);
fn span(base: &[u8], s: &[u8]) -> Span {
    let a = s.as_ptr().addr() - base.as_ptr().addr();
    (a as u32, (a + s.len()) as u32)
}
fn get(b: &[u8], s: Span) -> &[u8] {
    &b[s.0 as usize..s.1 as usize]
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead {
    pub(crate) bytes: usize,
    pub(crate) framing: Framing,
    pub(crate) minor: u8,
    pub(crate) keep_alive: bool,
    pub(crate) expect_continue: bool,
    pub(crate) upgrade: bool,
    pub(crate) is_head: bool,
    pub(crate) idempotent: bool,
    method: Span,
    target: Span,
    host: Span,
    agent: Option<Span>,
}

impl RequestHead {
    pub(crate) fn method<'a>(&self, b: &'a [u8]) -> &'a [u8] {
        get(b, self.method)
    }
    pub(crate) fn target<'a>(&self, b: &'a [u8]) -> &'a [u8] {
        get(b, self.target)
    }
    pub(crate) fn host<'a>(&self, b: &'a [u8]) -> &'a [u8] {
        get(b, self.host)
    }
    pub(crate) fn user_agent<'a>(&self, b: &'a [u8]) -> Option<&'a [u8]> {
        self.agent.map(|a| get(b, a))
    }
    pub(crate) fn version_name(&self) -> &'static str {
        if self.minor == 1 { "HTTP/1.1" } else { "HTTP/1.0" }
    }
}

pub(crate) struct Forwarded {
    pub(crate) client: IpAddr,
    pub(crate) proto: &'static str,
    pub(crate) port: u16,
    pub(crate) node: IpAddr,
}

pub(crate) fn parse_request(
    bytes: &[u8],
    _limits: &Limits,
    forwarded: &Forwarded,
    out: &mut Vec<u8>,
) -> Result<Option<RequestHead>, ()> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; 100];
    let mut r = httparse::Request::new(&mut []);
    let n = match r.parse_with_uninit_headers(bytes, &mut headers).map_err(|_| ())? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(n) => n,
    };
    let method = r.method.unwrap_or("");
    let minor = r.version.unwrap_or(1);
    let mut h = RequestHead {
        bytes: n,
        framing: Framing::None,
        minor,
        keep_alive: minor == 1,
        expect_continue: false,
        upgrade: false,
        is_head: method == "HEAD",
        idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"),
        method: span(bytes, method.as_bytes()),
        target: span(bytes, r.path.unwrap_or("").as_bytes()),
        host: (0, 0),
        agent: None,
    };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(r.path.unwrap_or("").as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut xff = None;
    for x in r.headers.iter() {
        let is = |n: &str| x.name.eq_ignore_ascii_case(n);
        if is("connection") {
            if x.value.eq_ignore_ascii_case(b"close") {
                h.keep_alive = false;
            } else if x.value.eq_ignore_ascii_case(b"keep-alive") {
                h.keep_alive = true;
            } else if x.value.eq_ignore_ascii_case(b"upgrade") {
                h.upgrade = true;
            }
            continue;
        }
        if is("expect") {
            h.expect_continue = minor == 1;
            continue;
        }
        if is("content-length") {
            h.framing = Framing::Length(std::str::from_utf8(x.value).map_err(|_| ())?.parse().map_err(|_| ())?);
        }
        if is("transfer-encoding") {
            h.framing = Framing::Chunked;
        }
        if is("host") {
            h.host = span(bytes, x.value);
        }
        if is("user-agent") {
            h.agent = Some(span(bytes, x.value));
        }
        if is("x-forwarded-for") {
            xff = Some(x.value);
            continue;
        }
        if is("x-forwarded-proto") || is("x-forwarded-port") {
            continue;
        }
        out.extend_from_slice(x.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(x.value);
        out.extend_from_slice(b"\r\n");
    }
    if h.host == (0, 0) {
        let _ = write!(out, "Host: {}\r\n", forwarded.node);
    }
    if h.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    out.extend_from_slice(b"X-Forwarded-For: ");
    if let Some(x) = xff {
        out.extend_from_slice(x);
        out.extend_from_slice(b", ");
    }
    let _ = write!(
        out,
        "{}\r\nX-Forwarded-Proto: {}\r\nX-Forwarded-Port: {}\r\n\r\n",
        forwarded.client, forwarded.proto, forwarded.port
    );
    Ok(Some(h))
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) bytes: usize,
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// What the response's Connection header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persist {
    Unsaid,
    KeepAlive,
    Close,
}

pub(crate) fn parse_response(
    bytes: &[u8],
    request: &RequestHead,
    out: &mut Vec<u8>,
    persist: impl FnOnce(&ResponseHead) -> Persist,
) -> Result<Option<ResponseHead>, ()> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; 100];
    let mut r = httparse::Response::new(&mut []);
    let n = match httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut r, bytes, &mut headers)
        .map_err(|_| ())?
    {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(n) => n,
    };
    let mut h = ResponseHead {
        bytes: n,
        status: r.code.unwrap_or(0),
        framing: Framing::UntilClose,
        keep_alive: r.version == Some(1),
    };
    for x in r.headers.iter() {
        let is = |n: &str| x.name.eq_ignore_ascii_case(n);
        if is("content-length") && h.framing != Framing::Chunked {
            h.framing = Framing::Length(std::str::from_utf8(x.value).map_err(|_| ())?.parse().map_err(|_| ())?);
        }
        if is("transfer-encoding") {
            h.framing = Framing::Chunked;
        }
        if is("connection") && x.value.eq_ignore_ascii_case(b"close") {
            h.keep_alive = false;
        }
    }
    if request.is_head || matches!(h.status, 100..200 | 204 | 304) {
        h.framing = Framing::None;
    }
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", h.status, r.reason.unwrap_or(""));
    for x in r.headers.iter() {
        let is = |n: &str| x.name.eq_ignore_ascii_case(n);
        if is("connection") || is("keep-alive") || (is("transfer-encoding") && request.minor == 0) {
            continue;
        }
        out.extend_from_slice(x.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(x.value);
        out.extend_from_slice(b"\r\n");
    }
    if h.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    match persist(&h) {
        Persist::Unsaid => {}
        Persist::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Persist::Close => out.extend_from_slice(b"Connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    Ok(Some(h))
}
