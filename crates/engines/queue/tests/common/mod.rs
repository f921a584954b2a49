//! An engine on a simulated disk, with its clock in hand.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::sim::{Seed, SimClock, SimDisk, SimIds};
use host::{Disk, Timestamp};
use queue::{Engine, Limits, NewMessage, Options, Queue, QueueId, Receive, Received, Recovery, Settings, Writer};

/// When every test begins.
pub(crate) const NOON: Timestamp = Timestamp(1_700_000_000_000);

/// Bounds small enough that a test meets each of them.
pub(crate) fn small_limits() -> Limits {
    Limits {
        file_bytes: 64 << 10,
        checkpoint_bytes: 96 << 10,
        commit_bytes: 16 << 10,
        commit_calls: 64,
        body_cache_bytes: 8 << 10,
        disk_floor_percent: 5,
    }
}

/// An engine and what it stands on.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) disk: Option<SimDisk>,
    pub(crate) recovery: Recovery,
    seed: u64,
}

pub(crate) fn options(disk: Option<&SimDisk>, clock: &Arc<SimClock>, seed: u64) -> Options {
    Options {
        disk: disk.map(|disk| Arc::new(disk.clone()) as Arc<dyn Disk>),
        dir: PathBuf::from("queues"),
        clock: Arc::clone(clock) as Arc<dyn host::Clock>,
        ids: Arc::new(SimIds::new(Seed(seed))),
        limits: small_limits(),
        writer: Writer::Inline,
    }
}

impl World {
    /// Must be called within a runtime whose time is paused.
    pub(crate) fn new() -> Self {
        Self::on(Some(SimDisk::new(Seed(1))), Arc::new(SimClock::on_tokio(NOON)), 1)
    }

    /// One that keeps nothing.
    pub(crate) fn ephemeral() -> Self {
        Self::on(None, Arc::new(SimClock::on_tokio(NOON)), 1)
    }

    fn on(disk: Option<SimDisk>, clock: Arc<SimClock>, seed: u64) -> Self {
        let (engine, recovery) = Engine::open(options(disk.as_ref(), &clock, seed)).expect("the engine opens");
        Self { engine, clock, disk, recovery, seed }
    }

    /// Fails the power and starts again.
    pub(crate) fn crash(self) -> Self {
        let disk = self.disk.as_ref().map(SimDisk::crash);
        Self::on(disk, self.clock, self.seed + 1)
    }

    /// Closes the engine and starts again.
    pub(crate) async fn restart(self) -> Self {
        self.engine.close().await.expect("the engine closes");
        Self::on(self.disk, self.clock, self.seed + 1)
    }

    pub(crate) fn queue(&self, id: u64) -> Queue {
        self.queue_with(id, Settings::default())
    }

    pub(crate) fn queue_with(&self, id: u64, settings: Settings) -> Queue {
        self.engine.queue(QueueId(id), settings).expect("the queue is there")
    }
}

pub(crate) async fn advance_s(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
    // Timers that became due run before the test goes on.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn message(text: &str) -> NewMessage {
    NewMessage { id: [7; 16], payload: Bytes::copy_from_slice(text.as_bytes()), delay_s: None }
}

pub(crate) async fn send(queue: &Queue, texts: &[&str]) {
    queue.send(texts.iter().map(|text| message(text)).collect()).await.expect("the send is accepted");
}

pub(crate) const NOW: Receive = Receive { max: 10, visibility_timeout_s: None, wait: Duration::ZERO };

pub(crate) async fn receive(queue: &Queue) -> Vec<Received> {
    queue.receive(NOW).await.expect("the receive is accepted")
}

pub(crate) fn texts(received: &[Received]) -> Vec<String> {
    received.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

pub(crate) async fn receive_texts(queue: &Queue) -> Vec<String> {
    texts(&receive(queue).await)
}

pub(crate) fn handles(received: &[Received]) -> Vec<String> {
    received.iter().map(|message| message.handle.clone()).collect()
}
