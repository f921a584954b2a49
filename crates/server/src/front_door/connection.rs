//! One client connection: how far its current request has come, and since when.
//!
//! Invariants:
//! - A connection that makes no progress is closed within its phase's limit plus one tick, whatever the client does.
//! - Timing costs a request no timer: phases are stamped with a coarse clock, and one [`watch_over`] task looks at all
//!   connections a few times a second. While there is no connection, it sleeps.
//!
//! Knows no HTTP; `listener` and `body` report what they see.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Limits;

/// How far a connection's current request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Between requests.
    Idle,
    /// Some bytes of a head are here.
    Head,
    /// The body is being read.
    Body,
    /// The service works, or its answer is under way.
    Work,
}

impl Phase {
    fn from_u8(value: u8) -> Self {
        [Self::Idle, Self::Head, Self::Body, Self::Work][usize::from(value & 3)]
    }
}

/// Finish what is in flight, then close.
const DRAIN: u8 = 1;
/// Close at once.
const KILL: u8 = 2;
/// The body took too long: let the service say so.
const BODY_LATE: u8 = 4;
/// Drain, even before the first request has come.
const DRAIN_NEW: u8 = 8;

/// How long a drain waits for the first request of a connection that was just accepted: it is on its way.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(500);

/// What a connection's task is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// Finish what is in flight, then close.
    Drain,
    /// Close at once.
    Close,
}

/// One connection's state, shared by its task and the watch over it.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    phase: AtomicU8,
    /// Of the phase, or of the last progress in it; on the coarse clock.
    since_ms: AtomicU64,
    orders: AtomicU8,
    /// No request has come yet.
    is_new: AtomicBool,
    /// The client was still sending when it got its answer.
    is_cut_short: AtomicBool,
    is_tls: AtomicBool,
    task: AtomicWaker,
    clock: Arc<CoarseClock>,
}

impl Connection {
    fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Relaxed))
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.touch();
    }

    fn touch(&self) {
        self.since_ms.store(self.clock.now_ms(), Relaxed);
    }

    /// What came in came by TLS.
    pub(super) fn is_tls(&self) {
        self.is_tls.store(true, Relaxed);
    }

    /// Whether the client speaks TLS with us.
    pub(super) fn has_tls(&self) -> bool {
        self.is_tls.load(Relaxed)
    }

    /// Bytes came in.
    pub(super) fn has_read(&self) {
        match self.phase() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::Body => self.touch(),
            // A head must be complete within its time however it drips; work is judged by what goes out.
            Phase::Head | Phase::Work => {}
        }
    }

    /// Bytes went out.
    pub(super) fn has_written(&self) {
        if self.phase() == Phase::Work {
            self.touch();
        }
    }

    /// A head is complete.
    pub(super) fn request_begins(&self, has_body: bool) {
        self.is_new.store(false, Relaxed);
        self.enter(if has_body { Phase::Body } else { Phase::Work });
    }

    /// The body is complete, or nobody wants the rest.
    pub(super) fn body_ended(&self) {
        if self.phase() == Phase::Body {
            self.enter(Phase::Work);
        }
    }

    /// The answer is handed over to the socket.
    pub(super) fn request_ended(&self) {
        self.enter(Phase::Idle);
    }

    /// Nobody will read the rest of the body.
    pub(super) fn body_abandoned(&self) {
        self.is_cut_short.store(true, Relaxed);
    }

    /// Whether the client may still be sending when the connection closes: within a head that was refused, or within a
    /// body. From here on it has the time of a head to stop.
    pub(super) fn begins_to_linger(&self) -> bool {
        let lingers = self.phase() == Phase::Head || self.is_cut_short.load(Relaxed);
        if lingers {
            self.enter(Phase::Head);
        }
        lingers
    }

    /// Whether the body has idled beyond its limit.
    pub(super) fn is_body_late(&self) -> bool {
        self.orders.load(Relaxed) & BODY_LATE != 0
    }

    /// Milliseconds on the coarse clock, to measure what may take many seconds.
    pub(super) fn coarse_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Lets orders wake `task`.
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// What to do next.
    pub(super) fn order(&self) -> Order {
        match self.orders.load(Relaxed) {
            orders if orders & KILL != 0 => Order::Close,
            orders if orders & DRAIN_NEW != 0 => Order::Drain,
            orders if orders & DRAIN != 0 && !self.is_new.load(Relaxed) => Order::Drain,
            _ => Order::Serve,
        }
    }

    fn give(&self, order: u8) {
        self.orders.fetch_or(order, Relaxed);
        self.task.wake();
    }

    /// Gives the order that the time in this phase calls for, if any.
    fn judge(&self, limits: &Limits) {
        /// How long a gentle order may go unheeded.
        const GRACE: Duration = Duration::from_secs(5);
        let waited = Duration::from_millis(self.clock.now_ms().saturating_sub(self.since_ms.load(Relaxed)));
        let gentle_then_kill = |gentle, limit| {
            if waited >= limit + GRACE {
                self.give(KILL);
            } else if waited >= limit && self.orders.load(Relaxed) & gentle == 0 {
                self.give(gentle);
            }
        };
        match self.phase() {
            Phase::Idle => gentle_then_kill(DRAIN, limits.keep_alive_timeout),
            Phase::Body => gentle_then_kill(BODY_LATE, limits.body_idle_timeout),
            Phase::Head if waited >= limits.header_timeout => self.give(KILL),
            Phase::Work if waited >= limits.request_timeout => self.give(KILL),
            Phase::Head | Phase::Work => {}
        }
    }
}

