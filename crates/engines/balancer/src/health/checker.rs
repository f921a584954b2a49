//! [`Checker`]: a task for each node and target, that checks it as long as it is registered.
//!
//! Invariants:
//! - After [`Checker::publish`] exactly the given targets are checked, each by one task.
//! - A task's first check comes at once (a thousand of them within a second), the second between half an interval and a
//!   whole one later, and from then on one each interval.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use siphasher::sip::SipHasher13;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::judge::Judge;
use super::probe::{self, Failure};
use super::{HealthState, Judgement};
use crate::config::{HealthCheck, LoadBalancer};
use crate::egress::Destination;
use crate::state::{NodeState, TargetState};
use crate::tls::Configs;
use crate::worker::Shared;

/// Checks under way at a time: each is a connection. More wait for their turn.
const CHECKS_MAX: usize = 2048;
/// The first checks of targets that come together are this far apart,
const FIRST_CHECKS_APART: Duration = Duration::from_millis(1);
/// and start again from now after so many.
const FIRST_CHECKS_ROUND: u32 = 1000;

/// A node with the targets that it checks.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) load_balancer: Arc<LoadBalancer>,
    pub(crate) node: Arc<NodeState>,
    pub(crate) targets: Arc<[Arc<TargetState>]>,
}

type Outcome = Result<(), Failure>;
/// Makes a check; tests have their own.
type Prober = Arc<dyn Fn(Arc<HealthCheck>, Destination) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Checks targets on a runtime.
pub(crate) struct Checker {
    runtime: Handle,
    shared: Arc<Shared>,
    prober: Prober,
    permits: Arc<Semaphore>,
    /// Decides when within the interval a target is checked.
    seed: u64,
    /// By the address of the target's state.
    watches: Mutex<HashMap<usize, Watch>>,
}

fn key(target: &TargetState) -> usize {
    std::ptr::from_ref(target).addr()
}

/// One target at one node.
struct Watch {
    /// Keeps the address, which is the key, from being another target's.
    _target: Arc<TargetState>,
    check: watch::Sender<Arc<HealthCheck>>,
    judgement: Arc<Mutex<Judgement>>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checker {
    /// Checks nothing yet; what it will runs on `runtime`.
    pub(crate) fn start(runtime: &Handle, shared: Arc<Shared>) -> Self {
        let tls = Configs::new(Arc::clone(&shared.clock)).client(None);
        let tls = tls.inspect_err(|error| tracing::error!(%error, "health checks cannot speak TLS")).ok();
        let prober: Prober =
            Arc::new(move |check, destination| Box::pin(probe::probe(check, destination, tls.clone())));
        Self::with(runtime, shared, prober)
    }

    fn with(runtime: &Handle, shared: Arc<Shared>, prober: Prober) -> Self {
        Self {
            runtime: runtime.clone(),
            seed: shared.ids.u64(),
            shared,
            prober,
            permits: Arc::new(Semaphore::new(CHECKS_MAX)),
            watches: Mutex::new(HashMap::new()),
        }
    }

    /// Checks these targets, and no others, from now on.
    pub(crate) fn publish(&self, watched: Vec<Watched>) {
        let mut watches = self.watches.lock();
        let mut before = std::mem::take(&mut *watches);
        let mut new = 0;
        for Watched { load_balancer, node, targets } in watched {
            let check = Arc::new(load_balancer.health_check.clone());
            for target in targets.iter() {
                let watch = match before.remove(&key(target)) {
                    Some(watch) => {
                        watch.check.send_if_modified(|now| {
                            let differs = **now != *check;
                            if differs {
                                *now = Arc::clone(&check);
                            }
                            differs
                        });
                        watch
                    }
                    None => {
                        new += 1;
                        let delay = FIRST_CHECKS_APART * ((new - 1) % FIRST_CHECKS_ROUND);
                        self.watch(&load_balancer, &node, target, Arc::clone(&check), delay)
                    }
                };
                watches.insert(key(target), watch);
            }
        }
    }

    /// What is known of a target. One that is not checked any longer is what it was last.
    pub(crate) fn judgement(&self, target: &TargetState) -> Judgement {
        if let Some(watch) = self.watches.lock().get(&key(target)) {
            return watch.judgement.lock().clone();
        }
        let in_service = target.is_in_service();
        let state = if in_service { HealthState::InService } else { HealthState::Unknown };
        Judgement { state, reason: Judge::new(in_service).reason(), ..Judgement::default() }
    }

    fn watch(
        &self,
        load_balancer: &LoadBalancer,
        node: &NodeState,
        target: &Arc<TargetState>,
        check: Arc<HealthCheck>,
        delay: Duration,
    ) -> Watch {
        let judge = Judge::new(target.is_in_service());
        let judgement =
            Judgement { state: judge.state(), reason: judge.reason(), failure: None, since: self.shared.clock.now() };
        let judgement = Arc::new(Mutex::new(judgement));
        let (check, changes) = watch::channel(check);
        let mut hasher = SipHasher13::new_with_keys(self.seed, load_balancer.id.0);
        (node.address, &target.id).hash(&mut hasher);
        let task = Task {
            load_balancer: Arc::clone(&load_balancer.name),
            zone: Arc::clone(&node.zone),
            target: Arc::clone(target),
            check: changes,
            judge,
            judgement: Arc::clone(&judgement),
            spread: hasher.finish(),
            shared: Arc::clone(&self.shared),
            prober: Arc::clone(&self.prober),
            permits: Arc::clone(&self.permits),
        };
        let task = self.runtime.spawn(task.run(delay)).abort_handle();
        Watch { _target: Arc::clone(target), check, judgement, task }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        // Ends the tasks.
        self.watches.lock().clear();
    }
}

struct Task {
    load_balancer: Arc<str>,
    zone: Arc<str>,
    target: Arc<TargetState>,
    check: watch::Receiver<Arc<HealthCheck>>,
    judge: Judge,
    judgement: Arc<Mutex<Judgement>>,
    spread: u64,
    shared: Arc<Shared>,
    prober: Prober,
    permits: Arc<Semaphore>,
}

impl Task {
    async fn run(mut self, delay: Duration) {
        let mut due = Instant::now() + delay;
        let mut is_first = true;
        let mut changes = self.check.clone();
        loop {
            let outcome = tokio::select! {
                biased;
                changed = changes.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                outcome = self.check_at(due) => Some(outcome),
            };
            let Some((check, outcome)) = outcome else {
                // An answer to the old question says nothing about the new one. Ask soon, but not all at once.
                self.judge.restart();
                due = Instant::now() + FIRST_CHECKS_APART * self.part(FIRST_CHECKS_ROUND);
                is_first = true;
                self.publish(None);
                continue;
            };
            self.judge.take(outcome.is_ok(), check.unhealthy_threshold, check.healthy_threshold);
            self.publish(Some(outcome));
            due += if is_first { self.to_second_check(check.interval) } else { check.interval };
            is_first = false;
            // A machine that slept, or a long wait for a turn: the period goes on from here.
            due = due.max(Instant::now());
        }
    }

