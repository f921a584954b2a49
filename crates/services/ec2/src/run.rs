//! RunInstances: from what a call asks to rows.
//!
//! Invariants:
//! - All instances of a call are rows, with their interfaces, in one transaction; the engine is told afterwards.
//! - What can't be honoured is refused by name before anything is a row.

mod plan;

pub(crate) use plan::check_user_data;

use api::ec2::*;
use store::{Scan, Transaction};

use crate::client_tokens::{self, Asked};
use crate::errors::{self, Refusal};
use crate::instances;
use crate::launch_templates;
use crate::network_interfaces::{self, NewInterface};
use crate::request::Request;
use crate::rows::*;
use crate::{address_pool, subnets, tags};
use plan::Plan;

/// How many instances an account may have in a region.
pub(crate) const INSTANCES_MAX: usize = 1_000;

pub(crate) fn run(
    tx: &mut Transaction<'_>,
    request: &Request,
    (input, profile): (RunInstancesInput, Option<(IamInstanceProfileSpecification, ProfileRow)>),
) -> Result<RunInstancesOutput, Refusal> {
    if request.inner.instances.is_none() {
        return Err(errors::no_engine());
    }
    let asked = launch_templates::encoded(&input)?.to_string();
    let asked = Asked::new("RunInstances", input.client_token.clone(), &asked);
    if let Some(made) = client_tokens::made(tx, request, &asked)? {
        return answer(tx, request, &made);
    }
    let input = match &input.launch_template {
        Some(named) => {
            let applied = launch_templates::apply(launch_templates::resolve(tx, request, named)?, &input)?;
            if request.service.is_some() { into_interface(applied) } else { applied }
        }
        None => input,
    };
    // The template may have changed since its profile was looked up.
    if input.iam_instance_profile != profile.as_ref().map(|(asked, _)| asked.clone()) {
        return Err(errors::template_changed());
    }
    let plan = Plan::new(tx, request, input)?;
    let profile = profile.map(|(_, profile)| profile);
    let count = count(tx, request, &plan)?;
    let reservation_id = request.new_id("r");
    let mut made = Vec::with_capacity(count);
    for launch_index in 0..count {
        let launch_index = u32::try_from(launch_index).unwrap_or_default();
        // Each instance's association is its own.
        let profile =
            profile.clone().map(|profile| ProfileRow { association_id: request.new_id("iip-assoc"), ..profile });
        made.push(start_one(tx, request, &plan, profile, (&reservation_id, launch_index))?);
    }
    client_tokens::remember(tx, request, &asked, made.clone())?;
    answer(tx, request, &made)
}

/// Auto Scaling chooses the subnet, and a template may already speak of the interface that is to stand in it.
fn into_interface(mut input: RunInstancesInput) -> RunInstancesInput {
    if let [interface] = input.network_interfaces.as_mut_slice()
        && interface.subnet_id.is_none()
        && interface.network_interface_id.is_none()
    {
        interface.subnet_id = input.subnet_id.take();
    }
    input
}

/// As many as asked for and possible, and no fewer than the least.
fn count(tx: &Transaction<'_>, request: &Request, plan: &Plan) -> Result<usize, Refusal> {
    let present = tx.scan(&INSTANCES, &Scan::prefix(&request.place.prefix()))?;
    let present = present.iter().filter(|row| row.value.state != State::Terminated).count();
    let room = INSTANCES_MAX.saturating_sub(present);
    if plan.min > room {
        return Err(errors::too_many_instances(plan.min));
    }
    if plan.interface_id.is_some() {
        return Ok(1);
    }
    let subnet = subnets::KIND.get(tx, request, &plan.subnet_id)?;
    let taken = address_pool::taken(tx, &request.place, &plan.subnet_id)?.len() as u64;
    let free = usize::try_from(address_pool::capacity(subnet.cidr).saturating_sub(taken)).unwrap_or(usize::MAX);
    if plan.min > free {
        return Err(errors::no_free_address(&plan.subnet_id));
    }
    Ok(plan.max.min(room).min(free))
}

fn start_one(
    tx: &mut Transaction<'_>,
    request: &Request,
    plan: &Plan,
    profile: Option<ProfileRow>,
    (reservation_id, launch_index): (&str, u32),
) -> Result<String, Refusal> {
    let id = request.new_id("i");
    let interface_id = connect(tx, request, plan, &id)?;
    let row = InstanceRow {
        reservation_id: reservation_id.to_owned(),
        launch_index,
        image_id: plan.image.id.clone(),
        root: plan.image.root.clone(),
        instance_type: plan.instance_type.clone(),
        key: plan.key.clone(),
        client_token: plan.client_token.clone(),
        user_data: plan.user_data.clone(),
        zone: plan.zone.clone(),
        vpc_id: plan.vpc_id.clone(),
        subnet_id: plan.subnet_id.clone(),
        interface_id,
        gets_public: plan.gets_public,
        disable_api_termination: plan.disable_api_termination,
        disable_api_stop: plan.disable_api_stop,
        shutdown_terminates: plan.shutdown_terminates,
        metadata: plan.metadata,
        profile,
        monitoring: plan.monitoring,
        ebs_optimized: plan.ebs_optimized,
        launched_at_ms: request.now_ms,
        state: State::Pending,
        since_ms: request.now_ms,
        goal: Goal::Running,
        is_launched: false,
        start: false,
        reboot: false,
        reason: Some(("pending".to_owned(), "pending".to_owned())),
        transition_reason: String::new(),
    };
    tx.insert(&INSTANCES, &request.key(&id), &row)?;
    tags::put(tx, &request.place, &id, "instance", &plan.instance_tags)?;
    Ok(id)
}

/// Gives a new instance its interface.
fn connect(tx: &mut Transaction<'_>, request: &Request, plan: &Plan, id: &str) -> Result<String, Refusal> {
    let attachment = AttachmentRow {
        id: request.new_id("eni-attach"),
        instance_id: Some(id.to_owned()),
        at_ms: request.now_ms,
        delete_on_termination: plan.delete_interface,
    };
    if let Some(interface_id) = &plan.interface_id {
        let mut interface = network_interfaces::KIND.get(tx, request, interface_id)?;
        interface.attachment = Some(attachment);
        tx.put(&INTERFACES, &request.key(interface_id), &interface)?;
        return Ok(interface_id.clone());
    }
    let new = NewInterface {
        subnet_id: plan.subnet_id.clone(),
        address: plan.address,
        groups: plan.groups.clone(),
        description: plan.description.clone(),
        attachment: Some(attachment),
        gets_public: plan.gets_public,
    };
    let (interface_id, _) = network_interfaces::make(tx, request, new)?;
    tags::put(tx, &request.place, &interface_id, "network-interface", &plan.interface_tags)?;
    Ok(interface_id)
}

fn answer(tx: &Transaction<'_>, request: &Request, ids: &[String]) -> Result<RunInstancesOutput, Refusal> {
    let described = instances::described(tx, request, ids)?;
    instances::reservations(request, described).into_iter().next().ok_or(Refusal::Schema)
}
