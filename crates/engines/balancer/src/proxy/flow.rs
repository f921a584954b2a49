//! One message on its way: a head, then a body, from the side that sends it to the side that gets it.
//!
//! Invariants:
//! - Where the body ends was decided by its head's parser; bytes beyond stay unread.
//! - Nothing is read before what was read earlier is written: the receiver's pace is the sender's.
//! - Chunks are written anew from their decoded data, never passed on as they came.
//! - A body is never held whole: at most one big buffer of it is here.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{Buffer, Buffers, Head};
use super::http1::{ChunkDecoder, ChunkEvent, Framing};
use crate::stream::Stream;

/// So much of a body is copied behind its head: one plain write costs less than a vectored one, and what stands there
/// can be sent again.
const COPY_BYTES_MAX: usize = 4 << 10;

/// The longest line that opens a chunk: sixteen digits and an end.
const CHUNK_LINE_BYTES: usize = 18;

/// Why a message did not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowError {
    /// The sender failed, or closed before the end.
    From,
    /// The sender's chunks make no sense.
    Malformed,
    /// The receiver failed or closed.
    To,
}

/// How a body is written to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is: its length was told, or its end is the connection's.
    Plain,
    /// In chunks.
    Chunked,
}

enum Body {
    /// None, or all of it was staged.
    Ended,
    Length(u64),
    Chunked(Box<ChunkDecoder>),
    UntilClose,
}

/// A message on its way. What is being written is, in this order: `lead`, `line`, `data` and `tail`.
pub(super) struct Flow {
    buffers: Buffers,
    body: Body,
    coding: Coding,
    /// The head, and what was copied behind it. Kept after it was written, to be sent again.
    lead: Head,
    lead_written: bool,
    /// What of the body was read.
    raw: Option<Buffer>,
    /// So many bytes at the beginning of `raw` are decoded and being written.
    data: usize,
    /// So many bytes at the beginning of `raw` are done with then.
    used: usize,
    line: [u8; CHUNK_LINE_BYTES],
    line_bytes: usize,
    tail: Vec<u8>,
    /// Something is to be written or flushed, and so much of it was.
    staged: bool,
    written: usize,
    /// Bytes were read or written since somebody asked.
    moved: bool,
    /// Bytes of the body, without the lines of chunks, that were taken for writing.
    pub(super) body_bytes: u64,
    /// Bytes that were written, of whatever kind.
    pub(super) wire_bytes: u64,
    /// Parts of the body that went out are no longer here.
    lossy: bool,
}

impl Flow {
    /// A message that begins with `lead` and goes on with a body framed by `framing`, of which `raw` may hold a part,
    /// and more than it behind.
    pub(super) fn new(buffers: &Buffers, lead: Head, framing: Framing, coding: Coding, raw: Option<Buffer>) -> Self {
        let body = match framing {
            Framing::None | Framing::Length(0) => Body::Ended,
            Framing::Length(bytes) => Body::Length(bytes),
            Framing::Chunked => Body::Chunked(Box::default()),
            Framing::UntilClose => Body::UntilClose,
        };
        Self {
            buffers: buffers.clone(),
            body,
            coding,
            lead,
            lead_written: false,
            raw,
            data: 0,
            used: 0,
            line: [0; CHUNK_LINE_BYTES],
            line_bytes: 0,
            tail: Vec::new(),
            staged: false,
            written: 0,
            moved: false,
            body_bytes: 0,
            wire_bytes: 0,
            lossy: false,
        }
    }

