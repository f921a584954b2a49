//! Batches: what fails them whole, what fails an entry alone.

use api::sqs::*;
use wire::ApiError;

use crate::platform::*;

fn entries(count: usize) -> Vec<SendMessageBatchRequestEntry> {
    (0..count).map(|n| entry(&n.to_string(), "a")).collect()
}

async fn delete_batch(queue: &Queue<'_>, entries: &[(&str, &str)]) -> Result<DeleteMessageBatchOutput, ApiError> {
    let entries = entries.iter().map(|&(id, receipt_handle)| DeleteMessageBatchRequestEntry {
        id: id.to_owned(),
        receipt_handle: receipt_handle.to_owned(),
    });
    let input = DeleteMessageBatchInput { queue_url: queue.url.clone(), entries: entries.collect() };
    queue.sqs().delete_message_batch(&queue.call, input).await
}

async fn change_batch(
    queue: &Queue<'_>,
    entries: &[(&str, &str, Option<i32>)],
) -> Result<ChangeMessageVisibilityBatchOutput, ApiError> {
    let entries = entries.iter().map(|&(id, handle, visibility_timeout)| ChangeMessageVisibilityBatchRequestEntry {
        id: id.to_owned(),
        receipt_handle: handle.to_owned(),
        visibility_timeout,
    });
    let input = ChangeMessageVisibilityBatchInput { queue_url: queue.url.clone(), entries: entries.collect() };
    queue.sqs().change_message_visibility_batch(&queue.call, input).await
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_sent_in_its_order_with_an_answer_for_each_entry() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let sent = queue.send_entries((0..10).map(|n| entry(&format!("id-{n}"), &n.to_string())).collect()).await.unwrap();
    let ids: Vec<&str> = sent.successful.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["id-0", "id-1", "id-2", "id-3", "id-4", "id-5", "id-6", "id-7", "id-8", "id-9"]);
    assert!(sent.failed.is_empty());
    let received = queue.receive().await;
    for (sent, received) in sent.successful.iter().zip(&received) {
        assert_eq!(Some(&sent.message_id), received.message_id.as_ref());
        assert_eq!(Some(&sent.md5_of_message_body), received.md5_of_body.as_ref());
    }
    assert_eq!(received.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn whole_batch_errors_of_each_batch_operation() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let prefix = "AWS.SimpleQueueService.";
    let sends = [
        (entries(0), "EmptyBatchRequest"),
        (entries(11), "TooManyEntriesInBatchRequest"),
        (vec![entry("a", "x"), entry("a", "y")], "BatchEntryIdsNotDistinct"),
        (vec![entry("a.b", "x")], "InvalidBatchEntryId"),
        (vec![entry(&"i".repeat(81), "x")], "InvalidBatchEntryId"),
    ];
    for (entries, expected) in sends {
        let refused = refusal(queue.send_entries(entries).await);
        assert_eq!((refused.0, refused.1), (format!("{prefix}{expected}"), 400));
    }
    let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let deletes: Vec<(&str, &str)> = many.iter().map(|id| (id.as_str(), "x")).collect();
    let changes: Vec<(&str, &str, Option<i32>)> = many.iter().map(|id| (id.as_str(), "x", Some(1))).collect();
    let message = "Maximum number of entries per request are 10. You have sent 20.";
    assert_eq!(sentence(delete_batch(&queue, &deletes).await), message);
    assert_eq!(sentence(change_batch(&queue, &changes).await), message);
    for (result, expected) in [
        (delete_batch(&queue, &[]).await, "EmptyBatchRequest"),
        (delete_batch(&queue, &[("a", "x"), ("a", "y")]).await, "BatchEntryIdsNotDistinct"),
        (delete_batch(&queue, &[("", "x")]).await, "InvalidBatchEntryId"),
    ] {
        assert_eq!(code(result), format!("{prefix}{expected}"));
    }
    for (result, expected) in [
        (change_batch(&queue, &[]).await, "EmptyBatchRequest"),
        (change_batch(&queue, &[("a", "x", Some(1)), ("a", "y", Some(1))]).await, "BatchEntryIdsNotDistinct"),
        (change_batch(&queue, &[("a:b", "x", Some(1))]).await, "InvalidBatchEntryId"),
    ] {
        assert_eq!(code(result), format!("{prefix}{expected}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_1_mib_passes_and_one_byte_more_fails_whole() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let half = "x".repeat(524_288);
    assert!(queue.send_entries(vec![entry("a", &half), entry("b", &half)]).await.is_ok());
    let refused = refusal(queue.send_entries(vec![entry("a", &half), entry("b", &half), entry("c", "x")]).await);
    let message = "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.";
    let expected = ("AWS.SimpleQueueService.BatchRequestTooLong".to_owned(), 400, message.to_owned());
    assert_eq!(refused, expected);
    assert_eq!(queue.counts().await[0], "2");
}

#[tokio::test(start_paused = true)]
async fn an_entry_over_the_queue_s_limit_fails_alone() {
    let platform = Platform::new().await;
    let queue = platform.queue_with("orders", &[("MaximumMessageSize", "1024")]).await;
    let sent = queue.send_entries(vec![entry("1", &"x".repeat(1_025)), entry("2", "good")]).await.unwrap();
    let failed = BatchResultErrorEntry {
        id: "1".to_owned(),
        sender_fault: true,
        code: "InvalidParameterValue".to_owned(),
        message: Some(
            "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.".to_owned(),
        ),
    };
    assert_eq!(sent.failed, [failed]);
    assert_eq!((sent.successful.len(), sent.successful[0].id.as_str()), (1, "2"));
    assert_eq!(queue.bodies().await, ["good"]);
}

#[tokio::test(start_paused = true)]
async fn each_bad_entry_says_what_is_wrong_with_it() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let late = SendMessageBatchRequestEntry { delay_seconds: Some(901), ..entry("late", "a") };
    let twice = SendMessageBatchRequestEntry { message_deduplication_id: Some("d".to_owned()), ..entry("twice", "a") };
    let sent = queue.send_entries(vec![entry("empty", ""), entry("odd", "\u{1}"), late, twice]).await.unwrap();
    let codes: Vec<(&str, &str)> =
        sent.failed.iter().map(|failed| (failed.id.as_str(), failed.code.as_str())).collect();
    let expected = [
        ("empty", "MissingParameter"),
        ("odd", "InvalidMessageContents"),
        ("late", "InvalidParameterValue"),
        ("twice", "InvalidParameterValue"),
    ];
    assert_eq!(codes, expected);
    assert!(sent.successful.is_empty() && queue.receive().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_deletes_fails_by_entry() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    let output = delete_batch(&queue, &[("good", &handle), ("bad", "garbage"), ("again", &handle)]).await.unwrap();
    let deleted: Vec<&str> = output.successful.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(deleted, ["good", "again"]);
    let failed = &output.failed[0];
    let failed = (failed.id.as_str(), failed.code.as_str(), failed.sender_fault);
    assert_eq!(failed, ("bad", "ReceiptHandleIsInvalid", true));
    assert_eq!(queue.counts().await, ["0", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_changes_fails_by_entry() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    for body in ["freed", "deleted"] {
        queue.send(body).await;
    }
    let (freed, deleted) = (queue.take().await, queue.take().await);
    queue.delete(&deleted).await.unwrap();
    let changes = [
        ("freed", freed.as_str(), Some(0)),
        ("deleted", &deleted, Some(5)),
        ("long", &freed, Some(43_201)),
        ("none", &freed, None),
        ("bad", "garbage", Some(5)),
    ];
    let output = change_batch(&queue, &changes).await.unwrap();
    assert_eq!(output.successful.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["freed"]);
    let mut failed: Vec<(&str, &str)> =
        output.failed.iter().map(|failed| (failed.id.as_str(), failed.code.as_str())).collect();
    failed.sort_unstable();
    let expected = [
        ("bad", "ReceiptHandleIsInvalid"),
        ("deleted", "InvalidParameterValue"),
        ("long", "InvalidParameterValue"),
        ("none", "MissingParameter"),
    ];
    assert_eq!(failed, expected);
    assert_eq!(queue.bodies().await, ["freed"]);
}
