//! Managed policies: a user's own, with their versions, and the few of AWS's that are here.
//!
//! Invariants:
//! - A policy has one to [`VERSIONS_MAX`] versions, and its default is one of them; a version's number is never used
//!   twice.
//! - A policy that a role has, attached or as its boundary, is not deleted.

pub(crate) mod aws_managed;
pub(crate) mod operations;
pub(crate) mod versions;

use std::collections::BTreeMap;

use api::AccountId;
use api::iam::Policy;
use serde::{Deserialize, Serialize};
use store::{Revision, Row, Scan, StoreError, Table, Transaction, View};

use crate::names::{self, kind};
use crate::refusal::{self, Refusal};
use crate::roles::{self, RoleRow};
use crate::service::{Iam, key, moment, prefix};

/// AWS's quota: policies in an account.
pub(crate) const POLICIES_MAX: usize = 1_500;
/// AWS's quota: versions of a policy.
pub(crate) const VERSIONS_MAX: usize = 5;

pub(crate) const TABLE: Table<PolicyRow> = Table::new("iam_policies");

/// A policy as it stands in the store, by account and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    pub(crate) name: String,
    pub(crate) path: String,
    /// `ANPA` and 17 characters.
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    /// The oldest first.
    pub(crate) versions: Vec<VersionRow>,
    /// The number of the version in force.
    pub(crate) default_version: u32,
    /// The number of the next version.
    pub(crate) next_version: u32,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at_ms: u64,
    pub(crate) updated_at_ms: u64,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    pub(crate) number: u32,
    pub(crate) document: String,
    pub(crate) created_at_ms: u64,
}

impl PolicyRow {
    pub(crate) fn arn(&self, account: &str) -> String {
        names::arn(kind::POLICY, account, &self.path, &self.name)
    }

    /// The document in force.
    pub(crate) fn document(&self) -> Option<&str> {
        let version = self.versions.iter().find(|version| version.number == self.default_version);
        version.map(|version| version.document.as_str())
    }

    /// As AWS tells it.
    fn told(self, account: &AccountId, used: Usage, in_full: bool) -> Policy {
        Policy {
            arn: Some(self.arn(account.as_str())),
            policy_name: Some(self.name),
            policy_id: Some(self.id),
            path: Some(self.path),
            default_version_id: Some(format!("v{}", self.default_version)),
            attachment_count: Some(used.attached),
            permissions_boundary_usage_count: Some(used.boundaries),
            is_attachable: Some(true),
            description: self.description.filter(|_| in_full),
            create_date: Some(moment(self.created_at_ms)),
            update_date: Some(moment(self.updated_at_ms)),
            tags: if in_full { names::tags_of(self.tags) } else { Vec::new() },
        }
    }
}

/// How many roles have a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    attached: i32,
    boundaries: i32,
}

impl Usage {
    fn of(arn: &str, roles: &[RoleRow]) -> Self {
        let count = |has: &dyn Fn(&RoleRow) -> bool| {
            i32::try_from(roles.iter().filter(|role| has(role)).count()).unwrap_or(i32::MAX)
        };
        Self {
            attached: count(&|role| role.attached.iter().any(|attached| attached == arn)),
            boundaries: count(&|role| role.boundary.as_deref() == Some(arn)),
        }
    }
}

/// Whether a text is a policy's ARN at all.
pub(crate) fn check_arn(arn: &str) -> Result<(), Refusal> {
    if is_of_aws(arn) || names::parse_arn(kind::POLICY, arn).is_some() { Ok(()) } else { Err(refusal::not_an_arn(arn)) }
}

fn is_of_aws(arn: &str) -> bool {
    arn.starts_with(aws_managed::PREFIX)
}

/// The path in a policy's ARN: `/` of `arn:aws:iam::aws:policy/ReadOnlyAccess`.
pub(crate) fn path_of(arn: &str) -> &str {
    let path = arn.find(":policy/").map_or("", |at| &arn[at + ":policy".len()..]);
    path.rfind('/').map_or("", |end| &path[..=end])
}

/// The row of the policy with that ARN.
fn own(view: &View<'_>, account: &AccountId, arn: &str) -> Result<Option<Row<PolicyRow>>, StoreError> {
    let Some((owner, name)) = names::parse_arn(kind::POLICY, arn) else { return Ok(None) };
    if owner != *account {
        return Ok(None);
    }
    Ok(view.get(&TABLE, &key(account, name))?.filter(|row| row.value.arn(account.as_str()) == arn))
}

/// Whether a role of the account may have the policy.
pub(crate) fn attachable(view: &View<'_>, account: &AccountId, arn: &str) -> Result<(), Refusal> {
    match aws_managed::find(arn).is_some() || own(view, account, arn)?.is_some() {
        true => Ok(()),
        false => Err(refusal::not_attachable(arn)),
    }
}

/// The document in force of a policy, and what tells it from those before; `None` if there is no such policy.
pub(crate) fn in_force(
    view: &View<'_>,
    account: &AccountId,
    arn: &str,
) -> Result<Option<(Revision, String)>, StoreError> {
    if let Some(found) = aws_managed::find(arn) {
        return Ok(Some((Revision(0), found.document.to_owned())));
    }
    let Some(row) = own(view, account, arn)? else { return Ok(None) };
    Ok(row.value.document().map(|document| (row.revision, document.to_owned())))
}

impl Iam {
    /// Changes a policy of the account's in a transaction.
    async fn change_policy<T: Send + 'static>(
        &self,
        account: &AccountId,
        arn: String,
        change: impl FnOnce(&mut Transaction<'_>, &mut PolicyRow) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        check_arn(&arn)?;
        if is_of_aws(&arn) {
            return Err(refusal::aws_policy(&arn));
        }
        let account = account.clone();
        let written = self.inner.store.write_async(move |tx| {
            let mut row = own(tx, &account, &arn)?.ok_or_else(|| refusal::no_such_policy(&arn))?;
            let done = change(tx, &mut row.value)?;
            tx.replace(&TABLE, &row.key, row.revision, &row.value)?;
            Ok(done)
        });
        written.await
    }
}

/// All policies of an account, by name.
fn all(view: &View<'_>, account: &AccountId) -> Result<Vec<PolicyRow>, StoreError> {
    let rows = view.scan(&TABLE, &Scan::prefix(&prefix(account)).limit(POLICIES_MAX))?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

/// The policy of that ARN as AWS tells it, whoever's it is.
fn told(view: &View<'_>, account: &AccountId, arn: &str) -> Result<Policy, Refusal> {
    check_arn(arn)?;
    let usage = Usage::of(arn, &roles::all(view, account)?);
    if let Some(found) = aws_managed::find(arn) {
        return Ok(found.told(usage));
    }
    let row = own(view, account, arn)?.ok_or_else(|| refusal::no_such_policy(arn))?;
    Ok(row.value.told(account, usage, true))
}

#[cfg(test)]
mod tests;
