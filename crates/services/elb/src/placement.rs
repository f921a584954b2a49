//! Where a load balancer stands: zones, subnets and security groups.
//!
//! Invariants:
//! - A load balancer has one node in each of its zones, one subnet at most in each, and always at least one zone.
//! - Its subnets are of one VPC.

use ::api::Call;
use ::api::ec2::{DescribeSubnetsInput, Subnet};
use ::api::elb::*;
use wire::ApiError;

use crate::errors;
use crate::limits::SECURITY_GROUPS_MAX;
use crate::rows::{LoadBalancerRow, ZoneRow};
use crate::service::Elb;
use crate::world;
use crate::zones::Taken;

/// Pages of subnets that are asked for at most.
const PAGES_MAX: usize = 100;

/// A zone where a node is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    zone: String,
    subnet: Option<String>,
    pub(crate) vpc_id: Option<String>,
}

impl Site {
    /// Whether this zone of a load balancer is what is wanted.
    pub(crate) fn is_of(&self, zone: &ZoneRow) -> bool {
        self.zone == zone.zone && self.subnet == zone.subnet
    }
}

impl Elb {
    /// What a new load balancer asks for: zones or subnets.
    pub(crate) async fn sites(&self, call: &Call, zones: &[String], subnets: &[String]) -> Result<Vec<Site>, ApiError> {
        match (zones.is_empty(), subnets.is_empty()) {
            (true, true) => Err(errors::no_zones()),
            (false, false) => Err(errors::zones_and_subnets()),
            (false, true) => self.sites_in_zones(call, zones).await,
            (true, false) => self.sites_in_subnets(call, subnets, None).await,
        }
    }

    /// Each zone with its default subnet, where there is one.
    async fn sites_in_zones(&self, call: &Call, zones: &[String]) -> Result<Vec<Site>, ApiError> {
        let mut sites: Vec<Site> = Vec::new();
        let subnets = self.subnets(call).await?;
        for zone in zones {
            self.inner.zones.check(call.region.as_str(), zone)?;
            if sites.iter().any(|site| site.zone == *zone) {
                continue;
            }
            let is_default = |subnet: &&Subnet| {
                subnet.default_for_az == Some(true) && subnet.availability_zone.as_deref() == Some(zone)
            };
            let subnet = subnets.iter().find(is_default);
            sites.push(Site {
                zone: zone.clone(),
                subnet: subnet.and_then(|subnet| subnet.subnet_id.clone()),
                vpc_id: subnet.and_then(|subnet| subnet.vpc_id.clone()),
            });
        }
        Ok(sites)
    }

    async fn sites_in_subnets(&self, call: &Call, ids: &[String], vpc: Option<&str>) -> Result<Vec<Site>, ApiError> {
        let subnets = self.subnets(call).await?;
        let mut sites: Vec<Site> = Vec::new();
        for id in ids {
            let subnet = subnets.iter().find(|subnet| subnet.subnet_id.as_deref() == Some(id));
            let subnet = subnet.ok_or_else(|| errors::subnet_not_found(id))?;
            if sites.iter().any(|site| site.subnet.as_deref() == Some(id)) {
                continue;
            }
            let zone = subnet.availability_zone.clone().unwrap_or_default();
            self.inner.zones.check(call.region.as_str(), &zone)?;
            let wanted = vpc.or_else(|| sites.first().and_then(|site| site.vpc_id.as_deref()));
            if wanted.is_some_and(|wanted| subnet.vpc_id.as_deref() != Some(wanted)) {
                return Err(errors::subnets_of_several_vpcs());
            }
            if sites.iter().any(|site| site.zone == zone) {
                return Err(errors::two_subnets_in_a_zone());
            }
            sites.push(Site { zone, subnet: Some(id.clone()), vpc_id: subnet.vpc_id.clone() });
        }
        Ok(sites)
    }

