//! [`InstanceRoles`]: how EC2 learns what an instance profile is and gets credentials of its role, without knowing IAM.
//!
//! Invariant: credentials are given out only for a role that trusts `ec2.amazonaws.com`, and act as that role.

use async_trait::async_trait;
use wire::ApiError;

use crate::AccountId;

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceProfile {
    /// `arn:aws:iam::123456789012:instance-profile/web`.
    pub arn: String,
    /// `AIPA…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The ARN of its role, if it has one.
    pub role_arn: Option<String>,
}

/// What an instance is told of its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceCredentials {
    /// The role's name.
    pub role_name: String,
    /// Temporary credentials, or why there are none.
    pub credentials: Result<TemporaryCredentials, String>,
}

/// Credentials that expire.
#[derive(Clone, PartialEq, Eq)]
pub struct TemporaryCredentials {
    /// `ASIA…`.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: String,
    /// What must be sent along.
    pub session_token: String,
    /// When they were made, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// When they end.
    pub expires_at_ms: u64,
}

impl std::fmt::Debug for TemporaryCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TemporaryCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Whoever keeps instance profiles.
#[async_trait]
pub trait InstanceRoles: Send + Sync + 'static {
    /// The profile of that ARN or name; `None` if there is none.
    async fn profile(&self, account: &AccountId, arn_or_name: &str) -> Result<Option<InstanceProfile>, ApiError>;

    /// What an instance with a profile is told; `None` if the profile is gone or has no role. Goes by the profile's name
    /// and id. May read the store; does not wait for anybody.
    fn credentials(
        &self,
        account: &AccountId,
        profile: &InstanceProfile,
        instance_id: &str,
    ) -> Result<Option<InstanceCredentials>, ApiError>;
}
