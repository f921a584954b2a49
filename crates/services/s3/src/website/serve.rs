//! Serving a website.
//!
//! Invariants:
//! - Everybody is anonymous here: what no policy or ACL opens to the public answers 403.
//! - The error document comes with the error's status, never with 200.
//! - Only GET and HEAD; everything else is 405.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::{Call, Identity, Principal};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode, request};
use http_body_util::BodyExt as _;
use s3s::S3Error;
use s3s::dto::{ETag, StreamingBlob};

use super::configuration::Website;
use super::routing::{self, Reached, Target};
use crate::authorisation::Action;
use crate::conditions::ReadHeaders;
use crate::door::{self, Caller};
use crate::objects;
use crate::objects::get::{Found, Reading, http_date};
use crate::rows::ObjectRow;
use crate::service::{self, Service, timestamp};
use crate::{Body, errors};

/// A request to a website, once it is known to have one.
struct Visit<'a> {
    service: &'a Arc<Service>,
    caller: Caller,
    bucket: &'a str,
    head: bool,
}

/// Answers a request to the website of `bucket`.
pub(crate) async fn answer(
    service: &Arc<Service>,
    call: &Call,
    bucket: &str,
    parts: &request::Parts,
) -> Response<Body> {
    service.requests.fetch_add(1, Ordering::Relaxed);
    let identity = Identity { principal: Principal::Anonymous, account: call.account().clone() };
    let mut caller = Caller::new(Call { identity, ..call.clone() }, ReadHeaders::take(&mut parts.headers.clone()));
    caller.is_visitor = true;
    let head = parts.method == Method::HEAD;
    let visit = Visit { service, caller, bucket, head };
    let mut response = if head || parts.method == Method::GET {
        visit.answer(parts.uri.path()).await
    } else {
        let mut response = visit.error_page(&errors::method_not_allowed(), None);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    };
    if response.status() == StatusCode::FORBIDDEN {
        service.denied.fetch_add(1, Ordering::Relaxed);
    }
    let request_id = &call.request_id.0;
    door::identify(response.headers_mut(), request_id, &door::host_id(request_id));
    response
}

impl Visit<'_> {
    fn reached(&self) -> Reached<'_> {
        let endpoint = &self.caller.call.endpoint;
        Reached { scheme: endpoint.scheme, authority: &endpoint.authority }
    }

    async fn answer(&self, path: &str) -> Response<Body> {
        let website = match self.website().await {
            Ok(website) => website,
            Err(error) => return self.error_page(&error, None),
        };
        let Ok(key) = percent_encoding::percent_decode_str(path.trim_start_matches('/')).decode_utf8() else {
            return self
                .error_page(&errors::error(s3s::S3ErrorCode::InvalidURI, "Couldn't parse the specified URI."), None);
        };
        match website {
            Website::RedirectAll { host, protocol } => {
                let scheme = protocol.as_deref().unwrap_or(self.reached().scheme);
                redirect(&Target { status: 301, location: format!("{scheme}://{host}{path}") })
            }
            Website::Serve { index, error, rules } => {
                if let Some(target) = routing::route(&rules, &key, None, self.reached()) {
                    return redirect(&target);
                }
                let failure = match self.serve(&key, &index).await {
                    Ok(response) => return response,
                    Err(failure) => failure,
                };
                let status = failure.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                if let Some(target) = routing::route(&rules, &key, Some(status.as_u16()), self.reached()) {
                    return redirect(&target);
                }
                self.error_document(error.as_deref(), failure, &key).await
            }
        }
    }

    async fn website(&self) -> Result<Website, S3Error> {
        let bucket = self.bucket.to_owned();
        let row = self.service.read(move |view| service::bucket(view, &bucket)).await?;
        row.website.ok_or_else(errors::no_such_website)
    }

    async fn fetch(&self, key: &str, without_bytes: bool) -> Result<Found, S3Error> {
        let reading = Reading {
            caller: self.caller.clone(),
            bucket: self.bucket.to_owned(),
            target: objects::Target::current(key.to_owned()),
            action: Action::GET_OBJECT,
            is_source: false,
            without_bytes,
        };
        self.service.fetch(reading).await
    }

    /// The object under a key, or the index document of a directory.
    async fn serve(&self, key: &str, index: &str) -> Result<Response<Body>, S3Error> {
        if key.is_empty() || key.ends_with('/') {
            let found = self.fetch(&format!("{key}{index}"), self.head).await?;
            return self.object(found);
        }
        let failure = match self.fetch(key, self.head).await {
            Ok(found) => return self.object(found),
            Err(failure) => failure,
        };
        // A directory without its slash: relative links work only from the right address.
        if self.fetch(&format!("{key}/{index}"), true).await.is_ok() {
            return Ok(redirect(&Target { status: 302, location: routing::path(&format!("{key}/")) }));
        }
        Err(failure)
    }

    fn object(&self, found: Found) -> Result<Response<Body>, S3Error> {
        let row = found.object.clone();
        if let Some(to) = &row.description.website_redirect_location {
            return Ok(redirect(&Target { status: 301, location: to.clone() }));
        }
        let mut response = Response::new(door::empty());
        describe(response.headers_mut(), &row);
        let read = &self.caller.read;
        if let Err(error) = read.conditions.check_read(row.validators()) {
            if error.code() != &s3s::S3ErrorCode::NotModified {
                return Err(error);
            }
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        let range = read.range(row.size, row.validators())?;
        if let Some(range) = &range {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), row.size);
            header(response.headers_mut(), http::header::CONTENT_RANGE, &text);
        }
        let range = range.unwrap_or(0..row.size);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        if !self.head {
            *response.body_mut() = self.stream(found, &range);
        }
        Ok(response)
    }

    fn stream(&self, found: Found, range: &std::ops::Range<u64>) -> Body {
        s3s::Body::from(StreamingBlob::new(found.download(self.service, range))).boxed_unsync()
    }

    /// The configured error document for client errors, else S3's own page.
    async fn error_document(&self, document: Option<&str>, failure: S3Error, key: &str) -> Response<Body> {
        let status = failure.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (Some(document), true) = (document, status.is_client_error()) else {
            return self.error_page(&failure, Some(key));
        };
        match self.fetch(document, self.head).await {
            Ok(found) => {
                let row = found.object.clone();
                let mut response = Response::new(door::empty());
                *response.status_mut() = status;
                describe(response.headers_mut(), &row);
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(row.size));
                if !self.head {
                    *response.body_mut() = self.stream(found, &(0..row.size));
                }
                response
            }
            Err(error) => self.page(&failure, Some(key), Some((document, &error))),
        }
    }

    fn error_page(&self, failure: &S3Error, key: Option<&str>) -> Response<Body> {
        self.page(failure, key, None)
    }

    /// S3's HTML page for an error.
    fn page(&self, failure: &S3Error, key: Option<&str>, document: Option<(&str, &S3Error)>) -> Response<Body> {
        let status = failure.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let html = page(status, failure, &Facts { visit: self, key, document });
        let mut response = Response::new(door::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        header(headers, HeaderName::from_static("x-amz-error-code"), failure.code().as_str());
        header(headers, HeaderName::from_static("x-amz-error-message"), failure.message().unwrap_or_default());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(html.len()));
        if !self.head {
            *response.body_mut() = door::full(Bytes::from(html));
        }
        response
    }
}

