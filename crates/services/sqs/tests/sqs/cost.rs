//! What a message costs in this crate, decoding and encoding included, without HTTP, signatures and disk.
//!
//! Run with `cargo test --release -p sqs --test sqs cost -- --ignored --nocapture`.

#![allow(clippy::disallowed_methods, reason = "a measurement takes the machine's own time")]

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::platform::*;

const ROUNDS: u32 = 20_000;
const BATCH: u32 = 10;

/// Sends, receives and deletes ten messages of 256 bytes at a time.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_cost_of_a_message_in_batches_of_ten() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let call = call();
    let body = "x".repeat(256);
    let entries: Vec<Value> = (0..BATCH).map(|n| json!({ "Id": n.to_string(), "MessageBody": body })).collect();
    let send = Bytes::from(json!({ "QueueUrl": queue.url, "Entries": entries }).to_string());
    let receive = Bytes::from(json!({ "QueueUrl": queue.url, "MaxNumberOfMessages": BATCH }).to_string());
    let mut spent_ns = [0; 3];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        platform.sqs.handle(&call, "SendMessageBatch", send.clone()).await;
        let sent = Instant::now();
        let received = platform.sqs.handle(&call, "ReceiveMessage", receive.clone()).await;
        let got = Instant::now();
        let delete = delete_all(&queue.url, &received.body);
        let deleting = Instant::now();
        platform.sqs.handle(&call, "DeleteMessageBatch", delete).await;
        spent_ns[0] += (sent - start).as_nanos();
        spent_ns[1] += (got - sent).as_nanos();
        spent_ns[2] += deleting.elapsed().as_nanos();
    }
    let messages = u128::from(ROUNDS * BATCH);
    for (operation, ns) in ["send", "receive", "delete"].iter().zip(spent_ns) {
        println!("{operation:8} {:5} ns a message in batches of {BATCH}", ns / messages);
    }
    assert_eq!(queue.counts().await, ["0", "0", "0"]);
}

fn delete_all(url: &str, received: &[u8]) -> Bytes {
    let received: Value = serde_json::from_slice(received).unwrap();
    let messages = received["Messages"].as_array().unwrap().iter().enumerate();
    let entries: Vec<Value> = messages
        .map(|(n, message)| json!({ "Id": n.to_string(), "ReceiptHandle": message["ReceiptHandle"] }))
        .collect();
    Bytes::from(json!({ "QueueUrl": url, "Entries": entries }).to_string())
}
