//! How fast the engine is, beside a bare group-commit log on the same disk.
//!
//! `cargo run --release -p queue --example engine_speed [DIRECTORY]`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use host::{Disk, SystemClock, SystemDisk, SystemIds};
use queue::{Engine, Limits, NewMessage, Options, Queue, QueueId, Receive, Settings, Writer};

const TASKS: usize = 64;
const MESSAGES: usize = 400_000;
const BODY_BYTES: usize = 256;

fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = root.join(format!("millpond-speed-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for batch in [10, 1] {
        println!("{TASKS} tasks, {BODY_BYTES}-byte messages, {batch} a call");
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk::new(dir.clone()));
        disk.create_dir_all(Path::new("bare")).expect("a directory");
        bare_log(&*disk, batch);
        runtime.block_on(engine(disk, batch));
        std::fs::remove_dir_all(&dir).expect("the directory goes");
    }
    runtime.block_on(idle());
}

/// What waiting costs: 1,000 long polls on 100 queues, each with a message in flight.
async fn idle() {
    let options = Options {
        disk: None,
        dir: PathBuf::new(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        limits: Limits::default(),
        writer: Writer::Thread,
    };
    let (engine, _) = Engine::open(options).expect("the engine opens");
    let request = Receive { max: 10, visibility_timeout_s: Some(3600), wait: Duration::from_secs(20) };
    let mut waiting = Vec::new();
    for poll in 0..1000 {
        let queue = engine.queue(QueueId(poll % 100), Settings::default()).expect("a queue");
        if poll < 100 {
            send(queue.clone(), 1).await;
            queue.receive(request).await.expect("the receive is accepted");
        }
        waiting.push(tokio::spawn(async move { queue.receive(request).await }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (started, before) = (now(), cpu());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let share = (cpu() - before).as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    println!("1,000 idle long polls: {share:.1} % CPU");
    engine.drain();
    for poll in waiting {
        poll.await.expect("the task ends well").expect("the receive is accepted");
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures")]
fn now() -> Instant {
    Instant::now()
}

fn print(what: &str, messages: usize, started: Instant, cpu: Duration) {
    let seconds = started.elapsed().as_secs_f64();
    let each = cpu.as_secs_f64() * 1e6 / messages as f64;
    println!("  {what:<28} {:>9.0} messages/s  {each:>6.2} us CPU a message", messages as f64 / seconds);
}

/// CPU time of this process: user and system, from /proc.
fn cpu() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads about its own process")]
    let stat = std::fs::read("/proc/self/stat").unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Memory of this process, from /proc: pages of 4 KiB.
fn resident_mib() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads about its own process")]
    let statm = std::fs::read("/proc/self/statm").unwrap_or_default();
    let pages = String::from_utf8_lossy(&statm).split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) / 256
}

/// The best that a log can do: every task's call of a batch in one write and one sync.
fn bare_log(disk: &dyn Disk, batch: usize) {
    let frame = vec![7; TASKS * batch * BODY_BYTES];
    let rounds = (MESSAGES / (TASKS * batch)).min(2000);
    let path = Path::new("bare/log");
    let file = disk.create(path).expect("a file");
    let zeros = vec![0; 1 << 20];
    let bytes = rounds * frame.len();
    (0..=bytes >> 20).for_each(|at| file.write_all_at(&zeros, (at << 20) as u64).expect("a write"));
    file.sync_data().expect("a sync");
    let (started, before) = (now(), cpu());
    for round in 0..rounds {
        file.write_all_at(&frame, (round * frame.len()) as u64).expect("a write");
        file.sync_data().expect("a sync");
    }
    print("bare group-commit log", rounds * TASKS * batch, started, cpu() - before);
    disk.remove(path).expect("the file goes");
}

async fn engine(disk: Arc<dyn Disk>, batch: usize) {
    let options = Options {
        disk: Some(disk),
        dir: PathBuf::from("queues"),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        limits: Limits::default(),
        writer: Writer::Thread,
    };
    let started = now();
    let (engine, _) = Engine::open(options.clone()).expect("the engine opens");
    println!("  opened an empty directory in {:?}", started.elapsed());
    let settings = Settings { in_flight_max: usize::MAX, ..Settings::default() };
    let queue = engine.queue(QueueId(1), settings).expect("a queue");
    measure(&queue, if batch == 1 { MESSAGES / 4 } else { MESSAGES }, batch).await;
    let stats = engine.stats()[0];
    println!(
        "  {} commits, {:.1} calls and {:.0} us each, {} files, {} checkpoints, {:.0} % payloads from memory",
        stats.commits,
        stats.calls as f64 / stats.commits as f64,
        stats.sync_us as f64 / stats.commits as f64,
        stats.files,
        stats.checkpoints,
        stats.cache_hits as f64 * 100.0 / (stats.cache_hits + stats.cache_misses) as f64,
    );
    for _ in 0..MESSAGES / 100 {
        send(queue.clone(), 100).await;
    }
    println!("  {MESSAGES} messages of {} MiB wait, {} MiB resident", (MESSAGES * BODY_BYTES) >> 20, resident_mib());
    // Dropped without being closed, as in a crash.
    drop((engine, queue));
    let started = now();
    let (engine, recovery) = Engine::open(options).expect("the engine opens again");
    let (bytes, messages) = (recovery.bytes >> 20, recovery.messages);
    println!("  opened again in {:?}: {messages} messages, {bytes} MiB replayed", started.elapsed());
    engine.close().await.expect("the engine closes");
}

async fn measure(queue: &Queue, messages: usize, batch: usize) {
    run("send", messages, batch, queue, send).await;
    let handles = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let kept = Arc::clone(&handles);
    let keep = move |queue: Queue, batch| {
        let kept = Arc::clone(&kept);
        async move {
            let received = receive(&queue, batch).await;
            kept.lock().push(received);
        }
    };
    run("receive a backlog", messages, batch, queue, keep).await;
    let delete = move |queue: Queue, _| {
        let batch: Vec<String> = handles.lock().pop().expect("a batch is left");
        async move { drop(queue.delete(&batch).await.expect("the delete is accepted")) }
    };
    run("delete", messages, batch, queue, delete).await;
    let all = |queue: Queue, batch| async move {
        send(queue.clone(), batch).await;
        let handles = receive(&queue, batch).await;
        queue.delete(&handles).await.expect("the delete is accepted");
    };
    run("send, receive and delete", messages, batch, queue, all).await;
}

async fn send(queue: Queue, batch: usize) {
    let payload = || Bytes::from(vec![7; BODY_BYTES]);
    let messages = (0..batch).map(|_| NewMessage { id: [3; 16], payload: payload(), delay_s: None });
    queue.send(messages.collect()).await.expect("the send is accepted");
}

async fn receive(queue: &Queue, batch: usize) -> Vec<String> {
    let request = Receive { max: batch, visibility_timeout_s: None, wait: Duration::from_secs(1) };
    let received = queue.receive(request).await.expect("the receive is accepted");
    received.into_iter().map(|message| message.handle).collect()
}

async fn run<F, C>(what: &str, messages: usize, batch: usize, queue: &Queue, call: C)
where
    C: Fn(Queue, usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (started, before) = (now(), cpu());
    let spawn = |task| {
        let (queue, call) = (queue.clone(), call.clone());
        let calls = messages / batch;
        let mine = calls / TASKS + usize::from(task < calls % TASKS);
        tokio::spawn(async move {
            for _ in 0..mine {
                call(queue.clone(), batch).await;
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
    for task in tasks {
        task.await.expect("the task ends well");
    }
    print(what, messages, started, cpu() - before);
}
