//! ReceiveMessage, DeleteMessage and ChangeMessageVisibility, and the batches of the latter two.
//!
//! Invariants:
//! - A message carries what its receiver asked for and nothing more; its MD5 covers the attributes that it carries.
//! - Digests are those stored on send, except where a filter left attributes out.
//! - A payload that does not decode is skipped and logged: it must not block the messages behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Call;
use api::sqs::{
    ChangeMessageVisibilityBatchInput, ChangeMessageVisibilityBatchOutput, ChangeMessageVisibilityBatchResultEntry,
    ChangeMessageVisibilityInput, DeleteMessageBatchInput, DeleteMessageBatchOutput, DeleteMessageBatchResultEntry,
    DeleteMessageInput, Message, MessageAttributeValue, ReceiveMessageInput, ReceiveMessageOutput,
};
use bytes::Bytes;
use queue::{HandleError, Receive, Received, VisibilityError};
use wire::ApiError;

use crate::access::{CHANGE_MESSAGE_VISIBILITY, DELETE_MESSAGE, RECEIVE_MESSAGE};
use crate::attributes;
use crate::batch;
use crate::errors;
use crate::hex;
use crate::limits::{MAX_NUMBER_OF_MESSAGES, VISIBILITY_TIMEOUT, WAIT_TIME_SECONDS};
use crate::message_attributes::{self, Attribute, Filter, Value};
use crate::payload::Stored;
use crate::registry::Registry;
use crate::send::failed;
use crate::service::Sqs;

/// The system attributes that a message can carry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SystemAttribute {
    SenderId,
    SentTimestamp,
    ApproximateReceiveCount,
    ApproximateFirstReceiveTimestamp,
    MessageGroupId,
    AwsTraceHeader,
    DeadLetterQueueSourceArn,
}

/// By AWS's names. `None`: only FIFO queues have it.
const SYSTEM_ATTRIBUTES: [(&str, Option<SystemAttribute>); 9] = [
    ("SenderId", Some(SystemAttribute::SenderId)),
    ("SentTimestamp", Some(SystemAttribute::SentTimestamp)),
    ("ApproximateReceiveCount", Some(SystemAttribute::ApproximateReceiveCount)),
    ("ApproximateFirstReceiveTimestamp", Some(SystemAttribute::ApproximateFirstReceiveTimestamp)),
    ("SequenceNumber", None),
    ("MessageDeduplicationId", None),
    ("MessageGroupId", Some(SystemAttribute::MessageGroupId)),
    ("AWSTraceHeader", Some(SystemAttribute::AwsTraceHeader)),
    ("DeadLetterQueueSourceArn", Some(SystemAttribute::DeadLetterQueueSourceArn)),
];

/// Which system attributes a receiver asked for: a bit each, by the place in [`SYSTEM_ATTRIBUTES`].
#[derive(Clone, Copy)]
struct SystemFilter(u16);

impl SystemFilter {
    /// The union of the old AttributeNames and MessageSystemAttributeNames.
    fn parse<'a>(names: impl Iterator<Item = &'a String>) -> Result<Self, ApiError> {
        let mut bits = 0;
        for name in names {
            match SYSTEM_ATTRIBUTES.iter().position(|(known, _)| known == name) {
                Some(place) => bits |= 1 << place,
                None if name == "All" => bits = u16::MAX,
                // The old list is typed as queue attributes in AWS's model, and takes them without effect.
                None if attributes::is_known(name) => {}
                None => return Err(errors::unknown_attribute(name)),
            }
        }
        Ok(Self(bits))
    }

    /// The wanted ones, with their names.
    fn wanted(self) -> impl Iterator<Item = (&'static str, SystemAttribute)> {
        let places = SYSTEM_ATTRIBUTES.iter().enumerate().filter(move |(place, _)| self.0 >> place & 1 == 1);
        places.filter_map(|(_, (name, attribute))| attribute.map(|attribute| (*name, attribute)))
    }
}

