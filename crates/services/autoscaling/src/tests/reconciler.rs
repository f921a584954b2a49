//! A group keeps its size: what dies is replaced, what fails waits, and nothing is launched twice.

use std::sync::Arc;
use std::time::Duration;

use ::api::autoscaling::{Autoscaling as _, *};
use host::sim::{Seed, SimClock};
use wire::ApiError;

use super::platform::{NOW, balanced, configuration, group, platform, seeded};
use crate::limits::LAUNCHES_IN_FLIGHT_MAX;

#[tokio::test]
async fn an_instance_that_dies_is_replaced_and_the_new_one_balanced() {
    let platform = platform().await;
    platform.create(balanced(2, 2, 2)).await;
    platform.advance_s(60).await;
    let before = platform.serving().await;
    platform.ec2.state.lock().kill(&before[0]);
    platform.clock.advance(Duration::from_secs(1));
    platform.settle().await;
    let after = platform.serving().await;
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[1]) && !after.contains(&before[0]), "{after:?}");
    let registered: Vec<_> = platform.elb.balancers.lock()["elb"].registered.iter().cloned().collect();
    assert_eq!(registered, after, "the dead one is out of the load balancer, the new one in it");
    let causes: Vec<_> = platform.activities().await.into_iter().map(|activity| activity.cause).collect();
    assert_eq!(
        causes[..2],
        [
            "At 2026-01-01T00:01:01Z an instance was launched in response to an unhealthy instance needing to be replaced.",
            "At 2026-01-01T00:01:01Z an instance was taken out of service in response to an EC2 health check indicating it \
             has been terminated or stopped.",
        ]
    );
}

#[tokio::test]
async fn a_stopped_instance_is_ended_and_replaced() {
    let platform = platform().await;
    platform.create(group(1, 1, 1)).await;
    let id = platform.serving().await.remove(0);
    platform.ec2.state.lock().instances.get_mut(&id).unwrap().state = "stopped".to_owned();
    platform.settle().await;
    assert_eq!(platform.ec2.state.lock().instances[&id].state, "terminated");
    assert_ne!(platform.serving().await, [id]);
    assert_eq!(platform.ec2.state.lock().living().len(), 1);
}

#[tokio::test]
async fn elbs_word_counts_after_the_grace_period_and_only_for_groups_that_trust_it() {
    for (trusts, replaced) in [(true, true), (false, false)] {
        let platform = platform().await;
        let kind = if trusts { "ELB" } else { "EC2" };
        platform
            .create(CreateAutoScalingGroupInput { health_check_type: Some(kind.to_owned()), ..balanced(2, 2, 2) })
            .await;
        let before = platform.serving().await;
        platform.elb.balancers.lock().get_mut("elb").unwrap().failing.insert(before[0].clone());
        platform.advance_s(9).await;
        assert_eq!(platform.serving().await, before, "the grace period is not over");
        platform.advance_s(2).await;
        assert_eq!(!platform.serving().await.contains(&before[0]), replaced, "{kind}");
        if replaced {
            let cause = platform.activities().await[1].cause.clone();
            assert!(
                cause.ends_with("taken out of service in response to an ELB system health check failure."),
                "{cause}"
            );
        }
    }
}

#[tokio::test]
async fn a_load_balancer_that_never_had_a_healthy_instance_ends_none() {
    let platform = platform().await;
    platform.ec2.state.lock().slow = true;
    platform.create(balanced(1, 1, 1)).await;
    let id = platform.states().await.remove(0).0;
    platform.elb.balancers.lock().get_mut("elb").unwrap().failing.insert(id.clone());
    platform.ec2.state.lock().slow = false;
    platform.advance_s(60).await;
    assert_eq!(platform.serving().await, std::slice::from_ref(&id));
    platform.elb.balancers.lock().get_mut("elb").unwrap().failing.clear();
    platform.settle().await;
    platform.elb.balancers.lock().get_mut("elb").unwrap().failing.insert(id.clone());
    platform.settle().await;
    assert_ne!(platform.serving().await, [id]);
}

