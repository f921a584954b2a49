//! Security groups and their rules.
//!
//! Invariant: rules that stand in the group's own properties are brought to what they should be by difference, so that
//! those of SecurityGroupIngress and SecurityGroupEgress resources stay.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::{ignore, object};
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, integer, list, tags, text};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required, text as text_of};

/// `AWS::EC2::SecurityGroup`.
pub(super) struct SecurityGroup;
/// `AWS::EC2::SecurityGroupIngress`.
pub(super) struct SecurityGroupIngress;
/// `AWS::EC2::SecurityGroupEgress`.
pub(super) struct SecurityGroupEgress;

const INGRESS: &[Property] = &[
    text("CidrIp"),
    text("CidrIpv6"),
    text("Description"),
    integer("FromPort"),
    text("IpProtocol").required(),
    text("SourceSecurityGroupId"),
    text("SourceSecurityGroupName"),
    text("SourceSecurityGroupOwnerId"),
    integer("ToPort"),
];
const EGRESS: &[Property] = &[
    text("CidrIp"),
    text("CidrIpv6"),
    text("Description"),
    text("DestinationSecurityGroupId"),
    integer("FromPort"),
    text("IpProtocol").required(),
    integer("ToPort"),
];
static SECURITY_GROUP: Table = Table::new(
    "AWS::EC2::SecurityGroup",
    &[
        text("GroupDescription").required().replaces(),
        text("GroupName").replaces(),
        list("SecurityGroupEgress", &Kind::Structure(EGRESS)),
        list("SecurityGroupIngress", &Kind::Structure(INGRESS)),
        tags(),
        text("VpcId").replaces(),
    ],
    &["GroupId", "Id", "VpcId"],
)
.named_by("GroupName");
static SECURITY_GROUP_INGRESS: Table = Table::new(
    "AWS::EC2::SecurityGroupIngress",
    &[
        text("CidrIp").replaces(),
        text("CidrIpv6").replaces(),
        text("Description"),
        integer("FromPort").replaces(),
        text("GroupId").replaces(),
        text("GroupName").replaces(),
        text("IpProtocol").required().replaces(),
        text("SourceSecurityGroupId").replaces(),
        text("SourceSecurityGroupName").replaces(),
        text("SourceSecurityGroupOwnerId").replaces(),
        integer("ToPort").replaces(),
    ],
    &["Id"],
);
static SECURITY_GROUP_EGRESS: Table = Table::new(
    "AWS::EC2::SecurityGroupEgress",
    &[
        text("CidrIp").replaces(),
        text("CidrIpv6").replaces(),
        text("Description"),
        text("DestinationSecurityGroupId").replaces(),
        integer("FromPort").replaces(),
        text("GroupId").required().replaces(),
        text("IpProtocol").required().replaces(),
        integer("ToPort").replaces(),
    ],
    &["Id"],
);

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl Direction {
    fn operation(self, opens: bool) -> &'static str {
        match (self, opens) {
            (Self::In, true) => "AuthorizeSecurityGroupIngress",
            (Self::In, false) => "RevokeSecurityGroupIngress",
            (Self::Out, true) => "AuthorizeSecurityGroupEgress",
            (Self::Out, false) => "RevokeSecurityGroupEgress",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::In => "UpdateSecurityGroupRuleDescriptionsIngress",
            Self::Out => "UpdateSecurityGroupRuleDescriptionsEgress",
        }
    }
}

/// A rule as EC2 takes it.
fn permission(rule: &Properties) -> Value {
    let mut permission = only(rule, &["FromPort", "ToPort"]);
    let protocol = text_of(rule, "IpProtocol").unwrap_or("-1").to_ascii_lowercase();
    permission.insert("IpProtocol".into(), json!(protocol));
    let described = |mut of: Map<String, Value>| {
        if let Some(description) = rule.get("Description") {
            of.insert("Description".into(), description.clone());
        }
        json!([of])
    };
    if let Some(cidr) = rule.get("CidrIp") {
        permission.insert("IpRanges".into(), described(object(json!({"CidrIp": cidr}))));
    }
    if let Some(cidr) = rule.get("CidrIpv6") {
        permission.insert("Ipv6Ranges".into(), described(object(json!({"CidrIpv6": cidr}))));
    }
    let mut pair = Map::new();
    for (from, to) in [
        ("SourceSecurityGroupId", "GroupId"),
        ("DestinationSecurityGroupId", "GroupId"),
        ("SourceSecurityGroupName", "GroupName"),
        ("SourceSecurityGroupOwnerId", "UserId"),
    ] {
        if let Some(value) = rule.get(from) {
            pair.insert(to.into(), value.clone());
        }
    }
    if !pair.is_empty() {
        permission.insert("UserIdGroupPairs".into(), described(pair));
    }
    Value::Object(permission)
}

