//! Attributes: cross-zone, access log, connection draining, idle timeout, desync mitigation mode.
//!
//! Invariants:
//! - What a request does not name stays as it is.
//! - Access logs are on only if ELB could write its test file where they go.

use ::api::Call;
use ::api::elb::*;
use wire::ApiError;

use crate::errors;
use crate::limits::LOG_PREFIX_BYTES_MAX;
use crate::rows::{AccessLogRow, AttributesRow};
use crate::service::Elb;

/// The one additional attribute that Classic ELB has.
const DESYNC_MODE: &str = "elb.http.desyncmitigationmode";
const DESYNC_MODES: [&str; 3] = ["monitor", "defensive", "strictest"];

impl Elb {
    pub(crate) async fn describe_attributes(
        &self,
        call: &Call,
        input: DescribeLoadBalancerAttributesInput,
    ) -> Result<DescribeLoadBalancerAttributesOutput, ApiError> {
        let row = self.row(call, &input.load_balancer_name).await?;
        Ok(DescribeLoadBalancerAttributesOutput { load_balancer_attributes: Some(describe(&row.attributes)) })
    }

    pub(crate) async fn modify_attributes(
        &self,
        call: &Call,
        input: ModifyLoadBalancerAttributesInput,
    ) -> Result<ModifyLoadBalancerAttributesOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let given = input.load_balancer_attributes;
        let before = draft.row.attributes.access_log.clone();
        apply(&mut draft.row.attributes, &given)?;
        if let Some(log) = &draft.row.attributes.access_log
            && given.access_log.is_some()
        {
            self.write_test_file(call, &draft.row, log).await?;
        }
        let after = draft.row.attributes.access_log.as_ref();
        if let Some(before) = before.filter(|before| after != Some(before)) {
            // What was logged until now still goes where it was meant to go.
            self.retire_log(call, &draft.row, before).await?;
        }
        let load_balancer_name = Some(draft.row.name.clone());
        let load_balancer_attributes = Some(modified(&draft.row.attributes, &given));
        self.commit(call, draft).await?;
        Ok(ModifyLoadBalancerAttributesOutput { load_balancer_attributes, load_balancer_name })
    }
}

fn apply(attributes: &mut AttributesRow, given: &LoadBalancerAttributes) -> Result<(), ApiError> {
    if let Some(cross_zone) = &given.cross_zone_load_balancing {
        attributes.cross_zone = cross_zone.enabled;
    }
    if let Some(log) = &given.access_log {
        let before = attributes.access_log.take().or(attributes.log_before.take());
        attributes.access_log = access_log(log)?;
        attributes.log_before = before.filter(|_| attributes.access_log.is_none());
    }
    if let Some(draining) = &given.connection_draining {
        attributes.draining = draining.enabled;
        if let Some(timeout) = draining.timeout {
            attributes.draining_timeout_s = in_range("ConnectionDraining Timeout", timeout, 1, 3600)?;
        }
    }
    if let Some(settings) = &given.connection_settings {
        attributes.idle_timeout_s = in_range("ConnectionSettings IdleTimeout", settings.idle_timeout, 1, 4000)?;
    }
    for AdditionalAttribute { key, value } in &given.additional_attributes {
        let (key, value) = (key.as_deref().unwrap_or_default(), value.as_deref().unwrap_or_default());
        if key != DESYNC_MODE {
            return Err(errors::additional_attribute_unknown(key));
        }
        if !DESYNC_MODES.contains(&value) {
            return Err(errors::additional_attribute_invalid(key, value, "monitor, defensive or strictest"));
        }
        value.clone_into(&mut attributes.desync_mode);
    }
    Ok(())
}

fn access_log(given: &AccessLog) -> Result<Option<AccessLogRow>, ApiError> {
    let interval_min = match given.emit_interval {
        None | Some(60) => 60,
        Some(5) => 5,
        Some(_) => return Err(errors::log_interval_invalid()),
    };
    if !given.enabled {
        return Ok(None);
    }
    let bucket = given.s3_bucket_name.clone().filter(|bucket| !bucket.is_empty());
    let prefix = given.s3_bucket_prefix.clone().unwrap_or_default();
    let odd = prefix.contains("AWSLogs") || prefix.starts_with('/') || prefix.ends_with('/');
    if odd || prefix.len() > LOG_PREFIX_BYTES_MAX || prefix.chars().any(char::is_control) {
        return Err(errors::log_prefix_invalid());
    }
    Ok(Some(AccessLogRow { bucket: bucket.ok_or_else(errors::log_bucket_missing)?, prefix, interval_min }))
}

fn in_range(name: &str, value: i32, low: i32, high: i32) -> Result<u32, ApiError> {
    let fits = (low..=high).contains(&value);
    if fits { Ok(value.unsigned_abs()) } else { Err(errors::attribute_out_of_range(name, low, high)) }
}

fn describe(row: &AttributesRow) -> LoadBalancerAttributes {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let log = row.access_log.as_ref().or(row.log_before.as_ref());
    LoadBalancerAttributes {
        cross_zone_load_balancing: Some(CrossZoneLoadBalancing { enabled: row.cross_zone }),
        access_log: Some(AccessLog {
            enabled: row.access_log.is_some(),
            emit_interval: log.map(|log| number(log.interval_min)),
            s3_bucket_name: log.map(|log| log.bucket.clone()),
            s3_bucket_prefix: log.map(|log| log.prefix.clone()),
        }),
        connection_draining: Some(ConnectionDraining {
            enabled: row.draining,
            timeout: Some(number(row.draining_timeout_s)),
        }),
        connection_settings: Some(ConnectionSettings { idle_timeout: number(row.idle_timeout_s) }),
        additional_attributes: vec![AdditionalAttribute {
            key: Some(DESYNC_MODE.to_owned()),
            value: Some(row.desync_mode.clone()),
        }],
    }
}

/// Of all attributes those that the request named, as AWS answers.
fn modified(row: &AttributesRow, given: &LoadBalancerAttributes) -> LoadBalancerAttributes {
    let mut all = describe(row);
    all.cross_zone_load_balancing = all.cross_zone_load_balancing.filter(|_| given.cross_zone_load_balancing.is_some());
    all.access_log = all.access_log.filter(|_| given.access_log.is_some());
    all.connection_draining = all.connection_draining.filter(|_| given.connection_draining.is_some());
    all.connection_settings = all.connection_settings.filter(|_| given.connection_settings.is_some());
    if given.additional_attributes.is_empty() {
        all.additional_attributes.clear();
    }
    all
}
