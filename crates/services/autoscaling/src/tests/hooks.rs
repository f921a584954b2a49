//! Lifecycle hooks: who waits, for how long, and what becomes of it.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{Platform, balanced, code, group, platform, refused, texts};

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

fn hook(name: &str, transition: &str) -> PutLifecycleHookInput {
    PutLifecycleHookInput {
        auto_scaling_group_name: "g".into(),
        lifecycle_hook_name: name.into(),
        lifecycle_transition: Some(transition.into()),
        heartbeat_timeout: Some(60),
        ..Default::default()
    }
}

async fn put(platform: &Platform, input: PutLifecycleHookInput) {
    platform.autoscaling.put_lifecycle_hook(&platform.call, input).await.unwrap();
}

fn complete(id: &str, hook: &str, result: &str) -> CompleteLifecycleActionInput {
    CompleteLifecycleActionInput {
        auto_scaling_group_name: "g".into(),
        lifecycle_hook_name: hook.into(),
        lifecycle_action_result: result.into(),
        instance_id: Some(id.into()),
        lifecycle_action_token: None,
    }
}

#[tokio::test]
async fn a_new_instance_waits_for_its_hook_before_it_is_balanced() {
    let platform = platform().await;
    platform.create(balanced(0, 1, 0)).await;
    put(&platform, hook("in", LAUNCHING)).await;
    platform.set_desired(1).await;
    platform.settle().await;
    let (id, state) = platform.states().await.remove(0);
    assert_eq!(state, "Pending:Wait");
    assert_eq!(platform.activities().await[0].status_code, "MidLifecycleAction");
    assert!(platform.elb.balancers.lock()["elb"].registered.is_empty());
    platform.autoscaling.complete_lifecycle_action(&platform.call, complete(&id, "in", "CONTINUE")).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await, std::slice::from_ref(&id));
    assert!(platform.elb.balancers.lock()["elb"].registered.contains(&id));
    assert_eq!(
        refused(platform.autoscaling.complete_lifecycle_action(&platform.call, complete(&id, "in", "CONTINUE")).await),
        format!("ValidationError: No active Lifecycle Action found with instance ID {id}")
    );
}

#[tokio::test]
async fn a_launch_that_its_hook_abandons_is_ended_and_tried_again() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    put(&platform, hook("in", LAUNCHING)).await;
    platform.set_desired(1).await;
    platform.settle().await;
    let id = platform.states().await.remove(0).0;
    platform.autoscaling.complete_lifecycle_action(&platform.call, complete(&id, "in", "ABANDON")).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.ec2.state.lock().instances[&id].state, "terminated");
    let activities = platform.activities().await;
    let launch =
        activities.iter().find(|activity| activity.description == Some(format!("Launching a new EC2 instance: {id}")));
    let message = launch.unwrap().status_message.clone().unwrap();
    assert!(message.ends_with("was abandoned: Lifecycle Action Completed with ABANDON Result"), "{message}");
    platform.advance_s(2).await;
    assert_eq!(platform.states().await[0].1, "Pending:Wait", "the next one waits in its turn");
}

#[tokio::test]
async fn a_hook_that_nobody_answers_ends_with_its_default_result() {
    for (default, state) in [("CONTINUE", "InService"), ("ABANDON", "gone")] {
        let platform = platform().await;
        platform.create(group(0, 1, 0)).await;
        put(&platform, PutLifecycleHookInput { default_result: Some(default.into()), ..hook("in", LAUNCHING) }).await;
        platform.set_desired(1).await;
        platform.settle().await;
        let id = platform.states().await.remove(0).0;
        platform.advance_s(59).await;
        assert_eq!(platform.states().await, [(id.clone(), "Pending:Wait".to_owned())]);
        platform.advance_s(1).await;
        let now = platform.states().await.into_iter().find(|(one, _)| *one == id);
        assert_eq!(now.map_or("gone".to_owned(), |(_, state)| state), state);
    }
}

#[tokio::test]
async fn a_heartbeat_lengthens_the_wait_but_not_for_ever() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    put(&platform, hook("in", LAUNCHING)).await;
    platform.set_desired(1).await;
    platform.settle().await;
    let id = platform.states().await.remove(0).0;
    let beat = || RecordLifecycleActionHeartbeatInput {
        auto_scaling_group_name: "g".into(),
        lifecycle_hook_name: "in".into(),
        instance_id: Some(id.clone()),
        lifecycle_action_token: None,
    };
    for _ in 0..119 {
        platform.clock.advance(std::time::Duration::from_secs(50));
        platform.autoscaling.record_lifecycle_action_heartbeat(&platform.call, beat()).await.unwrap();
        platform.settle().await;
        assert_eq!(platform.states().await[0].1, "Pending:Wait");
    }
    platform.clock.advance(std::time::Duration::from_secs(51));
    platform.settle().await;
    assert_eq!(platform.states().await.iter().filter(|(one, _)| *one == id).count(), 0, "a hundred timeouts are over");
}

