//! Security groups and their rules, as EC2 describes them.
//!
//! Invariant: what is described is what is enforced: the rules in the row, in both directions.

use api::ec2::*;
use store::View;

use super::{Group, KIND, check_rule_ids, find};
use crate::errors::Refusal;
use crate::filters::Filters;
use crate::listing::text;
use crate::paging::Page;
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::rules::{self, GroupName};
use crate::tags::Loaded;

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
    request: &Request,
    input: DescribeSecurityGroupsInput,
) -> Result<DescribeSecurityGroupsOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let all = KIND.all(view, request)?;
    let names = |id: &str| all.iter().find(|(known, _)| known == id).map(|(_, row)| row.name.clone());
    let few = !(input.group_ids.is_empty() && input.group_names.is_empty());
    let groups = if few {
        let ids = input.group_ids.iter().map(|id| GroupName::Id(id));
        let named = ids.chain(input.group_names.iter().map(|name| GroupName::Name(name)));
        let mut groups = named.map(|named| find(view, request, named)).collect::<Result<Vec<_>, _>>()?;
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        groups.dedup_by(|a, b| a.id == b.id);
        groups
    } else {
        all.iter().map(|(id, row)| Group { id: id.clone(), row: row.clone() }).collect()
    };
    let loaded = Loaded::load(view, &request.place, "sg", few)?;
    let mut described = Vec::with_capacity(groups.len());
    for group in groups {
        let tags = loaded.of(view, &request.place, &group.id)?;
        if filters.pass(&tags, |name| values(&request.place, &group, &names, name)) {
            described.push(security_group(&request.place, group, tags));
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
    SecurityGroup {
        description: Some(group.row.description),
        group_name: Some(group.row.name),
        ip_permissions: rules::as_permissions(place, &group.row.rules),
        ip_permissions_egress: rules::as_permissions(place, &group.row.egress),
        owner_id: Some(place.account.to_string()),
        security_group_arn: Some(arn(place, &group.id)),
        tags,
        vpc_id: Some(group.row.vpc_id),
        group_id: Some(group.id),
    }
}

/// What a group has under a filter's name. `name_of` answers a group's name.
fn values(place: &Place, group: &Group, name_of: &dyn Fn(&str) -> Option<String>, name: &str) -> Vec<String> {
    let (rules, name) = match name.strip_prefix("egress.") {
        Some(name) => (&group.row.egress, name),
        None => (&group.row.rules, name),
    };
    let rules = rules.iter().map(|row| &row.rule);
    match name {
        "description" => vec![group.row.description.clone()],
        "group-id" => vec![group.id.clone()],
        "group-name" => vec![group.row.name.clone()],
        "owner-id" => vec![place.account.to_string()],
        "vpc-id" => vec![group.row.vpc_id.clone()],
        "ip-permission.protocol" => rules.map(|rule| rule.protocol.clone()).collect(),
        "ip-permission.from-port" => rules.filter_map(|rule| Some(rule.ports?.0.to_string())).collect(),
        "ip-permission.to-port" => rules.filter_map(|rule| Some(rule.ports?.1.to_string())).collect(),
        "ip-permission.user-id" => {
            let groups = rules.filter(|rule| matches!(rule.source, Source::Group(_)));
            groups.map(|_| place.account.to_string()).collect()
        }
        "ip-permission.group-name" => {
            let names = rules.filter_map(|rule| match &rule.source {
                Source::Group(id) => name_of(id),
                Source::Ipv4(_) | Source::Ipv6(_) => None,
            });
            names.collect()
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

/// The rules that a client wants to see, of all groups.
pub(crate) fn describe_rules(
    view: &View<'_>,
    request: &Request,
    input: DescribeSecurityGroupRulesInput,
) -> Result<DescribeSecurityGroupRulesOutput, Refusal> {
    let filters = Filters::parse(input.filters, &["group-id", "security-group-rule-id"])?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    check_rule_ids(&input.security_group_rule_ids)?;
    let few = !input.security_group_rule_ids.is_empty();
    let loaded = Loaded::load(view, &request.place, "sgr", few)?;
    let mut missing = input.security_group_rule_ids.clone();
    let mut described = Vec::new();
    for (group_id, row) in KIND.all(view, request)? {
        let rules = row.rules.iter().map(|rule| (rule, false)).chain(row.egress.iter().map(|rule| (rule, true)));
        for (rule, is_egress) in rules {
            if few && !input.security_group_rule_ids.contains(&rule.id) {
                continue;
            }
            missing.retain(|id| *id != rule.id);
            let tags = loaded.of(view, &request.place, &rule.id)?;
            let rule = rules::described(&request.place, &group_id, rule, is_egress);
            let passes = filters.pass(&tags, |name| match name {
                "group-id" => text(&rule.group_id),
                _ => text(&rule.security_group_rule_id),
            });
            if passes {
                described.push(SecurityGroupRule { tags, ..rule });
            }
        }
    }
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "sgr", ids: missing });
    }
    let id = |rule: &SecurityGroupRule| rule.security_group_rule_id.clone().unwrap_or_default();
    described.sort_by_key(id);
    let (security_group_rules, next_token) = page.of(described.into_iter(), id);
    Ok(DescribeSecurityGroupRulesOutput { next_token, security_group_rules })
}
