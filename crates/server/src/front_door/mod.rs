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
pub mod ca;
pub mod catalogue;
mod connection;
mod documents;
pub mod host;
mod instance_side;
pub mod listener;
mod load_balancers;
pub mod origin;
mod pages;
mod request_id;
pub mod route;
mod s3_side;
pub mod stream;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ::host::Ids;
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use futures_util::FutureExt;
use http::header::{HOST, HeaderName, REFERER, USER_AGENT};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use iam::Authenticator;
use tokio::time::Instant;
use tracing::{debug, error};

use self::body::{Body, BodyError, Budget, InFlight, RequestBody, Whole};
use self::catalogue::Service;
use self::connection::{Connection, Connections};
use self::host::Host;
use self::origin::{ForeignHosts, Proof};
use self::request_id::RequestIds;
use self::route::Route;
use self::tls::Tls;
use crate::config::{Config, DEFAULT_DNS_DOMAIN, Limits};
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
    tls: Tls,
    request_ids: RequestIds,
    limits: Limits,
    base_domains: Vec<String>,
    /// What load balancers' names end with.
    load_balancer_domain: String,
    default_region: Region,
    default_account: AccountId,
    allow_reset: bool,
}

/// A request's head, and what we found out about it so far.
struct Asked {
    parts: Parts,
    host: Host,
    client: SocketAddr,
    call: Call,
}

impl Asked {
    /// All of it, leaving a blank behind.
    fn take(&mut self) -> Self {
        let (parts, ()) = Request::new(()).into_parts();
        let host = Host { is_ours: false, names: host::Names::Endpoint, region: None };
        let (parts, host) = (std::mem::replace(&mut self.parts, parts), std::mem::replace(&mut self.host, host));
        Self { parts, host, client: self.client, call: self.call.clone() }
    }
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
    pub fn new(config: &Config, ids: &dyn Ids, services: Services, authenticator: Authenticator, tls: Tls) -> Self {
        Self {
            request_ids: RequestIds::new(ids),
            services,
            authenticator,
            metrics: Metrics::default(),
            connections: Arc::new(Connections::new()),
            budget: Budget::new(config.limits.body_memory_max),
            tls,
            limits: config.limits,
            base_domains: config.base_domains.clone(),
            load_balancer_domain: config.load_balancing.dns_domain.clone(),
            default_region: config.region.clone(),
            default_account: config.account.clone(),
            allow_reset: config.allow_reset,
        }
    }

