//! [`AuthError`]: why a request was not let in, and what AWS says then.
//!
//! Invariant: this is the one file of the crate that knows AWS's codes and sentences. S3 has its own; all other services
//! share the sentences that their common front end has.

use wire::ApiError;
use wire::signature::{AmzDate, Carrier, SKEW_MAX_S, SignatureError};
use wire::signed_body::BodyError;

use crate::{KeysError, TokenError};

/// Why a request was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The signature is malformed, out of its time, or wrong.
    #[error("{error}")]
    Signature {
        /// What is wrong.
        #[source]
        error: SignatureError,
        /// Who the request claims to be signed by, once that is known.
        access_key_id: Option<String>,
    },
    /// No such access key.
    #[error("access key {access_key_id:?} does not exist")]
    UnknownKey {
        /// The id as sent.
        access_key_id: String,
    },
    /// A session token that is not valid, or not any more.
    #[error("{error}")]
    Token {
        /// What is wrong with it.
        error: TokenError,
        /// The id that it came with.
        access_key_id: String,
    },
    /// The body is not the signed one.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Signed for another service than the one that the request was sent to.
    #[error("the request is signed for service {signed_for:?}, not for {expected:?}")]
    WrongService {
        /// The service in the credential's scope.
        signed_for: String,
        /// The service that got the request.
        expected: &'static str,
    },
    /// S3: a streamed body without `x-amz-decoded-content-length`.
    #[error("a streamed body without x-amz-decoded-content-length")]
    DecodedLengthMissing,
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl From<SignatureError> for AuthError {
    fn from(error: SignatureError) -> Self {
        Self::Signature { error, access_key_id: None }
    }
}

/// The sentence of a wrong signature, of all services but S3.
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::sender("IncompleteSignature", message)
}

fn does_not_match(message: impl Into<String>) -> ApiError {
    ApiError::sender("SignatureDoesNotMatch", message).with_status(403)
}

/// 900 as AWS's sentences have it.
const SKEW_MAX_MIN: u64 = SKEW_MAX_S / 60;

fn shifted(date: &AmzDate, shift_s: i64) -> String {
    date.unix_s().checked_add_signed(shift_s).and_then(AmzDate::from_unix).unwrap_or(*date).to_string()
}

impl AuthError {
    /// In the words of the services that speak Query or JSON.
    pub fn to_query(&self) -> ApiError {
        match self {
            Self::Signature { error, .. } => signature_to_query(error),
            Self::Token { error: TokenError::Expired, .. } => {
                ApiError::sender("ExpiredToken", "The security token included in the request is expired")
                    .with_status(403)
            }
            Self::UnknownKey { .. } | Self::Token { error: TokenError::Invalid, .. } => {
                ApiError::sender("InvalidClientTokenId", "The security token included in the request is invalid.")
                    .with_status(403)
            }
            Self::Body(_) | Self::DecodedLengthMissing => does_not_match(MISMATCH),
            Self::WrongService { expected, .. } => {
                does_not_match(format!("Credential should be scoped to correct service: '{expected}'. "))
            }
            Self::Keys(_) => {
                ApiError::receiver("InternalFailure", "We encountered an internal error. Please try again.")
            }
        }
    }

    /// In EC2's words: one for a key that is not there and for a secret that is wrong.
    pub fn to_ec2(&self) -> ApiError {
        match self {
            Self::Token { error: TokenError::Expired, .. } => {
                ApiError::sender("RequestExpired", "Request has expired.")
            }
            Self::UnknownKey { .. }
            | Self::Token { .. }
            | Self::Signature { error: SignatureError::Mismatch(_), .. } => {
                ApiError::sender("AuthFailure", "AWS was not able to validate the provided access credentials")
                    .with_status(401)
            }
            other => other.to_query(),
        }
    }

