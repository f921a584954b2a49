//! Chaos: while servers die, hang, break off and come back, configurations change every 100 ms and certificates rotate,
//! no byte is wrong and no request is lost that did not stand before a failing server.
//!
//! A few seconds by default; `MILLPOND_CHAOS_S` makes it as long as one likes, `MILLPOND_CHAOS_SEED` repeats a run's
//! choices (not its timing).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balancer::{
    BackendProtocol, Certificate, Config, Frontend, Limits, Listener, LoadBalancer, LoadBalancerId, PrivateKey,
    Stickiness, Tls, TlsPolicy,
};
use common::backend::{Backend, Ledger, Mode, Sight, body_of, digest};
use common::http::{Client, Message};
use common::*;
use tokio::time::Instant;

const SERVERS: usize = 4;
const PLAIN_CLIENTS: usize = 6;
const TLS_CLIENTS: usize = 3;
/// How long before a request, and how long after its answer, a server's failing may still explain it: what the test
/// notes of both is not exact to the microsecond.
const SLACK: Duration = Duration::from_millis(50);
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A number that follows from the ones before.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// When which server failed; an open end is still going on.
#[derive(Default)]
struct Failures {
    windows: Mutex<Vec<(usize, Instant, Option<Instant>)>>,
}

impl Failures {
    fn begin(&self, server: usize) {
        self.windows.lock().unwrap().push((server, Instant::now(), None));
    }

    fn end(&self, server: usize) {
        let mut windows = self.windows.lock().unwrap();
        let window = windows.iter_mut().rev().find(|window| window.0 == server).unwrap();
        window.2 = Some(Instant::now());
    }

    /// Whether one of `servers` failed at some moment from `begin` to `end`.
    fn overlap(&self, servers: &dyn Fn(usize) -> bool, begin: Instant, end: Instant) -> bool {
        let windows = self.windows.lock().unwrap();
        windows.iter().any(|(server, began, ended)| {
            servers(*server) && *began <= end + SLACK && ended.is_none_or(|ended| ended + SLACK >= begin)
        })
    }
}

/// How a request ended, where it was not with its answer.
#[derive(Clone, Debug)]
struct Loss {
    id: u64,
    how: String,
    begun: Instant,
    ended: Instant,
    /// Behind the TCP listener there is nobody who could answer for a server.
    by_tcp: bool,
}

#[derive(Default)]
struct Results {
    answered: AtomicU64,
    bytes: AtomicU64,
    losses: Mutex<Vec<Loss>>,
    wrong: Mutex<Vec<String>>,
}

/// What all parts of a run share.
struct Run {
    ledger: Arc<Ledger>,
    failures: Failures,
    results: Results,
    next_id: AtomicU64,
    stop: AtomicBool,
    plain: SocketAddr,
    tls: SocketAddr,
    tcp: SocketAddr,
}

/// One client: connections of several requests each, every answer verified.
fn ask<S: Read + Write>(run: &Run, chance: &mut Chance, by_tcp: bool, connect: impl Fn() -> io::Result<S>) {
    while !run.stop.load(Ordering::SeqCst) {
        let stream = match connect() {
            Ok(stream) => stream,
            Err(error) => {
                // The balancer's own listeners never fail.
                run.results.wrong.lock().unwrap().push(format!("cannot connect: {error}"));
                return;
            }
        };
        let mut client = Client { stream: io::BufReader::new(stream) };
        for _ in 0..1 + chance.below(30) {
            if run.stop.load(Ordering::SeqCst) || !ask_once(run, chance, by_tcp, &mut client) {
                break;
            }
        }
    }
}

/// Whether the connection may be used again.
fn ask_once<S: Read + Write>(run: &Run, chance: &mut Chance, by_tcp: bool, client: &mut Client<S>) -> bool {
    let id = run.next_id.fetch_add(1, Ordering::SeqCst);
    let size = [0, 2, 999, 1000, 40_001, 300_000][chance.below(6) as usize];
    let sent = match chance.below(3) {
        0 => body_of(id ^ 0xABCD, [1, 2000, 200_001][chance.below(3) as usize]),
        _ => Vec::new(),
    };
    let begun = Instant::now();
    let answer = exchange(client, id, size, &sent, chance.below(2) == 0);
    let ended = Instant::now();
    let lost = |how: String| Loss { id, how, begun, ended, by_tcp };
    match answer {
        Ok(answer) if answer.status() == 200 => {
            let expected = body_of(id, size);
            if answer.body != expected || answer.header("x-saw") != Some(&digest(&sent)) {
                run.results.wrong.lock().unwrap().push(format!("request {id}: a wrong byte: {}", answer.start));
            }
            run.results.answered.fetch_add(1, Ordering::SeqCst);
            run.results.bytes.fetch_add((expected.len() + sent.len()) as u64, Ordering::SeqCst);
            !answer.closes()
        }
        Ok(answer) => {
            run.results.losses.lock().unwrap().push(lost(answer.status().to_string()));
            !answer.closes()
        }
        Err(error) => {
            run.results.losses.lock().unwrap().push(lost(error.to_string()));
            false
        }
    }
}

