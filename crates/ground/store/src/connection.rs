//! Connections to SQLite: how they are set up, and the file's format.
//!
//! Invariant: a file of a newer format, or of another program, is not changed.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::StoreError;
use crate::view::Tables;

/// The format of the file that this version writes. Raise it when older versions could not read the result.
const FORMAT: u64 = 1;

/// Prepared statements kept per connection: all that a service uses again and again.
const STATEMENTS_MAX: usize = 256;

/// Read connections at most: more would not read faster, and each has a page cache.
const READERS_MAX: usize = 8;

/// The write-ahead log is copied into the database when it has so many pages (of 4 KiB).
const LOG_PAGES: u32 = 2000;

/// How long to wait for a transaction of another process: ours last for milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the one connection that writes, making or checking the file.
///
/// Returns the tables that exist and how often the store was opened.
pub(crate) fn open_writer(path: Option<&Path>) -> Result<(Connection, Tables, u64), StoreError> {
    if let Some(path) = path {
        create_private(path)?;
    }
    let opened = match path {
        Some(path) => Connection::open_with_flags(path, flags()),
        None => Connection::open_in_memory(),
    };
    let mut connection = opened.map_err(StoreError::sqlite("open the store"))?;
    prepare(&connection)?;
    let path = path.unwrap_or(Path::new(":memory:"));
    check(&connection, path)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = {LOG_PAGES};
             PRAGMA journal_size_limit = {};",
            u64::from(LOG_PAGES) * 4096
        ))
        .map_err(StoreError::sqlite("set the journal mode"))?;
    let opened = begin_life(&mut connection)?;
    let tables = tables(&connection)?;
    Ok((connection, tables, opened))
}

/// Makes an empty file that only its owner reads, if there is none; SQLite gives its log the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let create = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    create.map(drop).map_err(|source| StoreError::File { path: path.to_owned(), source: Arc::new(source) })
}

fn flags() -> OpenFlags {
    // Each connection is used by one thread at a time, so SQLite's own mutexes only cost.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(BUSY).map_err(StoreError::sqlite("set a timeout"))?;
    // FULL: in WAL mode, NORMAL would sync at checkpoints only, and an answered write could be lost with the power.
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")
        .map_err(StoreError::sqlite("set up a connection"))
}

/// Refuses a file that is not ours or too new.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let tables = tables(connection)?;
    if !tables.contains("_meta") {
        return if tables.is_empty() { Ok(()) } else { Err(StoreError::NotAStore { path: path.to_owned() }) };
    }
    let found = meta(connection, "format")?.ok_or_else(|| StoreError::NotAStore { path: path.to_owned() })?;
    if found > FORMAT {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}

/// Writes the format into a new file, and counts this opening: the number is this process's alone.
fn begin_life(connection: &mut Connection) -> Result<u64, StoreError> {
    let mut begin = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS _meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
             INSERT INTO _meta (name, value) VALUES ('format', {FORMAT}) ON CONFLICT (name) DO NOTHING;
             INSERT INTO _meta (name, value) VALUES ('opened', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;"
        ))?;
        let opened: i64 =
            transaction.query_row("SELECT value FROM _meta WHERE name = 'opened'", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(opened.cast_unsigned())
    };
    begin().map_err(StoreError::sqlite("prepare the store"))
}

fn meta(connection: &Connection, name: &str) -> Result<Option<u64>, StoreError> {
    let value: Option<i64> = connection
        .query_row("SELECT value FROM _meta WHERE name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(StoreError::sqlite("read the store's format"))?;
    Ok(value.map(i64::cast_unsigned))
}

pub(crate) fn tables(connection: &Connection) -> Result<Tables, StoreError> {
    let read = || {
        let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<Tables, _>>()
    };
    read().map_err(StoreError::sqlite("read the store's tables"))
}

/// A bounded set of connections that only read.
pub(crate) struct Readers {
    path: std::path::PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    out: usize,
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Lends a connection to `read`, waiting for one when all are out.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&Connection) -> R) -> Result<R, StoreError> {
        let mut lent = Lent { readers: self, connection: self.take() };
        let connection = match lent.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = Connection::open_with_flags(&self.path, flags())
                    .map_err(StoreError::sqlite("open the store for reading"))?;
                prepare(&connection)?;
                connection
                    .execute_batch("PRAGMA query_only = ON;")
                    .map_err(StoreError::sqlite("set up a connection"))?;
                connection
            }
        };
        Ok(read(lent.connection.insert(connection)))
    }

    /// An idle connection, or leave to open one.
    fn take(&self) -> Option<Connection> {
        let mut pool = self.pool.lock();
        while pool.idle.is_empty() && pool.out == READERS_MAX {
            self.returned.wait(&mut pool);
        }
        pool.out += 1;
        pool.idle.pop()
    }
}

/// Gives the place, and the connection if there is one, back to the pool, even when the reader panics.
struct Lent<'p> {
    readers: &'p Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        pool.out -= 1;
        pool.idle.extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}