impl Sqs {
    pub(crate) async fn receive(
        &self,
        call: &Call,
        input: ReceiveMessageInput,
    ) -> Result<ReceiveMessageOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, RECEIVE_MESSAGE)?;
        let names = input.attribute_names.iter().chain(&input.message_system_attribute_names);
        let system = SystemFilter::parse(names)?;
        if let Some(id) = &input.receive_request_attempt_id {
            return Err(errors::not_for_this_queue_type(id, "ReceiveRequestAttemptId"));
        }
        let receive = Receive {
            max: max_number_of_messages(input.max_number_of_messages)?,
            visibility_timeout_s: input.visibility_timeout.map(visibility_timeout).transpose()?,
            wait: match input.wait_time_seconds {
                Some(seconds) => wait_time(seconds)?,
                None => {
                    let seconds = queue.state().row.attributes.receive_message_wait_time_seconds;
                    Duration::from_secs(seconds.into())
                }
            },
        };
        let received = queue.messages.receive(receive).await.map_err(|error| errors::from_engine(call, &error))?;
        let filter = Filter::new(&input.message_attribute_names);
        let mut messages = Vec::with_capacity(received.len());
        for received in received {
            match message(received, system, &filter, &self.inner.registry) {
                Ok(message) => messages.push(message),
                Err(error) => {
                    tracing::error!(queue = %queue.arn, request_id = %call.request_id, %error, "skipped a message");
                }
            }
        }
        Ok(ReceiveMessageOutput { messages })
    }

    pub(crate) async fn delete_one(&self, call: &Call, input: DeleteMessageInput) -> Result<(), ApiError> {
        let queue = self.queue_for(call, &input.queue_url, DELETE_MESSAGE)?;
        let results = queue.messages.delete(&[input.receipt_handle.as_str()]).await;
        let mut results = results.map_err(|error| errors::from_engine(call, &error))?;
        let result = results.pop().ok_or_else(errors::internal)?;
        result.map_err(|error| delete_error(&input.receipt_handle, error))
    }

    pub(crate) async fn delete_batch(
        &self,
        call: &Call,
        input: DeleteMessageBatchInput,
    ) -> Result<DeleteMessageBatchOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, DELETE_MESSAGE)?;
        batch::check_ids(input.entries.iter().map(|entry| entry.id.as_str()), "DeleteMessageBatchRequestEntry")?;
        let handles: Vec<&str> = input.entries.iter().map(|entry| entry.receipt_handle.as_str()).collect();
        let results = queue.messages.delete(&handles).await.map_err(|error| errors::from_engine(call, &error))?;
        let mut output = DeleteMessageBatchOutput::default();
        for (entry, result) in input.entries.into_iter().zip(results) {
            match result {
                Ok(()) => output.successful.push(DeleteMessageBatchResultEntry { id: entry.id }),
                Err(error) => output.failed.push(failed(entry.id, delete_error(&entry.receipt_handle, error))),
            }
        }
        Ok(output)
    }

    pub(crate) async fn change_visibility_one(
        &self,
        call: &Call,
        input: ChangeMessageVisibilityInput,
    ) -> Result<(), ApiError> {
        let queue = self.queue_for(call, &input.queue_url, CHANGE_MESSAGE_VISIBILITY)?;
        let timeout_s = visibility_timeout(input.visibility_timeout)?;
        let results = queue.messages.change_visibility(&[(input.receipt_handle.as_str(), timeout_s)]).await;
        let mut results = results.map_err(|error| errors::from_engine(call, &error))?;
        let result = results.pop().ok_or_else(errors::internal)?;
        result.map_err(|error| visibility_error(&input.receipt_handle, timeout_s, error))
    }

    pub(crate) async fn change_visibility_batch(
        &self,
        call: &Call,
        input: ChangeMessageVisibilityBatchInput,
    ) -> Result<ChangeMessageVisibilityBatchOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, CHANGE_MESSAGE_VISIBILITY)?;
        let ids = input.entries.iter().map(|entry| entry.id.as_str());
        batch::check_ids(ids, "ChangeMessageVisibilityBatchRequestEntry")?;
        let mut output = ChangeMessageVisibilityBatchOutput::default();
        let mut entries = Vec::with_capacity(input.entries.len());
        for entry in input.entries {
            let timeout_s = match entry.visibility_timeout {
                Some(seconds) => visibility_timeout(seconds),
                None => Err(errors::missing_parameter("VisibilityTimeout")),
            };
            match timeout_s {
                Ok(timeout_s) => entries.push((entry.id, entry.receipt_handle, timeout_s)),
                Err(error) => output.failed.push(failed(entry.id, error)),
            }
        }
        let changes: Vec<(&str, u32)> =
            entries.iter().map(|(_, handle, timeout_s)| (handle.as_str(), *timeout_s)).collect();
        let results = queue.messages.change_visibility(&changes).await;
        let results = results.map_err(|error| errors::from_engine(call, &error))?;
        for ((id, handle, timeout_s), result) in entries.into_iter().zip(results) {
            match result {
                Ok(()) => output.successful.push(ChangeMessageVisibilityBatchResultEntry { id }),
                Err(error) => output.failed.push(failed(id, visibility_error(&handle, timeout_s, error))),
            }
        }
        Ok(output)
    }
}

