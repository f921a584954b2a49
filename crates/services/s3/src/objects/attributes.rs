//! GetObjectAttributes.

use std::sync::Arc;

use s3s::dto::{
    ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, ObjectAttributes, ObjectPart,
    StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};

use super::Target;
use super::get::Reading;
use crate::authorisation::Action;
use crate::checksums;
use crate::door::Caller;
use crate::errors;
use crate::rows::Manifest;
use crate::service::{Service, timestamp};

/// AWS: at most 1,000 parts at a time.
const PARTS_MAX: i32 = 1000;

/// GetObjectAttributes.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let asked: Vec<String> = input
        .object_attributes
        .iter()
        .flat_map(|attribute| attribute.as_str().split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let wants = |name: &str| asked.iter().any(|asked| asked == name);
    let (bucket, target) = (input.bucket, Target::new(input.key, input.version_id.as_deref())?);
    let action = Action::GET_OBJECT_ATTRIBUTES;
    let found =
        service.fetch(Reading { caller, bucket, target, action, is_source: false, without_bytes: true }).await?;
    let max = input.max_parts.unwrap_or(PARTS_MAX);
    if !(0..=PARTS_MAX).contains(&max) {
        return Err(errors::invalid_argument("Argument max-parts must be an integer between 0 and 1000"));
    }
    let parts = found.manifest.as_ref().filter(|_| wants(ObjectAttributes::OBJECT_PARTS));
    let marker = input.part_number_marker.unwrap_or_default();
    let (row, version_id) = (found.object, found.version_id);
    Ok(S3Response::new(GetObjectAttributesOutput {
        checksum: row
            .checksum
            .as_ref()
            .filter(|_| wants(ObjectAttributes::CHECKSUM))
            .map(|c| checksums::spread(Some(c))),
        e_tag: wants(ObjectAttributes::ETAG).then_some(ETag::Strong(row.etag)),
        last_modified: Some(timestamp(row.modified_ms)),
        object_parts: parts.map(|manifest| page(manifest, marker, max)),
        object_size: i64::try_from(row.size).ok().filter(|_| wants(ObjectAttributes::OBJECT_SIZE)),
        storage_class: wants(ObjectAttributes::STORAGE_CLASS).then(|| {
            row.description.storage_class.map_or(StorageClass::from_static(StorageClass::STANDARD), StorageClass::from)
        }),
        version_id,
        ..GetObjectAttributesOutput::default()
    }))
}

fn page(manifest: &Manifest, marker: i32, max: i32) -> GetObjectAttributesParts {
    let limit = usize::try_from(max).unwrap_or_default();
    let after: Vec<_> = manifest.parts.iter().filter(|(number, _)| i32::from(*number) > marker).collect();
    let parts = after.iter().take(limit).map(|(number, part)| {
        let checksum = checksums::spread(part.checksum.as_ref());
        ObjectPart {
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            part_number: Some(i32::from(*number)),
            size: i64::try_from(part.size).ok(),
        }
    });
    let parts: Vec<_> = parts.collect();
    GetObjectAttributesParts {
        is_truncated: Some(after.len() > limit),
        max_parts: Some(max),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        part_number_marker: Some(marker),
        // Without checksums AWS tells the number of parts only.
        parts: manifest.parts.iter().any(|(_, part)| part.checksum.is_some()).then_some(parts),
        total_parts_count: i32::try_from(manifest.parts.len()).ok(),
    }
}
