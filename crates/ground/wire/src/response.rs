//! [`EncodedResponse`]: an answer as bytes, before HTTP.

use bytes::Bytes;

/// An answer, ready for the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedResponse {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// All other headers that the protocol asks for.
    pub headers: Vec<(&'static str, String)>,
    /// The body; may be empty.
    pub body: Bytes,
}

/// The header that names the request in every answer.
pub const REQUEST_ID_HEADER: &str = "x-amzn-RequestId";
