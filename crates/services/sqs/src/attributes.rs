//! Queue attributes: their names, defaults and ranges; what may be set when; how they read back.
//!
//! Invariants:
//! - [`QueueAttributes`] holds only valid values; the one way in is [`parse`] and [`QueueAttributes::apply`].
//! - Attributes travel as strings; nothing outside this file knows how a value is written.
//! - What is unset (Policy, RedrivePolicy, RedriveAllowPolicy, Kms*) is not listed.
//!
//! Knows nothing of which queues exist: that a redrive target is there is checked by its caller.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use wire::ApiError;

use crate::errors;
use crate::limits::{
    DELAY_SECONDS, KMS_DATA_KEY_REUSE_PERIOD, MAXIMUM_MESSAGE_SIZE, MESSAGE_RETENTION_PERIOD, VISIBILITY_TIMEOUT,
    WAIT_TIME_SECONDS,
};
use crate::permissions;
use crate::redrive::{RedriveAllowPolicy, RedrivePolicy};

const KMS_DATA_KEY_REUSE_PERIOD_DEFAULT: u32 = 300;

/// Attributes that SQS computes, in the order in which `All` lists them.
const COMPUTED: [&str; 6] = [
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
];

/// Attributes that a client may set on a standard queue.
const SETTABLE: [&str; 11] = [
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
];

/// Attributes that only FIFO queues have.
const FIFO_ONLY: [&str; 4] = ["FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"];

/// What a queue is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueAttributes {
    /// Seconds that a new message stays invisible.
    pub(crate) delay_seconds: u32,
    /// Bytes of a message, user attributes included.
    pub(crate) maximum_message_size: u32,
    /// Seconds that a message is kept.
    pub(crate) message_retention_period: u32,
    /// Seconds that a receive waits unless it says otherwise.
    pub(crate) receive_message_wait_time_seconds: u32,
    /// Seconds that a received message stays invisible unless the receive says otherwise.
    pub(crate) visibility_timeout: u32,
    /// The access policy, as it was written.
    #[serde(default)]
    pub(crate) policy: Option<String>,
    /// Where messages go that were received too often.
    #[serde(default)]
    pub(crate) redrive_policy: Option<RedrivePolicy>,
    /// Who may name this queue as dead-letter queue.
    #[serde(default)]
    pub(crate) redrive_allow_policy: Option<RedriveAllowPolicy>,
    /// A KMS key's name: kept and returned, not used.
    #[serde(default)]
    pub(crate) kms_master_key_id: Option<String>,
    /// Seconds that a data key is reused: kept and returned, not used.
    #[serde(default)]
    pub(crate) kms_data_key_reuse_period_seconds: Option<u32>,
    /// Whether SQS encrypts with a key of its own: kept and returned, not used.
    pub(crate) sqs_managed_sse_enabled: bool,
}

impl Default for QueueAttributes {
    fn default() -> Self {
        Self {
            delay_seconds: 0,
            maximum_message_size: 1_048_576,
            message_retention_period: 345_600,
            receive_message_wait_time_seconds: 0,
            visibility_timeout: 30,
            policy: None,
            redrive_policy: None,
            redrive_allow_policy: None,
            kms_master_key_id: None,
            kms_data_key_reuse_period_seconds: None,
            sqs_managed_sse_enabled: true,
        }
    }
}

/// One attribute that a client sets, parsed. `None` removes what can be removed: AWS writes that as an empty string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// DelaySeconds.
    Delay(u32),
    /// MaximumMessageSize.
    MaximumMessageSize(u32),
    /// MessageRetentionPeriod.
    Retention(u32),
    /// ReceiveMessageWaitTimeSeconds.
    Wait(u32),
    /// VisibilityTimeout.
    VisibilityTimeout(u32),
    /// Policy.
    Policy(Option<String>),
    /// RedrivePolicy.
    Redrive(Option<RedrivePolicy>),
    /// RedriveAllowPolicy.
    RedriveAllow(Option<RedriveAllowPolicy>),
    /// KmsMasterKeyId.
    KmsKey(Option<String>),
    /// KmsDataKeyReusePeriodSeconds.
    KmsReusePeriod(u32),
    /// SqsManagedSseEnabled.
    ManagedSse(bool),
}

