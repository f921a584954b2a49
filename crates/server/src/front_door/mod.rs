//! The front door: one port, every service. Bounds a request, authenticates it, finds its service, and answers.
//!
//! Invariants:
//! - A service sees a request only with a [`Call`] made here, after its signature held.
//! - Every request is bounded in bytes, memory and time before anything is done for it; see [`Limits`].
//! - One request's panic is one request's 500.
//!
//! Knows of operations only their names.

pub mod answer;
pub mod body;
mod connection;
pub mod host;
pub mod listener;
pub mod origin;
mod pages;
mod request_id;
pub mod route;
mod s3_side;

use std::borrow::Cow;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ::host::Ids;
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{HOST, HeaderName, REFERER, USER_AGENT};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use iam::{AuthError, Authenticator};
use tokio::time::Instant;
use tracing::{debug, error, info};

use self::body::{Body, BodyError, Budget, InFlight, RequestBody, Whole};
use self::connection::{Connection, Connections};
use self::host::Host;
use self::origin::{Effect, ForeignHosts, Proof};
use self::request_id::RequestIds;
use self::route::{Route, Service};
use crate::config::{Config, Limits};
use crate::metrics::{self, Label, Metrics};
use crate::wiring::Services;

static TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Everything between a socket and a service.
pub struct FrontDoor {
    services: Services,
    authenticator: Authenticator,
    metrics: Metrics,
    connections: Arc<Connections>,
    budget: Arc<Budget>,
    request_ids: RequestIds,
    limits: Limits,
    base_domains: Vec<String>,
    default_region: Region,
    default_account: AccountId,
    allow_reset: bool,
}

/// A request's head, and what we found out about it so far.
struct Asked {
    parts: Parts,
    host: Host,
    call: Call,
}

/// What the log and the counters want to know of a request; counts it as cancelled if it is dropped unanswered.
struct Trace<'a> {
    metrics: &'a Metrics,
    label: Label,
    service: Service,
    protocol: Protocol,
    request_id: RequestId,
    started: Instant,
    is_answered: bool,
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.metrics.answered(self.label, StatusCode::from_u16(100).unwrap_or_default(), self.started.elapsed());
        }
    }
}

impl FrontDoor {
    /// A front door to a platform that is open.
    pub fn new(config: &Config, ids: &dyn Ids, services: Services, authenticator: Authenticator) -> Self {
        Self {
            request_ids: RequestIds::new(ids),
            services,
            authenticator,
            metrics: Metrics::default(),
            connections: Arc::new(Connections::new()),
            budget: Budget::new(config.limits.body_memory_max),
            limits: config.limits,
            base_domains: config.base_domains.clone(),
            default_region: config.region.clone(),
            default_account: config.account.clone(),
            allow_reset: config.allow_reset,
        }
    }

    /// The services behind the door.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Holds all connections to their limits for as long as it is polled.
    pub async fn watch_over_connections(&self) {
        connection::watch_over(self.connections.clone(), self.limits).await;
    }

    /// Lets every connection finish what is in flight; returns when all are closed.
    pub async fn drain(&self) {
        self.connections.drain().await;
    }

