//! What users do to instances: attach, detach, standby, terminate, protect, call ill.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{balanced, code, group, platform, refused, texts};

fn attach(ids: &[&str]) -> AttachInstancesInput {
    AttachInstancesInput { auto_scaling_group_name: "g".into(), instance_ids: texts(ids) }
}

fn detach(ids: &[&str], decrement: bool) -> DetachInstancesInput {
    DetachInstancesInput {
        auto_scaling_group_name: "g".into(),
        instance_ids: texts(ids),
        should_decrement_desired_capacity: decrement,
    }
}

fn enter(ids: &[&str], decrement: bool) -> EnterStandbyInput {
    EnterStandbyInput {
        auto_scaling_group_name: "g".into(),
        instance_ids: texts(ids),
        should_decrement_desired_capacity: decrement,
    }
}

fn exit(ids: &[&str]) -> ExitStandbyInput {
    ExitStandbyInput { auto_scaling_group_name: "g".into(), instance_ids: texts(ids) }
}

fn terminate(id: &str, decrement: bool) -> TerminateInstanceInAutoScalingGroupInput {
    TerminateInstanceInAutoScalingGroupInput {
        instance_id: Some(id.into()),
        should_decrement_desired_capacity: decrement,
        ..Default::default()
    }
}

fn health(id: &str, status: &str, respect: Option<bool>) -> SetInstanceHealthInput {
    SetInstanceHealthInput {
        instance_id: id.into(),
        health_status: status.into(),
        should_respect_grace_period: respect,
    }
}

#[tokio::test]
async fn an_attached_instance_counts_is_tagged_and_balanced() {
    let platform = platform().await;
    platform.create(balanced(0, 2, 1)).await;
    platform.ec2.state.lock().add("i-mine", "us-east-1a");
    platform.autoscaling.attach_instances(&platform.call, attach(&["i-mine"])).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.describe().await.desired_capacity, 2);
    assert!(platform.serving().await.contains(&"i-mine".to_owned()));
    assert!(platform.elb.balancers.lock()["elb"].registered.contains("i-mine"));
    assert_eq!(platform.ec2.state.lock().instances["i-mine"].tags["aws:autoscaling:groupName"], "g");
    assert_eq!(
        platform.activities().await[0].cause,
        "At 2026-01-01T00:00:00Z an instance was attached in response to a user request, increasing the capacity from 1 to 2."
    );
    platform.ec2.state.lock().add("i-more", "us-east-1a");
    assert_eq!(
        refused(platform.autoscaling.attach_instances(&platform.call, attach(&["i-more"])).await),
        "ValidationError: AutoScalingGroup g has min-size=0, max-size=2, and desired-size=2. To attach 1 instance, please \
         update the AutoScalingGroup sizes appropriately."
    );
    platform.ec2.state.lock().add("i-far", "us-east-1c");
    for wrong in [attach(&["i-mine"]), attach(&["i-none"]), attach(&["i-far"]), attach(&[]), attach(&["i-a", "i-a"])] {
        assert_eq!(code(platform.autoscaling.attach_instances(&platform.call, wrong).await), "ValidationError");
    }
}

#[tokio::test]
async fn a_detached_instance_lives_on_outside_of_group_and_load_balancer() {
    let platform = platform().await;
    platform.create(balanced(1, 3, 3)).await;
    let ids = platform.serving().await;
    let activities = platform.autoscaling.detach_instances(&platform.call, detach(&[&ids[0]], true)).await.unwrap();
    assert_eq!(
        activities.activities[0].cause,
        format!(
            "At 2026-01-01T00:00:00Z instance {} was detached in response to a user request, shrinking the capacity from 3 \
             to 2.",
            ids[0]
        )
    );
    platform.settle().await;
    assert_eq!(platform.serving().await, ids[1..]);
    assert_eq!(platform.ec2.state.lock().living().len(), 3);
    assert!(!platform.elb.balancers.lock()["elb"].registered.contains(&ids[0]));
    platform.autoscaling.detach_instances(&platform.call, detach(&[&ids[1]], false)).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 2, "replaced");
    assert_eq!(platform.ec2.state.lock().living().len(), 4);
    let left = platform.serving().await;
    let both = detach(&[&left[0], &left[1]], true);
    assert_eq!(code(platform.autoscaling.detach_instances(&platform.call, both).await), "ValidationError");
    assert_eq!(platform.describe().await.desired_capacity, 2, "all or nothing");
    assert_eq!(
        refused(platform.autoscaling.detach_instances(&platform.call, detach(&["i-none"], true)).await),
        "ValidationError: The instance i-none is not part of Auto Scaling group g."
    );
}

