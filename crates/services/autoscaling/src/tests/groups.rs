//! Groups: created, updated, deleted, described.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{code, configuration, group, platform, refused, texts};

fn update() -> UpdateAutoScalingGroupInput {
    UpdateAutoScalingGroupInput { auto_scaling_group_name: "g".to_owned(), ..Default::default() }
}

fn delete(force: bool) -> DeleteAutoScalingGroupInput {
    DeleteAutoScalingGroupInput { auto_scaling_group_name: "g".to_owned(), force_delete: Some(force) }
}

#[tokio::test]
async fn a_group_comes_to_its_desired_capacity() {
    let platform = platform().await;
    platform.create(group(1, 4, 2)).await;
    let described = platform.describe().await;
    assert_eq!((described.min_size, described.max_size, described.desired_capacity), (1, 4, 2));
    assert_eq!(described.instances.len(), 2);
    for instance in &described.instances {
        assert_eq!(instance.lifecycle_state, "InService");
        assert_eq!(instance.health_status, "Healthy");
        assert_eq!(instance.availability_zone, "us-east-1a");
        assert_eq!(instance.launch_configuration_name.as_deref(), Some("lc"));
        assert_eq!(instance.instance_type.as_deref(), Some("t2.micro"));
    }
    assert_eq!(described.default_cooldown, 300);
    assert_eq!(described.health_check_type, "EC2");
    assert_eq!(described.health_check_grace_period, Some(0));
    assert_eq!(described.termination_policies, ["Default"]);
    assert_eq!(described.status, None);
    let arn = described.auto_scaling_group_arn.unwrap();
    assert!(arn.starts_with("arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:"), "{arn}");
    assert!(arn.ends_with(":autoScalingGroupName/g"), "{arn}");
    assert_eq!(platform.ec2.state.lock().launched, 2);
}

#[tokio::test]
async fn the_desired_capacity_is_the_minimum_when_nobody_says() {
    let platform = platform().await;
    platform.create(CreateAutoScalingGroupInput { desired_capacity: None, ..group(1, 4, 0) }).await;
    assert_eq!(platform.describe().await.desired_capacity, 1);
    assert_eq!(platform.serving().await.len(), 1);
}

#[tokio::test]
async fn a_group_that_can_not_be_is_refused() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    let base = || CreateAutoScalingGroupInput { auto_scaling_group_name: "other".to_owned(), ..group(0, 1, 0) };
    let cases = [
        (
            group(0, 1, 0),
            "AlreadyExists: AutoScalingGroup by this name already exists - A group with the name g already exists",
        ),
        (
            CreateAutoScalingGroupInput { min_size: 2, ..base() },
            "ValidationError: Max bound, 1, must be greater than or equal to min bound, 2",
        ),
        (
            CreateAutoScalingGroupInput { desired_capacity: Some(5), ..base() },
            "ValidationError: Desired capacity:5 must be between the specified min size:0 and max size:1",
        ),
        (
            CreateAutoScalingGroupInput { launch_configuration_name: None, ..base() },
            "ValidationError: Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or \
             MixedInstancesPolicy parameter.",
        ),
        (
            CreateAutoScalingGroupInput { launch_configuration_name: Some("none".into()), ..base() },
            "ValidationError: Launch configuration name not found - A launch configuration with the name: none does not exist",
        ),
        (
            CreateAutoScalingGroupInput { availability_zones: vec![], ..base() },
            "ValidationError: At least one Availability Zone or VPC Subnet is required.",
        ),
        (
            CreateAutoScalingGroupInput { availability_zones: texts(&["us-east-1z"]), ..base() },
            "ValidationError: Invalid availability zones: [us-east-1z]",
        ),
        (
            CreateAutoScalingGroupInput {
                availability_zones: vec![],
                vpc_zone_identifier: Some("subnet-x".into()),
                ..base()
            },
            "ValidationError: The subnet ID 'subnet-x' does not exist",
        ),
        (
            CreateAutoScalingGroupInput { vpc_zone_identifier: Some("subnet-b".into()), ..base() },
            "ValidationError: The availability zones of the specified subnets and the AutoScalingGroup do not match",
        ),
        (
            CreateAutoScalingGroupInput { load_balancer_names: texts(&["none"]), ..base() },
            "ValidationError: Provided Load Balancers may not be valid. Please ensure they exist and try again.",
        ),
        (
            CreateAutoScalingGroupInput { health_check_type: Some("PING".into()), ..base() },
            "ValidationError: PING is not a valid health check type. Valid health check types are EC2 and ELB.",
        ),
        (
            CreateAutoScalingGroupInput { termination_policies: texts(&["Dice"]), ..base() },
            "ValidationError: 'Dice' is not a valid termination policy",
        ),
        (
            CreateAutoScalingGroupInput { target_group_ar_ns: texts(&["arn:x"]), ..base() },
            "ValidationError: TargetGroupARNs is not supported by Millpond",
        ),
        (
            CreateAutoScalingGroupInput { mixed_instances_policy: Some(Default::default()), ..base() },
            "ValidationError: MixedInstancesPolicy is not supported by Millpond",
        ),
        (
            CreateAutoScalingGroupInput { max_instance_lifetime: Some(60), ..base() },
            "ValidationError: MaxInstanceLifetime must be 0 or between 86400 and 31536000 seconds: 60",
        ),
        (
            CreateAutoScalingGroupInput { auto_scaling_group_name: "a:b".into(), ..base() },
            "ValidationError: Group name 'a:b' must not contain a colon",
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(refused(platform.autoscaling.create_auto_scaling_group(&platform.call, input).await), expected);
    }
    assert_eq!(platform.autoscaling.all_groups().await.unwrap().len(), 1);
}

