//! Scheduled actions: once, again and again, in their time zone, and not while suspended.

use ::api::autoscaling::{Autoscaling as _, *};
use wire::value::EpochMs;

use super::platform::{NOW, Platform, code, group, platform, texts};

fn once(name: &str, in_s: i64, desired: i32) -> PutScheduledUpdateGroupActionInput {
    PutScheduledUpdateGroupActionInput {
        auto_scaling_group_name: "g".into(),
        scheduled_action_name: name.into(),
        start_time: Some(at(in_s)),
        desired_capacity: Some(desired),
        ..Default::default()
    }
}

fn at(in_s: i64) -> EpochMs {
    EpochMs(i64::try_from(NOW.0).unwrap() + in_s * 1000)
}

async fn put(platform: &Platform, input: PutScheduledUpdateGroupActionInput) {
    platform.autoscaling.put_scheduled_update_group_action(&platform.call, input).await.unwrap();
}

async fn actions(platform: &Platform) -> Vec<ScheduledUpdateGroupAction> {
    let input = DescribeScheduledActionsInput { auto_scaling_group_name: Some("g".into()), ..Default::default() };
    platform.autoscaling.describe_scheduled_actions(&platform.call, input).await.unwrap().scheduled_update_group_actions
}

#[tokio::test]
async fn an_action_is_done_once_at_its_time_and_forgotten() {
    let platform = platform().await;
    platform.create(group(0, 3, 0)).await;
    put(&platform, PutScheduledUpdateGroupActionInput { min_size: Some(1), ..once("grow", 10, 2) }).await;
    platform.advance_s(9).await;
    assert_eq!(platform.describe().await.desired_capacity, 0);
    platform.advance_s(1).await;
    let described = platform.describe().await;
    assert_eq!((described.min_size, described.desired_capacity, described.instances.len()), (1, 2, 2));
    assert!(actions(&platform).await.is_empty());
    let cause = platform.activities().await[0].cause.clone();
    assert!(
        cause.starts_with(
            "At 2026-01-01T00:00:10Z a scheduled action update of AutoScalingGroup constraints to min: 1, max: 3, desired: 2 \
             changing the desired capacity from 0 to 2.  At 2026-01-01T00:00:10Z an instance was started"
        ),
        "{cause}"
    );
}

#[tokio::test]
async fn a_recurring_action_comes_again_until_its_end() {
    let platform = platform().await;
    platform.create(group(0, 3, 0)).await;
    let minutely = PutScheduledUpdateGroupActionInput {
        start_time: None,
        end_time: Some(at(150)),
        recurrence: Some("* * * * *".into()),
        time_zone: Some("Asia/Tokyo".into()),
        ..once("minutely", 0, 1)
    };
    put(&platform, minutely).await;
    let action = actions(&platform).await.remove(0);
    assert_eq!(action.start_time, Some(at(60)));
    assert!(action.scheduled_action_arn.unwrap().ends_with(":autoScalingGroupName/g:scheduledActionName/minutely"));
    for _ in 0..2 {
        platform.advance_s(60).await;
        assert_eq!(platform.describe().await.desired_capacity, 1);
        platform.set_desired(0).await;
    }
    assert!(actions(&platform).await.is_empty(), "the third would be past the end");
    platform.advance_s(120).await;
    assert_eq!(platform.describe().await.desired_capacity, 0);
}

#[tokio::test]
async fn what_was_missed_is_done_once_and_what_is_suspended_passes_by() {
    let platform = platform().await;
    platform.create(group(0, 3, 0)).await;
    let minutely = |name: &str| PutScheduledUpdateGroupActionInput {
        start_time: None,
        recurrence: Some("* * * * *".into()),
        ..once(name, 0, 1)
    };
    put(&platform, minutely("m")).await;
    platform.suspend("ScheduledActions").await;
    platform.advance_s(61).await;
    assert_eq!(platform.describe().await.desired_capacity, 0);
    platform.resume("ScheduledActions").await;
    platform.settle().await;
    assert_eq!(platform.describe().await.desired_capacity, 0);
    platform.clock.advance(std::time::Duration::from_secs(600));
    platform.settle().await;
    assert_eq!(platform.describe().await.desired_capacity, 1);
    assert_eq!(actions(&platform).await[0].start_time, Some(at(720)));
}

#[tokio::test]
async fn batches_tell_what_failed_and_keep_the_rest() {
    let platform = platform().await;
    platform.create(group(0, 3, 0)).await;
    let request = |name: &str, start| ScheduledUpdateGroupActionRequest {
        scheduled_action_name: name.into(),
        start_time: Some(start),
        desired_capacity: Some(1),
        ..Default::default()
    };
    let input = BatchPutScheduledUpdateGroupActionInput {
        auto_scaling_group_name: "g".into(),
        scheduled_update_group_actions: vec![request("good", at(60)), request("past", at(-60))],
    };
    let failed = platform.autoscaling.batch_put_scheduled_update_group_action(&platform.call, input).await.unwrap();
    let failed = failed.failed_scheduled_update_group_actions;
    assert_eq!((failed.len(), failed[0].scheduled_action_name.as_str()), (1, "past"));
    assert_eq!(failed[0].error_message.as_deref(), Some("Given start time is in the past"));
    assert_eq!(actions(&platform).await.len(), 1);
    let input = BatchDeleteScheduledActionInput {
        auto_scaling_group_name: "g".into(),
        scheduled_action_names: texts(&["good", "past"]),
    };
    let failed = platform.autoscaling.batch_delete_scheduled_action(&platform.call, input).await.unwrap();
    assert_eq!(failed.failed_scheduled_actions[0].scheduled_action_name, "past");
    assert!(actions(&platform).await.is_empty());
    put(&platform, once("one", 60, 1)).await;
    let delete =
        || DeleteScheduledActionInput { auto_scaling_group_name: "g".into(), scheduled_action_name: "one".into() };
    platform.autoscaling.delete_scheduled_action(&platform.call, delete()).await.unwrap();
    assert_eq!(code(platform.autoscaling.delete_scheduled_action(&platform.call, delete()).await), "ValidationError");
}

#[tokio::test]
async fn an_action_that_can_not_be_is_refused() {
    let platform = platform().await;
    platform.create(group(0, 3, 0)).await;
    for wrong in [
        once("p", -1, 1),
        PutScheduledUpdateGroupActionInput { desired_capacity: None, ..once("p", 60, 1) },
        PutScheduledUpdateGroupActionInput { start_time: None, ..once("p", 60, 1) },
        PutScheduledUpdateGroupActionInput { end_time: Some(at(30)), ..once("p", 60, 1) },
        PutScheduledUpdateGroupActionInput { recurrence: Some("often".into()), ..once("p", 60, 1) },
        PutScheduledUpdateGroupActionInput { time_zone: Some("Asia/Tokyo".into()), ..once("p", 60, 1) },
        PutScheduledUpdateGroupActionInput { min_size: Some(3), max_size: Some(2), ..once("p", 60, 2) },
        PutScheduledUpdateGroupActionInput { min_size: Some(3), ..once("p", 60, 2) },
    ] {
        let answer = platform.autoscaling.put_scheduled_update_group_action(&platform.call, wrong.clone()).await;
        assert_eq!(code(answer), "ValidationError", "{wrong:?}");
    }
}
