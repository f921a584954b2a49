//! A whole SQS inside a test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::sqs::*;
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use host::sim::{Seed, SimClock, SimDisk, SimIds};
use host::{Disk, Timestamp};
use sqs::{Sqs as Service, SqsOptions};
use store::Store;
use wire::ApiError;

pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const OTHER_ACCOUNT: &str = "222222222222";
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) struct Platform {
    pub(crate) sqs: Service,
    pub(crate) clock: Arc<SimClock>,
    store: Store,
    disk: Option<SimDisk>,
    cooldowns: bool,
}

impl Platform {
    /// Nothing survives a restart but the store's rows.
    pub(crate) async fn new() -> Self {
        Self::start(Store::in_memory().unwrap(), None, Arc::new(SimClock::on_tokio(START)), true).await
    }

    pub(crate) async fn without_cooldowns() -> Self {
        Self::start(Store::in_memory().unwrap(), None, Arc::new(SimClock::on_tokio(START)), false).await
    }

    /// Messages survive a restart.
    pub(crate) async fn durable() -> Self {
        let disk = SimDisk::new(Seed(7));
        Self::start(Store::in_memory().unwrap(), Some(disk), Arc::new(SimClock::on_tokio(START)), true).await
    }

    async fn start(store: Store, disk: Option<SimDisk>, clock: Arc<SimClock>, cooldowns: bool) -> Self {
        let ids = Arc::new(SimIds::new(Seed(7)));
        let limits = queue::Limits { file_bytes: 4 << 20, checkpoint_bytes: 4 << 20, ..queue::Limits::default() };
        let options = queue::Options {
            disk: disk.clone().map(|disk| Arc::new(disk) as Arc<dyn Disk>),
            dir: PathBuf::from("queues"),
            clock: clock.clone(),
            ids: ids.clone(),
            limits,
            // A writer thread would be invisible to tokio's paused time.
            writer: queue::Writer::Inline,
        };
        let (engine, _recovery) = queue::Engine::open(options).unwrap();
        let options = SqsOptions { store: store.clone(), engine, clock: clock.clone(), ids, cooldowns };
        let sqs = Service::open(options).await.unwrap();
        Self { sqs, clock, store, disk, cooldowns }
    }

    pub(crate) async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// What a crash left in the store can be arranged in between.
    pub(crate) async fn restart_after(self, meanwhile: impl FnOnce(&Store)) -> Self {
        self.sqs.close().await.unwrap();
        meanwhile(&self.store);
        drop(self.sqs);
        Self::start(self.store, self.disk, self.clock, self.cooldowns).await
    }

    pub(crate) async fn advance_s(&self, seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    pub(crate) async fn queue(&self, name: &str) -> Queue<'_> {
        self.queue_with(name, &[]).await
    }

    pub(crate) async fn queue_with(&self, name: &str, attributes: &[(&str, &str)]) -> Queue<'_> {
        let call = call();
        let url = self.create(&call, name, attributes).await.unwrap();
        Queue { platform: self, call, url }
    }

    pub(crate) async fn create(
        &self,
        call: &Call,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> Result<String, ApiError> {
        let input = CreateQueueInput {
            queue_name: name.to_owned(),
            attributes: map(attributes),
            ..CreateQueueInput::default()
        };
        self.sqs.create_queue(call, input).await.map(|output| output.queue_url.unwrap())
    }

    pub(crate) async fn list(
        &self,
        call: &Call,
        prefix: &str,
        max: Option<i32>,
        token: Option<String>,
    ) -> ListQueuesOutput {
        let input = ListQueuesInput { queue_name_prefix: Some(prefix.to_owned()), max_results: max, next_token: token };
        self.sqs.list_queues(call, input).await.unwrap()
    }
}

/// A queue, and who speaks to it.
#[derive(Clone)]
pub(crate) struct Queue<'p> {
    pub(crate) platform: &'p Platform,
    pub(crate) call: Call,
    pub(crate) url: String,
}