fn exchange<S: Read + Write>(
    client: &mut Client<S>,
    id: u64,
    size: usize,
    body: &[u8],
    chunked: bool,
) -> io::Result<Message> {
    let stream = client.stream.get_mut();
    let mut request = Vec::with_capacity(body.len() + 200);
    let method = if body.is_empty() { "GET" } else { "POST" };
    write!(request, "{method} /{size} HTTP/1.1\r\nHost: chaos\r\nx-id: {id}\r\n")?;
    match (body.is_empty(), chunked) {
        (true, _) => request.extend_from_slice(b"\r\n"),
        (false, true) => {
            request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            common::http::write_chunked(&mut request, body, 7000)?;
        }
        (false, false) => {
            write!(request, "Content-Length: {}\r\n\r\n", body.len())?;
            request.extend_from_slice(body);
        }
    }
    // An answer that came before the whole request was taken counts: the write's error does not.
    let written = stream.write_all(&request).and_then(|()| stream.flush());
    match client.response() {
        Ok(answer) => Ok(answer),
        Err(error) => Err(written.err().unwrap_or(error)),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// Lets one server after the other fail, in ways by turns. The first never does, so that somebody can always answer.
fn fail_servers(run: &Run, servers: &[Mutex<Option<Backend>>], chance: &mut Chance) {
    let addresses: Vec<_> = servers.iter().map(|server| server.lock().unwrap().as_ref().unwrap().address).collect();
    while !run.stop.load(Ordering::SeqCst) {
        let server = 1 + chance.below(servers.len() as u64 - 1) as usize;
        let how = chance.below(4);
        run.failures.begin(server);
        let mut guard = servers[server].lock().unwrap();
        match how {
            0 => drop(guard.take()),
            1 => guard.as_ref().unwrap().set(Mode::Hang),
            2 => guard.as_ref().unwrap().set(Mode::BreakOff),
            _ => guard.as_ref().unwrap().set(Mode::Close),
        }
        // Now and then longer than the balancer waits for an answer.
        let patience = if how == 1 && chance.below(3) == 0 { IDLE_TIMEOUT } else { Duration::ZERO };
        std::thread::sleep(patience + Duration::from_millis(100 + chance.below(400)));
        match guard.as_ref() {
            Some(server) => server.set(Mode::Answer),
            None => {
                *guard = Some(Backend::start(server, addresses[server].ip(), addresses[server].port(), &run.ledger))
            }
        }
        drop(guard);
        // What hangs is answered, or broken off, within the balancer's patience.
        std::thread::sleep(Duration::from_millis(20));
        run.failures.end(server);
        std::thread::sleep(Duration::from_millis(50 + chance.below(200)));
    }
}

/// What a configuration is made of.
struct Scene {
    run: Arc<Run>,
    backend_port: u16,
    certificates: Vec<Arc<Certificate>>,
    spare: Vec<SocketAddr>,
}

impl Scene {
    /// A configuration as good as any other: the three listeners that clients use are always there.
    fn config(&self, chance: &mut Chance) -> Config {
        let ip = self.run.plain.ip();
        let tls = Tls {
            certificate: Arc::clone(&self.certificates[chance.below(self.certificates.len() as u64) as usize]),
            policy: policy(),
        };
        let mut listeners = vec![
            http_listener(self.run.plain.port(), self.backend_port),
            listener(self.run.tls.port(), Frontend::Https(Arc::new(tls)), BackendProtocol::Http, self.backend_port),
            tcp_listener(self.run.tcp.port(), self.backend_port),
        ];
        if chance.below(3) == 0 {
            listeners[0].stickiness = Some(Stickiness::LoadBalancer { expiration_s: Some(60) });
        }
        let spare = self.spare.iter().filter(|_| chance.below(2) == 0).map(|at| at.port()).collect::<Vec<_>>();
        listeners.extend(spare.into_iter().map(|port| http_listener(port, self.backend_port)));
        // The first is always registered; the others come and go, and drain.
        let targets: Vec<_> = (0..SERVERS).filter(|number| *number == 0 || chance.below(5) != 0).collect();
        let mut first = self.load_balancer(1, ip, listeners, &targets);
        first.idle_timeout = IDLE_TIMEOUT + Duration::from_secs(chance.below(2));
        let mut all = vec![first];
        if chance.below(2) == 0 {
            let other = IpAddr::from([127, 73, 0, 2]);
            all.push(self.load_balancer(2, other, [http_listener(8080, self.backend_port)], &targets));
        }
        if chance.below(2) == 0 {
            all.reverse();
        }
        config(all)
    }

    fn load_balancer(
        &self,
        id: u64,
        ip: IpAddr,
        listeners: impl IntoIterator<Item = Listener>,
        targets: &[usize],
    ) -> LoadBalancer {
        let targets = targets.iter().map(|number| target(*number, server_ip(*number)));
        let mut load_balancer = load_balancer(id, ip, listeners, targets);
        load_balancer.connection_draining = Some(Duration::from_secs(30));
        load_balancer.access_log = true;
        load_balancer
    }
}

fn server_ip(number: usize) -> IpAddr {
    IpAddr::from([127, 73, 1, 1 + u8::try_from(number).unwrap()])
}

/// Publishes every 100 ms; returns how often, and how long the slowest took.
fn change_configurations(scene: &Scene, lab: &Lab, chance: &mut Chance) -> (u64, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !scene.run.stop.load(Ordering::SeqCst) {
        let begun = Instant::now();
        if let Err(errors) = block_on(lab.balancer.publish(scene.config(chance))) {
            scene.run.results.wrong.lock().unwrap().push(format!("publish: {}", errors[0]));
        }
        count += 1;
        slowest = slowest.max(begun.elapsed());
        std::thread::sleep(Duration::from_millis(100).saturating_sub(begun.elapsed()));
    }
    (count, slowest)
}

fn policy() -> Arc<TlsPolicy> {
    Arc::new(TlsPolicy {
        tls12: true,
        tls13: true,
        cipher_suites: vec!["ECDHE-ECDSA-AES128-GCM-SHA256".into()],
        server_order: true,
    })
}

fn certificate() -> Arc<Certificate> {
    let made = rcgen::generate_simple_self_signed(["chaos".to_owned()]).unwrap();
    Arc::new(Certificate {
        chain: vec![made.cert.der().to_vec()],
        private_key: PrivateKey(made.signing_key.serialize_der()),
    })
}

fn tls_client(certificates: &[Arc<Certificate>]) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.chain[0].clone().into()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn connect_tls(
    address: SocketAddr,
    config: &Arc<rustls::ClientConfig>,
) -> io::Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let name = rustls::pki_types::ServerName::try_from("chaos").unwrap();
    let session = rustls::ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(session, connect(address)?);
    // The handshake now, so that its failing is not a request's.
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

#[allow(clippy::disallowed_methods, reason = "the test's own length is not the product's configuration")]
fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Why a loss is not one of those that a failing server explains.
fn unexplained(run: &Run, loss: &Loss, sights: &[Sight]) -> Option<&'static str> {
    let at_servers: Vec<usize> = sights.iter().map(|sight| sight.backend).collect();
    let failed = |server: usize| at_servers.is_empty() || at_servers.contains(&server);
    if !run.failures.overlap(&failed, loss.begun, loss.ended) {
        return Some("no server that it was at failed meanwhile");
    }
    match loss.how.as_str() {
        "502" | "504" => None,
        // The answer's head was out already: cutting the connection is the only honest end.
        how if how.starts_with("the body is cut") && !at_servers.is_empty() => None,
        _ if loss.by_tcp => None,
        _ => Some("that is no answer for a failing server"),
    }
}

#[test]
fn whatever_fails_no_byte_is_wrong_and_nothing_is_lost_but_what_was_at_a_failing_server() {
    let seconds = number_from_environment("MILLPOND_CHAOS_S", 4);
    let seed = number_from_environment("MILLPOND_CHAOS_SEED", 7);
    println!("chaos: {seconds} s, MILLPOND_CHAOS_SEED={seed}");
    let ledger = Arc::new(Ledger::default());
    let first = Backend::start(0, server_ip(0), 0, &ledger);
    let backend_port = first.address.port();
    let mut servers = vec![Mutex::new(Some(first))];
    servers.extend((1..SERVERS).map(|n| Mutex::new(Some(Backend::start(n, server_ip(n), backend_port, &ledger)))));
    let run = Arc::new(Run {
        ledger,
        failures: Failures::default(),
        results: Results::default(),
        next_id: AtomicU64::new(1),
        stop: AtomicBool::new(false),
        plain: free_address("127.73.0.1"),
        tls: free_address("127.73.0.1"),
        tcp: free_address("127.73.0.1"),
    });
    let certificates: Vec<_> = (0..3).map(|_| certificate()).collect();
    let tls_config = tls_client(&certificates);
    let spare = (0..4).map(|_| free_address("127.73.0.1")).collect();
    let scene = Scene { run: Arc::clone(&run), backend_port, certificates, spare };
    let lab = Lab::with(2, Limits::default(), Vec::new());
    block_on(lab.balancer.publish(scene.config(&mut Chance(seed)))).unwrap();
    eventually("the first server is in service", || lab.target_health(LoadBalancerId(1)).iter().any(is_in_service));

    let (published, slowest) = std::thread::scope(|scope| {
        let run = &*run;
        for number in 0..PLAIN_CLIENTS as u64 {
            scope.spawn(move || ask(run, &mut Chance(seed + number), false, || connect(run.plain)));
        }
        for number in 0..TLS_CLIENTS as u64 {
            let tls_config = &tls_config;
            scope.spawn(move || ask(run, &mut Chance(seed + 100 + number), false, || connect_tls(run.tls, tls_config)));
        }
        scope.spawn(|| ask(run, &mut Chance(seed + 200), true, || connect(run.tcp)));
        scope.spawn(|| fail_servers(run, &servers, &mut Chance(seed + 300)));
        let publisher = scope.spawn(|| change_configurations(&scene, &lab, &mut Chance(seed + 400)));
        std::thread::sleep(Duration::from_secs(seconds));
        run.stop.store(true, Ordering::SeqCst);
        publisher.join().unwrap()
    });
    report(&run, published, slowest);
    assert_eq!(lab.panics(), 0);
    eventually("nothing is counted that is over", || {
        lab.stats().iter().all(|node| {
            let under_way = node.targets.iter().map(|target| target.outstanding).sum::<u64>();
            node.active_connections + node.surge_queue_length + under_way == 0
        })
    });
}

fn report(run: &Run, published: u64, slowest: Duration) {
    let results = &run.results;
    let sights = run.ledger.sights.lock().unwrap();
    let losses = results.losses.lock().unwrap();
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    losses.iter().for_each(|loss| *by_kind.entry(&loss.how).or_default() += 1);
    println!(
        "chaos: {} answered, {} MB verified, {published} configurations (slowest {slowest:?}), {} failures of servers, \
         lost at them: {by_kind:?}",
        results.answered.load(Ordering::SeqCst),
        results.bytes.load(Ordering::SeqCst) >> 20,
        run.failures.windows.lock().unwrap().len(),
    );
    assert_eq!(*results.wrong.lock().unwrap(), Vec::<String>::new());
    let none = Vec::new();
    let mut unexplained_losses = Vec::new();
    for loss in losses.iter() {
        let sights = sights.get(&loss.id.to_string()).unwrap_or(&none);
        if let Some(why) = unexplained(run, loss, sights) {
            unexplained_losses.push(format!("{loss:?}: {why}; seen {sights:?}"));
        }
    }
    assert_eq!(unexplained_losses, Vec::<String>::new());
    assert_sent_once(&sights);
    assert!(results.answered.load(Ordering::SeqCst) > 100, "there was load");
}

/// No server sees a request twice that is not safe to repeat.
fn assert_sent_once(sights: &HashMap<String, Vec<Sight>>) {
    let empty = digest(b"");
    let repeated: Vec<_> =
        sights.iter().filter(|(_, seen)| seen.len() > 1 && seen.iter().any(|sight| sight.digest != empty)).collect();
    assert!(repeated.is_empty(), "sent twice: {repeated:?}");
}
