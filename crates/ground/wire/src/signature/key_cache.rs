//! [`SigningKeys`]: one access key's derived signing keys, so that four of a request's HMACs are computed once a day.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::sigv4::SigningKey;

/// How many scopes (day, region, service) one access key keeps. Two days of eight regions and four services.
const SCOPES_MAX: usize = 64;

/// The derived keys of one access key, by credential scope.
///
/// Insert only after a signature was found right: else strangers could fill it with scopes of their invention.
#[derive(Default)]
pub struct SigningKeys {
    by_scope: RwLock<HashMap<Box<str>, SigningKey>>,
}

impl SigningKeys {
    /// The key for a scope such as `20150830/us-east-1/s3/aws4_request`.
    pub fn get(&self, scope: &str) -> Option<SigningKey> {
        self.by_scope.read().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }

    /// Keeps the key of a scope. When full it starts over: old days leave in this way.
    pub fn insert(&self, scope: &str, key: SigningKey) {
        let mut by_scope = self.by_scope.write().unwrap_or_else(PoisonError::into_inner);
        if by_scope.len() >= SCOPES_MAX && !by_scope.contains_key(scope) {
            by_scope.clear();
        }
        by_scope.insert(scope.into(), key);
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.by_scope.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("scopes", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_never_outgrows_its_bound() {
        let keys = SigningKeys::default();
        for day in 0..1_000 {
            keys.insert(&format!("{day}/r/s/aws4_request"), SigningKey::derive("secret", "20150830", "r", "s"));
            assert!(keys.len() <= SCOPES_MAX);
        }
        assert!(keys.get("999/r/s/aws4_request").is_some());
    }
}
