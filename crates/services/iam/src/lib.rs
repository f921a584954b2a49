//! Access keys: who signed a request, and what that signature promised about its body.
//!
//! [`Keys`] keeps the access keys, [`Authenticator`] judges requests by them, [`Sts`] answers
//! `GetCallerIdentity`.
//!
//! Invariants:
//! - A secret access key stands nowhere but in memory and, sealed, in the store; it is shown once, when it is made.
//! - An [`api::Identity`] leaves this crate only together with the check of the body that its signature covers.
//! - A key made or deleted by another process counts within [`RECHECK_AFTER`], without a restart.
//!
//! Knows no HTTP server, no policy and no service but STS. What an identity may do is decided elsewhere.

mod authenticator;
mod begun;
mod errors;
mod keys;
mod master_key;
mod sts;

pub use authenticator::{Authenticator, Mode};
pub use begun::Begun;
pub use errors::AuthError;
pub use keys::{KEYS_MAX, KeyInfo, Keys, KeysError, NewKey, RECHECK_AFTER, Secret};
pub use master_key::{MasterKey, MasterKeyError};
pub use sts::Sts;
