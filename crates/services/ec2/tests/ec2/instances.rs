//! Machines of the operator, registered, described, filtered, paged, removed.

use api::ec2::{Ec2 as _, *};
use ec2::{MACHINES_MAX, MachinesError};
use wire::value::EpochMs;

use crate::platform::{Platform, call, code, filter, new_machine, platform, refused, tag, texts};

async fn described(platform: &Platform, input: DescribeInstancesInput) -> Vec<Instance> {
    let output = platform.ec2.describe_instances(&platform.call, input).await.unwrap();
    output.reservations.into_iter().flat_map(|reservation| reservation.instances).collect()
}

async fn ids_where(platform: &Platform, filters: Vec<Filter>) -> Vec<String> {
    let input = DescribeInstancesInput { filters, ..Default::default() };
    described(platform, input).await.into_iter().filter_map(|instance| instance.instance_id).collect()
}

fn by_id(ids: &[&str]) -> DescribeInstancesInput {
    DescribeInstancesInput { instance_ids: texts(ids), ..Default::default() }
}

#[tokio::test]
async fn a_registered_machine_is_a_running_instance_of_its_zone() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    assert!(id.len() == 19 && id.starts_with("i-"), "{id}");
    let instance = described(&platform, by_id(&[&id])).await.remove(0);
    assert_eq!(instance.private_ip_address.as_deref(), Some("10.0.0.5"));
    assert_eq!(instance.state, Some(InstanceState { code: Some(16), name: Some("running".into()) }));
    assert_eq!(instance.placement.unwrap().availability_zone.as_deref(), Some("us-east-1a"));
    assert_eq!(instance.tags, [tag("Name", "web1")]);
    assert_eq!(instance.launch_time, Some(EpochMs(1_767_225_600_000)));
    assert_eq!(instance.image_id, None, "of what it doesn't know, it says nothing");
    let subnets = platform.ec2.describe_subnets(&platform.call, DescribeSubnetsInput::default()).await.unwrap();
    let subnet = subnets.subnets.iter().find(|subnet| subnet.subnet_id == instance.subnet_id).unwrap();
    assert_eq!((subnet.availability_zone.as_deref(), &subnet.vpc_id), (Some("us-east-1a"), &instance.vpc_id));
    let groups = DescribeSecurityGroupsInput {
        group_ids: instance.security_groups.into_iter().filter_map(|group| group.group_id).collect(),
        ..Default::default()
    };
    let groups = platform.ec2.describe_security_groups(&platform.call, groups).await.unwrap().security_groups;
    assert_eq!(groups[0].group_name.as_deref(), Some("default"));
}

#[tokio::test]
async fn a_machine_may_be_reached_by_ipv6_or_be_this_one() {
    let platform = platform();
    let six = platform.add("fd00::5", "us-east-1a", None);
    let own = platform.add("::ffff:127.0.0.2", "us-east-1b", None);
    let six = described(&platform, by_id(&[&six])).await.remove(0);
    assert_eq!((six.ipv6_address.as_deref(), six.private_ip_address), (Some("fd00::5"), None));
    let own = described(&platform, by_id(&[&own])).await.remove(0);
    assert_eq!(own.private_ip_address.as_deref(), Some("127.0.0.2"));
}

