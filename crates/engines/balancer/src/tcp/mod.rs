//! TCP and SSL listeners: bytes from clients to targets and back, whatever they mean.
//!
//! Invariants:
//! - Nothing is read into the bytes: whoever speaks first speaks first, each half closes on its own, and nothing of
//!   either side's is added but the PROXY line that a listener asks for.
//! - A connection reads its route once and stays with its target to the end.
//! - A connection holds a buffer only for what one side has sent and the other does not yet take.

mod relay;
mod splice;
mod target;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::access_record::{LogKey, Record, TlsInfo};
use crate::state::{Route, Slot};
use crate::stream::Stream;
use crate::worker::Worker;
use relay::Relay;
use target::Reached;

/// Serves a client's connection until either side or the idle timeout ends it.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    slot: Arc<Slot>,
    client: Stream,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<TlsInfo>,
) {
    let Some(route) = slot.route() else { return };
    drop(slot);
    let accepted = Instant::now();
    let record = |reached: Option<&Reached>, relay: Option<&Relay>| {
        let connection = Served { worker: &worker, route: &route, peer, tls, accepted };
        connection.count_and_record(reached, relay);
    };
    // Boxed: its state would else stay in the task for as long as bytes are relayed.
    let reached = Box::pin(target::reach(&worker, &route, peer, local)).await;
    let mut relay = Relay::new(client);
    let Some(mut reached) = reached else {
        relay.close(None).await;
        return record(None, None);
    };
    let deadline = worker.deadlines.register();
    let idle_timeout = route.load_balancer.idle_timeout;
    deadline.set(idle_timeout);
    let mut generation = worker.deadlines.generation();
    let mut is_idle = false;
    std::future::poll_fn(|cx| {
        let polled = relay.poll(cx, &mut reached.stream);
        if polled.is_ready() {
            return polled;
        }
        if relay.take_moved() {
            deadline.set(idle_timeout);
        }
        let is_cut = std::mem::replace(&mut generation, worker.deadlines.generation()) != generation
            && reached.lease.target().cut.is_cancelled();
        let is_due = deadline.is_due(cx);
        is_idle = is_due && !is_cut;
        if is_due || is_cut { std::task::Poll::Ready(()) } else { polled }
    })
    .await;
    if is_idle {
        relay.close(Some(&mut reached.stream)).await;
    }
    record(Some(&reached), Some(&relay));
}

/// What is to be said of a connection when it is over.
struct Served<'a> {
    worker: &'a Worker,
    route: &'a Route,
    peer: SocketAddr,
    tls: Option<TlsInfo>,
    accepted: Instant,
}

impl Served<'_> {
    fn count_and_record(&self, reached: Option<&Reached>, relay: Option<&Relay>) {
        let (received_bytes, sent_bytes) = relay.map_or((0, 0), |relay| (relay.up.bytes, relay.down.bytes));
        self.route.node.metrics.processed_bytes.fetch_add(received_bytes + sent_bytes, Relaxed);
        if !self.route.load_balancer.access_log {
            return;
        }
        let first = |half: fn(&Relay) -> &relay::Half| relay.and_then(|relay| half(relay).first_byte);
        let record = Record {
            received_us: self.worker.deadlines.wall_us(self.accepted),
            client: self.peer,
            target: reached.map(|reached| reached.lease.target().socket_address(&self.route.listener)),
            request_processing: first(|relay| &relay.up)
                .map(|first| first.sent.saturating_duration_since(self.accepted)),
            backend_processing: reached.map(|reached| reached.connect_time),
            response_processing: first(|relay| &relay.down).map(|first| first.took()),
            elb_status: None,
            backend_status: None,
            received_bytes,
            sent_bytes,
            request: None,
            user_agent: None,
            tls: self.tls,
        };
        let key = LogKey { load_balancer: self.route.node.load_balancer, node: self.route.node.address };
        self.worker.recorder.record(key, &self.route.load_balancer.name, &record);
    }
}

/// Adds a connection that was made to the node's counters.
fn count_connection(route: &Route, connect_time: Duration) {
    let metrics = &route.node.metrics;
    metrics.request_count.fetch_add(1, Relaxed);
    metrics.latency.record(connect_time);
}
