//! Message queues over a durable, group-committed journal. Knows no AWS API.
