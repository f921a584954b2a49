//! Draining by the clock, without sockets.

use super::*;
use crate::config::{Limits, LoadBalancerId};
use crate::plan::tests::{Sketch, config};

/// Tables with the task that cuts what has drained.
struct World {
    tables: Arc<Mutex<Tables>>,
    shared: Arc<Shared>,
    began: Arc<Notify>,
}

impl World {
    fn start() -> Self {
        let shared = Arc::new(Shared::new(Arc::new(host::SystemClock), Arc::new(host::SystemIds), Limits::default()));
        let world = Self { tables: Arc::default(), shared, began: Arc::default() };
        tokio::spawn(cut_drained(Arc::clone(&world.tables), Arc::clone(&world.shared), Arc::clone(&world.began)));
        world
    }

    /// What publishing does to states.
    fn apply(&self, targets: Vec<(u8, u8)>, draining_s: Option<u64>) {
        let sketch = Sketch {
            id: 1,
            nodes: vec![0],
            shared_address: false,
            listeners: vec![],
            targets,
            cross_zone: false,
            draining_s,
        };
        let applied = self.tables.lock().registry.apply(&config(&[sketch]), Instant::now());
        applied.cut.iter().for_each(|target| target.cut_off());
        self.began.notify_one();
    }

    fn busy_target(&self) -> Arc<TargetState> {
        let tables = self.tables.lock();
        let target = Arc::clone(&tables.registry.entry(LoadBalancerId(1)).unwrap().nodes[0].targets[0]);
        target.outstanding.store(1, Ordering::SeqCst);
        target
    }
}

async fn advance_s(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_is_cut_at_its_deadline_and_not_before() {
    let world = World::start();
    world.apply(vec![(1, 0)], Some(300));
    let target = world.busy_target();
    world.apply(vec![], Some(300));
    let (revision, generation) = (*world.shared.health.borrow(), world.shared.generation.load(Ordering::SeqCst));
    advance_s(299).await;
    assert!(!target.cut.is_cancelled());
    advance_s(2).await;
    assert!(target.cut.is_cancelled());
    assert!(!target.is_in_service());
    assert!(*world.shared.health.borrow() > revision, "whoever watches health is told");
    assert!(world.shared.generation.load(Ordering::SeqCst) > generation, "connections are told to look");
}

#[tokio::test(start_paused = true)]
async fn a_target_has_drained_soon_after_its_last_request_ended() {
    let world = World::start();
    world.apply(vec![(1, 0)], Some(300));
    let target = world.busy_target();
    world.apply(vec![], Some(300));
    advance_s(100).await;
    assert!(!target.cut.is_cancelled());
    target.outstanding.store(0, Ordering::SeqCst);
    advance_s(1).await;
    assert!(target.cut.is_cancelled());
    assert!(world.tables.lock().registry.leaving().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_later_target_with_less_time_is_cut_earlier() {
    let world = World::start();
    world.apply(vec![(1, 0), (2, 0)], Some(3000));
    let first = world.busy_target();
    world.apply(vec![(2, 0)], Some(3000));
    let second = world.busy_target();
    world.apply(vec![], Some(10));
    advance_s(11).await;
    assert!(second.cut.is_cancelled() && !first.cut.is_cancelled());
    advance_s(2990).await;
    assert!(first.cut.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_came_back_is_not_cut_when_its_time_would_have_been_over() {
    let world = World::start();
    world.apply(vec![(1, 0)], Some(10));
    let target = world.busy_target();
    world.apply(vec![], Some(10));
    advance_s(9).await;
    world.apply(vec![(1, 0)], Some(10));
    advance_s(3600).await;
    assert!(!target.cut.is_cancelled());
    assert!(Arc::ptr_eq(&target, &world.busy_target()));
}
