//! Messages: sent, received, hidden, deleted.

use std::collections::BTreeMap;

use api::Call;
use api::sqs::*;
use bytes::Bytes;

use crate::platform::*;

#[tokio::test(start_paused = true)]
async fn a_message_comes_out_as_it_went_in() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let sent = queue.send("hello\r\n\tw\u{f6}rld").await;
    let received = queue.receive().await.remove(0);
    assert_eq!(received.body.as_deref(), Some("hello\r\n\tw\u{f6}rld"));
    assert_eq!(received.message_id, sent.message_id);
    assert_eq!(received.md5_of_body, sent.md5_of_message_body);
    let id = sent.message_id.unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "a version 4 UUID: {id}");
    assert_eq!((sent.sequence_number, received.attributes.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn digests_of_bodies_are_those_of_md5sum() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for (body, md5) in [
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("test", "098f6bcd4621d373cade4e832627b4f6"),
        ("\u{20ac}", "bca53fde466a76b7bee3e18997e94a7a"),
        (&"x".repeat(256), "c7a139a2b8e92164276f778917ba10b9"),
    ] {
        assert_eq!(queue.send(body).await.md5_of_message_body.as_deref(), Some(md5));
        assert_eq!(queue.receive().await.remove(0).md5_of_body.as_deref(), Some(md5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_1_mib_passes_and_one_byte_more_does_not() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send(&"x".repeat(1_048_576)).await;
    let refused = refusal(queue.try_send(queue.message(&"x".repeat(1_048_577))).await);
    let message = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.";
    assert_eq!(refused, ("InvalidParameterValue".to_owned(), 400, message.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_queue_s_own_limit_counts_user_attributes_and_no_system_attributes() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("MaximumMessageSize", "1024")]).await;
    let message = |body: usize| {
        let attribute = MessageAttributeValue {
            data_type: "Binary".to_owned(),
            binary_value: Some(Bytes::from_static(b"12345678")),
            ..MessageAttributeValue::default()
        };
        SendMessageInput {
            message_attributes: BTreeMap::from([("name".to_owned(), attribute)]),
            message_system_attributes: trace("Root=1-5759e988-bd862e3fe1be46a994272793"),
            ..queue.message(&"x".repeat(body))
        }
    };
    let attribute = "name".len() + "Binary".len() + 8;
    queue.try_send(message(1_024 - attribute)).await.unwrap();
    let refused = sentence(queue.try_send(message(1_025 - attribute)).await);
    assert_eq!(refused, "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.");
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_is_a_missing_one() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let refused = refusal(queue.try_send(queue.message("")).await);
    let message = "The request must contain the parameter MessageBody.".to_owned();
    assert_eq!(refused, ("MissingParameter".to_owned(), 400, message));
}

#[tokio::test(start_paused = true)]
async fn a_character_outside_xml_s_is_refused() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for bad in ["\0", "a\u{1}", "\u{b}", "\u{fffe}", "\u{ffff}"] {
        assert_eq!(code(queue.try_send(queue.message(bad)).await), "InvalidMessageContents");
    }
    queue.send("\t\n\r \u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}").await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_0_to_900_seconds_and_overrides_the_queue_s() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("DelaySeconds", "5")]).await;
    let delayed = |body: &str, delay: i32| SendMessageInput { delay_seconds: Some(delay), ..queue.message(body) };
    for bad in [-1, 901] {
        let refused = sentence(queue.try_send(delayed("x", bad)).await);
        let reason = "Reason: DelaySeconds must be >= 0 and <= 900.";
        assert_eq!(refused, format!("Value {bad} for parameter DelaySeconds is invalid. {reason}"));
    }
    queue.send("queue's").await;
    queue.try_send(delayed("none", 0)).await.unwrap();
    queue.try_send(delayed("most", 900)).await.unwrap();
    assert_eq!(queue.bodies().await, ["none"]);
    platform.advance_s(5).await;
    assert_eq!(queue.bodies().await, ["queue's"]);
    platform.advance_s(894).await;
    assert!(!queue.bodies().await.contains(&"most".to_owned()));
    platform.advance_s(1).await;
    assert!(queue.bodies().await.contains(&"most".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn numbers_of_a_receive_are_checked_at_and_past_their_edges() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for (max, good) in [(0, false), (1, true), (10, true), (11, false), (-1, false)] {
        let result = queue.try_receive(ReceiveMessageInput { max_number_of_messages: Some(max), ..queue.receiving() });
        match result.await {
            Ok(_) => assert!(good, "{max}"),
            Err(error) => {
                let reason = "Reason: Must be between 1 and 10, if provided.";
                let message = format!("Value {max} for parameter MaxNumberOfMessages is invalid. {reason}");
                assert_eq!((good, error.message), (false, message));
            }
        }
    }
    for (wait, good) in [(-1, false), (0, true), (20, true), (21, false)] {
        let result =
            queue.try_receive(ReceiveMessageInput { wait_time_seconds: Some(wait), ..queue.receiving() }).await;
        assert_eq!(result.is_ok(), good, "{wait}");
    }
    for (timeout, good) in [(-1, false), (0, true), (43_200, true), (43_201, false)] {
        let input = ReceiveMessageInput { visibility_timeout: Some(timeout), ..queue.receiving() };
        assert_eq!(queue.try_receive(input).await.is_ok(), good, "{timeout}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_takes_one_message_unless_it_asks_for_more() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for n in 0..12 {
        queue.send(&n.to_string()).await;
    }
    queue.take().await;
    assert_eq!((queue.receive().await.len(), queue.receive().await.len()), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn a_visibility_timeout_of_0_leaves_the_message_there_and_counts() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    for expected in ["1", "2", "3"] {
        let input = ReceiveMessageInput {
            visibility_timeout: Some(0),
            message_system_attribute_names: strings(&["ApproximateReceiveCount"]),
            ..queue.receiving()
        };
        let message = queue.try_receive(input).await.unwrap().remove(0);
        assert_eq!(message.attributes, map(&[("ApproximateReceiveCount", expected)]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_when_its_visibility_timeout_ends_under_a_new_handle() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let first = queue.take().await;
    platform.advance_s(29).await;
    assert!(queue.receive().await.is_empty());
    platform.advance_s(1).await;
    assert_ne!(queue.take().await, first);
}

fn trace(header: &str) -> BTreeMap<String, MessageSystemAttributeValue> {
    let value = MessageSystemAttributeValue {
        data_type: "String".to_owned(),
        string_value: Some(header.to_owned()),
        ..MessageSystemAttributeValue::default()
    };
    BTreeMap::from([("AWSTraceHeader".to_owned(), value)])
}

#[tokio::test(start_paused = true)]
async fn system_attributes_come_only_when_asked_for() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "0")]).await;
    let input = SendMessageInput {
        message_system_attributes: trace("Root=1"),
        message_group_id: Some("tenant-1".to_owned()),
        ..queue.message("a")
    };
    queue.try_send(input).await.unwrap();
    let sent_at = START.as_millis().to_string();
    platform.advance_s(2).await;
    let first_received_at = (START.as_millis() + 2_000).to_string();
    let names = |old: &[&str], new: &[&str]| ReceiveMessageInput {
        attribute_names: strings(old),
        message_system_attribute_names: strings(new),
        ..queue.receiving()
    };
    assert!(queue.receive().await[0].attributes.is_empty());
    let mut all = map(&[
        ("SenderId", ACCOUNT),
        ("SentTimestamp", &sent_at),
        ("ApproximateReceiveCount", "2"),
        ("ApproximateFirstReceiveTimestamp", &first_received_at),
        ("MessageGroupId", "tenant-1"),
        ("AWSTraceHeader", "Root=1"),
    ]);
    assert_eq!(queue.try_receive(names(&[], &["All"])).await.unwrap()[0].attributes, all);
    platform.advance_s(5).await;
    all.insert("ApproximateReceiveCount".to_owned(), "3".to_owned());
    assert_eq!(queue.try_receive(names(&["All"], &[])).await.unwrap()[0].attributes, all);
    let union = queue.try_receive(names(&["SenderId"], &["AWSTraceHeader", "SequenceNumber"])).await.unwrap();
    assert_eq!(union[0].attributes, map(&[("SenderId", ACCOUNT), ("AWSTraceHeader", "Root=1")]));
    assert!(queue.try_receive(names(&["VisibilityTimeout"], &[])).await.unwrap()[0].attributes.is_empty());
    assert_eq!(code(queue.try_receive(names(&[], &["Nope"])).await), "InvalidAttributeName");
}

#[tokio::test(start_paused = true)]
async fn a_trace_header_comes_from_the_attribute_or_else_from_the_request() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let traced = queue.as_seen_by(Call { trace_header: Some("Root=2".into()), ..call() });
    let sent = traced.send("header").await;
    assert_eq!(sent.md5_of_message_system_attributes, None);
    let input = SendMessageInput { message_system_attributes: trace("Root=1"), ..queue.message("attribute") };
    let sent = traced.try_send(input).await.unwrap();
    assert!(sent.md5_of_message_system_attributes.is_some() && sent.md5_of_message_attributes.is_none());
    let input = ReceiveMessageInput { attribute_names: strings(&["AWSTraceHeader"]), ..queue.receiving() };
    let received = queue.try_receive(input).await.unwrap();
    let headers: Vec<&str> = received.iter().map(|message| message.attributes["AWSTraceHeader"].as_str()).collect();
    assert_eq!(headers, ["Root=2", "Root=1"]);
}

#[tokio::test(start_paused = true)]
async fn the_digest_of_system_attributes_is_that_of_user_attributes_alike() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let input = SendMessageInput {
        message_system_attributes: trace("x"),
        message_attributes: BTreeMap::from([("AWSTraceHeader".to_owned(), text_attribute("String", "x"))]),
        ..queue.message("a")
    };
    let sent = queue.try_send(input).await.unwrap();
    assert_eq!(sent.md5_of_message_system_attributes, sent.md5_of_message_attributes);
}

#[tokio::test(start_paused = true)]
async fn only_a_trace_header_of_type_string_is_a_system_attribute() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let mut other = trace("x");
    let value = other.remove("AWSTraceHeader").unwrap();
    other.insert("SenderId".to_owned(), value.clone());
    let number = MessageSystemAttributeValue { data_type: "Number".to_owned(), ..value };
    for bad in [other, BTreeMap::from([("AWSTraceHeader".to_owned(), number)])] {
        let input = SendMessageInput { message_system_attributes: bad, ..queue.message("a") };
        assert_eq!(code(queue.try_send(input).await), "InvalidParameterValue");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_id_is_1_to_128_letters_digits_and_punctuation() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let grouped = |id: &str| SendMessageInput { message_group_id: Some(id.to_owned()), ..queue.message("a") };
    for good in ["a", "!~azAZ09", &"g".repeat(128)] {
        assert!(queue.try_send(grouped(good)).await.is_ok(), "{good}");
    }
    for bad in ["", "a b", "\u{e4}", &"g".repeat(129)] {
        assert_eq!(code(queue.try_send(grouped(bad)).await), "InvalidParameterValue", "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_of_fifo_queues_are_refused_on_standard_ones() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let input = SendMessageInput { message_deduplication_id: Some("d".to_owned()), ..queue.message("a") };
    let reason = "Reason: The request include parameter that is not valid for this queue type.";
    assert_eq!(
        sentence(queue.try_send(input).await),
        format!("Value d for parameter MessageDeduplicationId is invalid. {reason}")
    );
    let input = ReceiveMessageInput { receive_request_attempt_id: Some("r".to_owned()), ..queue.receiving() };
    assert_eq!(code(queue.try_receive(input).await), "InvalidParameterValue");
}

fn kenobi() -> BTreeMap<String, MessageAttributeValue> {
    [("Help.Me", "Me"), ("Hello", "There"), ("General", "Kenobi")]
        .map(|(name, value)| (name.to_owned(), text_attribute("String", value)))
        .into()
}

#[tokio::test(start_paused = true)]
async fn message_attributes_come_as_filtered_and_their_digest_covers_just_those() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "0")]).await;
    let input = SendMessageInput { message_attributes: kenobi(), ..queue.message("msg") };
    let sent = queue.try_send(input).await.unwrap();
    assert_eq!(sent.md5_of_message_attributes.as_deref(), Some("4c360f3fdafd970e05fae2f149d997f5"));
    for (filter, returned, md5) in [
        (&[][..], &[][..], None),
        (&["All"], &["General", "Hello", "Help.Me"], Some("4c360f3fdafd970e05fae2f149d997f5")),
        (&["*"], &["General", "Hello", "Help.Me"], Some("4c360f3fdafd970e05fae2f149d997f5")),
        (&[".*"], &["General", "Hello", "Help.Me"], Some("4c360f3fdafd970e05fae2f149d997f5")),
        (&["Foo", "Help"], &[], None),
        (&["General", "Hello"], &["General", "Hello"], Some("fca026605781cb4126a1e9044df24232")),
        (&["Foo", "Hello"], &["Hello"], Some("a311262e065454b75da111d535b8dacd")),
        (&["Hel.*"], &["Hello", "Help.Me"], Some("83fee93c1bcd8b9a5a923ffacdc636c7")),
        (&["AWS."], &[], None),
        (&["..foo"], &[], None),
    ] {
        let input = ReceiveMessageInput { message_attribute_names: strings(filter), ..queue.receiving() };
        let message = queue.try_receive(input).await.unwrap().remove(0);
        let names: Vec<&str> = message.message_attributes.keys().map(String::as_str).collect();
        assert_eq!((names.as_slice(), message.md5_of_message_attributes.as_deref()), (returned, md5), "{filter:?}");
        assert!(message.message_attributes.iter().all(|(name, value)| kenobi()[name] == *value));
    }
}

