//! [`ObjectStore`]: how one service keeps small objects in S3 (access logs, templates) without HTTP.
//!
//! Invariant: the store asks the same questions as for a request from outside; a service gets what the bucket's policy
//! gives to its principal, no more.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use wire::ApiError;

use crate::Call;

/// A future behind a pointer, so that the port can be an `Arc<dyn ObjectStore>`.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// An object to put.
#[derive(Clone, Debug, Default)]
pub struct PutObject {
    /// The bucket's name.
    pub bucket: String,
    /// The key, at most 1,024 bytes.
    pub key: String,
    /// All of the bytes: meant for small objects.
    pub body: Bytes,
    /// `Content-Type`; S3's default where it is `None`.
    pub content_type: Option<String>,
    /// A canned ACL, `bucket-owner-full-control`.
    pub canned_acl: Option<String>,
}

/// The port to S3. Errors are S3's own (`NoSuchBucket`, `AccessDenied`).
pub trait ObjectStore: Send + Sync + 'static {
    /// Puts an object as `call`'s identity, mostly a service's; durable when it returns.
    fn put<'a>(&'a self, call: &'a Call, object: PutObject) -> PortFuture<'a, ()>;

    /// Reads an object as `call`'s identity; `EntityTooLarge` beyond `bytes_max`.
    fn get<'a>(&'a self, call: &'a Call, bucket: &'a str, key: &'a str, bytes_max: usize) -> PortFuture<'a, Bytes>;
}
