//! Files of records: written, sealed, found again after a crash.

use host::sim::{Rng, Seed, SimDisk, for_each_seed};

use super::super::recorder::Segment;
use super::*;

const LOAD_BALANCER: LoadBalancerId = LoadBalancerId(7);
const NOW: Timestamp = Timestamp(1_431_560_383_000);

fn key(load_balancer: u64, node: &str) -> LogKey {
    LogKey { load_balancer: LoadBalancerId(load_balancer), node: node.parse().unwrap() }
}

fn store(disk: &SimDisk) -> Store {
    store_of(disk, 1 << 30)
}

fn store_of(disk: &SimDisk, bytes_max: u64) -> Store {
    Store::open(Arc::new(disk.clone()), PathBuf::from("spool"), bytes_max).unwrap()
}

/// Records numbered from `from`, as a worker leaves them.
fn lines(key: LogKey, from: u64, count: u64) -> Lines {
    let mut lines = Lines::default();
    for number in from..from + count {
        lines.bytes.extend_from_slice(record(number).as_bytes());
    }
    let end = lines.bytes.len();
    let (first_us, last_us) = (from * 1_000_000, (from + count - 1) * 1_000_000);
    lines.segments.push(Segment { key, end, records: count, first_us, last_us });
    lines
}

/// 64 bytes, so that some records share a sector and some lie in two.
fn record(number: u64) -> String {
    format!(
        "1970-01-01T{:02}:{:02}:{:02}.000000Z lb {number:06} and more bytes yet, 64\n",
        number / 3600,
        number / 60 % 60,
        number % 60
    )
}

fn append(store: &mut Store, key: LogKey, from: u64, count: u64) {
    store.gather(&lines(key, from, count));
    store.write(NOW);
}

fn all(store: &Store, sealed: &[Sealed]) -> String {
    let bytes = sealed.iter().flat_map(|sealed| store.read(sealed.number).unwrap()).collect();
    String::from_utf8(bytes).unwrap()
}

fn records(range: std::ops::Range<u64>) -> String {
    range.map(record).collect()
}

#[test]
fn records_are_kept_by_load_balancer_and_node() {
    let mut store = store(&SimDisk::new(Seed(1)));
    append(&mut store, key(7, "127.0.1.1"), 0, 2);
    append(&mut store, key(7, "127.0.2.1"), 2, 2);
    append(&mut store, key(8, "127.0.1.2"), 4, 2);
    append(&mut store, key(7, "127.0.1.1"), 6, 2);
    let sealed = store.seal(LOAD_BALANCER, NOW);
    let nodes: Vec<String> = sealed.iter().map(|sealed| sealed.node.to_string()).collect();
    assert_eq!(nodes, ["127.0.1.1", "127.0.2.1"]);
    assert_eq!(all(&store, &sealed[..1]), records(0..2) + &records(6..8));
    assert_eq!((sealed[0].records, sealed[0].first, sealed[0].last), (4, Timestamp(0), Timestamp(7000)));
    assert_eq!(all(&store, &sealed[1..]), records(2..4));
    let sealed = store.seal(LoadBalancerId(8), NOW);
    assert_eq!(all(&store, &sealed), records(4..6));
}

