//! Changing rows.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{ToSql, params};
use serde::Serialize;

use crate::view::Tables;
use crate::{Revision, Scan, StoreError, Table, View};

/// What a commit makes known.
pub(crate) struct Changes {
    /// The tables that exist.
    pub(crate) tables: Arc<Tables>,
    /// Those whose rows changed.
    pub(crate) touched: BTreeSet<&'static str>,
}

/// One durable change of any tables, seen whole or not at all. Reads see what it wrote so far.
pub struct Transaction<'c> {
    view: View<'c>,
    revisions: &'c AtomicU64,
    touched: BTreeSet<&'static str>,
}

impl<'c> Deref for Transaction<'c> {
    type Target = View<'c>;

    fn deref(&self) -> &View<'c> {
        &self.view
    }
}

impl<'c> Transaction<'c> {
    pub(crate) fn new(view: View<'c>, revisions: &'c AtomicU64) -> Self {
        Self { view, revisions, touched: BTreeSet::new() }
    }

    pub(crate) fn into_changes(self) -> Changes {
        Changes { tables: self.view.tables, touched: self.touched }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one with this key; the transaction may go on.
    pub fn insert<T: Serialize>(&mut self, table: &Table<T>, key: &str, value: &T) -> Result<Revision, StoreError> {
        let sql = "INSERT INTO {} (key, revision, value) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO NOTHING";
        self.write_row(table, sql, key, value, None)?
            .ok_or_else(|| StoreError::Exists { table: table.name(), key: key.to_owned() })
    }

    /// Adds or overwrites a row, whatever its revision. For rows that one writer owns; else use
    /// [`replace`](Self::replace).
    pub fn put<T: Serialize>(&mut self, table: &Table<T>, key: &str, value: &T) -> Result<Revision, StoreError> {
        let sql = "INSERT INTO {} (key, revision, value) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value";
        // Always changes a row; were it not to, the truthful answer is that somebody else holds the row.
        self.write_row(table, sql, key, value, None)?
            .ok_or_else(|| StoreError::Conflict { table: table.name(), key: key.to_owned() })
    }

    /// Overwrites a row if it still has the revision that was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it has another or is gone; the transaction may go on.
    pub fn replace<T: Serialize>(
        &mut self,
        table: &Table<T>,
        key: &str,
        revision: Revision,
        value: &T,
    ) -> Result<Revision, StoreError> {
        let sql = "UPDATE {} SET revision = ?2, value = ?3 WHERE key = ?1 AND revision = ?4";
        self.write_row(table, sql, key, value, Some(revision))?
            .ok_or_else(|| StoreError::Conflict { table: table.name(), key: key.to_owned() })
    }

    /// Removes a row; whether there was one.
    pub fn delete<T>(&mut self, table: &Table<T>, key: &str) -> Result<bool, StoreError> {
        let changed = self.execute(table, "DELETE FROM {} WHERE key = ?1", &[&key.as_bytes()])?;
        Ok(changed > 0)
    }

    /// Removes a row if it still has the revision that was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it has another or is gone; the transaction may go on.
    pub fn delete_if<T>(&mut self, table: &Table<T>, key: &str, revision: Revision) -> Result<(), StoreError> {
        let sql = "DELETE FROM {} WHERE key = ?1 AND revision = ?2";
        match self.execute(table, sql, params![key.as_bytes(), revision.0.cast_signed()])? {
            0 => Err(StoreError::Conflict { table: table.name(), key: key.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Removes the rows in the range, at most its limit; how many there were.
    pub fn delete_range<T>(&mut self, table: &Table<T>, scan: &Scan) -> Result<usize, StoreError> {
        if scan.limit.is_none() {
            return self.execute(table, "DELETE FROM {} WHERE key >= ?1 AND key < ?2", params![scan.lower, scan.upper]);
        }
        let keys = self.keys(table, scan)?;
        for key in &keys {
            self.delete(table, key)?;
        }
        Ok(keys.len())
    }

    /// Runs one of the three statements that write a value; `None` when it changed no row.
    fn write_row<T: Serialize>(
        &mut self,
        table: &Table<T>,
        sql: &str,
        key: &str,
        value: &T,
        expected: Option<Revision>,
    ) -> Result<Option<Revision>, StoreError> {
        let json = serde_json::to_string(value).map_err(|error| StoreError::Json {
            table: table.name(),
            key: key.to_owned(),
            source: Arc::new(error),
        })?;
        // Relaxed: the writer's lock orders all transactions.
        let revision = Revision(self.revisions.fetch_add(1, Ordering::Relaxed));
        let (key, number) = (key.as_bytes(), revision.0.cast_signed());
        let changed = match expected {
            None => self.execute(table, sql, params![key, number, json])?,
            Some(expected) => self.execute(table, sql, params![key, number, json, expected.0.cast_signed()])?,
        };
        Ok((changed > 0).then_some(revision))
    }

    /// Runs a statement with the table's name in place of `{}`; how many rows it changed.
    fn execute<T>(&mut self, table: &Table<T>, sql: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
        let connection = self.view.connection;
        // Some failures (no room, no memory, I/O) make SQLite roll back by itself; what came after would commit alone.
        if connection.is_autocommit() {
            return Err(StoreError::Ended);
        }
        self.create(table)?;
        let sql = sql.replace("{}", table.name());
        let mut statement = connection.prepare_cached(&sql).map_err(StoreError::sqlite("prepare a change"))?;
        let changed = statement.execute(values).map_err(StoreError::sqlite("change a row"))?;
        if changed > 0 {
            self.touched.insert(table.name());
        }
        Ok(changed)
    }

    /// Creates the table on its first use.
    fn create<T>(&mut self, table: &Table<T>) -> Result<(), StoreError> {
        if self.view.tables.contains(table.name()) {
            return Ok(());
        }
        // Keys are bytes, for only bytes have a documented order that holds with '\0' inside.
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (key BLOB NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) \
             WITHOUT ROWID",
            table.name()
        );
        self.view.connection.execute(&sql, []).map_err(StoreError::sqlite("create a table"))?;
        Arc::make_mut(&mut self.view.tables).insert(table.name().to_owned());
        Ok(())
    }
}
