//! The official Rust SDK against Millpond: what it sends is understood, and it understands what it gets.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod support;

use std::time::{Duration, Instant};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use support::{Millpond, fetch};

#[tokio::test]
async fn a_message_comes_back_as_it_was_sent() {
    let millpond = Millpond::start();
    let queue_url = millpond.queue("orders", &[]).await;
    let text = MessageAttributeValue::builder().data_type("String.city").string_value("Zürich").build().unwrap();
    let blob =
        MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([0, 255, 7])).build().unwrap();
    let body = "äöü ☃ <&>\"' \u{1f600}\r\n\t";
    let sent = millpond.sqs.send_message().queue_url(&queue_url).message_body(body);
    let sent = sent.message_attributes("city", text.clone()).message_attributes("raw", blob.clone());
    let sent = sent.send().await.unwrap();

    let received = millpond.sqs.receive_message().queue_url(&queue_url).message_attribute_names("All");
    let received = received.message_system_attribute_names(MessageSystemAttributeName::All).send().await.unwrap();
    let [message] = received.messages() else { panic!("{received:?}") };
    assert_eq!(message.body(), Some(body));
    assert_eq!(message.message_id(), sent.message_id());
    // Unlike others this SDK does not check the digests. These were computed apart from it and from the server.
    for digest in [sent.md5_of_message_body(), message.md5_of_body()] {
        assert_eq!(digest, Some("a9955003894e3e3e635fea547c3ab29c"));
    }
    for digest in [sent.md5_of_message_attributes(), message.md5_of_message_attributes()] {
        assert_eq!(digest, Some("027bdfb1081e2673a864b703bef35e4f"));
    }
    assert_eq!(message.message_attributes().unwrap()["city"], text);
    assert_eq!(message.message_attributes().unwrap()["raw"], blob);
    assert_eq!(message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert!(message.attributes().unwrap().contains_key(&MessageSystemAttributeName::SentTimestamp));
    assert_eq!(millpond.counts(&queue_url).await, [0, 1, 0]);

    let receipt_handle = message.receipt_handle().unwrap();
    millpond.sqs.delete_message().queue_url(&queue_url).receipt_handle(receipt_handle).send().await.unwrap();
    assert_eq!(millpond.counts(&queue_url).await, [0, 0, 0]);
}

#[tokio::test]
async fn the_good_entries_of_a_batch_are_sent_and_the_bad_ones_named() {
    let millpond = Millpond::start();
    let queue_url = millpond.queue("batches", &[]).await;
    let entry = |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body);
    let sent = millpond
        .sqs
        .send_message_batch()
        .queue_url(&queue_url)
        .entries(entry("good", "one").build().unwrap())
        .entries(entry("late", "two").delay_seconds(901).build().unwrap())
        .entries(entry("odd", "three \u{1}").build().unwrap())
        .send();
    let sent = sent.await.unwrap();
    let good: Vec<_> = sent.successful().iter().map(|entry| entry.id()).collect();
    let mut bad: Vec<_> = sent.failed().iter().map(|entry| (entry.id(), entry.code(), entry.sender_fault())).collect();
    bad.sort_unstable();
    assert_eq!(good, ["good"]);
    assert_eq!(bad, [("late", "InvalidParameterValue", true), ("odd", "InvalidMessageContents", true)]);

    let received =
        millpond.sqs.receive_message().queue_url(&queue_url).max_number_of_messages(10).send().await.unwrap();
    let [message] = received.messages() else { panic!("{received:?}") };
    let handle = message.receipt_handle().unwrap();
    let change = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(60).build().unwrap()
    };
    let changed = millpond.sqs.change_message_visibility_batch().queue_url(&queue_url);
    let changed = changed.entries(change("mine", handle)).entries(change("nobody's", "x"));
    let error = changed.send().await.expect_err("an id with an apostrophe");
    assert_eq!(error.code(), Some("AWS.SimpleQueueService.InvalidBatchEntryId"), "{error:?}");
    let changed = millpond.sqs.change_message_visibility_batch().queue_url(&queue_url);
    let changed = changed.entries(change("mine", handle)).entries(change("nobodys", "x")).send().await.unwrap();
    assert_eq!((changed.successful().len(), changed.failed().len()), (1, 1));
    assert_eq!(changed.failed()[0].code(), "ReceiptHandleIsInvalid");

    let delete = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let deleted = millpond.sqs.delete_message_batch().queue_url(&queue_url);
    let deleted = deleted.entries(delete("mine", handle)).entries(delete("nobodys", "x")).send().await.unwrap();
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (1, 1));
    assert_eq!(millpond.counts(&queue_url).await, [0, 0, 0]);
}

