//! VPCs, subnets and internet gateways of a user's own.

use crate::platform::platform;

#[tokio::test]
async fn a_new_vpc_has_a_main_route_table_a_default_acl_and_a_default_group() {
    let platform = platform();
    let answer = platform.ask("CreateVpc", "CidrBlock=10.0.3.7/16&InstanceTenancy=default").await;
    assert_eq!(answer.text("cidrBlock"), "10.0.0.0/16");
    assert_eq!(answer.text("isDefault"), "false");
    let vpc = answer.text("vpcId");
    let of = format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let tables = platform.ask("DescribeRouteTables", &of).await;
    assert_eq!((tables.texts("main"), tables.texts("gatewayId")), (vec!["true".into()], vec!["local".into()]));
    assert_eq!(tables.text("destinationCidrBlock"), "10.0.0.0/16");
    let acls = platform.ask("DescribeNetworkAcls", &of).await;
    assert_eq!(acls.texts("ruleNumber"), ["100", "32767", "100", "32767"]);
    assert_eq!(acls.texts("ruleAction"), ["allow", "deny", "allow", "deny"]);
    let groups = platform.ask("DescribeSecurityGroups", &of).await;
    assert_eq!(groups.text("groupName"), "default");
    let deleted = platform.ask("DeleteVpc", &format!("VpcId={vpc}")).await;
    assert!(deleted.ok().body.contains("<return>true</return>"));
    let gone = platform.ask("DescribeVpcs", &format!("VpcId.1={vpc}")).await;
    assert_eq!(gone.refusal(), format!("InvalidVpcID.NotFound: The vpc ID '{vpc}' does not exist"));
    assert!(platform.ask("DescribeRouteTables", &of).await.texts("routeTableId").is_empty());
    assert!(platform.ask("DescribeSecurityGroups", &of).await.texts("groupId").is_empty());
}

#[tokio::test]
async fn a_vpc_that_can_not_be_is_refused() {
    let platform = platform();
    for (form, refusal) in [
        ("CidrBlock=10.0.0.0/8", "InvalidVpc.Range: The CIDR '10.0.0.0/8' is invalid."),
        ("CidrBlock=10.0.0.0/29", "InvalidVpc.Range: The CIDR '10.0.0.0/29' is invalid."),
        (
            "CidrBlock=10.0.0.0",
            "InvalidParameterValue: Value (10.0.0.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        ("InstanceTenancy=default", "MissingParameter: The request must contain the parameter cidrBlock"),
        (
            "CidrBlock=10.0.0.0/16&InstanceTenancy=dedicated",
            "UnsupportedOperation: The value 'dedicated' for parameter instanceTenancy is not supported here.",
        ),
        (
            "CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true",
            "UnsupportedOperation: The parameter AmazonProvidedIpv6CidrBlock is not supported here.",
        ),
    ] {
        assert_eq!(platform.ask("CreateVpc", form).await.refusal(), refusal);
    }
    let trial = platform.ask("CreateVpc", "CidrBlock=10.0.0.0/16&DryRun=true").await;
    assert_eq!(trial.code(), "DryRunOperation");
    assert_eq!(platform.ask("DescribeVpcs", "").await.texts("vpcId").len(), 1);
}

#[tokio::test]
async fn a_vpc_with_anything_in_it_stays() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let delete = || async { platform.ask("DeleteVpc", &format!("VpcId={vpc}")).await };
    let refusal = format!("DependencyViolation: The vpc '{vpc}' has dependencies and cannot be deleted.");
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    assert_eq!(delete().await.refusal(), refusal);
    platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await.ok();
    let group = platform.group(&vpc, "web").await;
    assert_eq!(delete().await.refusal(), refusal);
    platform.ask("DeleteSecurityGroup", &format!("GroupId={group}")).await.ok();
    let gateway = platform.ask("CreateInternetGateway", "").await.text("internetGatewayId");
    let both = format!("InternetGatewayId={gateway}&VpcId={vpc}");
    platform.ask("AttachInternetGateway", &both).await.ok();
    assert_eq!(delete().await.refusal(), refusal);
    platform.ask("DetachInternetGateway", &both).await.ok();
    let table = platform.ask("CreateRouteTable", &format!("VpcId={vpc}")).await.text("routeTableId");
    assert_eq!(delete().await.refusal(), refusal);
    platform.ask("DeleteRouteTable", &format!("RouteTableId={table}")).await.ok();
    let acl = platform.ask("CreateNetworkAcl", &format!("VpcId={vpc}")).await.text("networkAclId");
    assert_eq!(delete().await.refusal(), refusal);
    platform.ask("DeleteNetworkAcl", &format!("NetworkAclId={acl}")).await.ok();
    delete().await.ok();
}

