//! Queues: created, found, listed, set, tagged, purged, deleted.

use api::Region;
use api::sqs::*;

use crate::platform::*;

#[tokio::test(start_paused = true)]
async fn create_queue_answers_with_a_url_of_the_host_that_the_client_used() {
    let platform = Platform::new().await;
    assert_eq!(platform.queue("orders").await.url, "http://localhost:4566/000000000000/orders");
}

#[tokio::test(start_paused = true)]
async fn creating_a_queue_again_with_equal_values_is_the_same_queue() {
    let platform = Platform::new().await;
    let first = platform.queue_with("orders", &[("DelaySeconds", "5")]).await;
    first.send("kept").await;
    for attributes in [&[][..], &[("DelaySeconds", "5")], &[("VisibilityTimeout", "30")]] {
        assert_eq!(platform.create(&call(), "orders", attributes).await.unwrap(), first.url);
    }
    assert_eq!(first.counts().await, ["0", "0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn creating_a_queue_again_with_another_value_is_refused_by_the_attribute_s_name() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let refused = refusal(platform.create(&call(), "orders", &[("DelaySeconds", "1")]).await);
    let message = "A queue already exists with the same name and a different value for attribute DelaySeconds";
    assert_eq!(refused, ("QueueAlreadyExists".to_owned(), 400, message.to_owned()));
    queue.set(&[("DelaySeconds", "1")]).await.unwrap();
    assert!(platform.create(&call(), "orders", &[("DelaySeconds", "1")]).await.is_ok());
    assert!(platform.create(&call(), "orders", &[("DelaySeconds", "0")]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn tags_are_not_compared_when_a_queue_is_created_again() {
    let platform = Platform::new().await;
    platform.queue("orders").await;
    let input = CreateQueueInput {
        queue_name: "orders".to_owned(),
        tags: map(&[("team", "a")]),
        ..CreateQueueInput::default()
    };
    assert!(platform.sqs.create_queue(&call(), input).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_queue_s_name_is_checked_and_case_sensitive() {
    let platform = Platform::new().await;
    for bad in ["a b", "a.fifo", "a/b", &"q".repeat(81)] {
        let refused = refusal(platform.create(&call(), bad, &[]).await);
        assert_eq!(refused.0, "InvalidParameterValue");
        assert!(refused.2.starts_with("Can only include alphanumeric characters"), "{bad}");
    }
    platform.queue(&"q".repeat(80)).await;
    platform.queue("Orders").await;
    platform.queue("orders").await;
    assert_eq!(platform.sqs.queue_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn fifo_queues_are_checked_and_then_refused_until_they_are_there() {
    let platform = Platform::new().await;
    let caller = call();
    let refused = refusal(platform.create(&caller, "orders.fifo", &[("FifoQueue", "true")]).await);
    assert_eq!((refused.0.as_str(), refused.1), ("AWS.SimpleQueueService.UnsupportedOperation", 400));
    let no_suffix = platform.create(&caller, "orders", &[("FifoQueue", "true")]).await;
    assert_eq!(code(no_suffix), "InvalidParameterValue");
    let bad_scope = [("FifoQueue", "true"), ("DeduplicationScope", "x")];
    assert_eq!(code(platform.create(&caller, "orders.fifo", &bad_scope).await), "InvalidAttributeValue");
    let not_fifo = platform.create(&caller, "orders", &[("FifoQueue", "false")]).await;
    assert_eq!(sentence(not_fifo), "Unknown Attribute FifoQueue.");
    assert_eq!(platform.sqs.queue_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_gone_at_once_with_its_messages() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    queue.delete_queue().await.unwrap();
    let refused = refusal(queue.try_send(queue.message("b")).await);
    let message = "The specified queue does not exist.".to_owned();
    assert_eq!(refused, ("AWS.SimpleQueueService.NonExistentQueue".to_owned(), 400, message));
    assert_eq!(code(queue.delete_queue().await), "AWS.SimpleQueueService.NonExistentQueue");
    platform.advance_s(60).await;
    assert!(platform.queue("orders").await.receive().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_name_rests_for_60_seconds_after_its_queue_was_deleted() {
    let platform = Platform::new().await;
    platform.queue("orders").await.delete_queue().await.unwrap();
    platform.advance_s(59).await;
    let refused = refusal(platform.create(&call(), "orders", &[]).await);
    assert_eq!((refused.0.as_str(), refused.1), ("AWS.SimpleQueueService.QueueDeletedRecently", 400));
    assert_eq!(
        refused.2,
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    );
    assert!(platform.create(&call(), "invoices", &[]).await.is_ok(), "another name does not rest");
    platform.advance_s(1).await;
    assert!(platform.create(&call(), "orders", &[]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_cooldowns_a_queue_can_be_recreated_and_purged_at_once() {
    let platform = Platform::without_cooldowns().await;
    platform.queue("orders").await.delete_queue().await.unwrap();
    let queue = platform.queue("orders").await;
    queue.purge().await.unwrap();
    queue.purge().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn queues_live_per_account_and_region() {
    let platform = Platform::new().await;
    platform.queue("orders").await.send("a").await;
    let elsewhere = api::Call { region: Region::parse("eu-west-1").unwrap(), ..call() };
    let there = Queue { call: elsewhere.clone(), url: "orders".to_owned(), platform: &platform };
    assert_eq!(code(there.try_send(there.message("b")).await), "AWS.SimpleQueueService.NonExistentQueue");
    platform.create(&elsewhere, "orders", &[]).await.unwrap();
    platform.create(&call_of(OTHER_ACCOUNT), "orders", &[]).await.unwrap();
    assert!(there.receive().await.is_empty());
    assert_eq!(there.attribute("QueueArn").await.unwrap(), "arn:aws:sqs:eu-west-1:000000000000:orders");
    assert_eq!(platform.list(&elsewhere, "", None, None).await.queue_urls.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_form_of_queue_url_reaches_its_queue() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for url in [
        "https://sqs.us-east-1.amazonaws.com/000000000000/orders",
        "https://us-east-1.queue.amazonaws.com/000000000000/orders",
        "https://queue.amazonaws.com/000000000000/orders",
        "http://127.0.0.1:9324/000000000000/orders",
        "http://localhost:4566/queue/us-east-1/000000000000/orders",
        "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/orders",
        "http://localhost:9324/queue/orders",
        "/000000000000/orders",
        "orders",
    ] {
        let queue = Queue { url: url.to_owned(), ..queue.clone() };
        queue.send(url).await;
    }
    assert_eq!(queue.counts().await[0], "9");
}

#[tokio::test(start_paused = true)]
async fn the_region_in_a_queue_url_wins_over_the_signature_s() {
    let platform = Platform::new().await;
    let elsewhere = api::Call { region: Region::parse("eu-west-1").unwrap(), ..call() };
    platform.create(&elsewhere, "orders", &[]).await.unwrap();
    let url = "https://sqs.eu-west-1.amazonaws.com/000000000000/orders".to_owned();
    Queue { platform: &platform, call: call(), url }.send("a").await;
    let there = Queue { platform: &platform, call: elsewhere, url: "orders".to_owned() };
    assert_eq!(there.bodies().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_url_without_a_queue_in_it_is_an_invalid_address() {
    let platform = Platform::new().await;
    for (url, expected) in [("http://localhost:4566/", "InvalidAddress"), ("", "MissingParameter")] {
        let queue = Queue { platform: &platform, call: call(), url: url.to_owned() };
        assert_eq!(code(queue.purge().await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn get_queue_url_finds_a_queue_by_name_and_owner() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let get = |name: &str, owner: Option<&str>| {
        let input =
            GetQueueUrlInput { queue_name: name.to_owned(), queue_owner_aws_account_id: owner.map(str::to_owned) };
        let sqs = &platform.sqs;
        async move { sqs.get_queue_url(&call(), input).await.map(|output| output.queue_url.unwrap()) }
    };
    assert_eq!(get("orders", None).await.unwrap(), queue.url);
    assert_eq!(get("orders", Some(ACCOUNT)).await.unwrap(), queue.url);
    for (name, owner) in [("Orders", None), ("nope", None), ("orders", Some(OTHER_ACCOUNT))] {
        assert_eq!(code(get(name, owner).await), "AWS.SimpleQueueService.NonExistentQueue");
    }
}

#[tokio::test(start_paused = true)]
async fn list_queues_goes_in_pages_of_a_prefix() {
    let platform = Platform::new().await;
    for name in ["b2", "a1", "b1", "b3", "c"] {
        platform.queue(name).await;
    }
    let names = |output: &ListQueuesOutput| -> Vec<String> {
        output.queue_urls.iter().map(|url| url.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let all = platform.list(&call(), "", None, None).await;
    assert_eq!((names(&all), all.next_token), (strings(&["a1", "b1", "b2", "b3", "c"]), None));
    let first = platform.list(&call(), "b", Some(2), None).await;
    assert_eq!(names(&first), ["b1", "b2"]);
    let second = platform.list(&call(), "b", Some(2), first.next_token).await;
    assert_eq!((names(&second), second.next_token), (strings(&["b3"]), None));
    assert!(platform.list(&call(), "x", None, None).await.queue_urls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn list_queues_refuses_bad_pages() {
    let platform = Platform::new().await;
    for name in ["a", "b"] {
        platform.queue(name).await;
    }
    let token = platform.list(&call(), "", Some(1), None).await.next_token;
    for (max_results, next_token) in
        [(Some(0), None), (Some(1001), None), (Some(1), Some("x".to_owned())), (None, token)]
    {
        let input = ListQueuesInput { max_results, next_token, queue_name_prefix: None };
        assert_eq!(code(platform.sqs.list_queues(&call(), input).await), "InvalidParameterValue");
    }
}

#[tokio::test(start_paused = true)]
async fn get_queue_attributes_gives_what_was_asked_for() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "20")]).await;
    assert!(queue.attributes(&[]).await.unwrap().is_empty());
    let two = queue.attributes(&["VisibilityTimeout", "QueueArn", "Policy"]).await.unwrap();
    assert_eq!(two, map(&[("QueueArn", &queue.arn()), ("VisibilityTimeout", "20")]));
    assert_eq!(refusal(queue.attributes(&["Foo"]).await).2, "Unknown Attribute Foo.");
    assert_eq!(code(queue.attributes(&["All", "Foo"]).await), "InvalidAttributeName");
    assert_eq!(queue.attributes(&["All"]).await.unwrap().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn counts_follow_messages_from_delayed_to_visible_to_in_flight() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.try_send(SendMessageInput { delay_seconds: Some(10), ..queue.message("late") }).await.unwrap();
    queue.send("now").await;
    assert_eq!(queue.counts().await, ["1", "0", "1"]);
    queue.take().await;
    assert_eq!(queue.counts().await, ["0", "1", "1"]);
    platform.advance_s(10).await;
    assert_eq!(queue.counts().await, ["1", "1", "0"]);
}

#[tokio::test(start_paused = true)]
async fn timestamps_tell_creation_and_the_last_change_of_attributes() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    platform.advance_s(7).await;
    let input = TagQueueInput { queue_url: queue.url.clone(), tags: map(&[("a", "b")]) };
    platform.sqs.tag_queue(&queue.call, input).await.unwrap();
    assert_eq!(queue.attribute("LastModifiedTimestamp").await.unwrap(), START.as_secs().to_string());
    queue.set(&[("DelaySeconds", "1")]).await.unwrap();
    assert_eq!(queue.attribute("CreatedTimestamp").await.unwrap(), START.as_secs().to_string());
    assert_eq!(queue.attribute("LastModifiedTimestamp").await.unwrap(), (START.as_secs() + 7).to_string());
}

#[tokio::test(start_paused = true)]
async fn set_queue_attributes_is_all_or_nothing() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let refused = refusal(queue.set(&[("DelaySeconds", "5"), ("VisibilityTimeout", "43201")]).await);
    assert_eq!(refused.0, "InvalidAttributeValue");
    assert_eq!(refused.2, "Invalid value for the parameter VisibilityTimeout.");
    assert_eq!(queue.attribute("DelaySeconds").await.unwrap(), "0");
    assert_eq!(sentence(queue.set(&[("FifoQueue", "true")]).await), "Unknown Attribute FifoQueue.");
    assert_eq!(sentence(queue.set(&[("QueueArn", "x")]).await), "Unknown Attribute QueueArn.");
}

#[tokio::test(start_paused = true)]
async fn a_changed_visibility_timeout_holds_for_the_next_receive() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    queue.set(&[("VisibilityTimeout", "5")]).await.unwrap();
    queue.take().await;
    platform.advance_s(5).await;
    assert_eq!(queue.bodies().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn purge_takes_visible_delayed_and_in_flight_messages() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("in flight").await;
    queue.take().await;
    queue.send("visible").await;
    queue.try_send(SendMessageInput { delay_seconds: Some(1), ..queue.message("delayed") }).await.unwrap();
    queue.purge().await.unwrap();
    assert_eq!(queue.counts().await, ["0", "0", "0"]);
    platform.advance_s(100).await;
    assert!(queue.receive().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_purged_once_in_60_seconds() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.purge().await.unwrap();
    platform.advance_s(59).await;
    let message = "Only one PurgeQueue operation on orders is allowed every 60 seconds.".to_owned();
    let refused = refusal(queue.purge().await);
    assert_eq!(refused, ("AWS.SimpleQueueService.PurgeQueueInProgress".to_owned(), 403, message));
    platform.queue("invoices").await.purge().await.unwrap();
    platform.advance_s(1).await;
    queue.purge().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_replaced_listed_and_removed() {
    let platform = Platform::new().await;
    let input = CreateQueueInput {
        queue_name: "orders".to_owned(),
        tags: map(&[("team", "a")]),
        ..CreateQueueInput::default()
    };
    let url = platform.sqs.create_queue(&call(), input).await.unwrap().queue_url.unwrap();
    let tags = || async {
        let input = ListQueueTagsInput { queue_url: url.clone() };
        platform.sqs.list_queue_tags(&call(), input).await.unwrap().tags
    };
    let tag = |pairs: &[(&str, &str)]| {
        let input = TagQueueInput { queue_url: url.clone(), tags: map(pairs) };
        let sqs = &platform.sqs;
        async move { sqs.tag_queue(&call(), input).await }
    };
    let untag = |keys: &[&str]| {
        let input = UntagQueueInput { queue_url: url.clone(), tag_keys: strings(keys) };
        let sqs = &platform.sqs;
        async move { sqs.untag_queue(&call(), input).await }
    };
    tag(&[("team", "b"), ("empty", "")]).await.unwrap();
    assert_eq!(tags().await, map(&[("empty", ""), ("team", "b")]));
    untag(&["team", "unknown"]).await.unwrap();
    assert_eq!(tags().await, map(&[("empty", "")]));
    assert_eq!(code(tag(&[]).await), "MissingParameter");
    assert_eq!(code(untag(&[]).await), "MissingParameter");
    let many: Vec<(String, String)> = (0..50).map(|n| (n.to_string(), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(sentence(tag(&many).await), "Too many tags added for queue orders.");
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_happened_under_cloudwatch_s_names() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("12345").await;
    queue.delete(&queue.take().await).await.unwrap();
    queue.receive().await;
    let stats = platform.sqs.queue_stats(10).remove(0);
    assert_eq!((stats.queue_name.as_str(), stats.number_of_messages_sent), ("orders", 1));
    assert_eq!((stats.number_of_messages_received, stats.number_of_messages_deleted), (1, 1));
    assert_eq!((stats.number_of_empty_receives, stats.sent_message_size_sum), (1, 5));
    platform.queue("more").await;
    assert_eq!(platform.sqs.queue_stats(1).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reset_leaves_nothing_behind() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    platform.queue("gone").await.delete_queue().await.unwrap();
    platform.sqs.reset().await.unwrap();
    assert_eq!(platform.sqs.queue_count(), 0);
    assert!(platform.queue("gone").await.receive().await.is_empty(), "cooldowns are forgotten");
    assert!(platform.queue("orders").await.receive().await.is_empty());
    assert!(platform.sqs.health().is_ok());
}
