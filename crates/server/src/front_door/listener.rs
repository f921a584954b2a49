//! Sockets: binding, accepting, and one task a connection.
//!
//! Invariants:
//! - At most `limits.connections_max` connections are open; further ones wait in the kernel's queue.
//! - A request costs no task and no timer of its own.
//! - A client that is refused while it still sends gets to read why: its connection is not reset under it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use balancer::ListeningSocket;
use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::FrontDoor;
use super::connection::{Connection, Open, Order};
use super::stream::{ClientStream, Serves};
use crate::config::Limits;

/// Connections that the kernel keeps ready while we accept others.
const BACKLOG: u32 = 4096;

/// Binds every address, or takes the socket that another process listened on there; the second value has the ports that
/// the system chose. What is left of the inherited is for others.
pub fn bind(
    addresses: &[SocketAddr],
    inherited: &mut Vec<ListeningSocket>,
) -> anyhow::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        // Port 0 asks for any, and so for the one that the process before got.
        let is_same = |socket: &ListeningSocket| {
            socket.address.ip() == address.ip() && (address.port() == 0 || socket.address.port() == address.port())
        };
        let listener = match inherited.iter().position(is_same) {
            Some(index) => adopt(inherited.remove(index)),
            None => bind_one(*address),
        };
        let listener = listener.map_err(|error| anyhow::anyhow!("{}", refused(*address, &error)))?;
        bound.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

fn adopt(socket: ListeningSocket) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket.fd);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn refused(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, perhaps another Millpond, listens there; stop it or choose another with --listen"
        }
        io::ErrorKind::PermissionDenied => "run with CAP_NET_BIND_SERVICE or choose a port above 1023 with --listen",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; choose another with --listen",
        _ => "choose another address with --listen",
    };
    format!("cannot listen on {address}: {error}; {advice}")
}

/// Accepts connections until the future is dropped; those accepted live on.
pub async fn accept(listener: TcpListener, serves: Serves, front_door: Arc<FrontDoor>, slots: Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                front_door.metrics.accepted.fetch_add(1, Relaxed);
                let open = front_door.connections.open();
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                // Answers are small; waiting for more would only add latency.
                let _ = stream.set_nodelay(true);
                let stream = ClientStream::new(stream, serves, front_door.tls.acceptor.clone());
                tokio::spawn(serve(stream, peer, front_door.clone(), open, slot));
            }
            Err(error) => {
                // Out of descriptors or the like: trying again at once would only burn CPU.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes_max)
        // Headers stay in this buffer until they are complete; beyond that, it bounds one read.
        .max_buf_size(limits.header_bytes_max.max(256 * 1024));
    // Not `pipeline_flush`: no SDK pipelines, and with it hyper never sends its answer to a head that it cannot parse.
    builder
}

async fn serve(
    stream: ClientStream,
    peer: SocketAddr,
    front_door: Arc<FrontDoor>,
    open: Open,
    _slot: OwnedSemaphorePermit,
) {
    let connection = open.connection.clone();
    let io = TokioIo::new(Watched { stream, connection: connection.clone(), ending: Ending::Open });
    let builder = builder(&front_door.limits);
    let service = service_fn(|request| front_door.serve(request, peer, connection.clone()).map(Ok::<_, Infallible>));
    let mut http = pin!(builder.serve_connection(io, service));
    let mut is_draining = false;
    let result = poll_fn(|cx| {
        connection.register(cx.waker());
        match connection.order() {
            Order::Close => return Poll::Ready(Ok(())),
            Order::Drain if !is_draining => {
                is_draining = true;
                http.as_mut().graceful_shutdown();
            }
            Order::Drain | Order::Serve => {}
        }
        http.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = result {
        debug!(%peer, %error, "connection ended");
    }
}

/// A socket that tells its connection when bytes move.
struct Watched {
    stream: ClientStream,
    connection: Arc<Connection>,
    ending: Ending,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    /// We have ended our side, and swallow what the client still sends; so many bytes at most. To close now would make
    /// the kernel throw away an answer that the client has not read yet.
    Lingering(usize),
    Closed,
}

/// What a client may go on to send after it was refused.
const LINGER_BYTES_MAX: usize = 64 << 20;

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            if self.stream.is_tls() {
                self.connection.is_tls();
            }
            self.connection.has_read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending == Ending::Open {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            let lingers = self.connection.begins_to_linger();
            self.ending = if lingers { Ending::Lingering(LINGER_BYTES_MAX) } else { Ending::Closed };
        }
        let mut scratch = [MaybeUninit::uninit(); 16 * 1024];
        while let Ending::Lingering(left) = self.ending {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            // An error ends it as well as the client does.
            let read =
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_or(0, |()| buffer.filled().len());
            self.ending = if read == 0 || read >= left { Ending::Closed } else { Ending::Lingering(left - read) };
        }
        Poll::Ready(Ok(()))
    }
}

impl Watched {
    fn note_write(&self, polled: &Poll<io::Result<usize>>) {
        if matches!(polled, Poll::Ready(Ok(count)) if *count > 0) {
            self.connection.has_written();
        }
    }
}
