//! [`Relay`]: both directions of a connection, polled by one task.
//!
//! Invariants:
//! - Bytes are read into the thread's scratch space and written on at once; only what the receiver does not take moves
//!   to the connection, and until it is gone nothing more is read: each side's speed is the other's.
//! - A sender's end is passed on after its last byte; the relay is over with both ends, or with the first failure
//!   once what was read before it is written.
//! - Large transfers between sockets in the clear go through a pipe and are not copied at all.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::splice::Pipe;
use crate::stream::Stream;

/// What one read takes.
const SCRATCH_BYTES: usize = 64 << 10;
/// Reads that one direction makes before the other, and then other connections, get their turn.
const READS_MAX: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A client and what goes between it and its target.
pub(super) struct Relay {
    client: Stream,
    /// From the client.
    pub(super) up: Half,
    /// To the client.
    pub(super) down: Half,
}

/// One direction.
#[derive(Default)]
pub(super) struct Half {
    /// Bytes that were written on.
    pub(super) bytes: u64,
    /// When the first came and went.
    pub(super) first_byte: Option<FirstByte>,
    /// Read and not written on, from `start`.
    pending: Vec<u8>,
    start: usize,
    /// What the receiver took may wait in its TLS.
    unflushed: bool,
    sender: Sender,
    pipe: Option<Pipe>,
    /// Reads in a row that filled the scratch space.
    full_reads: u8,
    moved: bool,
}

/// What is known of the side that sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sender {
    #[default]
    Open,
    /// It has ended; that is to be passed on.
    Ended,
    /// That was passed on.
    Over,
    /// It has failed: the relay ends when what came before is written.
    Failed,
}

/// When a direction's first byte came from one side and went to the other.
#[derive(Clone, Copy)]
pub(super) struct FirstByte {
    received: Instant,
    pub(super) sent: Instant,
}

impl FirstByte {
    pub(super) fn took(self) -> Duration {
        self.sent.saturating_duration_since(self.received)
    }
}

impl Relay {
    pub(super) fn new(client: Stream) -> Self {
        Self { client, up: Half::default(), down: Half::default() }
    }

    /// Moves what can be moved; ready when the relay is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, target: &mut Stream) -> Poll<()> {
        let is_up_over = self.up.poll(cx, &mut self.client, target);
        let is_down_over = self.down.poll(cx, target, &mut self.client);
        match (is_up_over, is_down_over) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) | (Poll::Ready(Err(())), _) | (_, Poll::Ready(Err(()))) => {
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }

    /// Says goodbye within TLS, as far as that goes without waiting: but not to a side that has not had all that was
    /// sent to it, to which the end is a cut.
    pub(super) async fn close(&mut self, mut target: Option<&mut Stream>) {
        std::future::poll_fn(|cx| {
            let sides = [Some((&mut self.client, &self.down)), target.as_deref_mut().map(|target| (target, &self.up))];
            for (stream, half) in sides.into_iter().flatten() {
                if stream.plain().is_none() && half.pending.is_empty() && half.sender == Sender::Open {
                    let _ = Pin::new(stream).poll_shutdown(cx);
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Whether a byte moved since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.up.moved) | std::mem::take(&mut self.down.moved)
    }
}

impl Half {
    /// Ready when the sender's end was passed on, or with an error when the relay is to end.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<Result<(), ()>> {
        if self.sender == Sender::Over {
            return Poll::Ready(Ok(()));
        }
        let moved = if self.pipe.is_some() { self.poll_splice(cx, from, to) } else { self.poll_copy(cx, from, to) };
        match moved {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
            Poll::Ready(Ok(())) => {}
        }
        self.pipe = None;
        if self.sender == Sender::Failed {
            return Poll::Ready(Err(()));
        }
        match ready!(Pin::new(to).poll_shutdown(cx)) {
            Ok(()) => {
                self.sender = Sender::Over;
                Poll::Ready(Ok(()))
            }
            // The receiver has gone: whoever still talks to it will find out.
            Err(_) => Poll::Ready(Err(())),
        }
    }

    /// Copies until the sender has ended and all is written; an error is the receiver's.
    fn poll_copy(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<io::Result<()>> {
        for _ in 0..READS_MAX {
            while self.start < self.pending.len() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending[self.start..]))?;
                self.wrote(written)?;
                self.start += written;
            }
            if !self.pending.is_empty() {
                (self.pending, self.start) = (Vec::new(), 0);
            }
            if self.sender != Sender::Open {
                return self.poll_flush(cx, to);
            }
            match self.poll_scratch(cx, from, to) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    let _ = self.poll_flush(cx, to)?;
                    return Poll::Pending;
                }
            }
            if Pipe::is_worth_it(self.full_reads) && self.pending.is_empty() {
                if let (Some(_), Some(_), Some(pipe)) = (from.plain(), to.plain(), Pipe::take()) {
                    self.pipe = Some(pipe);
                    return self.poll_splice(cx, from, to);
                }
                self.full_reads = 0;
            }
        }
        // There is more; others first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and writes once.
    fn poll_scratch(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let size = scratch.len();
            let mut buf = ReadBuf::new(scratch);
            if ready!(Pin::new(from).poll_read(cx, &mut buf)).is_err() {
                self.sender = Sender::Failed;
                return Poll::Ready(Ok(()));
            }
            let read = buf.filled();
            if read.is_empty() {
                self.sender = Sender::Ended;
                return Poll::Ready(Ok(()));
            }
            let received = self.first_byte.is_none().then(Instant::now);
            self.full_reads = if read.len() == size { self.full_reads.saturating_add(1) } else { 0 };
            let written = match Pin::new(to).poll_write(cx, read) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            if let Some(received) = received {
                self.first_byte = Some(FirstByte { received, sent: Instant::now() });
            }
            if written > 0 {
                self.wrote(written)?;
            }
            if written < read.len() {
                self.pending.extend_from_slice(&read[written..]);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Moves bytes through the pipe; goes back to copying when they become few.
    fn poll_splice(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<io::Result<()>> {
        let (Some(mut pipe), Some(source), Some(sink)) = (self.pipe.take(), from.plain(), to.plain()) else {
            return self.poll_copy(cx, from, to);
        };
        for _ in 0..READS_MAX {
            while pipe.held() > 0 {
                match pipe.poll_drain(cx, sink) {
                    Poll::Ready(drained) => self.wrote(drained?)?,
                    Poll::Pending => {
                        self.pipe = Some(pipe);
                        return Poll::Pending;
                    }
                }
            }
            if self.sender != Sender::Open {
                return Poll::Ready(Ok(()));
            }
            match pipe.poll_fill(cx, source) {
                Poll::Ready(Ok(0)) => self.sender = Sender::Ended,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => self.sender = Sender::Failed,
                Poll::Pending => {
                    // The transfer pauses: an idle connection holds no pipe.
                    self.full_reads = Pipe::FULL_READS_TO_RESUME;
                    pipe.give_back();
                    return Poll::Pending;
                }
            }
        }
        self.pipe = Some(pipe);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn wrote(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes += n as u64;
        self.moved = true;
        self.unflushed = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
