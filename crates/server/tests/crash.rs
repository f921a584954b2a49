//! The crash test: a load of concurrent sends and deletes, `kill -9` at a random moment, and after each restart nothing
//! acknowledged is missing and nothing deleted comes back.
//!
//! `MILLPOND_CRASH_ROUNDS` says how often (3 unless set; `cargo x crash` runs fifty).

#![allow(clippy::unwrap_used, reason = "a test's helper fails as the test does")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the process under test")]

#[path = "platform/support.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Connection, Key, Place, Server};

const SENDERS: usize = 6;
const RECEIVERS: usize = 4;
const LEASE_S: u32 = 3;
const QUEUE: &str = "http://localhost/000000000000/crash";

/// What clients know: every body by what they were told about it.
#[derive(Default)]
struct Known {
    sent: HashSet<String>,
    /// A delete was asked for; unless it was acknowledged, the message may be there or not.
    delete_asked: HashSet<String>,
    /// With the order in which deletes were acknowledged.
    deleted: HashMap<String, usize>,
}

struct Load<'a> {
    server: &'a Server,
    known: &'a Mutex<Known>,
    next: &'a AtomicU64,
    stop: &'a AtomicBool,
}

impl Load<'_> {
    /// One call over a kept connection; `None` when the server died under it.
    fn call(&self, connection: &mut Connection, operation: &str, input: Value) -> Option<Value> {
        connection.try_write(&self.server.sqs_request(&Key::any(), operation, input)).ok()?;
        let answer = connection.try_read()?;
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        Some(answer.json())
    }

    fn send(&self) -> Option<()> {
        let mut connection = Connection::try_to(self.server.address).ok()?;
        while !self.stop.load(Relaxed) {
            let first = self.next.fetch_add(10, Relaxed);
            let bodies: Vec<String> = (first..first + 1 + first / 10 % 10).map(|n| format!("message {n}")).collect();
            let entries: Vec<Value> = bodies
                .iter()
                .enumerate()
                .map(|(id, body)| json!({ "Id": id.to_string(), "MessageBody": body }))
                .collect();
            let input = json!({ "QueueUrl": QUEUE, "Entries": entries });
            let answer = self.call(&mut connection, "SendMessageBatch", input)?;
            assert!(answer["Failed"].is_null(), "{answer}");
            self.known.lock().unwrap().sent.extend(bodies);
        }
        Some(())
    }

    fn receive_and_delete(&self) -> Option<()> {
        let mut connection = Connection::try_to(self.server.address).ok()?;
        while !self.stop.load(Relaxed) {
            self.take_some(&mut connection, 1)?;
        }
        Some(())
    }

    /// Receives up to ten messages and deletes them; their bodies.
    fn take_some(&self, connection: &mut Connection, wait_s: u32) -> Option<Vec<String>> {
        let asked = json!({
            "QueueUrl": QUEUE,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": wait_s,
            "VisibilityTimeout": LEASE_S,
        });
        // A message may be lent again while its delete is under way; only what was deleted before we asked may not.
        let deleted_before = self.known.lock().unwrap().deleted.len();
        let received = self.call(connection, "ReceiveMessage", asked)?;
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        let bodies: Vec<String> = messages.iter().map(|m| m["Body"].as_str().unwrap().to_owned()).collect();
        if bodies.is_empty() {
            return Some(bodies);
        }
        {
            let mut known = self.known.lock().unwrap();
            for body in &bodies {
                let came_back = known.deleted.get(body).is_some_and(|order| *order < deleted_before);
                assert!(!came_back, "{body} was deleted and came back");
            }
            known.delete_asked.extend(bodies.iter().cloned());
        }
        let handle = |(id, m): (usize, &Value)| json!({ "Id": id.to_string(), "ReceiptHandle": m["ReceiptHandle"] });
        let entries: Vec<Value> = messages.iter().enumerate().map(handle).collect();
        let answer = self.call(connection, "DeleteMessageBatch", json!({ "QueueUrl": QUEUE, "Entries": entries }))?;
        assert!(answer["Failed"].is_null(), "{answer}");
        let mut known = self.known.lock().unwrap();
        for body in &bodies {
            let order = known.deleted.len();
            known.deleted.entry(body.clone()).or_insert(order);
        }
        Some(bodies)
    }

    fn run_until_killed(&self, after: Duration) {
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| self.send());
            }
            for _ in 0..RECEIVERS {
                scope.spawn(|| self.receive_and_delete());
            }
            std::thread::sleep(after);
            self.server.signal(Signal::KILL);
            self.stop.store(true, Relaxed);
        });
    }

    /// Empties the queue and holds what was in it against what clients know.
    fn check(&self) {
        let mut connection = self.server.connect();
        let mut found = HashSet::new();
        let expected: HashSet<String> = {
            let known = self.known.lock().unwrap();
            known.sent.difference(&known.delete_asked).cloned().collect()
        };
        // A lease that survived the crash ends by itself.
        let deadline = Instant::now() + Duration::from_secs(45);
        while self.left(&mut connection) > 0 {
            let missing = expected.difference(&found).count();
            assert!(Instant::now() < deadline, "{missing} messages are neither received nor gone");
            found.extend(self.take_some(&mut connection, 1).expect("the server lives"));
        }
        let missing: Vec<_> = expected.difference(&found).take(10).collect();
        assert!(missing.is_empty(), "acknowledged and missing: {missing:?}");
    }

    fn left(&self, connection: &mut Connection) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({ "QueueUrl": QUEUE, "AttributeNames": names });
        let answer = self.call(connection, "GetQueueAttributes", asked).expect("the server lives");
        names.iter().map(|name| answer["Attributes"][name].as_str().unwrap().parse::<u64>().unwrap()).sum()
    }
}

/// A number from 0 to below `end`, different in each run.
fn random(end: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % end
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_deleted_comes_back_after_kill_9() {
    let rounds: u32 = std::env::var("MILLPOND_CRASH_ROUNDS").map_or(3, |text| text.parse().unwrap());
    let place = Place::new();
    let known = Mutex::new(Known::default());
    let next = AtomicU64::new(0);
    for round in 0..rounds {
        let mut server = place.serve(&[]);
        if round == 0 {
            server.create_queue("crash");
        }
        let stop = AtomicBool::new(false);
        let load = Load { server: &server, known: &known, next: &next, stop: &stop };
        load.check();
        let after = Duration::from_millis(100 + random(1400));
        load.run_until_killed(after);
        server.wait();
        let known = known.lock().unwrap();
        println!(
            "round {round}: killed after {after:?}; {} sent, {} deleted so far",
            known.sent.len(),
            known.deleted.len()
        );
    }
    let server = place.serve(&[]);
    Load { server: &server, known: &known, next: &next, stop: &AtomicBool::new(false) }.check();
    let known = known.lock().unwrap();
    assert!(known.sent.len() > 100, "the load did something: {}", known.sent.len());
    server.stop();
}
