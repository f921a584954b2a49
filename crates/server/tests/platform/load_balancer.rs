//! Load balancers through the built binary: the API in front, real servers behind.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::process::Signal;

use crate::support::{Answer, Connection, Key, Place, Server, eventually, form};

const VERSION: &str = "2012-06-01";

/// A small HTTP server on an address of its own. Ends with the test's process.
pub(crate) fn backend(ip: &str, says: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_requests(stream, says));
        }
    });
    address
}

/// Answers each request with `says` and the request's own head; waits first where the path says so (`/slow/500`).
fn answer_requests(mut stream: std::net::TcpStream, says: &str) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&buffer[..count]);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        let whole = end + length.unwrap_or(0);
        while bytes.len() < whole {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&buffer[..count]);
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        if let Some(wait) = path.strip_prefix("/slow/") {
            std::thread::sleep(std::time::Duration::from_millis(wait.parse().unwrap()));
        }
        let body = [says.as_bytes(), b"\n", &bytes[..whole]].concat();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
        bytes.drain(..whole);
    }
}

/// A port that nobody listens on at any loopback address, as far as can be told.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn add_machine(place: &Place, ip: IpAddr, zone: &str) -> String {
    let output = place.run(&["instances", "add", "--ip", &ip.to_string(), "--zone", zone]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    pub(crate) fn elb(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.query_ok("elasticloadbalancing", VERSION, action, parameters)
    }

    pub(crate) fn elb_as(&self, key: &Key, action: &str, parameters: &[(&str, &str)]) -> Answer {
        self.query_as(key, "elasticloadbalancing", VERSION, action, parameters)
    }

    /// A load balancer in zone a with a listener; its DNS name.
    pub(crate) fn create_load_balancer(&self, name: &str, protocol: &str, port: u16, backend_port: u16) -> String {
        let created = self.elb(
            "CreateLoadBalancer",
            &[
                ("LoadBalancerName", name),
                ("AvailabilityZones.member.1", "us-east-1a"),
                ("Listeners.member.1.Protocol", protocol),
                ("Listeners.member.1.LoadBalancerPort", &port.to_string()),
                ("Listeners.member.1.InstancePort", &backend_port.to_string()),
            ],
        );
        between(&created, "<DNSName>", "</DNSName>")
    }

    pub(crate) fn register(&self, name: &str, instance: &str) {
        let parameters = [("LoadBalancerName", name), ("Instances.member.1.InstanceId", instance)];
        self.elb("RegisterInstancesWithLoadBalancer", &parameters);
    }

    /// Checks by connecting, often.
    pub(crate) fn check_often(&self, name: &str, target: &str) {
        self.elb(
            "ConfigureHealthCheck",
            &[
                ("LoadBalancerName", name),
                ("HealthCheck.Target", target),
                ("HealthCheck.Interval", "5"),
                ("HealthCheck.Timeout", "2"),
                ("HealthCheck.UnhealthyThreshold", "2"),
                ("HealthCheck.HealthyThreshold", "2"),
            ],
        );
    }

    pub(crate) fn wait_in_service(&self, name: &str) {
        let health = || self.elb("DescribeInstanceHealth", &[("LoadBalancerName", name)]);
        eventually("an instance is in service", || health().contains("<State>InService</State>"));
    }
}

pub(crate) fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0.to_owned()
}

/// A server, and a load balancer called `web` with a machine behind it.
struct Fixture {
    place: Place,
    server: Server,
    /// The listener of the node in zone a.
    address: SocketAddr,
    backend: SocketAddr,
}

impl Fixture {
    fn start(ip: &str) -> Self {
        let place = Place::new();
        let backend = backend(ip, "hello");
        // Each test has addresses of its own, so that several may run at once.
        let node = ip.replace("127.80.", "127.81.");
        place.write("millpond.toml", &zone_a(&node));
        let machine = add_machine(&place, backend.ip(), "us-east-1a");
        let server = place.serve(&[]);
        let port = free_port();
        server.create_load_balancer("web", "HTTP", port, backend.port());
        server.check_often("web", &format!("TCP:{}", backend.port()));
        server.register("web", &machine);
        server.wait_in_service("web");
        Self { place, server, address: SocketAddr::new(node.parse().unwrap(), port), backend }
    }

    fn get(&self, path: &str) -> Answer {
        get(self.address, path)
    }
}

