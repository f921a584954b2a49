//! The store: one writer, some readers, and who is told of changes.
//!
//! Invariant: the set of known tables is published after the commit that made them, so that a view that takes it before
//! its moment never names a table that the moment does not have.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use crate::commit::Commits;
use crate::connection::{Readers, open_writer, tables};
use crate::transaction::Changes;
use crate::view::Tables;
use crate::{StoreError, Table, Transaction, View};

/// Bits of a revision that count the writes since the store was opened; those above count the openings. Enough for
/// 30,000 writes a second during one year, and 8 million openings.
const REVISION_COUNTER_BITS: u32 = 40;

/// Rows of many types in one file, or in memory. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    writer: Mutex<Connection>,
    /// None for a store in memory, which has one connection for everything.
    readers: Option<Readers>,
    tables: Mutex<Arc<Tables>>,
    revisions: AtomicU64,
    watched: Mutex<BTreeMap<&'static str, watch::Sender<u64>>>,
    pub(crate) commits: Commits,
}

thread_local! {
    /// Whether this thread is inside a read or a write.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread is inside a read or a write, until dropped.
struct Inside;

impl Inside {
    fn enter() -> Result<Self, StoreError> {
        if INSIDE.replace(true) { Err(StoreError::Nested) } else { Ok(Self) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

impl Store {
    /// Opens the store in this file, making it if there is none; its directory exists. Blocks.
    ///
    /// Two processes may have it open; each sees the other's commits, but [`watch`](Self::watch) tells only of its own.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], [`StoreError::NotAStore`], or what SQLite says of the file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::with(Some(path))
    }

    /// A store that is gone when its last clone is.
    ///
    /// # Errors
    /// When memory is short.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::with(None)
    }

    fn with(path: Option<&Path>) -> Result<Self, StoreError> {
        let (writer, tables, opened) = open_writer(path)?;
        let shared = Shared {
            writer: Mutex::new(writer),
            readers: path.map(Readers::new),
            tables: Mutex::new(Arc::new(tables)),
            revisions: AtomicU64::new((opened << REVISION_COUNTER_BITS) | 1),
            watched: Mutex::default(),
            commits: Commits::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads one moment of all tables. Blocks, for microseconds when the pages are in memory; sees every write that
    /// returned before.
    ///
    /// # Errors
    /// What `read` answers, or [`StoreError`] when no view could be had.
    pub fn read<R, E: From<StoreError>>(&self, read: impl FnOnce(&View<'_>) -> Result<R, E>) -> Result<R, E> {
        let _inside = Inside::enter()?;
        let shared = &*self.shared;
        match &shared.readers {
            Some(readers) => readers.with(|connection| shared.view(connection, read))?,
            None => shared.view(&shared.writer.lock(), read),
        }
    }

    /// Changes any rows in one durable transaction. Blocks for a sync of the disk: not for async code, which has
    /// [`write_async`](Self::write_async).
    ///
    /// # Errors
    /// What `change` answers, and then nothing is kept; or [`StoreError`] when the commit failed.
    pub fn write<R, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.shared.commit(|connection, changes| {
            let mut transaction = self.shared.transaction(connection, changes);
            let answer = change(&mut transaction)?;
            *changes = transaction.into_changes();
            Ok(answer)
        })
    }

    /// [`read`](Self::read) on a thread that may block.
    pub async fn read_async<R, E>(&self, read: impl FnOnce(&View<'_>) -> Result<R, E> + Send + 'static) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || store.read(read)).await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => Err(StoreError::Closed.into()),
        }
    }

    /// A number that changes after each commit that changed rows of this table; what changed, a reader asks.
    pub fn watch<T>(&self, table: &Table<T>) -> watch::Receiver<u64> {
        self.shared.watched.lock().entry(table.name()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Removes every row of every table, in one transaction. Blocks.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.shared.commit(|connection, changes| {
            changes.tables = Arc::new(tables(connection)?);
            for table in changes.tables.iter().filter(|name| name.as_str() != "_meta") {
                connection.execute(&format!("DELETE FROM {table}"), []).map_err(StoreError::sqlite("clear a table"))?;
            }
            Ok::<_, StoreError>(())
        })?;
        self.shared.tell(|_| true);
        Ok(())
    }

    /// Reads the whole file and says what is wrong with it: nothing, when the answer is empty. Blocks for long.
    ///
    /// # Errors
    /// When SQLite cannot even read it.
    pub fn verify(&self) -> Result<Vec<String>, StoreError> {
        self.read(|view| {
            let read = || {
                let mut statement = view.connection.prepare("PRAGMA integrity_check")?;
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
            };
            let mut found: Vec<String> = read().map_err(StoreError::sqlite("verify the store"))?;
            found.retain(|line| line != "ok");
            Ok(found)
        })
    }
}

impl Shared {
    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables.lock())
    }

    fn view<R, E: From<StoreError>>(
        &self,
        connection: &Connection,
        read: impl FnOnce(&View<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let tables = self.tables();
        // Ends when dropped, also by a panic.
        let moment = connection.unchecked_transaction().map_err(StoreError::sqlite("begin to read"))?;
        read(&View { connection: &moment, tables })
    }

    /// A transaction that goes on where `changes` are.
    pub(crate) fn transaction<'c>(&'c self, connection: &'c Connection, changes: &Changes) -> Transaction<'c> {
        Transaction::new(View { connection, tables: Arc::clone(&changes.tables) }, &self.revisions)
    }

    /// Runs `change` in one SQL transaction and commits it. An error of `change` undoes everything.
    pub(crate) fn commit<R, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&Connection, &mut Changes) -> Result<R, E>,
    ) -> Result<R, E> {
        let _inside = Inside::enter()?;
        let mut writer = self.writer.lock();
        let sqlite = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::sqlite("begin a transaction"))?;
        let mut changes = Changes { tables: self.tables(), touched: BTreeSet::new() };
        let answer = change(&sqlite, &mut changes)?;
        // The change may have hidden an error that made SQLite roll back.
        if sqlite.is_autocommit() {
            return Err(StoreError::Ended.into());
        }
        sqlite.commit().map_err(StoreError::sqlite("commit"))?;
        *self.tables.lock() = changes.tables;
        self.tell(|table| changes.touched.contains(table));
        Ok(answer)
    }

    fn tell(&self, changed: impl Fn(&str) -> bool) {
        for (_, sender) in self.watched.lock().iter().filter(|(table, _)| changed(table)) {
            sender.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(test)]
mod tests;
