//! GetObject and HeadObject, and the reading of bytes that copies and websites share.

use std::io;
use std::sync::Arc;

use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StorageClass, StreamingBlob, Timestamp,
    TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use store::View;

use super::{Target, find};
use crate::authorisation::Action;
use crate::blobs::Pin;
use crate::checksums;
use crate::door::{self, Caller};
use crate::download::{Download, Piece, Source, cut};
use crate::errors::{self, Failure};
use crate::lifecycle::expiration_header;
use crate::rows::{Content, MANIFESTS, Manifest, ObjectRow};
use crate::service::{self, Service, timestamp};
use crate::versions;

/// How often a read begins again because the object was replaced between its row and its bytes.
const TRIES: usize = 8;

/// An object that a caller may read.
pub(crate) struct Found {
    pub(crate) object: ObjectRow,
    /// The parts of a completed multipart upload.
    pub(crate) manifest: Option<Manifest>,
    /// The version id to tell.
    pub(crate) version_id: Option<String>,
    /// When it expires, for `x-amz-expiration`.
    expiration: Option<String>,
    /// Its bytes, in order.
    pieces: Vec<Piece>,
    pin: Option<Pin>,
}

impl Found {
    /// A stream of the bytes in `range`.
    pub(crate) fn download(self, service: &Service, range: &std::ops::Range<u64>) -> Download {
        Download::new(Arc::clone(&service.blobs), cut(self.pieces, range), self.pin)
    }
}

/// Which object is read, by whom, as what.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) caller: Caller,
    pub(crate) bucket: String,
    pub(crate) target: Target,
    pub(crate) action: Action,
    /// Whether the bucket is a copy's source, for `x-amz-source-expected-bucket-owner`.
    pub(crate) is_source: bool,
    /// Whether only the row is wanted.
    pub(crate) without_bytes: bool,
}

impl Service {
    /// The object with its bytes held open.
    pub(crate) async fn fetch(self: &Arc<Self>, reading: Reading) -> Result<Found, S3Error> {
        for _ in 0..TRIES {
            let (service, reading) = (Arc::clone(self), reading.clone());
            let found = self.read(move |view| fetch_once(&service, view, &reading)).await?;
            let Some(found) = found else { continue };
            if let Content::Parts { manifest, .. } = &found.object.content
                && found.pin.is_some()
                && !self.has_manifest(manifest.clone()).await?
            {
                continue;
            }
            return Ok(found);
        }
        tracing::warn!("an object was replaced faster than it could be read");
        Err(errors::slow_down())
    }

    /// Whether a manifest is still there once its blobs are pinned: then they were pinned in time.
    async fn has_manifest(&self, manifest: String) -> Result<bool, S3Error> {
        self.read(move |view| Ok(view.contains(&MANIFESTS, &manifest)?)).await
    }
}

/// `None`: the bytes have gone since the row was read.
fn fetch_once(service: &Arc<Service>, view: &View<'_>, reading: &Reading) -> Result<Option<Found>, Failure> {
    let bucket = service::bucket(view, &reading.bucket)?;
    if reading.is_source {
        reading.caller.check_source_owner(&bucket.owner)?;
    } else {
        reading.caller.check_owner(&bucket.owner)?;
    }
    let named = (reading.bucket.as_str(), &bucket);
    let object = find(service, view, &reading.caller, named, &reading.target, reading.action);
    let object = object.map_err(|failure| if reading.is_source { of_source(failure) } else { failure })?;
    let version_id = versions::told(&bucket, &object.version);
    // A noncurrent version does not expire: it goes by rules of its own.
    let key = reading.target.key.as_str();
    let is_current = service::object(view, named.0, key)?.is_some_and(|current| current.version == object.version);
    let expiration = expiration_header(bucket.lifecycle.as_ref().filter(|_| is_current), key, &object);
    let manifest = match &object.content {
        Content::Parts { manifest, .. } => match view.get(&MANIFESTS, manifest)? {
            Some(row) => Some(row.value),
            None => return Ok(None),
        },
        Content::Empty | Content::Small { .. } | Content::File { .. } => None,
    };
    let mut found = Found { object, manifest, version_id, expiration, pieces: Vec::new(), pin: None };
    if reading.without_bytes {
        return Ok(Some(found));
    }
    match &found.manifest {
        None => match piece(service, view, &found.object.content, found.object.size)? {
            Some(pieces) => found.pieces = pieces,
            None => return Ok(None),
        },
        Some(manifest) => {
            let files = manifest.parts.iter().filter_map(|(_, part)| match &part.content {
                Content::File { blob } => Some(blob.clone()),
                _ => None,
            });
            found.pin = Some(service.blobs.pin(files.collect()));
            found.pieces = part_pieces(view, manifest)?;
        }
    }
    Ok(Some(found))
}