    /// Closes every connection at once.
    pub fn close_connections(&self) {
        self.connections.kill();
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn is_local(&self) -> bool {
        // When the store cannot say, the careful answer is the right one.
        self.authenticator.mode().is_ok_and(|mode| mode == iam::Mode::Local)
    }

    fn foreign_hosts(&self) -> ForeignHosts {
        if self.is_local() { ForeignHosts::Refused } else { ForeignHosts::ReadOnly }
    }

    async fn collect(&self, body: RequestBody) -> Result<Whole, BodyError> {
        body::collect(body, &self.limits, &self.budget).await
    }

    fn health(&self) -> String {
        crate::health::json(&self.services, &self.default_region, self.is_local())
    }

    fn metrics_text(&self) -> String {
        let mut text = metrics::Text::default();
        self.metrics.write(&mut text);
        text.one("millpond_connections", "gauge", "Connections open now.", self.connections.len());
        text.one("millpond_body_memory_bytes", "gauge", "Memory that request bodies take.", self.budget.taken());
        self.services.write_metrics(&mut text);
        metrics::write_process(&mut text);
        text.into_string()
    }

    /// Answers one request.
    async fn serve(&self, request: Request<Incoming>, peer: IpAddr, connection: Arc<Connection>) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        connection.request_begins(!incoming.is_end_stream());
        let in_flight = InFlight(connection.clone());
        let body = RequestBody::new(incoming, connection);
        let call = self.first_call(&parts, peer);
        let mut trace = Trace {
            metrics: &self.metrics,
            label: metrics::OWN,
            service: Service::S3,
            protocol: Protocol::RestXml,
            request_id: call.request_id.clone(),
            started: Instant::now(),
            is_answered: false,
        };
        let access = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| (parts.method.clone(), parts.uri.path().to_owned(), call.clone()));
        let answering = AssertUnwindSafe(self.answer(parts, call, body, &mut trace)).catch_unwind();
        let response = match answering.await {
            Ok(response) => response,
            Err(panic) => self.after_panic(&*panic, &trace),
        };
        trace.is_answered = true;
        let elapsed = trace.started.elapsed();
        self.metrics.answered(trace.label, response.status(), elapsed);
        if let Some((method, path, call)) = access {
            let (status, elapsed_us) = (response.status().as_u16(), u64::try_from(elapsed.as_micros()).unwrap_or(0));
            let service = trace.service.name();
            debug!(request_id = %call.request_id, %peer, %method, path, service, status, elapsed_us, "answered");
        }
        response.map(|body| body.holding(in_flight))
    }

    fn after_panic(&self, panic: &(dyn std::any::Any + Send), trace: &Trace<'_>) -> Response<Body> {
        self.metrics.panics.fetch_add(1, Relaxed);
        let message = crate::logging::panic_message(panic);
        error!(request_id = %trace.request_id, service = trace.service.name(), message, "a request panicked");
        let call = self.blank_call(trace.request_id.clone(), trace.protocol);
        // The request's body may be half read: nothing more can come over this connection.
        answer::closing(answer::error(&trace.service, &call, &answer::internal(), &[]))
    }

    async fn answer(&self, parts: Parts, call: Call, body: RequestBody, trace: &mut Trace<'_>) -> Response<Body> {
        let Some(authority) = authority(&parts) else {
            return answer::plain(StatusCode::BAD_REQUEST, "The request has no Host header, or one that is no text.");
        };
        let host = Host::parse(authority, &self.base_domains);
        let route = route::find(&parts, &host);
        let asked = Asked { parts, host, call };
        match route {
            Route::Own(page) => self.own_page(page, &asked.parts, &asked.host, body).await,
            Route::Json { service, operation } => self.json(asked, service, &operation, body, trace).await,
            Route::Query { service } => self.query(asked, service, body, trace).await,
            // S3's futures are large; boxed, they cost the other services nothing.
            Route::S3 => Box::pin(self.s3(asked, body, trace)).await,
            Route::Website { bucket } => Box::pin(self.website(asked, &bucket, trace)).await,
            Route::Elsewhere { service } => self.elsewhere(asked, &service, trace),
        }
    }

    /// A request of one of the JSON protocols.
    async fn json(
        &self,
        mut asked: Asked,
        service: Service,
        operation: &str,
        body: RequestBody,
        trace: &mut Trace<'_>,
    ) -> Response<Body> {
        asked.call.protocol = match asked.parts.headers.get(http::header::CONTENT_TYPE) {
            Some(kind) if kind.as_bytes().starts_with(b"application/x-amz-json-1.1") => Protocol::Json11,
            _ => Protocol::Json10,
        };
        trace.name(&service, operation, asked.call.protocol);
        let whole = match self.collect(body).await {
            Ok(whole) => whole,
            Err(error) => return unreadable(&service, &asked.call, &error),
        };
        let document = whole.bytes.clone();
        self.small_service(asked, service, operation, document, &whole).await
    }

    /// A request of the Query protocol: the form stands in the body, in the URL, or in both.
    async fn query(
        &self,
        mut asked: Asked,
        service: Option<Service>,
        body: RequestBody,
        trace: &mut Trace<'_>,
    ) -> Response<Body> {
        asked.call.protocol = Protocol::Query;
        trace.protocol = Protocol::Query;
        let whole = match self.collect(body).await {
            Ok(whole) => whole,
            Err(error) => return unreadable(&service.unwrap_or(Service::Sqs), &asked.call, &error),
        };
        let form = form(&asked.parts, &whole.bytes);
        let text = String::from_utf8_lossy(&form);
        let operation = route::parameter(&text, "Action").unwrap_or_default();
        let service = service
            .or_else(|| route::parameter(&text, "Version").and_then(|version| route::service_of_version(&version)))
            // A form with no sign of any service: SQS is the one that people post to by hand.
            .unwrap_or(Service::Sqs);
        trace.name(&service, &operation, Protocol::Query);
        self.small_service(asked, service, &operation, form.clone(), &whole).await
    }

    /// A service whose requests are held whole. `document` is what it decodes, `whole` what was signed.
    async fn small_service(
        &self,
        mut asked: Asked,
        service: Service,
        operation: &str,
        document: Bytes,
        whole: &Whole,
    ) -> Response<Body> {
        if let Err(error) = self.admit(&mut asked, &service, &whole.bytes) {
            info!(request_id = %asked.call.request_id, service = service.name(), operation, code = %error.code, "refused");
            return answer::error(&service, &asked.call, &error, &[]);
        }
        let (call, services) = (&asked.call, &self.services);
        match &service {
            Service::Sqs => answer::from_encoded(Box::pin(services.sqs.handle(call, operation, document)).await),
            // STS has no resource that a policy could open to everyone.
            Service::Sts if call.identity.is_anonymous() => {
                answer::error(&service, call, &AuthError::missing_token(), &[])
            }
            Service::Sts => answer::from_encoded(services.sts.handle(call, operation, document).await),
            other => {
                let error = answer::no_such_service(other.name(), asked.call.protocol);
                answer::error(other, &asked.call, &error, &[])
            }
        }
    }

    /// Authenticates a request that is held whole and completes its call.
    fn admit(&self, asked: &mut Asked, service: &Service, body: &[u8]) -> Result<(), wire::ApiError> {
        let was_local = self.is_local();
        let begun = self.authenticator.begin(&asked.parts, None).map_err(|error| error.to_query())?;
        let proof = self.proof(begun.is_anonymous(), was_local);
        if let Some(region) = begun.region() {
            asked.call.region = region.clone();
        }
        // A signature made for another service must command nothing here.
        let begun = match service {
            Service::Sqs => begun.for_service("sqs").map_err(|error| error.to_query())?,
            Service::Sts => begun.for_service("sts").map_err(|error| error.to_query())?,
            Service::S3 | Service::Other(_) => begun,
        };
        asked.call.identity = begun.finish(body).map_err(|error| error.to_query())?;
        // Every operation counts as a change: in the Query protocol even a GET may be one.
        origin::check(&asked.parts, &asked.host, proof, Effect::Change, self.foreign_hosts()).map_err(answer::refusal)
    }

    /// What a signature proves once it has been checked. `was_local` is from before the check: the mode may change at
    /// any moment, and only a signature that was strict's on both sides of it has been verified.
    fn proof(&self, is_anonymous: bool, was_local: bool) -> Proof {
        match is_anonymous {
            true => Proof::None,
            false if was_local || self.is_local() => Proof::Claimed,
            false => Proof::Verified,
        }
    }

    fn elsewhere(&self, asked: Asked, name: &str, trace: &mut Trace<'_>) -> Response<Body> {
        let service = Service::Other(name.into());
        trace.name(&service, "", Protocol::RestXml);
        let error = answer::no_such_service(name, Protocol::RestXml);
        answer::closing(answer::error(&service, &asked.call, &error, &[]))
    }

    /// What the head alone says; the caller is nobody until the signature has been checked.
    fn first_call(&self, parts: &Parts, peer: IpAddr) -> Call {
        let header = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(Arc::from);
        let is_https = parts.headers.get(&FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes() == b"https");
        let endpoint = Endpoint {
            scheme: if is_https { "https" } else { "http" },
            authority: authority(parts).unwrap_or_default().into(),
        };
        Call {
            endpoint,
            path: parts.uri.path().into(),
            source_ip: peer,
            trace_header: header(&TRACE_ID),
            user_agent: header(&USER_AGENT),
            referer: header(&REFERER),
            ..self.blank_call(self.request_ids.next(), Protocol::RestXml)
        }
    }

    fn blank_call(&self, request_id: RequestId, protocol: Protocol) -> Call {
        Call {
            identity: Identity { principal: Principal::Anonymous, account: self.default_account.clone() },
            region: self.default_region.clone(),
            request_id,
            endpoint: Endpoint { scheme: "http", authority: "".into() },
            path: "/".into(),
            protocol,
            source_ip: IpAddr::from([0, 0, 0, 0]),
            trace_header: None,
            user_agent: None,
            referer: None,
        }
    }
}

impl Trace<'_> {
    fn name(&mut self, service: &Service, operation: &str, protocol: Protocol) {
        self.label = self.metrics.label(service, operation);
        self.service = service.clone();
        self.protocol = protocol;
    }
}

fn authority(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
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
