//! [`Seal`]: secrets closed under the master key.
//!
//! Invariant: a sealed text opens only in the place that it was bound to when it was closed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use host::Ids;
use serde::{Deserialize, Serialize};

use crate::MasterKey;

/// Closes and opens.
pub(crate) struct Seal(XChaCha20Poly1305);

/// A secret that only the master key opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// Base64 of 24 bytes.
    pub(crate) nonce: String,
    /// Base64 of the secret and its tag.
    pub(crate) text: String,
}

impl Seal {
    pub(crate) fn new(master_key: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(master_key.bytes().into()))
    }

    /// Closes a secret. `None` only if it is longer than the cipher can take, which is no length of a key.
    pub(crate) fn close(&self, ids: &dyn Ids, bound_to: &str, secret: &[u8]) -> Option<Sealed> {
        let mut nonce = [0; 24];
        ids.fill(&mut nonce);
        let payload = Payload { msg: secret, aad: bound_to.as_bytes() };
        let text = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(Sealed { nonce: STANDARD.encode(nonce), text: STANDARD.encode(text) })
    }

    /// The secret; `None` if it was closed under another master key or for another place.
    pub(crate) fn open(&self, bound_to: &str, sealed: &Sealed) -> Option<Vec<u8>> {
        let nonce: [u8; 24] = STANDARD.decode(&sealed.nonce).ok()?.try_into().ok()?;
        let text = STANDARD.decode(&sealed.text).ok()?;
        self.0.decrypt(&XNonce::from(nonce), Payload { msg: &text, aad: bound_to.as_bytes() }).ok()
    }
}
