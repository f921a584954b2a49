//! [`Secrets`]: how a service keeps what must stand nowhere readable.
//!
//! Invariant: what was closed opens only with the same master key and for the same place.

/// The port to the master key.
pub trait Secrets: Send + Sync + 'static {
    /// Closes a secret, bound to the place where it will stand; base64. `None` if it is too long to be closed.
    fn close(&self, bound_to: &str, secret: &[u8]) -> Option<String>;

    /// The secret; `None` if it was closed under another master key or for another place.
    fn open(&self, bound_to: &str, sealed: &str) -> Option<Vec<u8>>;
}
