//! Keeping connections, and ending them.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_request_reaches_a_target_with_where_it_came_from() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET /x?y=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test\r\n\r\n").await;
    let head = world.target().await.hear_head().await;
    assert!(head.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{head}");
    for line in ["Host: example.com", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80"] {
        assert!(head.to_lowercase().contains(&format!("\r\n{}\r\n", line.to_lowercase())), "{line} in {head}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_second_request_uses_both_connections_again() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(client.hear_until("\r\n\r\nok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    exchange(&mut client, &mut target).await;
    assert!(!world.has_new_connection());
    assert_eq!(world.outstanding(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn two_clients_share_one_idle_connection() {
    let mut world = World::new();
    let mut first = world.client();
    first.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    first.hear_head().await;
    let mut second = world.client();
    exchange(&mut second, &mut target).await;
    assert!(!world.has_new_connection());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn pipelined_requests_are_answered_in_order_and_sent_one_at_a_time() {
    let mut world = World::new();
    let mut client = world.client();
    client
        .say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut target = world.target().await;
    for number in 1..=3 {
        assert!(target.hear_head().await.starts_with(&format!("GET /{number} ")));
        assert!(target.is_silent_for(Duration::from_secs(1)).await);
        target.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")).await;
        assert!(client.hear_until(&format!("\r\n\r\n{number}")).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_asks_for_close_is_told_and_closed() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut target = world.target().await;
    assert!(!target.hear_head().await.to_lowercase().contains("connection: close"));
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = client.hear_all().await;
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    // The target's connection is none of the client's business.
    let mut second = world.client();
    exchange(&mut second, &mut target).await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_closes_after_its_answer_does_not_close_the_client() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(!client.hear_until("\r\n\r\nok").await.contains("close"));
    target.assert_closed().await;
    client.say(GET).await;
    world.target().await.hear_head().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_http_1_0_client_keeps_its_connection_only_if_it_asks() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let mut target = world.target().await;
    let head = target.hear_head().await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n") && head.contains("Host: 127.1.0.1\r\n"), "{head}");
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(client.hear_until("\r\n\r\nok").await.to_lowercase().contains("\r\nconnection: keep-alive\r\n"));
    client.say("GET / HTTP/1.0\r\n\r\n").await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(client.hear_all().await.ends_with("\r\n\r\nok"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_half_closes_still_gets_its_answer() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    client.close_half().await;
    let mut target = world.target().await;
    target.hear_head().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(client.hear_all().await.ends_with("\r\n\r\nok"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_a_target_says_beyond_its_answer_is_nobodys_answer() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    client.hear_until("\r\n\r\nok").await;
    client.say(GET).await;
    let mut next = world.target().await;
    next.hear_head().await;
    next.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await;
    assert!(client.hear_until("\r\n\r\ngood").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_pooled_connection_that_speaks_out_of_turn_is_not_used() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.hear_until("\r\n\r\nok").await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    client.say(GET).await;
    world.target().await.hear_head().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn draining_closes_idle_connections_and_lets_requests_finish() {
    let mut world = World::new();
    let mut idle = world.client();
    let mut busy = world.client();
    busy.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    world.worker.shared.draining.cancel();
    world.worker.shared.changed();
    idle.assert_closed().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = busy.hear_all().await;
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_listener_that_is_gone_finishes_its_requests_and_closes_its_connections() {
    let mut world = World::new();
    let mut idle = world.client();
    let mut busy = world.client();
    busy.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    world.slot.set(None);
    world.worker.shared.changed();
    idle.assert_closed().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(busy.hear_all().await.ends_with("\r\n\r\nok"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_new_route_holds_for_the_next_request_of_an_open_connection() {
    let mut world = World::with_targets(2);
    world.set_in_service(2, false);
    let mut client = world.client();
    client.say(GET).await;
    let (mut target, address) = world.target_and_address().await;
    assert_eq!(address, target_ip(1));
    target.hear_head().await;
    let mut route = Route { targets: world.route.targets[1..].into(), ..clone_of(&world.route) };
    route.load_balancer = world.route.load_balancer.clone();
    world.set_in_service(2, true);
    world.slot.set(Some(Arc::new(route)));
    world.worker.shared.changed();
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.hear_until("\r\n\r\nok").await;
    client.say(GET).await;
    assert_eq!(world.target_and_address().await.1, target_ip(2));
}

fn clone_of(route: &Route) -> Route {
    Route {
        load_balancer: route.load_balancer.clone(),
        listener: route.listener.clone(),
        node: route.node.clone(),
        targets: route.targets.clone(),
        server_tls: None,
        client_tls: None,
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_is_cut_off_is_answered_for_with_504() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    world.route.targets[0].cut_off();
    world.worker.shared.changed();
    assert!(client.hear_head().await.starts_with("HTTP/1.1 504 GATEWAY_TIMEOUT\r\n"));
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_is_cut_off_mid_answer_ends_the_clients_connection() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    client.hear_until("half").await;
    world.route.targets[0].cut_off();
    world.worker.shared.changed();
    client.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_state_of_an_idle_connection_is_small() {
    let world = World::new();
    let (ours, _theirs) = tokio::io::duplex(1);
    let future =
        super::super::serve(world.worker.clone(), world.slot.clone(), (), Stream::Duplex(ours), (CLIENT, NODE), None);
    let bytes = std::mem::size_of_val(&future);
    assert!(bytes <= 320, "{bytes}");
}
