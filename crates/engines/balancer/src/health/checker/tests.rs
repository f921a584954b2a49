//! Who is checked when, and what follows from it.

use std::net::{IpAddr, Ipv4Addr};

use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};

use super::super::HealthReason;
use super::*;
use crate::config::{DesyncMode, HealthCheckKind, Limits, LoadBalancerId, Node, Target, TargetId};

/// What the simulated targets answer, and when they were asked.
#[derive(Default)]
struct World {
    failing: Mutex<HashMap<IpAddr, Failure>>,
    /// How long an answer takes.
    takes: Mutex<Duration>,
    asked: Mutex<Vec<(IpAddr, Instant)>>,
}

impl World {
    fn fails(&self, target: u8, failure: Failure) {
        self.failing.lock().insert(address(target), failure);
    }

    fn recovers(&self, target: u8) {
        self.failing.lock().remove(&address(target));
    }

    /// When a target was asked, since `began`.
    fn asked(&self, target: IpAddr, began: Instant) -> Vec<Duration> {
        let asked = self.asked.lock();
        asked.iter().filter(|(address, _)| *address == target).map(|(_, when)| *when - began).collect()
    }
}

struct Test {
    world: Arc<World>,
    checker: Checker,
    node: Arc<NodeState>,
    targets: Vec<Arc<TargetState>>,
    check: HealthCheck,
    began: Instant,
}

fn address(target: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, target).into()
}

fn target(number: u32) -> Arc<TargetState> {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number).into();
    Arc::new(TargetState::new(&Target {
        id: TargetId(format!("i-{number}").into()),
        address,
        zone: "a".into(),
        behind_egress: false,
    }))
}

fn test(targets: u32) -> Test {
    let world = Arc::new(World::default());
    let shared = Shared::new(
        Arc::new(SimClock::on_tokio(Timestamp(1_000_000))),
        Arc::new(SimIds::new(Seed(7))),
        Limits::default(),
    );
    let of_prober = Arc::clone(&world);
    let prober: Prober = Arc::new(move |check: Arc<HealthCheck>, destination: Destination| {
        let address = destination.address;
        assert_eq!(address.port(), check.port);
        let world = Arc::clone(&of_prober);
        Box::pin(async move {
            world.asked.lock().push((address.ip(), Instant::now()));
            let takes = *world.takes.lock();
            let failure = world.failing.lock().get(&address.ip()).cloned();
            tokio::time::sleep(takes).await;
            failure.map_or(Ok(()), Err)
        })
    });
    let node = Node { zone: "a".into(), address: IpAddr::from([127, 0, 1, 1]), egress: None };
    let test = Test {
        world,
        checker: Checker::with(&Handle::current(), Arc::new(shared), prober),
        node: Arc::new(NodeState::new(LoadBalancerId(1), &node)),
        targets: (1..=targets).map(target).collect(),
        check: HealthCheck {
            kind: HealthCheckKind::Tcp,
            port: 80,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            unhealthy_threshold: 2,
            healthy_threshold: 3,
        },
        began: Instant::now(),
    };
    test.publish();
    test
}

impl Test {
    fn publish(&self) {
        let load_balancer = Arc::new(LoadBalancer {
            id: LoadBalancerId(1),
            name: "web".into(),
            dns_names: Vec::new(),
            nodes: Vec::new(),
            listeners: Vec::new(),
            targets: Vec::new(),
            health_check: self.check.clone(),
            cross_zone: true,
            idle_timeout: Duration::from_secs(60),
            connection_draining: None,
            desync_mode: DesyncMode::Defensive,
            access: Vec::new(),
            access_log: false,
        });
        let targets = self.targets.clone().into();
        self.checker.publish(vec![Watched { load_balancer, node: Arc::clone(&self.node), targets }]);
    }

    fn judgement(&self, target: usize) -> Judgement {
        let judgement = self.checker.judgement(&self.targets[target - 1]);
        let in_service = self.targets[target - 1].is_in_service();
        assert_eq!(judgement.state == HealthState::InService, in_service, "what is said is what is done");
        judgement
    }

    fn state(&self, target: usize) -> HealthState {
        self.judgement(target).state
    }

    fn revision(&self) -> u64 {
        *self.checker.shared.health.borrow()
    }
}

