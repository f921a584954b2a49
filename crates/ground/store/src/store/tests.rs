//! What the store promises.
#![allow(
    clippy::disallowed_methods,
    reason = "SQLite's files are not on a simulated disk, and one promise is about real time"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use host::sim::{Rng, for_each_seed};
use serde::{Deserialize, Serialize};

use super::*;
use crate::{Revision, Row, Scan};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pond {
    fish: u32,
    #[serde(default)]
    owner: Option<String>,
}

const PONDS: Table<Pond> = Table::new("ponds");
const OTHERS: Table<String> = Table::new("others");

fn pond(fish: u32) -> Pond {
    Pond { fish, owner: None }
}

fn ok<T>(value: T) -> Result<T, StoreError> {
    Ok(value)
}

fn on_disk() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.db")).unwrap();
    (dir, store)
}

/// Every promise holds for both kinds of store.
fn both(promise: impl Fn(&Store)) {
    promise(&Store::in_memory().unwrap());
    promise(&on_disk().1);
}

fn fish(store: &Store, key: &str) -> Option<u32> {
    store.read(|view| view.get(&PONDS, key)).unwrap().map(|row| row.value.fish)
}

#[test]
fn a_row_is_read_as_it_was_written() {
    both(|store| {
        let value = Pond { fish: 3, owner: Some("Ana \"\u{1f41f}\" \0".to_owned()) };
        let revision = store.write(|tx| tx.insert(&PONDS, "a\0b", &value)).unwrap();
        let row = store.read(|view| view.get(&PONDS, "a\0b")).unwrap().unwrap();
        assert_eq!(row, Row { key: "a\0b".to_owned(), revision, value });
        assert!(store.read(|view| view.contains(&PONDS, "a\0b")).unwrap());
        assert!(!store.read(|view| view.contains(&PONDS, "a")).unwrap());
    });
}

#[test]
fn a_table_that_nobody_wrote_is_empty() {
    both(|store| {
        assert_eq!(fish(store, "a"), None);
        assert_eq!(store.read(|view| view.keys(&PONDS, &Scan::all())).unwrap(), Vec::<String>::new());
        assert_eq!(store.read(|view| view.count(&PONDS, &Scan::all())).unwrap(), 0);
        assert!(!store.write(|tx| tx.delete(&PONDS, "a")).unwrap());
    });
}

#[test]
fn insert_refuses_a_key_that_is_taken() {
    both(|store| {
        store.write(|tx| tx.insert(&PONDS, "a", &pond(1))).unwrap();
        let error = store.write(|tx| tx.insert(&PONDS, "a", &pond(2))).unwrap_err();
        assert!(matches!(&error, StoreError::Exists { table: "ponds", key } if key == "a"), "{error}");
        assert!(error.is_conflict() && error.is_definite());
        assert_eq!(fish(store, "a"), Some(1));
    });
}

#[test]
fn replace_takes_only_the_revision_that_was_read() {
    both(|store| {
        let first = store.write(|tx| tx.insert(&PONDS, "a", &pond(1))).unwrap();
        let second = store.write(|tx| tx.replace(&PONDS, "a", first, &pond(2))).unwrap();
        assert!(second > first);
        for stale in [first, Revision(0)] {
            let error = store.write(|tx| tx.replace(&PONDS, "a", stale, &pond(3))).unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
            assert!(store.write(|tx| tx.delete_if(&PONDS, "a", stale)).is_err());
        }
        assert!(store.write(|tx| tx.replace(&PONDS, "b", second, &pond(3))).is_err());
        assert_eq!(fish(store, "a"), Some(2));
        store.write(|tx| tx.delete_if(&PONDS, "a", second)).unwrap();
        assert_eq!(fish(store, "a"), None);
    });
}

