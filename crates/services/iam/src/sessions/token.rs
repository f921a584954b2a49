//! Session tokens: all that is known of a session, sealed by the master key.
//!
//! Invariants:
//! - A token that opens was made here, for the access key id that it names, and says when it ends. Nothing is kept of a
//!   session but its token, which its holder sends along: it outlives restarts and costs no row.
//! - What it says of a role is who took it, not what the role may do: that is looked up at each request.

use serde::{Deserialize, Serialize};

use crate::seal::{Seal, Sealed};

/// What a token is bound to: tokens are not taken for other sealed texts.
const BOUND_TO: &str = "session-token";
/// Base64 of a nonce's 24 bytes.
const NONCE_LETTERS: usize = 32;
/// The longest token that is looked at. What we make is shorter: a session's policies have at most 2,048 characters.
const LETTERS_MAX: usize = 16 * 1024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) account: String,
    pub(crate) bearer: Bearer,
    pub(crate) expires_at_ms: u64,
}

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bearer {
    /// The account's own key with this id.
    Key { access_key_id: String },
    /// Who took a role.
    Role {
        name: String,
        /// `AROA…`: a role that was made anew under the name is another.
        id: String,
        session_name: String,
        /// A session policy.
        policy: Option<String>,
        /// ARNs of managed session policies.
        policy_arns: Vec<String>,
    },
}

/// Seals claims.
pub(crate) fn sealed(seal: &Seal, ids: &dyn host::Ids, claims: &Claims) -> Option<String> {
    let text = serde_json::to_vec(claims).ok()?;
    let Sealed { nonce, text } = seal.close(ids, BOUND_TO, &text)?;
    Some(nonce + &text)
}

/// Opens a token; `None` if it is none of ours.
pub(crate) fn opened(seal: &Seal, token: &str) -> Option<Claims> {
    if token.len() > LETTERS_MAX {
        return None;
    }
    let (nonce, text) = token.split_at_checked(NONCE_LETTERS)?;
    let text = seal.open(BOUND_TO, &Sealed { nonce: nonce.to_owned(), text: text.to_owned() })?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use host::sim::{Seed, SimIds};

    use super::*;
    use crate::MasterKey;

    fn claims() -> Claims {
        Claims {
            access_key_id: "ASIAEXAMPLE".into(),
            secret: "s".repeat(40),
            account: "123456789012".into(),
            bearer: Bearer::Key { access_key_id: "AKIAEXAMPLE".into() },
            expires_at_ms: 7,
        }
    }

    #[test]
    fn a_token_opens_under_its_master_key_only_and_not_if_a_letter_was_changed() {
        let seal = Seal::new(&MasterKey::from_bytes([1; 32]));
        let token = sealed(&seal, &SimIds::new(Seed(1)), &claims()).unwrap();
        assert_eq!(opened(&seal, &token), Some(claims()));
        assert_eq!(opened(&Seal::new(&MasterKey::from_bytes([2; 32])), &token), None);
        for at in [0, 40, token.len() - 5] {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(opened(&seal, &String::from_utf8(other).unwrap()), None, "{at}");
        }
        for none in ["", "x", &"ü".repeat(40), &"A".repeat(LETTERS_MAX + 1)] {
            assert_eq!(opened(&seal, none), None);
        }
    }
}
