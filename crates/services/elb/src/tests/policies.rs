//! Policies: each type, what it must say, where it may stand, and what the balancer makes of it.

use ::api::elb::*;
use balancer::Stickiness;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::platform::*;
use crate::policy_types::*;

const CONFIGURATION: &str = "InvalidConfigurationRequest";

async fn delete(p: &Platform, name: &str) -> Result<(), wire::ApiError> {
    let input = DeleteLoadBalancerPolicyInput { load_balancer_name: "web".into(), policy_name: name.into() };
    p.elb.delete_load_balancer_policy(&p.call, input).await.map(drop)
}

async fn described(p: &Platform, load_balancer: Option<&str>, names: &[&str]) -> Vec<PolicyDescription> {
    let input = DescribeLoadBalancerPoliciesInput {
        load_balancer_name: load_balancer.map(str::to_owned),
        policy_names: texts(names),
    };
    p.elb.describe_load_balancer_policies(&p.call, input).await.unwrap().policy_descriptions
}

fn value<'a>(policy: &'a PolicyDescription, attribute: &str) -> Option<&'a str> {
    let mut all = policy.policy_attribute_descriptions.iter();
    all.find(|one| one.attribute_name.as_deref() == Some(attribute))?.attribute_value.as_deref()
}

fn stickiness(p: &Platform) -> Option<Stickiness> {
    p.plane.served().load_balancers[0].listeners[0].stickiness.clone()
}

/// 443 HTTPS to 8443, 80 HTTP to 8080, 3306 TCP to 3306, 3307 TCP to 9443 in TLS.
async fn with_listeners() -> Platform {
    let p = platform().await;
    p.certificates.put(CERTIFICATE);
    let listeners = vec![
        http(80, 8080),
        secure("HTTPS", 443, "HTTPS", 8443),
        listener("TCP", 3306, "TCP", 3306),
        listener("TCP", 3307, "SSL", 9443),
    ];
    p.create("web", listeners).await.unwrap();
    p
}

#[tokio::test(start_paused = true)]
async fn clients_stick_by_the_load_balancer_s_cookie_for_a_time_or_a_session() {
    let p = platform().await;
    p.web().await;
    for (name, period, expiration_s) in [("a", Some(60), Some(60)), ("b", Some(0), None), ("c", None, None)] {
        let input = CreateLBCookieStickinessPolicyInput {
            load_balancer_name: "web".into(),
            policy_name: name.into(),
            cookie_expiration_period: period,
        };
        p.elb.create_lb_cookie_stickiness_policy(&p.call, input).await.unwrap();
        p.set_policies(80, &[name]).await.unwrap();
        assert_eq!(stickiness(&p), Some(Stickiness::LoadBalancer { expiration_s }), "{name}");
    }
    let policies = p.describe("web").await.policies.unwrap();
    let told: Vec<_> = policies.lb_cookie_stickiness_policies.iter().map(|one| one.cookie_expiration_period).collect();
    assert_eq!(told, [Some(60), Some(0), None]);
    let negative = CreateLBCookieStickinessPolicyInput {
        load_balancer_name: "web".into(),
        policy_name: "d".into(),
        cookie_expiration_period: Some(-1),
    };
    refused_with(p.elb.create_lb_cookie_stickiness_policy(&p.call, negative).await, CONFIGURATION, "'-1'");
}

#[tokio::test(start_paused = true)]
async fn clients_stick_by_the_application_s_cookie() {
    let p = platform().await;
    p.web().await;
    let create = async |name: &str, cookie: &str| {
        let input = CreateAppCookieStickinessPolicyInput {
            load_balancer_name: "web".into(),
            policy_name: name.into(),
            cookie_name: cookie.into(),
        };
        p.elb.create_app_cookie_stickiness_policy(&p.call, input).await
    };
    create("app", "JSESSIONID").await.unwrap();
    p.set_policies(80, &["app"]).await.unwrap();
    assert_eq!(stickiness(&p), Some(Stickiness::Application { cookie_name: "JSESSIONID".into() }));
    let policies = p.describe("web").await.policies.unwrap();
    assert_eq!(policies.app_cookie_stickiness_policies[0].cookie_name.as_deref(), Some("JSESSIONID"));
    refused_with(create("odd", "a b").await, CONFIGURATION, "the name of a cookie");
    refused_with(create("odd", "").await, CONFIGURATION, "the name of a cookie");
}

