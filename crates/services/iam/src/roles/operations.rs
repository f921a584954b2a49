//! The operations on roles themselves.
//!
//! Invariant: each change is one transaction, and decided inside it.

use api::Call;
use api::iam::*;
use store::{Scan, StoreError};
use wire::ApiError;

use super::{ROLES_MAX, RoleRow, SESSION_S, TABLE, all, named};
use crate::listing::{Page, read_marker};
use crate::names::{self, check_tag_lengths, tags_of};
use crate::refusal::{self, Refusal};
use crate::service::{Iam, account_of, key, new_id, prefix};
use crate::{documents, instance_profiles, policies};

pub(crate) async fn create(iam: &Iam, call: &Call, input: CreateRoleInput) -> Result<CreateRoleOutput, ApiError> {
    let account = account_of(call)?.clone();
    let CreateRoleInput { path, role_name: name, assume_role_policy_document: trust, .. } = input;
    let path = path.unwrap_or_else(|| "/".to_owned());
    names::check_name("roleName", &name)?;
    names::check_path("path", &path)?;
    documents::trust(&trust)?;
    if let Some(description) = &input.description {
        names::check_characters("description", description)?;
    }
    let row = RoleRow {
        id: new_id(&*iam.inner.ids, "AROA"),
        trust,
        description: input.description.filter(|description| !description.is_empty()),
        max_session_s: input.max_session_duration.and_then(|s| u32::try_from(s).ok()).unwrap_or(SESSION_S),
        boundary: input.permissions_boundary,
        inline: Default::default(),
        attached: Vec::new(),
        tags: names::first_tags(input.tags, call.is_from_service())?,
        created_at_ms: iam.inner.clock.now().as_millis(),
        name,
        path,
    };
    let (told, owner) = (row.clone(), account.clone());
    let written = iam.inner.store.write_async(move |tx| {
        if tx.count(&TABLE, &Scan::prefix(&prefix(&account)).limit(ROLES_MAX))? >= ROLES_MAX {
            return Err(refusal::quota("RolesPerAccount", ROLES_MAX));
        }
        if let Some(boundary) = &row.boundary {
            policies::attachable(tx, &account, boundary)?;
        }
        match tx.insert(&TABLE, &key(&account, &row.name), &row) {
            Err(StoreError::Exists { .. }) => Err(refusal::role_exists(&row.name)),
            other => Ok(other.map(drop)?),
        }
    });
    written.await?;
    tracing::info!(account = %owner, role = told.name, "a role was made");
    Ok(CreateRoleOutput { role: told.told(&owner, true) })
}

pub(crate) async fn get(iam: &Iam, call: &Call, input: GetRoleInput) -> Result<GetRoleOutput, ApiError> {
    let account = account_of(call)?;
    Ok(GetRoleOutput { role: iam.role(account, input.role_name).await?.told(account, true) })
}

pub(crate) async fn list(iam: &Iam, call: &Call, input: ListRolesInput) -> Result<ListRolesOutput, ApiError> {
    let account = account_of(call)?.clone();
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    names::check_path_prefix(&path_prefix)?;
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let owner = account.clone();
    let rows = iam.inner.store.read_async(move |view| Ok::<_, Refusal>(all(view, &owner)?)).await?;
    let listed = rows.into_iter().filter(|row| row.path.starts_with(&path_prefix));
    let page = Page::of(listed, |row| row.name.to_ascii_lowercase(), after, input.max_items);
    Ok(ListRolesOutput {
        roles: page.items.into_iter().map(|row| row.told(&account, false)).collect(),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn update(iam: &Iam, call: &Call, input: UpdateRoleInput) -> Result<UpdateRoleOutput, ApiError> {
    let (description, longest) = (input.description, input.max_session_duration);
    if let Some(description) = &description {
        names::check_characters("description", description)?;
    }
    let change = move |_: &mut store::Transaction<'_>, row: &mut RoleRow| {
        if let Some(description) = description {
            row.description = Some(description).filter(|description| !description.is_empty());
        }
        row.max_session_s = longest.and_then(|s| u32::try_from(s).ok()).unwrap_or(row.max_session_s);
        Ok(())
    };
    iam.change_role(account_of(call)?, input.role_name, change).await?;
    Ok(UpdateRoleOutput {})
}

pub(crate) async fn update_description(
    iam: &Iam,
    call: &Call,
    input: UpdateRoleDescriptionInput,
) -> Result<UpdateRoleDescriptionOutput, ApiError> {
    let account = account_of(call)?;
    names::check_characters("description", &input.description)?;
    let change = move |_: &mut store::Transaction<'_>, row: &mut RoleRow| {
        row.description = Some(input.description).filter(|description| !description.is_empty());
        Ok(row.clone())
    };
    let row = iam.change_role(account, input.role_name, change).await?;
    Ok(UpdateRoleDescriptionOutput { role: Some(row.told(account, true)) })
}

pub(crate) async fn update_trust(iam: &Iam, call: &Call, input: UpdateAssumeRolePolicyInput) -> Result<(), ApiError> {
    documents::trust(&input.policy_document)?;
    let change = move |_: &mut store::Transaction<'_>, row: &mut RoleRow| {
        row.trust = input.policy_document;
        Ok(())
    };
    Ok(iam.change_role(account_of(call)?, input.role_name, change).await?)
}

pub(crate) async fn delete(iam: &Iam, call: &Call, input: DeleteRoleInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let name = input.role_name;
    names::check_name("roleName", &name)?;
    let deleted = name.clone();
    let written = iam.inner.store.write_async(move |tx| {
        let row = named(tx, &account, &name)?;
        if !instance_profiles::of_role(tx, &account, &name)?.is_empty() {
            return Err(refusal::entity_in_use("remove roles from instance profile"));
        }
        if !row.value.attached.is_empty() {
            return Err(refusal::entity_in_use("detach all policies"));
        }
        if !row.value.inline.is_empty() {
            return Err(refusal::entity_in_use("delete policies"));
        }
        Ok(tx.delete_if(&TABLE, &row.key, row.revision)?)
    });
    written.await?;
    tracing::info!(role = deleted, "a role was deleted");
    Ok(())
}

pub(crate) async fn tag(iam: &Iam, call: &Call, input: TagRoleInput) -> Result<(), ApiError> {
    let (tags, by_service) = (input.tags, call.is_from_service());
    check_tag_lengths(tags.iter().map(|tag| &tag.key))?;
    let change =
        move |_: &mut store::Transaction<'_>, row: &mut RoleRow| names::add_tags(&mut row.tags, tags, by_service);
    Ok(iam.change_role(account_of(call)?, input.role_name, change).await?)
}

pub(crate) async fn untag(iam: &Iam, call: &Call, input: UntagRoleInput) -> Result<(), ApiError> {
    check_tag_lengths(input.tag_keys.iter())?;
    let change = move |_: &mut store::Transaction<'_>, row: &mut RoleRow| {
        names::remove_tags(&mut row.tags, &input.tag_keys);
        Ok(())
    };
    Ok(iam.change_role(account_of(call)?, input.role_name, change).await?)
}

pub(crate) async fn list_tags(
    iam: &Iam,
    call: &Call,
    input: ListRoleTagsInput,
) -> Result<ListRoleTagsOutput, ApiError> {
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let row = iam.role(account_of(call)?, input.role_name).await?;
    let page = Page::of(tags_of(row.tags).into_iter(), |tag| tag.key.clone(), after, input.max_items);
    Ok(ListRoleTagsOutput { tags: page.items, is_truncated: Some(page.marker.is_some()), marker: page.marker })
}