/// A delete marker cannot be copied, and a copy says so in its own words.
fn of_source(failure: Failure) -> Failure {
    match failure {
        Failure::Told(error) if error.code() == &S3ErrorCode::MethodNotAllowed => {
            errors::source_is_delete_marker().into()
        }
        other => other,
    }
}

/// The bytes of a single content; its file is opened now.
fn piece(service: &Service, view: &View<'_>, content: &Content, length: u64) -> Result<Option<Vec<Piece>>, Failure> {
    let source = match content {
        Content::Empty | Content::Parts { .. } => return Ok(Some(Vec::new())),
        Content::Small { blob } => match service::small_bytes(view, blob)? {
            Some(bytes) => Source::Bytes(bytes),
            None => return Ok(None),
        },
        Content::File { blob } => match service.blobs.open_file(blob) {
            Ok(file) => Source::File(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(errors::disk(&error).into()),
        },
    };
    Ok(Some(vec![Piece { source, offset: 0, length }]))
}

/// The bytes of parts; their files are opened when their turn comes.
fn part_pieces(view: &View<'_>, manifest: &Manifest) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::with_capacity(manifest.parts.len());
    for (_, part) in &manifest.parts {
        let source = match &part.content {
            Content::File { blob } => Source::Blob(blob.clone()),
            Content::Small { blob } => Source::Bytes(service::small_bytes(view, blob)?.unwrap_or_default()),
            Content::Empty | Content::Parts { .. } => continue,
        };
        pieces.push(Piece { source, offset: 0, length: part.size });
    }
    Ok(pieces)
}

/// Which bytes are sent.
struct Selection {
    range: std::ops::Range<u64>,
    /// `Content-Range`, for a part of the whole.
    content_range: Option<String>,
}

/// A range, or a part number, or all.
fn select(caller: &Caller, found: &Found, part_number: Option<i32>) -> Result<Selection, S3Error> {
    let size = found.object.size;
    let asked = caller.read.range(size, found.object.validators())?;
    let asked = match (asked, part_number) {
        (Some(_), Some(_)) => {
            return Err(errors::invalid_request("Cannot specify both Range header and partNumber query parameter"));
        }
        (None, Some(number)) => Some(part_range(found, number)?),
        (range, None) => range,
    };
    // An empty part's range cannot be written.
    let content_range = asked
        .as_ref()
        .filter(|range| !range.is_empty())
        .map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1));
    Ok(Selection { range: asked.unwrap_or(0..size), content_range })
}

fn part_range(found: &Found, number: i32) -> Result<std::ops::Range<u64>, S3Error> {
    let invalid = || {
        let error = errors::custom("InvalidPartNumber", "The requested partnumber is not satisfiable");
        errors::with_status(error, http::StatusCode::RANGE_NOT_SATISFIABLE)
    };
    let wanted = u16::try_from(number).ok().filter(|number| *number >= 1).ok_or_else(invalid)?;
    let Some(manifest) = &found.manifest else {
        return if wanted == 1 { Ok(0..found.object.size) } else { Err(invalid()) };
    };
    let mut start = 0;
    // Parts count from one here, whatever numbers they were uploaded under.
    for (at, (_, part)) in (1_u16..).zip(&manifest.parts) {
        if at == wanted {
            return Ok(start..start + part.size);
        }
        start += part.size;
    }
    Err(invalid())
}

/// With the validators that a 304 carries too.
fn not_modified(error: S3Error, object: &ObjectRow) -> S3Error {
    if error.code() != &S3ErrorCode::NotModified {
        return error;
    }
    let mut error = error;
    let mut headers = http::HeaderMap::new();
    if let Ok(etag) = ETag::Strong(object.etag.clone()).to_http_header() {
        headers.insert(http::header::ETAG, etag);
    }
    if let Some(date) = http_date(&timestamp(object.modified_ms)) {
        headers.insert(http::header::LAST_MODIFIED, date);
    }
    error.set_headers(headers);
    error
}

