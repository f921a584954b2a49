//! A balancer on loopback addresses, with servers behind it and clients before it, all by blocking sockets.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses its own part of this, and fails by panicking"
)]

pub mod backend;
pub mod http;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use balancer::{
    AccessRule, Backend, BackendProtocol, Balancer, Config, DesyncMode, Frontend, HealthCheck, HealthCheckKind,
    IpNetwork, Limits, Listener, ListeningSocket, LoadBalancer, LoadBalancerId, Node, Options, Target, TargetHealth,
    TargetId,
};
use tokio::time::Instant;

/// A balancer with a spool of its own.
pub struct Lab {
    pub balancer: Balancer,
    _spool: tempfile::TempDir,
}

impl std::ops::Deref for Lab {
    type Target = Balancer;

    fn deref(&self) -> &Balancer {
        &self.balancer
    }
}

impl Lab {
    pub fn start() -> Self {
        Self::with(2, Limits::default(), Vec::new())
    }

    pub fn with(worker_threads: usize, limits: Limits, inherited: Vec<ListeningSocket>) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let balancer = Balancer::start(Options {
            clock: Arc::new(host::SystemClock),
            ids: Arc::new(host::SystemIds),
            disk: Arc::new(host::SystemDisk::new(spool.path().to_path_buf())),
            spool_dir: "spool".into(),
            limits,
            worker_threads,
            dns: None,
            takes_over: !inherited.is_empty(),
            inherited,
        });
        Self { balancer: balancer.unwrap(), _spool: spool }
    }

    /// Publishes what must be served without any complaint.
    pub fn publish(&self, load_balancers: impl IntoIterator<Item = LoadBalancer>) {
        block_on(self.balancer.publish(config(load_balancers))).unwrap();
    }

    /// Publishes, and waits until health checks have found all of a load balancer's targets in service.
    pub fn serve(&self, load_balancer: LoadBalancer) {
        let id = load_balancer.id;
        self.publish([load_balancer]);
        eventually("all targets are in service", || self.balancer.target_health(id).iter().all(is_in_service));
    }
}

pub fn is_in_service(target: &TargetHealth) -> bool {
    target.state == balancer::HealthState::InService
}

pub fn config(load_balancers: impl IntoIterator<Item = LoadBalancer>) -> Config {
    Config { load_balancers: load_balancers.into_iter().map(Arc::new).collect() }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Waits for what takes an unknown, short time.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An address of this machine with a port that nobody listens on.
pub fn free_address(ip: &str) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

pub fn target(number: usize, address: IpAddr) -> Arc<Target> {
    Arc::new(Target {
        id: TargetId(format!("i-{number}").into()),
        address,
        zone: "us-east-1a".into(),
        behind_egress: false,
    })
}

pub fn everybody() -> Vec<AccessRule> {
    ["0.0.0.0", "::"]
        .map(|any| AccessRule {
            from: IpNetwork { address: any.parse().unwrap(), prefix: 0 },
            first_port: 0,
            last_port: u16::MAX,
        })
        .into()
}

pub fn http_listener(port: u16, backend_port: u16) -> Listener {
    listener(port, Frontend::Http, BackendProtocol::Http, backend_port)
}

pub fn tcp_listener(port: u16, backend_port: u16) -> Listener {
    listener(port, Frontend::Tcp, BackendProtocol::Tcp, backend_port)
}

pub fn listener(port: u16, frontend: Frontend, protocol: BackendProtocol, backend_port: u16) -> Listener {
    let backend = Backend { protocol, port: backend_port, proxy_protocol: false, trusted_keys: None };
    Listener { port, frontend, backend, stickiness: None }
}

/// One node at an address, checked by TCP at the listeners' backend port.
pub fn load_balancer(
    id: u64,
    address: IpAddr,
    listeners: impl IntoIterator<Item = Listener>,
    targets: impl IntoIterator<Item = Arc<Target>>,
) -> LoadBalancer {
    let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
    LoadBalancer {
        id: LoadBalancerId(id),
        name: format!("lb-{id}").into(),
        dns_names: vec![],
        nodes: vec![Node { zone: "us-east-1a".into(), address, egress: None }],
        health_check: HealthCheck {
            kind: HealthCheckKind::Tcp,
            port: listeners.first().map_or(1, |listener| listener.backend.port),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_threshold: 2,
            healthy_threshold: 2,
        },
        listeners,
        targets: targets.into_iter().collect(),
        cross_zone: false,
        idle_timeout: Duration::from_secs(60),
        connection_draining: None,
        desync_mode: DesyncMode::Defensive,
        access: everybody(),
        access_log: false,
    }
}
