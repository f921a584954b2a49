//! One check of one target.
//!
//! Invariants:
//! - It has an outcome within its timeout, whatever the target does.
//! - It holds no more than [`HEAD_BYTES_MAX`] of what the target sends.
//! - HTTP passes with exactly 200 and a body, if there is one, that says itself where it ends.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{HealthCheck, HealthCheckKind};
use crate::egress::Destination;
use crate::stream::Stream;
use crate::tls;

/// Bytes of a response's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 128;

/// Why a check failed, as people are told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("timed out after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("{0}")]
    Connection(String),
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    #[error("got {0}, not 200")]
    Status(u16),
    #[error("the answer is not HTTP")]
    NotHttp,
    #[error("the response's head is longer than {} KB", HEAD_BYTES_MAX >> 10)]
    HeadTooLong,
    #[error("the body has neither a Content-Length nor chunked encoding")]
    NoLength,
    #[error("the connection was closed before the response was complete")]
    CutShort,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let sentence = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset",
            io::ErrorKind::HostUnreachable => "no route to the host",
            io::ErrorKind::NetworkUnreachable => "no route to the network",
            io::ErrorKind::UnexpectedEof => return Self::CutShort,
            _ => return Self::Connection(error.to_string()),
        };
        Self::Connection(sentence.to_owned())
    }
}

/// Checks whether the target passes.
pub(super) async fn probe(
    check: Arc<HealthCheck>,
    destination: impl Into<Destination>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(), Failure> {
    let within = tokio::time::timeout(check.timeout, attempt(&check, destination.into(), tls));
    within.await.unwrap_or(Err(Failure::TimedOut(check.timeout)))
}

async fn attempt(check: &HealthCheck, destination: Destination, tls: Option<Arc<ClientConfig>>) -> Result<(), Failure> {
    let tcp = destination.connect().await?;
    let address = destination.address;
    match &check.kind {
        HealthCheckKind::Tcp => Ok(()),
        HealthCheckKind::Ssl => {
            let mut stream = secured(tcp, tls, check.timeout).await?;
            // Says goodbye, for the target's log; whether that arrives is not what was asked.
            let _ = stream.shutdown().await;
            Ok(())
        }
        HealthCheckKind::Http(path) => get(Stream::Plain(tcp), address, path).await,
        HealthCheckKind::Https(path) => get(secured(tcp, tls, check.timeout).await?, address, path).await,
    }
}

async fn secured(tcp: TcpStream, config: Option<Arc<ClientConfig>>, timeout: Duration) -> Result<Stream, Failure> {
    let config = config.ok_or_else(|| Failure::Tls("this balancer cannot speak TLS".to_owned()))?;
    tls::connect(tcp, config, timeout).await.map_err(|error| Failure::Tls(error.to_string()))
}

async fn get(mut stream: Stream, address: SocketAddr, path: &str) -> Result<(), Failure> {
    stream.write_all(request(address, path).as_bytes()).await?;
    stream.flush().await?;
    let mut buffer = Vec::with_capacity(1024);
    loop {
        match head(&buffer)? {
            // Interim responses (100, 103) come before the one that counts.
            Some(head) if (100..200).contains(&head.status) => drop(buffer.drain(..head.length)),
            Some(head) if head.status != 200 => return Err(Failure::Status(head.status)),
            Some(head) => {
                buffer.drain(..head.length);
                return body(&mut stream, buffer, head.body).await;
            }
            None if buffer.len() >= HEAD_BYTES_MAX => return Err(Failure::HeadTooLong),
            None => {
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Err(Failure::CutShort);
                }
            }
        }
    }
}

