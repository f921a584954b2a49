//! Stopping: what SIGTERM lets finish, and what a second one does not.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Connection, Key, Place, Server};

/// A connection whose request has begun and waits for the rest of its body.
fn half_a_request(server: &Server) -> (Connection, String) {
    let request = server.sqs_request(&Key::any(), "ListQueues", json!({}));
    let (head, body) = request.split_at(request.len() - 1);
    let mut connection = server.connect();
    connection.write(head);
    // The server has it once a later request of another connection was answered.
    server.get("/_millpond/health", &[]);
    (connection, body.to_owned())
}

#[test]
fn sigterm_lets_a_long_poll_answer_empty_and_exits_0() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let url = server.create_queue("jobs");
    let poll = server.sqs_request(&Key::any(), "ReceiveMessage", json!({ "QueueUrl": url, "WaitTimeSeconds": 20 }));
    let mut connection = server.connect();
    connection.write(&poll);
    std::thread::sleep(Duration::from_millis(200));
    let asked = Instant::now();
    server.signal(Signal::TERM);
    let answer = connection.read();
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(server.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn sigterm_lets_a_request_under_way_finish() {
    let place = Place::new();
    let mut server = place.serve(&["--ephemeral"]);
    let (mut connection, rest) = half_a_request(&server);
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    assert!(Connection::try_to(server.address).is_err(), "nothing new is accepted");
    connection.write(&rest);
    assert_eq!(connection.read().status, 200);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let place = Place::new();
    let mut server = place.serve(&["--ephemeral"]);
    let mut connection = server.connect();
    connection.write("GET /_millpond/health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(connection.read().status, 200);
    let asked = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_client_that_never_finishes_is_waited_for_no_longer_than_the_drain_time() {
    let place = Place::new();
    let mut server = place.serve(&["--ephemeral", "--drain-timeout", "0.3"]);
    let _held = half_a_request(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let place = Place::new();
        let mut server = place.serve(&["--ephemeral"]);
        let _held = half_a_request(&server);
        server.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(200));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(code));
    }
}

#[test]
fn messages_and_their_leases_are_there_after_a_restart() {
    let place = Place::new();
    let server = place.serve(&[]);
    let url = server.create_queue("jobs");
    for body in ["taken", "waiting"] {
        server.sqs_ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": body }));
    }
    let taken = server.sqs_ok("ReceiveMessage", json!({ "QueueUrl": url, "VisibilityTimeout": 600 }));
    server.stop();
    let server = place.serve(&[]);
    let url = url.rsplit('/').next().unwrap().to_owned();
    let received = server.sqs_ok("ReceiveMessage", json!({ "QueueUrl": url, "MaxNumberOfMessages": 10 }));
    let bodies: Vec<_> = received["Messages"].as_array().unwrap().iter().map(|m| m["Body"].clone()).collect();
    assert_eq!(bodies.len(), 1, "the lease of {taken} survives a clean restart: {bodies:?}");
    let handle = taken["Messages"][0]["ReceiptHandle"].clone();
    server.sqs_ok("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": handle }));
}
