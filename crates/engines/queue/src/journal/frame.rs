//! Frames: a commit's records under one header.
//!
//! Invariants:
//! - A header names its file's salt and the number (LSN) of its first record, so the bytes that an earlier use left in
//!   a recycled file are never taken for frames.
//! - The checksum of the records starts from the previous frame's: frames of one file form a chain.
//!
//! Layout, little-endian: magic u32 | version u8 | 0 u8×3 | epoch u32 | records u32 | salt u64 | first LSN u64 |
//! length u32 | chain u32 | body crc u32 | header crc u32 | records | 0..7 zero bytes to a multiple of 8.

use crc32c::{crc32c, crc32c_append};

use super::record::{Reader, Record};

/// The format version of frames that this program writes, and the newest that it reads.
pub(crate) const FRAME_VERSION: u8 = 1;
/// Bytes of a frame header.
pub(crate) const HEADER_BYTES: usize = 48;
/// Where in a header the salt stands.
pub(crate) const SALT_OFFSET: usize = 16;
/// Where in a header the first record's number stands.
pub(crate) const LSN_OFFSET: usize = 24;
/// Frames start at multiples of this.
pub(crate) const ALIGN: usize = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"MPfr");

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Counts the openings of the shard.
    pub(crate) epoch: u32,
    /// How many records follow.
    pub(crate) records: u32,
    /// The file's.
    pub(crate) salt: u64,
    /// Number of the first record.
    pub(crate) first_lsn: u64,
    /// Bytes of the records.
    pub(crate) length: u32,
    /// Body crc of the frame before; the salt's low half in a file's first frame.
    pub(crate) chain: u32,
    /// crc32c of the records, started from `chain`.
    pub(crate) body_crc: u32,
}

impl FrameHeader {
    fn write(&self, out: &mut [u8]) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&[FRAME_VERSION, 0, 0, 0]);
        out[8..12].copy_from_slice(&self.epoch.to_le_bytes());
        out[12..16].copy_from_slice(&self.records.to_le_bytes());
        out[16..24].copy_from_slice(&self.salt.to_le_bytes());
        out[24..32].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[32..36].copy_from_slice(&self.length.to_le_bytes());
        out[36..40].copy_from_slice(&self.chain.to_le_bytes());
        out[40..44].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c(&out[..44]);
        out[44..48].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header at the start of `bytes`, if there is one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let mut fields = Reader(bytes);
        if fields.u32()? != MAGIC || fields.u8()? != FRAME_VERSION {
            return None;
        }
        let _reserved: [u8; 3] = fields.take()?;
        let header = Self {
            epoch: fields.u32()?,
            records: fields.u32()?,
            salt: fields.u64()?,
            first_lsn: fields.u64()?,
            length: fields.u32()?,
            chain: fields.u32()?,
            body_crc: fields.u32()?,
        };
        (fields.u32()? == crc32c(&bytes[..44])).then_some(header)
    }

    /// Whether these are the frame's records.
    pub(crate) fn fits(&self, body: &[u8]) -> bool {
        crc32c_append(self.chain, body) == self.body_crc
    }

    /// Bytes from this frame's start to the next one's.
    pub(crate) fn span(&self) -> u64 {
        (HEADER_BYTES as u64 + u64::from(self.length)).next_multiple_of(ALIGN as u64)
    }

    /// Number of the record after this frame's last.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.first_lsn.saturating_add(u64::from(self.records))
    }
}

/// The chain that a file's first frame starts from.
pub(crate) fn first_chain(salt: u64) -> u32 {
    // Cut on purpose: any 32 bits of the salt do.
    salt as u32
}

/// A frame being filled; its memory is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    records: u32,
}

impl Frame {
    /// Begins an empty frame.
    pub(crate) fn clear(&mut self) {
        /// Memory kept for the next frame.
        const KEPT_BYTES: usize = 4 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.bytes.resize(HEADER_BYTES, 0);
        self.records = 0;
    }

    /// Adds a record. Returns where it starts from the frame's start, and its length.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> (u32, u32) {
        let start = self.bytes.len();
        record.write(&mut self.bytes);
        self.records += 1;
        // A frame is bounded by a journal file, which is smaller than 4 GiB.
        (to_u32(start), to_u32(self.bytes.len() - start))
    }

    /// Adds records that another frame held.
    pub(crate) fn push_bytes(&mut self, records: u32, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.records += records;
    }

    /// Number of records so far.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Bytes that the frame will take in its file.
    pub(crate) fn span(&self) -> usize {
        self.bytes.len().next_multiple_of(ALIGN)
    }

    /// Writes the header, and returns the frame's bytes with the body's crc.
    pub(crate) fn seal(&mut self, epoch: u32, salt: u64, first_lsn: u64, chain: u32) -> (&[u8], u32) {
        let body_crc = crc32c_append(chain, &self.bytes[HEADER_BYTES..]);
        let length = to_u32(self.bytes.len() - HEADER_BYTES);
        let header = FrameHeader { epoch, records: self.records, salt, first_lsn, length, chain, body_crc };
        header.write(&mut self.bytes[..HEADER_BYTES]);
        self.bytes.resize(self.span(), 0);
        (&self.bytes, body_crc)
    }
}

fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::QueueId;

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_spoils_it() {
        let mut frame = Frame::default();
        frame.clear();
        frame.push(&Record::Purge { queue: QueueId(1), up_to: 2 });
        let (bytes, _) = frame.seal(3, 4, 5, 6);
        let mut bytes = bytes.to_vec();
        let header = FrameHeader::read(&bytes).unwrap();
        assert_eq!((header.epoch, header.salt, header.first_lsn, header.chain, header.records), (3, 4, 5, 6, 1));
        assert_eq!(header.span(), bytes.len() as u64);
        let end = HEADER_BYTES + header.length as usize;
        assert!(header.fits(&bytes[HEADER_BYTES..end]));
        for bit in 0..end * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = FrameHeader::read(&bytes);
            assert!(!read.is_some_and(|header| header.fits(&bytes[HEADER_BYTES..end])), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
