//! What a client's bytes come over: TCP as it is, or TLS on it, told apart by the first byte.
//!
//! Invariants:
//! - One port serves both: a TLS record of a handshake begins with 22, which no HTTP method does.
//! - Where only TLS is served, bytes without it never reach a service.
//! - Nothing is read before somebody reads: an idle connection costs no handshake and no buffer.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The content type of TLS's handshake records.
const HANDSHAKE: u8 = 22;

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// HTTP, and HTTPS to those who begin with it.
    Both,
    /// HTTPS only.
    TlsOnly,
}

/// A client's connection.
pub(super) struct ClientStream {
    state: State,
    acceptor: TlsAcceptor,
}

enum State {
    /// Nothing has come yet.
    Undecided(TcpStream),
    // Boxed: a TLS session is large, and most connections have none.
    Handshake(Box<Accept<TcpStream>>),
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake failed, or was given up.
    Gone,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, serves: Serves, acceptor: TlsAcceptor) -> Self {
        let state = match serves {
            Serves::Both => State::Undecided(stream),
            Serves::TlsOnly => State::Handshake(Box::new(acceptor.accept(stream))),
        };
        Self { state, acceptor }
    }

    /// Whether TLS is spoken.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.state, State::Tls(_))
    }

    /// Finds out what is spoken.
    fn poll_decide(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Plain(_) | State::Tls(_) => return Poll::Ready(Ok(())),
                State::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                State::Undecided(stream) => {
                    let mut byte = [MaybeUninit::uninit()];
                    let mut peeked = ReadBuf::uninit(&mut byte);
                    ready!(stream.poll_peek(cx, &mut peeked))?;
                    let is_tls = peeked.filled() == [HANDSHAKE];
                    let State::Undecided(stream) = std::mem::replace(&mut self.state, State::Gone) else { continue };
                    self.state = match is_tls {
                        true => State::Handshake(Box::new(self.acceptor.accept(stream))),
                        false => State::Plain(stream),
                    };
                }
                State::Handshake(accept) => {
                    let accepted = ready!(Pin::new(accept).poll(cx));
                    self.state = State::Gone;
                    self.state = State::Tls(Box::new(accepted?));
                }
            }
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_decide(cx))?;
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            State::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            State::Undecided(_) | State::Handshake(_) | State::Gone => not_connected(),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            State::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            // There is nothing to answer before something was asked.
            State::Undecided(_) | State::Handshake(_) | State::Gone => not_connected(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            State::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            State::Undecided(_) | State::Handshake(_) | State::Gone => not_connected(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // Asked before anything has come; both can.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_flush(cx),
            State::Tls(stream) => Pin::new(stream).poll_flush(cx),
            State::Undecided(_) | State::Handshake(_) | State::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Undecided(stream) | State::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Handshake(_) | State::Gone => {
                self.state = State::Gone;
                Poll::Ready(Ok(()))
            }
        }
    }
}

fn not_connected<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
