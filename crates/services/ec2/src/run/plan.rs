//! [`Plan`]: what a RunInstances call asks for, checked.
//!
//! Invariants:
//! - What it names is there, and fits together: image, type, key, subnet, groups of the subnet's VPC.
//! - A parameter that nothing here honours is refused by its name.

use std::net::Ipv4Addr;

use api::ec2::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::View;

use crate::errors::{self, Refusal};
use crate::images::{self, Found};
use crate::instance_attributes::{metadata_of, shutdown_terminates};
use crate::request::Request;
use crate::rows::*;
use crate::rules::GroupName;
use crate::vpcs::refuse_given;
use crate::{address_pool, instance_types, instances, key_pairs, network_interfaces, security_groups, subnets, tags};

/// AWS: how long user data may be.
pub(crate) const USER_DATA_BYTES_MAX: usize = 16_384;

/// What is to be started.
pub(super) struct Plan {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) image: Found,
    pub(super) instance_type: String,
    pub(super) key: Option<KeyRow>,
    pub(super) client_token: Option<String>,
    pub(super) user_data: Option<String>,
    pub(super) zone: String,
    pub(super) vpc_id: String,
    pub(super) subnet_id: String,
    /// An interface that is there already.
    pub(super) interface_id: Option<String>,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) groups: Vec<String>,
    pub(super) description: String,
    pub(super) delete_interface: bool,
    pub(super) gets_public: bool,
    pub(super) disable_api_termination: bool,
    pub(super) disable_api_stop: bool,
    pub(super) shutdown_terminates: bool,
    pub(super) metadata: MetadataRow,
    pub(super) monitoring: bool,
    pub(super) ebs_optimized: bool,
    pub(super) instance_tags: Vec<(String, String)>,
    pub(super) interface_tags: Vec<(String, String)>,
}

impl Plan {
    pub(super) fn new(view: &View<'_>, request: &Request, mut input: RunInstancesInput) -> Result<Self, Refusal> {
        refuse_unsupported(&input)?;
        let (min, max) = counts(input.min_count, input.max_count)?;
        let image_id = input.image_id.as_deref().ok_or(Refusal::Missing("ImageId".into()))?;
        let image = images::to_start(view, request, image_id)?;
        let instance_type = input.instance_type.take().unwrap_or_else(|| instance_types::DEFAULT.to_owned());
        instance_types::find(&instance_type).ok_or_else(|| errors::no_such_instance_type(&instance_type))?;
        let key = input.key_name.as_deref().map(|name| key_pairs::find(view, request, name)).transpose()?;
        if let Some(user_data) = &input.user_data {
            check_user_data(user_data)?;
        }
        check_devices(&input.block_device_mappings)?;
        let metadata = input.metadata_options.take().map(|given| {
            let InstanceMetadataOptionsRequest { http_endpoint, http_protocol_ipv6, http_tokens, .. } = &given;
            let hops = given.http_put_response_hop_limit;
            let tags = given.instance_metadata_tags.as_deref();
            let texts = [http_endpoint.as_deref(), http_protocol_ipv6.as_deref(), http_tokens.as_deref(), tags];
            metadata_of(MetadataRow::default(), texts, hops)
        });
        let behavior = input.instance_initiated_shutdown_behavior.as_deref();
        let shutdown_terminates = behavior.map(shutdown_terminates).transpose()?.unwrap_or(false);
        let kinds = ["instance", "network-interface", "volume"];
        let mut tags = tags::specified_for(request, std::mem::take(&mut input.tag_specifications), &kinds)?;
        let site = Site::of(view, request, &input, max)?;
        Ok(Self {
            min,
            max,
            image,
            instance_type,
            key,
            client_token: input.client_token,
            user_data: input.user_data.filter(|data| !data.is_empty()),
            zone: site.subnet.zone,
            vpc_id: site.subnet.vpc_id,
            subnet_id: site.subnet_id,
            interface_id: site.interface_id,
            address: site.address,
            groups: site.groups,
            description: site.description,
            delete_interface: site.delete_interface,
            gets_public: site.gets_public,
            disable_api_termination: input.disable_api_termination.unwrap_or(false),
            disable_api_stop: input.disable_api_stop.unwrap_or(false),
            shutdown_terminates,
            metadata: metadata.transpose()?.unwrap_or_default(),
            monitoring: input.monitoring.is_some_and(|monitoring| monitoring.enabled),
            ebs_optimized: input.ebs_optimized.unwrap_or(false),
            instance_tags: tags.remove("instance").unwrap_or_default(),
            interface_tags: tags.remove("network-interface").unwrap_or_default(),
        })
    }
}

