//! A dying disk: what is damaged is named, the rest is served.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{NOON, NOW, advance_s, handles, options, receive, receive_texts, send, texts};
use host::sim::{Rng, Seed, SimClock, SimDisk};
use host::{Disk, SystemDisk};
use queue::{Engine, Lost, Queue, QueueId, Receive, Recovery, Settings, scan_bytes, verify};

const DIR: &str = "queues";
const QUEUE: QueueId = QueueId(1);

struct World {
    disk: SimDisk,
    clock: Arc<SimClock>,
    engine: Engine,
    opened: u64,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(Seed(1)), Arc::new(SimClock::on_tokio(NOON)));
        let (engine, _) = Engine::open(options(Some(&disk), &clock, 1)).unwrap();
        Self { disk, clock, engine, opened: 1 }
    }

    /// The process ends without a word and starts again.
    fn reopen(&mut self) -> Recovery {
        self.opened += 1;
        let (engine, recovery) = Engine::open(options(Some(&self.disk), &self.clock, self.opened)).unwrap();
        self.engine = engine;
        recovery
    }

    fn queue(&self) -> Queue {
        self.engine.queue(QUEUE, Settings::default()).unwrap()
    }

    fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let names = self.disk.list(Path::new(DIR)).unwrap().into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with(prefix)).map(|name| Path::new(DIR).join(name)).collect()
    }

    fn bytes(&self, path: &Path) -> Vec<u8> {
        let file = self.disk.open(path).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Flips a bit of each place where the journal says `text`. Returns how many.
    fn spoil(&self, text: &str) -> usize {
        let mut spoiled = 0;
        for path in self.files("journal-") {
            let bytes = self.bytes(&path);
            for at in bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes()) {
                self.disk.flip_bit(&path, at.0 as u64 * 8).unwrap();
                spoiled += 1;
            }
        }
        spoiled
    }
}

#[tokio::test(start_paused = true)]
async fn damage_in_the_middle_of_the_log_is_named_and_the_rest_is_served() {
    let mut world = World::new();
    for text in ["first", "second", "third", "fourth"] {
        send(&world.queue(), &[text]).await;
    }
    assert_eq!(world.spoil("second"), 1);
    let report = verify(&world.disk, Path::new(DIR)).unwrap();
    let recovery = world.reopen();
    assert_eq!(report.recovery, recovery);
    assert!(!recovery.is_whole());
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(recovery.lost, [Lost { queue: QUEUE, first: 2, last: 2 }]);
    assert_eq!(receive_texts(&world.queue()).await, ["first", "third", "fourth"]);
    let recovery = world.reopen();
    assert_eq!(recovery.lost, [Lost { queue: QUEUE, first: 2, last: 2 }], "damage is never cut away");
}

#[tokio::test(start_paused = true)]
async fn whole_records_of_a_damaged_commit_are_saved() {
    let mut world = World::new();
    send(&world.queue(), &["one", "spoilt", "three"]).await;
    send(&world.queue(), &["later"]).await;
    world.spoil("spoilt");
    let recovery = world.reopen();
    assert_eq!(recovery.lost, [Lost { queue: QUEUE, first: 2, last: 2 }]);
    assert_eq!(receive_texts(&world.queue()).await, ["one", "three", "later"]);
}

#[tokio::test(start_paused = true)]
async fn a_torn_tail_is_forgotten_and_said() {
    let mut world = World::new();
    send(&world.queue(), &["acknowledged"]).await;
    send(&world.queue(), &["torn"]).await;
    world.spoil("torn");
    let recovery = world.reopen();
    assert!(recovery.torn_tail.is_some());
    assert!(recovery.is_whole(), "what was never acknowledged is not lost");
    assert_eq!(receive_texts(&world.queue()).await, ["acknowledged"]);
    send(&world.queue(), &["goes on"]).await;
    let recovery = world.reopen();
    assert!(recovery.is_whole() && recovery.torn_tail.is_none(), "{recovery:?}");
    advance_s(60).await;
    assert_eq!(receive_texts(&world.queue()).await, ["acknowledged", "goes on"]);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_payload_is_found_when_it_is_read_and_not_handed_out() {
    let mut world = World::new();
    send(&world.queue(), &["good", "rotten", "good, too"]).await;
    // After a checkpoint nothing of this is replayed any more.
    world.engine.close().await.unwrap();
    // The last frame was copied at no time, so there is one place.
    assert_eq!(world.spoil("rotten"), 1);
    let report = verify(&world.disk, Path::new(DIR)).unwrap();
    assert!(report.recovery.is_whole());
    assert_eq!(report.payloads_damaged, [Lost { queue: QUEUE, first: 2, last: 2 }]);
    assert!(world.reopen().is_whole());
    let received = receive(&world.queue()).await;
    assert_eq!(texts(&received), ["good", "good, too"]);
    assert_eq!(world.engine.stats()[0].lost, 1);
    assert_eq!(world.queue().counts().unwrap().in_flight, 2);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_is_replaced_by_the_one_before() {
    let mut world = World::new();
    let large = "x".repeat(2000);
    send(&world.queue(), &["kept"]).await;
    world.queue().receive(Receive { visibility_timeout_s: Some(43_200), ..NOW }).await.unwrap();
    while world.engine.stats()[0].checkpoints < 4 {
        send(&world.queue(), &[large.as_str(); 5]).await;
        world.queue().delete(&handles(&receive(&world.queue()).await)).await.unwrap();
    }
    let checkpoints = world.files("checkpoint-");
    assert_eq!(checkpoints.len(), 2);
    let bits = world.bytes(&checkpoints[1]).len() as u64 * 8;
    world.disk.flip_bit(&checkpoints[1], bits / 2).unwrap();
    let recovery = world.reopen();
    assert_eq!((recovery.damaged_checkpoints, recovery.messages), (1, 1));
    assert!(recovery.damaged.is_empty() && recovery.lost.is_empty(), "{recovery:?}");
    advance_s(43_200).await;
    assert_eq!(receive_texts(&world.queue()).await, ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn a_journal_file_that_is_gone_takes_its_messages_only() {
    let mut world = World::new();
    send(&world.queue(), &["in the first file"]).await;
    world.engine.close().await.unwrap();
    world.reopen();
    send(&world.queue(), &["in the second file"]).await;
    world.engine.close().await.unwrap();
    world.disk.remove(&world.files("journal-")[0]).unwrap();
    let recovery = world.reopen();
    assert_eq!(recovery.lost, [Lost { queue: QUEUE, first: 1, last: 1 }]);
    assert_eq!(receive_texts(&world.queue()).await, ["in the second file"]);
}

#[test]
fn no_bytes_make_the_scan_panic() {
    let fixture = SystemDisk::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/queues"));
    let file = fixture.open(Path::new("journal-00000002")).unwrap();
    let mut whole = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut whole, 0).unwrap();
    assert!(scan_bytes(&whole) > 10);
    let mut rng = Rng::new(Seed(4));
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..rng.below(20) + 1 {
            let at = rng.index(bytes.len());
            bytes[at] = rng.next_u64() as u8;
        }
        bytes.truncate(rng.index(bytes.len()) + 1);
        scan_bytes(&bytes);
    }
}
