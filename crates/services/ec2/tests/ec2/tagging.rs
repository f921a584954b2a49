//! Tags on everything that has an id.

use api::ec2::{Ec2 as _, *};

use crate::platform::{Platform, code, filter, platform, refused, tag, texts};

async fn put(platform: &Platform, resources: &[&str], tags: Vec<Tag>) -> Result<(), wire::ApiError> {
    let input = CreateTagsInput { resources: texts(resources), tags, ..Default::default() };
    platform.ec2.create_tags(&platform.call, input).await
}

async fn take(platform: &Platform, resource: &str, tags: Vec<Tag>) -> Result<(), wire::ApiError> {
    let input = DeleteTagsInput { resources: texts(&[resource]), tags, ..Default::default() };
    platform.ec2.delete_tags(&platform.call, input).await
}

async fn all(platform: &Platform, filters: Vec<Filter>) -> Vec<(String, String, String, String)> {
    let input = DescribeTagsInput { filters, ..Default::default() };
    let tags = platform.ec2.describe_tags(&platform.call, input).await.unwrap().tags.into_iter();
    let row = |tag: TagDescription| Some((tag.resource_id?, tag.resource_type?, tag.key?, tag.value?));
    tags.filter_map(row).collect()
}

#[tokio::test]
async fn tags_go_on_everything_and_are_found_by_filters() {
    let platform = platform();
    let instance = platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    let vpc =
        platform.ec2.describe_vpcs(&platform.call, DescribeVpcsInput::default()).await.unwrap().vpcs[0].vpc_id.clone();
    let subnets = platform.ec2.describe_subnets(&platform.call, DescribeSubnetsInput::default()).await.unwrap().subnets;
    let groups = platform.ec2.describe_security_groups(&platform.call, DescribeSecurityGroupsInput::default()).await;
    let (vpc, subnet) = (vpc.unwrap(), subnets[0].subnet_id.clone().unwrap());
    let group = groups.unwrap().security_groups[0].group_id.clone().unwrap();
    let authorize = AuthorizeSecurityGroupIngressInput {
        group_id: Some(group.clone()),
        ip_protocol: Some("icmp".into()),
        cidr_ip: Some("0.0.0.0/0".into()),
        tag_specifications: vec![TagSpecification {
            resource_type: Some("security-group-rule".into()),
            tags: vec![tag("for", "ping")],
        }],
        ..Default::default()
    };
    let rules = platform.ec2.authorize_security_group_ingress(&platform.call, authorize).await.unwrap();
    let rule = &rules.security_group_rules[0];
    assert_eq!(rule.tags, [tag("for", "ping")]);
    let rule = rule.security_group_rule_id.clone().unwrap();
    put(&platform, &[&instance, &vpc, &subnet, &group, &rule], vec![tag("team", "shop"), tag("Name", "x")])
        .await
        .unwrap();
    let teams = all(&platform, vec![filter("key", &["team"])]).await;
    let mut types: Vec<&str> = teams.iter().map(|(_, kind, _, _)| kind.as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["instance", "security-group", "security-group-rule", "subnet", "vpc"]);
    let of_instance = all(&platform, vec![filter("resource-id", &[&instance])]).await;
    let values: Vec<_> = of_instance.iter().map(|(_, _, key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(values, [("Name", "x"), ("team", "shop")]);
    assert_eq!(all(&platform, vec![filter("resource-type", &["vpc"]), filter("value", &["sh*"])]).await.len(), 1);
    let vpcs = DescribeVpcsInput { filters: vec![filter("tag:team", &["shop"])], ..Default::default() };
    let vpcs = platform.ec2.describe_vpcs(&platform.call, vpcs).await.unwrap().vpcs;
    assert_eq!(vpcs[0].tags, [tag("Name", "x"), tag("team", "shop")]);
}

#[tokio::test]
async fn tags_are_taken_off_by_key_by_value_or_all() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    put(&platform, &[&id], vec![tag("a", "1"), tag("b", "2"), tag("c", "3")]).await.unwrap();
    let keys = || async { all(&platform, vec![]).await.into_iter().map(|(_, _, key, _)| key).collect::<Vec<_>>() };
    take(&platform, &id, vec![tag("a", "2")]).await.unwrap();
    assert_eq!(keys().await, ["Name", "a", "b", "c"], "another value is another tag");
    take(&platform, &id, vec![tag("a", "1"), Tag { key: Some("b".into()), value: None }, tag("zzz", "")])
        .await
        .unwrap();
    assert_eq!(keys().await, ["Name", "c"]);
    take(&platform, &id, vec![]).await.unwrap();
    assert_eq!(keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn tags_that_can_not_be_are_refused_and_none_of_the_call_is_kept() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    let cases = [
        (put(&platform, &[&id], vec![tag("", "x")]).await, "InvalidParameterValue"),
        (put(&platform, &[&id], vec![tag("aws:x", "x")]).await, "InvalidParameterValue"),
        (put(&platform, &[&id], vec![tag(&"k".repeat(128), "x")]).await, "InvalidParameterValue"),
        (put(&platform, &[&id], vec![tag("k", &"v".repeat(256))]).await, "InvalidParameterValue"),
        (put(&platform, &[&id], vec![tag("k", "1"), tag("k", "2")]).await, "InvalidParameterValue"),
        (put(&platform, &[], vec![tag("k", "1")]).await, "MissingParameter"),
        (put(&platform, &[&id, "i-12345678"], vec![tag("k", "1")]).await, "InvalidInstanceID.NotFound"),
        (put(&platform, &["vpc-12345678"], vec![tag("k", "1")]).await, "InvalidVpcID.NotFound"),
        (put(&platform, &["subnet-12345678"], vec![tag("k", "1")]).await, "InvalidSubnetID.NotFound"),
        (put(&platform, &["sg-12345678"], vec![tag("k", "1")]).await, "InvalidGroup.NotFound"),
        (put(&platform, &["sgr-12345678"], vec![tag("k", "1")]).await, "InvalidSecurityGroupRuleId.NotFound"),
        (take(&platform, "i-12345678", vec![]).await, "InvalidInstanceID.NotFound"),
    ];
    for (answer, expected) in cases {
        assert_eq!(code(answer), expected);
    }
    assert_eq!(refused(put(&platform, &["bucket"], vec![]).await), "InvalidID: The ID 'bucket' is not valid");
    let many = |from: usize, to: usize| (from..to).map(|n| tag(&n.to_string(), "")).collect::<Vec<_>>();
    assert_eq!(code(put(&platform, &[&id], many(0, 51)).await), "TagLimitExceeded");
    put(&platform, &[&id], many(0, 50)).await.unwrap();
    assert_eq!(code(put(&platform, &[&id], many(50, 51)).await), "TagLimitExceeded");
    assert_eq!(all(&platform, vec![]).await.len(), 50);
}

#[tokio::test]
async fn a_deleted_group_takes_its_tags_along() {
    let platform = platform();
    let input = CreateSecurityGroupInput { group_name: "web".into(), description: "web".into(), ..Default::default() };
    let id = platform.ec2.create_security_group(&platform.call, input).await.unwrap().group_id.unwrap();
    put(&platform, &[&id], vec![tag("k", "v")]).await.unwrap();
    let delete = DeleteSecurityGroupInput { group_id: Some(id), ..Default::default() };
    platform.ec2.delete_security_group(&platform.call, delete).await.unwrap();
    assert_eq!(all(&platform, vec![]).await, []);
}

#[tokio::test]
async fn tags_come_in_pages() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    put(&platform, &[&id], (0..7).map(|n| tag(&n.to_string(), "")).collect()).await.unwrap();
    let page = |next_token| DescribeTagsInput { max_results: Some(5), next_token, ..Default::default() };
    let first = platform.ec2.describe_tags(&platform.call, page(None)).await.unwrap();
    let second = platform.ec2.describe_tags(&platform.call, page(first.next_token.clone())).await.unwrap();
    let keys: Vec<_> = first.tags.into_iter().chain(second.tags).filter_map(|tag| tag.key).collect();
    assert_eq!(keys, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(second.next_token, None);
}
