//! What stays the same object, what drains, and when it is cut.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::plan::tests::{Sketch, config, sketches};

fn sketch() -> Sketch {
    Sketch {
        id: 1,
        nodes: vec![0, 1],
        shared_address: false,
        listeners: vec![(80, true)],
        targets: vec![(1, 0), (2, 1)],
        cross_zone: true,
        draining_s: Some(30),
    }
}

fn targets_at(registry: &Registry, node: usize) -> Vec<Arc<TargetState>> {
    registry.entry(LoadBalancerId(1)).unwrap().nodes[node].targets.to_vec()
}

fn ids_of(targets: &[Arc<TargetState>]) -> Vec<&str> {
    targets.iter().map(|target| &*target.id.0).collect()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn what_stays_is_the_same_object_whatever_else_changes() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[sketch()]), now);
    let before = registry.entry(LoadBalancerId(1)).unwrap().clone();
    let changed = Sketch {
        listeners: vec![(80, true), (81, false)],
        targets: vec![(2, 1), (3, 0), (1, 0)],
        draining_s: None,
        ..sketch()
    };
    let applied = registry.apply(&config(&[changed]), now);
    assert!(applied.changed.contains(&LoadBalancerId(1)));
    assert!(applied.cut.is_empty());
    let after = registry.entry(LoadBalancerId(1)).unwrap();
    for (before, after) in before.nodes.iter().zip(&after.nodes) {
        assert!(Arc::ptr_eq(&before.state, &after.state));
        assert!(Arc::ptr_eq(&before.targets[0], &after.targets[2]));
        assert!(Arc::ptr_eq(&before.targets[1], &after.targets[0]));
    }
}

#[test]
fn an_equal_configuration_changes_nothing() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[sketch()]), now);
    let applied = registry.apply(&config(&[sketch()]), now);
    assert!(applied.changed.is_empty() && applied.cut.is_empty());
}

#[test]
fn a_node_uses_its_own_zone_or_with_cross_zone_all_that_have_a_node() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    let targets = vec![(1, 0), (2, 1), (3, 2)];
    registry.apply(&config(&[Sketch { targets: targets.clone(), ..sketch() }]), now);
    assert_eq!(ids_of(&targets_at(&registry, 0)), ["i-1", "i-2"]);
    assert_eq!(ids_of(&targets_at(&registry, 1)), ["i-1", "i-2"]);
    registry.apply(&config(&[Sketch { targets, cross_zone: false, ..sketch() }]), now);
    assert_eq!(ids_of(&targets_at(&registry, 0)), ["i-1"]);
    assert_eq!(ids_of(&targets_at(&registry, 1)), ["i-2"]);
}

#[test]
fn a_deregistered_target_is_cut_when_its_time_to_drain_is_over() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[sketch()]), now);
    let gone = targets_at(&registry, 0).remove(0);
    gone.outstanding.store(1, Ordering::Relaxed);
    let applied = registry.apply(&config(&[Sketch { targets: vec![(2, 1)], ..sketch() }]), now);
    assert!(applied.cut.is_empty());
    assert_eq!(registry.next_deadline(), Some(now + seconds(30)));
    assert!(!registry.expire(now + seconds(29)).iter().any(|target| Arc::ptr_eq(target, &gone)));
    assert!(registry.expire(now + seconds(30)).iter().any(|target| Arc::ptr_eq(target, &gone)));
    assert!(registry.leaving().is_empty());
}

#[test]
fn a_target_that_nobody_talks_to_has_drained_after_a_second() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[Sketch { nodes: vec![0], ..sketch() }]), now);
    let gone = targets_at(&registry, 0).remove(0);
    gone.outstanding.store(1, Ordering::Relaxed);
    registry.apply(&config(&[Sketch { nodes: vec![0], targets: vec![], ..sketch() }]), now);
    assert!(registry.expire(now + seconds(2)).is_empty());
    gone.outstanding.store(0, Ordering::Relaxed);
    assert_eq!(registry.expire(now + seconds(2)).len(), 1);
}

#[test]
fn without_draining_a_deregistered_target_is_cut_at_once() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[Sketch { draining_s: None, ..sketch() }]), now);
    let gone: HashSet<_> = [0, 1].map(|node| Arc::as_ptr(&targets_at(&registry, node)[0])).into();
    let applied = registry.apply(&config(&[Sketch { draining_s: None, targets: vec![(2, 1)], ..sketch() }]), now);
    assert_eq!(applied.cut.iter().map(Arc::as_ptr).collect::<HashSet<_>>(), gone);
    assert!(registry.leaving().is_empty());
}

#[test]
fn registering_a_draining_target_again_revives_it() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[sketch()]), now);
    let before = targets_at(&registry, 1).remove(0);
    before.outstanding.store(1, Ordering::Relaxed);
    registry.apply(&config(&[Sketch { targets: vec![(2, 1)], ..sketch() }]), now);
    registry.apply(&config(&[sketch()]), now + seconds(29));
    assert!(Arc::ptr_eq(&before, &targets_at(&registry, 1)[0]));
    assert!(registry.expire(now + seconds(3600)).is_empty());
}

