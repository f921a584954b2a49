//! VPCs, their subnets and their gateways.
//!
//! Invariant: what is created carries its tags from the first moment, so that a crash loses nothing that was made.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::failure::{Failure, unless_missing};
use super::property::{boolean, tags, text};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required};

/// `AWS::EC2::VPC`.
pub(super) struct Vpc;
/// `AWS::EC2::Subnet`.
pub(super) struct Subnet;
/// `AWS::EC2::InternetGateway`.
pub(super) struct InternetGateway;
/// `AWS::EC2::VPCGatewayAttachment`.
pub(super) struct VpcGatewayAttachment;

static VPC: Table = Table::new(
    "AWS::EC2::VPC",
    &[
        text("CidrBlock").required().replaces(),
        boolean("EnableDnsHostnames"),
        boolean("EnableDnsSupport"),
        text("InstanceTenancy").replaces(),
        tags(),
    ],
    &["CidrBlock", "CidrBlockAssociations", "DefaultNetworkAcl", "DefaultSecurityGroup", "Ipv6CidrBlocks", "VpcId"],
);
static SUBNET: Table = Table::new(
    "AWS::EC2::Subnet",
    &[
        text("AvailabilityZone").replaces(),
        text("CidrBlock").required().replaces(),
        boolean("MapPublicIpOnLaunch"),
        text("VpcId").required().replaces(),
        tags(),
    ],
    &["AvailabilityZone", "CidrBlock", "Ipv6CidrBlocks", "NetworkAclAssociationId", "SubnetId", "VpcId"],
);
static INTERNET_GATEWAY: Table = Table::new("AWS::EC2::InternetGateway", &[tags()], &["InternetGatewayId"]);
static VPC_GATEWAY_ATTACHMENT: Table = Table::new(
    "AWS::EC2::VPCGatewayAttachment",
    &[text("InternetGatewayId"), text("VpcId").required().replaces()],
    &["AttachmentType"],
);

/// The attributes of a VPC that are set one by one.
async fn set_dns(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    // Support first: names need it.
    for (name, otherwise) in [("EnableDnsSupport", true), ("EnableDnsHostnames", false)] {
        let value = |properties: &Properties| properties.get(name).and_then(Value::as_bool).unwrap_or(otherwise);
        if value(old) != value(new) {
            step.ec2("ModifyVpcAttribute", json!({"VpcId": id, name: {"Value": value(new)}})).await?;
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Vpc {
    fn table(&self) -> &'static Table {
        &VPC
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeVpcs", "Vpcs", "VpcId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let id = match step.known() {
            Some(id) => id,
            None => {
                let mut input = only(properties, &["CidrBlock", "InstanceTenancy"]);
                input.insert("TagSpecifications".into(), step.tag_specifications("vpc", properties));
                let made = step.ec2("CreateVpc", Value::Object(input)).await?;
                made["Vpc"]["VpcId"].as_str().unwrap_or_default().to_owned()
            }
        };
        step.record(&id).await?;
        set_dns(step, &id, &Map::new(), properties).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        set_dns(step, id, old, new).await?;
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteVpc", json!({"VpcId": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, properties: &Properties) -> Result<Properties, Failure> {
        let of_vpc =
            json!({"Filters": [{"Name": "vpc-id", "Values": [id]}, {"Name": "group-name", "Values": ["default"]}]});
        let groups = step.ec2("DescribeSecurityGroups", of_vpc).await?;
        let default = json!({"Filters": [{"Name": "vpc-id", "Values": [id]}, {"Name": "default", "Values": ["true"]}]});
        let acls = step.ec2("DescribeNetworkAcls", default).await?;
        let attributes = json!({
            "VpcId": id,
            "CidrBlock": properties.get("CidrBlock"),
            "CidrBlockAssociations": [],
            "Ipv6CidrBlocks": [],
            "DefaultSecurityGroup": groups["SecurityGroups"][0]["GroupId"],
            "DefaultNetworkAcl": acls["NetworkAcls"][0]["NetworkAclId"],
        });
        Ok(object(attributes))
    }
}

/// The members of what was written as an object.
pub(super) fn object(value: Value) -> Properties {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

async fn map_public_addresses(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    let value =
        |properties: &Properties| properties.get("MapPublicIpOnLaunch").and_then(Value::as_bool).unwrap_or(false);
    if value(old) != value(new) {
        let input = json!({"SubnetId": id, "MapPublicIpOnLaunch": {"Value": value(new)}});
        step.ec2("ModifySubnetAttribute", input).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Subnet {
    fn table(&self) -> &'static Table {
        &SUBNET
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeSubnets", "Subnets", "SubnetId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let id = match step.known() {
            Some(id) => id,
            None => {
                let mut input = only(properties, &["AvailabilityZone", "CidrBlock", "VpcId"]);
                input.insert("TagSpecifications".into(), step.tag_specifications("subnet", properties));
                let made = step.ec2("CreateSubnet", Value::Object(input)).await?;
                made["Subnet"]["SubnetId"].as_str().unwrap_or_default().to_owned()
            }
        };
        step.record(&id).await?;
        map_public_addresses(step, &id, &Map::new(), properties).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        map_public_addresses(step, id, old, new).await?;
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteSubnet", json!({"SubnetId": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, properties: &Properties) -> Result<Properties, Failure> {
        let found = step.ec2("DescribeSubnets", json!({"SubnetIds": [id]})).await?;
        let subnet = &found["Subnets"][0];
        let of_subnet = json!({"Filters": [{"Name": "association.subnet-id", "Values": [id]}]});
        let acls = step.ec2("DescribeNetworkAcls", of_subnet).await?;
        let associations = acls["NetworkAcls"][0]["Associations"].as_array().into_iter().flatten();
        let association = associations.into_iter().find(|one| one["SubnetId"] == id);
        Ok(object(json!({
            "SubnetId": id,
            "VpcId": properties.get("VpcId"),
            "CidrBlock": properties.get("CidrBlock"),
            "AvailabilityZone": subnet["AvailabilityZone"],
            "Ipv6CidrBlocks": [],
            "NetworkAclAssociationId": association.map(|one| one["NetworkAclAssociationId"].clone()),
        })))
    }
}

#[async_trait]
impl ResourceType for InternetGateway {
    fn table(&self) -> &'static Table {
        &INTERNET_GATEWAY
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeInternetGateways", "InternetGateways", "InternetGatewayId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let input = json!({"TagSpecifications": step.tag_specifications("internet-gateway", properties)});
        let made = step.ec2("CreateInternetGateway", input).await?;
        step.record(made["InternetGateway"]["InternetGatewayId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteInternetGateway", json!({"InternetGatewayId": id})).await).map(drop)
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"InternetGatewayId": id})))
    }
}