#[tokio::test(start_paused = true)]
async fn setting_policies_replaces_them_and_none_clears_them() {
    let p = with_listeners().await;
    p.policy("sticky", LB_COOKIE, &[]).await.unwrap();
    p.policy("app", APP_COOKIE, &[("CookieName", "S")]).await.unwrap();
    p.set_policies(80, &["sticky"]).await.unwrap();
    p.set_policies(80, &["app", "app"]).await.unwrap();
    let of_listener = async |p: &Platform| p.describe("web").await.listener_descriptions[0].policy_names.clone();
    assert_eq!(of_listener(&p).await, texts(&["app"]));
    p.set_policies(80, &[]).await.unwrap();
    assert_eq!(of_listener(&p).await, texts(&[]));
    assert_eq!(stickiness(&p), None);
    refused_with(p.set_policies(80, &["app", "sticky"]).await, CONFIGURATION, "Only one stickiness policy");
    refused_with(p.set_policies(81, &["app"]).await, "ListenerNotFound", "port 81");
    let sentence = "There is no policy with name absent for load balancer web";
    refused(p.set_policies(80, &["absent"]).await, "PolicyNotFound", sentence);
}

#[tokio::test(start_paused = true)]
async fn policies_stand_only_where_they_mean_something() {
    let p = with_listeners().await;
    let key = STANDARD.encode([0x30, 1, 0]);
    p.policy("sticky", LB_COOKIE, &[]).await.unwrap();
    p.policy("proxy", PROXY_PROTOCOL, &[("ProxyProtocol", "true")]).await.unwrap();
    p.policy("key", PUBLIC_KEY, &[("PublicKey", &key)]).await.unwrap();
    p.policy("auth", BACKEND_AUTHENTICATION, &[("PublicKeyPolicyName", "key")]).await.unwrap();
    for (port, policy) in
        [(3306, "sticky"), (80, "ELBSecurityPolicy-2016-08"), (80, "proxy"), (443, "key"), (443, "auth")]
    {
        refused_with(p.set_policies(port, &[policy]).await, CONFIGURATION, "can be associated only with");
    }
    for (port, policy) in [(3306, "sticky"), (8080, "proxy"), (8443, "key"), (3306, "auth"), (8080, "auth")] {
        refused_with(p.set_backend(port, &[policy]).await, CONFIGURATION, "can be associated only with");
    }
    refused_with(p.set_backend(4711, &["proxy"]).await, CONFIGURATION, "InstancePort 4711");
    refused_with(p.set_backend(-1, &["proxy"]).await, CONFIGURATION, "InstancePort -1");
    refused_with(p.set_backend(3306, &["absent"]).await, "PolicyNotFound", "absent");
}

