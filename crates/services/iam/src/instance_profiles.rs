//! Instance profiles: how a role comes to an instance.
//!
//! Invariants:
//! - A profile has one role at most, which is there: a role in a profile is not deleted.
//! - Each change is one transaction, and decided inside it.

use std::collections::BTreeMap;

use api::iam::*;
use api::{AccountId, Call};
use serde::{Deserialize, Serialize};
use store::{Row, Scan, StoreError, Table, Transaction, View};
use wire::ApiError;

use crate::listing::{Page, read_marker};
use crate::names::{self, check_tag_lengths, kind, tags_of};
use crate::refusal::{self, Refusal};
use crate::roles;
use crate::service::{Iam, account_of, key, moment, new_id, prefix};

/// AWS's quota: instance profiles in an account.
const PROFILES_MAX: usize = 1_000;

pub(crate) const TABLE: Table<ProfileRow> = Table::new("iam_instance_profiles");

/// A profile as it stands in the store, by account and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProfileRow {
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AIPA` and 17 characters.
    pub(crate) id: String,
    /// Its role's name.
    pub(crate) role: Option<String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at_ms: u64,
}

impl ProfileRow {
    pub(crate) fn arn(&self, account: &str) -> String {
        names::arn(kind::INSTANCE_PROFILE, account, &self.path, &self.name)
    }
}

/// The row of that name, spelled as it was made.
pub(crate) fn named(view: &View<'_>, account: &AccountId, name: &str) -> Result<Row<ProfileRow>, Refusal> {
    let row = view.get(&TABLE, &key(account, name))?.filter(|row| row.value.name == name);
    row.ok_or_else(|| refusal::no_such_profile(name))
}

/// All profiles of an account, by name.
pub(crate) fn all(view: &View<'_>, account: &AccountId) -> Result<Vec<ProfileRow>, StoreError> {
    let rows = view.scan(&TABLE, &Scan::prefix(&prefix(account)).limit(PROFILES_MAX))?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

/// The profiles that have a role.
pub(crate) fn of_role(view: &View<'_>, account: &AccountId, role: &str) -> Result<Vec<ProfileRow>, StoreError> {
    let mut found = all(view, account)?;
    found.retain(|profile| profile.role.as_deref() == Some(role));
    Ok(found)
}

/// As AWS tells it, with its role.
fn told(view: &View<'_>, account: &AccountId, row: ProfileRow, in_full: bool) -> Result<InstanceProfile, Refusal> {
    let role = row.role.as_deref().map(|role| roles::named(view, account, role)).transpose()?;
    Ok(InstanceProfile {
        arn: row.arn(account.as_str()),
        path: row.path,
        instance_profile_name: row.name,
        instance_profile_id: row.id,
        create_date: moment(row.created_at_ms),
        roles: role.into_iter().map(|role| role.value.told(account, false)).collect(),
        tags: if in_full { tags_of(row.tags) } else { Vec::new() },
    })
}

pub(crate) async fn create(
    iam: &Iam,
    call: &Call,
    input: CreateInstanceProfileInput,
) -> Result<CreateInstanceProfileOutput, ApiError> {
    let account = account_of(call)?.clone();
    let CreateInstanceProfileInput { instance_profile_name: name, path, tags } = input;
    let path = path.unwrap_or_else(|| "/".to_owned());
    names::check_name("instanceProfileName", &name)?;
    names::check_path("path", &path)?;
    let row = ProfileRow {
        id: new_id(&*iam.inner.ids, "AIPA"),
        role: None,
        tags: names::first_tags(tags, call.is_from_service())?,
        created_at_ms: iam.inner.clock.now().as_millis(),
        name,
        path,
    };
    let written = iam.inner.store.write_async(move |tx| {
        if tx.count(&TABLE, &Scan::prefix(&prefix(&account)).limit(PROFILES_MAX))? >= PROFILES_MAX {
            return Err(refusal::quota("InstanceProfilesPerAccount", PROFILES_MAX));
        }
        match tx.insert(&TABLE, &key(&account, &row.name), &row) {
            Err(StoreError::Exists { .. }) => Err(refusal::profile_exists(&row.name)),
            Err(error) => Err(error.into()),
            Ok(_) => told(tx, &account, row, true),
        }
    });
    Ok(CreateInstanceProfileOutput { instance_profile: written.await? })
}

pub(crate) async fn get(
    iam: &Iam,
    call: &Call,
    input: GetInstanceProfileInput,
) -> Result<GetInstanceProfileOutput, ApiError> {
    let account = account_of(call)?.clone();
    let name = input.instance_profile_name;
    names::check_name("instanceProfileName", &name)?;
    let found = iam.inner.store.read_async(move |view| {
        let row = named(view, &account, &name)?.value;
        told(view, &account, row, true)
    });
    Ok(GetInstanceProfileOutput { instance_profile: found.await? })
}

pub(crate) async fn list(
    iam: &Iam,
    call: &Call,
    input: ListInstanceProfilesInput,
) -> Result<ListInstanceProfilesOutput, ApiError> {
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    names::check_path_prefix(&path_prefix)?;
    let page = iam.profiles(call, None, path_prefix, (input.marker, input.max_items)).await?;
    Ok(ListInstanceProfilesOutput {
        instance_profiles: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn list_for_role(
    iam: &Iam,
    call: &Call,
    input: ListInstanceProfilesForRoleInput,
) -> Result<ListInstanceProfilesForRoleOutput, ApiError> {
    iam.role(account_of(call)?, input.role_name.clone()).await?;
    let page = iam.profiles(call, Some(input.role_name), "/".to_owned(), (input.marker, input.max_items)).await?;
    Ok(ListInstanceProfilesForRoleOutput {
        instance_profiles: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn add_role(iam: &Iam, call: &Call, input: AddRoleToInstanceProfileInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let AddRoleToInstanceProfileInput { instance_profile_name: name, role_name: role } = input;
    names::check_name("roleName", &role)?;
    let change = move |tx: &mut Transaction<'_>, row: &mut ProfileRow| {
        roles::named(tx, &account, &role)?;
        if row.role.is_some() {
            return Err(refusal::quota("InstanceSessionsPerInstanceProfile", 1));
        }
        row.role = Some(role);
        Ok(())
    };
    Ok(iam.change_profile(account_of(call)?, name, change).await?)
}

pub(crate) async fn remove_role(
    iam: &Iam,
    call: &Call,
    input: RemoveRoleFromInstanceProfileInput,
) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let RemoveRoleFromInstanceProfileInput { instance_profile_name: name, role_name: role } = input;
    names::check_name("roleName", &role)?;
    let change = move |tx: &mut Transaction<'_>, row: &mut ProfileRow| {
        roles::named(tx, &account, &role)?;
        match row.role.take_if(|present| *present == role) {
            Some(_) => Ok(()),
            None => Err(refusal::role_not_in_profile(&role, &row.name)),
        }
    };
    Ok(iam.change_profile(account_of(call)?, name, change).await?)
}

pub(crate) async fn delete(iam: &Iam, call: &Call, input: DeleteInstanceProfileInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let name = input.instance_profile_name;
    names::check_name("instanceProfileName", &name)?;
    let written = iam.inner.store.write_async(move |tx| {
        let row = named(tx, &account, &name)?;
        if row.value.role.is_some() {
            return Err(refusal::entity_in_use("remove roles from instance profile"));
        }
        Ok(tx.delete_if(&TABLE, &row.key, row.revision)?)
    });
    Ok(written.await?)
}

pub(crate) async fn tag(iam: &Iam, call: &Call, input: TagInstanceProfileInput) -> Result<(), ApiError> {
    let (tags, by_service) = (input.tags, call.is_from_service());
    check_tag_lengths(tags.iter().map(|tag| &tag.key))?;
    let change = move |_: &mut Transaction<'_>, row: &mut ProfileRow| names::add_tags(&mut row.tags, tags, by_service);
    Ok(iam.change_profile(account_of(call)?, input.instance_profile_name, change).await?)
}

pub(crate) async fn untag(iam: &Iam, call: &Call, input: UntagInstanceProfileInput) -> Result<(), ApiError> {
    check_tag_lengths(input.tag_keys.iter())?;
    let change = move |_: &mut Transaction<'_>, row: &mut ProfileRow| {
        names::remove_tags(&mut row.tags, &input.tag_keys);
        Ok(())
    };
    Ok(iam.change_profile(account_of(call)?, input.instance_profile_name, change).await?)
}

pub(crate) async fn list_tags(
    iam: &Iam,
    call: &Call,
    input: ListInstanceProfileTagsInput,
) -> Result<ListInstanceProfileTagsOutput, ApiError> {
    let account = account_of(call)?.clone();
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let name = input.instance_profile_name;
    names::check_name("instanceProfileName", &name)?;
    let row = iam.inner.store.read_async(move |view| named(view, &account, &name)).await?.value;
    let page = Page::of(tags_of(row.tags).into_iter(), |tag| tag.key.clone(), after, input.max_items);
    Ok(ListInstanceProfileTagsOutput {
        tags: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

impl Iam {
    /// A page of the profiles that have a role (or any, or none), below a path.
    async fn profiles(
        &self,
        call: &Call,
        role: Option<String>,
        path_prefix: String,
        (marker, max): (Option<String>, Option<i32>),
    ) -> Result<Page<InstanceProfile>, Refusal> {
        let account = match account_of(call) {
            Ok(account) => account.clone(),
            Err(error) => return Err(Refusal::User(error)),
        };
        let after = marker.as_deref().map(read_marker).transpose()?;
        let found = self.inner.store.read_async(move |view| {
            let mut found = Vec::new();
            for row in all(view, &account)? {
                let is_meant = role.is_none() || row.role == role;
                if is_meant && row.path.starts_with(&path_prefix) {
                    found.push(told(view, &account, row, false)?);
                }
            }
            Ok::<_, Refusal>(found)
        });
        let name = |profile: &InstanceProfile| profile.instance_profile_name.to_ascii_lowercase();
        Ok(Page::of(found.await?.into_iter(), name, after, max))
    }

    /// Changes a profile in a transaction.
    async fn change_profile(
        &self,
        account: &AccountId,
        name: String,
        change: impl FnOnce(&mut Transaction<'_>, &mut ProfileRow) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(), Refusal> {
        names::check_name("instanceProfileName", &name)?;
        let account = account.clone();
        let written = self.inner.store.write_async(move |tx| {
            let mut row = named(tx, &account, &name)?;
            change(tx, &mut row.value)?;
            tx.replace(&TABLE, &row.key, row.revision, &row.value)?;
            Ok(())
        });
        written.await
    }
}
