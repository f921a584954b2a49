//! Lifecycle: what a bucket's rules say of its objects, versions and uploads, and when.
//!
//! Invariants:
//! - Whatever a rule does, it does at a midnight UTC: days count from a moment and are rounded up to the next one.
//! - Where several rules speak of one thing, the earliest counts.
//! - What a rule does not match by prefix, tags and size, it leaves alone; a delete marker has neither tags nor size.
//!
//! This file and [`rules`] know no clock: time comes in.

pub(crate) mod configuration;
pub(crate) mod pass;
mod rules;

use s3s::dto::{Timestamp, TimestampFormat};
use serde::{Deserialize, Serialize};

use crate::rows::{DeleteMarkerRow, ObjectRow, Tag};
use crate::service::timestamp;

/// A day, which leap seconds do not lengthen here either.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A bucket's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    pub(crate) rules: Vec<Rule>,
    /// `TransitionDefaultMinimumObjectSize` as it was put: it governs transitions, of which there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transition_minimum: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) is_enabled: bool,
    pub(crate) filter: Filter,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expiration: Option<Expiration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) noncurrent: Option<Noncurrent>,
    /// Days after which an upload that was not completed is aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) abort_uploads_days: Option<u32>,
}

/// What a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    pub(crate) written: Written,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// All of them must be the object's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) larger_than: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) smaller_than: Option<u64>,
}

/// How a filter was written, so that it reads back the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Written {
    /// One condition at most, in `Filter`.
    #[default]
    Alone,
    /// Several, in `Filter`'s `And`.
    And,
    /// The rule's own `Prefix`, as rules had it before there were filters.
    RulePrefix,
}

/// When what is current expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expiration {
    /// Days after it was made.
    Days(u32),
    /// At this midnight.
    Date {
        /// Milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// Objects never; whether a delete marker goes that no version stands behind.
    LoneDeleteMarkers(bool),
}

/// When a noncurrent version goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noncurrent {
    /// Days after a newer version came.
    pub(crate) days: u32,
    /// So many of the newest stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newer_kept: Option<u32>,
}

/// When a rule acts on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due<'a> {
    pub(crate) at_ms: u64,
    pub(crate) rule: &'a str,
}

/// The midnight at which so many days are over, as AWS rounds: 3 days from 10:30 on the 15th end at 0:00 on the 19th.
pub(crate) fn midnight_after(from_ms: u64, days: u32) -> u64 {
    (from_ms / DAY_MS).saturating_add(u64::from(days)).saturating_add(1).saturating_mul(DAY_MS)
}

impl Filter {
    fn takes_prefix(&self, key: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
    }

    fn takes_object(&self, key: &str, row: &ObjectRow) -> bool {
        self.takes_prefix(key)
            && self.tags.iter().all(|tag| row.tags.contains(tag))
            && self.larger_than.is_none_or(|size| row.size > size)
            && self.smaller_than.is_none_or(|size| row.size < size)
    }

    fn takes_marker(&self, key: &str) -> bool {
        self.takes_prefix(key) && !self.asks_for_tags_or_size()
    }

    fn asks_for_tags_or_size(&self) -> bool {
        !self.tags.is_empty() || self.larger_than.is_some() || self.smaller_than.is_some()
    }
}

impl Lifecycle {
    fn enabled(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.is_enabled)
    }

    /// When the current object of a key expires.
    pub(crate) fn object_expires(&self, key: &str, row: &ObjectRow) -> Option<Due<'_>> {
        let due = self.enabled().filter(|rule| rule.filter.takes_object(key, row)).filter_map(|rule| {
            let at_ms = match rule.expiration.as_ref()? {
                Expiration::Days(days) => midnight_after(row.modified_ms, *days),
                Expiration::Date { at_ms } => *at_ms,
                Expiration::LoneDeleteMarkers(_) => return None,
            };
            Some(Due { at_ms, rule: &rule.id })
        });
        due.min_by_key(|due| due.at_ms)
    }

    /// When a delete marker goes that no version stands behind.
    pub(crate) fn lone_marker_goes(&self, key: &str, row: &DeleteMarkerRow) -> Option<Due<'_>> {
        let due = self.enabled().filter(|rule| rule.filter.takes_marker(key)).filter_map(|rule| {
            let at_ms = match rule.expiration.as_ref()? {
                Expiration::Days(days) => midnight_after(row.modified_ms, *days),
                Expiration::Date { at_ms } => *at_ms,
                Expiration::LoneDeleteMarkers(true) => row.modified_ms,
                Expiration::LoneDeleteMarkers(false) => return None,
            };
            Some(Due { at_ms, rule: &rule.id })
        });
        due.min_by_key(|due| due.at_ms)
    }

    /// When a noncurrent version goes, given since when it is that and how many newer noncurrent ones its key has.
    pub(crate) fn noncurrent_goes(
        &self,
        key: &str,
        row: Option<&ObjectRow>,
        since_ms: u64,
        newer: u32,
    ) -> Option<Due<'_>> {
        let takes = |rule: &&Rule| match row {
            Some(row) => rule.filter.takes_object(key, row),
            None => rule.filter.takes_marker(key),
        };
        let due = self.enabled().filter(takes).filter_map(|rule| {
            let noncurrent = rule.noncurrent.as_ref()?;
            let is_kept = noncurrent.newer_kept.is_some_and(|kept| newer < kept);
            (!is_kept).then(|| Due { at_ms: midnight_after(since_ms, noncurrent.days), rule: &rule.id })
        });
        due.min_by_key(|due| due.at_ms)
    }

    /// When an upload that was begun then is aborted.
    pub(crate) fn upload_ends(&self, key: &str, created_ms: u64) -> Option<Due<'_>> {
        let due = self.enabled().filter(|rule| rule.filter.takes_prefix(key)).filter_map(|rule| {
            Some(Due { at_ms: midnight_after(created_ms, rule.abort_uploads_days?), rule: &rule.id })
        });
        due.min_by_key(|due| due.at_ms)
    }
}

/// `x-amz-expiration` of a current object.
pub(crate) fn expiration_header(lifecycle: Option<&Lifecycle>, key: &str, row: &ObjectRow) -> Option<String> {
    let due = lifecycle?.object_expires(key, row)?;
    let mut date = Vec::new();
    timestamp(due.at_ms).format(TimestampFormat::HttpDate, &mut date).ok()?;
    let rule = percent_encoding::utf8_percent_encode(due.rule, percent_encoding::NON_ALPHANUMERIC);
    // As AWS's examples show them, `-`, `_`, `.` and `*` stay.
    let rule = rule.to_string().replace("%2D", "-").replace("%5F", "_").replace("%2E", ".").replace("%2A", "*");
    Some(format!("expiry-date=\"{}\", rule-id=\"{rule}\"", String::from_utf8(date).ok()?))
}

/// `x-amz-abort-date` and `x-amz-abort-rule-id` of an upload.
pub(crate) fn abort_headers(
    lifecycle: Option<&Lifecycle>,
    key: &str,
    created_ms: u64,
) -> (Option<Timestamp>, Option<String>) {
    match lifecycle.and_then(|lifecycle| lifecycle.upload_ends(key, created_ms)) {
        Some(due) => (Some(timestamp(due.at_ms)), Some(due.rule.to_owned())),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests;
