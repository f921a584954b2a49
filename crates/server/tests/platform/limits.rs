//! Limits: what too much costs its sender, and nobody else.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Key, Place, Server, eventually};

const TIGHT: &str = "\
ephemeral = true
[limits]
header_bytes_max = 8192
header_timeout_s = 0.4
keep_alive_timeout_s = 0.4
body_bytes_max = 10000
body_idle_timeout_s = 0.4
body_timeout_s = 1.5
";

fn tight() -> (Place, Server) {
    let place = Place::new();
    place.write("millpond.toml", TIGHT);
    let server = place.serve(&[]);
    (place, server)
}

#[test]
fn headers_beyond_the_limit_are_refused() {
    let (_place, server) = tight();
    let long = "x".repeat(9000);
    assert_eq!(server.get("/", &[("x-long", &long)]).status, 431);
    let names: Vec<String> = (0..150).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(server.get("/", &many).status, 431);
}

#[test]
fn a_body_beyond_the_limit_gets_the_services_own_error_before_it_is_read() {
    let (_place, server) = tight();
    for announced in ["content-length: 10001", "transfer-encoding: chunked"] {
        let mut connection = server.connect();
        connection.write(&format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: AmazonSQS.SendMessage\r\n{announced}\r\n\r\n"
        ));
        if announced.starts_with("transfer") {
            // The server may have heard enough before we have said it all.
            let _ = connection.try_write(&format!("4000\r\n{}\r\n", "x".repeat(0x4000)));
        }
        let answer = connection.read();
        assert_eq!(answer.status, 413, "{announced}");
        assert!(answer.json()["__type"].as_str().unwrap().ends_with("RequestEntityTooLarge"), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = server.send("POST", "/?Action=ListQueues&Version=2012-11-05", &form, &"x".repeat(10_001));
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("<Code>RequestEntityTooLarge</Code>"), "{answer:?}");
}

#[test]
fn a_client_that_is_refused_while_it_still_sends_gets_to_read_why() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let body = "x".repeat(20 << 20);
    let headers = [("x-amz-target", "AmazonSQS.SendMessage"), ("content-type", "application/x-amz-json-1.0")];
    for _ in 0..5 {
        assert_eq!(server.send("POST", "/", &headers, &body).status, 413);
    }
}

#[test]
fn a_head_that_drips_is_cut_off() {
    let (_place, server) = tight();
    let mut connection = server.connect();
    let started = Instant::now();
    while connection.try_write("GET").is_ok() && started.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn a_connection_without_a_word_and_one_without_another_request_are_closed() {
    let (_place, server) = tight();
    assert!(server.connect().is_closed_silently());
    let mut connection = server.connect();
    connection.write("GET /_millpond/health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(connection.read().status, 200);
    assert!(connection.is_closed_silently());
}

#[test]
fn a_body_that_stops_gets_an_answer_that_says_so() {
    let (_place, server) = tight();
    let mut connection = server.connect();
    let request = server.sqs_request(&Key::any(), "ListQueues", json!({}));
    connection.write(&request[..request.len() - 1]);
    let answer = connection.read();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("RequestTimeout"), "{answer:?}");
}

#[test]
fn a_body_that_drips_is_ended_too() {
    let (_place, server) = tight();
    let mut connection = server.connect();
    connection.write(
        "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: AmazonSQS.ListQueues\r\ncontent-length: 9000\r\n\r\n",
    );
    let started = Instant::now();
    while connection.try_write("x").is_ok() && started.elapsed() < Duration::from_secs(8) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn a_long_poll_is_not_held_to_the_limits_of_those_who_dawdle() {
    let (_place, server) = tight();
    let url = server.create_queue("jobs");
    let started = Instant::now();
    let answer = server.sqs("ReceiveMessage", json!({ "QueueUrl": url, "WaitTimeSeconds": 2 }));
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert!(started.elapsed() >= Duration::from_secs(2));
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let place = Place::new();
    place.write("millpond.toml", "ephemeral = true\n[limits]\nconnections_max = 1\n");
    let server = place.serve(&[]);
    let first = server.connect();
    std::thread::sleep(Duration::from_millis(100));
    let mut second = server.connect();
    second.write("GET /_millpond/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    drop(first);
    assert_eq!(second.read().status, 200);
}

#[test]
fn what_is_no_http_gets_400_and_harms_nobody() {
    let (_place, server) = tight();
    for noise in ["\0\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nx y: 1\r\n\r\n"] {
        let mut connection = server.connect();
        connection.write(noise);
        assert_eq!(connection.read().status, 400, "{noise:?}");
    }
    assert_eq!(server.send("GET", "/", &[("host", "\u{e9}\u{1}")], "").status, 400);
    let mut connection = server.connect();
    connection.write("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(connection.read().status, 400, "without a Host");
    eventually("the server goes on", || server.get("/_millpond/health", &[]).status == 200);
}
