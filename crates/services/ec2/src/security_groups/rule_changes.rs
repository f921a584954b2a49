//! Rules put into groups, taken out and described anew.
//!
//! Invariant: of the rules that a call names, all are changed or none.

use api::ec2::*;
use store::Transaction;

use super::{Group, RULES_MAX, check_rule_ids, find, find_in, named};
use crate::errors::{self, Refusal};
use crate::request::Request;
use crate::rows::*;
use crate::rules::{self, GroupName, Legacy};
use crate::tags;

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

impl Direction {
    fn rules(self, row: &GroupRow) -> &Vec<RuleRow> {
        match self {
            Self::In => &row.rules,
            Self::Out => &row.egress,
        }
    }

    fn rules_mut(self, row: &mut GroupRow) -> &mut Vec<RuleRow> {
        match self {
            Self::In => &mut row.rules,
            Self::Out => &mut row.egress,
        }
    }

    fn is_egress(self) -> bool {
        self == Self::Out
    }
}

pub(crate) fn authorize_ingress(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: AuthorizeSecurityGroupIngressInput,
) -> Result<AuthorizeSecurityGroupIngressOutput, Refusal> {
    let legacy = Legacy {
        ip_protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr_ip: input.cidr_ip,
        source_group_name: input.source_security_group_name,
        source_group_owner: input.source_security_group_owner_id,
    };
    let permissions = rules::permissions(legacy, input.ip_permissions)?;
    let tags = tags::specified(request, input.tag_specifications, "security-group-rule")?;
    let group = find(tx, request, named(&input.group_id, &input.group_name)?)?;
    let security_group_rules = authorize(tx, request, Direction::In, group, &permissions, &tags)?;
    Ok(AuthorizeSecurityGroupIngressOutput { r#return: Some(true), security_group_rules })
}

pub(crate) fn authorize_egress(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: AuthorizeSecurityGroupEgressInput,
) -> Result<AuthorizeSecurityGroupEgressOutput, Refusal> {
    let legacy = Legacy {
        ip_protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr_ip: input.cidr_ip,
        source_group_name: input.source_security_group_name,
        source_group_owner: input.source_security_group_owner_id,
    };
    let permissions = rules::permissions(legacy, input.ip_permissions)?;
    let tags = tags::specified(request, input.tag_specifications, "security-group-rule")?;
    let group = find(tx, request, GroupName::Id(&input.group_id))?;
    let security_group_rules = authorize(tx, request, Direction::Out, group, &permissions, &tags)?;
    Ok(AuthorizeSecurityGroupEgressOutput { r#return: Some(true), security_group_rules })
}

/// Adds the rules of these permissions, or none of them; what was added, as it is described.
fn authorize(
    tx: &mut Transaction<'_>,
    request: &Request,
    direction: Direction,
    mut group: Group,
    permissions: &[IpPermission],
    tags: &[(String, String)],
) -> Result<Vec<SecurityGroupRule>, Refusal> {
    let mut added: Vec<RuleRow> = Vec::new();
    for permission in permissions {
        let vpc_id = group.row.vpc_id.clone();
        let mut find_id = |named: GroupName<'_>| {
            let peer = find_in(tx, request, &vpc_id, named)?;
            // A group of another VPC can't be seen from here.
            if peer.row.vpc_id == vpc_id { Ok(peer.id) } else { Err(errors::not_found("sg", &peer.id)) }
        };
        for (rule, description) in rules::rules_of(&request.place, permission, &mut find_id)? {
            if added.iter().any(|row| row.rule == rule) {
                return Err(Refusal::InvalidValue("The same permission must not appear multiple times".into()));
            }
            if direction.rules(&group.row).iter().any(|row| row.rule == rule) {
                return Err(Refusal::RuleExists(rules::spelled(&rule)));
            }
            added.push(RuleRow { id: request.new_id("sgr"), rule, description });
            if direction.rules(&group.row).len() + added.len() > RULES_MAX {
                return Err(Refusal::TooManyRules);
            }
        }
    }
    direction.rules_mut(&mut group.row).extend(added.iter().cloned());
    tx.put(&GROUPS, &request.key(&group.id), &group.row)?;
    let mut described = Vec::with_capacity(added.len());
    for row in &added {
        let tags = tags::put_new(tx, request, &row.id, "security-group-rule", tags)?;
        let rule = rules::described(&request.place, &group.id, row, direction.is_egress());
        described.push(SecurityGroupRule { tags, ..rule });
    }
    Ok(described)
}

pub(crate) fn revoke_ingress(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: RevokeSecurityGroupIngressInput,
) -> Result<RevokeSecurityGroupIngressOutput, Refusal> {
    let legacy = Legacy {
        ip_protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr_ip: input.cidr_ip,
        source_group_name: input.source_security_group_name,
        source_group_owner: input.source_security_group_owner_id,
    };
    let ids = input.security_group_rule_ids;
    let permissions = if ids.is_empty() { rules::permissions(legacy, input.ip_permissions)? } else { Vec::new() };
    let group = find(tx, request, named(&input.group_id, &input.group_name)?)?;
    let (revoked_security_group_rules, unknown_ip_permissions) =
        revoke(tx, request, Direction::In, group, &ids, permissions)?;
    Ok(RevokeSecurityGroupIngressOutput { r#return: Some(true), revoked_security_group_rules, unknown_ip_permissions })
}

pub(crate) fn revoke_egress(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: RevokeSecurityGroupEgressInput,
) -> Result<RevokeSecurityGroupEgressOutput, Refusal> {
    let legacy = Legacy {
        ip_protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr_ip: input.cidr_ip,
        source_group_name: input.source_security_group_name,
        source_group_owner: input.source_security_group_owner_id,
    };
    let ids = input.security_group_rule_ids;
    let permissions = if ids.is_empty() { rules::permissions(legacy, input.ip_permissions)? } else { Vec::new() };
    let group = find(tx, request, GroupName::Id(&input.group_id))?;
    let (revoked_security_group_rules, unknown_ip_permissions) =
        revoke(tx, request, Direction::Out, group, &ids, permissions)?;
    Ok(RevokeSecurityGroupEgressOutput { r#return: Some(true), revoked_security_group_rules, unknown_ip_permissions })
}

/// What was taken out, and which permissions named rules that aren't there.
type Revoked = (Vec<RevokedSecurityGroupRule>, Vec<IpPermission>);

fn revoke(
    tx: &mut Transaction<'_>,
    request: &Request,
    direction: Direction,
    group: Group,
    ids: &[String],
    permissions: Vec<IpPermission>,
) -> Result<Revoked, Refusal> {
    if ids.is_empty() {
        let (ids, unknown) = ids_of(tx, request, direction, &group, permissions)?;
        // AWS tells of what isn't there in a default VPC, and refuses elsewhere.
        if !unknown.is_empty() && group.row.vpc_id != request.place.vpc_id() {
            return Err(errors::no_such_rule());
        }
        return Ok((take_out(tx, request, direction, group, &ids)?, unknown));
    }
    check_rule_ids(ids)?;
    let is_there = |id: &&String| direction.rules(&group.row).iter().any(|row| row.id == **id);
    let missing: Vec<String> = ids.iter().filter(|id| !is_there(id)).cloned().collect();
    if !missing.is_empty() {
        return Err(Refusal::NotFound { kind: "sgr", ids: missing });
    }
    Ok((take_out(tx, request, direction, group, ids)?, Vec::new()))
}

/// The ids of the rules in these permissions, and the permissions with rules that aren't there.
fn ids_of(
    tx: &Transaction<'_>,
    request: &Request,
    direction: Direction,
    group: &Group,
    permissions: Vec<IpPermission>,
) -> Result<(Vec<String>, Vec<IpPermission>), Refusal> {
    let (mut ids, mut unknown) = (Vec::new(), Vec::new());
    for permission in permissions {
        let mut find_id = |named: GroupName<'_>| match find_in(tx, request, &group.row.vpc_id, named) {
            // A rule may outlast the group that it names in one case: nobody looked; naming it must still work.
            Err(Refusal::NotFound { mut ids, .. }) => Ok(ids.pop().unwrap_or_default()),
            found => Ok(found?.id),
        };
        let asked = rules::rules_of(&request.place, &permission, &mut find_id)?;
        let mut known = true;
        for (rule, _) in asked {
            match direction.rules(&group.row).iter().find(|row| row.rule == rule) {
                Some(row) => ids.push(row.id.clone()),
                None => known = false,
            }
        }
        if !known {
            unknown.push(permission);
        }
    }
    Ok((ids, unknown))
}

fn take_out(
    tx: &mut Transaction<'_>,
    request: &Request,
    direction: Direction,
    mut group: Group,
    ids: &[String],
) -> Result<Vec<RevokedSecurityGroupRule>, Refusal> {
    let rules = direction.rules_mut(&mut group.row);
    let out: Vec<RuleRow> = rules.extract_if(.., |row| ids.contains(&row.id)).collect();
    tx.put(&GROUPS, &request.key(&group.id), &group.row)?;
    for row in &out {
        tags::forget(tx, &request.place, &row.id)?;
    }
    Ok(out.iter().map(|row| rules::revoked(&group.id, row, direction.is_egress())).collect())
}

pub(crate) fn describe_ingress(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: UpdateSecurityGroupRuleDescriptionsIngressInput,
) -> Result<UpdateSecurityGroupRuleDescriptionsIngressOutput, Refusal> {
    let group = find(tx, request, named(&input.group_id, &input.group_name)?)?;
    let by_id = input.security_group_rule_descriptions;
    describe_anew(tx, request, Direction::In, group, input.ip_permissions, by_id)?;
    Ok(UpdateSecurityGroupRuleDescriptionsIngressOutput { r#return: Some(true) })
}

pub(crate) fn describe_egress(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: UpdateSecurityGroupRuleDescriptionsEgressInput,
) -> Result<UpdateSecurityGroupRuleDescriptionsEgressOutput, Refusal> {
    let group = find(tx, request, named(&input.group_id, &input.group_name)?)?;
    let by_id = input.security_group_rule_descriptions;
    describe_anew(tx, request, Direction::Out, group, input.ip_permissions, by_id)?;
    Ok(UpdateSecurityGroupRuleDescriptionsEgressOutput { r#return: Some(true) })
}

fn describe_anew(
    tx: &mut Transaction<'_>,
    request: &Request,
    direction: Direction,
    mut group: Group,
    permissions: Vec<IpPermission>,
    by_id: Vec<SecurityGroupRuleDescription>,
) -> Result<(), Refusal> {
    let mut changes: Vec<(String, Option<String>)> = Vec::new();
    match (permissions.is_empty(), by_id.is_empty()) {
        (true, true) => return Err(Refusal::Missing("ipPermissions or securityGroupRuleDescriptions".into())),
        (false, false) => return Err(Refusal::Combination("ipPermissions", "securityGroupRuleDescriptions")),
        _ => {}
    }
    for permission in &permissions {
        let mut find_id = |named: GroupName<'_>| Ok(find_in(tx, request, &group.row.vpc_id, named)?.id);
        for (rule, description) in rules::rules_of(&request.place, permission, &mut find_id)? {
            let row = direction.rules(&group.row).iter().find(|row| row.rule == rule);
            changes.push((row.ok_or_else(errors::no_such_rule)?.id.clone(), description));
        }
    }
    for SecurityGroupRuleDescription { description, security_group_rule_id: id } in by_id {
        let id = id.ok_or(Refusal::Missing("securityGroupRuleId".into()))?;
        check_rule_ids(std::slice::from_ref(&id))?;
        rules::check_description(description.as_deref())?;
        if direction.rules(&group.row).iter().all(|row| row.id != id) {
            return Err(errors::not_found("sgr", &id));
        }
        changes.push((id, description));
    }
    for row in direction.rules_mut(&mut group.row) {
        if let Some((_, description)) = changes.iter().find(|(id, _)| *id == row.id) {
            row.description.clone_from(description);
        }
    }
    tx.put(&GROUPS, &request.key(&group.id), &group.row)?;
    Ok(())
}