    /// The certificate of the authority that vouches for this door.
    pub fn authority_pem(&self) -> &str {
        self.tls.authority.certificate_pem()
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

    async fn metrics_text(&self) -> String {
        let mut text = metrics::Text::default();
        self.metrics.write(&mut text);
        text.one("millpond_connections", "gauge", "Connections open now.", self.connections.len());
        text.one("millpond_body_memory_bytes", "gauge", "Memory that request bodies take.", self.budget.taken());
        self.services.write_metrics(&mut text).await;
        metrics::write_process(&mut text);
        text.into_string()
    }

    /// Answers one request. What can be found out without waiting is found out here: the future that comes out is moved
    /// into its connection, so what it holds is paid for in copies.
    fn serve(
        self: &Arc<Self>,
        request: Request<Incoming>,
        client: SocketAddr,
        connection: Arc<Connection>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let (parts, incoming) = request.into_parts();
        connection.request_begins(!incoming.is_end_stream());
        let in_flight = InFlight(connection.clone());
        let call = self.first_call(&parts, client.ip(), connection.has_tls());
        let body = RequestBody::new(incoming, connection);
        let asked = Asked { host: self.host(&call.endpoint.authority), parts, client, call };
        let front_door = self.clone();
        async move { front_door.work(asked, body).await.map(|body| body.holding(in_flight)) }
    }

    fn host(&self, header: &str) -> Host {
        // Load balancers that were created before the operator named a domain keep their names.
        let domains = [self.load_balancer_domain.as_str(), DEFAULT_DNS_DOMAIN];
        match host::load_balancer_name(header, domains) {
            Some(dns_name) => Host { is_ours: true, names: host::Names::LoadBalancer { dns_name }, region: None },
            None => Host::parse(header, &self.base_domains),
        }
    }

    async fn work(&self, mut asked: Asked, body: RequestBody) -> Response<Body> {
        let mut trace = Trace {
            metrics: &self.metrics,
            label: metrics::OWN,
            service: Service::S3,
            protocol: Protocol::RestXml,
            request_id: asked.call.request_id.clone(),
            started: Instant::now(),
            is_answered: false,
        };
        let access = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| (asked.parts.method.clone(), asked.parts.uri.path().to_owned()));
        let answering = AssertUnwindSafe(self.answer(&mut asked, body, &mut trace)).catch_unwind();
        let response = match answering.await {
            Ok(response) => response,
            Err(panic) => self.after_panic(&*panic, &trace),
        };
        trace.is_answered = true;
        let elapsed = trace.started.elapsed();
        self.metrics.answered(trace.label, response.status(), elapsed);
        if let Some((method, path)) = access {
            let (status, elapsed_us) = (response.status().as_u16(), u64::try_from(elapsed.as_micros()).unwrap_or(0));
            let service = trace.service.name();
            let peer = asked.call.source_ip;
            debug!(request_id = %trace.request_id, %peer, %method, path, service, status, elapsed_us, "answered");
        }
        response
    }

    fn after_panic(&self, panic: &(dyn std::any::Any + Send), trace: &Trace<'_>) -> Response<Body> {
        self.metrics.panics.fetch_add(1, Relaxed);
        let message = crate::logging::panic_message(panic);
        error!(request_id = %trace.request_id, service = trace.service.name(), message, "a request panicked");
        let call = self.blank_call(trace.request_id.clone(), trace.protocol);
        // The request's body may be half read: nothing more can come over this connection.
        answer::closing(answer::error(&trace.service, &call, &answer::internal(), &[]))
    }

    async fn answer(&self, asked: &mut Asked, body: RequestBody, trace: &mut Trace<'_>) -> Response<Body> {
        if asked.call.endpoint.authority.is_empty() {
            return answer::plain(StatusCode::BAD_REQUEST, "The request has no Host header, or one that is no text.");
        }
        match route::find(&asked.parts, &asked.host) {
            Route::Json { service, operation } => self.document(asked, service, Some(operation), body, trace).await,
            Route::Query { service } => self.document(asked, service, None, body, trace).await,
            // Larger futures, and rarer ones: boxed, they cost the others nothing.
            Route::Own(page) => Box::pin(self.own_page(page, &asked.parts, &asked.host, body)).await,
            Route::S3 => Box::pin(self.s3(asked.take(), body, trace)).await,
            Route::Website { bucket } => Box::pin(self.website(asked.take(), &bucket, trace)).await,
            Route::LoadBalancer { dns_name } => Box::pin(self.through(asked.take(), &dns_name, body, trace)).await,
            Route::Elsewhere { service } => self.elsewhere(asked, service, trace),
        }
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

    fn elsewhere(&self, asked: &Asked, name: Box<str>, trace: &mut Trace<'_>) -> Response<Body> {
        let error = answer::no_such_service(&name, Protocol::RestXml);
        trace.name(&Service::Other(name), "", Protocol::RestXml);
        answer::closing(answer::error(&trace.service, &asked.call, &error, &[]))
    }

    /// What the head alone says; the caller is nobody until the signature has been checked.
    fn first_call(&self, parts: &Parts, peer: IpAddr, is_tls: bool) -> Call {
        let header = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(Arc::from);
        // Policies may ask for TLS: only a terminator on this machine is believed to have had it.
        let is_https = is_tls
            || peer.is_loopback()
                && parts.headers.get(&FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes() == b"https");
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
