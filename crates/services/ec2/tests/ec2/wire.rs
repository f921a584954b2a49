//! Forms as the CLI and boto3 send them, and the XML that they read.

use bytes::Bytes;

use crate::platform::{Platform, platform};

async fn asked(platform: &Platform, operation: &str, form: &str) -> (u16, String) {
    let form = Bytes::from(format!("Action={operation}&Version=2016-11-15&{form}"));
    let answer = platform.ec2.handle(&platform.call, operation, form).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn instances_are_asked_for_and_answered_as_on_aws() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    let form =
        format!("InstanceId.1={id}&Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a&Filter.1.Value.2=x");
    let (status, body) = asked(&platform, "DescribeInstances", &form).await;
    assert_eq!(status, 200);
    let start = "<?xml version=\"1.0\"?><DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
                 <requestId>the-id</requestId><reservationSet><item><groupSet></groupSet><instancesSet><item>";
    assert!(body.starts_with(start), "{body}");
    for part in [
        &format!("<instanceId>{id}</instanceId>"),
        "<privateIpAddress>10.0.0.5</privateIpAddress>",
        "<instanceState><code>16</code><name>running</name></instanceState>",
        "<launchTime>2026-01-01T00:00:00Z</launchTime>",
        "<productCodes></productCodes>",
        "<ownerId>123456789012</ownerId>",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("tagSet"), "{body}");
}

#[tokio::test]
async fn an_error_is_written_as_ec2_writes_it() {
    let platform = platform();
    let (status, body) = asked(&platform, "DescribeInstances", "InstanceId.1=i-12345678").await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        "<?xml version=\"1.0\"?><Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code>\
         <Message>The instance ID 'i-12345678' does not exist</Message></Error></Errors>\
         <RequestID>the-id</RequestID></Response>"
    );
    let (_, body) = asked(&platform, "CreateSecurityGroup", "GroupName=web").await;
    assert!(body.contains("<Message>The request must contain the parameter GroupDescription</Message>"), "{body}");
    let (_, body) = asked(&platform, "CreateSecurityGroup", "GroupName=web&Description=x&GroupDescription=y").await;
    assert!(body.contains("<Code>UnknownParameter</Code>"), "{body}");
    let (_, body) = asked(&platform, "RunScheduledInstances", "").await;
    assert!(body.contains("<Code>InvalidAction</Code>"), "{body}");
}

#[tokio::test]
async fn a_group_is_made_opened_and_tagged_by_forms() {
    let platform = platform();
    let (status, body) = asked(
        &platform,
        "CreateSecurityGroup",
        "GroupName=web&GroupDescription=the+web&TagSpecification.1.ResourceType=security-group\
         &TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=shop",
    )
    .await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("<tagSet><item><key>team</key><value>shop</value></item></tagSet>"), "{body}");
    let id = body.split("<groupId>").nth(1).unwrap().split('<').next().unwrap();
    let form = format!(
        "GroupId={id}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80\
         &IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0%2F0&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=%3A%3A%2F0\
         &IpPermissions.2.IpProtocol=-1&IpPermissions.2.Groups.1.GroupId={id}"
    );
    let (status, body) = asked(&platform, "AuthorizeSecurityGroupIngress", &form).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("<return>true</return><securityGroupRuleSet><item>"), "{body}");
    let (_, body) = asked(&platform, "DescribeSecurityGroups", &format!("GroupId.1={id}")).await;
    let expected = "<ipPermissions><item><fromPort>80</fromPort><ipProtocol>tcp</ipProtocol>\
                    <ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>\
                    <ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges><prefixListIds></prefixListIds>\
                    <toPort>80</toPort><groups></groups></item>";
    assert!(body.contains(expected), "{body}");
    let tags = format!("ResourceId.1={id}&Tag.1.Key=a&Tag.1.Value=b");
    let (status, body) = asked(&platform, "CreateTags", &tags).await;
    assert_eq!(status, 200);
    assert!(body.ends_with("<requestId>the-id</requestId><return>true</return></CreateTagsResponse>"), "{body}");
}
