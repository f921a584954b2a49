//! [`Sqs`]: the service as the server holds it, and the way from a request to its queue.
//!
//! Invariants:
//! - Changes of queues (create, delete, set, tag, permit) happen one after another, each durable in `store` before the
//!   registry and the engine learn of it, and run to their end even when the client has hung up.
//! - A message's way takes no lock of those changes, asks no SQLite and spawns no task.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use api::Call;
use bytes::Bytes;
use host::{Clock, Ids};
use queue::{DeadLetter, Engine, EngineError, QueueId, Settings};
use store::{Scan, Store, StoreError};
use tokio::sync::Mutex;
use wire::{ApiError, EncodedResponse};

use crate::access::{self, Permission};
use crate::errors;
use crate::limits::IN_FLIGHT_MAX;
use crate::move_tasks::MoveTasks;
use crate::queue_path;
use crate::queue_url;
use crate::registry::{Registry, ServedQueue};
use crate::rows::{COUNTERS, DELETED_QUEUES, MOVE_TASKS, QUEUE_IDS, QUEUES, QueueRow};

/// What the service is made of.
pub struct SqsOptions {
    /// Queues, tags, policies, move tasks.
    pub store: Store,
    /// Messages. The service owns it: no other caller may name queues in it.
    pub engine: Engine,
    /// Stamps and cooldowns.
    pub clock: Arc<dyn Clock>,
    /// Message ids.
    pub ids: Arc<dyn Ids>,
    /// Whether AWS's two 60-second rules hold: after DeleteQueue, and between two PurgeQueue.
    pub cooldowns: bool,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rows could not be read.
    #[error("cannot read the queues: {0}")]
    Store(#[from] StoreError),
    /// The engine did not take a queue.
    #[error("cannot open the messages of the queues: {0}")]
    Engine(#[from] EngineError),
}

/// Amazon SQS. Cheap to clone.
#[derive(Clone)]
pub struct Sqs {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) cooldowns: bool,
    pub(crate) registry: Registry,
    pub(crate) move_tasks: MoveTasks,
    /// Held by whoever changes queues. Asynchronous because a change waits for the disk with it in hand.
    pub(crate) changes: Mutex<Changes>,
}

/// What only changes of queues look at.
pub(crate) struct Changes {
    /// The newest id that a queue got.
    pub(crate) last_queue_id: u64,
}

impl Sqs {
    /// Starts the service: loads the queues, tells the engine about them and drops messages of queues that are no
    /// more, and goes on with move tasks. Needs a tokio runtime.
    ///
    /// # Errors
    /// When rows cannot be read or the engine refuses.
    pub async fn open(options: SqsOptions) -> Result<Self, OpenError> {
        let SqsOptions { store, engine, clock, ids, cooldowns } = options;
        let (rows, tasks, stored_id) = store
            .read_async(|view| {
                let rows = view.scan(&QUEUES, &Scan::all())?;
                let tasks = view.scan(&MOVE_TASKS, &Scan::all())?;
                let last = view.get(&COUNTERS, QUEUE_IDS)?.map_or(0, |row| row.value);
                Ok::<_, StoreError>((rows, tasks, last))
            })
            .await?;
        // A queue that the engine still knows was deleted just before a crash; its id must not come again either.
        let known = engine.queue_ids().into_iter().map(|id| id.0).max().unwrap_or(0);
        let alive: HashSet<QueueId> = rows.iter().map(|row| QueueId(row.value.id)).collect();
        engine.retain(&alive).await?;
        let inner = Inner {
            store,
            engine,
            clock,
            ids,
            cooldowns,
            registry: Registry::default(),
            move_tasks: MoveTasks::default(),
            changes: Mutex::new(Changes { last_queue_id: stored_id.max(known) }),
        };
        let sqs = Self { inner: Arc::new(inner) };
        for row in rows {
            // Without a dead-letter queue at first: it may come later in this loop.
            let messages = sqs.inner.engine.queue(QueueId(row.value.id), settings_of(&row.value, None))?;
            sqs.inner.registry.insert(Arc::new(ServedQueue::new(row.value, messages)));
        }
        for queue in sqs.inner.registry.all() {
            sqs.push_settings(&queue)?;
        }
        sqs.resume_move_tasks(tasks.into_iter().map(|row| row.value).collect());
        Ok(sqs)
    }