#[tokio::test(start_paused = true)]
async fn binary_attributes_come_back_byte_by_byte() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let trace = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01";
    let value = MessageAttributeValue {
        data_type: "Binary".to_owned(),
        binary_value: Some(Bytes::from_static(trace)),
        ..MessageAttributeValue::default()
    };
    let input = SendMessageInput {
        message_attributes: BTreeMap::from([("attr1".to_owned(), value.clone())]),
        ..queue.message("test")
    };
    queue.try_send(input).await.unwrap();
    let input = ReceiveMessageInput { message_attribute_names: strings(&["All"]), ..queue.receiving() };
    let message = queue.try_receive(input).await.unwrap().remove(0);
    assert_eq!(message.message_attributes["attr1"], value);
    assert_eq!(message.md5_of_message_attributes.as_deref(), Some("8cbe4db156db8a94db8b801b7addb984"));
}

#[tokio::test(start_paused = true)]
async fn message_attributes_that_cannot_be_are_refused() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let attempt = |name: &str, value: MessageAttributeValue| {
        let message_attributes = BTreeMap::from([(name.to_owned(), value)]);
        queue.try_send(SendMessageInput { message_attributes, ..queue.message("a") })
    };
    let empty = sentence(attempt("ErrorDetails", text_attribute("String", "")).await);
    assert_eq!(empty, "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.");
    assert_eq!(code(attempt("aws.x", text_attribute("String", "v")).await), "InvalidParameterValue");
    assert_eq!(code(attempt("a", text_attribute("Text", "v")).await), "InvalidParameterValue");
    assert_eq!(code(attempt("a", text_attribute("Number", "one")).await), "InvalidParameterValue");
    assert_eq!(code(attempt("a", text_attribute("String", "\u{1}")).await), "InvalidMessageContents");
    let list = MessageAttributeValue { string_list_values: strings(&["v"]), ..text_attribute("String", "v") };
    assert_eq!(code(attempt("a", list).await), "AWS.SimpleQueueService.UnsupportedOperation");
    let eleven: BTreeMap<_, _> = (0..11).map(|n| (format!("a{n}"), text_attribute("String", "v"))).collect();
    let input = SendMessageInput { message_attributes: eleven, ..queue.message("a") };
    assert_eq!(
        sentence(queue.try_send(input).await),
        "Number of message attributes [11] exceeds the allowed maximum [10]."
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_message_never_comes_back() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    queue.delete(&handle).await.unwrap();
    platform.advance_s(60).await;
    assert!(queue.receive().await.is_empty());
    queue.delete(&handle).await.expect("deleting twice is a success");
}

