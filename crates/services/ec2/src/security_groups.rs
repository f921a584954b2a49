//! Security groups: who may reach what is behind them, and whom that may reach.
//!
//! Invariants:
//! - A group's name is unique in its VPC; a VPC's default group is always there and can't be deleted.
//! - A group that a rule of another group names is not deleted, nor one that is in use.
//! - A rule stands in a group once in each direction, and a group has at most [`RULES_MAX`] in each.

mod describe;
mod rule_changes;

use api::ec2::*;
use store::{Transaction, View};

pub(crate) use describe::{arn, describe, describe_rules};
pub(crate) use rule_changes::{
    authorize_egress, authorize_ingress, describe_egress, describe_ingress, revoke_egress, revoke_ingress,
};

use crate::errors::Refusal;
use crate::listing::{Kind, check_id};
use crate::request::Request;
use crate::rows::*;
use crate::rules::{DESCRIPTION_CHARACTERS_MAX, GroupName};
use crate::{network_interfaces, tags, vpcs};

/// AWS's quota: security groups in a region.
pub(crate) const GROUPS_MAX: usize = 2_500;
/// AWS's quota: rules of a group in one direction.
pub(crate) const RULES_MAX: usize = 60;
/// AWS's quota: groups of one network interface, and so of a load balancer.
pub(crate) const GROUPS_PER_INTERFACE_MAX: usize = 5;
/// The name of the group that each VPC has.
pub(crate) const DEFAULT_NAME: &str = "default";

pub(crate) const KIND: Kind<GroupRow> = Kind { table: &GROUPS, id: "sg" };

/// A group with its id.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) row: GroupRow,
}

/// A new VPC's group: its members reach each other and everything outside.
pub(crate) fn default_row(vpc_id: &str, group_id: &str, (rule_id, egress_id): (String, String)) -> GroupRow {
    let rule = Rule { protocol: "-1".to_owned(), ports: None, source: Source::Group(group_id.to_owned()) };
    GroupRow {
        name: DEFAULT_NAME.to_owned(),
        description: "default VPC security group".to_owned(),
        vpc_id: vpc_id.to_owned(),
        rules: vec![RuleRow { id: rule_id, rule, description: None }],
        egress: vec![everything_out(egress_id)],
    }
}

/// What each group lets out until somebody changes it.
pub(crate) fn everything_out(id: String) -> RuleRow {
    let rule = Rule { protocol: "-1".to_owned(), ports: None, source: Source::Ipv4("0.0.0.0/0".to_owned()) };
    RuleRow { id, rule, description: None }
}

/// The default group of a VPC.
pub(crate) fn default_of(view: &View<'_>, request: &Request, vpc_id: &str) -> Result<String, Refusal> {
    let groups = KIND.all(view, request)?;
    let found = groups.into_iter().find(|(_, row)| row.vpc_id == vpc_id && row.name == DEFAULT_NAME);
    found.map(|(id, _)| id).ok_or_else(|| crate::errors::not_found("vpc", vpc_id))
}

/// The group that a client names; by its name only in the default VPC.
pub(crate) fn find(view: &View<'_>, request: &Request, named: GroupName<'_>) -> Result<Group, Refusal> {
    find_in(view, request, &request.place.vpc_id(), named)
}

/// The group that a client names, where a name means one of this VPC.
pub(crate) fn find_in(
    view: &View<'_>,
    request: &Request,
    vpc_id: &str,
    named: GroupName<'_>,
) -> Result<Group, Refusal> {
    match named {
        GroupName::Id(id) => Ok(Group { id: id.to_owned(), row: KIND.get(view, request, id)? }),
        GroupName::Name(name) => {
            let all = KIND.all(view, request)?;
            let found = all.into_iter().find(|(_, row)| row.name == name && row.vpc_id == vpc_id);
            let missing = || Refusal::NoSuchGroupName { name: name.to_owned(), vpc_id: vpc_id.to_owned() };
            found.map(|(id, row)| Group { id, row }).ok_or_else(missing)
        }
    }
}

/// The groups of a new interface or instance: those that are named, of this VPC, or its default one.
pub(crate) fn of_interface(
    view: &View<'_>,
    request: &Request,
    vpc_id: &str,
    ids: &[String],
) -> Result<Vec<String>, Refusal> {
    if ids.is_empty() {
        return Ok(vec![default_of(view, request, vpc_id)?]);
    }
    let mut groups: Vec<String> = Vec::with_capacity(ids.len());
    for id in ids {
        if KIND.get(view, request, id)?.vpc_id != vpc_id {
            return Err(crate::errors::group_of_another_network());
        }
        if !groups.contains(id) {
            groups.push(id.clone());
        }
    }
    if groups.len() > GROUPS_PER_INTERFACE_MAX {
        return Err(crate::errors::too_many_groups_of_interface());
    }
    Ok(groups)
}

