//! Upgrades: a second process takes over from the first, and nobody notices.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::load_balancer::{add_machine, backend, free_port, get, zone_a};
use crate::support::{Connection, Key, Place, Server, eventually};

/// Says everything back, on an address of its own.
fn echo(ip: &str) -> SocketAddr {
    let listener = TcpListener::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    address
}

/// What a client saw: requests that went well, and everything else.
#[derive(Default)]
struct Seen {
    well: AtomicU64,
    failures: parking_lot::Mutex<Vec<String>>,
}

impl Seen {
    fn note(&self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => drop(self.well.fetch_add(1, SeqCst)),
            Err(error) => self.failures.lock().push(format!("{what}: {error}")),
        }
    }
}

fn ask(connection: &mut Connection) -> Result<bool, String> {
    connection.try_write("GET /slow/3 HTTP/1.1\r\nhost: web\r\n\r\n").map_err(|error| error.to_string())?;
    let answer = connection.try_read().ok_or("no answer")?;
    let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if answer.status == 200 { Ok(closes) } else { Err(format!("{answer:?}")) }
}

/// A new connection for each request.
fn ask_anew(address: SocketAddr) -> Result<(), String> {
    let mut connection = Connection::try_to(address).map_err(|error| error.to_string())?;
    ask(&mut connection).map(drop)
}

/// A few words over a TCP connection, with pauses.
fn talk(address: SocketAddr) -> Result<(), String> {
    let talk = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        for word in ["one", "two", "three"] {
            stream.write_all(word.as_bytes())?;
            let mut said = vec![0; word.len()];
            stream.read_exact(&mut said)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok::<_, std::io::Error>(())
    };
    talk().map_err(|error| error.to_string())
}

fn api(address: SocketAddr, server: &str) -> Result<(), String> {
    let mut connection = Connection::try_to(address).map_err(|error| error.to_string())?;
    let request = format!("GET /_millpond/health HTTP/1.1\r\nhost: {server}\r\n\r\n");
    connection.try_write(&request).map_err(|error| error.to_string())?;
    let answer = connection.try_read().ok_or("no answer")?;
    if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
}

/// A server with the load balancers `web` (HTTP) and `db` (TCP), and where they listen.
fn start(place: &Place, number: u8) -> (Server, SocketAddr, SocketAddr) {
    let node = format!("127.83.0.{number}");
    place.write("millpond.toml", &zone_a(&node));
    let (web, db) = (backend(&format!("127.82.0.{number}"), "hello"), echo(&format!("127.82.1.{number}")));
    let server = place.serve(&[]);
    let mut addresses = Vec::new();
    for (name, protocol, backend) in [("web", "HTTP", web), ("db", "TCP", db)] {
        let port = free_port();
        let machine = add_machine(place, backend.ip(), "us-east-1a");
        server.create_load_balancer(name, protocol, port, backend.port());
        server.check_often(name, &format!("TCP:{}", backend.port()));
        server.register(name, &machine);
        server.wait_in_service(name);
        addresses.push(SocketAddr::new(node.parse().unwrap(), port));
    }
    (server, addresses[0], addresses[1])
}

#[test]
fn two_upgrades_under_load_lose_nothing() {
    let place = Place::new();
    let (first, web, db) = start(&place, 1);
    let (address, host) = (first.address, first.address.to_string());
    let (stop, seen, kept) = (AtomicBool::new(false), Seen::default(), Seen::default());
    // Ends after all clients have.
    let mut server = first;
    let until_stopped = |what: &'static str, ask: &dyn Fn() -> Result<(), String>| {
        while !stop.load(SeqCst) {
            seen.note(what, ask());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| until_stopped("HTTP", &|| ask_anew(web)));
            scope.spawn(|| until_stopped("TCP", &|| talk(db)));
        }
        scope.spawn(|| until_stopped("API", &|| api(address, &host)));
        scope.spawn(|| {
            let mut connection = Connection::to(web);
            while !stop.load(SeqCst) {
                let asked = ask(&mut connection);
                let closes = asked != Ok(false);
                kept.note("kept HTTP", asked.map(drop));
                if closes {
                    connection = Connection::to(web);
                }
            }
        });
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(500));
            let next = place.serve(&["--take-over"]);
            assert_eq!(next.address, address, "the same port");
            assert_eq!(server.wait().code(), Some(0));
            let before = seen.well.load(SeqCst);
            eventually("the next one serves", || seen.well.load(SeqCst) > before + 50);
            server = next;
        }
        stop.store(true, SeqCst);
    });
    assert_eq!(*seen.failures.lock(), Vec::<String>::new(), "of {}", seen.well.load(SeqCst));
    assert_eq!(*kept.failures.lock(), Vec::<String>::new(), "of {}", kept.well.load(SeqCst));
    assert!(kept.well.load(SeqCst) > 50);
}

#[test]
fn what_the_old_one_has_begun_it_finishes() {
    let place = Place::new();
    let (mut old, web, db) = start(&place, 2);
    let mut slow = Connection::to(web);
    slow.write("GET /slow/2500 HTTP/1.1\r\nhost: web\r\n\r\n");
    let mut stream = TcpStream::connect(db).unwrap();
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let url = old.create_queue("jobs");
    let poll = old.sqs_request(&Key::any(), "ReceiveMessage", json!({ "QueueUrl": url, "WaitTimeSeconds": 20 }));
    let mut polling = old.connect();
    polling.write(&poll);
    std::thread::sleep(Duration::from_millis(200));
    let new = place.serve(&["--take-over"]);
    assert_eq!(polling.read().status, 200, "a long poll answers at once");
    assert_eq!(get(web, "/").status, 200);
    assert_eq!(slow.read().status, 200);
    // An open TCP connection goes on through the process that accepted it.
    stream.write_all(b"b").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let refusal = place.refusal(&["serve", "--listen", "127.0.0.1:0", "--take-over"]);
    assert!(refusal.contains("waits for the one before it to end"), "{refusal}");
    drop(stream);
    assert_eq!(old.wait().code(), Some(0));
    assert!(new.elb("DescribeLoadBalancers", &[]).contains("<LoadBalancerName>web</LoadBalancerName>"));
    new.sqs_ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": "x" }));
    new.stop();
}

#[test]
fn without_a_server_to_take_over_from_it_just_starts() {
    let place = Place::new();
    place.serve(&["--take-over"]).stop();
    let mut server = place.serve(&[]);
    server.signal(Signal::KILL);
    server.wait();
    place.serve(&["--take-over"]).stop();
    let refusal = place.refusal(&["serve", "--ephemeral", "--take-over"]);
    assert!(refusal.contains("cannot take over with --ephemeral"), "{refusal}");
}

#[test]
fn a_successor_that_can_not_serve_leaves_the_old_one_serving() {
    let place = Place::new();
    let (server, web, _) = start(&place, 3);
    // It fails before the old one lets go…
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refusal = place.refusal(&["serve", "--take-over", "--listen", &address]);
    assert!(refusal.contains("cannot listen on"), "{refusal}");
    assert_eq!(get(web, "/").status, 200);
    server.elb("DescribeLoadBalancers", &[]);
    // …and after, when it cannot read the data directory: the key it is given is not the one that sealed things.
    Key::create(&place, &[]);
    let mut command = place.command(&["serve", "--take-over", "--listen", "127.0.0.1:0"]);
    let output = command.env("MILLPOND_MASTER_KEY", "0".repeat(64)).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    eventually("the old one serves again", || api(server.address, &server.address.to_string()).is_ok());
    eventually("its load balancers too", || ask_anew(web).is_ok());
    server.stop();
}