    async fn subnets(&self, call: &Call) -> Result<Vec<Subnet>, ApiError> {
        let mut all = Vec::new();
        let mut next_token = None;
        for _ in 0..PAGES_MAX {
            let input = DescribeSubnetsInput { next_token, ..Default::default() };
            let page = self.inner.ec2.subnets(call, input).await;
            let page = page.map_err(|error| errors::from_dependency(call, "EC2", &error))?;
            all.extend(page.subnets);
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Gives the row nodes at these sites.
    pub(crate) async fn place(&self, call: &Call, row: &mut LoadBalancerRow, sites: &[Site]) -> Result<(), ApiError> {
        let all = self.all_rows().await.map_err(|error| errors::from_store(call, &error))?;
        let ports: Vec<_> = row.listeners.iter().map(|listener| listener.port).collect();
        for site in sites {
            // Its own nodes count as well: an address stands for one zone.
            let taken = Taken::by_others(all.iter().chain([&*row]), None);
            let address = self.inner.zones.allocate(&site.zone, row.internal, &ports, &taken)?;
            row.zones.push(ZoneRow { zone: site.zone.clone(), subnet: site.subnet.clone(), address });
        }
        Ok(())
    }

    /// Gives the row these security groups.
    pub(crate) async fn set_groups(
        &self,
        call: &Call,
        row: &mut LoadBalancerRow,
        groups: Vec<String>,
    ) -> Result<(), ApiError> {
        let mut distinct: Vec<String> = Vec::with_capacity(groups.len());
        for group in groups {
            if !distinct.contains(&group) {
                distinct.push(group);
            }
        }
        if distinct.len() > SECURITY_GROUPS_MAX {
            return Err(errors::too_many_security_groups());
        }
        row.source_group = None;
        if let Some(first) = distinct.first() {
            let facts = world::facts(&*self.inner.ec2, call).await;
            let facts = facts.map_err(|error| errors::from_dependency(call, "EC2", &error))?;
            if let Some(unknown) = distinct.iter().find(|id| !facts.groups.contains_key(*id)) {
                return Err(errors::security_group_invalid(unknown));
            }
            row.source_group = facts.groups.get(first).map(|group| group.name.clone());
        }
        row.security_groups = distinct;
        Ok(())
    }

    pub(crate) async fn apply_security_groups(
        &self,
        call: &Call,
        input: ApplySecurityGroupsToLoadBalancerInput,
    ) -> Result<ApplySecurityGroupsToLoadBalancerOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        if input.security_groups.is_empty() {
            return Err(errors::no_security_groups());
        }
        self.set_groups(call, &mut draft.row, input.security_groups).await?;
        let security_groups = draft.row.security_groups.clone();
        self.commit(call, draft).await?;
        Ok(ApplySecurityGroupsToLoadBalancerOutput { security_groups })
    }

    pub(crate) async fn attach_subnets(
        &self,
        call: &Call,
        input: AttachLoadBalancerToSubnetsInput,
    ) -> Result<AttachLoadBalancerToSubnetsOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        let mut sites = self.sites_in_subnets(call, &input.subnets, row.vpc_id.as_deref()).await?;
        sites.retain(|site| !row.zones.iter().any(|zone| site.is_of(zone)));
        if sites.iter().any(|site| row.zones.iter().any(|zone| zone.zone == site.zone)) {
            return Err(errors::two_subnets_in_a_zone());
        }
        self.place(call, row, &sites).await?;
        if row.vpc_id.is_none() {
            row.vpc_id = sites.first().and_then(|site| site.vpc_id.clone());
        }
        draft.reserved = Some(self.reserve(call, &draft.row).await?);
        let subnets = subnets_of(&draft.row);
        self.commit(call, draft).await?;
        Ok(AttachLoadBalancerToSubnetsOutput { subnets })
    }

    pub(crate) async fn detach_subnets(
        &self,
        call: &Call,
        input: DetachLoadBalancerFromSubnetsInput,
    ) -> Result<DetachLoadBalancerFromSubnetsOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        row.zones.retain(|zone| !zone.subnet.as_ref().is_some_and(|subnet| input.subnets.contains(subnet)));
        if row.zones.is_empty() {
            return Err(errors::last_zone("subnet"));
        }
        let subnets = subnets_of(row);
        self.commit(call, draft).await?;
        Ok(DetachLoadBalancerFromSubnetsOutput { subnets })
    }

    pub(crate) async fn enable_zones(
        &self,
        call: &Call,
        input: EnableAvailabilityZonesForLoadBalancerInput,
    ) -> Result<EnableAvailabilityZonesForLoadBalancerOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        let mut sites = self.sites_in_zones(call, &input.availability_zones).await?;
        sites.retain(|site| !row.zones.iter().any(|zone| zone.zone == site.zone));
        if sites.iter().any(|site| site.vpc_id != row.vpc_id) {
            return Err(errors::subnets_of_several_vpcs());
        }
        self.place(call, row, &sites).await?;
        draft.reserved = Some(self.reserve(call, &draft.row).await?);
        let availability_zones = zones_of(&draft.row);
        self.commit(call, draft).await?;
        Ok(EnableAvailabilityZonesForLoadBalancerOutput { availability_zones })
    }

    pub(crate) async fn disable_zones(
        &self,
        call: &Call,
        input: DisableAvailabilityZonesForLoadBalancerInput,
    ) -> Result<DisableAvailabilityZonesForLoadBalancerOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        for zone in &input.availability_zones {
            self.inner.zones.check(call.region.as_str(), zone)?;
        }
        row.zones.retain(|zone| !input.availability_zones.contains(&zone.zone));
        if row.zones.is_empty() {
            return Err(errors::last_zone("Availability Zone"));
        }
        let availability_zones = zones_of(row);
        self.commit(call, draft).await?;
        Ok(DisableAvailabilityZonesForLoadBalancerOutput { availability_zones })
    }
}

fn subnets_of(row: &LoadBalancerRow) -> Vec<String> {
    row.zones.iter().filter_map(|zone| zone.subnet.clone()).collect()
}

fn zones_of(row: &LoadBalancerRow) -> Vec<String> {
    row.zones.iter().map(|zone| zone.zone.clone()).collect()
}