/// Milliseconds since the front door opened, brought up to date a few times a second.
#[derive(Debug)]
pub(super) struct CoarseClock {
    started: Instant,
    now_ms: AtomicU64,
}

impl CoarseClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    fn update(&self) {
        let elapsed = Instant::now().duration_since(self.started);
        self.now_ms.store(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next_id: AtomicU64,
    clock: Arc<CoarseClock>,
    first: Notify,
    last: Notify,
}

impl Connections {
    pub(super) fn new() -> Self {
        let clock = CoarseClock { started: Instant::now(), now_ms: AtomicU64::new(0) };
        Self {
            open: Mutex::default(),
            next_id: AtomicU64::new(0),
            clock: Arc::new(clock),
            first: Notify::new(),
            last: Notify::new(),
        }
    }

    /// Takes up a connection that was just accepted; it is let go when the [`Open`] drops.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.clock.update();
        let connection = Arc::new(Connection {
            id: self.next_id.fetch_add(1, Relaxed),
            phase: AtomicU8::new(Phase::Head as u8),
            since_ms: AtomicU64::new(self.clock.now_ms()),
            orders: AtomicU8::new(0),
            is_new: AtomicBool::new(true),
            is_cut_short: AtomicBool::new(false),
            is_tls: AtomicBool::new(false),
            task: AtomicWaker::new(),
            clock: self.clock.clone(),
        });
        let mut open = self.open.lock();
        open.insert(connection.id, connection.clone());
        if open.len() == 1 {
            self.first.notify_one();
        }
        Open { connection, all: self.clone() }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Lets every connection finish what is in flight, and waits until all are closed.
    pub(super) async fn drain(&self) {
        if tokio::time::timeout(FIRST_REQUEST_GRACE, self.drain_by(DRAIN)).await.is_err() {
            self.drain_by(DRAIN_NEW).await;
        }
    }

    async fn drain_by(&self, order: u8) {
        loop {
            let last = self.last.notified();
            let open: Vec<_> = self.open.lock().values().cloned().collect();
            if open.is_empty() {
                return;
            }
            open.iter().for_each(|connection| connection.give(order));
            last.await;
        }
    }

