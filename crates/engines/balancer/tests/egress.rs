//! Targets that only a node's own network reaches: servers in namespaces behind a router, nothing of it in the host's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, mpsc};

use balancer::{Egress, LoadBalancer, Target};
use common::http::Client;
use common::*;
use nix::sched::{CloneFlags, unshare};

const NODE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 5), Ipv4Addr::new(10, 9, 0, 6)];

fn is_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("not root: networks of the test's own cannot be made");
    }
    is
}

fn ip(arguments: String) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

/// A thread in a network namespace of its own, which lives until the sender is dropped.
fn in_new_namespace(work: impl FnOnce() + Send + 'static) -> (Arc<File>, u32, mpsc::Sender<()>) {
    let (done, is_done) = mpsc::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up".into());
        work();
        #[allow(clippy::disallowed_methods, reason = "a namespace is not on any disk")]
        let namespace = File::open("/proc/thread-self/ns/net").unwrap();
        ready.send((namespace, rustix::thread::gettid().as_raw_nonzero().get())).unwrap();
        let _ = is_done.recv();
    });
    let (namespace, thread) = is_ready.recv().unwrap();
    (Arc::new(namespace), thread.cast_unsigned(), done)
}

/// A router with the node's address, and a server behind each of its cables that says who asks.
struct Networks {
    router: Arc<File>,
    _alive: Vec<mpsc::Sender<()>>,
}

fn networks(port: u16) -> Networks {
    let (router, router_thread, alive) = in_new_namespace(|| ip(format!("addr add {NODE}/32 dev lo")));
    let mut all = vec![alive];
    let process = std::process::id();
    for (number, server) in SERVERS.into_iter().enumerate() {
        let router = Arc::clone(&router);
        let (_, _, alive) = in_new_namespace(move || {
            let there = format!("/proc/{process}/task/{router_thread}/ns/net");
            ip(format!("link add eth0 type veth peer name cable{number} netns {there}"));
            ip(format!("addr add {server}/32 dev eth0"));
            ip("link set eth0 up".into());
            ip(format!("route add {NODE}/32 dev eth0"));
            std::thread::spawn(move || {
                rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&*router), None).unwrap();
                ip(format!("link set cable{number} up"));
                ip(format!("route add {server}/32 dev cable{number} src {NODE}"));
            })
            .join()
            .unwrap();
            let listener = TcpListener::bind((server, port)).unwrap();
            std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, server)));
        });
        all.push(alive);
    }
    Networks { router, _alive: all }
}

fn answer(mut stream: TcpStream, server: Ipv4Addr) {
    std::thread::spawn(move || {
        let peer = stream.peer_addr().unwrap().ip();
        let mut request = [0; 4096];
        while let Ok(1..) = stream.read(&mut request) {
            let body = format!("{server} hears {peer}");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                return;
            }
        }
    });
}

fn balanced(address: std::net::SocketAddr, port: u16, egress: Option<Egress>) -> LoadBalancer {
    let targets = SERVERS.into_iter().enumerate().map(|(number, server)| {
        Arc::new(Target { behind_egress: true, ..(*target(number, IpAddr::V4(server))).clone() })
    });
    let mut load_balancer = load_balancer(1, address.ip(), [http_listener(address.port(), port)], targets);
    load_balancer.nodes[0].egress = egress;
    load_balancer
}

#[test]
fn a_node_reaches_targets_in_its_own_network_from_its_own_address() {
    if !is_root() {
        return;
    }
    let networks = networks(8080);
    let egress = Egress { namespace: Some(Arc::clone(&networks.router)), source: NODE.into() };
    let lab = Lab::start();
    let address = free_address("127.71.9.1");
    lab.serve(balanced(address, 8080, Some(egress)));
    let mut heard: Vec<String> = (0..4)
        .map(|_| {
            let answer = Client::connect(address).unwrap().get("/").unwrap();
            String::from_utf8(answer.body.clone()).unwrap()
        })
        .collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard, SERVERS.map(|server| format!("{server} hears {NODE}")));
    // TCP listeners take the same way; and the workers are still at home: they accept on the host's addresses.
    let tcp = free_address("127.71.9.1");
    let egress = Egress { namespace: Some(networks.router), source: NODE.into() };
    let mut load_balancer = balanced(address, 8080, Some(egress));
    load_balancer.listeners = vec![Arc::new(tcp_listener(tcp.port(), 8080))];
    lab.serve(load_balancer);
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains(&format!("hears {NODE}")));
}

#[test]
fn an_egress_that_cannot_be_used_is_an_error_of_connecting_and_nothing_else() {
    if !is_root() {
        return;
    }
    let networks = networks(8081);
    let lab = Lab::start();
    let address = free_address("127.71.9.2");
    // The address is not the router's.
    let egress = Egress { namespace: Some(Arc::clone(&networks.router)), source: Ipv4Addr::new(10, 9, 0, 77).into() };
    lab.publish([balanced(address, 8081, Some(egress))]);
    assert_eq!(Client::connect(address).unwrap().get("/").unwrap().status(), 503);
    // Nor is that file a namespace.
    #[allow(clippy::disallowed_methods, reason = "a file that is always there")]
    let no_namespace = Arc::new(File::open("/proc/self/status").unwrap());
    let egress = Egress { namespace: Some(no_namespace), source: NODE.into() };
    lab.publish([balanced(address, 8081, Some(egress))]);
    assert_eq!(Client::connect(address).unwrap().get("/").unwrap().status(), 503);
    let egress = Egress { namespace: Some(networks.router), source: NODE.into() };
    lab.serve(balanced(address, 8081, Some(egress)));
    assert_eq!(Client::connect(address).unwrap().get("/").unwrap().status(), 200);
}
