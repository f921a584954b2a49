//! What publishing, reserving, handing over and draining promise, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use balancer::{BindError, BindFailure, Limits, LoadBalancerId};
use common::backend::{Backend, Ledger, Mode};
use common::http::Client;
use common::*;
use tokio::time::Instant;

/// A load balancer at a fresh address, with a server behind it.
struct Fixture {
    lab: Lab,
    backend: Backend,
    address: SocketAddr,
}

impl Fixture {
    fn start(ip: &str) -> Self {
        Self::with(ip, Lab::start())
    }

    fn with(ip: &str, lab: Lab) -> Self {
        let backend = Backend::start(1, IpAddr::from([127, 0, 0, 1]), 0, &Arc::new(Ledger::default()));
        let fixture = Self { lab, backend, address: free_address(ip) };
        fixture.lab.serve(fixture.http());
        fixture
    }

    fn http(&self) -> balancer::LoadBalancer {
        self.http_at([self.address])
    }

    fn http_at(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> balancer::LoadBalancer {
        let port = self.backend.address.port();
        let listeners = addresses.into_iter().map(|address| http_listener(address.port(), port));
        load_balancer(1, self.address.ip(), listeners, [target(1, self.backend.address.ip())])
    }

    fn get(&self) -> u16 {
        Client::connect(self.address).unwrap().get("/").unwrap().status()
    }
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(3))
        .is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_listener_serves_when_publish_returns_and_refuses_when_it_is_gone() {
    let fixture = Fixture::start("127.71.0.1");
    assert_eq!(fixture.get(), 200);
    let other = free_address("127.71.0.1");
    fixture.lab.publish([fixture.http_at([fixture.address, other])]);
    assert_eq!(Client::connect(other).unwrap().get("/").unwrap().status(), 200);
    fixture.lab.publish([fixture.http_at([other])]);
    assert!(is_refused(fixture.address));
    assert_eq!(Client::connect(other).unwrap().get("/").unwrap().status(), 200);
}

#[test]
fn a_request_in_flight_is_answered_though_its_listener_goes() {
    let fixture = Fixture::start("127.71.0.2");
    let mut client = Client::connect(fixture.address).unwrap();
    client.send("GET /slow/600 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let empty = load_balancer(1, fixture.address.ip(), [], [target(1, fixture.backend.address.ip())]);
    fixture.lab.publish([empty]);
    assert_eq!(client.response().unwrap().status(), 200);
    assert!(is_refused(fixture.address));
}

#[test]
fn idle_connections_of_a_removed_listener_end() {
    let fixture = Fixture::start("127.71.0.3");
    let mut client = Client::connect(fixture.address).unwrap();
    assert_eq!(client.get("/").unwrap().status(), 200);
    fixture.lab.publish([]);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_taken_port_is_named_the_others_serve_and_the_next_publish_tries_again() {
    let fixture = Fixture::start("127.71.0.4");
    let blocker = TcpListener::bind("127.71.0.4:0").unwrap();
    let taken = blocker.local_addr().unwrap();
    let wanted = || config([fixture.http_at([taken, fixture.address])]);
    let errors = block_on(fixture.lab.balancer.publish(wanted())).unwrap_err();
    assert_eq!(errors, [BindError { address: taken, failure: BindFailure::InUse }]);
    assert!(errors[0].to_string().contains(&taken.to_string()));
    assert_eq!(fixture.get(), 200);
    drop(blocker);
    block_on(fixture.lab.balancer.publish(wanted())).unwrap();
    assert_eq!(Client::connect(taken).unwrap().get("/").unwrap().status(), 200);
}

#[test]
fn a_port_that_another_process_of_ours_shares_is_taken() {
    // With SO_REUSEPORT on both sides the kernel would let two servers split the connections between them.
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&free_address("127.71.0.5").into()).unwrap();
    other.listen(1).unwrap();
    let address = other.local_addr().unwrap().as_socket().unwrap();
    let Err(error) = Lab::start().reserve(&[address]) else { panic!("reserved") };
    assert_eq!(error.failure, BindFailure::InUse);
}

#[test]
fn an_address_of_another_machine_is_refused_with_what_to_do() {
    let lab = Lab::start();
    let Err(error) = lab.reserve(&["192.0.2.1:8080".parse().unwrap()]) else { panic!("reserved") };
    assert_eq!(error.failure, BindFailure::NotLocal);
    assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:8080: "));
    assert!(error.to_string().contains("[[zone]]"));
}

#[test]
fn an_address_that_a_configuration_has_twice_is_reported_and_served_once() {
    let fixture = Fixture::start("127.71.0.6");
    let mut second = fixture.http();
    second.id = LoadBalancerId(2);
    let errors = block_on(fixture.lab.balancer.publish(config([second, fixture.http()]))).unwrap_err();
    assert_eq!(errors, [BindError { address: fixture.address, failure: BindFailure::Duplicate }]);
    assert_eq!(fixture.get(), 200);
}

#[test]
fn two_load_balancers_share_an_address_on_different_ports() {
    let fixture = Fixture::start("127.71.0.7");
    let other = free_address("127.71.0.7");
    let port = fixture.backend.address.port();
    let second =
        load_balancer(2, other.ip(), [http_listener(other.port(), port)], [target(1, fixture.backend.address.ip())]);
    fixture.lab.publish([fixture.http(), second]);
    eventually("both serve", || {
        fixture.get() == 200 && Client::connect(other).unwrap().get("/").unwrap().status() == 200
    });
}

#[test]
fn a_reservation_keeps_its_address_until_it_is_published_or_dropped() {
    let fixture = Fixture::start("127.71.0.8");
    let address = free_address("127.71.0.8");
    let reservation = fixture.lab.reserve(&[address, fixture.address]).unwrap();
    assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    let again = fixture.lab.reserve(&[free_address("127.71.0.8"), address]);
    assert!(again.is_err_and(|error| error == BindError { address, failure: BindFailure::InUse }));
    assert!(is_refused(address));
    drop(reservation);
    TcpListener::bind(address).unwrap();

    let reservation = fixture.lab.reserve(&[address]).unwrap();
    fixture.lab.publish([fixture.http_at([fixture.address, address])]);
    drop(reservation);
    assert_eq!(Client::connect(address).unwrap().get("/").unwrap().status(), 200);
}

#[test]
fn who_may_not_connect_is_turned_away_before_anything_is_read() {
    let fixture = Fixture::start("127.71.0.9");
    let mut closed = fixture.http();
    closed.access[0].from.address = "10.0.0.0".parse().unwrap();
    closed.access[0].from.prefix = 8;
    fixture.lab.publish([closed]);
    let mut client = Client::connect(fixture.address).unwrap();
    assert!(matches!(client.stream.get_mut().read(&mut [0]), Ok(0) | Err(_)));
    fixture.lab.publish([fixture.http()]);
    assert_eq!(fixture.get(), 200);
}

#[test]
fn a_connection_that_was_accepted_elsewhere_is_served_as_its_clients() {
    let fixture = Fixture::start("127.71.0.18");
    let deliver = |client: &str| {
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(front.local_addr().unwrap()).unwrap();
        let (theirs, _) = front.accept().unwrap();
        let delivered = block_on(fixture.lab.balancer.deliver(fixture.address, theirs, client.parse().unwrap()));
        assert!(delivered);
        ours
    };
    let ask = |client: &str| {
        let mut stream = deliver(client);
        stream.write_all(b"GET /4 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    };
    assert!(ask("198.51.100.7:5000").unwrap().starts_with(b"HTTP/1.1 200 "));
    let mut closed = fixture.http();
    closed.access[0].from.address = "10.0.0.0".parse().unwrap();
    closed.access[0].from.prefix = 8;
    fixture.lab.publish([closed]);
    assert!(ask("10.1.2.3:5000").unwrap().starts_with(b"HTTP/1.1 200 "));
    // Closed at once: an end, or a reset where the request had come already.
    assert!(ask("198.51.100.7:5000").map_or(true, |answer| answer.is_empty()));
    let nowhere = free_address("127.71.0.18");
    let stream = TcpStream::connect(fixture.address).unwrap();
    assert!(!block_on(fixture.lab.balancer.deliver(nowhere, stream, nowhere)));
}

#[test]
fn beyond_the_connection_bound_clients_wait_their_turn() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let fixture = Fixture::with("127.71.0.10", Lab::with(2, limits, Vec::new()));
    let mut first = Client::connect(fixture.address).unwrap();
    let mut second = Client::connect(fixture.address).unwrap();
    assert_eq!(first.get("/").unwrap().status(), 200);
    assert_eq!(second.get("/").unwrap().status(), 200);
    // Connected as far as the kernel goes, and served when there is room.
    let mut third = Client::connect(fixture.address).unwrap();
    third.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    third.stream.get_mut().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.response().is_err());
    third.stream.get_mut().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    drop(first);
    assert_eq!(third.response().unwrap().status(), 200);
}

#[test]
fn a_thousand_clients_beyond_the_bound_are_all_served() {
    let limits = Limits { connections_max: 8, ..Limits::default() };
    let fixture = Fixture::with("127.71.0.11", Lab::with(2, limits, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(fixture.get(), 200)));
        }
    });
    assert_eq!(fixture.lab.panics(), 0);
}

