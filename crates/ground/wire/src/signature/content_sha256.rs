//! [`ContentSha256`]: what `x-amz-content-sha256` says of an S3 request's body.

use super::{SignatureError, unhex};
use crate::aws_chunked::Streaming;

/// The header's (or query parameter's) meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentSha256 {
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// The body's SHA-256.
    Digest([u8; 32]),
    /// One of the `STREAMING-…` words.
    Streaming(Streaming),
}

impl ContentSha256 {
    /// Parses the header's value. SigV4A's words are refused like any other unknown one.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::Streaming(Streaming::Signed)),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Self::Streaming(Streaming::SignedTrailer)),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::Streaming(Streaming::UnsignedTrailer)),
            digest => {
                let invalid = || SignatureError::ContentSha256Invalid { got: text.to_owned() };
                unhex(digest).map(Self::Digest).ok_or_else(invalid)
            }
        }
    }
}
