//! Route tables, routes, and which subnets go by them.
//!
//! Invariant: a resource without an id of its own is recorded under what it ties together before it is made.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ec2_network::{ignore, object};
use super::failure::{Failure, unless_missing};
use super::property::{tags, text};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required};

/// `AWS::EC2::RouteTable`.
pub(super) struct RouteTable;
/// `AWS::EC2::Route`.
pub(super) struct Route;
/// `AWS::EC2::SubnetRouteTableAssociation`.
pub(super) struct SubnetRouteTableAssociation;

static ROUTE_TABLE: Table =
    Table::new("AWS::EC2::RouteTable", &[text("VpcId").required().replaces(), tags()], &["RouteTableId"]);
static ROUTE: Table = Table::new(
    "AWS::EC2::Route",
    &[
        text("DestinationCidrBlock").required().replaces(),
        text("GatewayId"),
        text("InstanceId"),
        text("NetworkInterfaceId"),
        text("RouteTableId").required().replaces(),
    ],
    &["CidrBlock"],
);
static ASSOCIATION: Table = Table::new(
    "AWS::EC2::SubnetRouteTableAssociation",
    &[text("RouteTableId").required(), text("SubnetId").required().replaces()],
    &["Id"],
);

#[async_trait]
impl ResourceType for RouteTable {
    fn table(&self) -> &'static Table {
        &ROUTE_TABLE
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeRouteTables", "RouteTables", "RouteTableId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let mut input = only(properties, &["VpcId"]);
        input.insert("TagSpecifications".into(), step.tag_specifications("route-table", properties));
        let made = step.ec2("CreateRouteTable", Value::Object(input)).await?;
        step.record(made["RouteTable"]["RouteTableId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteRouteTable", json!({"RouteTableId": id})).await).map(drop)
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"RouteTableId": id})))
    }
}

const ROUTE_MEMBERS: [&str; 5] =
    ["DestinationCidrBlock", "GatewayId", "InstanceId", "NetworkInterfaceId", "RouteTableId"];

#[async_trait]
impl ResourceType for Route {
    fn table(&self) -> &'static Table {
        &ROUTE
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let (table, destination) =
            (required(properties, "RouteTableId")?, required(properties, "DestinationCidrBlock")?);
        let found = unless_missing(step.ec2("DescribeRouteTables", json!({"RouteTableIds": [table]})).await)?;
        let routes = found["RouteTables"][0]["Routes"].as_array().into_iter().flatten();
        // What it leads to must be what we asked for: else the route is somebody else's.
        let is_ours = |route: &&Value| {
            route["DestinationCidrBlock"] == destination
                && ["GatewayId", "InstanceId", "NetworkInterfaceId"]
                    .iter()
                    .all(|name| properties.get(*name).is_none_or(|wanted| route[*name] == *wanted))
        };
        Ok(routes.into_iter().find(is_ours).map(|_| format!("{table}|{destination}")))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let (table, destination) =
            (required(properties, "RouteTableId")?, required(properties, "DestinationCidrBlock")?);
        step.ec2("CreateRoute", Value::Object(only(properties, &ROUTE_MEMBERS))).await?;
        step.record(&format!("{table}|{destination}")).await
    }

    async fn update(&self, step: &Step, _: &str, _: &Properties, new: &Properties) -> Done {
        step.ec2("ReplaceRoute", Value::Object(only(new, &ROUTE_MEMBERS))).await.map(drop)
    }

    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        let input = only(properties, &["RouteTableId", "DestinationCidrBlock"]);
        unless_missing(step.ec2("DeleteRoute", Value::Object(input)).await).map(drop)
    }

    async fn attributes(&self, _: &Step, _: &str, properties: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"CidrBlock": properties.get("DestinationCidrBlock")})))
    }
}

/// The id by which a subnet goes by a route table, if it does so by its own choice.
async fn association(step: &Step, subnet: &str) -> Result<Option<(String, String)>, Failure> {
    let filters = json!({"Filters": [{"Name": "association.subnet-id", "Values": [subnet]}]});
    let found = step.ec2("DescribeRouteTables", filters).await?;
    for table in found["RouteTables"].as_array().into_iter().flatten() {
        for one in table["Associations"].as_array().into_iter().flatten() {
            if one["SubnetId"] == subnet {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                return Ok(Some((text(&one["RouteTableAssociationId"]), text(&table["RouteTableId"]))));
            }
        }
    }
    Ok(None)
}

#[async_trait]
impl ResourceType for SubnetRouteTableAssociation {
    fn table(&self) -> &'static Table {
        &ASSOCIATION
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let table = required(properties, "RouteTableId")?;
        let found = association(step, required(properties, "SubnetId")?).await?;
        Ok(found.filter(|(id, of)| of == table && !step.others.contains(id)).map(|(id, _)| id))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let input = Value::Object(only(properties, &["RouteTableId", "SubnetId"]));
        let made = step.ec2("AssociateRouteTable", input).await?;
        step.record(made["AssociationId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        let table = required(new, "RouteTableId")?;
        // Done already, in an earlier life: the association has a new id.
        let found = association(step, required(new, "SubnetId")?).await?;
        if let Some((other, of)) = found
            && of == table
        {
            return step.record(&other).await;
        }
        let input = json!({"AssociationId": id, "RouteTableId": table});
        let made = step.ec2("ReplaceRouteTableAssociation", input).await?;
        step.record(made["NewAssociationId"].as_str().unwrap_or_default()).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let gone = unless_missing(step.ec2("DisassociateRouteTable", json!({"AssociationId": id})).await);
        ignore(gone, &["InvalidAssociationID.NotFound"])
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Id": id})))
    }
}
