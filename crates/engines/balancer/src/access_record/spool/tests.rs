//! The spool on a disk that fails, fills and crashes.

use host::SystemClock;
use host::sim::{Seed, SimDisk};

use super::super::recorder::BUFFER_BYTES_MAX;
use super::super::{LogKey, Record, RequestLine};
use super::*;

const KEY: LogKey =
    LogKey { load_balancer: LoadBalancerId(7), node: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) };

fn start(disk: &SimDisk) -> Spool {
    Spool::start(Arc::new(disk.clone()), "spool".into(), Arc::new(SystemClock)).unwrap()
}

fn record(user_agent: &[u8]) -> Record<'_> {
    Record {
        received_us: 1_431_560_383_945_958,
        client: ([192, 168, 131, 39], 2817).into(),
        target: Some(([10, 0, 0, 1], 80).into()),
        request_processing: Some(Duration::from_micros(73)),
        backend_processing: Some(Duration::from_micros(1048)),
        response_processing: Some(Duration::from_micros(57)),
        elb_status: Some(200),
        backend_status: Some(200),
        received_bytes: 0,
        sent_bytes: 29,
        request: Some(RequestLine {
            method: b"GET",
            scheme: "http",
            host: b"www.example.com",
            port: 80,
            target: b"/a/path?that=is&rather=usual",
            version: "HTTP/1.1",
        }),
        user_agent: Some(user_agent),
        tls: None,
    }
}

#[tokio::test]
async fn what_was_recorded_before_sealing_is_in_the_sealed_files() {
    let spool = start(&SimDisk::new(Seed(1)));
    let recorders = [spool.recorder(), spool.recorder()];
    for round in 1..20 {
        recorders.iter().for_each(|recorder| recorder.record(KEY, "web", &record(b"curl")));
        let sealed = spool.seal(KEY.load_balancer).await.unwrap();
        assert_eq!(sealed.iter().map(|sealed| sealed.records).sum::<u64>(), 2, "round {round}");
        let bytes = spool.read(&sealed[0]).await.unwrap();
        assert_eq!(bytes.len() as u64, sealed[0].bytes);
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 2);
        spool.remove(&sealed[0]).await.unwrap();
    }
    assert_eq!(spool.sealed().await.unwrap(), []);
}

#[tokio::test]
async fn records_of_a_worker_that_ended_are_not_lost_nor_is_what_is_left_at_the_end() {
    let disk = SimDisk::new(Seed(1));
    let spool = start(&disk);
    let (early, late) = (spool.recorder(), spool.recorder());
    early.record(KEY, "web", &record(b"early"));
    drop(early);
    spool.seal(KEY.load_balancer).await.unwrap();
    late.record(KEY, "web", &record(b"late"));
    spool.close();
    assert_eq!(spool.sealed().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let again = start(&disk.crash());
    let sealed = again.sealed().await.unwrap();
    assert_eq!(sealed.iter().map(|sealed| sealed.records).collect::<Vec<_>>(), [1, 1]);
    let late = again.read(&sealed[1]).await.unwrap();
    assert!(String::from_utf8(late).unwrap().contains("\"late\""));
}

#[test]
fn a_record_is_on_disk_within_a_second() {
    let disk = SimDisk::new(Seed(1));
    let spool = start(&disk);
    spool.recorder().record(KEY, "web", &record(b"curl"));
    std::thread::sleep(Duration::from_millis(950));
    let after = Store::open(Arc::new(disk.crash()), "spool".into(), BYTES_MAX).unwrap();
    assert_eq!(after.sealed().len(), 1);
}

#[test]
fn a_recorder_that_nobody_empties_drops_and_counts() {
    let (recorder, source) = Recorder::new(Arc::default());
    let agent = [b'a'; 8 << 10];
    let fit = BUFFER_BYTES_MAX / agent.len();
    (0..fit + 100).for_each(|_| recorder.record(KEY, "web", &record(&agent)));
    let mut lines = Lines::default();
    source.take(&mut lines);
    assert!(lines.bytes.len() < BUFFER_BYTES_MAX + 2 * agent.len());
    let kept: u64 = lines.segments.iter().map(|segment| segment.records).sum();
    assert_eq!(kept + lines.dropped, fit as u64 + 100);
    assert!(lines.dropped >= 100);
}

/// Not a bound that a busy machine could miss: the figure is for whoever reads the test's output.
#[test]
fn recording_takes_well_below_ten_microseconds() {
    const COUNT: u32 = 200_000;
    let (recorder, source) = Recorder::new(Arc::default());
    let agent = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0";
    let mut lines = Lines::default();
    let began = tokio::time::Instant::now();
    for number in 0..COUNT {
        recorder.record(KEY, "web", &record(agent));
        if number % 10_000 == 0 {
            source.take(&mut lines);
            lines.clear();
        }
    }
    let each = began.elapsed() / COUNT;
    println!("{each:?} a record");
    assert!(each < Duration::from_micros(50), "{each:?}");
}
