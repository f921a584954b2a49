//! Elastic IP addresses.

use crate::platform::{platform, platform_with_engine};
use crate::run::IMAGE;

#[tokio::test]
async fn an_address_is_allocated_found_and_released() {
    let platform = platform();
    let tags =
        "TagSpecification.1.ResourceType=elastic-ip&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b";
    let made = platform.ask("AllocateAddress", &format!("Domain=vpc&{tags}")).await;
    let (id, public) = (made.text("allocationId"), made.text("publicIp"));
    assert!(public.starts_with("198.18.") || public.starts_with("198.19."), "{public}");
    for form in [
        format!("AllocationId.1={id}"),
        format!("PublicIp.1={public}"),
        "Filter.1.Name=tag:a&Filter.1.Value.1=b".to_owned(),
    ] {
        assert_eq!(platform.ask("DescribeAddresses", &form).await.texts("allocationId"), std::slice::from_ref(&id));
    }
    platform.ask("ReleaseAddress", &format!("AllocationId={id}")).await.ok();
    assert_eq!(
        platform.ask("ReleaseAddress", &format!("AllocationId={id}")).await.refusal(),
        format!("InvalidAllocationID.NotFound: The allocation ID '{id}' does not exist")
    );
    assert_eq!(
        platform.ask("DescribeAddresses", &format!("PublicIp.1={public}")).await.refusal(),
        format!("InvalidAddress.NotFound: Address '{public}' not found.")
    );
    assert_eq!(platform.ask("AllocateAddress", "Domain=standard").await.code(), "UnsupportedOperation");
    assert_eq!(platform.ask("ReleaseAddress", "").await.code(), "MissingParameter");
}

#[tokio::test]
async fn an_address_stands_for_an_instance_until_it_is_taken_off() {
    let (platform, _engine) = platform_with_engine();
    let instance = platform.ask("RunInstances", &format!("ImageId={IMAGE}&MinCount=1&MaxCount=1")).await;
    let (instance, first) = (instance.text("instanceId"), instance.text("publicIp"));
    let made = platform.ask("AllocateAddress", "").await;
    let (id, public) = (made.text("allocationId"), made.text("publicIp"));
    let associate = format!("AllocationId={id}&InstanceId={instance}");
    let association = platform.ask("AssociateAddress", &associate).await.text("associationId");
    let described = platform.ask("DescribeInstances", &format!("InstanceId.1={instance}")).await;
    assert_eq!(described.text("publicIp"), public);
    assert!(!described.body.contains(&first), "the address that came with the start went back");
    let of = format!("Filter.1.Name=instance-id&Filter.1.Value.1={instance}");
    assert_eq!(platform.ask("DescribeAddresses", &of).await.text("associationId"), association);
    assert_eq!(platform.ask("ReleaseAddress", &format!("AllocationId={id}")).await.code(), "InvalidIPAddress.InUse");
    let other = platform.ask("AllocateAddress", "").await.text("allocationId");
    let stays = format!("AllocationId={other}&InstanceId={instance}&AllowReassociation=false");
    assert_eq!(platform.ask("AssociateAddress", &stays).await.code(), "Resource.AlreadyAssociated");
    platform.ask("DisassociateAddress", &format!("AssociationId={association}")).await.ok();
    assert_eq!(
        platform.ask("DisassociateAddress", &format!("AssociationId={association}")).await.code(),
        "InvalidAssociationID.NotFound"
    );
    platform.ask("AssociateAddress", &stays).await.ok();
    platform.ask("TerminateInstances", &format!("InstanceId.1={instance}")).await.ok();
    platform.until_state(&instance, "terminated").await;
    platform.ask("ReleaseAddress", &format!("AllocationId={other}")).await.ok();
}

#[tokio::test]
async fn an_address_needs_a_gateway_and_keeps_it() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let interface = platform.ask("CreateNetworkInterface", &format!("SubnetId={subnet}")).await;
    let interface = interface.text("networkInterfaceId");
    let id = platform.ask("AllocateAddress", "").await.text("allocationId");
    let associate = format!("AllocationId={id}&NetworkInterfaceId={interface}");
    assert_eq!(
        platform.ask("AssociateAddress", &associate).await.refusal(),
        format!("Gateway.NotAttached: Network {vpc} is not attached to any internet gateway")
    );
    let gateway = platform.ask("CreateInternetGateway", "").await.text("internetGatewayId");
    let both = format!("InternetGatewayId={gateway}&VpcId={vpc}");
    platform.ask("AttachInternetGateway", &both).await.ok();
    platform.ask("AssociateAddress", &associate).await.ok();
    assert_eq!(platform.ask("DetachInternetGateway", &both).await.code(), "DependencyViolation");
}