#[tokio::test(start_paused = true)]
async fn an_old_handle_deletes_too() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let old = queue.take().await;
    platform.advance_s(30).await;
    queue.take().await;
    queue.delete(&old).await.unwrap();
    platform.advance_s(30).await;
    assert!(queue.receive().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_nobody_s_or_of_another_queue_is_invalid() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let other = platform.queue("invoices").await;
    other.send("a").await;
    for handle in ["garbage", &other.take().await] {
        let message = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
        let expected = ("ReceiptHandleIsInvalid".to_owned(), 400, message);
        assert_eq!(refusal(queue.delete(handle).await), expected);
        assert_eq!(refusal(queue.change_visibility(handle, 1).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn changing_a_timeout_to_0_frees_the_message_at_once() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    queue.change_visibility(&queue.take().await, 0).await.unwrap();
    assert_eq!(queue.bodies().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_timeout_counts_from_now_and_for_this_receive_only() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    platform.advance_s(20).await;
    queue.change_visibility(&handle, 100).await.unwrap();
    platform.advance_s(99).await;
    assert!(queue.receive().await.is_empty());
    platform.advance_s(1).await;
    queue.take().await;
    platform.advance_s(30).await;
    assert_eq!(queue.bodies().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_0_to_43200_seconds_and_12_hours_in_all() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    for bad in [-1, 43_201] {
        assert_eq!(code(queue.change_visibility(&handle, bad).await), "InvalidParameterValue", "{bad}");
    }
    platform.advance_s(10).await;
    let refused = refusal(queue.change_visibility(&handle, 43_200).await);
    assert_eq!(refused.0, "InvalidParameterValue");
    assert!(refused.2.contains("beyond the limit [43200 seconds]"));
    queue.change_visibility(&handle, 43_190).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_visible_message_cannot_be_changed() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    platform.advance_s(30).await;
    let refused = refusal(queue.change_visibility(&handle, 10).await);
    assert_eq!((refused.0.as_str(), refused.1), ("AWS.SimpleQueueService.MessageNotInflight", 400));
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_deleted_message_cannot_be_changed() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    queue.delete(&handle).await.unwrap();
    let reason = "Message does not exist or is not available for visibility timeout change.";
    let message = format!("Value {handle} for parameter ReceiptHandle is invalid. Reason: {reason}");
    let expected = ("InvalidParameterValue".to_owned(), 400, message);
    assert_eq!(refusal(queue.change_visibility(&handle, 10).await), expected);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_kept_for_the_retention_period_and_no_longer() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("MessageRetentionPeriod", "60"), ("VisibilityTimeout", "0")]).await;
    queue.send("a").await;
    platform.advance_s(59).await;
    assert_eq!(queue.bodies().await, ["a"]);
    platform.advance_s(1).await;
    assert!(queue.bodies().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_120_000_messages_in_flight_a_short_poll_is_over_limit_and_a_long_one_empty() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "43200")]).await;
    let entries: Vec<_> = (0..10).map(|n| entry(&n.to_string(), "a")).collect();
    for _ in 0..12_000 {
        queue.send_entries(entries.clone()).await.unwrap();
        assert_eq!(queue.receive().await.len(), 10);
    }
    queue.send("one more").await;
    let refused = refusal(queue.try_receive(queue.receiving()).await);
    assert_eq!((refused.0.as_str(), refused.1), ("OverLimit", 403));
    let input = ReceiveMessageInput { wait_time_seconds: Some(1), ..queue.receiving() };
    assert!(queue.try_receive(input).await.unwrap().is_empty());
    assert_eq!(queue.counts().await, ["1", "120000", "0"]);
}