#[test]
fn a_sealed_file_is_offered_until_it_is_removed_and_never_written_again() {
    let mut store = store(&SimDisk::new(Seed(1)));
    let key = key(7, "127.0.1.1");
    append(&mut store, key, 0, 3);
    let first = store.seal(LOAD_BALANCER, NOW);
    append(&mut store, key, 3, 3);
    let both = store.seal(LOAD_BALANCER, NOW);
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], first[0]);
    assert_eq!(all(&store, &both), records(0..6));
    store.remove(first[0].number).unwrap();
    store.remove(first[0].number).unwrap();
    assert_eq!(store.seal(LOAD_BALANCER, NOW), both[1..]);
    assert_eq!(store.read(first[0].number).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_load_balancer_without_new_records_seals_nothing() {
    let mut store = store(&SimDisk::new(Seed(1)));
    assert_eq!(store.seal(LOAD_BALANCER, NOW), []);
}

#[test]
fn a_crash_loses_at_most_what_was_written_after_the_last_sync() {
    for_each_seed(300, |seed| {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        let mut before = store(&disk);
        let (mut made, mut synced) = (0, 0);
        for _ in 0..1 + rng.index(8) {
            let count = 1 + rng.below(40);
            append(&mut before, key(7, "127.0.1.1"), made, count);
            made += count;
            if rng.one_in(2) {
                before.sync(NOW);
                synced = made;
            }
        }
        let after = store(&disk.crash());
        let sealed = after.sealed();
        let found = all(&after, &sealed);
        let count = (found.len() / record(0).len()) as u64;
        assert!((synced..=made).contains(&count), "{count} of {made} records, {synced} synced");
        assert_eq!(found, records(0..count));
        assert_eq!(sealed.iter().map(|sealed| sealed.records).sum::<u64>(), count);
        if let [sealed] = &sealed[..] {
            assert_eq!((sealed.first, sealed.last), (Timestamp(0), Timestamp((count - 1) * 1000)));
            assert_eq!((sealed.load_balancer, sealed.node.to_string()), (LOAD_BALANCER, "127.0.1.1".to_owned()));
        }
    });
}

#[test]
fn a_published_file_does_not_come_back_after_a_crash() {
    for_each_seed(50, |seed| {
        let disk = SimDisk::new(seed);
        let mut before = store(&disk);
        append(&mut before, key(7, "::1"), 0, 3);
        let sealed = before.seal(LOAD_BALANCER, NOW);
        before.remove(sealed[0].number).unwrap();
        append(&mut before, key(7, "::1"), 3, 3);
        before.sync(NOW);
        let mut after = store(&disk.crash());
        assert_eq!(all(&after, &after.sealed()), records(3..6));
        // New files do not take an old one's number.
        append(&mut after, key(7, "::1"), 6, 1);
        let sealed = after.seal(LOAD_BALANCER, NOW);
        assert_eq!(all(&after, &sealed), records(3..7));
    });
}

#[test]
fn a_failing_disk_costs_records_that_are_counted_and_no_half_line_is_left() {
    for_each_seed(200, |seed| {
        let disk = SimDisk::new(seed);
        let mut store = store(&disk);
        let mut now = NOW;
        disk.with_faults(|faults| {
            faults.write_fails_one_in = 4;
            faults.sync_fails_one_in = 4;
        });
        for round in 0..30 {
            store.gather(&lines(key(7, "127.0.1.1"), round * 5, 5));
            store.write(now);
            store.sync(now);
            now = now.plus(Duration::from_millis(600));
        }
        disk.with_faults(|faults| *faults = host::sim::Faults::default());
        let sealed = store.seal(LOAD_BALANCER, now);
        let found = all(&store, &sealed);
        let counts = store.counts;
        assert_eq!(counts.written + counts.dropped, 150);
        assert_eq!(found.lines().count() as u64, counts.written);
        assert!(found.lines().all(|line| format!("{line}\n").len() == record(0).len()), "{found}");
    });
}

#[test]
fn a_full_disk_drops_records_until_there_is_room_again() {
    let disk = SimDisk::new(Seed(3));
    let mut store = store(&disk);
    disk.with_faults(|faults| faults.capacity = 1000);
    append(&mut store, key(7, "127.0.1.1"), 0, 10);
    append(&mut store, key(7, "127.0.1.1"), 10, 10);
    assert_eq!((store.counts.written, store.counts.dropped), (10, 10));
    disk.with_faults(|faults| faults.capacity = 10_000);
    // Left alone for a second, then tried again.
    store.gather(&lines(key(7, "127.0.1.1"), 20, 10));
    store.write(NOW.plus(PAUSE / 2));
    assert_eq!(store.counts.dropped, 20);
    store.gather(&lines(key(7, "127.0.1.1"), 30, 10));
    store.write(NOW.plus(PAUSE));
    let sealed = store.seal(LOAD_BALANCER, NOW);
    assert_eq!(all(&store, &sealed), records(0..10) + &records(30..40));
}

#[test]
fn the_oldest_files_go_when_too_much_waits() {
    let mut store = store_of(&SimDisk::new(Seed(1)), 25 * record(0).len() as u64);
    for round in 0..6 {
        append(&mut store, key(7, "127.0.1.1"), round * 10, 10);
        store.seal(LOAD_BALANCER, NOW);
    }
    assert_eq!(all(&store, &store.sealed()), records(40..60));
    assert_eq!((store.counts.dropped, store.counts.files_dropped), (40, 4));
    assert_eq!(store.size(), (2, 20 * record(0).len() as u64));
}

#[test]
fn foreign_files_are_left_alone() {
    let disk = SimDisk::new(Seed(1));
    disk.create_dir_all(Path::new("spool")).unwrap();
    for name in ["notes.txt", "1-2.log", "x-1-127.0.0.1.log", "1-1-nowhere.log"] {
        disk.create(&Path::new("spool").join(name)).unwrap();
    }
    assert_eq!(store(&disk).sealed(), []);
    assert_eq!(disk.list(Path::new("spool")).unwrap().len(), 4);
}

#[test]
fn what_a_process_records_while_another_has_taken_over_is_adopted_in_the_end() {
    let disk = SimDisk::new(Seed(1));
    let (mut old, node) = (store(&disk), key(7, "127.0.1.1"));
    append(&mut old, node, 0, 10);
    old.gather(&lines(node, 10, 10));
    old.move_to("leaving".into(), NOW).unwrap();
    let mut new = store(&disk);
    assert_eq!(all(&new, &new.sealed()), records(0..20));
    append(&mut old, node, 20, 10);
    append(&mut new, node, 30, 10);
    drop(old);
    assert_eq!(new.adopt("leaving".into()).unwrap(), 1);
    assert_eq!(new.adopt("leaving".into()).unwrap(), 0);
    let sealed = new.seal(LOAD_BALANCER, NOW);
    let mut found: Vec<String> = all(&new, &sealed).lines().map(str::to_owned).collect();
    found.sort();
    let mut expected: Vec<String> = records(0..40).lines().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(found, expected);
}
