//! Amazon S3: buckets, objects, policies and websites.
//!
//! Invariants:
//! - An answer 200 to a write means that bytes and row are on disk. Bytes are immutable blobs; the row that names them
//!   is committed after they are durable, in one transaction with everything that depends on it.
//! - Every operation asks [`authorisation`] first, with the caller that the front door authenticated: a [`Call`] in the
//!   request's extensions. Nothing here reads a signature.
//! - No body is held whole in memory, except XML documents, which are bounded.
//! - What a client asks for is honoured or refused: parameters that imply something missing get `NotImplemented`.
//!
//! Knows no socket and no other service. The wire (routing, XML, headers) is the `s3s` crate's.

mod acl;
mod api_impl;
mod authorisation;
mod blobs;
mod bucket_settings;
mod buckets;
mod checksums;
mod conditions;
mod door;
mod download;
mod encryption;
mod errors;
pub mod host;
mod lifecycle;
mod listing;
mod multipart;
mod object_store;
mod objects;
mod policy;
mod rows;
mod service;
mod tagging;
mod versions;
mod website;

use std::path::PathBuf;
use std::sync::Arc;

use ::host::{Clock, Disk, Ids};
use api::Call;
use bytes::Bytes;
use store::Store;

use crate::service::Service;

/// The body of an answer.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// The error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What S3 needs to run.
pub struct S3Options {
    /// Where rows are kept.
    pub store: Store,
    /// Where blobs are kept.
    pub disk: Arc<dyn Disk>,
    /// The directory for blobs, relative to the disk's root.
    pub dir: PathBuf,
    /// The time for `Last-Modified` and creation dates.
    pub clock: Arc<dyn Clock>,
    /// The source of blob and upload ids.
    pub ids: Arc<dyn Ids>,
    /// Domains below which `s3.…` and `<bucket>.s3.…` are understood, beside those that [`host`] always knows.
    pub base_domains: Vec<String>,
}

/// Why S3 cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory for blobs cannot be made.
    #[error("cannot open the S3 blobs in {dir}: {source}; check the directory's permissions")]
    Disk {
        /// The directory.
        dir: PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests answered, websites included.
    pub requests: u64,
    /// Answers 403.
    pub denied: u64,
    /// Bytes of objects and parts taken in.
    pub bytes_in: u64,
    /// Bytes of objects sent.
    pub bytes_out: u64,
    /// Blobs left behind by a crash and removed at start.
    pub orphans_swept: u64,
}

/// S3. Cheap to clone; all clones are one service.
#[derive(Clone)]
pub struct S3 {
    service: Arc<Service>,
    wire: s3s::service::S3Service,
}

impl S3 {
    /// Opens the storage and starts, in the background, to sweep what a crash left behind and to carry out lifecycle
    /// rules. Blocks for a few file operations only; called inside a tokio runtime.
    pub fn open(options: S3Options) -> Result<Self, OpenError> {
        let service = Arc::new(Service::open(options)?);
        service.start_sweep();
        service.start_lifecycle();
        let wire = door::wire(&service);
        Ok(Self { service, wire })
    }

    /// Answers a request to the S3 API, path style or virtual-host style.
    ///
    /// The request is already authenticated: `call` says who asks; the body is de-chunked, and fails with a
    /// [`wire::ApiError`] (somewhere in its chain of causes) where its signature or length does not hold. Checksums that
    /// follow the body are looked up in a [`wire::aws_chunked::Trailers`] in the request's extensions.
    pub async fn handle<B>(&self, call: Call, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        door::handle(&self.service, &self.wire, call, request).await
    }

    /// Answers a request to a bucket's website. The caller counts as anonymous, whatever `call` says.
    pub async fn website<B>(&self, call: Call, bucket: &str, request: http::Request<B>) -> http::Response<Body>
    where
        B: Send + 'static,
    {
        let (parts, _body) = request.into_parts();
        website::serve::answer(&self.service, &call, bucket, &parts).await
    }

    /// Whether a bucket of this name exists, whoever owns it; lets the front door tell a bucket's host from others.
    pub async fn has_bucket(&self, bucket: &str) -> bool {
        self.service.bucket_exists(bucket).await
    }

    /// What happened since the start.
    pub fn stats(&self) -> Stats {
        self.service.stats()
    }

    /// Stops background work. Requests in flight go on: the server waits for those.
    pub fn drain(&self) {
        self.service.drain();
    }

    /// Drains, and returns when nothing runs in the background any more.
    pub async fn close(&self) {
        self.service.close().await;
    }

    /// Removes every bucket of every account with all it holds. Refuses nothing: the caller decides who may.
    pub async fn reset(&self) -> Result<(), wire::ApiError> {
        self.service.reset().await.map_err(|error| errors::to_api(&error))
    }
}
