//! The Query protocol: what a client sends and gets, in bytes.

use ::api::{AccountId, Call, Identity, Principal};
use bytes::Bytes;

use super::platform::*;

async fn ask(p: &Platform, call: &Call, operation: &str, form: &str) -> (u16, String) {
    let body = format!("Action={operation}&Version=2012-06-01&{form}");
    let response = p.elb.handle(call, operation, Bytes::from(body)).await;
    (response.status, String::from_utf8(response.body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_xml_of_the_version_of_2012() {
    let p = platform().await;
    let form = "LoadBalancerName=web&AvailabilityZones.member.1=us-east-1a&Listeners.member.1.Protocol=HTTP&\
                Listeners.member.1.LoadBalancerPort=80&Listeners.member.1.InstancePort=8080&Tags.member.1.Key=a&\
                Tags.member.1.Value=b";
    let (status, body) = ask(&p, &p.call, "CreateLoadBalancer", form).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/\""), "{body}");
    assert!(body.contains("<CreateLoadBalancerResult><DNSName>web-"), "{body}");
    assert!(body.contains("<RequestId>the-id</RequestId>"), "{body}");
    let (_, body) = ask(&p, &p.call, "DescribeLoadBalancers", "").await;
    for part in [
        "<LoadBalancerDescriptions><member>",
        "<CreatedTime>2026-01-01T00:00:00",
        "<Instances></Instances>",
        "<BackendServerDescriptions></BackendServerDescriptions>",
        "<OtherPolicies></OtherPolicies>",
        "<PolicyNames></PolicyNames>",
        "<Target>TCP:8080</Target>",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_have_aws_s_codes_and_states() {
    let p = platform().await;
    let (status, body) = ask(&p, &p.call, "DescribeLoadBalancers", "LoadBalancerNames.member.1=absent").await;
    assert_eq!(status, 400);
    assert!(body.contains("<Type>Sender</Type>") && body.contains("<Code>LoadBalancerNotFound</Code>"), "{body}");
    p.web().await;
    let form = "LoadBalancerName=web&SecurityGroups.member.1=sg-1&SecurityGroups.member.2=sg-0";
    let (status, body) = ask(&p, &p.call, "ApplySecurityGroupsToLoadBalancer", form).await;
    assert_eq!(status, 400);
    assert!(body.contains("<Code>InvalidSecurityGroup</Code>"), "{body}");
    let form = "LoadBalancerName=web&AvailabilityZones.member.1=us-east-1a&AvailabilityZones.member.2=us-east-1b";
    let (status, body) = ask(&p, &p.call, "DisableAvailabilityZonesForLoadBalancer", form).await;
    assert_eq!(status, 409);
    assert!(body.contains("<Code>InvalidConfigurationRequest</Code>"), "{body}");
    let (status, body) = ask(&p, &p.call, "MakeCoffee", "").await;
    assert_eq!(status, 400);
    assert!(body.contains("<Code>InvalidAction</Code>"), "{body}");
    let (status, body) = ask(&p, &p.call, "DeleteLoadBalancer", "").await;
    assert_eq!(status, 400);
    assert!(body.contains("<Code>ValidationError</Code>") && body.contains("oadBalancerName"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_of_policies_clears_as_the_command_line_sends_it() {
    let p = platform().await;
    p.web().await;
    p.policy("sticky", crate::policy_types::LB_COOKIE, &[]).await.unwrap();
    p.set_policies(80, &["sticky"]).await.unwrap();
    let form = "LoadBalancerName=web&LoadBalancerPort=80&PolicyNames=";
    let (status, body) = ask(&p, &p.call, "SetLoadBalancerPoliciesOfListener", form).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(p.describe("web").await.listener_descriptions[0].policy_names, texts(&[]));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_sign_gets_nothing() {
    let p = platform().await;
    let identity = Identity { principal: Principal::Anonymous, account: AccountId::parse(ACCOUNT).unwrap() };
    let nobody = Call { identity, ..p.call.clone() };
    let (status, body) = ask(&p, &nobody, "DescribeLoadBalancers", "").await;
    assert_eq!(status, 403);
    assert!(body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
}