#[test]
fn a_row_made_again_does_not_have_an_old_revision() {
    let (dir, store) = on_disk();
    let mut seen = vec![store.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap()];
    let mut store = Some(store);
    for _ in 0..3 {
        store.take().unwrap().write(|tx| tx.delete(&PONDS, "a")).unwrap();
        let reopened = Store::open(&dir.path().join("store.db")).unwrap();
        seen.push(reopened.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap());
        store = Some(reopened);
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
}

#[test]
fn a_write_that_answers_an_error_leaves_no_trace() {
    both(|store| {
        store.write(|tx| tx.put(&PONDS, "kept", &pond(1))).unwrap();
        let answer = store.write(|tx| {
            tx.put(&PONDS, "kept", &pond(2))?;
            tx.put(&OTHERS, "new table", &"x".to_owned())?;
            assert_eq!(
                tx.get(&PONDS, "kept")?.map(|row| row.value.fish),
                Some(2),
                "a transaction reads its own writes"
            );
            Err::<(), _>(StoreError::Ended)
        });
        assert!(answer.is_err());
        assert_eq!(fish(store, "kept"), Some(1));
        assert_eq!(store.read(|view| view.keys(&OTHERS, &Scan::all())).unwrap(), Vec::<String>::new());
        store.write(|tx| tx.put(&OTHERS, "new table", &"x".to_owned())).unwrap();
        assert_eq!(store.read(|view| view.count(&OTHERS, &Scan::all())).unwrap(), 1);
    });
}

#[test]
fn a_write_that_panics_leaves_no_trace_and_the_store_usable() {
    both(|store| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.write(|tx| {
                tx.put(&PONDS, "a", &pond(1))?;
                assert!(tx.contains(&PONDS, "b")?, "no b");
                ok(())
            })
        }));
        assert!(panic.is_err());
        assert_eq!(fish(store, "a"), None);
        store.write(|tx| tx.put(&PONDS, "a", &pond(2))).unwrap();
        assert_eq!(fish(store, "a"), Some(2));
    });
}

#[test]
fn scans_find_exactly_the_keys_of_the_range_in_order() {
    for_each_seed(30, |seed| {
        let mut rng = Rng::new(seed);
        let letters = ["a", "b", "/", "\0", "é", "\u{10ffff}"];
        let mut word =
            |longest: usize| -> String { (0..rng.index(longest)).map(|_| *rng.pick(&letters).unwrap()).collect() };
        let store = Store::in_memory().unwrap();
        let mut model = BTreeMap::new();
        store
            .write(|tx| {
                for number in 0..60 {
                    let key = word(5);
                    tx.put(&PONDS, &key, &pond(number))?;
                    model.insert(key, number);
                }
                ok(())
            })
            .unwrap();
        for limit in 1..40 {
            let (prefix, after, past, until) = (word(3), word(4), word(4), word(4));
            let scan = Scan::prefix(&prefix).after(&after).past_prefix(&past).limit(limit);
            let scan = if until.is_empty() { scan } else { scan.until(&until) };
            let wanted: Vec<_> = model
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix) && **key > after)
                .filter(|(key, _)| !key.starts_with(&past) && **key > past)
                .filter(|(key, _)| until.is_empty() || **key < until)
                .map(|(key, fish)| (key.clone(), *fish))
                .take(limit)
                .collect();
            let rows = store.read(|view| view.scan(&PONDS, &scan)).unwrap();
            let found: Vec<_> = rows.into_iter().map(|row| (row.key, row.value.fish)).collect();
            assert_eq!(found, wanted, "{scan:?}");
            let keys = store.read(|view| view.keys(&PONDS, &scan)).unwrap();
            assert!(keys.iter().eq(wanted.iter().map(|(key, _)| key)));
            assert_eq!(store.read(|view| view.count(&PONDS, &scan)).unwrap(), wanted.len());
            let first = store.read(|view| view.first(&PONDS, &scan)).unwrap().map(|row| row.key);
            assert_eq!(first.as_ref(), wanted.first().map(|(key, _)| key));
        }
    });
}

#[test]
fn a_scan_seeks_instead_of_walking_the_table() {
    let store = Store::in_memory().unwrap();
    store.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap();
    let plan: String = store
        .read(|view| {
            let sql = "EXPLAIN QUERY PLAN SELECT key, revision, value FROM ponds \
                       WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
            let row = view.connection.query_row(sql, rusqlite::params!["a", "b", 1], |row| row.get(3));
            row.map_err(StoreError::sqlite("explain"))
        })
        .unwrap();
    assert_eq!(plan, "SEARCH ponds USING PRIMARY KEY (key>? AND key<?)");
}

#[test]
fn a_visit_stops_where_its_visitor_breaks() {
    let store = Store::in_memory().unwrap();
    store
        .write(|tx| {
            for number in 0..10 {
                tx.put(&PONDS, &number.to_string(), &pond(number))?;
            }
            ok(())
        })
        .unwrap();
    let mut seen = 0;
    let found = store.read(|view| {
        view.visit(&PONDS, &Scan::all(), |row| {
            seen += 1;
            ok(if row.value.fish == 3 { ControlFlow::Break(row.key) } else { ControlFlow::Continue(()) })
        })
    });
    assert_eq!((found.unwrap().as_deref(), seen), (Some("3"), 4));
}

