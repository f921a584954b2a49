//! Long polling: what wakes a waiting receive, and when it gives up.

use std::time::Duration;

use api::sqs::*;
use tokio::time::Instant;

use crate::platform::*;

/// Polls for up to 20 s; the bodies, and after how many seconds they came.
async fn poll(queue: &Queue<'_>) -> (Vec<String>, u64) {
    let started = Instant::now();
    let input = ReceiveMessageInput { wait_time_seconds: Some(20), ..queue.receiving() };
    let messages = queue.try_receive(input).await.unwrap();
    (messages.into_iter().map(|message| message.body.unwrap()).collect(), started.elapsed().as_secs())
}

async fn after_s(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn one(body: &str, seconds: u64) -> (Vec<String>, u64) {
    (strings(&[body]), seconds)
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_at_a_send_and_does_not_wait_for_ten() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let send = async {
        after_s(3).await;
        queue.send("a").await
    };
    assert_eq!(tokio::join!(poll(&queue), send).0, one("a", 3));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_when_a_delay_ends() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("DelaySeconds", "7")]).await;
    queue.send("a").await;
    assert_eq!(poll(&queue).await, one("a", 7));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_when_a_visibility_timeout_ends() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "5")]).await;
    queue.send("a").await;
    queue.take().await;
    assert_eq!(poll(&queue).await, one("a", 5));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_when_a_message_is_freed() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    let free = async {
        after_s(2).await;
        queue.change_visibility(&handle, 0).await.unwrap();
    };
    assert_eq!(tokio::join!(poll(&queue), free).0, one("a", 2));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_gives_up_when_its_time_is_over() {
    let platform = Platform::new().await;
    assert_eq!(poll(&platform.queue("orders").await).await, (Vec::new(), 20));
}

#[tokio::test(start_paused = true)]
async fn a_receive_waits_as_the_queue_says_unless_it_says_otherwise() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("ReceiveMessageWaitTimeSeconds", "9")]).await;
    for (wait, expected) in [(None, 9), (Some(0), 0), (Some(3), 3)] {
        let started = Instant::now();
        let input = ReceiveMessageInput { wait_time_seconds: wait, ..queue.receiving() };
        assert!(queue.try_receive(input).await.unwrap().is_empty());
        assert_eq!(started.elapsed().as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_of_a_deleted_queue_wakes_at_once() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let started = Instant::now();
    let delete = async {
        after_s(1).await;
        queue.delete_queue().await.unwrap();
    };
    let input = ReceiveMessageInput { wait_time_seconds: Some(20), ..queue.receiving() };
    let (received, ()) = tokio::join!(queue.try_receive(input), delete);
    assert_eq!(started.elapsed().as_secs(), 1);
    // Nothing, or that the queue is gone: AWS answers either.
    assert!(received.is_err() || received.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn draining_answers_waiting_receives() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let drain = async {
        after_s(4).await;
        platform.sqs.drain();
    };
    assert_eq!(tokio::join!(poll(&queue), drain).0, (Vec::new(), 4));
    assert_eq!(poll(&queue).await, (Vec::new(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_was_given_up_lends_nothing() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let given_up = tokio::time::timeout(Duration::from_secs(1), poll(&queue)).await;
    assert!(given_up.is_err());
    queue.send("a").await;
    assert_eq!(queue.bodies().await, ["a"]);
}
