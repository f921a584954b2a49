//! Lifecycle rules as documents: read, judged, and written as they were put.
//!
//! Invariant: a rule that was taken is one that is carried out; what there is no way to do is refused.

use s3s::S3Error;
use s3s::dto::{
    self, AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration,
};

use super::{DAY_MS, Expiration, Filter, Noncurrent, Rule, Written};
use crate::errors;
use crate::rows::Tag;

/// AWS: at most 1,000 rules a bucket.
const RULES_MAX: usize = 1000;
const ID_CHARACTERS_MAX: usize = 255;
/// AWS: at most 100 noncurrent versions are kept by number.
pub(super) const NEWER_KEPT_MAX: u32 = 100;

/// The rules of a document. `name` makes an id for a rule that comes without one.
pub(super) fn read(rules: Vec<LifecycleRule>, mut name: impl FnMut() -> String) -> Result<Vec<Rule>, S3Error> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(errors::malformed_xml());
    }
    let mut read: Vec<Rule> = Vec::with_capacity(rules.len());
    let mut ids = std::collections::HashSet::with_capacity(rules.len());
    for rule in rules {
        let rule = rule_of(rule, &mut name)?;
        if !ids.insert(rule.id.clone()) {
            return Err(errors::invalid_argument(format!(
                "Rule ID must be unique. Found same ID for more than one rule: {}",
                rule.id
            )));
        }
        read.push(rule);
    }
    Ok(read)
}

fn rule_of(rule: LifecycleRule, name: impl FnOnce() -> String) -> Result<Rule, S3Error> {
    if rule.transitions.is_some_and(|transitions| !transitions.is_empty())
        || rule.noncurrent_version_transitions.is_some_and(|transitions| !transitions.is_empty())
    {
        return Err(errors::not_implemented(
            "Transition and NoncurrentVersionTransition: objects have one storage class here",
        ));
    }
    let id = rule.id.filter(|id| !id.is_empty()).unwrap_or_else(name);
    if id.chars().count() > ID_CHARACTERS_MAX {
        return Err(errors::invalid_argument("ID length should not exceed allowed limit of 255"));
    }
    let is_enabled = match rule.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(errors::malformed_xml()),
    };
    let filter = match (rule.filter, rule.prefix) {
        (Some(filter), None) => filter_of(filter)?,
        (None, Some(prefix)) => Filter { written: Written::RulePrefix, prefix: Some(prefix), ..Filter::default() },
        (Some(_), Some(_)) | (None, None) => return Err(errors::malformed_xml()),
    };
    let rule = Rule {
        id,
        is_enabled,
        filter,
        expiration: rule.expiration.map(expiration_of).transpose()?,
        noncurrent: rule.noncurrent_version_expiration.map(noncurrent_of).transpose()?,
        abort_uploads_days: rule.abort_incomplete_multipart_upload.map(abort_days_of).transpose()?,
    };
    check_together(&rule)?;
    Ok(rule)
}

/// What of a rule does not go together.
fn check_together(rule: &Rule) -> Result<(), S3Error> {
    if rule.expiration.is_none() && rule.noncurrent.is_none() && rule.abort_uploads_days.is_none() {
        return Err(errors::invalid_request("At least one action needs to be specified in a rule"));
    }
    let filter = &rule.filter;
    let by_size = filter.larger_than.is_some() || filter.smaller_than.is_some();
    if rule.abort_uploads_days.is_some() && filter.asks_for_tags_or_size() {
        let what = if by_size { "ObjectSize" } else { "Tags" };
        return Err(errors::invalid_request(format!(
            "AbortIncompleteMultipartUpload cannot be specified with {what}."
        )));
    }
    if matches!(rule.expiration, Some(Expiration::LoneDeleteMarkers(_))) && !filter.tags.is_empty() {
        return Err(errors::invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags."));
    }
    if let (Some(larger), Some(smaller)) = (filter.larger_than, filter.smaller_than)
        && larger >= smaller
    {
        return Err(errors::invalid_request(
            "'ObjectSizeGreaterThan' has to be a value smaller than 'ObjectSizeLessThan'.",
        ));
    }
    Ok(())
}

fn filter_of(filter: LifecycleRuleFilter) -> Result<Filter, S3Error> {
    let alone = [
        filter.and.is_some(),
        filter.prefix.is_some(),
        filter.tag.is_some(),
        filter.object_size_greater_than.is_some(),
        filter.object_size_less_than.is_some(),
    ];
    if alone.iter().filter(|is_given| **is_given).count() > 1 {
        return Err(errors::malformed_xml());
    }
    let (written, prefix, tags, larger_than, smaller_than) = match filter.and {
        Some(and) => (
            Written::And,
            and.prefix,
            and.tags.unwrap_or_default(),
            and.object_size_greater_than,
            and.object_size_less_than,
        ),
        None => (
            Written::Alone,
            filter.prefix,
            filter.tag.into_iter().collect(),
            filter.object_size_greater_than,
            filter.object_size_less_than,
        ),
    };
    let tags = tags.into_iter().map(|tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => Ok(Tag { key, value }),
        _ => Err(errors::malformed_xml()),
    });
    let tags: Vec<Tag> = tags.collect::<Result<_, _>>()?;
    if tags.iter().enumerate().any(|(at, tag)| tags.iter().take(at).any(|before| before.key == tag.key)) {
        return Err(errors::invalid_request("Duplicate Tag Keys are not allowed."));
    }
    let bytes = |size: Option<i64>| size.map(u64::try_from).transpose().map_err(|_| errors::malformed_xml());
    Ok(Filter { written, prefix, tags, larger_than: bytes(larger_than)?, smaller_than: bytes(smaller_than)? })
}

