//! Worker threads: each its own tokio runtime, its own sockets, pools and buffers.
//!
//! Invariants:
//! - A connection lives and dies on the worker that accepted it; nothing on its path is sent to another thread.
//! - A command is acknowledged once it holds: a closed listener accepts no more, an opened one is accepted from.
//! - A worker ends when it is told to or when nobody commands it any longer, and with it all of its connections.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use host::{Clock, Ids};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::access_record::Recorder;
use crate::config::Limits;
use crate::deadline::{self, Deadlines};
use crate::listener::{self, Door, Listening};
use crate::pool::Pools;
use crate::proxy::Buffers;

/// Commands that may wait for a worker; senders wait beyond them.
const COMMANDS_MAX: usize = 16;

/// What all workers share. Atomics only.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) limits: Limits,
    /// Client connections now.
    pub(crate) connections: AtomicUsize,
    /// Acceptors that wait for a seat.
    waiting_acceptors: AtomicUsize,
    seat_freed: Notify,
    /// Told when draining leaves no connection.
    pub(crate) emptied: Notify,
    /// Cancelled when the balancer stops accepting for good: connections end once they are idle.
    pub(crate) draining: CancellationToken,
    /// Rises after a route changed, a target was cut or draining began: whoever waits for long looks at it now and
    /// then, and at its own route, target and `draining` when it has risen.
    pub(crate) generation: AtomicU64,
    /// Another process may have the listening sockets too: what nobody has accepted is for it.
    pub(crate) handed_over: AtomicBool,
    /// Cancelled when the workers shall end, with whatever they still serve.
    pub(crate) ended: CancellationToken,
    /// Revision of the targets' health, draining included.
    pub(crate) health: watch::Sender<u64>,
    /// Connections that a panic ended.
    pub(crate) panics: AtomicU64,
    /// Connections refused by access rules.
    pub(crate) refused: AtomicU64,
    /// Times that accepting had to back off for want of file descriptors or memory.
    pub(crate) exhausted: AtomicU64,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, limits: Limits) -> Self {
        Self {
            clock,
            ids,
            limits,
            connections: AtomicUsize::new(0),
            waiting_acceptors: AtomicUsize::new(0),
            seat_freed: Notify::new(),
            emptied: Notify::new(),
            draining: CancellationToken::new(),
            generation: AtomicU64::new(0),
            handed_over: AtomicBool::new(false),
            ended: CancellationToken::new(),
            health: watch::Sender::new(0),
            panics: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
        }
    }

    /// Tells whoever watches targets that something about their health is new.
    pub(crate) fn health_changed(&self) {
        self.health.send_modify(|revision| *revision += 1);
    }

    /// Tells connections that their route, their target or `draining` may have changed. Call it after the change.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Counts one connection more, if there is room. (Never counts too far and back: giving back wakes acceptors, and two
    /// of them would keep each other awake.)
    pub(crate) fn take_seat(&self) -> bool {
        let max = self.limits.connections_max;
        self.connections
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| (taken < max).then_some(taken + 1))
            .is_ok()
    }

    pub(crate) fn give_seat_back(&self) {
        let before = self.connections.fetch_sub(1, Ordering::SeqCst);
        // One acceptor a seat, even while others are free: who waits may have come before they were.
        if self.waiting_acceptors.load(Ordering::SeqCst) > 0 {
            self.seat_freed.notify_one();
        }
        if before == 1 && self.draining.is_cancelled() {
            self.emptied.notify_one();
        }
    }

    /// Waits until a connection ended, or at once if there is room.
    pub(crate) async fn seat_free(&self) {
        let _waiting = Waiting::new(&self.waiting_acceptors);
        let freed = self.seat_freed.notified();
        if self.connections.load(Ordering::SeqCst) < self.limits.connections_max {
            return;
        }
        freed.await;
    }

    pub(crate) fn accept_exhausted(&self, address: SocketAddr) {
        // The first of a series is enough for the log.
        if self.exhausted.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
            tracing::warn!(%address, "no file descriptors or memory for more connections; raise the limit (ulimit -n)");
        }
    }
}

/// Counts itself while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One worker thread's own world.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pools: Pools,
    pub(crate) recorder: Recorder,
    pub(crate) deadlines: Deadlines,
    pub(crate) buffers: Buffers,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, recorder: Recorder) -> Self {
        Self {
            pools: Pools::new(&shared.limits),
            recorder,
            deadlines: Deadlines::new(Arc::clone(&shared.clock)),
            buffers: Buffers::new(&shared.limits),
            shared,
        }
    }
}

