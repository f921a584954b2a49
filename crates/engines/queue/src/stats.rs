//! Numbers for metrics: cheap to count, consistent to read.
//!
//! Invariant: counters only rise, from zero at each start.

/// What happened to one queue since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that became durable.
    pub sent: u64,
    /// Payload bytes that became durable.
    pub sent_bytes: u64,
    /// Messages lent to receivers, repeats included.
    pub received: u64,
    /// Messages deleted by their receivers.
    pub deleted: u64,
    /// Receives that returned nothing.
    pub empty_receives: u64,
    /// Messages moved to the dead-letter queue.
    pub dead_lettered: u64,
    /// Messages dropped because their retention ended.
    pub expired: u64,
}

/// Upper bounds, in microseconds, of the buckets of [`ShardStats::sync_histogram`]; the last bucket has none.
pub const SYNC_BUCKETS_US: [u64; 9] = [100, 200, 400, 800, 1_600, 3_200, 10_000, 50_000, 250_000];

/// What one shard's journal did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Group commits: writes followed by a sync.
    pub commits: u64,
    /// Calls that those commits answered.
    pub calls: u64,
    /// Bytes appended.
    pub journal_bytes: u64,
    /// Journal files now on disk, spares included.
    pub files: u64,
    /// Time spent in write and sync, microseconds.
    pub sync_us: u64,
    /// Commits by duration of write and sync; bounds in [`SYNC_BUCKETS_US`].
    pub sync_histogram: [u64; SYNC_BUCKETS_US.len() + 1],
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Messages moved forward out of journal files that were mostly dead.
    pub relocated: u64,
    /// Payloads that a receive found in memory.
    pub cache_hits: u64,
    /// Payloads that a receive read from the journal.
    pub cache_misses: u64,
    /// Messages given up because their bytes were damaged on disk.
    pub lost: u64,
    /// Queues known.
    pub queues: u64,
    /// Receives waiting now.
    pub waiting: u64,
    /// Whether sends are refused for lack of disk space.
    pub disk_full: bool,
}
