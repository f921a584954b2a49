//! Security groups and their rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::ec2::{Ec2 as _, *};
use api::{AccountId, SecurityGroupUsers};
use async_trait::async_trait;
use wire::ApiError;

use crate::platform::{Platform, code, filter, platform, refused, tag, texts};

async fn create(platform: &Platform, name: &str) -> Result<String, ApiError> {
    let input =
        CreateSecurityGroupInput { group_name: name.into(), description: "for tests".into(), ..Default::default() };
    Ok(platform.ec2.create_security_group(&platform.call, input).await?.group_id.unwrap())
}

async fn described(platform: &Platform, id: &str) -> SecurityGroup {
    let input = DescribeSecurityGroupsInput { group_ids: texts(&[id]), ..Default::default() };
    platform.ec2.describe_security_groups(&platform.call, input).await.unwrap().security_groups.remove(0)
}

async fn default_group(platform: &Platform) -> SecurityGroup {
    let input = DescribeSecurityGroupsInput { group_names: texts(&["default"]), ..Default::default() };
    platform.ec2.describe_security_groups(&platform.call, input).await.unwrap().security_groups.remove(0)
}

fn cidr(protocol: &str, port: i32, cidrs: &[&str]) -> IpPermission {
    let range = |cidr: &&str| IpRange { cidr_ip: Some((*cidr).to_owned()), description: None };
    IpPermission {
        ip_protocol: Some(protocol.into()),
        from_port: Some(port),
        to_port: Some(port),
        ip_ranges: cidrs.iter().map(range).collect(),
        ..Default::default()
    }
}

fn from_group(pair: UserIdGroupPair) -> IpPermission {
    IpPermission { ip_protocol: Some("-1".into()), user_id_group_pairs: vec![pair], ..Default::default() }
}

async fn authorize(
    platform: &Platform,
    id: &str,
    ip_permissions: Vec<IpPermission>,
) -> Result<Vec<SecurityGroupRule>, ApiError> {
    let input = AuthorizeSecurityGroupIngressInput { group_id: Some(id.into()), ip_permissions, ..Default::default() };
    Ok(platform.ec2.authorize_security_group_ingress(&platform.call, input).await?.security_group_rules)
}

async fn revoke(
    platform: &Platform,
    id: &str,
    ip_permissions: Vec<IpPermission>,
) -> Result<RevokeSecurityGroupIngressOutput, ApiError> {
    let input = RevokeSecurityGroupIngressInput { group_id: Some(id.into()), ip_permissions, ..Default::default() };
    platform.ec2.revoke_security_group_ingress(&platform.call, input).await
}

async fn delete(platform: &Platform, id: &str) -> Result<DeleteSecurityGroupOutput, ApiError> {
    let input = DeleteSecurityGroupInput { group_id: Some(id.into()), ..Default::default() };
    platform.ec2.delete_security_group(&platform.call, input).await
}

