//! Connections to targets, kept open between requests: one pool a worker, the connection used last taken first.
//!
//! Invariants:
//! - A connection in the pool has answered its last request in full, and nothing was read beyond it.
//! - One that became readable while idle (closed, or speaking out of turn) is never handed out; finding that out costs
//!   no system call.
//! - At most `per_target_max` idle connections a target, port and way to speak; none older than its idle timeout.
//! - [`TargetState::connections`] counts every connection from connect to close, idle ones too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
#[cfg(test)]
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use crate::config::Limits;
use crate::deadline::Tick;
use crate::egress::Destination;
use crate::state::{Route, TargetState};
use crate::stream::Stream;

/// A connection to a target.
pub(crate) struct BackendConnection {
    pub(crate) stream: Stream,
    /// It has answered a request before, so the target may have closed it meanwhile.
    pub(crate) reused: bool,
    key: Key,
    target: Arc<TargetState>,
    /// Keeps the key's address from being given to another configuration.
    _client_tls: Option<Arc<rustls::ClientConfig>>,
}

impl Drop for BackendConnection {
    fn drop(&mut self) {
        self.target.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What makes two connections interchangeable: the target, its port, and what was verified of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    target: usize,
    client_tls: usize,
    port: u16,
}

impl Key {
    fn of(route: &Route, target: &Arc<TargetState>) -> Self {
        Self {
            target: Arc::as_ptr(target).addr(),
            client_tls: route.client_tls.as_ref().map_or(0, |config| Arc::as_ptr(config).addr()),
            port: route.listener.backend.port,
        }
    }
}

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.target ^ self.client_tls.rotate_left(20) ^ (usize::from(self.port) << 48));
    }
}

/// Keys are addresses of our own objects: nobody outside chooses them, so one multiplication will do.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    fn write_usize(&mut self, value: usize) {
        let mixed = (self.0 ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

struct Idle {
    connection: BackendConnection,
    until: Tick,
}

/// One worker's idle connections.
pub(crate) struct Pools {
    idle: RefCell<HashMap<Key, Vec<Idle>, BuildHasherDefault<AddressHasher>>>,
    per_target_max: usize,
    connections_max: usize,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    #[cfg(test)]
    pub(crate) connector: RefCell<Option<TestConnector>>,
}

/// Stands in for the network.
#[cfg(test)]
pub(crate) type TestConnector = Box<dyn FnMut(SocketAddr) -> io::Result<tokio::io::DuplexStream>>;

impl Pools {
    /// An empty pool.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            idle: RefCell::default(),
            per_target_max: limits.pooled_connections_max,
            connections_max: limits.target_connections_max,
            connect_timeout: limits.connect_timeout,
            handshake_timeout: limits.handshake_timeout,
            #[cfg(test)]
            connector: RefCell::default(),
        }
    }

    /// An idle connection to `target`, if there is one that is still good.
    pub(crate) fn take(
        &self,
        route: &Route,
        target: &Arc<TargetState>,
        cx: &mut Context<'_>,
    ) -> Option<BackendConnection> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&Key::of(route, target))?;
        while let Some(mut idle) = connections.pop() {
            if is_quiet(&mut idle.connection.stream, cx) {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Opens a connection to `target`, with TLS where the route says so.
    ///
    /// # Errors
    /// Refused, unreachable, or neither connected nor shaken hands in time.
    pub(crate) async fn connect(&self, route: &Route, target: &Arc<TargetState>) -> io::Result<BackendConnection> {
        // Counted before it is there, so that many at once stay below the bound together.
        target.connections.fetch_add(1, Ordering::Relaxed);
        let counted = Uncount(target);
        let stream = self.open(target.destination(&route.listener)).await?;
        let stream = match (&route.client_tls, stream) {
            (Some(config), Stream::Plain(tcp)) => {
                crate::tls::connect(tcp, config.clone(), self.handshake_timeout).await?
            }
            (_, stream) => stream,
        };
        std::mem::forget(counted);
        Ok(BackendConnection {
            stream,
            reused: false,
            key: Key::of(route, target),
            target: target.clone(),
            _client_tls: route.client_tls.clone(),
        })
    }

    async fn open(&self, destination: Destination) -> io::Result<Stream> {
        #[cfg(test)]
        if let Some(connector) = self.connector.borrow_mut().as_mut() {
            return connector(destination.address).map(Stream::Duplex);
        }
        let tcp = tokio::time::timeout(self.connect_timeout, destination.connect())
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        tcp.set_nodelay(true)?;
        Ok(Stream::Plain(tcp))
    }

    /// Keeps a connection that has answered in full, until `until`.
    pub(crate) fn put(&self, mut connection: BackendConnection, until: Tick) {
        // Idle connections must not stand in the way of busy ones elsewhere.
        let crowded = connection.target.connections.load(Ordering::Relaxed) as usize > self.connections_max;
        if crowded {
            return;
        }
        connection.reused = true;
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(connection.key).or_default();
        if connections.len() < self.per_target_max {
            connections.push(Idle { connection, until });
        }
    }

    /// Closes what has been idle too long, was closed by the target, or leads to one that was cut off.
    pub(crate) fn sweep(&self, now: Tick) {
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain_mut(|idle| {
                idle.until > now
                    && !idle.connection.target.cut.is_cancelled()
                    && is_quiet(&mut idle.connection.stream, &mut cx)
            });
            !connections.is_empty()
        });
    }

    /// How many connections are idle.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }
}

/// Gives back the count of a connection that did not come about.
struct Uncount<'a>(&'a TargetState);

impl Drop for Uncount<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether nothing is to be read: tokio knows from the last event, so this asks the kernel only if there was one.
fn is_quiet(stream: &mut Stream, cx: &mut Context<'_>) -> bool {
    let mut byte = [0];
    matches!(Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut byte)), Poll::Pending)
}