/// EC2's way to say "everything out", which each new group has.
fn open_outwards() -> Value {
    json!({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]})
}

fn permissions(properties: &Properties, name: &str) -> Vec<Value> {
    let rules = properties.get(name).and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(Value::as_object).map(permission).collect()
}

/// Opens or closes rules; those that are so already are no error.
async fn set(step: &Step, group: &str, direction: Direction, opens: bool, rules: Vec<Value>) -> Done {
    for rule in rules {
        let input = json!({"GroupId": group, "IpPermissions": [rule]});
        let done = step.ec2(direction.operation(opens), input).await;
        let already = if opens { "InvalidPermission.Duplicate" } else { "InvalidPermission.NotFound" };
        ignore(done, &[already])?;
    }
    Ok(())
}

/// Brings a group's own rules from one set to another.
async fn bring(step: &Step, group: &str, direction: Direction, before: Vec<Value>, after: Vec<Value>) -> Done {
    let opened = after.iter().filter(|rule| !before.contains(rule)).cloned().collect();
    let closed = before.iter().filter(|rule| !after.contains(rule)).cloned().collect();
    // Closed first: a rule may differ in its description alone.
    set(step, group, direction, false, closed).await?;
    set(step, group, direction, true, opened).await
}

/// The rules out that a group has: its own, or everything where it names none.
fn outwards(properties: &Properties) -> Vec<Value> {
    match properties.get("SecurityGroupEgress") {
        Some(Value::Array(rules)) if !rules.is_empty() => permissions(properties, "SecurityGroupEgress"),
        _ => vec![open_outwards()],
    }
}

#[async_trait]
impl ResourceType for SecurityGroup {
    fn table(&self) -> &'static Table {
        &SECURITY_GROUP
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeSecurityGroups", "SecurityGroups", "GroupId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let id = match step.known() {
            Some(id) => id,
            None => {
                let mut input = only(properties, &["VpcId"]);
                let name = text_of(properties, "GroupName").map_or_else(|| step.name(255), str::to_owned);
                input.insert("GroupName".into(), json!(name));
                input.insert("Description".into(), json!(required(properties, "GroupDescription")?));
                input.insert("TagSpecifications".into(), step.tag_specifications("security-group", properties));
                let made = step.ec2("CreateSecurityGroup", Value::Object(input)).await?;
                made["GroupId"].as_str().unwrap_or_default().to_owned()
            }
        };
        step.record(&id).await?;
        set(step, &id, Direction::In, true, permissions(properties, "SecurityGroupIngress")).await?;
        bring(step, &id, Direction::Out, vec![open_outwards()], outwards(properties)).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        let rules = |properties: &Properties| permissions(properties, "SecurityGroupIngress");
        bring(step, id, Direction::In, rules(old), rules(new)).await?;
        bring(step, id, Direction::Out, outwards(old), outwards(new)).await?;
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let mut looks = 0;
        loop {
            match unless_missing(step.ec2("DeleteSecurityGroup", json!({"GroupId": id})).await) {
                // Whoever used it may be about to go.
                Err(failure) if failure.is(&["DependencyViolation"]) && looks < 30 => step.pause(looks).await?,
                other => return other.map(drop),
            }
            looks += 1;
        }
    }

    async fn attributes(&self, step: &Step, id: &str, properties: &Properties) -> Result<Properties, Failure> {
        let vpc = match properties.get("VpcId") {
            Some(vpc) => vpc.clone(),
            None => step.ec2("DescribeSecurityGroups", json!({"GroupIds": [id]})).await?["SecurityGroups"][0]["VpcId"]
                .clone(),
        };
        Ok(object(json!({"GroupId": id, "Id": id, "VpcId": vpc})))
    }
}

