//! Load balancers: created, created again, described page by page, deleted.

use ::api::elb::*;
use wire::value::EpochMs;

use super::platform::*;

fn named(name: &str) -> CreateLoadBalancerInput {
    CreateLoadBalancerInput {
        load_balancer_name: name.into(),
        availability_zones: texts(&["us-east-1a"]),
        listeners: vec![http(80, 8080)],
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_load_balancer_is_described_with_aws_s_defaults() {
    let p = platform().await;
    let dns_name = p.create("web", vec![http(80, 8080)]).await.unwrap();
    let digits = dns_name.strip_prefix("web-").and_then(|rest| rest.strip_suffix(".us-east-1.elb.localhost")).unwrap();
    assert!(digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()), "{dns_name}");
    let described = p.describe("web").await;
    assert_eq!(
        described,
        LoadBalancerDescription {
            availability_zones: texts(&["us-east-1a", "us-east-1b"]),
            backend_server_descriptions: Vec::new(),
            canonical_hosted_zone_name: Some(dns_name.clone()),
            canonical_hosted_zone_name_id: Some("Z35SXDOTRQ7X7K".into()),
            created_time: Some(EpochMs(1_767_225_600_000)),
            dns_name: Some(dns_name),
            health_check: Some(HealthCheck {
                target: "TCP:8080".into(),
                interval: 30,
                timeout: 5,
                unhealthy_threshold: 2,
                healthy_threshold: 10,
            }),
            instances: Vec::new(),
            listener_descriptions: vec![ListenerDescription {
                listener: Some(http(80, 8080)),
                policy_names: Vec::new()
            }],
            load_balancer_name: Some("web".into()),
            policies: Some(Policies::default()),
            scheme: Some("internet-facing".into()),
            security_groups: Vec::new(),
            source_security_group: Some(SourceSecurityGroup {
                group_name: Some("amazon-elb-sg".into()),
                owner_alias: Some("amazon-elb".into()),
            }),
            subnets: texts(&["subnet-a", "subnet-b"]),
            vpc_id: Some("vpc-1".into()),
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_internal_load_balancer_is_named_and_placed_apart() {
    let p = platform().await;
    let internal = CreateLoadBalancerInput { scheme: Some("internal".into()), ..named("db") };
    let created = p.elb.create_load_balancer(&p.call, internal).await.unwrap();
    assert!(created.dns_name.unwrap().starts_with("internal-db-"));
    let described = p.describe("db").await;
    assert_eq!(described.scheme.as_deref(), Some("internal"));
    assert_eq!(described.canonical_hosted_zone_name, None);
    let odd = CreateLoadBalancerInput { scheme: Some("outside".into()), ..named("web") };
    refused_with(p.elb.create_load_balancer(&p.call, odd).await, "InvalidScheme", "'outside'");
}

#[tokio::test(start_paused = true)]
async fn creating_again_with_the_same_settings_changes_nothing() {
    let p = platform().await;
    let first = p.create("web", vec![http(80, 8080), http(81, 8081)]).await.unwrap();
    assert_eq!(p.create("web", vec![http(81, 8081), http(80, 8080)]).await.unwrap(), first);
    assert_eq!(p.plane.served().load_balancers.len(), 1);
    refused(
        p.create("web", vec![http(80, 8080)]).await,
        "DuplicateLoadBalancerName",
        "Load Balancer named 'web' already exists and it is configured with different parameters.",
    );
    refused_with(p.elb.create_load_balancer(&p.call, named("WEB")).await, "DuplicateLoadBalancerName", "'WEB'");
}

#[tokio::test(start_paused = true)]
async fn names_have_letters_digits_and_inner_dashes_and_32_at_most() {
    let p = platform().await;
    for (name, part) in [
        ("a".repeat(33), "longer than 32 characters"),
        ("a_b".into(), "letters, or digits or the dash"),
        ("-a".into(), "dash"),
        ("a-".into(), "dash"),
    ] {
        refused_with(p.elb.create_load_balancer(&p.call, named(&name)).await, "ValidationError", part);
    }
    p.elb.create_load_balancer(&p.call, named(&"a".repeat(32))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_has_20_load_balancers_in_a_region() {
    let p = platform().await;
    for number in 0..20 {
        p.elb.create_load_balancer(&p.call, named(&format!("lb-{number:02}"))).await.unwrap();
    }
    let more = p.elb.create_load_balancer(&p.call, named("more")).await;
    refused_with(more, "TooManyLoadBalancers", "quota of 20");
    // Others have their own.
    let (other, region) = (call("210987654321", "us-east-1"), call(ACCOUNT, "eu-west-1"));
    p.elb.create_load_balancer(&other, named("more")).await.unwrap();
    let in_ireland = CreateLoadBalancerInput { availability_zones: texts(&["eu-west-1a"]), ..named("more") };
    p.elb.create_load_balancer(&region, in_ireland).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn descriptions_come_in_pages_and_nobody_sees_another_account_s() {
    let p = platform().await;
    for name in ["c", "a", "b", "d", "e"] {
        p.elb.create_load_balancer(&p.call, named(name)).await.unwrap();
    }
    let (mut marker, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let input = DescribeLoadBalancersInput { page_size: Some(2), marker, ..Default::default() };
        let page = p.elb.describe_load_balancers(&p.call, input).await.unwrap();
        seen.extend(page.load_balancer_descriptions.into_iter().map(|one| one.load_balancer_name.unwrap()));
        pages += 1;
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (texts(&["a", "b", "c", "d", "e"]), 3));
    let other = call("210987654321", "us-east-1");
    let all = p.elb.describe_load_balancers(&other, DescribeLoadBalancersInput::default()).await.unwrap();
    assert_eq!(all.load_balancer_descriptions, []);
    for page_size in [0, 401] {
        let input = DescribeLoadBalancersInput { page_size: Some(page_size), ..Default::default() };
        refused_with(p.elb.describe_load_balancers(&p.call, input).await, "ValidationError", "between 1 and 400");
    }
    let odd = DescribeLoadBalancersInput { marker: Some("not a marker".into()), ..Default::default() };
    refused_with(p.elb.describe_load_balancers(&p.call, odd).await, "ValidationError", "Marker");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_there_is_said_by_name() {
    let p = platform().await;
    let input = DescribeLoadBalancersInput { load_balancer_names: texts(&["web"]), ..Default::default() };
    let sentence = "There is no ACTIVE Load Balancer named 'web'";
    refused(p.elb.describe_load_balancers(&p.call, input).await, "LoadBalancerNotFound", sentence);
    refused(p.register(&["i-00000001"]).await, "LoadBalancerNotFound", sentence);
    refused(p.set_policies(80, &[]).await, "LoadBalancerNotFound", sentence);
    refused(p.modify(LoadBalancerAttributes::default()).await, "LoadBalancerNotFound", sentence);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_load_balancer_is_gone_at_once_and_deleting_again_succeeds() {
    let p = platform().await;
    p.web().await;
    for _ in 0..2 {
        let input = DeleteLoadBalancerInput { load_balancer_name: "web".into() };
        p.elb.delete_load_balancer(&p.call, input).await.unwrap();
        assert_eq!(p.plane.served().load_balancers, []);
    }
    // The name can come again, the identity cannot.
    p.web().await;
    assert_eq!(p.plane.served().load_balancers[0].id.0, 2);
}

#[tokio::test(start_paused = true)]
async fn account_limits_are_told_in_pages() {
    let p = platform().await;
    let all = p.elb.describe_account_limits(&p.call, DescribeAccountLimitsInput::default()).await.unwrap();
    let told: Vec<_> = all.limits.into_iter().map(|one| (one.name.unwrap(), one.max.unwrap())).collect();
    let told: Vec<_> = told.iter().map(|(name, max)| (name.as_str(), max.as_str())).collect();
    let expected =
        [("classic-load-balancers", "20"), ("classic-listeners", "100"), ("classic-registered-instances", "1000")];
    assert_eq!((told.as_slice(), all.next_marker), (&expected[..], None));
    let input = DescribeAccountLimitsInput { page_size: Some(2), marker: None };
    let first = p.elb.describe_account_limits(&p.call, input).await.unwrap();
    let input = DescribeAccountLimitsInput { page_size: Some(2), marker: first.next_marker };
    let last = p.elb.describe_account_limits(&p.call, input).await.unwrap();
    assert_eq!((first.limits.len(), last.limits.len(), last.next_marker), (2, 1, None));
}

#[tokio::test(start_paused = true)]
async fn a_reset_leaves_nothing() {
    let p = platform().await;
    p.web().await;
    p.elb.reset().await.unwrap();
    let all = p.elb.describe_load_balancers(&p.call, DescribeLoadBalancersInput::default()).await.unwrap();
    assert_eq!((all.load_balancer_descriptions, p.plane.served().load_balancers), (vec![], vec![]));
}
