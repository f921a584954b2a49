//! Files of every format version ever released are read, for ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{NOON, NOW, message, options, receive, send, texts};
use host::sim::{Seed, SimClock, SimDisk};
use host::{Disk, SystemDisk};
use queue::{Counts, DeadLetter, Engine, NewMessage, Queue, QueueId, Receive, Recovery, Settings, verify};

const DIR: &str = "queues";

fn fixtures(version: &str) -> SystemDisk {
    SystemDisk::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version))
}

fn copy(from: &dyn Disk, to: &dyn Disk, dir: &Path) {
    to.create_dir_all(dir).unwrap();
    for (name, _) in from.list(dir).unwrap() {
        let path = dir.join(name);
        let source = from.open(&path).unwrap();
        let mut bytes = vec![0; usize::try_from(source.len().unwrap()).unwrap()];
        source.read_exact_at(&mut bytes, 0).unwrap();
        let target = to.create(&path).unwrap();
        target.write_all_at(&bytes, 0).unwrap();
        target.sync_data().unwrap();
    }
    to.sync_dir(dir).unwrap();
}

fn open(disk: &SimDisk, seed: u64) -> (Engine, Recovery, Arc<SimClock>) {
    let clock = Arc::new(SimClock::frozen(NOON.plus(Duration::from_secs(60))));
    let (engine, recovery) = Engine::open(options(Some(disk), &clock, seed)).unwrap();
    (engine, recovery, clock)
}

async fn receive_once(queue: &Queue, visibility_timeout_s: u32) -> Vec<String> {
    let request = Receive { max: 1, visibility_timeout_s: Some(visibility_timeout_s), ..NOW };
    queue.receive(request).await.unwrap().into_iter().map(|message| message.handle).collect()
}

/// A record of every kind, some before and some after a checkpoint.
async fn write_everything(disk: &SimDisk) {
    let dead_letter = Some(DeadLetter { queue: QueueId(2), max_receive_count: 1 });
    let open_queues = |engine: &Engine| {
        let first = engine.queue(QueueId(1), Settings { dead_letter, ..Settings::default() }).unwrap();
        let others = [2, 3, 4].map(|id| engine.queue(QueueId(id), Settings::default()).unwrap());
        (first, others)
    };
    let (engine, ..) = open(disk, 1);
    let (first, [_, third, _]) = open_queues(&engine);
    send(&first, &["dead letter", "before the checkpoint"]).await;
    receive_once(&first, 0).await;
    send(&third, &["purged"]).await;
    engine.close().await.unwrap();
    let (engine, ..) = open(disk, 2);
    let (first, [_, third, fourth]) = open_queues(&engine);
    let lent = receive_once(&first, 1000).await;
    eprintln!("handle.txt: {}", lent[0]);
    send(&third, &["purged, too"]).await;
    third.purge().await.unwrap();
    send(&third, &["leased", "deleted", "freed"]).await;
    receive_once(&third, 1000).await;
    let deleted = receive_once(&third, 1000).await;
    third.delete(&deleted).await.unwrap();
    let freed = receive_once(&third, 1000).await;
    third.change_visibility(&[(&freed[0], 0)]).await.unwrap();
    send(&fourth, &["of a deleted queue"]).await;
    engine.delete_queue(QueueId(4)).await.unwrap();
    third.send(vec![NewMessage { delay_s: Some(900), ..message("delayed") }]).await.unwrap();
    // Not closed: the log must be replayed.
}

#[tokio::test]
#[ignore = "writes the fixture of the current format; run it once for each new version"]
async fn write_the_fixture() {
    let disk = SimDisk::new(Seed(1));
    write_everything(&disk).await;
    copy(&disk, &fixtures("new"), Path::new(DIR));
}

async fn expect_everything(disk: &SimDisk) {
    let report = verify(disk, Path::new(DIR)).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let (engine, recovery, _clock) = open(disk, 3);
    assert!(recovery.is_whole() && recovery.torn_tail.is_none(), "{recovery:?}");
    assert_eq!((recovery.messages, report.payloads_whole), (5, 5));
    assert_eq!(engine.queue_ids(), [1, 2, 3].map(QueueId));
    let [first, second, third] = [1, 2, 3].map(|id| engine.queue(QueueId(id), Settings::default()).unwrap());
    assert_eq!(first.counts().unwrap(), Counts { visible: 0, in_flight: 1, delayed: 0 });
    assert_eq!(third.counts().unwrap(), Counts { visible: 1, in_flight: 1, delayed: 1 });
    let dead = receive(&second).await;
    assert_eq!(texts(&dead), ["dead letter"]);
    assert_eq!((dead[0].dead_letter_source, dead[0].receive_count, dead[0].id), (Some(QueueId(1)), 2, [7; 16]));
    let freed = receive(&third).await;
    assert_eq!((texts(&freed), freed[0].sequence, freed[0].receive_count), (vec!["freed".to_owned()], 5, 2));
    // A handle that was handed out then: the key is part of the format.
    let old = fixture_handle();
    assert!(first.delete(&[old]).await.unwrap()[0].is_ok());
    assert_eq!(first.counts().unwrap(), Counts::default());
}

/// The handle under which "before the checkpoint" was lent when the fixture of version 1 was written.
fn fixture_handle() -> &'static str {
    include_str!("fixtures/v1/handle.txt").trim()
}

#[tokio::test]
async fn version_1_is_read() {
    let disk = SimDisk::new(Seed(9));
    copy(&fixtures("v1"), &disk, &PathBuf::from(DIR));
    expect_everything(&disk).await;
}
