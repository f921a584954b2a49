//! Numbers about queues for metrics, under CloudWatch's names.
//!
//! Invariant: reading them costs no message its way; the caller says how many queues it takes.

use crate::service::Sqs;

/// One queue's numbers. Counters rise from zero at each start; the others are as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMetrics {
    /// The owner.
    pub account: String,
    /// The region.
    pub region: String,
    /// CloudWatch's dimension QueueName.
    pub queue_name: String,
    /// `NumberOfMessagesSent`, a counter.
    pub number_of_messages_sent: u64,
    /// `NumberOfMessagesReceived`, a counter.
    pub number_of_messages_received: u64,
    /// `NumberOfEmptyReceives`, a counter.
    pub number_of_empty_receives: u64,
    /// `NumberOfMessagesDeleted`, a counter.
    pub number_of_messages_deleted: u64,
    /// The sum of `SentMessageSize` in bytes, a counter: bodies and user attributes.
    pub sent_message_size_sum: u64,
    /// `ApproximateNumberOfMessagesVisible`.
    pub approximate_number_of_messages_visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`.
    pub approximate_number_of_messages_not_visible: usize,
    /// `ApproximateNumberOfMessagesDelayed`.
    pub approximate_number_of_messages_delayed: usize,
    /// `ApproximateAgeOfOldestMessage`, seconds.
    pub approximate_age_of_oldest_message_s: u64,
}

impl Sqs {
    /// The numbers of up to `max` queues, ordered by account, region and name.
    pub fn queue_stats(&self, max: usize) -> Vec<QueueMetrics> {
        self.inner
            .registry
            .all()
            .into_iter()
            .take(max)
            .filter_map(|queue| {
                // A queue that is deleted meanwhile has no numbers.
                let stats = queue.messages.stats().ok()?;
                let counts = queue.messages.counts().ok()?;
                let oldest_age = queue.messages.oldest_age().ok()?;
                Some(QueueMetrics {
                    account: queue.account.to_string(),
                    region: queue.region.to_string(),
                    queue_name: queue.name.to_string(),
                    number_of_messages_sent: stats.sent,
                    number_of_messages_received: stats.received,
                    number_of_empty_receives: stats.empty_receives,
                    number_of_messages_deleted: stats.deleted,
                    sent_message_size_sum: queue.sent_bytes(),
                    approximate_number_of_messages_visible: counts.visible,
                    approximate_number_of_messages_not_visible: counts.in_flight,
                    approximate_number_of_messages_delayed: counts.delayed,
                    approximate_age_of_oldest_message_s: oldest_age.as_secs(),
                })
            })
            .collect()
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.inner.registry.len()
    }
}
