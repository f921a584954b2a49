//! From ELB's rows to what the balancer serves.
//!
//! Invariants:
//! - [`config`] is a pure function of rows and [`World`]: the same in, the same out.
//! - What cannot be served is left out alone: a listener without its certificate, an instance that does not run. The
//!   rest goes on.

use std::sync::Arc;
use std::time::Duration;

use api::Way;
use balancer::{
    AccessRule, Backend, BackendProtocol, Config, DesyncMode, Frontend, HealthCheck, HealthCheckKind, IpNetwork,
    Listener, LoadBalancer, LoadBalancerId, Node, Stickiness, Target, TargetId, Tls, TlsPolicy,
};

use crate::access;
use crate::health_check;
use crate::policy_types::{APP_COOKIE, BACKEND_AUTHENTICATION, LB_COOKIE, PROXY_PROTOCOL, PUBLIC_KEY, SSL_NEGOTIATION};
use crate::public_key;
use crate::rows::{ListenerRow, LoadBalancerRow, PolicyRow, Protocol, ZoneRow};
use crate::security_policies;
use crate::world::{Facts, World};

/// What the balancer serves for these rows.
pub(crate) fn config(rows: &[LoadBalancerRow], world: &World) -> Config {
    let nothing = Facts::default();
    let load_balancers = rows.iter().map(|row| {
        let facts = world.regions.get(&(row.account.clone(), row.region.clone())).unwrap_or(&nothing);
        Arc::new(load_balancer(row, facts, world))
    });
    Config { load_balancers: load_balancers.collect() }
}

fn load_balancer(row: &LoadBalancerRow, facts: &Facts, world: &World) -> LoadBalancer {
    let attributes = &row.attributes;
    LoadBalancer {
        id: LoadBalancerId(row.id),
        name: row.name.as_str().into(),
        dns_names: dns_names(row),
        nodes: row.zones.iter().map(|zone| node(row, zone, facts)).collect(),
        listeners: row.listeners.iter().filter_map(|one| listener(row, one, world)).map(Arc::new).collect(),
        targets: row.instances.iter().filter_map(|id| target(id, facts)).map(Arc::new).collect(),
        health_check: health_check(row),
        cross_zone: attributes.cross_zone,
        idle_timeout: Duration::from_secs(attributes.idle_timeout_s.into()),
        connection_draining: attributes.draining.then(|| Duration::from_secs(attributes.draining_timeout_s.into())),
        desync_mode: match attributes.desync_mode.as_str() {
            "monitor" => DesyncMode::Monitor,
            "strictest" => DesyncMode::Strictest,
            _ => DesyncMode::Defensive,
        },
        access: access_rules(row, facts),
        access_log: attributes.access_log.is_some(),
    }
}

/// The name given out, and the variant that AWS has for both address families.
fn dns_names(row: &LoadBalancerRow) -> Vec<Arc<str>> {
    let name = row.dns_name.to_ascii_lowercase();
    let both = (!row.internal).then(|| format!("dualstack.{name}").into());
    [Some(name.into()), both].into_iter().flatten().collect()
}

fn node(row: &LoadBalancerRow, zone: &ZoneRow, facts: &Facts) -> Node {
    let egress = zone.subnet.as_ref().and_then(|subnet| facts.egresses.get(&(row.name.clone(), subnet.clone())));
    Node { zone: zone.zone.as_str().into(), address: zone.address, egress: egress.cloned() }
}

/// An instance that runs. One whose zone is not enabled stays a target too: the balancer has no node there that would
/// use it, and lets it finish what it does.
fn target(id: &str, facts: &Facts) -> Option<Target> {
    let instance = facts.instances.get(id)?;
    if instance.state != "running" {
        return None;
    }
    let (address, behind_egress) = match instance.way {
        Some(Way::Vpc) => (instance.address?, true),
        Some(Way::Host(address)) => (address, false),
        None => (instance.address?, false),
    };
    Some(Target { id: TargetId(id.into()), address, zone: instance.zone.as_str().into(), behind_egress })
}