#[tokio::test(start_paused = true)]
async fn backend_servers_get_the_proxy_protocol_and_are_authenticated() {
    let p = with_listeners().await;
    let (one, two) = ([0x30, 1, 1], [0x30, 1, 2]);
    p.policy("key1", PUBLIC_KEY, &[("PublicKey", &STANDARD.encode(one))]).await.unwrap();
    let in_pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(two));
    p.policy("key2", PUBLIC_KEY, &[("PublicKey", &in_pem)]).await.unwrap();
    let both = [("PublicKeyPolicyName", "key1"), ("PublicKeyPolicyName", "key2")];
    p.policy("auth", BACKEND_AUTHENTICATION, &both).await.unwrap();
    p.policy("proxy", PROXY_PROTOCOL, &[("ProxyProtocol", "TRUE")]).await.unwrap();
    p.set_backend(3306, &["proxy"]).await.unwrap();
    p.set_backend(9443, &["proxy", "auth"]).await.unwrap();
    let backends: Vec<_> = p.plane.served().load_balancers[0].listeners.iter().map(|one| one.backend.clone()).collect();
    let proxied: Vec<_> = backends.iter().map(|backend| backend.proxy_protocol).collect();
    assert_eq!(proxied, [false, false, true, true]);
    assert_eq!(backends[3].trusted_keys.as_deref(), Some(&[one.to_vec(), two.to_vec()][..]));
    assert_eq!(backends[2].trusted_keys, None);
    let told = p.describe("web").await.backend_server_descriptions;
    assert_eq!(told.len(), 2);
    assert_eq!((told[1].instance_port, &told[1].policy_names), (Some(9443), &texts(&["proxy", "auth"])));
    p.set_backend(3306, &[]).await.unwrap();
    assert_eq!(p.describe("web").await.backend_server_descriptions.len(), 1);
    assert!(!p.plane.served().load_balancers[0].listeners[2].backend.proxy_protocol);
    let two_of_a_kind = [("ProxyProtocol", "false")];
    p.policy("proxy2", PROXY_PROTOCOL, &two_of_a_kind).await.unwrap();
    refused_with(p.set_backend(3306, &["proxy", "proxy2"]).await, CONFIGURATION, "Only one");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_used_cannot_be_deleted() {
    let p = with_listeners().await;
    p.policy("sticky", LB_COOKIE, &[]).await.unwrap();
    p.policy("key", PUBLIC_KEY, &[("PublicKey", &STANDARD.encode([0x30, 1, 1]))]).await.unwrap();
    p.policy("auth", BACKEND_AUTHENTICATION, &[("PublicKeyPolicyName", "key")]).await.unwrap();
    p.set_policies(80, &["sticky"]).await.unwrap();
    p.set_backend(8443, &["auth"]).await.unwrap();
    for used in ["sticky", "auth", "key"] {
        refused_with(delete(&p, used).await, CONFIGURATION, &format!("policy {used} because it is in use"));
    }
    p.set_policies(80, &[]).await.unwrap();
    p.set_backend(8443, &[]).await.unwrap();
    for free in ["sticky", "auth", "key"] {
        delete(&p, free).await.unwrap();
        refused_with(delete(&p, free).await, "PolicyNotFound", free);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_s_name_is_taken_once_and_is_well_formed() {
    let p = platform().await;
    p.web().await;
    p.policy("one", LB_COOKIE, &[]).await.unwrap();
    p.policy("one", LB_COOKIE, &[("CookieExpirationPeriod", "")]).await.unwrap();
    let sentence = "A policy with name one already exists for load balancer web";
    refused(p.policy("one", APP_COOKIE, &[("CookieName", "x")]).await, "DuplicatePolicyName", sentence);
    for odd in ["", "a_b", "a b", "ELBSecurityPolicy-mine", &"x".repeat(129)] {
        refused_with(p.policy(odd, LB_COOKIE, &[]).await, "ValidationError", "Policy names consist of");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_has_100_policies_at_most() {
    let p = platform().await;
    p.web().await;
    for number in 0..100 {
        p.policy(&format!("p{number}"), LB_COOKIE, &[]).await.unwrap();
    }
    refused_with(p.policy("more", LB_COOKIE, &[]).await, "TooManyPolicies", "at most 100 policies");
}

#[tokio::test(start_paused = true)]
async fn attributes_that_a_type_does_not_take_are_refused() {
    let p = platform().await;
    p.web().await;
    for (of, given, part) in [
        (LB_COOKIE, vec![("CookieName", "x")], "'CookieName' is not defined"),
        (LB_COOKIE, vec![("CookieExpirationPeriod", "soon")], "'soon'"),
        (APP_COOKIE, vec![], "'CookieName' must be specified"),
        (APP_COOKIE, vec![("CookieName", "a"), ("CookieName", "b")], "once only"),
        (PROXY_PROTOCOL, vec![], "'ProxyProtocol' must be specified"),
        (PROXY_PROTOCOL, vec![("ProxyProtocol", "yes")], "true or false"),
        (PUBLIC_KEY, vec![("PublicKey", "not base64!")], "a public key"),
        (PUBLIC_KEY, vec![("PublicKey", "AAAA")], "a public key"),
        (BACKEND_AUTHENTICATION, vec![], "'PublicKeyPolicyName' must be specified"),
        (SSL_NEGOTIATION, vec![("Protocol-TLSv1.3", "true")], "'Protocol-TLSv1.3' is not defined"),
        (SSL_NEGOTIATION, vec![("Protocol-TLSv1.2", "on")], "true or false"),
    ] {
        refused_with(p.policy("odd", of, &given).await, CONFIGURATION, part);
    }
    let absent = [("PublicKeyPolicyName", "absent")];
    refused_with(p.policy("odd", BACKEND_AUTHENTICATION, &absent).await, "PolicyNotFound", "absent");
    p.policy("sticky", LB_COOKIE, &[]).await.unwrap();
    let other = [("PublicKeyPolicyName", "sticky")];
    refused_with(p.policy("odd", BACKEND_AUTHENTICATION, &other).await, CONFIGURATION, "PublicKeyPolicyType");
    refused_with(p.policy("odd", "NoPolicyType", &[]).await, "PolicyTypeNotFound", "NoPolicyType");
}

#[tokio::test(start_paused = true)]
async fn policy_types_are_described_with_their_attributes() {
    let p = platform().await;
    let describe = async |names: &[&str]| {
        let input = DescribeLoadBalancerPolicyTypesInput { policy_type_names: texts(names) };
        p.elb.describe_load_balancer_policy_types(&p.call, input).await
    };
    let all = describe(&[]).await.unwrap().policy_type_descriptions;
    let attributes = |of: &str| {
        let found = all.iter().find(|one| one.policy_type_name.as_deref() == Some(of)).unwrap();
        let attributes = found.policy_attribute_type_descriptions.iter();
        attributes
            .map(|one| {
                let text = |text: &Option<String>| text.clone().unwrap();
                format!("{} {} {}", text(&one.attribute_name), text(&one.attribute_type), text(&one.cardinality))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(all.len(), 6);
    assert_eq!(attributes(LB_COOKIE), ["CookieExpirationPeriod Long ZERO_OR_ONE"]);
    assert_eq!(attributes(APP_COOKIE), ["CookieName String ONE"]);
    assert_eq!(attributes(PROXY_PROTOCOL), ["ProxyProtocol Boolean ONE"]);
    assert_eq!(attributes(PUBLIC_KEY), ["PublicKey String ONE"]);
    assert_eq!(attributes(BACKEND_AUTHENTICATION), ["PublicKeyPolicyName PolicyName ONE_OR_MORE"]);
    let ssl = attributes(SSL_NEGOTIATION);
    assert_eq!((ssl.len(), ssl[0].as_str()), (95, "Reference-Security-Policy PolicyName ZERO_OR_ONE"));
    assert!(ssl.contains(&"ECDHE-RSA-AES128-GCM-SHA256 Boolean ZERO_OR_ONE".to_owned()));
    assert_eq!(describe(&[PUBLIC_KEY]).await.unwrap().policy_type_descriptions.len(), 1);
    refused_with(describe(&["Nothing"]).await, "PolicyTypeNotFound", "Nothing");
}

#[tokio::test(start_paused = true)]
async fn predefined_security_policies_are_described_in_full() {
    let p = platform().await;
    let all = described(&p, None, &[]).await;
    let names: Vec<_> = all.iter().map(|one| one.policy_name.clone().unwrap()).collect();
    let years =
        ["TLS-1-2-2017-01", "TLS-1-1-2017-01", "2016-08", "2015-05", "2015-03", "2015-02", "2014-10", "2014-01"];
    for year in years {
        assert!(names.contains(&format!("ELBSecurityPolicy-{year}")), "{year}");
    }
    let one = &described(&p, None, &["ELBSecurityPolicy-2016-08"]).await[0];
    assert_eq!(one.policy_attribute_descriptions.len(), 94);
    for (attribute, expected) in [
        ("Protocol-SSLv3", "false"),
        ("Protocol-TLSv1", "true"),
        ("Protocol-TLSv1.2", "true"),
        ("Server-Defined-Cipher-Order", "true"),
        ("AES256-SHA", "true"),
        ("RC4-SHA", "false"),
    ] {
        assert_eq!(value(one, attribute), Some(expected), "{attribute}");
    }
    let input = DescribeLoadBalancerPoliciesInput { load_balancer_name: None, policy_names: texts(&["absent"]) };
    let answer = p.elb.describe_load_balancer_policies(&p.call, input).await;
    refused_with(answer, "PolicyNotFound", "no sample policy with name absent");
}

#[tokio::test(start_paused = true)]
async fn a_security_policy_of_one_s_own_follows_a_predefined_one() {
    let p = with_listeners().await;
    let given = [("Reference-Security-Policy", "ELBSecurityPolicy-TLS-1-2-2017-01")];
    p.policy("tls12", SSL_NEGOTIATION, &given).await.unwrap();
    p.set_policies(443, &["tls12"]).await.unwrap();
    let one = &described(&p, Some("web"), &["tls12"]).await[0];
    assert_eq!(value(one, "Reference-Security-Policy"), Some("ELBSecurityPolicy-TLS-1-2-2017-01"));
    assert_eq!((value(one, "Protocol-TLSv1"), value(one, "Protocol-TLSv1.2")), (Some("false"), Some("true")));
    let balancer::Frontend::Https(tls) = p.plane.served().load_balancers[0].listeners[1].frontend.clone() else {
        panic!("no HTTPS");
    };
    assert!(tls.policy.tls12 && tls.policy.tls13 && tls.policy.server_order);
    assert_eq!((tls.policy.cipher_suites.len(), &*tls.policy.cipher_suites[0]), (12, "ECDHE-ECDSA-AES128-GCM-SHA256"));
    let absent = [("Reference-Security-Policy", "ELBSecurityPolicy-2099-01")];
    refused_with(p.policy("odd", SSL_NEGOTIATION, &absent).await, "PolicyNotFound", "2099");
    // A predefined one can be set by its name.
    p.set_policies(443, &["ELBSecurityPolicy-2015-05"]).await.unwrap();
    assert_eq!(described(&p, Some("web"), &["ELBSecurityPolicy-2015-05"]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_security_policy_of_single_attributes_allows_only_those() {
    let p = with_listeners().await;
    let given = [("Protocol-TLSv1.2", "true"), ("ECDHE-RSA-AES256-GCM-SHA384", "true")];
    p.policy("narrow", SSL_NEGOTIATION, &given).await.unwrap();
    p.set_policies(443, &["narrow"]).await.unwrap();
    let one = &described(&p, Some("web"), &["narrow"]).await[0];
    let on = one.policy_attribute_descriptions.iter().filter(|one| one.attribute_value.as_deref() == Some("true"));
    assert_eq!((one.policy_attribute_descriptions.len(), on.count()), (94, 2));
    let balancer::Frontend::Https(tls) = p.plane.served().load_balancers[0].listeners[1].frontend.clone() else {
        panic!("no HTTPS");
    };
    assert_eq!(tls.policy.cipher_suites, ["ECDHE-RSA-AES256-GCM-SHA384".into()]);
    assert!(!tls.policy.server_order);
}

#[tokio::test(start_paused = true)]
async fn a_security_policy_that_leaves_nothing_is_refused_and_says_what_to_choose() {
    let p = with_listeners().await;
    for given in [
        vec![("Reference-Security-Policy", "ELBSecurityPolicy-2011-08")],
        vec![("Protocol-TLSv1.2", "true"), ("AES128-SHA", "true")],
        vec![("Protocol-TLSv1", "true"), ("ECDHE-RSA-AES256-GCM-SHA384", "true")],
        vec![],
    ] {
        let answer = p.policy("nothing", SSL_NEGOTIATION, &given).await;
        refused_with(answer, CONFIGURATION, "choose ELBSecurityPolicy-TLS-1-2-2017-01");
    }
    refused_with(p.set_policies(443, &["ELBSecurityPolicy-2011-08"]).await, CONFIGURATION, "leaves nothing");
    let two = p.set_policies(443, &["ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-2015-05"]).await;
    refused_with(two, CONFIGURATION, "Only one SSL negotiation policy");
}
