//! DeleteObject and DeleteObjects.
//!
//! Invariant: deleting what is not there succeeds, as on AWS.

use std::sync::Arc;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition,
    Error, ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use store::Transaction;

use crate::authorisation::{Action, Question};
use crate::conditions::seconds;
use crate::door::{self, Caller};
use crate::errors::{self, Failure};
use crate::rows::{self, BucketRow, OBJECTS, ObjectRow};
use crate::service::{self, Freed, Service};

/// AWS: one DeleteObjects names at most 1,000 keys.
const KEYS_MAX: usize = 1000;

/// What must hold of the object that is deleted.
#[derive(Default)]
struct Conditions {
    etag: Option<String>,
    size: Option<i64>,
    modified_s: Option<i64>,
}

impl Conditions {
    fn check(&self, object: Option<&ObjectRow>) -> Result<(), S3Error> {
        if self.etag.is_none() && self.size.is_none() && self.modified_s.is_none() {
            return Ok(());
        }
        let object = object.ok_or_else(errors::no_such_key)?;
        let now = object.validators();
        let etag = self.etag.as_deref().is_none_or(|etag| etag == "*" || etag == now.etag);
        let size = self.size.is_none_or(|size| u64::try_from(size) == Ok(object.size));
        let modified = self.modified_s.is_none_or(|at| at == now.modified_s);
        if etag && size && modified { Ok(()) } else { Err(errors::precondition_failed()) }
    }
}

fn delete_one(
    service: &Service,
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    (name, bucket): (&str, &BucketRow),
    key: &str,
    conditions: &Conditions,
    freed: &mut Freed,
) -> Result<(), Failure> {
    let object = service::object(transaction, name, key)?;
    let question = Question::new(&caller.call, Action::DELETE_OBJECT, (name, bucket)).key(key).object(object.as_ref());
    service.authorise(&question)?;
    conditions.check(object.as_ref())?;
    if let Some(object) = object {
        service::unlink(transaction, &object.content, freed)?;
        transaction.delete(&OBJECTS, &rows::object_key(name, key))?;
    }
    Ok(())
}

/// DeleteObject.
pub(crate) async fn one(
    service: &Arc<Service>,
    mut request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let conditions = Conditions {
        etag: input.if_match.as_ref().map(bare),
        size: input.if_match_size,
        modified_s: input.if_match_last_modified_time.map(seconds),
    };
    let asked = Arc::clone(service);
    service
        .write(move |transaction, freed| {
            let bucket = service::bucket(transaction, &input.bucket)?;
            caller.check_owner(&bucket.owner)?;
            delete_one(&asked, transaction, &caller, (&input.bucket, &bucket), &input.key, &conditions, freed)
        })
        .await?;
    Ok(door::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
}

fn bare(condition: &ETagCondition) -> String {
    condition.as_etag().map_or_else(|| "*".to_owned(), |etag| etag.value().to_owned())
}

/// DeleteObjects: each key stands or falls alone.
pub(crate) async fn many(
    service: &Arc<Service>,
    mut request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let quiet = input.delete.quiet.unwrap_or_default();
    let keys = input.delete.objects;
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return Err(errors::malformed_xml());
    }
    let asked = Arc::clone(service);
    let results = service
        .write(move |transaction, freed| {
            let bucket = service::bucket(transaction, &input.bucket)?;
            caller.check_owner(&bucket.owner)?;
            let mut results = Vec::with_capacity(keys.len());
            for identifier in keys {
                let conditions = Conditions {
                    etag: identifier.e_tag.as_ref().map(|etag| etag.value().to_owned()),
                    size: identifier.size,
                    modified_s: identifier.last_modified_time.clone().map(seconds),
                };
                let named = (input.bucket.as_str(), &bucket);
                let result = match refusal(&identifier) {
                    Some(error) => Err(Failure::Told(error)),
                    None => delete_one(&asked, transaction, &caller, named, &identifier.key, &conditions, freed),
                };
                match result {
                    Ok(()) => results.push((identifier.key, None)),
                    Err(Failure::Told(error)) => results.push((identifier.key, Some(error))),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(results)
        })
        .await?;
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for (key, error) in results {
        match error {
            None => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
            Some(error) => failed.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(key),
                message: error.message().map(str::to_owned),
                version_id: None,
            }),
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: Some(failed),
        ..DeleteObjectsOutput::default()
    }))
}

fn refusal(identifier: &ObjectIdentifier) -> Option<S3Error> {
    if identifier.version_id.as_deref().is_some_and(|version| version != "null") {
        return Some(errors::no_such_version());
    }
    (!s3s::path::check_key(&identifier.key)).then(errors::key_too_long)
}
