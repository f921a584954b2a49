//! SigV2, S3's only: `Authorization: AWS AKID:signature` and its query form, as SDKs before 2016 and old tools sign.
//!
//! Invariants:
//! - The signature is HMAC-SHA1 over a string that covers neither body nor host: SigV2 is for S3 alone, never for a
//!   service whose body is its command.
//! - A bucket in the host name is part of what is signed, so the caller says which one the host names.
//!
//! Source: "Signing and authenticating REST requests" in S3's user guide.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::canonical::{decoded, query_pairs};
use super::sigv4::is_access_key_id;
use super::{AmzDate, Carrier, Mismatch, SKEW_MAX_S, SignatureError, SignedRequest};

/// The query parameters that are part of the signed resource.
const SUBRESOURCES: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// When a SigV2 signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Validity<'a> {
    /// Signed in a header: around this date. The text is what was signed, empty where `x-amz-date` stands in.
    Around { date: AmzDate, signed_text: &'a str },
    /// Presigned: until then, seconds since the Unix epoch.
    Until { expires: u64, signed_text: Cow<'a, str> },
}

/// What a SigV2 request says about its signer; well formed, and no more than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Who.
    pub access_key_id: Cow<'a, str>,
    signature: [u8; 20],
    validity: Validity<'a>,
}

/// Parses an `Authorization` header that begins with `AWS `.
pub(super) fn parse_header<'a>(
    request: SignedRequest<'a>,
    authorization: &'a str,
) -> Result<Claim<'a>, SignatureError> {
    let carrier = Carrier::Header;
    let credential = authorization.strip_prefix("AWS").unwrap_or_default().trim();
    let malformed = || SignatureError::CredentialMalformed { got: credential.to_owned(), carrier };
    let (access_key_id, signature) = credential.split_once(':').ok_or_else(malformed)?;
    if !is_access_key_id(access_key_id) {
        return Err(malformed());
    }
    let signature = parse_signature(signature)?;
    let amz_date = request.header("x-amz-date");
    let text = amz_date.or_else(|| request.header("date"));
    let text = text.ok_or_else(|| SignatureError::DateMissing { authorization: authorization.to_owned() })?;
    let date =
        AmzDate::parse_lenient(text).ok_or_else(|| SignatureError::DateMalformed { got: text.to_owned(), carrier })?;
    let signed_text = if amz_date.is_some() { "" } else { text };
    Ok(Claim { access_key_id: access_key_id.into(), signature, validity: Validity::Around { date, signed_text } })
}

/// Parses the query form: `AWSAccessKeyId`, `Expires`, `Signature`.
pub(super) fn parse_query(query: &str) -> Result<Claim<'_>, SignatureError> {
    let carrier = Carrier::Query;
    let find = |wanted: &str| query_pairs(query).find(|(name, _)| *name == wanted).map(|(_, value)| text(value));
    let (Some(access_key_id), Some(signature), Some(signed_text)) =
        (find("AWSAccessKeyId"), find("Signature"), find("Expires"))
    else {
        let missing = vec!["Expires"];
        return Err(SignatureError::MissingParameters { missing, carrier, authorization: String::new() });
    };
    if !is_access_key_id(&access_key_id) {
        return Err(SignatureError::CredentialMalformed { got: access_key_id.into_owned(), carrier });
    }
    let signature = parse_signature(&signature)?;
    let expires = signed_text.parse();
    let expires = expires.map_err(|_| SignatureError::ExpiresNotANumber { got: signed_text.clone().into_owned() })?;
    Ok(Claim { access_key_id, signature, validity: Validity::Until { expires, signed_text } })
}

fn text(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    // A literal plus stays one: base64 has it, and a space would be no base64 anyway.
    Cow::Owned(String::from_utf8_lossy(&decoded(raw.as_bytes(), false)).into_owned())
}

fn parse_signature(text: &str) -> Result<[u8; 20], SignatureError> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| SignatureError::SignatureMalformed)?;
    bytes.try_into().map_err(|_| SignatureError::SignatureMalformed)
}

