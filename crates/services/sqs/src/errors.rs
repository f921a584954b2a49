//! The one file that knows SQS's error codes and sentences.
//!
//! Invariants:
//! - Every `ApiError` of this crate is built here; the other files name the situation, never the wording.
//! - Codes come from AWS's model where it has them; the others stand at the end of this file. Batch entries carry the
//!   Query code in both protocols, as AWS does.
//! - No sentence carries internal detail: what went wrong inside is logged by whoever calls [`internal`].
//!
//! Sentences marked "recorded" were seen in answers of AWS; the others follow AWS's documentation or its style.

use std::fmt::Display;

use api::Call;
use api::sqs::errors as model;
use queue::EngineError;
use store::StoreError;
use wire::ApiError;

use crate::limits::{
    BATCH_ENTRIES_MAX, IN_FLIGHT_MAX, MESSAGE_ATTRIBUTES_MAX, MESSAGE_BYTES_MAX, PERMISSION_ACTIONS_MAX,
};

/// The code that a batch's `Failed` entry carries for `error`.
pub(crate) fn entry_code(error: &ApiError) -> &str {
    error.query_code.as_deref().unwrap_or(&error.code)
}

// --- queues -----------------------------------------------------------------------------------------------------

/// No such queue. Recorded, in both wordings.
pub(crate) fn queue_does_not_exist() -> ApiError {
    model::queue_does_not_exist("The specified queue does not exist.")
        .with_query_message("The specified queue does not exist for this wsdl version.")
}

/// CreateQueue of an existing name with another value. Recorded.
pub(crate) fn queue_name_exists(attribute: &str) -> ApiError {
    let message = format!("A queue already exists with the same name and a different value for attribute {attribute}");
    model::queue_name_exists(message)
}

/// CreateQueue within 60 s of DeleteQueue. Recorded.
pub(crate) fn queue_deleted_recently() -> ApiError {
    let message = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    model::queue_deleted_recently(message)
}

