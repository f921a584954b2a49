//! PutObject.

use std::sync::Arc;

use futures_util::StreamExt as _;
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput, StreamingBlob};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use store::Transaction;

use super::{UPLOAD_BYTES_MAX, acl_request, authorise_put, description, owner_and_acl};
use crate::checksums::{self, Algorithm};
use crate::conditions::WriteConditions;
use crate::door::Caller;
use crate::errors::{self, Failure};
use crate::rows::{self, BlobRow, OBJECTS, ObjectRow};
use crate::service::{self, Freed, Service, Taken};
use crate::tagging;

/// PutObject.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let caller = Caller::of(&mut request)?;
    let mut input = request.input;
    let description = description!(input)?;
    let acl = acl_request!(input);
    let tags = tagging::from_header(input.tagging.as_deref())?;
    let conditions = WriteConditions::new(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let length = declared_length(input.content_length)?;
    // Everything that can be refused is refused before the client sends its bytes.
    let (name, key) = (input.bucket.clone(), input.key.clone());
    let (bucket, standing) =
        service.read(move |view| Ok((service::bucket(view, &name)?, service::object(view, &name, &key)?))).await?;
    authorise_put(service, &caller, (&input.bucket, &bucket), &input.key, &acl, input.tagging.as_deref())?;
    let (owner, acl) = owner_and_acl(&caller, &bucket, &acl)?;
    conditions.check(standing.as_ref().map(|object| object.etag.as_str()))?;

    let taken = take(service, &caller, input.body.take(), length, caller.expected.algorithm).await?;
    let row = ObjectRow {
        owner,
        size: taken.size,
        etag: taken.digests.etag(),
        modified_ms: service.now_ms(),
        content: taken.content,
        description,
        checksum: taken.digests.checksum,
        tags,
        acl,
    };
    let (etag, checksum, size) = (row.etag.clone(), checksums::spread(row.checksum.as_ref()), row.size);
    let (blob, asked) = (taken.blob, bucket.owner);
    service
        .write_with(taken.unsettled, move |transaction, freed| {
            still_owned(transaction, &input.bucket, &asked)?;
            replace(transaction, &rows::object_key(&input.bucket, &input.key), row, blob, &conditions, freed)
        })
        .await?;
    Ok(S3Response::new(PutObjectOutput {
        e_tag: Some(ETag::Strong(etag)),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        size: i64::try_from(size).ok(),
        ..PutObjectOutput::default()
    }))
}

/// `Content-Length`, within what one upload may bring.
pub(crate) fn declared_length(length: Option<i64>) -> Result<Option<u64>, S3Error> {
    let length =
        length.map(u64::try_from).transpose().map_err(|_| errors::invalid_argument("Invalid Content-Length"))?;
    if length.is_some_and(|length| length > UPLOAD_BYTES_MAX) {
        return Err(errors::entity_too_large());
    }
    Ok(length)
}

/// Takes the bytes in and holds them against what the client said of them.
pub(crate) async fn take(
    service: &Arc<Service>,
    caller: &Caller,
    body: Option<StreamingBlob>,
    length: Option<u64>,
    algorithm: Option<Algorithm>,
) -> Result<Taken, S3Error> {
    let uploaded = match body {
        Some(body) => service.blobs.upload(body, algorithm, UPLOAD_BYTES_MAX).await,
        None => service.blobs.upload(futures_util::stream::empty().boxed(), algorithm, UPLOAD_BYTES_MAX).await,
    }?;
    if length.is_some_and(|length| length != uploaded.size) {
        return Err(errors::incomplete_body());
    }
    caller.expected.compare(&uploaded.digests, |name| caller.trailer(name))?;
    Ok(uploaded.into())
}

/// The bucket may have gone, or come to another owner, while the bytes came in.
pub(crate) fn still_owned(transaction: &Transaction<'_>, bucket: &str, owner: &str) -> Result<(), Failure> {
    let row = service::bucket(transaction, bucket)?;
    if row.owner == owner { Ok(()) } else { Err(errors::no_such_bucket().into()) }
}

/// Puts an object's row in place of the one that stands there, if the conditions hold.
pub(crate) fn replace(
    transaction: &mut Transaction<'_>,
    row_key: &str,
    row: ObjectRow,
    blob: Option<BlobRow>,
    conditions: &WriteConditions,
    freed: &mut Freed,
) -> Result<(), Failure> {
    let before = transaction.get(&OBJECTS, row_key)?.map(|row| row.value);
    conditions.check(before.as_ref().map(|object| object.etag.as_str()))?;
    // First the new reference: an object copied onto itself keeps its bytes.
    service::link(transaction, &row.content, blob)?;
    if let Some(before) = before {
        service::unlink(transaction, &before.content, freed)?;
    }
    transaction.put(&OBJECTS, row_key, &row)?;
    Ok(())
}
