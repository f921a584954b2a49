//! [`Begun`]: a request whose head was judged and whose body was not.
//!
//! Invariant: the identity comes out by [`Begun::finish`] or [`Begun::stream`] only, that is, together with the check of
//! the body. Where to send the request can be known before.

use std::sync::Arc;

use api::{Identity, Region};
use wire::aws_chunked::Trailers;
use wire::signature::sha256_hex;
use wire::signed_body::{Promise, SignedBody};
use wire::sigv4::{SigningKey, Verification};

use crate::AuthError;
use crate::authenticator::S3;
use crate::keys::OpenKey;

/// A request whose head was judged and whose body was not.
#[derive(Debug)]
pub struct Begun {
    pub(crate) identity: Identity,
    pub(crate) region: Option<Region>,
    pub(crate) service: Option<Box<str>>,
    pub(crate) proof: Proof,
}

/// What is still to be proved.
#[derive(Debug)]
pub(crate) enum Proof {
    /// The head is right; the body is held against a promise.
    Done(Promise),
    /// The signature covers the body's own SHA-256.
    NeedsBody(Box<NeedsBody>),
}

#[derive(Debug)]
pub(crate) struct NeedsBody {
    pub(crate) verification: Verification,
    pub(crate) signing_key: SigningKey,
    pub(crate) key: Arc<OpenKey>,
    /// The scope of a signing key that is not cached yet.
    pub(crate) new_scope: Option<Box<str>>,
}

impl Begun {
    /// The service in the signature's scope, `sqs`; `s3` for SigV2; `None` when nobody signed.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The region in the signature's scope; `None` when nobody signed, and for SigV2.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// Whether nobody signed.
    pub fn is_anonymous(&self) -> bool {
        self.identity.is_anonymous()
    }

    /// Refuses a request that is signed for another service than the one that is to answer it.
    pub fn for_service(self, expected: &'static str) -> Result<Self, AuthError> {
        match &self.service {
            Some(signed_for) if **signed_for != *expected => {
                Err(AuthError::WrongService { signed_for: signed_for.to_string(), expected })
            }
            _ => Ok(self),
        }
    }

    /// The verdict for a request whose whole body is at hand; for all services but S3. Ask
    /// [`for_service`](Self::for_service) first.
    pub fn finish(self, body: &[u8]) -> Result<Identity, AuthError> {
        // S3's signatures need not cover the body, which to all other services is the command: a URL that lets somebody
        // read one object must not send messages.
        let leaves_body_open = self.service.as_deref() == Some(S3);
        match self.proof {
            Proof::Done(Promise::Nothing) if !leaves_body_open => {}
            Proof::NeedsBody(proof) => proof.judge(body, &self.identity)?,
            Proof::Done(_) => {
                let signed_for = self.service.unwrap_or_default().into();
                return Err(AuthError::WrongService { signed_for, expected: "sqs" });
            }
        }
        Ok(self.identity)
    }

    /// For S3: the caller, the body that is verified while it is read, and where its trailing headers will appear.
    pub fn stream<B>(self, body: B) -> Result<(Identity, SignedBody<B>, Trailers), AuthError> {
        let Self { identity, service, proof, .. } = self.for_service(S3)?;
        let promise = match proof {
            Proof::Done(promise) => promise,
            // Not S3's, as S3's are never left open; said again here rather than assumed.
            Proof::NeedsBody(_) => {
                let signed_for = service.unwrap_or_default().into();
                return Err(AuthError::WrongService { signed_for, expected: S3 });
            }
        };
        let trailers = match &promise {
            Promise::Chunked(decoder) => decoder.trailers(),
            Promise::Nothing | Promise::Sha256(_) => Trailers::default(),
        };
        Ok((identity, SignedBody::new(body, promise), trailers))
    }
}

impl NeedsBody {
    fn judge(self, body: &[u8], identity: &Identity) -> Result<(), AuthError> {
        self.verification.check(&self.signing_key, &sha256_hex(body)).map_err(|error| AuthError::Signature {
            error,
            access_key_id: match &identity.principal {
                api::Principal::Account { access_key_id } => Some(access_key_id.to_string()),
                api::Principal::Session(session) => Some(session.access_key_id.to_string()),
                api::Principal::Anonymous | api::Principal::Service { .. } => None,
            },
        })?;
        if let Some(scope) = self.new_scope {
            self.key.signing_keys.insert(&scope, self.signing_key);
        }
        Ok(())
    }
}
