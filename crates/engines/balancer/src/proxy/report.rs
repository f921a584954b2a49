//! What is told of a request once it is over: counters, and its access record.
//!
//! Invariants:
//! - What the balancer answered itself counts as `HTTPCode_ELB_*`, and a target's answer as `HTTPCode_Backend_*`.
//! - A handful of relaxed additions and no allocation; without an access log no record is made.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::connection::Connection;
use super::http1::{RequestHead, Tier, Verdict};
use crate::access_record::{LogKey, Record, RequestLine};
use crate::config::Frontend;
use crate::state::Route;

#[cfg(test)]
thread_local! {
    /// What was recorded, for tests to read.
    pub(super) static RECORDS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// A request's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// When its first bytes were here.
    pub(super) at: Instant,
}

/// What is known of a request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    received: Instant,
    desync: Verdict,
    /// When its head had gone to the target, and which that was.
    pub(super) dispatched: Option<(Instant, SocketAddr)>,
    /// When the first byte of the target's answer was here.
    pub(super) answered: Option<Instant>,
    pub(super) elb_status: Option<u16>,
    pub(super) backend_status: Option<u16>,
    /// Bodies, without heads.
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    /// Bytes of both directions, heads included.
    pub(super) wire_bytes: u64,
}

impl Report {
    pub(super) fn new(received: Received, desync: Verdict) -> Self {
        Self {
            received: received.at,
            desync,
            dispatched: None,
            answered: None,
            elb_status: None,
            backend_status: None,
            received_bytes: 0,
            sent_bytes: 0,
            wire_bytes: 0,
        }
    }

    /// The balancer answers by itself: as AWS has it, the target isn't named then, nor any time.
    pub(super) fn answered_by_balancer(&mut self, status: u16) {
        self.elb_status = Some(status);
        self.backend_status = None;
        self.dispatched = None;
        self.answered = None;
    }

    /// Counts and records the request. `head` is what was understood of `bytes`, where it could be read.
    pub(super) fn finish(self, connection: &Connection, route: &Route, head: Option<&RequestHead>, bytes: &[u8]) {
        let metrics = &route.node.metrics;
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        add(&metrics.request_count, 1);
        add(&metrics.processed_bytes, self.wire_bytes);
        match (self.backend_status, self.elb_status) {
            (Some(status), _) => match status / 100 {
                2 => add(&metrics.backend_2xx, 1),
                3 => add(&metrics.backend_3xx, 1),
                4 => add(&metrics.backend_4xx, 1),
                5 => add(&metrics.backend_5xx, 1),
                _ => {}
            },
            (None, Some(400..500)) => add(&metrics.elb_4xx, 1),
            (None, Some(_)) => add(&metrics.elb_5xx, 1),
            (None, None) => {}
        }
        if self.desync.tier > Tier::Compliant {
            add(&metrics.desync_non_compliant, 1);
            let Verdict { tier, reason } = self.desync;
            let load_balancer = &*route.load_balancer.name;
            tracing::debug!(load_balancer, client = %connection.peer, ?tier, ?reason, status = self.elb_status, "request is not compliant");
        }
        if let (Some((dispatched, _)), Some(answered)) = (self.dispatched, self.answered) {
            metrics.latency.record(answered.duration_since(dispatched));
        }
        if route.load_balancer.access_log {
            self.record(connection, route, head, bytes);
        }
    }

    fn record(self, connection: &Connection, route: &Route, head: Option<&RequestHead>, bytes: &[u8]) {
        let processing = self.dispatched.map(|(at, _)| at.duration_since(self.received));
        // Where the request named no host, it is the node that it came to.
        let node = match head.map(|head| head.host(bytes)) {
            Some([]) => connection.local.ip().to_string(),
            _ => String::new(),
        };
        let backend = self.dispatched.zip(self.answered).map(|((sent, _), first)| first.duration_since(sent));
        let record = Record {
            received_us: connection.worker.deadlines.wall_us(self.received),
            client: connection.peer,
            target: self.dispatched.map(|(_, target)| target),
            request_processing: processing,
            backend_processing: backend,
            response_processing: self.answered.map(|at| at.elapsed()),
            elb_status: self.elb_status,
            backend_status: self.backend_status,
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            request: head.map(|head| request_line(connection, route, head, bytes, node.as_bytes())),
            user_agent: head.and_then(|head| head.user_agent(bytes)),
            tls: connection.tls,
        };
        #[cfg(test)]
        RECORDS.with_borrow_mut(|records| records.push(format!("{record:?}")));
        let key = LogKey { load_balancer: route.load_balancer.id, node: route.node.address };
        connection.worker.recorder.record(key, &route.load_balancer.name, &record);
    }
}

fn request_line<'a>(
    connection: &Connection,
    route: &Route,
    head: &RequestHead,
    bytes: &'a [u8],
    node: &'a [u8],
) -> RequestLine<'a> {
    let host = match head.host(bytes) {
        [] => node,
        host => without_port(host),
    };
    RequestLine {
        method: head.method(bytes),
        scheme: match route.listener.frontend {
            Frontend::Https(_) | Frontend::Ssl(_) => "https",
            Frontend::Http | Frontend::Tcp => "http",
        },
        host,
        port: connection.local.port(),
        target: head.target(bytes),
        version: head.version_name(),
    }
}

/// A host without the port behind its last colon, unless that is one of an IPv6 address.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| !byte.is_ascii_digit()) {
        Some(at) if host[at] == b':' => &host[..at],
        _ => host,
    }
}
