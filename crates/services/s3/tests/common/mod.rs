//! A whole S3 in memory: requests in, answers out, no socket.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test support, of which each test binary uses a part"
)]

use std::sync::Arc;
use std::time::Duration;

use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use bytes::Bytes;
use host::Timestamp;
use host::sim::{Seed, SimClock, SimDisk, SimIds};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use s3::{S3, S3Options};
use store::Store;

/// The account that owns the buckets of most tests.
pub const OWNER: &str = "111111111111";
/// Another one.
pub const OTHER: &str = "222222222222";

/// S3 with its surroundings in the test's hand.
pub struct Platform {
    pub s3: S3,
    pub store: Store,
    pub disk: SimDisk,
    pub clock: Arc<SimClock>,
}

impl Platform {
    /// Wed, 21 Oct 2015 07:28:00 GMT.
    pub const START_S: u64 = 1_445_412_480;

    pub fn new() -> Self {
        Self::on(Store::in_memory().unwrap(), SimDisk::new(Seed(7)), 7)
    }

    pub fn on(store: Store, disk: SimDisk, seed: u64) -> Self {
        Self::at(store, disk, seed, Self::START_S)
    }

    /// On a store and a disk that may have been used before, at this time.
    pub fn at(store: Store, disk: SimDisk, seed: u64, now_s: u64) -> Self {
        Self::with_clock(store, disk, seed, SimClock::frozen(Timestamp::from_secs(now_s)))
    }

    /// With a clock that goes with tokio's time.
    pub fn riding() -> Self {
        let clock = SimClock::on_tokio(Timestamp::from_secs(Self::START_S));
        Self::with_clock(Store::in_memory().unwrap(), SimDisk::new(Seed(7)), 7, clock)
    }

    fn with_clock(store: Store, disk: SimDisk, seed: u64, clock: SimClock) -> Self {
        let clock = Arc::new(clock);
        let s3 = S3::open(S3Options {
            store: store.clone(),
            disk: Arc::new(disk.clone()),
            dir: "s3".into(),
            clock: clock.clone(),
            ids: Arc::new(SimIds::new(Seed(seed))),
            base_domains: vec!["cloud.test".to_owned()],
        })
        .unwrap();
        Self { s3, store, disk, clock }
    }

    pub fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A request of the owner's.
    pub fn request(&self, method: &str, target: &str) -> Asked<'_> {
        Asked {
            platform: self,
            who: Who::Account(OWNER),
            region: "us-east-1",
            request: Request::builder().method(method).uri(target).header("host", "s3.us-east-1.localhost:4566"),
            body: Bytes::new(),
        }
    }

    pub async fn put(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.request("PUT", target).body(body).send().await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    pub async fn head(&self, target: &str) -> Answer {
        self.request("HEAD", target).send().await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.request("DELETE", target).send().await
    }

    /// A platform with one bucket of the owner's, `pictures`.
    pub async fn with_bucket() -> Self {
        let platform = Self::new();
        platform.put("/pictures", "").await.expect(200);
        platform
    }

    /// A GET of a website, as a browser sends it.
    pub async fn visit(&self, bucket: &str, path: &str) -> Answer {
        self.visit_with("GET", bucket, path, &[]).await
    }

    pub async fn visit_with(&self, method: &str, bucket: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let authority = format!("{bucket}.s3-website-us-east-1.localhost:4566");
        let mut request = Request::builder().method(method).uri(path).header("host", &authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut call = call(&Who::Account(OWNER), "us-east-1", path);
        call.endpoint.authority = authority.into();
        Answer::read(self.s3.website(call, bucket, request.body(()).unwrap()).await).await
    }
}

/// Who asks.
#[derive(Clone)]
pub enum Who {
    Account(&'static str),
    Anonymous,
    Service(&'static str),
}

/// What the front door would say of a request.
pub fn call(who: &Who, region: &str, path: &str) -> Call {
    let (principal, account) = match who {
        Who::Account(account) => (Principal::Account { access_key_id: "AKIAEXAMPLE".into() }, *account),
        Who::Anonymous => (Principal::Anonymous, "000000000000"),
        Who::Service(name) => (Principal::Service { name: (*name).into() }, "000000000000"),
    };
    Call {
        identity: Identity { principal, account: AccountId::parse(account).unwrap() },
        region: Region::parse(region).unwrap(),
        request_id: RequestId("4442587f-b7d0-a2f9-0000-000000000001".to_owned()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: path.into(),
        protocol: Protocol::RestXml,
        source_ip: "203.0.113.9".parse().unwrap(),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

/// A request in the making.
pub struct Asked<'p> {
    platform: &'p Platform,
    who: Who,
    region: &'static str,
    request: http::request::Builder,
    body: Bytes,
}

impl Asked<'_> {
    pub fn by(mut self, account: &'static str) -> Self {
        self.who = Who::Account(account);
        self
    }

    pub fn by_nobody(mut self) -> Self {
        self.who = Who::Anonymous;
        self
    }

    pub fn by_service(mut self, name: &'static str) -> Self {
        self.who = Who::Service(name);
        self
    }

    pub fn region(mut self, region: &'static str) -> Self {
        self.region = region;
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if name == "host" {
            self.request.headers_mut().unwrap().remove("host");
        }
        self.request = self.request.header(name, value.as_ref());
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub async fn send(self) -> Answer {
        let length = self.body.len();
        let mut request = self.request.body(Full::new(self.body)).unwrap();
        if length > 0 && !request.headers().contains_key("content-length") {
            request.headers_mut().insert("content-length", length.into());
        }
        let path = request.uri().path().to_owned();
        Answer::read(self.platform.s3.handle(call(&self.who, self.region, &path), request).await).await
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response<s3::Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body arrives whole").to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// This answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// This answer, if it is this error.
    #[track_caller]
    pub fn fails(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.tag("Code").as_str()), (status, code), "{}", self.text());
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// The text of every element of this name.
    pub fn tags(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let text = self.text();
        text.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0.to_owned())).collect()
    }

    pub fn tag(&self, name: &str) -> String {
        self.tags(name).into_iter().next().unwrap_or_default()
    }
}

/// Methods by name, for tables of tests.
pub fn method(name: &str) -> Method {
    name.parse().unwrap()
}

/// Bytes that are neither small nor all alike.
pub fn bytes(length: usize) -> Bytes {
    (0..length).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect::<Vec<u8>>().into()
}
