//! Request smuggling: attacks sent through every desync mode to three servers that read HTTP each in its own way.
//!
//! What no server may ever see is a request that hides in another one, and no client may ever get another's answer. A
//! server answers with the target that it was asked for, and keeps a list; hidden requests are for targets of their own.
//!
//! Needs nginx, node and python3; `cargo x test` installs them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;
#[path = "smuggling/corpus.rs"]
mod corpus;
#[path = "smuggling/servers.rs"]
mod servers;

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use balancer::DesyncMode;
use common::http::Client;
use common::{Lab, free_address, http_listener, load_balancer, target};
use corpus::Attack;
use servers::Server;

const MODES: [DesyncMode; 3] = [DesyncMode::Monitor, DesyncMode::Defensive, DesyncMode::Strictest];

/// A server, and a load balancer in front of it for each mode.
struct Street {
    server: Server,
    addresses: Vec<SocketAddr>,
}

#[test]
fn no_server_sees_a_request_that_hides_in_another_in_any_mode() {
    let lab = Lab::start();
    let streets = open(&lab);
    let attacks = corpus::attacks();
    assert!(attacks.len() >= 100, "{}", attacks.len());
    std::thread::scope(|scope| {
        for street in &streets {
            for (&address, mode) in street.addresses.iter().zip(MODES) {
                let attacks = &attacks;
                scope.spawn(move || attack_all(address, attacks, &format!("{}, {mode:?}", street.server.name)));
            }
        }
    });
    let expected = MODES.len() * attacks.len();
    for street in &streets {
        let seen = street.server.seen_with(|seen| seen.matches("/canary-").count() >= expected);
        let hidden: Vec<_> = seen.lines().filter(|line| line.contains("/hidden-")).collect();
        assert!(hidden.is_empty(), "{} saw {hidden:?}", street.server.name);
        let bad: Vec<_> =
            seen.lines().filter(|line| line.starts_with("BAD HPE_INVALID") && !line.contains("EOF")).collect();
        assert!(bad.is_empty(), "{} was sent what it calls {bad:?}", street.server.name);
        for (index, attack) in attacks.iter().enumerate() {
            let count = seen.lines().filter(|line| line.split(' ').nth(1) == Some(&corpus::open_path(index))).count();
            assert!(count <= MODES.len(), "{}: {} came {count} times", street.server.name, attack.name);
        }
        // Attacks that are refused prove little; many must have come through, in the form the balancer gave them.
        let served = seen.matches("/open-").count();
        assert!(served > attacks.len() / 2, "{}: only {served} came through", street.server.name);
    }
    let non_compliant: u64 = lab.stats().iter().map(|node| node.desync_non_compliant).sum();
    assert!(non_compliant > (attacks.len() * streets.len()) as u64, "{non_compliant}");
    assert_eq!(lab.panics(), 0);
}

fn open(lab: &Lab) -> Vec<Street> {
    let mut streets = Vec::new();
    let mut load_balancers = Vec::new();
    for (number, server) in servers::start().into_iter().enumerate() {
        let mut addresses = Vec::new();
        for (place, mode) in MODES.into_iter().enumerate() {
            let address = free_address(&format!("127.72.{number}.{}", place + 1));
            let listener = http_listener(address.port(), server.port);
            let id = (number * MODES.len() + place + 1) as u64;
            let mut made = load_balancer(id, address.ip(), [listener], [target(number, IpAddr::from([127, 0, 0, 1]))]);
            made.desync_mode = mode;
            load_balancers.push(made);
            addresses.push(address);
        }
        streets.push(Street { server, addresses });
    }
    lab.publish(load_balancers.iter().cloned());
    for made in load_balancers {
        let is_up = || lab.balancer.target_health(made.id).iter().all(common::is_in_service);
        common::eventually("the servers are in service", is_up);
    }
    streets
}

/// Sends each attack, and after each an honest request, which must get its own answer.
fn attack_all(address: SocketAddr, attacks: &[Attack], whence: &str) {
    for (index, attack) in attacks.iter().enumerate() {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // A connection that is refused in the middle is as good as an answer.
        let is_sent = client.write_all(&attack.bytes(index)).is_ok();
        if is_sent && client.shutdown(Shutdown::Write).is_ok() {
            let mut answers = Vec::new();
            let read = client.read_to_end(&mut answers);
            let is_over = read.as_ref().map_err(std::io::Error::kind);
            assert_ne!(is_over, Err(std::io::ErrorKind::WouldBlock), "{whence}: {} is never answered", attack.name);
            let answers = String::from_utf8_lossy(&answers);
            assert!(!answers.contains("/hidden-"), "{whence}: {} is answered {answers}", attack.name);
        }
        let canary = format!("/canary-{index}");
        let answer = Client::connect(address).unwrap().get(&canary).unwrap();
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!((answer.status(), body), (200, canary), "{whence}: after {}", attack.name);
    }
}
