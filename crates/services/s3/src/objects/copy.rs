//! CopyObject.
//!
//! Invariants:
//! - Where the copy's bytes and ETag are those of its source, both rows share one blob: nothing is copied on disk.
//! - Otherwise (a multipart source, another checksum) the bytes stream through once more, as in an upload.

use std::sync::Arc;

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, MetadataDirective, TaggingDirective,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::get::{Found, Reading};
use super::put::{Put, replace, still_owned};
use super::{Target, UPLOAD_BYTES_MAX, acl_request, authorise_put, description, owner_and_acl};
use crate::authorisation::Action;
use crate::blobs::Unsettled;
use crate::checksums::{self, Algorithm, StoredChecksum};
use crate::conditions::{Conditions, WriteConditions};
use crate::door::Caller;
use crate::errors;
use crate::rows::{BlobRow, Content, Description, ObjectRow, Version};
use crate::service::{self, Service, Taken, timestamp};
use crate::tagging;

/// The bucket and the object that `x-amz-copy-source` names.
pub(crate) fn source_of(source: &CopySource) -> Result<(String, Target), S3Error> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            Ok((bucket.to_string(), Target::new(key.to_string(), version_id.as_deref())?))
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => Err(errors::not_implemented("access points")),
    }
}

/// The bytes of a copy, in the shape of an upload.
struct Bytes {
    content: Content,
    etag: String,
    checksum: Option<StoredChecksum>,
    blob: Option<BlobRow>,
    unsettled: Vec<Unsettled>,
}

async fn bytes_of(service: &Arc<Service>, found: Found, wanted: Option<Algorithm>) -> Result<Bytes, S3Error> {
    let row = &found.object;
    let has = row.checksum.as_ref().map(|checksum| checksum.algorithm);
    let shared = !matches!(row.content, Content::Parts { .. }) && (wanted.is_none() || wanted == has);
    if shared {
        let row = found.object;
        let (content, etag, checksum) = (row.content, row.etag, row.checksum);
        return Ok(Bytes { content, etag, checksum, blob: None, unsettled: Vec::new() });
    }
    let whole = 0..row.size;
    let uploaded = service.blobs.upload(found.download(service, &whole), wanted.or(has), UPLOAD_BYTES_MAX).await?;
    let taken = Taken::from(uploaded);
    Ok(Bytes {
        content: taken.content,
        etag: taken.digests.etag(),
        checksum: taken.digests.checksum,
        blob: taken.blob,
        unsettled: taken.unsettled,
    })
}

fn source_conditions(input: &CopyObjectInput) -> Conditions {
    Conditions::of_copy(
        input.copy_source_if_match.as_ref(),
        input.copy_source_if_none_match.as_ref(),
        input.copy_source_if_modified_since.as_ref(),
        input.copy_source_if_unmodified_since.as_ref(),
    )
}

/// `COPY` or `REPLACE`; `true` replaces.
fn replaces(directive: Option<&str>, name: &str) -> Result<bool, S3Error> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(errors::invalid_argument(format!("Unknown {name} directive."))),
    }
}

/// What the copy is described by: the request, or the source with what is never copied taken anew.
fn describe(given: Description, source: &Description, replace: bool) -> Description {
    if replace {
        return given;
    }
    Description {
        storage_class: given.storage_class,
        website_redirect_location: given.website_redirect_location,
        ..source.clone()
    }
}

/// CopyObject.
pub(crate) async fn copy(
    service: &Arc<Service>,
    mut request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let caller = Caller::of(&mut request)?;
    let mut input = request.input;
    let (source_bucket, source) = source_of(&input.copy_source)?;
    let replace_metadata = replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str), "metadata")?;
    let replace_tags = replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str), "tagging")?;
    let given = description!(input)?;
    let changes =
        replace_metadata || replace_tags || given.storage_class.is_some() || given.website_redirect_location.is_some();
    // A version that the source names is another one than the copy will be.
    let is_itself = source_bucket == input.bucket && source.key == input.key && source.version.is_none();
    if is_itself && !changes {
        return Err(errors::copy_changes_nothing());
    }
    let wanted = input.checksum_algorithm.as_ref().map(|a| Algorithm::parse(a.as_str())).transpose()?;
    let acl = acl_request!(input);
    let (name, tagging) = (input.bucket.clone(), input.tagging.clone());
    let bucket = service.read(move |view| service::bucket(view, &name)).await?;
    authorise_put(
        service,
        &caller,
        (&input.bucket, &bucket),
        &input.key,
        &acl,
        tagging.as_deref().filter(|_| replace_tags),
    )?;
    let (owner, acl) = owner_and_acl(&caller, &bucket, &acl)?;

    let found = service
        .fetch(Reading {
            caller,
            bucket: source_bucket,
            target: source,
            action: Action::GET_OBJECT,
            is_source: true,
            without_bytes: false,
        })
        .await?;
    source_conditions(&input).check_copy(found.object.validators())?;
    if found.object.size > UPLOAD_BYTES_MAX {
        return Err(errors::invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        ));
    }
    let description = describe(given, &found.object.description, replace_metadata);
    let tags = if replace_tags { tagging::from_header(tagging.as_deref())? } else { found.object.tags.clone() };
    let (size, copy_source_version_id) = (found.object.size, found.version_id.clone());
    let bytes = bytes_of(service, found, wanted).await?;
    let row = ObjectRow {
        owner,
        size,
        etag: bytes.etag,
        modified_ms: service.now_ms(),
        content: bytes.content,
        description,
        checksum: bytes.checksum,
        tags,
        acl,
        version: Version::default(),
    };
    let (result, blob, asked) = (result_of(&row), bytes.blob, Arc::clone(service));
    let told = service
        .write_with(bytes.unsettled, move |transaction, freed| {
            let bucket = still_owned(transaction, &input.bucket, &bucket.owner)?;
            let put = Put { row, blob, conditions: WriteConditions::default() };
            replace(&asked, transaction, (&input.bucket, &bucket), &input.key, put, freed)
        })
        .await?;
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id,
        version_id: told.version_id,
        expiration: told.expiration,
        ..CopyObjectOutput::default()
    }))
}

fn result_of(row: &ObjectRow) -> CopyObjectResult {
    let checksum = checksums::spread(row.checksum.as_ref());
    CopyObjectResult {
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        e_tag: Some(ETag::Strong(row.etag.clone())),
        last_modified: Some(timestamp(row.modified_ms)),
    }
}
