//! [`SecurityGroupUsers`]: how EC2 learns that a security group is in use without knowing by whom.
//!
//! Invariant: asked before a group is deleted; a yes keeps it.

use async_trait::async_trait;
use wire::ApiError;

use crate::{AccountId, Region};

/// Whoever puts something behind security groups.
#[async_trait]
pub trait SecurityGroupUsers: Send + Sync + 'static {
    /// Whether the group is in use.
    async fn uses_group(&self, account: &AccountId, region: &Region, group_id: &str) -> Result<bool, ApiError>;
}
