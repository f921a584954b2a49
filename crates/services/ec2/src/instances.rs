//! Instances, as EC2 describes them: those that the engine runs, and machines that the operator registered.
//!
//! Invariants:
//! - Nothing is said of a registered machine that Millpond doesn't know: no image, no type, no interface.
//! - A terminated instance is shown for an hour, without address, network or groups, as on AWS.

mod filtering;

use std::net::IpAddr;

// A reservation is what RunInstances answers.
use api::ec2::{RunInstancesOutput as Reservation, *};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::{Scan, View};
use wire::ApiError;
use wire::value::EpochMs;

use crate::engine::InstanceEngine;
use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::instance_types;
use crate::listing::{Kind, check_id};
use crate::network_interfaces::{self, group_identifiers, mac_text, private_name, public_name};
use crate::paging::Page;
use crate::regions::zone_id;
use crate::request::Request;
use crate::rows::*;
use crate::tags::Loaded;

/// The name of an instance's disk, as Amazon Linux has it.
pub(crate) const ROOT_DEVICE: &str = "/dev/xvda";

pub(crate) const KIND: Kind<InstanceRow> = Kind { table: &INSTANCES, id: "i" };

/// The instances that a client wants to see.
pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeInstancesInput,
) -> Result<DescribeInstancesOutput, Refusal> {
    let filters = Filters::parse(input.filters, filtering::KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    check_ids(&input.instance_ids, &page)?;
    let owner = request.account();
    let mut instances = described(view, request, &input.instance_ids)?;
    instances.retain(|(reservation, instance)| {
        filters.pass(&instance.tags, |name| filtering::values(reservation, &owner, instance, name))
    });
    let id = |(_, instance): &(String, Instance)| instance.instance_id.clone().unwrap_or_default();
    let (instances, next_token) = page.of(instances.into_iter(), id);
    Ok(DescribeInstancesOutput { next_token, reservations: reservations(request, instances) })
}

/// Named instances don't come in pages.
pub(crate) fn check_ids(ids: &[String], page: &Page) -> Result<(), Refusal> {
    if !ids.is_empty() && page.is_partial() {
        return Err(Refusal::Combination("instancesSet", "maxResults"));
    }
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort();
    ids.iter().try_for_each(|id| check_id("i", id))
}

/// These instances with their reservations, or all, by instance id.
pub(crate) fn described(
    view: &View<'_>,
    request: &Request,
    ids: &[String],
) -> Result<Vec<(String, Instance)>, Refusal> {
    let loaded = Loaded::load(view, &request.place, "i", !ids.is_empty())?;
    let mut described = Vec::new();
    let mut missing: Vec<String> = Vec::new();
    if ids.is_empty() {
        for (id, row) in KIND.all(view, request)? {
            let tags = loaded.of(view, &request.place, &id)?;
            described.push((row.reservation_id.clone(), instance(view, request, &id, row, tags)?));
        }
        for row in view.scan(&MACHINES, &Scan::prefix(&request.place.prefix()))? {
            let id = crate::registered::id_in(&row.key).to_owned();
            let tags = loaded.of(view, &request.place, &id)?;
            described.push((reservation_of_machine(&id), machine(request, &id, &row.value, tags)));
        }
    }
    let mut ids = ids.to_vec();
    ids.sort();
    ids.dedup();
    for id in ids {
        let key = request.key(&id);
        if let Some(row) = view.get(&INSTANCES, &key)? {
            let tags = loaded.of(view, &request.place, &id)?;
            described.push((row.value.reservation_id.clone(), instance(view, request, &id, row.value, tags)?));
        } else if let Some(row) = view.get(&MACHINES, &key)? {
            let tags = loaded.of(view, &request.place, &id)?;
            described.push((reservation_of_machine(&id), machine(request, &id, &row.value, tags)));
        } else {
            missing.push(id);
        }
    }
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "i", ids: missing });
    }
    described.sort_by(|(_, a), (_, b)| a.instance_id.cmp(&b.instance_id));
    Ok(described)
}

/// Each machine was registered alone, so each has a reservation of its own, named after it.
fn reservation_of_machine(id: &str) -> String {
    format!("r-{}", id.trim_start_matches("i-"))
}

/// Instances that were started by one call stand together.
pub(crate) fn reservations(request: &Request, instances: Vec<(String, Instance)>) -> Vec<Reservation> {
    let mut reservations: Vec<Reservation> = Vec::new();
    for (id, instance) in instances {
        match reservations.iter_mut().find(|known| known.reservation_id.as_ref() == Some(&id)) {
            Some(reservation) => reservation.instances.push(instance),
            None => reservations.push(Reservation {
                owner_id: Some(request.account()),
                reservation_id: Some(id),
                instances: vec![instance],
                ..Reservation::default()
            }),
        }
    }
    for reservation in &mut reservations {
        reservation.instances.sort_by_key(|instance| instance.ami_launch_index);
    }
    reservations
}