#[tokio::test]
async fn a_long_poll_is_woken_by_a_send() {
    let millpond = Millpond::start();
    let queue_url = millpond.queue("bell", &[]).await;
    let poll = millpond.sqs.receive_message().queue_url(&queue_url).wait_time_seconds(20).send();
    let ring = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        millpond.sqs.send_message().queue_url(&queue_url).message_body("ding").send().await.unwrap();
        Instant::now()
    };
    let start = Instant::now();
    let (received, rung) = tokio::join!(async { (poll.await.unwrap(), Instant::now()) }, ring);
    assert_eq!(received.0.messages()[0].body(), Some("ding"));
    assert!(received.1 - start >= Duration::from_millis(500), "it waited");
    // Far below the 20 s of the poll, and far above what a busy machine needs.
    assert!(received.1.saturating_duration_since(rung) < Duration::from_secs(2), "it was woken");
}

#[tokio::test]
async fn a_message_that_was_not_deleted_comes_again_and_then_goes_to_the_dead_letter_queue() {
    let millpond = Millpond::start();
    let dead_letter_url = millpond.queue("dead", &[]).await;
    let region = support::REGION;
    let redrive = format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:{region}:000000000000:dead","maxReceiveCount":1}}"#);
    let attributes =
        [(QueueAttributeName::RedrivePolicy, redrive), (QueueAttributeName::VisibilityTimeout, "0".into())];
    let queue_url = millpond.queue("alive", &attributes).await;
    millpond.sqs.send_message().queue_url(&queue_url).message_body("once").send().await.unwrap();
    let receive = || millpond.sqs.receive_message().queue_url(&queue_url).send();
    assert_eq!(receive().await.unwrap().messages().len(), 1);
    assert_eq!(receive().await.unwrap().messages().len(), 0);
    assert_eq!(millpond.counts(&dead_letter_url).await, [1, 0, 0]);
}

#[tokio::test]
async fn errors_of_sqs_have_the_types_and_codes_that_programs_match_on() {
    let millpond = Millpond::start();
    let error = millpond.sqs.get_queue_url().queue_name("nowhere").send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_queue_does_not_exist(), "{error:?}");
    assert_eq!(error.code(), Some("AWS.SimpleQueueService.NonExistentQueue"));
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);

    let queue_url = millpond.queue("here", &[]).await;
    let other = millpond.sqs.create_queue().queue_name("here").attributes(QueueAttributeName::DelaySeconds, "5");
    let error = other.send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_queue_name_exists(), "{error:?}");

    let batch = millpond.sqs.send_message_batch().queue_url(&queue_url).set_entries(Some(Vec::new()));
    let error = batch.send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_empty_batch_request(), "{error:?}");

    let delete = millpond.sqs.delete_message().queue_url(&queue_url).receipt_handle("made up");
    let error = delete.send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_receipt_handle_is_invalid(), "{error:?}");
}

#[tokio::test]
async fn queues_are_listed_page_by_page() {
    let millpond = Millpond::start();
    for n in 0..5 {
        millpond.queue(&format!("page-{n}"), &[]).await;
    }
    millpond.queue("other", &[]).await;
    let pages = millpond.sqs.list_queues().queue_name_prefix("page-").max_results(2).into_paginator();
    let urls: Vec<_> = pages.items().send().try_collect().await.unwrap();
    assert_eq!(urls.len(), 5, "{urls:?}");
}

#[tokio::test]
async fn an_object_comes_back_whole_and_in_ranges() {
    let millpond = Millpond::start();
    millpond.s3.create_bucket().bucket("objects").send().await.unwrap();
    let put =
        millpond.s3.put_object().bucket("objects").key("a b/ä+c.txt").body(ByteStream::from_static(b"0123456789"));
    let put = put.content_type("text/plain").metadata("mood", "fine").checksum_algorithm(ChecksumAlgorithm::Sha256);
    let put = put.send().await.unwrap();

    let get = || millpond.s3.get_object().bucket("objects").key("a b/ä+c.txt").checksum_mode(ChecksumMode::Enabled);
    let object = get().send().await.unwrap();
    assert_eq!(object.e_tag(), put.e_tag());
    assert_eq!(object.content_type(), Some("text/plain"));
    assert_eq!(object.metadata().unwrap()["mood"], "fine");
    assert_eq!(object.checksum_sha256(), put.checksum_sha256());
    assert!(put.checksum_sha256().is_some());
    // The SDK fails here when the body doesn't match the checksum.
    assert_eq!(object.body.collect().await.unwrap().into_bytes(), "0123456789");

    let part = get().range("bytes=2-4").send().await.unwrap();
    assert_eq!(part.content_range(), Some("bytes 2-4/10"));
    assert_eq!(part.body.collect().await.unwrap().into_bytes(), "234");
    let error = get().range("bytes=10-").send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidRange"));
    let error = get().if_none_match(put.e_tag().unwrap()).send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 304);

    let head = millpond.s3.head_object().bucket("objects").key("a b/ä+c.txt").send().await.unwrap();
    assert_eq!(head.content_length(), Some(10));
    millpond.s3.delete_object().bucket("objects").key("a b/ä+c.txt").send().await.unwrap();
    let error = get().send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_no_such_key(), "{error:?}");
    let error = millpond.s3.head_object().bucket("objects").key("a b/ä+c.txt").send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_not_found(), "{error:?}");
    let error = millpond.s3.get_object().bucket("no-such-bucket").key("x").send().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"));
}

