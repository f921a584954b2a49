//! `aws-chunked`: S3's streamed uploads, whose chunks carry their own signatures and whose end may carry checksums.
//!
//! [`Decoder`] is sans-io: bytes in, payload out, in slices of the input.
//!
//! Invariants:
//! - Payload is handed out before its chunk's signature can be checked, else a chunk would have to fit in memory: nothing
//!   may be made visible before [`Decoder::finish`] returned `Ok`.
//! - Memory is bounded whatever the chunks' sizes: a header line by [`CHUNK_HEADER_BYTES_MAX`], all trailers by
//!   [`TRAILERS_BYTES_MAX`].
//! - However the input is cut into pieces, the same payload, trailers and verdict come out.
//!
//! Source: "Signature calculations for the Authorization header: transferring payload in multiple chunks" and
//! "… including trailing headers" in S3's API reference.

mod decoder;
mod error;

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::signature::sigv4::SigningKey;
use crate::signature::{AmzDate, EMPTY_SHA256_HEX, hex};

pub use decoder::{Decoder, Options};
pub use error::ChunkError;

/// The longest line before a chunk's data. `ffffffffffffffff;chunk-signature=<64 digits>` takes 97.
pub const CHUNK_HEADER_BYTES_MAX: usize = 256;
/// The longest trailing part. S3's own are under 200 bytes.
pub const TRAILERS_BYTES_MAX: usize = 8 * 1024;
/// Only the last chunk may be smaller. AWS: `InvalidChunkSizeError`.
pub const CHUNK_BYTES_MIN: u64 = 8 * 1024;

/// The kinds of streamed body, by what `x-amz-content-sha256` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: every chunk is signed.
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`: every chunk and the trailing headers are signed.
    SignedTrailer,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: nothing is signed, trailing headers carry a checksum.
    UnsignedTrailer,
}

impl Streaming {
    /// Whether chunks carry signatures.
    pub fn is_signed(self) -> bool {
        self != Self::UnsignedTrailer
    }

    /// Whether trailing headers follow the last chunk.
    pub fn has_trailers(self) -> bool {
        self != Self::Signed
    }
}

/// The headers that follow a streamed body; empty until the body has ended well.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Arc<OnceLock<HeaderMap>>);

impl Trailers {
    /// The trailing headers (`x-amz-checksum-crc32c`), once the whole body was read and found right.
    pub fn get(&self) -> Option<&HeaderMap> {
        self.0.get()
    }

    fn fill(&self, headers: HeaderMap) {
        // Only a decoder fills it, at its one end; a second time would change nothing.
        let _ = self.0.set(headers);
    }
}

/// The chain of chunk signatures: each covers the one before, the first the request's own.
#[derive(Clone, Debug)]
pub struct ChunkSigner {
    key: SigningKey,
    /// Date and scope, each with its line end.
    place: String,
    previous: [u8; 64],
}

impl ChunkSigner {
    /// `seed` is the signature of the request's headers, `scope` the credential's (`20130524/us-east-1/s3/aws4_request`).
    pub fn new(key: SigningKey, date: &AmzDate, scope: &str, seed: &[u8; 32]) -> Self {
        Self { key, place: format!("{date}\n{scope}\n"), previous: hex(seed) }
    }

    /// The signature of the next chunk, given its data's SHA-256.
    pub fn sign_chunk(&mut self, data_sha256: &[u8; 32]) -> [u8; 32] {
        let hashes = [EMPTY_SHA256_HEX.as_bytes(), b"\n", &hex(data_sha256)].concat();
        self.sign("AWS4-HMAC-SHA256-PAYLOAD\n", &hashes)
    }

    /// The signature of the trailing headers, given as `name:value\n` lines.
    pub fn sign_trailer(&mut self, lines: &[u8]) -> [u8; 32] {
        self.sign("AWS4-HMAC-SHA256-TRAILER\n", &hex(&Sha256::digest(lines).into()))
    }

    fn sign(&mut self, what: &str, hashes: &[u8]) -> [u8; 32] {
        let signature = self.key.sign(&[what.as_bytes(), self.place.as_bytes(), &self.previous, b"\n", hashes]);
        self.previous = hex(&signature);
        signature
    }
}

#[cfg(test)]
mod tests;
