//! The floor: 64 clients on a log that does nothing but group commit.
//!
//! No HTTP, no signature, no JSON, no index: what the disk and the wake-ups alone allow.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

const CLIENTS: usize = 64;
const FILE_BYTES: u64 = 64 << 20;

/// Messages a second that the log takes in batches of `batch`, each batch durable before its client goes on.
pub(crate) async fn messages_per_second(data: &Path, batch: usize, measured: Duration) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir_in(data)?;
    let file = std::fs::File::create(directory.path().join("log"))?;
    for offset in (0..FILE_BYTES).step_by(1 << 20) {
        file.write_all_at(&vec![0; 1 << 20], offset)?;
    }
    file.sync_all()?;
    let (calls, waiting) = std::sync::mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>();
    let writer = std::thread::spawn(move || commit_in_groups(&file, &waiting));
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (calls, stop, written) = (calls.clone(), stop.clone(), written.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let (done, durable) = oneshot::channel();
                    if calls.send((vec![b'x'; 256 * batch], done)).is_err() || durable.await.is_err() {
                        break;
                    }
                    written.fetch_add(batch as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    drop(calls);
    let started = Instant::now();
    tokio::time::sleep(measured).await;
    let rate = written.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await?;
    }
    writer.join().map_err(|_| anyhow::anyhow!("the bare log's writer panicked"))??;
    Ok(rate)
}

fn commit_in_groups(
    file: &std::fs::File,
    waiting: &std::sync::mpsc::Receiver<(Vec<u8>, oneshot::Sender<()>)>,
) -> std::io::Result<()> {
    let mut offset = 0;
    while let Ok(first) = waiting.recv() {
        let (mut bytes, mut done) = (first.0, vec![first.1]);
        while let Ok((more, sender)) = waiting.try_recv() {
            bytes.extend_from_slice(&more);
            done.push(sender);
        }
        if offset + bytes.len() as u64 > FILE_BYTES {
            offset = 0;
        }
        file.write_all_at(&bytes, offset)?;
        file.sync_data()?;
        offset += bytes.len() as u64;
        for sender in done {
            let _ = sender.send(());
        }
    }
    Ok(())
}