fn gateway(properties: &Properties) -> Result<Value, Failure> {
    let missing = || Failure::refused("Either InternetGatewayId or VpnGatewayId must be set.");
    super::text(properties, "InternetGatewayId").ok_or_else(missing)?;
    Ok(Value::Object(only(properties, &["InternetGatewayId", "VpcId"])))
}

#[async_trait]
impl ResourceType for VpcGatewayAttachment {
    fn table(&self) -> &'static Table {
        &VPC_GATEWAY_ATTACHMENT
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let vpc = required(properties, "VpcId")?;
        // Recorded before it is made: it has no id but what it ties together, and untying what is not tied is no error.
        step.record(&format!("IGW|{vpc}")).await?;
        match step.ec2("AttachInternetGateway", gateway(properties)?).await {
            Err(failure) if failure.is(&["Resource.AlreadyAssociated"]) && is_tied(step, properties).await? => Ok(()),
            other => other.map(drop),
        }
    }

    async fn update(&self, step: &Step, _: &str, old: &Properties, new: &Properties) -> Done {
        let gone = step.ec2("DetachInternetGateway", gateway(old)?).await;
        ignore(gone, &["Gateway.NotAttached"])?;
        let tied = step.ec2("AttachInternetGateway", gateway(new)?).await;
        ignore(tied, &["Resource.AlreadyAssociated"])
    }

    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        let gone = step.ec2("DetachInternetGateway", gateway(properties)?).await;
        ignore(unless_missing(gone), &["Gateway.NotAttached"])
    }

    async fn attributes(&self, _: &Step, _: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"AttachmentType": "IGW"})))
    }
}

/// Whether the gateway is tied to the very VPC that the template names.
async fn is_tied(step: &Step, properties: &Properties) -> Result<bool, Failure> {
    let (gateway, vpc) = (required(properties, "InternetGatewayId")?, required(properties, "VpcId")?);
    let found = step.ec2("DescribeInternetGateways", json!({"InternetGatewayIds": [gateway]})).await?;
    let attachments = found["InternetGateways"][0]["Attachments"].as_array().into_iter().flatten();
    Ok(attachments.into_iter().any(|one| one["VpcId"] == vpc))
}

/// Success, where a service says no more than that it is so already.
pub(super) fn ignore(outcome: Result<Value, Failure>, codes: &[&str]) -> Done {
    match outcome {
        Err(failure) if failure.is(codes) => Ok(()),
        other => other.map(drop),
    }
}
