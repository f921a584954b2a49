//! The way in and out: from an HTTP request to what `s3s` expects, and from its answer to what AWS answers.
//!
//! Invariants:
//! - Virtual-host requests become path-style ones here; nobody behind looks at the Host header.
//! - Parameters that imply what is not there are refused here, once, for all operations.
//! - XML documents are read whole, bounded each and all together, and held against `Content-MD5` and checksums before anybody parses them.
//! - Every answer leaves through [`finish`].

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::Call;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, SERVER, TRANSFER_ENCODING};
use http::{Method, StatusCode, Uri, request};
use http_body_util::BodyExt as _;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response};
use tokio::sync::OwnedSemaphorePermit;

use crate::api_impl::Api;
use crate::checksums::{Expected, Hasher};
use crate::conditions::ReadHeaders;
use crate::errors::{self, Finish};
use crate::host::Addressing;
use crate::service::Service;
use crate::versions::VersionId;
use crate::{Body, BoxError};

/// A CompleteMultipartUpload of 10,000 parts with checksums takes some 2 MiB; nothing is larger.
const XML_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What the documents of all requests together may hold: anybody may begin to send one before he is asked who he is,
/// and parsed it takes several times its size.
pub(crate) const DOCUMENTS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Asks for encryption at rest.
static SSE: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");

/// Headers that imply what is not there; each is refused by its prefix.
const REFUSED_HEADERS: [(&str, &str); 5] = [
    ("x-amz-server-side-encryption", "server-side encryption"),
    ("x-amz-copy-source-server-side-encryption", "server-side encryption"),
    ("x-amz-object-lock", "object lock"),
    ("x-amz-write-offset-bytes", "appending to objects"),
    ("x-amz-optional-object-attributes", "restore status"),
];

/// Who asks, and what its headers said that `s3s` does not carry.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) call: Call,
    pub(crate) read: ReadHeaders,
    pub(crate) expected: Expected,
    /// Whether this is somebody who looks at a website.
    pub(crate) is_visitor: bool,
    trailers: Option<wire::aws_chunked::Trailers>,
    expected_bucket_owner: Option<String>,
    expected_source_owner: Option<String>,
}

impl Caller {
    /// The caller of a request that came through [`handle`].
    pub(crate) fn of<T>(request: &mut S3Request<T>) -> Result<Self, S3Error> {
        request.extensions.remove::<Self>().ok_or_else(|| {
            tracing::error!("a request reached an operation without its caller");
            S3ErrorCode::InternalError.into()
        })
    }

    /// A caller who did not come through [`handle`].
    pub(crate) fn new(call: Call, read: ReadHeaders) -> Self {
        Self {
            call,
            read,
            expected: Expected::default(),
            is_visitor: false,
            trailers: None,
            expected_bucket_owner: None,
            expected_source_owner: None,
        }
    }

    /// A trailing header, once the body has ended.
    pub(crate) fn trailer(&self, name: &str) -> Option<String> {
        Some(self.trailers.as_ref()?.get()?.get(name)?.to_str().ok()?.trim().to_owned())
    }

    /// `x-amz-expected-bucket-owner`: 403 where the bucket belongs to somebody else.
    pub(crate) fn check_owner(&self, owner: &str) -> Result<(), S3Error> {
        check_owner(self.expected_bucket_owner.as_deref(), owner)
    }

    /// `x-amz-source-expected-bucket-owner`.
    pub(crate) fn check_source_owner(&self, owner: &str) -> Result<(), S3Error> {
        check_owner(self.expected_source_owner.as_deref(), owner)
    }
}

fn check_owner(expected: Option<&str>, owner: &str) -> Result<(), S3Error> {
    if expected.is_some_and(|expected| expected != owner) { Err(errors::access_denied()) } else { Ok(()) }
}

/// The service that turns HTTP into operations.
pub(crate) fn wire(service: &Arc<Service>) -> S3Service {
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    // Browser forms are refused before they get there.
    config.post_object_max_file_size = 0;
    let mut builder = S3ServiceBuilder::new(Api(Arc::clone(service)));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

/// Answers one request.
pub(crate) async fn handle<B>(
    service: &Arc<Service>,
    wire: &S3Service,
    call: Call,
    request: http::Request<B>,
) -> http::Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    service.requests.fetch_add(1, Ordering::Relaxed);
    let request_id = call.request_id.0.clone();
    let (mut parts, body) = request.into_parts();
    let (response, asked) = match to_path_style(service, &mut parts).await {
        Ok(()) => {
            let asked = Asked { method: parts.method.clone(), uri: parts.uri.clone() };
            (answer(service, wire, call, parts, body).await, asked)
        }
        Err(error) => (told(error), Asked { method: parts.method, uri: parts.uri }),
    };
    if response.status() == StatusCode::FORBIDDEN {
        service.denied.fetch_add(1, Ordering::Relaxed);
    }
    finish(response, &request_id, &asked)
}