/// Reads the attributes of CreateQueue or SetQueueAttributes on a standard queue. All or nothing.
pub(crate) fn parse<'a, I>(given: I) -> Result<Vec<Change>, ApiError>
where
    I: IntoIterator<Item = (&'a str, &'a str)>,
{
    let mut given: Vec<_> = given.into_iter().collect();
    // By name, so that of several faults always the same one is told.
    given.sort_unstable();
    let changes = given.into_iter().map(|(name, value)| parse_one(name, value)).collect::<Result<Vec<_>, _>>()?;
    let kms = changes.iter().any(|change| matches!(change, Change::KmsKey(Some(_))));
    if kms && changes.contains(&Change::ManagedSse(true)) {
        return Err(errors::two_kinds_of_encryption());
    }
    Ok(changes)
}

fn parse_one(name: &str, value: &str) -> Result<Change, ApiError> {
    let number = |range: RangeInclusive<u32>| {
        let number = value.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| errors::invalid_attribute_value(name))
    };
    Ok(match name {
        "DelaySeconds" => Change::Delay(number(DELAY_SECONDS)?),
        "MaximumMessageSize" => Change::MaximumMessageSize(number(MAXIMUM_MESSAGE_SIZE)?),
        "MessageRetentionPeriod" => Change::Retention(number(MESSAGE_RETENTION_PERIOD)?),
        "ReceiveMessageWaitTimeSeconds" => Change::Wait(number(WAIT_TIME_SECONDS)?),
        "VisibilityTimeout" => Change::VisibilityTimeout(number(VISIBILITY_TIMEOUT)?),
        "Policy" => Change::Policy(unless_empty(value, permissions::check_policy)?),
        "RedrivePolicy" => Change::Redrive(unless_empty(value, RedrivePolicy::parse)?),
        "RedriveAllowPolicy" => Change::RedriveAllow(unless_empty(value, RedriveAllowPolicy::parse)?),
        "KmsMasterKeyId" => Change::KmsKey(unless_empty(value, |key| Ok(key.to_owned()))?),
        "KmsDataKeyReusePeriodSeconds" => Change::KmsReusePeriod(number(KMS_DATA_KEY_REUSE_PERIOD)?),
        "SqsManagedSseEnabled" => Change::ManagedSse(parse_bool(name, value)?),
        "DeduplicationScope" | "FifoThroughputLimit" => return Err(errors::fifo_only_attribute(name)),
        _ => return Err(errors::unknown_attribute(name)),
    })
}

fn unless_empty<T>(value: &str, parse: impl FnOnce(&str) -> Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

/// AWS takes `true` and `false` in any case.
fn parse_bool(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(errors::invalid_attribute_value(name)),
    }
}

/// Checks the attributes of a FIFO queue, as AWS would before it creates one.
pub(crate) fn check_fifo<'a, I>(given: I) -> Result<(), ApiError>
where
    I: IntoIterator<Item = (&'a str, &'a str)>,
{
    let mut given: Vec<_> = given.into_iter().collect();
    given.sort_unstable();
    let (fifo, common): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| FIFO_ONLY.contains(name));
    let mut scope = "queue";
    let mut limit = "perQueue";
    for (name, value) in fifo {
        let allowed: &[&str] = match name {
            "DeduplicationScope" => &["messageGroup", "queue"],
            "FifoThroughputLimit" => &["perQueue", "perMessageGroupId"],
            _ => {
                parse_bool(name, value)?;
                continue;
            }
        };
        if !allowed.contains(&value) {
            return Err(errors::invalid_attribute_value(name));
        }
        if name == "DeduplicationScope" {
            scope = value;
        } else {
            limit = value;
        }
    }
    if limit == "perMessageGroupId" && scope != "messageGroup" {
        return Err(errors::throughput_limit_needs_group_scope());
    }
    parse(common).map(|_| ())
}

