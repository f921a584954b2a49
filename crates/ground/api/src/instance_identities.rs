//! [`InstanceIdentities`]: how CloudFormation learns which instance asks, without knowing who runs instances.
//!
//! Invariant: an identity that is answered belongs to an instance that is not terminated.

use async_trait::async_trait;
use wire::ApiError;

use crate::{AccountId, Region};

/// An instance that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// Whose it is.
    pub account: AccountId,
    /// Where it runs.
    pub region: Region,
    /// `i-…`.
    pub instance_id: String,
}

/// Whoever makes the instance identity documents of the metadata service.
#[async_trait]
pub trait InstanceIdentities: Send + Sync + 'static {
    /// The instance that a document and its signature (in base64, as the metadata service tells them) prove; `None`
    /// when they prove nothing.
    async fn verify(&self, document: &[u8], signature: &str) -> Result<Option<InstanceIdentity>, ApiError>;
}