fn counts(min: i32, max: i32) -> Result<(usize, usize), Refusal> {
    match (usize::try_from(min), usize::try_from(max)) {
        (Ok(min @ 1..), Ok(max)) if min <= max => Ok((min, max)),
        (Ok(1..), Ok(1..)) => Err(errors::min_above_max()),
        (Ok(1..), _) => Err(errors::invalid_value("maxCount", &max.to_string())),
        _ => Err(errors::invalid_value("minCount", &min.to_string())),
    }
}

/// Refuses user data that are too long or not in base64.
pub(crate) fn check_user_data(encoded: &str) -> Result<(), Refusal> {
    let bytes = STANDARD.decode(encoded.replace(['\n', '\r'], "")).map_err(|_| errors::user_data_encoding())?;
    if bytes.len() > USER_DATA_BYTES_MAX { Err(errors::user_data_too_long()) } else { Ok(()) }
}

/// The disk of an instance grows with what is on it: its size and kind are taken and have no effect, and there is only
/// the one.
fn check_devices(mappings: &[BlockDeviceMapping]) -> Result<(), Refusal> {
    for mapping in mappings {
        let device = mapping.device_name.as_deref().unwrap_or_default();
        let is_root = matches!(device, instances::ROOT_DEVICE | "/dev/sda1" | "xvda");
        let Some(disk) = mapping.ebs.as_ref().filter(|_| is_root) else {
            return Err(errors::unsupported_value("BlockDeviceMapping.DeviceName", device));
        };
        refuse_given(&[
            ("Ebs.Encrypted", disk.encrypted == Some(true)),
            ("Ebs.SnapshotId", disk.snapshot_id.is_some()),
            ("Ebs.KmsKeyId", disk.kms_key_id.is_some()),
            ("Ebs.DeleteOnTermination=false", disk.delete_on_termination == Some(false)),
            ("Ebs.OutpostArn", disk.outpost_arn.is_some()),
        ])?;
    }
    Ok(())
}

