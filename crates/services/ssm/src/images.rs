//! [`Images`]: the one question that Parameter Store asks EC2.
//!
//! Invariant: it is asked as Parameter Store's own principal, in the caller's account and region.

use std::sync::Arc;

use ::api::ec2::{DescribeImagesInput, Image};
use ::api::{Call, Identity, Principal};
use async_trait::async_trait;
use wire::ApiError;

/// Who Parameter Store is to EC2.
const PRINCIPAL: &str = "ssm.amazonaws.com";

/// Knows images.
#[async_trait]
pub(crate) trait Images: Send + Sync + 'static {
    /// What EC2's DescribeImages answers.
    async fn describe(&self, call: &Call, input: DescribeImagesInput) -> Result<Vec<Image>, ApiError>;
}

/// EC2's images.
pub(crate) struct FromEc2(pub(crate) Arc<dyn ::api::ec2::Ec2>);

#[async_trait]
impl Images for FromEc2 {
    async fn describe(&self, call: &Call, input: DescribeImagesInput) -> Result<Vec<Image>, ApiError> {
        let principal = Principal::Service { name: PRINCIPAL.into() };
        let call = Call {
            identity: Identity { principal, ..call.identity.clone() },
            user_agent: Some(PRINCIPAL.into()),
            ..call.clone()
        };
        Ok(self.0.describe_images(&call, input).await?.images)
    }
}
