//! The way out of a VPC, in a host of its own with an internet of its own.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::process::Command;

use machines::Ipv4Network;
use nix::sched::{CloneFlags, unshare};

use crate::lab::{Lab, anyone, everything, group, may_be_privileged, subnet_id};

const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

/// Runs `test` on a host whose only cable leads to a world with a server, TCP and UDP, on port 7.
fn on_a_host_of_its_own<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let host = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let host = std::process::id();
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let world = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            ip(&format!("link add world type veth peer name cable netns /proc/{host}/task/{thread}/ns/net"));
            ip("link set world up");
            ip(&format!("addr add {WORLD}/24 dev world"));
            let tcp = TcpListener::bind(SocketAddrV4::new(WORLD, 7)).unwrap();
            let udp = UdpSocket::bind(SocketAddrV4::new(WORLD, 7)).unwrap();
            std::thread::spawn(move || {
                for mut stream in tcp.incoming().flatten() {
                    std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
                }
            });
            std::thread::spawn(move || {
                let mut datagram = [0; 2048];
                while let Ok((length, from)) = udp.recv_from(&mut datagram) {
                    let _ = udp.send_to(&datagram[..length], from);
                }
            });
            ready.send(()).unwrap();
            let _ = is_done.recv();
        });
        is_ready.recv().unwrap();
        ip("link set lo up");
        ip("link set cable up");
        ip("addr add 203.0.113.1/24 dev cable");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test());
        drop(done);
        world.join().unwrap();
    });
    host.join().unwrap();
}

/// Echoes over TCP and UDP, then tries what must not work.
const TRAVELLER: &str = "#!/usr/bin/python3
import socket
def attempt(name, work):
    try: print(name, work(), flush=True)
    except OSError as e: print(name, type(e).__name__, flush=True)
def tcp(to, port=7):
    s = socket.create_connection((to, port), 2); s.sendall(b'x' * 300000); s.shutdown(socket.SHUT_WR)
    total = 0
    while True:
        d = s.recv(65536)
        if not d: return total
        total += len(d)
def udp(to):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.sendto(b'hello', (to, 7)); return s.recvfrom(99)
attempt('tcp', lambda: tcp('203.0.113.80'))
attempt('udp', lambda: udp('203.0.113.80'))
attempt('closed', lambda: tcp('203.0.113.80', 9))
attempt('own', lambda: tcp('203.0.113.1'))
attempt('link-local', lambda: tcp('169.254.170.2'))
attempt('loopback-of-router', lambda: tcp('169.254.169.251', 65001))
attempt('denied', lambda: tcp('198.51.100.1'))
print('travelled', flush=True)
";

#[test]
fn a_subnet_with_a_route_to_the_internet_reaches_it_and_nothing_of_the_host() {
    if !may_be_privileged() {
        return;
    }
    on_a_host_of_its_own(|| async {
        let mut lab = Lab::privileged().await;
        lab.vpc().subnets.get_mut(&subnet_id()).unwrap().internet = true;
        let id = lab.launch(5, TRAVELLER).await;
        let console = lab.wait_for_console(&id, "travelled").await;
        for wanted in [
            "tcp 300000\n",
            "udp (b'hello', ('203.0.113.80', 7))\n",
            "closed ConnectionResetError\n",
            "own ConnectionResetError\n",
        ] {
            assert!(console.contains(wanted), "no {wanted:?} in:\n{console}");
        }
        for never in ["link-local", "loopback-of-router", "denied"] {
            let line = console.lines().find(|line| line.starts_with(never)).unwrap();
            assert!(line.contains("Error"), "{line}");
        }
        lab.close().await;
    });
}

#[test]
fn without_a_route_or_without_an_egress_rule_nothing_gets_out() {
    if !may_be_privileged() {
        return;
    }
    on_a_host_of_its_own(|| async {
        let mut lab = Lab::privileged().await;
        let user_data =
            format!("#!/bin/bash\ntimeout 1 bash -c '</dev/tcp/{WORLD}/7' && echo out || echo in\necho tried\n");
        let no_route = lab.launch(5, &user_data).await;
        assert!(lab.wait_for_console(&no_route, "tried").await.contains("in\n"));
        lab.vpc().subnets.get_mut(&subnet_id()).unwrap().internet = true;
        let world = Ipv4Network { address: WORLD, prefix: 32 };
        let inside = machines::SecurityGroup {
            ingress: Vec::new(),
            egress: vec![everything(machines::Peer::Network(Ipv4Network {
                address: Ipv4Addr::new(10, 0, 0, 0),
                prefix: 8,
            }))],
        };
        let outside =
            machines::SecurityGroup { ingress: Vec::new(), egress: vec![everything(machines::Peer::Network(world))] };
        lab.vpc().groups.extend([(group("inside"), inside), (group("outside"), outside)]);
        let spec = lab.spec(6, &user_data);
        let no_rule = lab.launch_spec(6, spec, &[group("inside")]).await;
        assert!(lab.wait_for_console(&no_rule, "tried").await.contains("in\n"));
        let spec = lab.spec(7, &user_data);
        let with_rule = lab.launch_spec(7, spec, &[group("outside")]).await;
        assert!(lab.wait_for_console(&with_rule, "tried").await.contains("out\n"));
        let _ = anyone();
        lab.close().await;
    });
}
