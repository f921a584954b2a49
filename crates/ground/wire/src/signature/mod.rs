//! Signatures: who claims to have signed a request, and whether the claim holds.
//!
//! [`Claim::of`] finds the one claim that a request makes, in its `Authorization` header or in its query, by SigV4
//! ([`sigv4`], [`presigned`]) or by S3's old SigV2 ([`sigv2`]). Nothing in a claim is verified: it says which key to
//! look up, and the verification then says whether that key signed these bytes.
//!
//! Invariants:
//! - Signatures are compared in constant time.
//! - A request that claims two things at once is refused: it could be read as either.
//! - Time comes in as `now`, seconds since the Unix epoch.
//!
//! Knows no key store and no account.

mod canonical;
mod content_sha256;
mod date;
mod error;
mod key_cache;
pub mod presigned;
pub mod sigv2;
pub mod sigv4;
mod strip;

use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};

pub use content_sha256::ContentSha256;
pub use date::AmzDate;
pub use error::{Carrier, Mismatch, SignatureError};
pub use key_cache::SigningKeys;
pub use strip::strip;

/// How far a header-signed request's date may be from the server's, in seconds. AWS: 15 minutes.
pub const SKEW_MAX_S: u64 = 15 * 60;
/// How many headers a request may sign. Bounds the work that an unverified request can ask for.
pub const SIGNED_HEADERS_MAX: usize = 200;
/// SHA-256 of nothing, as bodies without bytes are signed.
pub const EMPTY_SHA256_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The parts of a request that a signature may cover.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// `PUT`.
    pub method: &'a Method,
    /// The request's target, percent-encoded as it came.
    pub uri: &'a Uri,
    /// All headers as they came.
    pub headers: &'a HeaderMap,
}

impl<'a> From<&'a http::request::Parts> for SignedRequest<'a> {
    fn from(parts: &'a http::request::Parts) -> Self {
        Self { method: &parts.method, uri: &parts.uri, headers: &parts.headers }
    }
}

impl<'a> SignedRequest<'a> {
    /// A header's text, if it is there once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The query string, empty where there is none.
    pub(crate) fn query(&self) -> &'a str {
        self.uri.query().unwrap_or_default()
    }
}

/// What a request says about its signer.
#[derive(Clone, Debug)]
pub enum Claim<'a> {
    /// Nothing: the caller is anonymous.
    None,
    /// SigV4, in the header or presigned.
    SigV4(sigv4::Claim<'a>),
    /// S3's SigV2, in the header or presigned.
    SigV2(sigv2::Claim<'a>),
}

impl<'a> Claim<'a> {
    /// Reads the claim; errors are those of form, never of a wrong key.
    pub fn of(request: SignedRequest<'a>) -> Result<Self, SignatureError> {
        let in_query = QueryMechanism::of(request.query());
        let Some(authorization) = request.headers.get(http::header::AUTHORIZATION) else {
            return match in_query {
                None => Ok(Self::None),
                Some(QueryMechanism::SigV4) => presigned::parse(request).map(Self::SigV4),
                Some(QueryMechanism::SigV2) => sigv2::parse_query(request.query()).map(Self::SigV2),
                Some(QueryMechanism::SigV2OutsideS3) => Err(SignatureError::UnsupportedAlgorithm {
                    algorithm: "SignatureVersion 2".into(),
                    carrier: Carrier::Query,
                }),
            };
        };
        let several = in_query.is_some() || request.headers.get_all(http::header::AUTHORIZATION).iter().count() > 1;
        if several {
            return Err(SignatureError::SeveralMechanisms);
        }
        let Ok(authorization) = authorization.to_str() else {
            return Err(SignatureError::NotAws { authorization: String::new() });
        };
        match authorization.split_once(' ').map_or(authorization, |(scheme, _)| scheme) {
            sigv4::ALGORITHM => sigv4::parse_header(request, authorization).map(Self::SigV4),
            "AWS" => sigv2::parse_header(request, authorization).map(Self::SigV2),
            scheme if scheme.starts_with("AWS4-") => {
                Err(SignatureError::UnsupportedAlgorithm { algorithm: scheme.to_owned(), carrier: Carrier::Header })
            }
            _ => Err(SignatureError::NotAws { authorization: authorization.to_owned() }),
        }
    }
}

/// Which kind of signature a query string carries.
enum QueryMechanism {
    SigV4,
    SigV2,
    SigV2OutsideS3,
}

impl QueryMechanism {
    fn of(query: &str) -> Option<Self> {
        let has = |wanted: &str| canonical::query_pairs(query).any(|(name, _)| name == wanted);
        if query.is_empty() {
            None
        } else if has("X-Amz-Algorithm") || (has("X-Amz-Credential") && has("X-Amz-Signature")) {
            Some(Self::SigV4)
        } else if has("AWSAccessKeyId") && has("Signature") {
            // The Query services' SigV2 put its version beside it; S3's never did.
            Some(if has("SignatureVersion") { Self::SigV2OutsideS3 } else { Self::SigV2 })
        } else {
            None
        }
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> [u8; 64] {
    hex(&Sha256::digest(bytes).into())
}

/// Lower-case hexadecimal of 32 bytes.
pub(crate) fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

/// [`hex`] as text.
pub(crate) fn hex_string(bytes: &[u8; 32]) -> String {
    hex(bytes).iter().map(|b| char::from(*b)).collect()
}

/// 64 hexadecimal digits, either case, as 32 bytes.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests;
