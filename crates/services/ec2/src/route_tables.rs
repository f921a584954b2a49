//! Route tables: where a subnet's packets go.
//!
//! Invariants:
//! - A VPC has exactly one main route table, which subnets without one of their own use.
//! - A subnet is in at most one table's associations.

use api::ec2::*;
use store::{Scan, Transaction, View};

use crate::client_tokens::{self, Asked};
use crate::errors::{self, Refusal};
use crate::listing::{Kind, Wanted, text};
use crate::request::Request;
use crate::rows::*;
use crate::{internet_gateways, subnets, tags, vpcs};

/// AWS's quota: route tables of a VPC, times its VPCs.
const TABLES_MAX: usize = 200 * 500;

pub(crate) const KIND: Kind<RouteTableRow> = Kind { table: &ROUTE_TABLES, id: "rtb" };

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateRouteTableInput,
) -> Result<CreateRouteTableOutput, Refusal> {
    let asked = Asked::new("CreateRouteTable", input.client_token.clone(), &input.vpc_id);
    if let Some(made) = client_tokens::made(tx, request, &asked)? {
        let id = made.first().cloned().unwrap_or_default();
        let (row, tags) = (KIND.get(tx, request, &id)?, tags::of(tx, &request.place, &id)?);
        let route_table = Some(described(tx, request, &id, row, tags)?);
        return Ok(CreateRouteTableOutput { client_token: input.client_token, route_table });
    }
    vpcs::KIND.get(tx, request, &input.vpc_id)?;
    if tx.count(&ROUTE_TABLES, &Scan::prefix(&request.place.prefix()))? >= TABLES_MAX {
        return Err(errors::too_many_route_tables());
    }
    let tags = tags::specified(request, input.tag_specifications, "route-table")?;
    let id = request.new_id("rtb");
    let row =
        RouteTableRow { vpc_id: input.vpc_id, main_association: None, associations: Vec::new(), routes: Vec::new() };
    tx.insert(&ROUTE_TABLES, &request.key(&id), &row)?;
    let tags = tags::put_new(tx, request, &id, "route-table", &tags)?;
    client_tokens::remember(tx, request, &asked, vec![id.clone()])?;
    let route_table = Some(described(tx, request, &id, row, tags)?);
    Ok(CreateRouteTableOutput { client_token: input.client_token, route_table })
}

pub(crate) fn delete(tx: &mut Transaction<'_>, request: &Request, input: DeleteRouteTableInput) -> Result<(), Refusal> {
    let id = &input.route_table_id;
    let row = KIND.get(tx, request, id)?;
    if row.main_association.is_some() || !row.associations.is_empty() {
        return Err(errors::has_dependencies("routeTable", id));
    }
    tx.delete(&ROUTE_TABLES, &request.key(id))?;
    Ok(tags::forget(tx, &request.place, id)?)
}

pub(crate) fn associate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: AssociateRouteTableInput,
) -> Result<AssociateRouteTableOutput, Refusal> {
    vpcs::refuse_given(&[
        ("GatewayId", input.gateway_id.is_some()),
        ("PublicIpv4Pool", input.public_ipv4_pool.is_some()),
    ])?;
    let table_id = input.route_table_id;
    let mut row = KIND.get(tx, request, &table_id)?;
    let subnet_id = input.subnet_id.ok_or(Refusal::Missing("subnetId".into()))?;
    let subnet = subnets::KIND.get(tx, request, &subnet_id)?;
    if subnet.vpc_id != row.vpc_id {
        return Err(errors::different_networks("Route table", &table_id, "subnet", &subnet_id));
    }
    for (other_id, other) in KIND.all(tx, request)? {
        let present = other.associations.iter().find(|association| association.subnet_id == subnet_id);
        let Some(present) = present else { continue };
        if other_id == table_id {
            // Saying it again changes nothing.
            return Ok(associated(present.id.clone()));
        }
        return Err(errors::route_table_conflict(&table_id));
    }
    let id = request.new_id("rtbassoc");
    row.associations.push(AssociationRow { id: id.clone(), subnet_id });
    tx.put(&ROUTE_TABLES, &request.key(&table_id), &row)?;
    Ok(associated(id))
}

