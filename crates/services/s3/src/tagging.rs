//! Tags of objects and buckets.
//!
//! Invariants: keys are unique within a set, at most 128 characters; values at most 256; an object has at most 10 tags,
//! a bucket 50.

use std::sync::Arc;

use s3s::dto::{
    self, DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::authorisation::Action;
use crate::door::{self, Caller};
use crate::errors;
use crate::objects::Target;
use crate::rows::{BucketRow, ObjectRow, Tag};
use crate::service::Service;

const OBJECT_TAGS_MAX: usize = 10;
const BUCKET_TAGS_MAX: usize = 50;
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

/// Holds a set of tags against the rules.
fn checked(tags: Vec<Tag>, max: usize) -> Result<Vec<Tag>, S3Error> {
    if tags.len() > max {
        return Err(errors::custom("BadRequest", format!("Object tags cannot be greater than {max}")));
    }
    for (at, tag) in tags.iter().enumerate() {
        if tag.key.is_empty() || tag.key.chars().count() > KEY_CHARACTERS_MAX || !tag.key.chars().all(is_allowed) {
            return Err(errors::invalid_tag("The TagKey you have provided is invalid"));
        }
        if tag.value.chars().count() > VALUE_CHARACTERS_MAX || !tag.value.chars().all(is_allowed) {
            return Err(errors::invalid_tag("The TagValue you have provided is invalid"));
        }
        if tag.key.starts_with("aws:") {
            return Err(errors::invalid_tag("System tags cannot be added/updated by requester"));
        }
        if tags.iter().take(at).any(|before| before.key == tag.key) {
            return Err(errors::invalid_tag("Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c)
}

/// The tags of `x-amz-tagging`, written like a query string.
pub(crate) fn from_header(header: Option<&str>) -> Result<Vec<Tag>, S3Error> {
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| errors::invalid_argument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."))
    };
    let tags = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok(Tag { key: decode(key)?, value: decode(value)? })
    });
    checked(tags.collect::<Result<_, S3Error>>()?, OBJECT_TAGS_MAX)
}

fn from_document(tags: Vec<dto::Tag>, max: usize) -> Result<Vec<Tag>, S3Error> {
    let tags = tags.into_iter().map(|tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => Ok(Tag { key, value }),
        _ => Err(errors::malformed_xml()),
    });
    checked(tags.collect::<Result<_, _>>()?, max)
}

fn to_document(tags: Vec<Tag>) -> Vec<dto::Tag> {
    tags.into_iter().map(|tag| dto::Tag { key: Some(tag.key), value: Some(tag.value) }).collect()
}

/// GetObjectTagging.
pub(crate) async fn get_object(
    service: &Arc<Service>,
    mut request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let target = Target::new(input.key, input.version_id.as_deref())?;
    let (object, version_id) = service.read_object(caller, input.bucket, target, Action::GET_OBJECT_TAGGING).await?;
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set: to_document(object.tags), version_id }))
}

/// PutObjectTagging.
pub(crate) async fn put_object(
    service: &Arc<Service>,
    mut request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let tags = from_document(input.tagging.tag_set, OBJECT_TAGS_MAX)?;
    let change = move |_: &BucketRow, row: &mut ObjectRow| {
        row.tags = tags;
        Ok(())
    };
    let target = Target::new(input.key, input.version_id.as_deref())?;
    let version_id = service.change_object(caller, input.bucket, target, Action::PUT_OBJECT_TAGGING, change).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

/// DeleteObjectTagging.
pub(crate) async fn delete_object(
    service: &Arc<Service>,
    mut request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let change = |_: &BucketRow, row: &mut ObjectRow| {
        row.tags.clear();
        Ok(())
    };
    let target = Target::new(input.key, input.version_id.as_deref())?;
    let version_id = service.change_object(caller, input.bucket, target, Action::DELETE_OBJECT_TAGGING, change).await?;
    Ok(door::with_status(DeleteObjectTaggingOutput { version_id }, http::StatusCode::NO_CONTENT))
}

/// GetBucketTagging.
pub(crate) async fn get_bucket(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_TAGGING).await?;
    let tags = row.tags.ok_or_else(errors::no_such_tag_set)?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: to_document(tags) }))
}

/// PutBucketTagging.
pub(crate) async fn put_bucket(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let caller = Caller::of(&mut request)?;
    let tags = from_document(request.input.tagging.tag_set, BUCKET_TAGS_MAX)?;
    set_bucket(service, caller, request.input.bucket, Some(tags)).await?;
    Ok(door::with_status(PutBucketTaggingOutput::default(), http::StatusCode::NO_CONTENT))
}

/// DeleteBucketTagging.
pub(crate) async fn delete_bucket(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let caller = Caller::of(&mut request)?;
    set_bucket(service, caller, request.input.bucket, None).await?;
    Ok(door::with_status(DeleteBucketTaggingOutput::default(), http::StatusCode::NO_CONTENT))
}

async fn set_bucket(service: &Arc<Service>, caller: Caller, bucket: String, tags: Option<Vec<Tag>>) -> S3Result {
    let change = move |row: &mut BucketRow| {
        row.tags = tags.filter(|tags| !tags.is_empty());
        Ok(())
    };
    service.change_bucket(caller, bucket, Action::PUT_BUCKET_TAGGING, change).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_a_query_string() {
        let tags = from_header(Some("a=1&b%20c=d+e&bare")).unwrap();
        let pairs: Vec<_> = tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b c", "d e"), ("bare", "")]);
    }

    #[test]
    fn an_eleventh_tag_a_repeated_key_and_a_long_key_are_refused() {
        let eleven: Vec<String> = (0..11).map(|n| format!("k{n}=v")).collect();
        assert!(from_header(Some(&eleven.join("&"))).is_err());
        assert!(from_header(Some("a=1&a=2")).is_err());
        assert!(from_header(Some(&format!("{}=1", "k".repeat(129)))).is_err());
        assert!(from_header(Some("aws:x=1")).is_err());
    }
}
