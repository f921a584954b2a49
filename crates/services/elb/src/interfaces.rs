//! Nodes' network interfaces: each subnet in which a load balancer stands has one of it, as on AWS.
//!
//! Invariants:
//! - What there should be follows from the rows, what there is EC2 says; an interface is known by its description and its
//!   subnet, so nothing of it is stored here and a crash between any two calls is made good by the next look.
//! - Before the first interface is made in an account's region, a row says that there may be some: those of a load
//!   balancer that is gone are found by it.
//! - An interface that cannot be made costs the way into the VPC, and nothing else of the load balancer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ::api::Call;
use ::api::ec2::{
    CreateNetworkInterfaceInput, DeleteNetworkInterfaceInput, DescribeNetworkInterfacesInput, Filter,
    ModifyNetworkInterfaceAttributeInput, NetworkInterface,
};
use store::{Scan, StoreError, Table};
use wire::ApiError;

use crate::rows::LoadBalancerRow;
use crate::service::Elb;
use crate::service_call;

/// Where there may be interfaces of load balancers, by account and region.
const PLACES: Table<()> = Table::new("elb_interface_places");
/// How EC2 calls the one who asked for these interfaces.
const REQUESTER: &str = "amazon-elb";
/// What AWS begins their descriptions with; the load balancer's name follows.
const DESCRIPTION: &str = "ELB ";
/// Interfaces that one question brings, and questions at most.
const PAGE_ROWS: i32 = 1000;
const PAGES_MAX: usize = 1000;

/// By account and region.
pub(crate) type Interfaces = BTreeMap<Place, Vec<NodeInterface>>;

type Place = (String, String);

/// A load balancer's interface in a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeInterface {
    id: String,
    pub(crate) load_balancer: String,
    pub(crate) subnet: String,
    pub(crate) vpc_id: String,
    pub(crate) address: Ipv4Addr,
    groups: BTreeSet<String>,
}

/// What a row asks for.
struct Wanted<'a> {
    load_balancer: &'a str,
    subnet: &'a str,
    /// Empty: EC2 gives it the VPC's default group.
    groups: BTreeSet<String>,
}

impl Elb {
    /// Makes the interfaces those that the rows ask for; what there is then, and what could not be done.
    pub(crate) async fn keep_interfaces(&self, rows: &[LoadBalancerRow]) -> (Interfaces, BTreeSet<String>) {
        let (mut interfaces, mut failures) = (Interfaces::new(), BTreeSet::new());
        // Without instances nobody is reached through a VPC.
        if self.inner.instance_networks.is_none() {
            return (interfaces, failures);
        }
        let known = match self.inner.store.read_async(|view| view.scan(&PLACES, &Scan::all())).await {
            Ok(known) => known.into_iter().filter_map(|row: store::Row<()>| place_in(&row.key)).collect(),
            Err(error) => {
                let error: StoreError = error;
                failures.insert(error.to_string());
                BTreeSet::new()
            }
        };
        let mut wanted: BTreeMap<Place, Vec<Wanted<'_>>> =
            known.iter().map(|place| (place.clone(), Vec::new())).collect();
        for row in rows {
            let subnets = row.zones.iter().filter_map(|zone| zone.subnet.as_deref());
            let all: Vec<_> = subnets.map(|subnet| Wanted::by(row, subnet)).collect();
            if !all.is_empty() {
                wanted.entry((row.account.clone(), row.region.clone())).or_default().extend(all);
            }
        }
        for (place, wanted) in wanted {
            match self.keep_in(&place, known.contains(&place), &wanted, &mut failures).await {
                Ok(present) => drop(interfaces.insert(place, present)),
                Err(error) => drop(failures.insert(error)),
            }
        }
        (interfaces, failures)
    }

