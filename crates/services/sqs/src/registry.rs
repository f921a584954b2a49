//! The queues that exist, in memory: what every request looks up instead of asking SQLite.
//!
//! Invariants:
//! - The registry says what the rows say: it changes after their commit, in the order of the commits.
//! - A lookup hashes the account, region and name where they stand and allocates nothing.
//! - Nothing here waits: locks are held for a few instructions, never across an `.await`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host::Timestamp;
use parking_lot::{Mutex, RwLock};
use policy::Policy;
use queue::QueueId;

use crate::arn::{self, QueueArn};
use crate::limits::QUEUE_NAME_MAX;
use crate::rows::{QueueRow, queue_key};

/// Account, two separators, the longest region and the longest name.
const KEY_BYTES_MAX: usize = 12 + 2 + 64 + QUEUE_NAME_MAX;

/// A queue as requests see it. What may change hangs in [`ServedQueue::state`].
pub(crate) struct ServedQueue {
    /// The engine's id.
    pub(crate) id: QueueId,
    /// The owner.
    pub(crate) account: Box<str>,
    /// The region.
    pub(crate) region: Box<str>,
    /// The name.
    pub(crate) name: Box<str>,
    /// The ARN.
    pub(crate) arn: Arc<str>,
    /// The messages.
    pub(crate) messages: queue::Queue,
    /// When it was last purged, for the 60 s rule; forgotten by a restart.
    pub(crate) purged_at: Mutex<Option<Timestamp>>,
    /// Bytes of bodies and user attributes sent since the start.
    sent_bytes: AtomicU64,
    state: RwLock<Arc<QueueState>>,
}

/// What a queue is set to at one moment.
pub(crate) struct QueueState {
    /// The row.
    pub(crate) row: QueueRow,
    /// The row's policy, parsed.
    pub(crate) policy: Option<Policy>,
}

impl QueueState {
    /// Parses what the row holds as text. A policy that does not parse any more is an error of ours: the queue is then
    /// served without it to its owner, and to nobody else.
    pub(crate) fn new(row: QueueRow) -> Self {
        let policy = row.attributes.policy.as_deref().and_then(|text| match Policy::parse(text) {
            Ok(policy) => Some(policy),
            Err(error) => {
                tracing::error!(queue = %row.name, %error, "a stored queue policy does not parse");
                None
            }
        });
        Self { row, policy }
    }
}

impl ServedQueue {
    /// A queue of this row over the engine's queue.
    pub(crate) fn new(row: QueueRow, messages: queue::Queue) -> Self {
        Self {
            id: QueueId(row.id),
            account: row.account.as_str().into(),
            region: row.region.as_str().into(),
            name: row.name.as_str().into(),
            arn: arn::render(&row.region, &row.account, &row.name).into(),
            messages,
            purged_at: Mutex::new(None),
            sent_bytes: AtomicU64::new(0),
            state: RwLock::new(Arc::new(QueueState::new(row))),
        }
    }

    /// What it is set to now.
    pub(crate) fn state(&self) -> Arc<QueueState> {
        self.state.read().clone()
    }

    /// Takes over a committed row.
    pub(crate) fn set_row(&self, row: QueueRow) {
        *self.state.write() = Arc::new(QueueState::new(row));
    }

    /// The row's key in `store`.
    pub(crate) fn key(&self) -> String {
        queue_key(&self.account, &self.region, &self.name)
    }

    /// Whether `arn` names this queue's dead-letter queue.
    pub(crate) fn dead_letters_to(&self, arn: &str) -> bool {
        let state = self.state.read();
        state.row.attributes.redrive_policy.as_ref().is_some_and(|policy| policy.dead_letter_target_arn == arn)
    }

    /// Counts what was sent.
    pub(crate) fn count_sent_bytes(&self, bytes: usize) {
        self.sent_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was sent since the start.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }
}

/// All queues, by key and by the engine's id.
#[derive(Default)]
pub(crate) struct Registry {
    queues: RwLock<Queues>,
}

#[derive(Default)]
struct Queues {
    by_key: HashMap<Box<[u8]>, Arc<ServedQueue>>,
    // The same queues in the order of lists; lookups do not walk it.
    in_order: BTreeMap<Box<[u8]>, Arc<ServedQueue>>,
    by_id: HashMap<QueueId, Arc<ServedQueue>>,
}

