//! What `store` keeps for SQS: queues, the names of queues just deleted, move tasks, the next id.
//!
//! Invariants:
//! - These tables belong to this crate alone.
//! - A queue's key sorts by account, region and name, so that a list is a range.
//! - Fields are only ever added, each with a default: rows of older releases stay readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::Table;

use crate::attributes::QueueAttributes;

/// Queues by [`queue_key`].
pub(crate) const QUEUES: Table<QueueRow> = Table::new("sqs_queues");
/// When queues of these names were deleted, by [`queue_key`]; rows older than the cooldown mean nothing.
pub(crate) const DELETED_QUEUES: Table<DeletedQueueRow> = Table::new("sqs_deleted_queues");
/// Move tasks by their id.
pub(crate) const MOVE_TASKS: Table<MoveTaskRow> = Table::new("sqs_move_tasks");
/// Counters by name.
pub(crate) const COUNTERS: Table<u64> = Table::new("sqs_counters");
/// The counter that queue ids come from: the engine never sees one twice.
pub(crate) const QUEUE_IDS: &str = "queue_ids";

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueRow {
    /// The engine's id.
    pub(crate) id: u64,
    /// The owner.
    pub(crate) account: String,
    /// The region.
    pub(crate) region: String,
    /// The name.
    pub(crate) name: String,
    /// What it is set to.
    pub(crate) attributes: QueueAttributes,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// CreatedTimestamp, seconds since the epoch.
    pub(crate) created_s: u64,
    /// LastModifiedTimestamp, seconds since the epoch.
    pub(crate) modified_s: u64,
}

/// A name that was in use a moment ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletedQueueRow {
    /// When the queue was deleted, milliseconds since the epoch.
    pub(crate) deleted_ms: u64,
}

/// A move task; see `move_tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveTaskRow {
    /// Its id, a UUID.
    pub(crate) id: String,
    /// The dead-letter queue it empties.
    pub(crate) source_arn: String,
    /// Where the messages go; `None`: each to the queue it came from.
    #[serde(default)]
    pub(crate) destination_arn: Option<String>,
    /// Messages a second at most.
    #[serde(default)]
    pub(crate) rate: Option<u32>,
    /// Milliseconds since the epoch.
    pub(crate) started_ms: u64,
    /// Messages that were visible when it started.
    pub(crate) to_move: u64,
    /// How far it got.
    pub(crate) progress: MoveProgress,
}

/// How far a move task got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveProgress {
    /// Its state.
    pub(crate) status: MoveStatus,
    /// Messages moved. After a crash it may lag behind by what the last second moved.
    pub(crate) moved: u64,
    /// The Query code of what ended it.
    #[serde(default)]
    pub(crate) failure: Option<String>,
}

/// A move task's state, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum MoveStatus {
    /// Moves messages; goes on after a restart.
    Running,
    /// Was told to stop.
    Cancelling,
    /// Stopped because it was told to.
    Cancelled,
    /// Found nothing more to move.
    Completed,
    /// Could not go on.
    Failed,
}

impl MoveStatus {
    /// The status as AWS writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether the task still counts as active.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

/// A queue's key: account, region and name, in this order of weight.
pub(crate) fn queue_key(account: &str, region: &str, name: &str) -> String {
    format!("{account}\0{region}\0{name}")
}
