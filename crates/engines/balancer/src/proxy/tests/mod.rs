//! The relay between scripted clients and scripted targets, on a clock that tests move.

mod answers;
mod bodies;
mod desync;
mod keeping;
mod retries;
mod sticking;
mod timing;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use crate::access_record::Spool;
use crate::config::{
    Backend, BackendProtocol, DesyncMode, Frontend, HealthCheck, HealthCheckKind, Limits, Listener, LoadBalancer,
    LoadBalancerId, Node, Target, TargetId,
};
use crate::deadline;
use crate::state::{NodeState, Route, Slot, TargetState};
use crate::stream::Stream;
use crate::worker::{Shared, Worker};

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const NODE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1)), 80);
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 4321);

/// Bytes that a scripted connection takes before its writer has to wait.
const PIPE_BYTES: usize = 64 << 10;

/// A worker with one listener, and the targets that tests play.
struct World {
    worker: Rc<Worker>,
    slot: Arc<Slot>,
    route: Arc<Route>,
    refusing: Rc<RefCell<HashSet<IpAddr>>>,
    connected: mpsc::UnboundedReceiver<(IpAddr, DuplexStream)>,
}

/// Everything that a test may choose.
struct Setting {
    targets: u8,
    limits: Limits,
    listener: Listener,
    desync_mode: DesyncMode,
}

impl Default for Setting {
    fn default() -> Self {
        let backend =
            Backend { protocol: BackendProtocol::Http, port: 8080, proxy_protocol: false, trusted_keys: None };
        Self {
            targets: 1,
            limits: Limits::default(),
            listener: Listener { port: NODE.port(), frontend: Frontend::Http, backend, stickiness: None },
            desync_mode: DesyncMode::Defensive,
        }
    }
}

fn target_ip(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
}

impl World {
    fn new() -> Self {
        Self::with(Setting::default())
    }

    fn with_targets(targets: u8) -> Self {
        Self::with(Setting { targets, ..Setting::default() })
    }

    fn with(setting: Setting) -> Self {
        let clock = Arc::new(host::SystemClock);
        let ids = Arc::new(host::SystemIds);
        let disk = Arc::new(host::sim::SimDisk::new(host::sim::Seed(1)));
        let spool = Spool::start(disk, "spool".into(), clock.clone()).unwrap();
        let shared = Arc::new(Shared::new(clock, ids, setting.limits));
        let worker = Rc::new(Worker::new(shared, spool.recorder()));
        let node = Node { zone: "us-east-1a".into(), address: NODE.ip(), egress: None };
        let listener = Arc::new(setting.listener);
        let targets: Vec<_> = (1..=setting.targets)
            .map(|number| Target {
                id: TargetId(format!("i-{number}").into()),
                address: target_ip(number),
                zone: node.zone.clone(),
                behind_egress: false,
            })
            .map(|target| TargetState::new(&target))
            .inspect(|state| state.in_service.store(true, Ordering::Relaxed))
            .map(Arc::new)
            .collect();
        let load_balancer = LoadBalancer {
            id: LoadBalancerId(1),
            name: "front".into(),
            dns_names: Vec::new(),
            nodes: vec![node.clone()],
            listeners: vec![listener.clone()],
            targets: Vec::new(),
            health_check: HealthCheck {
                kind: HealthCheckKind::Tcp,
                port: 80,
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                unhealthy_threshold: 2,
                healthy_threshold: 2,
            },
            cross_zone: false,
            idle_timeout: IDLE_TIMEOUT,
            connection_draining: None,
            desync_mode: setting.desync_mode,
            access: Vec::new(),
            access_log: true,
        };
        let route = Arc::new(Route {
            node: Arc::new(NodeState::new(load_balancer.id, &node)),
            load_balancer: Arc::new(load_balancer),
            listener,
            targets: targets.into(),
            server_tls: None,
            client_tls: None,
        });
        let slot = Arc::new(Slot::default());
        slot.set(Some(route.clone()));
        let refusing = Rc::new(RefCell::new(HashSet::new()));
        let (connecting, connected) = mpsc::unbounded_channel();
        let refused = refusing.clone();
        *worker.pools.connector.borrow_mut() = Some(Box::new(move |address| {
            assert_eq!(address.port(), 8080);
            if refused.borrow().contains(&address.ip()) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            connecting.send((address.ip(), theirs)).unwrap();
            Ok(ours)
        }));
        tokio::task::spawn_local(deadline::run(worker.clone()));
        Self { worker, slot, route, refusing, connected }
    }

    /// A client that has just connected.
    fn client(&self) -> Peer {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (worker, slot) = (self.worker.clone(), self.slot.clone());
        tokio::task::spawn_local(super::serve(worker, slot, (), Stream::Duplex(ours), (CLIENT, NODE), None));
        Peer { stream: theirs, heard: Vec::new() }
    }

    /// The next connection that is opened to a target.
    async fn target(&mut self) -> Peer {
        self.target_and_address().await.0
    }

    async fn target_and_address(&mut self) -> (Peer, IpAddr) {
        let waiting = tokio::time::timeout(Duration::from_secs(5), self.connected.recv());
        let (address, stream) = waiting.await.expect("no connection is opened").unwrap();
        (Peer { stream, heard: Vec::new() }, address)
    }

    fn has_new_connection(&mut self) -> bool {
        !self.connected.is_empty()
    }

    fn refuse(&self, number: u8) {
        self.refusing.borrow_mut().insert(target_ip(number));
    }

    fn set_in_service(&self, number: u8, in_service: bool) {
        self.route.targets[usize::from(number) - 1].in_service.store(in_service, Ordering::Relaxed);
    }

    fn outstanding(&self) -> u32 {
        self.route.targets.iter().map(|target| target.outstanding.load(Ordering::Relaxed)).sum()
    }
}

/// The other end of a connection, played by a test.
struct Peer {
    stream: DuplexStream,
    heard: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes()).await;
    }

    async fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// What is said up to and including `end`.
    async fn hear_until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.heard, end.as_bytes()) {
                let rest = self.heard.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.heard, rest)).unwrap();
            }
            assert!(self.read().await, "closed after {:?}", String::from_utf8_lossy(&self.heard));
        }
    }

    /// A head, to its empty line.
    async fn hear_head(&mut self) -> String {
        self.hear_until("\r\n\r\n").await
    }

    async fn hear_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.heard.len() < count {
            assert!(self.read().await, "closed after {} bytes", self.heard.len());
        }
        let rest = self.heard.split_off(count);
        std::mem::replace(&mut self.heard, rest)
    }

    /// All that is said until the end.
    async fn hear_all(&mut self) -> String {
        while self.read().await {}
        String::from_utf8(std::mem::take(&mut self.heard)).unwrap()
    }

    /// False at the end.
    async fn read(&mut self) -> bool {
        let reading = tokio::time::timeout(Duration::from_secs(3600), self.stream.read_buf(&mut self.heard));
        reading.await.expect("nothing is said").unwrap_or(0) > 0
    }

    /// Whether nothing more is said for `time`.
    async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.heard.is_empty() && tokio::time::timeout(time, self.stream.read_buf(&mut self.heard)).await.is_err()
    }

    /// Nothing more is said, and the connection is over.
    async fn assert_closed(&mut self) {
        assert_eq!(self.hear_all().await, "");
    }

    async fn close_half(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// A whole exchange on open connections.
async fn exchange(client: &mut Peer, target: &mut Peer) {
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.hear_until("\r\n\r\nok").await;
}
