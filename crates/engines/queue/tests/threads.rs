//! The engine with its threads: many tasks at once, checkpoints under way, the power failing in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{NOW, handles, message, send, small_limits, texts};
use host::sim::{Rng, Seed, SimDisk};
use host::{Disk, SystemClock, SystemDisk, SystemIds};
use parking_lot::Mutex;
use queue::{
    DeadLetter, Engine, EngineError, Limits, NewMessage, Options, Queue, QueueId, Receive, Received, Settings, Writer,
};

const WORK: QueueId = QueueId(1);
const DEAD: QueueId = QueueId(2);

fn open(disk: Arc<dyn Disk>, limits: Limits) -> Engine {
    let options = Options {
        disk: Some(disk),
        dir: PathBuf::from("queues"),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        limits,
        writer: Writer::Thread,
    };
    let (engine, recovery) = Engine::open(options).unwrap();
    assert!(recovery.is_whole(), "{recovery:?}");
    engine
}

/// What clients were told.
#[derive(Default)]
struct Told {
    sent: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    /// Deletes without an answer.
    unsure: BTreeSet<u64>,
    next: u64,
}

fn number(received: &Received) -> u64 {
    u64::from_le_bytes(*received.payload.first_chunk().unwrap())
}

/// Sends, receives and deletes until the engine fails.
async fn work(queue: Queue, told: Arc<Mutex<Told>>, seed: u64) {
    let mut rng = Rng::new(Seed(seed));
    loop {
        let numbers: Vec<u64> = {
            let mut told = told.lock();
            told.next += 3;
            (told.next - 3..told.next).collect()
        };
        let new = numbers.iter().map(|number| {
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(rng.index(500) + 8, 7);
            NewMessage { id: [1; 16], payload: Bytes::from(payload), delay_s: None }
        });
        let Ok(_) = queue.send(new.collect()).await else { return };
        let deleted = {
            let mut told = told.lock();
            told.sent.extend(&numbers);
            told.deleted.clone()
        };
        let visibility_timeout_s = Some(if rng.one_in(4) { 0 } else { 600 });
        let Ok(received) = queue.receive(Receive { visibility_timeout_s, max: 4, ..NOW }).await else { return };
        for message in &received {
            assert!(!deleted.contains(&number(message)), "message {} came back", number(message));
        }
        let chosen: Vec<Received> = received.into_iter().filter(|_| rng.below(10) < 9).collect();
        let numbers: Vec<u64> = chosen.iter().map(number).collect();
        told.lock().unsure.extend(&numbers);
        let Ok(_) = queue.delete(&handles(&chosen)).await else { return };
        told.lock().deleted.extend(&numbers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_tasks_were_told_holds_through_one_crash_after_another() {
    let mut disk = SimDisk::new(Seed(1));
    let told = Arc::new(Mutex::new(Told::default()));
    let dead_letter = Some(DeadLetter { queue: DEAD, max_receive_count: 3 });
    let mut checkpoints = 0;
    for round in 0..8 {
        let engine = open(Arc::new(disk.clone()), small_limits());
        engine.queue(DEAD, Settings::default()).unwrap();
        let queue = engine.queue(WORK, Settings { dead_letter, ..Settings::default() }).unwrap();
        let tasks: Vec<_> =
            (0..8).map(|task| tokio::spawn(work(queue.clone(), Arc::clone(&told), round * 8 + task))).collect();
        tokio::time::sleep(Duration::from_millis(50 + round * 15)).await;
        disk = disk.crash();
        for task in tasks {
            task.await.unwrap();
        }
        checkpoints += engine.stats()[0].checkpoints;
        assert!(engine.poisoned().borrow().is_some());
    }
    assert!(checkpoints > 8, "{checkpoints} checkpoints are too few to prove anything");
    let engine = open(Arc::new(disk), small_limits());
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    for id in [WORK, DEAD] {
        let queue = engine.queue(id, Settings::default()).unwrap();
        let counts = queue.counts().unwrap();
        let mut left = counts.visible;
        while left > 0 {
            let received = queue.receive(NOW).await.unwrap();
            assert!(!received.is_empty());
            left -= received.len();
            for message in &received {
                // A delete with a handle from before the move to the dead-letter queue finds nothing, and says so.
                let gone = id == WORK && told.lock().deleted.contains(&number(message));
                assert!(!gone, "message {} came back", number(message));
                *seen.entry(number(message)).or_default() += 1;
            }
        }
        for _ in 0..counts.in_flight {
            // Counted, not named: the leases of the last round outlived the crash.
            *seen.entry(u64::MAX).or_default() += 1;
        }
    }
    let leased = seen.remove(&u64::MAX).unwrap_or(0) as usize;
    let told = told.lock();
    for (number, times) in &seen {
        assert_eq!(*times, 1, "message {number} is in two places");
    }
    let missing = told.sent.iter().filter(|number| !told.unsure.contains(number) && !seen.contains_key(number));
    let missing: Vec<_> = missing.collect();
    assert!(missing.len() <= leased, "{} messages are lost, {leased} are leased: {missing:?}", missing.len());
}

fn system_disk() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(SystemDisk::new(dir.path().to_path_buf()));
    (dir, disk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_directory_is_closed_and_opened_again() {
    let (_dir, disk) = system_disk();
    let engine = open(Arc::clone(&disk), Limits::default());
    let queue = engine.queue(WORK, Settings::default()).unwrap();
    send(&queue, &["a", "b", "c"]).await;
    let received = queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
    queue.delete(&handles(&received)).await.unwrap();
    queue.receive(Receive { max: 1, ..NOW }).await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(queue.send(vec![message("d")]).await.unwrap_err(), EngineError::Closed);
    let report = queue::verify(&*disk, std::path::Path::new("queues")).unwrap();
    assert!(report.is_whole());
    assert_eq!((report.recovery.messages, report.payloads_whole), (2, 2));
    let engine = open(disk, Limits::default());
    let queue = engine.queue(WORK, Settings::default()).unwrap();
    assert_eq!(queue.counts().unwrap().in_flight, 1);
    assert_eq!(texts(&queue.receive(NOW).await.unwrap()), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_written_soon_even_if_nothing_else_is() {
    let (_dir, disk) = system_disk();
    let engine = open(Arc::clone(&disk), Limits::default());
    let queue = engine.queue(WORK, Settings::default()).unwrap();
    send(&queue, &["a"]).await;
    // Long enough for the writer to fall asleep.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = engine.stats()[0].commits;
    queue.receive(NOW).await.unwrap();
    for _ in 0..100 {
        if engine.stats()[0].commits > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lease was never written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_receive_wakes_within_five_milliseconds_of_the_send() {
    let (_dir, disk) = system_disk();
    let engine = open(disk, Limits::default());
    let queue = engine.queue(WORK, Settings::default()).unwrap();
    let mut delays = Vec::new();
    for _ in 0..21 {
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move {
                let received = queue.receive(Receive { wait: Duration::from_secs(20), ..NOW }).await.unwrap();
                (received.len(), tokio::time::Instant::now())
            }
        });
        while engine.stats()[0].waiting == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        send(&queue, &["a"]).await;
        let sent = tokio::time::Instant::now();
        let (count, woken) = waiting.await.unwrap();
        assert_eq!(count, 1);
        delays.push(woken.saturating_duration_since(sent));
    }
    delays.sort();
    // The median: other tests may hold the processor now and then.
    assert!(delays[10] < Duration::from_millis(5), "{delays:?}");
}

#[test]
fn an_empty_directory_opens_at_once() {
    // The best of a few: other tests may hold the disk now and then.
    let times = (0..5).map(|_| {
        let (_dir, disk) = system_disk();
        let started = tokio::time::Instant::now();
        drop(open(disk, Limits::default()));
        started.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}
