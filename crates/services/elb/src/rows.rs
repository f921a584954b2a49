//! What ELB remembers: one row a load balancer, with all that is set on it.
//!
//! Invariants:
//! - A row is complete: with EC2's and IAM's answers it decides what the balancer serves.
//! - `id` never comes again, not even for a load balancer of the same name.
//! - Rows that older versions wrote are read: a new field has a default.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use store::Table;

/// Load balancers by [`key`].
pub(crate) const LOAD_BALANCERS: Table<LoadBalancerRow> = Table::new("elb_load_balancers");
/// Counters by name.
pub(crate) const COUNTERS: Table<u64> = Table::new("elb_counters");
/// The newest id that a load balancer got, in [`COUNTERS`].
pub(crate) const LAST_ID: &str = "last_id";

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadBalancerRow {
    pub(crate) id: u64,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) name: String,
    /// Scheme `internal`; else `internet-facing`.
    pub(crate) internal: bool,
    pub(crate) created_ms: u64,
    pub(crate) dns_name: String,
    pub(crate) vpc_id: Option<String>,
    /// One node a zone, in the order in which they were enabled.
    pub(crate) zones: Vec<ZoneRow>,
    /// Empty: ELB's own group, which lets everybody reach the listeners.
    pub(crate) security_groups: Vec<String>,
    /// The name of the first security group.
    pub(crate) source_group: Option<String>,
    pub(crate) listeners: Vec<ListenerRow>,
    pub(crate) policies: Vec<PolicyRow>,
    /// Policies of backend servers by instance port.
    pub(crate) backend_policies: BTreeMap<u16, Vec<String>>,
    pub(crate) health_check: HealthCheckRow,
    pub(crate) instances: Vec<String>,
    pub(crate) attributes: AttributesRow,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A zone that a load balancer serves, and its node's address there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ZoneRow {
    pub(crate) zone: String,
    pub(crate) subnet: Option<String>,
    pub(crate) address: IpAddr,
}

/// A protocol of a listener, at either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Http,
    Https,
    Tcp,
    Ssl,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListenerRow {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) instance_port: u16,
    pub(crate) instance_protocol: Protocol,
    /// The certificate's ARN; HTTPS and SSL only.
    pub(crate) certificate: Option<String>,
    pub(crate) policies: Vec<String>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    pub(crate) name: String,
    pub(crate) type_name: String,
    /// In the order of their description; a name may come several times.
    pub(crate) attributes: Vec<(String, String)>,
}

/// A health check, validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthCheckRow {
    /// `HTTP:80/index.html`.
    pub(crate) target: String,
    pub(crate) interval_s: u32,
    pub(crate) timeout_s: u32,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) healthy_threshold: u32,
}

/// What ModifyLoadBalancerAttributes sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttributesRow {
    pub(crate) cross_zone: bool,
    /// `None`: no access log.
    pub(crate) access_log: Option<AccessLogRow>,
    /// Where the log went before it was turned off; only told.
    #[serde(default)]
    pub(crate) log_before: Option<AccessLogRow>,
    pub(crate) draining: bool,
    pub(crate) draining_timeout_s: u32,
    pub(crate) idle_timeout_s: u32,
    /// `monitor`, `defensive` or `strictest`.
    pub(crate) desync_mode: String,
}

/// Where access logs go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessLogRow {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) interval_min: u32,
}

impl Default for AttributesRow {
    fn default() -> Self {
        Self {
            cross_zone: false,
            access_log: None,
            log_before: None,
            draining: false,
            draining_timeout_s: 300,
            idle_timeout_s: 60,
            desync_mode: "defensive".to_owned(),
        }
    }
}

impl Protocol {
    /// From any mix of cases, as AWS takes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Tcp, Self::Ssl].into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text))
    }

    /// As AWS writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Ssl => "SSL",
        }
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::Ssl)
    }

    /// Whether requests are understood.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl LoadBalancerRow {
    /// The row's key in the store.
    pub(crate) fn key(&self) -> String {
        key(&self.account, &self.region, &self.name)
    }

    /// `arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/web`.
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:elasticloadbalancing:{}:{}:loadbalancer/{}", self.region, self.account, self.name)
    }

    /// The policy of this name.
    pub(crate) fn policy(&self, name: &str) -> Option<&PolicyRow> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// The listener on this port.
    pub(crate) fn listener(&self, port: i32) -> Option<&ListenerRow> {
        self.listeners.iter().find(|listener| i32::from(listener.port) == port)
    }
}

impl PolicyRow {
    /// The first value of an attribute.
    pub(crate) fn value(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    /// All values of an attribute.
    pub(crate) fn values<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(move |(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    /// Whether a Boolean attribute is set.
    pub(crate) fn is_true(&self, attribute: &str) -> bool {
        self.value(attribute) == Some("true")
    }
}

/// A load balancer's key: account, region and name. Names are not case-sensitive where they are compared, as DNS's.
pub(crate) fn key(account: &str, region: &str, name: &str) -> String {
    format!("{}{}", prefix(account, region), name.to_ascii_lowercase())
}

/// What the keys of an account's load balancers in a region begin with.
pub(crate) fn prefix(account: &str, region: &str) -> String {
    format!("{account}\0{region}\0")
}