#[tokio::test]
async fn what_another_process_registers_or_removes_is_seen_at_the_next_look() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sqlite");
    let mut platform = platform();
    let open = || store::Store::open(&path).unwrap();
    let zones = texts(&["us-east-1a"]);
    let ids: std::sync::Arc<dyn host::Ids> = std::sync::Arc::new(host::sim::SimIds::new(host::sim::Seed(1)));
    let clock = std::sync::Arc::new(host::sim::SimClock::frozen(crate::platform::NOW));
    let region = platform.call.region.clone();
    let options = ec2::Ec2Options {
        store: open(),
        clock: clock.clone(),
        ids: ids.clone(),
        zones: zones.clone(),
        region: region.clone(),
        instances: None,
        unknown_images: ec2::UnknownImages::Refused,
        instance_roles: None,
    };
    platform.ec2 = ec2::Ec2::open(options).unwrap();
    platform.machines = ec2::Machines::open(open(), clock, ids, zones, region).unwrap();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    assert_eq!(ids_where(&platform, vec![]).await, std::slice::from_ref(&id));
    assert!(platform.machines.remove(platform.account(), &id).unwrap());
    assert_eq!(ids_where(&platform, vec![]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_removed_machine_is_gone_with_its_tags() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    let (other, account) = (api::AccountId::parse("123456789013").unwrap(), platform.account());
    assert!(!platform.machines.remove(&other, &id).unwrap(), "another account's is not there");
    assert!(platform.machines.remove(account, &id).unwrap());
    assert!(!platform.machines.remove(account, &id).unwrap());
    assert!(!platform.machines.remove(account, "web1").unwrap());
    let tags = platform.ec2.describe_tags(&platform.call, DescribeTagsInput::default()).await.unwrap();
    assert_eq!(tags.tags, []);
    assert_eq!(
        code(platform.ec2.describe_instances(&platform.call, by_id(&[&id])).await),
        "InvalidInstanceID.NotFound"
    );
}

#[test]
fn machines_are_listed_with_name_and_zone() {
    let platform = platform();
    let first = platform.add("10.0.0.5", "us-east-1b", Some("web1"));
    let second = platform.add("10.0.0.6", "eu-west-1a", None);
    let listed = platform.machines.list(platform.account()).unwrap();
    let of = |id: &str| listed.iter().find(|machine| machine.instance_id == id).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((of(&first).name.as_deref(), of(&first).zone.as_str()), (Some("web1"), "us-east-1b"));
    assert_eq!((&of(&second).name, of(&second).address.to_string()), (&None, "10.0.0.6".to_owned()));
    assert_eq!(of(&first).added_at, crate::platform::NOW);
    assert!(platform.machines.list(&api::AccountId::parse("123456789013").unwrap()).unwrap().is_empty());
}

#[test]
fn a_machine_that_can_not_be_is_refused_with_the_reason() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    let refused = |address: &str, zone: &str, name: Option<&str>| {
        platform.machines.add(platform.account(), &new_machine(address, zone, name)).unwrap_err()
    };
    let error = refused("10.0.0.6", "us-east-1z", None);
    assert_eq!(error.to_string(), "there is no zone \"us-east-1z\"; the zones are us-east-1a, us-east-1b, eu-west-1a");
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
        assert!(matches!(refused(address, "us-east-1a", None), MachinesError::Address(_)), "{address}");
    }
    let again = refused("::ffff:10.0.0.5", "us-east-1b", None);
    assert!(matches!(again, MachinesError::Registered { instance_id, .. } if instance_id == id));
    assert!(matches!(refused("10.0.0.6", "us-east-1a", Some(&"x".repeat(256))), MachinesError::Name));
    platform.add("10.0.0.5", "eu-west-1a", None);
    const { assert!(MACHINES_MAX >= 1_000, "a load balancer may have a thousand instances") };
}

#[tokio::test]
async fn filters_find_machines_by_what_they_are() {
    let platform = platform();
    let a = platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    let b = platform.add("10.0.1.6", "us-east-1b", Some("db1"));
    platform.add("10.0.0.7", "eu-west-1a", Some("web2"));
    let vpc = described(&platform, by_id(&[&a])).await[0].vpc_id.clone().unwrap();
    let subnet = described(&platform, by_id(&[&a])).await[0].subnet_id.clone().unwrap();
    let cases = [
        (filter("instance-id", &[&a]), vec![&a]),
        (filter("private-ip-address", &["10.0.1.*"]), vec![&b]),
        (filter("availability-zone", &["us-east-1b", "eu-west-1a"]), vec![&b]),
        (filter("instance-state-name", &["running", "pending"]), vec![&a, &b]),
        (filter("instance-state-name", &["stopped"]), vec![]),
        (filter("instance-state-code", &["16"]), vec![&a, &b]),
        (filter("tag:Name", &["web?"]), vec![&a]),
        (filter("tag-key", &["Name"]), vec![&a, &b]),
        (filter("vpc-id", &[&vpc]), vec![&a, &b]),
        (filter("subnet-id", &[&subnet]), vec![&a]),
        (filter("launch-time", &["2026-01-01T00:00:00.000Z"]), vec![&a, &b]),
        (filter("launch-time", &["2026-*"]), vec![&a, &b]),
        (filter("instance.group-name", &["default"]), vec![&a, &b]),
        (filter("image-id", &["ami-1"]), vec![]),
    ];
    for (filter, expected) in cases {
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(ids_where(&platform, vec![filter.clone()]).await, expected, "{filter:?}");
    }
    let both = vec![filter("tag-key", &["Name"]), filter("availability-zone", &["us-east-1a"])];
    assert_eq!(ids_where(&platform, both).await, [a]);
    let unknown = DescribeInstancesInput { filters: vec![filter("colour", &["red"])], ..Default::default() };
    let answer = platform.ec2.describe_instances(&platform.call, unknown).await;
    assert_eq!(refused(answer), "InvalidParameterValue: The filter 'colour' is invalid");
}

