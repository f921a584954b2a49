//! The engine as its callers see it: queues by id, opened over a directory or over nothing.
//!
//! Invariants:
//! - What a call returned `Ok` for is durable (unless the engine keeps nothing), and says so only then.
//! - Once the journal failed, every call answers [`EngineError::Poisoned`].

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::{Clock, Disk, Ids};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{EngineError, HandleError, OpenError, VisibilityError};
use crate::journal::recovery::Recovery;
use crate::message::{Counts, NewMessage, QueueId, Receive, Received, Sent, Settings};
use crate::shard::{Shard, Threads};
use crate::stats::{QueueStats, ShardStats};

/// Bounds of an engine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of a journal file at which the next one is begun.
    pub file_bytes: u32,
    /// Journal bytes between two checkpoints, at least.
    pub checkpoint_bytes: u64,
    /// Bytes that one group commit takes before it leaves the rest to the next.
    pub commit_bytes: usize,
    /// Calls that one group commit takes before it leaves the rest to the next.
    pub commit_calls: usize,
    /// Payload bytes kept in memory for receivers.
    pub body_cache_bytes: usize,
    /// Per cent of the disk that sends leave free.
    pub disk_floor_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            checkpoint_bytes: 64 << 20,
            commit_bytes: 1 << 20,
            commit_calls: 1024,
            body_cache_bytes: 64 << 20,
            disk_floor_percent: 5,
        }
    }
}

/// Who commits to the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writer {
    /// A thread per shard, which commits what waits in groups.
    #[default]
    Thread,
    /// The caller, inside its call: no threads, so that a simulation can be replayed.
    Inline,
}

/// What an engine is made of.
#[derive(Clone)]
pub struct Options {
    /// Where to keep messages; `None` keeps them in memory only.
    pub disk: Option<Arc<dyn Disk>>,
    /// The engine's directory, below the disk's root.
    pub dir: PathBuf,
    /// Stamps and deadlines.
    pub clock: Arc<dyn Clock>,
    /// Salts and keys.
    pub ids: Arc<dyn Ids>,
    /// Bounds.
    pub limits: Limits,
    /// Who commits.
    pub writer: Writer,
}

/// All queues of one directory. Cheap to clone. Dropping the last clone ends the threads; [`Engine::close`] before that
/// keeps leases and receive counts, too.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// One queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
    id: QueueId,
}

struct Inner {
    shard: Arc<Shard>,
    threads: Mutex<Option<Threads>>,
}

impl Inner {
    /// Ends the threads, and waits for them.
    fn join(&self) {
        let threads = self.threads.lock().take();
        if let Some(threads) = threads {
            self.shard.join(threads);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.join();
    }
}

impl Engine {
    /// Opens the directory, recovering what it holds. Blocks.
    ///
    /// # Errors
    /// When the disk fails or the directory was written by a newer version. Damage is no error: it is reported.
    pub fn open(options: Options) -> Result<(Self, Recovery), OpenError> {
        let (shard, recovery) = Shard::open(options)?;
        let threads = Mutex::new(shard.start()?);
        Ok((Self { inner: Arc::new(Inner { shard, threads }) }, recovery))
    }

    /// The queue with this id, created if the engine does not know it, with these settings from now on.
    pub fn queue(&self, id: QueueId, settings: Settings) -> Result<Queue, EngineError> {
        self.inner.shard.configure(id, settings, true)?;
        Ok(Queue { inner: Arc::clone(&self.inner), id })
    }

    /// The ids of all queues that the engine knows.
    pub fn queue_ids(&self) -> Vec<QueueId> {
        self.inner.shard.queue_ids()
    }

    /// Replaces a queue's settings. They hold for sends and receives from now on; retention for all messages at once.
    pub fn set_settings(&self, id: QueueId, settings: Settings) -> Result<(), EngineError> {
        self.inner.shard.configure(id, settings, false)
    }

    /// Deletes a queue with all its messages; durable when it returns. Waiting receivers wake with nothing.
    /// No error if there is no such queue.
    pub async fn delete_queue(&self, id: QueueId) -> Result<(), EngineError> {
        self.inner.shard.delete_queues(|queue| queue == id).await
    }

