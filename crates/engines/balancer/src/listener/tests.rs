//! Sockets and seats, without a balancer around them.

use std::io::ErrorKind;
use std::net::TcpStream as StdStream;

use super::*;
use crate::access_record::Spool;
use crate::config::Limits;
use crate::worker::Shared;

fn listening_at(ip: &str) -> (SocketAddr, Vec<Listening>) {
    let free = std::net::TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
    (free, bind(free, 2).unwrap().into_iter().map(|socket| listen(socket).unwrap()).collect())
}

#[test]
fn accepted_sockets_do_not_delay_small_packets_and_do_not_block() {
    let (address, sockets) = listening_at("127.72.0.1");
    let _clients: Vec<_> = (0..20).map(|_| StdStream::connect(address).unwrap()).collect();
    let mut accepted = 0;
    for socket in &sockets {
        while let Ok((stream, _)) = rustix::net::acceptfrom_with(socket, SocketFlags::NONBLOCK) {
            assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
            accepted += 1;
        }
    }
    assert_eq!(accepted, 20);
}

#[test]
fn once_handshakes_are_stopped_the_backlog_is_all_there_is() {
    let (address, sockets) = listening_at("127.72.0.2");
    let mut waiting: Vec<_> = (0..20).map(|_| StdStream::connect(address).unwrap()).collect();
    sockets.iter().for_each(|socket| stop_handshakes(socket));
    let late = StdStream::connect_timeout(&address, Duration::from_millis(200));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    let mut accepted: Vec<StdStream> = Vec::new();
    for socket in &sockets {
        while let Ok((stream, _)) = socket.accept() {
            accepted.push(stream);
        }
    }
    assert_eq!(accepted.len(), 20);
    drop(sockets);
    // What was accepted goes on; the filter that it inherited lets all but new connections through.
    for stream in &mut accepted {
        stream.set_nonblocking(false).unwrap();
        io::Write::write_all(stream, b"x").unwrap();
    }
    for client in &mut waiting {
        io::Read::read_exact(client, &mut [0]).unwrap();
    }
    let gone = StdStream::connect_timeout(&address, Duration::from_secs(3));
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_address_can_be_bound_again_while_connections_that_we_closed_first_are_remembered() {
    let (address, sockets) = listening_at("127.72.0.9");
    let mut clients: Vec<_> = (0..20).map(|_| StdStream::connect(address).unwrap()).collect();
    for socket in &sockets {
        while let Ok((stream, _)) = socket.accept() {
            drop(stream);
        }
    }
    for client in &mut clients {
        assert_eq!(io::Read::read(client, &mut [0]).unwrap(), 0);
    }
    drop(clients);
    assert_eq!(bind(address, 2).unwrap_err().failure, BindFailure::InUse, "somebody listens");
    drop(sockets);
    bind(address, 2).unwrap();
}

#[test]
fn inherited_sockets_are_made_not_to_block() {
    let (address, sockets) = listening_at("127.72.0.3");
    sockets[0].set_nonblocking(false).unwrap();
    let adopted = adopt(sockets[0].try_clone().unwrap().into()).unwrap();
    assert_eq!(adopted.local_addr().unwrap(), address);
    assert_eq!(adopted.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn an_ipv6_address_and_the_ipv4_one_are_two() {
    let ipv4 = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap();
    let both = [ipv4, SocketAddr::new("::".parse().unwrap(), ipv4.port())];
    // Machines without IPv6 have nothing to tell apart.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let bound: Vec<_> = both.into_iter().map(|address| bind(address, 1).unwrap()).collect();
        assert_eq!(bound.len(), 2);
    }
}

fn worker_with(connections_max: usize) -> (Rc<Worker>, Spool, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (clock, ids) = (Arc::new(host::SystemClock), Arc::new(host::SystemIds));
    let disk = Arc::new(host::SystemDisk::new(dir.path().to_path_buf()));
    let spool = Spool::start(disk, "spool".into(), clock.clone()).unwrap();
    let limits = Limits { connections_max, ..Limits::default() };
    let shared = Arc::new(Shared::new(clock, ids, limits));
    (Rc::new(Worker::new(shared, spool.recorder())), spool, dir)
}

#[tokio::test(flavor = "local")]
async fn a_seat_that_becomes_free_wakes_whoever_waits_for_it() {
    let (worker, spool, _dir) = worker_with(1);
    let seat = Seat::take(&worker).unwrap();
    assert!(Seat::take(&worker).is_none());
    let waiting = tokio::task::spawn_local({
        let worker = Rc::clone(&worker);
        async move { worker.shared.seat_free().await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    drop(seat);
    waiting.await.unwrap();
    assert!(Seat::take(&worker).is_some());
    spool.close();
}

#[tokio::test(flavor = "local")]
async fn a_panic_ends_its_connection_only_and_is_counted() {
    let (worker, spool, _dir) = worker_with(10);
    let seat = Seat::take(&worker).unwrap();
    let task = tokio::task::spawn_local(async move {
        let _seat = seat;
        tokio::task::yield_now().await;
        panic!("expected by this test");
    });
    assert!(task.await.is_err());
    assert_eq!(worker.shared.panics.load(Ordering::SeqCst), 1);
    assert_eq!(worker.shared.connections.load(Ordering::SeqCst), 0);
    spool.close();
}
