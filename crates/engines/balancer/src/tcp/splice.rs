//! [`Pipe`]: moves bytes from one socket to another within the kernel.
//!
//! Invariants:
//! - A pipe that goes back to the thread's stock is empty; one that is not is closed with its bytes.
//! - At most [`STOCK_MAX`] pipes wait in a thread's stock, and at most [`PIPES_MAX`] are open in it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pipes that a thread keeps for the next transfer.
const STOCK_MAX: usize = 64;
/// Pipes that a thread uses at a time: two file descriptors each. Further transfers are copied.
const PIPES_MAX: usize = 1024;
/// What a pipe is asked to hold. The default of 64 KB makes a system call of each fourth segment of a fast network.
const PIPE_BYTES: usize = 256 << 10;
/// Reads in a row that must have filled the buffer before a transfer is called large.
const FULL_READS_MIN: u8 = 4;

thread_local! {
    static STOCK: RefCell<Vec<(OwnedFd, OwnedFd)>> = const { RefCell::new(Vec::new()) };
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

#[cfg(test)]
thread_local! {
    static SPLICED: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that went through pipes in this thread.
#[cfg(test)]
pub(super) fn spliced() -> usize {
    SPLICED.get()
}

/// A pipe in use.
pub(super) struct Pipe {
    /// Where bytes come out, and where they go in.
    ends: Option<(OwnedFd, OwnedFd)>,
    held: usize,
}

impl Pipe {
    /// After a pause, the first full read says that the transfer goes on.
    pub(super) const FULL_READS_TO_RESUME: u8 = FULL_READS_MIN - 1;

    /// Whether a transfer that has filled so many reads in a row is better off in a pipe.
    pub(super) fn is_worth_it(full_reads: u8) -> bool {
        full_reads >= FULL_READS_MIN
    }

    /// `None`: as many are in use as may be, or the process has no more file descriptors.
    pub(super) fn take() -> Option<Self> {
        if OPEN.get() >= PIPES_MAX {
            return None;
        }
        let ends = STOCK.with_borrow_mut(Vec::pop).or_else(|| {
            let ends = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            // Beyond a user's bound the kernel refuses, and the default will do.
            let _ = fcntl_setpipe_size(&ends.0, PIPE_BYTES);
            Some(ends)
        })?;
        OPEN.set(OPEN.get() + 1);
        Some(Self { ends: Some(ends), held: 0 })
    }

    /// Keeps the pipe for another transfer.
    pub(super) fn give_back(mut self) {
        if self.held == 0
            && let Some(ends) = self.ends.take()
        {
            OPEN.set(OPEN.get() - 1);
            STOCK.with_borrow_mut(|stock| {
                if stock.len() < STOCK_MAX {
                    stock.push(ends);
                }
            });
        }
    }

    /// Bytes in the pipe.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes bytes from the socket; 0 is its end. Only when the pipe is empty: else "not now" could mean either side.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        debug_assert_eq!(self.held, 0);
        let Some((_, input)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(from.poll_read_ready(cx))?;
            let moved = from.try_io(Interest::READABLE, || {
                Ok(splice(from, None, input, None, PIPE_BYTES, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
            });
            match moved {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                moved => {
                    self.held = *moved.as_ref().unwrap_or(&0);
                    return Poll::Ready(moved);
                }
            }
        }
    }

    /// Gives bytes to the socket.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        let Some((output, _)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(to.poll_write_ready(cx))?;
            let moved = to.try_io(Interest::WRITABLE, || {
                Ok(splice(output, None, to, None, self.held, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
            });
            match moved {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                moved => {
                    #[cfg(test)]
                    SPLICED.set(SPLICED.get() + moved.as_ref().unwrap_or(&0));
                    self.held -= moved.as_ref().unwrap_or(&0);
                    return Poll::Ready(moved);
                }
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.ends.is_some() {
            OPEN.set(OPEN.get() - 1);
        }
    }
}
