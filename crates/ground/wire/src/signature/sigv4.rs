//! SigV4: `AWS4-HMAC-SHA256` in the `Authorization` header, its verification, and signing.
//!
//! Invariants:
//! - [`Verification`] is the only judge: header and presigned claims both come here.
//! - `host` and every `x-amz-*` header must be signed: the front door routes by them.
//!
//! Source: "Signature Version 4" in the IAM user guide, and S3's API reference for its single-encoded path.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::canonical::{self, PathStyle};
use super::{AmzDate, Carrier, Mismatch, SIGNED_HEADERS_MAX, SKEW_MAX_S, SignatureError, SignedRequest};
use super::{hex, hex_string, sha256_hex, unhex};

/// The algorithm's name.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// `AKIDEXAMPLE/20150830/us-east-1/sqs/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    text: Cow<'a, str>,
    /// Where the slashes are.
    slashes: [usize; 4],
}

impl<'a> Credential<'a> {
    /// Parses the five parts; `carrier` goes into the errors.
    pub fn parse(text: Cow<'a, str>, carrier: Carrier) -> Result<Self, SignatureError> {
        let mut slashes = [0; 4];
        let mut found = 0;
        for at in memchr::memchr_iter(b'/', text.as_bytes()) {
            if let Some(slot) = slashes.get_mut(found) {
                *slot = at;
            }
            found += 1;
        }
        let credential = Self { text, slashes };
        let malformed = || SignatureError::CredentialMalformed { got: credential.text.clone().into_owned(), carrier };
        if found != 4 {
            return Err(malformed());
        }
        let well_formed = is_access_key_id(credential.access_key_id())
            && credential.day().len() == 8
            && credential.day().bytes().all(|b| b.is_ascii_digit())
            && !credential.service().is_empty();
        if !well_formed {
            return Err(malformed());
        }
        if !is_region(credential.region()) {
            return Err(SignatureError::RegionMalformed { got: credential.region().to_owned(), carrier });
        }
        let terminator = credential.part(3, None);
        if terminator != TERMINATOR {
            return Err(SignatureError::TerminatorMalformed { got: terminator.to_owned(), carrier });
        }
        Ok(credential)
    }

    fn part(&self, from_slash: usize, to_slash: Option<usize>) -> &str {
        let end = to_slash.map_or(self.text.len(), |slash| self.slashes[slash]);
        &self.text[self.slashes[from_slash] + 1..end]
    }

    /// `AKIDEXAMPLE`.
    pub fn access_key_id(&self) -> &str {
        &self.text[..self.slashes[0]]
    }

    /// `20150830`.
    pub fn day(&self) -> &str {
        self.part(0, Some(1))
    }

    /// `us-east-1`.
    pub fn region(&self) -> &str {
        self.part(1, Some(2))
    }

    /// `sqs`.
    pub fn service(&self) -> &str {
        self.part(2, Some(3))
    }

    /// `20150830/us-east-1/sqs/aws4_request`.
    pub fn scope(&self) -> &str {
        self.part(0, None)
    }
}

/// Whether a text can be an access key id: 1 to 128 visible ASCII characters.
pub(crate) fn is_access_key_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_region(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// What a SigV4 request says about its signer; well formed, and no more than that.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Who, and for which day, region and service.
    pub credential: Credential<'a>,
    /// `host;x-amz-date`.
    pub signed_headers: Cow<'a, str>,
    /// The signature itself.
    pub signature: [u8; 32],
    /// When the request was signed.
    pub date: AmzDate,
    /// Where the signature stood.
    pub carrier: Carrier,
    /// `X-Amz-Expires` of a presigned URL, in seconds.
    pub expires_s: Option<u64>,
}

