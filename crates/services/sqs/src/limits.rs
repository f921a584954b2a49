//! Every bound of SQS in one place, by name.
//!
//! Source: the service's quotas page, as of the 1 MiB messages of August 2025.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of a message (body and user attributes), and of a batch.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1_048_576;
/// What a queue's MaximumMessageSize may be.
pub(crate) const MAXIMUM_MESSAGE_SIZE: RangeInclusive<u32> = 1_024..=1_048_576;
/// DelaySeconds of a queue or a message.
pub(crate) const DELAY_SECONDS: RangeInclusive<u32> = 0..=900;
/// VisibilityTimeout, and the time a message may stay in flight in all.
pub(crate) const VISIBILITY_TIMEOUT: RangeInclusive<u32> = 0..=43_200;
/// WaitTimeSeconds.
pub(crate) const WAIT_TIME_SECONDS: RangeInclusive<u32> = 0..=20;
/// MessageRetentionPeriod.
pub(crate) const MESSAGE_RETENTION_PERIOD: RangeInclusive<u32> = 60..=1_209_600;
/// KmsDataKeyReusePeriodSeconds.
pub(crate) const KMS_DATA_KEY_REUSE_PERIOD: RangeInclusive<u32> = 60..=86_400;
/// MaxNumberOfMessages.
pub(crate) const MAX_NUMBER_OF_MESSAGES: RangeInclusive<i32> = 1..=10;
/// Entries of a batch.
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;
/// Letters of a batch entry's id.
pub(crate) const BATCH_ENTRY_ID_MAX: usize = 80;
/// User attributes of a message.
pub(crate) const MESSAGE_ATTRIBUTES_MAX: usize = 10;
/// Bytes of a message attribute's name, and of its type.
pub(crate) const MESSAGE_ATTRIBUTE_NAME_MAX: usize = 256;
/// Bytes of an AWSTraceHeader. AWS names no limit; system attributes do not count towards the message's size.
pub(crate) const TRACE_HEADER_MAX: usize = 65_535;
/// Characters of a queue's name, `.fifo` included.
pub(crate) const QUEUE_NAME_MAX: usize = 80;
/// Characters of a message group or deduplication id.
pub(crate) const GROUP_ID_MAX: usize = 128;
/// In-flight messages of a standard queue; a short poll beyond gets OverLimit.
pub(crate) const IN_FLIGHT_MAX: usize = 120_000;
/// Tags of a queue.
pub(crate) const TAGS_MAX: usize = 50;
/// Characters of a tag's key.
pub(crate) const TAG_KEY_MAX: usize = 128;
/// Characters of a tag's value.
pub(crate) const TAG_VALUE_MAX: usize = 256;
/// Bytes of a queue policy.
pub(crate) const POLICY_BYTES_MAX: usize = 8_192;
/// Statements of a queue policy.
pub(crate) const POLICY_STATEMENTS_MAX: usize = 20;
/// Principals of a queue policy.
pub(crate) const POLICY_PRINCIPALS_MAX: usize = 50;
/// Conditions of a queue policy.
pub(crate) const POLICY_CONDITIONS_MAX: usize = 10;
/// Actions of one AddPermission.
pub(crate) const PERMISSION_ACTIONS_MAX: usize = 7;
/// Letters of a permission's label.
pub(crate) const LABEL_MAX: usize = 80;
/// `maxReceiveCount` of a redrive policy.
pub(crate) const MAX_RECEIVE_COUNT: RangeInclusive<u64> = 1..=1_000;
/// `sourceQueueArns` of a redrive allow policy.
pub(crate) const REDRIVE_SOURCES_MAX: usize = 10;
/// MaxResults of ListQueues and ListDeadLetterSourceQueues, and their page without one.
pub(crate) const LIST_RESULTS_MAX: i32 = 1_000;
/// MaxResults of ListMessageMoveTasks.
pub(crate) const MOVE_TASK_RESULTS_MAX: i32 = 10;
/// MaxNumberOfMessagesPerSecond of a move task.
pub(crate) const MOVE_RATE: RangeInclusive<i32> = 1..=500;
/// Active move tasks of an account.
pub(crate) const MOVE_TASKS_ACTIVE_MAX: usize = 100;
/// How long a move task may run.
pub(crate) const MOVE_TASK_TIME_MAX: Duration = Duration::from_secs(36 * 3_600);
/// Wait between DeleteQueue and CreateQueue of one name, and between two PurgeQueue of one queue.
pub(crate) const COOLDOWN: Duration = Duration::from_secs(60);