#[tokio::test]
async fn instances_are_spread_over_zones_and_subnets() {
    let platform = platform().await;
    let identifier = Some("subnet-a, subnet-b,subnet-a2".to_owned());
    platform
        .create(CreateAutoScalingGroupInput {
            availability_zones: vec![],
            vpc_zone_identifier: identifier,
            ..group(0, 9, 4)
        })
        .await;
    let subnet = |one: &super::fakes::FakeInstance| one.subnet.clone().unwrap();
    let mut subnets: Vec<_> = platform.ec2.state.lock().instances.values().map(subnet).collect();
    subnets.sort();
    assert_eq!(subnets, ["subnet-a", "subnet-a2", "subnet-b", "subnet-b"]);
    let described = platform.describe().await;
    assert_eq!(described.availability_zones, ["us-east-1a", "us-east-1b"]);
    assert_eq!(described.vpc_zone_identifier.as_deref(), Some("subnet-a,subnet-b,subnet-a2"));
}

#[tokio::test]
async fn a_launch_template_is_launched_by_its_version() {
    let platform = platform().await;
    let template = |version: &str| LaunchTemplateSpecification {
        launch_template_name: Some("web".to_owned()),
        version: Some(version.to_owned()),
        ..Default::default()
    };
    let input = CreateAutoScalingGroupInput {
        launch_configuration_name: None,
        launch_template: Some(template("$Latest")),
        ..group(0, 1, 1)
    };
    platform.create(input.clone()).await;
    let described = platform.describe().await;
    let of_group = described.launch_template.unwrap();
    assert_eq!((of_group.launch_template_id.as_deref(), of_group.version.as_deref()), (Some("lt-1"), Some("$Latest")));
    let of_instance = described.instances[0].launch_template.clone().unwrap();
    assert_eq!(of_instance.version.as_deref(), Some("3"), "what was launched is told by number");
    let asked = platform.ec2.state.lock().instances.values().next().unwrap().asked.launch_template.clone().unwrap();
    assert_eq!((asked.launch_template_id.as_deref(), asked.version.as_deref()), (Some("lt-1"), Some("$Latest")));
    let both = CreateAutoScalingGroupInput {
        auto_scaling_group_name: "other".into(),
        launch_configuration_name: Some("lc".into()),
        ..input.clone()
    };
    assert_eq!(code(platform.autoscaling.create_auto_scaling_group(&platform.call, both).await), "ValidationError");
    let missing = LaunchTemplateSpecification { launch_template_name: Some("none".into()), ..Default::default() };
    let missing = CreateAutoScalingGroupInput { launch_template: Some(missing), ..input };
    assert_eq!(
        refused(platform.autoscaling.create_auto_scaling_group(&platform.call, missing).await),
        "ValidationError: There is no such launch template."
    );
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_moves_the_desired_capacity_into_the_bounds() {
    let platform = platform().await;
    platform.create(group(0, 2, 1)).await;
    platform.autoscaling.create_launch_configuration(&platform.call, configuration("lc2")).await.unwrap();
    let input = UpdateAutoScalingGroupInput {
        min_size: Some(2),
        max_size: Some(3),
        launch_configuration_name: Some("lc2".into()),
        default_cooldown: Some(5),
        health_check_grace_period: Some(7),
        new_instances_protected_from_scale_in: Some(true),
        termination_policies: texts(&["OldestInstance", "Default"]),
        ..update()
    };
    platform.autoscaling.update_auto_scaling_group(&platform.call, input).await.unwrap();
    platform.settle().await;
    let described = platform.describe().await;
    assert_eq!((described.min_size, described.max_size, described.desired_capacity), (2, 3, 2));
    assert_eq!((described.default_cooldown, described.health_check_grace_period), (5, Some(7)));
    assert_eq!(described.termination_policies, ["OldestInstance", "Default"]);
    let names: Vec<_> =
        described.instances.iter().map(|one| one.launch_configuration_name.as_deref().unwrap()).collect();
    assert_eq!(names, ["lc", "lc2"]);
    let protected: Vec<_> = described.instances.iter().map(|one| one.protected_from_scale_in).collect();
    assert_eq!(protected, [false, true]);
    let below = UpdateAutoScalingGroupInput { desired_capacity: Some(1), ..update() };
    assert_eq!(
        refused(platform.autoscaling.update_auto_scaling_group(&platform.call, below).await),
        "ValidationError: Desired capacity:1 must be between the specified min size:2 and max size:3"
    );
    let down = UpdateAutoScalingGroupInput { min_size: Some(0), max_size: Some(0), ..update() };
    platform.autoscaling.update_auto_scaling_group(&platform.call, down).await.unwrap();
    platform.settle().await;
    assert_eq!(platform.describe().await.desired_capacity, 0);
    assert_eq!(platform.serving().await.len(), 1, "the protected one stays");
    let none = UpdateAutoScalingGroupInput { auto_scaling_group_name: "none".into(), ..update() };
    assert_eq!(
        refused(platform.autoscaling.update_auto_scaling_group(&platform.call, none).await),
        "ValidationError: AutoScalingGroup name not found - AutoScalingGroup 'none' not found"
    );
}

#[tokio::test]
async fn instances_leave_a_zone_that_a_group_leaves() {
    let platform = platform().await;
    platform.create(group(0, 3, 2)).await;
    let input = UpdateAutoScalingGroupInput { availability_zones: texts(&["us-east-1b"]), ..update() };
    platform.autoscaling.update_auto_scaling_group(&platform.call, input).await.unwrap();
    platform.settle().await;
    let zones: Vec<_> = platform.describe().await.instances.into_iter().map(|one| one.availability_zone).collect();
    assert_eq!(zones, ["us-east-1b", "us-east-1b"]);
    assert_eq!(platform.ec2.state.lock().living().len(), 2);
}

#[tokio::test]
async fn a_group_grows_and_shrinks_as_it_is_told() {
    let platform = platform().await;
    platform.create(group(1, 4, 1)).await;
    platform.set_desired(3).await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 3);
    platform.set_desired(1).await;
    platform.settle().await;
    assert_eq!(platform.serving().await.len(), 1);
    assert_eq!(platform.ec2.state.lock().living().len(), 1);
    let set = |desired, honor| SetDesiredCapacityInput {
        auto_scaling_group_name: "g".to_owned(),
        desired_capacity: desired,
        honor_cooldown: honor,
    };
    assert_eq!(
        refused(platform.autoscaling.set_desired_capacity(&platform.call, set(5, None)).await),
        "ValidationError: New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup."
    );
    assert_eq!(
        refused(platform.autoscaling.set_desired_capacity(&platform.call, set(0, None)).await),
        "ValidationError: New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup."
    );
    let early = platform.autoscaling.set_desired_capacity(&platform.call, set(2, Some(true))).await;
    assert_eq!(code(early), "ScalingActivityInProgress");
    platform.advance_s(300).await;
    platform.autoscaling.set_desired_capacity(&platform.call, set(2, Some(true))).await.unwrap();
}