#[tokio::test]
async fn an_instance_is_drained_before_it_is_ended() {
    let platform = platform().await;
    platform.elb.balancers.lock().get_mut("elb").unwrap().drains = true;
    platform.create(balanced(0, 2, 1)).await;
    let id = platform.serving().await.remove(0);
    platform.set_desired(0).await;
    platform.settle().await;
    assert_eq!(platform.states().await, [(id.clone(), "Terminating".to_owned())]);
    assert_eq!(platform.ec2.state.lock().instances[&id].state, "running");
    let activity = platform.activities().await.remove(0);
    assert_eq!(activity.status_code, "WaitingForELBConnectionDraining");
    assert_eq!(
        activity.description.unwrap(),
        format!("Terminating EC2 instance: {id} - Waiting For ELB Connection Draining.")
    );
    platform.elb.balancers.lock().get_mut("elb").unwrap().draining.clear();
    platform.settle().await;
    assert_eq!(platform.ec2.state.lock().instances[&id].state, "terminated");
    let activity = platform.activities().await.remove(0);
    assert_eq!((activity.status_code.as_str(), activity.progress), ("Successful", Some(100)));
    assert_eq!(activity.description.unwrap(), format!("Terminating EC2 instance: {id}"));
}

#[tokio::test]
async fn launches_that_fail_wait_longer_each_time_and_succeed_at_last() {
    let platform = platform().await;
    let refusal = || ApiError::sender("InvalidAMIID.NotFound", "The image id '[ami-12345678]' does not exist");
    platform.ec2.state.lock().refusals.extend((0..6).map(|_| refusal()));
    platform.create(group(0, 1, 1)).await;
    let mut runs = vec![platform.ec2.state.lock().runs];
    for _ in 0..70 {
        platform.advance_s(1).await;
        runs.push(platform.ec2.state.lock().runs);
    }
    let at = |count| runs.iter().position(|runs| *runs == count).unwrap();
    assert_eq!((1..=7).map(at).collect::<Vec<_>>(), [0, 1, 3, 7, 15, 31, 63], "{runs:?}");
}

#[tokio::test]
async fn a_failed_launch_is_told_in_aws_words() {
    let platform = platform().await;
    platform
        .ec2
        .state
        .lock()
        .refusals
        .push_back(ApiError::sender("InvalidKeyPair.NotFound", "The key pair 'x' does not exist."));
    platform.create(group(0, 1, 1)).await;
    let activity = platform.activities().await.remove(0);
    assert_eq!(activity.status_code, "Failed");
    assert_eq!(
        activity.status_message.as_deref(),
        Some("The key pair 'x' does not exist. Launching EC2 instance failed.")
    );
    assert_eq!(
        activity.description.as_deref(),
        Some(
            "Launching a new EC2 instance.  Status Reason: The key pair 'x' does not exist. Launching EC2 instance failed."
        )
    );
    assert_eq!(
        activity.cause,
        "At 2026-01-01T00:00:00Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 1.  At \
         2026-01-01T00:00:00Z an instance was started in response to a difference between desired and actual capacity, \
         increasing the capacity from 0 to 1."
    );
    platform.advance_s(1).await;
    assert_eq!(platform.serving().await.len(), 1);
}

#[tokio::test]
async fn a_fault_of_ec2_keeps_the_intent_and_its_token() {
    let platform = platform().await;
    platform.ec2.state.lock().refusals.push_back(ApiError::receiver("InternalError", "An internal error has occurred"));
    platform.create(group(0, 1, 1)).await;
    let token = platform.autoscaling.all_groups().await.unwrap()[0].instances[0].token.clone();
    platform.advance_s(1).await;
    let state = platform.ec2.state.lock();
    assert_eq!(state.runs, 2);
    assert_eq!(state.instances.values().next().unwrap().token.as_ref(), Some(&token));
}

