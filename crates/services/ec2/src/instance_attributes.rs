//! Instances' attributes, one at a time.
//!
//! Invariant: what an instance is made from changes only while it is stopped; what the API, the filters and the metadata
//! service look at, at any time.

use api::ec2::*;
use store::{Transaction, View};

use crate::errors::{self, Refusal};
use crate::instances::{ROOT_DEVICE, metadata_options, own};
use crate::network_interfaces::group_identifiers;
use crate::request::Request;
use crate::rows::*;
use crate::run::check_user_data;
use crate::vpcs::refuse_given;
use crate::{instance_types, security_groups};

/// What a shutdown from inside shall do.
pub(crate) fn shutdown_terminates(behavior: &str) -> Result<bool, Refusal> {
    match behavior {
        "stop" => Ok(false),
        "terminate" => Ok(true),
        other => Err(errors::invalid_value("instanceInitiatedShutdownBehavior", other)),
    }
}

/// Options of the metadata service with those that a call gives: endpoint, IPv6, tokens and tags, in this order.
pub(crate) fn metadata_of(
    mut row: MetadataRow,
    [endpoint, ipv6, tokens, tags]: [Option<&str>; 4],
    hops: Option<i32>,
) -> Result<MetadataRow, Refusal> {
    let is_enabled = |parameter, text: &str| match text {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        other => Err(errors::invalid_value(parameter, other)),
    };
    if let Some(text) = endpoint {
        row.enabled = is_enabled("httpEndpoint", text)?;
    }
    if let Some(text) = tags {
        row.tags = is_enabled("instanceMetadataTags", text)?;
    }
    if let Some(text) = ipv6.filter(|text| *text != "disabled") {
        return Err(errors::unsupported_value("httpProtocolIpv6", text));
    }
    row.tokens_required = match tokens {
        None => row.tokens_required,
        Some("required") => true,
        Some("optional") => false,
        Some(other) => return Err(errors::invalid_value("httpTokens", other)),
    };
    if let Some(hops) = hops {
        let valid = u8::try_from(hops).ok().filter(|hops| (1..=64).contains(hops));
        row.hop_limit = valid.ok_or_else(|| errors::invalid_value("httpPutResponseHopLimit", &hops.to_string()))?;
    }
    Ok(row)
}

pub(crate) fn modify_metadata(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ModifyInstanceMetadataOptionsInput,
) -> Result<ModifyInstanceMetadataOptionsOutput, Refusal> {
    let id = input.instance_id;
    let mut row = changeable(tx, request, &id)?;
    let texts = [
        input.http_endpoint.as_deref(),
        input.http_protocol_ipv6.as_deref(),
        input.http_tokens.as_deref(),
        input.instance_metadata_tags.as_deref(),
    ];
    row.metadata = metadata_of(row.metadata, texts, input.http_put_response_hop_limit)?;
    tx.put(&INSTANCES, &request.key(&id), &row)?;
    let instance_metadata_options = Some(metadata_options(row.metadata));
    Ok(ModifyInstanceMetadataOptionsOutput { instance_id: Some(id), instance_metadata_options })
}

fn changeable(view: &View<'_>, request: &Request, id: &str) -> Result<InstanceRow, Refusal> {
    let row = own(view, request, id)?;
    if row.state.is_ending() { Err(errors::wrong_state(id, row.state)) } else { Ok(row) }
}

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeInstanceAttributeInput,
) -> Result<DescribeInstanceAttributeOutput, Refusal> {
    let id = input.instance_id;
    let row = own(view, request, &id)?;
    let is = |value| Some(AttributeBooleanValue { value: Some(value) });
    let text = |value: &str| Some(AttributeValue { value: Some(value.to_owned()) });
    let mut output = DescribeInstanceAttributeOutput { instance_id: Some(id), ..Default::default() };
    match input.attribute.as_str() {
        "instanceType" => output.instance_type = text(&row.instance_type),
        "userData" => output.user_data = Some(AttributeValue { value: row.user_data }),
        "disableApiTermination" => output.disable_api_termination = is(row.disable_api_termination),
        "disableApiStop" => output.disable_api_stop = is(row.disable_api_stop),
        "instanceInitiatedShutdownBehavior" => {
            output.instance_initiated_shutdown_behavior =
                text(if row.shutdown_terminates { "terminate" } else { "stop" });
        }
        "rootDeviceName" => output.root_device_name = text(ROOT_DEVICE),
        "ebsOptimized" => output.ebs_optimized = is(row.ebs_optimized),
        "sourceDestCheck" => output.source_dest_check = is(true),
        "groupSet" => {
            let interface = view.get(&INTERFACES, &request.key(&row.interface_id))?;
            let ids = interface.map(|row| row.value.groups).unwrap_or_default();
            output.groups = group_identifiers(view, request, &ids)?;
        }
        "kernel" => output.kernel_id = Some(AttributeValue::default()),
        "ramdisk" => output.ramdisk_id = Some(AttributeValue::default()),
        "enaSupport" => output.ena_support = is(true),
        "sriovNetSupport" => output.sriov_net_support = Some(AttributeValue::default()),
        "enclaveOptions" => output.enclave_options = Some(EnclaveOptions { enabled: Some(false) }),
        "blockDeviceMapping" | "productCodes" => {}
        other => return Err(errors::unknown_attribute(other)),
    }
    Ok(output)
}

