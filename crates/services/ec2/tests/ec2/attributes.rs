//! Instances' attributes, their types, volumes, and the rules of groups in the other direction.

use crate::platform::{Platform, platform, platform_with_engine};
use crate::run::IMAGE;

async fn stopped(platform: &Platform) -> String {
    let form = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&InstanceType=t2.micro");
    let id = platform.ask("RunInstances", &form).await.text("instanceId");
    platform.until_state(&id, "running").await;
    platform.ask("StopInstances", &format!("InstanceId.1={id}")).await.ok();
    platform.until_state(&id, "stopped").await;
    id
}

#[tokio::test]
async fn what_an_instance_is_made_from_changes_only_while_it_is_stopped() {
    let (platform, engine) = platform_with_engine();
    let id = stopped(&platform).await;
    let modify = |rest: &str| {
        let (platform, form) = (&platform, format!("InstanceId={id}&{rest}"));
        async move { platform.ask("ModifyInstanceAttribute", &form).await }
    };
    let attribute = |name: &str| {
        let (platform, form) = (&platform, format!("InstanceId={id}&Attribute={name}"));
        async move { platform.ask("DescribeInstanceAttribute", &form).await }
    };
    modify("InstanceType.Value=t3.large").await.ok();
    modify("UserData.Value=ZWNobw%3D%3D").await.ok();
    modify("Attribute=disableApiStop&Value=false").await.ok();
    assert_eq!(attribute("instanceType").await.text("value"), "t3.large");
    assert_eq!(attribute("userData").await.text("value"), "ZWNobw==");
    assert_eq!(attribute("instanceInitiatedShutdownBehavior").await.text("value"), "stop");
    assert_eq!(attribute("groupSet").await.texts("groupId").len(), 1);
    assert_eq!(attribute("colour").await.code(), "InvalidParameterValue");
    platform.ask("StartInstances", &format!("InstanceId.1={id}")).await.ok();
    platform.until_state(&id, "running").await;
    let spec = engine.spec(&id).unwrap();
    assert_eq!((spec.user_data.as_deref(), spec.limits.memory_bytes), (Some(b"echo".as_slice()), Some(8 << 30)));
    assert_eq!(
        modify("InstanceType.Value=t3.small").await.refusal(),
        format!("IncorrectInstanceState: The instance '{id}' is not in the 'stopped' state.")
    );
    assert_eq!(modify("InstanceType.Value=t9.small").await.code(), "InvalidParameterValue");
    assert_eq!(modify("Kernel.Value=aki-1").await.code(), "UnsupportedOperation");
    assert_eq!(modify("SourceDestCheck.Value=false").await.code(), "UnsupportedOperation");
}

#[tokio::test]
async fn an_instances_groups_change_while_it_runs() {
    let (platform, _engine) = platform_with_engine();
    let id = stopped(&platform).await;
    let group = platform.ask("CreateSecurityGroup", "GroupName=web&GroupDescription=web").await.text("groupId");
    platform.ask("ModifyInstanceAttribute", &format!("InstanceId={id}&GroupId.1={group}")).await.ok();
    let of = format!("Filter.1.Name=instance.group-id&Filter.1.Value.1={group}");
    assert_eq!(platform.ask("DescribeInstances", &of).await.text("instanceId"), id);
}

#[tokio::test]
async fn the_metadata_services_options_change_one_by_one() {
    let (platform, _engine) = platform_with_engine();
    let id = stopped(&platform).await;
    let modify = |rest: &str| {
        let (platform, form) = (&platform, format!("InstanceId={id}&{rest}"));
        async move { platform.ask("ModifyInstanceMetadataOptions", &form).await }
    };
    let answer = modify("HttpTokens=required&InstanceMetadataTags=enabled").await;
    assert_eq!((answer.text("httpTokens"), answer.text("httpEndpoint")), ("required".into(), "enabled".into()));
    assert_eq!(modify("HttpPutResponseHopLimit=3").await.text("httpTokens"), "required");
    assert_eq!(modify("HttpPutResponseHopLimit=65").await.code(), "InvalidParameterValue");
    assert_eq!(modify("HttpEndpoint=off").await.code(), "InvalidParameterValue");
    assert_eq!(modify("HttpProtocolIpv6=enabled").await.code(), "UnsupportedOperation");
}

