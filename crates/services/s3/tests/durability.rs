//! What survives a crash: everything that was acknowledged, and nothing that was not.

mod common;

use common::{Platform, bytes};
use host::Disk as _;
use host::sim::{Seed, SimDisk, for_each_seed};
use store::Store;

fn blob_files(disk: &SimDisk) -> usize {
    let root = std::path::Path::new("s3/blobs");
    let shards = disk.list(root).unwrap_or_default();
    shards.iter().map(|(shard, _)| disk.list(&root.join(shard)).unwrap_or_default().len()).sum()
}

#[allow(clippy::unwrap_used, reason = "test support")]
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap().block_on(future)
}

#[test]
fn acknowledged_objects_survive_a_crash_at_any_moment_and_orphans_are_swept() {
    for_each_seed(20, |Seed(seed)| {
        run(async {
            let disk = SimDisk::new(Seed(seed));
            let store = Store::in_memory().unwrap();
            let platform = Platform::on(store.clone(), disk.clone(), seed);
            platform.put("/pictures", "").await.expect(200);
            disk.with_faults(|faults| faults.power_off_after = Some(20 + seed * 3));
            let mut acknowledged = Vec::new();
            for n in 0..30 {
                let (key, length) = (format!("/pictures/{}", n % 7), 5_000 + n * 1_000);
                if platform.put(&key, bytes(length)).await.status.as_u16() == 200 {
                    acknowledged.retain(|(other, _)| *other != key);
                    acknowledged.push((key, length));
                }
            }
            assert!(acknowledged.len() < 30 && disk.is_dead(), "the power went out in between");
            platform.s3.close().await;
            drop(platform);

            let disk = disk.crash();
            let platform = Platform::on(store, disk.clone(), seed + 1000);
            platform.s3.close().await;
            for (key, length) in &acknowledged {
                let got = platform.get(key).await.expect(200);
                assert_eq!(got.body, bytes(*length), "{key}");
            }
            let listed = platform.get("/pictures").await.expect(200).tags("Key").len();
            assert_eq!(listed, acknowledged.len());
        });
    });
}

#[test]
fn acknowledged_versions_survive_a_crash_at_any_moment() {
    for_each_seed(20, |Seed(seed)| {
        run(async {
            let disk = SimDisk::new(Seed(seed));
            let store = Store::in_memory().unwrap();
            let platform = Platform::on(store.clone(), disk.clone(), seed);
            platform.put("/pictures", "").await.expect(200);
            let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
            platform.put("/pictures?versioning", on).await.expect(200);
            disk.with_faults(|faults| faults.power_off_after = Some(20 + seed * 3));
            let mut acknowledged = Vec::new();
            for n in 0..30 {
                let length = 5_000 + n * 1_000;
                let put = platform.put("/pictures/a", bytes(length)).await;
                if put.status.as_u16() == 200 {
                    acknowledged.push((put.header("x-amz-version-id"), length));
                }
                // Takes no file away.
                platform.delete("/pictures/a").await.expect(204);
            }
            assert!(acknowledged.len() < 30 && disk.is_dead(), "the power went out in between");
            platform.s3.close().await;
            drop(platform);

            let disk = disk.crash();
            let platform = Platform::on(store, disk.clone(), seed + 1000);
            platform.s3.close().await;
            for (version, length) in &acknowledged {
                let got = platform.get(&format!("/pictures/a?versionId={version}")).await.expect(200);
                assert_eq!(got.body, bytes(*length), "{version}");
            }
            let listed = platform.get("/pictures?versions").await.expect(200);
            assert_eq!(listed.tags("Version").len(), acknowledged.len());
        });
    });
}

#[test]
fn a_blob_whose_row_was_never_committed_is_swept_at_start() {
    run(async {
        let disk = SimDisk::new(Seed(9));
        let store = Store::in_memory().unwrap();
        let platform = Platform::on(store.clone(), disk.clone(), 1);
        platform.put("/pictures", "").await.expect(200);
        platform.put("/pictures/kept", bytes(10_000)).await.expect(200);
        platform.s3.close().await;
        let orphan = std::path::Path::new("s3/blobs/ab/abcdefabcdefabcdefabcdefabcdefab");
        disk.create_dir_all(orphan.parent().unwrap()).unwrap();
        disk.create(orphan).unwrap().sync_data().unwrap();
        disk.sync_dir(orphan.parent().unwrap()).unwrap();
        assert_eq!(blob_files(&disk), 2);

        let platform = Platform::on(store, disk.clone(), 2);
        // The sweep runs in the background: wait for it, without stopping it.
        for _ in 0..10_000 {
            if platform.s3.stats().orphans_swept == 1 {
                break;
            }
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
        assert_eq!((platform.s3.stats().orphans_swept, blob_files(&disk)), (1, 1));
        assert_eq!(platform.get("/pictures/kept").await.expect(200).body, bytes(10_000));
    });
}

#[tokio::test]
async fn deleted_and_replaced_bytes_leave_the_disk() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", bytes(10_000)).await.expect(200);
    platform.put("/pictures/a", bytes(20_000)).await.expect(200);
    platform.request("PUT", "/pictures/b").header("x-amz-copy-source", "pictures/a").send().await.expect(200);
    platform.delete("/pictures/a").await.expect(204);
    for left in [1, 0] {
        for _ in 0..1000 {
            if blob_files(&platform.disk) == left {
                break;
            }
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
        assert_eq!(blob_files(&platform.disk), left);
        platform.delete("/pictures/b").await.expect(204);
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_keeps_what_stood_there() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", bytes(10_000)).await.expect(200);
    platform.disk.with_faults(|faults| faults.capacity = 100_000);
    platform.put("/pictures/a", bytes(500_000)).await.fails(507, "InsufficientStorage");
    assert_eq!(platform.get("/pictures/a").await.expect(200).body, bytes(10_000));
}
