//! From a row to DescribeLoadBalancers' words.
//!
//! Invariant: pure; what is told is what the row says.

use ::api::elb::*;
use wire::value::EpochMs;

use crate::policy_types::{APP_COOKIE, LB_COOKIE};
use crate::rows::{HealthCheckRow, ListenerRow, LoadBalancerRow, PolicyRow};

/// AWS's hosted zones of load balancers' names, for those who make alias records.
const HOSTED_ZONES: [(&str, &str); 17] = [
    ("us-east-1", "Z35SXDOTRQ7X7K"),
    ("us-east-2", "Z3AADJGX6KTTL2"),
    ("us-west-1", "Z368ELLRRE2KJ0"),
    ("us-west-2", "Z1H1FL5HABSF5"),
    ("ca-central-1", "ZQSVJUPU6J1EY"),
    ("eu-central-1", "Z215JYRZR1TBD5"),
    ("eu-west-1", "Z32O12XQLNTSW2"),
    ("eu-west-2", "ZHURV8PSTC4K8"),
    ("eu-west-3", "Z3Q77PNBQS71R4"),
    ("eu-north-1", "Z23TAZ6LKFMNIO"),
    ("ap-south-1", "ZP97RAFLXTNZK"),
    ("ap-northeast-1", "Z14GRHDCWA56QT"),
    ("ap-northeast-2", "ZWKZPGTI48KDX"),
    ("ap-northeast-3", "Z5LXEXXYW11ES"),
    ("ap-southeast-1", "Z1LMS91P8CMLE5"),
    ("ap-southeast-2", "Z1GM3OXH4ZPM65"),
    ("sa-east-1", "Z2P70J7HTTTPLU"),
];

/// A load balancer's description.
pub(crate) fn load_balancer(row: &LoadBalancerRow) -> LoadBalancerDescription {
    let hosted_zone = HOSTED_ZONES.iter().find(|(region, _)| *region == row.region).unwrap_or(&HOSTED_ZONES[0]);
    let scheme = if row.internal { "internal" } else { "internet-facing" };
    LoadBalancerDescription {
        load_balancer_name: Some(row.name.clone()),
        dns_name: Some(row.dns_name.clone()),
        // AWS leaves it out where the name cannot be an alias' target from outside.
        canonical_hosted_zone_name: (!row.internal).then(|| row.dns_name.clone()),
        canonical_hosted_zone_name_id: Some(hosted_zone.1.to_owned()),
        created_time: Some(EpochMs(i64::try_from(row.created_ms).unwrap_or(i64::MAX))),
        scheme: Some(scheme.to_owned()),
        vpc_id: row.vpc_id.clone(),
        availability_zones: row.zones.iter().map(|zone| zone.zone.clone()).collect(),
        subnets: row.zones.iter().filter_map(|zone| zone.subnet.clone()).collect(),
        security_groups: row.security_groups.clone(),
        source_security_group: Some(source_group(row)),
        instances: instances(&row.instances),
        listener_descriptions: row.listeners.iter().map(listener).collect(),
        policies: Some(policies(row)),
        backend_server_descriptions: row.backend_policies.iter().map(backend_server).collect(),
        health_check: Some(health_check(&row.health_check)),
    }
}

/// The instances of these ids.
pub(crate) fn instances(ids: &[String]) -> Vec<Instance> {
    ids.iter().map(|id| Instance { instance_id: Some(id.clone()) }).collect()
}

/// A health check.
pub(crate) fn health_check(row: &HealthCheckRow) -> HealthCheck {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    HealthCheck {
        target: row.target.clone(),
        interval: number(row.interval_s),
        timeout: number(row.timeout_s),
        unhealthy_threshold: number(row.unhealthy_threshold),
        healthy_threshold: number(row.healthy_threshold),
    }
}

fn source_group(row: &LoadBalancerRow) -> SourceSecurityGroup {
    let (alias, name) = match &row.source_group {
        Some(name) => (row.account.as_str(), name.as_str()),
        None => ("amazon-elb", "amazon-elb-sg"),
    };
    SourceSecurityGroup { owner_alias: Some(alias.to_owned()), group_name: Some(name.to_owned()) }
}

fn listener(row: &ListenerRow) -> ListenerDescription {
    ListenerDescription {
        listener: Some(Listener {
            protocol: row.protocol.as_str().to_owned(),
            load_balancer_port: i32::from(row.port),
            instance_protocol: Some(row.instance_protocol.as_str().to_owned()),
            instance_port: i32::from(row.instance_port),
            ssl_certificate_id: row.certificate.clone(),
        }),
        policy_names: row.policies.clone(),
    }
}

fn backend_server((port, policies): (&u16, &Vec<String>)) -> BackendServerDescription {
    BackendServerDescription { instance_port: Some(i32::from(*port)), policy_names: policies.clone() }
}

fn policies(row: &LoadBalancerRow) -> Policies {
    let of_type = |type_name: &'static str| row.policies.iter().filter(move |policy| policy.type_name == type_name);
    let app = |policy: &PolicyRow| AppCookieStickinessPolicy {
        policy_name: Some(policy.name.clone()),
        cookie_name: policy.value("CookieName").map(str::to_owned),
    };
    let lb = |policy: &PolicyRow| LBCookieStickinessPolicy {
        policy_name: Some(policy.name.clone()),
        cookie_expiration_period: policy.value("CookieExpirationPeriod").and_then(|value| value.parse().ok()),
    };
    let others = row.policies.iter().filter(|policy| ![APP_COOKIE, LB_COOKIE].contains(&policy.type_name.as_str()));
    Policies {
        app_cookie_stickiness_policies: of_type(APP_COOKIE).map(app).collect(),
        lb_cookie_stickiness_policies: of_type(LB_COOKIE).map(lb).collect(),
        other_policies: others.map(|policy| policy.name.clone()).collect(),
    }
}