fn refuse_unsupported(input: &RunInstancesInput) -> Result<(), Refusal> {
    let placement = input.placement.as_ref();
    let placed = |is: fn(&Placement) -> bool| placement.is_some_and(is);
    let reservation = input.capacity_reservation_specification.as_ref();
    let names = input.private_dns_name_options.as_ref();
    if let Some(tenancy) = placement.and_then(|one| one.tenancy.as_deref()).filter(|one| *one != "default") {
        return Err(errors::unsupported_value("placement.tenancy", tenancy));
    }
    refuse_given(&[
        ("KernelId", input.kernel_id.is_some()),
        ("RamdiskId", input.ramdisk_id.is_some()),
        ("AdditionalInfo", input.additional_info.is_some()),
        ("Ipv6AddressCount", input.ipv6_address_count.is_some_and(|count| count != 0)),
        ("Ipv6Address", !input.ipv6_addresses.is_empty()),
        ("EnablePrimaryIpv6", input.enable_primary_ipv6 == Some(true)),
        ("ElasticGpuSpecification", !input.elastic_gpu_specification.is_empty()),
        ("ElasticInferenceAccelerator", !input.elastic_inference_accelerators.is_empty()),
        ("InstanceMarketOptions", input.instance_market_options.is_some()),
        ("CpuOptions", input.cpu_options.is_some()),
        ("CapacityReservationTarget", reservation.is_some_and(|one| one.capacity_reservation_target.is_some())),
        ("HibernationOptions", input.hibernation_options.as_ref().is_some_and(|one| one.configured == Some(true))),
        ("EnclaveOptions", input.enclave_options.as_ref().is_some_and(|one| one.enabled == Some(true))),
        ("LicenseSpecification", !input.license_specifications.is_empty()),
        ("NetworkPerformanceOptions", input.network_performance_options.is_some()),
        ("Operator", input.operator.is_some()),
        ("SecondaryInterface", !input.secondary_interfaces.is_empty()),
        ("Placement.Affinity", placed(|one| one.affinity.is_some())),
        ("Placement.GroupName", placed(|one| one.group_name.as_ref().is_some_and(|name| !name.is_empty()))),
        ("Placement.GroupId", placed(|one| one.group_id.is_some())),
        ("Placement.PartitionNumber", placed(|one| one.partition_number.is_some())),
        ("Placement.HostId", placed(|one| one.host_id.is_some())),
        ("Placement.HostResourceGroupArn", placed(|one| one.host_resource_group_arn.is_some())),
        ("Placement.SpreadDomain", placed(|one| one.spread_domain.is_some())),
        (
            "PrivateDnsNameOptions.HostnameType",
            names.is_some_and(|one| one.hostname_type.as_deref().is_some_and(|kind| kind != "ip-name")),
        ),
    ])
}

/// Where instances are to stand.
struct Site {
    subnet_id: String,
    subnet: SubnetRow,
    interface_id: Option<String>,
    address: Option<Ipv4Addr>,
    groups: Vec<String>,
    description: String,
    delete_interface: bool,
    gets_public: bool,
}

impl Site {
    fn of(view: &View<'_>, request: &Request, input: &RunInstancesInput, max: usize) -> Result<Self, Refusal> {
        let interface = match input.network_interfaces.as_slice() {
            [] => InstanceNetworkInterfaceSpecification::default(),
            [one] => {
                check_interface(one)?;
                if input.subnet_id.is_some()
                    || !input.security_group_ids.is_empty()
                    || !input.security_groups.is_empty()
                {
                    return Err(errors::interfaces_and_instance_level());
                }
                one.clone()
            }
            _ => return Err(errors::unsupported_parameter("NetworkInterface.2")),
        };
        if let Some(id) = &interface.network_interface_id {
            return Self::of_interface(view, request, id, max);
        }
        let subnet_id = interface.subnet_id.as_ref().or(input.subnet_id.as_ref());
        let zone = input.placement.as_ref().and_then(|placement| placement.availability_zone.as_deref());
        let (subnet_id, subnet) = subnet(view, request, subnet_id, zone.filter(|zone| !zone.is_empty()))?;
        let mut groups = [&interface.groups[..], &input.security_group_ids].concat();
        if !input.security_groups.is_empty() {
            if subnet.vpc_id != request.place.vpc_id() {
                return Err(Refusal::Combination("groupName", "subnet"));
            }
            for name in &input.security_groups {
                groups.push(security_groups::find(view, request, GroupName::Name(name))?.id);
            }
        }
        let groups = security_groups::of_interface(view, request, &subnet.vpc_id, &groups)?;
        let first = interface.private_ip_addresses.first().and_then(|one| one.private_ip_address.as_ref());
        let address = interface.private_ip_address.as_ref().or(first).or(input.private_ip_address.as_ref());
        let address = address.map(|text| network_interfaces::address("privateIpAddress", text)).transpose()?;
        if address.is_some() && max > 1 {
            return Err(errors::address_for_many());
        }
        Ok(Self {
            gets_public: interface.associate_public_ip_address.unwrap_or(subnet.gives_public),
            subnet_id,
            subnet,
            interface_id: None,
            address,
            groups,
            description: interface.description.unwrap_or_default(),
            delete_interface: interface.delete_on_termination.unwrap_or(true),
        })
    }

