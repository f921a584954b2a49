//! Message queues over a durable, group-committed journal. Knows no AWS API.

mod engine;
mod error;
mod message;
mod stats;

pub use engine::{Engine, Limits, Options, Queue, Recovery, Writer};
pub use error::{EngineError, HandleError, OpenError, VisibilityError};
pub use message::{Counts, DeadLetter, NewMessage, QueueId, Receive, Received, Sent, Settings};
pub use stats::{QueueStats, SYNC_BUCKETS_US, ShardStats};