#[test]
fn a_deregistered_target_finishes_what_it_has_begun_and_gets_nothing_new() {
    let fixture = Fixture::start("127.71.0.12");
    let draining = |targets: Vec<_>| {
        let mut load_balancer = fixture.http();
        load_balancer.connection_draining = Some(Duration::from_secs(30));
        load_balancer.targets = targets;
        load_balancer
    };
    let registered = || vec![target(1, fixture.backend.address.ip())];
    fixture.lab.serve(draining(registered()));
    let mut slow = Client::connect(fixture.address).unwrap();
    slow.send("GET /slow/1500 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    fixture.lab.publish([draining(vec![])]);
    let health = fixture.lab.target_health(LoadBalancerId(1));
    assert_eq!(health.iter().map(|target| target.draining).collect::<Vec<_>>(), [true]);
    assert_eq!(fixture.get(), 503);
    assert_eq!(slow.response().unwrap().status(), 200);
    // Nothing is under way any longer, so it need not wait for the deadline.
    eventually("the target has drained", || fixture.lab.target_health(LoadBalancerId(1)).is_empty());
    fixture.lab.serve(draining(registered()));
    assert_eq!(fixture.get(), 200);
}

#[test]
fn a_target_whose_time_to_drain_is_over_is_cut() {
    let fixture = Fixture::start("127.71.0.13");
    let mut load_balancer = fixture.http();
    load_balancer.connection_draining = Some(Duration::from_secs(1));
    fixture.lab.serve(load_balancer.clone());
    let mut slow = Client::connect(fixture.address).unwrap();
    slow.send("GET /slow/15000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let begun = Instant::now();
    load_balancer.targets.clear();
    fixture.lab.publish([load_balancer]);
    let answer = slow.response();
    assert!(answer.is_err() || answer.is_ok_and(|answer| matches!(answer.status(), 502..=504)));
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(800) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn draining_finishes_what_has_begun_and_takes_nothing_new() {
    let fixture = Fixture::start("127.71.0.14");
    let mut idle = Client::connect(fixture.address).unwrap();
    assert_eq!(idle.get("/").unwrap().status(), 200);
    let mut slow = Client::connect(fixture.address).unwrap();
    slow.send("GET /slow/800 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let begun = Instant::now();
    let drain = std::thread::spawn({
        let balancer = fixture.lab.balancer.clone();
        move || block_on(balancer.drain(Duration::from_secs(20)))
    });
    assert_eq!(idle.stream.read(&mut [0]).unwrap(), 0, "idle connections end");
    assert_eq!(slow.response().unwrap().status(), 200);
    drain.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(is_refused(fixture.address));
    let errors = block_on(fixture.lab.balancer.publish(config([fixture.http()]))).unwrap_err();
    assert_eq!(errors[0].failure, BindFailure::ShuttingDown);
    assert!(fixture.lab.reserve(&[fixture.address]).is_err_and(|e| e.failure == BindFailure::ShuttingDown));
}

#[test]
fn draining_cuts_what_takes_too_long() {
    let fixture = Fixture::start("127.71.0.15");
    fixture.backend.set(Mode::Hang);
    let mut slow = Client::connect(fixture.address).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let begun = Instant::now();
    block_on(fixture.lab.balancer.drain(Duration::from_millis(500)));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let answer = slow.response();
    assert!(answer.is_err() || answer.is_ok_and(|answer| matches!(answer.status(), 502..=504)));
}

/// Connects and asks, over and over, until told to stop; every failure is kept.
fn ask_until(address: SocketAddr, stop: &AtomicBool, asked: &AtomicU64) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        match Client::connect(address).and_then(|mut client| client.get("/")) {
            Ok(answer) if answer.status() == 200 => {}
            Ok(answer) => failures.push(answer.start),
            Err(error) => failures.push(error.to_string()),
        }
        asked.fetch_add(1, Ordering::SeqCst);
    }
    failures
}

#[test]
fn a_hand_over_loses_no_connection_whatever_the_number_of_workers() {
    for (number, (old_workers, new_workers)) in [(2, 2), (3, 1), (1, 3)].into_iter().enumerate() {
        let ip = format!("127.71.1.{}", number + 1);
        let old = Fixture::with(&ip, Lab::with(old_workers, Limits::default(), Vec::new()));
        let unclaimed = free_address(&ip);
        old.lab.publish([old.http_at([old.address, unclaimed])]);
        let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask_until(old.address, &stop, &asked))).collect();
            std::thread::sleep(Duration::from_millis(200));
            let sockets = old.lab.listening().unwrap();
            assert_eq!(sockets.len(), 2 * old_workers);
            let new = Lab::with(new_workers, Limits::default(), sockets);
            new.serve(old.http());
            block_on(old.lab.balancer.drain(Duration::from_secs(10)));
            let asked_before = asked.load(Ordering::SeqCst);
            eventually("the new one serves", || asked.load(Ordering::SeqCst) > asked_before + 100);
            stop.store(true, Ordering::SeqCst);
            for client in clients {
                assert_eq!(client.join().unwrap(), Vec::<String>::new(), "{old_workers} to {new_workers} workers");
            }
            assert!(is_refused(unclaimed), "closed after the first configuration");
        });
    }
}

