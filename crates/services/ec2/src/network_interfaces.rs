//! Network interfaces: an address in a subnet, with the groups that judge its packets.
//!
//! Invariants:
//! - An instance has exactly one for as long as it is not terminated.
//! - One that a service made for a user, a load balancer's for instance, only services change or delete; it counts as
//!   attached, so its subnet and its groups stay.

mod describe;

use std::net::Ipv4Addr;

use api::ec2::*;
use store::{Scan, StoreError, Transaction, View};

pub(crate) use describe::{describe, group_identifiers, mac_text, private_name, public_name};

use crate::address_pool;
use crate::client_tokens::{self, Asked};
use crate::errors::{self, Refusal};
use crate::listing::Kind;
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::{addresses, security_groups, subnets, tags, vpcs};

/// AWS's quota: network interfaces in a region.
const INTERFACES_MAX: usize = 5_000;
/// AWS: the longest description.
const DESCRIPTION_CHARACTERS_MAX: usize = 255;

/// The service whose interfaces are its nodes' presences in a VPC.
pub(crate) const LOAD_BALANCING: &str = "elasticloadbalancing.amazonaws.com";

pub(crate) const KIND: Kind<InterfaceRow> = Kind { table: &INTERFACES, id: "eni" };

/// What a new interface shall be.
pub(crate) struct NewInterface {
    pub(crate) subnet_id: String,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) groups: Vec<String>,
    pub(crate) description: String,
    pub(crate) attachment: Option<AttachmentRow>,
    pub(crate) gets_public: bool,
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateNetworkInterfaceInput,
) -> Result<CreateNetworkInterfaceOutput, Refusal> {
    vpcs::refuse_given(&[
        ("Ipv4Prefix", !input.ipv4_prefixes.is_empty()),
        ("Ipv4PrefixCount", input.ipv4_prefix_count.is_some()),
        ("Ipv6Prefix", !input.ipv6_prefixes.is_empty()),
        ("Ipv6PrefixCount", input.ipv6_prefix_count.is_some()),
        ("Ipv6AddressCount", input.ipv6_address_count.is_some_and(|count| count != 0)),
        ("Ipv6Addresses", !input.ipv6_addresses.is_empty()),
        ("EnablePrimaryIpv6", input.enable_primary_ipv6 == Some(true)),
        ("ConnectionTrackingSpecification", input.connection_tracking_specification.is_some()),
        ("Operator", input.operator.is_some()),
        ("SecondaryPrivateIpAddressCount", input.secondary_private_ip_address_count.is_some_and(|count| count != 0)),
        ("PrivateIpAddresses", input.private_ip_addresses.len() > 1),
    ])?;
    if let Some(kind) = input.interface_type.filter(|kind| kind != "interface") {
        return Err(errors::unsupported_value("interfaceType", &kind));
    }
    let (subnet_id, groups, description) = (input.subnet_id, input.groups, input.description.unwrap_or_default());
    let asked = format!("{subnet_id}\n{groups:?}\n{description:?}\n{:?}", input.private_ip_address);
    let asked = Asked::new("CreateNetworkInterface", input.client_token.clone(), &asked);
    if let Some(made) = client_tokens::made(tx, request, &asked)? {
        let id = made.first().cloned().unwrap_or_default();
        let (row, tags) = (KIND.get(tx, request, &id)?, tags::of(tx, &request.place, &id)?);
        let network_interface = Some(describe::described(tx, request, &id, row, tags)?);
        return Ok(CreateNetworkInterfaceOutput { client_token: input.client_token, network_interface });
    }
    let tags = tags::specified(request, input.tag_specifications, "network-interface")?;
    let first = input.private_ip_addresses.into_iter().next().and_then(|one| one.private_ip_address);
    let address = input.private_ip_address.or(first).map(|text| address("privateIpAddress", &text)).transpose()?;
    // What a service makes for a user is in use from its first moment: the service has it.
    let attachment = keeps(request).is_some().then(|| AttachmentRow {
        id: request.new_id("eni-attach"),
        instance_id: None,
        at_ms: request.now_ms,
        delete_on_termination: false,
    });
    let new = NewInterface { subnet_id, address, groups, description, attachment, gets_public: false };
    let (id, row) = make(tx, request, new)?;
    let tags = tags::put_new(tx, request, &id, "network-interface", &tags)?;
    client_tokens::remember(tx, request, &asked, vec![id.clone()])?;
    let network_interface = Some(describe::described(tx, request, &id, row, tags)?);
    Ok(CreateNetworkInterfaceOutput { client_token: input.client_token, network_interface })
}

/// The service that asks, if what it makes for a user is its own to change.
fn keeps(request: &Request) -> Option<&str> {
    request.service.as_deref().filter(|service| *service == LOAD_BALANCING)
}

/// Reads an address that a client wrote.
pub(crate) fn address(parameter: &'static str, text: &str) -> Result<Ipv4Addr, Refusal> {
    text.parse().map_err(|_| errors::invalid_value(parameter, text))
}