/// A positive number, or AWS's sentence for one that is not.
fn positive(days: i32, name: &str, action: &str) -> Result<u32, S3Error> {
    match u32::try_from(days) {
        Ok(days @ 1..) => Ok(days),
        _ => Err(errors::invalid_argument(format!("'{name}' for {action} action must be a positive integer"))),
    }
}

fn expiration_of(expiration: LifecycleExpiration) -> Result<Expiration, S3Error> {
    match (expiration.days, expiration.date, expiration.expired_object_delete_marker) {
        (Some(days), None, None) => Ok(Expiration::Days(positive(days, "Days", "Expiration")?)),
        (None, Some(date), None) => {
            let at = time::OffsetDateTime::from(date).unix_timestamp_nanos() / 1_000_000;
            match u64::try_from(at) {
                Ok(at_ms) if at_ms % DAY_MS == 0 => Ok(Expiration::Date { at_ms }),
                _ => Err(errors::invalid_argument("'Date' must be at midnight GMT")),
            }
        }
        (None, None, Some(markers)) => Ok(Expiration::LoneDeleteMarkers(markers)),
        _ => Err(errors::malformed_xml()),
    }
}

fn noncurrent_of(noncurrent: NoncurrentVersionExpiration) -> Result<Noncurrent, S3Error> {
    const ACTION: &str = "NoncurrentVersionExpiration";
    let days = positive(noncurrent.noncurrent_days.ok_or_else(errors::malformed_xml)?, "NoncurrentDays", ACTION)?;
    let kept = noncurrent.newer_noncurrent_versions.map(|kept| positive(kept, "NewerNoncurrentVersions", ACTION));
    let newer_kept = kept.transpose()?;
    if newer_kept.is_some_and(|kept| kept > NEWER_KEPT_MAX) {
        return Err(errors::invalid_argument(format!(
            "'NewerNoncurrentVersions' for {ACTION} action must be at most {NEWER_KEPT_MAX}"
        )));
    }
    Ok(Noncurrent { days, newer_kept })
}

fn abort_days_of(abort: AbortIncompleteMultipartUpload) -> Result<u32, S3Error> {
    let days = abort.days_after_initiation.ok_or_else(errors::malformed_xml)?;
    positive(days, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
}

/// The document of a rule.
pub(super) fn write(rule: Rule) -> LifecycleRule {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let status = if rule.is_enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    let (filter, prefix) = match rule.filter.written {
        Written::RulePrefix => (None, rule.filter.prefix),
        Written::Alone | Written::And => (Some(filter_to(rule.filter)), None),
    };
    LifecycleRule {
        abort_incomplete_multipart_upload: rule
            .abort_uploads_days
            .map(|after| AbortIncompleteMultipartUpload { days_after_initiation: Some(days(after)) }),
        expiration: rule.expiration.map(|expiration| match expiration {
            Expiration::Days(after) => {
                LifecycleExpiration { days: Some(days(after)), ..LifecycleExpiration::default() }
            }
            Expiration::Date { at_ms } => {
                LifecycleExpiration { date: Some(crate::service::timestamp(at_ms)), ..LifecycleExpiration::default() }
            }
            Expiration::LoneDeleteMarkers(markers) => {
                LifecycleExpiration { expired_object_delete_marker: Some(markers), ..LifecycleExpiration::default() }
            }
        }),
        filter,
        id: Some(rule.id),
        noncurrent_version_expiration: rule.noncurrent.map(|noncurrent| NoncurrentVersionExpiration {
            newer_noncurrent_versions: noncurrent.newer_kept.map(days),
            noncurrent_days: Some(days(noncurrent.days)),
        }),
        noncurrent_version_transitions: None,
        prefix,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

fn filter_to(filter: Filter) -> LifecycleRuleFilter {
    let bytes = |size: Option<u64>| size.and_then(|size| i64::try_from(size).ok());
    let (larger, smaller) = (bytes(filter.larger_than), bytes(filter.smaller_than));
    let mut tags = filter.tags.into_iter().map(|tag| dto::Tag { key: Some(tag.key), value: Some(tag.value) });
    if filter.written == Written::And {
        let tags: Vec<_> = tags.collect();
        return LifecycleRuleFilter {
            and: Some(LifecycleRuleAndOperator {
                object_size_greater_than: larger,
                object_size_less_than: smaller,
                prefix: filter.prefix,
                tags: (!tags.is_empty()).then_some(tags),
            }),
            ..LifecycleRuleFilter::default()
        };
    }
    LifecycleRuleFilter {
        object_size_greater_than: larger,
        object_size_less_than: smaller,
        prefix: filter.prefix,
        tag: tags.next(),
        ..LifecycleRuleFilter::default()
    }
}
