//! Tags: what users write on things, and find them by.
//!
//! Invariants:
//! - A tag hangs on something that is there; it goes when that goes.
//! - A resource has at most [`TAGS_MAX`] tags, each within AWS's lengths.

use std::collections::BTreeMap;

use api::ec2::TagSpecification;
use api::ec2::{CreateTagsInput, DeleteTagsInput, DescribeTagsInput, DescribeTagsOutput, Tag, TagDescription};
use store::{Scan, StoreError, Transaction, View};

use crate::errors::Refusal;
use crate::filters::Filters;
use crate::paging::Page;
use crate::place::Place;
use crate::request::Request;
use crate::rows::*;
use crate::{images, security_groups, vpcs};

/// AWS: 50 tags for each resource.
pub(crate) const TAGS_MAX: usize = 50;
/// AWS: how many resources a call may name.
const RESOURCES_MAX: usize = 1_000;
/// AWS: the longest key.
const KEY_CHARACTERS_MAX: usize = 127;
/// AWS: the longest value.
pub(crate) const VALUE_CHARACTERS_MAX: usize = 255;

/// A tag's row.
pub(crate) fn key(place: &Place, resource: &str, key: &str) -> String {
    format!("{}\0{key}", place.key(resource))
}

/// The tags of a resource, by key.
pub(crate) fn of(view: &View<'_>, place: &Place, resource: &str) -> Result<Vec<Tag>, StoreError> {
    let rows = view.scan(&TAGS, &Scan::prefix(&format!("{}\0", place.key(resource))).limit(TAGS_MAX))?;
    let tag = |row: store::Row<TagRow>| {
        let key = row.key.rsplit('\0').next().map(str::to_owned);
        Tag { key, value: Some(row.value.value) }
    };
    Ok(rows.into_iter().map(tag).collect())
}

/// The tags of many resources: of these few one by one, of all at once.
pub(crate) struct Loaded(Option<BTreeMap<String, Vec<Tag>>>);

impl Loaded {
    /// Those of all resources whose ids begin with `kind`, read in one go; or, for a few, nothing yet.
    pub(crate) fn load(view: &View<'_>, place: &Place, kind: &str, few: bool) -> Result<Self, StoreError> {
        if few {
            return Ok(Self(None));
        }
        let prefix = place.prefix();
        let mut all: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
        for row in view.scan(&TAGS, &Scan::prefix(&format!("{prefix}{kind}-")))? {
            let Some((id, key)) = row.key[prefix.len()..].split_once('\0') else { continue };
            let tag = Tag { key: Some(key.to_owned()), value: Some(row.value.value) };
            all.entry(id.to_owned()).or_default().push(tag);
        }
        Ok(Self(Some(all)))
    }

    /// One resource's.
    pub(crate) fn of(&self, view: &View<'_>, place: &Place, resource: &str) -> Result<Vec<Tag>, StoreError> {
        match &self.0 {
            Some(all) => Ok(all.get(resource).cloned().unwrap_or_default()),
            None => of(view, place, resource),
        }
    }
}

/// Puts tags on a resource, over those of the same keys.
pub(crate) fn put(
    tx: &mut Transaction<'_>,
    place: &Place,
    resource: &str,
    resource_type: &str,
    tags: &[(String, String)],
) -> Result<(), Refusal> {
    for (tag_key, value) in tags {
        let row = TagRow { value: value.clone(), resource_type: resource_type.to_owned() };
        tx.put(&TAGS, &key(place, resource, tag_key), &row)?;
    }
    let scan = Scan::prefix(&format!("{}\0", place.key(resource))).limit(TAGS_MAX + 1);
    if tx.count(&TAGS, &scan)? > TAGS_MAX { Err(Refusal::TooManyTags) } else { Ok(()) }
}

/// Puts tags on what was just made; they as they are described.
pub(crate) fn put_new(
    tx: &mut Transaction<'_>,
    request: &Request,
    resource: &str,
    resource_type: &str,
    tags: &[(String, String)],
) -> Result<Vec<Tag>, Refusal> {
    put(tx, &request.place, resource, resource_type, tags)?;
    Ok(of(tx, &request.place, resource)?)
}