#[tokio::test]
async fn instance_types_say_what_they_give() {
    let platform = platform();
    let micro = platform.ask("DescribeInstanceTypes", "InstanceType.1=t2.micro").await;
    assert_eq!((micro.text("defaultVCpus"), micro.text("sizeInMiB")), ("1".into(), "1024".into()));
    let filter = "Filter.1.Name=processor-info.supported-architecture&Filter.1.Value.1=arm64\
                  &Filter.2.Name=instance-type&Filter.2.Value.1=t4g.*";
    assert_eq!(platform.ask("DescribeInstanceTypes", filter).await.texts("instanceType").len(), 7);
    assert_eq!(
        platform.ask("DescribeInstanceTypes", "InstanceType.1=t9.huge").await.refusal(),
        "InvalidInstanceType: The following supplied instance types do not exist: [t9.huge]"
    );
    let page = platform.ask("DescribeInstanceTypes", "MaxResults=100").await;
    let next = page.text("nextToken");
    let rest = platform.ask("DescribeInstanceTypes", &format!("MaxResults=100&NextToken={next}")).await;
    assert!(!rest.texts("instanceType").is_empty());
}

#[tokio::test]
async fn there_are_no_volumes() {
    let platform = platform();
    let filter = "Filter.1.Name=attachment.instance-id&Filter.1.Value.1=i-12345678";
    assert!(platform.ask("DescribeVolumes", filter).await.texts("volumeId").is_empty());
    assert_eq!(
        platform.ask("DescribeVolumes", "VolumeId.1=vol-12345678").await.refusal(),
        "InvalidVolume.NotFound: The volume 'vol-12345678' does not exist"
    );
}

#[tokio::test]
async fn what_may_go_out_is_ruled_like_what_may_come_in() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let group = platform.group(&vpc, "web").await;
    let all = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0";
    let https = "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443\
                 &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8";
    let ask = |operation: &'static str, rest: &str| {
        let (platform, form) = (&platform, format!("GroupId={group}&{rest}"));
        async move { platform.ask(operation, &form).await }
    };
    ask("RevokeSecurityGroupEgress", all).await.ok();
    assert_eq!(
        ask("RevokeSecurityGroupEgress", all).await.refusal(),
        "InvalidPermission.NotFound: The specified rule does not exist in this security group."
    );
    let added = ask("AuthorizeSecurityGroupEgress", https).await;
    assert_eq!((added.text("isEgress"), added.text("toPort")), ("true".into(), "443".into()));
    assert_eq!(ask("AuthorizeSecurityGroupEgress", https).await.code(), "InvalidPermission.Duplicate");
    let rule = added.text("securityGroupRuleId");
    let filter = "Filter.1.Name=egress.ip-permission.cidr&Filter.1.Value.1=10.0.0.0/8";
    assert_eq!(platform.ask("DescribeSecurityGroups", filter).await.text("groupId"), group);
    let described = format!("{https}&IpPermissions.1.IpRanges.1.Description=the%20world");
    ask("UpdateSecurityGroupRuleDescriptionsEgress", &described).await.ok();
    let by_id = format!("SecurityGroupRuleId.1={rule}");
    let rules = platform.ask("DescribeSecurityGroupRules", &by_id).await;
    assert_eq!((rules.text("description"), rules.text("groupId")), ("the world".into(), group.clone()));
    let named = format!(
        "SecurityGroupRuleDescription.1.SecurityGroupRuleId={rule}&SecurityGroupRuleDescription.1.Description=x"
    );
    ask("UpdateSecurityGroupRuleDescriptionsEgress", &named).await.ok();
    assert_eq!(platform.ask("DescribeSecurityGroupRules", &by_id).await.text("description"), "x");
    assert_eq!(
        ask("UpdateSecurityGroupRuleDescriptionsIngress", &named).await.code(),
        "InvalidSecurityGroupRuleId.NotFound"
    );
    ask("RevokeSecurityGroupEgress", &by_id).await.ok();
    assert_eq!(platform.ask("DescribeSecurityGroupRules", &by_id).await.code(), "InvalidSecurityGroupRuleId.NotFound");
    let of = format!("Filter.1.Name=group-id&Filter.1.Value.1={group}");
    assert!(platform.ask("DescribeSecurityGroupRules", &of).await.texts("securityGroupRuleId").is_empty());
}

#[tokio::test]
async fn a_group_of_another_vpc_can_not_be_named_in_a_rule() {
    let platform = platform();
    let (one, two) = (platform.vpc("10.0.0.0/16").await, platform.vpc("10.1.0.0/16").await);
    let (web, foreign) = (platform.group(&one, "web").await, platform.group(&two, "web").await);
    let rule = format!("GroupId={web}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId={foreign}");
    assert_eq!(platform.ask("AuthorizeSecurityGroupIngress", &rule).await.code(), "InvalidGroup.NotFound");
    let again = format!("VpcId={one}&GroupName=web&GroupDescription=x");
    assert_eq!(platform.ask("CreateSecurityGroup", &again).await.code(), "InvalidGroup.Duplicate");
}
