//! Reading a journal file back, damage and all.
//!
//! Invariants:
//! - No bytes make it panic, and it always comes to an end.
//! - A bad frame that whole frames follow is damage, and said so; one that nothing follows is a torn tail, which was
//!   never acknowledged.

use super::file::FIRST_FRAME;
use super::frame::{ALIGN, FrameHeader, HEADER_BYTES, LSN_OFFSET, SALT_OFFSET, first_chain};

/// What stands at a place in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A whole frame.
    Frame {
        /// Where it starts.
        offset: usize,
        header: FrameHeader,
        /// Its records.
        body: &'a [u8],
    },
    /// Bytes that are no frame, with frames of this file after them.
    Damage {
        /// The first bad byte.
        offset: usize,
        /// Where the next frame starts.
        end: usize,
        /// The records of the bad frame, if its header can be read: some of them may be whole.
        body: &'a [u8],
    },
    /// Nothing more.
    End {
        /// Where the next frame would start.
        offset: usize,
        /// Whether something was being written there.
        torn: bool,
        /// The records of the torn frame, if its header can be read.
        body: &'a [u8],
    },
}

/// Goes through the frames of one file.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    salt: u64,
    at: usize,
    /// Frames below this number are of no interest.
    lsn: u64,
    /// The chain that the next frame goes on; unknown after damage.
    chain: Option<u32>,
    ended: bool,
}

impl<'a> Scanner<'a> {
    /// Over a whole file (its header included), from its first frame.
    pub(crate) fn new(bytes: &'a [u8], salt: u64, lsn: u64) -> Self {
        let chain = Some(first_chain(salt));
        Self { bytes, salt, at: FIRST_FRAME as usize, lsn, chain, ended: false }
    }

    /// Over a whole file, from a frame in its middle.
    pub(crate) fn from(bytes: &'a [u8], salt: u64, lsn: u64, at: usize) -> Self {
        Self { at, chain: None, ..Self::new(bytes, salt, lsn) }
    }

    /// The header at a place, if it may be one of this file's.
    fn header_at(&self, at: usize) -> Option<(FrameHeader, &'a [u8])> {
        let header = FrameHeader::read(self.bytes.get(at..)?)?;
        let start = at + HEADER_BYTES;
        let body = self.bytes.get(start..start + header.length as usize)?;
        (header.salt == self.salt && header.first_lsn >= self.lsn).then_some((header, body))
    }

    fn next_header(&self, from: usize) -> Option<usize> {
        (from..self.bytes.len()).step_by(ALIGN).find(|at| self.header_at(*at).is_some())
    }

    /// Where the next frame starts after the one at `at`.
    fn after(&self, at: usize, header: &FrameHeader) -> usize {
        at.saturating_add(usize::try_from(header.span()).unwrap_or(usize::MAX))
    }

    fn step(&mut self) -> Found<'a> {
        let at = self.at;
        let here = self.header_at(at);
        if let Some((header, body)) = here
            && self.chain.is_none_or(|chain| chain == header.chain)
            && header.fits(body)
        {
            self.at = self.after(at, &header);
            self.lsn = header.next_lsn();
            self.chain = Some(header.body_crc);
            return Found::Frame { offset: at, header, body };
        }
        // A header that can be read says where the next frame starts; without one, look everywhere.
        let (from, body) = match here {
            Some((header, body)) => (self.after(at, &header), body),
            None => (at + ALIGN, &[][..]),
        };
        match self.next_header(from) {
            Some(end) => {
                self.at = end;
                self.chain = None;
                Found::Damage { offset: at, end, body }
            }
            None => {
                self.ended = true;
                Found::End { offset: at, torn: here.is_some() || self.was_begun(at), body }
            }
        }
    }

    /// Whether a frame of this file was begun here, though its header is not whole: it has the file's salt, or else
    /// the number that comes next. One flipped bit leaves one of them.
    fn was_begun(&self, at: usize) -> bool {
        let number = |at: usize| self.bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        number(at + SALT_OFFSET) == Some(self.salt) || (self.lsn > 0 && number(at + LSN_OFFSET) == Some(self.lsn))
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Found<'a>;

    /// Ends after one [`Found::End`].
    fn next(&mut self) -> Option<Found<'a>> {
        (!self.ended).then(|| self.step())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::Frame;
    use crate::journal::record::Record;
    use crate::message::QueueId;

    const SALT: u64 = 0x5a17;

    /// A file of `frames` frames with one record each, and where each starts.
    fn file(frames: u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = vec![0; FIRST_FRAME as usize];
        let (mut starts, mut chain) = (Vec::new(), first_chain(SALT));
        let mut frame = Frame::default();
        for lsn in 0..frames {
            frame.clear();
            frame.push(&Record::Purge { queue: QueueId(lsn), up_to: 1 });
            let (sealed, crc) = frame.seal(1, SALT, lsn, chain);
            starts.push(bytes.len());
            bytes.extend_from_slice(sealed);
            chain = crc;
        }
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, starts)
    }

    fn lsns(bytes: &[u8]) -> Vec<u64> {
        let frames = Scanner::new(bytes, SALT, 0).filter_map(|found| match found {
            Found::Frame { header, .. } => Some(header.first_lsn),
            _ => None,
        });
        frames.collect()
    }

    #[test]
    fn all_frames_are_found_and_then_a_clean_end() {
        let (bytes, starts) = file(5);
        assert_eq!(lsns(&bytes), [0, 1, 2, 3, 4]);
        let last = Scanner::new(&bytes, SALT, 0).last();
        assert!(matches!(last, Some(Found::End { torn: false, offset, .. }) if offset > starts[4]));
    }

    #[test]
    fn a_damaged_frame_in_the_middle_is_reported_and_the_rest_is_found() {
        for place in [0, HEADER_BYTES + 3] {
            let (mut bytes, starts) = file(5);
            bytes[starts[2] + place] ^= 1;
            assert_eq!(lsns(&bytes), [0, 1, 3, 4]);
            let damage = Scanner::new(&bytes, SALT, 0).find(|found| matches!(found, Found::Damage { .. })).map(
                |found| matches!(found, Found::Damage { offset, end, .. } if (offset, end) == (starts[2], starts[3])),
            );
            assert_eq!(damage, Some(true));
        }
    }

    #[test]
    fn a_damaged_frame_at_the_end_is_a_torn_tail() {
        for place in [0, HEADER_BYTES + 3] {
            let (mut bytes, starts) = file(5);
            bytes[starts[4] + place] ^= 1;
            assert_eq!(lsns(&bytes), [0, 1, 2, 3]);
            let last = Scanner::new(&bytes, SALT, 0).last();
            assert!(matches!(last, Some(Found::End { torn: true, offset, .. }) if offset == starts[4]));
        }
    }

    #[test]
    fn frames_of_an_earlier_use_of_the_file_are_not_seen() {
        let (bytes, starts) = file(5);
        let last = Scanner::new(&bytes, SALT + 1, 0).next();
        assert!(matches!(last, Some(Found::End { torn: false, offset, .. }) if offset == starts[0]));
    }
}