fn placement(request: &Request, zone: &str) -> Placement {
    // A zone that the configuration lost has no number any more.
    let zone_id = request.layout().zone(zone).map(|(region, zone)| zone_id(region, zone));
    Placement {
        availability_zone: Some(zone.to_owned()),
        availability_zone_id: zone_id,
        tenancy: Some("default".to_owned()),
        ..Placement::default()
    }
}

fn epoch(ms: u64) -> EpochMs {
    EpochMs(i64::try_from(ms).unwrap_or(i64::MAX))
}

pub(crate) fn state(state: State) -> InstanceState {
    InstanceState { code: Some(state.code()), name: Some(state.name().to_owned()) }
}

/// A registered machine.
fn machine(request: &Request, id: &str, row: &MachineRow, tags: Vec<Tag>) -> Instance {
    let (private_ip_address, ipv6_address) = match row.address {
        IpAddr::V4(address) => (Some(address.to_string()), None),
        IpAddr::V6(address) => (None, Some(address.to_string())),
    };
    let group = GroupIdentifier {
        group_id: Some(request.place.default_group_id()),
        group_name: Some(crate::security_groups::DEFAULT_NAME.to_owned()),
    };
    Instance {
        instance_id: Some(id.to_owned()),
        ipv6_address,
        launch_time: Some(epoch(row.added_at_ms)),
        monitoring: Some(Monitoring { state: Some("disabled".to_owned()), ..Monitoring::default() }),
        placement: Some(placement(request, &row.zone)),
        private_ip_address,
        security_groups: vec![group],
        state: Some(state(State::Running)),
        subnet_id: Some(request.place.subnet_id(&row.zone)),
        tags,
        vpc_id: Some(request.place.vpc_id()),
        ..Instance::default()
    }
}

/// An instance that the engine runs.
pub(crate) fn instance(
    view: &View<'_>,
    request: &Request,
    id: &str,
    row: InstanceRow,
    tags: Vec<Tag>,
) -> Result<Instance, Refusal> {
    let kind = instance_types::find(&row.instance_type);
    let reason = row.reason.clone().map(|(code, message)| StateReason { code: Some(code), message: Some(message) });
    let metadata = metadata_options(row.metadata);
    let mut instance = Instance {
        ami_launch_index: i32::try_from(row.launch_index).ok(),
        architecture: Some(crate::images::architecture().to_owned()),
        client_token: row.client_token.clone(),
        cpu_options: kind.map(|kind| CpuOptions {
            core_count: Some(kind.cores()),
            threads_per_core: Some(kind.threads_per_core()),
            ..CpuOptions::default()
        }),
        ebs_optimized: Some(row.ebs_optimized),
        hypervisor: Some("xen".to_owned()),
        image_id: Some(row.image_id.clone()),
        instance_id: Some(id.to_owned()),
        instance_type: Some(row.instance_type.clone()),
        key_name: row.key.as_ref().map(|key| key.name.clone()),
        launch_time: Some(epoch(row.launched_at_ms)),
        iam_instance_profile: row.profile.as_ref().map(crate::instance_profiles::told),
        metadata_options: Some(metadata),
        monitoring: Some(Monitoring {
            state: Some(if row.monitoring { "enabled" } else { "disabled" }.to_owned()),
            ..Monitoring::default()
        }),
        placement: Some(placement(request, &row.zone)),
        platform_details: Some("Linux/UNIX".to_owned()),
        // EC2 answers empty names rather than none.
        private_dns_name: Some(String::new()),
        public_dns_name: Some(String::new()),
        root_device_name: Some(ROOT_DEVICE.to_owned()),
        root_device_type: Some("ebs".to_owned()),
        state: Some(state(row.state)),
        state_reason: reason,
        state_transition_reason: Some(row.transition_reason.clone()),
        tags,
        usage_operation: Some("RunInstances".to_owned()),
        virtualization_type: Some("hvm".to_owned()),
        ..Instance::default()
    };
    if let Some(interface) = view.get(&INTERFACES, &request.key(&row.interface_id))?
        && row.state != State::Terminated
    {
        connect(view, request, &mut instance, &row, interface.value)?;
    }
    Ok(instance)
}

