//! [`Call`]: who asks, where, and how the answer must speak.
//!
//! Invariant: a `Call` is made by the front door after authentication; services trust every field of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::Session;

/// A 12-digit AWS account id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Accepts exactly 12 decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| Self(text.into()))
    }

    /// The 12 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A region's name. Any name of 1 to 64 characters `[a-z0-9-]` works; Millpond has no list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

impl Region {
    /// Accepts 1 to 64 characters of `[a-z0-9-]`.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.into()))
    }

    /// The name, `us-east-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id that every answer carries and every log line about it names; a UUID's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody: only what a policy or ACL opens to everyone is open.
    Anonymous,
    /// An account's own key (its root user). Everything in the account is allowed.
    Account {
        /// The key that signed, `AKIA…`.
        access_key_id: Arc<str>,
    },
    /// A session of a role: what the role's policies allow is allowed.
    Session(Arc<Session>),
    /// One of Millpond's own services, by its AWS name, `elasticloadbalancing.amazonaws.com`.
    Service {
        /// The service principal's name.
        name: Arc<str>,
    },
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who signed.
    pub principal: Principal,
    /// The account that the key belongs to; for anonymous callers the configured default account.
    pub account: AccountId,
}

impl Identity {
    /// The caller's ARN for policies, `arn:aws:iam::123456789012:root` or a session's; `None` for the anonymous.
    pub fn arn(&self) -> Option<String> {
        match self.principal {
            Principal::Account { .. } => Some(format!("arn:aws:iam::{}:root", self.account)),
            Principal::Session(ref session) => Some(session.arn.to_string()),
            Principal::Anonymous | Principal::Service { .. } => None,
        }
    }

    /// Whether somebody of the account signed: its own key, or a session of one of its roles.
    pub fn is_of_account(&self) -> bool {
        matches!(self.principal, Principal::Account { .. } | Principal::Session(_))
    }

    /// The role's session that signed, if one did.
    pub fn session(&self) -> Option<&Session> {
        match &self.principal {
            Principal::Session(session) => Some(session),
            _ => None,
        }
    }

    /// Whether nobody signed.
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }
}

/// Where the client reached us, as it wrote it; URLs in answers are built from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The Host header, with its port where it had one: `localhost:4566`.
    pub authority: Arc<str>,
}

/// How the request was written, and so how its answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `application/x-amz-json-1.0`, SQS among others.
    Json10,
    /// `application/x-amz-json-1.1`.
    Json11,
    /// The Query protocol: a form in, XML out.
    Query,
    /// EC2's dialect of Query.
    Ec2Query,
    /// S3's REST and XML.
    RestXml,
}

/// One request, authenticated and placed.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks.
    pub identity: Identity,
    /// The region from the signature's scope, else from the host, else the configured default.
    pub region: Region,
    /// The id of this request.
    pub request_id: RequestId,
    /// How the client reached us.
    pub endpoint: Endpoint,
    /// The path of the request's URL, still percent-encoded: `/123456789012/orders`.
    pub path: Arc<str>,
    /// How the request was written.
    pub protocol: Protocol,
    /// The client's address.
    pub source_ip: IpAddr,
    /// The `X-Amzn-Trace-Id` header.
    pub trace_header: Option<Arc<str>>,
    /// The `User-Agent` header, for policies' `aws:UserAgent`.
    pub user_agent: Option<Arc<str>>,
    /// The `Referer` header, for policies' `aws:Referer`.
    pub referer: Option<Arc<str>>,
}

impl Call {
    /// The caller's account.
    pub fn account(&self) -> &AccountId {
        &self.identity.account
    }

    /// Whether one of Millpond's own services asks: it may use what is reserved for services, tags that begin with `aws:`.
    pub fn is_from_service(&self) -> bool {
        matches!(self.identity.principal, Principal::Service { .. })
    }
}