#[tokio::test]
async fn a_vpcs_attributes_are_changed_one_at_a_time() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let attribute = |name: &'static str| {
        let (platform, vpc) = (&platform, vpc.clone());
        async move { platform.ask("DescribeVpcAttribute", &format!("VpcId={vpc}&Attribute={name}")).await.text("value") }
    };
    assert_eq!(attribute("enableDnsHostnames").await, "false");
    assert_eq!(attribute("enableDnsSupport").await, "true");
    let modify = |form: &str| {
        let (platform, form) = (&platform, format!("VpcId={vpc}&{form}"));
        async move { platform.ask("ModifyVpcAttribute", &form).await }
    };
    modify("EnableDnsHostnames.Value=true").await.ok();
    assert_eq!(attribute("enableDnsHostnames").await, "true");
    let both = modify("EnableDnsHostnames.Value=true&EnableDnsSupport.Value=false").await;
    assert_eq!(both.code(), "InvalidParameterCombination");
    let unknown = platform.ask("DescribeVpcAttribute", &format!("VpcId={vpc}&Attribute=colour")).await;
    assert_eq!(unknown.code(), "InvalidParameterValue");
}

#[tokio::test]
async fn there_is_one_set_of_dhcp_options_and_all_vpcs_have_it() {
    let platform = platform();
    let options = platform.ask("DescribeDhcpOptions", "").await;
    assert_eq!(options.texts("value"), ["ec2.internal", "AmazonProvidedDNS"]);
    let id = options.text("dhcpOptionsId");
    assert_eq!(platform.ask("DescribeVpcs", "").await.text("dhcpOptionsId"), id);
    let missing = platform.ask("DescribeDhcpOptions", "DhcpOptionsId.1=dopt-12345678").await;
    assert_eq!(missing.code(), "InvalidDhcpOptionID.NotFound");
}

#[tokio::test]
async fn a_subnet_lies_in_its_vpc_and_beside_the_others() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let form = |rest: &str| format!("VpcId={vpc}&{rest}");
    let answer = platform.ask("CreateSubnet", &form("CidrBlock=10.0.1.0/24&AvailabilityZoneId=use1-az2")).await;
    assert_eq!(answer.text("availabilityZone"), "us-east-1b");
    assert_eq!(answer.text("availableIpAddressCount"), "251");
    assert_eq!((answer.text("defaultForAz"), answer.text("mapPublicIpOnLaunch")), ("false".into(), "false".into()));
    let subnet = answer.text("subnetId");
    let first = platform.ask("CreateSubnet", &form("CidrBlock=10.0.2.0/24")).await;
    assert_eq!(first.text("availabilityZone"), "us-east-1a");
    for (rest, refusal) in [
        ("CidrBlock=10.0.1.128/25", "InvalidSubnet.Conflict: The CIDR '10.0.1.128/25' conflicts with another subnet"),
        ("CidrBlock=10.1.0.0/24", "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid."),
        ("CidrBlock=10.0.3.0/29", "InvalidSubnet.Range: The CIDR '10.0.3.0/29' is invalid."),
        (
            "CidrBlock=10.0.3.0/24&AvailabilityZone=us-east-1z",
            "InvalidParameterValue: Value (us-east-1z) for parameter availabilityZone is invalid. Subnets can currently \
             only be created in the following availability zones: us-east-1a, us-east-1b.",
        ),
    ] {
        assert_eq!(platform.ask("CreateSubnet", &form(rest)).await.refusal(), refusal);
    }
    let acl = platform.ask("DescribeNetworkAcls", &form("Filter.1.Name=vpc-id&Filter.1.Value.1=x")).await;
    assert_eq!(acl.code(), "UnknownParameter");
    let of = format!("Filter.1.Name=association.subnet-id&Filter.1.Value.1={subnet}");
    assert_eq!(platform.ask("DescribeNetworkAcls", &of).await.text("default"), "true");
    platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await.ok();
    assert!(platform.ask("DescribeNetworkAcls", &of).await.texts("networkAclId").is_empty());
    let gone = platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await;
    assert_eq!(gone.refusal(), format!("InvalidSubnetID.NotFound: The subnet ID '{subnet}' does not exist"));
}

