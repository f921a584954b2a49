//! SendMessage and SendMessageBatch: from what a client wrote to a payload in the engine.
//!
//! Invariants:
//! - Checks come in one order: body, length, characters, attributes, system attributes, ids, delay.
//! - All good entries of a batch go to the engine in one call, so that they share one commit.
//! - The answer's digests are those that the payload carries to the receiver.

use std::collections::BTreeMap;

use api::sqs::{
    BatchResultErrorEntry, MessageAttributeValue, MessageSystemAttributeValue, SendMessageBatchInput,
    SendMessageBatchOutput, SendMessageBatchRequestEntry, SendMessageBatchResultEntry, SendMessageInput,
    SendMessageOutput,
};
use api::{Call, Principal};
use host::Ids;
use md5::{Digest, Md5};
use queue::NewMessage;
use wire::{ApiError, Fault};

use crate::access::SEND_MESSAGE;
use crate::batch;
use crate::errors;
use crate::hex;
use crate::limits::{DELAY_SECONDS, GROUP_ID_MAX, MESSAGE_BYTES_MAX, TRACE_HEADER_MAX};
use crate::message_attributes::{self, Attribute, Given, Md5Digest, Value};
use crate::message_body;
use crate::payload::Outgoing;
use crate::service::Sqs;

const TRACE_HEADER: &str = "AWSTraceHeader";

/// A message as a client wrote it, alone or in a batch.
struct Draft<'a> {
    body: &'a str,
    delay_seconds: Option<i32>,
    attributes: &'a BTreeMap<String, MessageAttributeValue>,
    system_attributes: &'a BTreeMap<String, MessageSystemAttributeValue>,
    deduplication_id: Option<&'a str>,
    group_id: Option<&'a str>,
    /// How an overlong message is refused: a batch words it differently.
    too_long: fn(usize) -> ApiError,
}

/// A message ready for the engine, with what its sender is told.
struct Prepared {
    message: NewMessage,
    bytes: usize,
    body_md5: Md5Digest,
    attributes_md5: Option<Md5Digest>,
    system_attributes_md5: Option<Md5Digest>,
}

impl Sqs {
    pub(crate) async fn send_one(&self, call: &Call, input: SendMessageInput) -> Result<SendMessageOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, SEND_MESSAGE)?;
        let bytes_max = maximum_message_size(&queue.state().row.attributes);
        let prepared = Draft::of(&input).prepare(call, bytes_max, &*self.inner.ids)?;
        let output = SendMessageOutput {
            message_id: Some(hex::uuid(&prepared.message.id)),
            md5_of_message_body: Some(hex::digest(&prepared.body_md5)),
            md5_of_message_attributes: prepared.attributes_md5.as_ref().map(hex::digest),
            md5_of_message_system_attributes: prepared.system_attributes_md5.as_ref().map(hex::digest),
            ..SendMessageOutput::default()
        };
        let sent = queue.messages.send(vec![prepared.message]).await;
        sent.map_err(|error| errors::from_engine(call, &error))?;
        queue.count_sent_bytes(prepared.bytes);
        Ok(output)
    }

    pub(crate) async fn send_batch(
        &self,
        call: &Call,
        input: SendMessageBatchInput,
    ) -> Result<SendMessageBatchOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, SEND_MESSAGE)?;
        batch::check_ids(input.entries.iter().map(|entry| entry.id.as_str()), "SendMessageBatchRequestEntry")?;
        batch::check_total(input.entries.iter().map(|entry| Draft::of_entry(entry).given_bytes()).sum())?;
        let bytes_max = maximum_message_size(&queue.state().row.attributes);
        let mut output = SendMessageBatchOutput::default();
        let mut messages = Vec::with_capacity(input.entries.len());
        let mut bytes = 0;
        for entry in input.entries {
            match Draft::of_entry(&entry).prepare(call, bytes_max, &*self.inner.ids) {
                Err(error) => output.failed.push(failed(entry.id, error)),
                Ok(prepared) => {
                    output.successful.push(successful(entry.id, &prepared));
                    bytes += prepared.bytes;
                    messages.push(prepared.message);
                }
            }
        }
        if !messages.is_empty() {
            queue.messages.send(messages).await.map_err(|error| errors::from_engine(call, &error))?;
            queue.count_sent_bytes(bytes);
        }
        Ok(output)
    }
}

fn maximum_message_size(attributes: &crate::attributes::QueueAttributes) -> usize {
    usize::try_from(attributes.maximum_message_size).unwrap_or(MESSAGE_BYTES_MAX)
}

fn successful(id: String, prepared: &Prepared) -> SendMessageBatchResultEntry {
    SendMessageBatchResultEntry {
        id,
        message_id: hex::uuid(&prepared.message.id),
        md5_of_message_body: hex::digest(&prepared.body_md5),
        md5_of_message_attributes: prepared.attributes_md5.as_ref().map(hex::digest),
        md5_of_message_system_attributes: prepared.system_attributes_md5.as_ref().map(hex::digest),
        ..SendMessageBatchResultEntry::default()
    }
}

/// An entry that failed alone.
pub(crate) fn failed(id: String, error: ApiError) -> BatchResultErrorEntry {
    BatchResultErrorEntry {
        id,
        sender_fault: error.fault == Fault::Sender,
        code: errors::entry_code(&error).to_owned(),
        message: Some(error.message),
    }
}