#[tokio::test]
async fn a_group_with_instances_is_deleted_by_force_only_and_leaves_nothing_behind() {
    let platform = platform().await;
    platform.create(super::platform::balanced(0, 2, 2)).await;
    assert_eq!(
        refused(platform.autoscaling.delete_auto_scaling_group(&platform.call, delete(false)).await),
        "ResourceInUse: You cannot delete an AutoScalingGroup while there are instances or pending Spot instance \
         request(s) still in the group."
    );
    platform.autoscaling.delete_auto_scaling_group(&platform.call, delete(true)).await.unwrap();
    assert_eq!(platform.describe().await.status.as_deref(), Some("Delete in progress"));
    assert_eq!(
        code(platform.autoscaling.create_auto_scaling_group(&platform.call, group(0, 1, 1)).await),
        "AlreadyExists"
    );
    assert_eq!(code(platform.autoscaling.update_auto_scaling_group(&platform.call, update()).await), "ValidationError");
    platform.settle().await;
    assert!(platform.autoscaling.all_groups().await.unwrap().is_empty());
    assert!(platform.ec2.state.lock().living().is_empty());
    assert!(platform.elb.balancers.lock()["elb"].registered.is_empty());
    assert_eq!(
        code(platform.autoscaling.delete_auto_scaling_group(&platform.call, delete(true)).await),
        "ValidationError"
    );
}

