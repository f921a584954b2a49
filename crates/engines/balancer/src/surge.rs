//! The surge queue: where requests and connections of a node wait until a target has room.
//!
//! Invariants:
//! - At most [`Limits::surge_queue_max`](crate::Limits) wait at one node, over all workers; one more is turned away
//!   and counted.
//! - Who came first is served first: while anybody waits, nobody who comes later takes a target's room.
//! - A wake-up that is lost costs [`REPAIR`], never a request.
//! - A request that doesn't wait touches one atomic here and no lock.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::state::NodeState;

/// Waiters look again after this time even if nobody woke them: health checks bring targets back without a word.
const REPAIR: Duration = Duration::from_millis(250);

/// Who waits at a node, in order.
#[derive(Default)]
pub(crate) struct Waiters {
    list: Mutex<VecDeque<(u64, Waker)>>,
    tickets: AtomicU64,
}

impl Waiters {
    fn wake_first(&self) {
        let first = self.list.lock().front().map(|(_, waker)| waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

/// What an attempt to take a target's room came to.
pub(crate) enum Attempt<T> {
    /// It is taken.
    Taken(T),
    /// Every target in service is at its bound.
    Full,
    /// No target is in service.
    Nobody,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No target is in service.
    Nobody,
    /// As many wait as may.
    Spillover,
    /// The wait's deadline passed.
    TimedOut,
}

/// Takes a target's room with `attempt`, waiting in the node's queue of at most `queue_max` while all is full and
/// `is_due` says no.
///
/// # Errors
/// See [`Refused`].
pub(crate) async fn take<T>(
    node: &NodeState,
    queue_max: usize,
    mut attempt: impl FnMut() -> Attempt<T>,
    mut is_due: impl FnMut(&mut Context<'_>) -> bool,
) -> Result<T, Refused> {
    if node.surge_queue.load(Ordering::SeqCst) == 0 {
        match attempt() {
            Attempt::Taken(taken) => return Ok(taken),
            Attempt::Nobody => return Err(Refused::Nobody),
            Attempt::Full => {}
        }
    }
    let place = Place::enter(node, queue_max).ok_or(Refused::Spillover)?;
    let mut repair = tokio::time::interval(REPAIR);
    poll_fn(|cx| {
        // Registered before looking: room that is given back in between wakes us.
        let is_first = place.register(cx.waker());
        while repair.poll_tick(cx).is_ready() {}
        if is_first {
            match attempt() {
                Attempt::Taken(taken) => return Poll::Ready(Ok(taken)),
                Attempt::Nobody => return Poll::Ready(Err(Refused::Nobody)),
                Attempt::Full => {}
            }
        }
        if is_due(cx) { Poll::Ready(Err(Refused::TimedOut)) } else { Poll::Pending }
    })
    .await
}

/// Tells the first who waits that a target of `node` has room again.
pub(crate) fn released(node: &NodeState) {
    if node.surge_queue.load(Ordering::SeqCst) > 0 {
        node.surge.wake_first();
    }
}

/// A place in a node's queue; dropping it leaves, and lets the next one look.
struct Place<'a> {
    node: &'a NodeState,
    ticket: u64,
}

impl<'a> Place<'a> {
    fn enter(node: &'a NodeState, queue_max: usize) -> Option<Self> {
        let before = node.surge_queue.fetch_add(1, Ordering::SeqCst);
        if before >= queue_max {
            node.surge_queue.fetch_sub(1, Ordering::SeqCst);
            node.metrics.spillover_count.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        node.metrics.surge_queue_length_max.fetch_max(before as u64 + 1, Ordering::Relaxed);
        let ticket = node.surge.tickets.fetch_add(1, Ordering::Relaxed);
        Some(Self { node, ticket })
    }

    /// Whether this is the first place.
    fn register(&self, waker: &Waker) -> bool {
        let mut list = self.node.surge.list.lock();
        match list.iter_mut().find(|(ticket, _)| *ticket == self.ticket) {
            Some((_, registered)) => registered.clone_from(waker),
            None => list.push_back((self.ticket, waker.clone())),
        }
        list.front().is_some_and(|(ticket, _)| *ticket == self.ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.node.surge.list.lock().retain(|(ticket, _)| *ticket != self.ticket);
        self.node.surge_queue.fetch_sub(1, Ordering::SeqCst);
        self.node.surge.wake_first();
    }
}
