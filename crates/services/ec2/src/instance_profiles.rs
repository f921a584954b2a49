//! Instance profiles: which role an instance has, and what it is told of it.
//!
//! Invariants:
//! - A profile is looked up by [`api::InstanceRoles`] before it becomes part of a row; the row keeps its ARN and id.
//! - A role's session that gives an instance a role must be allowed to hand it on (`iam:PassRole`).
//! - An instance has one association at most.

use std::collections::BTreeMap;

use api::ec2::*;
use api::{Call, InstanceRoles, Question, Verdict};
use serde_json::json;
use store::{Transaction, View};
use wire::ApiError;
use wire::value::EpochMs;

use crate::errors::{self, Refusal};
use crate::listing::{Wanted, text};
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::{Ec2, instances, launch_templates, moments, run};

const PASS_ROLE: &str = "iam:PassRole";

/// The profile that a specification names.
fn named(given: &IamInstanceProfileSpecification) -> Result<&str, Refusal> {
    match (given.arn.as_deref(), given.name.as_deref()) {
        (Some(_), Some(_)) => Err(Refusal::Combination("iamInstanceProfile.name", "iamInstanceProfile.arn")),
        (Some(named), None) | (None, Some(named)) if !named.is_empty() => Ok(named),
        _ => Err(Refusal::Missing("iamInstanceProfile.name or iamInstanceProfile.arn".into())),
    }
}

/// The profile of that ARN or name, for an instance that the caller starts or changes.
async fn find(ec2: &Ec2, call: &Call, request: &Request, named: &str) -> Result<ProfileRow, ApiError> {
    let missing = || ApiError::from(errors::no_such_instance_profile(named));
    let Some(roles) = &ec2.inner.instance_roles else { return Err(missing()) };
    let found = roles.profile(&request.place.account, named).await?.ok_or_else(missing)?;
    if let (Some(session), Some(role)) = (call.identity.session(), &found.role_arn) {
        let context = [("iam:PassedToService", "ec2.amazonaws.com".to_owned())];
        let question = Question { context: &context, ..Question::new(call, PASS_ROLE, role) };
        let verdict = session.decide(&question);
        if verdict != Verdict::Allowed {
            return Err(errors::unauthorized(&session.refusal(PASS_ROLE, role, verdict)).into());
        }
    }
    Ok(ProfileRow {
        association_id: request.new_id("iip-assoc"),
        arn: found.arn,
        id: found.id,
        name: found.name,
        since_ms: request.now_ms,
    })
}

/// RunInstances: the profile, the call's own or its template's, is looked up before the transaction.
pub(crate) async fn run_instances(
    ec2: &Ec2,
    call: &Call,
    request: Request,
    input: RunInstancesInput,
) -> Result<RunInstancesOutput, ApiError> {
    let wanted = match (&input.iam_instance_profile, &input.launch_template) {
        (None, None) => None,
        _ => ec2.look(request.clone(), input.clone(), profile_of_run).await?,
    };
    let profile = match &wanted {
        Some(given) => Some((given.clone(), find(ec2, call, &request, named(given)?).await?)),
        None => None,
    };
    ec2.change(request, (input, profile), run::run).await
}

fn profile_of_run(
    view: &View<'_>,
    request: &Request,
    input: RunInstancesInput,
) -> Result<Option<IamInstanceProfileSpecification>, Refusal> {
    Ok(match &input.launch_template {
        Some(template) => {
            let template = launch_templates::resolve(view, request, template)?;
            launch_templates::apply(template, &input)?.iam_instance_profile
        }
        None => input.iam_instance_profile,
    })
}

pub(crate) async fn associate(
    ec2: &Ec2,
    call: &Call,
    request: Request,
    input: AssociateIamInstanceProfileInput,
) -> Result<AssociateIamInstanceProfileOutput, ApiError> {
    let profile = find(ec2, call, &request, named(&input.iam_instance_profile)?).await?;
    let change = |tx: &mut Transaction<'_>, request: &Request, (id, profile): (String, ProfileRow)| {
        let mut row = instances::own(tx, request, &id)?;
        if row.state.is_ending() {
            return Err(errors::wrong_state(&id, row.state));
        }
        if row.profile.is_some() {
            return Err(errors::profile_associated(&id));
        }
        let told = association(&id, &profile, "associating");
        row.profile = Some(profile);
        tx.put(&INSTANCES, &request.key(&id), &row)?;
        Ok(AssociateIamInstanceProfileOutput { iam_instance_profile_association: Some(told) })
    };
    ec2.change(request, (input.instance_id, profile), change).await
}

pub(crate) async fn replace(
    ec2: &Ec2,
    call: &Call,
    request: Request,
    input: ReplaceIamInstanceProfileAssociationInput,
) -> Result<ReplaceIamInstanceProfileAssociationOutput, ApiError> {
    let profile = find(ec2, call, &request, named(&input.iam_instance_profile)?).await?;
    let change = |tx: &mut Transaction<'_>, request: &Request, (old, profile): (String, ProfileRow)| {
        let (id, mut row) = associated(tx, request, &old)?;
        let told = association(&id, &profile, "associating");
        row.profile = Some(profile);
        tx.put(&INSTANCES, &request.key(&id), &row)?;
        Ok(ReplaceIamInstanceProfileAssociationOutput { iam_instance_profile_association: Some(told) })
    };
    ec2.change(request, (input.association_id, profile), change).await
}

pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DisassociateIamInstanceProfileInput,
) -> Result<DisassociateIamInstanceProfileOutput, Refusal> {
    let (id, mut row) = associated(tx, request, &input.association_id)?;
    let told = row.profile.take().map(|profile| association(&id, &profile, "disassociating"));
    tx.put(&INSTANCES, &request.key(&id), &row)?;
    Ok(DisassociateIamInstanceProfileOutput { iam_instance_profile_association: told })
}

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeIamInstanceProfileAssociationsInput,
) -> Result<DescribeIamInstanceProfileAssociationsOutput, Refusal> {
    let DescribeIamInstanceProfileAssociationsInput { association_ids, filters, max_results, next_token } = input;
    let wanted =
        Wanted::parse(association_ids, filters, &["instance-id", "state"], max_results, next_token.as_deref())?;
    let mut found: Vec<IamInstanceProfileAssociation> = Vec::new();
    for (id, row) in instances::KIND.all(view, request)? {
        found.extend(row.profile.map(|profile| association(&id, &profile, "associated")));
    }
    let id_of = |one: &IamInstanceProfileAssociation| one.association_id.clone().unwrap_or_default();
    if let Some(missing) = wanted.ids.iter().find(|id| !found.iter().any(|one| id_of(one) == **id)) {
        return Err(errors::no_such_profile_association(missing));
    }
    found.retain(|one| {
        let is_named = wanted.ids.is_empty() || wanted.ids.contains(&id_of(one));
        is_named
            && wanted.filters.pass(&[], |name| match name {
                "instance-id" => text(&one.instance_id),
                _ => text(&one.state),
            })
    });
    found.sort_by_key(id_of);
    let (iam_instance_profile_associations, next_token) = wanted.page.of(found.into_iter(), id_of);
    Ok(DescribeIamInstanceProfileAssociationsOutput { iam_instance_profile_associations, next_token })
}

/// The instance that an association is of.
fn associated(view: &View<'_>, request: &Request, association_id: &str) -> Result<(String, InstanceRow), Refusal> {
    let is_meant =
        |row: &InstanceRow| row.profile.as_ref().is_some_and(|profile| profile.association_id == association_id);
    let found = instances::KIND.all(view, request)?.into_iter().find(|(_, row)| is_meant(row));
    found.ok_or_else(|| errors::no_such_profile_association(association_id))
}

fn association(instance_id: &str, profile: &ProfileRow, state: &str) -> IamInstanceProfileAssociation {
    IamInstanceProfileAssociation {
        association_id: Some(profile.association_id.clone()),
        iam_instance_profile: Some(told(profile)),
        instance_id: Some(instance_id.to_owned()),
        state: Some(state.to_owned()),
        timestamp: Some(EpochMs(i64::try_from(profile.since_ms).unwrap_or(i64::MAX))),
    }
}

/// A profile as DescribeInstances shows it.
pub(crate) fn told(profile: &ProfileRow) -> IamInstanceProfile {
    IamInstanceProfile { arn: Some(profile.arn.clone()), id: Some(profile.id.clone()) }
}

/// What the metadata service tells of an instance's role: `iam/info`, and `iam/security-credentials/ROLE`.
pub(crate) fn metadata(
    roles: Option<&dyn InstanceRoles>,
    place: &Place,
    instance_id: &str,
    profile: Option<&ProfileRow>,
    now_ms: u64,
) -> (Option<String>, BTreeMap<String, String>) {
    let (Some(roles), Some(profile)) = (roles, profile) else { return Default::default() };
    let asked = api::InstanceProfile {
        arn: profile.arn.clone(),
        id: profile.id.clone(),
        name: profile.name.clone(),
        role_arn: None,
    };
    let found = match roles.credentials(&place.account, &asked, instance_id) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, instance_id, "an instance's credentials could not be made");
            None
        }
    };
    let Some(found) = found else { return Default::default() };
    let pretty = |value: serde_json::Value| serde_json::to_string_pretty(&value).unwrap_or_default();
    let (code, credentials) = match found.credentials {
        Ok(made) => (
            "Success",
            json!({
                "Code": "Success",
                "LastUpdated": moments::iso(made.made_at_ms),
                "Type": "AWS-HMAC",
                "AccessKeyId": made.access_key_id,
                "SecretAccessKey": made.secret_access_key,
                "Token": made.session_token,
                "Expiration": moments::iso(made.expires_at_ms),
            }),
        ),
        Err(why) => (
            "AssumeRoleUnauthorizedAccess",
            json!({
                "Code": "AssumeRoleUnauthorizedAccess",
                "LastUpdated": moments::iso(now_ms),
                "Message": why,
            }),
        ),
    };
    let info = json!({
        "Code": code,
        "LastUpdated": moments::iso(now_ms),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    });
    (Some(pretty(info)), BTreeMap::from([(found.role_name, pretty(credentials))]))
}