impl Claim<'_> {
    /// Whether the claim still holds at `now` (seconds since the Unix epoch): the skew of a header-signed request, the
    /// span of a presigned one. Services other than S3 know no separate error for the latter.
    pub fn check_time(&self, now: u64) -> Result<(), SignatureError> {
        let date = self.date;
        let signed = date.unix_s();
        // A server whose clock is past the year 9999 has other worries; it says so as the request's own date.
        let now_text = AmzDate::from_unix(now).unwrap_or(date);
        let from_future = signed > now.saturating_add(SKEW_MAX_S);
        match self.carrier {
            Carrier::Header if from_future || now > signed.saturating_add(SKEW_MAX_S) => {
                Err(SignatureError::Skewed { date, now: now_text })
            }
            Carrier::Query if from_future => Err(SignatureError::NotYetValid { date, now: now_text }),
            Carrier::Query => self.check_expiry(now),
            Carrier::Header => Ok(()),
        }
    }

    /// Whether a presigned URL has not expired at `now`; header-signed requests do not expire.
    pub fn check_expiry(&self, now: u64) -> Result<(), SignatureError> {
        let expires_s = self.expires_s.unwrap_or(SKEW_MAX_S);
        let date = self.date;
        if self.carrier == Carrier::Query && now > date.unix_s().saturating_add(expires_s) {
            let now = AmzDate::from_unix(now).unwrap_or(date);
            return Err(SignatureError::Expired { date, expires_s, now });
        }
        Ok(())
    }

    fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed.eq_ignore_ascii_case(name))
    }

    /// Checks that `host` and every `x-amz-*` header are signed.
    pub fn check_signed_headers(&self, request: SignedRequest<'_>) -> Result<(), SignatureError> {
        if self.signed_headers.split(';').take(SIGNED_HEADERS_MAX + 1).count() > SIGNED_HEADERS_MAX {
            return Err(SignatureError::TooManySignedHeaders);
        }
        if !self.signs("host") {
            return Err(SignatureError::HostNotSigned);
        }
        let unsigned = request.headers.keys().map(http::HeaderName::as_str);
        // A session token may be added after signing: it proves itself, and names the key that it goes with.
        let must_be_signed = |name: &str| name.starts_with("x-amz-") && name != "x-amz-security-token";
        let unsigned = unsigned.filter(|name| must_be_signed(name) && !self.signs(name));
        let mut names: Vec<String> = unsigned.map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        Err(SignatureError::HeadersNotSigned { names })
    }
}

/// Parses an `Authorization` header that begins with [`ALGORITHM`].
pub(super) fn parse_header<'a>(
    request: SignedRequest<'a>,
    authorization: &'a str,
) -> Result<Claim<'a>, SignatureError> {
    let carrier = Carrier::Header;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    // Clients write "Credential=…, SignedHeaders=…" with and without the space.
    for part in authorization[ALGORITHM.len()..].split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            return Err(SignatureError::NotKeyValue { part: part.into(), authorization: authorization.into() });
        };
        match key.trim_end() {
            "Credential" => credential = Some(value.trim()),
            "SignedHeaders" => signed_headers = Some(value.trim()),
            "Signature" => signature = Some(value.trim()),
            _ => {}
        }
    }
    let date = request.header("x-amz-date").or_else(|| request.header("date"));
    let (Some(credential), Some(signed_headers), Some(signature)) = (credential, signed_headers, signature) else {
        let named = [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)];
        let missing = named.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        return Err(SignatureError::MissingParameters { missing, carrier, authorization: authorization.into() });
    };
    let date = date.ok_or_else(|| SignatureError::DateMissing { authorization: authorization.into() })?;
    let date =
        AmzDate::parse_lenient(date).ok_or_else(|| SignatureError::DateMalformed { got: date.to_owned(), carrier })?;
    Claim::assemble(Cow::Borrowed(credential), Cow::Borrowed(signed_headers), signature, date, carrier)
}

impl<'a> Claim<'a> {
    /// A claim from its parts, as header and query give them; without an expiry.
    pub(super) fn assemble(
        credential: Cow<'a, str>,
        signed_headers: Cow<'a, str>,
        signature: &str,
        date: AmzDate,
        carrier: Carrier,
    ) -> Result<Self, SignatureError> {
        let credential = Credential::parse(credential, carrier)?;
        if credential.day() != date.day() {
            return Err(SignatureError::ScopeDay { scope_day: credential.day().to_owned(), date, carrier });
        }
        let signature = unhex(signature).ok_or(SignatureError::SignatureMalformed)?;
        Ok(Self { credential, signed_headers, signature, date, carrier, expires_s: None })
    }
}

