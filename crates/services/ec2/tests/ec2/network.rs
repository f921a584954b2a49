//! What is there from the start: regions, zones, the default VPC and its subnets.

use api::Principal;
use api::ec2::{Ec2 as _, *};

use crate::platform::{call, code, filter, platform, refused, texts};

#[tokio::test]
async fn regions_are_those_that_have_zones() {
    let platform = platform();
    let ask = |input| platform.ec2.describe_regions(&platform.call, input);
    let names = |regions: Vec<Region>| regions.into_iter().filter_map(|region| region.region_name).collect::<Vec<_>>();
    let all = ask(DescribeRegionsInput::default()).await.unwrap().regions;
    assert_eq!(all[0].endpoint.as_deref(), Some("localhost:4566"));
    assert_eq!(names(all), ["eu-west-1", "us-east-1"]);
    let named = DescribeRegionsInput { region_names: texts(&["us-east-1"]), ..Default::default() };
    assert_eq!(names(ask(named).await.unwrap().regions), ["us-east-1"]);
    let filters = vec![filter("region-name", &["eu-*"])];
    assert_eq!(
        names(ask(DescribeRegionsInput { filters, ..Default::default() }).await.unwrap().regions),
        ["eu-west-1"]
    );
    let unknown = DescribeRegionsInput { region_names: texts(&["mars-1"]), ..Default::default() };
    assert_eq!(code(ask(unknown).await), "InvalidParameterValue");
}

#[tokio::test]
async fn zones_are_the_configured_ones_of_the_calls_region() {
    let platform = platform();
    let ask = |input| platform.ec2.describe_availability_zones(&platform.call, input);
    let names = |output: DescribeAvailabilityZonesOutput| {
        output.availability_zones.into_iter().filter_map(|zone| zone.zone_name).collect::<Vec<_>>()
    };
    let all = ask(DescribeAvailabilityZonesInput::default()).await.unwrap();
    let zone = &all.availability_zones[1];
    assert_eq!((zone.zone_id.as_deref(), zone.state.as_deref()), (Some("use1-az2"), Some("available")));
    assert_eq!(
        (zone.region_name.as_deref(), zone.zone_type.as_deref()),
        (Some("us-east-1"), Some("availability-zone"))
    );
    assert_eq!(names(all), ["us-east-1a", "us-east-1b"]);
    let named = DescribeAvailabilityZonesInput { zone_names: texts(&["us-east-1b"]), ..Default::default() };
    assert_eq!(names(ask(named).await.unwrap()), ["us-east-1b"]);
    let by_id = DescribeAvailabilityZonesInput { zone_ids: texts(&["use1-az1"]), ..Default::default() };
    assert_eq!(names(ask(by_id).await.unwrap()), ["us-east-1a"]);
    let filters = vec![filter("state", &["impaired"])];
    let none = DescribeAvailabilityZonesInput { filters, ..Default::default() };
    assert_eq!(names(ask(none).await.unwrap()), Vec::<String>::new());
    let elsewhere = DescribeAvailabilityZonesInput { zone_names: texts(&["eu-west-1a"]), ..Default::default() };
    assert_eq!(refused(ask(elsewhere).await), "InvalidParameterValue: Invalid availability zone: [eu-west-1a]");
}

#[tokio::test]
async fn every_account_has_a_default_vpc_in_every_region() {
    let platform = platform();
    let ask = |input| platform.ec2.describe_vpcs(&platform.call, input);
    let vpc = ask(DescribeVpcsInput::default()).await.unwrap().vpcs.remove(0);
    assert_eq!((vpc.cidr_block.as_deref(), vpc.is_default), (Some("172.31.0.0/16"), Some(true)));
    let id = vpc.vpc_id.unwrap();
    for (filter, count) in [
        (filter("isDefault", &["true"]), 1),
        (filter("is-default", &["false"]), 0),
        (filter("vpc-id", &[&id]), 1),
        (filter("cidr", &["10.*"]), 0),
        (filter("tag:Name", &["*"]), 0),
    ] {
        let input = DescribeVpcsInput { filters: vec![filter.clone()], ..Default::default() };
        assert_eq!(ask(input).await.unwrap().vpcs.len(), count, "{filter:?}");
    }
    let elsewhere = platform.ec2.describe_vpcs(&call("123456789012", "eu-west-1"), DescribeVpcsInput::default()).await;
    assert_ne!(elsewhere.unwrap().vpcs[0].vpc_id.as_ref(), Some(&id));
    let missing = DescribeVpcsInput { vpc_ids: texts(&["vpc-12345678"]), ..Default::default() };
    assert_eq!(refused(ask(missing).await), "InvalidVpcID.NotFound: The vpc ID 'vpc-12345678' does not exist");
}

