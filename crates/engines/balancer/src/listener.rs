//! Listening sockets: binding them, and accepting from them.
//!
//! Invariants:
//! - An address is listened on by one socket a worker (`SO_REUSEPORT`); what all of them serve is one [`Door`].
//! - Binding and listening are two steps: a bound socket reserves its address and takes no connection.
//! - No more than `Limits::connections_max` connections are accepted at a time, over all workers; the others wait in the
//!   kernel's backlog. Out of file descriptors, accepting backs off and goes on.
//! - Whoever may not connect is never read from.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::bind_error::{BindError, BindFailure};
use crate::config::Frontend;
use crate::state::{NodeState, Route, Slot};
use crate::stream::Stream;
use crate::worker::Worker;
use crate::{access, proxy, tcp, tls};

/// Connections that the kernel keeps for one socket until they are accepted; it takes the smaller of this and
/// net.core.somaxconn.
const BACKLOG: i32 = 4096;
/// How long accepting rests when there are no file descriptors or no memory left.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A socket that listens; shared by the worker that accepts from it and by those who hand it over.
pub(crate) type Listening = Arc<TcpListener>;

/// What the sockets of one address serve.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    slot: ArcSwap<Slot>,
}

impl Door {
    pub(crate) fn new(address: SocketAddr, slot: Arc<Slot>) -> Self {
        Self { address, slot: ArcSwap::new(slot) }
    }

    /// What connections accepted from now on are served by.
    pub(crate) fn slot(&self) -> Arc<Slot> {
        self.slot.load_full()
    }

    /// Gives new connections another slot, because the address went to another load balancer or speaks another
    /// protocol; returns the old one, which connections that are open go on reading.
    pub(crate) fn replace(&self, slot: Arc<Slot>) -> Arc<Slot> {
        self.slot.swap(slot)
    }
}

/// Binds `sockets` sockets to the address; none listens yet.
///
/// # Errors
/// What the kernel says, and what to do about it.
pub(crate) fn bind(address: SocketAddr, sockets: usize) -> Result<Vec<Socket>, BindError> {
    let failed = |error: io::Error| BindError { address, failure: BindFailure::from(&error) };
    // Without SO_REUSEPORT this one fails where anybody listens, while the real ones would silently share the port with
    // another process of the same user. Connections in TIME_WAIT do not count.
    let probe = open(address).map_err(failed)?;
    probe.set_reuse_address(true).map_err(failed)?;
    probe.bind(&address.into()).map_err(failed)?;
    drop(probe);
    (0..sockets).map(|_| bind_beside(address)).collect::<io::Result<_>>().map_err(failed)
}

/// Binds one more socket to an address that nobody else has.
pub(crate) fn bind_beside(address: SocketAddr) -> io::Result<Socket> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    // SO_REUSEADDR would let others bind, and then listen, before we do. It is needed only where another server's
    // connections are in TIME_WAIT still (our own have SO_REUSEPORT). `listen` sets it.
    if let Err(error) = socket.bind(&address.into()) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
    }
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Lets a bound socket take connections.
pub(crate) fn listen(socket: Socket) -> io::Result<Listening> {
    // Accepted sockets inherit it from the listening one: no system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    // Theirs too: connections that we closed first are in TIME_WAIT for a minute, and the next process's probe must get
    // past them. Now that we listen, it lets nobody else bind.
    socket.set_reuse_address(true)?;
    Ok(Arc::new(socket.into()))
}

/// Takes over a socket that another process listened on.
pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Listening> {
    let socket = Socket::from(fd);
    socket.set_nonblocking(true)?;
    listen(socket)
}

/// Makes the kernel drop new connections' first packets, so that the backlog can be emptied before the socket goes:
/// closing it resets what waits there. Whoever is turned away tries again after a second and is then refused.
pub(crate) fn stop_handshakes(listening: &TcpListener) {
    const LOAD_FLAGS: SockFilter = SockFilter::new(0x30, 0, 0, 13); // A = byte 13 of the TCP header
    const SYN_AND_ACK: SockFilter = SockFilter::new(0x54, 0, 0, 0x12); // A &= SYN | ACK
    const IS_SYN_ALONE: SockFilter = SockFilter::new(0x15, 0, 1, 0x02);
    const DROP: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    const KEEP: SockFilter = SockFilter::new(0x06, 0, 0, u32::MAX);
    let filter = [LOAD_FLAGS, SYN_AND_ACK, IS_SYN_ALONE, DROP, KEEP];
    if let Err(error) = SockRef::from(listening).attach_filter(&filter) {
        tracing::debug!(%error, "a listener closes without a packet filter");
    }
}