struct Facts<'a> {
    visit: &'a Visit<'a>,
    key: Option<&'a str>,
    document: Option<(&'a str, &'a S3Error)>,
}

fn page(status: StatusCode, failure: &S3Error, facts: &Facts<'_>) -> String {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let item = |name: &str, value: &str| format!("<li>{name}: {}</li>\n", errors::escape(value));
    let mut items = item("Code", failure.code().as_str());
    items += &item("Message", failure.message().unwrap_or_default());
    match (failure.code().as_str(), facts.key) {
        ("NoSuchKey", Some(key)) => items += &item("Key", key),
        ("NoSuchBucket" | "NoSuchWebsiteConfiguration", _) => items += &item("BucketName", facts.visit.bucket),
        _ => {}
    }
    let request_id = &facts.visit.caller.call.request_id.0;
    items += &item("RequestId", request_id);
    items += &item("HostId", &door::host_id(request_id));
    let mut html =
        format!("<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{items}</ul>\n");
    if let Some((key, error)) = facts.document {
        html += "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n";
        html += &item("Code", error.code().as_str());
        html += &item("Message", error.message().unwrap_or_default());
        html += &item("Key", key);
        html += "</ul>\n";
    }
    html + "<hr/>\n</body>\n</html>\n"
}

/// The headers that an object brings along.
fn describe(headers: &mut HeaderMap, row: &ObjectRow) {
    let description = &row.description;
    header(headers, CONTENT_TYPE, &description.content_type());
    let optional = [
        (http::header::CACHE_CONTROL, &description.cache_control),
        (http::header::CONTENT_DISPOSITION, &description.content_disposition),
        (http::header::CONTENT_ENCODING, &description.content_encoding),
        (http::header::CONTENT_LANGUAGE, &description.content_language),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            header(headers, name, value);
        }
    }
    for (name, value) in &description.metadata {
        if let Ok(name) = HeaderName::try_from(format!("x-amz-meta-{name}")) {
            header(headers, name, value);
        }
    }
    if let Some(date) = description.expires().as_ref().and_then(http_date) {
        headers.insert(http::header::EXPIRES, date);
    }
    if let Some(date) = http_date(&timestamp(row.modified_ms)) {
        headers.insert(http::header::LAST_MODIFIED, date);
    }
    if let Ok(etag) = ETag::Strong(row.etag.clone()).to_http_header() {
        headers.insert(http::header::ETAG, etag);
    }
    headers.insert(http::header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Sets a header whose value can be one; others are left out.
fn header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn redirect(target: &Target) -> Response<Body> {
    let mut response = Response::new(door::empty());
    *response.status_mut() = StatusCode::from_u16(target.status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    header(response.headers_mut(), LOCATION, &target.location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
}
