//! [`World`]: what other services say of the instances, security groups and certificates that rows name.
//!
//! Invariant: it is gathered anew for each use and never stored; a row names things, their owners know them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api::ec2::{DescribeInstancesInput, DescribeSecurityGroupsInput, IpPermission};
use api::{Call, InstanceNetworks, ServerCertificates, Way};
use wire::ApiError;

use crate::interfaces::{Interfaces, NodeInterface};
use crate::inventory::Inventory;
use crate::rows::LoadBalancerRow;
use crate::service_call;

/// Rows that one question to EC2 brings.
const PAGE_ROWS: i32 = 1000;
/// Pages that are asked for at most, against an EC2 that never ends.
const PAGES_MAX: usize = 1000;

/// What is known outside of ELB.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// By account and region.
    pub(crate) regions: BTreeMap<(String, String), Facts>,
    /// Certificates by ARN.
    pub(crate) certificates: HashMap<String, Arc<balancer::Certificate>>,
}

/// What EC2 says of one account in one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) instances: HashMap<String, InstanceFacts>,
    pub(crate) groups: HashMap<String, GroupFacts>,
    /// Where nodes' connections into VPCs begin, by load balancer's name and subnet.
    pub(crate) egresses: HashMap<(String, String), balancer::Egress>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceFacts {
    pub(crate) address: Option<IpAddr>,
    /// The way to it, if it is run here.
    pub(crate) way: Option<Way>,
    pub(crate) zone: String,
    /// `running`, `pending`, `stopped`, …
    pub(crate) state: String,
    pub(crate) vpc_id: Option<String>,
    pub(crate) groups: Vec<String>,
}

/// A security group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupFacts {
    pub(crate) name: String,
    pub(crate) ingress: Vec<IpPermission>,
}

/// Asks about all that the rows name. `interfaces` are those of load balancers, which somebody has looked up before.
pub(crate) async fn gather(
    ec2: &dyn Inventory,
    networks: Option<&dyn InstanceNetworks>,
    interfaces: &Interfaces,
    certificates: &dyn ServerCertificates,
    rows: &[LoadBalancerRow],
    known: &HashMap<String, Arc<balancer::Certificate>>,
) -> Result<World, ApiError> {
    let mut world = World::default();
    let places: BTreeSet<_> = rows.iter().map(|row| (row.account.clone(), row.region.clone())).collect();
    for (account, region) in places {
        let Some(call) = service_call::to_ec2(&account, &region) else { continue };
        let mut facts = facts(ec2, &call).await?;
        let place = (account, region);
        if let Some(networks) = networks {
            find_ways(&mut facts, networks, interfaces.get(&place).map_or(&[], Vec::as_slice));
        }
        world.regions.insert(place, facts);
    }
    let arns: BTreeSet<_> =
        rows.iter().flat_map(|row| &row.listeners).filter_map(|listener| listener.certificate.as_ref()).collect();
    for arn in arns {
        let Some(found) = certificates.find(arn).await? else { continue };
        let certificate = to_certificate(&found);
        // The same object as before keeps the balancer from building its TLS configuration again.
        let certificate = known.get(arn).filter(|known| ***known == certificate).cloned();
        let certificate = certificate.unwrap_or_else(|| Arc::new(to_certificate(&found)));
        world.certificates.insert(arn.clone(), certificate);
    }
    Ok(world)
}

/// Adds how instances are reached that are run here.
fn find_ways(facts: &mut Facts, networks: &dyn InstanceNetworks, interfaces: &[NodeInterface]) {
    for (id, instance) in &mut facts.instances {
        let Some(IpAddr::V4(address)) = instance.address else { continue };
        instance.way = networks.way_to(id, address);
    }
    for interface in interfaces {
        let Some(namespace) = networks.network(&interface.vpc_id, interface.address) else { continue };
        let egress = balancer::Egress { namespace: Some(namespace), source: interface.address.into() };
        facts.egresses.insert((interface.load_balancer.clone(), interface.subnet.clone()), egress);
    }
}

/// A certificate as the balancer takes it.
pub(crate) fn to_certificate(certificate: &api::ServerCertificate) -> balancer::Certificate {
    balancer::Certificate {
        chain: certificate.chain_der.clone(),
        private_key: balancer::PrivateKey(certificate.private_key_der.clone()),
    }
}

/// All instances and security groups that the caller has.
pub(crate) async fn facts(ec2: &dyn Inventory, call: &Call) -> Result<Facts, ApiError> {
    let mut facts = Facts::default();
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let input = DescribeInstancesInput { max_results: Some(PAGE_ROWS), next_token, ..Default::default() };
        let page = ec2.instances(call, input).await?;
        for instance in page.reservations.into_iter().flat_map(|reservation| reservation.instances) {
            let Some(id) = instance.instance_id else { continue };
            let fact = InstanceFacts {
                address: instance.private_ip_address.or(instance.ipv6_address).and_then(|text| text.parse().ok()),
                way: None,
                zone: instance.placement.and_then(|placement| placement.availability_zone).unwrap_or_default(),
                state: instance.state.and_then(|state| state.name).unwrap_or_else(|| "running".to_owned()),
                vpc_id: instance.vpc_id,
                groups: instance.security_groups.into_iter().filter_map(|group| group.group_id).collect(),
            };
            facts.instances.insert(id, fact);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let input = DescribeSecurityGroupsInput { max_results: Some(PAGE_ROWS), next_token, ..Default::default() };
        let page = ec2.groups(call, input).await?;
        for group in page.security_groups {
            let Some(id) = group.group_id else { continue };
            let fact = GroupFacts { name: group.group_name.unwrap_or_default(), ingress: group.ip_permissions };
            facts.groups.insert(id, fact);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    Ok(facts)
}
