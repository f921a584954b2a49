//! Instances started, stopped, rebooted and terminated by their owner.
//!
//! Invariants:
//! - Of the instances that a call names, all change or none.
//! - A change is a goal in the row; the engine is brought to it afterwards, also by the next process if this one ends.

use api::ec2::*;
use store::{Transaction, View};

use crate::errors::{self, Refusal};
use crate::instances::{own, state};
use crate::listing::check_id;
use crate::request::Request;
use crate::rows::*;
use crate::{address_pool, moments, network_interfaces};

/// The instances that a call names, each once and in its order.
fn named(view: &View<'_>, request: &Request, ids: Vec<String>) -> Result<Vec<(String, InstanceRow)>, Refusal> {
    if request.inner.instances.is_none() {
        return Err(errors::no_engine());
    }
    let mut found: Vec<(String, InstanceRow)> = Vec::with_capacity(ids.len());
    let mut missing = Vec::new();
    ids.iter().try_for_each(|id| check_id("i", id))?;
    for id in ids {
        if found.iter().any(|(known, _)| *known == id) {
            continue;
        }
        match own(view, request, &id) {
            Ok(row) => found.push((id, row)),
            Err(Refusal::NotFound { .. }) => missing.push(id),
            Err(refusal) => return Err(refusal),
        }
    }
    match missing.is_empty() {
        true if found.is_empty() => Err(Refusal::Missing("InstanceId".into())),
        true => Ok(found),
        false => Err(Refusal::NotFound { kind: "i", ids: missing }),
    }
}

fn changed(id: String, before: State, now: State) -> InstanceStateChange {
    InstanceStateChange { current_state: Some(state(now)), instance_id: Some(id), previous_state: Some(state(before)) }
}

/// What AWS says of whatever a user did.
fn by_user(row: &mut InstanceRow, now_ms: u64) {
    row.reason =
        Some(("Client.UserInitiatedShutdown".into(), "Client.UserInitiatedShutdown: User initiated shutdown".into()));
    row.transition_reason = format!("User initiated ({})", moments::gmt(now_ms));
    row.since_ms = now_ms;
}

pub(crate) fn stop(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: StopInstancesInput,
) -> Result<StopInstancesOutput, Refusal> {
    if input.hibernate == Some(true) {
        return Err(errors::no_hibernation());
    }
    if input.skip_os_shutdown == Some(true) {
        return Err(errors::unsupported_parameter("SkipOsShutdown"));
    }
    let mut stopping_instances = Vec::new();
    for (id, mut row) in named(tx, request, input.instance_ids)? {
        let before = row.state;
        match before {
            State::Running if row.disable_api_stop => return Err(errors::stop_protected(&id)),
            State::Running => {
                (row.state, row.goal, row.reboot) = (State::Stopping, Goal::Stopped, false);
                by_user(&mut row, request.now_ms);
                tx.put(&INSTANCES, &request.key(&id), &row)?;
            }
            State::Stopping | State::Stopped => {}
            State::Pending | State::ShuttingDown | State::Terminated => return Err(errors::cannot_stop(&id)),
        }
        stopping_instances.push(changed(id, before, row.state));
    }
    Ok(StopInstancesOutput { stopping_instances })
}

pub(crate) fn start(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: StartInstancesInput,
) -> Result<StartInstancesOutput, Refusal> {
    if input.additional_info.is_some() {
        return Err(errors::unsupported_parameter("AdditionalInfo"));
    }
    let mut starting_instances = Vec::new();
    for (id, mut row) in named(tx, request, input.instance_ids)? {
        let before = row.state;
        match before {
            State::Stopped => {
                if row.gets_public {
                    let public = address_pool::take_public(tx, &*request.inner.ids)?;
                    network_interfaces::set_public(tx, &request.place, &row.interface_id, Some(public))?;
                }
                (row.state, row.goal, row.start) = (State::Pending, Goal::Running, true);
                (row.launched_at_ms, row.since_ms) = (request.now_ms, request.now_ms);
                row.reason = Some(("pending".to_owned(), "pending".to_owned()));
                row.transition_reason = String::new();
                tx.put(&INSTANCES, &request.key(&id), &row)?;
            }
            State::Pending | State::Running => {}
            State::Stopping | State::ShuttingDown | State::Terminated => return Err(errors::cannot_start(&id)),
        }
        starting_instances.push(changed(id, before, row.state));
    }
    Ok(StartInstancesOutput { starting_instances })
}

pub(crate) fn reboot(tx: &mut Transaction<'_>, request: &Request, input: RebootInstancesInput) -> Result<(), Refusal> {
    for (id, mut row) in named(tx, request, input.instance_ids)? {
        if !matches!(row.state, State::Running | State::Pending) {
            return Err(errors::wrong_state(&id, row.state));
        }
        row.reboot = true;
        tx.put(&INSTANCES, &request.key(&id), &row)?;
    }
    Ok(())
}

pub(crate) fn terminate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: TerminateInstancesInput,
) -> Result<TerminateInstancesOutput, Refusal> {
    if input.skip_os_shutdown == Some(true) {
        return Err(errors::unsupported_parameter("SkipOsShutdown"));
    }
    let mut terminating_instances = Vec::new();
    for (id, mut row) in named(tx, request, input.instance_ids)? {
        let before = row.state;
        if !before.is_ending() {
            if row.disable_api_termination {
                return Err(errors::termination_protected(&id));
            }
            (row.state, row.goal) = (State::ShuttingDown, Goal::Terminated);
            (row.start, row.reboot) = (false, false);
            by_user(&mut row, request.now_ms);
            tx.put(&INSTANCES, &request.key(&id), &row)?;
        }
        terminating_instances.push(changed(id, before, row.state));
    }
    Ok(TerminateInstancesOutput { terminating_instances })
}