/// Takes all tags off a resource.
pub(crate) fn forget(tx: &mut Transaction<'_>, place: &Place, resource: &str) -> Result<(), StoreError> {
    tx.delete_range(&TAGS, &Scan::prefix(&format!("{}\0", place.key(resource)))).map(drop)
}

/// Tags as a client wrote them, checked.
pub(crate) fn checked(request: &Request, tags: Vec<Tag>) -> Result<Vec<(String, String)>, Refusal> {
    let mut checked: Vec<(String, String)> = Vec::with_capacity(tags.len());
    for tag in tags {
        let key = tag.key.filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Refusal::InvalidValue("Tag keys cannot be null or empty".into()))?;
        let value = tag.value.unwrap_or_default();
        // Auto Scaling and CloudFormation mark with them what is theirs.
        let is_reserved = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        if is_reserved && request.service.is_none() {
            return Err(Refusal::InvalidValue("Tag keys starting with 'aws:' are reserved for internal use".into()));
        }
        // The key ends a row's key.
        if key.chars().count() > KEY_CHARACTERS_MAX || key.contains('\0') {
            let sentence = format!("Tag key exceeds the maximum length of {KEY_CHARACTERS_MAX} characters");
            return Err(Refusal::InvalidValue(sentence));
        }
        if value.chars().count() > VALUE_CHARACTERS_MAX {
            let sentence = format!("Tag value exceeds the maximum length of {VALUE_CHARACTERS_MAX} characters");
            return Err(Refusal::InvalidValue(sentence));
        }
        if checked.iter().any(|(known, _)| *known == key) {
            return Err(Refusal::InvalidValue(format!("Duplicate tag key '{key}' specified.")));
        }
        checked.push((key, value));
    }
    if checked.len() > TAGS_MAX { Err(Refusal::TooManyTags) } else { Ok(checked) }
}

/// The tags in specifications that are all for `resource_type`.
pub(crate) fn specified(
    request: &Request,
    specifications: Vec<TagSpecification>,
    resource_type: &str,
) -> Result<Vec<(String, String)>, Refusal> {
    Ok(specified_for(request, specifications, &[resource_type])?.remove(resource_type).unwrap_or_default())
}

/// The tags in specifications for each of these kinds; others are refused.
pub(crate) fn specified_for(
    request: &Request,
    specifications: Vec<TagSpecification>,
    resource_types: &[&str],
) -> Result<BTreeMap<String, Vec<(String, String)>>, Refusal> {
    let mut tags: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
    for specification in specifications {
        let given = specification.resource_type.unwrap_or_default();
        if !resource_types.contains(&given.as_str()) {
            let sentence = format!("'{given}' is not a valid taggable resource type for this operation.");
            return Err(Refusal::InvalidValue(sentence));
        }
        tags.entry(given).or_default().extend(specification.tags);
    }
    tags.into_iter().map(|(kind, tags)| Ok((kind, checked(request, tags)?))).collect()
}

/// Puts tags on all of the resources, or on none.
pub(crate) fn create(tx: &mut Transaction<'_>, request: &Request, input: CreateTagsInput) -> Result<(), Refusal> {
    let tags = checked(request, input.tags)?;
    check_count(&input.resources)?;
    for resource in &input.resources {
        let resource_type = type_of(tx, request, resource)?;
        put(tx, &request.place, resource, resource_type, &tags)?;
    }
    Ok(())
}

/// Takes tags off: those of a key, if a value is given only with that value; all if none is named.
pub(crate) fn delete(tx: &mut Transaction<'_>, request: &Request, input: DeleteTagsInput) -> Result<(), Refusal> {
    check_count(&input.resources)?;
    for resource in &input.resources {
        type_of(tx, request, resource)?;
        if input.tags.is_empty() {
            forget(tx, &request.place, resource)?;
        }
        for tag in &input.tags {
            let row_key = key(&request.place, resource, tag.key.as_deref().unwrap_or_default());
            let present = tx.get(&TAGS, &row_key)?;
            let is_meant = |row: &TagRow| tag.value.as_ref().is_none_or(|value| *value == row.value);
            if present.is_some_and(|row| is_meant(&row.value)) {
                tx.delete(&TAGS, &row_key)?;
            }
        }
    }
    Ok(())
}

