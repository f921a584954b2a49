//! Activities: told newest first, kept for six weeks, also when their group is gone.

use std::time::Duration;

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{code, group, platform};

#[tokio::test]
async fn scaling_is_told_in_aws_words_newest_first() {
    let platform = platform().await;
    platform.create(group(0, 4, 2)).await;
    platform.advance_s(10).await;
    platform.set_desired(1).await;
    platform.settle().await;
    let activities = platform.activities().await;
    assert_eq!(activities.len(), 3);
    let ended = activities[0].description.clone().unwrap();
    let id = ended.strip_prefix("Terminating EC2 instance: ").unwrap();
    assert_eq!(
        activities[0].cause,
        format!(
            "At 2026-01-01T00:00:10Z a user request explicitly set group desired capacity changing the desired capacity \
             from 2 to 1.  At 2026-01-01T00:00:10Z an instance was taken out of service in response to a difference between \
             desired and actual capacity, shrinking the capacity from 2 to 1.  At 2026-01-01T00:00:10Z instance {id} was \
             selected for termination."
        )
    );
    for launch in &activities[1..] {
        assert!(launch.description.as_ref().unwrap().starts_with("Launching a new EC2 instance: i-"));
        assert_eq!((launch.status_code.as_str(), launch.progress), ("Successful", Some(100)));
        assert_eq!(launch.details.as_deref(), Some("{\"Availability Zone\":\"us-east-1a\"}"));
        assert!(launch.end_time.is_some());
        assert!(launch.cause.ends_with("increasing the capacity from 0 to 2."));
    }
}

#[tokio::test]
async fn activities_come_in_pages_by_id_and_outlive_their_group() {
    let platform = platform().await;
    platform.create(group(0, 4, 4)).await;
    let describe = |next_token| DescribeScalingActivitiesInput {
        auto_scaling_group_name: Some("g".into()),
        max_records: Some(3),
        next_token,
        ..Default::default()
    };
    let first = platform.autoscaling.describe_scaling_activities(&platform.call, describe(None)).await.unwrap();
    let second = describe(first.next_token.clone());
    let second = platform.autoscaling.describe_scaling_activities(&platform.call, second).await.unwrap();
    assert_eq!((first.activities.len(), second.activities.len(), second.next_token), (3, 1, None));
    let one = DescribeScalingActivitiesInput {
        activity_ids: vec![second.activities[0].activity_id.clone()],
        ..Default::default()
    };
    let one = platform.autoscaling.describe_scaling_activities(&platform.call, one).await.unwrap();
    assert_eq!(one.activities, second.activities);
    let delete = DeleteAutoScalingGroupInput { auto_scaling_group_name: "g".into(), force_delete: Some(true) };
    platform.autoscaling.delete_auto_scaling_group(&platform.call, delete).await.unwrap();
    platform.settle().await;
    assert_eq!(
        code(platform.autoscaling.describe_scaling_activities(&platform.call, describe(None)).await),
        "ValidationError"
    );
    assert!(platform.activities().await.is_empty());
    let with = DescribeScalingActivitiesInput { include_deleted_groups: Some(true), ..Default::default() };
    let with = || platform.autoscaling.describe_scaling_activities(&platform.call, with.clone());
    let all = with().await.unwrap().activities;
    assert_eq!(all.len(), 8);
    assert_eq!(all[0].auto_scaling_group_state.as_deref(), Some("Deleted"));
    platform.clock.advance(Duration::from_secs(43 * 24 * 60 * 60));
    platform.settle().await;
    assert!(with().await.unwrap().activities.is_empty(), "six weeks are over");
}

#[tokio::test]
async fn a_group_remembers_a_bounded_number_of_activities() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    for _ in 0..300 {
        for desired in [1, 0] {
            platform.set_desired(desired).await;
            platform.settle().await;
        }
    }
    let count = |view: &store::View<'_>| view.count(&crate::rows::ACTIVITIES, &store::Scan::all());
    let rows: Result<_, store::StoreError> = platform.store.read(count);
    assert_eq!(rows.unwrap(), usize::try_from(crate::limits::ACTIVITIES_MAX).unwrap());
}
