//! What EC2 says when a network can't be as asked.
//!
//! Invariant: codes and sentences are AWS's wherever they are known.

use std::net::Ipv4Addr;

use super::{Refusal, told};

pub(crate) fn no_cidr(parameter: &str, text: &str) -> Refusal {
    Refusal::InvalidValue(format!(
        "Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
    ))
}

pub(crate) fn vpc_range(cidr: &str) -> Refusal {
    told("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid."))
}

pub(crate) fn too_many_vpcs() -> Refusal {
    told("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
}

/// EC2 names kinds in its own way here: `vpc`, `routeTable`, …
pub(crate) fn has_dependencies(kind: &str, id: &str) -> Refusal {
    told("DependencyViolation", format!("The {kind} '{id}' has dependencies and cannot be deleted."))
}

pub(crate) fn subnet_range(cidr: &str) -> Refusal {
    told("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid."))
}

pub(crate) fn subnet_conflict(cidr: &str) -> Refusal {
    told("InvalidSubnet.Conflict", format!("The CIDR '{cidr}' conflicts with another subnet"))
}

pub(crate) fn too_many_subnets() -> Refusal {
    told("SubnetLimitExceeded", "The maximum number of subnets has been reached.")
}

pub(crate) fn no_such_zone(zone: &str, known: &[String]) -> Refusal {
    Refusal::InvalidValue(format!(
        "Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the \
         following availability zones: {}.",
        known.join(", ")
    ))
}

pub(crate) fn too_many_gateways() -> Refusal {
    told("InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
}

pub(crate) fn gateway_attached(id: &str, vpc_id: &str) -> Refusal {
    told("Resource.AlreadyAssociated", format!("resource {id} is already attached to network {vpc_id}"))
}

pub(crate) fn vpc_has_gateway(vpc_id: &str) -> Refusal {
    Refusal::InvalidValue(format!("Network {vpc_id} already has an internet gateway attached"))
}

pub(crate) fn gateway_not_attached(id: &str, vpc_id: &str) -> Refusal {
    told("Gateway.NotAttached", format!("resource {id} is not attached to network {vpc_id}"))
}

pub(crate) fn mapped_addresses(vpc_id: &str) -> Refusal {
    told(
        "DependencyViolation",
        format!(
            "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before \
             detaching the gateway."
        ),
    )
}

pub(crate) fn too_many_route_tables() -> Refusal {
    told("RouteTableLimitExceeded", "The maximum number of route tables has been reached.")
}

pub(crate) fn too_many_routes() -> Refusal {
    told("RouteLimitExceeded", "The maximum number of routes has been reached.")
}

/// `Route table rtb-1 and subnet subnet-2 belong to different networks`.
pub(crate) fn different_networks(what: &str, id: &str, other: &str, other_id: &str) -> Refusal {
    Refusal::InvalidValue(format!("{what} {id} and {other} {other_id} belong to different networks"))
}

pub(crate) fn different_gateway(table_id: &str, gateway_id: &str) -> Refusal {
    Refusal::InvalidValue(format!(
        "route table {table_id} and network gateway {gateway_id} belong to different networks"
    ))
}

pub(crate) fn route_table_conflict(table_id: &str) -> Refusal {
    told(
        "Resource.AlreadyAssociated",
        format!("the specified association for route table {table_id} conflicts with an existing association"),
    )
}

pub(crate) fn main_association(id: &str) -> Refusal {
    Refusal::InvalidValue(format!("cannot disassociate the main route table association {id}"))
}

pub(crate) fn no_such_association(id: &str) -> Refusal {
    told("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"))
}

pub(crate) fn no_such_gateway(id: &str) -> Refusal {
    told("InvalidGatewayID.NotFound", format!("The gateway ID '{id}' does not exist"))
}

pub(crate) fn route_inside_vpc(destination: &str) -> Refusal {
    Refusal::InvalidValue(format!(
        "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks. \
         This route can target only an interface or an instance."
    ))
}

pub(crate) fn route_exists(destination: &str) -> Refusal {
    told("RouteAlreadyExists", format!("The route identified by {destination} already exists."))
}

pub(crate) fn no_such_route(parameter: &str, destination: &str, table_id: &str) -> Refusal {
    told("InvalidRoute.NotFound", format!("no route with {parameter} {destination} in route table {table_id}"))
}

