//! Signals: the first SIGTERM or SIGINT asks for a drain, a second one of either ends the process on the spot.
//!
//! Invariant: from the moment [`Signals::listen`] returned, no such signal is lost or kills the process unasked.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// The signals that end a server.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the system's default.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first signal.
    pub async fn first(&mut self) {
        let name = self.next().await.0;
        info!(signal = name, "draining; send it again to stop at once");
    }

    /// Brings `work`, after which the server would go on, to its end; whether the first signal came meanwhile. A second
    /// one ends the process.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> (T, bool) {
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return (done, false),
            () = self.first() => {}
        }
        tokio::select! {
            done = &mut work => (done, true),
            never = self.force() => never,
        }
    }

    /// Waits for another signal and ends the process as that signal by itself would have.
    pub async fn force(&mut self) -> ! {
        let (name, exit_code) = self.next().await;
        warn!(signal = name, "stopping at once");
        std::process::exit(exit_code)
    }

    /// The name of the next signal and the exit code that shells expect of a process that it killed.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 128 + 15),
            _ = self.interrupt.recv() => ("SIGINT", 128 + 2),
        }
    }
}
