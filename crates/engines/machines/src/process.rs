//! Processes of the host: which of them is meant, whether it lives, ending it.
//!
//! Invariant: a process is a number together with a start time; numbers are used again, pairs are not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::files;

/// How long a killed process is waited for.
const KILLED_WITHIN_MS: u16 = 10_000;

/// A process that was alive when this was made; the handle never means another.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) number: u32,
    pub(crate) handle: OwnedFd,
}

/// When the process with this number was started, in the kernel's ticks since boot.
pub(crate) fn start_time(number: u32) -> io::Result<u64> {
    let stat = files::read_string(Path::new(&format!("/proc/{number}/stat")))?;
    // The name in parentheses may hold anything, parentheses too.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = after_name.split_ascii_whitespace().nth(19);
    field.and_then(|field| field.parse().ok()).ok_or_else(|| io::Error::other("/proc/…/stat without a start time"))
}

impl Process {
    /// The process that was written down as `number start_time`, if it still runs.
    pub(crate) fn find(written: &str) -> Option<Self> {
        let (number, start) = written.trim().split_once(' ')?;
        let (number, start): (u32, u64) = (number.parse().ok()?, start.parse().ok()?);
        let pid = Pid::from_raw(i32::try_from(number).ok()?)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        // Asked after the handle was taken: if it still is the one, the handle means it.
        (start_time(number).ok()? == start).then_some(Self { number, handle })
    }

    /// Whether it has ended; it may still be a zombie.
    pub(crate) fn has_ended(&self) -> bool {
        let mut poll = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        nix::poll::poll(&mut poll, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Asks it to end in good order.
    pub(crate) fn ask_to_end(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::TERM);
    }

    /// The same, with its end noticed by the runtime.
    #[allow(
        deprecated,
        reason = "the new way is unsafe for what may close its descriptor; this one owns it to its end"
    )]
    pub(crate) fn watched(self) -> io::Result<AsyncFd<Self>> {
        AsyncFd::with_interest(self, Interest::READABLE)
    }

    /// Ends it at once, and with it all of its namespace.
    pub(crate) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

impl Process {
    /// Until it has ended, for as long as the kernel ever takes to end what was killed.
    pub(crate) fn wait(&self) {
        let mut poll = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        let _ = nix::poll::poll(&mut poll, PollTimeout::from(KILLED_WITHIN_MS));
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl AsRawFd for Process {
    fn as_raw_fd(&self) -> RawFd {
        self.handle.as_raw_fd()
    }
}
