//! [`Config`]: everything that the data plane serves, as one immutable value.
//!
//! Invariants:
//! - A `Config` is complete: nothing else is looked up while traffic flows.
//! - Parts are shared by `Arc`: two configurations that differ in one load balancer share the others.
//! - A [`LoadBalancerId`] and a [`TargetId`] keep their meaning from one configuration to the next; with them the
//!   balancer finds what stayed, and leaves it untouched.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::egress::Egress;

/// What to serve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// All load balancers, in any order; ids are unique.
    pub load_balancers: Vec<Arc<LoadBalancer>>,
}

/// Tells one load balancer from any other that ever was, across configurations and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoadBalancerId(pub u64);

/// One load balancer: a node per zone, the same listeners on each.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadBalancer {
    /// Its identity.
    pub id: LoadBalancerId,
    /// Its name, as access records and metrics say it.
    pub name: Arc<str>,
    /// Names that the DNS server answers for with the nodes' addresses, lowercase, without a final dot.
    pub dns_names: Vec<Arc<str>>,
    /// One a zone.
    pub nodes: Vec<Node>,
    /// Ports are unique.
    pub listeners: Vec<Arc<Listener>>,
    /// The servers behind it. A target that is missing from the next configuration is deregistered: it drains.
    pub targets: Vec<Arc<Target>>,
    /// How nodes find out which targets serve.
    pub health_check: HealthCheck,
    /// Whether a node uses targets of all zones, or only of its own.
    pub cross_zone: bool,
    /// How long either side may be silent, 1 to 4,000 s.
    pub idle_timeout: Duration,
    /// How long a deregistered target may finish what it has begun; `None` cuts at once.
    pub connection_draining: Option<Duration>,
    /// What happens to requests that two parsers could read in two ways.
    pub desync_mode: DesyncMode,
    /// Who may connect; checked at accept. Nobody matches an empty list.
    pub access: Vec<AccessRule>,
    /// Whether a record of each request is kept for the access log.
    pub access_log: bool,
}

/// A load balancer's presence in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The zone's name, `us-east-1a`.
    pub zone: Arc<str>,
    /// The address that its listeners are bound to and that DNS gives out.
    pub address: IpAddr,
    /// Where its connections (health checks too) to targets [behind it](Target::behind_egress) begin. A node with another
    /// egress is another node.
    pub egress: Option<Egress>,
}

/// A port that clients connect to, and where what they say goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The port that is listened on.
    pub port: u16,
    /// What is spoken with clients.
    pub frontend: Frontend,
    /// What is spoken with targets.
    pub backend: Backend,
    /// How a client keeps coming back to the same target; HTTP and HTTPS only.
    pub stickiness: Option<Stickiness>,
}

/// What a listener speaks with clients.
#[derive(Clone, Debug, PartialEq)]
pub enum Frontend {
    /// HTTP/1.x in the clear.
    Http,
    /// HTTP/1.x within TLS.
    Https(Arc<Tls>),
    /// Bytes.
    Tcp,
    /// Bytes within TLS.
    Ssl(Arc<Tls>),
}

/// What a listener needs to terminate TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// What is shown to clients.
    pub certificate: Arc<Certificate>,
    /// What is negotiated.
    pub policy: Arc<TlsPolicy>,
}

/// A certificate with its private key.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// DER, the server's first, then the chain in order.
    pub chain: Vec<Vec<u8>>,
    /// Belongs to the first.
    pub private_key: PrivateKey,
}

/// A private key in PKCS#8, PKCS#1 or SEC1 DER; never printed.
#[derive(Clone, PartialEq)]
pub struct PrivateKey(pub Vec<u8>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Which TLS a listener negotiates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPolicy {
    /// TLS 1.2 may be spoken.
    pub tls12: bool,
    /// TLS 1.3 may be spoken, with its own suites.
    pub tls13: bool,
    /// TLS 1.2's suites by OpenSSL's names, in order of preference. One that rustls lacks is never negotiated.
    pub cipher_suites: Vec<Arc<str>>,
    /// Whether the server's order decides, or the client's.
    pub server_order: bool,
}

/// What a listener speaks with targets, and on which port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// HTTP and HTTPS stand behind HTTP and HTTPS only; TCP and SSL behind TCP and SSL.
    pub protocol: BackendProtocol,
    /// The targets' port.
    pub port: u16,
    /// Whether a PROXY protocol version 1 line opens each connection; TCP and SSL only.
    pub proxy_protocol: bool,
    /// Public keys (DER SubjectPublicKeyInfo), one of which a target's certificate must have. `None`: any certificate
    /// will do. Only read where the protocol is HTTPS or SSL.
    pub trusted_keys: Option<Arc<[Vec<u8>]>>,
}

