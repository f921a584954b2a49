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
    let forger = Key { secret: "wrong".into(), ..key };
    let forged = server.elb_as(&forger, "DescribeLoadBalancers", &[]);
    assert_eq!((forged.status, forged.text().contains("SignatureDoesNotMatch")), (403, true), "{forged:?}");
    let forged = server.query_as(&forger, "ec2", "2016-11-15", "DescribeInstances", &[]);
    assert_eq!((forged.status, forged.text().contains("<Code>AuthFailure</Code>")), (401, true), "{forged:?}");
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

/// A connection's answer by a load balancer's name, through the front door.
fn through(server: &Server, dns_name: &str, request: &str) -> Answer {
    let mut connection = server.connect();
    connection.write(&request.replace("HOST", &format!("{dns_name}:{}", server.address.port())));
    connection.read()
}

#[test]
fn a_load_balancers_name_works_through_the_front_door() {
    let fixture = Fixture::start("127.80.0.6");
    let described = fixture.server.elb("DescribeLoadBalancers", &[]);
    let dns_name = between(&described, "<DNSName>", "</DNSName>");
    assert!(dns_name.starts_with("web-") && dns_name.ends_with(".us-east-1.elb.localhost"), "{dns_name}");
    let answer = through(&fixture.server, &dns_name, "GET /a?b=c HTTP/1.1\r\nhost: HOST\r\nx-mine: 1\r\n\r\n");
    let text = answer.text().to_ascii_lowercase();
    assert_eq!(answer.status, 200);
    assert!(text.starts_with("hello\nget /a?b=c http/1.1\r\n"), "{text}");
    for line in [format!("host: {dns_name}:"), "x-mine: 1\r\n".into(), "x-forwarded-for: 127.0.0.1\r\n".into()] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    // Whatever the path: this is no bucket and no page of the front door.
    let answer = through(&fixture.server, &dns_name, "GET /_millpond/health HTTP/1.1\r\nhost: HOST\r\n\r\n");
    assert!(answer.text().starts_with("hello\n"), "{answer:?}");
    let chunked = "POST /up HTTP/1.1\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = through(&fixture.server, &dns_name, chunked);
    assert!(answer.text().starts_with("hello\nPOST /up"), "{answer:?}");
    let body = "POST /up HTTP/1.1\r\nhost: HOST\r\ncontent-length: 3\r\n\r\nabc";
    let answer = through(&fixture.server, &dns_name, body);
    assert!(answer.text().ends_with("abc"), "{answer:?}");
}

#[test]
fn a_name_that_no_load_balancer_has_is_told_so_and_one_without_http_where_to_go() {
    let place = Place::new();
    place.write("millpond.toml", &zone_a("127.81.0.7"));
    let server = place.serve(&["--ephemeral"]);
    let get = "GET / HTTP/1.1\r\nhost: HOST\r\n\r\n";
    let answer = through(&server, "web-0123456789.us-east-1.elb.localhost", get);
    assert_eq!((answer.status, answer.text().contains("`millpond lb ls`")), (404, true), "{answer:?}");
    let port = free_port();
    let dns_name = server.create_load_balancer("db", "TCP", port, 3306);
    let answer = through(&server, &dns_name, get);
    assert_eq!(answer.status, 421);
    assert!(answer.text().contains(&format!("TCP {port} at 127.81.0.7")), "{answer:?}");
}

