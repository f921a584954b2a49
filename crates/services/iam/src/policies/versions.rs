//! The versions of managed policies.
//!
//! Invariant: the version in force is never deleted.

use api::Call;
use api::iam::*;
use store::{Transaction, View};
use wire::ApiError;

use super::operations::checked;
use super::{PolicyRow, VERSIONS_MAX, VersionRow, aws_managed, check_arn, own};
use crate::documents;
use crate::listing::{Page, read_marker};
use crate::refusal::{self, Refusal};
use crate::service::{Iam, account_of, moment};

/// The number in `v3`.
fn number(id: &str) -> Option<u32> {
    id.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+'])).and_then(|digits| digits.parse().ok())
}

fn told(version: VersionRow, default: u32, with_document: bool) -> PolicyVersion {
    PolicyVersion {
        document: with_document.then(|| documents::encoded(&version.document)),
        version_id: Some(format!("v{}", version.number)),
        is_default_version: Some(version.number == default),
        create_date: Some(moment(version.created_at_ms)),
    }
}

/// All versions of a policy, the newest first.
fn versions(view: &View<'_>, account: &api::AccountId, arn: &str) -> Result<Vec<PolicyVersion>, Refusal> {
    check_arn(arn)?;
    if let Some(policy) = aws_managed::find(arn) {
        return Ok(vec![PolicyVersion {
            document: Some(documents::encoded(policy.document)),
            version_id: Some(policy.version.to_owned()),
            is_default_version: Some(true),
            create_date: Some(moment(policy.created_at_s * 1000)),
        }]);
    }
    let row = own(view, account, arn)?.ok_or_else(|| refusal::no_such_policy(arn))?.value;
    let default = row.default_version;
    Ok(row.versions.into_iter().rev().map(|version| told(version, default, true)).collect())
}

pub(crate) async fn create(
    iam: &Iam,
    call: &Call,
    input: CreatePolicyVersionInput,
) -> Result<CreatePolicyVersionOutput, ApiError> {
    let CreatePolicyVersionInput { policy_arn, policy_document: document, set_as_default } = input;
    checked(&document)?;
    let now = iam.inner.clock.now().as_millis();
    let change = move |_: &mut Transaction<'_>, row: &mut PolicyRow| {
        if row.versions.len() >= VERSIONS_MAX {
            return Err(refusal::too_many_versions(VERSIONS_MAX));
        }
        let version = VersionRow { number: row.next_version, document, created_at_ms: now };
        row.versions.push(version.clone());
        row.next_version += 1;
        row.updated_at_ms = now;
        if set_as_default == Some(true) {
            row.default_version = version.number;
        }
        Ok(told(version, row.default_version, false))
    };
    let policy_version = iam.change_policy(account_of(call)?, policy_arn, change).await?;
    Ok(CreatePolicyVersionOutput { policy_version: Some(policy_version) })
}

pub(crate) async fn get(
    iam: &Iam,
    call: &Call,
    input: GetPolicyVersionInput,
) -> Result<GetPolicyVersionOutput, ApiError> {
    let account = account_of(call)?.clone();
    let GetPolicyVersionInput { policy_arn: arn, version_id } = input;
    let found = iam.inner.store.read_async(move |view| {
        let version = versions(view, &account, &arn)?
            .into_iter()
            .find(|version| version.version_id.as_deref() == Some(version_id.as_str()));
        version.ok_or_else(|| refusal::no_such_version(&arn, &version_id))
    });
    Ok(GetPolicyVersionOutput { policy_version: Some(found.await?) })
}

pub(crate) async fn list(
    iam: &Iam,
    call: &Call,
    input: ListPolicyVersionsInput,
) -> Result<ListPolicyVersionsOutput, ApiError> {
    let account = account_of(call)?.clone();
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let found = iam.inner.store.read_async(move |view| versions(view, &account, &input.policy_arn)).await?;
    // The newest first: a marker sorts like the number that it counts down from.
    let order = |version: &PolicyVersion| {
        let number = version.version_id.as_deref().and_then(number).unwrap_or_default();
        format!("{:010}", u32::MAX - number)
    };
    let page = Page::of(found.into_iter(), order, after, input.max_items);
    let bare = |version: PolicyVersion| PolicyVersion { document: None, ..version };
    Ok(ListPolicyVersionsOutput {
        versions: page.items.into_iter().map(bare).collect(),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn set_default(iam: &Iam, call: &Call, input: SetDefaultPolicyVersionInput) -> Result<(), ApiError> {
    let SetDefaultPolicyVersionInput { policy_arn: arn, version_id } = input;
    let now = iam.inner.clock.now().as_millis();
    let named = arn.clone();
    let change = move |_: &mut Transaction<'_>, row: &mut PolicyRow| {
        let wanted = row.versions.iter().find(|version| number(&version_id) == Some(version.number));
        row.default_version = wanted.ok_or_else(|| refusal::no_such_version(&named, &version_id))?.number;
        row.updated_at_ms = now;
        Ok(())
    };
    Ok(iam.change_policy(account_of(call)?, arn, change).await?)
}

pub(crate) async fn delete(iam: &Iam, call: &Call, input: DeletePolicyVersionInput) -> Result<(), ApiError> {
    let DeletePolicyVersionInput { policy_arn: arn, version_id } = input;
    let named = arn.clone();
    let change = move |_: &mut Transaction<'_>, row: &mut PolicyRow| {
        let at = row.versions.iter().position(|version| number(&version_id) == Some(version.number));
        let at = at.ok_or_else(|| refusal::no_such_version(&named, &version_id))?;
        if row.versions[at].number == row.default_version {
            return Err(refusal::default_version());
        }
        row.versions.remove(at);
        Ok(())
    };
    Ok(iam.change_policy(account_of(call)?, arn, change).await?)
}
