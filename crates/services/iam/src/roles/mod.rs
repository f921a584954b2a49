//! Roles: who may take them, and what they may do then.
//!
//! Invariants:
//! - A role's documents were parsed before they were kept.
//! - An attached policy or a boundary is there: a managed policy that a role has is not deleted.
//! - A role's id is never used twice: whoever held the name before is not this role.

pub(crate) mod attached;
pub(crate) mod inline;
pub(crate) mod operations;

use std::collections::BTreeMap;

use api::AccountId;
use api::iam::{AttachedPermissionsBoundary, Role};
use serde::{Deserialize, Serialize};
use store::{Row, Scan, StoreError, Table, Transaction, View};

use crate::documents;
use crate::names::{self, kind};
use crate::refusal::{self, Refusal};
use crate::service::{Iam, key, moment, prefix};

/// AWS's quota: roles in an account.
pub(crate) const ROLES_MAX: usize = 1_000;
/// AWS's default for how long a session may last, in seconds.
pub(crate) const SESSION_S: u32 = 3_600;

pub(crate) const TABLE: Table<RoleRow> = Table::new("iam_roles");

/// A role as it stands in the store, by account and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleRow {
    pub(crate) name: String,
    pub(crate) path: String,
    /// `AROA` and 17 characters.
    pub(crate) id: String,
    /// Who may take it, as the user wrote it.
    pub(crate) trust: String,
    pub(crate) description: Option<String>,
    pub(crate) max_session_s: u32,
    /// The ARN of a managed policy that bounds what the others allow.
    pub(crate) boundary: Option<String>,
    /// Inline policies, by name.
    #[serde(default)]
    pub(crate) inline: BTreeMap<String, String>,
    /// ARNs of managed policies, in the order in which they were attached.
    #[serde(default)]
    pub(crate) attached: Vec<String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at_ms: u64,
}

impl RoleRow {
    pub(crate) fn arn(&self, account: &str) -> String {
        names::arn(kind::ROLE, account, &self.path, &self.name)
    }

    /// As AWS tells it; listings leave out description-like things that only GetRole has.
    pub(crate) fn told(self, account: &AccountId, in_full: bool) -> Role {
        let boundary = self.boundary.clone().map(|arn| AttachedPermissionsBoundary {
            permissions_boundary_type: Some("Policy".to_owned()),
            permissions_boundary_arn: Some(arn),
        });
        Role {
            arn: self.arn(account.as_str()),
            path: self.path,
            role_name: self.name,
            role_id: self.id,
            create_date: moment(self.created_at_ms),
            assume_role_policy_document: Some(documents::encoded(&self.trust)),
            description: self.description,
            max_session_duration: Some(i32::try_from(self.max_session_s).unwrap_or(i32::MAX)),
            permissions_boundary: boundary.filter(|_| in_full),
            tags: if in_full { names::tags_of(self.tags) } else { Vec::new() },
            // Nobody counts uses, and there are no templates of roles.
            role_last_used: None,
            source_role_template: None,
        }
    }
}

/// The row of that name, spelled as it was made.
pub(crate) fn named(view: &View<'_>, account: &AccountId, name: &str) -> Result<Row<RoleRow>, Refusal> {
    named_if_any(view, account, name)?.ok_or_else(|| refusal::no_such_role(name))
}

/// The same, where it is no error that there is none.
pub(crate) fn named_if_any(
    view: &View<'_>,
    account: &AccountId,
    name: &str,
) -> Result<Option<Row<RoleRow>>, StoreError> {
    Ok(view.get(&TABLE, &key(account, name))?.filter(|row| row.value.name == name))
}

/// All roles of an account, by name.
pub(crate) fn all(view: &View<'_>, account: &AccountId) -> Result<Vec<RoleRow>, StoreError> {
    let rows = view.scan(&TABLE, &Scan::prefix(&prefix(account)).limit(ROLES_MAX))?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

impl Iam {
    /// The role of that name.
    pub(crate) async fn role(&self, account: &AccountId, name: String) -> Result<RoleRow, Refusal> {
        names::check_name("roleName", &name)?;
        let account = account.clone();
        self.inner.store.read_async(move |view| Ok(named(view, &account, &name)?.value)).await
    }

    /// Changes a role in a transaction, in which `change` may look at everything else.
    pub(crate) async fn change_role<T: Send + 'static>(
        &self,
        account: &AccountId,
        name: String,
        change: impl FnOnce(&mut Transaction<'_>, &mut RoleRow) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        names::check_name("roleName", &name)?;
        let account = account.clone();
        let written = self.inner.store.write_async(move |tx| {
            let mut row = named(tx, &account, &name)?;
            let done = change(tx, &mut row.value)?;
            tx.replace(&TABLE, &row.key, row.revision, &row.value)?;
            Ok(done)
        });
        written.await
    }
}

#[cfg(test)]
mod tests;
