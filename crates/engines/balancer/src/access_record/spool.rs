//! [`Spool`]: the thread that brings records to disk, and the handle by which they are published.
//!
//! Invariants:
//! - Workers never wait for this thread, nor this thread for traffic.
//! - What is recorded before [`Spool::seal`] is called is in what it returns.
//! - Files that an earlier process left are offered by [`Spool::sealed`] and by `seal`.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use host::{Clock, Disk, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::recorder::{Bell, Lines, Recorder, Source};
use super::store::{Counts, Sealed, Store};
use crate::config::LoadBalancerId;

/// How often records are fetched from the workers, and synced: with a slow sync on top still within a second.
const ROUND: Duration = Duration::from_millis(400);
/// Bytes of all files that wait; the oldest go beyond it.
const BYTES_MAX: u64 = 2 << 30;
/// Callers that may wait for an answer.
const COMMANDS_MAX: usize = 1024;

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Written to files since the balancer started.
    pub records_written: u64,
    /// Lost: the disk failed or was too slow, or too much waited to be published.
    pub records_dropped: u64,
    /// Files that were dropped because too much waited to be published.
    pub files_dropped: u64,
    /// Files that there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

enum Command {
    Seal(LoadBalancerId, oneshot::Sender<Vec<Sealed>>),
    Sealed(oneshot::Sender<Vec<Sealed>>),
    Read(u64, oneshot::Sender<io::Result<Vec<u8>>>),
    Remove(u64, oneshot::Sender<io::Result<()>>),
    MoveTo(PathBuf, oneshot::Sender<io::Result<()>>),
    Adopt(PathBuf, oneshot::Sender<io::Result<usize>>),
}

/// What the thread and the handles share.
#[derive(Default)]
struct Shared {
    bell: Arc<Bell>,
    sources: Mutex<Vec<Source>>,
    inbox: Mutex<Inbox>,
    stats: Mutex<SpoolStats>,
}

#[derive(Default)]
struct Inbox {
    commands: VecDeque<Command>,
    closed: bool,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Records on disk, until they are published. Clones are the same one.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the balancer has ended")
}

impl Spool {
    /// Starts the thread. Nobody else may write in the directory `dir` of the disk.
    ///
    /// # Errors
    /// The directory or a thread cannot be had.
    pub(crate) fn start(disk: Arc<dyn Disk>, dir: PathBuf, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let store = Store::open(disk, dir, BYTES_MAX)?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("millpond-lb-records".to_owned())
            .spawn(move || Rounds::new(of_thread, store, clock).run())?;
        Ok(Self { inner: Arc::new(Inner { shared, thread: Mutex::new(Some(thread)) }) })
    }

    /// A recorder for one worker.
    pub(crate) fn recorder(&self) -> Recorder {
        let (recorder, source) = Recorder::new(Arc::clone(&self.inner.shared.bell));
        self.inner.shared.sources.lock().push(source);
        recorder
    }

    /// Closes the load balancer's files, so that they can be published, and starts new ones. All of its files that
    /// wait, the oldest first.
    ///
    /// # Errors
    /// The balancer has ended.
    pub async fn seal(&self, load_balancer: LoadBalancerId) -> io::Result<Vec<Sealed>> {
        self.ask(|answer| Command::Seal(load_balancer, answer)).await
    }

    /// All files that are ready to be published: sealed ones, full ones, and those of an earlier process.
    ///
    /// # Errors
    /// The balancer has ended.
    pub async fn sealed(&self) -> io::Result<Vec<Sealed>> {
        self.ask(Command::Sealed).await
    }

    /// A sealed file's bytes, 64 MB at most: whole lines.
    ///
    /// # Errors
    /// `NotFound` if it was removed or dropped, else the disk failed or the balancer has ended.
    pub async fn read(&self, sealed: &Sealed) -> io::Result<Vec<u8>> {
        self.ask(|answer| Command::Read(sealed.number, answer)).await?
    }

    /// Forgets a file that was published. It is no error if it is gone already.
    ///
    /// # Errors
    /// The disk failed or the balancer has ended.
    pub async fn remove(&self, sealed: &Sealed) -> io::Result<()> {
        self.ask(|answer| Command::Remove(sealed.number, answer)).await?
    }