#[tokio::test]
async fn a_subnet_may_give_public_addresses_but_nothing_that_is_not_there() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let modify = |rest: &str| {
        let (platform, form) = (&platform, format!("SubnetId={subnet}&{rest}"));
        async move { platform.ask("ModifySubnetAttribute", &form).await }
    };
    modify("MapPublicIpOnLaunch.Value=true").await.ok();
    let described = platform.ask("DescribeSubnets", &format!("SubnetId.1={subnet}")).await;
    assert_eq!(described.text("mapPublicIpOnLaunch"), "true");
    modify("AssignIpv6AddressOnCreation.Value=false").await.ok();
    assert_eq!(modify("AssignIpv6AddressOnCreation.Value=true").await.code(), "UnsupportedOperation");
    assert_eq!(modify("PrivateDnsHostnameTypeOnLaunch=resource-name").await.code(), "UnsupportedOperation");
}

#[tokio::test]
async fn a_default_subnet_with_a_registered_machine_stays() {
    let platform = platform();
    let machine = platform.add("10.9.9.9", "us-east-1a", None);
    let zone = "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a";
    let subnet = platform.ask("DescribeSubnets", zone).await.text("subnetId");
    let delete = || async { platform.ask("DeleteSubnet", &format!("SubnetId={subnet}")).await };
    assert_eq!(delete().await.code(), "DependencyViolation");
    platform.machines.remove(platform.account(), &machine).unwrap();
    delete().await.ok();
    // What a user deleted doesn't come back with the next start.
    let again = crate::platform::open(platform.store.clone(), None, ec2::UnknownImages::Refused);
    assert!(again.ask("DescribeSubnets", zone).await.texts("subnetId").is_empty());
}

#[tokio::test]
async fn a_gateway_is_in_one_vpc_and_a_vpc_has_one() {
    let platform = platform();
    let (one, two) = (platform.vpc("10.0.0.0/16").await, platform.vpc("10.1.0.0/16").await);
    let new = || async { platform.ask("CreateInternetGateway", "").await.text("internetGatewayId") };
    let (gateway, other) = (new().await, new().await);
    let both = |gateway: &str, vpc: &str| format!("InternetGatewayId={gateway}&VpcId={vpc}");
    let delete = format!("InternetGatewayId={gateway}");
    platform.ask("AttachInternetGateway", &both(&gateway, &one)).await.ok();
    assert_eq!(
        platform.ask("AttachInternetGateway", &both(&gateway, &two)).await.refusal(),
        format!("Resource.AlreadyAssociated: resource {gateway} is already attached to network {one}")
    );
    assert_eq!(
        platform.ask("AttachInternetGateway", &both(&other, &one)).await.refusal(),
        format!("InvalidParameterValue: Network {one} already has an internet gateway attached")
    );
    assert_eq!(
        platform.ask("DetachInternetGateway", &both(&gateway, &two)).await.refusal(),
        format!("Gateway.NotAttached: resource {gateway} is not attached to network {two}")
    );
    assert_eq!(platform.ask("DeleteInternetGateway", &delete).await.code(), "DependencyViolation");
    let of = format!("Filter.1.Name=attachment.vpc-id&Filter.1.Value.1={one}");
    let described = platform.ask("DescribeInternetGateways", &of).await;
    assert_eq!((described.text("internetGatewayId"), described.text("state")), (gateway.clone(), "available".into()));
    platform.ask("DetachInternetGateway", &both(&gateway, &one)).await.ok();
    platform.ask("DeleteInternetGateway", &delete).await.ok();
    assert_eq!(
        platform.ask("DeleteInternetGateway", &delete).await.refusal(),
        format!("InvalidInternetGatewayID.NotFound: The internetGateway ID '{gateway}' does not exist")
    );
}

#[tokio::test]
async fn things_of_another_account_are_not_there() {
    let mut platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    platform.call = crate::platform::call("123456789013", "us-east-1");
    let form = format!("VpcId={vpc}&CidrBlock=10.0.1.0/24");
    assert_eq!(platform.ask("CreateSubnet", &form).await.code(), "InvalidVpcID.NotFound");
    assert_eq!(platform.ask("DeleteVpc", &format!("VpcId={vpc}")).await.code(), "InvalidVpcID.NotFound");
}