#[tokio::test]
async fn standby_takes_an_instance_out_and_brings_it_back() {
    let platform = platform().await;
    platform.create(balanced(1, 2, 2)).await;
    let ids = platform.serving().await;
    let activities = platform.autoscaling.enter_standby(&platform.call, enter(&[&ids[0]], true)).await.unwrap();
    assert_eq!(activities.activities[0].description, Some(format!("Moving EC2 instance to Standby: {}", ids[0])));
    assert_eq!(platform.states().await[0].1, "EnteringStandby");
    platform.settle().await;
    assert_eq!(platform.states().await[0].1, "Standby");
    assert_eq!(platform.describe().await.desired_capacity, 1);
    assert!(!platform.elb.balancers.lock()["elb"].registered.contains(&ids[0]));
    platform.ec2.state.lock().instances.get_mut(&ids[0]).unwrap().state = "stopped".into();
    platform.settle().await;
    assert_eq!(platform.states().await[0].1, "Standby", "one on standby is not judged");
    platform.ec2.state.lock().instances.get_mut(&ids[0]).unwrap().state = "running".into();
    assert_eq!(
        refused(platform.autoscaling.enter_standby(&platform.call, enter(&[&ids[1]], true)).await),
        "ValidationError: AutoScalingGroup g has min-size=1, max-size=2, and desired-size=1. To place into standby 1 \
         instance, please update the AutoScalingGroup sizes appropriately."
    );
    let activities = platform.autoscaling.exit_standby(&platform.call, exit(&[&ids[0]])).await.unwrap();
    assert!(activities.activities[0].cause.ends_with("increasing the capacity from 1 to 2."));
    platform.settle().await;
    assert_eq!(platform.serving().await, ids);
    assert!(platform.elb.balancers.lock()["elb"].registered.contains(&ids[0]));
    assert_eq!(code(platform.autoscaling.exit_standby(&platform.call, exit(&[&ids[0]])).await), "ValidationError");
}

#[tokio::test]
async fn standby_without_decrement_is_filled_up() {
    let platform = platform().await;
    platform.create(group(1, 1, 1)).await;
    let id = platform.serving().await.remove(0);
    platform.autoscaling.enter_standby(&platform.call, enter(&[&id], false)).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 1);
    assert_eq!(platform.states().await.len(), 2);
    assert_eq!(code(platform.autoscaling.exit_standby(&platform.call, exit(&[&id])).await), "ValidationError");
}

