//! Tags of groups, and what of them new instances get.
//!
//! Invariants:
//! - A group has at most 50 tags; keys are kept as they came; `aws:` is for services.
//! - One request names a key of a group once, and either all of the named groups change or none.

use std::collections::BTreeSet;

use ::api::autoscaling::*;
use ::api::{Call, Principal};
use store::Transaction;
use wire::ApiError;

use crate::errors;
use crate::limits::{TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX, TAGS_MAX};
use crate::paging;
use crate::rows::{self, GROUPS, GroupRow, TagRow};
use crate::service::{Autoscaling, Refused};

/// What tells of an instance whose it is.
pub(crate) const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// The only kind of resource there is.
const RESOURCE_TYPE: &str = "auto-scaling-group";

/// Adds tags to a row, replacing the values of keys that it has.
pub(crate) fn add(row: &mut GroupRow, tags: Vec<Tag>, by_service: bool) -> Result<(), ApiError> {
    let mut keys = BTreeSet::new();
    for tag in tags {
        if !by_service && tag.key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(errors::tag_key_reserved());
        }
        let value = tag.value.unwrap_or_default();
        if tag.key.chars().count() > TAG_KEY_CHARACTERS_MAX || value.chars().count() > TAG_VALUE_CHARACTERS_MAX {
            return Err(errors::tag_too_long(&tag.key));
        }
        if !keys.insert(tag.key.clone()) {
            return Err(errors::duplicate_tag_key(&tag.key));
        }
        row.tags.insert(tag.key, TagRow { value, propagate: tag.propagate_at_launch.unwrap_or(false) });
    }
    let own = row.tags.keys().filter(|key| !key.starts_with("aws:")).count();
    if own > TAGS_MAX { Err(errors::too_many("tags", TAGS_MAX)) } else { Ok(()) }
}

/// What a new instance of a group is tagged with.
pub(crate) fn for_instance(row: &GroupRow) -> Vec<::api::ec2::Tag> {
    let tag = |key: &str, value: &str| ::api::ec2::Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    let own = row.tags.iter().filter(|(_, tag)| tag.propagate).map(|(key, row)| tag(key, &row.value));
    own.chain([tag(GROUP_TAG, &row.name)]).collect()
}

/// A group's tags as clients see them.
pub(crate) fn of_group(row: &GroupRow) -> Vec<TagDescription> {
    let describe = |(key, tag): (&String, &TagRow)| TagDescription {
        key: Some(key.clone()),
        propagate_at_launch: Some(tag.propagate),
        resource_id: Some(row.name.clone()),
        resource_type: Some(RESOURCE_TYPE.to_owned()),
        value: Some(tag.value.clone()),
    };
    row.tags.iter().map(describe).collect()
}

impl Autoscaling {
    pub(crate) async fn put_tags(&self, call: &Call, input: CreateOrUpdateTagsInput) -> Result<(), ApiError> {
        let by_service = matches!(call.identity.principal, Principal::Service { .. });
        self.change_tags(call, input.tags, move |row, tags| add(row, tags, by_service)).await
    }

    pub(crate) async fn take_tags(&self, call: &Call, input: DeleteTagsInput) -> Result<(), ApiError> {
        let take = |row: &mut GroupRow, tags: Vec<Tag>| {
            for tag in tags {
                // With a value, only that value's tag is meant.
                let meant = |row: &TagRow| tag.value.as_ref().is_none_or(|value| *value == row.value);
                if row.tags.get(&tag.key).is_some_and(meant) {
                    row.tags.remove(&tag.key);
                }
            }
            Ok(())
        };
        self.change_tags(call, input.tags, take).await
    }

    async fn change_tags(
        &self,
        call: &Call,
        tags: Vec<Tag>,
        change: impl Fn(&mut GroupRow, Vec<Tag>) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<(), ApiError> {
        let mut by_group: Vec<(String, Vec<Tag>)> = Vec::new();
        for tag in tags {
            if tag.resource_type.as_ref().is_some_and(|kind| kind != RESOURCE_TYPE) {
                return Err(errors::tag_resource_type(tag.resource_type.as_deref().unwrap_or_default()));
            }
            let group = tag.resource_id.clone().unwrap_or_default();
            match by_group.iter_mut().find(|(name, _)| *name == group) {
                Some((_, tags)) => tags.push(tag),
                None => by_group.push((group, vec![tag])),
            }
        }
        let (account, region) = (call.account().as_str().to_owned(), call.region.as_str().to_owned());
        let work = move |tx: &mut Transaction<'_>| {
            for (name, tags) in by_group {
                let key = rows::key(&account, &region, &name);
                let mut found = tx.get(&GROUPS, &key)?.ok_or_else(|| Refused(errors::tagged_group_not_found(&name)))?;
                change(&mut found.value, tags).map_err(Refused)?;
                tx.replace(&GROUPS, &key, found.revision, &found.value)?;
            }
            Ok(())
        };
        self.inner.store.write_async(work).await.map_err(|Refused(error)| error)
    }

    pub(crate) async fn read_tags(
        &self,
        call: &Call,
        input: DescribeTagsInput,
    ) -> Result<DescribeTagsOutput, ApiError> {
        let known = ["auto-scaling-group", "key", "value", "propagate-at-launch"];
        for filter in &input.filters {
            let name = filter.name.as_deref().unwrap_or_default();
            if !known.contains(&name) {
                return Err(errors::filter_unknown(name));
            }
        }
        let groups = self.groups_of(call).await?;
        let mut tags: Vec<_> = groups.iter().flat_map(of_group).collect();
        tags.retain(|tag| input.filters.iter().all(|filter| tag_matches(tag, filter)));
        let key = |tag: &TagDescription| {
            format!("{}\0{}", tag.resource_id.as_deref().unwrap_or_default(), tag.key.as_deref().unwrap_or_default())
        };
        let (tags, next_token) = paging::page(tags, input.max_records, input.next_token.as_deref(), key)?;
        Ok(DescribeTagsOutput { next_token, tags })
    }
}

fn tag_matches(tag: &TagDescription, filter: &Filter) -> bool {
    let value = match filter.name.as_deref() {
        Some("auto-scaling-group") => tag.resource_id.clone(),
        Some("key") => tag.key.clone(),
        Some("value") => tag.value.clone(),
        _ => tag.propagate_at_launch.map(|propagate| propagate.to_string()),
    };
    value.is_some_and(|value| filter.values.contains(&value))
}

/// Refuses a filter of groups that there is not.
pub(crate) fn check_group_filter(filter: &Filter) -> Result<(), ApiError> {
    let name = filter.name.as_deref().unwrap_or_default();
    let known = matches!(name, "tag-key" | "tag-value") || name.starts_with("tag:");
    if known { Ok(()) } else { Err(errors::filter_unknown(name)) }
}

/// Whether a group has what a filter wants.
pub(crate) fn group_matches(row: &GroupRow, filter: &Filter) -> bool {
    match filter.name.as_deref() {
        Some("tag-key") => row.tags.keys().any(|key| filter.values.contains(key)),
        Some("tag-value") => row.tags.values().any(|tag| filter.values.contains(&tag.value)),
        Some(name) => {
            let tag = name.strip_prefix("tag:").and_then(|key| row.tags.get(key));
            tag.is_some_and(|tag| filter.values.contains(&tag.value))
        }
        None => true,
    }
}