pub(crate) fn no_route_to_replace(destination: &str) -> Refusal {
    Refusal::InvalidValue(format!(
        "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
    ))
}

pub(crate) fn local_route(destination: &str, table_id: &str) -> Refusal {
    Refusal::InvalidValue(format!("cannot remove local route {destination} in route table {table_id}"))
}

pub(crate) fn too_many_acls() -> Refusal {
    told("NetworkAclLimitExceeded", "The maximum number of network ACLs has been reached.")
}

pub(crate) fn default_acl(id: &str) -> Refusal {
    Refusal::InvalidValue(format!("cannot delete default network ACL {id}"))
}

pub(crate) fn acl_entry_number(number: i32) -> Refusal {
    Refusal::InvalidValue(format!(
        "Value ({number}) for parameter ruleNumber is invalid. It must be between 1 and 32766."
    ))
}

pub(crate) fn acl_entry_exists(number: i32) -> Refusal {
    told("NetworkAclEntryAlreadyExists", format!("The network acl entry identified by {number} already exists."))
}

pub(crate) fn no_such_acl_entry(number: i32) -> Refusal {
    told("InvalidNetworkAclEntry.NotFound", format!("The network acl entry identified by {number} does not exist."))
}

pub(crate) fn too_many_acl_entries() -> Refusal {
    told("NetworkAclEntryLimitExceeded", "The maximum number of network acl entries has been reached.")
}

pub(crate) fn group_of_another_network() -> Refusal {
    told("InvalidParameter", "You have specified two resources that belong to different networks.")
}

pub(crate) fn too_many_groups_of_interface() -> Refusal {
    told(
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per interface has been reached.",
    )
}

pub(crate) fn no_such_rule() -> Refusal {
    told("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
}

pub(crate) fn too_many_addresses() -> Refusal {
    told("AddressLimitExceeded", "The maximum number of addresses has been reached.")
}

pub(crate) fn no_such_address(public: &str) -> Refusal {
    told("InvalidAddress.NotFound", format!("Address '{public}' not found."))
}

pub(crate) fn address_in_use(id: &str) -> Refusal {
    told("InvalidIPAddress.InUse", format!("The address with allocation id '{id}' is in use: disassociate it first."))
}

pub(crate) fn address_associated(id: &str, interface_id: &str) -> Refusal {
    told("Resource.AlreadyAssociated", format!("resource {id} is already associated with associate-id {interface_id}"))
}

pub(crate) fn interface_associated(interface_id: &str) -> Refusal {
    told("Resource.AlreadyAssociated", format!("resource {interface_id} is already associated with an address"))
}

pub(crate) fn network_without_gateway(vpc_id: &str) -> Refusal {
    told("Gateway.NotAttached", format!("Network {vpc_id} is not attached to any internet gateway"))
}

pub(crate) fn too_many_interfaces() -> Refusal {
    told("NetworkInterfaceLimitExceeded", "The maximum number of network interfaces has been reached.")
}

pub(crate) fn requester_managed(id: &str) -> Refusal {
    told(
        "AuthFailure",
        format!("You do not have permission to access the specified resource: {id} is managed by its requester."),
    )
}

/// An interface that is to be deleted.
pub(crate) fn interface_in_use(id: &str) -> Refusal {
    Refusal::InvalidValue(format!("Network interface '{id}' is currently in use."))
}

/// An interface that is to be a new instance's.
pub(crate) fn interface_taken(id: &str) -> Refusal {
    told("InvalidNetworkInterface.InUse", format!("Interface: [{id}] in use."))
}

pub(crate) fn no_such_attachment(interface_id: &str) -> Refusal {
    told("InvalidAttachmentID.NotFound", format!("The interface '{interface_id}' has no such attachment"))
}

pub(crate) fn private_address_in_use(address: Ipv4Addr) -> Refusal {
    told("InvalidIPAddress.InUse", format!("Address {address} is in use."))
}

pub(crate) fn no_free_address(subnet_id: &str) -> Refusal {
    told(
        "InsufficientFreeAddressesInSubnet",
        format!(
            "There are not enough free addresses in subnet '{subnet_id}' to satisfy the requested number of instances."
        ),
    )
}
