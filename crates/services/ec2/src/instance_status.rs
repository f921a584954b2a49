//! The status of instances.
//!
//! Invariant: a check that nobody makes is not said to have passed: what an instance does inside, its load balancer or
//! its user knows.

use api::ec2::*;
use store::View;

use crate::errors::Refusal;
use crate::filters::Filters;
use crate::instances;
use crate::listing::text;
use crate::paging::Page;
use crate::request::Request;
use crate::rows::State;

/// Every filter that EC2 has for the status of instances.
const KNOWN_OF_STATUS: &[&str] = &[
    "attached-ebs-status.status",
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
];

/// The status of the instances that a client wants to see: those that run, unless it asks for all.
pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeInstanceStatusInput,
) -> Result<DescribeInstanceStatusOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN_OF_STATUS)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    instances::check_ids(&input.instance_ids, &page)?;
    let wants_all = input.include_all_instances == Some(true);
    let mut statuses = Vec::new();
    for (_, instance) in instances::described(view, request, &input.instance_ids)? {
        let is_running = instance.state.as_ref().is_some_and(|state| state.code == Some(State::Running.code()));
        if !is_running && !wants_all {
            continue;
        }
        let tags = instance.tags.clone();
        let status = status(instance, is_running);
        if filters.pass(&tags, |name| values(&status, name)) {
            statuses.push(status);
        }
    }
    let id = |status: &InstanceStatus| status.instance_id.clone().unwrap_or_default();
    let (instance_statuses, next_token) = page.of(statuses.into_iter(), id);
    Ok(DescribeInstanceStatusOutput { instance_statuses, next_token })
}

/// An instance's own machine is checked by the engine: its first process runs. Of a registered machine nothing is known.
fn status(instance: Instance, is_running: bool) -> InstanceStatus {
    let is_ours = instance.image_id.is_some();
    let summary = || {
        let (status, details) = match (is_ours, is_running) {
            (true, true) => ("ok", vec![passed()]),
            (true, false) | (false, _) => ("not-applicable", Vec::new()),
        };
        Some(InstanceStatusSummary { status: Some(status.to_owned()), details })
    };
    let placement = instance.placement.unwrap_or_default();
    InstanceStatus {
        availability_zone: placement.availability_zone,
        availability_zone_id: placement.availability_zone_id,
        instance_id: instance.instance_id,
        instance_state: instance.state,
        instance_status: summary(),
        system_status: summary(),
        ..InstanceStatus::default()
    }
}

fn passed() -> InstanceStatusDetails {
    InstanceStatusDetails {
        name: Some("reachability".to_owned()),
        status: Some("passed".to_owned()),
        ..InstanceStatusDetails::default()
    }
}

fn values(status: &InstanceStatus, name: &str) -> Vec<String> {
    let state = status.instance_state.as_ref();
    let of =
        |summary: &Option<InstanceStatusSummary>| summary.as_ref().map(|one| text(&one.status)).unwrap_or_default();
    let reached = |summary: &Option<InstanceStatusSummary>| {
        summary.iter().flat_map(|one| &one.details).filter_map(|detail| detail.status.clone()).collect()
    };
    match name {
        "availability-zone" => text(&status.availability_zone),
        "availability-zone-id" => text(&status.availability_zone_id),
        "instance-state-code" => state.and_then(|state| state.code).map(|code| code.to_string()).into_iter().collect(),
        "instance-state-name" => state.map(|state| text(&state.name)).unwrap_or_default(),
        "instance-status.status" => of(&status.instance_status),
        "instance-status.reachability" => reached(&status.instance_status),
        "system-status.status" => of(&status.system_status),
        "system-status.reachability" => reached(&status.system_status),
        _ => Vec::new(),
    }
}
