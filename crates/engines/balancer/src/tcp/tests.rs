//! Clients and targets on loopback sockets, with the relay between them.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use host::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::access_record::Recorder;
use crate::config::*;
use crate::deadline;
use crate::state::{NodeState, TargetState};
use crate::tls::{Configs, tests as tls_tests};
use crate::worker::Shared;

/// A node with targets behind it.
struct World {
    worker: Rc<Worker>,
    slot: Arc<Slot>,
    route: Arc<Route>,
}

/// What differs from test to test.
struct Setup {
    idle_timeout: Duration,
    proxy_protocol: bool,
    limits: Limits,
    client_tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Setup {
    fn default() -> Self {
        let idle_timeout = Duration::from_secs(60);
        Self { idle_timeout, proxy_protocol: false, limits: Limits::default(), client_tls: None }
    }
}

impl Setup {
    /// All targets listen on one port, each on a loopback address of its own.
    fn world(self, port: u16, targets: &[&str]) -> World {
        let node_address = IpAddr::from([127, 0, 0, 1]);
        let node = Node { zone: "us-east-1a".into(), address: node_address, egress: None };
        let protocol = if self.client_tls.is_some() { BackendProtocol::Ssl } else { BackendProtocol::Tcp };
        let backend = Backend { protocol, port, proxy_protocol: self.proxy_protocol, trusted_keys: None };
        let listener = Arc::new(Listener { port: 3306, frontend: Frontend::Tcp, backend, stickiness: None });
        let targets: Vec<Arc<Target>> = targets
            .iter()
            .map(|address| {
                let id = TargetId((*address).into());
                Arc::new(Target {
                    id,
                    address: address.parse().unwrap(),
                    zone: "us-east-1a".into(),
                    behind_egress: false,
                })
            })
            .collect();
        let load_balancer = LoadBalancer {
            id: LoadBalancerId(1),
            name: "db".into(),
            dns_names: Vec::new(),
            nodes: vec![node.clone()],
            listeners: vec![Arc::clone(&listener)],
            targets: targets.clone(),
            health_check: HealthCheck {
                kind: HealthCheckKind::Tcp,
                port,
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                unhealthy_threshold: 2,
                healthy_threshold: 2,
            },
            cross_zone: false,
            idle_timeout: self.idle_timeout,
            connection_draining: None,
            desync_mode: DesyncMode::default(),
            access: Vec::new(),
            access_log: true,
        };
        let states: Arc<[Arc<TargetState>]> = targets.iter().map(|target| Arc::new(TargetState::new(target))).collect();
        states.iter().for_each(|state| state.in_service.store(true, Ordering::Relaxed));
        let route = Arc::new(Route {
            node: Arc::new(NodeState::new(load_balancer.id, &node)),
            load_balancer: Arc::new(load_balancer),
            listener,
            targets: states,
            server_tls: None,
            client_tls: self.client_tls,
        });
        let ids = Arc::new(host::sim::SimIds::new(host::sim::Seed(1)));
        let shared = Arc::new(Shared::new(Arc::new(SystemClock), ids, self.limits));
        let worker = Rc::new(Worker::new(shared, Recorder::of_test()));
        tokio::task::spawn_local(deadline::run(Rc::clone(&worker)));
        let slot = Arc::new(Slot::default());
        slot.set(Some(Arc::clone(&route)));
        World { worker, slot, route }
    }
}

impl World {
    /// A client whose connection is being served.
    async fn client(&self) -> TcpStream {
        let (client, served) = tls_tests::sockets().await;
        self.serve(Stream::Plain(served), client.local_addr().unwrap());
        client
    }

    fn serve(&self, served: Stream, peer: SocketAddr) {
        let local = "127.0.0.1:3306".parse().unwrap();
        let (worker, slot) = (Rc::clone(&self.worker), Arc::clone(&self.slot));
        tokio::task::spawn_local(serve(worker, slot, served, peer, local, None));
    }
}

async fn target() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn is_closed(client: &mut TcpStream) -> bool {
    matches!(client.read(&mut [0; 16]).await, Ok(0) | Err(_))
}

/// Lets everything that can happen now happen.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "local")]
async fn bytes_pass_both_ways_and_are_counted_and_recorded() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (mut target, _) = listener.accept().await.unwrap();
    client.write_all(b"question").await.unwrap();
    let mut question = [0; 8];
    target.read_exact(&mut question).await.unwrap();
    target.write_all(b"the answer").await.unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!((&question, &answer), (b"question", b"the answer"));
    let address = client.local_addr().unwrap();
    drop((client, target));
    settle().await;
    let metrics = &world.route.node.metrics;
    assert_eq!((metrics.request_count.load(Relaxed), metrics.latency.read().count()), (1, 1));
    assert_eq!(metrics.processed_bytes.load(Relaxed), 18);
    assert!(world.route.targets[0].is_idle());
    let text = world.worker.recorder.text();
    let words: Vec<&str> = text.trim_end().splitn(8, ' ').collect();
    assert_eq!(words[1..4], ["db", &address.to_string(), &format!("127.0.0.1:{port}")]);
    assert!(words[4..7].iter().all(|time| time.starts_with("0.")), "{text}");
    assert_eq!(words[7], "- - 8 10 \"- - - \" \"-\" - -");
}