/// The group that a rule belongs to.
fn group(properties: &Properties) -> Result<Map<String, Value>, Failure> {
    let group = only(properties, &["GroupId", "GroupName"]);
    if group.len() == 1 { Ok(group) } else { Err(Failure::refused("Exactly one of GroupId or GroupName must be set.")) }
}

async fn open_one(step: &Step, properties: &Properties, direction: Direction) -> Done {
    if step.known().is_some() {
        return Ok(());
    }
    let mut input = group(properties)?;
    input.insert("IpPermissions".into(), json!([permission(properties)]));
    let made = step.ec2(direction.operation(true), Value::Object(input)).await?;
    let id = made["SecurityGroupRules"][0]["SecurityGroupRuleId"].as_str().map(str::to_owned);
    step.record(&id.unwrap_or_else(|| step.logical.clone())).await
}

async fn close_one(step: &Step, properties: &Properties, direction: Direction) -> Done {
    let mut input = group(properties)?;
    input.insert("IpPermissions".into(), json!([permission(properties)]));
    let gone = unless_missing(step.ec2(direction.operation(false), Value::Object(input)).await);
    ignore(gone, &["InvalidPermission.NotFound"])
}

/// The id of a rule that opens exactly this, where an earlier life may have made it.
async fn find_one(step: &Step, properties: &Properties, is_egress: bool) -> Result<Option<String>, Failure> {
    let Some(id) = text_of(properties, "GroupId") else { return Ok(None) };
    let filters = json!({"Filters": [{"Name": "group-id", "Values": [id]}]});
    let found = step.ec2("DescribeSecurityGroupRules", filters).await?;
    let source = ["SourceSecurityGroupId", "DestinationSecurityGroupId"].iter().find_map(|name| properties.get(*name));
    let protocol = text_of(properties, "IpProtocol").unwrap_or("-1").to_ascii_lowercase();
    let rules = found["SecurityGroupRules"].as_array().into_iter().flatten();
    let is_ours = |rule: &&Value| {
        let is = |name: &str, wanted: Option<&Value>| wanted.is_none_or(|wanted| rule[name] == *wanted);
        rule["IsEgress"] == is_egress
            && rule["IpProtocol"] == protocol
            && is("FromPort", properties.get("FromPort"))
            && is("ToPort", properties.get("ToPort"))
            && is("CidrIpv4", properties.get("CidrIp"))
            && is("CidrIpv6", properties.get("CidrIpv6"))
            && source.is_none_or(|wanted| rule["ReferencedGroupInfo"]["GroupId"] == *wanted)
    };
    let ids = rules.into_iter().filter(is_ours).filter_map(|rule| rule["SecurityGroupRuleId"].as_str());
    Ok(ids.map(str::to_owned).find(|id| !step.others.contains(id)))
}

macro_rules! rule_type {
    ($name:ident, $table:ident, $direction:expr, $is_egress:expr) => {
        #[async_trait]
        impl ResourceType for $name {
            fn table(&self) -> &'static Table {
                &$table
            }

            async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
                find_one(step, properties, $is_egress).await
            }

            async fn create(&self, step: &Step, properties: &Properties) -> Done {
                open_one(step, properties, $direction).await
            }

            async fn update(&self, step: &Step, _: &str, _: &Properties, new: &Properties) -> Done {
                let mut input = group(new)?;
                input.insert("IpPermissions".into(), json!([permission(new)]));
                step.ec2($direction.describe(), Value::Object(input)).await.map(drop)
            }

            async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
                close_one(step, properties, $direction).await
            }

            async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
                Ok(object(json!({"Id": id})))
            }
        }
    };
}

rule_type!(SecurityGroupIngress, SECURITY_GROUP_INGRESS, Direction::In, false);
rule_type!(SecurityGroupEgress, SECURITY_GROUP_EGRESS, Direction::Out, true);
