//! `kill -9` between any two calls: the group ends as it was asked, with no instance too many and none forgotten.

use std::sync::Arc;
use std::time::Duration;

use ::api::autoscaling::{Autoscaling as _, *};
use host::sim::{Rng, Seed, SimClock, for_each_seed};

use super::platform::{NOW, Platform, balanced, group, seeded};

/// Lets the service work until it is killed at some call or has nothing to do; then starts it again.
async fn live_and_die(platform: &mut Platform, rng: &mut Rng) {
    platform.ec2.fuse.light(rng.below(25), rng.one_in(2));
    for _ in 0..12 {
        let autoscaling = platform.autoscaling.clone();
        let mut work = tokio::spawn(async move { autoscaling.tick().await });
        tokio::select! {
            _ = &mut work => {}
            () = platform.ec2.fuse.burnt.notified() => {
                work.abort();
                drop(work.await);
                break;
            }
        }
        platform.clock.advance(Duration::from_millis(500));
    }
    platform.ec2.fuse.put_out();
    platform.restart().await;
}

/// Everything that lives belongs to the group, everything in the group lives, and the load balancer has just those.
async fn assert_whole(platform: &Platform, desired: usize) {
    // Longer than the longest backoff, in steps that are not too fine.
    for _ in 0..40 {
        platform.clock.advance(Duration::from_secs(20));
        platform.settle().await;
    }
    let serving = platform.serving().await;
    assert_eq!(serving.len(), desired, "{:#?}", platform.autoscaling.all_groups().await.unwrap());
    assert_eq!(platform.states().await.len(), desired);
    let mut living = platform.ec2.state.lock().living();
    let mut known = serving.clone();
    living.sort();
    known.sort();
    assert_eq!(living, known, "no orphan, no duplicate");
    let balanced: Vec<_> = platform.elb.balancers.lock()["elb"].registered.iter().cloned().collect();
    assert_eq!(balanced, known);
    let unfinished = platform.activities().await.into_iter().filter(|activity| activity.end_time.is_none()).count();
    assert_eq!(unfinished, 0, "each activity has ended");
}

async fn scenario(seed: Seed) {
    let mut rng = Rng::new(seed);
    let mut platform = seeded(seed, Arc::new(SimClock::frozen(NOW))).await;
    platform.elb.balancers.lock().get_mut("elb").unwrap().drains = rng.one_in(2);
    platform.autoscaling.create_auto_scaling_group(&platform.call, balanced(0, 8, 3)).await.unwrap();
    let mut desired = 3;
    for _ in 0..12 {
        match rng.below(5) {
            0 => {
                desired = i32::try_from(rng.below(7)).unwrap();
                platform.set_desired(desired).await;
            }
            1 => {
                let living = platform.ec2.state.lock().living();
                if !living.is_empty() {
                    let victim = living[rng.index(living.len())].clone();
                    platform.ec2.state.lock().kill(&victim);
                }
            }
            2 => {
                let slow = rng.one_in(2);
                platform.ec2.state.lock().slow = slow;
            }
            3 => platform.elb.balancers.lock().get_mut("elb").unwrap().draining.clear(),
            _ => {
                let fault = wire::ApiError::receiver("InternalError", "An internal error has occurred");
                platform.ec2.state.lock().refusals.push_back(fault);
            }
        }
        live_and_die(&mut platform, &mut rng).await;
    }
    platform.ec2.state.lock().slow = false;
    platform.elb.balancers.lock().get_mut("elb").unwrap().drains = false;
    platform.elb.balancers.lock().get_mut("elb").unwrap().draining.clear();
    assert_whole(&platform, usize::try_from(desired).unwrap()).await;
    if rng.one_in(3) {
        delete(&mut platform, &mut rng).await;
    }
}

async fn delete(platform: &mut Platform, rng: &mut Rng) {
    let input = DeleteAutoScalingGroupInput { auto_scaling_group_name: "g".into(), force_delete: Some(true) };
    platform.autoscaling.delete_auto_scaling_group(&platform.call, input).await.unwrap();
    for _ in 0..4 {
        live_and_die(platform, rng).await;
    }
    platform.clock.advance(Duration::from_secs(60));
    platform.settle().await;
    assert!(platform.autoscaling.all_groups().await.unwrap().is_empty());
    assert_eq!(platform.ec2.state.lock().living(), Vec::<String>::new());
}

#[test]
fn a_killed_service_ends_in_the_desired_state_with_no_orphan_and_no_duplicate() {
    for_each_seed(150, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(scenario(seed));
    });
}

#[tokio::test]
async fn a_registration_whose_answer_was_lost_is_undone_all_the_same() {
    let mut platform = seeded(Seed(2), Arc::new(SimClock::frozen(NOW))).await;
    platform.autoscaling.create_auto_scaling_group(&platform.call, balanced(0, 1, 1)).await.unwrap();
    while platform.elb.log.lock().is_empty() {
        // Two questions a look, then the registration.
        platform.ec2.fuse.light(2, true);
        let autoscaling = platform.autoscaling.clone();
        let mut work = tokio::spawn(async move { autoscaling.tick().await });
        tokio::select! {
            _ = &mut work => {}
            () = platform.ec2.fuse.burnt.notified() => work.abort(),
        }
        platform.restart().await;
    }
    platform.ec2.fuse.put_out();
    let id = platform.ec2.state.lock().living().remove(0);
    assert!(platform.elb.balancers.lock()["elb"].registered.contains(&id));
    platform.ec2.state.lock().kill(&id);
    platform.restart().await;
    platform.clock.advance(Duration::from_secs(2));
    platform.settle().await;
    let registered: Vec<_> = platform.elb.balancers.lock()["elb"].registered.iter().cloned().collect();
    assert_eq!(registered, platform.serving().await, "the dead one is out");
}

#[tokio::test]
async fn a_launch_whose_answer_was_lost_is_found_again_and_not_repeated() {
    let mut platform = seeded(Seed(1), Arc::new(SimClock::frozen(NOW))).await;
    platform.autoscaling.create_auto_scaling_group(&platform.call, group(0, 1, 1)).await.unwrap();
    // The first call asks what runs, the second launches.
    platform.ec2.fuse.light(1, true);
    let autoscaling = platform.autoscaling.clone();
    let work = tokio::spawn(async move { autoscaling.tick().await });
    platform.ec2.fuse.burnt.notified().await;
    work.abort();
    drop(work.await);
    platform.ec2.fuse.put_out();
    assert_eq!(platform.ec2.state.lock().launched, 1);
    assert!(platform.states().await.is_empty(), "the id was lost");
    platform.restart().await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 1);
    let state = platform.ec2.state.lock();
    assert_eq!((state.launched, state.runs), (1, 1));
}
