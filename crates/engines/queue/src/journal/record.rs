//! Records: what the journal says happened.
//!
//! Invariants:
//! - Each record carries the crc32c of its bytes, checked whenever it is read, in recovery or for its payload alone.
//! - A record sets; it never adds. Replaying one twice, or over a state that already knows it, changes nothing.
//! - Layouts never change: a new layout is a new kind.
//!
//! Layout, little-endian: crc u32 | length of the rest u32 | kind u8 | fields.

use crc32c::crc32c;
use host::Timestamp;

use crate::message::QueueId;
use crate::queue::{Body, Entry, History};

/// Bytes before a record's kind.
const PREFIX_BYTES: usize = 8;
/// Bytes of a history in a record.
const HISTORY_BYTES: usize = 48;
/// Bytes that a record adds to a new message's payload.
pub(crate) const PUT_OVERHEAD_BYTES: usize = PREFIX_BYTES + 1 + 8 + 8 + 8 + 2 + 1 + 16;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const LEASE: u8 = 3;
const CHANGE_VISIBILITY: u8 = 4;
const PURGE: u8 = 5;
const QUEUE_DELETED: u8 = 6;
const MOVE: u8 = 7;

const HAS_HISTORY: u8 = 1;

/// A lease as the journal keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) sequence: u64,
    /// The whole history after the receive; the empty one says that the message was never received.
    pub(crate) history: History,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A message exists, with this payload. Of a message that exists already, the payload lies here from now on.
    Put {
        queue: QueueId,
        sequence: u64,
        sent_at: Timestamp,
        delay_s: u16,
        history: Option<History>,
        id: [u8; 16],
        payload: &'a [u8],
    },
    /// Messages are gone.
    Delete { queue: QueueId, sequences: Vec<u64> },
    /// Messages were lent, or taken back.
    Lease { queue: QueueId, leases: Vec<Lease> },
    /// Leases end at another time.
    ChangeVisibility { queue: QueueId, changes: Vec<(u64, Timestamp)> },
    /// All messages up to a number are gone.
    Purge { queue: QueueId, up_to: u64 },
    /// The queue is gone, for ever.
    QueueDeleted { queue: QueueId },
    /// A message left one queue and is in another; its payload stays where it was.
    Move { from: (QueueId, u64), to: QueueId, sequence: u64, sent_at: Timestamp, body: Body, history: History },
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRecord {
    /// The length makes no sense: nothing after it can be found.
    #[error("the record's length is damaged")]
    Length,
    /// The record is damaged; the next one starts after so many bytes.
    #[error("the record is damaged")]
    Damaged {
        /// Where the next record starts, from this one's start.
        length: usize,
    },
}

impl Record<'_> {
    /// Appends the record.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        self.write_fields(out);
        // One commit is bounded far below 4 GiB.
        let length = u32::try_from(out.len() - start - PREFIX_BYTES).unwrap_or(u32::MAX);
        out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    fn write_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put { queue, sequence, sent_at, delay_s, history, id, payload } => {
                out.push(PUT);
                write_u64s(out, &[queue.0, *sequence, sent_at.0]);
                out.extend_from_slice(&delay_s.to_le_bytes());
                out.push(if history.is_some() { HAS_HISTORY } else { 0 });
                if let Some(history) = history {
                    write_history(out, history);
                }
                out.extend_from_slice(id);
                out.extend_from_slice(payload);
            }
            Self::Delete { queue, sequences } => {
                out.push(DELETE);
                write_u64s(out, &[queue.0]);
                write_u64s(out, sequences);
            }
            Self::Lease { queue, leases } => {
                out.push(LEASE);
                write_u64s(out, &[queue.0]);
                for lease in leases {
                    write_u64s(out, &[lease.sequence]);
                    write_history(out, &lease.history);
                }
            }
            Self::ChangeVisibility { queue, changes } => {
                out.push(CHANGE_VISIBILITY);
                write_u64s(out, &[queue.0]);
                changes.iter().for_each(|(sequence, visible_at)| write_u64s(out, &[*sequence, visible_at.0]));
            }
            Self::Purge { queue, up_to } => {
                out.push(PURGE);
                write_u64s(out, &[queue.0, *up_to]);
            }
            Self::QueueDeleted { queue } => {
                out.push(QUEUE_DELETED);
                write_u64s(out, &[queue.0]);
            }
            Self::Move { from, to, sequence, sent_at, body, history } => {
                out.push(MOVE);
                write_u64s(out, &[from.0.0, from.1, to.0, *sequence, sent_at.0]);
                for number in [body.file, body.offset, body.length] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                write_history(out, history);
            }
        }
    }

    /// Reads the record at the start of `bytes`, and returns it with its length.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Record<'_>, usize), BadRecord> {
        let mut prefix = Reader(bytes);
        let (crc, length) = prefix.u32().zip(prefix.u32()).ok_or(BadRecord::Length)?;
        let length = PREFIX_BYTES + usize::try_from(length).map_err(|_| BadRecord::Length)?;
        let record = bytes.get(4..length).ok_or(BadRecord::Length)?;
        if crc32c(record) != crc {
            return Err(BadRecord::Damaged { length });
        }
        let fields = Reader(&record[4..]);
        read_fields(fields).map(|record| (record, length)).ok_or(BadRecord::Damaged { length })
    }
}

impl Record<'_> {
    /// The message that a `Put` or a `Move` makes, with its queue; `body` is where this record lies.
    pub(crate) fn entry(&self, body: Body) -> Option<(QueueId, Entry)> {
        match self {
            Self::Put { queue, sequence, sent_at, delay_s, history, .. } => {
                Some((*queue, Entry::new(*sequence, *sent_at, *delay_s, body, *history)))
            }
            Self::Move { to, sequence, sent_at, body, history, .. } => {
                Some((*to, Entry::new(*sequence, *sent_at, 0, *body, Some(*history))))
            }
            _ => None,
        }
    }
}

