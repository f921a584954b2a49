//! Where a group's instances go: zones, or subnets and so their zones.
//!
//! Invariant: a group's zones are zones that EC2 knows; with subnets, each zone is that of one of them.

use ::api::Call;
use ::api::ec2::{DescribeAvailabilityZonesInput, DescribeSubnetsInput};
use wire::ApiError;

use crate::errors;
use crate::rows::SubnetRow;
use crate::service::Autoscaling;

/// Zones, and the subnets that they came from.
pub(crate) struct Placement {
    pub(crate) zones: Vec<String>,
    pub(crate) subnets: Vec<SubnetRow>,
}

impl Autoscaling {
    /// Finds out what zones and subnets stand for; `identifier` is a list with commas.
    pub(crate) async fn place(
        &self,
        call: &Call,
        zones: Vec<String>,
        identifier: Option<&str>,
    ) -> Result<Placement, ApiError> {
        let ids: Vec<String> = identifier
            .unwrap_or_default()
            .split(',')
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect();
        if ids.is_empty() {
            if zones.is_empty() {
                return Err(errors::no_zones());
            }
            self.check_zones(call, &zones).await?;
            return Ok(Placement { zones, subnets: Vec::new() });
        }
        let subnets = self.subnets(call, ids).await?;
        let mut of_subnets: Vec<String> = Vec::new();
        for subnet in &subnets {
            if !of_subnets.contains(&subnet.zone) {
                of_subnets.push(subnet.zone.clone());
            }
        }
        let fits = zones.is_empty()
            || (zones.iter().all(|zone| of_subnets.contains(zone))
                && of_subnets.iter().all(|zone| zones.contains(zone)));
        if fits { Ok(Placement { zones: of_subnets, subnets }) } else { Err(errors::zones_and_subnets_differ()) }
    }

    async fn check_zones(&self, call: &Call, zones: &[String]) -> Result<(), ApiError> {
        let call = Self::to_others(call)?;
        let known = self.inner.ec2.describe_availability_zones(&call, DescribeAvailabilityZonesInput::default()).await;
        let known = known.map_err(|error| errors::from_dependency("EC2", &error))?;
        let known: Vec<_> = known.availability_zones.into_iter().filter_map(|zone| zone.zone_name).collect();
        let unknown: Vec<_> = zones.iter().filter(|zone| !known.contains(zone)).cloned().collect();
        if unknown.is_empty() { Ok(()) } else { Err(errors::zones_invalid(&unknown)) }
    }

    async fn subnets(&self, call: &Call, ids: Vec<String>) -> Result<Vec<SubnetRow>, ApiError> {
        let call = Self::to_others(call)?;
        let input = DescribeSubnetsInput { subnet_ids: ids.clone(), ..Default::default() };
        let found = self.inner.ec2.describe_subnets(&call, input).await;
        let found = found.map_err(|error| errors::from_dependency("EC2", &error))?.subnets;
        let vpcs: std::collections::BTreeSet<_> = found.iter().map(|subnet| &subnet.vpc_id).collect();
        if vpcs.len() > 1 {
            return Err(errors::subnets_of_several_vpcs());
        }
        let row = |id: String| {
            let subnet = found.iter().find(|subnet| subnet.subnet_id.as_ref() == Some(&id));
            let zone = subnet.and_then(|subnet| subnet.availability_zone.clone());
            zone.map(|zone| SubnetRow { id: id.clone(), zone }).ok_or_else(|| errors::subnet_not_found(&id))
        };
        ids.into_iter().map(row).collect()
    }
}
