//! Security groups: who may reach what is behind them.
//!
//! Invariants:
//! - A group's name is unique in its VPC; the default group is always there and can't be deleted.
//! - A group that a rule of another group names is not deleted, nor one that is in use.
//! - A rule stands in a group once, and a group has at most [`RULES_MAX`].

use api::ec2::*;
use store::{Scan, StoreError, Transaction, View};

use crate::errors::Refusal;
use crate::filters::Filters;
use crate::paging::Page;
use crate::place::{Place, is_well_formed};
use crate::rows::{GROUPS, GroupRow, Rule, RuleRow, Source};
use crate::rules::{self, DESCRIPTION_CHARACTERS_MAX, GroupName};
use crate::tags::{self, Loaded};

/// AWS's quota: security groups in a region.
pub(crate) const GROUPS_MAX: usize = 2_500;
/// AWS's quota: rules of a group in one direction.
pub(crate) const RULES_MAX: usize = 60;
/// AWS's quota: groups of one network interface, and so of a load balancer.
pub(crate) const GROUPS_PER_INTERFACE_MAX: usize = 5;

/// A group with its id.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) row: GroupRow,
}

/// The default group as it is before anybody changes its rules: its members reach each other.
fn default_group(place: &Place) -> Group {
    let id = place.default_group_id();
    let rule = Rule { protocol: "-1".to_owned(), ports: None, source: Source::Group(id.clone()) };
    let row = GroupRow {
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
        rules: vec![RuleRow { id: place.derived("sgr", "default"), rule, description: None }],
    };
    Group { id, row }
}

/// All groups, by id.
fn all(view: &View<'_>, place: &Place) -> Result<Vec<Group>, StoreError> {
    let prefix = place.prefix();
    let rows = view.scan(&GROUPS, &Scan::prefix(&prefix).limit(GROUPS_MAX))?;
    let group = |row: store::Row<GroupRow>| Group { id: row.key[prefix.len()..].to_owned(), row: row.value };
    let mut groups: Vec<Group> = rows.into_iter().map(group).collect();
    let default_id = place.default_group_id();
    if let Err(at) = groups.binary_search_by(|group| group.id.cmp(&default_id)) {
        groups.insert(at, default_group(place));
    }
    Ok(groups)
}

/// The group of an id.
fn by_id(view: &View<'_>, place: &Place, id: &str) -> Result<Option<Group>, StoreError> {
    if let Some(row) = view.get(&GROUPS, &place.key(id))? {
        return Ok(Some(Group { id: id.to_owned(), row: row.value }));
    }
    Ok((id == place.default_group_id()).then(|| default_group(place)))
}

/// The group that a client names.
pub(crate) fn find(view: &View<'_>, place: &Place, named: GroupName<'_>) -> Result<Group, Refusal> {
    match named {
        GroupName::Id(id) => {
            check_id("sg", id)?;
            by_id(view, place, id)?.ok_or_else(|| Refusal::NotFound { kind: "sg", ids: vec![id.to_owned()] })
        }
        GroupName::Name(name) => {
            let found = all(view, place)?.into_iter().find(|group| group.row.name == name);
            found.ok_or_else(|| Refusal::NoSuchGroupName { name: name.to_owned(), vpc_id: place.vpc_id() })
        }
    }
}