pub(crate) fn modify(
    tx: &mut Transaction<'_>,
    request: &Request,
    mut input: ModifyInstanceAttributeInput,
) -> Result<(), Refusal> {
    spell_out(&mut input)?;
    refuse_given(&[
        ("BlockDeviceMapping", !input.block_device_mappings.is_empty()),
        ("Kernel", input.kernel.is_some()),
        ("Ramdisk", input.ramdisk.is_some()),
        ("EnclaveOptions", input.enclave_options.is_some()),
        ("SriovNetSupport", input.sriov_net_support.is_some()),
        ("EnaSupport=false", input.ena_support.is_some_and(|given| given.value == Some(false))),
        ("SourceDestCheck=false", input.source_dest_check.is_some_and(|given| given.value == Some(false))),
    ])?;
    let id = input.instance_id;
    let mut row = changeable(tx, request, &id)?;
    let is = |given: Option<AttributeBooleanValue>, before| given.and_then(|given| given.value).unwrap_or(before);
    row.disable_api_termination = is(input.disable_api_termination, row.disable_api_termination);
    row.disable_api_stop = is(input.disable_api_stop, row.disable_api_stop);
    if let Some(behavior) = input.instance_initiated_shutdown_behavior.and_then(|given| given.value) {
        row.shutdown_terminates = shutdown_terminates(&behavior)?;
    }
    if !input.groups.is_empty() {
        let mut interface = crate::network_interfaces::KIND.get(tx, request, &row.interface_id)?;
        interface.groups = security_groups::of_interface(tx, request, &row.vpc_id, &input.groups)?;
        tx.put(&INTERFACES, &request.key(&row.interface_id), &interface)?;
    }
    let needs_stop = |row: &InstanceRow| match row.state {
        State::Stopped => Ok(()),
        _ => Err(errors::must_be_stopped(&id)),
    };
    if let Some(kind) = input.instance_type.and_then(|given| given.value) {
        instance_types::find(&kind).ok_or_else(|| errors::no_such_instance_type(&kind))?;
        needs_stop(&row)?;
        row.instance_type = kind;
    }
    if let Some(optimized) = input.ebs_optimized.and_then(|given| given.value) {
        needs_stop(&row)?;
        row.ebs_optimized = optimized;
    }
    if let Some(data) = input.user_data.and_then(|given| given.value) {
        needs_stop(&row)?;
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &data);
        check_user_data(&encoded)?;
        row.user_data = (!data.is_empty()).then_some(encoded);
    }
    tx.put(&INSTANCES, &request.key(&id), &row)?;
    Ok(())
}

/// The older way to say one attribute, by name and value, in the newer one's words.
fn spell_out(input: &mut ModifyInstanceAttributeInput) -> Result<(), Refusal> {
    let Some(attribute) = input.attribute.take() else { return Ok(()) };
    let value = input.value.take().unwrap_or_default();
    let truth = || match value.as_str() {
        "true" => Ok(Some(AttributeBooleanValue { value: Some(true) })),
        "false" => Ok(Some(AttributeBooleanValue { value: Some(false) })),
        other => Err(errors::invalid_value("value", other)),
    };
    let text = || Some(AttributeValue { value: Some(value.clone()) });
    match attribute.as_str() {
        "instanceType" => input.instance_type = text(),
        "disableApiTermination" => input.disable_api_termination = truth()?,
        "disableApiStop" => input.disable_api_stop = truth()?,
        "instanceInitiatedShutdownBehavior" => input.instance_initiated_shutdown_behavior = text(),
        "ebsOptimized" => input.ebs_optimized = truth()?,
        "sourceDestCheck" => input.source_dest_check = truth()?,
        "userData" => {
            let data = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &value);
            let data = data.map_err(|_| errors::user_data_encoding())?;
            input.user_data = Some(SecureBlobAttributeValue { value: Some(data.into()) });
        }
        other => return Err(errors::unknown_attribute(other)),
    }
    Ok(())
}