#[test]
fn a_range_is_deleted_whole_or_up_to_its_limit() {
    both(|store| {
        store
            .write(|tx| {
                for key in ["a1", "a2", "a3", "b1"] {
                    tx.put(&PONDS, key, &pond(0))?;
                }
                ok(())
            })
            .unwrap();
        assert_eq!(store.write(|tx| tx.delete_range(&PONDS, &Scan::prefix("a").limit(2))).unwrap(), 2);
        assert_eq!(store.read(|view| view.keys(&PONDS, &Scan::all())).unwrap(), ["a3", "b1"]);
        assert_eq!(store.write(|tx| tx.delete_range(&PONDS, &Scan::prefix("a"))).unwrap(), 1);
        assert_eq!(store.write(|tx| tx.delete_range(&PONDS, &Scan::all())).unwrap(), 1);
    });
}

#[test]
fn a_view_sees_one_moment_while_others_write() {
    let (_dir, store) = on_disk();
    store.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap();
    store
        .read(|view| {
            assert_eq!(view.get(&PONDS, "a")?.map(|row| row.value.fish), Some(1));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    store.write(|tx| {
                        tx.put(&PONDS, "a", &pond(2))?;
                        tx.put(&OTHERS, "x", &"x".to_owned())
                    })
                });
            });
            assert_eq!(fish_of(view, "a")?, Some(1));
            assert_eq!(view.count(&OTHERS, &Scan::all())?, 0);
            ok(())
        })
        .unwrap();
    assert_eq!(fish(&store, "a"), Some(2));
}

fn fish_of(view: &View<'_>, key: &str) -> Result<Option<u32>, StoreError> {
    Ok(view.get(&PONDS, key)?.map(|row| row.value.fish))
}

#[test]
fn a_store_inside_itself_is_an_error_and_not_a_deadlock() {
    both(|store| {
        let answer = store.write(|_| store.read(|view| view.contains(&PONDS, "a")));
        assert!(matches!(answer, Err(StoreError::Nested)));
        assert_eq!(fish(store, "a"), None);
    });
}

/// The files as a `kill -9`, or a power cut right after the last sync, leaves them.
fn copy_of_live_files(dir: &tempfile::TempDir) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn a_write_that_returned_is_there_after_the_process_was_killed() {
    let (dir, store) = on_disk();
    for number in 0..50 {
        store.write(|tx| tx.put(&PONDS, &format!("{number:02}"), &pond(number))).unwrap();
    }
    store.write(|tx| tx.delete(&PONDS, "07")).unwrap();
    let copy = copy_of_live_files(&dir);
    let recovered = Store::open(&copy.path().join("store.db")).unwrap();
    assert_eq!(recovered.read(|view| view.count(&PONDS, &Scan::all())).unwrap(), 49);
    assert_eq!((fish(&recovered, "07"), fish(&recovered, "49")), (None, Some(49)));
    assert_eq!(recovered.verify().unwrap(), Vec::<String>::new());
}