async fn pass_s(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_target_is_checked_at_once_and_serves_after_its_first_pass() {
    let test = test(1);
    assert_eq!(test.state(1), HealthState::Unknown);
    assert_eq!(test.judgement(1).reason, HealthReason::RegistrationInProgress);
    let before = test.revision();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(test.state(1), HealthState::InService);
    assert_eq!(test.judgement(1).reason, HealthReason::None);
    assert_eq!(test.revision(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_goes_out_of_service_and_says_why_until_it_is_back() {
    let test = test(1);
    pass_s(1).await;
    test.world.fails(1, Failure::Status(404));
    pass_s(10).await;
    assert_eq!(test.state(1), HealthState::InService);
    assert_eq!(test.judgement(1).failure.as_deref(), Some("got 404, not 200"));
    pass_s(10).await;
    let judgement = test.judgement(1);
    assert_eq!(
        (judgement.state, judgement.reason),
        (HealthState::OutOfService, HealthReason::FailedUnhealthyThreshold)
    );
    test.world.recovers(1);
    pass_s(10).await;
    assert_eq!(test.judgement(1).reason, HealthReason::NotPassedHealthyThreshold);
    assert_eq!(test.judgement(1).failure.as_deref(), Some("got 404, not 200"));
    pass_s(20).await;
    assert_eq!((test.state(1), test.judgement(1).failure), (HealthState::InService, None));
    assert!(test.judgement(1).since > judgement.since);
}

#[tokio::test(start_paused = true)]
async fn checks_come_at_a_fixed_period_however_long_answers_take() {
    let test = test(1);
    pass_s(25).await;
    *test.world.takes.lock() = Duration::from_secs(4);
    pass_s(60).await;
    let asked = test.world.asked(address(1), test.began);
    let apart: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart[0] >= Duration::from_secs(5) && apart[0] <= Duration::from_secs(10), "{apart:?}");
    // Timers are rounded to milliseconds.
    let is_period = |apart: &Duration| apart.abs_diff(Duration::from_secs(10)) <= Duration::from_millis(1);
    assert!(apart.len() >= 7 && apart[1..].iter().all(is_period), "{apart:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_targets_are_not_checked_in_one_millisecond_and_a_seed_replays_when_they_are() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let test = test(1000);
        pass_s(25).await;
        let mut all: Vec<(IpAddr, Duration)> =
            test.world.asked.lock().iter().map(|(address, when)| (*address, *when - test.began)).collect();
        all.sort_unstable();
        runs.push(all.clone());
        let in_window = |from: u64, to: u64| {
            let mut per_ms: HashMap<u128, usize> = HashMap::new();
            for (_, at) in all.iter().filter(|(_, at)| (from..to).contains(&at.as_secs())) {
                *per_ms.entry(at.as_millis()).or_default() += 1;
            }
            (per_ms.values().sum::<usize>(), per_ms.values().max().copied().unwrap_or(0))
        };
        assert_eq!(in_window(0, 2).0, 1000);
        assert!(in_window(0, 2).1 <= 3, "{:?}", in_window(0, 2));
        let (sum, most) = in_window(10, 20);
        assert!((900..=1100).contains(&sum) && most <= 20, "{sum} {most}");
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_is_made_soon_keeps_the_standing_and_counts_anew() {
    let mut test = test(2);
    test.world.fails(2, Failure::NotHttp);
    pass_s(20).await;
    assert_eq!((test.state(1), test.state(2)), (HealthState::InService, HealthState::OutOfService));
    test.world.fails(1, Failure::Status(500));
    test.world.recovers(2);
    test.check = HealthCheck { port: 8080, interval: Duration::from_secs(300), healthy_threshold: 2, ..test.check };
    let asked = test.world.asked.lock().len();
    test.publish();
    pass_s(2).await;
    assert_eq!(test.world.asked.lock().len(), asked + 2);
    assert_eq!((test.state(1), test.state(2)), (HealthState::InService, HealthState::OutOfService));
    assert_eq!(test.judgement(2).reason, HealthReason::NotPassedHealthyThreshold);
    pass_s(300).await;
    assert_eq!((test.state(1), test.state(2)), (HealthState::OutOfService, HealthState::InService));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_old_check_does_not_count_for_the_new_one() {
    let mut test = test(1);
    pass_s(1).await;
    *test.world.takes.lock() = Duration::from_secs(4);
    test.world.fails(1, Failure::CutShort);
    test.check.unhealthy_threshold = 1;
    test.publish();
    pass_s(3).await;
    // This check is under way and will fail; the change makes it void.
    assert_eq!(test.world.asked(address(1), test.began).len(), 2);
    test.check.port = 81;
    test.publish();
    test.world.recovers(1);
    pass_s(30).await;
    assert_eq!((test.state(1), test.judgement(1).failure), (HealthState::InService, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_published_again_is_not_disturbed() {
    let mut test = test(1);
    for _ in 0..30 {
        pass_s(1).await;
        test.publish();
    }
    let undisturbed = test.world.asked(address(1), test.began);
    assert!((3..=5).contains(&undisturbed.len()), "{undisturbed:?}");
    let revision = test.revision();
    test.targets.push(target(2));
    test.publish();
    pass_s(1).await;
    assert_eq!((test.state(1), test.state(2)), (HealthState::InService, HealthState::InService));
    assert_eq!(test.revision(), revision + 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_target_is_not_checked_any_longer_and_comes_back_as_it_was() {
    let mut test = test(2);
    pass_s(1).await;
    let removed = test.targets.remove(0);
    test.publish();
    let asked = test.world.asked(address(1), test.began).len();
    pass_s(60).await;
    assert_eq!(test.world.asked(address(1), test.began).len(), asked);
    assert_eq!(test.checker.judgement(&removed).state, HealthState::InService);
    test.world.fails(1, Failure::CutShort);
    test.targets.insert(0, removed);
    test.publish();
    assert_eq!(test.state(1), HealthState::InService);
    pass_s(20).await;
    assert_eq!(test.state(1), HealthState::OutOfService);
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_the_checker() {
    let test = test(3);
    pass_s(1).await;
    let world = Arc::clone(&test.world);
    drop(test);
    let asked = world.asked.lock().len();
    pass_s(60).await;
    assert_eq!(world.asked.lock().len(), asked);
}
