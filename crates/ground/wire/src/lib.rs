//! Schemas, codecs, signatures and [`ApiError`]: AWS's protocols, without any service in them.
//!
//! Invariants:
//! - Every function here is pure: bytes and a time in, bytes or an error out.
//! - No input makes it panic or allocate more than a small multiple of the input's own size.
//!
//! Knows no operation by name, no state, no socket.

mod error;

pub use error::{ApiError, Fault};
