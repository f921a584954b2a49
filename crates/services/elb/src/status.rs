//! [`Status`]: a load balancer as a person wants to see it, and [`Entrance`]: where one is reached by its name.
//!
//! Invariant: what AWS's operations tell as well is told in the same words.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ::api::AccountId;
use balancer::{HealthState, LoadBalancerId, NodeStats, TargetHealth};
use serde::Serialize;
use store::{Scan, StoreError};
use wire::ApiError;

use crate::errors;
use crate::instances::state_of;
use crate::rows::{LOAD_BALANCERS, LoadBalancerRow, Protocol};
use crate::service::Elb;
use crate::service_call;
use crate::world::{self, Facts};

/// A load balancer: what it is, and how it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// The name that clients connect to.
    pub dns_name: String,
    /// `internet-facing` or `internal`.
    pub scheme: &'static str,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// Whether nodes use instances of all zones.
    pub cross_zone: bool,
    /// In the order of their creation.
    pub listeners: Vec<ListenerStatus>,
    /// One a zone.
    pub nodes: Vec<NodeStatus>,
    /// The health check's target, `HTTP:80/`.
    pub health_check: String,
    /// Time from one check to the next.
    pub health_check_interval_s: u32,
    /// Registered instances, and then those that drain.
    pub instances: Vec<InstanceStatus>,
    /// Addresses that are not served, and what to do about it.
    pub problems: Vec<String>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerStatus {
    /// HTTP, HTTPS, TCP or SSL.
    pub protocol: &'static str,
    /// What clients connect to.
    pub port: u16,
    /// What instances are spoken to in.
    pub instance_protocol: &'static str,
    /// What instances listen on.
    pub instance_port: u16,
}

/// A node, with its numbers since it began to serve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its zone.
    pub zone: String,
    /// Its address.
    pub address: IpAddr,
    /// Instances that it finds in service.
    pub healthy: u64,
    /// Instances that it finds out of service.
    pub unhealthy: u64,
    /// Half of the answers came within this time.
    pub latency_p50_ms: Option<f64>,
    /// 99 of 100 answers came within this time.
    pub latency_p99_ms: Option<f64>,
    /// By CloudWatch's names.
    pub metrics: HashMap<&'static str, u64>,
}

/// An instance behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceStatus {
    /// Its id.
    pub id: String,
    /// Where it is reached; `None` for one that EC2 does not know any longer.
    pub address: Option<IpAddr>,
    /// Its zone.
    pub zone: Option<String>,
    /// DescribeInstanceHealth's state, `InService`.
    pub state: &'static str,
    /// Its reason code.
    pub reason: &'static str,
    /// Its description.
    pub description: &'static str,
    /// What was wrong at the last check that failed.
    pub failure: Option<String>,
    /// Since when its state is what it is, in milliseconds since 1970.
    pub since_ms: Option<u64>,
}

/// Where a load balancer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// Its name.
    pub load_balancer: String,
    /// An HTTP listener of a node that can serve, if there is one: the one on port 80, else the first.
    pub http: Option<SocketAddr>,
    /// Its first listener, as a person would write it: `HTTPS 443 at 127.16.0.1`.
    pub first_listener: Option<String>,
}

impl Elb {
    /// All load balancers of an account, given the balancer's numbers now.
    ///
    /// # Errors
    /// When rows cannot be read, or EC2 fails.
    pub async fn status(&self, account: &AccountId, nodes: &[NodeStats]) -> Result<Vec<Status>, ApiError> {
        let prefix = format!("{account}\0");
        let rows = self.inner.store.read_async(move |view| view.scan(&LOAD_BALANCERS, &Scan::prefix(&prefix))).await;
        let rows = rows.map_err(|error: StoreError| {
            tracing::error!(%error, "the store failed");
            errors::internal()
        })?;
        let problems = self.inner.live.lock().await.failures.clone();
        let mut facts: HashMap<String, Facts> = HashMap::new();
        let mut all = Vec::with_capacity(rows.len());
        for row in rows.into_iter().map(|row| row.value) {
            if !facts.contains_key(&row.region)
                && let Some(call) = service_call::to_ec2(&row.account, &row.region)
            {
                facts.insert(row.region.clone(), world::facts(&*self.inner.ec2, &call).await?);
            }
            let health = self.inner.balancer.target_health(LoadBalancerId(row.id));
            let known = facts.get(&row.region).cloned().unwrap_or_default();
            all.push(status(&row, &known, &health, nodes, &problems));
        }
        Ok(all)
    }

