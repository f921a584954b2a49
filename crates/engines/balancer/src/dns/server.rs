//! The sockets: datagrams and TCP connections.
//!
//! Invariants:
//! - Whatever happens with one request, the next is answered.
//! - At most [`CONNECTIONS_MAX`] TCP connections, none for longer than [`CONNECTION_LIFETIME`].
//! - A datagram's answer that the system cannot take at once is dropped: its asker asks again.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::DnsOptions;
use super::answer::{self, Transport};
use super::table::Table;
use crate::health::Watched;
use crate::worker::Shared;

/// Longer requests are not asked by anybody in good faith.
const REQUEST_BYTES_MAX: usize = 4096;
const CONNECTIONS_MAX: usize = 128;
/// TCP connections of all kinds end then.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(20);
/// How long a connection may be idle.
const CONNECTION_IDLE: Duration = Duration::from_secs(5);
const BACKLOG: i32 = 128;
/// How often another port is tried, where any will do, because TCP's of that number is taken.
const ANY_PORT_TRIES: usize = 16;
/// After a socket's error, so that one that persists does not keep a core busy.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers for load balancers' names as long as it lives.
pub(crate) struct Server {
    state: Arc<State>,
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    tasks: Vec<AbortHandle>,
}

struct State {
    table: ArcSwap<Table>,
    /// Cancelled once there is a table worth answering from: until then requests wait in the sockets. To say that there
    /// is no such name, just because nobody has told us of it yet, would be believed.
    published: CancellationToken,
    /// Rolls the dice, for all sockets.
    dice: AtomicU64,
    connections: Arc<Semaphore>,
}

/// Binds all addresses; answers begin with the first [`Server::publish`]. `takes_over`: another process may still answer at
/// the same addresses, and ends soon.
///
/// # Errors
/// An address cannot be had, or the zone is no name.
pub(crate) fn start(
    runtime: &Handle,
    options: &DnsOptions,
    shared: Arc<Shared>,
    takes_over: bool,
) -> io::Result<Server> {
    let _runtime = runtime.enter();
    let mut sockets = Vec::with_capacity(options.listen.len());
    for &address in &options.listen {
        let bound = bind(address, takes_over);
        sockets.push(
            bound.map_err(|error| io::Error::new(error.kind(), format!("cannot answer DNS at {address}: {error}")))?,
        );
    }
    let addresses = sockets.iter().map(|(udp, _)| udp.local_addr()).collect::<io::Result<Vec<_>>>()?;
    let table = Table::empty(&options.zone, &addresses).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the DNS zone {:?} is no domain name", options.zone))
    })?;
    let state = Arc::new(State {
        table: ArcSwap::from_pointee(table),
        published: CancellationToken::new(),
        dice: AtomicU64::new(shared.ids.u64()),
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    });
    let mut tasks = Vec::with_capacity(2 * sockets.len());
    for (udp, tcp) in sockets {
        tasks.push(tokio::spawn(Arc::clone(&state).serve_udp(udp)).abort_handle());
        tasks.push(tokio::spawn(Arc::clone(&state).serve_tcp(tcp)).abort_handle());
    }
    Ok(Server { state, shared, addresses, tasks })
}

impl Server {
    /// Answers for these load balancers from now on.
    pub(crate) fn publish(&self, watched: &[Watched]) {
        let seconds = u32::try_from(self.shared.clock.now().as_secs()).unwrap_or(u32::MAX);
        let next = self.state.table.load().with(watched, seconds);
        self.state.table.store(Arc::new(next));
        self.state.published.cancel();
    }

    /// Where it answers.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl State {
    async fn serve_udp(self: Arc<Self>, socket: UdpSocket) {
        self.published.cancelled().await;
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        loop {
            let (length, asker) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "DNS: receiving failed");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Nobody can be answered there.
            if asker.port() == 0 {
                continue;
            }
            if let Some(answer) = self.answer(&buffer[..length], Transport::Udp)
                && let Err(error) = socket.try_send_to(&answer, asker)
            {
                tracing::debug!(%error, %asker, "DNS: answering failed");
            }
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        self.published.cancelled().await;
        loop {
            // Never closed. Who comes while all are taken waits in the backlog.
            let Ok(seat) = Arc::clone(&self.connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((tcp, _)) => {
                    let state = Arc::clone(&self);
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(CONNECTION_LIFETIME, state.serve_connection(tcp)).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "DNS: accepting failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Answers requests of a connection one after the other (RFC 7766) until its peer ends it or is idle.
    async fn serve_connection(&self, mut tcp: TcpStream) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let length = usize::from(tokio::time::timeout(CONNECTION_IDLE, tcp.read_u16()).await??);
            if length > REQUEST_BYTES_MAX {
                return Ok(());
            }
            buffer.resize(length, 0);
            tokio::time::timeout(CONNECTION_IDLE, tcp.read_exact(&mut buffer)).await??;
            let Some(answer) = self.answer(&buffer, Transport::Tcp) else { return Ok(()) };
            let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
            let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
            tokio::time::timeout(CONNECTION_IDLE, tcp.write_all(&framed)).await??;
        }
    }

    fn answer(&self, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let mut dice = || roll(&self.dice);
        let table = self.table.load();
        // A defect in reading one request must not cost the others their server.
        let answer = catch_unwind(AssertUnwindSafe(|| answer::answer(&table, request, transport, &mut dice)));
        answer.unwrap_or_else(|_| {
            tracing::error!(request = %request.escape_ascii(), "DNS: a request caused a panic");
            None
        })
    }
}

/// SplitMix64: good enough to spread load.
fn roll(dice: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut number = dice.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn bind(address: SocketAddr, takes_over: bool) -> io::Result<(UdpSocket, TcpListener)> {
    let mut bound = try_bind(address, takes_over);
    for _ in 0..ANY_PORT_TRIES {
        match &bound {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 => {}
            _ => break,
        }
        bound = try_bind(address, takes_over);
    }
    bound
}

fn try_bind(address: SocketAddr, takes_over: bool) -> io::Result<(UdpSocket, TcpListener)> {
    if !takes_over {
        // The sockets below may share their port, so that the next process can take over. That must not let two servers
        // that know nothing of each other answer in turns: this one binds only where nobody is.
        drop(socket(address, Type::DGRAM, Protocol::UDP, false)?);
    }
    let udp = socket(address, Type::DGRAM, Protocol::UDP, true)?;
    // Port 0 asks for any port, but TCP must have the same.
    let bound = udp.local_addr()?.as_socket().unwrap_or(address);
    let tcp = socket(bound, Type::STREAM, Protocol::TCP, true)?;
    tcp.listen(BACKLOG)?;
    Ok((UdpSocket::from_std(udp.into())?, TcpListener::from_std(tcp.into())?))
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections that a server before us has closed do not keep the port.
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
