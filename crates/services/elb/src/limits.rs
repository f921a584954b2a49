//! AWS's limits for Classic ELB, and DescribeAccountLimits, which tells them.
//!
//! Invariant: a number that a user can run into stands here, by name.

use api::elb::{DescribeAccountLimitsInput, DescribeAccountLimitsOutput, Limit};
use wire::ApiError;

use crate::errors;

/// Load balancers of an account in a region.
pub(crate) const LOAD_BALANCERS_MAX: usize = 20;
/// Listeners of a load balancer.
pub(crate) const LISTENERS_MAX: usize = 100;
/// Instances registered with a load balancer.
pub(crate) const INSTANCES_MAX: usize = 1000;
/// Security groups of a load balancer.
pub(crate) const SECURITY_GROUPS_MAX: usize = 5;
/// Policies of a load balancer.
pub(crate) const POLICIES_MAX: usize = 100;
/// Tags of a load balancer.
pub(crate) const TAGS_MAX: usize = 50;
/// Load balancers that one DescribeTags names.
pub(crate) const DESCRIBE_TAGS_NAMES_MAX: usize = 20;
/// Characters of a load balancer's name.
pub(crate) const NAME_BYTES_MAX: usize = 32;
/// Characters of a policy's name.
pub(crate) const POLICY_NAME_BYTES_MAX: usize = 128;
/// Rows of one page, at most and when nothing is said.
pub(crate) const PAGE_MAX: i32 = 400;
/// Characters of a health check's path.
pub(crate) const HEALTH_CHECK_PATH_BYTES_MAX: usize = 1024;
/// Characters of the access log's prefix; with ELB's own part the key stays below S3's 1,024.
pub(crate) const LOG_PREFIX_BYTES_MAX: usize = 512;
/// Access rules that a load balancer's security groups become at most; the others are dropped and reported.
pub(crate) const ACCESS_RULES_MAX: usize = 10_000;

/// DescribeAccountLimits.
pub(crate) fn describe(input: &DescribeAccountLimitsInput) -> Result<DescribeAccountLimitsOutput, ApiError> {
    let all = [
        ("classic-load-balancers", LOAD_BALANCERS_MAX),
        ("classic-listeners", LISTENERS_MAX),
        ("classic-registered-instances", INSTANCES_MAX),
    ];
    let size = page_size(input.page_size)?;
    // The marker is the name of the last limit told.
    let start = match input.marker.as_deref() {
        None | Some("") => 0,
        Some(marker) => all.iter().position(|(name, _)| *name == marker).ok_or_else(errors::marker_invalid)? + 1,
    };
    let page: Vec<_> = all.iter().skip(start).take(size).collect();
    let next_marker = (start + page.len() < all.len()).then(|| page.last().map(|(name, _)| (*name).to_owned()));
    let limits =
        page.iter().map(|(name, max)| Limit { name: Some((*name).to_owned()), max: Some(max.to_string()) }).collect();
    Ok(DescribeAccountLimitsOutput { limits, next_marker: next_marker.flatten() })
}

/// How many rows a page has.
pub(crate) fn page_size(given: Option<i32>) -> Result<usize, ApiError> {
    match given {
        None => Ok(PAGE_MAX.unsigned_abs() as usize),
        Some(size) if (1..=PAGE_MAX).contains(&size) => Ok(size.unsigned_abs() as usize),
        Some(_) => Err(errors::page_size_out_of_range()),
    }
}