#[tokio::test]
async fn instances_that_die_young_do_not_become_a_storm() {
    let platform = platform().await;
    platform.create(group(0, 40, 40)).await;
    let first = platform.ec2.state.lock().runs;
    assert_eq!(first, 40);
    for _ in 0..120 {
        let living = platform.ec2.state.lock().living();
        for id in living {
            platform.ec2.state.lock().kill(&id);
        }
        platform.clock.advance(Duration::from_secs(1));
        platform.settle().await;
    }
    // Without waiting it would be 40 each second, 4800; with doubling waits it is a handful of rounds.
    let runs = platform.ec2.state.lock().runs - first;
    assert!(runs <= 9 * 40, "{runs} launches in two minutes");
}

#[tokio::test]
async fn launches_in_flight_are_bounded() {
    let platform = platform().await;
    platform.ec2.state.lock().slow = true;
    platform.create(group(0, 50, 50)).await;
    assert_eq!(platform.ec2.state.lock().runs, LAUNCHES_IN_FLIGHT_MAX);
    platform.ec2.state.lock().slow = false;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 50);
    assert_eq!(platform.ec2.state.lock().launched, 50);
}

#[tokio::test]
async fn a_zone_without_room_is_left_to_others() {
    let platform = platform().await;
    platform.ec2.state.lock().full_zones.insert("us-east-1a".to_owned());
    let zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
    platform.create(CreateAutoScalingGroupInput { availability_zones: zones, ..group(0, 4, 2) }).await;
    platform.advance_s(10).await;
    let zones: Vec<_> = platform.describe().await.instances.into_iter().map(|one| one.availability_zone).collect();
    assert_eq!(zones, ["us-east-1b", "us-east-1b"]);
}

#[tokio::test]
async fn a_launch_without_its_load_balancer_is_not_begun() {
    let platform = platform().await;
    platform.create(balanced(0, 1, 0)).await;
    platform.elb.balancers.lock().clear();
    platform.set_desired(1).await;
    platform.settle().await;
    assert_eq!(platform.ec2.state.lock().runs, 0);
    let activity = platform.activities().await.remove(0);
    assert_eq!(
        activity.status_message.as_deref(),
        Some("There is no ACTIVE Load Balancer named 'elb'. Updating load balancer configuration failed.")
    );
    platform.elb.balancers.lock().insert("elb".to_owned(), Default::default());
    platform.advance_s(2).await;
    assert_eq!(platform.serving().await.len(), 1);
}

#[tokio::test]
async fn an_ec2_or_elb_that_does_not_answer_changes_nothing() {
    let platform = platform().await;
    platform.create(balanced(2, 2, 2)).await;
    let before = platform.serving().await;
    platform.ec2.state.lock().down = true;
    platform.advance_s(30).await;
    platform.ec2.state.lock().down = false;
    *platform.elb.down.lock() = true;
    platform.advance_s(30).await;
    *platform.elb.down.lock() = false;
    platform.settle().await;
    assert_eq!(platform.serving().await, before);
    assert_eq!(platform.ec2.state.lock().launched, 2);
}

#[tokio::test]
async fn zones_that_come_out_of_balance_are_balanced_without_a_gap() {
    let platform = platform().await;
    let zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
    platform.ec2.state.lock().full_zones.insert("us-east-1a".to_owned());
    platform.create(CreateAutoScalingGroupInput { availability_zones: zones, ..group(0, 4, 2) }).await;
    platform.advance_s(5).await;
    assert_eq!(platform.serving().await.len(), 2);
    platform.ec2.state.lock().full_zones.clear();
    for _ in 0..40 {
        platform.clock.advance(Duration::from_secs(10));
        platform.settle().await;
        assert!(platform.serving().await.len() >= 2, "never fewer than desired");
    }
    let mut zones: Vec<_> = platform.describe().await.instances.into_iter().map(|one| one.availability_zone).collect();
    zones.sort();
    assert_eq!(zones, ["us-east-1a", "us-east-1b"]);
    let balancing = "availability zones us-east-1a us-east-1b had 0 2 instances respectively.";
    assert!(platform.activities().await.iter().any(|activity| activity.cause.contains(balancing)));
}

