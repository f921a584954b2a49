//! What a restart keeps.

use std::time::Duration;

use api::sqs::*;
use store::{Store, Table};

use crate::platform::*;

fn at<'p>(platform: &'p Platform, name: &str) -> Queue<'p> {
    Queue { platform, call: call(), url: format!("http://localhost:4566/{ACCOUNT}/{name}") }
}

#[tokio::test(start_paused = true)]
async fn queues_come_back_with_attributes_tags_and_messages() {
    let platform = Platform::durable().await;
    let queue = platform.queue_with("orders", &[("VisibilityTimeout", "5"), ("DelaySeconds", "0")]).await;
    let tag = TagQueueInput { queue_url: queue.url.clone(), tags: map(&[("team", "a")]) };
    platform.sqs.tag_queue(&call(), tag).await.unwrap();
    queue.send("kept").await;
    queue.send("deleted").await;
    queue.take().await;
    let handle = queue.take().await;
    queue.delete(&handle).await.unwrap();
    let platform = platform.restart().await;
    let queue = at(&platform, "orders");
    assert_eq!(queue.attribute("VisibilityTimeout").await.unwrap(), "5");
    let tags = ListQueueTagsInput { queue_url: queue.url.clone() };
    assert_eq!(platform.sqs.list_queue_tags(&call(), tags).await.unwrap().tags, map(&[("team", "a")]));
    platform.advance_s(5).await;
    assert_eq!(queue.bodies().await, ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_stays_deleted_and_its_name_rests_on() {
    let platform = Platform::durable().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    queue.delete_queue().await.unwrap();
    let platform = platform.restart().await;
    assert_eq!(platform.sqs.queue_count(), 0);
    let refused = code(platform.create(&call(), "orders", &[]).await);
    assert_eq!(refused, "AWS.SimpleQueueService.QueueDeletedRecently");
    platform.advance_s(60).await;
    assert!(platform.queue("orders").await.receive().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_queue_whose_delete_was_cut_short_are_dropped_at_the_start() {
    const QUEUES: Table<serde_json::Value> = Table::new("sqs_queues");
    let platform = Platform::durable().await;
    platform.queue("orders").await.send("a").await;
    platform.queue("invoices").await.send("b").await;
    // The crash came after the row was gone and before the engine heard of it.
    let cut_short = |store: &Store| {
        let key = format!("{ACCOUNT}\0us-east-1\0orders");
        assert!(store.write(|tx| tx.delete(&QUEUES, &key)).unwrap());
    };
    let platform = platform.restart_after(cut_short).await;
    assert_eq!(code(at(&platform, "orders").purge().await), "AWS.SimpleQueueService.NonExistentQueue");
    assert!(platform.queue("orders").await.receive().await.is_empty());
    assert_eq!(at(&platform, "invoices").bodies().await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn redrive_goes_on_after_a_restart() {
    let platform = Platform::durable().await;
    let dead = platform.queue("zz-dead").await;
    let policy = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":1}}", dead.arn());
    let source = platform.queue_with("orders", &[("RedrivePolicy", &policy), ("VisibilityTimeout", "1")]).await;
    source.send("poison").await;
    source.take().await;
    let platform = platform.restart().await;
    platform.advance_s(1).await;
    assert!(at(&platform, "orders").receive().await.is_empty());
    assert_eq!(at(&platform, "zz-dead").bodies().await, ["poison"]);
}

#[tokio::test(start_paused = true)]
async fn a_running_move_task_goes_on_and_ended_ones_are_still_listed() {
    let platform = Platform::durable().await;
    let dead = platform.queue("dead").await;
    let policy = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":1}}", dead.arn());
    let source = platform.queue_with("orders", &[("RedrivePolicy", &policy)]).await;
    for n in 0..6 {
        dead.send(&n.to_string()).await;
    }
    let input = StartMessageMoveTaskInput {
        source_arn: dead.arn(),
        destination_arn: Some(source.arn()),
        max_number_of_messages_per_second: Some(1),
    };
    platform.sqs.start_message_move_task(&call(), input).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    let (dead_arn, list) =
        (dead.arn(), |arn: &str| ListMessageMoveTasksInput { source_arn: arn.to_owned(), max_results: None });
    let platform = platform.restart().await;
    let task = platform.sqs.list_message_move_tasks(&call(), list(&dead_arn)).await.unwrap().results.remove(0);
    assert_eq!((task.status.as_deref(), task.approximate_number_of_messages_moved), (Some("RUNNING"), Some(2)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let platform = platform.restart().await;
    let task = platform.sqs.list_message_move_tasks(&call(), list(&dead_arn)).await.unwrap().results.remove(0);
    assert_eq!((task.status.as_deref(), task.approximate_number_of_messages_moved), (Some("COMPLETED"), Some(6)));
    assert_eq!(at(&platform, "orders").counts().await[0], "6");
}

#[tokio::test(start_paused = true)]
async fn receipt_handles_stay_good_over_a_clean_restart() {
    let platform = Platform::durable().await;
    let queue = platform.queue("orders").await;
    queue.send("a").await;
    let handle = queue.take().await;
    let platform = platform.restart().await;
    let queue = at(&platform, "orders");
    assert!(queue.receive().await.is_empty(), "the lease survived");
    queue.delete(&handle).await.unwrap();
    platform.advance_s(60).await;
    assert!(queue.receive().await.is_empty());
}
