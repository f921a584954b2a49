//! What every account has in every region from the start: a VPC with a subnet in each zone, and the way out.
//!
//! Invariants:
//! - Default things are made once. What a user deletes stays deleted; a zone that the configuration gets later brings
//!   its default subnet.
//! - Their ids follow from account, region and zone.

use store::{Scan, StoreError, Transaction, View};

use crate::cidr::Cidr;
use crate::network_acls;
use crate::place::{Layout, Place, VPC_CIDR, VPC_PREFIX};
use crate::rows::*;
use crate::security_groups;

/// How long the prefix of a default subnet is: 4,096 addresses.
const SUBNET_PREFIX: u8 = 20;

/// Whether a place has all that it should have from the start.
pub(crate) fn are_made(view: &View<'_>, layout: &Layout, place: &Place) -> Result<bool, StoreError> {
    let row = view.get(&SEEDS, &place.key(""))?;
    Ok(row.is_some_and(|row| layout.zones_in(&place.region).all(|zone| row.value.zones.contains(&zone.name))))
}

/// Makes what is missing.
pub(crate) fn make(tx: &mut Transaction<'_>, layout: &Layout, place: &Place) -> Result<(), StoreError> {
    let seed = tx.get(&SEEDS, &place.key(""))?.map(|row| row.value);
    if seed.is_none() {
        make_vpc(tx, place)?;
        adopt_groups(tx, place)?;
    }
    let mut seed = seed.unwrap_or_default();
    for zone in layout.zones_in(&place.region) {
        if !seed.zones.contains(&zone.name) {
            make_subnet(tx, place, &zone.name)?;
            seed.zones.push(zone.name.clone());
        }
    }
    tx.put(&SEEDS, &place.key(""), &seed)?;
    touch(tx)
}

fn make_vpc(tx: &mut Transaction<'_>, place: &Place) -> Result<(), StoreError> {
    let vpc_id = place.vpc_id();
    let vpc = VpcRow { cidr: vpc_cidr(), is_default: true, dns_support: true, dns_hostnames: true };
    tx.put(&VPCS, &place.key(&vpc_id), &vpc)?;
    let gateway_id = place.derived("igw", "");
    tx.put(&GATEWAYS, &place.key(&gateway_id), &GatewayRow { vpc_id: Some(vpc_id.clone()) })?;
    let table = RouteTableRow {
        vpc_id: vpc_id.clone(),
        main_association: Some(place.derived("rtbassoc", "")),
        associations: Vec::new(),
        routes: vec![RouteRow { destination: "0.0.0.0/0".to_owned(), gateway_id }],
    };
    tx.put(&ROUTE_TABLES, &place.key(&place.derived("rtb", "")), &table)?;
    let acl = AclRow {
        vpc_id: vpc_id.clone(),
        is_default: true,
        associations: Vec::new(),
        entries: network_acls::open_entries(),
    };
    tx.put(&ACLS, &place.key(&place.derived("acl", "")), &acl)?;
    let group_id = place.default_group_id();
    // Its rules may have been changed before there were rows for the rest.
    if !tx.contains(&GROUPS, &place.key(&group_id))? {
        let ids = (place.derived("sgr", "default"), place.derived("sgr", "default egress"));
        tx.put(&GROUPS, &place.key(&group_id), &security_groups::default_row(&vpc_id, &group_id, ids))?;
    }
    Ok(())
}

/// Groups from before there was more than the default VPC are its own, and let everything out.
fn adopt_groups(tx: &mut Transaction<'_>, place: &Place) -> Result<(), StoreError> {
    for mut row in tx.scan(&GROUPS, &Scan::prefix(&place.prefix()))? {
        if row.value.vpc_id.is_empty() {
            row.value.vpc_id = place.vpc_id();
            let id = place.derived("sgr", &format!("{} egress", row.key));
            row.value.egress.push(security_groups::everything_out(id));
            tx.put(&GROUPS, &row.key, &row.value)?;
        }
    }
    Ok(())
}

fn make_subnet(tx: &mut Transaction<'_>, place: &Place, zone: &str) -> Result<(), StoreError> {
    let vpc_id = place.vpc_id();
    if !tx.contains(&VPCS, &place.key(&vpc_id))? {
        return Ok(());
    }
    let subnets = tx.scan(&SUBNETS, &Scan::prefix(&place.prefix()))?;
    let taken: Vec<Cidr> = subnets.iter().filter(|row| row.value.vpc_id == vpc_id).map(|row| row.value.cidr).collect();
    let (vpc, step) = (vpc_cidr(), 1 << (32 - SUBNET_PREFIX));
    let mut blocks = (0..).map(|n| n * step).take_while(|offset| u64::from(*offset) < vpc.size());
    let free = blocks.find_map(|offset| {
        let cidr = Cidr::of(vpc.at(offset), SUBNET_PREFIX);
        taken.iter().all(|taken| !taken.overlaps(cidr)).then_some(cidr)
    });
    // Users' own subnets may have left no room.
    let Some(cidr) = free else { return Ok(()) };
    let subnet_id = place.subnet_id(zone);
    let subnet = SubnetRow {
        vpc_id: vpc_id.clone(),
        zone: zone.to_owned(),
        cidr,
        is_default: true,
        gives_public: true,
        next_offset: 0,
    };
    tx.put(&SUBNETS, &place.key(&subnet_id), &subnet)?;
    let association_id = place.derived("aclassoc", zone);
    network_acls::join_default(tx, place, &vpc_id, AssociationRow { id: association_id, subnet_id })
}

fn vpc_cidr() -> Cidr {
    Cidr::of(VPC_CIDR, VPC_PREFIX)
}
