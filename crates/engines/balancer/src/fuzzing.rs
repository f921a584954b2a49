//! Doors for the fuzz targets and the speed example to parsers that are nobody else's business. Not an interface.
//!
//! Invariants:
//! - Each function asserts what must hold for any input, and returns what a caller could measure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::access_record::{self, Record, RequestLine};
use crate::config::{DesyncMode, Limits};
use crate::proxy::http1::{ChunkDecoder, ChunkEvent, Forwarded, Persist, RequestHead, parse_request, parse_response};

const FORWARDED: Forwarded = Forwarded {
    client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    proto: "http",
    port: 80,
    node: IpAddr::V4(Ipv4Addr::LOCALHOST),
};

/// What a parser needs beside the bytes, kept from one call to the next as a connection keeps it.
pub struct Parser {
    limits: Limits,
    out: Vec<u8>,
    request: RequestHead,
}

impl Default for Parser {
    fn default() -> Self {
        let limits = Limits::default();
        let mut out = Vec::new();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        match parse_request(request, &limits, DesyncMode::Strictest, &FORWARDED, &mut out) {
            Ok(Some(request)) => Self { limits, out, request },
            other => unreachable!("{other:?}"),
        }
    }
}

impl Parser {
    /// Parses a request's head; what is forwarded, if it is served.
    pub fn request(&mut self, bytes: &[u8], mode: DesyncMode) -> Option<&[u8]> {
        self.out.clear();
        parse_request(bytes, &self.limits, mode, &FORWARDED, &mut self.out).ok().flatten().map(|_| &self.out[..])
    }

    /// Parses an answer's head; what is forwarded, if it is complete and sound.
    pub fn response(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        self.out.clear();
        let parsed = parse_response(bytes, &self.limits, &self.request, &mut self.out, |_| Persist::Unsaid);
        parsed.ok().flatten().map(|_| &self.out[..])
    }
}

/// What is forwarded of any request is one message whose framing is the one that the request was understood to have.
///
/// # Panics
/// If that doesn't hold.
pub fn check_request(bytes: &[u8]) {
    let limits = Limits::default();
    for mode in [DesyncMode::Monitor, DesyncMode::Defensive, DesyncMode::Strictest] {
        let (mut out, mut again) = (Vec::new(), Vec::new());
        let Ok(Some(head)) = parse_request(bytes, &limits, mode, &FORWARDED, &mut out) else { continue };
        assert!(head.bytes <= bytes.len());
        // What is added may exceed the bounds that it came within.
        let wide = Limits {
            request_line_bytes_max: 1 << 20,
            header_bytes_max: 1 << 20,
            request_head_bytes_max: 1 << 20,
            ..limits.clone()
        };
        let read = parse_request(&out, &wide, DesyncMode::Monitor, &FORWARDED, &mut again);
        match read {
            Ok(Some(read)) => {
                assert_eq!((read.bytes, read.framing), (out.len(), head.framing));
                assert!(!read.is_last);
            }
            // Three headers are added.
            other => assert!(bytes.iter().filter(|&&byte| byte == b'\n').count() > 250, "{other:?}"),
        }
    }
}

/// What is told of any answer reads the same once more.
///
/// # Panics
/// If that doesn't hold.
pub fn check_response(bytes: &[u8]) {
    let mut parser = Parser::default();
    let limits = Limits { response_head_bytes_max: 1 << 20, ..Limits::default() };
    let (mut out, mut again) = (Vec::new(), Vec::new());
    let Ok(Some(head)) = parse_response(bytes, &limits, &parser.request, &mut out, |_| Persist::Unsaid) else { return };
    assert!(head.bytes <= bytes.len());
    let read = parse_response(&out, &limits, &parser.request, &mut again, |_| Persist::Unsaid);
    let Ok(Some(read)) = read else { panic!("{read:?}") };
    assert_eq!((read.bytes, read.status, read.framing), (out.len(), head.status, head.framing));
    assert_eq!(again, out);
    // A head never ends in two places for a client that knows no chunks.
    parser.request.minor = 0;
    out.clear();
    if let Ok(Some(head)) = parse_response(bytes, &limits, &parser.request, &mut out, |_| Persist::Close) {
        let is_chunked = out.to_ascii_lowercase().windows(20).any(|window| window == b"\r\ntransfer-encoding:");
        assert!(!is_chunked && head.framing == read.framing);
    }
}

/// Chunks decode to the same data however they are cut; `cuts` says how.
///
/// # Panics
/// If that doesn't hold.
pub fn check_chunks(bytes: &[u8], cuts: &[u8]) {
    let whole = decode(bytes, &[]);
    assert_eq!(decode(bytes, cuts), whole);
}

fn decode(bytes: &[u8], cuts: &[u8]) -> Option<(Vec<u8>, Option<usize>, Vec<u8>)> {
    let mut decoder = ChunkDecoder::default();
    let mut cuts = cuts.iter().map(|&cut| usize::from(cut) + 1);
    let (mut data, mut used, mut here) = (Vec::new(), 0, 0);
    loop {
        let (count, event) = decoder.decode(&bytes[used..here]).ok()?;
        let is_end = match event {
            ChunkEvent::Data(range) => {
                data.extend_from_slice(&bytes[used + range.start..used + range.end]);
                false
            }
            ChunkEvent::End => true,
            ChunkEvent::More if here == bytes.len() => return Some((data, None, decoder.trailers().to_vec())),
            ChunkEvent::More => {
                here = cuts.next().map_or(bytes.len(), |cut| (here + cut).min(bytes.len()));
                false
            }
        };
        used += count;
        if is_end {
            return Some((data, Some(used), decoder.trailers().to_vec()));
        }
    }
}

/// Whatever a client says, an access record is one line of fifteen fields.
///
/// # Panics
/// If that doesn't hold.
pub fn check_record([method, host, target, user_agent]: [&[u8]; 4]) {
    let record = Record {
        received_us: 1_400_000_000_000_000,
        client: SocketAddr::new(FORWARDED.client, 4321),
        target: None,
        request_processing: Some(Duration::from_micros(5)),
        backend_processing: None,
        response_processing: None,
        elb_status: Some(400),
        backend_status: None,
        received_bytes: 0,
        sent_bytes: 0,
        request: Some(RequestLine { method, scheme: "http", host, port: 80, target, version: "HTTP/1.1" }),
        user_agent: Some(user_agent),
        tls: None,
    };
    let line = access_record::line("front", &record);
    let line = line.strip_suffix(b"\n").unwrap_or_else(|| panic!("no line feed"));
    assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
    // Quotes that stand behind no backslash are the four of the two quoted fields.
    let (mut quotes, mut is_escaped, mut spaces) = (0, false, 0);
    for &byte in line {
        match byte {
            b'"' if !is_escaped => quotes += 1,
            b' ' if quotes % 2 == 0 => spaces += 1,
            _ => {}
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    assert_eq!((quotes, spaces), (4, 14));
}