    /// Whose each load balancer is, and in which region.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn owners(&self) -> Result<HashMap<LoadBalancerId, (String, String)>, StoreError> {
        let rows = self.all_rows().await?;
        Ok(rows.into_iter().map(|row| (LoadBalancerId(row.id), (row.account, row.region))).collect())
    }

    /// Where the load balancer is reached that has this DNS name, if there is one.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn entrance(&self, dns_name: &str) -> Result<Option<Entrance>, StoreError> {
        let name = dns_name.trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_prefix("dualstack.").unwrap_or(&name);
        let rows = self.all_rows().await?;
        let Some(row) = rows.iter().find(|row| row.dns_name.eq_ignore_ascii_case(name)) else { return Ok(None) };
        let health = self.inner.balancer.target_health(LoadBalancerId(row.id));
        let is_served = |zone: &str| {
            let mut usable = health.iter().filter(|target| row.attributes.cross_zone || *target.zone == *zone);
            usable.any(|target| target.state == HealthState::InService && !target.draining)
        };
        let serving: Vec<_> = row.zones.iter().filter(|zone| is_served(&zone.zone)).collect();
        let turn = usize::try_from(self.inner.ids.u64()).unwrap_or(0);
        // When nobody is in service, any node says so as well as another.
        let node = serving.get(turn % serving.len().max(1)).copied().or(row.zones.first());
        let http = row.listeners.iter().filter(|listener| listener.protocol == Protocol::Http);
        let port = http.clone().find(|listener| listener.port == 80).or(http.clone().next()).map(|one| one.port);
        let first = row.listeners.first();
        Ok(Some(Entrance {
            load_balancer: row.name.clone(),
            http: node.zip(port).map(|(node, port)| SocketAddr::new(node.address, port)),
            first_listener: first
                .zip(node)
                .map(|(first, node)| format!("{} {} at {}", first.protocol.as_str(), first.port, node.address)),
        }))
    }
}

fn status<'a>(
    row: &LoadBalancerRow,
    facts: &Facts,
    health: &[TargetHealth],
    nodes: &[NodeStats],
    problems: impl IntoIterator<Item = &'a String>,
) -> Status {
    let listeners = row.listeners.iter().map(|listener| ListenerStatus {
        protocol: listener.protocol.as_str(),
        port: listener.port,
        instance_protocol: listener.instance_protocol.as_str(),
        instance_port: listener.instance_port,
    });
    let nodes = nodes.iter().filter(|node| node.load_balancer.0 == row.id);
    let has = |problem: &&String| row.zones.iter().any(|zone| is_about(problem, zone.address));
    let draining = health.iter().filter(|target| target.draining).map(|target| target.id.0.to_string());
    let draining: Vec<_> = draining.filter(|id| !row.instances.contains(id)).collect();
    let instances = row.instances.iter().chain(&draining).map(|id| instance(row, id, facts, health));
    Status {
        name: row.name.clone(),
        region: row.region.clone(),
        dns_name: row.dns_name.clone(),
        scheme: if row.internal { "internal" } else { "internet-facing" },
        created_ms: row.created_ms,
        cross_zone: row.attributes.cross_zone,
        listeners: listeners.collect(),
        nodes: nodes.map(node).collect(),
        health_check: row.health_check.target.clone(),
        health_check_interval_s: row.health_check.interval_s,
        instances: instances.collect(),
        problems: problems.into_iter().filter(has).cloned().collect(),
    }
}

/// Whether a sentence about an address that is not served is about this one, on whatever port.
fn is_about(problem: &str, address: IpAddr) -> bool {
    let host = SocketAddr::new(address, 0).to_string();
    problem.contains(&format!(" {}", host.strip_suffix('0').unwrap_or(&host)))
}

fn node(stats: &NodeStats) -> NodeStatus {
    let ms =
        |part| stats.latency.quantile(part).filter(|_| stats.latency.count() > 0).map(|q| q.as_secs_f64() * 1000.0);
    NodeStatus {
        zone: stats.zone.to_string(),
        address: stats.address,
        healthy: stats.healthy_hosts,
        unhealthy: stats.unhealthy_hosts,
        latency_p50_ms: ms(0.5),
        latency_p99_ms: ms(0.99),
        metrics: stats.cloudwatch().into_iter().map(|metric| (metric.name, metric.value)).collect(),
    }
}

fn instance(row: &LoadBalancerRow, id: &str, facts: &Facts, health: &[TargetHealth]) -> InstanceStatus {
    let known = facts.instances.get(id);
    let health = health.iter().find(|target| &*target.id.0 == id);
    let (state, reason, description) = state_of(row, id, facts, health);
    InstanceStatus {
        id: id.to_owned(),
        address: known.and_then(|known| known.address),
        zone: known.map(|known| known.zone.clone()),
        state,
        reason,
        description,
        failure: health.and_then(|health| health.failure.as_deref()).map(str::to_owned),
        since_ms: health.map(|health| health.since.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_belongs_to_the_node_whose_address_it_names() {
        let problem = "cannot listen on 127.16.0.1:80: permission denied; run with CAP_NET_BIND_SERVICE";
        assert!(is_about(problem, IpAddr::from([127, 16, 0, 1])));
        assert!(!is_about(problem, IpAddr::from([127, 16, 0, 10])));
        assert!(!is_about(problem, IpAddr::from([7, 16, 0, 1])));
        let problem = "cannot listen on [2001:db8::1]:80: the address is in use";
        assert!(is_about(problem, "2001:db8::1".parse().unwrap()));
    }
}