impl<'a> Draft<'a> {
    fn of(input: &'a SendMessageInput) -> Self {
        Self {
            body: &input.message_body,
            delay_seconds: input.delay_seconds,
            attributes: &input.message_attributes,
            system_attributes: &input.message_system_attributes,
            deduplication_id: input.message_deduplication_id.as_deref(),
            group_id: input.message_group_id.as_deref(),
            too_long: errors::message_too_long,
        }
    }

    fn of_entry(entry: &'a SendMessageBatchRequestEntry) -> Self {
        Self {
            body: &entry.message_body,
            delay_seconds: entry.delay_seconds,
            attributes: &entry.message_attributes,
            system_attributes: &entry.message_system_attributes,
            deduplication_id: entry.message_deduplication_id.as_deref(),
            group_id: entry.message_group_id.as_deref(),
            too_long: errors::entry_too_long,
        }
    }

    /// The length that counts, before anything else was checked.
    fn given_bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let text = value.string_value.as_ref().map_or(0, String::len);
            let binary = value.binary_value.as_ref().map_or(0, bytes::Bytes::len);
            name.len() + value.data_type.len() + text + binary
        });
        self.body.len() + attributes.sum::<usize>()
    }

    fn prepare(&self, call: &Call, bytes_max: usize, ids: &dyn Ids) -> Result<Prepared, ApiError> {
        if self.body.is_empty() {
            return Err(errors::missing_parameter("MessageBody"));
        }
        let bytes = self.given_bytes();
        if bytes > bytes_max {
            return Err((self.too_long)(bytes_max));
        }
        if !message_body::has_only_valid_characters(self.body) {
            return Err(errors::invalid_message_contents());
        }
        let attributes = message_attributes::validate(self.attributes.iter().map(given))?;
        let trace_header = trace_header(self.system_attributes)?;
        if let Some(id) = self.deduplication_id {
            return Err(errors::not_for_this_queue_type(id, "MessageDeduplicationId"));
        }
        if let Some(id) = self.group_id.filter(|id| !is_group_id(id)) {
            return Err(errors::id_malformed(id, "MessageGroupId"));
        }
        let delay_s = self.delay_seconds.map(delay).transpose()?;
        let body_md5: Md5Digest = Md5::digest(self.body.as_bytes()).into();
        let attributes_md5 = message_attributes::digest(attributes.iter().copied());
        let mut address = String::new();
        let outgoing = Outgoing {
            body: self.body,
            body_md5,
            attributes: &attributes,
            attributes_md5,
            sender_id: sender_id(call, &mut address),
            trace_header: trace_header
                .or(call.trace_header.as_deref().filter(|header| header.len() <= TRACE_HEADER_MAX)),
            group_id: self.group_id,
        };
        let message = NewMessage { id: ids.uuid(), payload: outgoing.encode(), delay_s };
        let system =
            trace_header.map(|value| Attribute { name: TRACE_HEADER, data_type: "String", value: Value::Text(value) });
        let system_attributes_md5 = message_attributes::digest(system);
        Ok(Prepared { message, bytes, body_md5, attributes_md5, system_attributes_md5 })
    }
}

fn given<'a>((name, value): (&'a String, &'a MessageAttributeValue)) -> Given<'a> {
    Given {
        name,
        data_type: &value.data_type,
        string_value: value.string_value.as_deref(),
        binary_value: value.binary_value.as_deref(),
        has_list_values: !value.string_list_values.is_empty() || !value.binary_list_values.is_empty(),
    }
}

/// The one system attribute that a sender may set.
fn trace_header(attributes: &BTreeMap<String, MessageSystemAttributeValue>) -> Result<Option<&str>, ApiError> {
    let mut header = None;
    for (name, value) in attributes {
        if name != TRACE_HEADER {
            return Err(errors::system_attribute_unknown(name));
        }
        let text = value.string_value.as_deref().filter(|text| !text.is_empty() && value.data_type == "String");
        let text = text.filter(|text| text.len() <= TRACE_HEADER_MAX);
        let text = text.ok_or_else(|| errors::system_attribute_type(name))?;
        if !message_body::has_only_valid_characters(text) {
            return Err(errors::invalid_message_contents());
        }
        header = Some(text);
    }
    Ok(header)
}

/// 1 to 128 letters, digits and punctuation; no space.
fn is_group_id(id: &str) -> bool {
    (1..=GROUP_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

fn delay(seconds: i32) -> Result<u32, ApiError> {
    let delay = u32::try_from(seconds).ok().filter(|seconds| DELAY_SECONDS.contains(seconds));
    delay.ok_or_else(|| errors::delay_out_of_range(seconds))
}

/// SenderId: an account's own key sends as the account, a role's session by its id, the anonymous as their address, a service as its name.
fn sender_id<'a>(call: &'a Call, address: &'a mut String) -> &'a str {
    match &call.identity.principal {
        Principal::Account { .. } => call.account().as_str(),
        Principal::Session(session) => &session.user_id,
        Principal::Service { name } => name,
        Principal::Anonymous => {
            *address = call.source_ip.to_string();
            address
        }
    }
}
