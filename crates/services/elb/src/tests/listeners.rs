//! Listeners: which are taken, which refused, and what each brings with it.

use ::api::elb::*;
use wire::ApiError;

use super::platform::*;

async fn add(p: &Platform, listeners: Vec<Listener>) -> Result<(), ApiError> {
    let input = CreateLoadBalancerListenersInput { load_balancer_name: "web".into(), listeners };
    p.elb.create_load_balancer_listeners(&p.call, input).await.map(drop)
}

async fn delete(p: &Platform, ports: &[i32]) -> Result<(), ApiError> {
    let input =
        DeleteLoadBalancerListenersInput { load_balancer_name: "web".into(), load_balancer_ports: ports.to_vec() };
    p.elb.delete_load_balancer_listeners(&p.call, input).await.map(drop)
}

async fn set_certificate(p: &Platform, port: i32, arn: &str) -> Result<(), ApiError> {
    let input = SetLoadBalancerListenerSSLCertificateInput {
        load_balancer_name: "web".into(),
        load_balancer_port: port,
        ssl_certificate_id: arn.into(),
    };
    p.elb.set_load_balancer_listener_ssl_certificate(&p.call, input).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn protocols_stand_before_those_of_their_kind_only() {
    let p = platform().await;
    p.web().await;
    p.certificates.put(CERTIFICATE);
    for (port, (front, back)) in [
        ("HTTP", "HTTP"),
        ("HTTP", "HTTPS"),
        ("HTTPS", "HTTP"),
        ("HTTPS", "HTTPS"),
        ("TCP", "TCP"),
        ("TCP", "SSL"),
        ("SSL", "TCP"),
        ("SSL", "SSL"),
    ]
    .into_iter()
    .enumerate()
    {
        let port = 1000 + i32::try_from(port).unwrap();
        let is_secure = matches!(front, "HTTPS" | "SSL");
        let one = if is_secure { secure(front, port, back, port) } else { listener(front, port, back, port) };
        add(&p, vec![one]).await.unwrap();
    }
    for (front, back) in [("HTTP", "TCP"), ("HTTP", "SSL"), ("TCP", "HTTP"), ("TCP", "HTTPS")] {
        let answer = add(&p, vec![listener(front, 2000, back, 2000)]).await;
        refused_with(answer, "InvalidConfigurationRequest", &format!("InstanceProtocol {back} cannot stand behind"));
    }
    refused_with(add(&p, vec![listener("UDP", 53, "", 53)]).await, "UnsupportedProtocol", "'UDP'");
    refused_with(add(&p, vec![listener("HTTP", 53, "SPDY", 53)]).await, "UnsupportedProtocol", "'SPDY'");
}

#[tokio::test(start_paused = true)]
async fn the_instance_protocol_is_plain_when_nothing_is_said() {
    let p = platform().await;
    p.web().await;
    p.certificates.put(CERTIFICATE);
    add(&p, vec![secure("https", 443, "", 8443), secure("ssl", 444, "", 8444), listener("tcp", 445, "", 8445)])
        .await
        .unwrap();
    let described = p.describe("web").await;
    let seen: Vec<_> = described
        .listener_descriptions
        .into_iter()
        .filter_map(|one| one.listener)
        .map(|one| (one.protocol, one.instance_protocol.unwrap()))
        .collect();
    let seen: Vec<_> = seen.iter().map(|(front, back)| (front.as_str(), back.as_str())).collect();
    assert_eq!(seen, [("HTTP", "HTTP"), ("HTTPS", "HTTP"), ("SSL", "TCP"), ("TCP", "TCP")]);
}

#[tokio::test(start_paused = true)]
async fn listeners_that_share_an_instance_port_agree_on_tls_there() {
    let p = platform().await;
    p.web().await;
    let answer = add(&p, vec![listener("HTTP", 81, "HTTPS", 8080)]).await;
    refused_with(answer, "InvalidConfigurationRequest", "share InstancePort 8080");
    let answer = add(&p, vec![listener("TCP", 81, "SSL", 9000), listener("TCP", 82, "TCP", 9000)]).await;
    refused_with(answer, "InvalidConfigurationRequest", "share InstancePort 9000");
    add(&p, vec![listener("TCP", 81, "TCP", 8080)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_port_has_one_listener_and_saying_it_again_changes_nothing() {
    let p = platform().await;
    p.web().await;
    add(&p, vec![http(80, 8080)]).await.unwrap();
    assert_eq!(p.describe("web").await.listener_descriptions.len(), 1);
    refused_with(add(&p, vec![http(80, 8081)]).await, "DuplicateListener", "web with LoadBalancerPort 80");
    // All or nothing.
    refused_with(add(&p, vec![http(81, 8081), http(80, 8081)]).await, "DuplicateListener", "");
    assert_eq!(p.describe("web").await.listener_descriptions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ports_are_numbers_of_tcp() {
    let p = platform().await;
    p.web().await;
    for port in [0, -1, 65536] {
        let sentence = "Load balancer port must be in 1-65535 inclusive";
        refused(add(&p, vec![http(port, 80)]).await, "ValidationError", sentence);
        refused(add(&p, vec![http(81, port)]).await, "ValidationError", "Instance port must be in 1-65535 inclusive");
    }
    refused(add(&p, vec![]).await, "ValidationError", "Listeners cannot be empty");
    refused(p.create("other", vec![]).await, "ValidationError", "Listeners cannot be empty");
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_has_100_listeners_at_most() {
    let p = platform().await;
    p.web().await;
    add(&p, (1000..1099).map(|port| http(port, 8080)).collect()).await.unwrap();
    refused_with(add(&p, vec![http(1099, 8080)]).await, "InvalidConfigurationRequest", "at most 100 listeners");
    assert_eq!(p.describe("web").await.listener_descriptions.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn tls_needs_a_certificate_that_exists_and_is_one_s_own() {
    let p = platform().await;
    p.web().await;
    let sentence = "Secure Listeners need to specify a SSLCertificateId";
    refused(add(&p, vec![listener("HTTPS", 443, "HTTP", 80)]).await, "ValidationError", sentence);
    let absent = format!("Server Certificate not found for the key: {CERTIFICATE}");
    refused(add(&p, vec![secure("HTTPS", 443, "HTTP", 80)]).await, "CertificateNotFound", &absent);
    let theirs = "arn:aws:iam::210987654321:server-certificate/web";
    p.certificates.put(theirs);
    let foreign = Listener { ssl_certificate_id: Some(theirs.into()), ..secure("SSL", 443, "TCP", 80) };
    refused_with(add(&p, vec![foreign]).await, "CertificateNotFound", theirs);
    p.certificates.put(CERTIFICATE);
    let answer = add(&p, vec![secure("HTTP", 81, "HTTP", 80)]).await;
    refused_with(answer, "InvalidConfigurationRequest", "neither HTTPS nor SSL");
    p.certificates.put_raw("arn:aws:iam::123456789012:server-certificate/odd", vec![1, 2], vec![3]);
    let odd = Listener {
        ssl_certificate_id: Some("arn:aws:iam::123456789012:server-certificate/odd".into()),
        ..secure("SSL", 443, "TCP", 80)
    };
    refused_with(add(&p, vec![odd]).await, "InvalidConfigurationRequest", "cannot be used by a listener");
    assert_eq!(p.plane.served().load_balancers[0].listeners.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_tls_listener_has_the_default_security_policy() {
    let p = platform().await;
    p.certificates.put(CERTIFICATE);
    p.create("web", vec![secure("HTTPS", 443, "HTTP", 80)]).await.unwrap();
    let described = p.describe("web").await;
    assert_eq!(described.listener_descriptions[0].policy_names, texts(&["ELBSecurityPolicy-2016-08"]));
    assert_eq!(described.policies.unwrap().other_policies, texts(&["ELBSecurityPolicy-2016-08"]));
}

#[tokio::test(start_paused = true)]
async fn deleting_listeners_frees_their_ports_and_those_that_are_gone_are_fine() {
    let p = platform().await;
    p.create("web", vec![http(80, 8080), http(81, 8081)]).await.unwrap();
    delete(&p, &[81, 4711]).await.unwrap();
    let left: Vec<_> = p.plane.served().load_balancers[0].listeners.iter().map(|one| one.port).collect();
    assert_eq!(left, [80]);
    add(&p, vec![http(81, 9999)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_certificate_is_shown_once_it_is_set() {
    let p = platform().await;
    let first = p.certificates.put(CERTIFICATE);
    p.create("web", vec![http(80, 80), secure("HTTPS", 443, "HTTP", 80)]).await.unwrap();
    let shown = |p: &Platform| match &p.plane.served().load_balancers[0].listeners[1].frontend {
        balancer::Frontend::Https(tls) => tls.certificate.chain[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&p), first);
    let arn = "arn:aws:iam::123456789012:server-certificate/next";
    refused_with(set_certificate(&p, 443, arn).await, "CertificateNotFound", arn);
    let second = p.certificates.put(arn);
    set_certificate(&p, 443, arn).await.unwrap();
    assert_eq!(shown(&p), second);
    refused_with(set_certificate(&p, 444, arn).await, "ListenerNotFound", "no listener on port 444");
    refused_with(set_certificate(&p, 80, arn).await, "InvalidConfigurationRequest", "neither HTTPS nor SSL");
    // One that is replaced within IAM is picked up without being told.
    let third = p.certificates.put(arn);
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    assert_eq!(shown(&p), third);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_in_use_is_said_to_iam() {
    let p = platform().await;
    p.certificates.put(CERTIFICATE);
    p.create("web", vec![secure("SSL", 443, "TCP", 80)]).await.unwrap();
    let users = p.certificates.users.lock().clone().unwrap().upgrade().unwrap();
    let user = users.use_of(CERTIFICATE).await.unwrap();
    assert_eq!(user.as_deref(), Some("arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/web"));
    delete(&p, &[443]).await.unwrap();
    assert_eq!(users.use_of(CERTIFICATE).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_listener_whose_certificate_vanished_stops_alone() {
    let p = platform().await;
    p.certificates.put(CERTIFICATE);
    p.create("web", vec![http(80, 80), secure("HTTPS", 443, "HTTP", 80)]).await.unwrap();
    p.certificates.remove(CERTIFICATE);
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let left: Vec<_> = p.plane.served().load_balancers[0].listeners.iter().map(|one| one.port).collect();
    assert_eq!(left, [80]);
}
