//! What can go wrong, in the engine's own words.

use std::path::PathBuf;
use std::sync::Arc;

/// Why a call did nothing, or why nobody knows whether it did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A write or sync failed. Whether this call's change survives is unknown until the process has restarted.
    #[error("the journal failed and accepts nothing more until the process restarts: {0}")]
    Poisoned(Arc<str>),
    /// The engine was closed.
    #[error("the queue engine is closed")]
    Closed,
    /// Sends are refused because the disk is nearly full; receives and deletes go on.
    #[error("the disk is nearly full: sends are refused until space is freed")]
    DiskFull,
    /// As many messages are in flight as the queue's settings allow.
    #[error("too many messages are in flight")]
    OverInFlight,
    /// The queue was deleted, or never made known to the engine.
    #[error("the queue does not exist")]
    NoSuchQueue,
    /// The messages of one call are larger than a journal file takes.
    #[error("the messages of one call take {bytes} bytes, more than {max}")]
    TooLarge {
        /// What the call would take.
        bytes: usize,
        /// What one call may take.
        max: usize,
    },
}

/// Why a receipt handle was not taken for a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Not a handle that this engine made for this queue.
    #[error("not a receipt handle of this queue")]
    Malformed,
}

/// Why a visibility timeout was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisibilityError {
    /// Not a handle that this engine made for this queue.
    #[error("not a receipt handle of this queue")]
    Malformed,
    /// The message is visible again, or lent to somebody else since.
    #[error("the message is not in flight under this handle")]
    NotInFlight,
    /// The message was deleted, moved or has expired.
    #[error("the message does not exist any more")]
    Gone,
    /// The message would stay hidden for more than twelve hours from its receipt.
    #[error("the total visibility timeout would exceed twelve hours")]
    TooLong,
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused an operation.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file, below the disk's root.
        path: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
    /// The files were written by a later version.
    #[error("{path} has format version {found}, newer than {known}; use the Millpond that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u8,
        /// The newest version this program reads.
        known: u8,
    },
    /// The key of the receipt handles is damaged.
    #[error("{path} is damaged; remove it to start with a new key (receipt handles handed out before become invalid)")]
    DamagedKey {
        /// The file.
        path: PathBuf,
    },
    /// No thread could be started.
    #[error("cannot start the writer thread: {0}")]
    Thread(std::io::Error),
}
