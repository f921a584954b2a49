//! Launch configurations: kept as they came, and handed to EC2 as they are.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{code, configuration, group, platform, refused, texts};

#[tokio::test]
async fn a_launch_configuration_is_described_as_it_was_made() {
    let platform = platform().await;
    let input = CreateLaunchConfigurationInput {
        user_data: Some("IyEvYmluL3NoCg==".into()),
        security_groups: texts(&["sg-1"]),
        key_name: Some("mykey".into()),
        associate_public_ip_address: Some(true),
        ebs_optimized: Some(false),
        ..configuration("web")
    };
    platform.autoscaling.create_launch_configuration(&platform.call, input).await.unwrap();
    let named = DescribeLaunchConfigurationsInput { launch_configuration_names: texts(&["web"]), ..Default::default() };
    let described = platform.autoscaling.describe_launch_configurations(&platform.call, named).await.unwrap();
    let [one] = <[_; 1]>::try_from(described.launch_configurations).unwrap();
    assert_eq!(one.launch_configuration_name, "web");
    assert_eq!(one.user_data.as_deref(), Some("IyEvYmluL3NoCg=="));
    assert_eq!((one.key_name.as_deref(), one.instance_type.as_str()), (Some("mykey"), "t2.micro"));
    assert_eq!((one.associate_public_ip_address, one.ebs_optimized), (Some(true), Some(false)));
    let arn = one.launch_configuration_arn.unwrap();
    assert!(arn.starts_with("arn:aws:autoscaling:us-east-1:123456789012:launchConfiguration:"), "{arn}");
    assert_eq!(one.created_time.0, 1_767_225_600_000);
}

#[tokio::test]
async fn ec2_gets_what_a_launch_configuration_says() {
    let platform = platform().await;
    let input = CreateLaunchConfigurationInput {
        user_data: Some("IyEvYmluL3NoCg==".into()),
        security_groups: texts(&["sg-1"]),
        key_name: Some("mykey".into()),
        associate_public_ip_address: Some(true),
        iam_instance_profile: Some("profile".into()),
        block_device_mappings: vec![BlockDeviceMapping {
            device_name: "/dev/xvda".into(),
            ebs: Some(Ebs { volume_size: Some(8), ..Default::default() }),
            ..Default::default()
        }],
        ..configuration("web")
    };
    platform.autoscaling.create_launch_configuration(&platform.call, input).await.unwrap();
    let tag = |key: &str, propagate| Tag {
        key: key.into(),
        value: Some("v".into()),
        propagate_at_launch: Some(propagate),
        ..Default::default()
    };
    platform
        .create(CreateAutoScalingGroupInput {
            launch_configuration_name: Some("web".into()),
            availability_zones: vec![],
            vpc_zone_identifier: Some("subnet-b".into()),
            tags: vec![tag("told", true), tag("kept", false)],
            ..group(1, 1, 1)
        })
        .await;
    let state = platform.ec2.state.lock();
    let instance = state.instances.values().next().unwrap();
    let asked = &instance.asked;
    assert_eq!((asked.min_count, asked.max_count), (1, 1));
    assert_eq!(asked.image_id.as_deref(), Some("ami-12345678"));
    assert_eq!(asked.instance_type.as_deref(), Some("t2.micro"));
    assert_eq!(asked.key_name.as_deref(), Some("mykey"));
    assert_eq!(asked.user_data.as_deref(), Some("IyEvYmluL3NoCg=="));
    assert_eq!(asked.iam_instance_profile.as_ref().unwrap().name.as_deref(), Some("profile"));
    assert_eq!(asked.block_device_mappings[0].ebs.as_ref().unwrap().volume_size, Some(8));
    let interface = &asked.network_interfaces[0];
    assert_eq!((interface.associate_public_ip_address, interface.device_index), (Some(true), Some(0)));
    assert_eq!(
        (interface.subnet_id.as_deref(), interface.groups.as_slice()),
        (Some("subnet-b"), &["sg-1".to_owned()][..])
    );
    assert_eq!((asked.subnet_id.as_ref(), asked.security_group_ids.len()), (None, 0));
    let tags: Vec<_> = instance.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(tags, [("aws:autoscaling:groupName", "g"), ("told", "v")]);
}

#[tokio::test]
async fn a_launch_configuration_that_can_not_be_is_refused() {
    let platform = platform().await;
    assert_eq!(
        refused(platform.autoscaling.create_launch_configuration(&platform.call, configuration("lc")).await),
        "AlreadyExists: Launch Configuration by this name already exists - A launch configuration already exists with the \
         name lc"
    );
    let base = || configuration("other");
    for (wrong, expected) in [
        (CreateLaunchConfigurationInput { image_id: None, ..base() }, "Valid requests must contain"),
        (
            CreateLaunchConfigurationInput { spot_price: Some("0.1".into()), ..base() },
            "SpotPrice '0.1' is not supported",
        ),
        (CreateLaunchConfigurationInput { instance_id: Some("i-1".into()), ..base() }, "InstanceId"),
        (CreateLaunchConfigurationInput { user_data: Some("echo".repeat(7) + "!"), ..base() }, "Invalid BASE64"),
        (CreateLaunchConfigurationInput { user_data: Some("AAAA".repeat(5500)), ..base() }, "User data is limited"),
        (CreateLaunchConfigurationInput { security_groups: texts(&["sg-1", "web"]), ..base() }, "Security groups"),
        (
            CreateLaunchConfigurationInput {
                security_groups: texts(&["web"]),
                associate_public_ip_address: Some(true),
                ..base()
            },
            "AssociatePublicIpAddress requires",
        ),
        (CreateLaunchConfigurationInput { placement_tenancy: Some("dedicated".into()), ..base() }, "PlacementTenancy"),
    ] {
        let sentence = refused(platform.autoscaling.create_launch_configuration(&platform.call, wrong).await);
        assert!(sentence.starts_with(&format!("ValidationError: {expected}")), "{sentence}");
    }
}

#[tokio::test]
async fn a_launch_configuration_in_use_stays() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    let delete = || DeleteLaunchConfigurationInput { launch_configuration_name: "lc".into() };
    assert_eq!(
        refused(platform.autoscaling.delete_launch_configuration(&platform.call, delete()).await),
        "ResourceInUse: Cannot delete launch configuration lc because it is attached to AutoScalingGroup g"
    );
    let group = DeleteAutoScalingGroupInput { auto_scaling_group_name: "g".into(), ..Default::default() };
    platform.autoscaling.delete_auto_scaling_group(&platform.call, group).await.unwrap();
    platform.autoscaling.delete_launch_configuration(&platform.call, delete()).await.unwrap();
    assert_eq!(
        code(platform.autoscaling.delete_launch_configuration(&platform.call, delete()).await),
        "ValidationError"
    );
}
