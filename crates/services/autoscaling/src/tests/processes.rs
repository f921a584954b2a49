//! Suspended processes: each does nothing until it is resumed.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{balanced, code, group, platform};
use crate::processes::PROCESSES;

#[tokio::test]
async fn suspended_processes_are_shown_and_resumed() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    let all = || SuspendProcessesInput { auto_scaling_group_name: "g".into(), scaling_processes: vec![] };
    platform.autoscaling.suspend_processes(&platform.call, all()).await.unwrap();
    let names = |group: AutoScalingGroup| -> Vec<String> {
        group.suspended_processes.into_iter().filter_map(|process| process.process_name).collect()
    };
    let mut all_names = PROCESSES.map(str::to_owned).to_vec();
    all_names.sort();
    assert_eq!(names(platform.describe().await), all_names);
    platform.resume("Launch").await;
    assert_eq!(names(platform.describe().await).len(), PROCESSES.len() - 1);
    let all = ResumeProcessesInput { auto_scaling_group_name: "g".into(), scaling_processes: vec![] };
    platform.autoscaling.resume_processes(&platform.call, all).await.unwrap();
    assert!(names(platform.describe().await).is_empty());
    let unknown = SuspendProcessesInput { auto_scaling_group_name: "g".into(), scaling_processes: vec!["Nap".into()] };
    assert_eq!(code(platform.autoscaling.suspend_processes(&platform.call, unknown).await), "ValidationError");
    let types = DescribeScalingProcessTypesInput::default();
    let types = platform.autoscaling.describe_scaling_process_types(&platform.call, types).await.unwrap();
    assert_eq!(types.processes.len(), PROCESSES.len());
}

#[tokio::test]
async fn without_launch_nothing_is_launched_and_without_terminate_nothing_ended() {
    let platform = platform().await;
    platform.create(group(0, 3, 1)).await;
    platform.suspend("Launch").await;
    platform.set_desired(2).await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 1);
    platform.resume("Launch").await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 2);
    platform.suspend("Terminate").await;
    platform.set_desired(0).await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 2);
    platform.resume("Terminate").await;
    platform.settle().await;
    assert!(platform.serving().await.is_empty());
}

#[tokio::test]
async fn without_health_check_nobody_is_judged_and_without_replace_unhealthy_nobody_replaced() {
    let platform = platform().await;
    platform.create(group(1, 1, 1)).await;
    let id = platform.serving().await.remove(0);
    platform.suspend("HealthCheck").await;
    platform.ec2.state.lock().kill(&id);
    platform.settle().await;
    assert_eq!(platform.describe().await.instances[0].health_status, "Healthy");
    platform.suspend("ReplaceUnhealthy").await;
    platform.resume("HealthCheck").await;
    platform.settle().await;
    let instance = platform.describe().await.instances.remove(0);
    assert_eq!((instance.health_status.as_str(), instance.lifecycle_state.as_str()), ("Unhealthy", "InService"));
    platform.resume("ReplaceUnhealthy").await;
    platform.settle().await;
    assert_ne!(platform.serving().await, [id]);
}

#[tokio::test]
async fn without_add_to_load_balancer_an_instance_serves_alone_and_stays_so() {
    let platform = platform().await;
    platform.create(balanced(0, 2, 0)).await;
    platform.suspend("AddToLoadBalancer").await;
    platform.set_desired(1).await;
    platform.settle().await;
    let alone = platform.serving().await.remove(0);
    assert!(platform.elb.balancers.lock()["elb"].registered.is_empty());
    platform.resume("AddToLoadBalancer").await;
    platform.set_desired(2).await;
    platform.settle().await;
    let registered = platform.elb.balancers.lock()["elb"].registered.clone();
    assert_eq!(registered.len(), 1);
    assert!(!registered.contains(&alone), "as AWS says: what was launched meanwhile is for the user to register");
    platform.advance_s(60).await;
    assert!(platform.serving().await.contains(&alone), "nor is it judged by a load balancer that it is not in");
}

#[tokio::test]
async fn metrics_are_enabled_and_disabled_by_name() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    let enable = |metrics: Vec<String>| EnableMetricsCollectionInput {
        auto_scaling_group_name: "g".into(),
        granularity: "1Minute".into(),
        metrics,
    };
    let two = vec!["GroupMinSize".to_owned(), "GroupMaxSize".to_owned()];
    platform.autoscaling.enable_metrics_collection(&platform.call, enable(two)).await.unwrap();
    assert_eq!(platform.describe().await.enabled_metrics.len(), 2);
    let disable =
        DisableMetricsCollectionInput { auto_scaling_group_name: "g".into(), metrics: vec!["GroupMinSize".into()] };
    platform.autoscaling.disable_metrics_collection(&platform.call, disable).await.unwrap();
    assert_eq!(platform.describe().await.enabled_metrics[0].metric.as_deref(), Some("GroupMaxSize"));
    let wrong = enable(vec!["Mood".into()]);
    assert_eq!(code(platform.autoscaling.enable_metrics_collection(&platform.call, wrong).await), "ValidationError");
    let hourly = EnableMetricsCollectionInput { granularity: "1Hour".into(), ..enable(vec![]) };
    assert_eq!(code(platform.autoscaling.enable_metrics_collection(&platform.call, hourly).await), "ValidationError");
    let types = DescribeMetricCollectionTypesInput::default();
    let types = platform.autoscaling.describe_metric_collection_types(&platform.call, types).await.unwrap();
    platform.autoscaling.enable_metrics_collection(&platform.call, enable(vec![])).await.unwrap();
    assert_eq!(platform.describe().await.enabled_metrics.len(), types.metrics.len());
}

#[tokio::test]
async fn notifications_are_refused_and_the_empty_lists_are_empty() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    let put = PutNotificationConfigurationInput {
        auto_scaling_group_name: "g".into(),
        topic_arn: "arn:aws:sns:us-east-1:123456789012:t".into(),
        notification_types: vec!["autoscaling:EC2_INSTANCE_LAUNCH".into()],
    };
    assert_eq!(code(platform.autoscaling.put_notification_configuration(&platform.call, put).await), "ValidationError");
    let delete =
        DeleteNotificationConfigurationInput { auto_scaling_group_name: "g".into(), topic_arn: "arn:x".into() };
    platform.autoscaling.delete_notification_configuration(&platform.call, delete).await.unwrap();
    let none = DescribeNotificationConfigurationsInput::default();
    let none = platform.autoscaling.describe_notification_configurations(&platform.call, none).await.unwrap();
    assert!(none.notification_configurations.is_empty());
    let none = DescribeLoadBalancerTargetGroupsInput { auto_scaling_group_name: "g".into(), ..Default::default() };
    let none = platform.autoscaling.describe_load_balancer_target_groups(&platform.call, none).await.unwrap();
    assert!(none.load_balancer_target_groups.is_empty());
    let types = DescribeAutoScalingNotificationTypesInput::default();
    let types = platform.autoscaling.describe_auto_scaling_notification_types(&platform.call, types).await.unwrap();
    assert_eq!(types.auto_scaling_notification_types.len(), 5);
}