#[tokio::test(flavor = "local")]
async fn a_target_may_speak_first() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (mut target, _) = listener.accept().await.unwrap();
    target.write_all(b"5.5.5-10.11.6-MariaDB").await.unwrap();
    let mut greeting = [0; 21];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"5.5.5-10.11.6-MariaDB");
}

#[tokio::test(flavor = "local")]
async fn an_end_of_one_half_is_passed_on_and_the_other_goes_on() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (mut target, _) = listener.accept().await.unwrap();
    client.write_all(b"all of it").await.unwrap();
    client.shutdown().await.unwrap();
    let mut request = Vec::new();
    target.read_to_end(&mut request).await.unwrap();
    for piece in [&b"one "[..], b"two "] {
        target.write_all(piece).await.unwrap();
        settle().await;
    }
    target.shutdown().await.unwrap();
    let mut response = Vec::new();
    client.read_to_end(&mut response).await.unwrap();
    assert_eq!((&request[..], &response[..]), (&b"all of it"[..], &b"one two "[..]));
    settle().await;
    assert!(world.route.targets[0].is_idle());
}

fn noise(length: u32, seed: u32) -> Arc<[u8]> {
    (0..length).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Sends `sent` and its end, in uneven pieces with pauses, while receiving until the other's end.
async fn exchange(stream: impl AsyncReadExt + AsyncWriteExt, sent: Arc<[u8]>, piece: usize) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for (number, piece) in sent.chunks(piece).enumerate() {
            writer.write_all(piece).await.unwrap();
            if number % 50 == 49 {
                writer.flush().await.unwrap();
                settle().await;
            }
        }
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let read = async { reader.read_to_end(&mut received).await.unwrap() };
    tokio::join!(write, read);
    received
}

#[tokio::test(flavor = "local")]
async fn megabytes_pass_unchanged_both_ways_at_once() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let client = world.client().await;
    let (target, _) = listener.accept().await.unwrap();
    let (up, down) = (noise(20_000_000, 1), noise(30_000_000, 2));
    let (at_client, at_target) =
        tokio::join!(exchange(client, Arc::clone(&up), 100_000), exchange(target, Arc::clone(&down), 777_777));
    assert!(at_client[..] == *down && at_target[..] == *up);
    settle().await;
    assert_eq!(world.route.node.metrics.processed_bytes.load(Relaxed), 50_000_000);
    assert!(splice::spliced() > 0, "nothing of it went through a pipe");
}

#[tokio::test(flavor = "local")]
async fn megabytes_pass_unchanged_between_tls_and_tls() {
    let mut configs = Configs::new(Arc::new(SystemClock));
    let server = configs.server(&tls_tests::modern(&tls_tests::certificate(tls_tests::ECDSA)), false).unwrap();
    let any = configs.client(None).unwrap();
    let (listener, port) = target().await;
    let world = Setup { client_tls: Some(Arc::clone(&any)), ..Setup::default() }.world(port, &["127.0.0.1"]);
    let (client, served) = tls_tests::streams(&any, &server).await;
    world.serve(served, "127.0.0.9:999".parse().unwrap());
    let (target, _) = listener.accept().await.unwrap();
    let target = crate::tls::accept(target, server, Duration::from_secs(20)).await.unwrap().0;
    let (up, down) = (noise(3_000_000, 3), noise(4_000_000, 4));
    let (at_client, at_target) =
        tokio::join!(exchange(client, Arc::clone(&up), 10_000), exchange(target, Arc::clone(&down), 77_777));
    assert!(at_client[..] == *down && at_target[..] == *up);
}