#[tokio::test]
async fn ids_that_are_none_or_not_there_are_named() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    let ask = |ids: &[&str]| {
        let (input, platform) = (by_id(ids), &platform);
        async move { refused(platform.ec2.describe_instances(&platform.call, input).await) }
    };
    assert_eq!(
        ask(&[&id, "i-0123456789abcdef0"]).await,
        "InvalidInstanceID.NotFound: The instance ID 'i-0123456789abcdef0' does not exist"
    );
    assert_eq!(
        ask(&["i-00000002", "i-00000001"]).await,
        "InvalidInstanceID.NotFound: The instance IDs 'i-00000001, i-00000002' do not exist"
    );
    assert_eq!(ask(&["web"]).await, "InvalidInstanceID.Malformed: Invalid id: \"web\" (expecting \"i-...\")");
    assert_eq!(ask(&["i-xyz"]).await, "InvalidInstanceID.Malformed: Invalid id: \"i-xyz\"");
}

#[tokio::test]
async fn listings_come_in_pages() {
    let platform = platform();
    let mut ids: Vec<String> = (1..=7).map(|n| platform.add(&format!("10.0.0.{n}"), "us-east-1a", None)).collect();
    ids.sort();
    let page = |max_results, next_token| DescribeInstancesInput { max_results, next_token, ..Default::default() };
    let first = platform.ec2.describe_instances(&platform.call, page(Some(5), None)).await.unwrap();
    let second =
        platform.ec2.describe_instances(&platform.call, page(Some(5), first.next_token.clone())).await.unwrap();
    let all = first.reservations.into_iter().chain(second.reservations).flat_map(|one| one.instances);
    assert_eq!(all.filter_map(|one| one.instance_id).collect::<Vec<_>>(), ids);
    assert!(first.next_token.is_some() && second.next_token.is_none());
    let answer = platform.ec2.describe_instances(&platform.call, page(Some(4), None)).await;
    assert_eq!(
        refused(answer),
        "InvalidParameterValue: Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."
    );
    assert_eq!(
        code(platform.ec2.describe_instances(&platform.call, page(None, Some("!".into()))).await),
        "InvalidNextToken"
    );
    let both = DescribeInstancesInput { max_results: Some(5), ..by_id(&[&ids[0]]) };
    assert_eq!(
        refused(platform.ec2.describe_instances(&platform.call, both).await),
        "InvalidParameterCombination: The parameter instancesSet cannot be used with the parameter maxResults"
    );
}

#[tokio::test]
async fn the_status_of_a_machine_says_that_nobody_checks_it() {
    let platform = platform();
    let id = platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    platform.add("10.0.0.6", "us-east-1b", None);
    let ask = |input| platform.ec2.describe_instance_status(&platform.call, input);
    let one = DescribeInstanceStatusInput { instance_ids: vec![id.clone()], ..Default::default() };
    let status = ask(one).await.unwrap().instance_statuses.remove(0);
    assert_eq!((status.instance_id, status.availability_zone.as_deref()), (Some(id), Some("us-east-1a")));
    assert_eq!(status.instance_state.unwrap().name.as_deref(), Some("running"));
    assert_eq!(status.system_status.unwrap().status.as_deref(), Some("not-applicable"));
    let filters = vec![filter("availability-zone", &["us-east-1b"])];
    let filtered = ask(DescribeInstanceStatusInput { filters, ..Default::default() }).await.unwrap();
    assert_eq!(filtered.instance_statuses.len(), 1);
    let missing = DescribeInstanceStatusInput { instance_ids: texts(&["i-00000001"]), ..Default::default() };
    assert_eq!(code(ask(missing).await), "InvalidInstanceID.NotFound");
    let filters = vec![filter("image-id", &["x"])];
    assert_eq!(code(ask(DescribeInstanceStatusInput { filters, ..Default::default() }).await), "InvalidParameterValue");
}

#[tokio::test]
async fn accounts_and_regions_have_their_own_machines() {
    let mut platform = platform();
    platform.add("10.0.0.5", "us-east-1a", None);
    let there = platform.add("10.0.0.6", "eu-west-1a", None);
    platform.call = call("123456789012", "eu-west-1");
    assert_eq!(ids_where(&platform, vec![]).await, [there]);
    platform.call = call("123456789013", "us-east-1");
    assert_eq!(ids_where(&platform, vec![]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_reset_forgets_all_and_tells_who_watches() {
    let platform = platform();
    let mut changes = platform.ec2.changes();
    platform.add("10.0.0.5", "us-east-1a", Some("web1"));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    platform.ec2.reset().await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(ids_where(&platform, vec![]).await, Vec::<String>::new());
}
