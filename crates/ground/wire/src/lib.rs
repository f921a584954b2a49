//! Schemas, codecs, signatures and [`ApiError`]: AWS's protocols, without any service in them.
//!
//! A request is decoded in three pure steps: parse ([`json`] or [`query`]: bytes to a [`Node`] tree, guided by a
//! [`schema`]), [`validate`] (all violations at once), bind ([`value`]: tree to struct). An answer is written by the
//! protocol's [`value::Writer`].
//!
//! Invariants:
//! - Every function here is pure: bytes and a time in, bytes or an error out.
//! - No input makes it panic or allocate more than a small multiple of the input's own size.
//!
//! Knows no operation by name, no state, no socket.

pub mod aws_chunked;
mod error;
pub mod json;
mod node;
pub mod query;
mod response;
pub mod schema;
pub mod signature;
pub mod signed_body;
#[cfg(test)]
mod testing;
pub mod validate;
pub mod value;

pub use error::{ApiError, Fault};
pub use node::{DEPTH_MAX, Node, SLOTS_MAX};
pub use response::{EncodedResponse, REQUEST_ID_HEADER};
pub use signature::{presigned, sigv2, sigv4};
