//! AWS's codes and sentences for S3, and the finish that every answer gets.
//!
//! Invariants:
//! - This file alone knows S3's error codes and wording.
//! - What the disk or the store says goes to the log with the request id, never to the client.
//! - Every answer carries `x-amz-request-id` and `x-amz-id-2`; every error body repeats them.

use bytes::Bytes;
use s3s::{S3Error, S3ErrorCode};

/// The header that tells of a delete marker.
pub(crate) const DELETE_MARKER: &str = "x-amz-delete-marker";

/// A failure below S3's own rules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What the client is told.
    #[error(transparent)]
    Told(#[from] S3Error),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] store::StoreError),
}

impl From<Failure> for S3Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Told(error) => error,
            Failure::Store(error) => internal("store", &error),
        }
    }
}

/// Logs what went wrong and gives the client S3's InternalError.
pub(crate) fn internal(part: &'static str, error: &(dyn std::error::Error + 'static)) -> S3Error {
    tracing::error!(part, error = %error, "a request failed inside");
    S3Error::with_message(S3ErrorCode::InternalError, "We encountered an internal error. Please try again.")
}

/// Logs a failed file operation; a full disk is told as such, since the client can wait or make room.
pub(crate) fn disk(error: &std::io::Error) -> S3Error {
    if error.kind() == std::io::ErrorKind::StorageFull {
        tracing::error!(error = %error, "the disk is full");
        return with_status(
            custom("InsufficientStorage", "There is not enough space left to store the object."),
            http::StatusCode::INSUFFICIENT_STORAGE,
        );
    }
    internal("disk", error)
}

/// What a client's failed body comes to. A body that was refused on its way (a chunk's signature, a trailer) fails with
/// the [`wire::ApiError`] to tell; anything else is a connection that broke.
pub(crate) fn body(error: &s3s::StdError) -> S3Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        if let Some(told) = error.downcast_ref::<wire::ApiError>() {
            return api(told);
        }
        cause = error.source();
    }
    tracing::debug!(error = %error, "a request's body broke off");
    incomplete_body()
}

/// An error that another part already put in AWS's terms.
fn api(told: &wire::ApiError) -> S3Error {
    let code = S3ErrorCode::from_bytes(told.code.as_bytes()).unwrap_or(S3ErrorCode::InvalidRequest);
    let error = S3Error::with_message(code, told.message.clone());
    with_status(error, http::StatusCode::from_u16(told.status).unwrap_or(http::StatusCode::BAD_REQUEST))
}

/// The same in the other direction, for callers inside Millpond.
pub(crate) fn to_api(error: &S3Error) -> wire::ApiError {
    let status = error.status_code().unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR).as_u16();
    let (code, message) = (error.code().as_str().to_owned(), error.message().unwrap_or_default());
    let told =
        if status >= 500 { wire::ApiError::receiver(code, message) } else { wire::ApiError::sender(code, message) };
    told.with_status(status)
}

/// An error of ours with S3's code and a sentence.
pub(crate) fn error(code: S3ErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(code, message)
}