fn check_count(resources: &[String]) -> Result<(), Refusal> {
    if resources.is_empty() {
        return Err(Refusal::Missing("resourceIdSet".into()));
    }
    if resources.len() > RESOURCES_MAX {
        return Err(Refusal::InvalidValue(format!("At most {RESOURCES_MAX} resources can be tagged in one call")));
    }
    Ok(())
}

/// What kind of thing an id names, if it is there.
fn type_of(view: &View<'_>, request: &Request, id: &str) -> Result<&'static str, Refusal> {
    let key = request.key(id);
    let (kind, resource_type, exists) = match id.split_once('-').map(|(kind, _)| kind) {
        Some("i") => {
            let exists = view.contains(&MACHINES, &key)? || view.contains(&INSTANCES, &key)?;
            ("i", "instance", exists)
        }
        Some("sg") => ("sg", "security-group", view.contains(&GROUPS, &key)?),
        Some("sgr") => ("sgr", "security-group-rule", security_groups::has_rule(view, request, id)?),
        Some("vpc") => ("vpc", "vpc", view.contains(&VPCS, &key)?),
        Some("subnet") => ("subnet", "subnet", view.contains(&SUBNETS, &key)?),
        Some("igw") => ("igw", "internet-gateway", view.contains(&GATEWAYS, &key)?),
        Some("rtb") => ("rtb", "route-table", view.contains(&ROUTE_TABLES, &key)?),
        Some("acl") => ("acl", "network-acl", view.contains(&ACLS, &key)?),
        Some("eni") => ("eni", "network-interface", view.contains(&INTERFACES, &key)?),
        Some("eipalloc") => ("eipalloc", "elastic-ip", view.contains(&ADDRESSES, &key)?),
        Some("lt") => ("lt", "launch-template", view.contains(&TEMPLATES, &key)?),
        Some("ami") => ("ami", "image", images::find(view, request, id)?.is_some()),
        Some("dopt") => ("dopt", "dhcp-options", id == vpcs::dhcp_options_id(&request.place)),
        Some("key") => {
            let pairs = view.scan(&KEY_PAIRS, &Scan::prefix(&request.place.prefix()))?;
            ("key", "key-pair", pairs.iter().any(|pair| pair.value.id == id))
        }
        _ => return Err(Refusal::NoSuchResource(id.to_owned())),
    };
    if exists { Ok(resource_type) } else { Err(Refusal::NotFound { kind, ids: vec![id.to_owned()] }) }
}

/// All tags of an account in a region.
pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeTagsInput,
) -> Result<DescribeTagsOutput, Refusal> {
    let filters = Filters::parse(input.filters, &["key", "resource-id", "resource-type", "value"])?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let prefix = request.place.prefix();
    let described = view.scan(&TAGS, &Scan::prefix(&prefix))?.into_iter().filter_map(|row| {
        let (resource_id, key) = row.key.strip_prefix(&prefix)?.split_once('\0')?;
        let tag = Tag { key: Some(key.to_owned()), value: Some(row.value.value.clone()) };
        let passes = filters.pass(&[tag], |name| {
            vec![match name {
                "key" => key.to_owned(),
                "resource-id" => resource_id.to_owned(),
                "resource-type" => row.value.resource_type.clone(),
                _ => row.value.value.clone(),
            }]
        });
        passes.then(|| TagDescription {
            key: Some(key.to_owned()),
            resource_id: Some(resource_id.to_owned()),
            resource_type: Some(row.value.resource_type.clone()),
            value: Some(row.value.value.clone()),
        })
    });
    let name = |tag: &TagDescription| {
        format!("{}\0{}", tag.resource_id.as_deref().unwrap_or_default(), tag.key.as_deref().unwrap_or_default())
    };
    let (tags, next_token) = page.of(described, name);
    Ok(DescribeTagsOutput { next_token, tags })
}