    /// Answers a request. `operation` is the action's name, empty when the request names none; `body` is the JSON
    /// document or the form (for a GET its query string).
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        let body = match queue_path::place(call, operation, body) {
            queue_path::Placed::Body(body) => body,
            queue_path::Placed::Answer(response) => return response,
            queue_path::Placed::Refused(error) => return api::sqs::encode_error(call, &error),
        };
        match api::sqs::dispatch(self, call, operation, &body).await {
            Ok(response) => response,
            Err(error) => api::sqs::encode_error(call, &error),
        }
    }

    /// From now on long polls answer at once. For shutting down.
    pub fn drain(&self) {
        self.inner.engine.drain();
    }

    /// Stops move tasks (they go on at the next start) and makes everything durable.
    ///
    /// # Errors
    /// When the engine cannot write.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.inner.engine.drain();
        self.stop_move_tasks().await;
        self.inner.engine.close().await
    }

    /// Whether the service can serve; else why not, for the health page.
    ///
    /// # Errors
    /// The reason.
    pub fn health(&self) -> Result<(), String> {
        match &*self.inner.engine.poisoned().borrow() {
            None => Ok(()),
            Some(reason) => Err(reason.to_string()),
        }
    }

    /// Deletes all queues of all accounts with their messages, and forgets cooldowns and move tasks.
    ///
    /// # Errors
    /// When store or engine cannot write.
    pub async fn reset(&self) -> Result<(), OpenError> {
        let sqs = self.clone();
        let work = tokio::spawn(async move {
            let _changes = sqs.inner.changes.lock().await;
            sqs.forget_move_tasks().await;
            sqs.inner
                .store
                .write_async(|tx| {
                    tx.delete_range(&QUEUES, &Scan::all())?;
                    tx.delete_range(&DELETED_QUEUES, &Scan::all())?;
                    tx.delete_range(&MOVE_TASKS, &Scan::all())?;
                    Ok::<_, StoreError>(())
                })
                .await?;
            for queue in sqs.inner.registry.all() {
                sqs.inner.registry.remove(&queue);
                sqs.inner.engine.delete_queue(queue.id).await?;
            }
            Ok(())
        });
        work.await.unwrap_or(Err(OpenError::Store(StoreError::Closed)))
    }

    /// The queue that a request names, if the caller may do this to it.
    pub(crate) fn queue_for(
        &self,
        call: &Call,
        url: &str,
        permission: Permission,
    ) -> Result<Arc<ServedQueue>, ApiError> {
        if url.is_empty() {
            return Err(errors::missing_parameter("QueueUrl"));
        }
        access::check_signed(call, permission)?;
        let location = queue_url::parse(url).ok_or_else(|| errors::invalid_address(url))?;
        let account = location.account.unwrap_or(call.account().as_str());
        let region = location.region.unwrap_or(call.region.as_str());
        let queue = self.inner.registry.find(account, region, location.name);
        let queue = queue.ok_or_else(errors::queue_does_not_exist)?;
        access::check(call, &queue, permission, url, self.inner.clock.now())?;
        Ok(queue)
    }

    /// Runs a change to its end, even when the client goes away: store, registry and engine must not part.
    pub(crate) async fn to_the_end<T, F>(&self, change: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        tokio::spawn(change).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a change of a queue did not come to its end");
            Err(errors::internal())
        })
    }

    /// Tells the engine what a queue is set to now.
    pub(crate) fn push_settings(&self, queue: &ServedQueue) -> Result<(), EngineError> {
        let state = queue.state();
        let target = state.row.attributes.redrive_policy.as_ref();
        let target = target.and_then(|policy| self.inner.registry.find_arn(&policy.dead_letter_target_arn));
        // A dead-letter queue that is gone takes no messages: they stay where they are, as on AWS.
        self.inner.engine.set_settings(queue.id, settings_of(&state.row, target.map(|target| target.id)))
    }
}

/// The engine's view of a row.
pub(crate) fn settings_of(row: &QueueRow, dead_letter_queue: Option<QueueId>) -> Settings {
    let attributes = &row.attributes;
    let dead_letter = attributes.redrive_policy.as_ref().zip(dead_letter_queue);
    Settings {
        delay_s: attributes.delay_seconds,
        visibility_timeout_s: attributes.visibility_timeout,
        retention_s: attributes.message_retention_period,
        in_flight_max: IN_FLIGHT_MAX,
        dead_letter: dead_letter
            .map(|(policy, queue)| DeadLetter { queue, max_receive_count: policy.max_receive_count }),
    }
}
