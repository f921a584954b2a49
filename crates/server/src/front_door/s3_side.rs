//! S3 and websites: requests whose bodies stream through.
//!
//! Invariant: what S3 sees of a body has held against its signature, or ends in an error; nothing about
//! authentication is left in the head.

use api::{Call, Protocol};
use http::header::HOST;
use http::{HeaderValue, Method, Request, Response};
use iam::AuthError;
use tracing::info;
use wire::ApiError;

use super::body::{Body, RequestBody};
use super::catalogue::Service;
use super::host::Names;
use super::origin::{self, Effect, Proof};
use super::{Asked, FrontDoor, Trace, answer};

impl FrontDoor {
    /// A request to S3's API.
    pub(super) async fn s3(&self, mut asked: Asked, body: RequestBody, trace: &mut Trace<'_>) -> Response<Body> {
        trace.name(&Service::S3, asked.parts.method.as_str(), Protocol::RestXml);
        let bucket = match &asked.host.names {
            Names::S3 { bucket } => bucket.as_deref(),
            _ => None,
        };
        let was_local = self.is_local();
        let begun = match self.authenticator.begin(&asked.parts, bucket) {
            Ok(begun) => begun,
            Err(error) => return refuse(&asked.call, &error),
        };
        let proof = self.proof(begun.is_anonymous(), was_local);
        if let Some(region) = begun.region().or(asked.host.region.as_ref()) {
            asked.call.region = region.clone();
        }
        let (identity, body, trailers) = match begun.stream(body) {
            Ok(streaming) => streaming,
            Err(error) => return refuse(&asked.call, &error),
        };
        asked.call.identity = identity;
        if let Err(error) = self.check_origin(&asked, proof, effect(&asked.parts.method)) {
            return answer::closing(answer::error(&Service::S3, &asked.call, &error, &[]));
        }
        let Asked { mut parts, call, .. } = asked;
        wire::signature::strip(&mut parts);
        keep_host(&mut parts, &call);
        parts.extensions.insert(trailers);
        self.services.s3.handle(call, Request::from_parts(parts, body)).await.map(Body::stream)
    }

    /// A request to a bucket's website; nobody signs those.
    pub(super) async fn website(&self, asked: Asked, bucket: &str, trace: &mut Trace<'_>) -> Response<Body> {
        trace.name(&Service::S3, asked.parts.method.as_str(), Protocol::RestXml);
        trace.label = self.metrics.website();
        if let Err(error) = self.check_origin(&asked, Proof::None, effect(&asked.parts.method)) {
            return answer::closing(answer::error(&Service::S3, &asked.call, &error, &[]));
        }
        let Asked { parts, mut call, host, .. } = asked;
        if let Some(region) = host.region {
            call.region = region;
        }
        self.services.s3.website(call, bucket, Request::from_parts(parts, ())).await.map(Body::stream)
    }

    fn check_origin(&self, asked: &Asked, proof: Proof, effect: Effect) -> Result<(), ApiError> {
        origin::check(&asked.parts, &asked.host, proof, effect, self.foreign_hosts()).map_err(|refused| {
            info!(request_id = %asked.call.request_id, %refused, "refused");
            answer::refusal(refused)
        })
    }
}

fn effect(method: &Method) -> Effect {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Effect::Read,
        _ => Effect::Change,
    }
}

/// S3 looks for the bucket in the Host header; a request in absolute form may have come without one.
fn keep_host(parts: &mut http::request::Parts, call: &Call) {
    if !parts.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(&call.endpoint.authority)
    {
        parts.headers.insert(HOST, host);
    }
}

fn refuse(call: &Call, error: &AuthError) -> Response<Body> {
    let told = error.to_s3();
    info!(request_id = %call.request_id, code = %told.code, "refused");
    // The body was not read; what is left of it is not worth reading.
    answer::closing(answer::error(&Service::S3, call, &told, &error.s3_details()))
}
