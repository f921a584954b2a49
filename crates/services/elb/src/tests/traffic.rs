//! ELB on the real balancer: what the API says is what sockets do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ::api::elb::*;
use balancer::{Balancer, Limits, Options};
use host::SystemClock;
use host::sim::{Seed, SimDisk, SimIds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fakes::FakePlane;
use super::platform::*;
use crate::zones::Zone;

/// Ports of listeners: each test has its own.
static PORT: AtomicU16 = AtomicU16::new(20_080);

fn balancer(disk: &SimDisk) -> Balancer {
    let options = Options {
        clock: Arc::new(SystemClock),
        ids: Arc::new(SimIds::new(Seed(7))),
        disk: Arc::new(disk.clone()),
        spool_dir: "spool".into(),
        limits: Limits::default(),
        worker_threads: 1,
        dns: None,
        takes_over: false,
        inherited: Vec::new(),
    };
    Balancer::start(options).unwrap()
}

/// One zone, whose address no other process is likely to have.
fn zone() -> Vec<Zone> {
    let [low, high] = u16::try_from(std::process::id() % 50_000).unwrap().to_le_bytes();
    let addresses = vec![IpAddr::from([127, 201, high, low.max(1)])];
    vec![Zone { name: "us-east-1a".into(), addresses, internal_addresses: Vec::new() }]
}

/// An HTTP server on a loopback address that answers with `name`, until it is dropped.
struct Backend {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn backend(name: &'static str) -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.ok()?);
                }
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}", name.len());
                socket.write_all(answer.as_bytes()).await.ok()
            });
        }
    });
    Backend { address, task }
}

/// The whole answer to a GET.
async fn get(address: SocketAddr) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

struct Served {
    p: Platform,
    address: SocketAddr,
    balancer: Balancer,
}

/// A load balancer before one instance, on the real thing.
async fn served(disk: &SimDisk, backend: &Backend) -> Served {
    let balancer = balancer(disk);
    let p = platform_on(zone(), Arc::new(FakePlane::default()), Arc::new(balancer.clone())).await;
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    p.ec2.add_instance("i-00000001", "127.0.0.1", "us-east-1a");
    let input = CreateLoadBalancerInput {
        load_balancer_name: "web".into(),
        availability_zones: texts(&["us-east-1a"]),
        listeners: vec![http(port.into(), backend.address.port().into())],
        ..Default::default()
    };
    p.elb.create_load_balancer(&p.call, input).await.unwrap();
    p.register(&["i-00000001"]).await.unwrap();
    let address = SocketAddr::new(zone()[0].addresses[0], port);
    Served { p, address, balancer }
}

async fn state(p: &Platform) -> String {
    let input = DescribeInstanceHealthInput { load_balancer_name: "web".into(), instances: Vec::new() };
    let mut states = p.elb.describe_instance_health(&p.call, input).await.unwrap().instance_states;
    states.remove(0).state.unwrap()
}

#[tokio::test]
async fn a_registered_instance_comes_into_service_and_serves_until_it_is_deregistered() {
    let one = backend("one").await;
    let Served { p, address, balancer } = served(&SimDisk::new(Seed(1)), &one).await;
    until("in service", async || state(&p).await == "InService").await;
    let answer = get(address).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("one"), "{answer}");
    p.deregister(&["i-00000001"]).await.unwrap();
    assert!(get(address).await.starts_with("HTTP/1.1 503 "));
    let input = DeleteLoadBalancerInput { load_balancer_name: "web".into() };
    p.elb.delete_load_balancer(&p.call, input).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed when the deletion is answered");
    assert_eq!(balancer.stats(), []);
}

#[tokio::test]
async fn what_a_load_balancer_was_used_for_is_kept_when_it_is_gone() {
    let one = backend("one").await;
    let Served { p, address, balancer } = served(&SimDisk::new(Seed(1)), &one).await;
    until("in service", async || state(&p).await == "InService").await;
    get(address).await;
    p.elb.meter(&balancer.stats()).await.unwrap();
    p.elb.meter(&balancer.stats()).await.unwrap();
    let bytes: u64 = balancer.stats().iter().map(|node| node.processed_bytes).sum();
    let input = DeleteLoadBalancerInput { load_balancer_name: "web".into() };
    p.elb.delete_load_balancer(&p.call, input).await.unwrap();
    p.elb.meter(&balancer.stats()).await.unwrap();
    let usage = p.elb.usage(p.call.account()).await.unwrap();
    // Two where an hour ends meanwhile; and bytes may have come since they were noted.
    assert_eq!((usage.len(), usage[0].load_balancer.as_str()), (1, "web"));
    assert!((1..=2).contains(&usage[0].hours), "{usage:?}");
    assert!((1..=bytes).contains(&usage[0].bytes), "{usage:?}");
    assert_eq!(p.elb.usage(&::api::AccountId::parse("999999999999").unwrap()).await.unwrap(), []);
    p.elb.reset().await.unwrap();
    assert_eq!(p.elb.usage(p.call.account()).await.unwrap(), []);
}

