//! CompleteMultipartUpload.

use std::sync::Arc;

use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::{PART_NUMBER_MAX, end, parts_of, upload};
use crate::authorisation::{Action, Question};
use crate::checksums::{self, Algorithm, StoredChecksum};
use crate::conditions::WriteConditions;
use crate::door::Caller;
use crate::errors::{self, Failure};
use crate::objects::put::{Put, replace};
use crate::rows::{self, Content, MANIFESTS, Manifest, ObjectRow, PartRow, UploadRow, Version};
use crate::service::{self, Service};

/// AWS: every part but the last is at least 5 MiB.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// AWS: an object is at most 5 TiB.
const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;

/// The parts that a client lists, by number: ascending, without repetition.
fn listed(parts: Vec<CompletedPart>) -> Result<Vec<(u16, CompletedPart)>, S3Error> {
    if parts.is_empty() || parts.len() > usize::from(PART_NUMBER_MAX) {
        return Err(errors::malformed_xml());
    }
    let mut out: Vec<(u16, CompletedPart)> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.part_number.and_then(|n| u16::try_from(n).ok()).ok_or_else(errors::invalid_part)?;
        if out.last().is_some_and(|(before, _)| *before >= number) {
            return Err(errors::invalid_part_order());
        }
        out.push((number, part));
    }
    Ok(out)
}

fn given_checksum(part: &CompletedPart, algorithm: Algorithm) -> Option<&str> {
    match algorithm {
        Algorithm::Crc32 => part.checksum_crc32.as_deref(),
        Algorithm::Crc32c => part.checksum_crc32c.as_deref(),
        Algorithm::Crc64Nvme => part.checksum_crc64nvme.as_deref(),
        Algorithm::Sha1 => part.checksum_sha1.as_deref(),
        Algorithm::Sha256 => part.checksum_sha256.as_deref(),
    }
}

/// The parts that are there for those that are listed.
fn chosen(listed: &[(u16, CompletedPart)], uploaded: Vec<(u16, PartRow)>) -> Result<Vec<(u16, PartRow)>, S3Error> {
    let mut uploaded = uploaded.into_iter();
    let mut out = Vec::with_capacity(listed.len());
    for (at, (number, wanted)) in listed.iter().enumerate() {
        // Both lists ascend.
        let found = uploaded.find(|(there, _)| there >= number).filter(|(there, _)| there == number);
        let (_, part) = found.ok_or_else(errors::invalid_part)?;
        if wanted.e_tag.as_ref().map(ETag::value) != Some(part.etag.as_str()) {
            return Err(errors::invalid_part());
        }
        if let Some(checksum) = &part.checksum
            && given_checksum(wanted, checksum.algorithm).is_some_and(|given| given != checksum.value)
        {
            return Err(errors::invalid_part());
        }
        if part.size < PART_BYTES_MIN && at + 1 < listed.len() {
            return Err(errors::entity_too_small());
        }
        out.push((*number, part));
    }
    Ok(out)
}

/// The whole object's checksum, held against the one that the client gave.
fn checksum(
    upload: &UploadRow,
    parts: &[(u16, PartRow)],
    input: &CompleteMultipartUploadInput,
) -> Result<Option<StoredChecksum>, S3Error> {
    let Some(algorithm) = upload.checksum else { return Ok(None) };
    let each = parts.iter().map(|(_, part)| (part.checksum.as_ref(), part.size));
    let Some(checksum) = checksums::multipart_checksum(algorithm, upload.full_object, each) else { return Ok(None) };
    let given = match algorithm {
        Algorithm::Crc32 => &input.checksum_crc32,
        Algorithm::Crc32c => &input.checksum_crc32c,
        Algorithm::Crc64Nvme => &input.checksum_crc64nvme,
        Algorithm::Sha1 => &input.checksum_sha1,
        Algorithm::Sha256 => &input.checksum_sha256,
    };
    match given {
        // Clients give the composite's value with or without its count.
        Some(given) if *given != checksum.value && checksum.value.split('-').next() != Some(given) => {
            Err(errors::bad_checksum(algorithm.name()))
        }
        _ => Ok(Some(checksum)),
    }
}

/// The object that the parts make, and their manifest.
fn assemble(
    upload: UploadRow,
    parts: Vec<(u16, PartRow)>,
    input: &CompleteMultipartUploadInput,
    now_ms: u64,
) -> Result<(ObjectRow, Manifest), S3Error> {
    let size: u64 = parts.iter().map(|(_, part)| part.size).sum();
    if size > OBJECT_BYTES_MAX {
        return Err(errors::entity_too_large());
    }
    if input.mpu_object_size.is_some_and(|expected| u64::try_from(expected) != Ok(size)) {
        return Err(errors::invalid_request(
            "The provided 'x-amz-mp-object-size' header value does not match what was computed",
        ));
    }
    let checksum = checksum(&upload, &parts, input)?;
    let etags = parts.iter().map(|(_, part)| part.etag.as_str());
    let etag = checksums::multipart_etag(etags).ok_or_else(errors::invalid_part)?;
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let row = ObjectRow {
        owner: upload.owner,
        size,
        etag,
        modified_ms: now_ms,
        // The upload's id serves again: it names nothing else any more.
        content: Content::Parts { manifest: input.upload_id.clone(), count },
        description: upload.description,
        checksum,
        tags: upload.tags,
        acl: upload.acl,
        version: Version::default(),
    };
    Ok((row, Manifest { parts }))
}

/// CompleteMultipartUpload.
pub(crate) async fn complete(
    service: &Arc<Service>,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let caller = Caller::of(&mut request)?;
    let mut input = request.input;
    let conditions = WriteConditions::new(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let listed = listed(input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default())?;
    let endpoint = &caller.call.endpoint;
    let location = format!("{}://{}{}", endpoint.scheme, endpoint.authority, caller.call.path);
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let (asked, now_ms) = (Arc::clone(service), service.now_ms());
    let (row, told) = service
        .write(move |transaction, freed| {
            let bucket = service::bucket(transaction, &input.bucket)?;
            caller.check_owner(&bucket.owner)?;
            let named = (input.bucket.as_str(), &bucket);
            asked.authorise(&Question::new(&caller.call, Action::PUT_OBJECT, named).key(&input.key))?;
            let row = upload(transaction, &input.bucket, &input.key, &input.upload_id)?;
            let parts = chosen(&listed, parts_of(transaction, &input.upload_id)?)?;
            let (object, manifest) = assemble(row, parts, &input, now_ms)?;
            let keep: Vec<u16> = manifest.parts.iter().map(|(number, _)| *number).collect();
            let upload_key = rows::upload_key(&input.bucket, &input.key, &input.upload_id);
            end(transaction, &upload_key, &input.upload_id, &keep, freed)?;
            transaction.put(&MANIFESTS, &input.upload_id, &manifest)?;
            let put = Put { row: object.clone(), blob: None, conditions };
            let told = replace(&asked, transaction, named, &input.key, put, freed)?;
            Ok::<_, Failure>((object, told))
        })
        .await?;
    let checksum = checksums::spread(row.checksum.as_ref());
    Ok(S3Response::new(CompleteMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        location: Some(location),
        e_tag: Some(ETag::Strong(row.etag)),
        version_id: told.version_id,
        expiration: told.expiration,
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        ..CompleteMultipartUploadOutput::default()
    }))
}