/// What a worker is told.
enum Command {
    /// Accept from these; acknowledged when it does.
    Open(Vec<(Arc<Door>, Listening)>, oneshot::Sender<()>),
    /// Accept what waits at these addresses, then no more; acknowledged when the sockets are closed.
    Close(Vec<SocketAddr>, oneshot::Sender<()>),
    /// Close all, as above.
    CloseAll(oneshot::Sender<()>),
    /// Serve a connection that was accepted elsewhere, from this client; acknowledged when that has begun or cannot.
    Deliver(Arc<Door>, std::net::TcpStream, SocketAddr, oneshot::Sender<()>),
}

/// A worker, as those see it who command it.
pub(crate) struct WorkerHandle {
    commands: mpsc::Sender<Command>,
}

/// Starts worker number `number`.
///
/// # Errors
/// No thread or no runtime can be had.
pub(crate) fn start(
    number: usize,
    shared: Arc<Shared>,
    recorder: Recorder,
) -> io::Result<(WorkerHandle, JoinHandle<()>)> {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let runtime_of_thread =
        move || tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    // The runtime must be built on its thread; whether that went well is known before this returns.
    let (built, is_built) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("millpond-lb-{number}")).spawn(move || {
        let runtime = match runtime_of_thread() {
            Ok(runtime) => runtime,
            Err(error) => return drop(built.send(Err(error))),
        };
        let _ = built.send(Ok(()));
        let worker = Rc::new(Worker::new(shared, recorder));
        runtime.block_on(run(worker, received));
    })?;
    is_built.recv().unwrap_or_else(|_| Err(io::Error::other("a worker thread ended while starting")))?;
    Ok((WorkerHandle { commands }, thread))
}

impl WorkerHandle {
    pub(crate) async fn open(&self, doors: Vec<(Arc<Door>, Listening)>) {
        self.tell(|done| Command::Open(doors, done)).await;
    }

    pub(crate) async fn close(&self, addresses: Vec<SocketAddr>) {
        self.tell(|done| Command::Close(addresses, done)).await;
    }

    pub(crate) async fn close_all(&self) {
        self.tell(Command::CloseAll).await;
    }

    pub(crate) async fn deliver(&self, door: Arc<Door>, stream: std::net::TcpStream, client: SocketAddr) {
        self.tell(|done| Command::Deliver(door, stream, client, done)).await;
    }

    async fn tell(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, is_done) = oneshot::channel();
        // A worker that is gone has no listeners left: what was asked for holds.
        if self.commands.send(command(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

/// An acceptor of one socket.
struct Acceptor {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// The acceptors of each address: one, or more where sockets were inherited from more workers.
type Acceptors = HashMap<SocketAddr, Vec<Acceptor>>;

async fn run(worker: Rc<Worker>, mut commands: mpsc::Receiver<Command>) {
    tokio::task::spawn_local(deadline::run(Rc::clone(&worker)));
    let mut acceptors = Acceptors::new();
    loop {
        let command = tokio::select! {
            biased;
            () = worker.shared.ended.cancelled() => return,
            command = commands.recv() => command,
        };
        let Some(command) = command else { return };
        match command {
            Command::Open(doors, done) => {
                doors.into_iter().for_each(|(door, listening)| open(&worker, &mut acceptors, door, listening));
                let _ = done.send(());
            }
            Command::Close(addresses, done) => {
                let closing = addresses.iter().filter_map(|address| acceptors.remove(address)).flatten().collect();
                close(closing).await;
                let _ = done.send(());
            }
            Command::Deliver(door, stream, client, done) => {
                listener::deliver(&worker, &door, stream, client);
                let _ = done.send(());
            }
            Command::CloseAll(done) => {
                close(acceptors.drain().flat_map(|(_, acceptors)| acceptors).collect()).await;
                let _ = done.send(());
            }
        }
    }
}

fn open(worker: &Rc<Worker>, acceptors: &mut Acceptors, door: Arc<Door>, listening: Listening) {
    let stop = CancellationToken::new();
    let address = door.address;
    let task = tokio::task::spawn_local(listener::accept_loop(Rc::clone(worker), door, listening, stop.clone()));
    acceptors.entry(address).or_default().push(Acceptor { stop, task });
}

async fn close(acceptors: Vec<Acceptor>) {
    acceptors.iter().for_each(|acceptor| acceptor.stop.cancel());
    for acceptor in acceptors {
        let _ = acceptor.task.await;
    }
}
