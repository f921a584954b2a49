//! How long the codecs take on SQS's hot path: `cargo run --release -p api --example codec_speed`.
//!
//! A batch of ten messages of 256 bytes is decoded, and its answer encoded; then a receive of ten the same way.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement stands outside every simulation")]

use std::future::ready;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use api::sqs::*;
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use bytes::Bytes;
use wire::ApiError;

const ROUNDS: u32 = 200_000;

/// Answers what it was made with, after looking at the input.
struct Canned {
    sent: SendMessageBatchOutput,
    received: ReceiveMessageOutput,
}

macro_rules! canned {
    ($($method:ident: $input:ty => $output:ty;)*) => {
        $(fn $method(&self, _: &Call, _: $input) -> impl Future<Output = Result<$output, ApiError>> + Send {
            ready(Ok(Default::default()))
        })*
    };
}

impl Sqs for Canned {
    async fn send_message_batch(
        &self,
        _: &Call,
        input: SendMessageBatchInput,
    ) -> Result<SendMessageBatchOutput, ApiError> {
        black_box(&input);
        Ok(self.sent.clone())
    }

    async fn receive_message(&self, _: &Call, input: ReceiveMessageInput) -> Result<ReceiveMessageOutput, ApiError> {
        black_box(&input);
        Ok(self.received.clone())
    }

    canned! {
        add_permission: AddPermissionInput => ();
        cancel_message_move_task: CancelMessageMoveTaskInput => CancelMessageMoveTaskOutput;
        change_message_visibility: ChangeMessageVisibilityInput => ();
        change_message_visibility_batch: ChangeMessageVisibilityBatchInput => ChangeMessageVisibilityBatchOutput;
        create_queue: CreateQueueInput => CreateQueueOutput;
        delete_message: DeleteMessageInput => ();
        delete_message_batch: DeleteMessageBatchInput => DeleteMessageBatchOutput;
        delete_queue: DeleteQueueInput => ();
        get_queue_attributes: GetQueueAttributesInput => GetQueueAttributesOutput;
        get_queue_url: GetQueueUrlInput => GetQueueUrlOutput;
        list_dead_letter_source_queues: ListDeadLetterSourceQueuesInput => ListDeadLetterSourceQueuesOutput;
        list_message_move_tasks: ListMessageMoveTasksInput => ListMessageMoveTasksOutput;
        list_queue_tags: ListQueueTagsInput => ListQueueTagsOutput;
        list_queues: ListQueuesInput => ListQueuesOutput;
        purge_queue: PurgeQueueInput => ();
        remove_permission: RemovePermissionInput => ();
        send_message: SendMessageInput => SendMessageOutput;
        set_queue_attributes: SetQueueAttributesInput => ();
        start_message_move_task: StartMessageMoveTaskInput => StartMessageMoveTaskOutput;
        tag_queue: TagQueueInput => ();
        untag_queue: UntagQueueInput => ();
    }
}

struct NoWake;

impl Wake for NoWake {
    fn wake(self: Arc<Self>) {}
}

fn call(protocol: Protocol) -> Call {
    Call {
        identity: Identity { principal: Principal::Anonymous, account: AccountId::parse("000000000000").unwrap() },
        region: Region::parse("us-east-1").unwrap(),
        request_id: RequestId("7a3b6d0e-7f5c-4b8e-9a53-0f6f5f3f9f10".into()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

fn service() -> Canned {
    let id = "5fea7756-0ea4-451a-a703-a558b933e274".to_owned();
    let md5 = "fafb00f5732ab283681e124bf8747ed1".to_owned();
    let body = "0123456789abcdef".repeat(16);
    let sent = |n: u32| SendMessageBatchResultEntry {
        id: format!("entry-{n}"),
        message_id: id.clone(),
        md5_of_message_body: md5.clone(),
        ..SendMessageBatchResultEntry::default()
    };
    let received = |_| Message {
        message_id: Some(id.clone()),
        receipt_handle: Some("AQEB".repeat(20)),
        md5_of_body: Some(md5.clone()),
        body: Some(body.clone()),
        ..Message::default()
    };
    Canned {
        sent: SendMessageBatchOutput { successful: (0..10).map(sent).collect(), failed: vec![] },
        received: ReceiveMessageOutput { messages: (0..10).map(received).collect() },
    }
}

fn json_batch() -> String {
    let body = "0123456789abcdef".repeat(16);
    let entry = |n: u32| format!(r#"{{"Id":"entry-{n}","MessageBody":"{body}"}}"#);
    let entries: Vec<String> = (0..10).map(entry).collect();
    format!(r#"{{"QueueUrl":"http://localhost:4566/000000000000/orders","Entries":[{}]}}"#, entries.join(","))
}

fn query_batch() -> String {
    let body = "0123456789abcdef".repeat(16);
    let name = "SendMessageBatchRequestEntry";
    let entry = |n: u32| format!("&{name}.{n}.Id=entry-{n}&{name}.{n}.MessageBody={body}");
    let entries: String = (1..=10).map(entry).collect();
    format!(
        "Action=SendMessageBatch&Version=2012-11-05&QueueUrl=http%3A%2F%2Flocalhost%3A4566%2F000000000000%2Forders{entries}"
    )
}

fn measure(what: &str, protocol: Protocol, operation: &str, body: String) {
    let (service, call, body) = (service(), call(protocol), Bytes::from(body));
    let waker = Waker::from(Arc::new(NoWake));
    let mut context = Context::from_waker(&waker);
    let mut once = || match pin!(dispatch(&service, &call, operation, black_box(&body))).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        other => panic!("{other:?}"),
    };
    for _ in 0..ROUNDS / 10 {
        black_box(once());
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(once());
    }
    let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!("{what:<40} {micros:6.2} us  ({} bytes in, {} out)", body.len(), once().body.len());
}

fn main() {
    measure("SendMessageBatch of 10, JSON", Protocol::Json10, "SendMessageBatch", json_batch());
    measure("SendMessageBatch of 10, Query", Protocol::Query, "SendMessageBatch", query_batch());
    let receive = r#"{"QueueUrl":"http://localhost:4566/000000000000/orders","MaxNumberOfMessages":10}"#;
    measure("ReceiveMessage of 10, JSON", Protocol::Json10, "ReceiveMessage", receive.to_owned());
    let receive = "QueueUrl=http%3A%2F%2Flocalhost%3A4566%2F000000000000%2Forders&MaxNumberOfMessages=10";
    measure("ReceiveMessage of 10, Query", Protocol::Query, "ReceiveMessage", receive.to_owned());
}