#[test]
fn security_groups_see_the_client_behind_the_front_door() {
    let fixture = Fixture::start("127.80.0.8");
    let ec2 =
        |action: &str, parameters: &[(&str, &str)]| fixture.server.query_ok("ec2", "2016-11-15", action, parameters);
    let vpcs = ec2("DescribeVpcs", &[]);
    let vpc = between(&vpcs, "<vpcId>", "</vpcId>");
    let created = ec2("CreateSecurityGroup", &[("GroupName", "in"), ("GroupDescription", "x"), ("VpcId", &vpc)]);
    let group = between(&created, "<groupId>", "</groupId>");
    let apply = [("LoadBalancerName", "web"), ("SecurityGroups.member.1", &*group)];
    fixture.server.elb("ApplySecurityGroupsToLoadBalancer", &apply);
    let dns_name = between(&fixture.server.elb("DescribeLoadBalancers", &[]), "<DNSName>", "</DNSName>");
    let get = "GET / HTTP/1.1\r\nhost: HOST\r\n\r\n";
    let answer = through(&fixture.server, &dns_name, get);
    assert_eq!((answer.status, answer.text().contains("do not let 127.0.0.1 in")), (502, true), "{answer:?}");
    let deleted =
        fixture.server.query_as(&Key::any(), "ec2", "2016-11-15", "DeleteSecurityGroup", &[("GroupId", &group)]);
    assert!(deleted.text().contains("DependencyViolation"), "{deleted:?}");
    ec2(
        "AuthorizeSecurityGroupIngress",
        &[
            ("GroupId", &group),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "1"),
            ("IpPermissions.1.ToPort", "65535"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "127.0.0.1/32"),
        ],
    );
    eventually("the rule holds", || through(&fixture.server, &dns_name, get).status == 200);
}

