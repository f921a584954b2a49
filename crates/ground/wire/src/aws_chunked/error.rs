//! [`ChunkError`]: what can be wrong with a streamed body, and what S3 says of it.

use crate::ApiError;

/// Why a streamed body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The framing cannot be read; the text says what was expected.
    #[error("the aws-chunked body is malformed: {0}")]
    Malformed(&'static str),
    /// The body ended early, or holds more or less than `x-amz-decoded-content-length` says.
    #[error("the aws-chunked body has {found} bytes of payload where {declared:?} were declared")]
    WrongLength {
        /// Bytes of payload found; where a chunk's header went over the declared length, with that chunk.
        found: u64,
        /// What `x-amz-decoded-content-length` said.
        declared: Option<u64>,
    },
    /// The body ended inside a chunk or before the last one.
    #[error("the aws-chunked body ends in the middle")]
    EndsInTheMiddle,
    /// A chunk before the last one is under [`super::CHUNK_BYTES_MIN`].
    #[error("chunk {chunk} has only {bytes} bytes")]
    ChunkTooSmall {
        /// Which one, from 1.
        chunk: u64,
        /// Its size.
        bytes: u64,
    },
    /// A chunk's signature, or the trailer's, is another than the computed one.
    #[error("the signature of chunk {chunk} is another than the computed one")]
    SignatureMismatch {
        /// Which one, from 1; the trailer counts as one more.
        chunk: u64,
    },
    /// The trailing headers cannot be read, or are not those that `x-amz-trailer` announced.
    #[error("the trailing headers are malformed: {0}")]
    Trailer(&'static str),
}

impl ChunkError {
    /// In S3's words.
    pub fn to_s3(&self) -> ApiError {
        match self {
            Self::Malformed(_) => {
                ApiError::sender("InvalidRequest", "The body is not encoded as its Content-Encoding aws-chunked says")
            }
            Self::WrongLength { .. } | Self::EndsInTheMiddle => ApiError::sender(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            ),
            Self::ChunkTooSmall { .. } => ApiError::sender(
                "InvalidChunkSizeError",
                "Only the last chunk is allowed to have a size less than 8192 bytes",
            )
            .with_status(403),
            Self::SignatureMismatch { .. } => ApiError::sender(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            )
            .with_status(403),
            Self::Trailer(_) => ApiError::sender(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
            ),
        }
    }
}