#[test]
fn an_instance_that_comes_back_elsewhere_is_another_target() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[sketch()]), now);
    let before = targets_at(&registry, 0).remove(0);
    registry.apply(&config(&[Sketch { targets: vec![(1, 1), (2, 1)], ..sketch() }]), now);
    let after = targets_at(&registry, 0).remove(0);
    assert_eq!(after.id, before.id);
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(registry.leaving().iter().any(|leaving| leaving.deregistered && Arc::ptr_eq(&leaving.target, &before)));
}

#[test]
fn a_target_that_a_node_no_longer_uses_is_left_alone_until_it_is_deregistered() {
    let (mut registry, now) = (Registry::default(), Instant::now());
    registry.apply(&config(&[sketch()]), now);
    let across = targets_at(&registry, 0).remove(1);
    registry.apply(&config(&[Sketch { cross_zone: false, ..sketch() }]), now);
    assert_eq!(registry.next_deadline(), None);
    assert!(registry.expire(now + seconds(3600)).is_empty());
    registry.apply(&config(&[Sketch { cross_zone: false, targets: vec![(1, 0)], ..sketch() }]), now);
    across.outstanding.store(1, Ordering::Relaxed);
    assert!(registry.expire(now + seconds(30)).iter().any(|target| Arc::ptr_eq(target, &across)));
}

#[test]
fn a_removed_load_balancer_finishes_within_its_draining_or_idle_timeout() {
    for (draining_s, expected_s) in [(Some(5), 5), (None, 60)] {
        let (mut registry, now) = (Registry::default(), Instant::now());
        registry.apply(&config(&[Sketch { draining_s, ..sketch() }]), now);
        let in_use = targets_at(&registry, 0);
        registry.apply(&config(&[]), now);
        assert!(registry.entry(LoadBalancerId(1)).is_none());
        assert!(registry.expire(now + seconds(expected_s) - Duration::from_millis(1)).is_empty());
        assert_eq!(registry.expire(now + seconds(expected_s)).len(), in_use.len());
    }
}

/// Everybody's states, told apart by load balancer, zone, address and target.
type Objects = HashMap<(LoadBalancerId, Arc<str>, std::net::IpAddr), (*const NodeState, Vec<*const TargetState>)>;

fn objects(registry: &Registry) -> Objects {
    let nodes = registry.entries().flat_map(|entry| &entry.nodes);
    nodes
        .map(|node| {
            let key = (node.state.load_balancer, Arc::clone(&node.state.zone), node.state.address);
            (key, (Arc::as_ptr(&node.state), node.targets.iter().map(Arc::as_ptr).collect()))
        })
        .collect()
}

proptest! {
    #[test]
    fn random_changes_leave_exactly_the_last_configurations_states_and_keep_what_stayed(
        history in proptest::collection::vec((sketches(), 0..5_u64), 1..8),
    ) {
        let (mut registry, mut now) = (Registry::default(), Instant::now());
        // Keeps every object alive, so that no address is used twice.
        let mut ever: Vec<Arc<TargetState>> = Vec::new();
        for (sketches, later_s) in &history {
            let before = objects(&registry);
            let ids_before: HashMap<_, _> = registry.all_targets().map(|t| (Arc::as_ptr(t), t.id.clone())).collect();
            now += seconds(*later_s);
            for target in registry.expire(now) {
                target.cut_off();
            }
            let config = config(sketches);
            for target in registry.apply(&config, now).cut {
                target.cut_off();
            }
            ever.extend(registry.all_targets().cloned());

            let mut seen = HashSet::new();
            let unique: Vec<_> = config.load_balancers.iter().filter(|lb| seen.insert(lb.id)).collect();
            prop_assert_eq!(registry.entries().count(), unique.len());
            for load_balancer in unique {
                let entry = registry.entry(load_balancer.id).unwrap();
                prop_assert_eq!(entry.nodes.len(), load_balancer.nodes.len());
                for (node, expected) in entry.nodes.iter().zip(&load_balancer.nodes) {
                    prop_assert!(is_node(&node.state, expected));
                    let usable: Vec<_> = usable(load_balancer, expected).map(|target| &target.id).collect();
                    prop_assert_eq!(node.targets.iter().map(|target| &target.id).collect::<Vec<_>>(), usable);
                    // No request is ever sent to a target that was cut.
                    prop_assert!(node.targets.iter().all(|target| !target.cut.is_cancelled()));
                }
            }
            for (key, (node, targets)) in objects(&registry) {
                let Some((old_node, old_targets)) = before.get(&key) else { continue };
                prop_assert_eq!(node, *old_node);
                for target in targets {
                    // The target's state is the one before, unless the target is new or moved.
                    let state = ever.iter().find(|state| Arc::as_ptr(state) == target).unwrap();
                    let same = old_targets.iter().find(|old| {
                        let old = ever.iter().find(|state| Arc::as_ptr(state) == **old).unwrap();
                        ids_before[&Arc::as_ptr(old)] == state.id && old.zone == state.zone
                    });
                    prop_assert!(same.is_none_or(|same| *same == target));
                }
            }
            // What leaves is not also there, and leaves once.
            let leaving: Vec<_> = registry.leaving().iter().map(|leaving| Arc::as_ptr(&leaving.target)).collect();
            prop_assert_eq!(leaving.iter().collect::<HashSet<_>>().len(), leaving.len());
            prop_assert!(objects(&registry).values().all(|(_, targets)| targets.iter().all(|t| !leaving.contains(t))));
        }
    }
}
