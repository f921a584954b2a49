//! What goes in and out of a queue.
//!
//! Invariant: the engine never looks into a payload.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use host::Timestamp;

/// Names a queue for the engine. Chosen by the caller and never used again after the queue was deleted:
/// the journal may still hold records under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a queue does with its messages. The engine does not keep it: the caller pushes it at start and on change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Seconds that a new message stays hidden, unless the message says otherwise.
    pub delay_s: u32,
    /// Seconds that a received message stays hidden, unless the receive says otherwise.
    pub visibility_timeout_s: u32,
    /// Seconds from the send until a message is dropped, whatever its state.
    pub retention_s: u32,
    /// How many messages may be in flight at once.
    pub in_flight_max: usize,
    /// Where messages go that nobody manages to delete.
    pub dead_letter: Option<DeadLetter>,
}

impl Default for Settings {
    /// SQS's defaults.
    fn default() -> Self {
        Self { delay_s: 0, visibility_timeout_s: 30, retention_s: 345_600, in_flight_max: 120_000, dead_letter: None }
    }
}

/// The dead-letter queue of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue that takes the messages.
    pub queue: QueueId,
    /// A message received this often is moved instead of being received once more.
    pub max_receive_count: u32,
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The message's identity; it survives a move to the dead-letter queue.
    pub id: [u8; 16],
    /// Opaque to the engine.
    pub payload: Bytes,
    /// Overrides the queue's delay; at most 65,535.
    pub delay_s: Option<u32>,
}

/// What the engine says of a message that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Rises by one per message of a queue, from 1.
    pub sequence: u64,
    /// When the engine accepted it.
    pub sent_at: Timestamp,
}

/// How to receive.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// At most this many messages.
    pub max: usize,
    /// Overrides the queue's visibility timeout for these messages; 0 leaves them visible.
    pub visibility_timeout_s: Option<u32>,
    /// How long to wait for the first message; zero returns at once.
    pub wait: Duration,
}

/// A message that was lent to its receiver.
#[derive(Clone, Debug)]
pub struct Received {
    /// Deletes the message or changes its visibility; new with each receive.
    pub handle: String,
    /// As sent.
    pub id: [u8; 16],
    /// As sent.
    pub payload: Bytes,
    /// When it was sent; a move to the dead-letter queue keeps it.
    pub sent_at: Timestamp,
    /// When it was received for the first time, from whatever queue.
    pub first_received_at: Timestamp,
    /// How often it was received, this time included, across all queues.
    pub receive_count: u32,
    /// The queue that gave it up, if this is a dead-letter queue.
    pub dead_letter_source: Option<QueueId>,
    /// Its number in this queue.
    pub sequence: u64,
}

/// How many messages a queue holds; exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready to be received.
    pub visible: usize,
    /// Received and neither deleted nor lapsed.
    pub in_flight: usize,
    /// Sent and not yet due.
    pub delayed: usize,
}
