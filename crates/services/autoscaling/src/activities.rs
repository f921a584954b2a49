//! Activities: what happened to groups, kept for six weeks, told newest first.
//!
//! Invariants:
//! - An activity that goes on stands in its instance's row; one that ended stands in [`ACTIVITIES`]; never in both.
//! - A group remembers a bounded number of them.

use ::api::Call;
use ::api::autoscaling::*;
use host::Timestamp;
use store::{Scan, StoreError, Transaction};
use wire::ApiError;
use wire::value::EpochMs;

use crate::draft::Draft;
use crate::errors;
use crate::limits::{ACTIVITIES_KEPT_MS, ACTIVITIES_MAX};
use crate::paging;
use crate::rows::{self, ACTIVITIES, ActivityRow, GroupRow};
use crate::service::Autoscaling;

/// What the keys of a group's activities begin with.
fn prefix(row: &GroupRow) -> String {
    format!("{}{}\0", rows::prefix(&row.account, &row.region), row.uid)
}

/// Sorts the newest first.
fn key(row: &GroupRow, number: u64) -> String {
    format!("{}{:016x}", prefix(row), u64::MAX - number)
}

/// Keeps what ended, and forgets what is one too many.
pub(crate) fn keep(tx: &mut Transaction<'_>, draft: &Draft) -> Result<(), StoreError> {
    for activity in &draft.ended {
        tx.put(&ACTIVITIES, &key(&draft.row, activity.number), activity)?;
    }
    if !draft.ended.is_empty() && draft.row.activities > ACTIVITIES_MAX {
        let oldest = key(&draft.row, draft.row.activities - ACTIVITIES_MAX);
        tx.delete_range(&ACTIVITIES, &Scan::prefix(&prefix(&draft.row)).from(&oldest))?;
    }
    Ok(())
}

/// Marks a group's activities as those of a group that is gone.
pub(crate) fn outlive(tx: &mut Transaction<'_>, row: &GroupRow) -> Result<(), StoreError> {
    for mut activity in tx.scan(&ACTIVITIES, &Scan::prefix(&prefix(row)))? {
        activity.value.group_deleted = true;
        tx.put(&ACTIVITIES, &activity.key, &activity.value)?;
    }
    Ok(())
}

/// An activity as clients see it.
pub(crate) fn describe(row: &ActivityRow) -> Activity {
    let moment = |ms: u64| EpochMs(i64::try_from(ms).unwrap_or(i64::MAX));
    Activity {
        activity_id: row.id.clone(),
        auto_scaling_group_arn: Some(row.group_arn.clone()),
        auto_scaling_group_name: row.group.clone(),
        auto_scaling_group_state: row.group_deleted.then(|| "Deleted".to_owned()),
        cause: row.cause.clone(),
        description: Some(row.description.clone()),
        details: Some(row.details.clone()),
        end_time: row.end_ms.map(moment),
        progress: Some(row.progress),
        start_time: moment(row.start_ms),
        status_code: row.status.clone(),
        status_message: row.message.clone(),
    }
}

impl Autoscaling {
    pub(crate) async fn activities(
        &self,
        call: &Call,
        input: DescribeScalingActivitiesInput,
    ) -> Result<DescribeScalingActivitiesOutput, ApiError> {
        if !input.filters.is_empty() {
            return Err(errors::not_supported("Filters of activities"));
        }
        let with_deleted = input.include_deleted_groups == Some(true);
        let name = input.auto_scaling_group_name.as_deref();
        let groups = self.groups_of(call).await?;
        if let Some(name) = name.filter(|_| !with_deleted)
            && !groups.iter().any(|group| group.name == name)
        {
            return Err(errors::group_not_found(name));
        }
        let mut all = self.ended_activities(call).await?;
        let under_way = groups.into_iter().flat_map(|group| group.instances).filter_map(|instance| instance.activity);
        all.extend(under_way);
        all.retain(|activity| {
            name.is_none_or(|name| activity.group == name)
                && (with_deleted || !activity.group_deleted)
                && (input.activity_ids.is_empty() || input.activity_ids.contains(&activity.id))
        });
        let order = |activity: &ActivityRow| {
            format!("{:016x}{:016x}{}", u64::MAX - activity.start_ms, u64::MAX - activity.number, activity.id)
        };
        all.sort_by_cached_key(order);
        // AWS gives a hundred here where other listings give fifty.
        let max_records = input.max_records.or(Some(100));
        let (page, next_token) = paging::page(all, max_records, input.next_token.as_deref(), order)?;
        Ok(DescribeScalingActivitiesOutput { activities: page.iter().map(describe).collect(), next_token })
    }

    async fn ended_activities(&self, call: &Call) -> Result<Vec<ActivityRow>, ApiError> {
        let prefix = rows::prefix(call.account().as_str(), call.region.as_str());
        let read = self.inner.store.read_async(move |view| view.scan(&ACTIVITIES, &Scan::prefix(&prefix)));
        let rows = read.await.map_err(|error: StoreError| errors::from_store(&error))?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// Forgets activities that are older than AWS would remember.
    pub(crate) async fn forget_old_activities(&self, now: Timestamp) -> Result<(), StoreError> {
        let Some(oldest) = now.as_millis().checked_sub(ACTIVITIES_KEPT_MS) else { return Ok(()) };
        let rows = self.inner.store.read_async(|view| view.scan(&ACTIVITIES, &Scan::all())).await?;
        let old: Vec<_> = rows.into_iter().filter(|row| row.value.end_ms.is_some_and(|end| end < oldest)).collect();
        if old.is_empty() {
            return Ok(());
        }
        let forget = move |tx: &mut Transaction<'_>| {
            for row in &old {
                tx.delete(&ACTIVITIES, &row.key)?;
            }
            Ok::<_, StoreError>(())
        };
        self.inner.store.write_async(forget).await
    }
}
