//! A role's inline policies.
//!
//! Invariant: together they are within AWS's quota for a role.

use api::Call;
use api::iam::*;
use store::Transaction;
use wire::ApiError;

use super::RoleRow;
use crate::documents::{self, INLINE_MAX};
use crate::listing::{Page, read_marker};
use crate::names;
use crate::refusal;
use crate::service::{Iam, account_of};

pub(crate) async fn put(iam: &Iam, call: &Call, input: PutRolePolicyInput) -> Result<(), ApiError> {
    let PutRolePolicyInput { role_name, policy_name, policy_document } = input;
    names::check_name("policyName", &policy_name)?;
    documents::identity(&policy_document)?;
    let change = move |_: &mut Transaction<'_>, row: &mut RoleRow| {
        row.inline.insert(policy_name, policy_document);
        if row.inline.values().map(|document| documents::length(document)).sum::<usize>() > INLINE_MAX {
            return Err(refusal::inline_policies_too_long(&row.name, INLINE_MAX));
        }
        Ok(())
    };
    Ok(iam.change_role(account_of(call)?, role_name, change).await?)
}

pub(crate) async fn get(iam: &Iam, call: &Call, input: GetRolePolicyInput) -> Result<GetRolePolicyOutput, ApiError> {
    let GetRolePolicyInput { role_name, policy_name } = input;
    names::check_name("policyName", &policy_name)?;
    let mut row = iam.role(account_of(call)?, role_name).await?;
    let document = row.inline.remove(&policy_name).ok_or_else(|| refusal::no_such_role_policy(&policy_name))?;
    Ok(GetRolePolicyOutput { role_name: row.name, policy_name, policy_document: documents::encoded(&document) })
}

pub(crate) async fn list(
    iam: &Iam,
    call: &Call,
    input: ListRolePoliciesInput,
) -> Result<ListRolePoliciesOutput, ApiError> {
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let row = iam.role(account_of(call)?, input.role_name).await?;
    let page = Page::of(row.inline.into_keys(), Clone::clone, after, input.max_items);
    Ok(ListRolePoliciesOutput {
        policy_names: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn delete(iam: &Iam, call: &Call, input: DeleteRolePolicyInput) -> Result<(), ApiError> {
    let DeleteRolePolicyInput { role_name, policy_name } = input;
    names::check_name("policyName", &policy_name)?;
    let change = move |_: &mut Transaction<'_>, row: &mut RoleRow| match row.inline.remove(&policy_name) {
        Some(_) => Ok(()),
        None => Err(refusal::no_such_role_policy(&policy_name)),
    };
    Ok(iam.change_role(account_of(call)?, role_name, change).await?)
}
