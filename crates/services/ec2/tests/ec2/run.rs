//! RunInstances: what becomes of what it asks for, and what it refuses.

use crate::asked::until;
use crate::platform::{platform, platform_with_engine};

/// Amazon Linux 2015.03 in us-east-1.
pub(crate) const IMAGE: &str = "ami-1ecae776";

fn one(rest: &str) -> String {
    format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&{rest}")
}

#[tokio::test]
async fn an_instance_is_pending_when_its_id_is_told_and_runs_soon() {
    let (platform, engine) = platform_with_engine();
    platform
        .ask("ImportKeyPair", &format!("KeyName=mykey&PublicKeyMaterial={}", crate::key_pairs::material()))
        .await
        .ok();
    let tags = "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
                &TagSpecification.1.Tag.1.Value=web";
    let form = one(&format!("InstanceType=t2.micro&KeyName=mykey&UserData=IyEvYmluL3No&{tags}"));
    let run = platform.ask("RunInstances", &form).await;
    assert_eq!((run.text("name"), run.text("code")), ("pending".into(), "0".into()));
    assert_eq!(run.text("privateIpAddress"), "172.31.0.4");
    assert_eq!(run.text("privateDnsName"), "ip-172-31-0-4.ec2.internal");
    assert!(run.text("dnsName").starts_with("ec2-198-1"), "{}", run.body);
    assert_eq!((run.text("keyName"), run.text("amiLaunchIndex")), ("mykey".into(), "0".into()));
    assert_eq!((run.text("groupName"), run.text("value")), ("default".into(), "web".into()));
    let id = run.text("instanceId");
    let running = platform.until_state(&id, "running").await;
    assert_eq!(running.text("launchTime"), "2026-01-01T00:00:00Z");
    assert!(!running.body.contains("<stateReason>"), "{}", running.body);
    let spec = engine.spec(&id).unwrap();
    assert_eq!(spec.hostname, "ip-172-31-0-4.ec2.internal");
    assert_eq!(spec.user_data.as_deref(), Some(b"#!/bin/sh".as_slice()));
    assert_eq!(spec.limits.memory_bytes, Some(1 << 30));
    assert_eq!((spec.limits.cpu_millis, spec.on_exit), (Some(1000), machines::OnExit::Stop));
    assert!(spec.public_keys[0].starts_with("ssh-ed25519 "));
    assert_eq!(spec.image.root, machines::ImageRoot::Host);
    let networks = engine.networks();
    let (_, vpc) = networks.vpcs.first_key_value().unwrap();
    assert_eq!((networks.vpcs.len(), vpc.interfaces.len()), (1, 1));
    let interface = vpc.interfaces.values().next().unwrap();
    assert_eq!(interface.instance.as_ref().map(|id| id.0.to_string()), Some(id));
    assert_eq!(&*interface.names[0], "ip-172-31-0-4.ec2.internal");
    assert!(vpc.subnets[&interface.subnet].internet, "the default VPC has a way out");
    assert!(vpc.subnets[&interface.subnet].acl.is_some());
    assert_eq!(vpc.groups[&interface.groups[0]].egress.len(), 1);
}

#[tokio::test]
async fn a_call_with_a_token_starts_its_instances_once() {
    let (platform, engine) = platform_with_engine();
    let form = format!("ImageId={IMAGE}&MinCount=2&MaxCount=2&ClientToken=abc");
    let first = platform.ask("RunInstances", &form).await;
    let again = platform.ask("RunInstances", &form).await;
    assert_eq!(first.texts("instanceId"), again.texts("instanceId"));
    assert_eq!(first.text("reservationId"), again.text("reservationId"));
    assert_eq!(first.texts("amiLaunchIndex"), ["0", "1"]);
    assert_eq!(
        platform.ask("RunInstances", &form.replace("MaxCount=2", "MaxCount=3")).await.code(),
        "IdempotentParameterMismatch"
    );
    until(|| engine.deeds().len() == 2).await;
    let of = "Filter.1.Name=client-token&Filter.1.Value.1=abc";
    assert_eq!(platform.ask("DescribeInstances", of).await.texts("reservationId").len(), 1);
}

#[tokio::test]
async fn instances_stand_in_the_subnet_and_the_groups_that_are_named() {
    let (platform, engine) = platform_with_engine();
    let vpc = platform.vpc("172.31.0.0/16").await;
    let subnet = platform.subnet(&vpc, "172.31.38.0/24").await;
    let group = platform.group(&vpc, "web").await;
    let form = format!(
        "ImageId={IMAGE}&MinCount=2&MaxCount=2&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={subnet}\
         &NetworkInterface.1.SecurityGroupId.1={group}&NetworkInterface.1.AssociatePublicIpAddress=true"
    );
    let run = platform.ask("RunInstances", &form).await;
    assert_eq!(run.texts("instanceId").len(), 2);
    assert!(run.body.contains("172.31.38.4") && run.body.contains("172.31.38.5"));
    assert_eq!(run.text("vpcId"), vpc);
    assert!(!run.texts("publicIp").is_empty());
    // Without host names in the VPC a public address has no name.
    assert_eq!(run.text("dnsName"), "");
    until(|| engine.ids().len() == 2).await;
    let all = engine.networks();
    let (id, published) = all.vpcs.iter().next().unwrap();
    assert_eq!((&*id.0, published.subnets.values().next().unwrap().internet), (vpc.as_str(), false));
    assert_eq!(platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await.code(), "DependencyViolation");
    assert_eq!(platform.ask("DeleteSecurityGroup", &format!("GroupId={group}")).await.code(), "DependencyViolation");
}