#[tokio::test]
async fn every_zone_has_a_default_subnet() {
    let platform = platform();
    let ask = |input| platform.ec2.describe_subnets(&platform.call, input);
    let all = ask(DescribeSubnetsInput::default()).await.unwrap().subnets;
    let mut cidrs: Vec<_> =
        all.iter().filter_map(|one| Some((one.availability_zone.clone()?, one.cidr_block.clone()?))).collect();
    cidrs.sort();
    let expected = [("us-east-1a", "172.31.0.0/20"), ("us-east-1b", "172.31.16.0/20")];
    assert_eq!(cidrs, expected.map(|(zone, cidr)| (zone.to_owned(), cidr.to_owned())));
    assert!(all.iter().all(|subnet| subnet.default_for_az == Some(true)));
    let id = all[1].subnet_id.clone().unwrap();
    let one = DescribeSubnetsInput { subnet_ids: vec![id.clone()], ..Default::default() };
    assert_eq!(ask(one).await.unwrap().subnets, all[1..]);
    let filters = vec![filter("availability-zone", &["us-east-1a"]), filter("default-for-az", &["true"])];
    let found = ask(DescribeSubnetsInput { filters, ..Default::default() }).await.unwrap().subnets;
    assert_eq!((found.len(), found[0].availability_zone.as_deref()), (1, Some("us-east-1a")));
    let missing = DescribeSubnetsInput { subnet_ids: texts(&[&id, "subnet-12345678"]), ..Default::default() };
    assert_eq!(refused(ask(missing).await), "InvalidSubnetID.NotFound: The subnet ID 'subnet-12345678' does not exist");
}

#[tokio::test]
async fn an_account_learns_what_it_may_have() {
    let platform = platform();
    let ask = |names: &[&str]| {
        let input = DescribeAccountAttributesInput { attribute_names: texts(names), ..Default::default() };
        platform.ec2.describe_account_attributes(&platform.call, input)
    };
    let all = ask(&[]).await.unwrap().account_attributes;
    let value = |name: &str| {
        let attribute = all.iter().find(|attribute| attribute.attribute_name.as_deref() == Some(name)).unwrap();
        attribute.attribute_values[0].attribute_value.clone().unwrap()
    };
    assert_eq!(value("supported-platforms"), "VPC");
    let vpcs = platform.ec2.describe_vpcs(&platform.call, DescribeVpcsInput::default()).await.unwrap().vpcs;
    assert_eq!(Some(value("default-vpc")), vpcs[0].vpc_id);
    assert_eq!(ask(&["max-instances"]).await.unwrap().account_attributes.len(), 1);
    assert_eq!(code(ask(&["max-luck"]).await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_trial_does_nothing_and_nobody_unsigned_is_answered() {
    let platform = platform();
    let dry = CreateSecurityGroupInput {
        group_name: "web".into(),
        description: "web".into(),
        dry_run: Some(true),
        ..Default::default()
    };
    let error = platform.ec2.create_security_group(&platform.call, dry).await.unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("DryRunOperation", 412));
    let groups = platform.ec2.describe_security_groups(&platform.call, DescribeSecurityGroupsInput::default()).await;
    assert_eq!(groups.unwrap().security_groups.len(), 1);
    let mut unsigned = call("123456789012", "us-east-1");
    unsigned.identity.principal = Principal::Anonymous;
    assert_eq!(code(platform.ec2.describe_vpcs(&unsigned, DescribeVpcsInput::default()).await), "AuthFailure");
}