pub(crate) fn zone_a(address: &str) -> String {
    format!("[[zone]]\nname = 'us-east-1a'\naddresses = ['{address}']\n")
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    let mut connection = Connection::to(address);
    connection.write(&format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n"));
    connection.read()
}

#[test]
fn requests_reach_a_registered_machine() {
    let fixture = Fixture::start("127.80.0.1");
    let answer = fixture.get("/a/path?and=query");
    let text = answer.text();
    assert_eq!(answer.status, 200);
    assert!(text.starts_with("hello\nGET /a/path?and=query HTTP/1.1\r\n"), "{text}");
    assert!(text.to_ascii_lowercase().contains("x-forwarded-for: 127.0.0.1\r\n"), "{text}");
}

#[test]
fn a_restart_and_kill_9_keep_everything() {
    let Fixture { place, mut server, address, .. } = Fixture::start("127.80.0.2");
    let before = server.elb("DescribeLoadBalancers", &[]);
    server.signal(Signal::KILL);
    server.wait();
    let server = place.serve(&[]);
    server.wait_in_service("web");
    assert_eq!(get(address, "/").status, 200);
    server.stop();
    let server = place.serve(&[]);
    server.wait_in_service("web");
    assert_eq!(get(address, "/").status, 200);
    let described = |text: &str| between(text, "<DescribeLoadBalancersResult>", "</DescribeLoadBalancersResult>");
    assert_eq!(described(&server.elb("DescribeLoadBalancers", &[])), described(&before));
}

#[test]
fn sigterm_lets_a_request_at_a_listener_finish_and_takes_no_new_ones() {
    let mut fixture = Fixture::start("127.80.0.3");
    let mut connection = Connection::to(fixture.address);
    connection.write("GET /slow/800 HTTP/1.1\r\nhost: web\r\n\r\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    fixture.server.signal(Signal::TERM);
    eventually("the listener is closed", || Connection::try_to(fixture.address).is_err());
    let answer = connection.read();
    assert_eq!((answer.status, answer.text().starts_with("hello")), (200, true));
    assert_eq!(fixture.server.wait().code(), Some(0));
}

#[test]
fn a_request_that_never_ends_is_cut_after_the_drain_time() {
    let fixture = Fixture::start("127.80.0.4");
    fixture.server.stop();
    let mut server = fixture.place.serve(&["--drain-timeout", "0.5"]);
    server.wait_in_service("web");
    let mut connection = Connection::to(fixture.address);
    connection.write("GET /slow/15000 HTTP/1.1\r\nhost: web\r\n\r\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let asked = std::time::Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn a_machine_that_is_removed_gets_no_more_requests() {
    let fixture = Fixture::start("127.80.0.5");
    let listed = String::from_utf8(fixture.place.run(&["instances", "ls"]).stdout).unwrap();
    let id = listed.split_whitespace().next().unwrap().to_owned();
    assert!(fixture.place.run(&["instances", "rm", &id]).status.success());
    eventually("nobody is in service", || fixture.get("/").status == 503);
    assert!(fixture.backend.port() > 0);
}

#[test]
fn anybody_else_or_nobody_is_refused_in_strict_mode() {
    let place = Place::new();
    let key = Key::create(&place, &["--account", "111122223333"]);
    let server = place.serve(&[]);
    let answer = server.elb_as(&key, "DescribeLoadBalancers", &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let forged = server.elb_as(&Key { secret: "wrong".into(), ..key }, "DescribeLoadBalancers", &[]);
    assert_eq!((forged.status, forged.text().contains("SignatureDoesNotMatch")), (403, true), "{forged:?}");
    for (version, action) in [
        (VERSION, "DescribeLoadBalancers"),
        ("2016-11-15", "DescribeInstances"),
        ("2010-05-08", "ListServerCertificates"),
    ] {
        let answer = server.get(&format!("/?{}", form(version, action, &[])), &[]);
        assert!((400..500).contains(&answer.status), "{action}: {answer:?}");
        assert!(answer.text().contains("<Code>"), "{action}: {answer:?}");
    }
}

#[test]
fn the_newer_api_of_load_balancers_is_refused_by_name() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let answer = server.query_as(&Key::any(), "elasticloadbalancing", "2015-12-01", "DescribeLoadBalancers", &[]);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("elasticloadbalancing-v2"), "{answer:?}");
}