#[test]
fn publishing_while_everybody_asks_drops_nothing() {
    let fixture = Fixture::start("127.71.0.16");
    let others: Vec<_> = (0..4).map(|_| free_address("127.71.0.16")).collect();
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask_until(fixture.address, &stop, &asked))).collect();
        for round in 0..20 {
            let mut load_balancer = fixture.http_at(others[..round % 4].iter().copied().chain([fixture.address]));
            load_balancer.idle_timeout = Duration::from_secs(60 + round as u64 % 2);
            fixture.lab.publish([load_balancer]);
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            assert_eq!(client.join().unwrap(), Vec::<String>::new());
        }
    });
    assert!(asked.load(Ordering::SeqCst) > 100);
}

#[test]
fn an_address_that_goes_to_another_protocol_serves_the_new_one_and_ends_the_old() {
    let fixture = Fixture::start("127.71.0.17");
    let mut before = Client::connect(fixture.address).unwrap();
    assert_eq!(before.get("/").unwrap().status(), 200);
    let port = fixture.backend.address.port();
    let listeners = [tcp_listener(fixture.address.port(), port)];
    let tcp = load_balancer(1, fixture.address.ip(), listeners, [target(1, fixture.backend.address.ip())]);
    fixture.lab.publish([tcp]);
    assert_eq!(before.stream.read(&mut [0]).unwrap(), 0);
    // A relay of bytes passes on what an HTTP listener would answer with 400.
    let mut after = Client::connect(fixture.address).unwrap();
    after.stream.get_mut().write_all(b"GET /4 HTTP/1.1\r\nhost : test\r\n\r\n").unwrap();
    assert_eq!(after.response().unwrap().status(), 200);
}
