//! Bodies both ways: framing, streaming, early answers, upgrades.

use super::*;

const CHUNKED_POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_with_a_length_arrives_whole_and_the_next_request_begins_behind_it() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = world.target().await;
    assert!(target.hear_until("\r\n\r\nhello").await.starts_with("POST /1 "));
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(target.hear_head().await.starts_with("GET /2 "));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_larger_than_any_buffer_streams_through_unchanged_both_ways() {
    let mut world = World::new();
    let mut client = world.client();
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    client.say(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    let mut target = world.target().await;
    target.hear_head().await;
    let (_, echoed) = tokio::join!(client.say_bytes(&body), target.hear_bytes(body.len()));
    assert!(echoed == body);
    target.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    client.hear_head().await;
    let (_, answered) = tokio::join!(target.say_bytes(&body), client.hear_bytes(body.len()));
    assert!(answered == body);
    exchange(&mut client, &mut target).await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_that_does_not_read_stops_the_client_instead_of_filling_memory() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let _target = world.target().await;
    let mut sent = 0;
    let piece = [b'x'; 10_000];
    while tokio::time::timeout(Duration::from_secs(1), client.stream.write_all(&piece)).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < 4 * PIPE_BYTES, "{sent}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn chunks_are_written_anew_and_arrive_with_their_trailers() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(CHUNKED_POST).await;
    let mut target = world.target().await;
    let head = target.hear_head().await;
    assert!(head.to_lowercase().contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
    client.say("5;ext=1\r\nhello\r\n6\r\n wor").await;
    assert_eq!(target.hear_until(" wor\r\n").await, "9\r\nhello wor\r\n");
    client.say("ld\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    assert_eq!(target.hear_until("\r\n\r\n").await, "2\r\nld\r\n0\r\nX-Sum: 1\r\n\r\n");
    target.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.hear_until("\r\n\r\n3\r\nabc\r\n").await;
    target.say("0\r\n\r\n").await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "0\r\n\r\n");
    exchange(&mut client, &mut target).await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn chunks_that_come_byte_by_byte_arrive_whole() {
    let mut world = World::new();
    let mut client = world.client();
    let mut request = CHUNKED_POST.to_owned();
    request.push_str("b\r\nhello world\r\n1\r\n!\r\n0\r\n\r\n");
    let mut target = None;
    for byte in request.as_bytes() {
        client.say_bytes(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if target.is_none() && world.has_new_connection() {
            target = Some(world.target().await);
        }
    }
    let mut target = target.unwrap();
    target.hear_head().await;
    let chunks = target.hear_until("0\r\n\r\n").await;
    let data: Vec<&str> = chunks.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(data.concat(), "hello world!");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_chunk_that_makes_no_sense_gets_400_and_the_target_sees_no_end() {
    let mut world = World::new();
    let mut client = world.client();
    client.say(CHUNKED_POST).await;
    let mut target = world.target().await;
    target.hear_head().await;
    client.say("5\r\nhello\r\nzz\r\n").await;
    assert!(client.hear_all().await.starts_with("HTTP/1.1 400 BAD_REQUEST\r\n"));
    assert!(!target.hear_all().await.contains("0\r\n\r\n"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_leaves_within_its_body_takes_the_targets_connection_along() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    let mut target = world.target().await;
    target.hear_until("half").await;
    drop(client);
    target.assert_closed().await;
    assert_eq!(world.worker.pools.len(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_chunked_answer_is_given_to_an_http_1_0_client_without_chunks_and_ends_with_the_connection() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n").await;
    let answer = client.hear_all().await;
    assert!(answer.ends_with("\r\n\r\nhello!") && !answer.to_lowercase().contains("chunked"), "{answer}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_answer_without_a_length_ends_with_both_connections() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\n\r\nall of").await;
    client.hear_until("all of").await;
    target.say(" it").await;
    drop(target);
    assert_eq!(client.hear_all().await, " it");
    assert_eq!(world.worker.pools.len(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_answer_that_is_cut_short_is_cut_short_for_the_client() {
    for answer in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n8\r\nhalf"] {
        let mut world = World::new();
        let mut client = world.client();
        client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut target = world.target().await;
        target.hear_head().await;
        target.say(&format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        client.hear_until("half").await;
        drop(target);
        assert!(!client.hear_all().await.contains("0\r\n"));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn answers_without_a_body_leave_the_connections_open() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    assert!(client.hear_head().await.contains("Content-Length: 1000\r\n"));
    for status in ["204 No Content", "304 Not Modified"] {
        client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        target.hear_head().await;
        target.say(&format!("HTTP/1.1 {status}\r\n\r\n")).await;
        assert!(client.hear_head().await.starts_with(&format!("HTTP/1.1 {status}\r\n")));
    }
    exchange(&mut client, &mut target).await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn expect_100_continue_is_answered_at_once_and_not_passed_on() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.hear_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    let mut target = world.target().await;
    client.say("hello").await;
    let request = target.hear_until("\r\n\r\nhello").await;
    assert!(!request.to_lowercase().contains("expect"), "{request}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn interim_answers_are_passed_on_except_to_http_1_0_clients() {
    for (version, hints) in [("1.1", true), ("1.0", false)] {
        let mut world = World::new();
        let mut client = world.client();
        client.say(&format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
        let mut target = world.target().await;
        target.hear_head().await;
        target.say("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await;
        target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let answer = client.hear_until("\r\n\r\nok").await;
        assert_eq!(answer.starts_with("HTTP/1.1 103 "), hints, "{answer}");
        assert!(answer.contains("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_answer_that_comes_before_the_body_is_through_reaches_the_client_and_closes_both() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegin").await;
    let mut target = world.target().await;
    target.hear_until("begin").await;
    target.say("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let answer = client.hear_until("\r\n\r\nbig").await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    client.assert_closed().await;
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_target_may_answer_while_it_reads() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await;
    let mut target = world.target().await;
    target.hear_until("\r\n\r\na").await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nA").await;
    client.hear_until("\r\n\r\nA").await;
    client.say("b").await;
    target.hear_until("b").await;
    target.say("B").await;
    client.hear_until("B").await;
    client.say("c").await;
    target.hear_until("c").await;
    target.say("C").await;
    assert_eq!(client.hear_all().await, "C");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_upgrade_that_the_target_accepts_becomes_a_relay_of_bytes() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst").await;
    let mut target = world.target().await;
    let head = target.hear_head().await.to_lowercase();
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(target.is_silent_for(Duration::from_secs(1)).await, "bytes before the upgrade");
    target.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello").await;
    let answer = client.hear_until("\r\n\r\nhello").await.to_lowercase();
    assert!(answer.starts_with("http/1.1 101 ") && answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
    target.hear_until("first").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.say("ping").await;
        target.hear_until("ping").await;
        target.say("pong").await;
        client.hear_until("pong").await;
    }
    client.close_half().await;
    target.assert_closed().await;
    target.say("bye").await;
    drop(target);
    assert_eq!(client.hear_all().await, "bye");
    assert_eq!(world.outstanding(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_silent_upgraded_connection_ends_at_the_idle_timeout() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    client.hear_head().await;
    let began = tokio::time::Instant::now();
    client.assert_closed().await;
    assert!(began.elapsed() >= IDLE_TIMEOUT);
    target.assert_closed().await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_upgrade_that_the_target_declines_is_an_ordinary_request() {
    let mut world = World::new();
    let mut client = world.client();
    client.say("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    client.say("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = world.target().await;
    target.hear_head().await;
    target.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    client.hear_until("\r\n\r\nno").await;
    assert!(target.hear_head().await.starts_with("GET /next "));
}
