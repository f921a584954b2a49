//! [`Authenticator`]: from a request's head to who signed it.
//!
//! Invariants:
//! - It looks at method, target and headers only, and does not wait: an unknown key is refused before a byte of the body
//!   is read.
//! - In [`Mode::Local`] a signature must be well formed and nothing else of it is looked at, with two exceptions that
//!   need no key: a presigned URL expires, and a body's claimed SHA-256 and framing are held against it.
//! - As soon as a key exists, local mode is strict.
//! - Who sends a session token of ours is that session in either mode, and its signature is verified; in local mode a
//!   token of somebody else's counts for nothing, as a key does.

use std::borrow::Cow;
use std::sync::Arc;

use api::{AccountId, Identity, Principal, Region};
use host::Clock;
use http::HeaderName;
use http::request::Parts;
use wire::aws_chunked::{ChunkSigner, Decoder, Options};
use wire::presigned;
use wire::signature::{Carrier, Claim, ContentSha256, SignatureError, SignedRequest};
use wire::signed_body::Promise;
use wire::sigv2;
use wire::sigv4::{self, SigningKey, Verification};

use crate::begun::{NeedsBody, Proof};
use crate::keys::OpenKey;
use crate::sessions::Recognised;
use crate::{AuthError, Begun, Keys, Sessions, TokenError};

/// The one service with a signature of its own.
pub(crate) const S3: &str = "s3";

/// How much of a signature is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All of it, against [`Keys`].
    Strict,
    /// Its form only, for laptops and CI, while no key exists: a 12-digit access key id selects that account, any other
    /// the default account. Only for servers that listen on loopback.
    Local,
}

/// Says who signed a request. Share it between connections.
#[derive(Debug)]
pub struct Authenticator {
    mode: Mode,
    keys: Arc<Keys>,
    sessions: Arc<Sessions>,
    clock: ClockOf,
    default_account: AccountId,
}

/// A clock that has nothing to show in `Debug`.
struct ClockOf(Arc<dyn Clock>);

impl std::fmt::Debug for ClockOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Authenticator {
    /// `default_account` is the account of anonymous callers, and in local mode of every key that names no account.
    pub fn new(
        mode: Mode,
        keys: Arc<Keys>,
        sessions: Arc<Sessions>,
        clock: Arc<dyn Clock>,
        default_account: AccountId,
    ) -> Self {
        Self { mode, keys, sessions, clock: ClockOf(clock), default_account }
    }

    /// The mode at this moment: local mode turns strict when a key is made.
    ///
    /// # Errors
    /// When the store cannot say whether there are keys.
    pub fn mode(&self) -> Result<Mode, AuthError> {
        Ok(match self.mode {
            Mode::Local if self.keys.is_empty()? => Mode::Local,
            _ => Mode::Strict,
        })
    }

    /// Judges a request's head. `virtual_bucket` is the bucket that the Host names (`bucket.s3.localhost`), which SigV2
    /// signs as part of the path; `None` for all other hosts. May read the store, at most once a second for each key.
    ///
    /// # Errors
    /// Everything that the head alone shows to be wrong. A request that nobody signed is no error: it is anonymous.
    pub fn begin(&self, parts: &Parts, virtual_bucket: Option<&str>) -> Result<Begun, AuthError> {
        let request = SignedRequest::from(parts);
        match Claim::of(request)? {
            Claim::None => self.begin_anonymous(parts),
            Claim::SigV4(claim) => {
                let access_key_id = claim.credential.access_key_id().to_owned();
                self.begin_sigv4(parts, &claim).map_err(|error| named(error, access_key_id))
            }
            Claim::SigV2(claim) => {
                let access_key_id = claim.access_key_id.clone().into_owned();
                self.begin_sigv2(parts, &claim, virtual_bucket).map_err(|error| named(error, access_key_id))
            }
        }
    }

    fn begin_anonymous(&self, parts: &Parts) -> Result<Begun, AuthError> {
        let identity = Identity { principal: Principal::Anonymous, account: self.default_account.clone() };
        // SDKs without credentials encode their body as others do.
        let promise = match header(parts, "x-amz-content-sha256") {
            Some(text) if text.starts_with("STREAMING-") => promise(parts, ContentSha256::parse(text)?, None)?,
            _ => Promise::Nothing,
        };
        Ok(Begun { identity, region: None, service: None, proof: Proof::Done(promise) })
    }

    fn begin_sigv4(&self, parts: &Parts, claim: &sigv4::Claim<'_>) -> Result<Begun, AuthError> {
        let now = self.clock.0.now().as_secs();
        let content = if claim.credential.service() == S3 { Some(content_sha256(parts, claim)?) } else { None };
        let access_key_id = claim.credential.access_key_id();
        let mode = self.mode()?;
        match mode {
            Mode::Local => claim.check_expiry(now)?,
            Mode::Strict => claim.check_time(now)?,
        }
        let (identity, proof) = match self.signer(mode, access_key_id, parts)? {
            Some((key, identity)) => (identity, self.judge_sigv4(parts, claim, key, content)?),
            None => {
                let promise = content.map_or(Ok(Promise::Nothing), |(content, _)| promise(parts, content, None))?;
                (signed_by(access_key_id, self.account_of(access_key_id)), Proof::Done(promise))
            }
        };
        Ok(Begun {
            identity,
            region: Region::parse(claim.credential.region()),
            service: Some(claim.credential.service().into()),
            proof,
        })
    }