#[test]
fn a_torn_log_loses_only_its_torn_end() {
    let (dir, store) = on_disk();
    let log = dir.path().join("store.db-wal");
    for number in 0..20 {
        store.write(|tx| tx.put(&PONDS, &format!("{number:02}"), &pond(number))).unwrap();
    }
    let whole = std::fs::metadata(&log).unwrap().len();
    for_each_seed(20, |seed| {
        let copy = copy_of_live_files(&dir);
        let cut = 32 + Rng::new(seed).below(whole - 32);
        let torn = std::fs::OpenOptions::new().write(true).open(copy.path().join("store.db-wal")).unwrap();
        torn.set_len(cut).unwrap();
        drop(torn);
        let recovered = Store::open(&copy.path().join("store.db")).unwrap();
        let keys = recovered.read(|view| view.keys(&PONDS, &Scan::all())).unwrap();
        let wanted: Vec<_> = (0..keys.len()).map(|number| format!("{number:02}")).collect();
        assert_eq!(keys, wanted);
        assert_eq!(recovered.verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_newer_format_and_a_strange_file_are_refused_and_left_alone() {
    let (dir, store) = on_disk();
    drop(store);
    let path = dir.path().join("store.db");
    Connection::open(&path).unwrap().execute("UPDATE _meta SET value = 99 WHERE name = 'format'", []).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&path).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 99, known: 1, .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let strange = dir.path().join("strange.db");
    Connection::open(&strange).unwrap().execute("CREATE TABLE diary (day TEXT)", []).unwrap();
    let before = std::fs::read(&strange).unwrap();
    assert!(matches!(Store::open(&strange).map(drop), Err(StoreError::NotAStore { .. })));
    assert_eq!(std::fs::read(&strange).unwrap(), before);

    let text = dir.path().join("text.db");
    std::fs::write(&text, "not a database at all, but long enough to look at").unwrap();
    assert!(Store::open(&text).is_err());
}

#[test]
fn two_processes_see_each_others_rows_and_tables() {
    let (dir, first) = on_disk();
    assert_eq!(fish(&first, "a"), None);
    let second = Store::open(&dir.path().join("store.db")).unwrap();
    let from_second = second.write(|tx| tx.insert(&PONDS, "a", &pond(1))).unwrap();
    assert_eq!(fish(&first, "a"), Some(1));
    let from_first = first.write(|tx| tx.replace(&PONDS, "a", from_second, &pond(2))).unwrap();
    assert_ne!(from_first, from_second);
    assert!(second.write(|tx| tx.replace(&PONDS, "a", from_second, &pond(3))).unwrap_err().is_conflict());
    second.write(|tx| tx.insert(&OTHERS, "x", &"x".to_owned())).unwrap();
    first.clear().unwrap();
    assert_eq!(second.read(|view| view.count(&OTHERS, &Scan::all())).unwrap(), 0);
}

#[test]
fn only_its_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = on_disk();
    store.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    assert!(matches!(Store::open(&dir.path().join("no/store.db")).map(drop), Err(StoreError::File { .. })));
}

#[tokio::test]
async fn a_full_disk_fails_the_writes_and_not_the_store() {
    let (_dir, store) = on_disk();
    store.write(|tx| tx.put(&PONDS, "before", &pond(1))).unwrap();
    let limit = |pages: u32| store.shared.writer.lock().pragma_update(None, "max_page_count", pages).unwrap();
    limit(10);
    let large = Pond { fish: 1, owner: Some("x".repeat(100_000)) };
    let (first, second) = (large.clone(), large.clone());
    let error = store.write(|tx| tx.put(&PONDS, "a", &first)).unwrap_err();
    assert!(error.is_disk_full() && error.is_definite(), "{error}");
    let hidden = store.write_async(move |tx| ok(tx.put(&PONDS, "a", &second).is_err())).await;
    assert!(!matches!(hidden, Ok(false)));
    assert_eq!((fish(&store, "before"), fish(&store, "a")), (Some(1), None));
    limit(1_000_000);
    store.write_async(move |tx| tx.put(&PONDS, "a", &large)).await.unwrap();
    assert_eq!(fish(&store, "a"), Some(1));
}

#[test]
fn a_row_that_does_not_fit_its_type_names_itself() {
    let store = Store::in_memory().unwrap();
    store.write(|tx| tx.put(&OTHERS, "x", &"text".to_owned())).unwrap();
    let error = store.read(|view| view.get(&Table::<Pond>::new("others"), "x")).unwrap_err();
    assert!(matches!(&error, StoreError::Json { table: "others", key, .. } if key == "x"), "{error}");
}

#[test]
fn clear_leaves_no_row_and_tells_the_watchers() {
    both(|store| {
        store.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap();
        let watch = store.watch(&PONDS);
        store.clear().unwrap();
        assert_eq!(fish(store, "a"), None);
        assert!(watch.has_changed().unwrap());
        store.write(|tx| tx.insert(&PONDS, "a", &pond(2))).unwrap();
    });
}

#[test]
fn a_watcher_hears_of_its_table_only_and_only_of_commits() {
    let store = Store::in_memory().unwrap();
    let mut watch = store.watch(&PONDS);
    store.write(|tx| tx.put(&OTHERS, "x", &"x".to_owned())).unwrap();
    store.write(|tx| tx.put(&PONDS, "a", &pond(1)).and(Err::<(), _>(StoreError::Ended))).unwrap_err();
    store.write(|tx| tx.delete(&PONDS, "nothing")).unwrap();
    assert!(!watch.has_changed().unwrap());
    store.write(|tx| tx.put(&PONDS, "a", &pond(1))).unwrap();
    assert!(watch.has_changed().unwrap());
    watch.mark_unchanged();
    store.write(|tx| tx.delete(&PONDS, "a")).unwrap();
    assert!(watch.has_changed().unwrap());
}

#[test]
fn an_empty_directory_is_a_store_within_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    let store = Store::open(&dir.path().join("store.db")).unwrap();
    // The goal is 20 ms; a busy test machine gets some more.
    assert!(start.elapsed().as_millis() < 200, "{:?}", start.elapsed());
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_together_stand_or_fall_alone() {
    let (_dir, store) = on_disk();
    let tasks: Vec<_> = (0..200_u32)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write_async(move |tx| {
                        tx.put(&PONDS, &format!("{number:03}"), &pond(number))?;
                        if number % 5 == 0 { Err(StoreError::Ended) } else { ok(number) }
                    })
                    .await
            })
        })
        .collect();
    for (number, task) in (0..).zip(tasks) {
        let answer = task.await.unwrap();
        assert_eq!(answer.ok(), (number % 5 != 0).then_some(number));
    }
    assert_eq!(store.read_async(|view| view.count(&PONDS, &Scan::all())).await.unwrap(), 160);
    assert_eq!(fish(&store, "005"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increment_is_never_lost_among_concurrent_writers() {
    let (_dir, store) = on_disk();
    store.write(|tx| tx.put(&PONDS, "a", &pond(0))).unwrap();
    let conflicts = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (store, conflicts) = (store.clone(), Arc::clone(&conflicts));
            tokio::spawn(async move {
                loop {
                    let row = store.read_async(|view| view.get(&PONDS, "a")).await.unwrap().unwrap();
                    let next = pond(row.value.fish + 1);
                    match store.write_async(move |tx| tx.replace(&PONDS, "a", row.revision, &next)).await {
                        Ok(_) => return,
                        Err(error) => assert!(error.is_conflict(), "{error}"),
                    }
                    conflicts.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fish(&store, "a"), Some(20));
}

#[tokio::test]
async fn a_panic_in_an_async_write_reaches_its_caller_only() {
    let store = Store::in_memory().unwrap();
    let other = store.clone();
    let fine = tokio::spawn(async move { other.write_async(|tx| tx.put(&PONDS, "fine", &pond(1))).await });
    let broken = store.clone();
    let panics = tokio::spawn(async move {
        broken
            .write_async(|tx| {
                tx.put(&PONDS, "broken", &pond(1))?;
                assert!(tx.contains(&PONDS, "nothing")?, "on purpose");
                ok(())
            })
            .await
    });
    assert!(panics.await.unwrap_err().is_panic());
    fine.await.unwrap().unwrap();
    assert_eq!((fish(&store, "fine"), fish(&store, "broken")), (Some(1), None));
}

#[tokio::test]
async fn a_write_whose_caller_went_away_still_happens() {
    let store = Store::in_memory().unwrap();
    let busy = store.shared.writer.lock();
    let mut write = Box::pin(store.write_async(|tx| tx.put(&PONDS, "a", &pond(1))));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(write.as_mut(), &mut context).is_pending());
    drop((write, busy));
    store.write_async(|tx| tx.put(&PONDS, "b", &pond(1))).await.unwrap();
    assert_eq!(fish(&store, "a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn paused_time_stands_still_while_a_write_is_under_way() {
    let (_dir, store) = on_disk();
    let hour = std::time::Duration::from_secs(3600);
    for number in 0..20 {
        let write = store.write_async(move |tx| tx.put(&PONDS, "a", &pond(number)));
        tokio::time::timeout(hour, write).await.expect("time jumped").unwrap();
    }
}

#[test]
fn a_runtime_that_stopped_leaves_the_store_usable_for_the_next() {
    let (_dir, store) = on_disk();
    let first = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let blocked = first.handle().clone();
    first.shutdown_background();
    // Its blocking tasks are refused from now on, so no leader comes.
    let guard = blocked.enter();
    let mut write = Box::pin(store.write_async(|tx| tx.put(&PONDS, "lost", &pond(1))));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let answer = std::future::Future::poll(write.as_mut(), &mut context);
    assert!(matches!(answer, std::task::Poll::Ready(Err(StoreError::Closed))), "{answer:?}");
    drop(guard);
    let second = tokio::runtime::Builder::new_current_thread().build().unwrap();
    second.block_on(store.write_async(|tx| tx.put(&PONDS, "a", &pond(1)))).unwrap();
    assert_eq!((fish(&store, "a"), fish(&store, "lost")), (Some(1), None));
}