/// A second PurgeQueue within 60 s. Recorded, status 403 too.
pub(crate) fn purge_in_progress(name: &str) -> ApiError {
    model::purge_queue_in_progress(format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds."))
}

/// A queue name outside `[A-Za-z0-9_-]{1,80}`. Recorded.
pub(crate) fn queue_name_malformed() -> ApiError {
    invalid_parameter_value("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
}

/// A FIFO queue's name without `.fifo`, or malformed before it.
pub(crate) fn fifo_queue_name_malformed() -> ApiError {
    invalid_parameter_value(
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, \
         must end with .fifo suffix and be 1 to 80 in length.",
    )
}

/// An empty queue name.
pub(crate) fn queue_name_empty() -> ApiError {
    invalid_parameter_value("Queue name cannot be empty")
}

/// FIFO queues come in a later release.
pub(crate) fn fifo_not_yet() -> ApiError {
    model::unsupported_operation("FIFO queues are not supported by this version; create a standard queue.")
}

// --- queue attributes --------------------------------------------------------------------------------------------

/// An attribute that does not exist, or may not be set here. Recorded.
pub(crate) fn unknown_attribute(name: &str) -> ApiError {
    model::invalid_attribute_name(format!("Unknown Attribute {name}."))
}

/// An attribute that only FIFO queues have. Recorded.
pub(crate) fn fifo_only_attribute(name: &str) -> ApiError {
    model::invalid_attribute_name(format!("You can specify the {name} only when FifoQueue is set to true."))
}

/// KMS and SQS-managed encryption at once. Recorded, with this code.
pub(crate) fn two_kinds_of_encryption() -> ApiError {
    model::invalid_attribute_name(
        "You can use one type of server-side encryption (SSE) at one time. \
         You can either enable KMS SSE or SQS SSE.",
    )
}

/// A value outside its attribute's range. Recorded.
pub(crate) fn invalid_attribute_value(name: &str) -> ApiError {
    model::invalid_attribute_value(format!("Invalid value for the parameter {name}."))
}

/// High throughput without per-group deduplication.
pub(crate) fn throughput_limit_needs_group_scope() -> ApiError {
    model::invalid_attribute_value(
        "Invalid value for the parameter FifoThroughputLimit. Reason: The value perMessageGroupId is allowed only \
         when the value for DeduplicationScope is messageGroup.",
    )
}

/// Why a redrive policy was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedrivePolicyFault {
    /// Not a JSON object.
    NotAMap,
    /// A member that must be there is not; its name.
    Lacks(&'static str),
    /// Not a queue's ARN.
    TargetMalformed,
    /// No such queue.
    TargetMissing,
    /// The dead-letter queue is another account's.
    OtherAccount,
    /// The dead-letter queue is in another region.
    OtherRegion,
    /// Standard and FIFO do not mix.
    OtherKind,
    /// The dead-letter queue's RedriveAllowPolicy does not let this source in.
    NotAllowed,
}

/// A RedrivePolicy that cannot be. The sentence about the malformed ARN is recorded.
pub(crate) fn redrive_policy_invalid(policy: &str, fault: RedrivePolicyFault) -> ApiError {
    let reason = match fault {
        RedrivePolicyFault::NotAMap => "Redrive policy is not a valid JSON map.".to_owned(),
        RedrivePolicyFault::Lacks(member) => {
            format!("Redrive policy does not contain mandatory attribute: {member}.")
        }
        RedrivePolicyFault::TargetMalformed => "Invalid value for deadLetterTargetArn.".to_owned(),
        RedrivePolicyFault::TargetMissing => "Dead letter target does not exist.".to_owned(),
        RedrivePolicyFault::OtherAccount => "Dead letter target owner should be same as the source.".to_owned(),
        RedrivePolicyFault::OtherRegion => "Dead-letter queue must be in same region as the source.".to_owned(),
        RedrivePolicyFault::OtherKind => "Dead-letter queue must be same type of queue as the source.".to_owned(),
        RedrivePolicyFault::NotAllowed => {
            "The dead-letter queue's redrive allow policy does not permit this source queue.".to_owned()
        }
    };
    invalid_parameter(policy, "RedrivePolicy", &reason)
}

/// A `maxReceiveCount` outside 1..=1000.
pub(crate) fn max_receive_count_invalid(policy: &str, given: &str) -> ApiError {
    let reason = format!("Invalid value for maxReceiveCount: {given}, valid values are from 1 to 1000 both inclusive.");
    invalid_parameter(policy, "RedrivePolicy", &reason)
}

/// A RedriveAllowPolicy that is no JSON, or names no known permission.
pub(crate) fn redrive_allow_policy_malformed(policy: &str) -> ApiError {
    let reason = "Amazon SQS can't create the redrive allow policy, as it\u{2019}s in an unsupported format.";
    invalid_parameter(policy, "RedriveAllowPolicy", reason)
}

/// `sourceQueueArns` missing, superfluous, too many, or not ARNs.
pub(crate) fn redrive_allow_policy_sources(policy: &str) -> ApiError {
    let reason = "sourceQueueArns must name 1 to 10 queues when redrivePermission is byQueue, and be absent otherwise.";
    invalid_parameter(policy, "RedriveAllowPolicy", reason)
}

// --- messages ----------------------------------------------------------------------------------------------------

/// A message longer than its queue takes. Recorded.
pub(crate) fn message_too_long(bytes_max: usize) -> ApiError {
    invalid_parameter_value(format!(
        "One or more parameters are invalid. Reason: Message must be shorter than {bytes_max} bytes."
    ))
}

/// The same in a batch: one entry fails, with another verb. Recorded.
pub(crate) fn entry_too_long(bytes_max: usize) -> ApiError {
    invalid_parameter_value(format!(
        "One or more parameters cannot be validated. Reason: Message must be shorter than {bytes_max} bytes."
    ))
}

/// A character that no message may hold.
pub(crate) fn invalid_message_contents() -> ApiError {
    model::invalid_message_contents(
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | \
         #xE000 to #xFFFD | #x10000 to #x10FFFF",
    )
}

/// DelaySeconds outside 0..=900.
pub(crate) fn delay_out_of_range(given: i32) -> ApiError {
    invalid_parameter(given, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
}

/// A group or deduplication id outside its alphabet or length.
pub(crate) fn id_malformed(given: &str, parameter: &str) -> ApiError {
    let reason = format!("{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length");
    invalid_parameter(given, parameter, &reason)
}

/// A parameter that only FIFO queues take. Recorded.
pub(crate) fn not_for_this_queue_type(given: impl Display, parameter: &str) -> ApiError {
    invalid_parameter(given, parameter, "The request include parameter that is not valid for this queue type.")
}

/// More than ten user attributes.
pub(crate) fn too_many_message_attributes(count: usize) -> ApiError {
    invalid_parameter_value(format!(
        "Number of message attributes [{count}] exceeds the allowed maximum [{MESSAGE_ATTRIBUTES_MAX}]."
    ))
}

/// Why a message attribute was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageAttributeFault<'a> {
    /// The name is empty.
    NameEmpty,
    /// The name is longer than 256 bytes.
    NameTooLong,
    /// The name has a character outside the alphabet.
    NameCharacters,
    /// The name begins with `AWS.` or `Amazon.`.
    NameReserved,
    /// The name begins or ends with a dot, or has two in a row.
    NameDots,
    /// No data type.
    TypeEmpty,
    /// The type is longer than 256 bytes.
    TypeTooLong,
    /// Not String, Number or Binary.
    TypeUnknown,
    /// The value is empty, or stands in the wrong field; the type that was given.
    ValueEmpty(&'a str),
    /// Not a number, or one that AWS cannot hold.
    NotANumber,
    /// A character that no message may hold.
    ValueCharacters,
}

/// A message attribute that cannot be. The sentence about the empty value is recorded.
pub(crate) fn message_attribute_invalid(name: &str, fault: MessageAttributeFault<'_>) -> ApiError {
    use MessageAttributeFault as Fault;
    let message = match fault {
        Fault::NameEmpty => "The request must contain non-empty message (user) attribute name.".to_owned(),
        Fault::NameTooLong => "Message (user) attribute name must be shorter than 256 bytes.".to_owned(),
        Fault::NameCharacters => "Message (user) attribute name can only contain upper and lower case alphanumeric \
             characters, '_', '-' and '.'."
            .to_owned(),
        Fault::NameReserved => {
            format!("Message (user) attribute name '{name}' must not begin with 'AWS.' or 'Amazon.'.")
        }
        Fault::NameDots => {
            format!("Message (user) attribute name '{name}' must not begin or end with '.', nor contain '..'.")
        }
        Fault::TypeEmpty => format!("Message (user) attribute '{name}' must contain a non-empty attribute type."),
        Fault::TypeTooLong => format!("Message (user) attribute '{name}': the type must be shorter than 256 bytes."),
        Fault::TypeUnknown => format!(
            "The type of message (user) attribute '{name}' is invalid. You must use only the following supported \
             type prefixes: Binary, Number, String."
        ),
        Fault::ValueEmpty(data_type) => {
            format!("Message (user) attribute '{name}' must contain a non-empty value of type '{data_type}'.")
        }
        Fault::NotANumber => format!("Can't cast the value of message (user) attribute '{name}' to a number."),
        Fault::ValueCharacters => return invalid_message_contents(),
    };
    invalid_parameter_value(message)
}

/// StringListValues or BinaryListValues: reserved by AWS.
pub(crate) fn list_values_unsupported() -> ApiError {
    model::unsupported_operation("Message attribute list values in SendMessage operation are not supported.")
}

/// A system attribute other than AWSTraceHeader.
pub(crate) fn system_attribute_unknown(name: &str) -> ApiError {
    invalid_parameter_value(format!(
        "Message system attribute name '{name}' is invalid. The supported name is AWSTraceHeader."
    ))
}

/// AWSTraceHeader with another type than String, empty or overlong.
pub(crate) fn system_attribute_type(name: &str) -> ApiError {
    invalid_parameter_value(format!(
        "Message system attribute '{name}' must be of type 'String' and have 1 to 65535 bytes."
    ))
}

// --- receiving ---------------------------------------------------------------------------------------------------

/// MaxNumberOfMessages outside 1..=10. Recorded.
pub(crate) fn max_number_of_messages_out_of_range(given: i32) -> ApiError {
    invalid_parameter(given, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
}

/// WaitTimeSeconds outside 0..=20. Recorded.
pub(crate) fn wait_time_out_of_range(given: i32) -> ApiError {
    invalid_parameter(given, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
}

/// VisibilityTimeout outside 0..=43200.
pub(crate) fn visibility_timeout_out_of_range(given: i32) -> ApiError {
    invalid_parameter(given, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
}

/// A change that would keep a message in flight for more than 12 hours after its receipt.
pub(crate) fn total_visibility_too_long(given: u32) -> ApiError {
    let reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
    invalid_parameter(given, "VisibilityTimeout", reason)
}

/// A receipt handle that is none of ours, or another queue's.
pub(crate) fn receipt_handle_is_invalid(handle: &str) -> ApiError {
    model::receipt_handle_is_invalid(format!("The input receipt handle \"{handle}\" is not a valid receipt handle."))
}

/// ChangeMessageVisibility of a deleted message.
pub(crate) fn message_unavailable(handle: &str) -> ApiError {
    let reason = "Message does not exist or is not available for visibility timeout change.";
    invalid_parameter(handle, "ReceiptHandle", reason)
}

/// ChangeMessageVisibility of a message that is visible.
pub(crate) fn message_not_inflight() -> ApiError {
    model::message_not_inflight("The specified message isn't in flight.")
}

/// A short poll on a queue whose in-flight messages are at the limit.
pub(crate) fn too_many_in_flight() -> ApiError {
    model::over_limit(format!(
        "The number of in-flight messages has reached the limit of {IN_FLIGHT_MAX} for this queue."
    ))
}

// --- batches -----------------------------------------------------------------------------------------------------

/// No entries; `entry` is the entry's shape, `SendMessageBatchRequestEntry`.
pub(crate) fn empty_batch_request(entry: &str) -> ApiError {
    model::empty_batch_request(format!("There should be at least one {entry} in the request."))
}

/// More than ten entries. Recorded.
pub(crate) fn too_many_entries_in_batch_request(count: usize) -> ApiError {
    let message = format!("Maximum number of entries per request are {BATCH_ENTRIES_MAX}. You have sent {count}.");
    model::too_many_entries_in_batch_request(message)
}

/// Two entries with one id.
pub(crate) fn batch_entry_ids_not_distinct(id: &str) -> ApiError {
    model::batch_entry_ids_not_distinct(format!("Id {id} repeated."))
}

/// An entry id outside `[A-Za-z0-9_-]{1,80}`. Recorded.
pub(crate) fn invalid_batch_entry_id() -> ApiError {
    let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                   It can be at most 80 letters long.";
    model::invalid_batch_entry_id(message)
}

/// The entries together are longer than 1 MiB. Recorded.
pub(crate) fn batch_request_too_long(bytes: usize) -> ApiError {
    let message =
        format!("Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {bytes} bytes.");
    model::batch_request_too_long(message)
}

// --- permissions, tags, lists ------------------------------------------------------------------------------------

/// AddPermission with a label that the policy has. Recorded.
pub(crate) fn label_exists(label: &str) -> ApiError {
    invalid_parameter(label, "Label", "Already exists.")
}

/// RemovePermission of a label that the policy lacks. Recorded.
pub(crate) fn label_not_found(label: &str) -> ApiError {
    invalid_parameter(label, "Label", "can't find label.")
}

/// A label outside `[A-Za-z0-9_-]{1,80}`.
pub(crate) fn label_malformed(label: &str) -> ApiError {
    let reason = "Must be 1 to 80 alphanumeric characters, hyphens, or underscores.";
    invalid_parameter(label, "Label", reason)
}

/// An account id that is not 12 digits.
pub(crate) fn principal_unverifiable(account: &str) -> ApiError {
    invalid_parameter(format_args!("[{account}]"), "PrincipalId", "Unable to verify.")
}

/// An action that no other account may be granted.
pub(crate) fn action_not_grantable(action: &str) -> ApiError {
    let reason = "Please refer to the appropriate WSDL for a list of valid actions. ";
    invalid_parameter(format_args!("SQS:{action}"), "ActionName", reason)
}

/// More than seven actions in one AddPermission.
pub(crate) fn too_many_actions(count: usize) -> ApiError {
    model::over_limit(format!("{count} Actions were found, maximum allowed is {PERMISSION_ACTIONS_MAX}."))
}

/// AddPermission on a policy that is already as long as it may be.
pub(crate) fn policy_full() -> ApiError {
    model::over_limit("The policy would exceed the limits of 8192 bytes, 20 statements or 50 principals.")
}

/// More than fifty tags.
pub(crate) fn too_many_tags(queue: &str) -> ApiError {
    invalid_parameter_value(format!("Too many tags added for queue {queue}."))
}

/// A tag key that is empty, too long or reserved.
pub(crate) fn tag_key_malformed(key: &str) -> ApiError {
    let reason = "A tag key must be 1 to 128 characters long and must not begin with aws:.";
    invalid_parameter(key, "TagKey", reason)
}

/// A tag value that is too long.
pub(crate) fn tag_value_malformed(value: &str) -> ApiError {
    invalid_parameter(value, "TagValue", "A tag value must be at most 256 characters long.")
}

/// MaxResults out of its range.
pub(crate) fn max_results_out_of_range(given: i32, max: i32) -> ApiError {
    invalid_parameter(given, "MaxResults", &format!("MaxResults must be an integer between 1 and {max}."))
}

/// A NextToken that we did not make, or made for another list.
pub(crate) fn next_token_invalid() -> ApiError {
    invalid_parameter_value("Invalid or expired next token.")
}

/// A NextToken without the MaxResults that it came from.
pub(crate) fn next_token_needs_max_results() -> ApiError {
    invalid_parameter_value("MaxResults is a mandatory parameter when you provide a value for NextToken.")
}

// --- move tasks --------------------------------------------------------------------------------------------------

/// The ARN in `parameter` names no queue. Recorded, status 404 too.
pub(crate) fn resource_not_found(parameter: &str) -> ApiError {
    model::resource_not_found_exception(format!(
        "The resource that you specified for the {parameter} parameter doesn't exist."
    ))
}

/// An unknown task. Recorded.
pub(crate) fn task_does_not_exist() -> ApiError {
    model::resource_not_found_exception("Task does not exist.")
}

/// A task handle that we did not make. Recorded.
pub(crate) fn task_handle_invalid() -> ApiError {
    invalid_parameter_value("Value for parameter TaskHandle is invalid.")
}

/// A source that is nobody's dead-letter queue. Recorded.
pub(crate) fn source_is_no_dead_letter_queue() -> ApiError {
    invalid_parameter_value("Source queue must be configured as a Dead Letter Queue.")
}

/// A second task on one source. Recorded.
pub(crate) fn task_already_running() -> ApiError {
    invalid_parameter_value(
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
    )
}

/// The hundred-and-first active task of an account.
pub(crate) fn too_many_tasks() -> ApiError {
    model::over_limit("The number of active message movement tasks has reached the limit of 100 for this account.")
}

/// A task that has ended cannot be cancelled.
pub(crate) fn task_not_running(status: &str) -> ApiError {
    model::unsupported_operation(format!("Only active tasks can be cancelled. The task is {status}."))
}

/// Source and destination are one queue.
pub(crate) fn source_is_destination() -> ApiError {
    invalid_parameter_value("Source queue arn and destination queue arn cannot be the same.")
}

/// The destination is of another kind, account or region.
pub(crate) fn destination_unsuitable() -> ApiError {
    invalid_parameter_value("Source and destination queue must be in the same account and region, and of one type.")
}

/// An ARN in a parameter that is none. Recorded.
pub(crate) fn arn_malformed(parameter: &str) -> ApiError {
    invalid_parameter_value(format!(
        "You must use this format to specify the {parameter}: \
         arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
    ))
}

/// MaxNumberOfMessagesPerSecond outside 1..=500.
pub(crate) fn move_rate_out_of_range(given: i32) -> ApiError {
    let reason = "Must be an integer between 1 and 500, if provided.";
    invalid_parameter(given, "MaxNumberOfMessagesPerSecond", reason)
}

// --- access ------------------------------------------------------------------------------------------------------

/// A caller whom the queue's policy does not let in. Recorded.
pub(crate) fn access_denied(url: &str) -> ApiError {
    ApiError::sender("AccessDeniedException", format!("Access to the resource {url} is denied."))
        .with_query_code("AccessDenied")
        .with_status(403)
}

/// A role's session that its role's policies do not let in.
pub(crate) fn not_authorised(sentence: String) -> ApiError {
    ApiError::sender("AccessDeniedException", sentence).with_query_code("AccessDenied").with_status(403)
}

/// An unsigned request for something that no policy can open.
pub(crate) fn missing_authentication_token() -> ApiError {
    ApiError::sender("MissingAuthenticationTokenException", "Request is missing Authentication Token")
        .with_query_code("MissingAuthenticationToken")
        .with_status(403)
}

/// An action that does not exist, or not at this URL.
pub(crate) fn invalid_action(action: &str) -> ApiError {
    ApiError::sender("InvalidAction", format!("The action {action} is not valid for this endpoint."))
}

/// A QueueUrl that points at no queue of any shape.
pub(crate) fn invalid_address(url: &str) -> ApiError {
    model::invalid_address(format!("The address {url} is not valid for this endpoint."))
}

// --- shared ------------------------------------------------------------------------------------------------------

/// A parameter that must be there is not. Recorded.
pub(crate) fn missing_parameter(name: &str) -> ApiError {
    ApiError::sender("MissingRequiredParameterException", format!("The request must contain the parameter {name}."))
        .with_query_code("MissingParameter")
}

/// Something failed inside; the cause is in the log under the request's id.
pub(crate) fn internal() -> ApiError {
    ApiError::receiver("InternalFailure", "We encountered an internal error. Please try again.")
        .with_query_code("InternalError")
}

/// The server is going down, or came up without its journal.
pub(crate) fn service_unavailable() -> ApiError {
    ApiError::receiver("ServiceUnavailable", "The service is shutting down. Please try again.").with_status(503)
}

/// New messages find no room on the disk.
pub(crate) fn disk_full() -> ApiError {
    let message = "The disk that keeps messages is full; messages can be received and deleted, not sent.";
    ApiError::receiver("ServiceUnavailable", message).with_status(503)
}

/// What the engine refused, for the client; what is our own fault goes to the log first.
pub(crate) fn from_engine(call: &Call, error: &EngineError) -> ApiError {
    match error {
        EngineError::NoSuchQueue => queue_does_not_exist(),
        EngineError::OverInFlight => too_many_in_flight(),
        EngineError::DiskFull => disk_full(),
        EngineError::Closed => service_unavailable(),
        EngineError::Poisoned(_) | EngineError::TooLarge { .. } => {
            tracing::error!(request_id = %call.request_id, %error, "the queue engine failed");
            internal()
        }
    }
}

/// A row that could not be read or written; the cause goes to the log.
pub(crate) fn from_store(call: &Call, error: &StoreError) -> ApiError {
    tracing::error!(request_id = %call.request_id, %error, "the store failed");
    internal()
}

fn invalid_parameter(value: impl Display, parameter: &str, reason: &str) -> ApiError {
    invalid_parameter_value(format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"))
}

fn invalid_parameter_value(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidParameterValueException", message).with_query_code("InvalidParameterValue")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            identity: api::Identity {
                principal: api::Principal::Anonymous,
                account: api::AccountId::parse("000000000000").unwrap(),
            },
            region: api::Region::parse("us-east-1").unwrap(),
            request_id: api::RequestId("id".to_owned()),
            endpoint: api::Endpoint { scheme: "http", authority: "localhost".into() },
            path: "/".into(),
            protocol: api::Protocol::Json10,
            source_ip: "127.0.0.1".parse().unwrap(),
            trace_header: None,
            user_agent: None,
            referer: None,
        }
    }

    #[test]
    fn what_the_engine_refuses_has_aws_s_code_and_tells_nothing_of_the_inside() {
        let poisoned = EngineError::Poisoned("disk /dev/sda1 failed".into());
        for (error, code, status) in [
            (EngineError::OverInFlight, "OverLimit", 403),
            (EngineError::NoSuchQueue, "QueueDoesNotExist", 400),
            (EngineError::DiskFull, "ServiceUnavailable", 503),
            (EngineError::Closed, "ServiceUnavailable", 503),
            (EngineError::TooLarge { bytes: 2, max: 1 }, "InternalFailure", 500),
            (poisoned, "InternalFailure", 500),
        ] {
            let told = from_engine(&call(), &error);
            assert_eq!((told.code.as_ref(), told.status), (code, status), "{error}");
            assert!(!told.message.contains("sda1"));
        }
    }

    #[test]
    fn a_failed_entry_carries_the_query_code() {
        assert_eq!(entry_code(&queue_does_not_exist()), "AWS.SimpleQueueService.NonExistentQueue");
        assert_eq!(entry_code(&receipt_handle_is_invalid("x")), "ReceiptHandleIsInvalid");
    }
}