    fn judge_sigv4(
        &self,
        parts: &Parts,
        claim: &sigv4::Claim<'_>,
        key: Arc<OpenKey>,
        content: Option<(ContentSha256, &str)>,
    ) -> Result<Proof, AuthError> {
        let credential = &claim.credential;
        let verification = Verification::new(parts.into(), claim)?;
        let known = key.signing_keys.get(credential.scope());
        let is_new = known.is_none();
        let derive =
            || SigningKey::derive(key.secret.reveal(), credential.day(), credential.region(), credential.service());
        let signing_key = known.unwrap_or_else(derive);
        let Some((content, payload_hash)) = content else {
            let new_scope = is_new.then(|| credential.scope().into());
            return Ok(Proof::NeedsBody(Box::new(NeedsBody { verification, signing_key, key, new_scope })));
        };
        verification.check(&signing_key, payload_hash.as_bytes())?;
        if is_new {
            key.signing_keys.insert(credential.scope(), signing_key.clone());
        }
        let signer = ChunkSigner::new(signing_key, &claim.date, credential.scope(), &claim.signature);
        Ok(Proof::Done(promise(parts, content, Some(signer))?))
    }

    fn begin_sigv2(
        &self,
        parts: &Parts,
        claim: &sigv2::Claim<'_>,
        virtual_bucket: Option<&str>,
    ) -> Result<Begun, AuthError> {
        let now = self.clock.0.now().as_secs();
        let mode = self.mode()?;
        match mode {
            Mode::Local => claim.check_expiry(now)?,
            Mode::Strict => claim.check_time(now)?,
        }
        let identity = match self.signer(mode, &claim.access_key_id, parts)? {
            Some((key, identity)) => {
                claim.verify(parts.into(), virtual_bucket, key.secret.reveal())?;
                identity
            }
            None => signed_by(&claim.access_key_id, self.account_of(&claim.access_key_id)),
        };
        let promise = match header(parts, "x-amz-content-sha256") {
            Some(text) => promise(parts, ContentSha256::parse(text)?, None)?,
            None => Promise::Nothing,
        };
        Ok(Begun { identity, region: None, service: Some(S3.into()), proof: Proof::Done(promise) })
    }

    /// The key that a request must be signed with, and who it is then; `None` where local mode does not care.
    fn signer(
        &self,
        mode: Mode,
        access_key_id: &str,
        parts: &Parts,
    ) -> Result<Option<(Arc<OpenKey>, Identity)>, AuthError> {
        let Some(token) = security_token(parts) else {
            if mode == Mode::Local {
                return Ok(None);
            }
            let key = self.key(access_key_id)?;
            let identity = signed_by(access_key_id, key.account.clone());
            return Ok(Some((key, identity)));
        };
        let refused = |error| AuthError::Token { error, access_key_id: access_key_id.to_owned() };
        match self.sessions.recognise(access_key_id, &token)? {
            Ok(Recognised { key, identity, made_for }) => {
                // A session of an access key ends with it.
                if let (Some(made_for), Mode::Strict) = (made_for, mode)
                    && self.keys.find(&made_for)?.is_none()
                {
                    return Err(refused(TokenError::Invalid));
                }
                Ok(Some((key, identity)))
            }
            Err(TokenError::Invalid) if mode == Mode::Local => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    fn key(&self, access_key_id: &str) -> Result<Arc<OpenKey>, AuthError> {
        let unknown = || AuthError::UnknownKey { access_key_id: access_key_id.to_owned() };
        self.keys.find(access_key_id)?.ok_or_else(unknown)
    }

    /// Local mode's account of a key.
    fn account_of(&self, access_key_id: &str) -> AccountId {
        AccountId::parse(access_key_id).unwrap_or_else(|| self.default_account.clone())
    }
}

fn named(error: AuthError, access_key_id: String) -> AuthError {
    match error {
        AuthError::Signature { error, .. } => AuthError::Signature { error, access_key_id: Some(access_key_id) },
        other => other,
    }
}

fn signed_by(access_key_id: &str, account: AccountId) -> Identity {
    Identity { principal: Principal::Account { access_key_id: access_key_id.into() }, account }
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// The session token that came with a request, in its header or its query.
fn security_token(parts: &Parts) -> Option<Cow<'_, str>> {
    let in_query = || parts.uri.query().and_then(presigned::security_token);
    header(parts, "x-amz-security-token").filter(|token| !token.is_empty()).map(Cow::from).or_else(in_query)
}

/// What an S3 request says of its body, and the words that stand for it in the canonical request.
fn content_sha256<'a>(parts: &'a Parts, claim: &sigv4::Claim<'_>) -> Result<(ContentSha256, &'a str), SignatureError> {
    let in_query = || parts.uri.query().and_then(presigned::content_sha256);
    let text = match claim.carrier {
        Carrier::Header => header(parts, "x-amz-content-sha256").ok_or(SignatureError::ContentSha256Missing)?,
        Carrier::Query => in_query().or_else(|| header(parts, "x-amz-content-sha256")).unwrap_or("UNSIGNED-PAYLOAD"),
    };
    Ok((ContentSha256::parse(text)?, text))
}

/// What the body will be held against.
fn promise(parts: &Parts, content: ContentSha256, signer: Option<ChunkSigner>) -> Result<Promise, AuthError> {
    let streaming = match content {
        ContentSha256::Unsigned => return Ok(Promise::Nothing),
        ContentSha256::Digest(digest) => return Ok(Promise::Sha256(digest)),
        ContentSha256::Streaming(streaming) => streaming,
    };
    let decoded_length = header(parts, "x-amz-decoded-content-length").and_then(|text| text.trim().parse().ok());
    let decoded_length = Some(decoded_length.ok_or(AuthError::DecodedLengthMissing)?);
    let names = parts.headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    let names = names.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let announced_trailers = names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
    let options = Options { streaming, decoded_length, announced_trailers, signer };
    Ok(Promise::Chunked(Box::new(Decoder::new(options))))
}

#[cfg(test)]
mod tests;
