//! What outlives a configuration: the routes of bound sockets, and the counters and health of nodes and targets.
//!
//! Invariants:
//! - A connection reads its [`Slot`] once per request and keeps that [`Route`] until the request is done.
//! - [`NodeState`] and [`TargetState`] are the same object for as long as load balancer, zone and target id stay.
//! - All of it is atomics: no lock is shared between requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use tokio_util::sync::CancellationToken;

use crate::config::{Listener, LoadBalancer, LoadBalancerId, Node, Target, TargetId};
use crate::egress::{Destination, Egress, Origin};
use crate::metrics::NodeMetrics;
use crate::surge;

/// One listener at one node, as the newest configuration has it: all that serving a request needs.
pub(crate) struct Route {
    pub(crate) load_balancer: Arc<LoadBalancer>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) node: Arc<NodeState>,
    /// The targets that this node may use (its zone's, or all with cross-zone), in service or not, in the
    /// configuration's order.
    pub(crate) targets: Arc<[Arc<TargetState>]>,
    /// Terminates TLS for HTTPS and SSL listeners.
    pub(crate) server_tls: Option<Arc<rustls::ServerConfig>>,
    /// Speaks TLS to targets, where the backend's protocol asks for it.
    pub(crate) client_tls: Option<Arc<rustls::ClientConfig>>,
}

/// What a bound socket serves now; empty once the listener is gone.
#[derive(Default)]
pub(crate) struct Slot {
    route: ArcSwapOption<Route>,
}

impl Slot {
    /// The route now, for a look that ends before the next wait.
    pub(crate) fn peek(&self) -> Guard<Option<Arc<Route>>> {
        self.route.load()
    }

    /// The route now, to keep for one request or one TCP connection.
    pub(crate) fn route(&self) -> Option<Arc<Route>> {
        self.route.load_full()
    }

    /// Replaces the route; requests in flight keep theirs.
    pub(crate) fn set(&self, route: Option<Arc<Route>>) {
        self.route.store(route);
    }
}

/// One load balancer's node in one zone.
pub(crate) struct NodeState {
    pub(crate) load_balancer: LoadBalancerId,
    pub(crate) zone: Arc<str>,
    pub(crate) address: IpAddr,
    /// Where its connections to targets begin.
    pub(crate) egress: Option<Egress>,
    /// Requests and connections that wait for a target, over all workers.
    pub(crate) surge_queue: AtomicUsize,
    /// The same, in order.
    pub(crate) surge: surge::Waiters,
    /// Where round robin stands.
    pub(crate) turn: AtomicUsize,
    pub(crate) metrics: NodeMetrics,
}

/// One target, as one node sees it: a node checks health for itself and counts what it has sent.
pub(crate) struct TargetState {
    pub(crate) id: TargetId,
    pub(crate) address: IpAddr,
    pub(crate) zone: Arc<str>,
    /// Where the node's connections begin.
    origin: Origin,
    /// Requests (or TCP connections) that this node has with the target.
    pub(crate) outstanding: AtomicU32,
    /// Connections that this node has to the target, idle ones too.
    pub(crate) connections: AtomicU32,
    /// Written by this node's health checks.
    pub(crate) in_service: AtomicBool,
    /// Cancelled when a deregistered target's time to drain is over: whoever talks to it stops.
    pub(crate) cut: CancellationToken,
}

impl NodeState {
    pub(crate) fn new(load_balancer: LoadBalancerId, node: &Node) -> Self {
        Self {
            load_balancer,
            zone: Arc::clone(&node.zone),
            address: node.address,
            egress: node.egress.clone(),
            surge_queue: AtomicUsize::new(0),
            surge: surge::Waiters::default(),
            turn: AtomicUsize::new(0),
            metrics: NodeMetrics::default(),
        }
    }
}

impl TargetState {
    /// Out of service until a health check has passed.
    pub(crate) fn of(node: &NodeState, target: &Target) -> Self {
        let origin = match (target.behind_egress, &node.egress) {
            (false, _) => Origin::Host,
            (true, Some(egress)) => Origin::Node(egress.clone()),
            (true, None) => Origin::Nowhere,
        };
        Self { origin, ..Self::new(target) }
    }

    /// The same for a target that the host reaches.
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            origin: Origin::Host,
            id: target.id.clone(),
            address: target.address,
            zone: Arc::clone(&target.zone),
            outstanding: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            in_service: AtomicBool::new(false),
            cut: CancellationToken::new(),
        }
    }

    /// Whether only the node's egress leads there.
    pub(crate) fn is_behind_egress(&self) -> bool {
        !matches!(self.origin, Origin::Host)
    }

    /// Whether new requests may go there.
    pub(crate) fn is_in_service(&self) -> bool {
        self.in_service.load(Ordering::Relaxed)
    }

    /// Whether no request and no TCP connection is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }

    /// Ends whatever goes on with a target that is gone for good.
    pub(crate) fn cut_off(&self) {
        self.in_service.store(false, Ordering::Relaxed);
        self.cut.cancel();
    }

    /// Where a listener with this backend finds it.
    pub(crate) fn socket_address(&self, listener: &Listener) -> SocketAddr {
        SocketAddr::new(self.address, listener.backend.port)
    }

    /// The same, with where the node's connection to it begins.
    pub(crate) fn destination(&self, listener: &Listener) -> Destination {
        self.at(listener.backend.port)
    }

    /// Where the node finds one of its ports.
    pub(crate) fn at(&self, port: u16) -> Destination {
        Destination { address: SocketAddr::new(self.address, port), origin: self.origin.clone() }
    }
}
