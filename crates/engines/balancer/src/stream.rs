//! [`Stream`]: a connection, in the clear or within TLS, as the relays use it.
//!
//! Invariants:
//! - `Plain` adds no system call, copy or allocation to tokio's `TcpStream`.
//! - What `poll_write` took may wait in a TLS stream until `poll_flush`; reading also moves it along, so a relay that
//!   keeps reading never leaves bytes behind.
//! - `poll_shutdown` closes our half only: reading goes on until the peer's end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::TlsStream;

/// A connection to a client or to a target.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    #[cfg(test)]
    Duplex(tokio::io::DuplexStream),
}

impl Stream {
    /// Ready when a read would not wait: bytes, the peer's end or an error are there. Without a system call in the
    /// clear. Within TLS records that carry no bytes (session tickets) are taken on the way and do not count.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_read_ready(cx),
            #[cfg(test)]
            Self::Duplex(_) => Poll::Ready(Ok(())),
        }
    }

    /// The socket, where bytes travel on it as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            _ => None,
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
            #[cfg(test)]
            Self::Duplex(duplex) => Pin::new(duplex).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
            #[cfg(test)]
            Self::Duplex(duplex) => Pin::new(duplex).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
            #[cfg(test)]
            Self::Duplex(duplex) => Pin::new(duplex).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // A socket holds nothing back.
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => Pin::new(duplex).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => Pin::new(duplex).poll_shutdown(cx),
        }
    }
}
