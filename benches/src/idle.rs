//! What nothing costs: a server with 1,000 long polls waiting, and one with 1,000 queues.

use std::path::Path;
use std::time::Duration;

use crate::process::Millpond;
use crate::sqs_client::{Connection, Credentials};

const POLLS: usize = 1_000;
const QUEUES: usize = 1_000;

/// Watches both states and prints a line each.
pub(crate) async fn run(millpond: &Path, data: &Path, watched: Duration) -> anyhow::Result<()> {
    let credentials = Credentials::local();

    let server = Millpond::start(millpond, data, &[])?;
    let mut first = Connection::open(&server.address, &credentials).await?;
    for n in 0..QUEUES {
        first.create_queue(&format!("idle-{n}")).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, resident) = watch(&server, watched).await?;
    println!("idle, {QUEUES} queues:      {cpu:>6.2} % CPU   {resident:>6.1} MiB resident");
    drop(server);

    let server = Millpond::start(millpond, data, &[])?;
    let queue_url = Connection::open(&server.address, &credentials).await?.create_queue("polled").await?;
    let mut polls = Vec::new();
    for _ in 0..POLLS {
        let mut connection = Connection::open(&server.address, &credentials).await?;
        connection.begin_long_poll(&queue_url).await?;
        polls.push(connection);
    }
    // They all end after 20 s: watch them while they wait, not while they answer.
    let watched = watched.min(Duration::from_secs(15));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, resident) = watch(&server, watched).await?;
    println!("idle, {POLLS} long polls:  {cpu:>6.2} % CPU   {resident:>6.1} MiB resident");
    println!("(data in {})", server.directory().display());
    Ok(())
}

async fn watch(server: &Millpond, watched: Duration) -> anyhow::Result<(f64, f64)> {
    let before = server.usage()?;
    tokio::time::sleep(watched).await;
    let after = server.usage()?;
    let cpu = 100.0 * (after.cpu_us - before.cpu_us) as f64 / watched.as_micros() as f64;
    Ok((cpu, after.resident_bytes as f64 / f64::from(1 << 20)))
}