/// Accepts until `stop` is cancelled; then once more what is in the backlog, unless it is another process' by now.
pub(crate) async fn accept_loop(worker: Rc<Worker>, door: Arc<Door>, listening: Listening, stop: CancellationToken) {
    let Some(listener) = register(&worker, &door, &listening, &stop).await else { return };
    loop {
        let paused = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            paused = poll_fn(|cx| poll_accept(&worker, &door, &listener, cx)) => paused,
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = wait_out(&worker, paused) => {}
        }
    }
    if !worker.shared.handed_over.load(Ordering::SeqCst) {
        accept_backlog(&worker, &door, &listening);
    }
}

/// A duplicate of the socket that tokio waits for. Tried until it can be had: the kernel sends the socket its share of the
/// connections, and another socket cannot accept them. `None` once it is to stop.
async fn register(
    worker: &Worker,
    door: &Door,
    listening: &Listening,
    stop: &CancellationToken,
) -> Option<tokio::net::TcpListener> {
    loop {
        match listening.try_clone().and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => return Some(listener),
            Err(error) if is_exhausted(&error) => worker.shared.accept_exhausted(door.address),
            Err(error) => tracing::error!(address = %door.address, %error, "cannot wait for connections"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(BACK_OFF) => {}
        }
    }
}

/// Why accepting pauses.
enum Paused {
    /// As many connections are open as there may be.
    Full,
    /// The process or the machine has no room for another connection.
    Exhausted,
}

async fn wait_out(worker: &Worker, paused: Paused) {
    match paused {
        Paused::Full => worker.shared.seat_free().await,
        Paused::Exhausted => tokio::time::sleep(BACK_OFF).await,
    }
}

/// Accepts all that there are, as far as tokio lets one task go on. No seat is held while nobody comes.
fn poll_accept(
    worker: &Rc<Worker>,
    door: &Door,
    listener: &tokio::net::TcpListener,
    cx: &mut Context<'_>,
) -> Poll<Paused> {
    loop {
        let Some(seat) = Seat::take(worker) else { return Poll::Ready(Paused::Full) };
        match ready!(listener.poll_accept(cx)) {
            Ok((stream, peer)) => admit(worker, door, seat, stream, peer),
            Err(error) if is_exhausted(&error) => {
                worker.shared.accept_exhausted(door.address);
                return Poll::Ready(Paused::Exhausted);
            }
            // The client went away before it was its turn (ECONNABORTED), or the network has an error for it that
            // accept(2) passes on.
            Err(error) => tracing::debug!(address = %door.address, %error, "a connection was not accepted"),
        }
    }
}