/// What an answer's finish has to know of its request.
struct Asked {
    method: Method,
    /// Path style.
    uri: Uri,
}

async fn answer<B>(
    service: &Service,
    wire: &S3Service,
    call: Call,
    parts: request::Parts,
    body: B,
) -> http::Response<s3s::Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // The room of a document is given back with the answer: until then its parsed form is about.
    let (request, _room) = match prepare(service, call, parts, body).await {
        Ok(request) => request,
        Err(error) => return told(error),
    };
    match wire.call(request).await {
        Ok(response) => response,
        Err(error) => told(errors::internal("wire", BoxError::from(error).as_ref())),
    }
}

fn told(error: S3Error) -> http::Response<s3s::Body> {
    error.to_http_response().unwrap_or_else(|_| {
        let mut response = http::Response::new(s3s::Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Moves a bucket that the host names into the path.
async fn to_path_style(service: &Service, parts: &mut request::Parts) -> Result<(), S3Error> {
    let host = parts.headers.remove(HOST);
    let host = host.as_ref().and_then(|host| host.to_str().ok()).or_else(|| parts.uri.host()).unwrap_or_default();
    let bucket = match crate::host::parse(host, &service.base_domains) {
        Some(Addressing::VirtualHost { bucket, .. }) => Some(bucket),
        Some(Addressing::Unmarked { bucket }) => {
            let creates = parts.method == Method::PUT && parts.uri.path() == "/";
            (creates || service.bucket_exists(&bucket).await).then_some(bucket)
        }
        Some(Addressing::PathStyle { .. } | Addressing::Website { .. }) | None => None,
    };
    let path = parts.uri.path();
    let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let target = match bucket {
        Some(bucket) if !s3s::path::check_bucket_name(&bucket) => return Err(errors::invalid_bucket_name()),
        Some(bucket) => format!("/{bucket}{path}{query}"),
        None => format!("{path}{query}"),
    };
    parts.uri = target.parse::<Uri>().map_err(|_| S3Error::new(S3ErrorCode::InvalidURI))?;
    Ok(())
}

/// What `s3s` takes: refused parameters are gone, the caller is in the extensions, documents are read and checked.
async fn prepare<B>(
    service: &Service,
    call: Call,
    mut parts: request::Parts,
    body: B,
) -> Result<(http::Request<s3s::Body>, Option<OwnedSemaphorePermit>), S3Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    refuse_what_is_missing(&parts, &call)?;
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let text = |parts: &request::Parts, name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    let caller = Caller {
        call,
        read: if reads { ReadHeaders::take(&mut parts.headers) } else { ReadHeaders::default() },
        expected: Expected::from_headers(&parts.headers)?,
        is_visitor: false,
        trailers: parts.extensions.remove(),
        expected_bucket_owner: text(&parts, "x-amz-expected-bucket-owner"),
        expected_source_owner: text(&parts, "x-amz-source-expected-bucket-owner"),
    };
    let mut room = None;
    let body = if reads {
        s3s::Body::empty()
    } else if takes_a_document(&parts) {
        let (document, taken) = document(service, body, &caller).await?;
        room = taken;
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        s3s::Body::from(document)
    } else {
        s3s::Body::http_body_unsync(body.map_err(Into::<BoxError>::into))
    };
    parts.extensions.insert(caller);
    Ok((http::Request::from_parts(parts, body), room))
}

fn refuse_what_is_missing(parts: &request::Parts, call: &Call) -> Result<(), S3Error> {
    for (name, value) in &parts.headers {
        // Encryption under keys of S3's own is what AWS does unasked, and `aws cloudformation package` asks for. Here it is
        // the disk's business: no answer says that an object is encrypted.
        if name == SSE && value.as_bytes() == b"AES256" {
            continue;
        }
        if let Some((_, what)) = REFUSED_HEADERS.iter().find(|(prefix, _)| name.as_str().starts_with(prefix)) {
            return Err(errors::not_implemented(what));
        }
    }
    let is = |name: &str, value: &str| {
        parts.headers.get(name).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    if is("x-amz-bucket-object-lock-enabled", "true") {
        return Err(errors::not_implemented("object lock"));
    }
    if parts.method == Method::POST
        && parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/form-data"))
    {
        return Err(errors::not_implemented(
            "uploads by browser forms (POST Object); use PutObject or a presigned URL",
        ));
    }
    for (name, value) in query(&parts.uri) {
        if name == "versionId" {
            check_version_id(parts, &value)?;
        }
        if name.starts_with("response-") && call.identity.is_anonymous() {
            return Err(errors::invalid_request(
                "Request specific response headers cannot be used for anonymous GET requests.",
            ));
        }
    }
    Ok(())
}

/// Whether the request is one that may name a version, and names one that was given out.
fn check_version_id(parts: &request::Parts, version_id: &str) -> Result<(), S3Error> {
    if version_id.is_empty() {
        return Err(errors::invalid_argument("Version id cannot be the empty string"));
    }
    let takes_one = match parts.method {
        Method::PUT => takes_a_document(parts),
        Method::POST => false,
        _ => true,
    };
    if !takes_one {
        return Err(errors::invalid_argument("This operation does not accept a version-id."));
    }
    VersionId::parse(version_id).map(drop).ok_or_else(errors::invalid_version_id)
}

/// The parameters of the query, decoded as `s3s` decodes them: what is judged here must be what is done there.
fn query(uri: &Uri) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(move |(name, value)| (decode(name), decode(value)))
}

/// Whether the body is a document rather than an object's or part's bytes.
fn takes_a_document(parts: &request::Parts) -> bool {
    const DOCUMENTS: [&str; 4] = ["acl", "tagging", "legal-hold", "retention"];
    let names_an_object =
        parts.uri.path().trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    parts.method != Method::PUT
        || !names_an_object
        || query(&parts.uri).any(|(name, _)| DOCUMENTS.contains(&name.as_ref()))
}

/// The whole document, and its share of [`DOCUMENTS_BYTES_MAX`].
async fn document<B>(
    service: &Service,
    body: B,
    caller: &Caller,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), S3Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut body = Box::pin(body);
    let mut document = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| errors::body(&error.into()))?;
        let Ok(data) = frame.into_data() else { continue };
        if document.len() + data.len() > XML_BYTES_MAX {
            return Err(errors::message_too_long());
        }
        // Nobody waits for room: those who stall would keep those who don't from ever getting any.
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let taken = Arc::clone(&service.documents).try_acquire_many_owned(bytes).map_err(|_| errors::slow_down())?;
        match &mut room {
            Some(room) => room.merge(taken),
            None => room = Some(taken),
        }
        document.extend_from_slice(&data);
    }
    let mut hasher = Hasher::new(caller.expected.algorithm);
    hasher.update(&document);
    caller.expected.compare(&hasher.finish(), |name| caller.trailer(name))?;
    Ok((document.freeze(), room))
}