    /// Closes every connection at once.
    pub(super) fn kill(&self) {
        self.open.lock().values().for_each(|connection| connection.give(KILL));
    }

    fn judge_all(&self, limits: &Limits) -> bool {
        self.clock.update();
        let open = self.open.lock();
        open.values().for_each(|connection| connection.judge(limits));
        !open.is_empty()
    }
}

/// An open connection; counts as such until dropped.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.all.open.lock();
        open.remove(&self.connection.id);
        if open.is_empty() {
            self.all.last.notify_waiters();
        }
    }
}

/// Holds every connection to `limits` for as long as it is polled.
pub(super) async fn watch_over(all: Arc<Connections>, limits: Limits) {
    let shortest = limits
        .header_timeout
        .min(limits.keep_alive_timeout)
        .min(limits.body_idle_timeout)
        .min(limits.body_timeout)
        .min(limits.request_timeout);
    let tick = (shortest / 4).clamp(Duration::from_millis(25), Duration::from_millis(500));
    loop {
        if all.judge_all(&limits) {
            tokio::time::sleep(tick).await;
        } else {
            all.first.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(120),
            body_idle_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(300),
            ..Limits::default()
        }
    }

    async fn after(seconds: u64, all: &Arc<Connections>, open: &Open) -> Order {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        all.judge_all(&limits());
        open.connection.order()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_off_by_its_first_byte() {
        let all = Arc::new(Connections::new());
        let open = all.open();
        open.connection.request_begins(false);
        open.connection.request_ended();
        open.connection.has_read();
        assert_eq!(after(9, &all, &open).await, Order::Serve);
        open.connection.has_read();
        assert_eq!(after(1, &all, &open).await, Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_says_a_word_is_cut_off_like_a_slow_head() {
        let all = Arc::new(Connections::new());
        let open = all.open();
        assert_eq!(after(10, &all, &open).await, Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_drained_and_if_deaf_cut_off() {
        let all = Arc::new(Connections::new());
        let open = all.open();
        open.connection.request_begins(false);
        open.connection.request_ended();
        assert_eq!(after(119, &all, &open).await, Order::Serve);
        assert_eq!(after(1, &all, &open).await, Order::Drain);
        assert_eq!(after(5, &all, &open).await, Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_its_time_while_bytes_come_and_then_is_told_so() {
        let all = Arc::new(Connections::new());
        let open = all.open();
        open.connection.request_begins(true);
        assert_eq!(after(29, &all, &open).await, Order::Serve);
        open.connection.has_read();
        assert_eq!(after(29, &all, &open).await, Order::Serve);
        assert!(!open.connection.is_body_late());
        assert_eq!(after(1, &all, &open).await, Order::Serve);
        assert!(open.connection.is_body_late());
        assert_eq!(after(5, &all, &open).await, Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_outlasts_every_limit_but_its_own() {
        let all = Arc::new(Connections::new());
        let open = all.open();
        open.connection.request_begins(false);
        assert_eq!(after(299, &all, &open).await, Order::Serve);
        open.connection.has_written();
        assert_eq!(after(299, &all, &open).await, Order::Serve);
        assert_eq!(after(1, &all, &open).await, Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn drain_ends_when_the_last_connection_does() {
        let all = Arc::new(Connections::new());
        let (first, second) = (all.open(), all.open());
        second.connection.request_begins(false);
        let draining = tokio::spawn({
            let all = all.clone();
            async move { all.drain().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(second.connection.order(), Order::Drain);
        assert_eq!(first.connection.order(), Order::Serve, "its first request is on its way");
        tokio::time::sleep(FIRST_REQUEST_GRACE + Duration::from_millis(1)).await;
        assert_eq!(first.connection.order(), Order::Drain);
        drop(first);
        tokio::task::yield_now().await;
        assert!(!draining.is_finished());
        drop(second);
        draining.await.unwrap();
    }
}