    /// The Query and JSON services' answer to a request that nobody signed and that no policy can open.
    pub fn missing_token() -> ApiError {
        ApiError::sender("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
    }

    /// In S3's words; [`AuthError::s3_details`] go with it.
    pub fn to_s3(&self) -> ApiError {
        match self {
            Self::Signature { error, .. } => signature_to_s3(error),
            Self::UnknownKey { .. } => ApiError::sender(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
            .with_status(403),
            Self::Token { error: TokenError::Invalid, .. } => {
                ApiError::sender("InvalidToken", "The provided token is malformed or otherwise invalid.")
            }
            Self::Token { error: TokenError::Expired, .. } => {
                ApiError::sender("ExpiredToken", "The provided token has expired.")
            }
            Self::Body(error) => error.to_s3().unwrap_or_else(internal_s3),
            Self::WrongService { signed_for, expected } => ApiError::sender(
                "AuthorizationHeaderMalformed",
                format!(
                    "The authorization header is malformed; incorrect service \"{signed_for}\". This endpoint belongs to \
                     \"{expected}\"."
                ),
            ),
            Self::DecodedLengthMissing => {
                ApiError::sender("MissingContentLength", "You must provide the Content-Length HTTP header.")
                    .with_status(411)
            }
            Self::Keys(_) => internal_s3(),
        }
    }

    /// The elements that S3's error document has besides code and message, in their order.
    pub fn s3_details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::UnknownKey { access_key_id } => vec![("AWSAccessKeyId", access_key_id.clone())],
            Self::Signature { error, access_key_id } => signature_details(error, access_key_id.as_deref()),
            Self::Body(BodyError::ContentSha256Mismatch { claimed, computed }) => {
                vec![("ClientComputedContentSHA256", claimed.clone()), ("S3ComputedContentSHA256", computed.clone())]
            }
            _ => Vec::new(),
        }
    }
}

fn internal_s3() -> ApiError {
    ApiError::receiver("InternalError", "We encountered an internal error. Please try again.")
}

fn signature_to_query(error: &SignatureError) -> ApiError {
    use SignatureError as E;
    match error {
        E::NotAws { authorization } => incomplete(format!(
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
             Authorization header requires 'SignedHeaders' parameter. Authorization={authorization}"
        )),
        E::UnsupportedAlgorithm { algorithm, .. } => incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")),
        E::MissingParameters { missing, carrier, authorization } => {
            incomplete(missing_sentence(missing, *carrier, authorization))
        }
        E::NotKeyValue { part, authorization } => incomplete(format!(
            "'{part}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
        )),
        E::DateMissing { authorization } => incomplete(format!(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. \
             Authorization={authorization}"
        )),
        E::DateMalformed { got, .. } => incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{got}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )),
        E::CredentialMalformed { got, .. } => incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{got}'"
        )),
        E::RegionMalformed { got, .. } => {
            does_not_match(format!("Credential should be scoped to a valid region, not '{got}'. "))
        }
        E::TerminatorMalformed { got, .. } => does_not_match(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{got}'. "
        )),
        E::ScopeDay { scope_day, date, .. } => does_not_match(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope_day}' != \
             '{}', from '{date}'.",
            date.day()
        )),
        E::HostNotSigned => does_not_match("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."),
        E::HeadersNotSigned { names } => {
            does_not_match(format!("'{}' must be a 'SignedHeader' in the AWS Authorization.", names.join("', '")))
        }
        E::Skewed { date, now } if date.unix_s() < now.unix_s() => does_not_match(format!(
            "Signature expired: {date} is now earlier than {} ({now} - {SKEW_MAX_MIN} min.)",
            shifted(now, -(SKEW_MAX_S as i64))
        )),
        E::Skewed { date, now } | E::NotYetValid { date, now } => does_not_match(format!(
            "Signature not yet current: {date} is still later than {} ({now} + {SKEW_MAX_MIN} min.)",
            shifted(now, SKEW_MAX_S as i64)
        )),
        E::Expired { date, expires_s, now } => does_not_match(format!(
            "Signature expired: {} is now earlier than {now}",
            shifted(date, i64::try_from(*expires_s).unwrap_or_default())
        )),
        E::SeveralMechanisms
        | E::ExpiresNotANumber { .. }
        | E::ExpiresNegative
        | E::ExpiresTooLong
        | E::TooManySignedHeaders
        | E::ContentSha256Missing
        | E::ContentSha256Invalid { .. } => incomplete(format!("The signature cannot be read: {error}.")),
        E::SignatureMalformed | E::Mismatch(_) => does_not_match(MISMATCH),
    }
}

