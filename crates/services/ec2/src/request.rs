//! [`Request`]: where and when a call acts, and what ids it draws.
//!
//! Invariant: the default things of its place are rows before an operation sees it.

use std::sync::Arc;

use api::Principal;

use crate::place::{Layout, Place};
use crate::service::{Inner, new_id};

/// One call, placed.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) place: Place,
    pub(crate) now_ms: u64,
    /// The service that asks for a user; `None` for the user.
    pub(crate) service: Option<Arc<str>>,
    /// The ARN of whoever asks.
    pub(crate) caller: String,
    /// Where the client reached us.
    pub(crate) authority: Arc<str>,
    pub(crate) inner: Arc<Inner>,
}

impl Request {
    pub(crate) fn new(place: Place, call: &api::Call, inner: Arc<Inner>) -> Self {
        let service = match &call.identity.principal {
            Principal::Service { name } => Some(name.clone()),
            Principal::Anonymous | Principal::Account { .. } | Principal::Session(_) => None,
        };
        let caller = call.identity.arn().unwrap_or_else(|| format!("arn:aws:iam::{}:root", place.account));
        let now_ms = inner.clock.now().as_millis();
        Self { place, now_ms, service, caller, authority: call.endpoint.authority.clone(), inner }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// A new id of a kind, `sg-…`.
    pub(crate) fn new_id(&self, kind: &str) -> String {
        new_id(&*self.inner.ids, kind)
    }

    /// The key of a row of this place.
    pub(crate) fn key(&self, id: &str) -> String {
        self.place.key(id)
    }

    pub(crate) fn account(&self) -> String {
        self.place.account.to_string()
    }

    /// The ARN of something here, `arn:aws:ec2:us-east-1:123456789012:subnet/subnet-…`.
    pub(crate) fn arn(&self, kind: &str, id: &str) -> String {
        format!("arn:aws:ec2:{}:{}:{kind}/{id}", self.place.region, self.place.account)
    }
}
