//! UploadPart and UploadPartCopy.

use std::sync::Arc;

use s3s::dto::{CopyPartResult, ETag, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::{PART_NUMBER_MAX, upload};
use crate::authorisation::{Action, Question};
use crate::checksums::{self, Algorithm};
use crate::conditions::Conditions;
use crate::door::Caller;
use crate::errors;
use crate::objects::UPLOAD_BYTES_MAX;
use crate::objects::copy::source_of;
use crate::objects::get::Reading;
use crate::objects::put::{declared_length, take};
use crate::rows::{self, PARTS, PartRow, UploadRow};
use crate::service::{self, Service, Taken, timestamp};

/// Which part of which upload.
#[derive(Clone)]
struct Place {
    bucket: String,
    key: String,
    upload_id: String,
    number: u16,
}

impl Place {
    fn new(bucket: String, key: String, upload_id: String, number: i32) -> Result<Self, S3Error> {
        match u16::try_from(number) {
            Ok(number @ 1..=PART_NUMBER_MAX) => Ok(Self { bucket, key, upload_id, number }),
            _ => Err(errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive")),
        }
    }
}

/// The upload, for a caller who may put its object.
async fn open(service: &Arc<Service>, caller: &Caller, place: &Place) -> Result<UploadRow, S3Error> {
    let (asked, caller, place) = (Arc::clone(service), caller.clone(), place.clone());
    service
        .read(move |view| {
            let bucket = service::bucket(view, &place.bucket)?;
            caller.check_owner(&bucket.owner)?;
            let question = Question::new(&caller.call, Action::PUT_OBJECT, (&place.bucket, &bucket)).key(&place.key);
            asked.authorise(&question)?;
            upload(view, &place.bucket, &place.key, &place.upload_id)
        })
        .await
}

/// The algorithm to compute: the upload's, which the part may not contradict.
fn algorithm(upload: &UploadRow, given: Option<Algorithm>) -> Result<Option<Algorithm>, S3Error> {
    match (upload.checksum, given) {
        (Some(agreed), Some(given)) if agreed != given => Err(errors::invalid_request(format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            agreed.name().to_ascii_lowercase(),
            given.name().to_ascii_lowercase()
        ))),
        (agreed, given) => Ok(agreed.or(given)),
    }
}

/// Commits a part in place of the one with its number.
async fn put(service: &Arc<Service>, place: Place, taken: Taken) -> Result<PartRow, S3Error> {
    let row = PartRow {
        size: taken.size,
        etag: taken.digests.etag(),
        modified_ms: service.now_ms(),
        content: taken.content,
        checksum: taken.digests.checksum,
    };
    let (committed, blob) = (row.clone(), taken.blob);
    service
        .write_with(taken.unsettled, move |transaction, freed| {
            // The upload may have ended while the bytes came in.
            upload(transaction, &place.bucket, &place.key, &place.upload_id)?;
            let key = rows::part_key(&place.upload_id, place.number);
            let before = transaction.get(&PARTS, &key)?.map(|row| row.value);
            service::link(transaction, &committed.content, blob)?;
            if let Some(before) = before {
                service::unlink(transaction, &before.content, freed)?;
            }
            transaction.put(&PARTS, &key, &committed)?;
            Ok(())
        })
        .await?;
    Ok(row)
}

/// UploadPart.
pub(crate) async fn upload_part(
    service: &Arc<Service>,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let caller = Caller::of(&mut request)?;
    let mut input = request.input;
    let place = Place::new(input.bucket, input.key, input.upload_id, input.part_number)?;
    let length = declared_length(input.content_length)?;
    let row = open(service, &caller, &place).await?;
    let algorithm = algorithm(&row, caller.expected.algorithm)?;
    let taken = take(service, &caller, input.body.take(), length, algorithm).await?;
    let part = put(service, place, taken).await?;
    let checksum = checksums::spread(part.checksum.as_ref());
    Ok(S3Response::new(UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        ..UploadPartOutput::default()
    }))
}

/// `bytes=first-last`, both given and both there.
fn source_range(asked: Option<&str>, size: u64) -> Result<std::ops::Range<u64>, S3Error> {
    let Some(text) = asked else { return Ok(0..size) };
    let invalid = || {
        errors::invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy",
        )
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(invalid)?;
    let (first, last): (u64, u64) = match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => (first, last),
        _ => return Err(invalid()),
    };
    if first > last || last >= size {
        return Err(errors::invalid_argument(format!(
            "Range specified is not valid for source object of size: {size}"
        )));
    }
    Ok(first..last + 1)
}

/// UploadPartCopy.
pub(crate) async fn upload_part_copy(
    service: &Arc<Service>,
    mut request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let (source_bucket, source) = source_of(&input.copy_source)?;
    let place = Place::new(input.bucket, input.key, input.upload_id, input.part_number)?;
    let row = open(service, &caller, &place).await?;
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
    Conditions::of_copy(
        input.copy_source_if_match.as_ref(),
        input.copy_source_if_none_match.as_ref(),
        input.copy_source_if_modified_since.as_ref(),
        input.copy_source_if_unmodified_since.as_ref(),
    )
    .check_copy(found.object.validators())?;
    let range = source_range(input.copy_source_range.as_deref(), found.object.size)?;
    if range.end - range.start > UPLOAD_BYTES_MAX {
        return Err(errors::invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        ));
    }
    let copy_source_version_id = found.version_id.clone();
    let download = found.download(service, &range);
    let uploaded = service.blobs.upload(download, row.checksum, UPLOAD_BYTES_MAX).await?;
    let part = put(service, place, uploaded.into()).await?;
    let checksum = checksums::spread(part.checksum.as_ref());
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(CopyPartResult {
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            e_tag: Some(ETag::Strong(part.etag)),
            last_modified: Some(timestamp(part.modified_ms)),
        }),
        copy_source_version_id,
        ..UploadPartCopyOutput::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_range_must_lie_within_its_source() {
        assert_eq!(source_range(None, 10).unwrap(), 0..10);
        assert_eq!(source_range(Some("bytes=2-9"), 10).unwrap(), 2..10);
        for bad in ["bytes=2-10", "bytes=5-4", "bytes=-5", "bytes=5-", "5-6"] {
            assert!(source_range(Some(bad), 10).is_err(), "{bad}");
        }
    }
}