#[tokio::test]
async fn rules_and_entries_reach_the_engine_as_they_stand() {
    let (platform, engine) = platform_with_engine();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let (front, web) = (platform.group(&vpc, "front").await, platform.group(&vpc, "web").await);
    let rule = format!(
        "GroupId={web}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80\
         &IpPermissions.1.Groups.1.GroupId={front}&IpPermissions.2.IpProtocol=icmp&IpPermissions.2.FromPort=8\
         &IpPermissions.2.ToPort=-1&IpPermissions.2.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.3.IpProtocol=-1\
         &IpPermissions.3.Ipv6Ranges.1.CidrIpv6=::/0"
    );
    platform.ask("AuthorizeSecurityGroupIngress", &rule).await.ok();
    platform.ask("RunInstances", &one(&format!("SubnetId={subnet}&SecurityGroupId.1={web}"))).await.ok();
    until(|| engine.ids().len() == 1).await;
    let networks = engine.networks();
    let vpc = networks.vpcs.values().next().unwrap();
    let rules = &vpc.groups[&machines::GroupId(web.as_str().into())].ingress;
    let from_front = machines::Rule {
        protocol: machines::Protocol::Tcp { first: 80, last: 80 },
        peer: machines::Peer::Group(machines::GroupId(front.as_str().into())),
    };
    let ping = machines::Rule {
        protocol: machines::Protocol::Icmp { kind: Some(8), code: None },
        peer: machines::Peer::Network(machines::Ipv4Network { address: [10, 0, 0, 0].into(), prefix: 8 }),
    };
    assert_eq!(*rules, [from_front, ping], "what is for IPv6 is not carried");
    let acl = vpc.acls.values().next().unwrap();
    assert_eq!((acl.ingress.len(), acl.ingress[0].action), (1, machines::AclAction::Allow));
    // A change reaches instances that run.
    platform.ask("RevokeSecurityGroupIngress", &rule).await.ok();
    until(|| {
        let networks = engine.networks();
        networks.vpcs.values().all(|vpc| vpc.groups[&machines::GroupId(web.as_str().into())].ingress.is_empty())
    })
    .await;
}

#[tokio::test]
async fn an_interface_that_was_made_before_can_be_an_instances() {
    let (platform, _engine) = platform_with_engine();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let made = platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}&PrivateIpAddress=10.0.1.77")).await;
    let interface = made.text("networkInterfaceId");
    let form = one(&format!("NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.NetworkInterfaceId={interface}"));
    let run = platform.ask("RunInstances", &form).await;
    assert_eq!(run.text("privateIpAddress"), "10.0.1.77");
    assert_eq!(platform.ask("RunInstances", &form).await.code(), "InvalidNetworkInterface.InUse");
    let delete = format!("NetworkInterfaceId={interface}");
    assert_eq!(
        platform.ask("DeleteNetworkInterface", &delete).await.refusal(),
        format!("InvalidParameterValue: Network interface '{interface}' is currently in use.")
    );
    let id = run.text("instanceId");
    platform.ask("TerminateInstances", &format!("InstanceId.1={id}")).await.ok();
    platform.until_state(&id, "terminated").await;
    platform.ask("DeleteNetworkInterface", &delete).await.ok();
}

#[tokio::test]
async fn as_many_are_started_as_there_is_room_for_and_no_fewer_than_the_least() {
    let (platform, _engine) = platform_with_engine();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/28").await;
    let many = |min: u8, max: u8| format!("ImageId={IMAGE}&MinCount={min}&MaxCount={max}&SubnetId={subnet}");
    assert_eq!(
        platform.ask("RunInstances", &many(12, 12)).await.refusal(),
        format!(
            "InsufficientFreeAddressesInSubnet: There are not enough free addresses in subnet '{subnet}' to satisfy \
             the requested number of instances."
        )
    );
    assert_eq!(platform.ask("RunInstances", &many(2, 20)).await.texts("instanceId").len(), 11);
}