/// The id and the payload in the bytes of a `Put`; `None` if they are damaged.
pub(crate) fn payload_of(record: &[u8]) -> Option<([u8; 16], &[u8])> {
    match Record::read(record) {
        Ok((Record::Put { id, payload, .. }, length)) if length == record.len() => Some((id, payload)),
        _ => None,
    }
}

fn write_u64s(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn write_history(out: &mut Vec<u8>, history: &History) {
    write_u64s(out, &[history.first_received_at.0, history.received_at.0, history.visible_at.0]);
    out.extend_from_slice(&history.receive_count.to_le_bytes());
    out.extend_from_slice(&history.received_here.to_le_bytes());
    // No queue has this id: it would take 2^64 queues to get there.
    write_u64s(out, &[history.source.map_or(u64::MAX, |source| source.0), history.moved_at.0]);
}

fn read_fields(mut fields: Reader<'_>) -> Option<Record<'_>> {
    let kind = fields.u8()?;
    let queue = QueueId(fields.u64()?);
    let record = match kind {
        PUT => {
            let (sequence, sent_at) = (fields.u64()?, Timestamp(fields.u64()?));
            let (delay_s, flags) = (fields.u16()?, fields.u8()?);
            let history = if flags & HAS_HISTORY != 0 { Some(fields.history()?) } else { None };
            let id = fields.take()?;
            return Some(Record::Put { queue, sequence, sent_at, delay_s, history, id, payload: fields.0 });
        }
        DELETE => Record::Delete { queue, sequences: fields.all(8, Reader::u64)? },
        LEASE => {
            let leases = fields
                .all(8 + HISTORY_BYTES, |fields| Some(Lease { sequence: fields.u64()?, history: fields.history()? }))?;
            Record::Lease { queue, leases }
        }
        CHANGE_VISIBILITY => {
            let changes = fields.all(16, |fields| Some((fields.u64()?, Timestamp(fields.u64()?))))?;
            Record::ChangeVisibility { queue, changes }
        }
        PURGE => Record::Purge { queue, up_to: fields.u64()? },
        QUEUE_DELETED => Record::QueueDeleted { queue },
        MOVE => Record::Move {
            from: (queue, fields.u64()?),
            to: QueueId(fields.u64()?),
            sequence: fields.u64()?,
            sent_at: Timestamp(fields.u64()?),
            body: Body { file: fields.u32()?, offset: fields.u32()?, length: fields.u32()?, slot: 0 },
            history: fields.history()?,
        },
        _ => return None,
    };
    fields.0.is_empty().then_some(record)
}

/// Reads numbers off the front of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn history(&mut self) -> Option<History> {
        Some(History {
            first_received_at: Timestamp(self.u64()?),
            received_at: Timestamp(self.u64()?),
            visible_at: Timestamp(self.u64()?),
            receive_count: self.u32()?,
            received_here: self.u32()?,
            source: Some(self.u64()?).filter(|source| *source != u64::MAX).map(QueueId),
            moved_at: Timestamp(self.u64()?),
        })
    }

    /// Everything that is left, as a list of items of `bytes` each; `None` if it does not come out even.
    fn all<T>(&mut self, bytes: usize, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        if !self.0.len().is_multiple_of(bytes) {
            return None;
        }
        (0..self.0.len() / bytes).map(|_| read(self)).collect::<Option<Vec<T>>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        History {
            first_received_at: Timestamp(1),
            received_at: Timestamp(2),
            visible_at: Timestamp(3),
            receive_count: 4,
            received_here: 5,
            source: Some(QueueId(6)),
            moved_at: Timestamp(7),
        }
    }

    fn all_kinds() -> Vec<Record<'static>> {
        let queue = QueueId(9);
        let body = Body { file: 3, offset: 4096, length: 77, slot: 0 };
        let put = |history| Record::Put {
            queue,
            sequence: 1,
            sent_at: Timestamp(2),
            delay_s: 3,
            history,
            id: [4; 16],
            payload: b"hello",
        };
        vec![
            put(None),
            put(Some(history())),
            Record::Delete { queue, sequences: vec![1, 2, 3] },
            Record::Lease { queue, leases: vec![Lease { sequence: 8, history: history() }; 2] },
            Record::ChangeVisibility { queue, changes: vec![(1, Timestamp(2)), (3, Timestamp(4))] },
            Record::Purge { queue, up_to: 100 },
            Record::QueueDeleted { queue },
            Record::Move {
                from: (queue, 1),
                to: QueueId(2),
                sequence: 3,
                sent_at: Timestamp(4),
                body,
                history: History { source: None, ..history() },
            },
        ]
    }

    #[test]
    fn every_kind_reads_back_as_written() {
        let mut bytes = Vec::new();
        all_kinds().iter().for_each(|record| record.write(&mut bytes));
        let mut rest = bytes.as_slice();
        for record in all_kinds() {
            let (read, length) = Record::read(rest).unwrap();
            assert_eq!(read, record);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for record in all_kinds() {
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(Record::read(&bytes).is_err(), "bit {bit} of {record:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_put_adds_52_bytes_to_its_payload() {
        let mut bytes = Vec::new();
        all_kinds()[0].write(&mut bytes);
        assert_eq!(bytes.len(), PUT_OVERHEAD_BYTES + b"hello".len());
        assert_eq!(PUT_OVERHEAD_BYTES, 52);
        assert_eq!(payload_of(&bytes), Some(([4; 16], &b"hello"[..])));
    }
}