fn listener(row: &LoadBalancerRow, listener: &ListenerRow, world: &World) -> Option<Listener> {
    let frontend = match listener.protocol {
        Protocol::Http => Frontend::Http,
        Protocol::Tcp => Frontend::Tcp,
        Protocol::Https => Frontend::Https(tls(row, listener, world)?),
        Protocol::Ssl => Frontend::Ssl(tls(row, listener, world)?),
    };
    let backend_policies = row.backend_policies.get(&listener.instance_port).map_or(&[][..], Vec::as_slice);
    let backend_policy = |type_name: &str| find(row, backend_policies, type_name);
    let protocol = match listener.instance_protocol {
        Protocol::Http => BackendProtocol::Http,
        Protocol::Https => BackendProtocol::Https,
        Protocol::Tcp => BackendProtocol::Tcp,
        Protocol::Ssl => BackendProtocol::Ssl,
    };
    let backend = Backend {
        protocol,
        port: listener.instance_port,
        proxy_protocol: !listener.instance_protocol.is_http()
            && backend_policy(PROXY_PROTOCOL).is_some_and(|policy| policy.is_true("ProxyProtocol")),
        trusted_keys: backend_policy(BACKEND_AUTHENTICATION)
            .filter(|_| listener.instance_protocol.is_secure())
            .map(|policy| trusted_keys(row, policy)),
    };
    Some(Listener { port: listener.port, frontend, backend, stickiness: stickiness(row, listener) })
}

/// The first of the named policies that is of this type.
fn find<'a>(row: &'a LoadBalancerRow, names: &[String], type_name: &str) -> Option<&'a PolicyRow> {
    names.iter().filter_map(|name| row.policy(name)).find(|policy| policy.type_name == type_name)
}

fn tls(row: &LoadBalancerRow, listener: &ListenerRow, world: &World) -> Option<Arc<Tls>> {
    let certificate = world.certificates.get(listener.certificate.as_ref()?)?;
    let policy = match find(row, &listener.policies, SSL_NEGOTIATION) {
        Some(policy) => tls_policy(policy),
        None => security_policies::default_policy().map(|policy| tls_policy(&policy))?,
    };
    Some(Arc::new(Tls { certificate: Arc::clone(certificate), policy: Arc::new(policy) }))
}

/// What an SSL negotiation policy means. TLS 1.3 is Millpond's addition wherever TLS 1.2 may be spoken.
pub(crate) fn tls_policy(policy: &PolicyRow) -> TlsPolicy {
    let tls12 = policy.is_true("Protocol-TLSv1.2");
    let enabled = policy.attributes.iter().filter(|(_, value)| value == "true").map(|(name, _)| name.as_str());
    TlsPolicy {
        tls12,
        tls13: tls12,
        cipher_suites: enabled.filter(|name| security_policies::is_suite(name)).map(Into::into).collect(),
        server_order: policy.is_true(security_policies::SERVER_ORDER),
    }
}

fn trusted_keys(row: &LoadBalancerRow, policy: &PolicyRow) -> Arc<[Vec<u8>]> {
    let keys = policy.values("PublicKeyPolicyName").filter_map(|name| row.policy(name));
    let keys = keys.filter(|key| key.type_name == PUBLIC_KEY).filter_map(|key| key.value("PublicKey"));
    keys.filter_map(public_key::decode).collect()
}

fn stickiness(row: &LoadBalancerRow, listener: &ListenerRow) -> Option<Stickiness> {
    if !listener.protocol.is_http() {
        return None;
    }
    if let Some(policy) = find(row, &listener.policies, LB_COOKIE) {
        let expiration_s = policy.value("CookieExpirationPeriod").and_then(|value| value.parse().ok());
        // AWS: 0 is as good as no period; the cookie lasts for the browser's session.
        let expiration_s = expiration_s.filter(|seconds| *seconds > 0);
        return Some(Stickiness::LoadBalancer { expiration_s });
    }
    let policy = find(row, &listener.policies, APP_COOKIE)?;
    Some(Stickiness::Application { cookie_name: policy.value("CookieName")?.into() })
}

fn health_check(row: &LoadBalancerRow) -> HealthCheck {
    let check = &row.health_check;
    let target = health_check::parse_target(&check.target).ok();
    let (protocol, port, path) = target.unwrap_or((Protocol::Tcp, 80, ""));
    HealthCheck {
        kind: match protocol {
            Protocol::Tcp => HealthCheckKind::Tcp,
            Protocol::Ssl => HealthCheckKind::Ssl,
            Protocol::Http => HealthCheckKind::Http(path.into()),
            Protocol::Https => HealthCheckKind::Https(path.into()),
        },
        port,
        interval: Duration::from_secs(check.interval_s.into()),
        timeout: Duration::from_secs(check.timeout_s.into()),
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
    }
}

/// The rules of the load balancer's groups; without groups everybody reaches the listeners.
fn access_rules(row: &LoadBalancerRow, facts: &Facts) -> Vec<AccessRule> {
    if !row.security_groups.is_empty() {
        return access::rules(&row.security_groups, facts);
    }
    let anybody = |port| {
        [std::net::Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()].map(|address| AccessRule {
            from: IpNetwork { address, prefix: 0 },
            first_port: port,
            last_port: port,
        })
    };
    row.listeners.iter().flat_map(|listener| anybody(listener.port)).collect()
}
