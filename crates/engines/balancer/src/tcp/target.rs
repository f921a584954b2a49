//! Which target a connection goes to, and the connection to it.
//!
//! Invariants:
//! - Targets in service take turns; one that cannot be connected to is passed over, and not asked twice.
//! - [`TargetState::outstanding`] counts a connection from the moment its target is chosen, and never exceeds
//!   `target_connections_max`.
//! - The PROXY line is the first that a target hears, before any TLS.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::proxy_protocol;
use crate::state::{Route, TargetState};
use crate::stream::Stream;
use crate::surge::{self, Attempt};
use crate::tls;
use crate::worker::Worker;

/// Connections that may be tried for one client's.
const ATTEMPTS_MAX: usize = 3;

/// A target that was connected to.
pub(super) struct Reached {
    pub(super) lease: Lease,
    pub(super) stream: Stream,
    pub(super) connect_time: Duration,
}

/// A connection's place at a target; dropping it makes room for another.
pub(super) struct Lease {
    route: Arc<Route>,
    index: usize,
}

impl Lease {
    /// `None`: another worker was faster than our look.
    fn take(route: &Arc<Route>, index: usize, outstanding_max: usize) -> Option<Self> {
        let before = route.targets[index].outstanding.fetch_add(1, Ordering::SeqCst);
        route.targets[index].connections.fetch_add(1, Ordering::Relaxed);
        let lease = Self { route: Arc::clone(route), index };
        ((before as usize) < outstanding_max).then_some(lease)
    }

    pub(super) fn target(&self) -> &TargetState {
        &self.route.targets[self.index]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target().connections.fetch_sub(1, Ordering::Relaxed);
        self.target().outstanding.fetch_sub(1, Ordering::SeqCst);
        surge::released(&self.route.node);
    }
}

/// Connects to the target whose turn it is, waiting in the surge queue while all are full. `None`: there is none.
pub(super) async fn reach(
    worker: &Rc<Worker>,
    route: &Arc<Route>,
    peer: SocketAddr,
    local: SocketAddr,
) -> Option<Reached> {
    let limits = &worker.shared.limits;
    let deadline = worker.deadlines.register();
    deadline.set(route.load_balancer.idle_timeout);
    let mut tried: Vec<usize> = Vec::new();
    while tried.len() < ATTEMPTS_MAX {
        let attempt = || choose(route, &tried, limits.target_connections_max);
        let lease = surge::take(&route.node, limits.surge_queue_max, attempt, |cx| deadline.is_due(cx)).await.ok()?;
        let began = Instant::now();
        match connect(worker, route, lease.target(), peer, local).await {
            Ok(stream) => {
                let connect_time = began.elapsed();
                super::count_connection(route, connect_time);
                return Some(Reached { lease, stream, connect_time });
            }
            Err(error) => {
                tracing::debug!(target = %lease.target().address, %error, "cannot connect to the target");
                route.node.metrics.backend_connection_errors.fetch_add(1, Ordering::Relaxed);
                tried.push(lease.index);
            }
        }
    }
    None
}

fn choose(route: &Arc<Route>, tried: &[usize], outstanding_max: usize) -> Attempt<Lease> {
    let usable = |index: &usize| !tried.contains(index) && route.targets[*index].is_in_service();
    let has_room =
        |index: &usize| (route.targets[*index].outstanding.load(Ordering::Relaxed) as usize) < outstanding_max;
    loop {
        // Counted among those that serve: skipping from a fixed position would send the turns of one that is out of
        // service to its neighbour.
        let count = (0..route.targets.len()).filter(|index| usable(index) && has_room(index)).count();
        if count == 0 {
            let is_full = (0..route.targets.len()).any(|index| usable(&index));
            return if is_full { Attempt::Full } else { Attempt::Nobody };
        }
        let turn = route.node.turn.fetch_add(1, Ordering::Relaxed) % count;
        let chosen = (0..route.targets.len()).filter(|index| usable(index) && has_room(index)).nth(turn);
        if let Some(lease) = chosen.and_then(|index| Lease::take(route, index, outstanding_max)) {
            return Attempt::Taken(lease);
        }
    }
}

async fn connect(
    worker: &Worker,
    route: &Route,
    target: &TargetState,
    peer: SocketAddr,
    local: SocketAddr,
) -> io::Result<Stream> {
    let limits = &worker.shared.limits;
    let destination = target.destination(&route.listener);
    let mut tcp = tokio::time::timeout(limits.connect_timeout, destination.connect())
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    tcp.set_nodelay(true)?;
    if route.listener.backend.proxy_protocol {
        // Nothing has been sent: the socket has room for it.
        tcp.write_all(&proxy_protocol::line(peer, local)).await?;
    }
    match &route.client_tls {
        Some(config) => tls::connect(tcp, Arc::clone(config), limits.handshake_timeout).await,
        None => Ok(Stream::Plain(tcp)),
    }
}
