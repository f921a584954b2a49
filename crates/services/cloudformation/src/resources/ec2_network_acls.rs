//! Network ACLs, their entries, and which subnets they guard.
//!
//! Invariant: an entry is recorded under its ACL, number and direction before it is made.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ec2_network::{ignore, object};
use super::failure::{Failure, unless_missing};
use super::property::{Property, boolean, integer, structure, tags, text};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required};

/// `AWS::EC2::NetworkAcl`.
pub(super) struct NetworkAcl;
/// `AWS::EC2::NetworkAclEntry`.
pub(super) struct NetworkAclEntry;
/// `AWS::EC2::SubnetNetworkAclAssociation`.
pub(super) struct SubnetNetworkAclAssociation;

static NETWORK_ACL: Table = Table::new("AWS::EC2::NetworkAcl", &[text("VpcId").required().replaces(), tags()], &["Id"]);
const ICMP: &[Property] = &[integer("Code"), integer("Type")];
const PORTS: &[Property] = &[integer("From"), integer("To")];
static ENTRY: Table = Table::new(
    "AWS::EC2::NetworkAclEntry",
    &[
        text("CidrBlock"),
        boolean("Egress").replaces(),
        structure("Icmp", ICMP),
        text("NetworkAclId").required().replaces(),
        structure("PortRange", PORTS),
        text("Protocol").required(),
        text("RuleAction").required(),
        integer("RuleNumber").required().replaces(),
    ],
    &["Id"],
);
static ASSOCIATION: Table = Table::new(
    "AWS::EC2::SubnetNetworkAclAssociation",
    &[text("NetworkAclId").required().replaces(), text("SubnetId").required().replaces()],
    &["AssociationId"],
);

#[async_trait]
impl ResourceType for NetworkAcl {
    fn table(&self) -> &'static Table {
        &NETWORK_ACL
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeNetworkAcls", "NetworkAcls", "NetworkAclId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let mut input = only(properties, &["VpcId"]);
        input.insert("TagSpecifications".into(), step.tag_specifications("network-acl", properties));
        let made = step.ec2("CreateNetworkAcl", Value::Object(input)).await?;
        step.record(made["NetworkAcl"]["NetworkAclId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteNetworkAcl", json!({"NetworkAclId": id})).await).map(drop)
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Id": id})))
    }
}

/// An entry as EC2's operations take it.
fn entry(properties: &Properties) -> Value {
    let mut input =
        only(properties, &["CidrBlock", "Egress", "NetworkAclId", "PortRange", "Protocol", "RuleAction", "RuleNumber"]);
    input.entry("Egress").or_insert(Value::Bool(false));
    if let Some(icmp) = properties.get("Icmp") {
        input.insert("IcmpTypeCode".into(), icmp.clone());
    }
    Value::Object(input)
}

fn entry_id(properties: &Properties) -> Result<String, Failure> {
    let acl = required(properties, "NetworkAclId")?;
    let direction = if properties.get("Egress") == Some(&Value::Bool(true)) { "egress" } else { "ingress" };
    Ok(format!("{acl}|{}|{direction}", properties.get("RuleNumber").cloned().unwrap_or_default()))
}

#[async_trait]
impl ResourceType for NetworkAclEntry {
    fn table(&self) -> &'static Table {
        &ENTRY
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let acl = required(properties, "NetworkAclId")?;
        let found = unless_missing(step.ec2("DescribeNetworkAcls", json!({"NetworkAclIds": [acl]})).await)?;
        let egress = properties.get("Egress").cloned().unwrap_or(Value::Bool(false));
        let entries = found["NetworkAcls"][0]["Entries"].as_array().into_iter().flatten();
        let is_ours = |one: &&Value| {
            one["Egress"] == egress
                && ["RuleNumber", "Protocol", "RuleAction", "CidrBlock"]
                    .iter()
                    .all(|name| properties.get(*name).is_none_or(|wanted| one[*name] == *wanted))
        };
        match entries.into_iter().find(is_ours) {
            Some(_) => entry_id(properties).map(Some),
            None => Ok(None),
        }
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        step.ec2("CreateNetworkAclEntry", entry(properties)).await?;
        step.record(&entry_id(properties)?).await
    }

    async fn update(&self, step: &Step, _: &str, _: &Properties, new: &Properties) -> Done {
        step.ec2("ReplaceNetworkAclEntry", entry(new)).await.map(drop)
    }

    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        let mut input = only(properties, &["NetworkAclId", "RuleNumber", "Egress"]);
        input.entry("Egress").or_insert(Value::Bool(false));
        let gone = step.ec2("DeleteNetworkAclEntry", Value::Object(input)).await;
        unless_missing(gone).map(drop)
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Id": id})))
    }
}

/// A subnet's association: its id and its ACL's.
async fn association(step: &Step, subnet: &str) -> Result<Option<(String, String)>, Failure> {
    let filters = json!({"Filters": [{"Name": "association.subnet-id", "Values": [subnet]}]});
    let found = step.ec2("DescribeNetworkAcls", filters).await?;
    for acl in found["NetworkAcls"].as_array().into_iter().flatten() {
        for one in acl["Associations"].as_array().into_iter().flatten() {
            if one["SubnetId"] == subnet {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                return Ok(Some((text(&one["NetworkAclAssociationId"]), text(&acl["NetworkAclId"]))));
            }
        }
    }
    Ok(None)
}

#[async_trait]
impl ResourceType for SubnetNetworkAclAssociation {
    fn table(&self) -> &'static Table {
        &ASSOCIATION
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let (acl, subnet) = (required(properties, "NetworkAclId")?, required(properties, "SubnetId")?);
        let missing = || Failure::refused(format!("The subnet ID '{subnet}' does not exist"));
        let (id, of) = association(step, subnet).await?.ok_or_else(missing)?;
        // So it is already: an earlier life has done it.
        if of == acl {
            return step.record(&id).await;
        }
        let input = json!({"AssociationId": id, "NetworkAclId": acl});
        let made = step.ec2("ReplaceNetworkAclAssociation", input).await?;
        step.record(made["NewAssociationId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    /// A subnet always has an ACL: it goes back to its VPC's default one.
    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        let (acl, subnet) = (required(properties, "NetworkAclId")?, required(properties, "SubnetId")?);
        let Some((id, of)) = association(step, subnet).await? else { return Ok(()) };
        if of != acl {
            return Ok(());
        }
        let acls = step.ec2("DescribeNetworkAcls", json!({"NetworkAclIds": [acl]})).await?;
        let vpc = acls["NetworkAcls"][0]["VpcId"].clone();
        let filters =
            json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}]});
        let default = step.ec2("DescribeNetworkAcls", filters).await?["NetworkAcls"][0]["NetworkAclId"].clone();
        let input = json!({"AssociationId": id, "NetworkAclId": default});
        let back = step.ec2("ReplaceNetworkAclAssociation", input).await;
        ignore(unless_missing(back), &["InvalidAssociationID.NotFound"])
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"AssociationId": id})))
    }
}
