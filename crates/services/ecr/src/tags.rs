//! Tags of repositories.
//!
//! Invariant: a repository has at most 50 tags; keys that begin with `aws:` are AWS's services' own.

use std::collections::BTreeMap;

use ::api::Call;
use ::api::ecr::*;
use wire::ApiError;

use crate::errors;
use crate::rows::Place;
use crate::service::{Ecr, named, place_of};

/// AWS: tags of a repository.
const TAGS_MAX: usize = 50;

/// The tags of a request, by key.
pub(crate) fn checked(tags: Vec<Tag>, by_service: bool) -> Result<BTreeMap<String, String>, ApiError> {
    let mut by_key = BTreeMap::new();
    for Tag { key, value } in tags {
        check(&key, &value, by_service)?;
        if by_key.insert(key.clone(), value).is_some() {
            return Err(errors::tag(format!("The tag key {key} is given twice")));
        }
    }
    if by_key.len() > TAGS_MAX { Err(errors::too_many_tags(TAGS_MAX)) } else { Ok(by_key) }
}

fn check(key: &str, value: &str, by_service: bool) -> Result<(), ApiError> {
    let is_allowed = |letter: char| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter);
    let fits = |text: &str, max: usize| text.chars().count() <= max && text.chars().all(is_allowed);
    if key.is_empty() || !fits(key, 128) || !fits(value, 256) {
        let rule = "keys have 1 to 128 and values up to 256 letters, digits, blanks and _.:/=+-@";
        return Err(errors::tag(format!("The tag {key}={value} is not valid: {rule}")));
    }
    if !by_service && key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(errors::tag(format!("The tag key {key} begins with aws:, which is reserved for system use")));
    }
    Ok(())
}

/// The repository that an ARN names.
fn resource(call: &Call, arn: &str) -> Result<(Place, String), ApiError> {
    let place = place_of(call, None)?;
    let name = arn.strip_prefix(&place.arn("")).filter(|name| !name.is_empty()).map(str::to_owned);
    let refused = || errors::invalid("resourceArn", "must be the ARN of a repository of this account and region");
    Ok((place, name.ok_or_else(refused)?))
}

impl Ecr {
    pub(crate) async fn tag(&self, call: &Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
        let (place, name) = resource(call, &input.resource_arn)?;
        let new = checked(input.tags, call.is_from_service())?;
        self.change(place, name, move |row| {
            row.tags.extend(new);
            let fits = row.tags.len() <= TAGS_MAX;
            if fits { Ok(TagResourceOutput {}) } else { Err(errors::too_many_tags(TAGS_MAX).into()) }
        })
        .await
    }

    pub(crate) async fn untag(&self, call: &Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
        let (place, name) = resource(call, &input.resource_arn)?;
        for key in &input.tag_keys {
            check(key, "", call.is_from_service())?;
        }
        self.change(place, name, move |row| {
            row.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(UntagResourceOutput {})
        })
        .await
    }

    pub(crate) async fn list_tags(
        &self,
        call: &Call,
        input: ListTagsForResourceInput,
    ) -> Result<ListTagsForResourceOutput, ApiError> {
        let (place, name) = resource(call, &input.resource_arn)?;
        let row = self.read(move |view| named(view, &place, &name)).await?;
        let tags = row.value.tags.into_iter().map(|(key, value)| Tag { key, value });
        Ok(ListTagsForResourceOutput { tags: tags.collect() })
    }
}
