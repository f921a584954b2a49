//! Idle timeouts, on both sides.

use tokio::time::Instant;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Whether `since` was one idle timeout ago, as coarse timers see it.
fn assert_one_timeout_since(since: Instant) {
    let elapsed = since.elapsed();
    assert!(elapsed >= IDLE_TIMEOUT && elapsed <= IDLE_TIMEOUT + Duration::from_millis(500), "{elapsed:?}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_never_speaks_is_closed_without_a_word_at_the_idle_timeout() {
    let world = World::new();
    let began = Instant::now();
    world.client().assert_closed().await;
    assert_one_timeout_since(began);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_is_idle_after_a_request_is_closed_without_a_word() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    target.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.hear_head().await;
    let ended = Instant::now();
    client.assert_closed().await;
    assert_one_timeout_since(ended);
    // And so is the pooled connection.
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_head_that_is_not_complete_in_time_gets_408_however_steadily_it_drips() {
    let world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nX: ").await;
    let began = Instant::now();
    for _ in 0..59 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.say("x").await;
    }
    let answer = client.hear_all().await;
    assert!(answer.starts_with("HTTP/1.1 408 REQUEST_TIMEOUT\r\n"), "{answer}");
    assert!(began.elapsed() < IDLE_TIMEOUT + Duration::from_secs(5));
    assert_eq!(world.route.node.metrics.elb_4xx.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_stops_coming_gets_408() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    let mut target = world.target().await;
    target.hear_until("half").await;
    let began = Instant::now();
    assert!(client.hear_head().await.starts_with("HTTP/1.1 408 REQUEST_TIMEOUT\r\n"));
    assert_one_timeout_since(began);
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_drips_is_not_idle() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await;
    let mut target = world.target().await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.say("x").await;
    }
    target.hear_until("\r\n\r\nxxxx").await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_stays_silent_gets_the_client_a_504() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    let began = Instant::now();
    assert!(client.hear_head().await.starts_with("HTTP/1.1 504 GATEWAY_TIMEOUT\r\n"));
    assert_one_timeout_since(began);
    target.assert_closed().await;
    assert_eq!(world.outstanding(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_falls_silent_within_its_answer_ends_the_clients_connection() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    client.hear_until("half").await;
    let began = Instant::now();
    client.assert_closed().await;
    assert_one_timeout_since(began);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_does_not_read_is_given_up_at_the_idle_timeout() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
    let began = Instant::now();
    let filling = target.stream.write_all(&[b'x'; 1_000_000]).await;
    assert!(filling.is_err());
    assert_one_timeout_since(began);
    assert!(client.hear_all().await.len() <= 2 * PIPE_BYTES);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_answer_that_drips_is_not_idle() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(GET).await;
    let mut target = world.target().await;
    target.hear_head().await;
    for piece in ["HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\n", "o", "k"] {
        tokio::time::sleep(Duration::from_secs(50)).await;
        target.say(piece).await;
    }
    client.hear_until("\r\n\r\nok").await;
}