#[tokio::test]
async fn a_port_of_somebody_else_s_is_refused_and_nothing_is_left_behind() {
    let one = backend("one").await;
    let Served { p, address, .. } = served(&SimDisk::new(Seed(1)), &one).await;
    let taken = TcpListener::bind(SocketAddr::new(address.ip(), PORT.fetch_add(1, Ordering::Relaxed))).await.unwrap();
    let port = i32::from(taken.local_addr().unwrap().port());
    let add = || CreateLoadBalancerListenersInput { load_balancer_name: "web".into(), listeners: vec![http(port, 80)] };
    let answer = p.elb.create_load_balancer_listeners(&p.call, add()).await;
    refused_with(answer, "InvalidConfigurationRequest", "the address is in use");
    drop(taken);
    p.elb.create_load_balancer_listeners(&p.call, add()).await.unwrap();
}

#[tokio::test]
async fn an_instance_of_a_zone_that_goes_says_so_until_it_has_finished() {
    let disk = SimDisk::new(Seed(1));
    let one = backend("one").await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut zones = zone();
    zones.push(Zone { name: "us-east-1b".into(), addresses: vec![], internal_addresses: vec![] });
    let p = platform_on(zones, Arc::new(FakePlane::default()), Arc::new(balancer(&disk))).await;
    let (port, check) = (PORT.fetch_add(1, Ordering::Relaxed), PORT.fetch_add(1, Ordering::Relaxed));
    p.ec2.add_instance("i-00000001", "127.0.0.1", "us-east-1a");
    let listeners = vec![
        // Checked on the first listener's port, used on the second's.
        http(check.into(), one.address.port().into()),
        listener("TCP", port.into(), "TCP", slow.local_addr().unwrap().port().into()),
    ];
    p.create("web", listeners).await.unwrap();
    p.register(&["i-00000001"]).await.unwrap();
    until("in service", async || state(&p).await == "InService").await;
    let mut client = TcpStream::connect(SocketAddr::new(zone()[0].addresses[0], port)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let (mut served, _) = slow.accept().await.unwrap();
    let input = DisableAvailabilityZonesForLoadBalancerInput {
        load_balancer_name: "web".into(),
        availability_zones: texts(&["us-east-1a"]),
    };
    p.elb.disable_availability_zones_for_load_balancer(&p.call, input).await.unwrap();
    let description = async || {
        let input = DescribeInstanceHealthInput { load_balancer_name: "web".into(), instances: Vec::new() };
        let mut states = p.elb.describe_instance_health(&p.call, input).await.unwrap().instance_states;
        states.remove(0).description.unwrap()
    };
    assert_eq!(description().await, "Disable Availability Zone is currently in progress.");
    served.write_all(b"still here").await.unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"still here");
    drop((client, served));
    let off = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";
    until("finished", async || description().await == off).await;
}

#[tokio::test]
async fn access_records_reach_the_bucket_over_a_crash() {
    let disk = SimDisk::new(Seed(1));
    let one = backend("one").await;
    let Served { p, address, balancer: first } = served(&disk, &one).await;
    p.s3.let_write("logs", &["127311923021"]);
    p.modify(super::attributes::log("logs", "", Some(60))).await.unwrap();
    until("in service", async || state(&p).await == "InService").await;
    assert!(get(address).await.ends_with("one"));
    // Records are on the disk within a second; what is not synced by then may go.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let after = disk.crash();
    p.elb.close().await;
    drop(p.elb.clone());
    first.drain(Duration::ZERO).await;
    let second = balancer(&after);
    let elb = open(&p.store, &p.clock, &p.ec2, &p.certificates, &p.s3, zone(), Arc::new(second)).await;
    assert_eq!(elb.publish_logs_now().await, Ok(1));
    let key = p.s3.keys("logs").into_iter().find(|key| key.ends_with(".log")).unwrap();
    let text = p.s3.body("logs", &key);
    assert_eq!(text.lines().count(), 1, "{text}");
    let backend = format!(" {} ", one.address);
    assert!(
        text.contains(" web 127.0.0.1:") && text.contains(&backend) && text.contains(" 200 200 0 3 \"GET http://web:"),
        "{text}"
    );
    assert!(key.contains(&format!("_{}_", address.ip())), "{key}");
}
