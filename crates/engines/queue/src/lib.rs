//! Message queues over a durable, group-committed journal. Knows no AWS API.
//!
//! Invariants:
//! - A message whose send was acknowledged is delivered until its delete is acknowledged, whatever crashes in between.
//! - A message whose delete was acknowledged never comes back.
//! - Nothing is visible before its time: not while delayed, not while lent to somebody else.
//! - Memory per message of a backlog is small and does not depend on its size; payloads live on disk.
//!
//! A queue (`queue`) is a pure state machine; the journal (`journal`) keeps what happens to it; a shard (`shard`) ties
//! queues, journal, waiting receivers and time together; the engine is what callers see.

mod engine;
mod error;
mod journal;
mod message;
mod queue;
mod receipt_handle;
mod shard;
mod stats;

pub use engine::{Engine, Limits, Options, Queue, Writer};
pub use error::{EngineError, HandleError, OpenError, VisibilityError};
pub use journal::recovery::{Damage, Recovery, Report, scan_bytes, verify};
pub use journal::replay::Lost;
pub use message::{Counts, DeadLetter, NewMessage, QueueId, Receive, Received, Sent, Settings};
pub use stats::{QueueStats, SYNC_BUCKETS_US, ShardStats};