    /// Deletes all queues but these; for the start, when the caller knows which ones still exist.
    pub async fn retain(&self, ids: &HashSet<QueueId>) -> Result<(), EngineError> {
        self.inner.shard.delete_queues(|queue| !ids.contains(&queue)).await
    }

    /// Moves up to `max` visible messages of `from`, as one atomic change, to the queue that `route` names for the
    /// message's dead-letter source. A message without a route, or with one to a queue that the engine does not know,
    /// stays. Moved messages get a new id and send time. Returns how many moved: 0 when no visible message can.
    ///
    /// `route` is called under the shard's lock: it must be quick and must not call the engine.
    pub async fn move_messages(
        &self,
        from: QueueId,
        max: usize,
        route: impl Fn(Option<QueueId>) -> Option<QueueId> + Send + Sync,
    ) -> Result<usize, EngineError> {
        self.inner.shard.move_messages(from, max, route).await
    }

    /// From now on nobody waits: waiting receives answer with nothing at once. For shutting down.
    pub fn drain(&self) {
        self.inner.shard.drain();
    }

    /// Makes everything durable, leases and receive counts too, and ends the engine's threads. Every later call
    /// answers [`EngineError::Closed`].
    pub async fn close(&self) -> Result<(), EngineError> {
        let shard = &self.inner.shard;
        shard.finish().await?;
        if shard.is_inline() {
            return shard.seal();
        }
        let inner = Arc::clone(&self.inner);
        let sealed = tokio::task::spawn_blocking(move || {
            inner.join();
            inner.shard.seal()
        });
        sealed.await.unwrap_or(Err(EngineError::Closed))
    }

    /// Becomes `Some(reason)` when the journal fails: the process should exit non-zero.
    pub fn poisoned(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.inner.shard.poisoned()
    }

    /// Counters of the engine's shards.
    pub fn stats(&self) -> Vec<ShardStats> {
        vec![self.inner.shard.stats()]
    }
}

impl Queue {
    /// The queue's id.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Sends messages, all or none; durable when it returns, in the order given.
    ///
    /// A payload may be kept in memory for as long as it is fresh: it should own its bytes, not be a slice of a buffer
    /// much larger than itself.
    pub async fn send(&self, messages: Vec<NewMessage>) -> Result<Vec<Sent>, EngineError> {
        self.inner.shard.send(self.id, messages).await
    }

    /// Lends messages. Returns at the first that is there, or empty after the wait. Dropping the future lends nothing.
    ///
    /// # Errors
    /// [`EngineError::OverInFlight`] without a wait; with a wait the result is empty instead.
    pub async fn receive(&self, receive: Receive) -> Result<Vec<Received>, EngineError> {
        self.inner.shard.receive(self.id, receive).await
    }

    /// Deletes the messages behind the handles; durable when it returns. A result per handle, in order.
    /// Deleting twice is no error; a handle of an earlier receive deletes as well.
    pub async fn delete<H: AsRef<str> + Sync>(
        &self,
        handles: &[H],
    ) -> Result<Vec<Result<(), HandleError>>, EngineError> {
        self.inner.shard.delete(self.id, handles).await
    }

    /// Hides messages in flight for so many seconds from now; 0 makes them visible at once. A result per entry.
    pub async fn change_visibility<H: AsRef<str> + Sync>(
        &self,
        changes: &[(H, u32)],
    ) -> Result<Vec<Result<(), VisibilityError>>, EngineError> {
        self.inner.shard.change_visibility(self.id, changes)
    }

    /// Drops every message sent before the call; durable when it returns.
    pub async fn purge(&self) -> Result<(), EngineError> {
        self.inner.shard.purge(self.id).await
    }

    /// How many messages the queue holds.
    pub fn counts(&self) -> Result<Counts, EngineError> {
        self.inner.shard.counts(self.id)
    }

    /// Age of the oldest message; in a dead-letter queue since its arrival there. Messages received three times or
    /// more are left out. Zero for an empty queue.
    pub fn oldest_age(&self) -> Result<Duration, EngineError> {
        self.inner.shard.oldest_age(self.id)
    }

    /// Counters since the start.
    pub fn stats(&self) -> Result<QueueStats, EngineError> {
        self.inner.shard.queue_stats(self.id)
    }

    /// The settings in force.
    pub fn settings(&self) -> Result<Settings, EngineError> {
        self.inner.shard.settings(self.id)
    }
}