/// A moment as HTTP headers write it.
pub(crate) fn http_date(timestamp: &Timestamp) -> Option<http::HeaderValue> {
    let mut text = Vec::new();
    timestamp.format(TimestampFormat::HttpDate, &mut text).ok()?;
    http::HeaderValue::from_bytes(&text).ok()
}

/// What a read answers, its bytes included unless only the head is wanted.
async fn read(
    service: &Arc<Service>,
    reading: Reading,
    part_number: Option<i32>,
    with_checksum: bool,
) -> Result<GetObjectOutput, S3Error> {
    let (caller, head) = (reading.caller.clone(), reading.without_bytes);
    let found = service.fetch(reading).await?;
    let row = found.object.clone();
    caller.read.conditions.check_read(row.validators()).map_err(|error| not_modified(error, &row))?;
    let chosen = select(&caller, &found, part_number)?;
    let whole = chosen.range == (0..row.size);
    let checksum = checksums::spread(row.checksum.as_ref().filter(|_| with_checksum && whole));
    let parts_count = match row.content {
        Content::Parts { count, .. } if part_number.is_some() => i32::try_from(count).ok(),
        _ => None,
    };
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(chosen.range.end - chosen.range.start).ok(),
        content_range: chosen.content_range,
        content_type: Some(row.description.content_type()),
        expires: row.description.expires(),
        cache_control: row.description.cache_control,
        content_disposition: row.description.content_disposition,
        content_encoding: row.description.content_encoding,
        content_language: row.description.content_language,
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        parts_count,
        version_id: found.version_id.clone(),
        expiration: found.expiration.clone(),
        e_tag: Some(ETag::Strong(row.etag)),
        last_modified: Some(timestamp(row.modified_ms)),
        metadata: Some(row.description.metadata.into_iter().collect()),
        storage_class: row.description.storage_class.map(StorageClass::from),
        tag_count: i32::try_from(row.tags.len()).ok().filter(|count| *count > 0),
        website_redirect_location: row.description.website_redirect_location,
        body: (!head).then(|| StreamingBlob::new(found.download(service, &chosen.range))),
        ..GetObjectOutput::default()
    })
}

/// GetObject.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let (bucket, target) = (input.bucket, Target::new(input.key, input.version_id.as_deref())?);
    let action = Action::GET_OBJECT;
    let reading = Reading { caller, bucket, target, action, is_source: false, without_bytes: false };
    Ok(S3Response::new(read(service, reading, input.part_number, input.checksum_mode.is_some()).await?))
}

/// HeadObject.
pub(crate) async fn head(
    service: &Arc<Service>,
    mut request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let (bucket, target) = (input.bucket, Target::new(input.key, input.version_id.as_deref())?);
    let action = Action::GET_OBJECT;
    let reading = Reading { caller, bucket, target, action, is_source: false, without_bytes: true };
    let output = read(service, reading, input.part_number, input.checksum_mode.is_some()).await?;
    // A HEAD takes the same overrides as the GET that it stands for.
    let status = if output.content_range.is_some() { http::StatusCode::PARTIAL_CONTENT } else { http::StatusCode::OK };
    let head = HeadObjectOutput {
        accept_ranges: output.accept_ranges,
        content_length: output.content_length,
        content_range: output.content_range,
        content_type: input.response_content_type.or(output.content_type),
        expires: input.response_expires.or(output.expires),
        cache_control: input.response_cache_control.or(output.cache_control),
        content_disposition: input.response_content_disposition.or(output.content_disposition),
        content_encoding: input.response_content_encoding.or(output.content_encoding),
        content_language: input.response_content_language.or(output.content_language),
        checksum_crc32: output.checksum_crc32,
        checksum_crc32c: output.checksum_crc32c,
        checksum_crc64nvme: output.checksum_crc64nvme,
        checksum_sha1: output.checksum_sha1,
        checksum_sha256: output.checksum_sha256,
        checksum_type: output.checksum_type,
        parts_count: output.parts_count,
        version_id: output.version_id,
        expiration: output.expiration,
        e_tag: output.e_tag,
        last_modified: output.last_modified,
        metadata: output.metadata,
        storage_class: output.storage_class,
        website_redirect_location: output.website_redirect_location,
        ..HeadObjectOutput::default()
    };
    Ok(door::with_status(head, status))
}
