//! A very small HTTP/1.1 client, so that `exec` and `demo` need no other program: one request a connection, blocking.
//!
//! Invariant: an answer is read to its announced end, and no more than [`ANSWER_BYTES_MAX`] of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use http::Request;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use wire::signature::{AmzDate, sha256_hex};
use wire::sigv4::{Signer, sign};

/// Longer answers are cut off.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Above SQS's longest poll.
const READ_TIMEOUT: Duration = Duration::from_secs(40);

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status line and the headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The address behind `http://HOST:PORT`; `None` for a URL of another shape.
pub(super) fn address_of(endpoint: &str) -> Option<SocketAddr> {
    let authority = endpoint.strip_prefix("http://")?.split('/').next()?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    authority.to_socket_addrs().ok()?.next()
}

/// Sends one request, with its Host header as given, and reads the answer.
pub(super) fn send(address: SocketAddr, mut request: Request<Vec<u8>>) -> io::Result<Answer> {
    let length = request.body().len();
    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut bytes = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(request.body());
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.write_all(&bytes)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))
}

/// Whom local mode lets in.
pub(super) const ANYBODY: (&str, &str) = ("test", "test");

/// Signs and sends one request with an access key, by its id and secret.
pub(super) fn send_signed(
    address: SocketAddr,
    (access_key_id, secret_access_key): (&str, &str),
    service: &str,
    region: &str,
    now: host::Timestamp,
    request: Request<Vec<u8>>,
) -> anyhow::Result<Answer> {
    let (mut parts, body) = request.into_parts();
    let signer = Signer { access_key_id, secret_access_key, region, service };
    let date = AmzDate::from_unix(now.as_secs()).ok_or_else(|| anyhow::anyhow!("the clock is beyond the year 9999"))?;
    let hash = sha256_hex(&body);
    sign(&signer, &mut parts, &String::from_utf8_lossy(&hash), &date)?;
    Ok(send(address, Request::from_parts(parts, body))?)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &answer[end + 4..];
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { dechunk(rest)? } else { rest.to_vec() };
    Some(Answer { status, head: head.to_owned(), body })
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let whole = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        assert_eq!((whole.status, whole.text().as_str()), (200, "hi"));
        let chunked =
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let chunked = parse(chunked).unwrap();
        assert_eq!((chunked.status, chunked.text().as_str()), (404, "abcde"));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab").is_none(), "cut off");
    }

    #[test]
    fn an_endpoint_names_an_address() {
        assert_eq!(address_of("http://127.0.0.1:4566").unwrap(), "127.0.0.1:4566".parse().unwrap());
        assert_eq!(address_of("http://[::1]:4566/").unwrap(), "[::1]:4566".parse().unwrap());
        assert_eq!(address_of("http://127.0.0.1").unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(address_of("https://127.0.0.1:4566"), None);
    }
}
