//! The states of nodes and targets from one configuration to the next, and what leaves with each.
//!
//! Invariants:
//! - After [`Registry::apply`] there is exactly one [`NodeState`] for each node of the configuration, and one
//!   [`TargetState`] for each pair of a node and a target that it may use; what stayed is the same object.
//! - A target's state that is no longer wanted is cut at the latest when its time is over, unless the target is back at
//!   the same node before.
//! - Pure but for the objects' identity: time comes in as `now`, sockets are none of its business.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Config, LoadBalancer, LoadBalancerId, Node, Target, TargetId};
use crate::state::{NodeState, TargetState};

/// How long a deregistered target drains at least, even if nobody talks to it.
const DRAINED_AFTER_MIN: Duration = Duration::from_secs(1);

/// A node with the targets that it may use, in the configuration's order.
#[derive(Clone)]
pub(crate) struct NodeEntry {
    pub(crate) state: Arc<NodeState>,
    pub(crate) targets: Arc<[Arc<TargetState>]>,
}

/// A load balancer as it was applied last.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) load_balancer: Arc<LoadBalancer>,
    /// In the order of `load_balancer.nodes`.
    pub(crate) nodes: Vec<NodeEntry>,
}

/// A target's state that the newest configuration does not have.
pub(crate) struct Leaving {
    pub(crate) load_balancer: LoadBalancerId,
    /// The node that it belongs to; a node of the same zone and address made later is another one.
    pub(crate) node: Arc<NodeState>,
    pub(crate) target: Arc<TargetState>,
    pub(crate) since: Instant,
    /// It was deregistered, rather than just not used by this node any longer.
    pub(crate) deregistered: bool,
    /// `None`: what it has begun may take as long as it takes.
    pub(crate) deadline: Option<Instant>,
}

/// What a configuration changed.
#[derive(Default)]
pub(crate) struct Applied {
    /// Load balancers whose routes must be made anew.
    pub(crate) changed: HashSet<LoadBalancerId>,
    /// To be cut now that no route has them.
    pub(crate) cut: Vec<Arc<TargetState>>,
}

/// All states.
#[derive(Default)]
pub(crate) struct Registry {
    entries: HashMap<LoadBalancerId, Entry>,
    leaving: Vec<Leaving>,
}

impl Registry {
    pub(crate) fn entry(&self, id: LoadBalancerId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn leaving(&self) -> &[Leaving] {
        &self.leaving
    }

    /// Takes over a configuration. Load balancers that are equal to what was applied last cost a comparison.
    pub(crate) fn apply(&mut self, config: &Config, now: Instant) -> Applied {
        let mut applied = Applied::default();
        let mut before = std::mem::take(&mut self.entries);
        for load_balancer in &config.load_balancers {
            let id = load_balancer.id;
            if self.entries.contains_key(&id) {
                tracing::error!(load_balancer = %load_balancer.name, "two load balancers have one id; the first is served");
                continue;
            }
            let entry = match before.remove(&id) {
                Some(entry) if is_same(&entry.load_balancer, load_balancer) => entry,
                entry => {
                    applied.changed.insert(id);
                    self.renew(entry, load_balancer, now, &mut applied.cut)
                }
            };
            self.entries.insert(id, entry);
        }
        before.into_values().for_each(|entry| self.remove(entry, now));
        self.forget_finished();
        applied
    }

    /// The next moment at which [`Registry::expire`] has something to do, if nobody finishes before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.leaving.iter().filter_map(|leaving| leaving.deadline).min()
    }

