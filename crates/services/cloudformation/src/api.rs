//! The operations, each leading to the file that knows its subject.
//!
//! Invariant: what changes a stack runs to its end in a task of its own, so that a client who hangs up leaves nothing half
//! done.

use ::api::Call;
use ::api::cloudformation::*;
use async_trait::async_trait;
use wire::ApiError;

use crate::describe;
use crate::errors;
use crate::service::CloudFormation;

impl CloudFormation {
    /// Runs a change to its end, even when the client goes away.
    async fn to_the_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        tokio::spawn(change).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request did not come to its end");
            Err(errors::internal())
        })
    }
}

#[async_trait]
impl ::api::cloudformation::Cloudformation for CloudFormation {
    async fn cancel_update_stack(&self, call: &Call, input: CancelUpdateStackInput) -> Result<(), ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.cancel_update(&call, input).await }).await
    }

    async fn continue_update_rollback(
        &self,
        call: &Call,
        input: ContinueUpdateRollbackInput,
    ) -> Result<ContinueUpdateRollbackOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.continue_rollback(&call, input).await }).await?;
        Ok(ContinueUpdateRollbackOutput {})
    }

    async fn create_change_set(
        &self,
        call: &Call,
        input: CreateChangeSetInput,
    ) -> Result<CreateChangeSetOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.make_change_set(&call, input).await }).await
    }

    async fn create_stack(&self, call: &Call, input: CreateStackInput) -> Result<CreateStackOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.create(&call, input).await }).await
    }

    async fn delete_change_set(
        &self,
        call: &Call,
        input: DeleteChangeSetInput,
    ) -> Result<DeleteChangeSetOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.delete_set(&call, input).await }).await
    }

    async fn delete_stack(&self, call: &Call, input: DeleteStackInput) -> Result<(), ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.delete(&call, input).await }).await
    }

    async fn describe_account_limits(
        &self,
        _: &Call,
        _: DescribeAccountLimitsInput,
    ) -> Result<DescribeAccountLimitsOutput, ApiError> {
        Ok(describe::account_limits())
    }

    async fn describe_change_set(
        &self,
        call: &Call,
        input: DescribeChangeSetInput,
    ) -> Result<DescribeChangeSetOutput, ApiError> {
        self.show_change_set(call, input).await
    }

    async fn describe_stack_events(
        &self,
        call: &Call,
        input: DescribeStackEventsInput,
    ) -> Result<DescribeStackEventsOutput, ApiError> {
        self.events(call, input).await
    }

    async fn describe_stack_resource(
        &self,
        call: &Call,
        input: DescribeStackResourceInput,
    ) -> Result<DescribeStackResourceOutput, ApiError> {
        self.show_resource(call, input).await
    }

    async fn describe_stack_resources(
        &self,
        call: &Call,
        input: DescribeStackResourcesInput,
    ) -> Result<DescribeStackResourcesOutput, ApiError> {
        self.show_resources(call, input).await
    }

    async fn describe_stacks(&self, call: &Call, input: DescribeStacksInput) -> Result<DescribeStacksOutput, ApiError> {
        self.show_stacks(call, input).await
    }

    async fn execute_change_set(
        &self,
        call: &Call,
        input: ExecuteChangeSetInput,
    ) -> Result<ExecuteChangeSetOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.execute_set(&call, input).await }).await?;
        Ok(ExecuteChangeSetOutput {})
    }

    async fn get_stack_policy(
        &self,
        call: &Call,
        input: GetStackPolicyInput,
    ) -> Result<GetStackPolicyOutput, ApiError> {
        self.get_policy(call, input).await
    }

    async fn get_template(&self, call: &Call, input: GetTemplateInput) -> Result<GetTemplateOutput, ApiError> {
        self.template_of(call, input).await
    }

    async fn get_template_summary(
        &self,
        call: &Call,
        input: GetTemplateSummaryInput,
    ) -> Result<GetTemplateSummaryOutput, ApiError> {
        self.sum_up(call, input).await
    }

    async fn list_change_sets(
        &self,
        call: &Call,
        input: ListChangeSetsInput,
    ) -> Result<ListChangeSetsOutput, ApiError> {
        self.list_sets(call, input).await
    }

    async fn list_exports(&self, call: &Call, input: ListExportsInput) -> Result<ListExportsOutput, ApiError> {
        self.exports(call, input).await
    }

    async fn list_imports(&self, call: &Call, input: ListImportsInput) -> Result<ListImportsOutput, ApiError> {
        self.imports(call, input).await
    }

    async fn list_stack_resources(
        &self,
        call: &Call,
        input: ListStackResourcesInput,
    ) -> Result<ListStackResourcesOutput, ApiError> {
        self.list_resources(call, input).await
    }

    async fn list_stacks(&self, call: &Call, input: ListStacksInput) -> Result<ListStacksOutput, ApiError> {
        self.summaries(call, input).await
    }

    async fn rollback_stack(&self, call: &Call, input: RollbackStackInput) -> Result<RollbackStackOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.rollback(&call, input).await }).await
    }

    async fn set_stack_policy(&self, call: &Call, input: SetStackPolicyInput) -> Result<(), ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.set_policy(&call, input).await }).await
    }

    async fn signal_resource(&self, call: &Call, input: SignalResourceInput) -> Result<(), ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.signal(&call, input).await }).await
    }

    async fn update_stack(&self, call: &Call, input: UpdateStackInput) -> Result<UpdateStackOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.update(&call, input).await }).await
    }

    async fn update_termination_protection(
        &self,
        call: &Call,
        input: UpdateTerminationProtectionInput,
    ) -> Result<UpdateTerminationProtectionOutput, ApiError> {
        let (service, call) = (self.clone(), call.clone());
        self.to_the_end(async move { service.protect(&call, input).await }).await
    }

    async fn validate_template(
        &self,
        call: &Call,
        input: ValidateTemplateInput,
    ) -> Result<ValidateTemplateOutput, ApiError> {
        self.check_template(call, input).await
    }
}