fn check_id(kind: &'static str, id: &str) -> Result<(), Refusal> {
    if is_well_formed(kind, id) { Ok(()) } else { Err(Refusal::Malformed { kind, id: id.to_owned() }) }
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
pub(crate) fn has_rule(view: &View<'_>, place: &Place, rule_id: &str) -> Result<bool, StoreError> {
    Ok(all(view, place)?.iter().any(|group| group.row.rules.iter().any(|rule| rule.id == rule_id)))
}

/// Makes a group. `id` is the one that it gets.
pub(crate) fn create(
    tx: &mut Transaction<'_>,
    place: &Place,
    id: &str,
    input: CreateSecurityGroupInput,
) -> Result<Vec<Tag>, Refusal> {
    let CreateSecurityGroupInput { description, group_name: name, tag_specifications, vpc_id, .. } = input;
    check_text("groupName", &name)?;
    check_text("groupDescription", &description)?;
    if name == "default" {
        return Err(Refusal::InvalidValue(format!("Cannot use reserved security group name: {name}")));
    }
    if name.starts_with("sg-") {
        let sentence = format!("Invalid security group name '{name}'. Group names may not be in the format sg-*.");
        return Err(Refusal::InvalidValue(sentence));
    }
    if let Some(vpc_id) = vpc_id.filter(|vpc_id| *vpc_id != place.vpc_id()) {
        return Err(Refusal::NotFound { kind: "vpc", ids: vec![vpc_id] });
    }
    let tags = tags::specified(tag_specifications, "security-group")?;
    let groups = all(tx, place)?;
    if groups.iter().any(|group| group.row.name == name) {
        return Err(Refusal::GroupExists { name, vpc_id: place.vpc_id() });
    }
    if groups.len() >= GROUPS_MAX {
        return Err(Refusal::TooManyGroups(place.vpc_id()));
    }
    tx.insert(&GROUPS, &place.key(id), &GroupRow { name, description, rules: Vec::new() })?;
    tags::put(tx, place, id, "security-group", &tags)?;
    Ok(tags::of(tx, place, id)?)
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

/// Removes a group with its rules and tags.
pub(crate) fn delete(tx: &mut Transaction<'_>, place: &Place, id: &str) -> Result<(), Refusal> {
    let group = find(tx, place, GroupName::Id(id))?;
    if id == place.default_group_id() {
        return Err(Refusal::DefaultGroup { id: group.id, name: group.row.name });
    }
    let names_it = |rule: &RuleRow| matches!(&rule.rule.source, Source::Group(source) if source == id);
    if all(tx, place)?.iter().any(|other| other.id != id && other.row.rules.iter().any(names_it)) {
        return Err(Refusal::GroupInUse(id.to_owned()));
    }
    tx.delete(&GROUPS, &place.key(id))?;
    for rule in &group.row.rules {
        tags::forget(tx, place, &rule.id)?;
    }
    Ok(tags::forget(tx, place, id)?)
}

/// Adds the rules of these permissions, or none of them; what was added, as it is described.
pub(crate) fn authorize(
    tx: &mut Transaction<'_>,
    place: &Place,
    mut group: Group,
    permissions: &[IpPermission],
    tags: &[(String, String)],
    mut new_id: impl FnMut() -> String,
) -> Result<Vec<SecurityGroupRule>, Refusal> {
    let mut added: Vec<RuleRow> = Vec::new();
    for permission in permissions {
        let mut find_id = |named: GroupName<'_>| Ok(find(tx, place, named)?.id);
        for (rule, description) in rules::rules_of(place, permission, &mut find_id)? {
            if added.iter().any(|row| row.rule == rule) {
                return Err(Refusal::InvalidValue("The same permission must not appear multiple times".into()));
            }
            if group.row.rules.iter().any(|row| row.rule == rule) {
                return Err(Refusal::RuleExists(rules::spelled(&rule)));
            }
            added.push(RuleRow { id: new_id(), rule, description });
            if group.row.rules.len() + added.len() > RULES_MAX {
                return Err(Refusal::TooManyRules);
            }
        }
    }
    group.row.rules.extend(added.iter().cloned());
    tx.put(&GROUPS, &place.key(&group.id), &group.row)?;
    let mut described = Vec::with_capacity(added.len());
    for row in &added {
        tags::put(tx, place, &row.id, "security-group-rule", tags)?;
        let tags = tags::of(tx, place, &row.id)?;
        described.push(SecurityGroupRule { tags, ..rules::described(place, &group.id, row) });
    }
    Ok(described)
}

/// What was taken out, and which permissions named rules that aren't there.
pub(crate) type Revoked = (Vec<RevokedSecurityGroupRule>, Vec<IpPermission>);

/// Takes out the rules of these permissions. In a default VPC a rule that isn't there is no error, says AWS, but told.
pub(crate) fn revoke(
    tx: &mut Transaction<'_>,
    place: &Place,
    group: Group,
    permissions: Vec<IpPermission>,
) -> Result<Revoked, Refusal> {
    let (mut ids, mut unknown) = (Vec::new(), Vec::new());
    for permission in permissions {
        let mut find_id = |named: GroupName<'_>| match find(tx, place, named) {
            // A rule may outlast the group that it names in one case: nobody looked; naming it must still work.
            Err(Refusal::NotFound { mut ids, .. }) => Ok(ids.pop().unwrap_or_default()),
            found => Ok(found?.id),
        };
        let asked = rules::rules_of(place, &permission, &mut find_id)?;
        let mut known = true;
        for (rule, _) in asked {
            match group.row.rules.iter().find(|row| row.rule == rule) {
                Some(row) => ids.push(row.id.clone()),
                None => known = false,
            }
        }
        if !known {
            unknown.push(permission);
        }
    }
    Ok((take_out(tx, place, group, &ids)?, unknown))
}

/// Takes out the rules of these ids, or none of them.
pub(crate) fn revoke_by_id(
    tx: &mut Transaction<'_>,
    place: &Place,
    group: Group,
    ids: &[String],
) -> Result<Revoked, Refusal> {
    ids.iter().try_for_each(|id| check_id("sgr", id))?;
    let is_there = |id: &&String| group.row.rules.iter().any(|row| row.id == **id);
    let missing: Vec<String> = ids.iter().filter(|id| !is_there(id)).cloned().collect();
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "sgr", ids: missing });
    }
    Ok((take_out(tx, place, group, ids)?, Vec::new()))
}

