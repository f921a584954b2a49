//! Services whose requests are one document, JSON or a form: all but S3, and those that are not here.
//!
//! Invariant: a document is held whole, and within bounds, before its signature is checked; it is decoded after.

use std::borrow::Cow;

use api::{Call, Protocol};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response};
use iam::{AuthError, Parameters};
use tracing::info;
use wire::ApiError;

use super::body::{Body, BodyError, RequestBody};
use super::catalogue::Service;
use super::origin::{self, Effect};
use super::route;
use super::{Asked, FrontDoor, Trace, answer};

impl FrontDoor {
    /// Reads the document, authenticates it and lets its service answer. `operation` is there for the JSON protocols;
    /// in the Query protocol it stands in the form, and the service may as well.
    pub(super) async fn document(
        &self,
        asked: &mut Asked,
        service: impl Into<Option<Service>>,
        operation: Option<Box<str>>,
        body: RequestBody,
        trace: &mut Trace<'_>,
    ) -> Response<Body> {
        asked.call.protocol = match &operation {
            Some(_) => json_version(&asked.parts),
            None => Protocol::Query,
        };
        let service = service.into();
        let whole = match self.collect(body).await {
            Ok(whole) => whole,
            Err(error) => return unreadable(&service.unwrap_or(Service::Sqs), &asked.call, &error),
        };
        let (document, operation) = match (service, operation) {
            (Some(service), Some(operation)) => {
                trace.name(&service, &operation, asked.call.protocol);
                (whole.bytes.clone(), operation)
            }
            (service, _) => read_form(&asked.parts, &whole.bytes, service, trace),
        };
        let admitted = match self.admit_instance(asked, &trace.service, &operation).await {
            Some(admitted) => admitted,
            None => self.admit(asked, &trace.service, &whole.bytes),
        };
        if let Err(error) = admitted {
            info!(request_id = %trace.request_id, service = trace.service.name(), operation, code = %error.code, "refused");
            return answer::error(&trace.service, &asked.call, &error, &[]);
        }
        if let Err(error) = self.authorise(asked, &trace.service, &operation, &document) {
            info!(request_id = %trace.request_id, service = trace.service.name(), operation, code = %error.code, "refused");
            return answer::error(&trace.service, &asked.call, &error, &[]);
        }
        let (call, services) = (&asked.call, &self.services);
        // STS has no resource that a policy could open to everyone.
        if trace.service == Service::Sts && call.identity.is_anonymous() {
            return answer::error(&trace.service, call, &AuthError::missing_token(), &[]);
        }
        match services.answer(&trace.service, call, &operation, document).await {
            Some(encoded) => answer::from_encoded(encoded),
            None => {
                let error = answer::no_such_service(trace.service.name(), call.protocol);
                answer::error(&trace.service, call, &error, &[])
            }
        }
    }

    /// Holds a role's session to what its role may do.
    fn authorise(&self, asked: &Asked, service: &Service, operation: &str, document: &Bytes) -> Result<(), ApiError> {
        // Nobody else's document needs to be read twice.
        if asked.call.identity.session().is_none() || service.document().is_none() {
            return Ok(());
        }
        let parameters = match asked.call.protocol {
            Protocol::Json10 | Protocol::Json11 => Parameters::of_json(document),
            Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => Parameters::of_form(document),
        };
        self.services.sessions.authorise(&asked.call, service.name(), operation, &parameters)
    }

    /// Authenticates a request that is held whole and completes its call.
    fn admit(&self, asked: &mut Asked, service: &Service, body: &[u8]) -> Result<(), ApiError> {
        let was_local = self.is_local();
        let told = |error: AuthError| if *service == Service::Ec2 { error.to_ec2() } else { error.to_query() };
        let begun = self.authenticator.begin(&asked.parts, None).map_err(told)?;
        let proof = self.proof(begun.is_anonymous(), was_local);
        if let Some(region) = begun.region().or(asked.host.region.as_ref()) {
            asked.call.region = region.clone();
        }
        // A signature made for another service must command nothing here.
        let begun = match service.document() {
            Some(document) => begun.for_service(document.name).map_err(told)?,
            None => begun,
        };
        asked.call.identity = begun.finish(body).map_err(told)?;
        // Every operation counts as a change: in the Query protocol even a GET may be one.
        origin::check(&asked.parts, &asked.host, proof, Effect::Change, self.foreign_hosts()).map_err(answer::refusal)
    }
}

fn json_version(parts: &Parts) -> Protocol {
    match parts.headers.get(CONTENT_TYPE) {
        Some(kind) if kind.as_bytes().starts_with(b"application/x-amz-json-1.1") => Protocol::Json11,
        _ => Protocol::Json10,
    }
}

/// The form of a Query request and its action; tells `trace` the service.
fn read_form(parts: &Parts, body: &Bytes, service: Option<Service>, trace: &mut Trace<'_>) -> (Bytes, Box<str>) {
    let form = form(parts, body);
    let text = String::from_utf8_lossy(&form);
    let action = route::parameter(&text, "Action").unwrap_or_default();
    let version = route::parameter(&text, "Version").unwrap_or_default();
    // A form with no sign of any service: SQS is the one that people post to by hand.
    let service = service.or_else(|| Service::of_version(&version)).unwrap_or(Service::Sqs).in_version(&version);
    trace.name(&service, &action, Protocol::Query);
    let action = action.into();
    (form, action)
}

fn unreadable(service: &Service, call: &Call, error: &BodyError) -> Response<Body> {
    info!(request_id = %call.request_id, %error, "cannot read a request's body");
    answer::closing(answer::error(service, call, &answer::body_error(error), &[]))
}

/// The form of a Query request, without what only the signature needed.
fn form(parts: &Parts, body: &Bytes) -> Bytes {
    let has_action = |query: &&str| parts.method == Method::GET || route::parameter(query, "Action").is_some();
    let query = parts.uri.query().filter(has_action).map(without_authentication);
    match query {
        None => body.clone(),
        Some(query) if body.is_empty() => Bytes::from(query.into_owned()),
        Some(query) => Bytes::from([query.as_bytes(), body].join(&b'&')),
    }
}

fn without_authentication(query: &str) -> Cow<'_, str> {
    let is_ours = |pair: &&str| !pair.starts_with("X-Amz-");
    if query.split('&').all(|pair| is_ours(&pair)) {
        return query.into();
    }
    query.split('&').filter(is_ours).collect::<Vec<_>>().join("&").into()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn form_of(method: &str, uri: &str, body: &'static str) -> String {
        let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        String::from_utf8(form(&parts, &Bytes::from_static(body.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn a_form_is_found_in_the_body_in_the_url_or_in_both() {
        assert_eq!(form_of("POST", "/", "Action=A&B=1"), "Action=A&B=1");
        assert_eq!(form_of("GET", "/q?Action=A&B=1", ""), "Action=A&B=1");
        assert_eq!(form_of("POST", "/?Action=A", "B=1"), "Action=A&B=1");
        assert_eq!(form_of("POST", "/?X-Amz-Signature=x", "Action=A"), "Action=A");
        assert_eq!(form_of("GET", "/?Action=A&X-Amz-Signature=x&B=1&X-Amz-Date=y", ""), "Action=A&B=1");
    }
}
