//! What `GET /metrics` tells: requests by service and operation, connections, the engine, the process.
//!
//! Invariants:
//! - Counting a request takes a few atomic additions and no lock.
//! - The number of time series is bounded: operations come from the services' own lists, queues are cut at
//!   [`QUEUES_MAX`].

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

use crate::front_door::catalogue::{self, Service};

/// Queues beyond this many are left out of the answer; `millpond_queues` still counts them.
pub const QUEUES_MAX: usize = 1000;

/// Upper bounds of the latency histogram, in microseconds; the last is above SQS's longest poll.
const BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// Where a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// One series of requests.
struct Series {
    service: &'static str,
    operation: &'static str,
    /// By first digit of the status, 1 to 5; index 0 counts requests whose client went away.
    outcomes: [AtomicU64; 6],
    buckets: [AtomicU64; BUCKETS_US.len()],
    sum_us: AtomicU64,
}

/// The counters of this process.
pub struct Metrics {
    series: Vec<Series>,
    /// By service and operation.
    by_operation: HashMap<(&'static str, &'static str), Label>,
    /// Connections accepted since the start.
    pub(crate) accepted: AtomicU64,
    /// Requests that panicked.
    pub(crate) panics: AtomicU64,
}

const OTHER: &str = "other";
/// The front door's own pages.
pub(crate) const OWN: Label = Label(0);
const WEBSITE: Label = Label(1);
const LOAD_BALANCER: Label = Label(2);
const ELSEWHERE: Label = Label(3);
const FIXED: [(&str, &str); 4] =
    [("millpond", "page"), (catalogue::S3, "website"), ("millpond", "load_balancer"), (OTHER, OTHER)];
/// S3's operations are known only to S3; its requests are told apart by method.
const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "HEAD", OTHER];

impl Default for Metrics {
    fn default() -> Self {
        let mut series: Vec<Series> =
            FIXED.iter().map(|(service, operation)| Series::new(service, operation)).collect();
        let mut by_operation = HashMap::new();
        let of_documents = catalogue::DOCUMENTS.iter().flat_map(|document| {
            let names = document.schema.operations.iter().map(|operation| operation.name);
            names.chain([OTHER]).map(|operation| (document.name, operation))
        });
        for key in of_documents.chain(METHODS.map(|method| (catalogue::S3, method))) {
            by_operation.insert(key, Label(series.len()));
            series.push(Series::new(key.0, key.1));
        }
        Self { series, by_operation, accepted: AtomicU64::new(0), panics: AtomicU64::new(0) }
    }
}

impl Series {
    fn new(service: &'static str, operation: &'static str) -> Self {
        Self {
            service,
            operation,
            outcomes: Default::default(),
            buckets: Default::default(),
            sum_us: AtomicU64::new(0),
        }
    }

    fn total(&self) -> u64 {
        self.outcomes.iter().map(|count| count.load(Relaxed)).sum()
    }
}

impl Metrics {
    /// Where an operation of `service` is counted; the method stands for the operation on S3.
    pub fn label(&self, service: &Service, operation: &str) -> Label {
        let of = |operation| self.by_operation.get(&(service.name(), operation)).copied();
        of(operation).or_else(|| of(OTHER)).unwrap_or(ELSEWHERE)
    }

    /// Where requests are counted that go to a load balancer by its name.
    pub fn load_balancer(&self) -> Label {
        LOAD_BALANCER
    }

    /// Where a website's requests are counted.
    pub fn website(&self) -> Label {
        WEBSITE
    }

    /// Counts a request that was answered after `elapsed`.
    pub fn answered(&self, label: Label, status: StatusCode, elapsed: Duration) {
        let Some(series) = self.series.get(label.0) else { return };
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        series.outcomes[usize::from(status.as_u16() / 100).min(5)].fetch_add(1, Relaxed);
        series.sum_us.fetch_add(elapsed_us, Relaxed);
        if let Some(bucket) = BUCKETS_US.iter().position(|bound| elapsed_us <= *bound) {
            series.buckets[bucket].fetch_add(1, Relaxed);
        }
    }

    /// Writes requests and connections as Prometheus text.
    pub fn write(&self, text: &mut Text) {
        self.write_requests(text);
        self.write_latencies(text);
        text.one(
            "millpond_connections_accepted_total",
            "counter",
            "Connections accepted.",
            self.accepted.load(Relaxed),
        );
        text.one(
            "millpond_panics_total",
            "counter",
            "Requests that panicked; each is a bug.",
            self.panics.load(Relaxed),
        );
    }

