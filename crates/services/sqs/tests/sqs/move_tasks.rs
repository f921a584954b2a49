//! Message move tasks.

use std::time::Duration;

use api::sqs::*;
use wire::ApiError;

use crate::platform::*;

struct Redrive<'p> {
    source: Queue<'p>,
    dead: Queue<'p>,
}

/// A dead-letter queue that holds so many messages of its source.
async fn redrive(platform: &Platform, messages: usize) -> Redrive<'_> {
    let dead = platform.queue("dead").await;
    let policy = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":1}}", dead.arn());
    let attributes = [("RedrivePolicy", policy.as_str()), ("VisibilityTimeout", "0")];
    let source = platform.queue_with("orders", &attributes).await;
    for n in 0..messages {
        source.send(&n.to_string()).await;
    }
    while source.counts().await[0] != "0" {
        source.receive().await;
    }
    source.set(&[("VisibilityTimeout", "30")]).await.unwrap();
    assert_eq!(dead.counts().await[0], messages.to_string());
    Redrive { source, dead }
}

impl Redrive<'_> {
    async fn start(&self, destination: Option<&str>, rate: Option<i32>) -> Result<String, ApiError> {
        let input = StartMessageMoveTaskInput {
            source_arn: self.dead.arn(),
            destination_arn: destination.map(str::to_owned),
            max_number_of_messages_per_second: rate,
        };
        let output = self.dead.sqs().start_message_move_task(&self.dead.call, input).await;
        output.map(|output| output.task_handle.unwrap())
    }

    async fn list(&self, max_results: Option<i32>) -> Vec<ListMessageMoveTasksResultEntry> {
        let input = ListMessageMoveTasksInput { source_arn: self.dead.arn(), max_results };
        self.dead.sqs().list_message_move_tasks(&self.dead.call, input).await.unwrap().results
    }

    async fn latest(&self) -> ListMessageMoveTasksResultEntry {
        self.list(None).await.remove(0)
    }

    async fn cancel(&self, handle: &str) -> Result<i64, ApiError> {
        let input = CancelMessageMoveTaskInput { task_handle: handle.to_owned() };
        let output = self.dead.sqs().cancel_message_move_task(&self.dead.call, input).await;
        output.map(|output| output.approximate_number_of_messages_moved.unwrap())
    }

    /// Waits until the latest task has this status.
    async fn until(&self, status: &str) -> ListMessageMoveTasksResultEntry {
        for _ in 0..1_000 {
            let task = self.latest().await;
            if task.status.as_deref() == Some(status) {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the task does not become {status}: {:?}", self.latest().await);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_destination_messages_go_back_where_they_came_from() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 12).await;
    redrive.start(None, None).await.unwrap();
    let task = redrive.until("COMPLETED").await;
    assert_eq!((task.source_arn, task.destination_arn), (Some(redrive.dead.arn()), None));
    assert_eq!(task.approximate_number_of_messages_moved, Some(12));
    assert_eq!(task.approximate_number_of_messages_to_move, Some(12));
    assert_eq!(task.started_timestamp, Some(i64::try_from(START.as_millis()).unwrap()));
    assert_eq!((task.task_handle, task.failure_reason), (None, None));
    assert_eq!((redrive.source.counts().await[0].as_str(), redrive.dead.counts().await[0].as_str()), ("12", "0"));
}

#[tokio::test(start_paused = true)]
async fn moved_messages_get_a_new_id_and_enqueue_time() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 1).await;
    let input = ReceiveMessageInput { visibility_timeout: Some(0), ..redrive.dead.receiving() };
    let before = redrive.dead.try_receive(input).await.unwrap().remove(0);
    platform.advance_s(100).await;
    redrive.start(None, None).await.unwrap();
    redrive.until("COMPLETED").await;
    let input = ReceiveMessageInput { attribute_names: strings(&["SentTimestamp"]), ..redrive.source.receiving() };
    let after = redrive.source.try_receive(input).await.unwrap().remove(0);
    assert_eq!((&after.body, &after.md5_of_body), (&before.body, &before.md5_of_body));
    assert_ne!(after.message_id, before.message_id);
    let sent_ms: u64 = after.attributes["SentTimestamp"].parse().unwrap();
    assert!(sent_ms >= START.as_millis() + 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_destination_takes_all_messages() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 3).await;
    let elsewhere = platform.queue("elsewhere").await;
    redrive.dead.send("sent here directly").await;
    redrive.start(Some(&elsewhere.arn()), None).await.unwrap();
    let task = redrive.until("COMPLETED").await;
    assert_eq!(task.destination_arn, Some(elsewhere.arn()));
    assert_eq!((elsewhere.counts().await[0].as_str(), redrive.source.counts().await[0].as_str()), ("4", "0"));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limits_the_messages_of_a_second() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 10).await;
    redrive.start(None, Some(2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_450)).await;
    let task = redrive.latest().await;
    let moved = task.approximate_number_of_messages_moved.unwrap();
    assert!((4..=5).contains(&moved), "{moved} after 2.45 s");
    assert_eq!((task.status.as_deref(), task.max_number_of_messages_per_second), (Some("RUNNING"), Some(2)));
    assert!(task.task_handle.is_some());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(redrive.until("COMPLETED").await.approximate_number_of_messages_moved, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_stops_and_says_how_far_it_got() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 10).await;
    let handle = redrive.start(None, Some(1)).await.unwrap();
    assert_eq!(redrive.latest().await.task_handle.as_deref(), Some(handle.as_str()));
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    assert_eq!(redrive.cancel(&handle).await.unwrap(), 2);
    let task = redrive.until("CANCELLED").await;
    assert_eq!((task.approximate_number_of_messages_moved, task.task_handle), (Some(2), None));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(redrive.dead.counts().await[0], "8");
    assert_eq!(code(redrive.cancel(&handle).await), "AWS.SimpleQueueService.UnsupportedOperation");
}

