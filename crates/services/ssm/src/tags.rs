//! Tags of parameters.
//!
//! Invariant: a parameter has at most 50 tags; keys that begin with `aws:` are AWS's services' own.

use std::collections::BTreeMap;

use ::api::Call;
use ::api::ssm::*;
use store::Row;
use wire::ApiError;

use crate::errors::{self, Refusal};
use crate::limits::TAGS_MAX;
use crate::rows::{self, PARAMETERS, ParameterRow, Place};
use crate::service::{Ssm, place_of};
use crate::{names, public};

/// The tags of a request, by key.
pub(crate) fn checked(tags: Vec<Tag>, by_service: bool) -> Result<BTreeMap<String, String>, ApiError> {
    let mut by_key = BTreeMap::new();
    for Tag { key, value } in tags {
        check_key(&key, by_service)?;
        if value.chars().count() > 256 || !value.chars().all(is_allowed) {
            return Err(errors::tag(format!(
                "The tag value {value:?} is not valid: up to 256 letters, digits, blanks and _.:/=+-@"
            )));
        }
        if by_key.insert(key.clone(), value).is_some() {
            return Err(errors::tag(format!("Duplicate tag key: {key}")));
        }
    }
    if by_key.len() > TAGS_MAX { Err(errors::too_many_tags()) } else { Ok(by_key) }
}

fn check_key(key: &str, by_service: bool) -> Result<(), ApiError> {
    if !(1..=128).contains(&key.chars().count()) || !key.chars().all(is_allowed) {
        return Err(errors::tag(format!(
            "The tag key {key:?} is not valid: 1 to 128 letters, digits, blanks and _.:/=+-@"
        )));
    }
    if !by_service && key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(errors::tag(format!("The tag key {key} begins with aws:, which is reserved for system use.")));
    }
    Ok(())
}

fn is_allowed(letter: char) -> bool {
    letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter)
}

impl Ssm {
    pub(crate) async fn tag(
        &self,
        call: &Call,
        input: AddTagsToResourceInput,
    ) -> Result<AddTagsToResourceOutput, ApiError> {
        let new = checked(input.tags, call.is_from_service())?;
        self.change_tags(call, &input.resource_type, input.resource_id, move |tags| {
            tags.extend(new);
            if tags.len() > TAGS_MAX { Err(errors::too_many_tags().into()) } else { Ok(()) }
        })
        .await?;
        Ok(AddTagsToResourceOutput::default())
    }

    pub(crate) async fn untag(
        &self,
        call: &Call,
        input: RemoveTagsFromResourceInput,
    ) -> Result<RemoveTagsFromResourceOutput, ApiError> {
        for key in &input.tag_keys {
            check_key(key, call.is_from_service())?;
        }
        self.change_tags(call, &input.resource_type, input.resource_id, move |tags| {
            tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        })
        .await?;
        Ok(RemoveTagsFromResourceOutput::default())
    }

    pub(crate) async fn list_tags(
        &self,
        call: &Call,
        input: ListTagsForResourceInput,
    ) -> Result<ListTagsForResourceOutput, ApiError> {
        let (place, path) = resource(call, &input.resource_type, &input.resource_id)?;
        let row = self
            .read(move |view| {
                let row = rows::parameter(view, &place, &path)?;
                row.ok_or_else(|| errors::resource_id(&input.resource_id).into())
            })
            .await?;
        let tags = row.value.tags.into_iter().map(|(key, value)| Tag { key, value });
        Ok(ListTagsForResourceOutput { tag_list: tags.collect() })
    }

    async fn change_tags(
        &self,
        call: &Call,
        kind: &str,
        id: String,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(), ApiError> {
        let (place, path) = resource(call, kind, &id)?;
        self.write(move |tx| {
            let row: Option<Row<ParameterRow>> = rows::parameter(tx, &place, &path)?;
            let mut row = row.ok_or_else(|| errors::resource_id(&id))?;
            change(&mut row.value.tags)?;
            tx.replace(&PARAMETERS, &row.key, row.revision, &row.value)?;
            Ok(())
        })
        .await
    }
}

/// The parameter that is named as a resource.
fn resource(call: &Call, kind: &str, id: &str) -> Result<(Place, String), ApiError> {
    let place = place_of(call)?;
    if kind != "Parameter" {
        return Err(errors::resource_type(kind));
    }
    let wanted = names::wanted(&place, id).map_err(|_| errors::resource_id(id))?;
    if wanted.selector.is_some() || public::is_public(&wanted.path) {
        return Err(errors::resource_id(id));
    }
    Ok((place, wanted.path))
}