#[tokio::test]
async fn instances_that_are_too_old_are_replaced_one_at_a_time() {
    let platform = platform().await;
    platform.create(CreateAutoScalingGroupInput { max_instance_lifetime: Some(86_400), ..group(2, 2, 2) }).await;
    let before = platform.serving().await;
    platform.ec2.state.lock().slow = true;
    platform.clock.advance(Duration::from_secs(86_400));
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 1);
    platform.ec2.state.lock().slow = false;
    platform.settle().await;
    let after = platform.serving().await;
    assert_eq!(after.len(), 2);
    assert!(before.iter().all(|id| !after.contains(id)), "{before:?} {after:?}");
}

#[tokio::test(start_paused = true)]
async fn the_clockwork_launches_on_a_hint_and_replaces_within_two_seconds() {
    let clock = Arc::new(SimClock::on_tokio(NOW));
    let platform = seeded(Seed(3), Arc::clone(&clock)).await;
    platform.autoscaling.start();
    tokio::time::sleep(Duration::from_millis(50)).await;
    platform.autoscaling.create_auto_scaling_group(&platform.call, balanced(2, 2, 2)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(platform.serving().await.len(), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = platform.serving().await;
    platform.ec2.state.lock().kill(&before[0]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = platform.serving().await;
    assert_eq!(after.len(), 2, "replaced and in service two seconds after its death");
    assert!(!after.contains(&before[0]));
    platform.autoscaling.close().await;
    let input =
        SetDesiredCapacityInput { auto_scaling_group_name: "g".into(), desired_capacity: 2, ..Default::default() };
    platform.autoscaling.set_desired_capacity(&platform.call, input).await.unwrap();
    let ticks = platform.ec2.state.lock().runs;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(platform.ec2.state.lock().runs, ticks, "a closed service looks after nothing");
}

#[tokio::test]
async fn a_reset_forgets_groups_and_leaves_instances() {
    let platform = platform().await;
    platform.create(group(1, 1, 1)).await;
    platform.autoscaling.reset().await.unwrap();
    platform.settle().await;
    assert_eq!(platform.ec2.state.lock().living().len(), 1);
    assert!(platform.autoscaling.all_groups().await.unwrap().is_empty());
    platform.autoscaling.create_launch_configuration(&platform.call, configuration("lc")).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_ec2_does_not_end_is_let_go_or_tried_again() {
    let platform = platform().await;
    platform.create(group(0, 4, 3)).await;
    let ids = platform.serving().await;
    platform.ec2.state.lock().instances.get_mut(&ids[0]).unwrap().refuses_to_end = Some("UnsupportedOperation");
    platform.ec2.state.lock().instances.get_mut(&ids[1]).unwrap().refuses_to_end = Some("OperationNotPermitted");
    platform.set_desired(0).await;
    platform.settle().await;
    assert_eq!(platform.states().await, [(ids[1].clone(), "Terminating".to_owned())]);
    assert_eq!(platform.ec2.state.lock().living(), ids[..2]);
    let failed = platform.activities().await.into_iter().find(|activity| activity.status_code == "Failed").unwrap();
    assert_eq!(failed.description, Some(format!("Terminating EC2 instance: {}", ids[0])));
    assert_eq!(failed.status_message.as_deref(), Some("It is not ended."));
    platform.ec2.state.lock().instances.get_mut(&ids[1]).unwrap().refuses_to_end = None;
    platform.advance_s(30).await;
    assert!(platform.states().await.is_empty());
    assert_eq!(platform.ec2.state.lock().living(), ids[..1]);
}