pub(crate) fn custom(code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

pub(crate) fn with_status(mut error: S3Error, status: http::StatusCode) -> S3Error {
    error.set_status_code(status);
    error
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $message:literal;)*) => {
        $($(#[$doc])* pub(crate) fn $name() -> S3Error { error(S3ErrorCode::$code, $message) })*
    };
}

errors! {
    access_denied = AccessDenied, "Access Denied";
    no_such_bucket = NoSuchBucket, "The specified bucket does not exist";
    no_such_key = NoSuchKey, "The specified key does not exist.";
    no_such_upload = NoSuchUpload, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    no_such_version = NoSuchVersion, "The specified version does not exist.";
    invalid_version_id = InvalidArgument, "Invalid version id specified";
    no_versioning_status = IllegalVersioningConfigurationException, "The Versioning element must be specified";
    versions_left = BucketNotEmpty, "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
    no_such_bucket_policy = NoSuchBucketPolicy, "The bucket policy does not exist";
    no_lifecycle = NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist";
    no_such_tag_set = NoSuchTagSet, "The TagSet does not exist";
    no_such_website = NoSuchWebsiteConfiguration, "The specified bucket does not have a website configuration";
    no_ownership_controls = OwnershipControlsNotFoundError, "The bucket ownership controls were not found";
    bucket_already_exists = BucketAlreadyExists, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
    bucket_already_owned = BucketAlreadyOwnedByYou, "Your previous request to create the named bucket succeeded and you already own it.";
    bucket_not_empty = BucketNotEmpty, "The bucket you tried to delete is not empty";
    invalid_bucket_name = InvalidBucketName, "The specified bucket is not valid.";
    precondition_failed = PreconditionFailed, "At least one of the pre-conditions you specified did not hold";
    not_modified = NotModified, "Not Modified";
    invalid_range = InvalidRange, "The requested range is not satisfiable";
    invalid_digest = InvalidDigest, "The Content-MD5 you specified was invalid.";
    bad_digest = BadDigest, "The Content-MD5 you specified did not match what we received.";
    incomplete_body = IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header.";
    entity_too_large = EntityTooLarge, "Your proposed upload exceeds the maximum allowed size";
    entity_too_small = EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size";
    key_too_long = KeyTooLongError, "Your key is too long";
    metadata_too_large = MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size";
    invalid_part = InvalidPart, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
    invalid_part_order = InvalidPartOrder, "The list of parts was not in ascending order. Parts must be ordered by part number.";
    malformed_xml = MalformedXML, "The XML you provided was not well-formed or did not validate against our published schema";
    acl_not_supported = AccessControlListNotSupported, "The bucket does not allow ACLs";
    invalid_storage_class = InvalidStorageClass, "The storage class you specified is not valid";
    method_not_allowed = MethodNotAllowed, "The specified method is not allowed against this resource.";
    slow_down = SlowDown, "Please reduce your request rate.";
    message_too_long = MaxMessageLengthExceeded, "Your request was too big.";
}

/// Tells that a delete marker stands where an object was looked for, and which.
pub(crate) fn of_delete_marker(mut error: S3Error, version_id: &str, modified: Option<http::HeaderValue>) -> S3Error {
    let mut headers = http::HeaderMap::new();
    headers.insert(DELETE_MARKER, http::HeaderValue::from_static("true"));
    if let Ok(version_id) = http::HeaderValue::from_str(version_id) {
        headers.insert("x-amz-version-id", version_id);
    }
    if let Some(modified) = modified {
        headers.insert(http::header::LAST_MODIFIED, modified);
        headers.insert(http::header::ALLOW, http::HeaderValue::from_static("DELETE"));
    }
    error.set_headers(headers);
    error
}

/// `NoSuchPublicAccessBlockConfiguration`, 404.
pub(crate) fn no_public_access_block() -> S3Error {
    with_status(
        custom("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found"),
        http::StatusCode::NOT_FOUND,
    )
}

/// `ServerSideEncryptionConfigurationNotFoundError`, 404.
pub(crate) fn no_encryption() -> S3Error {
    let code = S3ErrorCode::ServerSideEncryptionConfigurationNotFoundError;
    with_status(error(code, "The server side encryption configuration was not found"), http::StatusCode::NOT_FOUND)
}

/// `InvalidArgument` with the sentence for one argument.
pub(crate) fn invalid_argument(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    error(S3ErrorCode::InvalidArgument, message)
}

/// `InvalidRequest`.
pub(crate) fn invalid_request(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    error(S3ErrorCode::InvalidRequest, message)
}

/// A copy of an object onto itself that changes nothing.
pub(crate) fn copy_changes_nothing() -> S3Error {
    invalid_request(
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
         metadata, storage class, website redirect location or encryption attributes.",
    )
}

/// A copy of a delete marker that was named by its version.
pub(crate) fn source_is_delete_marker() -> S3Error {
    invalid_request("The source of a copy request may not specifically refer to a delete marker by version id.")
}

/// `InvalidTag`.
pub(crate) fn invalid_tag(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    error(S3ErrorCode::InvalidTag, message)
}

/// `NotImplemented`: what Millpond refuses rather than pretends.
pub(crate) fn not_implemented(what: &str) -> S3Error {
    error(
        S3ErrorCode::NotImplemented,
        format!("A header or parameter you provided implies functionality that is not implemented: {what}"),
    )
}

/// The same precondition error, naming the condition as AWS does in `<Condition>`'s place.
pub(crate) fn bad_checksum(algorithm: &str) -> S3Error {
    error(S3ErrorCode::BadDigest, format!("The {algorithm} you specified did not match the calculated checksum."))
}

/// The sentence for a code that came without one.
fn sentence(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "KeyTooLongError" => "Your key is too long",
        "MalformedXML" => "The XML you provided was not well-formed or did not validate against our published schema",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        "InternalError" => "We encountered an internal error. Please try again.",
        "InvalidRange" => "The requested range is not satisfiable",
        _ => "The request is not valid.",
    }
}

