//! Appending to the journal.
//!
//! Invariants:
//! - [`FileJournal::append`] returned `Ok`: the frame is durable.
//! - After an error nothing may be appended any more: the kernel may have dropped what it could not write, so a second
//!   sync that succeeds proves nothing.

use std::io;
use std::sync::Arc;

use super::Position;
use super::file::{FIRST_FRAME, FileSupply, JournalFile};
use super::frame::{Frame, first_chain};

/// Where a commit's frame went.
pub(crate) struct Appended {
    /// The file, when this frame is its first.
    pub(crate) begun: Option<Arc<JournalFile>>,
    /// File number of the frame.
    pub(crate) file: u32,
    /// Where the frame starts.
    pub(crate) offset: u32,
    /// Where the next one will start.
    pub(crate) end: Position,
}

/// The end of the log.
pub(crate) struct FileJournal {
    supply: Arc<FileSupply>,
    current: Arc<JournalFile>,
    epoch: u32,
    end: Position,
    chain: u32,
}

impl FileJournal {
    /// A journal that goes on at record `lsn` in a file that has no frame yet.
    pub(crate) fn new(supply: Arc<FileSupply>, current: Arc<JournalFile>, epoch: u32, lsn: u64) -> Self {
        let end = Position { lsn, file: current.header.number, offset: FIRST_FRAME };
        let chain = first_chain(current.header.salt);
        Self { supply, current, epoch, end, chain }
    }

    /// Where the next frame will start.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Writes a frame and syncs it.
    pub(crate) fn append(&mut self, frame: &mut Frame) -> io::Result<Appended> {
        let bytes = frame.span();
        let room = (self.current.header.capacity as usize).saturating_sub(self.end.offset as usize);
        let begun = if bytes > room { Some(self.begin_file(bytes)?) } else { None };
        let records = frame.records();
        let (bytes, crc) = frame.seal(self.epoch, self.current.header.salt, self.end.lsn, self.chain);
        self.current.handle.write_all_at(bytes, u64::from(self.end.offset))?;
        self.current.handle.sync_data()?;
        let offset = self.end.offset;
        self.chain = crc;
        self.end.lsn += u64::from(records);
        self.end.offset += u32::try_from(bytes.len()).map_err(io::Error::other)?;
        Ok(Appended { begun, file: self.end.file, offset, end: self.end })
    }

    fn begin_file(&mut self, bytes: usize) -> io::Result<Arc<JournalFile>> {
        let file = self.supply.next(self.current.header.number, bytes)?;
        self.chain = first_chain(file.header.salt);
        self.end = Position { lsn: self.end.lsn, file: file.header.number, offset: FIRST_FRAME };
        self.current = Arc::clone(&file);
        Ok(file)
    }
}
