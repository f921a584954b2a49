//! [`Seal`]: secrets closed under the master key; [`MasterSeal`] lends it to other services.
//!
//! Invariant: a sealed text opens only in the place that it was bound to when it was closed.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use host::Ids;
use serde::{Deserialize, Serialize};

use crate::MasterKey;

/// Letters of a nonce in base64.
const NONCE_LETTERS: usize = 32;

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

/// The master key's seal, for services that keep secrets.
#[derive(Clone)]
pub struct MasterSeal {
    seal: Arc<Seal>,
    ids: Arc<dyn Ids>,
}

impl MasterSeal {
    /// A seal under this key.
    pub fn new(master_key: &MasterKey, ids: Arc<dyn Ids>) -> Self {
        Self { seal: Arc::new(Seal::new(master_key)), ids }
    }
}

impl fmt::Debug for MasterSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterSeal").finish_non_exhaustive()
    }
}

impl ::api::Secrets for MasterSeal {
    fn close(&self, bound_to: &str, secret: &[u8]) -> Option<String> {
        let Sealed { nonce, text } = self.seal.close(&*self.ids, bound_to, secret)?;
        // 24 bytes are 32 letters without padding: one after the other, both are still one base64.
        Some(nonce + &text)
    }

    fn open(&self, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LETTERS)?;
        self.seal.open(bound_to, &Sealed { nonce: nonce.to_owned(), text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use ::api::Secrets;
    use host::sim::{Seed, SimIds};

    use super::*;

    fn seal(byte: u8) -> MasterSeal {
        MasterSeal::new(&MasterKey::from_bytes([byte; 32]), Arc::new(SimIds::new(Seed(7))))
    }

    #[test]
    fn what_was_closed_opens_with_the_same_key_in_the_same_place_only() {
        let sealed = seal(1).close("here", b"hunter2").unwrap();
        assert!(STANDARD.decode(&sealed).is_ok() && !sealed.contains("hunter2"), "{sealed}");
        assert_eq!(seal(1).open("here", &sealed).as_deref(), Some(b"hunter2".as_slice()));
        assert_eq!(seal(1).open("there", &sealed), None);
        assert_eq!(seal(2).open("here", &sealed), None);
        for broken in ["", "x", "é", &sealed[..40], &format!("A{sealed}")] {
            assert_eq!(seal(1).open("here", broken), None, "{broken}");
        }
    }
}
