//! The balancer's own answers, counters and records.

use super::*;
use crate::proxy::report::RECORDS;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn records() -> Vec<String> {
    RECORDS.with_borrow_mut(std::mem::take)
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_not_http_gets_400_and_is_closed() {
    let world = World::new();
    let mut client = world.client();
    client.say("HELLO THERE GENERAL\r\n\r\n").await;
    assert_eq!(client.hear_all().await, "HTTP/1.1 400 BAD_REQUEST\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(world.route.node.metrics.elb_4xx.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_head_beyond_every_bound_gets_400_and_no_more_memory() {
    let world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\n").await;
    let line = format!("X-Long: {}\r\n", "x".repeat(8000));
    for _ in 0..20 {
        if client.stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    assert!(client.hear_all().await.starts_with("HTTP/1.1 400 BAD_REQUEST\r\n"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_answer_that_is_not_http_gets_502() {
    for nonsense in ["ready.\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        let mut world = World::new();
        let mut client = world.client();
        client.say(GET).await;
        let mut target = world.target().await;
        target.hear_head().await;
        target.say(nonsense).await;
        assert!(client.hear_head().await.starts_with("HTTP/1.1 502 BAD_GATEWAY\r\n"), "{nonsense}");
        target.assert_closed().await;
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_only_ever_promises_an_answer_gets_its_client_502() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(101)).await;
    for _ in 0..100 {
        assert!(client.hear_head().await.starts_with("HTTP/1.1 102 "));
    }
    assert!(client.hear_head().await.starts_with("HTTP/1.1 502 BAD_GATEWAY\r\n"));
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_response_head_beyond_its_bound_gets_502() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\n").await;
    let line = format!("X-Long: {}\r\n", "x".repeat(8000));
    for _ in 0..5 {
        if target.stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    assert!(client.hear_head().await.starts_with("HTTP/1.1 502 BAD_GATEWAY\r\n"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_5xx_of_ours_keeps_the_connection() {
    let mut world = World::new();
    world.set_in_service(1, false);
    let mut client = world.client();
    client.say(GET).await;
    assert!(client.hear_head().await.starts_with("HTTP/1.1 503 "));
    world.set_in_service(1, true);
    client.say(GET).await;
    world.target().await.hear_head().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn each_request_is_counted_and_recorded_once() {
    let mut world = World::new();
    records();
    let mut client = world.client();
    client.say("POST /a?b HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8\r\nContent-Length: 3\r\n\r\nabc").await;
    let mut target = world.target().await;
    target.hear_until("\r\n\r\nabc").await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    target.say("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello").await;
    client.hear_until("\r\n\r\nhello").await;
    let metrics = &world.route.node.metrics;
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&metrics.request_count), read(&metrics.backend_2xx)), (1, 1));
    let latency = metrics.latency.read();
    assert_eq!((latency.count(), latency.sum().as_millis()), (1, 250));
    let records = records();
    assert_eq!(records.len(), 1);
    for part in [
        "target: Some(10.0.0.1:8080)",
        "elb_status: Some(201)",
        "backend_status: Some(201)",
        "received_bytes: 3",
        "sent_bytes: 5",
        "backend_processing: Some(250",
        "client: 192.0.2.7:4321",
    ] {
        assert!(records[0].contains(part), "{part} in {}", records[0]);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_the_balancer_answers_is_recorded_without_a_target() {
    let mut world = World::new();
    records();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    drop(target);
    client.hear_head().await;
    let records = records();
    assert_eq!(records.len(), 1);
    for part in ["target: None", "elb_status: Some(502)", "backend_status: None", "request_processing: None"] {
        assert!(records[0].contains(part), "{part} in {}", records[0]);
    }
    assert_eq!(world.route.node.metrics.elb_5xx.load(Ordering::Relaxed), 1);
    assert_eq!(world.route.node.metrics.backend_5xx.load(Ordering::Relaxed), 0);
}