    /// An interface that was made before.
    fn of_interface(view: &View<'_>, request: &Request, id: &str, max: usize) -> Result<Self, Refusal> {
        let row = network_interfaces::KIND.get(view, request, id)?;
        if row.attachment.is_some() {
            return Err(errors::interface_taken(id));
        }
        if max > 1 {
            return Err(errors::interface_for_many());
        }
        Ok(Self {
            subnet: subnets::KIND.get(view, request, &row.subnet_id)?,
            subnet_id: row.subnet_id,
            interface_id: Some(id.to_owned()),
            address: None,
            groups: row.groups,
            description: row.description,
            delete_interface: false,
            gets_public: false,
        })
    }
}

fn check_interface(one: &InstanceNetworkInterfaceSpecification) -> Result<(), Refusal> {
    if let Some(index) = one.device_index.filter(|index| *index != 0) {
        return Err(errors::unsupported_value("NetworkInterface.DeviceIndex", &index.to_string()));
    }
    if let Some(kind) = one.interface_type.as_deref().filter(|kind| *kind != "interface") {
        return Err(errors::unsupported_value("NetworkInterface.InterfaceType", kind));
    }
    refuse_given(&[
        ("AssociateCarrierIpAddress", one.associate_carrier_ip_address == Some(true)),
        ("Ipv6AddressCount", one.ipv6_address_count.is_some_and(|count| count != 0)),
        ("Ipv6Addresses", !one.ipv6_addresses.is_empty()),
        ("Ipv4Prefix", !one.ipv4_prefixes.is_empty() || one.ipv4_prefix_count.is_some()),
        ("Ipv6Prefix", !one.ipv6_prefixes.is_empty() || one.ipv6_prefix_count.is_some()),
        ("PrimaryIpv6", one.primary_ipv6 == Some(true)),
        ("NetworkCardIndex", one.network_card_index.is_some_and(|index| index != 0)),
        ("SecondaryPrivateIpAddressCount", one.secondary_private_ip_address_count.is_some_and(|count| count != 0)),
        ("PrivateIpAddresses", one.private_ip_addresses.len() > 1),
        ("EnaSrdSpecification", one.ena_srd_specification.is_some()),
        ("ConnectionTrackingSpecification", one.connection_tracking_specification.is_some()),
        ("EnaQueueCount", one.ena_queue_count.is_some()),
    ])
}

/// The subnet that is named, or the default one of the zone, or of the first zone with room.
fn subnet(
    view: &View<'_>,
    request: &Request,
    named: Option<&String>,
    zone: Option<&str>,
) -> Result<(String, SubnetRow), Refusal> {
    if let Some(id) = named {
        let subnet = subnets::KIND.get(view, request, id)?;
        return match zone.filter(|zone| *zone != subnet.zone) {
            Some(zone) => Err(errors::invalid_value("availabilityZone", zone)),
            None => Ok((id.clone(), subnet)),
        };
    }
    let region = &request.place.region;
    if let Some(zone) = zone.filter(|zone| request.layout().zones_in(region).all(|known| known.name != *zone)) {
        return Err(errors::invalid_value("availabilityZone", zone));
    }
    let vpc_id = request.place.vpc_id();
    if !view.contains(&VPCS, &request.key(&vpc_id))? {
        return Err(errors::no_default_vpc());
    }
    for candidate in request.layout().zones_in(region).filter(|known| zone.is_none_or(|zone| zone == known.name)) {
        let id = request.place.subnet_id(&candidate.name);
        let Some(row) = view.get(&SUBNETS, &request.key(&id))? else { continue };
        let taken = address_pool::taken(view, &request.place, &id)?.len() as u64;
        if zone.is_some() || taken < address_pool::capacity(row.value.cidr) {
            return Ok((id, row.value));
        }
    }
    Err(errors::no_default_subnet(&vpc_id))
}
