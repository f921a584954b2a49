//! HTTP for tools that ask a few questions and end: blocking, with TLS that trusts what the instance trusts.
//!
//! Invariants:
//! - An answer that is held in memory has at most [`ANSWER_BYTES_MAX`]; a download at most [`DOWNLOAD_BYTES_MAX`].
//! - Every call ends within its time limit.
//! - The trust store is read only when a call needs TLS: parsing it costs more than most tools' whole work.

use std::cell::OnceCell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::options::ProxyOptions;
use crate::system::System;

/// The largest answer that is read into memory; a stack's template is 1 MB at most.
pub(crate) const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The largest file or archive that is fetched.
const DOWNLOAD_BYTES_MAX: u64 = 8 << 30;
/// How long a call may take, as in the published tools.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// How long a download may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long the metadata service may take; where there is none, nobody answers at all.
const METADATA_LIMIT: Duration = Duration::from_secs(2);

/// Where the distributions keep the certificates that they trust, the most common first.
const TRUST_STORES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The published tools let this file and this variable take the place of the trust store.
const TRUST_OVERRIDE: &str = "/etc/cfn/ca-override.pem";
const TRUST_OVERRIDE_VARIABLE: &str = "CA_OVERRIDE";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The address is none, or the proxy.
    #[error("{0}")]
    Invalid(String),
    /// Nobody answered, or not in time, or not in HTTP.
    #[error("{0}")]
    Failed(Box<ureq::Error>),
    /// What arrived could not be written down.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<ureq::Error> for HttpError {
    fn from(error: ureq::Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200 and so on.
    pub(crate) status: StatusCode,
    /// The body's bytes, as text where they are.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a tool asks with.
pub(crate) struct HttpClient<'a> {
    system: &'a System,
    proxies: ProxyOptions,
    http: OnceCell<Agent>,
    https: OnceCell<Agent>,
    metadata: OnceCell<Agent>,
}

impl<'a> HttpClient<'a> {
    /// A client behind those proxies.
    pub(crate) fn new(system: &'a System, proxies: ProxyOptions) -> Self {
        Self { system, proxies, http: OnceCell::new(), https: OnceCell::new(), metadata: OnceCell::new() }
    }

    /// Sends a request and reads the answer.
    pub(crate) fn send(&self, request: Request<Vec<u8>>) -> Result<Answer, HttpError> {
        read(run(self.agent(&request)?, request, CALL_LIMIT)?)
    }

    /// The same, to the metadata service: never by a proxy, and impatient.
    pub(crate) fn send_to_metadata(&self, request: Request<Vec<u8>>) -> Result<Answer, HttpError> {
        let agent = self.metadata.get_or_init(|| Agent::new_with_config(config(None, None)));
        read(run(agent, request, METADATA_LIMIT)?)
    }

    /// Fetches a file; `Ok(Some(status))` when the answer is an error and nothing was written.
    pub(crate) fn download(
        &self,
        request: Request<Vec<u8>>,
        to: &mut dyn Write,
    ) -> Result<Option<StatusCode>, HttpError> {
        let response = run(self.agent(&request)?, request, DOWNLOAD_LIMIT)?;
        if !response.status().is_success() {
            return Ok(Some(response.status()));
        }
        let mut reader = response.into_body().into_with_config().limit(DOWNLOAD_BYTES_MAX).reader();
        io::copy(&mut reader, to)?;
        Ok(None)
    }

    fn agent(&self, request: &Request<Vec<u8>>) -> Result<&Agent, HttpError> {
        let is_https = request.uri().scheme_str() == Some("https");
        let (cell, named, variables) = match is_https {
            true => (&self.https, &self.proxies.https_proxy, ["https_proxy", "HTTPS_PROXY"]),
            // Not HTTP_PROXY: a CGI program's client could set that one.
            false => (&self.http, &self.proxies.http_proxy, ["http_proxy", "http_proxy"]),
        };
        if let Some(agent) = cell.get() {
            return Ok(agent);
        }
        let from_environment = || variables.iter().find_map(|name| self.system.variable(name)).map(str::to_owned);
        let proxy = match named.clone().or_else(from_environment) {
            Some(written) => Some(Proxy::new(&written).map_err(|error| {
                HttpError::Invalid(format!("the proxy {written} is not [scheme://][user:password@]host:port: {error}"))
            })?),
            None => None,
        };
        let tls = if is_https { Some(self.tls()?) } else { None };
        Ok(cell.get_or_init(|| Agent::new_with_config(config(proxy, tls))))
    }

    fn tls(&self) -> Result<TlsConfig, HttpError> {
        let store = self.trust_store().ok_or_else(|| {
            HttpError::Invalid(format!("no trust store: none of {} is there", TRUST_STORES.join(", ")))
        })?;
        let pem = std::fs::read(&store)
            .map_err(|error| HttpError::Invalid(format!("cannot read the trust store {}: {error}", store.display())))?;
        let certificates = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let certificates: Vec<Certificate<'static>> = certificates.collect();
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::from(certificates))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build())
    }

    fn trust_store(&self) -> Option<PathBuf> {
        let named = [TRUST_OVERRIDE_VARIABLE, "SSL_CERT_FILE"].iter().find_map(|name| self.system.variable(name));
        if let Some(named) = named {
            return Some(PathBuf::from(named));
        }
        let candidates = std::iter::once(&TRUST_OVERRIDE).chain(TRUST_STORES);
        candidates.map(|candidate| self.system.path(candidate)).find(|candidate| candidate.is_file())
    }
}

fn config(proxy: Option<Proxy>, tls: Option<TlsConfig>) -> ureq::config::Config {
    let builder = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(proxy)
        .user_agent("CfnTools/2.0 (Millpond)")
        // The tools ask once or twice; nothing is worth keeping open.
        .max_idle_connections(2);
    match tls {
        Some(tls) => builder.tls_config(tls).build(),
        None => builder.build(),
    }
}

fn run(agent: &Agent, request: Request<Vec<u8>>, limit: Duration) -> Result<http::Response<ureq::Body>, HttpError> {
    let (parts, body) = request.into_parts();
    let has_body = matches!(parts.method, Method::POST | Method::PUT);
    if has_body {
        let request = Request::from_parts(parts, body);
        let request = agent.configure_request(request).timeout_global(Some(limit)).build();
        return Ok(agent.run(request)?);
    }
    let request = agent.configure_request(Request::from_parts(parts, ())).timeout_global(Some(limit)).build();
    Ok(agent.run(request)?)
}

fn read(response: http::Response<ureq::Body>) -> Result<Answer, HttpError> {
    let status = response.status();
    let body = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status, body })
}

/// A GET request with headers; errors when the address is none.
pub(crate) fn get(url: &str, headers: HeaderMap) -> Result<Request<Vec<u8>>, HttpError> {
    let mut request = Request::get(url)
        .body(Vec::new())
        .map_err(|error| HttpError::Invalid(format!("{url} is not a URL: {error}")))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// `text` with everything but letters, digits and `-_.~` percent-encoded, as AWS's signatures want it.
pub(crate) fn encode(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, ENCODED).to_string()
}
