//! Threads end with the handle. Alone in its process, because it counts them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use common::*;

/// The names of this process' threads that are the balancer's.
fn threads() -> Vec<String> {
    let tasks = std::path::Path::new("/proc/self/task").read_dir().unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("millpond")).collect()
}

#[test]
fn every_thread_ends_with_the_last_handle_and_when_starting_fails() {
    assert_eq!(threads(), Vec::<String>::new());
    let lab = Lab::with(3, balancer::Limits::default(), Vec::new());
    let address = free_address("127.71.2.1");
    lab.publish([load_balancer(1, address.ip(), [http_listener(address.port(), 9)], [target(1, address.ip())])]);
    let running = threads();
    for number in 0..3 {
        assert!(running.contains(&format!("millpond-lb-{number}")), "{running:?}");
    }
    let another = lab.balancer.clone();
    drop(lab);
    assert_eq!(threads().len(), running.len());
    drop(another);
    assert_eq!(threads(), Vec::<String>::new());
    // The port is free again.
    std::net::TcpListener::bind(address).unwrap();

    fail_to_start();
    assert_eq!(threads(), Vec::<String>::new());
}

fn fail_to_start() {
    let spool = tempfile::tempdir().unwrap();
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let started = balancer::Balancer::start(balancer::Options {
        clock: std::sync::Arc::new(host::SystemClock),
        ids: std::sync::Arc::new(host::SystemIds),
        disk: std::sync::Arc::new(host::SystemDisk::new(spool.path().to_path_buf())),
        spool_dir: "spool".into(),
        limits: balancer::Limits::default(),
        worker_threads: 2,
        dns: None,
        // Nobody can listen on a datagram socket.
        takes_over: true,
        inherited: vec![balancer::ListeningSocket { address: datagram.local_addr().unwrap(), fd: datagram.into() }],
    });
    assert!(started.is_err());
}