/// The key that signs one day's requests to one service in one region, HMAC-ready.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Derives the key from the secret access key: four HMACs.
    pub fn derive(secret_access_key: &str, day: &str, region: &str, service: &str) -> Self {
        let mut secret = Vec::with_capacity(4 + secret_access_key.len());
        secret.extend_from_slice(b"AWS4");
        secret.extend_from_slice(secret_access_key.as_bytes());
        let mut key = keyed(&secret);
        for part in [day, region, service, TERMINATOR] {
            key = keyed(&hmac(key, &[part.as_bytes()]));
        }
        Self(key)
    }

    /// Signs a string given in pieces.
    pub(crate) fn sign(&self, pieces: &[&[u8]]) -> [u8; 32] {
        hmac(self.0.clone(), pieces)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length: the error type is a leftover of the trait.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn hmac(mut state: Hmac<Sha256>, pieces: &[&[u8]]) -> [u8; 32] {
    for piece in pieces {
        state.update(piece);
    }
    state.finalize().into_bytes().into()
}

/// A claim with everything that is needed to judge it, cut loose from the request.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The canonical request but for the payload's hash.
    canonical_head: Vec<u8>,
    /// The string to sign but for the canonical request's hash.
    to_sign_head: String,
    signature: [u8; 32],
}

impl Verification {
    /// Builds the canonical request of a claim; refuses a claim that leaves out headers which must be signed.
    pub fn new(request: SignedRequest<'_>, claim: &Claim<'_>) -> Result<Self, SignatureError> {
        claim.check_signed_headers(request)?;
        let except = (claim.carrier == Carrier::Query).then_some("X-Amz-Signature");
        let style = PathStyle::of_service(claim.credential.service());
        let canonical_head = canonical_head(request, &claim.signed_headers, style, except);
        let to_sign_head = to_sign_head(&claim.date, claim.credential.scope());
        Ok(Self { canonical_head, to_sign_head, signature: claim.signature })
    }

    /// Whether `key` signed this request with a payload of this hash (64 hexadecimal digits, or one of S3's words).
    pub fn check(&self, key: &SigningKey, payload_hash: &[u8]) -> Result<(), SignatureError> {
        let request_hash = {
            use sha2::Digest;
            let hash = Sha256::new().chain_update(&self.canonical_head).chain_update(payload_hash).finalize();
            hex(&hash.into())
        };
        let computed = key.sign(&[self.to_sign_head.as_bytes(), &request_hash]);
        if bool::from(computed.ct_eq(&self.signature)) {
            return Ok(());
        }
        let mut canonical = self.canonical_head.clone();
        canonical.extend_from_slice(payload_hash);
        Err(SignatureError::mismatch(Mismatch {
            canonical_request: String::from_utf8_lossy(&canonical).into_owned(),
            string_to_sign: format!("{}{}", self.to_sign_head, String::from_utf8_lossy(&request_hash)),
            signature_provided: hex_string(&self.signature),
        }))
    }
}

/// The canonical request up to where the payload's hash follows.
fn canonical_head(request: SignedRequest<'_>, signed_headers: &str, style: PathStyle, except: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(640);
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b'\n');
    canonical::push_path(&mut out, request.uri.path().as_bytes(), style);
    out.push(b'\n');
    canonical::push_query(&mut out, request.query(), except);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        let from = out.len();
        out.extend_from_slice(name.as_bytes());
        out[from..].make_ascii_lowercase();
        out.push(b':');
        let host_in_target = name.eq_ignore_ascii_case("host") && !request.headers.contains_key("host");
        match request.uri.authority() {
            Some(authority) if host_in_target => out.extend_from_slice(authority.as_str().as_bytes()),
            _ => canonical::push_header_values(&mut out, request.headers, name),
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out
}