fn request(address: SocketAddr, path: &str) -> String {
    let mut request = String::from("GET ");
    for character in path.chars() {
        // The path was checked when it was configured; here it only must not break the request.
        if character.is_ascii_graphic() {
            request.push(character);
        } else {
            let mut utf8 = [0; 4];
            for byte in character.encode_utf8(&mut utf8).bytes() {
                let _ = write!(request, "%{byte:02X}");
            }
        }
    }
    let _ = write!(
        request,
        " HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ELB-HealthChecker/1.0\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    request
}

struct Head {
    length: usize,
    status: u16,
    body: Body,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    /// It does not say, so there must be none.
    Close,
}

/// The first head in what was read; `None` if it is not whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Failure::HeadTooLong),
        Err(_) => return Err(Failure::NotHttp),
    };
    let status = response.code.ok_or(Failure::NotHttp)?;
    let mut body = Body::Close;
    for header in response.headers.iter() {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
            // Outdoes a Content-Length (RFC 9112, 6.3).
            body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("content-length") && body != Body::Chunked {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|text| text.parse().ok()).ok_or(Failure::NotHttp)?;
            if matches!(body, Body::Length(before) if before != length) {
                return Err(Failure::NotHttp);
            }
            body = Body::Length(length);
        }
    }
    Ok(Some(Head { length, status, body }))
}

/// Reads a body to its end and forgets it. `buffer` holds what came with the head.
async fn body(stream: &mut Stream, mut buffer: Vec<u8>, body: Body) -> Result<(), Failure> {
    let mut end = match body {
        Body::Length(length) => End::Length(length),
        Body::Chunked => End::Chunked(Chunks::default()),
        Body::Close => End::Close,
    };
    loop {
        if end.reached(&buffer)? {
            return Ok(());
        }
        buffer.clear();
        let read = match stream.read_buf(&mut buffer).await {
            // A TLS peer that just goes away.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if read == 0 {
            return if matches!(end, End::Close) { Ok(()) } else { Err(Failure::CutShort) };
        }
    }
}

enum End {
    Length(u64),
    Chunked(Chunks),
    Close,
}

impl End {
    /// Takes the next bytes; whether the body has ended.
    fn reached(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        match self {
            Self::Length(left) => {
                *left = left.saturating_sub(bytes.len() as u64);
                Ok(*left == 0)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
            Self::Close if bytes.is_empty() => Ok(false),
            Self::Close => Err(Failure::NoLength),
        }
    }
}

/// Finds the end of a chunked body.
#[derive(Default)]
struct Chunks {
    at: At,
    /// What is left of the chunk, or of its size so far.
    left: u64,
    /// Bytes of the line so far.
    line: usize,
    /// The trailer line has something in it.
    in_trailer: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// Between the size and its line's end.
    Extension,
    Data,
    /// The empty line's end behind a chunk.
    DataEnd,
    Trailer,
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            if self.at == At::Data {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                self.left -= skipped as u64;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                rest = &rest[skipped..];
                continue;
            }
            if self.byte(*byte)? {
                return Ok(true);
            }
            rest = tail;
        }
        Ok(false)
    }

    /// Takes a byte that is not data.
    fn byte(&mut self, byte: u8) -> Result<bool, Failure> {
        self.line += 1;
        if self.line > HEAD_BYTES_MAX {
            return Err(Failure::NotHttp);
        }
        match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                self.left =
                    self.left.checked_mul(16).and_then(|size| size.checked_add(digit)).ok_or(Failure::NotHttp)?;
            }
            (At::Size, b';' | b' ' | b'\t' | b'\r') if self.line > 1 => self.at = At::Extension,
            (At::Extension | At::Size, b'\n') if self.line > 1 => {
                self.at = if self.left == 0 { At::Trailer } else { At::Data };
                self.line = 0;
            }
            (At::Extension, _) => {}
            (At::DataEnd, b'\r') if self.line == 1 => {}
            (At::DataEnd, b'\n') => (self.at, self.line) = (At::Size, 0),
            (At::Trailer, b'\n') => return Ok(self.end_of_trailer()),
            (At::Trailer, b'\r') => {}
            (At::Trailer, _) => self.in_trailer = true,
            _ => return Err(Failure::NotHttp),
        }
        Ok(false)
    }

    /// The end of a trailer line; true if it was empty, which ends the body.
    fn end_of_trailer(&mut self) -> bool {
        self.line = 0;
        !std::mem::take(&mut self.in_trailer)
    }
}

#[cfg(test)]
mod tests;
