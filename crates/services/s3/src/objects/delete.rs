//! DeleteObject and DeleteObjects.
//!
//! Invariants:
//! - Deleting what is not there succeeds, as on AWS.
//! - Bytes go only with the version that has them: a delete that names none hides them behind a delete marker where the
//!   bucket keeps versions.

use std::sync::Arc;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition,
    Error, ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use store::Transaction;

use super::Target;
use crate::authorisation::{Action, Question};
use crate::conditions::seconds;
use crate::door::{self, Caller};
use crate::errors::{self, Failure};
use crate::rows::{BucketRow, ObjectRow, Ownership, Standing};
use crate::service::{self, Freed, Service};
use crate::versions::{self, Place};

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

/// What a delete did.
#[derive(Default)]
struct Deleted {
    /// The version that went, or the delete marker that came.
    version_id: Option<String>,
    /// Whether that is a delete marker.
    is_marker: bool,
}

fn delete_one(
    service: &Service,
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    bucket: (&str, &BucketRow),
    target: &Target,
    conditions: &Conditions,
    freed: &mut Freed,
) -> Result<Deleted, Failure> {
    let place = Place::new(bucket, &target.key);
    let standing = match &target.version {
        Some(version) => versions::find(transaction, place, version)?,
        None => versions::current(transaction, place)?,
    };
    let object = match &standing {
        Some(Standing::Object(object)) => Some(object.as_ref()),
        Some(Standing::DeleteMarker(_)) | None => None,
    };
    let question = |action| Question::new(&caller.call, action, bucket).key(&target.key).object(object);
    let Some(version) = &target.version else {
        service.authorise(&question(Action::DELETE_OBJECT))?;
        conditions.check(object)?;
        let by = (writer(caller, bucket.1), service.now_ms());
        let marker = versions::hide(transaction, place, by, service.ids.as_ref(), freed)?;
        let version_id = marker.map(|version| version.name().to_owned());
        return Ok(Deleted { is_marker: version_id.is_some(), version_id });
    };
    let named = question(Action::DELETE_OBJECT.of_version()).with("s3:VersionId", Some(version.as_str()));
    service.authorise(&named)?;
    conditions.check(object)?;
    let removed = versions::remove(transaction, place, version, freed)?;
    let is_marker = matches!(removed, Some(Standing::DeleteMarker(_)));
    Ok(Deleted { version_id: Some(version.as_str().to_owned()), is_marker })
}

/// Whose a delete marker is: nobody and services have no account to own anything.
fn writer(caller: &Caller, bucket: &BucketRow) -> String {
    let enforced = bucket.ownership == Some(Ownership::BucketOwnerEnforced);
    let is_own = caller.call.identity.is_of_account() && !enforced;
    if is_own { caller.call.account().to_string() } else { bucket.owner.clone() }
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
    let target = Target::new(input.key, input.version_id.as_deref())?;
    let asked = Arc::clone(service);
    let deleted = service
        .write(move |transaction, freed| {
            let bucket = service::bucket(transaction, &input.bucket)?;
            caller.check_owner(&bucket.owner)?;
            delete_one(&asked, transaction, &caller, (&input.bucket, &bucket), &target, &conditions, freed)
        })
        .await?;
    let output = DeleteObjectOutput {
        delete_marker: deleted.is_marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    };
    Ok(door::with_status(output, http::StatusCode::NO_CONTENT))
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
                let result = match target_of(&identifier) {
                    Ok(target) => delete_one(&asked, transaction, &caller, named, &target, &conditions, freed),
                    Err(error) => Err(Failure::Told(error)),
                };
                match result {
                    Ok(deleted) => results.push((identifier, Ok(deleted))),
                    Err(Failure::Told(error)) => results.push((identifier, Err(error))),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(results)
        })
        .await?;
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for (identifier, result) in results {
        match result {
            Ok(done) => deleted.push(DeletedObject {
                delete_marker: done.is_marker.then_some(true),
                delete_marker_version_id: done.version_id.filter(|_| done.is_marker),
                key: Some(identifier.key),
                version_id: identifier.version_id,
            }),
            Err(error) => failed.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(identifier.key),
                message: error.message().map(str::to_owned),
                version_id: identifier.version_id,
            }),
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: Some(failed),
        ..DeleteObjectsOutput::default()
    }))
}

fn target_of(identifier: &ObjectIdentifier) -> Result<Target, S3Error> {
    if !s3s::path::check_key(&identifier.key) {
        return Err(errors::key_too_long());
    }
    // Among many, an id that was never given out is one that is not there.
    Target::new(identifier.key.clone(), identifier.version_id.as_deref()).map_err(|_| errors::no_such_version())
}