impl<'p> Queue<'p> {
    pub(crate) fn sqs(&self) -> &'p Service {
        &self.platform.sqs
    }

    /// The same queue with another caller.
    pub(crate) fn as_seen_by(&self, call: Call) -> Queue<'p> {
        Queue { call, ..self.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{}", self.name())
    }

    pub(crate) fn message(&self, body: &str) -> SendMessageInput {
        SendMessageInput { queue_url: self.url.clone(), message_body: body.to_owned(), ..SendMessageInput::default() }
    }

    pub(crate) async fn send(&self, body: &str) -> SendMessageOutput {
        self.try_send(self.message(body)).await.unwrap()
    }

    pub(crate) async fn try_send(&self, input: SendMessageInput) -> Result<SendMessageOutput, ApiError> {
        self.sqs().send_message(&self.call, input).await
    }

    pub(crate) async fn send_entries(
        &self,
        entries: Vec<SendMessageBatchRequestEntry>,
    ) -> Result<SendMessageBatchOutput, ApiError> {
        let input = SendMessageBatchInput { queue_url: self.url.clone(), entries };
        self.sqs().send_message_batch(&self.call, input).await
    }

    /// A receive of up to ten messages without a wait.
    pub(crate) fn receiving(&self) -> ReceiveMessageInput {
        ReceiveMessageInput {
            queue_url: self.url.clone(),
            max_number_of_messages: Some(10),
            ..ReceiveMessageInput::default()
        }
    }

    pub(crate) async fn receive(&self) -> Vec<Message> {
        self.try_receive(self.receiving()).await.unwrap()
    }

    pub(crate) async fn try_receive(&self, input: ReceiveMessageInput) -> Result<Vec<Message>, ApiError> {
        self.sqs().receive_message(&self.call, input).await.map(|output| output.messages)
    }

    /// Receives one message; its handle.
    pub(crate) async fn take(&self) -> String {
        let input = ReceiveMessageInput { max_number_of_messages: None, ..self.receiving() };
        let mut messages = self.try_receive(input).await.unwrap();
        assert_eq!(messages.len(), 1, "a message is there");
        messages.remove(0).receipt_handle.unwrap()
    }

    pub(crate) async fn bodies(&self) -> Vec<String> {
        self.receive().await.into_iter().map(|message| message.body.unwrap()).collect()
    }

    pub(crate) async fn delete(&self, handle: &str) -> Result<(), ApiError> {
        let input = DeleteMessageInput { queue_url: self.url.clone(), receipt_handle: handle.to_owned() };
        self.sqs().delete_message(&self.call, input).await
    }

    pub(crate) async fn change_visibility(&self, handle: &str, timeout_s: i32) -> Result<(), ApiError> {
        let input = ChangeMessageVisibilityInput {
            queue_url: self.url.clone(),
            receipt_handle: handle.to_owned(),
            visibility_timeout: timeout_s,
        };
        self.sqs().change_message_visibility(&self.call, input).await
    }

    pub(crate) async fn attributes(&self, names: &[&str]) -> Result<BTreeMap<String, String>, ApiError> {
        let input = GetQueueAttributesInput { queue_url: self.url.clone(), attribute_names: strings(names) };
        self.sqs().get_queue_attributes(&self.call, input).await.map(|output| output.attributes)
    }

    pub(crate) async fn attribute(&self, name: &str) -> Option<String> {
        self.attributes(&[name]).await.unwrap().remove(name)
    }

    pub(crate) async fn set(&self, attributes: &[(&str, &str)]) -> Result<(), ApiError> {
        let input = SetQueueAttributesInput { queue_url: self.url.clone(), attributes: map(attributes) };
        self.sqs().set_queue_attributes(&self.call, input).await
    }

    pub(crate) async fn delete_queue(&self) -> Result<(), ApiError> {
        self.sqs().delete_queue(&self.call, DeleteQueueInput { queue_url: self.url.clone() }).await
    }

    pub(crate) async fn purge(&self) -> Result<(), ApiError> {
        self.sqs().purge_queue(&self.call, PurgeQueueInput { queue_url: self.url.clone() }).await
    }

    /// Visible, in flight, delayed.
    pub(crate) async fn counts(&self) -> [String; 3] {
        let attributes = self.attributes(&["All"]).await.unwrap();
        ["", "NotVisible", "Delayed"].map(|kind| attributes[&format!("ApproximateNumberOfMessages{kind}")].clone())
    }
}

/// A call of the account's own key, in JSON.
pub(crate) fn call() -> Call {
    Call {
        identity: identity(ACCOUNT),
        region: Region::parse("us-east-1").unwrap(),
        request_id: RequestId("11111111-2222-4333-8444-555555555555".to_owned()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol: Protocol::Json10,
        source_ip: "192.0.2.7".parse().unwrap(),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

pub(crate) fn call_of(account: &str) -> Call {
    Call { identity: identity(account), ..call() }
}

pub(crate) fn anonymous() -> Call {
    let identity = Identity { principal: Principal::Anonymous, ..identity(ACCOUNT) };
    Call { identity, ..call() }
}

fn identity(account: &str) -> Identity {
    Identity {
        principal: Principal::Account { access_key_id: "AKIAIOSFODNN7EXAMPLE".into() },
        account: AccountId::parse(account).unwrap(),
    }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

pub(crate) fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry {
        id: id.to_owned(),
        message_body: body.to_owned(),
        ..SendMessageBatchRequestEntry::default()
    }
}

pub(crate) fn text_attribute(data_type: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue {
        data_type: data_type.to_owned(),
        string_value: Some(value.to_owned()),
        ..MessageAttributeValue::default()
    }
}

/// The Query code, the status and the sentence of a refusal.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ApiError>) -> (String, u16, String) {
    let error = result.expect_err("the call is refused");
    (error.query_code.unwrap_or(error.code).into_owned(), error.status, error.message)
}

/// The Query code of a refusal.
#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
    refusal(result).0
}

/// The sentence of a refusal.
#[track_caller]
pub(crate) fn sentence<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
    refusal(result).2
}