    fn used(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| series.total() > 0)
    }

    fn write_requests(&self, text: &mut Text) {
        text.family(
            "millpond_requests_total",
            "counter",
            "Requests answered, by service, operation and class of status.",
        );
        for series in self.used() {
            for (class, count) in series.outcomes.iter().enumerate() {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels =
                        [("service", series.service), ("operation", series.operation), ("status", CLASSES[class])];
                    text.sample("millpond_requests_total", &labels, count);
                }
            }
        }
    }

    fn write_latencies(&self, text: &mut Text) {
        let name = "millpond_request_seconds";
        text.family(
            name,
            "histogram",
            "From the head of a request to the head of its answer; long polls wait in here.",
        );
        for series in self.used() {
            let labels = [("service", series.service), ("operation", series.operation)];
            let mut below = 0;
            for (bound_us, count) in BUCKETS_US.iter().zip(&series.buckets) {
                below += count.load(Relaxed);
                let bound = (*bound_us as f64 / 1e6).to_string();
                text.sample(&format!("{name}_bucket"), &[labels[0], labels[1], ("le", &bound)], below);
            }
            // The classes may have grown since the buckets were read; a histogram must not fall.
            let total = series.total().max(below);
            text.sample(&format!("{name}_bucket"), &[labels[0], labels[1], ("le", "+Inf")], total);
            text.sample(&format!("{name}_sum"), &labels, series.sum_us.load(Relaxed) as f64 / 1e6);
            text.sample(&format!("{name}_count"), &labels, total);
        }
    }
}

