//! The front door's own pages: health, metrics, the certificate to trust, reset.
//!
//! Invariant: a page changes something only for a caller who could do the same without a browser.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use tracing::{error, warn};

use super::body::{Body, RequestBody};
use super::host::Host;
use super::origin::{self, Effect, Proof};
use super::route::OwnPage;
use super::{FrontDoor, answer};

impl FrontDoor {
    /// Answers a page of our own.
    pub(super) async fn own_page(
        &self,
        page: OwnPage,
        parts: &Parts,
        host: &Host,
        body: RequestBody,
    ) -> Response<Body> {
        match (page, &parts.method) {
            (OwnPage::WaitCondition, _) => return self.wait_condition(parts, body).await,
            (OwnPage::Reset, _) => return self.reset_page(parts, host, body).await,
            (OwnPage::LoadBalancers, &Method::GET) => return self.load_balancers_page(parts, host, body).await,
            (OwnPage::Usage, &Method::GET) => return self.usage_page(parts, host, body).await,
            _ => {}
        }
        if let Err(refusal) = origin::check(parts, host, Proof::None, Effect::Read, self.foreign_hosts()) {
            return answer::plain(StatusCode::FORBIDDEN, &refusal.to_string());
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return answer::plain(StatusCode::METHOD_NOT_ALLOWED, "This page is for GET.");
        }
        match page {
            OwnPage::Health => page_of("application/json", self.health()),
            OwnPage::Metrics => page_of("text/plain; version=0.0.4; charset=utf-8", self.metrics_text().await),
            OwnPage::Certificate => page_of("application/x-pem-file", self.tls.authority.certificate_pem().to_owned()),
            OwnPage::Unknown | OwnPage::Reset | OwnPage::LoadBalancers | OwnPage::Usage | OwnPage::WaitCondition => {
                answer::plain(
                    StatusCode::NOT_FOUND,
                    "There are /_millpond/health, /_millpond/ca.pem, /_millpond/load-balancers, /_millpond/usage, \
                 /_millpond/reset and /metrics, and no other page.",
                )
            }
        }
    }

    async fn reset_page(&self, parts: &Parts, host: &Host, body: RequestBody) -> Response<Body> {
        if parts.method != Method::POST {
            return answer::plain(StatusCode::METHOD_NOT_ALLOWED, "A reset is a POST.");
        }
        if !self.allow_reset {
            let sentence = "Reset is off. Start Millpond with --allow-reset to let this empty its state.";
            return answer::plain(StatusCode::FORBIDDEN, sentence);
        }
        let proof = match self.prove_reset(parts, body).await {
            Ok(proof) => proof,
            Err(sentence) => return answer::plain(StatusCode::FORBIDDEN, &sentence),
        };
        if let Err(refusal) = origin::check(parts, host, proof, Effect::Change, self.foreign_hosts()) {
            return answer::plain(StatusCode::FORBIDDEN, &refusal.to_string());
        }
        warn!("resetting: all state but the access keys is dropped");
        match self.services.reset().await {
            Ok(()) => page_of("application/json", "{\"reset\":true}".into()),
            Err(error) => {
                error!(%error, "the reset failed");
                answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "The reset failed; the log says why.")
            }
        }
    }

    /// In strict mode the state is somebody's: only a holder of a key may drop it.
    async fn prove_reset(&self, parts: &Parts, body: RequestBody) -> Result<Proof, String> {
        if self.is_local() {
            return Ok(Proof::None);
        }
        let identity = self.identify(parts, body).await?;
        if identity.is_anonymous() {
            Err("A reset must be signed with a configured key.".into())
        } else {
            Ok(Proof::Verified)
        }
    }
}

pub(super) fn page_of(content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