/// Makes an interface's row.
pub(crate) fn make(
    tx: &mut Transaction<'_>,
    request: &Request,
    new: NewInterface,
) -> Result<(String, InterfaceRow), Refusal> {
    let mut subnet = subnets::KIND.get(tx, request, &new.subnet_id)?;
    if new.description.chars().count() > DESCRIPTION_CHARACTERS_MAX {
        return Err(errors::invalid_value("description", &new.description));
    }
    if tx.count(&INTERFACES, &Scan::prefix(&request.place.prefix()))? >= INTERFACES_MAX {
        return Err(errors::too_many_interfaces());
    }
    let groups = security_groups::of_interface(tx, request, &subnet.vpc_id, &new.groups)?;
    // What no instance has, the service that asks keeps to itself.
    let is_services = new.attachment.as_ref().is_some_and(|attachment| attachment.instance_id.is_none());
    let requester = keeps(request).filter(|_| is_services).map(str::to_owned);
    let address = address_pool::take(tx, &request.place, &new.subnet_id, &mut subnet, new.address)?;
    let public = match new.gets_public {
        true => Some(address_pool::take_public(tx, &*request.inner.ids)?),
        false => None,
    };
    let mut mac = [0; 6];
    request.inner.ids.fill(&mut mac);
    // Administered by us, and one card's: the two lowest bits of the first byte say so.
    mac[0] = (mac[0] & 0xfc) | 0x02;
    let row = InterfaceRow {
        subnet_id: new.subnet_id,
        vpc_id: subnet.vpc_id,
        zone: subnet.zone,
        address,
        mac,
        groups,
        description: new.description,
        requester,
        source_dest_check: true,
        attachment: new.attachment,
        public,
    };
    let id = request.new_id("eni");
    tx.insert(&INTERFACES, &request.key(&id), &row)?;
    Ok((id, row))
}

/// Refuses what a service made when a user touches it.
fn check_owner(request: &Request, id: &str, row: &InterfaceRow) -> Result<(), Refusal> {
    match &row.requester {
        Some(requester) if request.service.as_deref() != Some(requester) => Err(errors::requester_managed(id)),
        _ => Ok(()),
    }
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DeleteNetworkInterfaceInput,
) -> Result<(), Refusal> {
    let id = &input.network_interface_id;
    let row = KIND.get(tx, request, id)?;
    check_owner(request, id, &row)?;
    if row.attachment.is_some_and(|attachment| attachment.instance_id.is_some()) {
        return Err(errors::interface_in_use(id));
    }
    Ok(remove(tx, &request.place, id)?)
}

/// Removes an interface with its tags; its Elastic IP address stays, for another.
pub(crate) fn remove(tx: &mut Transaction<'_>, place: &Place, id: &str) -> Result<(), StoreError> {
    addresses::leave(tx, place, id)?;
    tx.delete(&INTERFACES, &place.key(id))?;
    tags::forget(tx, place, id)
}

pub(crate) fn modify(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ModifyNetworkInterfaceAttributeInput,
) -> Result<(), Refusal> {
    vpcs::refuse_given(&[
        ("EnaSrdSpecification", input.ena_srd_specification.is_some()),
        ("EnablePrimaryIpv6", input.enable_primary_ipv6 == Some(true)),
        ("ConnectionTrackingSpecification", input.connection_tracking_specification.is_some()),
        ("AssociatePublicIpAddress", input.associate_public_ip_address.is_some()),
        ("AssociatedSubnetId", !input.associated_subnet_ids.is_empty()),
    ])?;
    let id = &input.network_interface_id;
    let mut row = KIND.get(tx, request, id)?;
    check_owner(request, id, &row)?;
    if let Some(description) = input.description.and_then(|description| description.value) {
        if description.chars().count() > DESCRIPTION_CHARACTERS_MAX {
            return Err(errors::invalid_value("description", &description));
        }
        row.description = description;
    }
    if !input.groups.is_empty() {
        row.groups = security_groups::of_interface(tx, request, &row.vpc_id, &input.groups)?;
    }
    if input.source_dest_check.is_some_and(|check| check.value == Some(false)) {
        // The engine's filters drop what an instance forwards for others.
        return Err(errors::unsupported_value("sourceDestCheck", "false"));
    }
    if let Some(changes) = input.attachment {
        let attachment = row.attachment.as_mut().ok_or_else(|| errors::no_such_attachment(id))?;
        if changes.attachment_id.is_some_and(|given| given != attachment.id) {
            return Err(errors::no_such_attachment(id));
        }
        if let Some(delete_on_termination) = changes.delete_on_termination {
            attachment.delete_on_termination = delete_on_termination;
        }
    }
    tx.put(&INTERFACES, &request.key(id), &row)?;
    Ok(())
}

/// Gives an interface another public address, or none.
pub(crate) fn set_public(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &str,
    public: Option<Ipv4Addr>,
) -> Result<(), StoreError> {
    if let Some(mut row) = tx.get(&INTERFACES, &place.key(id))? {
        row.value.public = public;
        tx.put(&INTERFACES, &row.key, &row.value)?;
    }
    Ok(())
}

/// The public address of an interface: an Elastic IP address goes before the one that came with the start.
pub(crate) fn public_address(
    view: &View<'_>,
    place: &Place,
    id: &str,
    row: &InterfaceRow,
) -> Result<Option<Ipv4Addr>, StoreError> {
    let elastic = addresses::of_interface(view, place, id)?.map(|(_, address)| address.public);
    Ok(elastic.or(row.public))
}