impl Claim<'_> {
    /// Where the signature stood.
    pub fn carrier(&self) -> Carrier {
        match self.validity {
            Validity::Around { .. } => Carrier::Header,
            Validity::Until { .. } => Carrier::Query,
        }
    }

    /// Whether the claim still holds at `now`, in seconds since the Unix epoch.
    pub fn check_time(&self, now: u64) -> Result<(), SignatureError> {
        match self.validity {
            Validity::Around { date, .. } if date.unix_s().abs_diff(now) > SKEW_MAX_S => {
                Err(SignatureError::Skewed { date, now: AmzDate::from_unix(now).unwrap_or(date) })
            }
            Validity::Around { .. } => Ok(()),
            Validity::Until { .. } => self.check_expiry(now),
        }
    }

    /// Whether a presigned URL has not expired at `now`; header-signed requests do not expire.
    pub fn check_expiry(&self, now: u64) -> Result<(), SignatureError> {
        let Validity::Until { expires, .. } = self.validity else { return Ok(()) };
        match (AmzDate::from_unix(expires), AmzDate::from_unix(now)) {
            (Some(date), Some(now_text)) if now > expires => {
                Err(SignatureError::Expired { date, expires_s: 0, now: now_text })
            }
            _ => Ok(()),
        }
    }

    /// Whether the holder of `secret_access_key` signed this request. `virtual_bucket` is the bucket that the Host
    /// names, `None` for a path-style request.
    pub fn verify(
        &self,
        request: SignedRequest<'_>,
        virtual_bucket: Option<&str>,
        secret_access_key: &str,
    ) -> Result<(), SignatureError> {
        let to_sign = self.string_to_sign(request, virtual_bucket);
        let computed = hmac_sha1(secret_access_key.as_bytes(), &to_sign);
        if bool::from(computed.ct_eq(&self.signature)) {
            return Ok(());
        }
        Err(SignatureError::mismatch(Mismatch {
            canonical_request: String::new(),
            string_to_sign: String::from_utf8_lossy(&to_sign).into_owned(),
            signature_provided: STANDARD.encode(self.signature),
        }))
    }

    fn string_to_sign(&self, request: SignedRequest<'_>, virtual_bucket: Option<&str>) -> Vec<u8> {
        let date = match &self.validity {
            Validity::Around { signed_text, .. } => signed_text,
            Validity::Until { signed_text, .. } => signed_text.as_ref(),
        };
        let header = |name: &str| request.header(name).map_or("", str::trim);
        let mut out = Vec::with_capacity(256);
        for line in [request.method.as_str(), header("content-md5"), header("content-type"), date.trim()] {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        // A presigned URL's token is signed as the header that it stands for.
        let token = match self.validity {
            Validity::Until { .. } => request.uri.query().and_then(super::presigned::security_token),
            Validity::Around { .. } => None,
        };
        push_amz_headers(&mut out, request.headers, token.as_deref());
        push_resource(&mut out, request, virtual_bucket);
        out
    }
}

fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    // HMAC takes keys of any length: the error type is a leftover of the trait.
    let mut state: Hmac<Sha1> = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    state.update(message);
    state.finalize().into_bytes().into()
}

const TOKEN: &str = "x-amz-security-token";

fn push_amz_headers(out: &mut Vec<u8>, headers: &HeaderMap, token_in_query: Option<&str>) {
    let token = token_in_query.filter(|_| !headers.contains_key(TOKEN));
    let mut names: Vec<&str> =
        headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-")).collect();
    names.extend(token.map(|_| TOKEN));
    names.sort_unstable();
    for name in names {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        if let (TOKEN, Some(token)) = (name, token) {
            out.extend_from_slice(token.as_bytes());
        }
        for (index, value) in headers.get_all(name).iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // Unlike SigV4, blanks inside a value stay as they are.
            out.extend_from_slice(value.as_bytes().trim_ascii());
        }
        out.push(b'\n');
    }
}

fn push_resource(out: &mut Vec<u8>, request: SignedRequest<'_>, virtual_bucket: Option<&str>) {
    if let Some(bucket) = virtual_bucket {
        out.push(b'/');
        out.extend_from_slice(bucket.as_bytes());
    }
    let path = request.uri.path();
    out.extend_from_slice(if path.is_empty() { b"/" } else { path.as_bytes() });
    // S3 signs a bucket as `/bucket/`, however the client wrote its path.
    let is_bucket = virtual_bucket.is_none() && path.len() > 1 && !path[1..].contains('/');
    if is_bucket {
        out.push(b'/');
    }

    let pieces = request.query().split('&').map(|piece| match piece.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (piece, None),
    });
    // By their decoded names, as S3 reads them: an escaped `%61cl` would ask for more than was signed.
    let mut signed: Vec<_> = pieces
        .map(|(name, value)| (text(name), value))
        .filter(|(name, _)| SUBRESOURCES.contains(&name.as_ref()))
        .collect();
    signed.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (index, (name, value)) in signed.into_iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(&decoded(value.as_bytes(), false));
        }
    }
}
