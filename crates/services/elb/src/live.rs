//! Keeping the balancer at what the rows say.
//!
//! Invariants:
//! - [`Elb::reconcile`] is idempotent: called at any time, it brings the balancer to what rows, EC2 and IAM say now.
//! - Nothing is published while nothing differs, unless the balancer could not serve an address the last time.
//! - A hint may be lost: every second repairs it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use balancer::Config;
use tokio_util::sync::CancellationToken;

use crate::rows::LOAD_BALANCERS;
use crate::service::{Elb, Inner};
use crate::to_balancer;
use crate::world;

/// Time between two looks when nobody gives a hint.
const TICK: Duration = Duration::from_secs(1);

/// What the balancer was told last.
#[derive(Default)]
pub(crate) struct Live {
    config: Option<Config>,
    certificates: HashMap<String, Arc<balancer::Certificate>>,
    /// What could not be served then, for the log and for the next try.
    pub(crate) failures: BTreeSet<String>,
    /// What could not be done to network interfaces, likewise.
    interface_failures: BTreeSet<String>,
    /// Whether the last look failed; it is logged once.
    failing: bool,
}

impl Elb {
    /// Brings the balancer to what the rows say. What fails is logged, and repaired by a later call.
    pub(crate) async fn reconcile(&self) {
        let inner = &self.inner;
        let mut live = inner.live.lock().await;
        let world = match self.all_rows().await {
            Ok(rows) => {
                let (interfaces, failures) = self.keep_interfaces(&rows).await;
                for failure in failures.difference(&live.interface_failures) {
                    tracing::error!(failure, "a load balancer's network interface is not as it should be");
                }
                live.interface_failures = failures;
                let networks = inner.instance_networks.as_deref();
                let gathered =
                    world::gather(&*inner.ec2, networks, &interfaces, &*inner.certificates, &rows, &live.certificates)
                        .await;
                gathered.map(|world| (rows, world)).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let (rows, world) = match world {
            Ok(both) => both,
            Err(error) => {
                if !std::mem::replace(&mut live.failing, true) {
                    tracing::error!(error, "cannot find out what to balance; the balancer keeps what it has");
                }
                return;
            }
        };
        live.failing = false;
        let mut config = to_balancer::config(&rows, &world);
        share(&mut config, live.config.as_ref());
        live.certificates = world.certificates;
        if live.config.as_ref() == Some(&config) && live.failures.is_empty() {
            return;
        }
        live.config = Some(config.clone());
        let failures = inner.balancer.publish(config).await.err().unwrap_or_default();
        let failures: BTreeSet<_> = failures.iter().map(ToString::to_string).collect();
        for failure in failures.difference(&live.failures) {
            tracing::error!(failure, "a listener is not served");
        }
        for repaired in live.failures.difference(&failures) {
            tracing::info!(failure = repaired, "a listener is served again");
        }
        live.failures = failures;
    }
}

/// Puts the previous object in the place of each equal one, so that the balancer sees at once what has not changed.
fn share(config: &mut Config, previous: Option<&Config>) {
    let Some(previous) = previous else { return };
    let by_id: HashMap<_, _> = previous.load_balancers.iter().map(|one| (one.id, one)).collect();
    for one in &mut config.load_balancers {
        if let Some(same) = by_id.get(&one.id).filter(|old| **old == one) {
            *one = Arc::clone(same);
        }
    }
}

/// Reconciles on hints and ticks until told to stop, or until nobody holds the service any more.
pub(crate) async fn reconcile_forever(inner: Weak<Inner>, stop: CancellationToken) {
    let Some((mut rows, mut certificates)) =
        inner.upgrade().map(|inner| (inner.store.watch(&LOAD_BALANCERS), inner.certificates.changes()))
    else {
        return;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
            // A sender that is gone must not make this loop spin; ticks go on.
            Ok(()) = rows.changed() => {}
            Ok(()) = certificates.changed() => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        Elb { inner }.reconcile().await;
    }
}