fn delete_error(handle: &str, error: HandleError) -> ApiError {
    match error {
        HandleError::Malformed => errors::receipt_handle_is_invalid(handle),
    }
}

fn visibility_error(handle: &str, timeout_s: u32, error: VisibilityError) -> ApiError {
    match error {
        VisibilityError::Malformed => errors::receipt_handle_is_invalid(handle),
        VisibilityError::NotInFlight => errors::message_not_inflight(),
        VisibilityError::Gone => errors::message_unavailable(handle),
        VisibilityError::TooLong => errors::total_visibility_too_long(timeout_s),
    }
}

fn max_number_of_messages(given: Option<i32>) -> Result<usize, ApiError> {
    let given = given.unwrap_or(1);
    let max = usize::try_from(given).ok().filter(|_| MAX_NUMBER_OF_MESSAGES.contains(&given));
    max.ok_or_else(|| errors::max_number_of_messages_out_of_range(given))
}

fn visibility_timeout(given: i32) -> Result<u32, ApiError> {
    let timeout_s = u32::try_from(given).ok().filter(|seconds| VISIBILITY_TIMEOUT.contains(seconds));
    timeout_s.ok_or_else(|| errors::visibility_timeout_out_of_range(given))
}

fn wait_time(given: i32) -> Result<Duration, ApiError> {
    let seconds = u32::try_from(given).ok().filter(|seconds| WAIT_TIME_SECONDS.contains(seconds));
    seconds.map(|seconds| Duration::from_secs(seconds.into())).ok_or_else(|| errors::wait_time_out_of_range(given))
}

/// A received message as its receiver asked for it.
fn message(
    received: Received,
    system: SystemFilter,
    filter: &Filter<'_>,
    registry: &Registry,
) -> Result<Message, crate::payload::Unreadable> {
    let stored = Stored::decode(&received.payload)?;
    let mut message = Message {
        message_id: Some(hex::uuid(&received.id)),
        body: Some(stored.body.to_owned()),
        md5_of_body: Some(hex::digest(&stored.body_md5)),
        attributes: system_attributes(&received, &stored, system, registry),
        ..Message::default()
    };
    if stored.attribute_count() > 0 && !matches!(filter, Filter::Nothing) {
        let returned = stored.attributes().filter(|attribute| filter.lets_through(attribute.name));
        message.message_attributes = returned.clone().map(user_attribute).collect();
        let all = message.message_attributes.len() == stored.attribute_count();
        let md5 = if all { stored.attributes_md5 } else { message_attributes::digest(returned) };
        message.md5_of_message_attributes = md5.as_ref().map(hex::digest);
    }
    message.receipt_handle = Some(received.handle);
    Ok(message)
}

fn user_attribute(attribute: Attribute<'_>) -> (String, MessageAttributeValue) {
    let mut value = MessageAttributeValue { data_type: attribute.data_type.to_owned(), ..Default::default() };
    match attribute.value {
        Value::Text(text) => value.string_value = Some(text.to_owned()),
        Value::Binary(bytes) => value.binary_value = Some(Bytes::copy_from_slice(bytes)),
    }
    (attribute.name.to_owned(), value)
}

fn system_attributes(
    received: &Received,
    stored: &Stored<'_>,
    filter: SystemFilter,
    registry: &Registry,
) -> BTreeMap<String, String> {
    let value = |attribute| match attribute {
        SystemAttribute::SenderId => Some(stored.sender_id.to_owned()),
        SystemAttribute::SentTimestamp => Some(received.sent_at.as_millis().to_string()),
        SystemAttribute::ApproximateReceiveCount => Some(received.receive_count.to_string()),
        SystemAttribute::ApproximateFirstReceiveTimestamp => Some(received.first_received_at.as_millis().to_string()),
        SystemAttribute::MessageGroupId => stored.group_id.map(str::to_owned),
        SystemAttribute::AwsTraceHeader => stored.trace_header.map(str::to_owned),
        SystemAttribute::DeadLetterQueueSourceArn => {
            let source = received.dead_letter_source.and_then(|id| registry.find_id(id));
            source.map(|queue| queue.arn.to_string())
        }
    };
    filter.wanted().filter_map(|(name, attribute)| Some((name.to_owned(), value(attribute)?))).collect()
}