fn missing_sentence(missing: &[&str], carrier: Carrier, authorization: &str) -> String {
    match carrier {
        Carrier::Header => {
            let required: String =
                missing.iter().map(|name| format!("Authorization header requires '{name}' parameter. ")).collect();
            format!("{required}Authorization={authorization}")
        }
        Carrier::Query => {
            let required: String =
                missing.iter().map(|name| format!("AWS query-string parameters must include '{name}'. ")).collect();
            format!("{required}Re-examine the query-string parameters.")
        }
    }
}

/// S3's code and opening for a malformed signature, which depend on where it stood.
fn s3_malformed(carrier: Carrier, in_header: &str, in_query: &str) -> ApiError {
    match carrier {
        Carrier::Header => ApiError::sender(
            "AuthorizationHeaderMalformed",
            format!("The authorization header is malformed; {in_header}"),
        ),
        Carrier::Query => ApiError::sender("AuthorizationQueryParametersError", in_query),
    }
}

fn s3_query_error(message: &str) -> ApiError {
    ApiError::sender("AuthorizationQueryParametersError", message)
}

fn s3_denied(message: &str) -> ApiError {
    ApiError::sender("AccessDenied", message).with_status(403)
}

fn signature_to_s3(error: &SignatureError) -> ApiError {
    use SignatureError as E;
    match error {
        E::SeveralMechanisms => ApiError::sender(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter \
             or the Authorization header should be specified",
        ),
        E::NotAws { .. } => ApiError::sender("InvalidArgument", "Unsupported Authorization Type"),
        E::UnsupportedAlgorithm { algorithm, .. } => ApiError::sender(
            "NotImplemented",
            format!("Signature algorithm {algorithm} is not implemented; sign with AWS4-HMAC-SHA256."),
        )
        .with_status(501),
        E::DateMissing { .. } => s3_denied("AWS authentication requires a valid Date or x-amz-date header"),
        E::DateMalformed { carrier: Carrier::Header, .. } => {
            s3_denied("AWS authentication requires a valid Date or x-amz-date header")
        }
        E::DateMalformed { .. } => {
            s3_query_error("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        }
        E::ExpiresNotANumber { .. } => s3_query_error("X-Amz-Expires should be a number"),
        E::ExpiresNegative => s3_query_error("X-Amz-Expires must be non-negative"),
        E::ExpiresTooLong => s3_query_error(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        ),
        E::HeadersNotSigned { .. } | E::HostNotSigned => {
            s3_denied("There were headers present in the request which were not signed")
        }
        E::ContentSha256Missing => {
            ApiError::sender("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        }
        E::ContentSha256Invalid { .. } => ApiError::sender(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
             STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid \
             sha256 value.",
        ),
        E::Skewed { .. } => ApiError::sender(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )
        .with_status(403),
        E::Expired { .. } => s3_denied("Request has expired"),
        E::NotYetValid { .. } => s3_denied("Request is not valid yet"),
        E::SignatureMalformed | E::Mismatch(_) => ApiError::sender(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing \
             method.",
        )
        .with_status(403),
        E::MissingParameters { .. }
        | E::NotKeyValue { .. }
        | E::CredentialMalformed { .. }
        | E::RegionMalformed { .. }
        | E::TerminatorMalformed { .. }
        | E::ScopeDay { .. }
        | E::TooManySignedHeaders => malformed_to_s3(error),
    }
}

/// The errors that S3 words differently for header and query.
fn malformed_to_s3(error: &SignatureError) -> ApiError {
    use SignatureError as E;
    match error {
        E::MissingParameters { missing, carrier, .. } => s3_malformed(
            *carrier,
            &format!(
                "the authorization header requires three components: Credential, SignedHeaders, and Signature; \
                      missing {}.",
                missing.join(", ")
            ),
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
             X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        ),
        E::CredentialMalformed { carrier, .. } => s3_malformed(
            *carrier,
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
            "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ),
        E::RegionMalformed { got, carrier } => s3_malformed(
            *carrier,
            &format!("the region '{got}' is wrong"),
            &format!("Error parsing the X-Amz-Credential parameter; the region '{got}' is wrong"),
        ),
        E::TerminatorMalformed { got, carrier } => s3_malformed(
            *carrier,
            &format!("incorrect terminal \"{got}\". This endpoint uses \"aws4_request\"."),
            &format!(
                "Error parsing the X-Amz-Credential parameter; incorrect terminal \"{got}\". This endpoint uses \
                 \"aws4_request\"."
            ),
        ),
        E::ScopeDay { scope_day, date, carrier } => {
            let sentence = format!(
                "Invalid credential date \"{scope_day}\". This date is not the same as X-Amz-Date: \"{}\".",
                date.day()
            );
            s3_malformed(*carrier, &sentence, &sentence)
        }
        other => s3_malformed(Carrier::Header, &format!("{other}."), ""),
    }
}

fn signature_details(error: &SignatureError, access_key_id: Option<&str>) -> Vec<(&'static str, String)> {
    use SignatureError as E;
    match error {
        E::Skewed { date, now } => vec![
            ("RequestTime", date.to_string()),
            ("ServerTime", now.extended()),
            ("MaxAllowedSkewMilliseconds", (SKEW_MAX_S * 1000).to_string()),
        ],
        E::Expired { date, expires_s, now } => {
            let end = date.unix_s().checked_add(*expires_s).and_then(AmzDate::from_unix).unwrap_or(*date);
            let mut details = vec![("Expires", end.extended()), ("ServerTime", now.extended())];
            if *expires_s > 0 {
                details.insert(0, ("X-Amz-Expires", expires_s.to_string()));
            }
            details
        }
        E::HeadersNotSigned { names } => vec![("HeadersNotSigned", names.join(", "))],
        E::HostNotSigned => vec![("HeadersNotSigned", "host".to_owned())],
        E::NotAws { authorization } | E::MissingParameters { authorization, .. } if !authorization.is_empty() => {
            vec![("ArgumentName", "Authorization".to_owned()), ("ArgumentValue", authorization.clone())]
        }
        E::ContentSha256Invalid { got } => {
            vec![("ArgumentName", "x-amz-content-sha256".to_owned()), ("ArgumentValue", got.clone())]
        }
        E::Mismatch(mismatch) => {
            let mut details = vec![
                ("AWSAccessKeyId", access_key_id.unwrap_or_default().to_owned()),
                ("StringToSign", mismatch.string_to_sign.clone()),
                ("SignatureProvided", mismatch.signature_provided.clone()),
                ("StringToSignBytes", spaced_hex(&mismatch.string_to_sign)),
            ];
            if !mismatch.canonical_request.is_empty() {
                details.push(("CanonicalRequest", mismatch.canonical_request.clone()));
                details.push(("CanonicalRequestBytes", spaced_hex(&mismatch.canonical_request)));
            }
            details
        }
        _ => Vec::new(),
    }
}

/// `41 57 53 34`.
fn spaced_hex(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> AmzDate {
        AmzDate::parse(text).unwrap()
    }

    /// A code and its HTTP status.
    type Told = (&'static str, u16);

    /// Every kind of error, with what S3 tells of it and what the other services do.
    fn all() -> Vec<(SignatureError, Told, Told)> {
        use Carrier::{Header, Query};
        use SignatureError as E;
        let got = || "x".to_owned();
        let (date, now) = (date("20260101T000000Z"), date("20260102T000000Z"));
        let incomplete = ("IncompleteSignature", 400);
        let mismatch = ("SignatureDoesNotMatch", 403);
        let in_header = ("AuthorizationHeaderMalformed", 400);
        let in_query = ("AuthorizationQueryParametersError", 400);
        let denied = ("AccessDenied", 403);
        let missing = |carrier| E::MissingParameters { missing: vec!["Credential"], carrier, authorization: got() };
        vec![
            (E::SeveralMechanisms, ("InvalidArgument", 400), incomplete),
            (E::NotAws { authorization: got() }, ("InvalidArgument", 400), incomplete),
            (E::UnsupportedAlgorithm { algorithm: got(), carrier: Header }, ("NotImplemented", 501), incomplete),
            (missing(Header), in_header, incomplete),
            (missing(Query), in_query, incomplete),
            (E::NotKeyValue { part: got(), authorization: got() }, in_header, incomplete),
            (E::DateMissing { authorization: got() }, denied, incomplete),
            (E::DateMalformed { got: got(), carrier: Header }, denied, incomplete),
            (E::DateMalformed { got: got(), carrier: Query }, in_query, incomplete),
            (E::CredentialMalformed { got: got(), carrier: Header }, in_header, incomplete),
            (E::CredentialMalformed { got: got(), carrier: Query }, in_query, incomplete),
            (E::RegionMalformed { got: got(), carrier: Header }, in_header, mismatch),
            (E::TerminatorMalformed { got: got(), carrier: Query }, in_query, mismatch),
            (E::ScopeDay { scope_day: got(), date, carrier: Header }, in_header, mismatch),
            (E::SignatureMalformed, mismatch, mismatch),
            (E::ExpiresNotANumber { got: got() }, in_query, incomplete),
            (E::ExpiresNegative, in_query, incomplete),
            (E::ExpiresTooLong, in_query, incomplete),
            (E::HostNotSigned, denied, mismatch),
            (E::HeadersNotSigned { names: vec![got()] }, denied, mismatch),
            (E::TooManySignedHeaders, in_header, incomplete),
            (E::ContentSha256Missing, ("InvalidRequest", 400), incomplete),
            (E::ContentSha256Invalid { got: got() }, ("InvalidArgument", 400), incomplete),
            (E::Skewed { date, now }, ("RequestTimeTooSkewed", 403), mismatch),
            (E::Expired { date, expires_s: 60, now }, denied, mismatch),
            (E::NotYetValid { date, now }, denied, mismatch),
            (E::Mismatch(Box::default()), mismatch, mismatch),
        ]
    }

    #[test]
    fn every_error_has_awss_code_in_both_dialects() {
        for (error, s3, query) in all() {
            let error = AuthError::from(error);
            let (in_s3, in_query) = (error.to_s3(), error.to_query());
            assert_eq!((in_s3.code.as_ref(), in_s3.status), s3, "{error:?}");
            assert_eq!((in_query.code.as_ref(), in_query.status), query, "{error:?}");
            assert!(!in_s3.message.is_empty() && !in_query.message.is_empty());
        }
    }

    #[test]
    fn ec2_has_one_answer_to_a_wrong_key_and_a_wrong_secret() {
        let unknown = AuthError::UnknownKey { access_key_id: "AKIA".into() };
        assert_eq!((unknown.to_ec2().code.as_ref(), unknown.to_ec2().status), ("AuthFailure", 401));
        let wrong_service = AuthError::WrongService { signed_for: "s3".into(), expected: "ec2" };
        assert_eq!(wrong_service.to_ec2().code, "SignatureDoesNotMatch");
    }

    #[test]
    fn a_store_that_fails_is_our_fault_and_tells_nothing() {
        let error = AuthError::Keys(KeysError::Sealed { access_key_id: "AKIASECRET".into() });
        for api in [error.to_s3(), error.to_query()] {
            assert_eq!(api.status, 500);
            assert!(!api.message.contains("AKIASECRET"));
        }
        assert!(error.s3_details().is_empty());
    }

    #[test]
    fn a_url_of_the_future_and_one_of_the_past_are_told_apart() {
        let (early, late) = (date("20260101T000000Z"), date("20260101T010000Z"));
        let future = AuthError::from(SignatureError::NotYetValid { date: late, now: early });
        assert_eq!(
            future.to_query().message,
            "Signature not yet current: 20260101T010000Z is still later than 20260101T001500Z (20260101T000000Z + 15 min.)"
        );
        let past = AuthError::from(SignatureError::Expired { date: early, expires_s: 60, now: late });
        assert_eq!(past.to_query().message, "Signature expired: 20260101T000100Z is now earlier than 20260101T010000Z");
        let details = past.s3_details();
        assert_eq!(details[1], ("Expires", "2026-01-01T00:01:00Z".to_owned()));
    }
}