impl Registry {
    /// The queue of this account, region and name.
    pub(crate) fn find(&self, account: &str, region: &str, name: &str) -> Option<Arc<ServedQueue>> {
        let mut buffer = [0; KEY_BYTES_MAX];
        let key = write_key(&mut buffer, account, region, name)?;
        self.queues.read().by_key.get(key).cloned()
    }

    /// The queue that this ARN names.
    pub(crate) fn find_arn(&self, arn: &str) -> Option<Arc<ServedQueue>> {
        let arn = QueueArn::parse(arn)?;
        self.find(arn.account, arn.region, arn.name)
    }

    /// The queue that the engine knows by this id.
    pub(crate) fn find_id(&self, id: QueueId) -> Option<Arc<ServedQueue>> {
        self.queues.read().by_id.get(&id).cloned()
    }

    /// Adds a queue whose row is committed.
    pub(crate) fn insert(&self, queue: Arc<ServedQueue>) {
        let key: Box<[u8]> = queue.key().into_bytes().into();
        let mut queues = self.queues.write();
        queues.by_id.insert(queue.id, queue.clone());
        queues.in_order.insert(key.clone(), queue.clone());
        queues.by_key.insert(key, queue);
    }

    /// Removes a queue whose row is gone.
    pub(crate) fn remove(&self, queue: &ServedQueue) {
        let key = queue.key();
        let mut queues = self.queues.write();
        queues.by_id.remove(&queue.id);
        queues.in_order.remove(key.as_bytes());
        queues.by_key.remove(key.as_bytes());
    }

    /// Up to `limit` names of an account's queues in a region that begin with `prefix`, after `after`, in order.
    pub(crate) fn names(
        &self,
        account: &str,
        region: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        let first = queue_key(account, region, prefix);
        let start = match after {
            Some(after) => Bound::Excluded(queue_key(account, region, after)),
            None => Bound::Included(first.clone()),
        };
        let start = start.as_ref().map(|key| key.as_bytes());
        let queues = self.queues.read();
        let following = queues.in_order.range::<[u8], _>((start, Bound::Unbounded));
        let matching = following.take_while(|(key, _)| key.starts_with(first.as_bytes()));
        matching.take(limit).map(|(_, queue)| queue.name.to_string()).collect()
    }

    /// The queues that name this ARN as their dead-letter queue, in order.
    pub(crate) fn sources_of(&self, arn: &str) -> Vec<Arc<ServedQueue>> {
        let queues = self.queues.read();
        queues.in_order.values().filter(|queue| queue.dead_letters_to(arn)).cloned().collect()
    }

    /// How many queues there are.
    pub(crate) fn len(&self) -> usize {
        self.queues.read().by_id.len()
    }

    /// All queues, in order.
    pub(crate) fn all(&self) -> Vec<Arc<ServedQueue>> {
        self.queues.read().in_order.values().cloned().collect()
    }
}

/// Writes `account\0region\0name`; `None` when it is longer than any queue's key.
fn write_key<'b>(buffer: &'b mut [u8; KEY_BYTES_MAX], account: &str, region: &str, name: &str) -> Option<&'b [u8]> {
    let mut at = 0;
    for part in [account, "\0", region, "\0", name] {
        buffer.get_mut(at..at + part.len())?.copy_from_slice(part.as_bytes());
        at += part.len();
    }
    buffer.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_s_key_is_the_row_s_key() {
        let mut buffer = [0; KEY_BYTES_MAX];
        let (account, region) = ("123456789012", "r".repeat(64));
        let name = "q".repeat(80);
        for (region, name) in [("eu-west-1", "orders"), (region.as_str(), name.as_str())] {
            let key = write_key(&mut buffer, account, region, name).unwrap();
            assert_eq!(key, queue_key(account, region, name).as_bytes());
        }
    }

    #[test]
    fn a_name_longer_than_any_queue_s_finds_nothing() {
        let mut buffer = [0; KEY_BYTES_MAX];
        assert!(write_key(&mut buffer, "123456789012", "eu-west-1", &"q".repeat(200)).is_none());
    }
}