/// Accepts what the kernel has, whether its readiness has reached tokio or not.
fn accept_backlog(worker: &Rc<Worker>, door: &Door, listening: &TcpListener) {
    while let Some(seat) = Seat::take(worker) {
        match rustix::net::acceptfrom_with(listening, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                if let (Some(peer), Ok(stream)) = (peer, TcpStream::from_std(socket.into())) {
                    admit(worker, door, seat, stream, peer);
                }
            }
            Err(Errno::CONNABORTED | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Serves a connection that was accepted elsewhere, as if `client` had connected to the door. With no seat free, or on a
/// socket that cannot be had, it is closed.
pub(crate) fn deliver(worker: &Rc<Worker>, door: &Door, stream: std::net::TcpStream, client: SocketAddr) {
    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
    if let (Some(seat), Ok(stream)) = (Seat::take(worker), stream) {
        admit(worker, door, seat, stream, client);
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Starts serving an accepted connection, if the client may connect.
fn admit(worker: &Rc<Worker>, door: &Door, mut seat: Seat, stream: TcpStream, peer: SocketAddr) {
    let slot = door.slot();
    let kind = {
        let route = slot.peek();
        let Some(route) = route.as_deref() else { return };
        // An IPv4 client of a socket that speaks both families.
        let client = peer.ip().to_canonical();
        if !access::allows(&route.load_balancer.access, client, route.listener.port) {
            worker.shared.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        seat.sit_at(&route.node);
        Kind::of(route)
    };
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let local = local_address(door, &stream);
    match kind {
        // Spawned as it is: what else a task holds, each idle connection would hold.
        Kind::Http(None) => {
            let stream = Stream::Plain(stream);
            tokio::task::spawn_local(proxy::serve(Rc::clone(worker), slot, seat, stream, (peer, local), None));
        }
        kind => {
            tokio::task::spawn_local(connection(Rc::clone(worker), seat, slot, kind, stream, peer, local));
        }
    }
}

/// Asks the kernel only where the listener's address does not say it.
fn local_address(door: &Door, stream: &TcpStream) -> SocketAddr {
    if !door.address.ip().is_unspecified() {
        return door.address;
    }
    match stream.local_addr() {
        Ok(local) => SocketAddr::new(local.ip().to_canonical(), local.port()),
        Err(_) => door.address,
    }
}

/// How a connection begins, as its route says when it is accepted.
enum Kind {
    Http(Option<Arc<rustls::ServerConfig>>),
    Tcp(Option<Arc<rustls::ServerConfig>>),
    /// The route ought to have a TLS configuration and has none.
    Broken,
}

impl Kind {
    fn of(route: &Route) -> Self {
        match (&route.listener.frontend, &route.server_tls) {
            (Frontend::Http, _) => Self::Http(None),
            (Frontend::Tcp, _) => Self::Tcp(None),
            (Frontend::Https(_), Some(tls)) => Self::Http(Some(Arc::clone(tls))),
            (Frontend::Ssl(_), Some(tls)) => Self::Tcp(Some(Arc::clone(tls))),
            (Frontend::Https(_) | Frontend::Ssl(_), None) => Self::Broken,
        }
    }
}

/// A connection from its acceptance to its end.
async fn connection(
    worker: Rc<Worker>,
    seat: Seat,
    slot: Arc<Slot>,
    kind: Kind,
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
) {
    let (server_tls, http) = match kind {
        Kind::Http(tls) => (tls, true),
        Kind::Tcp(tls) => (tls, false),
        Kind::Broken => return,
    };
    let (stream, tls) = match server_tls {
        None => (Stream::Plain(stream), None),
        Some(config) => {
            // Boxed: the handshake's state is large, and would else stay in the connection's task for all its life.
            let handshake = Box::pin(tls::accept(stream, config, worker.shared.limits.handshake_timeout));
            match handshake.await {
                Ok((stream, tls)) => (stream, Some(tls)),
                Err(error) => return tracing::debug!(client = %peer, %error, "a TLS handshake failed"),
            }
        }
    };
    // The seat lives as long as the connection; it says in its drop when a panic ended it.
    if http {
        // A task of its own, so that nothing of this one stays while the connection idles.
        tokio::task::spawn_local(proxy::serve(worker, slot, seat, stream, (peer, local), tls));
    } else {
        let _seat = seat;
        tcp::serve(worker, slot, stream, peer, local, tls).await;
    }
}

/// A connection's place under `Limits::connections_max`, given back when dropped.
pub(crate) struct Seat {
    worker: Rc<Worker>,
    node: Option<Arc<NodeState>>,
}

impl Seat {
    /// `None`: all are taken.
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        worker.shared.take_seat().then(|| Self { worker: Rc::clone(worker), node: None })
    }

    fn sit_at(&mut self, node: &Arc<NodeState>) {
        node.metrics.new_connections.fetch_add(1, Ordering::Relaxed);
        node.metrics.active_connections.fetch_add(1, Ordering::Relaxed);
        self.node = Some(Arc::clone(node));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.metrics.active_connections.fetch_sub(1, Ordering::Relaxed);
        }
        // tokio ends the task that panics and nothing else; the hook has printed where.
        if std::thread::panicking() {
            self.worker.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a connection ended by a panic");
        }
        self.worker.shared.give_seat_back();
    }
}

#[cfg(test)]
mod tests;
