//! Reading rows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;

use crate::{Revision, Row, Scan, StoreError, Table};

/// Names of the tables that exist.
pub(crate) type Tables = BTreeSet<String>;

/// One moment of all tables.
pub struct View<'c> {
    pub(crate) connection: &'c Connection,
    // Taken before the moment of the view, so a table in here exists in it.
    pub(crate) tables: Arc<Tables>,
}

impl View<'_> {
    /// Whether the table exists at this moment.
    pub(crate) fn has<T>(&self, table: &Table<T>) -> Result<bool, StoreError> {
        if self.tables.contains(table.name()) {
            return Ok(true);
        }
        // Another process may have made it.
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::sqlite("prepare a read"))?;
        statement.exists([table.name()]).map_err(StoreError::sqlite("look for a table"))
    }

    /// The row with this key, if there is one.
    ///
    /// # Errors
    /// When SQLite fails, or the stored JSON does not fit `T`; so for all reads.
    pub fn get<T: DeserializeOwned>(&self, table: &Table<T>, key: &str) -> Result<Option<Row<T>>, StoreError> {
        if !self.has(table)? {
            return Ok(None);
        }
        let sql = format!("SELECT revision, value FROM {} WHERE key = ?1", table.name());
        let mut statement = self.connection.prepare_cached(&sql).map_err(StoreError::sqlite("prepare a read"))?;
        let mut rows = statement.query(params![key.as_bytes()]).map_err(StoreError::sqlite("read a row"))?;
        let Some(row) = rows.next().map_err(StoreError::sqlite("read a row"))? else { return Ok(None) };
        decode(table, key.to_owned(), row, 0).map(Some)
    }

    /// Whether there is a row with this key.
    pub fn contains<T>(&self, table: &Table<T>, key: &str) -> Result<bool, StoreError> {
        if !self.has(table)? {
            return Ok(false);
        }
        let sql = format!("SELECT 1 FROM {} WHERE key = ?1", table.name());
        let mut statement = self.connection.prepare_cached(&sql).map_err(StoreError::sqlite("prepare a read"))?;
        statement.exists(params![key.as_bytes()]).map_err(StoreError::sqlite("read a row"))
    }

    /// The rows in the range, in the order of their keys. Give a limit where a client decides how many there are.
    pub fn scan<T: DeserializeOwned>(&self, table: &Table<T>, scan: &Scan) -> Result<Vec<Row<T>>, StoreError> {
        let mut found = Vec::new();
        self.visit(table, scan, |row| {
            found.push(row);
            Ok::<_, StoreError>(ControlFlow::<()>::Continue(()))
        })?;
        Ok(found)
    }

    /// The first row in the range.
    pub fn first<T: DeserializeOwned>(&self, table: &Table<T>, scan: &Scan) -> Result<Option<Row<T>>, StoreError> {
        Ok(self.scan(table, &scan.clone().limit(1))?.pop())
    }

    /// Shows the rows in the range one by one, in the order of their keys, until `visitor` breaks; holds one at a time.
    pub fn visit<T, B, E>(
        &self,
        table: &Table<T>,
        scan: &Scan,
        mut visitor: impl FnMut(Row<T>) -> Result<ControlFlow<B>, E>,
    ) -> Result<Option<B>, E>
    where
        T: DeserializeOwned,
        E: From<StoreError>,
    {
        if !self.has(table)? {
            return Ok(None);
        }
        let sql = format!(
            "SELECT key, revision, value FROM {} WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
            table.name()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(StoreError::sqlite("prepare a scan"))?;
        let mut rows =
            statement.query(params![scan.lower, scan.upper, limit(scan)]).map_err(StoreError::sqlite("scan rows"))?;
        while let Some(row) = rows.next().map_err(StoreError::sqlite("scan rows"))? {
            let key = text(row, 0)?;
            if let ControlFlow::Break(value) = visitor(decode(table, key, row, 1)?)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The keys in the range, in order; cheaper than [`View::scan`] as no value is decoded.
    pub fn keys<T>(&self, table: &Table<T>, scan: &Scan) -> Result<Vec<String>, StoreError> {
        if !self.has(table)? {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT key FROM {} WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3", table.name());
        let mut statement = self.connection.prepare_cached(&sql).map_err(StoreError::sqlite("prepare a scan"))?;
        let mut rows =
            statement.query(params![scan.lower, scan.upper, limit(scan)]).map_err(StoreError::sqlite("scan keys"))?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next().map_err(StoreError::sqlite("scan keys"))? {
            keys.push(text(row, 0)?);
        }
        Ok(keys)
    }

    /// How many rows are in the range, at most its limit. Walks them: not for large tables on a hot path.
    pub fn count<T>(&self, table: &Table<T>, scan: &Scan) -> Result<usize, StoreError> {
        if !self.has(table)? {
            return Ok(0);
        }
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE key >= ?1 AND key < ?2 LIMIT ?3) AS counted",
            table.name()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(StoreError::sqlite("prepare a count"))?;
        let count: Option<i64> = statement
            .query_row(params![scan.lower, scan.upper, limit(scan)], |row| row.get(0))
            .optional()
            .map_err(StoreError::sqlite("count rows"))?;
        Ok(usize::try_from(count.unwrap_or(0)).unwrap_or(0))
    }
}

/// The limit as SQLite takes it.
fn limit(scan: &Scan) -> i64 {
    scan.limit.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(i64::MAX)
}

/// A key, which went in as UTF-8.
fn text(row: &rusqlite::Row<'_>, column: usize) -> Result<String, StoreError> {
    let bytes: Vec<u8> = row.get(column).map_err(StoreError::sqlite("read a key"))?;
    String::from_utf8(bytes)
        .map_err(|error| StoreError::sqlite("read a key")(rusqlite::Error::Utf8Error(column, error.utf8_error())))
}

/// Decodes the columns `revision, value`, beginning at `column`.
fn decode<T: DeserializeOwned>(
    table: &Table<T>,
    key: String,
    row: &rusqlite::Row<'_>,
    column: usize,
) -> Result<Row<T>, StoreError> {
    let revision: i64 = row.get(column).map_err(StoreError::sqlite("read a revision"))?;
    let value = row.get_ref(column + 1).map_err(StoreError::sqlite("read a value"))?;
    let (ValueRef::Text(json) | ValueRef::Blob(json)) = value else {
        let wrong = rusqlite::Error::InvalidColumnType(column + 1, "value".to_owned(), value.data_type());
        return Err(StoreError::sqlite("read a value")(wrong));
    };
    match serde_json::from_slice(json) {
        Ok(value) => Ok(Row { key, revision: Revision(revision.cast_unsigned()), value }),
        Err(error) => Err(StoreError::Json { table: table.name(), key, source: Arc::new(error) }),
    }
}