impl QueueAttributes {
    /// Takes changes over. Encryption is one kind or the other: a KMS key turns SQS's own off, and SQS's own is
    /// refused while a key is set.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), ApiError> {
        for change in changes.iter().cloned() {
            match change {
                Change::Delay(seconds) => self.delay_seconds = seconds,
                Change::MaximumMessageSize(bytes) => self.maximum_message_size = bytes,
                Change::Retention(seconds) => self.message_retention_period = seconds,
                Change::Wait(seconds) => self.receive_message_wait_time_seconds = seconds,
                Change::VisibilityTimeout(seconds) => self.visibility_timeout = seconds,
                Change::Policy(policy) => self.policy = policy,
                Change::Redrive(policy) => self.redrive_policy = policy,
                Change::RedriveAllow(policy) => self.redrive_allow_policy = policy,
                Change::KmsKey(key) => {
                    self.sqs_managed_sse_enabled &= key.is_none();
                    self.kms_master_key_id = key;
                }
                Change::KmsReusePeriod(seconds) => {
                    // AWS forgets a value that equals the default: it is not listed again.
                    let other = seconds != KMS_DATA_KEY_REUSE_PERIOD_DEFAULT;
                    self.kms_data_key_reuse_period_seconds = other.then_some(seconds);
                }
                Change::ManagedSse(true) if self.kms_master_key_id.is_some() => {
                    return Err(errors::two_kinds_of_encryption());
                }
                Change::ManagedSse(enabled) => self.sqs_managed_sse_enabled = enabled,
            }
        }
        Ok(())
    }

    /// The first attribute that CreateQueue names with another value than this queue has.
    pub(crate) fn first_difference(&self, changes: &[Change]) -> Option<&'static str> {
        changes.iter().find_map(|change| self.difference(change))
    }

    fn difference(&self, change: &Change) -> Option<&'static str> {
        let (name, same) = match change {
            Change::Delay(seconds) => ("DelaySeconds", self.delay_seconds == *seconds),
            Change::MaximumMessageSize(bytes) => ("MaximumMessageSize", self.maximum_message_size == *bytes),
            Change::Retention(seconds) => ("MessageRetentionPeriod", self.message_retention_period == *seconds),
            Change::Wait(seconds) => {
                ("ReceiveMessageWaitTimeSeconds", self.receive_message_wait_time_seconds == *seconds)
            }
            Change::VisibilityTimeout(seconds) => ("VisibilityTimeout", self.visibility_timeout == *seconds),
            Change::Policy(policy) => ("Policy", same_json(self.policy.as_deref(), policy.as_deref())),
            Change::Redrive(policy) => ("RedrivePolicy", self.redrive_policy == *policy),
            Change::RedriveAllow(policy) => ("RedriveAllowPolicy", self.redrive_allow_policy == *policy),
            Change::KmsKey(key) => ("KmsMasterKeyId", self.kms_master_key_id == *key),
            Change::KmsReusePeriod(seconds) => {
                let current = self.kms_data_key_reuse_period_seconds.unwrap_or(KMS_DATA_KEY_REUSE_PERIOD_DEFAULT);
                ("KmsDataKeyReusePeriodSeconds", current == *seconds)
            }
            Change::ManagedSse(enabled) => ("SqsManagedSseEnabled", self.sqs_managed_sse_enabled == *enabled),
        };
        (!same).then_some(name)
    }

    fn settable(&self, name: &str) -> Option<String> {
        match name {
            "DelaySeconds" => Some(self.delay_seconds.to_string()),
            "MaximumMessageSize" => Some(self.maximum_message_size.to_string()),
            "MessageRetentionPeriod" => Some(self.message_retention_period.to_string()),
            "ReceiveMessageWaitTimeSeconds" => Some(self.receive_message_wait_time_seconds.to_string()),
            "VisibilityTimeout" => Some(self.visibility_timeout.to_string()),
            "Policy" => self.policy.clone(),
            "RedrivePolicy" => self.redrive_policy.as_ref().map(RedrivePolicy::render),
            "RedriveAllowPolicy" => self.redrive_allow_policy.as_ref().map(RedriveAllowPolicy::render),
            "KmsMasterKeyId" => self.kms_master_key_id.clone(),
            "KmsDataKeyReusePeriodSeconds" => {
                let default = self.kms_master_key_id.as_ref().map(|_| KMS_DATA_KEY_REUSE_PERIOD_DEFAULT);
                self.kms_data_key_reuse_period_seconds.or(default).map(|seconds| seconds.to_string())
            }
            "SqsManagedSseEnabled" => Some(self.sqs_managed_sse_enabled.to_string()),
            _ => None,
        }
    }
}

/// Whether two optional JSON texts say the same.
fn same_json(a: Option<&str>, b: Option<&str>) -> bool {
    let parsed = |text: Option<&str>| text.map(serde_json::from_str::<serde_json::Value>);
    match (parsed(a), parsed(b)) {
        (None, None) => true,
        (Some(Ok(a)), Some(Ok(b))) => a == b,
        _ => false,
    }
}