fn associated(id: String) -> AssociateRouteTableOutput {
    AssociateRouteTableOutput { association_id: Some(id), association_state: state_associated() }
}

fn state_associated() -> Option<RouteTableAssociationState> {
    Some(RouteTableAssociationState { state: Some("associated".to_owned()), status_message: None })
}

pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DisassociateRouteTableInput,
) -> Result<(), Refusal> {
    let id = &input.association_id;
    let (table_id, mut table) = with_association(tx, request, id)?;
    if table.main_association.as_ref() == Some(id) {
        return Err(errors::main_association(id));
    }
    table.associations.retain(|association| association.id != *id);
    tx.put(&ROUTE_TABLES, &request.key(&table_id), &table)?;
    Ok(())
}

fn with_association(view: &View<'_>, request: &Request, id: &str) -> Result<(String, RouteTableRow), Refusal> {
    let has = |table: &RouteTableRow| {
        table.main_association.as_deref() == Some(id)
            || table.associations.iter().any(|association| association.id == id)
    };
    let found = KIND.all(view, request)?.into_iter().find(|(_, table)| has(table));
    found.ok_or_else(|| errors::no_such_association(id))
}

pub(crate) fn replace_association(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ReplaceRouteTableAssociationInput,
) -> Result<ReplaceRouteTableAssociationOutput, Refusal> {
    let (old_id, mut old) = with_association(tx, request, &input.association_id)?;
    let new_id = input.route_table_id;
    let mut new = KIND.get(tx, request, &new_id)?;
    if new.vpc_id != old.vpc_id {
        return Err(errors::different_networks("Route table", &new_id, "network", &old.vpc_id));
    }
    let id = request.new_id("rtbassoc");
    if old_id == new_id {
        return Ok(replaced(input.association_id));
    }
    if old.main_association.as_ref() == Some(&input.association_id) {
        old.main_association = None;
        new.main_association = Some(id.clone());
    } else {
        let is_meant = |association: &AssociationRow| association.id == input.association_id;
        let subnets: Vec<AssociationRow> = old.associations.extract_if(.., |row| is_meant(row)).collect();
        let moved = subnets.into_iter().map(|row| AssociationRow { id: id.clone(), subnet_id: row.subnet_id });
        new.associations.extend(moved);
    }
    tx.put(&ROUTE_TABLES, &request.key(&old_id), &old)?;
    tx.put(&ROUTE_TABLES, &request.key(&new_id), &new)?;
    Ok(replaced(id))
}

fn replaced(id: String) -> ReplaceRouteTableAssociationOutput {
    ReplaceRouteTableAssociationOutput { association_state: state_associated(), new_association_id: Some(id) }
}

const KNOWN: &[&str] = &[
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "route.transit-gateway-id",
    "route.vpc-peering-connection-id",
    "transit-gateway-id",
    "vpc-id",
];

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeRouteTablesInput,
) -> Result<DescribeRouteTablesOutput, Refusal> {
    let DescribeRouteTablesInput { route_table_ids: ids, filters, max_results, next_token, .. } = input;
    let wanted = Wanted::parse(ids, filters, KNOWN, max_results, next_token.as_deref())?;
    let describe = |id: &str, row, tags| described(view, request, id, row, tags);
    let (route_tables, next_token) = KIND.list(view, request, &wanted, describe, values)?;
    Ok(DescribeRouteTablesOutput { next_token, route_tables })
}

