//! What can go wrong with rows.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why a read or a write was refused or failed. Cloneable, because all writes of one commit share its failure.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// [`Transaction::insert`](crate::Transaction::insert) found a row with this key.
    #[error("table {table} already has a row {key:?}")]
    Exists {
        /// The table's name.
        table: &'static str,
        /// The row's key.
        key: String,
    },
    /// The row changed or went away since its revision was read: read it again and decide again.
    #[error("row {key:?} of table {table} has changed")]
    Conflict {
        /// The table's name.
        table: &'static str,
        /// The row's key.
        key: String,
    },
    /// The value cannot be written as JSON, or the stored text is not the JSON of the row type.
    #[error("row {key:?} of table {table} is not readable as its type: {source}")]
    Json {
        /// The table's name.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What the JSON codec says.
        source: Arc<serde_json::Error>,
    },
    /// A newer Millpond wrote this file.
    #[error("{} has format {found}, and this version reads up to {known}: run the version that wrote it, or a newer one", path.display())]
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this version reads.
        known: u64,
    },
    /// The file is a database, but not one of ours.
    #[error("{} is not a Millpond store: name another data directory, or move the file away", path.display())]
    NotAStore {
        /// The database file.
        path: PathBuf,
    },
    /// The file cannot be opened or made.
    #[error("cannot open {}: {source}", path.display())]
    File {
        /// The database file.
        path: PathBuf,
        /// What the operating system says.
        source: Arc<std::io::Error>,
    },
    /// A read or write was started inside another one on the same thread, which would wait for itself.
    #[error("a read or a write of the store was started inside another one")]
    Nested,
    /// An earlier error ended this transaction; nothing of it is kept.
    #[error("the transaction was ended by an earlier error")]
    Ended,
    /// The async runtime is shutting down.
    #[error("the runtime is shutting down")]
    Closed,
    /// SQLite failed.
    #[error("cannot {doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
}

impl StoreError {
    pub(crate) fn sqlite(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { doing, source: Arc::new(source) }
    }

    /// Whether the row was changed by somebody else meanwhile, so that reading and trying again makes sense.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Exists { .. })
    }

    /// Whether the disk has no room.
    pub fn is_disk_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// Whether it is certain that the write left no trace. Else it may be found after the next start.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Sqlite { .. } => self.is_disk_full(),
            Self::Closed => false,
            _ => true,
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        let Self::Sqlite { source, .. } = self else { return None };
        source.sqlite_error_code()
    }
}
