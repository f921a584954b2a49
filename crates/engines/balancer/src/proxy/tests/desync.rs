//! What the three modes do with requests that are not compliant, and with their connections.

use super::*;
use crate::proxy::http1::tests::oracle::cases;

fn world(desync_mode: DesyncMode) -> World {
    World::with(Setting { desync_mode, ..Setting::default() })
}

fn counted(world: &World) -> u64 {
    world.route.node.metrics.desync_non_compliant.load(Ordering::Relaxed)
}

/// Every request of the oracle, in every mode: refused with 400 before any target hears of it, or served; counted once
/// if it isn't compliant; and after an ambiguous one that was served both connections are closed.
#[tokio::test(flavor = "local", start_paused = true)]
async fn every_request_of_the_oracle_is_refused_or_served_as_its_class_and_the_mode_say() {
    for mode in [DesyncMode::Monitor, DesyncMode::Defensive, DesyncMode::Strictest] {
        let mut world = world(mode);
        for case in cases().iter().filter(|case| !case.is_other_on_its_way()) {
            let before = counted(&world);
            let name = format!("{} ({}) in {mode:?}", case.name, case.tier);
            let mut client = world.client();
            client.say_bytes(&case.wire()).await;
            client.close_half().await;
            let served = tokio::time::timeout(Duration::from_secs(1), world.connected.recv()).await;
            let is_served = if let Ok(Some((_, stream))) = served {
                let mut target = Peer { stream, heard: Vec::new() };
                let head = target.hear_head().await;
                assert!(head.contains("\r\nX-Forwarded-For: "), "{name}: {head}");
                true
            } else {
                let answer = client.hear_all().await;
                assert!(answer.starts_with("HTTP/1.1 400 BAD_REQUEST\r\n"), "{name}: {answer}");
                false
            };
            drop(client);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(counted(&world) - before, u64::from(case.tier != "Compliant"), "{name}");
            match (case.tier.as_str(), mode) {
                ("Severe", DesyncMode::Defensive | DesyncMode::Strictest) => assert!(!is_served, "{name}"),
                ("Acceptable" | "Ambiguous", DesyncMode::Strictest) => assert!(!is_served, "{name}"),
                ("Acceptable", _) => assert!(is_served, "{name}"),
                _ => {}
            }
        }
    }
}

const AMBIGUOUS: &str = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

#[tokio::test(flavor = "local", start_paused = true)]
async fn after_an_ambiguous_request_defensive_closes_both_connections() {
    let mut world = world(DesyncMode::Defensive);
    let mut client = world.client();
    client.say(AMBIGUOUS).await;
    let mut target = world.target().await;
    target.hear_until("hi").await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = client.hear_all().await;
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("ok"), "{answer}");
    target.assert_closed().await;
    assert_eq!((counted(&world), world.worker.pools.len()), (1, 0));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn monitor_counts_an_ambiguous_request_and_goes_on_where_its_end_is_certain() {
    let mut world = world(DesyncMode::Monitor);
    let mut client = world.client();
    client.say(AMBIGUOUS).await;
    let mut target = world.target().await;
    target.hear_until("hi").await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.hear_until("\r\n\r\nok").await;
    exchange(&mut client, &mut target).await;
    assert_eq!(counted(&world), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn monitor_serves_a_severe_request_in_its_one_reading_and_nothing_that_follows_it() {
    let mut world = world(DesyncMode::Monitor);
    let mut client = world.client();
    let lines = "Content-Length: 50, 50\r\nTransfer-Encoding: chunked\r\n";
    client.say(&format!("POST /1 HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let mut target = world.target().await;
    let heard = target.hear_head().await;
    assert_eq!(target.hear_until("\r\n\r\n").await, "0\r\n\r\n");
    assert!(heard.contains("Transfer-Encoding: chunked") && !heard.contains("Content-Length"), "{heard}");
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(client.hear_all().await.ends_with("ok"));
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_method_beyond_127_bytes_gets_405() {
    let world = world(DesyncMode::Defensive);
    let mut client = world.client();
    client.say(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(128))).await;
    let answer = client.hear_all().await;
    assert_eq!(answer, "HTTP/1.1 405 METHOD_NOT_ALLOWED\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_http_0_9_request_that_comes_byte_by_byte_is_answered_when_its_line_is_here() {
    let mut world = world(DesyncMode::Defensive);
    let mut client = world.client();
    for byte in b"GET /old\r\n" {
        client.say_bytes(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut target = world.target().await;
    assert!(target.hear_head().await.starts_with("GET /old HTTP/1.1\r\nHost: 127.1.0.1\r\n"));
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").await;
    assert_eq!(client.hear_all().await, "body");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_access_record_names_the_host_without_its_port_and_the_node_where_there_is_none() {
    for (request, expected) in [
        ("GET /x HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", "example.com"),
        ("GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]"),
        ("GET /x HTTP/1.0\r\n\r\n", "127.1.0.1"),
    ] {
        let mut world = World::new();
        let mut client = world.client();
        client.say(request).await;
        let mut target = world.target().await;
        target.hear_head().await;
        target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client.hear_until("\r\n\r\nok").await;
        client.close_half().await;
        client.assert_closed().await;
        let records = crate::proxy::report::RECORDS.with_borrow_mut(std::mem::take);
        let bytes = format!("host: {:?}", expected.as_bytes());
        assert!(records.iter().any(|record| record.contains(&bytes)), "{expected}: {records:?}");
    }
}
