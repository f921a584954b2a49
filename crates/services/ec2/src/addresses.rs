//! Elastic IP addresses: records of public addresses, which nothing on the internet leads to.
//!
//! Invariants:
//! - An address is one account's, and stands for at most one interface.
//! - One that stands for an interface is not released.

use api::ec2::*;
use store::{Scan, StoreError, Transaction, View};

use crate::address_pool;
use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::instances;
use crate::listing::{Kind, text};
use crate::network_interfaces;
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::{tags, vpcs};

/// Elastic IP addresses in a region. AWS begins with 5 and raises it on demand.
pub(crate) const ADDRESSES_MAX: usize = 500;

pub(crate) const KIND: Kind<AddressRow> = Kind { table: &ADDRESSES, id: "eipalloc" };

pub(crate) fn allocate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: AllocateAddressInput,
) -> Result<AllocateAddressOutput, Refusal> {
    vpcs::refuse_given(&[
        ("Address", input.address.is_some()),
        ("CustomerOwnedIpv4Pool", input.customer_owned_ipv4_pool.is_some()),
        ("IpamPoolId", input.ipam_pool_id.is_some()),
    ])?;
    if let Some(pool) = input.public_ipv4_pool.filter(|pool| pool != "amazon") {
        return Err(errors::unsupported_value("publicIpv4Pool", &pool));
    }
    if let Some(group) = input.network_border_group.filter(|group| *group != request.place.region.as_str()) {
        return Err(errors::unsupported_value("networkBorderGroup", &group));
    }
    // EC2-Classic is gone, on AWS too.
    if let Some(domain) = input.domain.filter(|domain| domain != "vpc") {
        return Err(errors::unsupported_value("domain", &domain));
    }
    if tx.count(&ADDRESSES, &Scan::prefix(&request.place.prefix()))? >= ADDRESSES_MAX {
        return Err(errors::too_many_addresses());
    }
    let tags = tags::specified(request, input.tag_specifications, "elastic-ip")?;
    let public = address_pool::take_public(tx, &*request.inner.ids)?;
    let id = request.new_id("eipalloc");
    tx.insert(&ADDRESSES, &request.key(&id), &AddressRow { public, association: None })?;
    tags::put(tx, &request.place, &id, "elastic-ip", &tags)?;
    Ok(AllocateAddressOutput {
        allocation_id: Some(id),
        domain: Some("vpc".to_owned()),
        network_border_group: Some(request.place.region.to_string()),
        public_ip: Some(public.to_string()),
        public_ipv4_pool: Some("amazon".to_owned()),
        ..AllocateAddressOutput::default()
    })
}

/// The address that a client names by its id or by itself.
fn named(
    view: &View<'_>,
    request: &Request,
    id: Option<&String>,
    public: Option<&String>,
) -> Result<(String, AddressRow), Refusal> {
    match (id, public) {
        (Some(_), Some(_)) => Err(Refusal::Combination("PublicIp", "AllocationId")),
        (Some(id), None) => Ok((id.clone(), KIND.get(view, request, id)?)),
        (None, Some(public)) => {
            let found = KIND.all(view, request)?.into_iter().find(|(_, row)| row.public.to_string() == *public);
            found.ok_or_else(|| errors::no_such_address(public))
        }
        (None, None) => Err(Refusal::Missing("allocationId or publicIp".into())),
    }
}

pub(crate) fn release(tx: &mut Transaction<'_>, request: &Request, input: ReleaseAddressInput) -> Result<(), Refusal> {
    let (id, row) = named(tx, request, input.allocation_id.as_ref(), input.public_ip.as_ref())?;
    if row.association.is_some() {
        return Err(errors::address_in_use(&id));
    }
    tx.delete(&ADDRESSES, &request.key(&id))?;
    Ok(tags::forget(tx, &request.place, &id)?)
}

pub(crate) fn associate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: AssociateAddressInput,
) -> Result<AssociateAddressOutput, Refusal> {
    let (id, mut row) = named(tx, request, input.allocation_id.as_ref(), input.public_ip.as_ref())?;
    let interface_id = match (input.instance_id, input.network_interface_id) {
        (Some(_), Some(_)) => return Err(Refusal::Combination("networkInterfaceId", "instanceId")),
        (Some(instance_id), None) => instances::interface_of(tx, request, &instance_id)?,
        (None, Some(interface_id)) => interface_id,
        (None, None) => return Err(Refusal::Missing("instanceId or networkInterfaceId".into())),
    };
    let interface = network_interfaces::KIND.get(tx, request, &interface_id)?;
    if let Some(private) = input.private_ip_address.filter(|private| *private != interface.address.to_string()) {
        return Err(errors::invalid_value("privateIpAddress", &private));
    }
    let gateways = crate::internet_gateways::KIND.all(tx, request)?;
    if gateways.iter().all(|(_, gateway)| gateway.vpc_id.as_ref() != Some(&interface.vpc_id)) {
        return Err(errors::network_without_gateway(&interface.vpc_id));
    }
    // In a VPC an address moves unless the client says that it must not.
    let stays = input.allow_reassociation == Some(false);
    if let Some(present) = row.association.as_ref().filter(|present| present.interface_id != interface_id && stays) {
        return Err(errors::address_associated(&id, &present.interface_id));
    }
    if let Some((other_id, mut other)) =
        of_interface(tx, &request.place, &interface_id)?.filter(|(other, _)| *other != id)
    {
        if stays {
            return Err(errors::interface_associated(&interface_id));
        }
        other.association = None;
        tx.put(&ADDRESSES, &request.key(&other_id), &other)?;
    }
    let association_id = request.new_id("eipassoc");
    row.association = Some(AddressAssociationRow { id: association_id.clone(), interface_id: interface_id.clone() });
    tx.put(&ADDRESSES, &request.key(&id), &row)?;
    // The address that came with the start goes back, as on AWS.
    network_interfaces::set_public(tx, &request.place, &interface_id, None)?;
    Ok(AssociateAddressOutput { association_id: Some(association_id) })
}

pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DisassociateAddressInput,
) -> Result<(), Refusal> {
    let (id, mut row) = match (&input.association_id, &input.public_ip) {
        (Some(association_id), _) => {
            let is_meant = |row: &AddressRow| row.association.as_ref().is_some_and(|one| one.id == *association_id);
            let found = KIND.all(tx, request)?.into_iter().find(|(_, row)| is_meant(row));
            found.ok_or_else(|| errors::no_such_association(association_id))?
        }
        (None, public) => named(tx, request, None, public.as_ref())?,
    };
    row.association = None;
    tx.put(&ADDRESSES, &request.key(&id), &row)?;
    Ok(())
}

/// The address that stands for an interface.
pub(crate) fn of_interface(
    view: &View<'_>,
    place: &Place,
    interface_id: &str,
) -> Result<Option<(String, AddressRow)>, StoreError> {
    let prefix = place.prefix();
    let rows = view.scan(&ADDRESSES, &Scan::prefix(&prefix))?;
    let is_its = |row: &AddressRow| row.association.as_ref().is_some_and(|one| one.interface_id == interface_id);
    let found = rows.into_iter().find(|row| is_its(&row.value));
    Ok(found.map(|row| (row.key[prefix.len()..].to_owned(), row.value)))
}

/// Takes an interface's address off, because the interface goes.
pub(crate) fn leave(tx: &mut Transaction<'_>, place: &Place, interface_id: &str) -> Result<(), StoreError> {
    if let Some((id, mut row)) = of_interface(tx, place, interface_id)? {
        row.association = None;
        tx.put(&ADDRESSES, &place.key(&id), &row)?;
    }
    Ok(())
}

const KNOWN: &[&str] = &[
    "allocation-id",
    "association-id",
    "domain",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
];

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeAddressesInput,
) -> Result<DescribeAddressesOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN)?;
    let mut rows = KIND.named(view, request, &input.allocation_ids)?;
    for public in &input.public_ips {
        if KIND.all(view, request)?.iter().all(|(_, row)| row.public.to_string() != *public) {
            return Err(errors::no_such_address(public));
        }
    }
    rows.retain(|(_, row)| input.public_ips.is_empty() || input.public_ips.contains(&row.public.to_string()));
    let mut addresses = Vec::new();
    for (id, row) in rows {
        let tags = tags::of(view, &request.place, &id)?;
        let address = described(view, request, id, row, tags)?;
        if filters.pass(&address.tags, |name| values(&address, name)) {
            addresses.push(address);
        }
    }
    Ok(DescribeAddressesOutput { addresses })
}

fn values(address: &Address, name: &str) -> Vec<String> {
    match name {
        "allocation-id" => text(&address.allocation_id),
        "association-id" => text(&address.association_id),
        "domain" => text(&address.domain),
        "instance-id" => text(&address.instance_id),
        "network-border-group" => text(&address.network_border_group),
        "network-interface-id" => text(&address.network_interface_id),
        "network-interface-owner-id" => text(&address.network_interface_owner_id),
        "private-ip-address" => text(&address.private_ip_address),
        _ => text(&address.public_ip),
    }
}

fn described(
    view: &View<'_>,
    request: &Request,
    id: String,
    row: AddressRow,
    tags: Vec<Tag>,
) -> Result<Address, StoreError> {
    let mut address = Address {
        allocation_id: Some(id),
        domain: Some("vpc".to_owned()),
        network_border_group: Some(request.place.region.to_string()),
        public_ip: Some(row.public.to_string()),
        public_ipv4_pool: Some("amazon".to_owned()),
        tags,
        ..Address::default()
    };
    if let Some(association) = row.association {
        let interface = view.get(&INTERFACES, &request.key(&association.interface_id))?.map(|row| row.value);
        address.association_id = Some(association.id);
        address.network_interface_id = Some(association.interface_id);
        address.network_interface_owner_id = Some(request.account());
        address.private_ip_address = interface.as_ref().map(|interface| interface.address.to_string());
        address.instance_id = interface.and_then(|interface| interface.attachment?.instance_id);
    }
    Ok(address)
}
