//! Which target gets a request, and a connection to it.
//!
//! Invariants:
//! - [`TargetState::outstanding`] counts a request from the moment a target is chosen to the moment it is done with,
//!   and never exceeds `target_connections_max`.
//! - A target to which no connection came about is not asked again for the same request.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::balance;
use super::connection::Connection;
use crate::pool::BackendConnection;
use crate::state::{Route, TargetState};
use crate::surge::{self, Attempt, Refused};

/// Connections that one request may try to open.
pub(super) const ATTEMPTS_MAX: usize = 3;

/// Targets that a request was refused by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    indexes: [usize; ATTEMPTS_MAX],
    count: usize,
}

impl Tried {
    pub(super) fn add(&mut self, index: usize) {
        self.indexes[self.count] = index;
        self.count += 1;
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.indexes[..self.count].contains(&index)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// A request's place at a target; dropping it makes room for another.
pub(super) struct Lease<'a> {
    route: &'a Route,
    pub(super) index: usize,
}

impl<'a> Lease<'a> {
    fn take(route: &'a Route, index: usize, outstanding_max: usize) -> Option<Self> {
        let before = route.targets[index].outstanding.fetch_add(1, Ordering::SeqCst);
        let lease = Self { route, index };
        // Another worker may have been faster than our look.
        ((before as usize) < outstanding_max).then_some(lease)
    }

    pub(super) fn target(&self) -> &'a Arc<TargetState> {
        &self.route.targets[self.index]
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.target().outstanding.fetch_sub(1, Ordering::SeqCst);
        surge::released(&self.route.node);
    }
}

/// Chooses a target: `preferred` while it is in service, else the one with the fewest requests. Waits in the surge
/// queue while all are full.
///
/// # Errors
/// See [`Refused`].
pub(super) async fn choose<'a>(
    connection: &mut Connection,
    route: &'a Route,
    preferred: Option<usize>,
    tried: Tried,
) -> Result<Lease<'a>, Refused> {
    let outstanding_max = connection.worker.shared.limits.target_connections_max;
    let queue_max = connection.worker.shared.limits.surge_queue_max;
    connection.deadline.set(route.load_balancer.idle_timeout);
    let attempt = || {
        if let Some(index) = preferred.filter(|&index| !tried.has(index) && route.targets[index].is_in_service()) {
            // Its session is there and nowhere else: better late than elsewhere.
            return Lease::take(route, index, outstanding_max).map_or(Attempt::Full, Attempt::Taken);
        }
        loop {
            let Some(index) = balance::least_outstanding(&route.targets, &route.node.turn, |index| !tried.has(index))
            else {
                return Attempt::Nobody;
            };
            if route.targets[index].outstanding.load(Ordering::Relaxed) as usize >= outstanding_max {
                return Attempt::Full;
            }
            if let Some(lease) = Lease::take(route, index, outstanding_max) {
                return Attempt::Taken(lease);
            }
        }
    };
    let deadline = &connection.deadline;
    surge::take(&route.node, queue_max, attempt, |cx| deadline.is_due(cx)).await
}

/// A connection to the lease's target: one that is open, unless it must be `fresh`.
///
/// # Errors
/// The target can't be connected to.
pub(super) async fn connect(
    connection: &Connection,
    route: &Route,
    target: &Arc<TargetState>,
    fresh: bool,
) -> std::io::Result<BackendConnection> {
    let pools = &connection.worker.pools;
    if !fresh && let Some(open) = poll_fn(|cx| Poll::Ready(pools.take(route, target, cx))).await {
        return Ok(open);
    }
    pools.connect(route, target).await.inspect_err(|error| {
        tracing::debug!(target = %target.address, %error, "cannot connect to the target");
        route.node.metrics.backend_connection_errors.fetch_add(1, Ordering::Relaxed);
    })
}
