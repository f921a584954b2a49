//! What the simulated disk keeps and loses.

use std::collections::BTreeSet;

use super::*;
use crate::sim::for_each_seed;

const FILE: &str = "f";

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A disk with one durable file of `sectors` sectors of ones.
fn with_durable_file(seed: Seed, sectors: usize) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new(seed);
    let file = disk.create(path(FILE)).unwrap();
    file.write_all_at(&vec![1; sectors * SECTOR_BYTES], 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path("")).unwrap();
    (disk, file)
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(path(name)).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// What `scenario` may leave, over many seeds.
fn outcomes<T: Ord>(scenario: impl Fn(Seed) -> T) -> BTreeSet<T> {
    (0..200).map(|seed| scenario(Seed(seed))).collect()
}

#[test]
fn what_was_synced_survives_every_crash() {
    for_each_seed(200, |seed| {
        let (disk, _file) = with_durable_file(seed, 5);
        let mut disk = disk.crash();
        for _ in 0..3 {
            assert_eq!(content(&disk, FILE).unwrap(), vec![1; 5 * SECTOR_BYTES]);
            disk = disk.crash();
        }
    });
}

#[test]
fn unsynced_sectors_survive_each_by_itself_and_never_in_part() {
    let left = outcomes(|seed| {
        let (disk, file) = with_durable_file(seed, 3);
        file.write_all_at(&[2; 3 * SECTOR_BYTES], 0).unwrap();
        let bytes = content(&disk.crash(), FILE).unwrap();
        bytes
            .chunks(SECTOR_BYTES)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector was torn");
                sector[0]
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(left.len(), 8, "every subset of three sectors: {left:?}");
}

#[test]
fn an_overwritten_version_may_be_the_one_that_survives() {
    let left = outcomes(|seed| {
        let (disk, file) = with_durable_file(seed, 1);
        file.write_all_at(&[2; SECTOR_BYTES], 0).unwrap();
        file.write_all_at(&[3; SECTOR_BYTES], 0).unwrap();
        content(&disk.crash(), FILE).unwrap()[0]
    });
    assert_eq!(left, BTreeSet::from([1, 2, 3]));
}

#[test]
fn an_unsynced_append_may_leave_any_length_and_holes() {
    let left = outcomes(|seed| {
        let (disk, file) = with_durable_file(seed, 1);
        file.write_all_at(&[2; 2 * SECTOR_BYTES], SECTOR_BYTES as u64).unwrap();
        let bytes = content(&disk.crash(), FILE).unwrap();
        assert!(bytes[..SECTOR_BYTES].iter().all(|byte| *byte == 1));
        (
            !bytes.len().is_multiple_of(SECTOR_BYTES),
            bytes.get(SECTOR_BYTES).copied(),
            bytes.get(2 * SECTOR_BYTES).copied(),
        )
    });
    for wanted in [(false, None, None), (false, Some(2), Some(2)), (false, Some(0), Some(2)), (false, Some(2), Some(0))]
    {
        assert!(left.contains(&wanted), "{wanted:?} not in {left:?}");
    }
    assert!(left.iter().any(|(torn, ..)| *torn), "no length between sectors in {left:?}");
}

#[test]
fn an_unsynced_cut_may_be_undone() {
    let left = outcomes(|seed| {
        let (disk, file) = with_durable_file(seed, 2);
        file.set_len(10).unwrap();
        content(&disk.crash(), FILE).unwrap().len()
    });
    assert!(left.contains(&10) && left.contains(&(2 * SECTOR_BYTES)), "{left:?}");
}

#[test]
fn bytes_past_a_synced_cut_are_zeros_when_the_file_grows_again() {
    for_each_seed(50, |seed| {
        let (disk, file) = with_durable_file(seed, 2);
        file.set_len(10).unwrap();
        file.sync_data().unwrap();
        file.set_len(2 * SECTOR_BYTES as u64).unwrap();
        file.sync_data().unwrap();
        let bytes = content(&disk.crash(), FILE).unwrap();
        assert!(bytes[..10].iter().all(|byte| *byte == 1) && bytes[10..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn a_name_needs_its_directory_synced() {
    let left = outcomes(|seed| {
        let disk = SimDisk::new(seed);
        let file = disk.create(path(FILE)).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        content(&disk.crash(), FILE)
    });
    assert_eq!(left, BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn a_rename_over_a_file_leaves_the_old_or_the_new_whole() {
    let left = outcomes(|seed| {
        let (disk, _file) = with_durable_file(seed, 1);
        let new = disk.create(path("new")).unwrap();
        new.write_all_at(b"new", 0).unwrap();
        new.sync_data().unwrap();
        disk.rename(path("new"), path(FILE)).unwrap();
        let disk = disk.crash();
        (content(&disk, FILE).map(|bytes| bytes[0]), content(&disk, "new"))
    });
    let (old, new) = (Some(1), Some(b'n'));
    assert_eq!(left, BTreeSet::from([(old, None), (old, Some(b"new".to_vec())), (new, None)]));
}

#[test]
fn a_rename_into_another_directory_needs_that_directory_synced() {
    let run = |seed, synced: &str| {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(path("tmp")).unwrap();
        disk.create_dir_all(path("blobs")).unwrap();
        let file = disk.create(path("tmp/1")).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        disk.rename(path("tmp/1"), path("blobs/1")).unwrap();
        disk.sync_dir(path(synced)).unwrap();
        let disk = disk.crash();
        (content(&disk, "tmp/1").is_some(), content(&disk, "blobs/1").is_some())
    };
    assert_eq!(outcomes(|seed| run(seed, "blobs")), BTreeSet::from([(false, true)]));
    assert!(outcomes(|seed| run(seed, "tmp")).contains(&(true, false)));
}

#[test]
fn a_removed_file_may_come_back_until_its_directory_is_synced() {
    let run = |seed, sync: bool| {
        let (disk, file) = with_durable_file(seed, 1);
        disk.remove(path(FILE)).unwrap();
        assert_eq!(file.len().unwrap(), SECTOR_BYTES as u64, "an open handle still reads");
        if sync {
            disk.sync_dir(path("")).unwrap();
        }
        content(&disk.crash(), FILE).is_some()
    };
    assert_eq!(outcomes(|seed| run(seed, false)), BTreeSet::from([false, true]));
    assert_eq!(outcomes(|seed| run(seed, true)), BTreeSet::from([false]));
}

#[test]
fn names_that_share_nothing_survive_in_any_order() {
    let left = outcomes(|seed| {
        let disk = SimDisk::new(seed);
        disk.create(path("a")).unwrap();
        disk.create(path("b")).unwrap();
        let disk = disk.crash();
        disk.list(path("")).unwrap().into_iter().map(|(name, _)| name).collect::<String>()
    });
    assert_eq!(left, ["", "a", "b", "ab"].map(str::to_owned).into());
}

#[test]
fn directories_are_durable_at_once() {
    for_each_seed(20, |seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(path("a/b")).unwrap();
        let disk = disk.crash();
        assert_eq!(disk.list(path("a")).unwrap(), [("b".to_owned(), FileKind::Directory)]);
        assert!(disk.create(path("a/b")).is_err() && disk.create(path("missing/x")).is_err());
    });
}

#[test]
fn after_a_failed_sync_the_next_one_lies() {
    let left = outcomes(|seed| {
        let (disk, file) = with_durable_file(seed, 1);
        file.write_all_at(&[2; SECTOR_BYTES], 0).unwrap();
        disk.with_faults(|faults| faults.fail_next_syncs = 1);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        content(&disk.crash(), FILE).unwrap()[0]
    });
    assert_eq!(left, BTreeSet::from([1, 2]));
}

#[test]
fn bytes_written_again_after_a_failed_sync_are_safe() {
    for_each_seed(100, |seed| {
        let (disk, file) = with_durable_file(seed, 4);
        file.write_all_at(&[2; 4 * SECTOR_BYTES], 0).unwrap();
        disk.with_faults(|faults| faults.fail_next_syncs = 1);
        assert!(file.sync_data().is_err());
        file.write_all_at(&[3; 4 * SECTOR_BYTES], 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(content(&disk.crash(), FILE).unwrap(), vec![3; 4 * SECTOR_BYTES]);
    });
}

#[test]
fn a_full_disk_takes_what_fits_and_frees_what_is_removed() {
    let (disk, file) = with_durable_file(Seed(1), 2);
    disk.with_faults(|faults| faults.capacity = 3 * SECTOR_BYTES as u64);
    let end = 2 * SECTOR_BYTES as u64;
    let error = file.write_all_at(&[2; 2 * SECTOR_BYTES], end).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.space().unwrap().available, 0);
    file.write_all_at(&[3; SECTOR_BYTES], 0).unwrap();
    let other = disk.create(path("other")).unwrap();
    assert_eq!(other.allocate(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.remove(path(FILE)).unwrap();
    assert_eq!(other.allocate(1).unwrap_err().kind(), io::ErrorKind::StorageFull, "a handle still holds the room");
    drop(file);
    other.allocate(3 * SECTOR_BYTES as u64).unwrap();
}

#[test]
fn the_room_left_is_right_after_any_history() {
    for_each_seed(100, |seed| {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        for _ in 0..100 {
            let name = ["a", "b", "c"][rng.index(3)];
            match rng.below(8) {
                0 => drop(disk.create(path(name))),
                1 => drop(disk.remove(path(name))),
                2 => drop(disk.rename(path(name), path(["a", "b", "c"][rng.index(3)]))),
                3 => drop(disk.sync_dir(path(""))),
                4 if rng.one_in(5) => disk = disk.crash(),
                _ => {
                    if let Ok(file) = disk.open(path(name)) {
                        match rng.below(3) {
                            0 => file.write_all_at(&[7; 700], rng.below(2000)).unwrap(),
                            1 => file.set_len(rng.below(3000)).unwrap(),
                            _ => file.sync_data().unwrap(),
                        }
                    }
                }
            }
            let names = disk.list(path("")).unwrap();
            let sum: u64 = names.iter().map(|(name, _)| disk.open(path(name)).unwrap().len().unwrap()).sum();
            let space = disk.space().unwrap();
            assert_eq!(space.total - space.available, sum);
        }
    });
}

#[test]
fn faults_on_demand_strike_once_and_leave_the_disk_usable() {
    let (disk, file) = with_durable_file(Seed(1), 1);
    disk.with_faults(|faults| {
        faults.fail_next_reads = 1;
        faults.fail_next_writes = 1;
    });
    let mut byte = [0];
    assert_eq!(file.read_exact_at(&mut byte, 0).unwrap_err().raw_os_error(), Some(5));
    file.read_exact_at(&mut byte, 0).unwrap();
    assert!(file.write_all_at(&[2; 100], 0).is_err());
    file.write_all_at(&[2; 100], 0).unwrap();
}

#[test]
fn a_flipped_bit_is_read_and_stays() {
    let (disk, _file) = with_durable_file(Seed(1), 1);
    disk.flip_bit(path(FILE), 8 * 3 + 1).unwrap();
    let bytes = content(&disk.crash(), FILE).unwrap();
    assert_eq!((bytes[2], bytes[3]), (1, 3));
    assert!(disk.flip_bit(path(FILE), 1 << 40).is_err());
}

#[test]
fn when_the_power_fails_everything_fails_until_the_crash() {
    for_each_seed(50, |seed| {
        let (disk, file) = with_durable_file(seed, 4);
        disk.with_faults(|faults| faults.power_off_after = Some(1));
        file.write_all_at(&[2; 2 * SECTOR_BYTES], 0).unwrap();
        assert!(file.write_all_at(&[3; 2 * SECTOR_BYTES], 2 * SECTOR_BYTES as u64).is_err());
        assert!(disk.is_dead() && file.sync_data().is_err() && file.len().is_err() && disk.list(path("")).is_err());
        let bytes = content(&disk.crash(), FILE).unwrap();
        assert!(bytes[..2 * SECTOR_BYTES].iter().all(|byte| *byte < 3));
        assert!(bytes[2 * SECTOR_BYTES..].iter().all(|byte| *byte != 2));
    });
}

#[test]
fn handles_from_before_the_crash_are_dead() {
    let (disk, file) = with_durable_file(Seed(1), 1);
    let after = disk.crash();
    assert!(file.write_all_at(b"late", 0).is_err() && disk.create(path("late")).is_err());
    assert_eq!(content(&after, FILE).unwrap(), vec![1; SECTOR_BYTES]);
}

#[test]
fn the_same_seed_replays_the_same_crash() {
    let run = |seed| {
        let (disk, file) = with_durable_file(seed, 64);
        file.write_all_at(&[2; 64 * SECTOR_BYTES], 0).unwrap();
        content(&disk.crash(), FILE)
    };
    assert_eq!(run(Seed(5)), run(Seed(5)));
    assert!(outcomes(run).len() > 50);
}