fn values(table: &RouteTable, name: &str) -> Vec<String> {
    let of_associations = |value: fn(&RouteTableAssociation) -> Option<String>| {
        table.associations.iter().filter_map(value).collect::<Vec<_>>()
    };
    let of_routes = |value: fn(&Route) -> Option<String>| table.routes.iter().filter_map(value).collect::<Vec<_>>();
    match name {
        "association.main" => of_associations(|one| one.main.map(|main| main.to_string())),
        "association.route-table-association-id" => of_associations(|one| one.route_table_association_id.clone()),
        "association.route-table-id" => of_associations(|one| one.route_table_id.clone()),
        "association.subnet-id" => of_associations(|one| one.subnet_id.clone()),
        "owner-id" => text(&table.owner_id),
        "route-table-id" => text(&table.route_table_id),
        "route.destination-cidr-block" => of_routes(|route| route.destination_cidr_block.clone()),
        "route.destination-ipv6-cidr-block" => of_routes(|route| route.destination_ipv6_cidr_block.clone()),
        "route.gateway-id" => of_routes(|route| route.gateway_id.clone()),
        "route.origin" => of_routes(|route| route.origin.clone()),
        "route.state" => of_routes(|route| route.state.clone()),
        "vpc-id" => text(&table.vpc_id),
        _ => Vec::new(),
    }
}

fn described(
    view: &View<'_>,
    request: &Request,
    id: &str,
    row: RouteTableRow,
    tags: Vec<Tag>,
) -> Result<RouteTable, Refusal> {
    let vpc = vpcs::KIND.get(view, request, &row.vpc_id)?;
    let local = Route {
        destination_cidr_block: Some(vpc.cidr.to_string()),
        gateway_id: Some("local".to_owned()),
        origin: Some("CreateRouteTable".to_owned()),
        state: Some("active".to_owned()),
        ..Route::default()
    };
    let mut routes = vec![local];
    for route in &row.routes {
        let gateway = view.get(&GATEWAYS, &request.key(&route.gateway_id))?;
        // A gateway that was detached or deleted leaves a hole behind.
        let leads_out = gateway.is_some_and(|gateway| gateway.value.vpc_id.as_ref() == Some(&row.vpc_id));
        let is_v6 = route.destination.contains(':');
        routes.push(Route {
            destination_cidr_block: (!is_v6).then(|| route.destination.clone()),
            destination_ipv6_cidr_block: is_v6.then(|| route.destination.clone()),
            gateway_id: Some(route.gateway_id.clone()),
            origin: Some("CreateRoute".to_owned()),
            state: Some(if leads_out { "active" } else { "blackhole" }.to_owned()),
            ..Route::default()
        });
    }
    let association = |association_id: &String, subnet_id: Option<&String>| RouteTableAssociation {
        association_state: state_associated(),
        main: Some(subnet_id.is_none()),
        route_table_association_id: Some(association_id.clone()),
        route_table_id: Some(id.to_owned()),
        subnet_id: subnet_id.cloned(),
        ..RouteTableAssociation::default()
    };
    let main = row.main_association.iter().map(|main| association(main, None));
    let own = row.associations.iter().map(|own| association(&own.id, Some(&own.subnet_id)));
    Ok(RouteTable {
        associations: main.chain(own).collect(),
        owner_id: Some(request.account()),
        route_table_id: Some(id.to_owned()),
        routes,
        tags,
        vpc_id: Some(row.vpc_id),
        ..RouteTable::default()
    })
}

/// The gateway of the VPC through which a subnet's packets to anywhere go, if they do.
pub(crate) fn leads_to_internet(table: &RouteTableRow, is_attached: impl Fn(&str) -> bool) -> bool {
    table.routes.iter().any(|route| route.destination == "0.0.0.0/0" && is_attached(&route.gateway_id))
}

/// Refuses a gateway that is not there or not in the VPC of the table.
pub(crate) fn check_gateway(
    view: &View<'_>,
    request: &Request,
    table_id: &str,
    table: &RouteTableRow,
    gateway_id: &str,
) -> Result<(), Refusal> {
    if !gateway_id.starts_with("igw-") {
        return Err(errors::unsupported_value("gatewayId", gateway_id));
    }
    let gateway = match internet_gateways::KIND.get(view, request, gateway_id) {
        Err(Refusal::NotFound { .. }) => return Err(errors::no_such_gateway(gateway_id)),
        found => found?,
    };
    if gateway.vpc_id.as_ref() == Some(&table.vpc_id) {
        return Ok(());
    }
    Err(errors::different_gateway(table_id, gateway_id))
}