#[tokio::test]
async fn the_default_group_lets_its_members_reach_each_other_and_stays() {
    let platform = platform();
    let group = default_group(&platform).await;
    let id = group.group_id.unwrap();
    let permission = &group.ip_permissions[0];
    assert_eq!(permission.ip_protocol.as_deref(), Some("-1"));
    assert_eq!(permission.user_id_group_pairs[0].group_id.as_ref(), Some(&id));
    assert_eq!(group.ip_permissions_egress[0].ip_ranges[0].cidr_ip.as_deref(), Some("0.0.0.0/0"));
    let sentence = format!("CannotDelete: the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
    assert_eq!(refused(delete(&platform, &id).await), sentence);
    authorize(&platform, &id, vec![cidr("tcp", 80, &["0.0.0.0/0"])]).await.unwrap();
    let changed = described(&platform, &id).await;
    assert_eq!((changed.ip_permissions.len(), changed.group_name.as_deref()), (2, Some("default")));
    revoke(&platform, &id, vec![permission.clone()]).await.unwrap();
    assert_eq!(described(&platform, &id).await.ip_permissions.len(), 1);
    assert_eq!(code(delete(&platform, &id).await), "CannotDelete");
}

#[tokio::test]
async fn a_new_group_lets_nobody_in_and_can_be_found() {
    let platform = platform();
    let input = CreateSecurityGroupInput {
        group_name: "web".into(),
        description: "the web".into(),
        tag_specifications: vec![TagSpecification {
            resource_type: Some("security-group".into()),
            tags: vec![tag("team", "shop")],
        }],
        ..Default::default()
    };
    let output = platform.ec2.create_security_group(&platform.call, input).await.unwrap();
    assert_eq!(output.tags, [tag("team", "shop")]);
    let id = output.group_id.unwrap();
    assert_eq!(output.security_group_arn.unwrap(), format!("arn:aws:ec2:us-east-1:123456789012:security-group/{id}"));
    let group = described(&platform, &id).await;
    assert_eq!((group.ip_permissions.len(), group.description.as_deref()), (0, Some("the web")));
    for filter in [
        filter("group-name", &["we*"]),
        filter("group-id", &[&id]),
        filter("description", &["the web"]),
        filter("tag:team", &["shop"]),
    ] {
        let input = DescribeSecurityGroupsInput { filters: vec![filter.clone()], ..Default::default() };
        let found = platform.ec2.describe_security_groups(&platform.call, input).await.unwrap().security_groups;
        assert_eq!((found.len(), found[0].group_id.as_ref()), (1, Some(&id)), "{filter:?}");
    }
    let all = platform.ec2.describe_security_groups(&platform.call, DescribeSecurityGroupsInput::default()).await;
    assert_eq!(all.unwrap().security_groups.len(), 2);
}

#[tokio::test]
async fn a_group_that_can_not_be_is_refused() {
    let platform = platform();
    create(&platform, "web").await.unwrap();
    let twice = refused(create(&platform, "web").await);
    assert!(
        twice.starts_with("InvalidGroup.Duplicate: The security group 'web' already exists for VPC 'vpc-"),
        "{twice}"
    );
    assert_eq!(
        refused(create(&platform, "default").await),
        "InvalidParameterValue: Cannot use reserved security group name: default"
    );
    for name in ["sg-web", "w\u{e9}b", &"w".repeat(256)] {
        assert_eq!(code(create(&platform, name).await), "InvalidParameterValue", "{name}");
    }
    assert_eq!(code(create(&platform, "").await), "MissingParameter");
    let elsewhere = CreateSecurityGroupInput {
        group_name: "x".into(),
        description: "x".into(),
        vpc_id: Some("vpc-12345678".into()),
        ..Default::default()
    };
    assert_eq!(code(platform.ec2.create_security_group(&platform.call, elsewhere).await), "InvalidVpcID.NotFound");
    let wrong = CreateSecurityGroupInput {
        group_name: "x".into(),
        description: "x".into(),
        tag_specifications: vec![TagSpecification {
            resource_type: Some("instance".into()),
            tags: vec![tag("a", "b")],
        }],
        ..Default::default()
    };
    assert_eq!(code(platform.ec2.create_security_group(&platform.call, wrong).await), "InvalidParameterValue");
}

#[tokio::test]
async fn groups_that_are_not_there_are_named() {
    let platform = platform();
    let ask = |input| platform.ec2.describe_security_groups(&platform.call, input);
    let ids = |id: &str| DescribeSecurityGroupsInput { group_ids: texts(&[id]), ..Default::default() };
    assert_eq!(
        refused(ask(ids("sg-12345678")).await),
        "InvalidGroup.NotFound: The security group 'sg-12345678' does not exist"
    );
    assert_eq!(refused(ask(ids("web")).await), "InvalidGroupId.Malformed: Invalid id: \"web\" (expecting \"sg-...\")");
    let by_name = DescribeSecurityGroupsInput { group_names: texts(&["web"]), ..Default::default() };
    let sentence = refused(ask(by_name).await);
    assert!(
        sentence.starts_with("InvalidGroup.NotFound: The security group 'web' does not exist in default VPC"),
        "{sentence}"
    );
    assert_eq!(code(delete(&platform, "sg-12345678").await), "InvalidGroup.NotFound");
    let neither = DeleteSecurityGroupInput::default();
    let answer = platform.ec2.delete_security_group(&platform.call, neither).await;
    assert_eq!(refused(answer), "MissingParameter: The request must contain the parameter groupName or groupId");
    let both = DeleteSecurityGroupInput {
        group_id: Some("sg-12345678".into()),
        group_name: Some("x".into()),
        ..Default::default()
    };
    assert_eq!(code(platform.ec2.delete_security_group(&platform.call, both).await), "InvalidParameterCombination");
}

#[tokio::test]
async fn rules_of_all_kinds_are_kept_and_given_back() {
    let platform = platform();
    let (web, db) = (create(&platform, "web").await.unwrap(), create(&platform, "db").await.unwrap());
    let v6 = IpPermission {
        ip_protocol: Some("tcp".into()),
        from_port: Some(80),
        to_port: Some(80),
        ipv6_ranges: vec![Ipv6Range { cidr_ipv6: Some("::/0".into()), description: Some("all of it".into()) }],
        ..Default::default()
    };
    let by_name =
        UserIdGroupPair { group_name: Some("web".into()), user_id: Some("123456789012".into()), ..Default::default() };
    let rules =
        authorize(&platform, &db, vec![cidr("tcp", 80, &["10.1.2.3/8", "192.0.2.1/32"]), v6, from_group(by_name)]);
    let rules = rules.await.unwrap();
    assert_eq!(rules.len(), 4);
    assert!(rules.iter().all(|rule| rule.security_group_rule_id.as_deref().unwrap().starts_with("sgr-")));
    assert_eq!(rules[0].cidr_ipv4.as_deref(), Some("10.0.0.0/8"), "without host bits");
    assert_eq!(rules[3].referenced_group_info.as_ref().unwrap().group_id.as_ref(), Some(&web));
    let permissions = described(&platform, &db).await.ip_permissions;
    assert_eq!(permissions.len(), 2, "rules of the same ports stand together");
    assert_eq!((permissions[0].ip_ranges.len(), permissions[0].ipv6_ranges.len()), (2, 1));
    assert_eq!(permissions[0].ipv6_ranges[0].description.as_deref(), Some("all of it"));
    assert_eq!(permissions[1].user_id_group_pairs[0].group_id.as_ref(), Some(&web));
    for filter in [
        filter("ip-permission.cidr", &["10.0.0.0/8"]),
        filter("ip-permission.ipv6-cidr", &["::/0"]),
        filter("ip-permission.group-id", &[&web]),
        filter("ip-permission.from-port", &["80"]),
    ] {
        let input = DescribeSecurityGroupsInput { filters: vec![filter.clone()], ..Default::default() };
        let found = platform.ec2.describe_security_groups(&platform.call, input).await.unwrap().security_groups;
        assert_eq!((found.len(), found[0].group_id.as_ref()), (1, Some(&db)), "{filter:?}");
    }
}

#[tokio::test]
async fn the_older_parameters_say_one_permission() {
    let platform = platform();
    let web = create(&platform, "web").await.unwrap();
    let old = AuthorizeSecurityGroupIngressInput {
        group_name: Some("web".into()),
        ip_protocol: Some("tcp".into()),
        from_port: Some(22),
        to_port: Some(23),
        cidr_ip: Some("0.0.0.0/0".into()),
        ..Default::default()
    };
    platform.ec2.authorize_security_group_ingress(&platform.call, old.clone()).await.unwrap();
    let group = AuthorizeSecurityGroupIngressInput {
        group_name: Some("web".into()),
        source_security_group_name: Some("default".into()),
        ..Default::default()
    };
    platform.ec2.authorize_security_group_ingress(&platform.call, group).await.unwrap();
    let permissions = described(&platform, &web).await.ip_permissions;
    assert_eq!((permissions[0].from_port, permissions[0].to_port), (Some(22), Some(23)));
    assert_eq!(permissions[1].ip_protocol.as_deref(), Some("-1"));
    let both =
        AuthorizeSecurityGroupIngressInput { ip_permissions: vec![cidr("tcp", 1, &["0.0.0.0/0"])], ..old.clone() };
    assert_eq!(
        code(platform.ec2.authorize_security_group_ingress(&platform.call, both).await),
        "InvalidParameterCombination"
    );
    let neither = AuthorizeSecurityGroupIngressInput { group_id: Some(web.clone()), ..Default::default() };
    assert_eq!(code(platform.ec2.authorize_security_group_ingress(&platform.call, neither).await), "MissingParameter");
    let back = RevokeSecurityGroupIngressInput {
        group_id: Some(web.clone()),
        ip_protocol: old.ip_protocol,
        from_port: old.from_port,
        to_port: old.to_port,
        cidr_ip: old.cidr_ip,
        ..Default::default()
    };
    let output = platform.ec2.revoke_security_group_ingress(&platform.call, back).await.unwrap();
    assert_eq!(output.revoked_security_group_rules.len(), 1);
    assert_eq!(described(&platform, &web).await.ip_permissions.len(), 1);
}

#[tokio::test]
async fn a_rule_stands_in_a_group_once() {
    let platform = platform();
    let web = create(&platform, "web").await.unwrap();
    authorize(&platform, &web, vec![cidr("tcp", 80, &["10.0.0.0/8"])]).await.unwrap();
    let again = vec![cidr("6", 443, &["10.0.0.0/8"]), cidr("6", 80, &["10.255.0.0/8"])];
    assert_eq!(
        refused(authorize(&platform, &web, again).await),
        "InvalidPermission.Duplicate: the specified rule \"peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW\" \
         already exists"
    );
    let twice = vec![cidr("tcp", 22, &["10.0.0.0/8", "10.0.0.1/8"])];
    assert_eq!(
        refused(authorize(&platform, &web, twice).await),
        "InvalidParameterValue: The same permission must not appear multiple times"
    );
    assert_eq!(described(&platform, &web).await.ip_permissions.len(), 1, "all of a call's rules or none");
}

#[tokio::test]
async fn rules_that_can_not_be_are_refused() {
    let platform = platform();
    let web = create(&platform, "web").await.unwrap();
    let pair = |id: Option<&str>, user: Option<&str>| {
        from_group(UserIdGroupPair {
            group_id: id.map(str::to_owned),
            user_id: user.map(str::to_owned),
            ..Default::default()
        })
    };
    let mut described_badly = cidr("tcp", 80, &["0.0.0.0/0"]);
    described_badly.ip_ranges[0].description = Some("caf\u{e9}".into());
    let mut list = cidr("tcp", 80, &[]);
    list.prefix_list_ids = vec![PrefixListId { prefix_list_id: Some("pl-12345678".into()), ..Default::default() }];
    let cases = [
        (cidr("tcp", 80, &["0.0.0.0"]), "InvalidParameterValue"),
        (cidr("tcp", 80, &["::/0"]), "InvalidParameterValue"),
        (cidr("tcp", 70_000, &["0.0.0.0/0"]), "InvalidParameterValue"),
        (cidr("ipx", 80, &["0.0.0.0/0"]), "InvalidParameterValue"),
        (cidr("tcp", 80, &[]), "MissingParameter"),
        (IpPermission { ip_protocol: None, ..cidr("tcp", 80, &["0.0.0.0/0"]) }, "MissingParameter"),
        (described_badly, "InvalidParameterValue"),
        (list, "InvalidPrefixListID.NotFound"),
        (pair(None, None), "MissingParameter"),
        (pair(Some("sg-12345678"), None), "InvalidGroup.NotFound"),
        (pair(Some("web"), None), "InvalidGroupId.Malformed"),
        (pair(Some(&web), Some("123456789013")), "InvalidGroup.NotFound"),
    ];
    for (permission, expected) in cases {
        assert_eq!(code(authorize(&platform, &web, vec![permission.clone()]).await), expected, "{permission:?}");
    }
    assert_eq!(described(&platform, &web).await.ip_permissions, []);
}

#[tokio::test]
async fn a_group_has_so_many_rules_and_no_more() {
    let platform = platform();
    let web = create(&platform, "web").await.unwrap();
    let many: Vec<String> = (0..60).map(|n| format!("10.0.{n}.0/24")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    authorize(&platform, &web, vec![cidr("tcp", 80, &many)]).await.unwrap();
    let one_more = authorize(&platform, &web, vec![cidr("tcp", 81, &["10.0.0.0/8"])]).await;
    assert_eq!(code(one_more), "RulesPerSecurityGroupLimitExceeded");
}

#[tokio::test]
async fn rules_are_revoked_by_what_they_say_or_by_id() {
    let platform = platform();
    let web = create(&platform, "web").await.unwrap();
    let rules = authorize(&platform, &web, vec![cidr("tcp", 80, &["10.0.0.0/8", "192.0.2.0/24"])]).await.unwrap();
    let output = revoke(&platform, &web, vec![cidr("tcp", 80, &["10.0.0.0/8"]), cidr("tcp", 81, &["10.0.0.0/8"])]);
    let output = output.await.unwrap();
    assert_eq!(output.revoked_security_group_rules.len(), 1);
    assert_eq!(
        output.unknown_ip_permissions,
        [cidr("tcp", 81, &["10.0.0.0/8"])],
        "told, but no error in a default VPC"
    );
    let by_id = |ids: &[&str]| RevokeSecurityGroupIngressInput {
        group_id: Some(web.clone()),
        security_group_rule_ids: texts(ids),
        ..Default::default()
    };
    let left = rules[1].security_group_rule_id.as_deref().unwrap();
    let missing = by_id(&[left, "sgr-12345678"]);
    let answer = platform.ec2.revoke_security_group_ingress(&platform.call, missing).await;
    assert_eq!(code(answer), "InvalidSecurityGroupRuleId.NotFound");
    let answer = platform.ec2.revoke_security_group_ingress(&platform.call, by_id(&["rule"])).await;
    assert_eq!(code(answer), "InvalidSecurityGroupRuleId.Malformed");
    platform.ec2.revoke_security_group_ingress(&platform.call, by_id(&[left])).await.unwrap();
    assert_eq!(described(&platform, &web).await.ip_permissions, []);
}

#[tokio::test]
async fn a_group_that_another_names_is_not_deleted() {
    let platform = platform();
    let (web, db) = (create(&platform, "web").await.unwrap(), create(&platform, "db").await.unwrap());
    let pair = || from_group(UserIdGroupPair { group_id: Some(web.clone()), ..Default::default() });
    authorize(&platform, &db, vec![pair()]).await.unwrap();
    authorize(&platform, &web, vec![pair()]).await.unwrap();
    assert_eq!(
        refused(delete(&platform, &web).await),
        format!("DependencyViolation: resource {web} has a dependent object")
    );
    revoke(&platform, &db, vec![pair()]).await.unwrap();
    assert_eq!(delete(&platform, &web).await.unwrap().group_id, Some(web.clone()), "its own rules don't keep it");
    assert_eq!(code(delete(&platform, &web).await), "InvalidGroup.NotFound");
}

/// A load balancer behind one group.
struct Balancer(String, AtomicBool);

#[async_trait]
impl SecurityGroupUsers for Balancer {
    async fn uses_group(&self, account: &AccountId, region: &api::Region, id: &str) -> Result<bool, ApiError> {
        assert_eq!((account.as_str(), region.as_str()), ("123456789012", "us-east-1"));
        Ok(self.1.load(Ordering::Relaxed) && id == self.0)
    }
}

#[tokio::test]
async fn a_group_of_a_load_balancer_is_not_deleted() {
    let platform = platform();
    let (web, other) = (create(&platform, "web").await.unwrap(), create(&platform, "other").await.unwrap());
    let balancer = Arc::new(Balancer(web.clone(), AtomicBool::new(true)));
    let weak = Arc::downgrade(&balancer);
    platform.ec2.ask_before_delete(weak);
    assert_eq!(code(delete(&platform, &web).await), "DependencyViolation");
    delete(&platform, &other).await.unwrap();
    balancer.1.store(false, Ordering::Relaxed);
    delete(&platform, &web).await.unwrap();
}
