//! The journal: one append-only log for all queues of a shard.
//!
//! Invariants:
//! - One frame is one commit: it survives whole or not at all.
//! - A file is written front to back, by one writer, and never again until no message and no replay needs it.
//! - What cannot be trusted is never passed on: header, frame and record carry checksums of their own.
//!
//! `record` says what happened, `frame` bundles records, `file` holds frames, `writer` appends, `scan` reads back,
//! `replay` makes queues of records, `checkpoint` shortens the replay, `recovery` ties these together.

pub(crate) mod bodies;
pub(crate) mod checkpoint;
pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod scan;
pub(crate) mod writer;

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The next record's number.
    pub(crate) lsn: u64,
    /// The file that takes it.
    pub(crate) file: u32,
    /// Where in the file.
    pub(crate) offset: u32,
}