/// What an error body says beside its code and sentence.
pub(crate) struct Finish<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) host_id: &'a str,
    pub(crate) bucket: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    /// The version that the request names.
    pub(crate) version_id: Option<&'a str>,
    /// The request's method, where it met a delete marker.
    pub(crate) on_delete_marker: Option<&'a str>,
}

/// Adds what AWS's error bodies carry to one that lacks it: the sentence, the resource and the ids.
pub(crate) fn finish_body(body: &[u8], finish: &Finish<'_>) -> Option<Bytes> {
    let text = std::str::from_utf8(body).ok()?;
    let head = text.trim_end().strip_suffix("</Error>")?;
    let code = head.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let mut xml = head.to_owned();
    if !head.contains("<Message>") {
        element(&mut xml, "Message", sentence(code));
    }
    match (code, finish.bucket, finish.key) {
        ("NoSuchKey", _, Some(key)) => element(&mut xml, "Key", key),
        ("NoSuchVersion", _, Some(key)) => {
            element(&mut xml, "Key", key);
            element(&mut xml, "VersionId", finish.version_id.unwrap_or_default());
        }
        ("MethodNotAllowed", ..) if finish.on_delete_marker.is_some() => {
            element(&mut xml, "Method", finish.on_delete_marker.unwrap_or_default());
            element(&mut xml, "ResourceType", "DeleteMarker");
        }
        (code, Some(bucket), _) if code.contains("Bucket") || code.starts_with("NoSuch") => {
            element(&mut xml, "BucketName", bucket);
        }
        _ => {}
    }
    element(&mut xml, "RequestId", finish.request_id);
    element(&mut xml, "HostId", finish.host_id);
    xml.push_str("</Error>");
    Some(xml.into())
}

fn element(xml: &mut String, name: &str, value: &str) {
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
    xml.push_str(&escape(value));
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

/// Text for XML or HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 cannot hold other control characters, not even escaped.
            c if c < ' ' && !matches!(c, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Finish<'_> =
        Finish { request_id: "", host_id: "", bucket: None, key: None, version_id: None, on_delete_marker: None };

    #[test]
    fn an_error_body_gains_its_sentence_resource_and_ids() {
        let finish =
            Finish { request_id: "r-1", host_id: "h-1", bucket: Some("pictures"), key: Some("a<b"), ..NOTHING };
        let body = finish_body(b"<Error><Code>NoSuchKey</Code></Error>", &finish).unwrap();
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            "<Error><Code>NoSuchKey</Code><Message>The request is not valid.</Message><Key>a&lt;b</Key>\
             <RequestId>r-1</RequestId><HostId>h-1</HostId></Error>"
        );
    }

    #[test]
    fn a_body_that_is_no_error_is_left_alone() {
        let finish = Finish { request_id: "r-1", host_id: "h-1", ..NOTHING };
        assert_eq!(finish_body(b"hello", &finish), None);
    }
}
