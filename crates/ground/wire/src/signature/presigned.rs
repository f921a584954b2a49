//! Presigned URLs: SigV4 in the query string.
//!
//! Invariant: what is parsed here is judged by [`super::sigv4::Verification`] like any other SigV4 claim; the only
//! difference is that `X-Amz-Signature` itself is left out of the canonical query.

use std::borrow::Cow;

use http::Uri;

use super::canonical::{decoded, push_encoded, query_pairs};
use super::sigv4::{ALGORITHM, Claim, Signer};
use super::{AmzDate, Carrier, SignatureError, SignedRequest, hex_string};

/// The longest life of a presigned URL, in seconds. AWS: a week.
pub const EXPIRES_MAX_S: u64 = 604_800;

/// The signature's parameters, still encoded.
#[derive(Default)]
struct Parameters<'a> {
    algorithm: Option<&'a str>,
    credential: Option<&'a str>,
    date: Option<&'a str>,
    expires: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    fn of(query: &'a str) -> Result<Self, SignatureError> {
        let mut found = Self::default();
        for (name, value) in query_pairs(query) {
            let slot = match name {
                "X-Amz-Algorithm" => &mut found.algorithm,
                "X-Amz-Credential" => &mut found.credential,
                "X-Amz-Date" => &mut found.date,
                "X-Amz-Expires" => &mut found.expires,
                "X-Amz-SignedHeaders" => &mut found.signed_headers,
                "X-Amz-Signature" => &mut found.signature,
                _ => continue,
            };
            // Two values could be read as either, by us and by whoever stands before us.
            if slot.replace(value).is_some() {
                return Err(SignatureError::SeveralMechanisms);
            }
        }
        Ok(found)
    }

    fn missing(&self, is_s3: bool) -> Vec<&'static str> {
        let all = [
            ("X-Amz-Algorithm", self.algorithm, true),
            ("X-Amz-Credential", self.credential, true),
            ("X-Amz-Signature", self.signature, true),
            ("X-Amz-Date", self.date, true),
            ("X-Amz-SignedHeaders", self.signed_headers, true),
            ("X-Amz-Expires", self.expires, is_s3),
        ];
        all.iter().filter(|(_, value, required)| *required && value.is_none()).map(|(name, ..)| *name).collect()
    }
}

/// Parses the `X-Amz-*` parameters of a query string.
pub(super) fn parse(request: SignedRequest<'_>) -> Result<Claim<'_>, SignatureError> {
    let carrier = Carrier::Query;
    let found = Parameters::of(request.query())?;
    let algorithm = text(found.algorithm.unwrap_or_default());
    if found.algorithm.is_some() && algorithm != ALGORITHM {
        return Err(SignatureError::UnsupportedAlgorithm { algorithm: algorithm.into_owned(), carrier });
    }
    // Only S3 demands an expiry; elsewhere a URL without one lives as long as a header-signed request.
    let is_s3 = found.credential.is_some_and(|credential| text(credential).split('/').nth(3) == Some("s3"));
    let missing = found.missing(is_s3);
    let (Some(credential), Some(signed_headers), Some(signature), Some(date), true) =
        (found.credential, found.signed_headers, found.signature, found.date, missing.is_empty())
    else {
        return Err(SignatureError::MissingParameters { missing, carrier, authorization: String::new() });
    };
    let date = text(date);
    let date =
        AmzDate::parse(&date).ok_or_else(|| SignatureError::DateMalformed { got: date.into_owned(), carrier })?;
    let expires_s = found.expires.map(|expires| parse_expires(&text(expires))).transpose()?;
    let claim = Claim::assemble(text(credential), text(signed_headers), &text(signature), date, carrier)?;
    Ok(Claim { expires_s, ..claim })
}

fn parse_expires(text: &str) -> Result<u64, SignatureError> {
    let number: i64 = text.parse().map_err(|_| SignatureError::ExpiresNotANumber { got: text.to_owned() })?;
    match u64::try_from(number) {
        Err(_) => Err(SignatureError::ExpiresNegative),
        Ok(expires_s) if expires_s > EXPIRES_MAX_S => Err(SignatureError::ExpiresTooLong),
        Ok(expires_s) => Ok(expires_s),
    }
}

/// A parameter's text, decoded; bytes that are no UTF-8 become the replacement character and match nothing.
fn text(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(String::from_utf8_lossy(&decoded(raw.as_bytes(), true)).into_owned())
}

/// The `X-Amz-Content-Sha256` parameter of a presigned URL, which some SDKs put there instead of a header.
pub fn content_sha256(query: &str) -> Option<&str> {
    query_pairs(query).find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256")).map(|(_, value)| value)
}

/// The `X-Amz-Security-Token` parameter of a presigned URL, decoded: the token of a session's credentials.
pub fn security_token(query: &str) -> Option<Cow<'_, str>> {
    let (_, raw) = query_pairs(query).find(|(name, _)| name.eq_ignore_ascii_case("x-amz-security-token"))?;
    Some(Cow::Owned(String::from_utf8(decoded(raw.as_bytes(), true)).ok()?))
}

/// Presigns a request for `expires_s` seconds, signing only its `host` header (which must be there, or in the target);
/// returns the whole query string. For S3 the payload hash is `UNSIGNED-PAYLOAD`, elsewhere that of the body.
pub fn presign(
    signer: &Signer<'_>,
    request: SignedRequest<'_>,
    payload_hash: &str,
    expires_s: u64,
    date: &AmzDate,
) -> String {
    let credential = format!("{}/{}", signer.access_key_id, signer.scope(date));
    let mut encoded_credential = Vec::new();
    push_encoded(&mut encoded_credential, credential.as_bytes(), false);
    let encoded_credential = String::from_utf8_lossy(&encoded_credential).into_owned();
    let before = request.uri.query().map_or(String::new(), |query| format!("{query}&"));
    let query = format!(
        "{before}X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={encoded_credential}&X-Amz-Date={date}\
         &X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host"
    );
    let mut target = request.uri.clone().into_parts();
    target.path_and_query = format!("{}?{query}", request.uri.path()).parse().ok();
    // A target made of a parsed path and encoded parameters parses again; where it does not, the signature is wrong.
    let target = Uri::from_parts(target).unwrap_or_else(|_| request.uri.clone());
    let signature = signer.signature(SignedRequest { uri: &target, ..request }, "host", payload_hash, date);
    format!("{query}&X-Amz-Signature={}", hex_string(&signature))
}