#[tokio::test]
async fn a_user_terminates_an_instance_with_or_without_its_place() {
    let platform = platform().await;
    platform.create(group(1, 3, 2)).await;
    let ids = platform.serving().await;
    let answer = terminate(&ids[0], true);
    let answer = platform.autoscaling.terminate_instance_in_auto_scaling_group(&platform.call, answer).await.unwrap();
    let activity = answer.activity.unwrap();
    assert_eq!(activity.description, Some(format!("Terminating EC2 instance: {}", ids[0])));
    assert_eq!(
        activity.cause,
        format!(
            "At 2026-01-01T00:00:00Z instance {} was taken out of service in response to a user request, shrinking the \
             capacity from 2 to 1.",
            ids[0]
        )
    );
    let again = terminate(&ids[0], false);
    let again = platform.autoscaling.terminate_instance_in_auto_scaling_group(&platform.call, again).await;
    assert_eq!(code(again), "ScalingActivityInProgress");
    platform.settle().await;
    assert_eq!(platform.serving().await, std::slice::from_ref(&ids[1]));
    let below = terminate(&ids[1], true);
    let below = platform.autoscaling.terminate_instance_in_auto_scaling_group(&platform.call, below).await;
    assert!(refused(below).starts_with("ValidationError: Currently, desiredSize equals minSize (1)."));
    let replaced = terminate(&ids[1], false);
    platform.autoscaling.terminate_instance_in_auto_scaling_group(&platform.call, replaced).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 1);
    let unknown = terminate("i-none", false);
    assert_eq!(
        refused(platform.autoscaling.terminate_instance_in_auto_scaling_group(&platform.call, unknown).await),
        "ValidationError: Instance Id not found - No managed instance found for instance ID: i-none"
    );
}

#[tokio::test]
async fn a_user_calls_an_instance_ill_and_the_grace_period_counts_unless_it_is_not_to() {
    let platform = platform().await;
    let input = CreateAutoScalingGroupInput { health_check_grace_period: Some(30), ..group(1, 1, 1) };
    platform.create(input).await;
    let id = platform.serving().await.remove(0);
    platform.autoscaling.set_instance_health(&platform.call, health(&id, "Unhealthy", None)).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await, std::slice::from_ref(&id));
    platform.autoscaling.set_instance_health(&platform.call, health(&id, "Unhealthy", Some(false))).await.unwrap();
    platform.settle().await;
    assert_ne!(platform.serving().await, std::slice::from_ref(&id));
    let cause = platform.activities().await[1].cause.clone();
    assert!(cause.ends_with("an instance was taken out of service in response to a user health-check."), "{cause}");
    for wrong in [health("i-none", "Healthy", None), health(&platform.serving().await[0], "Fine", None)] {
        assert_eq!(code(platform.autoscaling.set_instance_health(&platform.call, wrong).await), "ValidationError");
    }
}

#[tokio::test]
async fn a_protected_instance_survives_scale_in() {
    let platform = platform().await;
    platform.create(group(0, 3, 3)).await;
    let ids = platform.serving().await;
    let protect = |protected_from_scale_in| SetInstanceProtectionInput {
        auto_scaling_group_name: "g".into(),
        instance_ids: texts(&[&ids[0]]),
        protected_from_scale_in,
    };
    platform.autoscaling.set_instance_protection(&platform.call, protect(true)).await.unwrap();
    platform.set_desired(0).await;
    platform.settle().await;
    assert_eq!(platform.serving().await, std::slice::from_ref(&ids[0]));
    platform.autoscaling.set_instance_protection(&platform.call, protect(false)).await.unwrap();
    platform.settle().await;
    assert!(platform.serving().await.is_empty());
}

#[tokio::test]
async fn instances_are_described_across_groups() {
    let platform = platform().await;
    platform.create(group(0, 3, 2)).await;
    platform.create(CreateAutoScalingGroupInput { auto_scaling_group_name: "h".into(), ..group(0, 1, 1) }).await;
    let all = DescribeAutoScalingInstancesInput::default();
    let all = platform.autoscaling.describe_auto_scaling_instances(&platform.call, all).await.unwrap();
    let groups: Vec<_> = all.auto_scaling_instances.iter().map(|one| one.auto_scaling_group_name.as_str()).collect();
    assert_eq!(groups, ["g", "g", "h"]);
    assert_eq!(all.auto_scaling_instances[0].health_status, "HEALTHY");
    let id = &all.auto_scaling_instances[2].instance_id;
    let one = DescribeAutoScalingInstancesInput { instance_ids: texts(&[id, "i-none"]), ..Default::default() };
    let one = platform.autoscaling.describe_auto_scaling_instances(&platform.call, one).await.unwrap();
    assert_eq!(one.auto_scaling_instances.len(), 1);
}
