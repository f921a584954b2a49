//! Access keys and sessions: who signed a request, and what that signature promised about its body. Roles and their
//! policies: what a session may do. And server certificates, which a user keeps here for load balancers.
//!
//! [`Keys`] keeps the access keys, [`Sessions`] gives out temporary credentials and knows what their holders may,
//! [`Authenticator`] judges requests by both, [`Sts`] answers for sessions, [`Iam`] keeps the rest.
//!
//! Invariants:
//! - A secret access key stands nowhere but in memory and, sealed, in the store; it is shown once, when it is made.
//! - A certificate's private key stands sealed in the store; no operation gives it out, only the port to load balancers.
//! - An [`api::Identity`] leaves this crate only together with the check of the body that its signature covers.
//! - A key made or deleted by another process counts within [`RECHECK_AFTER`], without a restart.
//! - A role's session is held to its role's policies as they are now.
//!
//! Knows no HTTP server and no resource's policy: what an account's own key may do is decided elsewhere.

mod api_impl;
mod authenticator;
mod authorise;
mod begun;
mod documents;
mod errors;
mod instance_profiles;
mod keys;
mod listing;
mod master_key;
mod names;
mod policies;
mod refusal;
mod roles;
mod seal;
mod server_certificates;
mod service;
mod sessions;
mod sts;
#[cfg(test)]
mod testing;

pub use authenticator::{Authenticator, Mode};
pub use authorise::Parameters;
pub use begun::Begun;
pub use errors::AuthError;
pub use keys::{KEYS_MAX, KeyInfo, Keys, KeysError, NewKey, RECHECK_AFTER, Secret};
pub use master_key::{MasterKey, MasterKeyError};
pub use seal::MasterSeal;
pub use server_certificates::{CheckedCertificate, Unfit};
pub use service::Iam;
pub use sessions::{Sessions, TokenError};
pub use sts::Sts;
