//! Which instance a smaller group loses.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{Platform, configuration, group, platform, texts};

/// A group of an old and a new instance of `lc`, and between them one of `lc0`, the oldest configuration.
async fn three(policy: &str) -> (Platform, Vec<String>) {
    let platform = platform().await;
    platform.clock.advance(std::time::Duration::from_secs(60));
    platform.autoscaling.create_launch_configuration(&platform.call, configuration("newer")).await.unwrap();
    let update = |name: &str, desired| UpdateAutoScalingGroupInput {
        auto_scaling_group_name: "g".into(),
        launch_configuration_name: Some(name.into()),
        desired_capacity: Some(desired),
        ..Default::default()
    };
    platform
        .create(CreateAutoScalingGroupInput {
            launch_configuration_name: Some("newer".into()),
            termination_policies: texts(&[policy]),
            ..group(0, 4, 1)
        })
        .await;
    for (name, desired) in [("lc", 2), ("newer", 3)] {
        platform.advance_s(600).await;
        platform.autoscaling.update_auto_scaling_group(&platform.call, update(name, desired)).await.unwrap();
        platform.settle().await;
    }
    let ids = platform.serving().await;
    (platform, ids)
}

#[tokio::test]
async fn each_policy_chooses_its_own() {
    let cases = [
        ("OldestInstance", 0),
        ("NewestInstance", 2),
        ("OldestLaunchConfiguration", 1),
        ("Default", 1),
        // The first is 20 minutes into its hour, the others 10 and 0.
        ("ClosestToNextInstanceHour", 0),
        ("AllocationStrategy", 0),
    ];
    for (policy, expected) in cases {
        let (platform, ids) = three(policy).await;
        platform.set_desired(2).await;
        platform.settle().await;
        let left = platform.serving().await;
        let gone: Vec<_> = ids.iter().filter(|id| !left.contains(id)).collect();
        assert_eq!(gone, [&ids[expected]], "{policy}");
    }
}

#[tokio::test]
async fn the_fullest_zone_loses_first_whatever_the_policy() {
    let platform = platform().await;
    platform
        .create(CreateAutoScalingGroupInput {
            availability_zones: texts(&["us-east-1a", "us-east-1b"]),
            termination_policies: texts(&["OldestInstance"]),
            ..group(0, 4, 1)
        })
        .await;
    platform.advance_s(1).await;
    platform.set_desired(3).await;
    platform.settle().await;
    let before = platform.describe().await.instances;
    platform.set_desired(2).await;
    platform.settle().await;
    let mut zones: Vec<_> = platform.describe().await.instances.into_iter().map(|one| one.availability_zone).collect();
    zones.sort();
    assert_eq!(zones, ["us-east-1a", "us-east-1b"], "{before:?}");
}

#[tokio::test]
async fn the_oldest_version_of_a_template_goes_first() {
    let platform = platform().await;
    let template = |version: &str| {
        Some(LaunchTemplateSpecification {
            launch_template_name: Some("web".into()),
            version: Some(version.into()),
            ..Default::default()
        })
    };
    platform
        .create(CreateAutoScalingGroupInput {
            launch_configuration_name: None,
            launch_template: template("2"),
            termination_policies: texts(&["OldestLaunchTemplate"]),
            ..group(0, 4, 1)
        })
        .await;
    let update = UpdateAutoScalingGroupInput {
        auto_scaling_group_name: "g".into(),
        launch_template: template("1"),
        desired_capacity: Some(2),
        ..Default::default()
    };
    platform.autoscaling.update_auto_scaling_group(&platform.call, update).await.unwrap();
    platform.settle().await;
    let ids = platform.serving().await;
    platform.set_desired(1).await;
    platform.settle().await;
    assert_eq!(platform.serving().await, [ids[0].clone()]);
    let types = DescribeTerminationPolicyTypesInput::default();
    let types = platform.autoscaling.describe_termination_policy_types(&platform.call, types).await.unwrap();
    assert_eq!(types.termination_policy_types.len(), 7);
}
