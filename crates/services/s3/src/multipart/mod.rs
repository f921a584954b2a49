//! Multipart uploads: creating, filling, listing and ending them.
//!
//! Invariants:
//! - A part is durable when it is acknowledged; parts of an upload that was completed or aborted are gone.
//! - Completing copies no bytes: the object is a manifest of its parts' blobs.
//! - Upload ids begin with the time, so that uploads of one key list in the order of their creation.

mod complete;
mod list;
mod parts;

use std::sync::Arc;

use api::Principal;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumType, CreateMultipartUploadInput,
    CreateMultipartUploadOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use store::{Scan, Transaction, View};

pub(crate) use self::complete::complete;
pub(crate) use self::list::{list_parts, list_uploads};
pub(crate) use self::parts::{upload_part, upload_part_copy};
use crate::authorisation::{Action, Question};
use crate::checksums::{self, Algorithm};
use crate::door::{self, Caller};
use crate::errors::{self, Failure};
use crate::lifecycle;
use crate::objects::{acl_request, authorise_put, description, owner_and_acl};
use crate::rows::{self, BucketRow, PARTS, PartRow, UPLOADS, UploadRow};
use crate::service::{self, Freed, Service};
use crate::tagging;

/// AWS: parts are numbered 1 to 10,000.
const PART_NUMBER_MAX: u16 = 10_000;

/// The algorithm of the object's checksum, and whether it covers the whole object.
fn checksum_of(
    algorithm: Option<Algorithm>,
    kind: Option<&ChecksumType>,
) -> Result<(Option<Algorithm>, bool), S3Error> {
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok((None, false)),
            Some(_) => Err(errors::invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
        };
    };
    let full_object = match kind.map(ChecksumType::as_str) {
        None => algorithm == Algorithm::Crc64Nvme,
        Some(ChecksumType::COMPOSITE) => false,
        Some(ChecksumType::FULL_OBJECT) => true,
        Some(_) => return Err(errors::invalid_request("Value for x-amz-checksum-type header is invalid.")),
    };
    if full_object != algorithm.combines() && (full_object || algorithm == Algorithm::Crc64Nvme) {
        let kind = if full_object { "FULL_OBJECT" } else { "COMPOSITE" };
        return Err(errors::invalid_request(format!(
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name().to_ascii_lowercase()
        )));
    }
    Ok((Some(algorithm), full_object))
}

/// CreateMultipartUpload.
pub(crate) async fn create(
    service: &Arc<Service>,
    mut request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let caller = Caller::of(&mut request)?;
    let mut input = request.input;
    let description = description!(input)?;
    let asked_acl = acl_request!(input);
    let tags = tagging::from_header(input.tagging.as_deref())?;
    let algorithm = input.checksum_algorithm.as_ref().map(|a| Algorithm::parse(a.as_str())).transpose()?;
    let (checksum, full_object) = checksum_of(algorithm, input.checksum_type.as_ref())?;
    let created_ms = service.now_ms();
    let upload_id = format!("{created_ms:012x}{}", checksums::hex(&service.ids.uuid()));
    let (bucket, key, id, asked) = (input.bucket.clone(), input.key.clone(), upload_id.clone(), Arc::clone(service));
    let (abort_date, abort_rule_id) = service
        .write(move |transaction, _| {
            let row = service::bucket(transaction, &bucket)?;
            authorise_put(&asked, &caller, (&bucket, &row), &key, &asked_acl, input.tagging.as_deref())?;
            let (owner, acl) = owner_and_acl(&caller, &row, &asked_acl)?;
            let initiator = caller.call.account().to_string();
            let upload = UploadRow { owner, initiator, created_ms, description, tags, acl, checksum, full_object };
            transaction.insert(&UPLOADS, &rows::upload_key(&bucket, &key, &id), &upload)?;
            Ok(lifecycle::abort_headers(row.lifecycle.as_ref(), &key, created_ms))
        })
        .await?;
    let kind = if full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload_id),
        abort_date,
        abort_rule_id,
        checksum_algorithm: checksum.map(|c| s3s::dto::ChecksumAlgorithm::from_static(c.name())),
        checksum_type: checksum.map(|_| ChecksumType::from_static(kind)),
        ..CreateMultipartUploadOutput::default()
    }))
}

