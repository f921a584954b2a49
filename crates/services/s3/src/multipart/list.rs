//! ListParts and ListMultipartUploads.

use std::sync::Arc;

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};
use store::Scan;

use super::{authorise, upload};
use crate::acl;
use crate::authorisation::{Action, Question};
use crate::checksums;
use crate::door::Caller;
use crate::errors;
use crate::lifecycle;
use crate::listing::{Encoding, Entry, Position, Walk, delimiter, page_size, walk};
use crate::rows::{self, PARTS, PartRow, UPLOADS, UploadRow};
use crate::service::{self, Service, timestamp};

fn initiator(upload: &UploadRow) -> Initiator {
    Initiator { display_name: None, id: Some(acl::canonical_id(&upload.initiator)) }
}

fn storage_class(upload: &UploadRow) -> StorageClass {
    let named = upload.description.storage_class.clone();
    named.map_or(StorageClass::from_static(StorageClass::STANDARD), StorageClass::from)
}

fn checksum_kind(upload: &UploadRow) -> Option<ChecksumType> {
    let kind = if upload.full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    upload.checksum.map(|_| ChecksumType::from_static(kind))
}

fn part(number: u16, row: PartRow) -> Part {
    let checksum = checksums::spread(row.checksum.as_ref());
    Part {
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        e_tag: Some(ETag::Strong(row.etag)),
        last_modified: Some(timestamp(row.modified_ms)),
        part_number: Some(i32::from(number)),
        size: i64::try_from(row.size).ok(),
    }
}

/// ListParts.
pub(crate) async fn list_parts(
    service: &Arc<Service>,
    mut request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let max = page_size(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or_default();
    let after = u16::try_from(marker)
        .map_err(|_| errors::invalid_argument("Argument part-number-marker must be an integer between 0 and 65535"))?;
    let (asked, bucket, key, upload_id) =
        (Arc::clone(service), input.bucket.clone(), input.key.clone(), input.upload_id.clone());
    let (row, mut parts, (abort_date, abort_rule_id)) = service
        .read(move |view| {
            let named = service::bucket(view, &bucket)?;
            let row = upload(view, &bucket, &key, &upload_id)?;
            authorise(&asked, &caller, (&bucket, &named), &key, &row, Action::LIST_MULTIPART_UPLOAD_PARTS)?;
            let scan = Scan::prefix(&format!("{upload_id}\0")).after(&rows::part_key(&upload_id, after));
            let ends = lifecycle::abort_headers(named.lifecycle.as_ref(), &key, row.created_ms);
            Ok((row, view.scan(&PARTS, &scan.limit(max + 1))?, ends))
        })
        .await?;
    let truncated = parts.len() > max;
    parts.truncate(max);
    let parts: Vec<Part> =
        parts.into_iter().filter_map(|row| Some(part(row.key.rsplit_once('\0')?.1.parse().ok()?, row.value))).collect();
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        abort_date,
        abort_rule_id,
        checksum_algorithm: row.checksum.map(|c| ChecksumAlgorithm::from_static(c.name())),
        checksum_type: checksum_kind(&row),
        initiator: Some(initiator(&row)),
        owner: Some(acl::owner(&row.owner)),
        storage_class: Some(storage_class(&row)),
        is_truncated: Some(truncated),
        max_parts: i32::try_from(max).ok(),
        part_number_marker: Some(marker),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        parts: Some(parts),
        ..ListPartsOutput::default()
    }))
}

/// The key and the upload id of the rest of an upload row's key.
fn split(rest: &str) -> (&str, &str) {
    rest.rsplit_once('\0').unwrap_or((rest, ""))
}

fn listed(entry: &Entry<UploadRow>, encoding: Encoding) -> Option<MultipartUpload> {
    let Entry::Row(rest, row) = entry else { return None };
    let (key, id) = split(rest);
    Some(MultipartUpload {
        checksum_algorithm: row.checksum.map(|c| ChecksumAlgorithm::from_static(c.name())),
        checksum_type: checksum_kind(row),
        initiated: Some(timestamp(row.created_ms)),
        initiator: Some(initiator(row)),
        key: Some(encoding.write(key.to_owned())),
        owner: Some(acl::owner(&row.owner)),
        storage_class: Some(storage_class(row)),
        upload_id: Some(id.to_owned()),
    })
}

/// Where the listing goes on after its markers.
fn after(key: Option<&str>, upload_id: Option<&str>, prefix: &str, delimiter: Option<&str>) -> Position {
    match (key.filter(|key| !key.is_empty()), upload_id.filter(|id| !id.is_empty())) {
        (Some(key), Some(id)) => Position::Key(format!("{key}\0{id}")),
        (Some(key), None) => match Position::after_marker(Some(key.to_owned()), prefix, delimiter) {
            // After all uploads of this key, and not after all that begins with it.
            Position::Key(key) => Position::Prefix(format!("{key}\0")),
            other => other,
        },
        (None, _) => Position::Start,
    }
}

/// ListMultipartUploads.
pub(crate) async fn list_uploads(
    service: &Arc<Service>,
    mut request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let max = page_size(input.max_uploads, "max-uploads")?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = delimiter(input.delimiter);
    let position = after(input.key_marker.as_deref(), input.upload_id_marker.as_deref(), &prefix, delimiter.as_deref());
    let wanted = Walk { prefix: prefix.clone(), delimiter: delimiter.clone(), after: position, max };
    let (asked, bucket) = (Arc::clone(service), input.bucket.clone());
    let (entries, more) = service
        .read(move |view| {
            let row = service::bucket(view, &bucket)?;
            caller.check_owner(&row.owner)?;
            let action = Action::LIST_BUCKET_MULTIPART_UPLOADS;
            let question = Question::new(&caller.call, action, (&bucket, &row)).with("s3:prefix", Some(&wanted.prefix));
            asked.authorise(&question)?;
            walk(view, &UPLOADS, &format!("{bucket}\0"), &wanted, |rest| split(rest).0)
        })
        .await?;
    let (next_key, next_id) = match entries.last().filter(|_| more) {
        Some(Entry::Row(rest, _)) => (Some(split(rest).0.to_owned()), Some(split(rest).1.to_owned())),
        Some(Entry::Prefix(prefix)) => (Some(prefix.clone()), None),
        None => (None, None),
    };
    let prefixes = entries.iter().filter_map(|entry| match entry {
        Entry::Prefix(prefix) => Some(CommonPrefix { prefix: Some(encoding.write(prefix.clone())) }),
        Entry::Row(..) => None,
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: Some(prefixes.collect()),
        delimiter: delimiter.map(|delimiter| encoding.write(delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(more),
        key_marker: Some(encoding.write(input.key_marker.unwrap_or_default())),
        max_uploads: i32::try_from(max).ok(),
        next_key_marker: next_key.map(|key| encoding.write(key)),
        next_upload_id_marker: next_id,
        prefix: Some(encoding.write(prefix)),
        upload_id_marker: input.upload_id_marker,
        uploads: Some(entries.iter().filter_map(|entry| listed(entry, encoding)).collect()),
        request_charged: None,
    }))
}