    async fn check_at(&self, due: Instant) -> (Arc<HealthCheck>, Outcome) {
        tokio::time::sleep_until(due).await;
        // Never closed.
        let _turn = self.permits.acquire().await;
        let check = Arc::clone(&self.check.borrow());
        let outcome = (self.prober)(Arc::clone(&check), self.target.at(check.port)).await;
        (check, outcome)
    }

    /// A number below `parts`, always the same for the same node and target.
    fn part(&self, parts: u32) -> u32 {
        u32::try_from(self.spread % u64::from(parts.max(1))).unwrap_or(0)
    }

    /// Between half of the interval and the whole: where in the interval this target's checks are from then on.
    fn to_second_check(&self, interval: Duration) -> Duration {
        interval / 2 + interval / 2 / 1000 * self.part(1000)
    }

    /// Lets everybody know what was found.
    fn publish(&self, outcome: Option<Outcome>) {
        let (state, reason) = (self.judge.state(), self.judge.reason());
        let changed = {
            let mut judgement = self.judgement.lock();
            let changed = (judgement.state, judgement.reason) != (state, reason);
            if judgement.state != state {
                judgement.since = self.shared.clock.now();
                if state == HealthState::InService {
                    judgement.failure = None;
                }
            }
            if let Some(Err(failure)) = &outcome {
                judgement.failure = Some(failure.to_string().into());
            }
            let moved = judgement.state != state;
            (judgement.state, judgement.reason) = (state, reason);
            if moved {
                self.log(state, judgement.failure.as_deref());
            }
            changed
        };
        self.target.in_service.store(state == HealthState::InService, Ordering::Relaxed);
        if changed {
            self.shared.health_changed();
        }
    }

    fn log(&self, state: HealthState, failure: Option<&str>) {
        let (load_balancer, zone, target) = (&*self.load_balancer, &*self.zone, &*self.target.id.0);
        let address = self.target.address;
        if state == HealthState::InService {
            tracing::info!(load_balancer, zone, target, %address, "target is in service");
        } else {
            tracing::warn!(load_balancer, zone, target, %address, failure, "target is out of service");
        }
    }
}

#[cfg(test)]
mod tests;
