//! The queue under load: sends, receives and deletes together, whole path, durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Mutex;
use tokio::time::{Interval, interval_at};

use crate::latency::Latencies;
use crate::process::{Millpond, data_dir};
use crate::sqs_client::{Connection, Credentials};
use crate::{bare_log, rabbitmq};

const WARM_UP: Duration = Duration::from_secs(2);
/// Senders pause above this backlog, so that a figure is a rate at which messages go all the way through.
pub(crate) const BACKLOG_MAX: u64 = 20_000;
const SENDERS: usize = 32;
const CONSUMERS: usize = 32;

/// What one workload did while it was measured.
pub(crate) struct Outcome {
    /// Messages sent, received and deleted a second.
    pub(crate) messages_per_second: f64,
    /// The server's own CPU time a message, microseconds.
    pub(crate) cpu_us_a_message: f64,
    /// Of the send calls.
    pub(crate) send_p50_ms: f64,
    /// Of the send calls.
    pub(crate) send_p99_ms: f64,
}

impl Outcome {
    fn print(&self, name: &str, peer: Option<&Outcome>) {
        let ratio = peer.map_or(String::new(), |peer| {
            format!(
                "   {:5.2} x RabbitMQ's rate, {:5.2} x its CPU",
                self.messages_per_second / peer.messages_per_second,
                self.cpu_us_a_message / peer.cpu_us_a_message
            )
        });
        println!(
            "{name:<44} {:>9.0} msg/s  {:>6.1} us CPU/msg  send p50 {:>6.2} ms  p99 {:>6.2} ms{ratio}",
            self.messages_per_second, self.cpu_us_a_message, self.send_p50_ms, self.send_p99_ms
        );
    }
}

/// What the clients of one workload share.
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    pub(crate) sent: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) measuring: AtomicBool,
    pub(crate) sends: Mutex<Latencies>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            sends: Mutex::new(Latencies::new()),
        })
    }

    pub(crate) fn backlog(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.deleted.load(Ordering::Relaxed))
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Lets the load warm up, then measures it; `cpu_us` reads what the server has used so far.
    pub(crate) async fn measure(
        &self,
        measured: Duration,
        cpu_us: impl Fn() -> anyhow::Result<u64>,
    ) -> anyhow::Result<Outcome> {
        tokio::time::sleep(WARM_UP).await;
        let (cpu_before, done_before, started) = (cpu_us()?, self.deleted.load(Ordering::Relaxed), Instant::now());
        self.measuring.store(true, Ordering::Relaxed);
        tokio::time::sleep(measured).await;
        let elapsed = started.elapsed().as_secs_f64();
        let done = self.deleted.load(Ordering::Relaxed) - done_before;
        let cpu = cpu_us()? - cpu_before;
        self.stop.store(true, Ordering::Relaxed);
        let sends = self.sends.lock().await;
        Ok(Outcome {
            messages_per_second: done as f64 / elapsed,
            cpu_us_a_message: cpu as f64 / done.max(1) as f64,
            send_p50_ms: sends.quantile_ms(0.50),
            send_p99_ms: sends.quantile_ms(0.99),
        })
    }
}