#[tokio::test]
async fn what_can_not_be_honoured_is_refused_by_its_name() {
    let (platform, engine) = platform_with_engine();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let foreign = platform.group(&platform.vpc("10.1.0.0/16").await, "x").await;
    let long = format!("UserData={}", "QUFB".repeat(5_500));
    let in_subnet = format!("SubnetId={subnet}");
    let cases: &[(&str, &str)] = &[
        ("InstanceType=t9.huge", "InvalidParameterValue: Invalid value 't9.huge' for InstanceType."),
        ("KeyName=none", "InvalidKeyPair.NotFound: The key pair 'none' does not exist"),
        ("UserData=!", "InvalidUserData.Malformed: Invalid BASE64 encoding of user data."),
        (&long, "InvalidParameterValue: User data is limited to 16384 bytes"),
        ("SubnetId=subnet-12345678", "InvalidSubnetID.NotFound: The subnet ID 'subnet-12345678' does not exist"),
        (
            "Placement.AvailabilityZone=us-east-1z",
            "InvalidParameterValue: Value (us-east-1z) for parameter availabilityZone is invalid.",
        ),
        (
            "Placement.Tenancy=dedicated",
            "UnsupportedOperation: The value 'dedicated' for parameter placement.tenancy is not supported here.",
        ),
        (
            "IamInstanceProfile.Name=web",
            "InvalidParameterValue: Value (web) for parameter iamInstanceProfile is invalid. Invalid IAM Instance Profile",
        ),
        (
            "InstanceMarketOptions.MarketType=spot",
            "UnsupportedOperation: The parameter InstanceMarketOptions is not supported here.",
        ),
        (
            "BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.VolumeSize=8",
            "UnsupportedOperation: The value '/dev/sdf' for parameter BlockDeviceMapping.DeviceName is not supported here.",
        ),
        ("EnclaveOptions.Enabled=true", "UnsupportedOperation: The parameter EnclaveOptions is not supported here."),
        (
            "InstanceInitiatedShutdownBehavior=sleep",
            "InvalidParameterValue: Value (sleep) for parameter instanceInitiatedShutdownBehavior is invalid.",
        ),
        (
            "MetadataOptions.HttpTokens=maybe",
            "InvalidParameterValue: Value (maybe) for parameter httpTokens is invalid.",
        ),
        (
            "TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a",
            "InvalidParameterValue: 'vpc' is not a valid taggable resource type for this operation.",
        ),
    ];
    for (rest, refusal) in cases {
        assert_eq!(platform.ask("RunInstances", &one(rest)).await.refusal(), *refusal, "{rest}");
    }
    let foreign = format!("{in_subnet}&SecurityGroupId.1={foreign}");
    assert_eq!(platform.ask("RunInstances", &one(&foreign)).await.code(), "InvalidParameter");
    let named = format!("{in_subnet}&SecurityGroup.1=default");
    assert_eq!(platform.ask("RunInstances", &one(&named)).await.code(), "InvalidParameterCombination");
    let both = format!("{in_subnet}&NetworkInterface.1.DeviceIndex=0");
    assert_eq!(platform.ask("RunInstances", &one(&both)).await.code(), "InvalidParameterCombination");
    let counts = |min: i32, max: i32| format!("ImageId={IMAGE}&MinCount={min}&MaxCount={max}");
    assert_eq!(platform.ask("RunInstances", &counts(0, 1)).await.code(), "InvalidParameterValue");
    assert_eq!(
        platform.ask("RunInstances", &counts(2, 1)).await.refusal(),
        "InvalidParameterValue: Min count must be less than or equal to max count"
    );
    assert_eq!(platform.ask("RunInstances", &counts(1001, 1001)).await.code(), "InstanceLimitExceeded");
    let unknown = "ImageId=ami-12345678&MinCount=1&MaxCount=1";
    assert_eq!(
        platform.ask("RunInstances", unknown).await.refusal(),
        "InvalidAMIID.NotFound: The image id '[ami-12345678]' does not exist"
    );
    assert!(platform.ask("DescribeInstances", "").await.texts("instanceId").is_empty());
    assert!(engine.deeds().is_empty());
}

#[tokio::test]
async fn parameters_that_have_no_effect_here_but_change_nothing_are_taken() {
    let (platform, _engine) = platform_with_engine();
    let form = one("EbsOptimized=false&Monitoring.Enabled=true&CreditSpecification.CpuCredits=standard\
         &BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.VolumeSize=8\
         &BlockDeviceMapping.1.Ebs.VolumeType=gp3&MetadataOptions.HttpTokens=required\
         &MetadataOptions.HttpPutResponseHopLimit=2&HibernationOptions.Configured=false");
    let run = platform.ask("RunInstances", &form).await;
    assert_eq!((run.text("httpTokens"), run.text("httpPutResponseHopLimit")), ("required".into(), "2".into()));
    assert!(run.body.contains("<monitoring><state>enabled</state></monitoring>"), "{}", run.body);
}

#[tokio::test]
async fn without_an_engine_instances_are_refused_and_networks_are_not() {
    let platform = platform();
    platform.vpc("10.0.0.0/16").await;
    assert_eq!(platform.ask("RunInstances", &one("")).await.code(), "UnsupportedOperation");
}

#[tokio::test]
async fn services_may_set_their_own_tags_and_users_may_not() {
    let (mut platform, _engine) = platform_with_engine();
    let tags = "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=aws:autoscaling:groupName\
                &TagSpecification.1.Tag.1.Value=web";
    assert_eq!(platform.ask("RunInstances", &one(tags)).await.code(), "InvalidParameterValue");
    platform.call = crate::platform::service_call("autoscaling.amazonaws.com");
    assert_eq!(platform.ask("RunInstances", &one(tags)).await.text("key"), "aws:autoscaling:groupName");
}
