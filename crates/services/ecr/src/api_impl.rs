//! The operations, each in the file of its subject.
//!
//! Invariant: nothing is decided here.

use ::api::Call;
use ::api::ecr::*;
use wire::ApiError;

impl ::api::ecr::Ecr for crate::Ecr {
    async fn create_repository(
        &self,
        call: &Call,
        input: CreateRepositoryInput,
    ) -> Result<CreateRepositoryOutput, ApiError> {
        self.create(call, input).await
    }

    async fn describe_repositories(
        &self,
        call: &Call,
        input: DescribeRepositoriesInput,
    ) -> Result<DescribeRepositoriesOutput, ApiError> {
        self.describe(call, input).await
    }

    async fn delete_repository(
        &self,
        call: &Call,
        input: DeleteRepositoryInput,
    ) -> Result<DeleteRepositoryOutput, ApiError> {
        self.delete(call, input).await
    }

    async fn put_image_tag_mutability(
        &self,
        call: &Call,
        input: PutImageTagMutabilityInput,
    ) -> Result<PutImageTagMutabilityOutput, ApiError> {
        self.set_mutability(call, input).await
    }

    async fn put_image_scanning_configuration(
        &self,
        call: &Call,
        input: PutImageScanningConfigurationInput,
    ) -> Result<PutImageScanningConfigurationOutput, ApiError> {
        self.set_scanning(call, input).await
    }

    async fn put_lifecycle_policy(
        &self,
        call: &Call,
        input: PutLifecyclePolicyInput,
    ) -> Result<PutLifecyclePolicyOutput, ApiError> {
        self.put_lifecycle(call, input).await
    }

    async fn get_lifecycle_policy(
        &self,
        call: &Call,
        input: GetLifecyclePolicyInput,
    ) -> Result<GetLifecyclePolicyOutput, ApiError> {
        self.get_lifecycle(call, input).await
    }

    async fn delete_lifecycle_policy(
        &self,
        call: &Call,
        input: DeleteLifecyclePolicyInput,
    ) -> Result<DeleteLifecyclePolicyOutput, ApiError> {
        self.delete_lifecycle(call, input).await
    }

    async fn set_repository_policy(
        &self,
        call: &Call,
        input: SetRepositoryPolicyInput,
    ) -> Result<SetRepositoryPolicyOutput, ApiError> {
        self.set_policy(call, input).await
    }

    async fn get_repository_policy(
        &self,
        call: &Call,
        input: GetRepositoryPolicyInput,
    ) -> Result<GetRepositoryPolicyOutput, ApiError> {
        self.get_policy(call, input).await
    }

    async fn delete_repository_policy(
        &self,
        call: &Call,
        input: DeleteRepositoryPolicyInput,
    ) -> Result<DeleteRepositoryPolicyOutput, ApiError> {
        self.delete_policy(call, input).await
    }

    async fn tag_resource(&self, call: &Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
        self.tag(call, input).await
    }

    async fn untag_resource(&self, call: &Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
        self.untag(call, input).await
    }

    async fn list_tags_for_resource(
        &self,
        call: &Call,
        input: ListTagsForResourceInput,
    ) -> Result<ListTagsForResourceOutput, ApiError> {
        self.list_tags(call, input).await
    }
}