/// Runs every workload and prints a line each.
pub(crate) async fn run(millpond: &Path, data: &Path, measured: Duration, with_rabbitmq: bool) -> anyhow::Result<()> {
    println!("256-byte bodies; load and server on the same cores; every send and delete durable before its answer");
    let rabbit = match with_rabbitmq {
        true => Some(rabbitmq::measure(data, measured).await.context("RabbitMQ (apt-get install rabbitmq-server)")?),
        false => None,
    };
    if let Some(rabbit) = &rabbit {
        rabbit.print("RabbitMQ quorum queue, confirms, 1 by 1", None);
    }
    let bare = bare_log::messages_per_second(data, 10, measured).await?;
    println!("{:<44} {bare:>9.0} msg/s  (sends alone: no HTTP, no index)", "bare group-commit log, batches of 10");
    for (name, workload) in [
        ("Millpond, batches of 10", Workload { batch: 10, strict: false, rate: None }),
        ("Millpond, batches of 10, strict signatures", Workload { batch: 10, strict: true, rate: None }),
        ("Millpond, batches of 10, offered 40,000/s", Workload { batch: 10, strict: false, rate: Some(40_000) }),
        ("Millpond, one by one", Workload { batch: 1, strict: false, rate: None }),
        ("Millpond, one by one, strict signatures", Workload { batch: 1, strict: true, rate: None }),
        ("Millpond, one by one, offered 12,000/s", Workload { batch: 1, strict: false, rate: Some(12_000) }),
    ] {
        let outcome = millpond_workload(millpond, data, measured, &workload).await?;
        outcome.print(name, rabbit.as_ref());
        if workload.batch == 10 && !workload.strict && workload.rate.is_none() {
            println!("{:<44} {:>8.1} %", "  share of the bare log", 100.0 * outcome.messages_per_second / bare);
        }
    }
    Ok(())
}

/// How Millpond is loaded.
struct Workload {
    /// Messages a call; 1 uses the calls for single messages.
    batch: usize,
    /// Whether signatures are verified.
    strict: bool,
    /// Messages a second offered by all senders together; `None` for as fast as answers come. At a rate below what the
    /// machine can do, latencies are the server's rather than those of a queue for the processor.
    rate: Option<u32>,
}

async fn millpond_workload(
    binary: &Path,
    data: &Path,
    measured: Duration,
    workload: &Workload,
) -> anyhow::Result<Outcome> {
    let batch = workload.batch;
    let directory = tempfile::tempdir_in(data)?;
    let (credentials, flags): (_, &[&str]) = match workload.strict {
        true => (Credentials::create(binary, &data_dir(directory.path()))?, &["--auth", "strict"]),
        false => (Credentials::local(), &[]),
    };
    let server = Millpond::start_in(binary, directory, flags)?;
    let queue_url = Connection::open(&server.address, &credentials).await?.create_queue("bench").await?;
    let shared = Shared::new();
    let mut clients = Vec::new();
    let pause = workload.rate.map(|rate| Duration::from_secs((batch * SENDERS) as u64) / rate);
    for n in 0..SENDERS as u32 {
        let connection = Connection::open(&server.address, &credentials).await?;
        // Spread over the pause: all at once would be a burst, not a rate.
        let beat = pause.map(|pause| interval_at(tokio::time::Instant::now() + pause * n / SENDERS as u32, pause));
        clients.push(tokio::spawn(send(connection, queue_url.clone(), batch, beat, shared.clone())));
    }
    for _ in 0..CONSUMERS {
        let connection = Connection::open(&server.address, &credentials).await?;
        clients.push(tokio::spawn(consume(connection, queue_url.clone(), batch, shared.clone())));
    }
    let outcome = shared.measure(measured, || Ok(server.usage()?.cpu_us)).await?;
    for client in clients {
        client.await??;
    }
    Ok(outcome)
}

async fn send(
    mut connection: Connection,
    queue_url: String,
    batch: usize,
    mut beat: Option<Interval>,
    shared: Arc<Shared>,
) -> anyhow::Result<()> {
    while !shared.stopped() {
        if let Some(beat) = &mut beat {
            beat.tick().await;
        }
        if shared.backlog() > BACKLOG_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let started = Instant::now();
        connection.send(&queue_url, batch).await?;
        if shared.measuring.load(Ordering::Relaxed) {
            shared.sends.lock().await.record(started.elapsed());
        }
        shared.sent.fetch_add(batch as u64, Ordering::Relaxed);
    }
    Ok(())
}

async fn consume(
    mut connection: Connection,
    queue_url: String,
    batch: usize,
    shared: Arc<Shared>,
) -> anyhow::Result<()> {
    while !shared.stopped() {
        let handles = connection.receive(&queue_url, batch).await?;
        if !handles.is_empty() {
            connection.delete(&queue_url, &handles).await?;
            shared.deleted.fetch_add(handles.len() as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}
