//! The managed policies that a role has: attached ones, and the one that bounds them.
//!
//! Invariant: what is attached was there in the transaction that attached it.

use api::Call;
use api::iam::*;
use store::Transaction;
use wire::ApiError;

use super::RoleRow;
use crate::listing::{Page, read_marker};
use crate::service::{Iam, account_of};
use crate::{names, policies, refusal};

/// AWS's quota: managed policies attached to a role.
const ATTACHED_MAX: usize = 10;

pub(crate) async fn attach(iam: &Iam, call: &Call, input: AttachRolePolicyInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let (arn, owner) = (input.policy_arn, account.clone());
    policies::check_arn(&arn)?;
    let change = move |tx: &mut Transaction<'_>, row: &mut RoleRow| {
        policies::attachable(tx, &owner, &arn)?;
        if row.attached.contains(&arn) {
            return Ok(());
        }
        if row.attached.len() >= ATTACHED_MAX {
            return Err(refusal::quota("PoliciesPerRole", ATTACHED_MAX));
        }
        row.attached.push(arn);
        Ok(())
    };
    Ok(iam.change_role(&account, input.role_name, change).await?)
}

pub(crate) async fn detach(iam: &Iam, call: &Call, input: DetachRolePolicyInput) -> Result<(), ApiError> {
    let arn = input.policy_arn;
    policies::check_arn(&arn)?;
    let change = move |_: &mut Transaction<'_>, row: &mut RoleRow| {
        let before = row.attached.len();
        row.attached.retain(|attached| *attached != arn);
        if row.attached.len() == before { Err(refusal::not_attached(&arn)) } else { Ok(()) }
    };
    Ok(iam.change_role(account_of(call)?, input.role_name, change).await?)
}

pub(crate) async fn list(
    iam: &Iam,
    call: &Call,
    input: ListAttachedRolePoliciesInput,
) -> Result<ListAttachedRolePoliciesOutput, ApiError> {
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    names::check_path_prefix(&path_prefix)?;
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let mut row = iam.role(account_of(call)?, input.role_name).await?;
    row.attached.retain(|arn| policies::path_of(arn).starts_with(&path_prefix));
    row.attached.sort_unstable();
    let page = Page::of(row.attached.into_iter(), Clone::clone, after, input.max_items);
    let told = |arn: String| AttachedPolicy {
        policy_name: Some(arn.rsplit('/').next().unwrap_or_default().to_owned()),
        policy_arn: Some(arn),
    };
    Ok(ListAttachedRolePoliciesOutput {
        attached_policies: page.items.into_iter().map(told).collect(),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn put_boundary(
    iam: &Iam,
    call: &Call,
    input: PutRolePermissionsBoundaryInput,
) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let (arn, owner) = (input.permissions_boundary, account.clone());
    policies::check_arn(&arn)?;
    let change = move |tx: &mut Transaction<'_>, row: &mut RoleRow| {
        policies::attachable(tx, &owner, &arn)?;
        row.boundary = Some(arn);
        Ok(())
    };
    Ok(iam.change_role(&account, input.role_name, change).await?)
}

pub(crate) async fn delete_boundary(
    iam: &Iam,
    call: &Call,
    input: DeleteRolePermissionsBoundaryInput,
) -> Result<(), ApiError> {
    let change = |_: &mut Transaction<'_>, row: &mut RoleRow| {
        row.boundary = None;
        Ok(())
    };
    Ok(iam.change_role(account_of(call)?, input.role_name, change).await?)
}
