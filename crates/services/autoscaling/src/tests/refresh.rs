//! Instance refreshes.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{Platform, code, configuration, group, platform, refused};

fn start(preferences: RefreshPreferences) -> StartInstanceRefreshInput {
    StartInstanceRefreshInput {
        auto_scaling_group_name: "g".into(),
        preferences: Some(preferences),
        ..Default::default()
    }
}

async fn begin(platform: &Platform, preferences: RefreshPreferences) -> String {
    let answer = platform.autoscaling.start_instance_refresh(&platform.call, start(preferences)).await.unwrap();
    answer.instance_refresh_id.unwrap()
}

async fn last(platform: &Platform) -> InstanceRefresh {
    let input = DescribeInstanceRefreshesInput { auto_scaling_group_name: "g".into(), ..Default::default() };
    let all = platform.autoscaling.describe_instance_refreshes(&platform.call, input).await.unwrap();
    all.instance_refreshes.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_refresh_replaces_all_and_never_fewer_serve_than_it_says() {
    let platform = platform().await;
    platform.create(group(4, 4, 4)).await;
    let before = platform.serving().await;
    let id = begin(
        &platform,
        RefreshPreferences { min_healthy_percentage: Some(50), instance_warmup: Some(5), ..Default::default() },
    )
    .await;
    let mut fewest = usize::MAX;
    for _ in 0..60 {
        platform.clock.advance(std::time::Duration::from_secs(1));
        while platform.autoscaling.tick().await {
            fewest = fewest.min(platform.serving().await.len());
        }
    }
    assert_eq!(fewest, 2);
    let after = platform.serving().await;
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|id| !after.contains(id)));
    let refresh = last(&platform).await;
    assert_eq!(refresh.instance_refresh_id, Some(id));
    assert_eq!((refresh.status.as_deref(), refresh.percentage_complete), (Some("Successful"), Some(100)));
    assert!(refresh.end_time.is_some());
    assert_eq!(platform.ec2.state.lock().launched, 8, "each is replaced once");
    let causes: Vec<_> = platform.activities().await.into_iter().map(|activity| activity.cause).collect();
    assert!(causes.iter().any(|cause| cause.ends_with("an instance was launched in response to an instance refresh.")));
    assert!(causes.iter().any(|cause| cause.contains("taken out of service in response to an instance refresh.  At ")));
}

#[tokio::test]
async fn a_refresh_with_room_above_launches_before_it_ends() {
    let platform = platform().await;
    platform.create(group(2, 2, 2)).await;
    let preferences = RefreshPreferences {
        min_healthy_percentage: Some(100),
        max_healthy_percentage: Some(150),
        instance_warmup: Some(3),
        ..Default::default()
    };
    begin(&platform, preferences).await;
    for _ in 0..30 {
        platform.clock.advance(std::time::Duration::from_secs(1));
        while platform.autoscaling.tick().await {
            let serving = platform.serving().await.len();
            assert!((2..=3).contains(&serving), "{serving}");
        }
    }
    assert_eq!(last(&platform).await.status.as_deref(), Some("Successful"));
    assert_eq!(platform.serving().await.len(), 2);
    assert_eq!(platform.ec2.state.lock().launched, 4);
    assert_eq!(platform.ec2.state.lock().living().len(), 2);
}

#[tokio::test]
async fn a_group_of_one_is_refreshed_in_spite_of_its_percentage() {
    let platform = platform().await;
    platform.create(group(1, 1, 1)).await;
    let before = platform.serving().await;
    begin(&platform, RefreshPreferences::default()).await;
    platform.advance_s(5).await;
    assert_ne!(platform.serving().await, before);
    assert_eq!(last(&platform).await.status.as_deref(), Some("Successful"));
}

#[tokio::test]
async fn a_refresh_waits_at_its_checkpoints_and_passes_by_what_matches() {
    let platform = platform().await;
    platform.create(group(0, 4, 2)).await;
    platform.autoscaling.create_launch_configuration(&platform.call, configuration("lc2")).await.unwrap();
    let update = UpdateAutoScalingGroupInput {
        auto_scaling_group_name: "g".into(),
        launch_configuration_name: Some("lc2".into()),
        desired_capacity: Some(3),
        ..Default::default()
    };
    platform.autoscaling.update_auto_scaling_group(&platform.call, update).await.unwrap();
    platform.settle().await;
    let preferences = RefreshPreferences {
        skip_matching: Some(true),
        checkpoint_percentages: vec![50, 100],
        checkpoint_delay: Some(60),
        ..Default::default()
    };
    begin(&platform, preferences).await;
    platform.advance_s(30).await;
    let refresh = last(&platform).await;
    assert_eq!((refresh.percentage_complete, refresh.instances_to_update), (Some(50), Some(1)), "one of two");
    assert_eq!(refresh.status_reason.as_deref(), Some("Waiting at the checkpoint of 50 percent."));
    platform.advance_s(60).await;
    assert_eq!(last(&platform).await.status.as_deref(), Some("Successful"));
    assert_eq!(platform.ec2.state.lock().launched, 5);
    let names: Vec<_> =
        platform.describe().await.instances.into_iter().filter_map(|one| one.launch_configuration_name).collect();
    assert_eq!(names, ["lc2", "lc2", "lc2"]);
}

#[tokio::test]
async fn a_cancelled_refresh_stops_and_there_is_one_at_a_time() {
    let platform = platform().await;
    platform.create(group(4, 4, 4)).await;
    platform.ec2.state.lock().slow = true;
    begin(&platform, RefreshPreferences::default()).await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 3);
    let second = platform.autoscaling.start_instance_refresh(&platform.call, start(Default::default())).await;
    assert_eq!(code(second), "InstanceRefreshInProgress");
    let cancel = || CancelInstanceRefreshInput { auto_scaling_group_name: "g".into(), ..Default::default() };
    platform.autoscaling.cancel_instance_refresh(&platform.call, cancel()).await.unwrap();
    platform.ec2.state.lock().slow = false;
    platform.settle().await;
    assert_eq!(last(&platform).await.status.as_deref(), Some("Cancelled"));
    assert_eq!(platform.serving().await.len(), 4);
    assert_eq!(platform.ec2.state.lock().launched, 5);
    assert_eq!(
        refused(platform.autoscaling.cancel_instance_refresh(&platform.call, cancel()).await),
        "ActiveInstanceRefreshNotFound: No in progress or pending Instance Refresh found for Auto Scaling group"
    );
}

#[tokio::test]
async fn a_refresh_that_can_not_be_is_refused() {
    let platform = platform().await;
    platform.create(group(1, 1, 1)).await;
    let none = RefreshPreferences::default;
    for wrong in [
        start(RefreshPreferences { auto_rollback: Some(true), ..none() }),
        start(RefreshPreferences { max_healthy_percentage: Some(150), ..none() }),
        start(RefreshPreferences { min_healthy_percentage: Some(20), max_healthy_percentage: Some(150), ..none() }),
        start(RefreshPreferences { checkpoint_percentages: vec![50, 20], ..none() }),
        start(RefreshPreferences { bake_time: Some(60), ..none() }),
        StartInstanceRefreshInput { desired_configuration: Some(Default::default()), ..start(none()) },
        StartInstanceRefreshInput { strategy: Some("AllAtOnce".into()), ..start(none()) },
    ] {
        assert_eq!(code(platform.autoscaling.start_instance_refresh(&platform.call, wrong).await), "ValidationError");
    }
}