const CLASSES: [&str; 6] = ["cancelled", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Prometheus's text format, as it grows.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Opens a family of samples.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes one sample of the family opened last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{escaped}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Writes a family of one sample.
    pub fn one(&mut self, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Writes what the journal's shards did.
pub fn write_journal(text: &mut Text, shards: &[queue::ShardStats]) {
    type Field = fn(&queue::ShardStats) -> u64;
    const FIELDS: [(&str, &str, &str, Field); 12] = [
        ("millpond_journal_commits_total", "counter", "Group commits: writes followed by a sync.", |s| s.commits),
        ("millpond_journal_calls_total", "counter", "Calls that those commits answered.", |s| s.calls),
        ("millpond_journal_bytes_total", "counter", "Bytes appended.", |s| s.journal_bytes),
        ("millpond_journal_files", "gauge", "Journal files on disk, spares included.", |s| s.files),
        ("millpond_journal_checkpoints_total", "counter", "Checkpoints written.", |s| s.checkpoints),
        ("millpond_journal_relocated_total", "counter", "Messages moved out of files mostly dead.", |s| s.relocated),
        ("millpond_body_cache_hits_total", "counter", "Messages that a receive found in memory.", |s| s.cache_hits),
        ("millpond_body_cache_misses_total", "counter", "Messages that a receive read from disk.", |s| s.cache_misses),
        ("millpond_messages_lost_total", "counter", "Messages whose bytes were damaged on disk.", |s| s.lost),
        ("millpond_queues", "gauge", "Queues.", |s| s.queues),
        ("millpond_waiting_receives", "gauge", "Long polls waiting now.", |s| s.waiting),
        ("millpond_disk_full", "gauge", "1 while sends are refused for lack of space.", |s| u64::from(s.disk_full)),
    ];
    for (name, kind, help, field) in FIELDS {
        text.one(name, kind, help, shards.iter().map(field).sum::<u64>());
    }
    let name = "millpond_journal_commit_seconds";
    text.family(name, "histogram", "Time of a group commit, write and sync.");
    let mut below = 0;
    for (index, bound_us) in queue::SYNC_BUCKETS_US.iter().enumerate() {
        below += shards.iter().map(|shard| shard.sync_histogram[index]).sum::<u64>();
        text.sample(&format!("{name}_bucket"), &[("le", &(*bound_us as f64 / 1e6).to_string())], below);
    }
    let total: u64 = shards.iter().flat_map(|shard| shard.sync_histogram).sum();
    let sum_us: u64 = shards.iter().map(|shard| shard.sync_us).sum();
    text.sample(&format!("{name}_bucket"), &[("le", "+Inf")], total);
    text.sample(&format!("{name}_sum"), &[], sum_us as f64 / 1e6);
    text.sample(&format!("{name}_count"), &[], total);
}

/// Writes what each queue holds and did.
pub fn write_queues(text: &mut Text, queues: &[sqs::QueueMetrics]) {
    let name = "millpond_queue_messages";
    text.family(name, "gauge", "Messages in a queue, by state.");
    for queue in queues {
        let states = [
            ("visible", queue.approximate_number_of_messages_visible),
            ("in_flight", queue.approximate_number_of_messages_not_visible),
            ("delayed", queue.approximate_number_of_messages_delayed),
        ];
        for (state, count) in states {
            let [account, region, queue] = labels(queue);
            text.sample(name, &[account, region, queue, ("state", state)], count);
        }
    }
    type Field = fn(&sqs::QueueMetrics) -> u64;
    const FIELDS: [(&str, &str, &str, Field); 6] = [
        ("millpond_queue_sent_total", "counter", "Messages sent.", |q| q.number_of_messages_sent),
        ("millpond_queue_sent_bytes_total", "counter", "Bytes of those.", |q| q.sent_message_size_sum),
        ("millpond_queue_received_total", "counter", "Messages received.", |q| q.number_of_messages_received),
        ("millpond_queue_empty_receives_total", "counter", "Receives without one.", |q| q.number_of_empty_receives),
        ("millpond_queue_deleted_total", "counter", "Messages deleted.", |q| q.number_of_messages_deleted),
        ("millpond_queue_oldest_seconds", "gauge", "Age of the oldest one.", |q| q.approximate_age_of_oldest_message_s),
    ];
    for (name, kind, help, field) in FIELDS {
        text.family(name, kind, help);
        queues.iter().for_each(|queue| text.sample(name, &labels(queue), field(queue)));
    }
}

fn labels(queue: &sqs::QueueMetrics) -> [(&str, &str); 3] {
    [("account", &queue.account), ("region", &queue.region), ("queue", &queue.queue_name)]
}

/// Writes what S3 did.
pub fn write_objects(text: &mut Text, stats: &s3::Stats) {
    text.one("millpond_s3_denied_total", "counter", "S3 requests answered 403.", stats.denied);
    text.one("millpond_s3_bytes_in_total", "counter", "Bytes of objects and parts taken in.", stats.bytes_in);
    text.one("millpond_s3_bytes_out_total", "counter", "Bytes of objects sent.", stats.bytes_out);
}

/// Writes what the kernel knows of this process; nothing where `/proc` is not mounted.
pub fn write_process(text: &mut Text) {
    if let Some(cpu_s) = cpu_seconds() {
        text.one("process_cpu_seconds_total", "counter", "CPU time, user and system.", cpu_s);
    }
    if let Some(bytes) = resident_bytes() {
        text.one("process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        text.one("process_open_fds", "gauge", "Open file descriptors.", entries.count());
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may itself hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let (user, system): (u64, u64) = (fields.nth(11)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut text = Text::default();
        metrics.write(&mut text);
        text.into_string()
    }

    #[test]
    fn a_request_is_counted_under_its_operation_class_and_time() {
        let metrics = Metrics::default();
        let label = metrics.label(&Service::Sqs, "SendMessage");
        metrics.answered(label, StatusCode::OK, Duration::from_micros(300));
        metrics.answered(label, StatusCode::FORBIDDEN, Duration::from_secs(60));
        let text = text(&metrics);
        for line in [
            "millpond_requests_total{service=\"sqs\",operation=\"SendMessage\",status=\"2xx\"} 1",
            "millpond_requests_total{service=\"sqs\",operation=\"SendMessage\",status=\"4xx\"} 1",
            "millpond_request_seconds_bucket{service=\"sqs\",operation=\"SendMessage\",le=\"0.00025\"} 0",
            "millpond_request_seconds_bucket{service=\"sqs\",operation=\"SendMessage\",le=\"0.0005\"} 1",
            "millpond_request_seconds_bucket{service=\"sqs\",operation=\"SendMessage\",le=\"30\"} 1",
            "millpond_request_seconds_bucket{service=\"sqs\",operation=\"SendMessage\",le=\"+Inf\"} 2",
            "millpond_request_seconds_sum{service=\"sqs\",operation=\"SendMessage\"} 60.0003",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("DeleteMessage"), "what never happened takes no room");
    }

    #[test]
    fn made_up_operations_share_one_series() {
        let metrics = Metrics::default();
        for service in [Service::Sqs, Service::Elb, Service::S3] {
            let other = metrics.by_operation[&(service.name(), OTHER)];
            for name in ["Nonsense", "x\"y", ""] {
                assert_eq!(metrics.label(&service, name), other);
            }
        }
        assert_eq!(metrics.label(&Service::Other("sns".into()), "Publish"), ELSEWHERE);
    }

    #[test]
    fn operations_of_one_name_are_counted_for_their_own_service() {
        let metrics = Metrics::default();
        let labels = [Service::Ec2, Service::Elb].map(|service| metrics.label(&service, "DescribeTags"));
        assert_ne!(labels[0], labels[1]);
    }

    #[test]
    fn label_values_cannot_break_the_format() {
        let mut text = Text::default();
        text.sample("x", &[("queue", "a\"b\\c\nd")], 1);
        assert_eq!(text.into_string(), "x{queue=\"a\\\"b\\\\c\\nd\"} 1\n");
    }

    #[test]
    fn the_process_knows_its_memory_and_time() {
        assert!(resident_bytes().unwrap() > 1 << 16);
        assert!(cpu_seconds().unwrap() >= 0.0);
    }
}