/// What SQS computes about a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Computed<'a> {
    /// QueueArn.
    pub(crate) arn: &'a str,
    /// CreatedTimestamp, seconds since the epoch.
    pub(crate) created_s: u64,
    /// LastModifiedTimestamp, seconds since the epoch.
    pub(crate) modified_s: u64,
    /// ApproximateNumberOfMessages.
    pub(crate) visible: u64,
    /// ApproximateNumberOfMessagesNotVisible.
    pub(crate) in_flight: u64,
    /// ApproximateNumberOfMessagesDelayed.
    pub(crate) delayed: u64,
}

impl Computed<'_> {
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "QueueArn" => Some(self.arn.to_owned()),
            "ApproximateNumberOfMessages" => Some(self.visible.to_string()),
            "ApproximateNumberOfMessagesNotVisible" => Some(self.in_flight.to_string()),
            "ApproximateNumberOfMessagesDelayed" => Some(self.delayed.to_string()),
            "CreatedTimestamp" => Some(self.created_s.to_string()),
            "LastModifiedTimestamp" => Some(self.modified_s.to_string()),
            _ => None,
        }
    }
}

/// The attributes that GetQueueAttributes was asked for and that the queue has.
pub(crate) fn select<'a>(
    names: &'a [String],
    attributes: &QueueAttributes,
    computed: &Computed<'_>,
) -> Result<Vec<(&'a str, String)>, ApiError> {
    for name in names {
        if name != "All" && !is_known(name) {
            return Err(errors::unknown_attribute(name));
        }
    }
    let value = |name: &'a str| computed.value(name).or_else(|| attributes.settable(name)).map(|value| (name, value));
    if names.iter().any(|name| name == "All") {
        return Ok(COMPUTED.into_iter().chain(SETTABLE).filter_map(value).collect());
    }
    Ok(names.iter().filter_map(|name| value(name)).collect())
}