/// What is spoken with targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendProtocol {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 within TLS.
    Https,
    /// Bytes.
    Tcp,
    /// Bytes within TLS.
    Ssl,
}

/// How a client keeps coming back to the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stickiness {
    /// By the balancer's own cookie, AWSELB.
    LoadBalancer {
        /// The cookie's MAX-AGE; `None` makes it last for the browser's session.
        expiration_s: Option<u64>,
    },
    /// By AWSELB as well, but only once the application has set this cookie, and for as long.
    Application {
        /// The application's cookie.
        cookie_name: Arc<str>,
    },
}

/// Tells one target of a load balancer from another: the instance's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub Arc<str>);

/// A server behind a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its identity.
    pub id: TargetId,
    /// Where it listens.
    pub address: IpAddr,
    /// Where it stands.
    pub zone: Arc<str>,
    /// Whether only [`Node::egress`] leads there: a node that has none does not reach it, and never looks for its address
    /// in the host's own network. Others are reached from the host, whatever the node has.
    pub behind_egress: bool,
}

/// How nodes find out which targets serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: HealthCheckKind,
    /// The targets' port that is asked.
    pub port: u16,
    /// Time from one check to the next, 5 to 300 s.
    pub interval: Duration,
    /// How long an answer may take; below the interval.
    pub timeout: Duration,
    /// Consecutive failures that take a target out of service.
    pub unhealthy_threshold: u32,
    /// Consecutive successes that bring it back. A new target is in service after its first.
    pub healthy_threshold: u32,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// That a connection is accepted.
    Tcp,
    /// That a TLS handshake succeeds.
    Ssl,
    /// That this path (with its query) answers exactly 200.
    Http(Arc<str>),
    /// The same within TLS.
    Https(Arc<str>),
}

/// What happens to requests that two parsers could read in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DesyncMode {
    /// Counted, and forwarded.
    Monitor,
    /// The severe are refused; after the ambiguous both connections are closed.
    #[default]
    Defensive,
    /// Only what follows RFC 9112 is forwarded.
    Strictest,
}

/// Lets clients of a network reach ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Clients' addresses.
    pub from: IpNetwork,
    /// The first port.
    pub first_port: u16,
    /// The last, included.
    pub last_port: u16,
}

/// An address with the length of its prefix, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    /// Any address of the network.
    pub address: IpAddr,
    /// 0 to 32, or to 128.
    pub prefix: u8,
}

/// Bounds that hold for the whole data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time, over all listeners and workers; beyond them accepting pauses.
    pub connections_max: usize,
    /// Connections to one target at a time, from one node; beyond them requests wait in the surge queue.
    pub target_connections_max: usize,
    /// Requests or connections of one node that wait for a target.
    pub surge_queue_max: usize,
    /// Idle connections that one worker keeps open to one target.
    pub pooled_connections_max: usize,
    /// Bytes of a request line.
    pub request_line_bytes_max: usize,
    /// Bytes of one header's line.
    pub header_bytes_max: usize,
    /// Bytes of a request's head as a whole.
    pub request_head_bytes_max: usize,
    /// Bytes of a response's head as a whole.
    pub response_head_bytes_max: usize,
    /// How long connecting to a target may take.
    pub connect_timeout: Duration,
    /// How long a TLS handshake may take, on either side.
    pub handshake_timeout: Duration,
}

impl Default for Limits {
    /// ELB's own where it documents them (surge queue 1,024), else the Application Load Balancer's.
    fn default() -> Self {
        Self {
            connections_max: 100_000,
            target_connections_max: 10_000,
            surge_queue_max: 1024,
            pooled_connections_max: 256,
            request_line_bytes_max: 16 << 10,
            header_bytes_max: 16 << 10,
            request_head_bytes_max: 64 << 10,
            response_head_bytes_max: 32 << 10,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}