#[tokio::test]
async fn a_group_is_not_deleted_while_something_is_under_way_or_against_its_protection() {
    let platform = platform().await;
    platform.ec2.state.lock().slow = true;
    platform.create(group(0, 1, 1)).await;
    assert_eq!(
        refused(platform.autoscaling.delete_auto_scaling_group(&platform.call, delete(false)).await),
        "ScalingActivityInProgress: You cannot delete an AutoScalingGroup while there are scaling activities in progress \
         for that group."
    );
    let protect = |value: &str| UpdateAutoScalingGroupInput { deletion_protection: Some(value.into()), ..update() };
    platform.autoscaling.update_auto_scaling_group(&platform.call, protect("prevent-force-deletion")).await.unwrap();
    assert_eq!(
        code(platform.autoscaling.delete_auto_scaling_group(&platform.call, delete(true)).await),
        "ValidationError"
    );
    platform.autoscaling.update_auto_scaling_group(&platform.call, protect("none")).await.unwrap();
    platform.autoscaling.delete_auto_scaling_group(&platform.call, delete(true)).await.unwrap();
    platform.settle().await;
    assert!(platform.ec2.state.lock().living().is_empty());
}

#[tokio::test]
async fn groups_come_in_pages_and_account_limits_count_them() {
    let platform = platform().await;
    for n in 0..7 {
        let name = format!("g{n}");
        platform.create(CreateAutoScalingGroupInput { auto_scaling_group_name: name, ..group(0, 0, 0) }).await;
    }
    let page = |next_token| DescribeAutoScalingGroupsInput { max_records: Some(5), next_token, ..Default::default() };
    let first = platform.autoscaling.describe_auto_scaling_groups(&platform.call, page(None)).await.unwrap();
    let second = page(first.next_token.clone());
    let second = platform.autoscaling.describe_auto_scaling_groups(&platform.call, second).await.unwrap();
    let names = first.auto_scaling_groups.into_iter().chain(second.auto_scaling_groups);
    let names: Vec<_> = names.map(|group| group.auto_scaling_group_name).collect();
    assert_eq!(names, ["g0", "g1", "g2", "g3", "g4", "g5", "g6"]);
    assert_eq!(second.next_token, None);
    let wrong = page(Some("!".into()));
    assert_eq!(
        code(platform.autoscaling.describe_auto_scaling_groups(&platform.call, wrong).await),
        "InvalidNextToken"
    );
    let limits = DescribeAccountLimitsInput::default();
    let limits = platform.autoscaling.describe_account_limits(&platform.call, limits).await.unwrap();
    assert_eq!((limits.number_of_auto_scaling_groups, limits.number_of_launch_configurations), (Some(7), Some(1)));
}
