//! Group commit: async writes that wait at the same time share one transaction and so one sync of the disk.
//!
//! Invariants:
//! - A write sees what the writes before it in its group did; each stands or falls alone, by a savepoint.
//! - No write is answered before the commit of its group, and when that fails, all of the group are told so: an answer
//!   may rest on what another write of the group did.
//! - Either no write waits, or a leader is at work or on its way.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::Shared;
use crate::transaction::Changes;
use crate::{Store, StoreError, Transaction};

/// Writes in one commit at most, so that the first of a group does not wait for long.
const GROUP_MAX: usize = 256;

/// Writes that wait for a commit.
#[derive(Default)]
pub(crate) struct Commits {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    writes: VecDeque<Box<dyn Write>>,
    /// Whether somebody will take what is queued.
    led: bool,
}

/// A write whose types are forgotten.
trait Write: Send {
    /// Runs the change; whether it is to be kept.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool;
    /// Answers the caller, after the commit.
    fn answer(self: Box<Self>, committed: &Result<(), StoreError>);
}

/// What a change came to, or its panic.
type Outcome<R, E> = thread::Result<Result<R, E>>;

struct Change<F, R, E> {
    change: Option<F>,
    outcome: Option<Outcome<R, E>>,
    caller: oneshot::Sender<Outcome<R, E>>,
}

impl<F, R, E> Write for Change<F, R, E>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<R, E> + Send,
    R: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool {
        let Some(change) = self.change.take() else { return false };
        // The change's state dies with a panic; the savepoint undoes what it did to the rows.
        let outcome = catch_unwind(AssertUnwindSafe(|| change(transaction)));
        let keep = matches!(outcome, Ok(Ok(_)));
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, committed: &Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            (Some(Err(panic)), _) => Err(panic),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (None, Ok(())) => Ok(Err(StoreError::Ended.into())),
            (_, Err(error)) => Ok(Err(error.clone().into())),
        };
        // The caller may have gone; the change stays.
        drop(self.caller.send(outcome));
    }
}

impl Store {
    /// Changes any rows in one durable transaction that shares its sync with others that wait at the same time.
    ///
    /// Once polled it happens, even when the future is dropped before its answer.
    ///
    /// # Errors
    /// What `change` answers, and then nothing of it is kept; or [`StoreError`] when the commit failed.
    ///
    /// # Panics
    /// When `change` does.
    pub async fn write_async<R, E>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<R, E> + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let write = Box::new(Change { change: Some(change), outcome: None, caller });
        if self.shared.commits.enqueue(write) {
            // A blocking task, not a thread of our own: tokio's paused time does not jump while one works.
            let leader = Leader { shared: Arc::clone(&self.shared), done: false };
            drop(tokio::task::spawn_blocking(move || leader.work()));
        }
        match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_dropped) => Err(StoreError::Closed.into()),
        }
    }
}

impl Commits {
    /// Whether the caller must provide a leader.
    fn enqueue(&self, write: Box<dyn Write>) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.writes.push_back(write);
        !std::mem::replace(&mut waiting.led, true)
    }

    /// The next group; when there is none, the leader's work is over.
    fn next_group(&self) -> Vec<Box<dyn Write>> {
        let mut waiting = self.waiting.lock();
        let size = waiting.writes.len().min(GROUP_MAX);
        waiting.led = size > 0;
        waiting.writes.drain(..size).collect()
    }
}

/// The one task that commits.
struct Leader {
    shared: Arc<Shared>,
    /// Whether nothing waited any more; another leader may be at work since.
    done: bool,
}

impl Leader {
    fn work(mut self) {
        loop {
            let group = self.shared.commits.next_group();
            if group.is_empty() {
                self.done = true;
                return;
            }
            commit(&self.shared, group);
        }
    }
}

impl Drop for Leader {
    /// A leader that never ran, as its runtime was shutting down, must not leave writes waiting for it.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let abandoned = {
            let mut waiting = self.shared.commits.waiting.lock();
            waiting.led = false;
            std::mem::take(&mut waiting.writes)
        };
        for write in abandoned {
            write.answer(&Err(StoreError::Closed));
        }
    }
}

fn commit(shared: &Shared, mut group: Vec<Box<dyn Write>>) {
    let committed = shared.commit(|connection, changes| {
        for write in &mut group {
            run_alone(shared, connection, changes, &mut **write)?;
        }
        Ok::<_, StoreError>(())
    });
    if let Err(error) = &committed {
        tracing::error!(%error, writes = group.len(), "a commit failed");
    }
    for write in group {
        write.answer(&committed);
    }
}

/// Runs one write of a group in a savepoint of its own.
fn run_alone(
    shared: &Shared,
    connection: &Connection,
    changes: &mut Changes,
    write: &mut dyn Write,
) -> Result<(), StoreError> {
    statement(connection, "SAVEPOINT one_write")?;
    let mut transaction = shared.transaction(connection, changes);
    let keep = write.run(&mut transaction);
    let its_changes = transaction.into_changes();
    if connection.is_autocommit() {
        return Err(StoreError::Ended);
    }
    if keep {
        changes.tables = its_changes.tables;
        changes.touched.extend(its_changes.touched);
    } else {
        statement(connection, "ROLLBACK TO one_write")?;
    }
    statement(connection, "RELEASE one_write")
}

fn statement(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(StoreError::sqlite("prepare a savepoint"))?;
    statement.execute([]).map_err(StoreError::sqlite("set a savepoint"))?;
    Ok(())
}
