//! Amazon SQS over the queue engine: AWS's operations, words and limits on one side, opaque messages on the other.
//!
//! Invariants:
//! - A message's way (send, receive, delete) asks memory and the engine only: no SQLite, no task of its own.
//! - A queue's row in `store` is the truth about the queue, the engine is the truth about its messages; a crash between
//!   the two is repaired at the next start, when the engine drops what no row names.
//! - AWS's codes and sentences stand in `errors` alone, its limits in `limits`.
//!
//! Knows nothing of HTTP, signatures, journals and other services.

mod access;
mod api;
mod arn;
mod attributes;
mod batch;
mod errors;
mod hex;
mod limits;
mod lists;
mod message_attributes;
mod message_body;
mod move_tasks;
mod payload;
mod permissions;
mod queue_name;
mod queue_path;
mod queue_url;
mod queues;
mod receive;
mod redrive;
mod registry;
mod rows;
mod send;
mod service;
mod stats;
mod tags;

pub use service::{OpenError, Sqs, SqsOptions};
pub use stats::QueueMetrics;
