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
use crate::lifecycle::expiration_header;
use crate::rows::{BlobRow, BucketRow, ObjectRow, Version};
use crate::service::{self, Freed, Service, Taken};
use crate::tagging;
use crate::versions::{self, Place};

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
        version: Version::default(),
    };
    let (etag, checksum, size) = (row.etag.clone(), checksums::spread(row.checksum.as_ref()), row.size);
    let (blob, asked) = (taken.blob, Arc::clone(service));
    let told = service
        .write_with(taken.unsettled, move |transaction, freed| {
            let bucket = still_owned(transaction, &input.bucket, &bucket.owner)?;
            let put = Put { row, blob, conditions };
            replace(&asked, transaction, (&input.bucket, &bucket), &input.key, put, freed)
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
        version_id: told.version_id,
        expiration: told.expiration,
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
pub(crate) fn still_owned(transaction: &Transaction<'_>, bucket: &str, owner: &str) -> Result<BucketRow, Failure> {
    let row = service::bucket(transaction, bucket)?;
    if row.owner == owner { Ok(row) } else { Err(errors::no_such_bucket().into()) }
}

/// An object that is to become its key's current version, if the conditions hold.
pub(crate) struct Put {
    pub(crate) row: ObjectRow,
    /// The row of its bytes, where they have none yet.
    pub(crate) blob: Option<BlobRow>,
    pub(crate) conditions: WriteConditions,
}

/// What an answer tells of an object that was put.
pub(crate) struct Told {
    pub(crate) version_id: Option<String>,
    /// When it expires, for `x-amz-expiration`.
    pub(crate) expiration: Option<String>,
}

/// Puts an object, before or in place of the one that stands under its key, as the bucket keeps versions.
pub(crate) fn replace(
    service: &Service,
    transaction: &mut Transaction<'_>,
    bucket: (&str, &BucketRow),
    key: &str,
    put: Put,
    freed: &mut Freed,
) -> Result<Told, Failure> {
    let before = service::object(transaction, bucket.0, key)?;
    put.conditions.check(before.as_ref().map(|object| object.etag.as_str()))?;
    // First the new reference: an object copied onto itself keeps its bytes.
    service::link(transaction, &put.row.content, put.blob)?;
    let expiration = expiration_header(bucket.1.lifecycle.as_ref(), key, &put.row);
    let version = versions::add(transaction, Place::new(bucket, key), put.row, service.ids.as_ref(), freed)?;
    Ok(Told { version_id: versions::told_of_write(bucket.1, &version), expiration })
}