#[test]
fn the_command_line_lists_shows_and_tries_load_balancers() {
    let fixture = Fixture::start("127.80.0.9");
    let lb = |arguments: &[&str]| {
        let output = fixture.place.run(&[&["lb"], arguments, &["--endpoint", &fixture.server.endpoint]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = lb(&["ls"]);
    assert!(listed.contains("web") && listed.contains("1 of 1"), "{listed}");
    let answer = lb(&["curl", "web", "/login", "-i", "-H", "X-Mine: 7", "-d", "user=me"]);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let answer = answer.to_ascii_lowercase();
    for piece in ["\r\n\r\nhello\npost /login", "x-mine: 7", "user=me"] {
        assert!(answer.contains(piece), "{piece}: {answer}");
    }
    let shown = lb(&["status", "web"]);
    let port = fixture.address.port();
    for piece in [&format!("HTTP {port}"), "127.81.0.9", "1 of 1", "InService", "us-east-1a", "127.80.0.9"] {
        assert!(shown.contains(piece), "{piece}: {shown}");
    }
    let used = lb(&["usage"]);
    assert!(used.lines().any(|line| line.contains("us-east-1") && line.contains("web")), "{used}");
    let refusal = fixture.place.refusal(&["lb", "status", "wbe", "--endpoint", &fixture.server.endpoint]);
    assert!(refusal.contains("there is no load balancer wbe; there are web"), "{refusal}");
}

#[test]
fn an_instance_that_fails_its_checks_is_shown_with_the_reason() {
    let fixture = Fixture::start("127.80.0.10");
    fixture.server.check_often("web", "TCP:1");
    let shown = || {
        let arguments = ["lb", "status", "web", "--once", "--endpoint", &fixture.server.endpoint];
        String::from_utf8(fixture.place.run(&arguments).stdout).unwrap()
    };
    eventually("the instance is out of service", || shown().contains("OutOfService"));
    let shown = shown();
    assert!(shown.contains("has failed at least the UnhealthyThreshold number of health checks"), "{shown}");
    assert!(shown.contains("The last check: "), "{shown}");
}

#[test]
fn in_strict_mode_a_key_sees_its_own_load_balancers_and_nobody_else_any() {
    let place = Place::new();
    place.write("millpond.toml", &zone_a("127.81.0.11"));
    let key = Key::create(&place, &["--account", "111122223333"]);
    let other = Key::create(&place, &["--account", "999999999999"]);
    let server = place.serve(&[]);
    let listener = [
        ("LoadBalancerName", "web"),
        ("AvailabilityZones.member.1", "us-east-1a"),
        ("Listeners.member.1.Protocol", "TCP"),
        ("Listeners.member.1.LoadBalancerPort", &free_port().to_string()),
        ("Listeners.member.1.InstancePort", "80"),
    ];
    assert_eq!(server.elb_as(&key, "CreateLoadBalancer", &listener).status, 200);
    assert_eq!(server.get("/_millpond/load-balancers", &[]).status, 403);
    assert_eq!(server.get("/_millpond/usage", &[]).status, 403);
    let listed = |key: &Key| {
        let mut command = place.command(&["lb", "ls", "--endpoint", &server.endpoint]);
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(listed(&key).contains("web"));
    assert_eq!(listed(&other), "");
    let refusal = place.refusal(&["lb", "ls", "--endpoint", &server.endpoint]);
    assert!(refusal.contains("AWS_ACCESS_KEY_ID"), "{refusal}");
}

#[test]
fn metrics_have_cloudwatchs_names() {
    let fixture = Fixture::start("127.80.0.12");
    for _ in 0..3 {
        assert_eq!(fixture.get("/").status, 200);
    }
    let labels = "{account=\"000000000000\",region=\"us-east-1\",load_balancer=\"web\",zone=\"us-east-1a\"}";
    let mut metrics = String::new();
    eventually("three requests are counted", || {
        metrics = fixture.server.get("/metrics", &[]).text();
        metrics.contains(&format!("millpond_elb_RequestCount_total{labels} 3\n"))
    });
    for line in [
        format!("millpond_elb_HTTPCode_Backend_2XX_total{labels} 3\n"),
        format!("millpond_elb_HealthyHostCount{labels} 1\n"),
        format!("millpond_elb_Latency_seconds_count{labels} 3\n"),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[test]
fn usage_outlives_the_process() {
    let Fixture { place, server, address, .. } = Fixture::start("127.80.0.13");
    assert_eq!(get(address, "/").status, 200);
    let usage = |server: &Server| server.get("/_millpond/usage", &[]).json();
    let mut before = serde_json::Value::Null;
    eventually("bytes are counted", || {
        before = usage(&server);
        before[0]["bytes"].as_u64().is_some_and(|bytes| bytes > 100)
    });
    assert_eq!((&before[0]["load_balancer"], &before[0]["hours"]), (&"web".into(), &1.into()));
    server.stop();
    let after = usage(&place.serve(&[]));
    assert!(after[0]["bytes"].as_u64() >= before[0]["bytes"].as_u64(), "{before} {after}");
}

#[test]
fn a_port_that_needs_a_permission_is_refused_with_three_ways_out() {
    if !rustix::process::geteuid().is_root() {
        // Who is not root has the error by itself, in the sentence below; here it is root who gives all up.
        return;
    }
    let threshold = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if threshold.trim() == "0" {
        return;
    }
    let place = Place::new();
    // The binary may stand where nobody else can reach it.
    let binary = place.dir.path().join("millpond");
    std::fs::copy(crate::support::MILLPOND, &binary).unwrap();
    std::os::unix::fs::chown(place.dir.path(), Some(65534), Some(65534)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
    command.arg(&binary).args(["serve", "--listen", "127.0.0.1:0", "--ephemeral"]).current_dir(place.dir.path());
    let server = place.serve_as(&mut command);
    let answer = server.elb_as(
        &Key::any(),
        "CreateLoadBalancer",
        &[
            ("LoadBalancerName", "web"),
            ("AvailabilityZones.member.1", "us-east-1a"),
            ("Listeners.member.1.Protocol", "HTTP"),
            ("Listeners.member.1.LoadBalancerPort", "80"),
            ("Listeners.member.1.InstancePort", "80"),
        ],
    );
    let text = answer.text();
    assert_eq!(answer.status, 409, "{answer:?}");
    for way in ["127.16.0.1:80", "CAP_NET_BIND_SERVICE", "net.ipv4.ip_unprivileged_port_start", "above 1023"] {
        assert!(text.contains(way), "{way}: {text}");
    }
    assert!(!server.elb("DescribeLoadBalancers", &[]).contains("<LoadBalancerName>"), "nothing was created");
}

#[test]
fn dns_answers_with_the_node_of_a_healthy_instance() {
    use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RData, RecordType};
    let place = Place::new();
    let backend = backend("127.80.0.14", "hello");
    // Whoever takes the port in between makes this test fail at its start, and no other.
    let dns = std::net::UdpSocket::bind("127.81.0.14:0").unwrap().local_addr().unwrap();
    let zone_b = "[[zone]]\nname = 'us-east-1b'\naddresses = ['127.81.0.24']\n";
    let settings = format!("{}{zone_b}[dns]\nlisten = '{dns}'\nzone = 'elb.example.com'\n", zone_a("127.81.0.14"));
    place.write("millpond.toml", &settings);
    let machine = add_machine(&place, backend.ip(), "us-east-1a");
    let server = place.serve(&[]);
    let dns_name = server.create_load_balancer("web", "HTTP", free_port(), backend.port());
    assert!(dns_name.ends_with(".us-east-1.elb.example.com"), "{dns_name}");
    let ask = || {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(format!("{dns_name}.")).unwrap(), RecordType::A));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        socket.send_to(&message.to_vec().unwrap(), dns).unwrap();
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..count]).unwrap()
    };
    let zones = [("LoadBalancerName", "web"), ("AvailabilityZones.member.1", "us-east-1b")];
    server.elb("EnableAvailabilityZonesForLoadBalancer", &zones);
    server.check_often("web", &format!("TCP:{}", backend.port()));
    server.register("web", &machine);
    server.wait_in_service("web");
    let answer = ask();
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    let addresses: Vec<String> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(address.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(addresses, ["127.81.0.14"]);
    // The name is served by the front door as well.
    let answer = through(&server, &dns_name, "GET / HTTP/1.1\r\nhost: HOST\r\n\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn a_certificate_in_iam_serves_a_listener_and_stays_while_it_does() {
    let place = Place::new();
    let backend = backend("127.80.0.15", "hello");
    place.write("millpond.toml", &zone_a("127.81.0.15"));
    let machine = add_machine(&place, backend.ip(), "us-east-1a");
    let server = place.serve(&[]);
    let iam = |action: &str, parameters: &[(&str, &str)]| {
        server.query_as(&Key::any(), "iam", "2010-05-08", action, parameters)
    };
    let made = rcgen::generate_simple_self_signed(["web.example.com".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let uploaded = iam(
        "UploadServerCertificate",
        &[("ServerCertificateName", "web"), ("CertificateBody", &certificate), ("PrivateKey", &key)],
    );
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    let arn = between(&uploaded.text(), "<Arn>", "</Arn>");
    let port = free_port();
    server.elb(
        "CreateLoadBalancer",
        &[
            ("LoadBalancerName", "web"),
            ("AvailabilityZones.member.1", "us-east-1a"),
            ("Listeners.member.1.Protocol", "HTTPS"),
            ("Listeners.member.1.LoadBalancerPort", &port.to_string()),
            ("Listeners.member.1.InstanceProtocol", "HTTP"),
            ("Listeners.member.1.InstancePort", &backend.port().to_string()),
            ("Listeners.member.1.SSLCertificateId", &arn),
        ],
    );
    server.check_often("web", &format!("TCP:{}", backend.port()));
    server.register("web", &machine);
    server.wait_in_service("web");
    let answer = get_over_tls((std::net::Ipv4Addr::new(127, 81, 0, 15), port).into(), made.cert.der());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("hello\n"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("x-forwarded-proto: https"), "{answer}");
    let deleted = iam("DeleteServerCertificate", &[("ServerCertificateName", "web")]);
    assert!(deleted.text().contains("<Code>DeleteConflict</Code>"), "{deleted:?}");
    server.elb("DeleteLoadBalancer", &[("LoadBalancerName", "web")]);
    assert_eq!(iam("DeleteServerCertificate", &[("ServerCertificateName", "web")]).status, 200);
}

fn get_over_tls(address: SocketAddr, trusted: &rustls::pki_types::CertificateDer<'static>) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "web.example.com".try_into().unwrap();
    let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, std::net::TcpStream::connect(address).unwrap());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_setting_that_can_not_be_is_refused_by_name() {
    let place = Place::new();
    for (settings, said) in [
        ("[[zone]]\nname = 'rack1'\n", "cannot use zone \"rack1\""),
        (
            "[[zone]]\nname = 'us-east-1a'\naddresses = ['nowhere']\n",
            "cannot use address \"nowhere\" in zone us-east-1a",
        ),
        ("[dns]\nlisten = '127.0.0.1:5300'\n", "set dns.zone"),
        ("[balancer]\nsurge_queue_max = 0\n", "balancer.surge_queue_max"),
        ("[balancer]\nsurge = 0\n", "unknown key `surge`"),
    ] {
        place.write("millpond.toml", settings);
        let refusal = place.refusal(&["serve", "--ephemeral", "--listen", "127.0.0.1:0"]);
        assert!(refusal.contains(said), "{settings}: {refusal}");
    }
}