/// The one of two parameters that a call has.
pub(crate) fn named<'a>(id: &'a Option<String>, name: &'a Option<String>) -> Result<GroupName<'a>, Refusal> {
    match (id, name) {
        (Some(id), None) => Ok(GroupName::Id(id)),
        (None, Some(name)) => Ok(GroupName::Name(name)),
        (Some(_), Some(_)) => Err(Refusal::Combination("GroupName", "GroupId")),
        (None, None) => Err(Refusal::Missing("groupName or groupId".into())),
    }
}

/// Whether a rule has this id.
pub(crate) fn has_rule(view: &View<'_>, request: &Request, rule_id: &str) -> Result<bool, Refusal> {
    let has = |row: &GroupRow| row.rules.iter().chain(&row.egress).any(|rule| rule.id == rule_id);
    Ok(KIND.all(view, request)?.iter().any(|(_, row)| has(row)))
}

/// Makes a group.
pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateSecurityGroupInput,
) -> Result<CreateSecurityGroupOutput, Refusal> {
    let CreateSecurityGroupInput { description, group_name: name, tag_specifications, vpc_id, .. } = input;
    check_text("groupName", &name)?;
    check_text("groupDescription", &description)?;
    if name == DEFAULT_NAME {
        return Err(Refusal::InvalidValue(format!("Cannot use reserved security group name: {name}")));
    }
    if name.starts_with("sg-") {
        let sentence = format!("Invalid security group name '{name}'. Group names may not be in the format sg-*.");
        return Err(Refusal::InvalidValue(sentence));
    }
    let vpc_id = vpc_id.unwrap_or_else(|| request.place.vpc_id());
    vpcs::KIND.get(tx, request, &vpc_id)?;
    let tags = tags::specified(request, tag_specifications, "security-group")?;
    let groups = KIND.all(tx, request)?;
    if groups.iter().any(|(_, row)| row.name == name && row.vpc_id == vpc_id) {
        return Err(Refusal::GroupExists { name, vpc_id });
    }
    if groups.len() >= GROUPS_MAX {
        return Err(Refusal::TooManyGroups(vpc_id));
    }
    let id = request.new_id("sg");
    let egress = vec![everything_out(request.new_id("sgr"))];
    tx.insert(&GROUPS, &request.key(&id), &GroupRow { name, description, vpc_id, rules: Vec::new(), egress })?;
    let tags = tags::put_new(tx, request, &id, "security-group", &tags)?;
    Ok(CreateSecurityGroupOutput { security_group_arn: Some(arn(&request.place, &id)), group_id: Some(id), tags })
}

/// AWS's rule for the name and the description of a group in a VPC.
fn check_text(parameter: &'static str, text: &str) -> Result<(), Refusal> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(letter);
    if text.is_empty() {
        return Err(Refusal::Missing(parameter.into()));
    }
    if text.chars().count() <= DESCRIPTION_CHARACTERS_MAX && text.chars().all(allowed) {
        return Ok(());
    }
    Err(Refusal::InvalidValue(format!(
        "Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
    )))
}

/// The id of the group that a client wants deleted.
pub(crate) fn to_delete(
    view: &View<'_>,
    request: &Request,
    input: DeleteSecurityGroupInput,
) -> Result<String, Refusal> {
    Ok(find(view, request, named(&input.group_id, &input.group_name)?)?.id)
}

/// Removes a group with its rules and tags.
pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    request: &Request,
    id: String,
) -> Result<DeleteSecurityGroupOutput, Refusal> {
    let group = find(tx, request, GroupName::Id(&id))?;
    if group.row.name == DEFAULT_NAME {
        return Err(Refusal::DefaultGroup { id: group.id, name: group.row.name });
    }
    let names_it = |rule: &RuleRow| matches!(&rule.rule.source, Source::Group(source) if *source == id);
    let is_named = |row: &GroupRow| row.rules.iter().chain(&row.egress).any(names_it);
    let interfaces = network_interfaces::KIND.all(tx, request)?;
    if KIND.all(tx, request)?.iter().any(|(other, row)| *other != id && is_named(row))
        || interfaces.iter().any(|(_, interface)| interface.groups.contains(&id))
    {
        return Err(Refusal::GroupInUse(id));
    }
    remove(tx, request, &id, &group.row)?;
    Ok(DeleteSecurityGroupOutput { group_id: Some(id), r#return: Some(true) })
}

/// Removes the row of a group and all tags on it and its rules.
pub(crate) fn remove(tx: &mut Transaction<'_>, request: &Request, id: &str, row: &GroupRow) -> Result<(), Refusal> {
    tx.delete(&GROUPS, &request.key(id))?;
    for rule in row.rules.iter().chain(&row.egress) {
        tags::forget(tx, &request.place, &rule.id)?;
    }
    Ok(tags::forget(tx, &request.place, id)?)
}

fn check_rule_ids(ids: &[String]) -> Result<(), Refusal> {
    ids.iter().try_for_each(|id| check_id("sgr", id))
}