    async fn keep_in(
        &self,
        place: &Place,
        is_known: bool,
        wanted: &[Wanted<'_>],
        failures: &mut BTreeSet<String>,
    ) -> Result<Vec<NodeInterface>, String> {
        let Some(call) = service_call::to_ec2(&place.0, &place.1) else { return Ok(Vec::new()) };
        let key = format!("{}\0{}", place.0, place.1);
        if !is_known {
            let write = self.inner.store.write_async(move |tx| tx.put(&PLACES, &key, &()).map(drop));
            write.await.map_err(|error: StoreError| error.to_string())?;
        } else if wanted.is_empty() && self.list(&call).await.map_err(|error| error.to_string())?.is_empty() {
            let write = self.inner.store.write_async(move |tx| tx.delete(&PLACES, &key).map(drop));
            write.await.map_err(|error: StoreError| error.to_string())?;
            return Ok(Vec::new());
        }
        let present = self.list(&call).await.map_err(|error| error.to_string())?;
        let (mut kept, mut changed) = (BTreeSet::new(), false);
        for one in wanted {
            let there = present.iter().find(|there| there.is_of(one));
            kept.extend(there.map(|there| there.id.as_str()));
            let done = match there {
                None => self.make(&call, one).await,
                Some(there) if !one.groups.is_empty() && one.groups != there.groups => {
                    self.regroup(&call, there, one).await
                }
                Some(_) => continue,
            };
            changed = true;
            if let Err(error) = done {
                failures.insert(format!("{DESCRIPTION}{} in {}: {error}", one.load_balancer, one.subnet));
            }
        }
        for surplus in present.iter().filter(|there| !kept.contains(there.id.as_str())) {
            changed = true;
            let input = DeleteNetworkInterfaceInput { network_interface_id: surplus.id.clone(), ..Default::default() };
            if let Err(error) = self.inner.ec2.delete_interface(&call, input).await {
                failures.insert(format!("{}: {error}", surplus.id));
            }
        }
        if !changed {
            return Ok(present);
        }
        self.list(&call).await.map_err(|error| error.to_string())
    }

    async fn make(&self, call: &Call, wanted: &Wanted<'_>) -> Result<(), ApiError> {
        let input = CreateNetworkInterfaceInput {
            subnet_id: wanted.subnet.to_owned(),
            groups: wanted.groups.iter().cloned().collect(),
            description: Some(format!("{DESCRIPTION}{}", wanted.load_balancer)),
            ..Default::default()
        };
        self.inner.ec2.create_interface(call, input).await
    }

    async fn regroup(&self, call: &Call, there: &NodeInterface, wanted: &Wanted<'_>) -> Result<(), ApiError> {
        let input = ModifyNetworkInterfaceAttributeInput {
            network_interface_id: there.id.clone(),
            groups: wanted.groups.iter().cloned().collect(),
            ..Default::default()
        };
        self.inner.ec2.modify_interface(call, input).await
    }

    /// The interfaces that ELB has in the call's account and region.
    async fn list(&self, call: &Call) -> Result<Vec<NodeInterface>, ApiError> {
        let (mut all, mut next_token) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let filter = Filter { name: Some("requester-id".to_owned()), values: vec![REQUESTER.to_owned()] };
            let max_results = Some(PAGE_ROWS);
            let input =
                DescribeNetworkInterfacesInput { filters: vec![filter], max_results, next_token, ..Default::default() };
            let page = self.inner.ec2.interfaces(call, input).await?;
            all.extend(page.network_interfaces.into_iter().filter_map(NodeInterface::read));
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
        Ok(all)
    }
}

impl NodeInterface {
    fn read(interface: NetworkInterface) -> Option<Self> {
        Some(Self {
            id: interface.network_interface_id?,
            load_balancer: interface.description?.strip_prefix(DESCRIPTION)?.to_owned(),
            subnet: interface.subnet_id?,
            vpc_id: interface.vpc_id?,
            address: interface.private_ip_address?.parse().ok()?,
            groups: interface.groups.into_iter().filter_map(|group| group.group_id).collect(),
        })
    }

    fn is_of(&self, wanted: &Wanted<'_>) -> bool {
        self.load_balancer == wanted.load_balancer && self.subnet == wanted.subnet
    }
}

impl<'a> Wanted<'a> {
    fn by(row: &'a LoadBalancerRow, subnet: &'a str) -> Self {
        Self { load_balancer: &row.name, subnet, groups: row.security_groups.iter().cloned().collect() }
    }
}

fn place_in(key: &str) -> Option<Place> {
    let (account, region) = key.split_once('\0')?;
    Some((account.to_owned(), region.to_owned()))
}
