//! Measures the store: `cargo run --release -p store --example rates [DIRECTORY]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use store::{Scan, Store, StoreError, Table};

#[derive(Serialize, Deserialize)]
struct Row {
    size: u64,
    etag: String,
    content_type: String,
    metadata: Vec<(String, String)>,
}

const ROWS: Table<Row> = Table::new("rows");
const WRITERS: usize = 64;
const WRITES_EACH: usize = 200;

fn row() -> Row {
    Row {
        size: 1234,
        etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        content_type: "image/png".to_owned(),
        metadata: vec![("owner".to_owned(), "somebody".to_owned())],
    }
}

#[allow(clippy::disallowed_methods, reason = "measures real time")]
fn timed<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn say(what: &str, count: usize, took: Duration) {
    println!("{what:<52} {:>9.0}/s", count as f64 / took.as_secs_f64());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let dir = tempfile::tempdir_in(parent)?;
    let (store, took) = timed(|| Store::open(&dir.path().join("rates.db")));
    let store = store?;
    println!("{:<52} {:>9.1} ms", "open in an empty directory", took.as_secs_f64() * 1e3);

    let (result, took) =
        timed(|| (0..1000).try_for_each(|n| store.write(|tx| tx.put(&ROWS, &format!("one/{n:06}"), &row())).map(drop)));
    result?;
    say("durable writes, one after the other", 1000, took);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let (result, took) = timed(|| runtime.block_on(write_together(&store)));
    result?;
    say("durable writes, 64 at a time", WRITERS * WRITES_EACH, took);

    let keys = store.read(|view| view.keys(&ROWS, &Scan::all()))?;
    let (result, took) = timed(|| keys.iter().try_for_each(|key| store.read(|view| view.get(&ROWS, key)).map(drop)));
    result?;
    say("reads of one row", keys.len(), took);

    let (rows, took) = timed(|| store.read(|view| view.scan(&ROWS, &Scan::all())));
    say("rows of a scan", rows?.len(), took);
    Ok(())
}

async fn write_together(store: &Store) -> Result<(), StoreError> {
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..WRITES_EACH {
                    store.write_async(move |tx| tx.put(&ROWS, &format!("many/{writer}/{n:06}"), &row())).await?;
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(|_| StoreError::Closed)??;
    }
    Ok(())
}