fn take_out(
    tx: &mut Transaction<'_>,
    place: &Place,
    mut group: Group,
    ids: &[String],
) -> Result<Vec<RevokedSecurityGroupRule>, Refusal> {
    let (out, stay): (Vec<RuleRow>, Vec<RuleRow>) = group.row.rules.into_iter().partition(|row| ids.contains(&row.id));
    group.row.rules = stay;
    tx.put(&GROUPS, &place.key(&group.id), &group.row)?;
    for row in &out {
        tags::forget(tx, place, &row.id)?;
    }
    Ok(out.iter().map(|row| rules::revoked(&group.id, row)).collect())
}

/// Every filter that EC2 has for security groups, apart from tags.
const KNOWN: &[&str] = &[
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "vpc-id",
];

/// The groups that a client wants to see.
pub(crate) fn describe(
    view: &View<'_>,
    place: &Place,
    input: DescribeSecurityGroupsInput,
) -> Result<DescribeSecurityGroupsOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let groups = if input.group_ids.is_empty() && input.group_names.is_empty() {
        all(view, place)?
    } else {
        let ids = input.group_ids.iter().map(|id| GroupName::Id(id));
        let named = ids.chain(input.group_names.iter().map(|name| GroupName::Name(name)));
        let mut groups = named.map(|named| find(view, place, named)).collect::<Result<Vec<_>, _>>()?;
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        groups.dedup_by(|a, b| a.id == b.id);
        groups
    };
    let few = !(input.group_ids.is_empty() && input.group_names.is_empty());
    let loaded = Loaded::load(view, place, "sg", few)?;
    let mut described = Vec::with_capacity(groups.len());
    for group in groups {
        let tags = loaded.of(view, place, &group.id)?;
        if filters.pass(&tags, |name| values(place, &group, name)) {
            described.push(security_group(place, group, tags));
        }
    }
    let id = |group: &SecurityGroup| group.group_id.clone().unwrap_or_default();
    let (security_groups, next_token) = page.of(described.into_iter(), id);
    Ok(DescribeSecurityGroupsOutput { next_token, security_groups })
}

/// The ARN of a group.
pub(crate) fn arn(place: &Place, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:security-group/{id}", place.region, place.account)
}

fn security_group(place: &Place, group: Group, tags: Vec<Tag>) -> SecurityGroup {
    // What goes out is never held up: that is what a new group on AWS says, too.
    let everything = IpPermission {
        ip_protocol: Some("-1".to_owned()),
        ip_ranges: vec![IpRange { cidr_ip: Some("0.0.0.0/0".to_owned()), description: None }],
        ..IpPermission::default()
    };
    SecurityGroup {
        description: Some(group.row.description),
        group_name: Some(group.row.name),
        ip_permissions: rules::as_permissions(place, &group.row.rules),
        ip_permissions_egress: vec![everything],
        owner_id: Some(place.account.to_string()),
        security_group_arn: Some(arn(place, &group.id)),
        tags,
        vpc_id: Some(place.vpc_id()),
        group_id: Some(group.id),
    }
}

/// What a group has under a filter's name.
fn values(place: &Place, group: &Group, name: &str) -> Vec<String> {
    let rules = group.row.rules.iter().map(|row| &row.rule);
    match name {
        "description" => vec![group.row.description.clone()],
        "group-id" => vec![group.id.clone()],
        "group-name" => vec![group.row.name.clone()],
        "owner-id" => vec![place.account.to_string()],
        "vpc-id" => vec![place.vpc_id()],
        "egress.ip-permission.cidr" => vec!["0.0.0.0/0".to_owned()],
        "egress.ip-permission.protocol" => vec!["-1".to_owned()],
        "ip-permission.protocol" => rules.map(|rule| rule.protocol.clone()).collect(),
        "ip-permission.from-port" => rules.filter_map(|rule| Some(rule.ports?.0.to_string())).collect(),
        "ip-permission.to-port" => rules.filter_map(|rule| Some(rule.ports?.1.to_string())).collect(),
        "ip-permission.user-id" => {
            let groups = rules.filter(|rule| matches!(rule.source, Source::Group(_)));
            groups.map(|_| place.account.to_string()).collect()
        }
        _ => rules.filter_map(|rule| source_value(&rule.source, name)).collect(),
    }
}

fn source_value(source: &Source, name: &str) -> Option<String> {
    match (name, source) {
        ("ip-permission.cidr", Source::Ipv4(value))
        | ("ip-permission.ipv6-cidr", Source::Ipv6(value))
        | ("ip-permission.group-id", Source::Group(value)) => Some(value.clone()),
        _ => None,
    }
}