/// Says where an instance is in its network.
fn connect(
    view: &View<'_>,
    request: &Request,
    instance: &mut Instance,
    row: &InstanceRow,
    interface: InterfaceRow,
) -> Result<(), Refusal> {
    let region = &request.place.region;
    let vpc = crate::vpcs::KIND.get(view, request, &row.vpc_id)?;
    let public = network_interfaces::public_address(view, &request.place, &row.interface_id, &interface)?;
    let groups = group_identifiers(view, request, &interface.groups)?;
    let private_name = vpc.dns_support.then(|| private_name(region, interface.address));
    let public_name = public.filter(|_| vpc.dns_hostnames).map(|address| public_name(region, address));
    let association = public.map(|address| InstanceNetworkInterfaceAssociation {
        ip_owner_id: Some(if interface.public == Some(address) { "amazon".to_owned() } else { request.account() }),
        public_dns_name: Some(public_name.clone().unwrap_or_default()),
        public_ip: Some(address.to_string()),
        ..InstanceNetworkInterfaceAssociation::default()
    });
    let attachment = interface.attachment.map(|attachment| InstanceNetworkInterfaceAttachment {
        attach_time: Some(epoch(attachment.at_ms)),
        attachment_id: Some(attachment.id),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: Some(0),
        network_card_index: Some(0),
        status: Some("attached".to_owned()),
        ..InstanceNetworkInterfaceAttachment::default()
    });
    let address = InstancePrivateIpAddress {
        association: association.clone(),
        primary: Some(true),
        private_dns_name: private_name.clone(),
        private_ip_address: Some(interface.address.to_string()),
    };
    instance.private_dns_name = Some(private_name.clone().unwrap_or_default());
    instance.private_ip_address = Some(interface.address.to_string());
    instance.public_dns_name = Some(public_name.unwrap_or_default());
    instance.public_ip_address = public.map(|address| address.to_string());
    instance.security_groups = groups.clone();
    instance.source_dest_check = Some(interface.source_dest_check);
    instance.subnet_id = Some(row.subnet_id.clone());
    instance.vpc_id = Some(row.vpc_id.clone());
    instance.network_interfaces = vec![InstanceNetworkInterface {
        association,
        attachment,
        description: Some(interface.description),
        groups,
        interface_type: Some("interface".to_owned()),
        mac_address: Some(mac_text(interface.mac)),
        network_interface_id: Some(row.interface_id.clone()),
        owner_id: Some(request.account()),
        private_dns_name: private_name,
        private_ip_address: Some(interface.address.to_string()),
        private_ip_addresses: vec![address],
        source_dest_check: Some(interface.source_dest_check),
        status: Some("in-use".to_owned()),
        subnet_id: Some(row.subnet_id.clone()),
        vpc_id: Some(row.vpc_id.clone()),
        ..InstanceNetworkInterface::default()
    }];
    Ok(())
}

pub(crate) fn metadata_options(row: MetadataRow) -> InstanceMetadataOptionsResponse {
    let able = |is: bool| Some(if is { "enabled" } else { "disabled" }.to_owned());
    InstanceMetadataOptionsResponse {
        http_endpoint: able(row.enabled),
        http_protocol_ipv6: able(false),
        http_put_response_hop_limit: Some(row.hop_limit.into()),
        http_tokens: Some(if row.tokens_required { "required" } else { "optional" }.to_owned()),
        instance_metadata_tags: able(row.tags),
        state: Some("applied".to_owned()),
    }
}

/// The row of an instance that the engine runs; a registered machine is refused as what it is.
pub(crate) fn own(view: &View<'_>, request: &Request, id: &str) -> Result<InstanceRow, Refusal> {
    check_id("i", id)?;
    if view.contains(&MACHINES, &request.key(id))? {
        return Err(errors::registered_machine(id));
    }
    KIND.get(view, request, id)
}

/// The interface of an instance.
pub(crate) fn interface_of(view: &View<'_>, request: &Request, id: &str) -> Result<String, Refusal> {
    let row = own(view, request, id)?;
    if row.state.is_ending() { Err(errors::wrong_state(id, row.state)) } else { Ok(row.interface_id) }
}

/// An instance whose console can be read.
pub(crate) fn with_console(view: &View<'_>, request: &Request, id: String) -> Result<String, Refusal> {
    own(view, request, &id)?;
    Ok(id)
}

/// What an instance wrote on its console.
pub(crate) async fn console_output(
    engine: &dyn InstanceEngine,
    request: &Request,
    id: String,
) -> Result<GetConsoleOutputOutput, ApiError> {
    let written = match engine.console(&machines::InstanceId(id.as_str().into())).await {
        Ok(written) => written,
        // It was not handed to the engine yet, or is no more.
        Err(machines::EngineError::NoSuchInstance(_)) => Vec::new(),
        Err(error) => {
            tracing::error!(%error, instance = %id, "an instance's console could not be read");
            return Err(Refusal::EngineFailed.into());
        }
    };
    Ok(GetConsoleOutputOutput {
        instance_id: Some(id),
        output: (!written.is_empty()).then(|| STANDARD.encode(&written)),
        timestamp: Some(epoch(request.now_ms)),
    })
}
