//! Access keys: who signed a request, and what that signature promised about its body. And server certificates, which a
//! user keeps here for load balancers.
//!
//! [`Keys`] keeps the access keys, [`Authenticator`] judges requests by them, [`Sts`] answers
//! `GetCallerIdentity`, [`Iam`] keeps the server certificates.
//!
//! Invariants:
//! - A secret access key stands nowhere but in memory and, sealed, in the store; it is shown once, when it is made.
//! - A certificate's private key stands sealed in the store; no operation gives it out, only the port to load balancers.
//! - An [`api::Identity`] leaves this crate only together with the check of the body that its signature covers.
//! - A key made or deleted by another process counts within [`RECHECK_AFTER`], without a restart.
//!
//! Knows no HTTP server, no policy and no service but STS. What an identity may do is decided elsewhere.

mod authenticator;
mod begun;
mod errors;
mod keys;
mod master_key;
mod seal;
mod server_certificates;
mod sts;

pub use authenticator::{Authenticator, Mode};
pub use begun::Begun;
pub use errors::AuthError;
pub use keys::{KEYS_MAX, KeyInfo, Keys, KeysError, NewKey, RECHECK_AFTER, Secret};
pub use master_key::{MasterKey, MasterKeyError};
pub use seal::MasterSeal;
pub use server_certificates::{CheckedCertificate, Iam, Unfit};
pub use sts::Sts;