    /// Takes out the targets whose time to drain is over, and those that have drained, to be cut.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Arc<TargetState>> {
        let is_over = |leaving: &mut Leaving| {
            // A moment's patience: a request that has read its route just before may pick the target just after.
            let drained = leaving.deregistered && now >= leaving.since + DRAINED_AFTER_MIN && leaving.target.is_idle();
            drained || leaving.deadline.is_some_and(|deadline| deadline <= now)
        };
        self.leaving.extract_if(.., is_over).map(|leaving| leaving.target).collect()
    }

    /// All targets' states, those that leave too.
    pub(crate) fn all_targets(&self) -> impl Iterator<Item = &Arc<TargetState>> {
        let serving = self.entries.values().flat_map(|entry| &entry.nodes).flat_map(|node| node.targets.iter());
        serving.chain(self.leaving.iter().map(|leaving| &leaving.target))
    }

    /// The states of a load balancer that is new or changed.
    fn renew(
        &mut self,
        old: Option<Entry>,
        load_balancer: &Arc<LoadBalancer>,
        now: Instant,
        cut: &mut Vec<Arc<TargetState>>,
    ) -> Entry {
        let mut old_nodes = old.map(|entry| entry.nodes).unwrap_or_default();
        let mut nodes: Vec<NodeEntry> = Vec::with_capacity(load_balancer.nodes.len());
        for node in &load_balancer.nodes {
            let stayed = old_nodes.iter().position(|old| is_node(&old.state, node));
            let entry = match stayed.map(|index| old_nodes.swap_remove(index)) {
                Some(old) => {
                    let targets = self.targets_of(load_balancer, node, &old);
                    self.leave(load_balancer, &old, &targets, now, cut);
                    NodeEntry { state: old.state, targets: targets.into() }
                }
                None => {
                    let state = Arc::new(NodeState::new(load_balancer.id, node));
                    let targets = usable(load_balancer, node).map(|target| Arc::new(TargetState::of(&state, target)));
                    NodeEntry { targets: targets.collect(), state: Arc::clone(&state) }
                }
            };
            nodes.push(entry);
        }
        old_nodes.into_iter().for_each(|node| self.release_node(load_balancer, node, now));
        self.hurry_deregistered(load_balancer, now, cut);
        Entry { load_balancer: Arc::clone(load_balancer), nodes }
    }

    /// The states of the targets that a node may use now: those it had, those that come back while they drain, new ones.
    fn targets_of(&mut self, load_balancer: &LoadBalancer, node: &Node, old: &NodeEntry) -> Vec<Arc<TargetState>> {
        let mut by_id: HashMap<&TargetId, &Arc<TargetState>> = HashMap::with_capacity(old.targets.len());
        by_id.extend(old.targets.iter().map(|state| (&state.id, state)));
        let targets = usable(load_balancer, node);
        targets
            .map(|target| match by_id.get(&target.id) {
                Some(state) if is_target(state, target) => Arc::clone(state),
                _ => self.revive(&old.state, target).unwrap_or_else(|| Arc::new(TargetState::of(&old.state, target))),
            })
            .collect()
    }

    fn revive(&mut self, node: &Arc<NodeState>, target: &Target) -> Option<Arc<TargetState>> {
        let index = self.leaving.iter().position(|leaving| {
            Arc::ptr_eq(&leaving.node, node) && is_target(&leaving.target, target) && !leaving.target.cut.is_cancelled()
        })?;
        Some(self.leaving.swap_remove(index).target)
    }

    /// Lets those of a node's targets go that it does not use any longer.
    fn leave(
        &mut self,
        load_balancer: &LoadBalancer,
        node: &NodeEntry,
        kept: &[Arc<TargetState>],
        now: Instant,
        cut: &mut Vec<Arc<TargetState>>,
    ) {
        let kept: HashSet<*const TargetState> = kept.iter().map(Arc::as_ptr).collect();
        for target in node.targets.iter().filter(|target| !kept.contains(&Arc::as_ptr(target))) {
            let deregistered = !is_registered(load_balancer, target);
            if deregistered && load_balancer.connection_draining.is_none() {
                cut.push(Arc::clone(target));
                continue;
            }
            self.leaving.push(Leaving {
                load_balancer: load_balancer.id,
                node: Arc::clone(&node.state),
                target: Arc::clone(target),
                since: now,
                deregistered,
                deadline: load_balancer.connection_draining.filter(|_| deregistered).map(|time| now + time),
            });
        }
    }

    /// A target that some node had let go already may now be deregistered, and then has as long as the others.
    fn hurry_deregistered(&mut self, load_balancer: &LoadBalancer, now: Instant, cut: &mut Vec<Arc<TargetState>>) {
        let newly = |leaving: &Leaving| {
            leaving.load_balancer == load_balancer.id
                && !leaving.deregistered
                && !is_registered(load_balancer, &leaving.target)
        };
        let Some(time) = load_balancer.connection_draining else {
            let gone = self.leaving.extract_if(.., |leaving| newly(leaving));
            cut.extend(gone.map(|leaving| leaving.target));
            return;
        };
        for leaving in self.leaving.iter_mut().filter(|leaving| newly(leaving)) {
            leaving.deregistered = true;
            leaving.since = now;
            leaving.deadline = Some(leaving.deadline.unwrap_or(now + time).min(now + time));
        }
    }

    fn remove(&mut self, entry: Entry, now: Instant) {
        let Entry { load_balancer, nodes } = entry;
        let deadline = now + grace(&load_balancer);
        for leaving in self.leaving.iter_mut().filter(|leaving| leaving.load_balancer == load_balancer.id) {
            leaving.deadline = Some(leaving.deadline.unwrap_or(deadline));
        }
        nodes.into_iter().for_each(|node| self.release_node(&load_balancer, node, now));
    }

    /// A node that is gone finishes what it has begun, within bounds.
    fn release_node(&mut self, load_balancer: &LoadBalancer, node: NodeEntry, now: Instant) {
        let deadline = Some(now + grace(load_balancer));
        self.leaving.extend(node.targets.iter().map(|target| Leaving {
            load_balancer: load_balancer.id,
            node: Arc::clone(&node.state),
            target: Arc::clone(target),
            since: now,
            deregistered: false,
            deadline,
        }));
    }

    /// Forgets targets that nobody talks to any longer, where nobody is shown that they drain.
    fn forget_finished(&mut self) {
        self.leaving.retain(|leaving| leaving.deregistered || Arc::strong_count(&leaving.target) > 1);
    }
}

/// How long requests may go on whose load balancer, or node, was removed.
fn grace(load_balancer: &LoadBalancer) -> Duration {
    load_balancer.connection_draining.unwrap_or(load_balancer.idle_timeout)
}

fn is_same(one: &Arc<LoadBalancer>, other: &Arc<LoadBalancer>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

fn is_node(state: &NodeState, node: &Node) -> bool {
    state.zone == node.zone && state.address == node.address && state.egress == node.egress
}

/// Whether it is the same server: an instance that comes back with another address is another.
fn is_target(state: &TargetState, target: &Target) -> bool {
    state.id == target.id
        && state.address == target.address
        && state.zone == target.zone
        && state.is_behind_egress() == target.behind_egress
}

fn is_registered(load_balancer: &LoadBalancer, state: &TargetState) -> bool {
    load_balancer.targets.iter().any(|target| is_target(state, target))
}

/// The targets that a node may use. Those of a zone without a node get no traffic, not even with cross-zone.
fn usable<'a>(load_balancer: &'a LoadBalancer, node: &'a Node) -> impl Iterator<Item = &'a Target> {
    let has_node = |zone: &Arc<str>| load_balancer.nodes.iter().any(|node| node.zone == *zone);
    let may = move |target: &&Target| target.zone == node.zone || (load_balancer.cross_zone && has_node(&target.zone));
    load_balancer.targets.iter().map(Arc::as_ref).filter(may)
}

#[cfg(test)]
mod tests;
