//! Tokens: proof that whoever asks could send a PUT, which a tricked proxy cannot.
//!
//! Invariants:
//! - A token is good for one instance until its time, and needs no memory: it is signed with a key that the engine keeps.
//! - Comparing takes the same time whatever differs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use host::Timestamp;
use sha2::Sha256;

use crate::instance::InstanceId;

/// Six hours, as on AWS.
pub(super) const TTL_S_MAX: u64 = 21_600;

/// What tokens are signed with.
#[derive(Clone)]
pub(crate) struct TokenKey(pub(crate) [u8; 32]);

impl TokenKey {
    /// A token that is good until `until`.
    pub(super) fn sign(&self, instance: &InstanceId, until: Timestamp) -> String {
        let mut token = until.as_millis().to_be_bytes().to_vec();
        token.extend_from_slice(&self.mac(instance, until).finalize().into_bytes());
        URL_SAFE.encode(token)
    }

    /// Whether a token is good now.
    pub(super) fn verify(&self, instance: &InstanceId, token: &str, now: Timestamp) -> bool {
        let Ok(token) = URL_SAFE.decode(token) else { return false };
        let Some((until, signature)) = token.split_first_chunk::<8>() else { return false };
        let until = Timestamp(u64::from_be_bytes(*until));
        self.mac(instance, until).verify_slice(signature).is_ok() && now < until
    }

    fn mac(&self, instance: &InstanceId, until: Timestamp) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(&until.as_millis().to_be_bytes());
        mac.update(instance.0.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_instance_until_its_time() {
        let (key, id, other) = (TokenKey([7; 32]), InstanceId("i-1".into()), InstanceId("i-2".into()));
        let token = key.sign(&id, Timestamp(1000));
        assert!(key.verify(&id, &token, Timestamp(999)));
        assert!(!key.verify(&id, &token, Timestamp(1000)) && !key.verify(&other, &token, Timestamp(999)));
        assert!(!TokenKey([8; 32]).verify(&id, &token, Timestamp(999)));
        for broken in ["", "AAAA", &token[..40], "!!!"] {
            assert!(!key.verify(&id, broken, Timestamp(0)));
        }
        let mut changed = token.into_bytes();
        changed[3] ^= 1;
        assert!(!key.verify(&id, &String::from_utf8(changed).unwrap(), Timestamp(0)));
    }
}
