//! Internet gateways: the way out of a VPC.
//!
//! Invariants:
//! - A VPC has at most one, and a gateway is in at most one VPC.
//! - One that is attached is not deleted; one through which public addresses are reached is not detached.

use api::ec2::*;
use store::{Scan, Transaction, View};

use crate::errors::{self, Refusal};
use crate::listing::{Kind, Wanted, text};
use crate::request::Request;
use crate::rows::*;
use crate::{addresses, network_interfaces, tags, vpcs};

/// As many as VPCs, as on AWS.
const GATEWAYS_MAX: usize = 500;

pub(crate) const KIND: Kind<GatewayRow> = Kind { table: &GATEWAYS, id: "igw" };

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateInternetGatewayInput,
) -> Result<CreateInternetGatewayOutput, Refusal> {
    if tx.count(&GATEWAYS, &Scan::prefix(&request.place.prefix()))? >= GATEWAYS_MAX {
        return Err(errors::too_many_gateways());
    }
    let tags = tags::specified(request, input.tag_specifications, "internet-gateway")?;
    let (id, row) = (request.new_id("igw"), GatewayRow::default());
    tx.insert(&GATEWAYS, &request.key(&id), &row)?;
    let tags = tags::put_new(tx, request, &id, "internet-gateway", &tags)?;
    Ok(CreateInternetGatewayOutput { internet_gateway: Some(described(request, &id, row, tags)) })
}

pub(crate) fn attach(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: AttachInternetGatewayInput,
) -> Result<(), Refusal> {
    let (id, vpc_id) = (input.internet_gateway_id, input.vpc_id);
    let row = KIND.get(tx, request, &id)?;
    vpcs::KIND.get(tx, request, &vpc_id)?;
    if let Some(present) = row.vpc_id {
        return Err(errors::gateway_attached(&id, &present));
    }
    if KIND.all(tx, request)?.iter().any(|(_, other)| other.vpc_id.as_ref() == Some(&vpc_id)) {
        return Err(errors::vpc_has_gateway(&vpc_id));
    }
    tx.put(&GATEWAYS, &request.key(&id), &GatewayRow { vpc_id: Some(vpc_id) })?;
    Ok(())
}

pub(crate) fn detach(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DetachInternetGatewayInput,
) -> Result<(), Refusal> {
    let (id, vpc_id) = (input.internet_gateway_id, input.vpc_id);
    let row = KIND.get(tx, request, &id)?;
    vpcs::KIND.get(tx, request, &vpc_id)?;
    if row.vpc_id.as_ref() != Some(&vpc_id) {
        return Err(errors::gateway_not_attached(&id, &vpc_id));
    }
    for (interface_id, interface) in network_interfaces::KIND.all(tx, request)? {
        let is_public =
            interface.public.is_some() || addresses::of_interface(tx, &request.place, &interface_id)?.is_some();
        if interface.vpc_id == vpc_id && is_public {
            return Err(errors::mapped_addresses(&vpc_id));
        }
    }
    tx.put(&GATEWAYS, &request.key(&id), &GatewayRow::default())?;
    Ok(())
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DeleteInternetGatewayInput,
) -> Result<(), Refusal> {
    let id = &input.internet_gateway_id;
    if KIND.get(tx, request, id)?.vpc_id.is_some() {
        return Err(errors::has_dependencies("internetGateway", id));
    }
    tx.delete(&GATEWAYS, &request.key(id))?;
    Ok(tags::forget(tx, &request.place, id)?)
}

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeInternetGatewaysInput,
) -> Result<DescribeInternetGatewaysOutput, Refusal> {
    let known = ["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];
    let DescribeInternetGatewaysInput { internet_gateway_ids: ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(ids, filters, &known, max_results, next_token.as_deref())?;
    let describe = |id: &str, row, tags| Ok(described(request, id, row, tags));
    let values = |gateway: &InternetGateway, name: &str| {
        let attachments = gateway.attachments.iter();
        match name {
            "attachment.state" => attachments.filter_map(|attachment| attachment.state.clone()).collect(),
            "attachment.vpc-id" => attachments.filter_map(|attachment| attachment.vpc_id.clone()).collect(),
            "internet-gateway-id" => text(&gateway.internet_gateway_id),
            _ => text(&gateway.owner_id),
        }
    };
    let (internet_gateways, next_token) = KIND.list(view, request, &wanted, describe, values)?;
    Ok(DescribeInternetGatewaysOutput { internet_gateways, next_token })
}

fn described(request: &Request, id: &str, row: GatewayRow, tags: Vec<Tag>) -> InternetGateway {
    // EC2's word for a gateway that is attached.
    let attachment = |vpc_id| InternetGatewayAttachment { state: Some("available".to_owned()), vpc_id: Some(vpc_id) };
    InternetGateway {
        attachments: row.vpc_id.map(attachment).into_iter().collect(),
        internet_gateway_id: Some(id.to_owned()),
        owner_id: Some(request.account()),
        tags,
    }
}