/// The upload that a request names.
fn upload(view: &View<'_>, bucket: &str, key: &str, upload_id: &str) -> Result<UploadRow, Failure> {
    // An id with a NUL would reach into another key's uploads.
    if upload_id.is_empty() || !upload_id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(errors::no_such_upload().into());
    }
    Ok(view.get(&UPLOADS, &rows::upload_key(bucket, key, upload_id))?.ok_or_else(errors::no_such_upload)?.value)
}

/// Whether the caller may `action` an upload: as the bucket says, or because the upload is his own.
fn authorise(
    service: &Service,
    caller: &Caller,
    bucket: (&str, &BucketRow),
    key: &str,
    upload: &UploadRow,
    action: Action,
) -> Result<(), S3Error> {
    caller.check_owner(&bucket.1.owner)?;
    let started_it = matches!(caller.call.identity.principal, Principal::Account { .. })
        && caller.call.account().as_str() == upload.initiator;
    let question = Question::new(&caller.call, action, bucket).key(key);
    if started_it && !service.denies(&question) { Ok(()) } else { service.authorise(&question) }
}

/// The parts of an upload, by number.
fn parts_of(view: &View<'_>, upload_id: &str) -> Result<Vec<(u16, PartRow)>, Failure> {
    let rows = view.scan(&PARTS, &Scan::prefix(&format!("{upload_id}\0")))?;
    let numbered = rows.into_iter().filter_map(|row| {
        let number = row.key.rsplit_once('\0')?.1.parse().ok()?;
        Some((number, row.value))
    });
    Ok(numbered.collect())
}

/// Ends an upload; its parts' blobs are dropped, but for those that `keep` names.
pub(crate) fn end(
    transaction: &mut Transaction<'_>,
    row_key: &str,
    upload_id: &str,
    keep: &[u16],
    freed: &mut Freed,
) -> Result<(), Failure> {
    for (number, part) in parts_of(transaction, upload_id)? {
        if keep.binary_search(&number).is_err() {
            service::unlink(transaction, &part.content, freed)?;
        }
    }
    transaction.delete_range(&PARTS, &Scan::prefix(&format!("{upload_id}\0")))?;
    transaction.delete(&UPLOADS, row_key)?;
    Ok(())
}

/// Aborts every upload whose row's key begins with `prefix`.
pub(crate) fn abort_all(transaction: &mut Transaction<'_>, prefix: &str, freed: &mut Freed) -> Result<(), Failure> {
    for row_key in transaction.keys(&UPLOADS, &Scan::prefix(prefix))? {
        let upload_id = row_key.rsplit_once('\0').map(|(_, id)| id.to_owned()).unwrap_or_default();
        end(transaction, &row_key, &upload_id, &[], freed)?;
    }
    Ok(())
}

/// AbortMultipartUpload.
pub(crate) async fn abort(
    service: &Arc<Service>,
    mut request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let asked = Arc::clone(service);
    service
        .write(move |transaction, freed| {
            let bucket = service::bucket(transaction, &input.bucket)?;
            let row = upload(transaction, &input.bucket, &input.key, &input.upload_id)?;
            let named = (input.bucket.as_str(), &bucket);
            authorise(&asked, &caller, named, &input.key, &row, Action::ABORT_MULTIPART_UPLOAD)?;
            if let Some(at) = input.if_match_initiated_time.map(crate::conditions::seconds)
                && u64::try_from(at) != Ok(row.created_ms / 1000)
            {
                return Err(errors::precondition_failed().into());
            }
            let row_key = rows::upload_key(&input.bucket, &input.key, &input.upload_id);
            end(transaction, &row_key, &input.upload_id, &[], freed)
        })
        .await?;
    Ok(door::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
}