/// Whether any queue can have an attribute of this name.
pub(crate) fn is_known(name: &str) -> bool {
    COMPUTED.contains(&name) || SETTABLE.contains(&name) || FIFO_ONLY.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPUTED_VALUES: Computed<'static> = Computed {
        arn: "arn:aws:sqs:us-east-1:000000000000:q",
        created_s: 1,
        modified_s: 2,
        visible: 3,
        in_flight: 4,
        delayed: 5,
    };

    fn read(attributes: &QueueAttributes, names: &[&str]) -> Vec<(String, String)> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let selected = select(&names, attributes, &COMPUTED_VALUES).unwrap();
        selected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn set(given: &[(&str, &str)]) -> Result<QueueAttributes, ApiError> {
        let mut attributes = QueueAttributes::default();
        attributes.apply(&parse(given.iter().copied())?)?;
        Ok(attributes)
    }

    #[test]
    fn each_number_at_and_past_its_edges() {
        for (name, low, high) in [
            ("DelaySeconds", 0, 900),
            ("MaximumMessageSize", 1_024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("VisibilityTimeout", 0, 43_200),
            ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
        ] {
            for good in [low, high] {
                let attributes = set(&[(name, &good.to_string())]).unwrap();
                assert_eq!(read(&attributes, &[name]), [(name.to_owned(), good.to_string())]);
            }
            for bad in [(low - 1).to_string(), (high + 1).to_string(), String::new(), "x".to_owned(), "1.5".to_owned()]
            {
                let error = set(&[(name, &bad)]).unwrap_err();
                assert_eq!(error.code, "InvalidAttributeValue");
                assert_eq!(error.message, format!("Invalid value for the parameter {name}."), "{bad}");
            }
        }
    }

    #[test]
    fn defaults_are_those_of_aws_and_unset_ones_are_not_listed() {
        let listed = read(&QueueAttributes::default(), &["All"]);
        let expected = [
            ("QueueArn", "arn:aws:sqs:us-east-1:000000000000:q"),
            ("ApproximateNumberOfMessages", "3"),
            ("ApproximateNumberOfMessagesNotVisible", "4"),
            ("ApproximateNumberOfMessagesDelayed", "5"),
            ("CreatedTimestamp", "1"),
            ("LastModifiedTimestamp", "2"),
            ("VisibilityTimeout", "30"),
            ("MaximumMessageSize", "1048576"),
            ("MessageRetentionPeriod", "345600"),
            ("DelaySeconds", "0"),
            ("ReceiveMessageWaitTimeSeconds", "0"),
            ("SqsManagedSseEnabled", "true"),
        ];
        assert_eq!(listed, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_unknown_name_is_refused_on_the_way_in_and_out() {
        for bad in
            ["Foo", "delayseconds", "QueueArn", "CreatedTimestamp", "All", "FifoQueue", "ContentBasedDeduplication"]
        {
            let error = set(&[(bad, "true")]).unwrap_err();
            assert_eq!(
                (error.code.as_ref(), error.message),
                ("InvalidAttributeName", format!("Unknown Attribute {bad}."))
            );
        }
        let names = ["Foo".to_owned()];
        let error = select(&names, &QueueAttributes::default(), &COMPUTED_VALUES).unwrap_err();
        assert_eq!(error.message, "Unknown Attribute Foo.");
    }

    #[test]
    fn fifo_attributes_are_refused_on_a_standard_queue_in_aws_s_words() {
        let error = set(&[("DeduplicationScope", "queue")]).unwrap_err();
        assert_eq!(error.message, "You can specify the DeduplicationScope only when FifoQueue is set to true.");
        assert!(set(&[("FifoThroughputLimit", "perQueue")]).is_err());
        assert!(read(&QueueAttributes::default(), &["FifoQueue"]).is_empty());
    }

    #[test]
    fn fifo_attributes_are_validated() {
        let check = |given: &[(&str, &str)]| check_fifo(given.iter().copied());
        assert!(check(&[("FifoQueue", "true"), ("ContentBasedDeduplication", "false"), ("DelaySeconds", "1")]).is_ok());
        assert!(check(&[("DeduplicationScope", "messageGroup"), ("FifoThroughputLimit", "perMessageGroupId")]).is_ok());
        assert!(check(&[("FifoThroughputLimit", "perMessageGroupId")]).is_err());
        assert!(check(&[("DeduplicationScope", "group")]).is_err());
        assert!(check(&[("ContentBasedDeduplication", "yes")]).is_err());
        assert!(check(&[("DelaySeconds", "901")]).is_err());
    }

    #[test]
    fn a_kms_key_turns_sqs_s_own_encryption_off() {
        let attributes = set(&[("KmsMasterKeyId", "alias/a"), ("KmsDataKeyReusePeriodSeconds", "6000")]).unwrap();
        let listed = read(&attributes, &["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"]);
        let values: Vec<&str> = listed.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["alias/a", "6000", "false"]);
        let mut without = attributes;
        without.apply(&[Change::KmsKey(None)]).unwrap();
        assert!(read(&without, &["KmsMasterKeyId"]).is_empty());
    }

    #[test]
    fn two_kinds_of_encryption_at_once_are_refused() {
        let both = set(&[("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "true")]).unwrap_err();
        assert_eq!(both.code, "InvalidAttributeName");
        let mut attributes = set(&[("KmsMasterKeyId", "k")]).unwrap();
        assert_eq!(attributes.apply(&[Change::ManagedSse(true)]).unwrap_err(), both);
    }

    #[test]
    fn an_empty_string_removes_a_policy() {
        let policy = "{\"redrivePermission\":\"denyAll\"}";
        let mut attributes = set(&[("RedriveAllowPolicy", policy)]).unwrap();
        assert_eq!(read(&attributes, &["RedriveAllowPolicy"])[0].1, policy);
        attributes.apply(&parse([("RedriveAllowPolicy", ""), ("Policy", ""), ("RedrivePolicy", "")]).unwrap()).unwrap();
        assert!(read(&attributes, &["RedriveAllowPolicy", "Policy", "RedrivePolicy"]).is_empty());
    }

    #[test]
    fn only_attributes_given_are_compared() {
        let attributes = set(&[("DelaySeconds", "5")]).unwrap();
        let difference = |given: &[(&str, &str)]| attributes.first_difference(&parse(given.iter().copied()).unwrap());
        assert_eq!(difference(&[]), None);
        assert_eq!(difference(&[("DelaySeconds", "5"), ("VisibilityTimeout", "30")]), None);
        assert_eq!(difference(&[("DelaySeconds", "6")]), Some("DelaySeconds"));
        assert_eq!(difference(&[("VisibilityTimeout", "31")]), Some("VisibilityTimeout"));
        assert_eq!(difference(&[("SqsManagedSseEnabled", "FALSE")]), Some("SqsManagedSseEnabled"));
    }

    #[test]
    fn policies_are_compared_by_what_they_say() {
        assert!(same_json(Some("{\"a\": 1, \"b\":2}"), Some("{\"b\":2,\"a\":1}")));
        assert!(!same_json(Some("{\"a\":1}"), Some("{\"a\":2}")) && !same_json(None, Some("{}")));
    }
}
