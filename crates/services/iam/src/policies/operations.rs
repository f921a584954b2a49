//! The operations on managed policies themselves.
//!
//! Invariant: each change is one transaction, and decided inside it.

use api::iam::*;
use api::{AccountId, Call};
use store::{Scan, StoreError};
use wire::ApiError;

use super::{POLICIES_MAX, PolicyRow, TABLE, Usage, VersionRow, all, aws_managed, check_arn, is_of_aws, own, told};
use crate::documents::{self, MANAGED_MAX};
use crate::listing::{Page, read_marker};
use crate::names::{self, check_tag_lengths};
use crate::refusal::{self, Refusal};
use crate::roles;
use crate::service::{Iam, account_of, key, new_id, prefix};

/// A version's document, checked.
pub(super) fn checked(document: &str) -> Result<(), Refusal> {
    documents::identity(document)?;
    if documents::length(document) > MANAGED_MAX {
        return Err(refusal::quota("PolicySize", MANAGED_MAX));
    }
    Ok(())
}

pub(crate) async fn create(iam: &Iam, call: &Call, input: CreatePolicyInput) -> Result<CreatePolicyOutput, ApiError> {
    let account = account_of(call)?.clone();
    let CreatePolicyInput { policy_name: name, path, policy_document: document, description, tags } = input;
    let path = path.unwrap_or_else(|| "/".to_owned());
    names::check_name("policyName", &name)?;
    names::check_path("path", &path)?;
    checked(&document)?;
    let now = iam.inner.clock.now().as_millis();
    let row = PolicyRow {
        id: new_id(&*iam.inner.ids, "ANPA"),
        description: description.filter(|description| !description.is_empty()),
        versions: vec![VersionRow { number: 1, document, created_at_ms: now }],
        default_version: 1,
        next_version: 2,
        tags: names::first_tags(tags, call.is_from_service())?,
        created_at_ms: now,
        updated_at_ms: now,
        name,
        path,
    };
    let (answer, owner) = (row.clone(), account.clone());
    let written = iam.inner.store.write_async(move |tx| {
        if tx.count(&TABLE, &Scan::prefix(&prefix(&account)).limit(POLICIES_MAX))? >= POLICIES_MAX {
            return Err(refusal::quota("PoliciesPerAccount", POLICIES_MAX));
        }
        match tx.insert(&TABLE, &key(&account, &row.name), &row) {
            Err(StoreError::Exists { .. }) => Err(refusal::policy_exists(&row.name)),
            other => Ok(other.map(drop)?),
        }
    });
    written.await?;
    Ok(CreatePolicyOutput { policy: Some(answer.told(&owner, Usage::default(), true)) })
}

pub(crate) async fn get(iam: &Iam, call: &Call, input: GetPolicyInput) -> Result<GetPolicyOutput, ApiError> {
    let account = account_of(call)?.clone();
    let policy = iam.inner.store.read_async(move |view| told(view, &account, &input.policy_arn)).await?;
    Ok(GetPolicyOutput { policy: Some(policy) })
}

pub(crate) async fn list(iam: &Iam, call: &Call, input: ListPoliciesInput) -> Result<ListPoliciesOutput, ApiError> {
    let account = account_of(call)?.clone();
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    names::check_path_prefix(&path_prefix)?;
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let scope = input.scope.unwrap_or_else(|| "All".to_owned());
    let usage = input.policy_usage_filter;
    let only_attached = input.only_attached == Some(true);
    let listed = iam.inner.store.read_async(move |view| Ok::<_, Refusal>(everything(view, &account, &scope)?)).await?;
    let has = |count: Option<i32>| count.is_some_and(|count| count > 0);
    let wanted = |policy: &Policy| {
        policy.path.as_deref().is_some_and(|path| path.starts_with(&path_prefix))
            && match usage.as_deref() {
                Some("PermissionsPolicy") => !only_attached || has(policy.attachment_count),
                Some(_) => has(policy.permissions_boundary_usage_count),
                None => !only_attached || has(policy.attachment_count),
            }
    };
    let arn = |policy: &Policy| policy.arn.clone().unwrap_or_default();
    let page = Page::of(listed.into_iter().filter(wanted), arn, after, input.max_items);
    Ok(ListPoliciesOutput { policies: page.items, is_truncated: Some(page.marker.is_some()), marker: page.marker })
}

