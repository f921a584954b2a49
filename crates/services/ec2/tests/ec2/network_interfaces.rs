//! Network interfaces: users', and those of load balancers.

use crate::platform::{platform, platform_with_engine, service_call};
use crate::run::IMAGE;

#[tokio::test]
async fn an_interface_has_an_address_of_its_subnet_and_keeps_subnet_and_group() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let group = platform.group(&vpc, "web").await;
    let form = format!("SubnetId={subnet}&SecurityGroupId.1={group}&Description=first");
    let made = platform.ask("CreateNetworkInterface", &form).await;
    assert_eq!((made.text("privateIpAddress"), made.text("status")), ("10.0.1.4".into(), "available".into()));
    assert_eq!((made.text("groupId"), made.text("privateDnsName")), (group.clone(), "ip-10-0-1-4.ec2.internal".into()));
    let id = made.text("networkInterfaceId");
    assert_eq!(
        platform.ask("DeleteSecurityGroup", &format!("GroupId={group}")).await.refusal(),
        format!("DependencyViolation: resource {group} has a dependent object")
    );
    assert_eq!(platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await.code(), "DependencyViolation");
    let second = platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}")).await;
    assert_eq!(second.text("privateIpAddress"), "10.0.1.5");
    assert_eq!(second.text("groupName"), "default");
    platform.ask("DeleteNetworkInterface", &format!("NetworkInterfaceId={id}")).await.ok();
    let third = platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}")).await;
    assert_eq!(third.text("privateIpAddress"), "10.0.1.6", "what was just given back is not given out at once");
    assert_eq!(
        platform.ask("DeleteNetworkInterface", &format!("NetworkInterfaceId={id}")).await.refusal(),
        format!("InvalidNetworkInterfaceID.NotFound: The networkInterface ID '{id}' does not exist")
    );
}

#[tokio::test]
async fn an_address_may_be_asked_for_if_it_is_free_and_nobodys() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/28").await;
    let ask = |address: &str| {
        let (platform, form) = (&platform, format!("SubnetId={subnet}&PrivateIpAddress={address}"));
        async move { platform.ask("CreateNetworkInterface", &form).await }
    };
    assert_eq!(ask("10.0.1.9").await.text("privateIpAddress"), "10.0.1.9");
    assert_eq!(ask("10.0.1.9").await.refusal(), "InvalidIPAddress.InUse: Address 10.0.1.9 is in use.");
    assert_eq!(ask("10.0.1.3").await.refusal(), "InvalidParameterValue: Address is in subnet's reserved address range");
    assert_eq!(
        ask("10.0.2.3").await.refusal(),
        "InvalidParameterValue: Address does not fall within the subnet's address range"
    );
    assert_eq!(ask("x").await.code(), "InvalidParameterValue");
    for _ in 0..10 {
        platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}")).await.ok();
    }
    let full = platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}")).await;
    assert_eq!(full.code(), "InsufficientFreeAddressesInSubnet");
    let described = platform.ask("DescribeSubnets", &format!("SubnetId.1={subnet}")).await;
    assert_eq!(described.text("availableIpAddressCount"), "0");
}

#[tokio::test]
async fn groups_are_those_of_the_interfaces_vpc_and_may_be_changed() {
    let platform = platform();
    let (vpc, other) = (platform.vpc("10.0.0.0/16").await, platform.vpc("10.1.0.0/16").await);
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let (web, foreign) = (platform.group(&vpc, "web").await, platform.group(&other, "web").await);
    let form = format!("SubnetId={subnet}&SecurityGroupId.1={foreign}");
    assert_eq!(
        platform.ask("CreateNetworkInterface", &form).await.refusal(),
        "InvalidParameter: You have specified two resources that belong to different networks."
    );
    let id = platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}")).await.text("networkInterfaceId");
    let modify = |rest: &str| {
        let (platform, form) = (&platform, format!("NetworkInterfaceId={id}&{rest}"));
        async move { platform.ask("ModifyNetworkInterfaceAttribute", &form).await }
    };
    modify(&format!("SecurityGroupId.1={web}")).await.ok();
    modify("Description.Value=second").await.ok();
    let of = "Filter.1.Name=group-name&Filter.1.Value.1=web";
    let described = platform.ask("DescribeNetworkInterfaces", of).await;
    assert_eq!((described.text("networkInterfaceId"), described.text("description")), (id.clone(), "second".into()));
    assert_eq!(modify("SourceDestCheck.Value=false").await.code(), "UnsupportedOperation");
    assert_eq!(modify("Attachment.AttachmentId=eni-attach-1").await.code(), "InvalidAttachmentID.NotFound");
}

#[tokio::test]
async fn a_load_balancers_interface_is_a_node_of_its_vpc_and_only_its_own_to_change() {
    let (mut platform, engine) = platform_with_engine();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let group = platform.group(&vpc, "elb").await;
    let run = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&SubnetId={subnet}");
    let instance = platform.ask("RunInstances", &run).await.text("instanceId");
    let user = std::mem::replace(&mut platform.call, service_call("elasticloadbalancing.amazonaws.com"));
    let form = format!("SubnetId={subnet}&SecurityGroupId.1={group}&Description=ELB%20front");
    let made = platform.ask("CreateNetworkInterface", &form).await;
    let id = made.text("networkInterfaceId");
    assert_eq!(made.text("requesterId"), "amazon-elb");
    assert_eq!(made.texts("status"), ["attached", "in-use"]);
    assert_eq!((made.text("requesterManaged"), made.text("description")), ("true".into(), "ELB front".into()));
    let address: std::net::Ipv4Addr = made.text("privateIpAddress").parse().unwrap();
    let nodes = || -> Vec<machines::BalancerNode> {
        engine.networks().vpcs.values().flat_map(|vpc| vpc.balancer_nodes.clone()).collect()
    };
    crate::asked::until(|| !nodes().is_empty()).await;
    let node = nodes().remove(0);
    assert_eq!((node.address, &*node.subnet.0, &*node.groups[0].0), (address, subnet.as_str(), group.as_str()));
    let service = std::mem::replace(&mut platform.call, user);
    let delete = format!("NetworkInterfaceId={id}");
    assert_eq!(platform.ask("DeleteNetworkInterface", &delete).await.code(), "AuthFailure");
    let modify = format!("NetworkInterfaceId={id}&Description.Value=mine");
    assert_eq!(platform.ask("ModifyNetworkInterfaceAttribute", &modify).await.code(), "AuthFailure");
    assert_eq!(platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await.code(), "DependencyViolation");
    platform.call = service;
    platform.ask("DeleteNetworkInterface", &delete).await.ok();
    crate::asked::until(|| nodes().is_empty()).await;
    // A node alone would have nobody to reach: the engine has nothing to do for it.
    platform.ask("CreateNetworkInterface", &form).await.ok();
    crate::asked::until(|| !nodes().is_empty()).await;
    platform.ask("TerminateInstances", &format!("InstanceId.1={instance}")).await.ok();
    platform.until_state(&instance, "terminated").await;
    crate::asked::until(|| engine.networks().vpcs.is_empty()).await;
}
