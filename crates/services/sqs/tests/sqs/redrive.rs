//! Dead-letter queues: when messages move there, and who may name one.

use api::sqs::*;

use crate::platform::*;

fn policy(target: &str, max_receive_count: u32) -> String {
    format!("{{\"deadLetterTargetArn\":\"{target}\",\"maxReceiveCount\":{max_receive_count}}}")
}

/// A source with a visibility timeout of 1 s and its dead-letter queue.
async fn pair(platform: &Platform, max_receive_count: u32) -> (Queue<'_>, Queue<'_>) {
    let dead = platform.queue("dead").await;
    let redrive = policy(&dead.arn(), max_receive_count);
    let source = platform.queue_with("orders", &[("RedrivePolicy", &redrive), ("VisibilityTimeout", "1")]).await;
    (source, dead)
}

#[tokio::test(start_paused = true)]
async fn a_message_moves_on_the_receive_that_would_exceed_the_count() {
    let platform = Platform::new().await;
    let (source, dead) = pair(&platform, 2).await;
    let input = SendMessageInput {
        message_attributes: [("a".to_owned(), text_attribute("String", "kept"))].into(),
        ..source.message("poison")
    };
    let sent = source.try_send(input).await.unwrap();
    for _ in 0..2 {
        assert_eq!(source.bodies().await, ["poison"]);
        platform.advance_s(1).await;
    }
    assert_eq!(dead.counts().await, ["0", "0", "0"]);
    assert!(source.receive().await.is_empty());
    assert_eq!(source.counts().await, ["0", "0", "0"]);
    let input = ReceiveMessageInput {
        message_attribute_names: strings(&["All"]),
        message_system_attribute_names: strings(&["DeadLetterQueueSourceArn", "SentTimestamp"]),
        ..dead.receiving()
    };
    let moved = dead.try_receive(input).await.unwrap().remove(0);
    assert_eq!((moved.message_id, moved.body.as_deref()), (sent.message_id, Some("poison")));
    assert_eq!(moved.md5_of_message_attributes, sent.md5_of_message_attributes);
    assert_eq!(moved.attributes["DeadLetterQueueSourceArn"], source.arn());
    assert_eq!(moved.attributes["SentTimestamp"], START.as_millis().to_string());
}

#[tokio::test(start_paused = true)]
async fn retention_in_the_dead_letter_queue_counts_from_the_first_send() {
    let platform = Platform::new().await;
    let (source, dead) = pair(&platform, 1).await;
    dead.set(&[("MessageRetentionPeriod", "60")]).await.unwrap();
    source.send("poison").await;
    platform.advance_s(58).await;
    source.take().await;
    platform.advance_s(1).await;
    assert!(source.receive().await.is_empty());
    assert_eq!(dead.counts().await[0], "1");
    platform.advance_s(1).await;
    assert_eq!(dead.counts().await[0], "0");
}

#[tokio::test(start_paused = true)]
async fn an_empty_redrive_policy_ends_the_moving() {
    let platform = Platform::new().await;
    let (source, dead) = pair(&platform, 1).await;
    source.send("poison").await;
    source.set(&[("RedrivePolicy", "")]).await.unwrap();
    assert_eq!(source.attribute("RedrivePolicy").await, None);
    for _ in 0..3 {
        assert_eq!(source.bodies().await, ["poison"]);
        platform.advance_s(1).await;
    }
    assert_eq!(dead.counts().await[0], "0");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_queue_must_be_there_of_the_same_account_region_and_kind() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for (target, reason) in [
        ("arn:aws:sqs:us-east-1:000000000000:nope", "Dead letter target does not exist."),
        ("arn:aws:sqs:eu-west-1:000000000000:dead", "Dead-letter queue must be in same region as the source."),
        ("arn:aws:sqs:us-east-1:222222222222:dead", "Dead letter target owner should be same as the source."),
        ("arn:aws:sqs:us-east-1:000000000000:dead.fifo", "Dead-letter queue must be same type of queue as the source."),
        ("arn:aws:sqs:us-east-1:000000000000:orders", "Invalid value for deadLetterTargetArn."),
    ] {
        let policy = policy(target, 3);
        let refused = refusal(queue.set(&[("RedrivePolicy", &policy)]).await);
        let message = format!("Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}");
        assert_eq!(refused, ("InvalidParameterValue".to_owned(), 400, message));
    }
    assert_eq!(queue.attribute("RedrivePolicy").await, None);
    let nowhere = policy("arn:aws:sqs:us-east-1:000000000000:nope", 3);
    assert!(platform.create(&call(), "other", &[("RedrivePolicy", &nowhere)]).await.is_err());
    assert_eq!(platform.sqs.queue_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_allow_policy_decides_who_may_name_the_queue() {
    let platform = Platform::new().await;
    let dead = platform.queue("dead").await;
    let queue = platform.queue("orders").await;
    let redrive = policy(&dead.arn(), 3);
    let by = |arn: &str| format!("{{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"{arn}\"]}}");
    for (allow, allowed) in [
        ("{\"redrivePermission\":\"denyAll\"}".to_owned(), false),
        (by("arn:aws:sqs:us-east-1:000000000000:invoices"), false),
        (by(&queue.arn()), true),
        ("{\"redrivePermission\":\"allowAll\"}".to_owned(), true),
        (String::new(), true),
    ] {
        dead.set(&[("RedriveAllowPolicy", &allow)]).await.unwrap();
        assert_eq!(queue.set(&[("RedrivePolicy", &redrive)]).await.is_ok(), allowed, "{allow}");
    }
    dead.set(&[("RedriveAllowPolicy", "{\"redrivePermission\":\"denyAll\"}")]).await.unwrap();
    queue.set(&[("DelaySeconds", "1")]).await.expect("what was allowed once stays, as on AWS");
}

#[tokio::test(start_paused = true)]
async fn a_source_keeps_its_messages_while_its_dead_letter_queue_is_gone() {
    let platform = Platform::without_cooldowns().await;
    let (source, dead) = pair(&platform, 1).await;
    source.send("poison").await;
    dead.delete_queue().await.unwrap();
    for _ in 0..3 {
        assert_eq!(source.bodies().await, ["poison"]);
        platform.advance_s(1).await;
    }
    let dead = platform.queue("dead").await;
    assert!(source.receive().await.is_empty());
    assert_eq!(dead.bodies().await, ["poison"]);
}

#[tokio::test(start_paused = true)]
async fn the_sources_of_a_dead_letter_queue_are_listed_in_pages() {
    let platform = Platform::new().await;
    let dead = platform.queue("dead").await;
    let redrive = policy(&dead.arn(), 3);
    for name in ["c", "a", "b"] {
        platform.queue_with(name, &[("RedrivePolicy", &redrive)]).await;
    }
    platform.queue("unrelated").await;
    let list = |max_results: Option<i32>, next_token: Option<String>| {
        let input = ListDeadLetterSourceQueuesInput { queue_url: dead.url.clone(), max_results, next_token };
        let sqs = &platform.sqs;
        async move { sqs.list_dead_letter_source_queues(&call(), input).await }
    };
    let urls = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("http://localhost:4566/{ACCOUNT}/{name}")).collect()
    };
    assert_eq!(list(None, None).await.unwrap().queue_urls, urls(&["a", "b", "c"]));
    let first = list(Some(2), None).await.unwrap();
    assert_eq!(first.queue_urls, urls(&["a", "b"]));
    let second = list(Some(2), first.next_token).await.unwrap();
    assert_eq!((second.queue_urls, second.next_token), (urls(&["c"]), None));
    assert_eq!(code(list(Some(1_001), None).await), "InvalidParameterValue");
}