    /// Leaves all files to the process that takes over, and keeps what is recorded from now on in another directory,
    /// which that process adopts in the end.
    ///
    /// # Errors
    /// The directory cannot be had; nothing is moved then.
    pub async fn move_to(&self, dir: PathBuf) -> io::Result<()> {
        self.ask(|answer| Command::MoveTo(dir, answer)).await?
    }

    /// Takes over the files of a directory whose process is gone; how many. There need not be one.
    ///
    /// # Errors
    /// The directory cannot be read, or a file not be moved; another try takes over the rest.
    pub async fn adopt(&self, dir: PathBuf) -> io::Result<usize> {
        self.ask(|answer| Command::Adopt(dir, answer)).await?
    }

    /// What became of records so far.
    pub fn stats(&self) -> SpoolStats {
        *self.inner.shared.stats.lock()
    }

    /// Writes what is recorded and ends the thread.
    pub(crate) fn close(&self) {
        self.inner.close();
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        {
            let mut inbox = self.inner.shared.inbox.lock();
            if inbox.closed {
                return Err(closed());
            }
            if inbox.commands.len() >= COMMANDS_MAX {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "the disk is too slow for access records"));
            }
            inbox.commands.push_back(command(answer));
        }
        self.inner.shared.bell.ring();
        answered.await.map_err(|_| closed())
    }
}

impl Inner {
    fn close(&self) {
        self.shared.inbox.lock().closed = true;
        self.shared.bell.ring();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the access records' thread ended by a panic");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's own.
struct Rounds {
    shared: Arc<Shared>,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Exchanged for workers' lines, back and forth.
    lines: Lines,
    synced: Timestamp,
}

impl Rounds {
    fn new(shared: Arc<Shared>, store: Store, clock: Arc<dyn Clock>) -> Self {
        let synced = clock.now();
        Self { shared, store, clock, lines: Lines::default(), synced }
    }

    fn run(mut self) {
        loop {
            let in_time = self.wait();
            let (commands, closed) = {
                let mut inbox = self.shared.inbox.lock();
                (std::mem::take(&mut inbox.commands), inbox.closed)
            };
            let now = self.clock.now();
            self.fetch(now);
            // Whoever rings for a full buffer does not ask for a sync. A clock set back asks for one at once.
            if !in_time || closed || now < self.synced || now.since(self.synced) >= ROUND {
                self.store.sync(now);
                self.synced = now;
            }
            commands.into_iter().for_each(|command| self.obey(command, now));
            self.report();
            if closed {
                return;
            }
        }
    }

    /// Waits for the next round; false when nobody rang until then.
    fn wait(&self) -> bool {
        let bell = &self.shared.bell;
        let mut rung = bell.rung.lock();
        if !*rung {
            let _ = bell.wake.wait_for(&mut rung, ROUND);
        }
        std::mem::take(&mut *rung)
    }

    fn fetch(&mut self, now: Timestamp) {
        let (store, lines) = (&mut self.store, &mut self.lines);
        self.shared.sources.lock().retain(|source| {
            let orphaned = source.is_orphaned();
            source.take(lines);
            store.gather(lines);
            lines.clear();
            !orphaned
        });
        self.store.write(now);
    }

    fn obey(&mut self, command: Command, now: Timestamp) {
        // Who does not wait for the answer any longer does not get it.
        match command {
            Command::Seal(load_balancer, answer) => drop(answer.send(self.store.seal(load_balancer, now))),
            Command::Sealed(answer) => drop(answer.send(self.store.sealed())),
            Command::Read(number, answer) => drop(answer.send(self.store.read(number))),
            Command::Remove(number, answer) => drop(answer.send(self.store.remove(number))),
            Command::MoveTo(dir, answer) => drop(answer.send(self.store.move_to(dir, now))),
            Command::Adopt(dir, answer) => drop(answer.send(self.store.adopt(dir))),
        }
    }

    fn report(&self) {
        let Counts { written, dropped, files_dropped } = self.store.counts;
        let (files, bytes) = self.store.size();
        *self.shared.stats.lock() =
            SpoolStats { records_written: written, records_dropped: dropped, files_dropped, files, bytes };
    }
}

#[cfg(test)]
mod tests;