fn to_sign_head(date: &AmzDate, scope: &str) -> String {
    let mut out = String::with_capacity(ALGORITHM.len() + 16 + scope.len() + 3 + 64);
    for piece in [ALGORITHM, "\n", date.as_str(), "\n", scope, "\n"] {
        out.push_str(piece);
    }
    out
}

/// Who signs; for clients, benches and tests.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// `AKIDEXAMPLE`.
    pub access_key_id: &'a str,
    /// The secret that goes with it.
    pub secret_access_key: &'a str,
    /// `us-east-1`.
    pub region: &'a str,
    /// `sqs`.
    pub service: &'a str,
}

impl Signer<'_> {
    /// The derived key for a day.
    pub fn key(&self, date: &AmzDate) -> SigningKey {
        SigningKey::derive(self.secret_access_key, date.day(), self.region, self.service)
    }

    /// `20150830/us-east-1/sqs/aws4_request`.
    pub fn scope(&self, date: &AmzDate) -> String {
        format!("{}/{}/{}/{TERMINATOR}", date.day(), self.region, self.service)
    }

    /// The signature over a request with these headers signed.
    pub(super) fn signature(
        &self,
        request: SignedRequest<'_>,
        signed_headers: &str,
        payload_hash: &str,
        date: &AmzDate,
    ) -> [u8; 32] {
        let mut canonical = canonical_head(request, signed_headers, PathStyle::of_service(self.service), None);
        canonical.extend_from_slice(payload_hash.as_bytes());
        let to_sign = to_sign_head(date, &self.scope(date));
        self.key(date).sign(&[to_sign.as_bytes(), &sha256_hex(&canonical)])
    }
}

/// Signs a request in its `Authorization` header, as a client does: adds `host` (from the target) and `x-amz-date`
/// where they are missing, for S3 also `x-amz-content-sha256`, and signs those, `content-type` and every `x-amz-*`.
///
/// `payload_hash` is the body's SHA-256 in hexadecimal or one of S3's words (`UNSIGNED-PAYLOAD`). Returns the signature,
/// which seeds the first chunk's of a streamed body. Errors when a name or value cannot be a header.
///
/// ```
/// use wire::sigv4::{Signer, sign};
/// let signer = Signer { access_key_id: "AKID", secret_access_key: "secret", region: "us-east-1", service: "sqs" };
/// let (mut parts, ()) = http::Request::post("http://localhost:4566/").body(()).unwrap().into_parts();
/// let date = wire::signature::AmzDate::parse("20150830T123600Z").unwrap();
/// sign(&signer, &mut parts, wire::signature::EMPTY_SHA256_HEX, &date).unwrap();
/// assert!(parts.headers["authorization"].to_str().unwrap().contains("SignedHeaders=host;x-amz-date"));
/// ```
pub fn sign(
    signer: &Signer<'_>,
    parts: &mut http::request::Parts,
    payload_hash: &str,
    date: &AmzDate,
) -> Result<[u8; 32], http::header::InvalidHeaderValue> {
    if !parts.headers.contains_key("host") {
        let host = parts.uri.authority().map_or("", http::uri::Authority::as_str);
        parts.headers.insert("host", HeaderValue::from_str(host)?);
    }
    parts.headers.insert("x-amz-date", HeaderValue::from_str(date.as_str())?);
    if signer.service == "s3" {
        parts.headers.insert("x-amz-content-sha256", HeaderValue::from_str(payload_hash)?);
    }
    let is_signed = |name: &str| matches!(name, "host" | "content-type") || name.starts_with("x-amz-");
    let mut names: Vec<&str> = parts.headers.keys().map(http::HeaderName::as_str).filter(|n| is_signed(n)).collect();
    names.sort_unstable();
    let signed_headers = names.join(";");
    let signature = signer.signature(SignedRequest::from(&*parts), &signed_headers, payload_hash, date);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={signed_headers}, Signature={}",
        signer.access_key_id,
        signer.scope(date),
        hex_string(&signature)
    );
    parts.headers.insert(http::header::AUTHORIZATION, HeaderValue::from_str(&authorization)?);
    Ok(signature)
}
