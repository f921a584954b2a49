//! TLS on both sides: handshakes, what is negotiated, and the stream that follows.
//!
//! Invariants:
//! - TLS 1.2 and 1.3 only, with AEAD suites and ephemeral keys only; no renegotiation, no early data.
//! - The same certificate and policy give the same configuration, so sessions stay resumable when something else
//!   changes; a new certificate is for new connections.
//! - A handshake has a deadline.

mod configs;
mod der;
mod session;
mod stream;
mod suites;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use tokio::net::TcpStream;

pub use configs::{CertificateError, check_certificate};
pub(crate) use configs::{Configs, TlsConfigError};
pub(crate) use stream::TlsStream;
pub use suites::suite_is_supported;

use crate::access_record::TlsInfo;
use crate::stream::Stream;
use session::Session;

/// Makes the accepted connection one within TLS. Takes long enough that the future is worth boxing.
pub(crate) async fn accept(
    tcp: TcpStream,
    config: Arc<rustls::ServerConfig>,
    timeout: Duration,
) -> io::Result<(Stream, TlsInfo)> {
    let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
    let stream = handshake(TlsStream::new(tcp, Session::Server(session)), timeout).await?;
    let info = stream.info();
    Ok((Stream::Tls(stream), info))
}

/// Makes the connection to a target one within TLS. Targets are known by address, so no name is sent.
pub(crate) async fn connect(
    tcp: TcpStream,
    config: Arc<rustls::ClientConfig>,
    timeout: Duration,
) -> io::Result<Stream> {
    let name = ServerName::IpAddress(tcp.peer_addr()?.ip().into());
    let session = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
    Ok(Stream::Tls(handshake(TlsStream::new(tcp, Session::Client(session)), timeout).await?))
}

async fn handshake(stream: TlsStream, timeout: Duration) -> io::Result<Box<TlsStream>> {
    let mut stream = Box::new(stream);
    match tokio::time::timeout(timeout, std::future::poll_fn(|cx| stream.poll_handshake(cx))).await {
        Ok(done) => done.map(|()| stream),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")),
    }
}
