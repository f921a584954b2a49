//! What can be wrong with a signature, in neutral terms: which service says it in which words is the services' part.

use super::AmzDate;

/// Where a request carries its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In the `Authorization` header.
    Header,
    /// In the query string (a presigned URL).
    Query,
}

/// Why a signature was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The request is signed twice, in the header and in the query.
    #[error("the request carries more than one kind of signature")]
    SeveralMechanisms,
    /// An `Authorization` header that is not AWS's (`Basic …`).
    #[error("the authorization type is not one of AWS's")]
    NotAws {
        /// The header as sent.
        authorization: String,
    },
    /// AWS's, but none that is verified here (SigV4A's `AWS4-ECDSA-P256-SHA256`, SigV2 outside S3).
    #[error("signature algorithm {algorithm} is not supported")]
    UnsupportedAlgorithm {
        /// The algorithm's name as sent.
        algorithm: String,
        /// Where it stood.
        carrier: Carrier,
    },
    /// Parameters of the signature are missing.
    #[error("the signature lacks {missing:?}")]
    MissingParameters {
        /// Their names, `Credential`, `X-Amz-Date`.
        missing: Vec<&'static str>,
        /// Where they should stand.
        carrier: Carrier,
        /// The header as sent; empty for a query.
        authorization: String,
    },
    /// A part of the `Authorization` header is no `key=value`.
    #[error("{part:?} is not a key=value pair")]
    NotKeyValue {
        /// The part.
        part: String,
        /// The header as sent.
        authorization: String,
    },
    /// No date, neither `x-amz-date` nor `Date`.
    #[error("the request has no date")]
    DateMissing {
        /// The header as sent.
        authorization: String,
    },
    /// A date that cannot be read.
    #[error("the date {got:?} cannot be read")]
    DateMalformed {
        /// The date as sent.
        got: String,
        /// Where the signature stood.
        carrier: Carrier,
    },
    /// The credential has not five parts, or an unusable one.
    #[error("the credential {got:?} is malformed")]
    CredentialMalformed {
        /// The credential as sent.
        got: String,
        /// Where it stood.
        carrier: Carrier,
    },
    /// The credential's region is none.
    #[error("the credential's region {got:?} is not a region's name")]
    RegionMalformed {
        /// The region as sent.
        got: String,
        /// Where it stood.
        carrier: Carrier,
    },
    /// The credential does not end with `aws4_request`.
    #[error("the credential ends with {got:?} instead of aws4_request")]
    TerminatorMalformed {
        /// The terminator as sent.
        got: String,
        /// Where it stood.
        carrier: Carrier,
    },
    /// The credential's day is not the day of the request's date.
    #[error("the credential is for {scope_day} but the request is of {date}")]
    ScopeDay {
        /// The day in the credential.
        scope_day: String,
        /// The request's date.
        date: AmzDate,
        /// Where it stood.
        carrier: Carrier,
    },
    /// The signature itself is not 64 hexadecimal digits (SigV4) or 20 bytes of base64 (SigV2).
    #[error("the signature is malformed")]
    SignatureMalformed,
    /// `X-Amz-Expires`, or SigV2's `Expires`, is not a number.
    #[error("the expiry {got:?} is not a number")]
    ExpiresNotANumber {
        /// The expiry as sent.
        got: String,
    },
    /// `X-Amz-Expires` is negative.
    #[error("the expiry is negative")]
    ExpiresNegative,
    /// `X-Amz-Expires` is over a week.
    #[error("the expiry is over a week")]
    ExpiresTooLong,
    /// `host` is not among the signed headers.
    #[error("the Host header is not signed")]
    HostNotSigned,
    /// `x-amz-*` headers of the request are not among the signed headers.
    #[error("headers are not signed: {}", names.join(", "))]
    HeadersNotSigned {
        /// Their names, lower case.
        names: Vec<String>,
    },
    /// More signed headers than anybody has.
    #[error("more than {} signed headers", super::SIGNED_HEADERS_MAX)]
    TooManySignedHeaders,
    /// S3: `x-amz-content-sha256` is missing.
    #[error("x-amz-content-sha256 is missing")]
    ContentSha256Missing,
    /// S3: `x-amz-content-sha256` is neither a digest nor one of the known words.
    #[error("x-amz-content-sha256 {got:?} is not valid")]
    ContentSha256Invalid {
        /// The value as sent.
        got: String,
    },
    /// A header-signed request too far from the server's time.
    #[error("the request is of {date} and it is {now} here")]
    Skewed {
        /// The request's date.
        date: AmzDate,
        /// The server's.
        now: AmzDate,
    },
    /// A presigned URL past its end.
    #[error("the presigned URL of {date} was valid for {expires_s} s and it is {now} here")]
    Expired {
        /// When it was signed (SigV4), or when it ended (SigV2).
        date: AmzDate,
        /// How long it was valid, in seconds; 0 for SigV2, whose `date` is the end.
        expires_s: u64,
        /// The server's time.
        now: AmzDate,
    },
    /// A presigned URL from the future.
    #[error("the presigned URL of {date} is not valid yet, it is {now} here")]
    NotYetValid {
        /// When it was signed.
        date: AmzDate,
        /// The server's time.
        now: AmzDate,
    },
    /// The computed signature is another one.
    #[error("the computed signature is another one")]
    Mismatch(Box<Mismatch>),
}

/// What was signed here when the signatures differ; AWS shows it to the caller, who holds all of it already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// SigV4's canonical request; empty for SigV2.
    pub canonical_request: String,
    /// The string to sign.
    pub string_to_sign: String,
    /// The signature as sent.
    pub signature_provided: String,
}

impl SignatureError {
    /// Shorthand for a mismatch.
    pub(crate) fn mismatch(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}
