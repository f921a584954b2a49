//! Blobs on a simulated disk: what a crash may leave, and what the sweep takes away.

use futures_util::stream;
use host::sim::{Seed, SimDisk, SimIds};

use super::*;

fn open(disk: &SimDisk, seed: u64) -> Arc<Blobs> {
    Arc::new(Blobs::open(Arc::new(disk.clone()), Path::new("s3"), Arc::new(SimIds::new(Seed(seed)))).unwrap())
}

async fn upload(blobs: &Arc<Blobs>, length: usize) -> Result<Uploaded, UploadError> {
    let body = vec![7_u8; length];
    let chunks: Vec<Result<Bytes, StdError>> = body.chunks(60_000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    blobs.upload(stream::iter(chunks), None, 10_000_000).await
}

fn files(disk: &SimDisk, below: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, kind) in disk.list(Path::new(below)).unwrap_or_default() {
        match kind {
            FileKind::File => found.push(name),
            FileKind::Directory => found.extend(files(disk, &format!("{below}/{name}"))),
        }
    }
    found
}

/// Waits until background removals are done.
async fn settle(disk: &SimDisk, left: usize) {
    for _ in 0..1000 {
        if files(disk, "s3").len() == left {
            return;
        }
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        tokio::task::yield_now().await;
    }
    panic!("{left} files expected, found {:?}", files(disk, "s3"));
}

fn sweep(blobs: &Blobs, named: &[String]) -> u64 {
    let stop = AtomicBool::new(false);
    blobs.sweep(&stop, |id| Ok::<_, io::Error>(named.iter().any(|name| name == id))).unwrap()
}

#[tokio::test]
async fn what_an_upload_acknowledged_survives_a_crash() {
    let disk = SimDisk::new(Seed(1));
    let blobs = open(&disk, 1);
    let Ok(Uploaded { bytes: Stored::File(unsettled), size: 2_000_000, .. }) = upload(&blobs, 2_000_000).await else {
        panic!("a file was expected")
    };
    let id = unsettled.id().to_owned();
    unsettled.settle();
    let after = disk.crash();
    let file = open(&after, 2).open_file(&id).unwrap();
    let mut bytes = vec![0; 2_000_000];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_no_file() {
    let disk = SimDisk::new(Seed(2));
    let blobs = open(&disk, 1);
    drop(upload(&blobs, 100_000).await.unwrap());
    settle(&disk, 0).await;
    let broken: Vec<Result<Bytes, StdError>> = vec![Ok(Bytes::from(vec![1; 600_000])), Err("gone".into())];
    assert!(matches!(blobs.upload(stream::iter(broken), None, 10_000_000).await, Err(UploadError::Body(_))));
    settle(&disk, 0).await;
    assert!(matches!(upload(&blobs, 10_100_000).await, Err(UploadError::TooLarge)));
    settle(&disk, 0).await;
}

#[tokio::test]
async fn the_sweep_takes_what_no_row_names_and_nothing_else() {
    let disk = SimDisk::new(Seed(3));
    let before = open(&disk, 1);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let Stored::File(unsettled) = upload(&before, 10_000).await.unwrap().bytes else {
            panic!("a file was expected")
        };
        ids.push(unsettled.id().to_owned());
        unsettled.settle();
    }
    disk.create(Path::new("s3/tmp/left-behind")).unwrap();
    // A new process, with an upload of its own under way.
    let blobs = open(&disk, 2);
    let fresh = upload(&blobs, 10_000).await.unwrap();
    assert_eq!(sweep(&blobs, &ids[..1]), 3);
    let Stored::File(unsettled) = &fresh.bytes else { panic!("a file was expected") };
    let mut left = files(&disk, "s3");
    left.sort();
    let mut expected = vec![ids[0].clone(), unsettled.id().to_owned()];
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn a_pinned_blob_goes_when_its_last_reader_does() {
    let disk = SimDisk::new(Seed(4));
    let blobs = open(&disk, 1);
    let Stored::File(unsettled) = upload(&blobs, 10_000).await.unwrap().bytes else { panic!("a file was expected") };
    let id = unsettled.id().to_owned();
    unsettled.settle();
    let (first, second) = (blobs.pin(vec![id.clone()]), blobs.pin(vec![id.clone()]));
    blobs.remove(vec![id.clone()]);
    drop(first);
    tokio::task::spawn_blocking(|| {}).await.unwrap();
    assert!(blobs.open_file(&id).is_ok());
    drop(second);
    settle(&disk, 0).await;
}

#[tokio::test]
async fn a_failing_disk_fails_the_upload() {
    let disk = SimDisk::new(Seed(5));
    let blobs = open(&disk, 1);
    disk.with_faults(|faults| faults.fail_next_syncs = 1);
    assert!(matches!(upload(&blobs, 10_000).await, Err(UploadError::Disk(_))));
    settle(&disk, 0).await;
    assert!(upload(&blobs, 10_000).await.is_ok());
}

#[tokio::test]
async fn small_bytes_need_no_file() {
    let disk = SimDisk::new(Seed(6));
    let blobs = open(&disk, 1);
    let small = upload(&blobs, SMALL_BYTES_MAX).await.unwrap();
    assert!(matches!(small.bytes, Stored::Small(..)));
    assert!(files(&disk, "s3").is_empty());
    assert!(matches!(upload(&blobs, 0).await.unwrap().bytes, Stored::Empty));
}

#[tokio::test]
async fn a_body_of_single_bytes_is_not_held_in_single_pieces() {
    let mut body = stream::iter((0..300_000_u32).map(|n| Ok::<_, StdError>(Bytes::from(vec![n.to_le_bytes()[0]]))));
    let Ok((chunk, ended)) = read_chunk(&mut body, 200_000).await else { panic!("the body is good") };
    assert!(!ended && chunk.len() < 100, "{} pieces", chunk.len());
    let bytes = chunk.concat();
    assert_eq!(bytes.len(), 200_000);
    assert!((0_u32..).zip(&bytes).all(|(n, byte)| n.to_le_bytes()[0] == *byte));
    let (big, small) = (Bytes::from(vec![1; 5000]), Bytes::from_static(b"2"));
    let mixed = [small.clone(), big.clone(), small.clone(), small].map(Ok::<_, StdError>);
    let Ok((chunk, true)) = read_chunk(&mut stream::iter(mixed), 10_000).await else { panic!("it ends") };
    assert_eq!(chunk.concat(), [&b"2"[..], &big, b"22"].concat());
}
