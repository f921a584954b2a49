//! How the targets of a load balancer are, over all of its nodes.
//!
//! Invariant: a target is named once, however many nodes check it; it is in service when any of them finds it so.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{LoadBalancerId, Target, TargetId};
use crate::health::{Checker, HealthState, Judgement, TargetHealth};
use crate::registry::Registry;
use crate::state::TargetState;

/// The registered targets in their order, then those that drain.
pub(crate) fn of(registry: &Registry, checker: &Checker, id: LoadBalancerId) -> Vec<TargetHealth> {
    let Some(entry) = registry.entry(id) else { return Vec::new() };
    let mut judged: HashMap<&TargetId, Judgement> = HashMap::with_capacity(entry.load_balancer.targets.len());
    for target in entry.nodes.iter().flat_map(|node| node.targets.iter()) {
        better(&mut judged, target, checker);
    }
    let of_registered = |target: &Arc<Target>| {
        let judgement = judged.get(&target.id).cloned();
        // No node uses it any more, as its zone was disabled; it may still finish what it has begun.
        let draining = judgement.is_none() && is_finishing(registry, id, &target.id);
        TargetHealth::new(target.id.clone(), Arc::clone(&target.zone), judgement.unwrap_or_default(), draining)
    };
    let mut all: Vec<TargetHealth> = entry.load_balancer.targets.iter().map(of_registered).collect();
    let mut leaving = HashMap::new();
    let drains = registry.leaving().iter().filter(|leaving| leaving.deregistered && leaving.load_balancer == id);
    let mut order = Vec::new();
    for target in drains.map(|leaving| &leaving.target).filter(|target| !judged.contains_key(&target.id)) {
        if !leaving.contains_key(&target.id) {
            order.push(target);
        }
        better(&mut leaving, target, checker);
    }
    all.extend(order.into_iter().map(|target| {
        let judgement = leaving.get(&target.id).cloned().unwrap_or_default();
        TargetHealth::new(target.id.clone(), Arc::clone(&target.zone), judgement, true)
    }));
    all
}

fn is_finishing(registry: &Registry, id: LoadBalancerId, target: &TargetId) -> bool {
    let mut leaving = registry.leaving().iter().filter(|leaving| leaving.load_balancer == id);
    leaving.any(|leaving| leaving.target.id == *target && !leaving.target.is_idle())
}

fn better<'a>(judged: &mut HashMap<&'a TargetId, Judgement>, target: &'a TargetState, checker: &Checker) {
    let judgement = checker.judgement(target);
    let best = judged.entry(&target.id).or_insert_with(|| judgement.clone());
    if judgement.state == HealthState::InService {
        *best = judgement;
    }
}