#[tokio::test(start_paused = true)]
async fn a_source_has_one_task_at_a_time() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 10).await;
    let handle = redrive.start(None, Some(1)).await.unwrap();
    let message =
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.";
    let refused = refusal(redrive.start(None, None).await);
    assert_eq!(refused, ("InvalidParameterValue".to_owned(), 400, message.to_owned()));
    redrive.cancel(&handle).await.unwrap();
    redrive.until("CANCELLED").await;
    redrive.start(None, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_newest_first_one_unless_asked_for_more_and_ten_at_most() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 0).await;
    for _ in 0..12 {
        platform.advance_s(1).await;
        redrive.start(None, None).await.unwrap();
        redrive.until("COMPLETED").await;
    }
    assert_eq!(redrive.list(None).await.len(), 1);
    let all = redrive.list(Some(10)).await;
    assert_eq!(all.len(), 10);
    assert!(all.windows(2).all(|pair| pair[0].started_timestamp > pair[1].started_timestamp));
    for bad in [0, 11] {
        let input = ListMessageMoveTasksInput { source_arn: redrive.dead.arn(), max_results: Some(bad) };
        assert_eq!(code(platform.sqs.list_message_move_tasks(&call(), input).await), "InvalidParameterValue");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_must_be_somebody_s_dead_letter_queue() {
    let platform = Platform::new().await;
    let queue = platform.queue("orders").await;
    let start = |source_arn: String, destination_arn: Option<String>, rate: Option<i32>| {
        let max_number_of_messages_per_second = rate;
        let input = StartMessageMoveTaskInput { source_arn, destination_arn, max_number_of_messages_per_second };
        let sqs = &platform.sqs;
        async move { refusal(sqs.start_message_move_task(&call(), input).await) }
    };
    let no_dead_letter_queue = start(queue.arn(), None, None).await;
    assert_eq!(no_dead_letter_queue.2, "Source queue must be configured as a Dead Letter Queue.");
    let policy = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":1}}", queue.arn());
    platform.queue_with("source", &[("RedrivePolicy", &policy)]).await;
    let nowhere = "arn:aws:sqs:us-east-1:000000000000:nope".to_owned();
    let missing = |parameter: &str| {
        let message = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
        ("ResourceNotFoundException".to_owned(), 404, message)
    };
    assert_eq!(start(nowhere.clone(), None, None).await, missing("SourceArn"));
    assert_eq!(start(queue.arn(), Some(nowhere), None).await, missing("DestinationArn"));
    assert_eq!(start(queue.arn(), Some(queue.arn()), None).await.0, "InvalidParameterValue");
    assert!(
        start("dead".to_owned(), None, None).await.2.starts_with("You must use this format to specify the SourceArn")
    );
    for rate in [0, 501] {
        assert_eq!(start(queue.arn(), None, Some(rate)).await.0, "InvalidParameterValue");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_names_no_task_is_refused_by_what_is_wrong_with_it() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 1).await;
    let handle = |task: &str, source: &str| {
        use base64::Engine as _;
        let text = format!("{{\"taskId\":\"{task}\",\"sourceArn\":\"{source}\"}}");
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let garbage = refusal(redrive.cancel("foobared").await);
    assert_eq!(garbage.2, "Value for parameter TaskHandle is invalid.");
    let no_queue = refusal(redrive.cancel(&handle("x", "arn:aws:sqs:us-east-1:000000000000:nope")).await);
    assert_eq!((no_queue.1, no_queue.2.contains("SourceArn")), (404, true));
    let no_task = refusal(redrive.cancel(&handle("x", &redrive.dead.arn())).await);
    assert_eq!(no_task, ("ResourceNotFoundException".to_owned(), 404, "Task does not exist.".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_task_fails_when_its_destination_is_deleted() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 10).await;
    let elsewhere = platform.queue("elsewhere").await;
    redrive.start(Some(&elsewhere.arn()), Some(2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_550)).await;
    elsewhere.delete_queue().await.unwrap();
    let task = redrive.until("FAILED").await;
    assert_eq!(task.failure_reason.as_deref(), Some("AWS.SimpleQueueService.NonExistentQueue"));
    assert_eq!(task.approximate_number_of_messages_moved, Some(3));
    assert_eq!(redrive.dead.counts().await[0], "7");
}

#[tokio::test(start_paused = true)]
async fn a_task_fails_on_messages_that_came_from_nowhere_and_moves_the_others() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 2).await;
    redrive.dead.send("sent here directly").await;
    redrive.start(None, None).await.unwrap();
    let task = redrive.until("FAILED").await;
    assert_eq!(task.failure_reason.as_deref(), Some("CouldNotDetermineMessageSource"));
    assert_eq!(task.approximate_number_of_messages_moved, Some(2));
    assert_eq!(redrive.dead.bodies().await, ["sent here directly"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_for_36_hours_at_most() {
    let platform = Platform::new().await;
    let redrive = redrive(&platform, 10).await;
    redrive.start(None, Some(1)).await.unwrap();
    platform.clock.advance(Duration::from_secs(36 * 3_600 - 1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(redrive.latest().await.status.as_deref(), Some("RUNNING"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(redrive.until("FAILED").await.failure_reason.as_deref(), Some("TaskTimedOut"));
}

#[tokio::test(start_paused = true)]
async fn a_new_queue_of_a_deleted_source_s_name_has_no_tasks() {
    let platform = Platform::without_cooldowns().await;
    let first = redrive(&platform, 10).await;
    first.start(None, Some(1)).await.unwrap();
    first.dead.delete_queue().await.unwrap();
    first.source.delete_queue().await.unwrap();
    let second = redrive(&platform, 10).await;
    assert!(second.list(Some(10)).await.is_empty());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(second.dead.counts().await[0], "10");
}

#[tokio::test(start_paused = true)]
async fn an_account_has_a_hundred_active_tasks_at_most() {
    let platform = Platform::new().await;
    for n in 0..=100 {
        let dead = platform.queue(&format!("dead-{n}")).await;
        dead.send("x").await;
        let policy = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":1}}", dead.arn());
        let source = platform.queue_with(&format!("source-{n}"), &[("RedrivePolicy", &policy)]).await;
        let input = StartMessageMoveTaskInput {
            source_arn: dead.arn(),
            destination_arn: Some(source.arn()),
            max_number_of_messages_per_second: Some(1),
        };
        let started = platform.sqs.start_message_move_task(&call(), input).await;
        if n < 100 {
            started.unwrap();
        } else {
            assert_eq!(code(started), "OverLimit");
        }
    }
}
