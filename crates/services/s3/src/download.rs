//! The bytes of an object on their way to a client.
//!
//! Invariants:
//! - What a reader began to read it reads to the end, whatever is written or deleted meanwhile.
//! - One chunk is read ahead, never more: a slow client costs one chunk of memory.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin as TaskPin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use host::DiskFile;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::JoinHandle;

use crate::blobs::{Blobs, CHUNK_BYTES, Pin};

/// Where a run of bytes comes from.
pub(crate) enum Source {
    /// From memory.
    Bytes(Bytes),
    /// From an open file.
    File(Arc<dyn DiskFile>),
    /// From a pinned blob that is opened when its turn comes.
    Blob(String),
}

/// A run of bytes within a source.
pub(crate) struct Piece {
    pub(crate) source: Source,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Cuts `range` out of consecutive pieces.
pub(crate) fn cut(pieces: Vec<Piece>, range: &std::ops::Range<u64>) -> VecDeque<Piece> {
    let (mut out, mut start) = (VecDeque::new(), 0_u64);
    for piece in pieces {
        let end = start + piece.length;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            out.push_back(Piece { source: piece.source, offset: piece.offset + (from - start), length: to - from });
        }
        start = end;
    }
    out
}

/// A chunk, and the rest of the piece that it was cut from.
type Read = io::Result<(Bytes, Option<Piece>)>;

/// A stream over pieces.
pub(crate) struct Download {
    blobs: Arc<Blobs>,
    pieces: VecDeque<Piece>,
    remaining: u64,
    reading: Option<JoinHandle<Read>>,
    _pin: Option<Pin>,
}

impl Download {
    pub(crate) fn new(blobs: Arc<Blobs>, pieces: VecDeque<Piece>, pin: Option<Pin>) -> Self {
        let remaining = pieces.iter().map(|piece| piece.length).sum();
        Self { blobs, pieces, remaining, reading: None, _pin: pin }
    }

    /// Starts to read the next chunk.
    fn read_ahead(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            let blobs = Arc::clone(&self.blobs);
            self.reading = Some(tokio::task::spawn_blocking(move || read(&blobs, piece)));
        }
    }
}

/// Reads one chunk of a piece, and gives back the rest of the piece.
fn read(blobs: &Blobs, mut piece: Piece) -> Read {
    let file = match piece.source {
        Source::Bytes(bytes) => {
            let start = usize::try_from(piece.offset).unwrap_or(usize::MAX).min(bytes.len());
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX).min(bytes.len() - start);
            return Ok((bytes.slice(start..start + length), None));
        }
        Source::File(file) => file,
        Source::Blob(id) => blobs.open_file(&id)?,
    };
    let length = usize::try_from(piece.length).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, piece.offset)?;
    piece.offset += length as u64;
    piece.length -= length as u64;
    piece.source = Source::File(file);
    Ok((buffer.into(), (piece.length > 0).then_some(piece)))
}

impl Stream for Download {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: TaskPin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.reading.is_none() {
            self.read_ahead();
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let done = std::task::ready!(TaskPin::new(reading).poll(context));
        self.reading = None;
        match done.map_err(io::Error::other).and_then(|read| read) {
            Ok((bytes, rest)) => {
                if let Some(rest) = rest {
                    self.pieces.push_front(rest);
                }
                self.remaining -= bytes.len() as u64;
                self.blobs.counts.bytes_out.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.read_ahead();
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                tracing::error!(error = %error, "a blob cannot be read");
                self.pieces.clear();
                Poll::Ready(Some(Err(Box::new(error))))
            }
        }
    }
}

impl ByteStream for Download {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.remaining).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &'static str) -> Piece {
        Piece { source: Source::Bytes(Bytes::from_static(text.as_bytes())), offset: 0, length: text.len() as u64 }
    }

    #[test]
    fn a_range_is_cut_across_pieces() {
        let cuts = cut(vec![piece("abc"), piece("def"), piece("ghi")], &(2..7));
        let spans: Vec<_> = cuts.iter().map(|piece| (piece.offset, piece.length)).collect();
        assert_eq!(spans, [(2, 1), (0, 3), (0, 1)]);
    }
}