    /// Moves bytes until the message is through, or one of the sides must be waited for.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<Result<(), FlowError>> {
        loop {
            if !self.staged {
                self.stage()?;
            }
            if self.staged {
                ready!(self.poll_write(cx, to))?;
            }
            if matches!(self.body, Body::Ended) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx, from))?;
        }
    }

    /// Everything was written.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.body, Body::Ended) && self.lead_written && !self.staged
    }

    /// Whether the head, or a part of it, was written.
    pub(super) fn is_head_written(&self) -> bool {
        self.lead_written || self.written > 0
    }

    /// Whether there is a body, and nothing of it came yet.
    pub(super) fn is_waiting_for_body(&self) -> bool {
        !matches!(self.body, Body::Ended) && self.raw.is_none()
    }

    /// Whether it is the sender who is waited for.
    pub(super) fn waits_for_sender(&self) -> bool {
        !self.staged
    }

    /// Whether bytes moved since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Begins again from the first byte. False if not all of the message is here.
    pub(super) fn rewind(&mut self) -> bool {
        let is_untouched = !self.is_head_written();
        if !is_untouched && (self.lossy || !matches!(self.body, Body::Ended)) {
            return false;
        }
        self.lead_written = false;
        self.written = 0;
        true
    }

    /// What the sender sent beyond the message.
    pub(super) fn take_rest(&mut self) -> Option<Buffer> {
        self.raw.take().filter(|raw| !raw.is_empty())
    }

    /// Decides what is written next.
    fn stage(&mut self) -> Result<(), FlowError> {
        self.decode()?;
        if !self.lead_written {
            self.staged = true;
            if self.data > 0 && self.data <= COPY_BYTES_MAX {
                self.append_to_lead();
            }
        } else if self.data > 0 || !self.tail.is_empty() {
            self.staged = true;
        } else if self.used > 0 {
            // Chunks' lines alone: nothing to write.
            self.finish();
        }
        Ok(())
    }

    /// Finds the body's data in what was read, and brings it to the front.
    fn decode(&mut self) -> Result<(), FlowError> {
        let Some(raw) = self.raw.as_mut().filter(|raw| !raw.is_empty()) else { return Ok(()) };
        match &mut self.body {
            Body::Ended => {}
            Body::Length(left) => {
                self.data = usize::try_from(*left).map_or(raw.unread().len(), |left| left.min(raw.unread().len()));
                self.used = self.data;
                *left -= self.data as u64;
                if *left == 0 {
                    self.body = Body::Ended;
                }
            }
            Body::UntilClose => {
                self.data = raw.unread().len();
                self.used = self.data;
            }
            Body::Chunked(decoder) => {
                let bytes = raw.unread_mut();
                let is_ended = loop {
                    let (count, event) = decoder.decode(&bytes[self.used..]).map_err(|_| FlowError::Malformed)?;
                    match event {
                        ChunkEvent::Data(range) => {
                            let length = range.len();
                            bytes.copy_within(self.used + range.start..self.used + range.end, self.data);
                            self.data += length;
                        }
                        ChunkEvent::More => {
                            self.used += count;
                            break false;
                        }
                        ChunkEvent::End => {
                            self.used += count;
                            break true;
                        }
                    }
                    self.used += count;
                };
                self.code_chunk(is_ended);
                if is_ended {
                    self.body = Body::Ended;
                }
            }
        }
        self.body_bytes += self.data as u64;
        Ok(())
    }

    /// Puts the decoded data into one chunk, and the last one behind it at the end.
    fn code_chunk(&mut self, is_ended: bool) {
        if self.coding == Coding::Plain {
            return;
        }
        if self.data > 0 {
            let mut line = &mut self.line[..];
            // A usize in hexadecimal fits.
            let _ = write!(line, "{:x}\r\n", self.data);
            self.line_bytes = CHUNK_LINE_BYTES - line.len();
            self.tail.extend_from_slice(b"\r\n");
        }
        if is_ended {
            self.tail.extend_from_slice(b"0\r\n");
            if let Body::Chunked(decoder) = &self.body {
                self.tail.extend_from_slice(decoder.trailers());
            }
            self.tail.extend_from_slice(b"\r\n");
        }
    }

    /// Copies what is staged behind the head.
    fn append_to_lead(&mut self) {
        self.lead.extend_from_slice(&self.line[..self.line_bytes]);
        if let Some(raw) = &mut self.raw {
            self.lead.extend_from_slice(&raw.unread()[..self.data]);
            raw.consume(self.used);
        }
        self.lead.extend_from_slice(&self.tail);
        self.forget_staged();
    }

    fn forget_staged(&mut self) {
        self.data = 0;
        self.used = 0;
        self.line_bytes = 0;
        self.tail.clear();
    }

    /// What was staged is written: makes room for more.
    fn finish(&mut self) {
        if self.used > 0 {
            self.lossy = true;
            if let Some(raw) = &mut self.raw {
                raw.consume(self.used);
            }
        }
        self.forget_staged();
        self.lead_written = true;
        self.staged = false;
        self.written = 0;
        if self.raw.as_ref().is_some_and(Buffer::is_empty) {
            self.raw = None;
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<Result<(), FlowError>> {
        loop {
            let lead = if self.lead_written { &[][..] } else { &self.lead[..] };
            let data = self.raw.as_ref().map_or(&[][..], |raw| &raw.unread()[..self.data]);
            let parts = [lead, &self.line[..self.line_bytes], data, &self.tail];
            let total: usize = parts.iter().map(|part| part.len()).sum();
            if self.written == total {
                break;
            }
            let count = ready!(poll_write_parts(cx, to, &parts, self.written)).map_err(|_| FlowError::To)?;
            if count == 0 {
                return Poll::Ready(Err(FlowError::To));
            }
            self.written += count;
            self.wire_bytes += count as u64;
            self.moved = true;
        }
        ready!(Pin::new(to).poll_flush(cx)).map_err(|_| FlowError::To)?;
        self.finish();
        Poll::Ready(Ok(()))
    }

    /// Reads more of the body.
    fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut Stream) -> Poll<Result<(), FlowError>> {
        if self.raw.is_none() {
            // No buffer is held while nothing comes.
            ready!(from.poll_read_ready(cx)).map_err(|_| FlowError::From)?;
        }
        let mut raw = self.raw.take().unwrap_or_else(|| self.buffers.big());
        if raw.space().is_empty() {
            raw.compact();
        }
        match poll_read(cx, from, &mut raw) {
            Poll::Pending => {
                self.raw = Some(raw).filter(|raw| !raw.is_empty());
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => {
                if !matches!(self.body, Body::UntilClose) {
                    return Poll::Ready(Err(FlowError::From));
                }
                self.body = Body::Ended;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_)) => {
                self.raw = Some(raw);
                self.moved = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(FlowError::From)),
        }
    }
}

/// Reads into the buffer's space; 0 at the end of the stream.
pub(super) fn poll_read(cx: &mut Context<'_>, from: &mut Stream, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
    let mut space = ReadBuf::new(buffer.space());
    ready!(Pin::new(from).poll_read(cx, &mut space))?;
    let count = space.filled().len();
    buffer.filled(count);
    Poll::Ready(Ok(count))
}

/// Writes some of `parts`, of which the first `written` bytes are written already.
fn poll_write_parts(
    cx: &mut Context<'_>,
    to: &mut Stream,
    parts: &[&[u8]; 4],
    mut written: usize,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); 4];
    let mut count = 0;
    for part in parts {
        let skipped = written.min(part.len());
        written -= skipped;
        if skipped < part.len() {
            slices[count] = IoSlice::new(&part[skipped..]);
            count += 1;
        }
    }
    if count == 1 {
        Pin::new(to).poll_write(cx, &slices[0])
    } else {
        Pin::new(to).poll_write_vectored(cx, &slices[..count])
    }
}
