//! Routes of a route table, besides the one to its own VPC.
//!
//! Invariants:
//! - A destination stands in a table once; the route to the VPC itself is always there.
//! - Routes lead to internet gateways only: targets that Millpond has not are refused by name.

use api::ec2::*;
use store::Transaction;

use crate::cidr::Cidr;
use crate::errors::{self, Refusal};
use crate::request::Request;
use crate::route_tables::{self, KIND};
use crate::rows::*;
use crate::rules::ipv6_network;
use crate::vpcs;

/// AWS's quota: routes of a route table.
const ROUTES_MAX: usize = 500;

/// The destination that a client names, canonical, and the parameter that names it.
fn destination(v4: Option<&String>, v6: Option<&String>) -> Result<(String, &'static str), Refusal> {
    match (v4, v6) {
        (Some(_), Some(_)) => Err(Refusal::Combination("destinationCidrBlock", "destinationIpv6CidrBlock")),
        (Some(text), None) => {
            let cidr: Cidr = text.parse().map_err(|_| errors::no_cidr("destinationCidrBlock", text))?;
            Ok((cidr.to_string(), "destination-cidr-block"))
        }
        (None, Some(text)) => {
            let cidr = ipv6_network(text).ok_or_else(|| errors::no_cidr("destinationIpv6CidrBlock", text))?;
            Ok((cidr, "destination-ipv6-cidr-block"))
        }
        (None, None) => Err(Refusal::Missing("destinationCidrBlock".into())),
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateRouteInput,
) -> Result<CreateRouteOutput, Refusal> {
    vpcs::refuse_given(&[
        ("DestinationPrefixListId", input.destination_prefix_list_id.is_some()),
        ("VpcEndpointId", input.vpc_endpoint_id.is_some()),
        ("EgressOnlyInternetGatewayId", input.egress_only_internet_gateway_id.is_some()),
        ("InstanceId", input.instance_id.is_some()),
        ("NatGatewayId", input.nat_gateway_id.is_some()),
        ("TransitGatewayId", input.transit_gateway_id.is_some()),
        ("LocalGatewayId", input.local_gateway_id.is_some()),
        ("CarrierGatewayId", input.carrier_gateway_id.is_some()),
        ("NetworkInterfaceId", input.network_interface_id.is_some()),
        ("VpcPeeringConnectionId", input.vpc_peering_connection_id.is_some()),
        ("CoreNetworkArn", input.core_network_arn.is_some()),
        ("OdbNetworkArn", input.odb_network_arn.is_some()),
    ])?;
    let (destination, _) =
        destination(input.destination_cidr_block.as_ref(), input.destination_ipv6_cidr_block.as_ref())?;
    let table_id = input.route_table_id;
    let mut table = KIND.get(tx, request, &table_id)?;
    let gateway_id = input.gateway_id.ok_or(Refusal::Missing("gatewayId".into()))?;
    route_tables::check_gateway(tx, request, &table_id, &table, &gateway_id)?;
    let vpc = vpcs::KIND.get(tx, request, &table.vpc_id)?;
    if destination.parse().is_ok_and(|destination: Cidr| vpc.cidr.contains(destination)) {
        return Err(errors::route_inside_vpc(&destination));
    }
    if table.routes.iter().any(|route| route.destination == destination) {
        return Err(errors::route_exists(&destination));
    }
    if table.routes.len() >= ROUTES_MAX {
        return Err(errors::too_many_routes());
    }
    table.routes.push(RouteRow { destination, gateway_id });
    tx.put(&ROUTE_TABLES, &request.key(&table_id), &table)?;
    Ok(CreateRouteOutput { r#return: Some(true) })
}

pub(crate) fn replace(tx: &mut Transaction<'_>, request: &Request, input: ReplaceRouteInput) -> Result<(), Refusal> {
    vpcs::refuse_given(&[
        ("DestinationPrefixListId", input.destination_prefix_list_id.is_some()),
        ("VpcEndpointId", input.vpc_endpoint_id.is_some()),
        ("LocalTarget", input.local_target == Some(true)),
        ("EgressOnlyInternetGatewayId", input.egress_only_internet_gateway_id.is_some()),
        ("InstanceId", input.instance_id.is_some()),
        ("NatGatewayId", input.nat_gateway_id.is_some()),
        ("TransitGatewayId", input.transit_gateway_id.is_some()),
        ("LocalGatewayId", input.local_gateway_id.is_some()),
        ("CarrierGatewayId", input.carrier_gateway_id.is_some()),
        ("NetworkInterfaceId", input.network_interface_id.is_some()),
        ("VpcPeeringConnectionId", input.vpc_peering_connection_id.is_some()),
        ("CoreNetworkArn", input.core_network_arn.is_some()),
        ("OdbNetworkArn", input.odb_network_arn.is_some()),
    ])?;
    let (destination, _) =
        destination(input.destination_cidr_block.as_ref(), input.destination_ipv6_cidr_block.as_ref())?;
    let table_id = input.route_table_id;
    let mut table = KIND.get(tx, request, &table_id)?;
    let gateway_id = input.gateway_id.ok_or(Refusal::Missing("gatewayId".into()))?;
    route_tables::check_gateway(tx, request, &table_id, &table, &gateway_id)?;
    let route = table.routes.iter_mut().find(|route| route.destination == destination);
    route.ok_or_else(|| errors::no_route_to_replace(&destination))?.gateway_id = gateway_id;
    tx.put(&ROUTE_TABLES, &request.key(&table_id), &table)?;
    Ok(())
}

pub(crate) fn delete(tx: &mut Transaction<'_>, request: &Request, input: DeleteRouteInput) -> Result<(), Refusal> {
    vpcs::refuse_given(&[("DestinationPrefixListId", input.destination_prefix_list_id.is_some())])?;
    let (destination, parameter) =
        destination(input.destination_cidr_block.as_ref(), input.destination_ipv6_cidr_block.as_ref())?;
    let table_id = input.route_table_id;
    let mut table = KIND.get(tx, request, &table_id)?;
    if vpcs::KIND.get(tx, request, &table.vpc_id)?.cidr.to_string() == destination {
        return Err(errors::local_route(&destination, &table_id));
    }
    if !table.routes.iter().any(|route| route.destination == destination) {
        return Err(errors::no_such_route(parameter, &destination, &table_id));
    }
    table.routes.retain(|route| route.destination != destination);
    tx.put(&ROUTE_TABLES, &request.key(&table_id), &table)?;
    Ok(())
}
