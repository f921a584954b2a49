//! Retries, stale connections, the surge queue.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client and a target's connection that have had one exchange.
async fn warm(world: &mut World) -> (Peer, Peer) {
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say(OK).await;
    client.hear_until("\r\n\r\nok").await;
    (client, target)
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_connection_that_is_refused_moves_the_request_to_another_target() {
    let mut world = World::with_targets(3);
    world.refuse(1);
    world.refuse(2);
    let mut client = world.client();
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    let (mut target, address) = world.target_and_address().await;
    assert_eq!(address, target_ip(3));
    assert!(target.hear_until("\r\n\r\nhi").await.starts_with("POST / "));
    target.say(OK).await;
    client.hear_until("\r\n\r\nok").await;
    assert_eq!(world.outstanding(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_request_that_three_targets_refuse_gets_504_and_each_refusal_is_counted() {
    let world = World::with_targets(5);
    (1..=5).for_each(|number| world.refuse(number));
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        client.hear_head().await,
        "HTTP/1.1 504 GATEWAY_TIMEOUT\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
    );
    assert_eq!(world.route.node.metrics.backend_connection_errors.load(Ordering::Relaxed), 3);
    assert_eq!(world.route.node.metrics.elb_5xx.load(Ordering::Relaxed), 1);
    assert_eq!(world.outstanding(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_only_target_refusing_means_504_and_none_in_service_503() {
    let world = World::new();
    world.refuse(1);
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.hear_head().await.starts_with("HTTP/1.1 504 "));
    world.set_in_service(1, false);
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.hear_head().await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable: Back-end server is at capacity\r\n"), "{answer}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_idempotent_request_on_a_stale_connection_is_sent_again_on_a_fresh_one() {
    let mut world = World::new();
    let (mut client, mut stale) = warm(&mut world).await;
    client.say("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let first = stale.hear_head().await;
    drop(stale);
    let mut fresh = world.target().await;
    assert_eq!(fresh.hear_head().await, first);
    fresh.say(OK).await;
    client.hear_until("\r\n\r\nok").await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_is_still_here_is_sent_again_with_its_head() {
    let mut world = World::new();
    let (mut client, mut stale) = warm(&mut world).await;
    client.say("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    let first = stale.hear_until("\r\n\r\nhello").await;
    drop(stale);
    let mut fresh = world.target().await;
    assert_eq!(fresh.hear_until("\r\n\r\nhello").await, first);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_is_no_longer_here_is_not_sent_again() {
    let mut world = World::new();
    let (mut client, mut stale) = warm(&mut world).await;
    client.say("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n").await;
    stale.hear_head().await;
    client.say_bytes(&[b'x'; 10_000]).await;
    stale.hear_bytes(10_000).await;
    drop(stale);
    assert!(client.hear_head().await.starts_with("HTTP/1.1 504 GATEWAY_TIMEOUT\r\n"));
    assert!(!world.has_new_connection());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_post_on_a_stale_connection_is_never_sent_twice() {
    let mut world = World::new();
    let (mut client, mut stale) = warm(&mut world).await;
    client.say("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    stale.hear_head().await;
    drop(stale);
    assert!(client.hear_head().await.starts_with("HTTP/1.1 504 GATEWAY_TIMEOUT\r\n"));
    assert!(!world.has_new_connection());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_connection_that_was_closed_while_idle_is_not_used_even_for_a_post() {
    let mut world = World::new();
    let (mut client, stale) = warm(&mut world).await;
    drop(stale);
    client.say("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    let mut fresh = world.target().await;
    fresh.hear_head().await;
    fresh.say(OK).await;
    client.hear_until("\r\n\r\nok").await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_fresh_connection_that_closes_without_an_answer_is_502_and_not_tried_again() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    drop(target);
    assert!(client.hear_head().await.starts_with("HTTP/1.1 502 BAD_GATEWAY\r\n"));
    assert!(!world.has_new_connection());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_stale_connection_that_answered_in_part_is_not_replaced() {
    let mut world = World::new();
    let (mut client, mut stale) = warm(&mut world).await;
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    stale.hear_head().await;
    stale.say("HTTP/1.1 200 OK\r\nContent-").await;
    drop(stale);
    assert!(client.hear_head().await.starts_with("HTTP/1.1 502 BAD_GATEWAY\r\n"));
    assert!(!world.has_new_connection());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn requests_go_to_the_target_with_the_fewest_under_way() {
    let mut world = World::with_targets(2);
    let mut clients = Vec::new();
    let mut addresses = Vec::new();
    let mut targets = Vec::new();
    for _ in 0..4 {
        let mut client = world.client();
        client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let (target, address) = world.target_and_address().await;
        clients.push(client);
        targets.push(target);
        addresses.push(address);
    }
    addresses.sort();
    assert_eq!(addresses, [target_ip(1), target_ip(1), target_ip(2), target_ip(2)]);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn beyond_the_targets_bound_requests_wait_their_turn_in_the_surge_queue() {
    let limits = Limits { target_connections_max: 1, surge_queue_max: 2, ..Limits::default() };
    let mut world = World::with(Setting { limits, ..Setting::default() });
    let mut clients: Vec<Peer> = Vec::new();
    for number in 0..4 {
        let mut client = world.client();
        client.say(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        clients.push(client);
    }
    let metrics = &world.route.node.metrics;
    assert_eq!(world.route.node.surge_queue.load(Ordering::Relaxed), 2);
    assert_eq!(metrics.surge_queue_length_max.load(Ordering::Relaxed), 2);
    // The fourth found the queue full.
    assert!(clients[3].hear_head().await.starts_with("HTTP/1.1 503 Service Unavailable"));
    assert_eq!(metrics.spillover_count.load(Ordering::Relaxed), 1);
    let mut target = world.target().await;
    for (number, client) in clients[..3].iter_mut().enumerate() {
        assert!(target.hear_head().await.starts_with(&format!("GET /{number} ")));
        target.say(OK).await;
        client.hear_until("\r\n\r\nok").await;
    }
    assert!(!world.has_new_connection());
    assert_eq!(world.route.node.surge_queue.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn who_waits_in_the_surge_queue_for_the_idle_timeout_gets_503() {
    let limits = Limits { target_connections_max: 1, ..Limits::default() };
    let mut world = World::with(Setting { limits, ..Setting::default() });
    let mut first = world.client();
    first.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    let mut target = world.target().await;
    let mut second = world.client();
    second.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..70 {
        first.say("x").await;
        target.hear_until("x").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(second.hear_head().await.starts_with("HTTP/1.1 503 "));
    assert_eq!(world.route.node.surge_queue.load(Ordering::Relaxed), 0);
    assert_eq!(world.route.node.metrics.spillover_count.load(Ordering::Relaxed), 0);
}