/// The policies of a scope, in the order of their ARNs.
fn everything(view: &store::View<'_>, account: &AccountId, scope: &str) -> Result<Vec<Policy>, StoreError> {
    let roles = roles::all(view, account)?;
    let mut listed = Vec::new();
    if scope != "AWS" {
        for row in all(view, account)? {
            let used = Usage::of(&row.arn(account.as_str()), &roles);
            listed.push(row.told(account, used, false));
        }
    }
    if scope != "Local" {
        listed.extend(aws_managed::all().iter().map(|policy| policy.told(Usage::of(&policy.arn(), &roles))));
    }
    listed.sort_by(|a, b| a.arn.cmp(&b.arn));
    Ok(listed)
}

pub(crate) async fn delete(iam: &Iam, call: &Call, input: DeletePolicyInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let arn = input.policy_arn;
    check_arn(&arn)?;
    if is_of_aws(&arn) {
        return Err(refusal::aws_policy(&arn).into());
    }
    let written = iam.inner.store.write_async(move |tx| {
        let row = own(tx, &account, &arn)?.ok_or_else(|| refusal::no_such_policy(&arn))?;
        if Usage::of(&arn, &roles::all(tx, &account)?) != Usage::default() {
            return Err(refusal::policy_is_attached());
        }
        if row.value.versions.len() > 1 {
            return Err(refusal::policy_has_versions());
        }
        Ok(tx.delete_if(&TABLE, &row.key, row.revision)?)
    });
    Ok(written.await?)
}

pub(crate) async fn entities(
    iam: &Iam,
    call: &Call,
    input: ListEntitiesForPolicyInput,
) -> Result<ListEntitiesForPolicyOutput, ApiError> {
    let account = account_of(call)?.clone();
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    names::check_path_prefix(&path_prefix)?;
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let (usage, filter) = (input.policy_usage_filter, input.entity_filter);
    let arn = input.policy_arn;
    let found = iam.inner.store.read_async(move |view| {
        told(view, &account, &arn)?;
        let has = |role: &roles::RoleRow| match usage.as_deref() {
            Some("PermissionsBoundary") => role.boundary.as_ref() == Some(&arn),
            Some(_) => role.attached.contains(&arn),
            None => role.attached.contains(&arn) || role.boundary.as_ref() == Some(&arn),
        };
        let mut roles = roles::all(view, &account)?;
        roles.retain(|role| has(role) && role.path.starts_with(&path_prefix));
        Ok::<_, Refusal>(roles)
    });
    // There are no users and groups.
    let found = found.await?.into_iter().filter(|_| !matches!(filter.as_deref(), Some("User" | "Group")));
    let page = Page::of(found, |role| role.name.to_ascii_lowercase(), after, input.max_items);
    let told = |role: roles::RoleRow| PolicyRole { role_name: Some(role.name), role_id: Some(role.id) };
    Ok(ListEntitiesForPolicyOutput {
        policy_groups: Vec::new(),
        policy_users: Vec::new(),
        policy_roles: page.items.into_iter().map(told).collect(),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn tag(iam: &Iam, call: &Call, input: TagPolicyInput) -> Result<(), ApiError> {
    let (tags, by_service) = (input.tags, call.is_from_service());
    check_tag_lengths(tags.iter().map(|tag| &tag.key))?;
    let change =
        move |_: &mut store::Transaction<'_>, row: &mut PolicyRow| names::add_tags(&mut row.tags, tags, by_service);
    Ok(iam.change_policy(account_of(call)?, input.policy_arn, change).await?)
}

pub(crate) async fn untag(iam: &Iam, call: &Call, input: UntagPolicyInput) -> Result<(), ApiError> {
    check_tag_lengths(input.tag_keys.iter())?;
    let change = move |_: &mut store::Transaction<'_>, row: &mut PolicyRow| {
        names::remove_tags(&mut row.tags, &input.tag_keys);
        Ok(())
    };
    Ok(iam.change_policy(account_of(call)?, input.policy_arn, change).await?)
}

pub(crate) async fn list_tags(
    iam: &Iam,
    call: &Call,
    input: ListPolicyTagsInput,
) -> Result<ListPolicyTagsOutput, ApiError> {
    let account = account_of(call)?.clone();
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let policy = iam.inner.store.read_async(move |view| told(view, &account, &input.policy_arn)).await?;
    let page = Page::of(policy.tags.into_iter(), |tag| tag.key.clone(), after, input.max_items);
    Ok(ListPolicyTagsOutput { tags: page.items, is_truncated: Some(page.marker.is_some()), marker: page.marker })
}