#[tokio::test]
async fn an_object_is_uploaded_in_parts_and_copied() {
    const PART: usize = 5 << 20;
    let millpond = Millpond::start();
    millpond.s3.create_bucket().bucket("parts").send().await.unwrap();
    let started = millpond.s3.create_multipart_upload().bucket("parts").key("large").send().await.unwrap();
    let id = started.upload_id().unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, bytes) in [(1, vec![b'a'; PART]), (2, vec![b'b'; 10])] {
        let part = millpond.s3.upload_part().bucket("parts").key("large").upload_id(id).part_number(number);
        let part = part.body(ByteStream::from(bytes)).send().await.unwrap();
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag)
            .set_checksum_crc32(part.checksum_crc32)
            .build();
        parts = parts.parts(part);
    }
    let done = millpond.s3.complete_multipart_upload().bucket("parts").key("large").upload_id(id);
    let done = done.multipart_upload(parts.build()).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""), "{done:?}");

    let copy = millpond.s3.copy_object().bucket("parts").key("copy").copy_source("parts/large").send().await.unwrap();
    assert!(copy.copy_object_result().unwrap().e_tag().is_some());
    let object = millpond.s3.get_object().bucket("parts").key("copy").send().await.unwrap();
    let bytes = object.body.collect().await.unwrap().into_bytes();
    assert_eq!(bytes.len(), PART + 10);
    assert!(bytes[..PART].iter().all(|&b| b == b'a') && bytes[PART..].iter().all(|&b| b == b'b'));

    let started = millpond.s3.create_multipart_upload().bucket("parts").key("given up").send().await.unwrap();
    let id = started.upload_id().unwrap();
    millpond.s3.abort_multipart_upload().bucket("parts").key("given up").upload_id(id).send().await.unwrap();
    let error = millpond.s3.abort_multipart_upload().bucket("parts").key("given up").upload_id(id).send().await;
    assert!(error.unwrap_err().as_service_error().unwrap().is_no_such_upload());
}

#[tokio::test]
async fn a_listing_folds_keys_at_the_delimiter_and_goes_on_where_it_stopped() {
    let millpond = Millpond::start();
    millpond.s3.create_bucket().bucket("listing").send().await.unwrap();
    for key in ["a.txt", "photos/1.png", "photos/2.png", "photos/old/3.png", "z.txt"] {
        millpond.s3.put_object().bucket("listing").key(key).send().await.unwrap();
    }
    let list = millpond.s3.list_objects_v2().bucket("listing").delimiter("/").send().await.unwrap();
    assert_eq!(list.contents().iter().map(|object| object.key().unwrap()).collect::<Vec<_>>(), ["a.txt", "z.txt"]);
    assert_eq!(list.common_prefixes().iter().map(|p| p.prefix().unwrap()).collect::<Vec<_>>(), ["photos/"]);

    let mut pages = millpond.s3.list_objects_v2().bucket("listing").max_keys(2).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        assert!(page.contents().len() <= 2);
        keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    assert_eq!(keys, ["a.txt", "photos/1.png", "photos/2.png", "photos/old/3.png", "z.txt"]);

    let error = millpond.s3.delete_bucket().bucket("listing").send().await.unwrap_err();
    assert_eq!(error.code(), Some("BucketNotEmpty"));
}

#[tokio::test]
async fn a_presigned_url_opens_an_object_to_whoever_has_it() {
    let millpond = Millpond::start();
    millpond.s3.create_bucket().bucket("private").send().await.unwrap();
    let put = millpond.s3.put_object().bucket("private").key("a b.txt").body(ByteStream::from_static(b"secret"));
    put.send().await.unwrap();
    let (status, _, _) = fetch(&format!("{}/private/a%20b.txt", millpond.endpoint), None);
    assert_eq!(status, 403, "not without the signature");

    let terms = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let get = millpond.s3.get_object().bucket("private").key("a b.txt").presigned(terms).await.unwrap();
    let (status, _, body) = fetch(get.uri(), None);
    assert_eq!((status, body.as_slice()), (200, b"secret".as_slice()));
}
