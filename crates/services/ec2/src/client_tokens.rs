//! Client tokens: a call that comes again is answered again, and does nothing again.
//!
//! Invariant: a token that is remembered stands for what its call made, in the same transaction.

use sha2::{Digest, Sha256};
use store::{Scan, Transaction, View};

use crate::errors::{self, Refusal};
use crate::request::Request;
use crate::rows::{TOKENS, TokenRow};

/// AWS: the longest token.
const CHARACTERS_MAX: usize = 64;
/// How long a token is remembered. AWS keeps one at least as long as what it made; a client that retries, retries today.
const KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// How many are remembered in a place.
const TOKENS_MAX: usize = 10_000;

/// A call with its token.
pub(crate) struct Asked {
    operation: &'static str,
    token: Option<String>,
    digest: String,
}

impl Asked {
    /// `parameters` is what must be the same for the call to be the same.
    pub(crate) fn new(operation: &'static str, token: Option<String>, parameters: &str) -> Self {
        let digest = crate::place::hex(&Sha256::digest(parameters.as_bytes()));
        Self { operation, token: token.filter(|token| !token.is_empty()), digest }
    }

    fn key(&self, request: &Request) -> Result<Option<String>, Refusal> {
        let Some(token) = &self.token else { return Ok(None) };
        // It ends a row's key.
        if token.chars().count() > CHARACTERS_MAX || token.contains('\0') {
            return Err(errors::invalid_value("clientToken", token));
        }
        Ok(Some(request.key(&format!("{}\0{token}", self.operation))))
    }
}

/// What a call with this token has made; refused when it asked for something else.
pub(crate) fn made(view: &View<'_>, request: &Request, asked: &Asked) -> Result<Option<Vec<String>>, Refusal> {
    let Some(key) = asked.key(request)? else { return Ok(None) };
    let Some(row) = view.get(&TOKENS, &key)? else { return Ok(None) };
    if request.now_ms.saturating_sub(row.value.at_ms) >= KEPT_MS {
        return Ok(None);
    }
    if row.value.asked != asked.digest {
        return Err(errors::idempotent_mismatch());
    }
    Ok(Some(row.value.made))
}

/// Remembers what a call made.
pub(crate) fn remember(
    tx: &mut Transaction<'_>,
    request: &Request,
    asked: &Asked,
    made: Vec<String>,
) -> Result<(), Refusal> {
    let Some(key) = asked.key(request)? else { return Ok(()) };
    let place = Scan::prefix(&request.place.prefix());
    if tx.count(&TOKENS, &place)? >= TOKENS_MAX {
        for row in tx.scan(&TOKENS, &place)? {
            if request.now_ms.saturating_sub(row.value.at_ms) >= KEPT_MS {
                tx.delete(&TOKENS, &row.key)?;
            }
        }
        if tx.count(&TOKENS, &place)? >= TOKENS_MAX {
            return Err(errors::too_many_requests());
        }
    }
    tx.put(&TOKENS, &key, &TokenRow { asked: asked.digest.clone(), made, at_ms: request.now_ms })?;
    Ok(())
}
