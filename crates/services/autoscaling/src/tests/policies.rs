//! Scaling policies, put, shown, executed and deleted.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{Platform, code, group, platform, texts};

fn simple(name: &str, adjustment: i32) -> PutScalingPolicyInput {
    PutScalingPolicyInput {
        auto_scaling_group_name: "g".into(),
        policy_name: name.into(),
        adjustment_type: Some("ChangeInCapacity".into()),
        scaling_adjustment: Some(adjustment),
        ..Default::default()
    }
}

fn step(lower: Option<f64>, upper: Option<f64>, adjustment: i32) -> StepAdjustment {
    StepAdjustment {
        metric_interval_lower_bound: lower,
        metric_interval_upper_bound: upper,
        scaling_adjustment: adjustment,
    }
}

fn execute(name: &str) -> ExecutePolicyInput {
    ExecutePolicyInput { auto_scaling_group_name: Some("g".into()), policy_name: name.into(), ..Default::default() }
}

async fn put(platform: &Platform, input: PutScalingPolicyInput) -> String {
    platform.autoscaling.put_scaling_policy(&platform.call, input).await.unwrap().policy_arn.unwrap()
}

#[tokio::test]
async fn a_simple_policy_moves_the_capacity_within_its_bounds_and_honours_its_cooldown() {
    let platform = platform().await;
    platform.create(group(0, 3, 1)).await;
    let arn = put(&platform, PutScalingPolicyInput { cooldown: Some(30), ..simple("up", 2) }).await;
    platform.autoscaling.execute_policy(&platform.call, execute("up")).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 3);
    let cause = platform.activities().await[0].cause.clone();
    assert!(cause.starts_with(
        "At 2026-01-01T00:00:00Z a user request executed policy up changing the desired capacity from 1 to 3.  At "
    ));
    let honouring = || ExecutePolicyInput { honor_cooldown: Some(true), ..execute("up") };
    assert_eq!(
        code(platform.autoscaling.execute_policy(&platform.call, honouring()).await),
        "ScalingActivityInProgress"
    );
    platform.advance_s(30).await;
    platform.autoscaling.execute_policy(&platform.call, honouring()).await.unwrap();
    assert_eq!(platform.describe().await.desired_capacity, 3, "not past the maximum");
    let by_arn = ExecutePolicyInput { auto_scaling_group_name: None, policy_name: arn.clone(), ..Default::default() };
    platform.autoscaling.execute_policy(&platform.call, by_arn).await.unwrap();
    let again = put(&platform, simple("up", -3)).await;
    assert_eq!(arn, again, "a policy that is put again is the same one");
    platform.autoscaling.execute_policy(&platform.call, execute("up")).await.unwrap();
    assert_eq!(platform.describe().await.desired_capacity, 0);
}

#[tokio::test]
async fn a_step_policy_takes_the_step_that_the_breach_falls_into() {
    for (metric, desired) in [(50.0, 3), (59.9, 3), (60.0, 4), (90.0, 4)] {
        let platform = platform().await;
        platform.create(group(0, 9, 2)).await;
        let steps = vec![step(Some(0.0), Some(10.0), 1), step(Some(10.0), None, 2)];
        let input = PutScalingPolicyInput {
            policy_type: Some("StepScaling".into()),
            scaling_adjustment: None,
            step_adjustments: steps,
            ..simple("steps", 0)
        };
        put(&platform, input).await;
        let input = ExecutePolicyInput { metric_value: Some(metric), breach_threshold: Some(50.0), ..execute("steps") };
        platform.autoscaling.execute_policy(&platform.call, input).await.unwrap();
        assert_eq!(platform.describe().await.desired_capacity, desired, "{metric}");
        let below = ExecutePolicyInput { metric_value: Some(1.0), breach_threshold: Some(50.0), ..execute("steps") };
        assert_eq!(code(platform.autoscaling.execute_policy(&platform.call, below).await), "ValidationError");
        assert_eq!(
            code(platform.autoscaling.execute_policy(&platform.call, execute("steps")).await),
            "ValidationError"
        );
    }
}

#[tokio::test]
async fn target_tracking_is_kept_and_shown_and_not_executed_by_hand() {
    let platform = platform().await;
    platform.create(group(0, 9, 2)).await;
    let configuration = TargetTrackingConfiguration {
        predefined_metric_specification: Some(PredefinedMetricSpecification {
            predefined_metric_type: "ASGAverageCPUUtilization".into(),
            resource_label: None,
        }),
        target_value: 50.5,
        ..Default::default()
    };
    let input = PutScalingPolicyInput {
        auto_scaling_group_name: "g".into(),
        policy_name: "cpu".into(),
        policy_type: Some("TargetTrackingScaling".into()),
        target_tracking_configuration: Some(configuration.clone()),
        ..Default::default()
    };
    put(&platform, input).await;
    put(&platform, simple("up", 1)).await;
    let describe = |kinds: &[&str]| DescribePoliciesInput { policy_types: texts(kinds), ..Default::default() };
    let all = platform.autoscaling.describe_policies(&platform.call, describe(&[])).await.unwrap().scaling_policies;
    assert_eq!(all.len(), 2);
    let tracking = describe(&["TargetTrackingScaling"]);
    let tracking = platform.autoscaling.describe_policies(&platform.call, tracking).await.unwrap().scaling_policies;
    assert_eq!(tracking[0].target_tracking_configuration, Some(configuration));
    assert_eq!(code(platform.autoscaling.execute_policy(&platform.call, execute("cpu")).await), "ValidationError");
    let delete = || DeletePolicyInput { auto_scaling_group_name: Some("g".into()), policy_name: "cpu".into() };
    platform.autoscaling.delete_policy(&platform.call, delete()).await.unwrap();
    assert_eq!(code(platform.autoscaling.delete_policy(&platform.call, delete()).await), "ValidationError");
}

#[tokio::test]
async fn a_policy_that_can_not_be_is_refused() {
    let platform = platform().await;
    platform.create(group(0, 9, 2)).await;
    for wrong in [
        PutScalingPolicyInput { adjustment_type: None, ..simple("p", 1) },
        PutScalingPolicyInput { adjustment_type: Some("Double".into()), ..simple("p", 1) },
        PutScalingPolicyInput { scaling_adjustment: None, ..simple("p", 1) },
        PutScalingPolicyInput { policy_type: Some("StepScaling".into()), ..simple("p", 1) },
        PutScalingPolicyInput { policy_type: Some("PredictiveScaling".into()), ..simple("p", 1) },
        PutScalingPolicyInput { policy_type: Some("Luck".into()), ..simple("p", 1) },
        PutScalingPolicyInput { policy_type: Some("TargetTrackingScaling".into()), ..simple("p", 1) },
        PutScalingPolicyInput { min_adjustment_magnitude: Some(2), ..simple("p", 1) },
        PutScalingPolicyInput { cooldown: Some(-1), ..simple("p", 1) },
        PutScalingPolicyInput { auto_scaling_group_name: "none".into(), ..simple("p", 1) },
    ] {
        let answer = platform.autoscaling.put_scaling_policy(&platform.call, wrong.clone()).await;
        assert_eq!(code(answer), "ValidationError", "{wrong:?}");
    }
    assert_eq!(code(platform.autoscaling.execute_policy(&platform.call, execute("p")).await), "ValidationError");
    let types = DescribeAdjustmentTypesInput::default();
    let types = platform.autoscaling.describe_adjustment_types(&platform.call, types).await.unwrap();
    assert_eq!(types.adjustment_types.len(), 3);
}