#[tokio::test]
async fn an_instance_waits_on_its_way_out_after_its_load_balancer_has_let_go() {
    let platform = platform().await;
    platform.create(balanced(0, 1, 1)).await;
    put(&platform, hook("out", TERMINATING)).await;
    let id = platform.serving().await.remove(0);
    platform.set_desired(0).await;
    platform.settle().await;
    assert_eq!(platform.states().await, [(id.clone(), "Terminating:Wait".to_owned())]);
    assert!(platform.elb.balancers.lock()["elb"].registered.is_empty());
    assert_eq!(platform.ec2.state.lock().instances[&id].state, "running");
    platform.autoscaling.complete_lifecycle_action(&platform.call, complete(&id, "out", "ABANDON")).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.ec2.state.lock().instances[&id].state, "terminated", "abandon or not, it goes");
    assert!(platform.states().await.is_empty());
}

#[tokio::test]
async fn all_hooks_of_a_transition_must_be_answered() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    put(&platform, hook("one", LAUNCHING)).await;
    put(&platform, hook("two", LAUNCHING)).await;
    platform.set_desired(1).await;
    platform.settle().await;
    let id = platform.states().await.remove(0).0;
    platform.autoscaling.complete_lifecycle_action(&platform.call, complete(&id, "one", "CONTINUE")).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.states().await[0].1, "Pending:Wait");
    let token = platform.autoscaling.all_groups().await.unwrap()[0].instances[0].waits[1].token.clone();
    let by_token = CompleteLifecycleActionInput {
        instance_id: None,
        lifecycle_action_token: Some(token),
        ..complete("", "two", "CONTINUE")
    };
    platform.autoscaling.complete_lifecycle_action(&platform.call, by_token).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await, [id]);
}

#[tokio::test]
async fn a_deleted_hook_lets_go_of_who_waits_for_it() {
    let platform = platform().await;
    platform.create(group(0, 1, 1)).await;
    put(&platform, hook("out", TERMINATING)).await;
    platform.set_desired(0).await;
    platform.settle().await;
    assert_eq!(platform.states().await[0].1, "Terminating:Wait");
    let delete = || DeleteLifecycleHookInput { auto_scaling_group_name: "g".into(), lifecycle_hook_name: "out".into() };
    platform.autoscaling.delete_lifecycle_hook(&platform.call, delete()).await.unwrap();
    platform.settle().await;
    assert!(platform.states().await.is_empty());
    assert_eq!(
        refused(platform.autoscaling.delete_lifecycle_hook(&platform.call, delete()).await),
        "ValidationError: No Lifecycle Hook found with name: out"
    );
}

#[tokio::test]
async fn a_forced_deletion_waits_for_no_hook() {
    let platform = platform().await;
    platform.create(group(0, 1, 1)).await;
    put(&platform, hook("out", TERMINATING)).await;
    let delete = DeleteAutoScalingGroupInput { auto_scaling_group_name: "g".into(), force_delete: Some(true) };
    platform.autoscaling.delete_auto_scaling_group(&platform.call, delete).await.unwrap();
    platform.settle().await;
    assert!(platform.autoscaling.all_groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn hooks_are_described_changed_and_checked() {
    let platform = platform().await;
    let with = LifecycleHookSpecification {
        lifecycle_hook_name: "with".into(),
        lifecycle_transition: LAUNCHING.into(),
        ..Default::default()
    };
    platform
        .create(CreateAutoScalingGroupInput { lifecycle_hook_specification_list: vec![with], ..group(0, 1, 0) })
        .await;
    put(&platform, PutLifecycleHookInput { lifecycle_transition: None, ..hook("with", "") }).await;
    let all = |names: &[&str]| DescribeLifecycleHooksInput {
        auto_scaling_group_name: "g".into(),
        lifecycle_hook_names: texts(names),
    };
    let hooks = platform.autoscaling.describe_lifecycle_hooks(&platform.call, all(&[])).await.unwrap().lifecycle_hooks;
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0].lifecycle_transition.as_deref(), Some(LAUNCHING), "kept");
    assert_eq!((hooks[0].heartbeat_timeout, hooks[0].global_timeout), (Some(60), Some(6000)));
    assert_eq!(hooks[0].default_result.as_deref(), Some("ABANDON"));
    assert_eq!(
        code(platform.autoscaling.describe_lifecycle_hooks(&platform.call, all(&["no"])).await),
        "ValidationError"
    );
    let target = PutLifecycleHookInput {
        notification_target_arn: Some("arn:aws:sqs:us-east-1:123456789012:q".into()),
        role_arn: Some("arn:aws:iam::123456789012:role/r".into()),
        ..hook("t", LAUNCHING)
    };
    assert_eq!(
        refused(platform.autoscaling.put_lifecycle_hook(&platform.call, target).await),
        "ValidationError: Unable to publish test message to notification target arn:aws:sqs:us-east-1:123456789012:q using \
         IAM role arn:aws:iam::123456789012:role/r. Please check your target and role configuration and try to put \
         lifecycle hook again."
    );
    for wrong in [
        PutLifecycleHookInput { lifecycle_transition: None, ..hook("new", "") },
        hook("new", "autoscaling:NAP"),
        PutLifecycleHookInput { heartbeat_timeout: Some(29), ..hook("new", LAUNCHING) },
        PutLifecycleHookInput { default_result: Some("MAYBE".into()), ..hook("new", LAUNCHING) },
    ] {
        assert_eq!(code(platform.autoscaling.put_lifecycle_hook(&platform.call, wrong).await), "ValidationError");
    }
    let types = DescribeLifecycleHookTypesInput::default();
    let types = platform.autoscaling.describe_lifecycle_hook_types(&platform.call, types).await.unwrap();
    assert_eq!(types.lifecycle_hook_types, [LAUNCHING, TERMINATING]);
}
