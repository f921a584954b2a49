//! The operations, each in the file of its subject.
//!
//! Invariant: nothing is decided here.

use ::api::Call;
use ::api::ssm::*;
use wire::ApiError;

impl ::api::ssm::Ssm for crate::Ssm {
    async fn put_parameter(&self, call: &Call, input: PutParameterInput) -> Result<PutParameterOutput, ApiError> {
        self.put(call, input).await
    }

    async fn get_parameter(&self, call: &Call, input: GetParameterInput) -> Result<GetParameterOutput, ApiError> {
        self.get(call, input).await
    }

    async fn get_parameters(&self, call: &Call, input: GetParametersInput) -> Result<GetParametersOutput, ApiError> {
        self.get_several(call, input).await
    }

    async fn get_parameters_by_path(
        &self,
        call: &Call,
        input: GetParametersByPathInput,
    ) -> Result<GetParametersByPathOutput, ApiError> {
        self.get_by_path(call, input).await
    }

    async fn get_parameter_history(
        &self,
        call: &Call,
        input: GetParameterHistoryInput,
    ) -> Result<GetParameterHistoryOutput, ApiError> {
        self.history(call, input).await
    }

    async fn describe_parameters(
        &self,
        call: &Call,
        input: DescribeParametersInput,
    ) -> Result<DescribeParametersOutput, ApiError> {
        self.describe(call, input).await
    }

    async fn delete_parameter(
        &self,
        call: &Call,
        input: DeleteParameterInput,
    ) -> Result<DeleteParameterOutput, ApiError> {
        self.delete(call, input).await
    }

    async fn delete_parameters(
        &self,
        call: &Call,
        input: DeleteParametersInput,
    ) -> Result<DeleteParametersOutput, ApiError> {
        self.delete_several(call, input).await
    }

    async fn label_parameter_version(
        &self,
        call: &Call,
        input: LabelParameterVersionInput,
    ) -> Result<LabelParameterVersionOutput, ApiError> {
        self.label(call, input).await
    }

    async fn unlabel_parameter_version(
        &self,
        call: &Call,
        input: UnlabelParameterVersionInput,
    ) -> Result<UnlabelParameterVersionOutput, ApiError> {
        self.unlabel(call, input).await
    }

    async fn add_tags_to_resource(
        &self,
        call: &Call,
        input: AddTagsToResourceInput,
    ) -> Result<AddTagsToResourceOutput, ApiError> {
        self.tag(call, input).await
    }

    async fn remove_tags_from_resource(
        &self,
        call: &Call,
        input: RemoveTagsFromResourceInput,
    ) -> Result<RemoveTagsFromResourceOutput, ApiError> {
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