/// A status that `s3s` does not give an operation by itself.
#[derive(Clone, Copy)]
struct Status(StatusCode);

/// An answer with a status of its own. (`s3s` ignores the one in `S3Response`.)
pub(crate) fn with_status<T>(output: T, status: StatusCode) -> S3Response<T> {
    let mut response = S3Response::new(output);
    response.extensions.insert(Status(status));
    response
}

/// The ids on every answer, and the rest of an error's body.
fn finish(response: http::Response<s3s::Body>, request_id: &str, asked: &Asked) -> http::Response<Body> {
    let host_id = host_id(request_id);
    let (mut parts, body) = response.into_parts();
    if let Some(Status(status)) = parts.extensions.remove() {
        parts.status = status;
    }
    let bodiless = asked.method == Method::HEAD || parts.status == StatusCode::NOT_MODIFIED;
    let failed = parts.status.is_client_error() || parts.status.is_server_error();
    let body = if bodiless && (failed || parts.status == StatusCode::NOT_MODIFIED) {
        parts.headers.remove(CONTENT_LENGTH);
        empty()
    } else if let Some(bytes) = body.bytes().filter(|_| failed) {
        let (bucket, key) = resource(asked.uri.path());
        let version_id = query(&asked.uri).find(|(name, _)| name == "versionId").map(|(_, version)| version);
        let finish = Finish {
            request_id,
            host_id: &host_id,
            bucket: bucket.as_deref(),
            key: key.as_deref(),
            version_id: version_id.as_deref(),
            on_delete_marker: parts.headers.contains_key(errors::DELETE_MARKER).then_some(asked.method.as_str()),
        };
        parts.headers.remove(CONTENT_LENGTH);
        full(errors::finish_body(&bytes, &finish).unwrap_or(bytes))
    } else {
        body.boxed_unsync()
    };
    identify(&mut parts.headers, request_id, &host_id);
    http::Response::from_parts(parts, body)
}

/// The bucket and key that a path-style path names.
fn resource(path: &str) -> (Option<String>, Option<String>) {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    match path.trim_start_matches('/').split_once('/') {
        Some((bucket, key)) => (Some(decode(bucket)), (!key.is_empty()).then(|| decode(key))),
        None => (Some(decode(path.trim_start_matches('/'))).filter(|bucket| !bucket.is_empty()), None),
    }
}

/// `x-amz-request-id`, `x-amz-id-2` and `Server`, which every answer of S3 carries.
pub(crate) fn identify(headers: &mut http::HeaderMap, request_id: &str, host_id: &str) {
    for (name, value) in [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
}

/// AWS's second request id; ours says nothing more than the first.
pub(crate) fn host_id(request_id: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(request_id)
}

/// A body of known bytes.
pub(crate) fn full(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}