#[tokio::test(flavor = "local")]
async fn the_proxy_line_comes_first_and_before_tls() {
    let certificate = tls_tests::certificate(tls_tests::ECDSA);
    let mut configs = Configs::new(Arc::new(SystemClock));
    let server = configs.server(&tls_tests::modern(&certificate), false).unwrap();
    for client_tls in [None, Some(configs.client(None).unwrap())] {
        let is_tls = client_tls.is_some();
        let (listener, port) = target().await;
        let world = Setup { proxy_protocol: true, client_tls, ..Setup::default() }.world(port, &["127.0.0.1"]);
        let mut client = world.client().await;
        let peer = client.local_addr().unwrap();
        let (mut target, _) = listener.accept().await.unwrap();
        let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} 3306\r\n", peer.port());
        let mut line = vec![0; expected.len()];
        target.read_exact(&mut line).await.unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        client.write_all(b"x").await.unwrap();
        let byte = if is_tls {
            let accepted = crate::tls::accept(target, Arc::clone(&server), Duration::from_secs(20)).await;
            accepted.unwrap().0.read_u8().await.unwrap()
        } else {
            target.read_u8().await.unwrap()
        };
        assert_eq!(byte, b'x');
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn silence_ends_a_connection_and_a_byte_either_way_puts_that_off() {
    let (listener, port) = target().await;
    let world = Setup { idle_timeout: Duration::from_secs(60), ..Setup::default() }.world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (mut target, _) = listener.accept().await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.write_all(b"x").await.unwrap();
        target.read_u8().await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
        target.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap();
    }
    let began = Instant::now();
    assert!(is_closed(&mut client).await && is_closed(&mut target).await);
    let waited = began.elapsed().as_millis();
    assert!((59_900..=60_500).contains(&waited), "{waited} ms");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_is_cut_off_ends_its_connections() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (_target, _) = listener.accept().await.unwrap();
    settle().await;
    world.route.targets[0].cut_off();
    world.worker.shared.changed();
    let began = Instant::now();
    assert!(is_closed(&mut client).await);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "local")]
async fn without_a_target_in_service_a_connection_is_closed_and_recorded() {
    let world = Setup::default().world(1, &["127.0.0.1"]);
    world.route.targets[0].in_service.store(false, Ordering::Relaxed);
    let mut client = world.client().await;
    assert!(is_closed(&mut client).await);
    settle().await;
    assert!(world.worker.recorder.text().contains(" - -1 -1 -1 - - 0 0 "));
    assert_eq!(world.route.node.metrics.request_count.load(Relaxed), 0);
}

#[tokio::test(flavor = "local")]
async fn a_target_that_refuses_is_passed_over_and_counted() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.2", "127.0.0.1"]);
    for _ in 0..4 {
        let mut client = world.client().await;
        let (mut target, _) = listener.accept().await.unwrap();
        target.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
    }
    assert!(world.route.node.metrics.backend_connection_errors.load(Relaxed) >= 1);
    drop(listener);
    let mut client = world.client().await;
    assert!(is_closed(&mut client).await);
}

#[tokio::test(flavor = "local")]
async fn targets_in_service_take_turns_evenly() {
    let (one, port) = target().await;
    let two = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let world = Setup::default().world(port, &["127.0.0.1", "127.0.0.3", "127.0.0.2"]);
    world.route.targets[1].in_service.store(false, Ordering::Relaxed);
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.client().await);
        settle().await;
    }
    let counts = [0, 2].map(|index| world.route.targets[index].outstanding.load(Ordering::Relaxed));
    assert_eq!(counts, [10, 10]);
    drop((one, two));
}

#[tokio::test(flavor = "local")]
async fn connections_beyond_the_targets_bound_wait_and_beyond_the_queues_are_closed() {
    let (listener, port) = target().await;
    let limits = Limits { target_connections_max: 1, surge_queue_max: 1, ..Limits::default() };
    let world = Setup { limits, ..Setup::default() }.world(port, &["127.0.0.1"]);
    let first = world.client().await;
    let (first_target, _) = listener.accept().await.unwrap();
    let mut second = world.client().await;
    settle().await;
    assert_eq!(world.route.node.surge_queue.load(Ordering::Relaxed), 1);
    let mut third = world.client().await;
    assert!(is_closed(&mut third).await);
    assert_eq!(world.route.node.metrics.spillover_count.load(Relaxed), 1);
    drop((first, first_target));
    let (mut target, _) = listener.accept().await.unwrap();
    target.write_all(b"x").await.unwrap();
    assert_eq!(second.read_u8().await.unwrap(), b'x');
    assert_eq!(world.route.node.surge_queue.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "local")]
async fn a_receiver_that_does_not_read_stops_the_sender() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (mut target, _) = listener.accept().await.unwrap();
    let piece = vec![1; 64 << 10];
    let mut written = 0;
    while let Ok(n) = tokio::time::timeout(Duration::from_millis(300), client.write(&piece)).await {
        written += n.unwrap();
        assert!(written < 64 << 20, "nothing stops the sender");
    }
    let mut received = 0;
    let mut buf = vec![0; 64 << 10];
    while received < written {
        received += target.read(&mut buf).await.unwrap();
    }
    assert_eq!(received, written);
}

#[tokio::test(flavor = "local")]
async fn what_a_target_said_before_it_failed_still_arrives() {
    let (listener, port) = target().await;
    let world = Setup::default().world(port, &["127.0.0.1"]);
    let mut client = world.client().await;
    let (mut target, _) = listener.accept().await.unwrap();
    target.write_all(b"last words").await.unwrap();
    settle().await;
    socket2::SockRef::from(&target).set_linger(Some(Duration::ZERO)).unwrap();
    drop(target);
    let mut words = Vec::new();
    let _ = client.read_to_end(&mut words).await;
    assert_eq!(words, b"last words");
    settle().await;
    assert!(world.route.targets[0].is_idle());
}
