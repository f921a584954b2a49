//! The 55 operations, each leading to the file that knows its subject.
//!
//! Invariant: what changes a group is one transaction, so that a client who hangs up leaves nothing half done.

use ::api::Call;
use ::api::autoscaling::*;
use async_trait::async_trait;
use wire::ApiError;

use crate::describe;
use crate::errors;
use crate::hooks;
use crate::metrics;
use crate::processes;
use crate::service::Autoscaling;
use crate::termination;

#[async_trait]
impl ::api::autoscaling::Autoscaling for Autoscaling {
    async fn attach_instances(&self, call: &Call, input: AttachInstancesInput) -> Result<(), ApiError> {
        self.attach(call, input).await
    }

    async fn attach_load_balancers(
        &self,
        call: &Call,
        input: AttachLoadBalancersInput,
    ) -> Result<AttachLoadBalancersOutput, ApiError> {
        self.attach_balancers(call, input).await?;
        Ok(AttachLoadBalancersOutput {})
    }

    async fn batch_delete_scheduled_action(
        &self,
        call: &Call,
        input: BatchDeleteScheduledActionInput,
    ) -> Result<BatchDeleteScheduledActionOutput, ApiError> {
        self.delete_actions(call, input).await
    }

    async fn batch_put_scheduled_update_group_action(
        &self,
        call: &Call,
        input: BatchPutScheduledUpdateGroupActionInput,
    ) -> Result<BatchPutScheduledUpdateGroupActionOutput, ApiError> {
        self.put_actions(call, input).await
    }

    async fn cancel_instance_refresh(
        &self,
        call: &Call,
        input: CancelInstanceRefreshInput,
    ) -> Result<CancelInstanceRefreshOutput, ApiError> {
        self.cancel_refresh(call, input).await
    }

    async fn complete_lifecycle_action(
        &self,
        call: &Call,
        input: CompleteLifecycleActionInput,
    ) -> Result<CompleteLifecycleActionOutput, ApiError> {
        self.complete_action(call, input).await?;
        Ok(CompleteLifecycleActionOutput {})
    }

    async fn create_auto_scaling_group(&self, call: &Call, input: CreateAutoScalingGroupInput) -> Result<(), ApiError> {
        self.create_group(call, input).await
    }

    async fn create_launch_configuration(
        &self,
        call: &Call,
        input: CreateLaunchConfigurationInput,
    ) -> Result<(), ApiError> {
        self.create_configuration(call, input).await
    }

    async fn create_or_update_tags(&self, call: &Call, input: CreateOrUpdateTagsInput) -> Result<(), ApiError> {
        self.put_tags(call, input).await
    }

    async fn delete_auto_scaling_group(&self, call: &Call, input: DeleteAutoScalingGroupInput) -> Result<(), ApiError> {
        self.delete_group(call, input).await
    }

    async fn delete_launch_configuration(
        &self,
        call: &Call,
        input: DeleteLaunchConfigurationInput,
    ) -> Result<(), ApiError> {
        self.delete_configuration(call, input).await
    }

    async fn delete_lifecycle_hook(
        &self,
        call: &Call,
        input: DeleteLifecycleHookInput,
    ) -> Result<DeleteLifecycleHookOutput, ApiError> {
        self.delete_hook(call, input).await?;
        Ok(DeleteLifecycleHookOutput {})
    }

    async fn delete_notification_configuration(
        &self,
        call: &Call,
        input: DeleteNotificationConfigurationInput,
    ) -> Result<(), ApiError> {
        // There is none to delete: none was taken. AWS, too, deletes what is not there.
        self.group(call, &input.auto_scaling_group_name).await.map(drop)
    }

    async fn delete_policy(&self, call: &Call, input: DeletePolicyInput) -> Result<(), ApiError> {
        self.delete_policy_named(call, input).await
    }

    async fn delete_scheduled_action(&self, call: &Call, input: DeleteScheduledActionInput) -> Result<(), ApiError> {
        self.delete_action(call, input).await
    }

    async fn delete_tags(&self, call: &Call, input: DeleteTagsInput) -> Result<(), ApiError> {
        self.take_tags(call, input).await
    }

    async fn describe_account_limits(
        &self,
        call: &Call,
        _input: DescribeAccountLimitsInput,
    ) -> Result<DescribeAccountLimitsOutput, ApiError> {
        self.account_limits(call).await
    }

    async fn describe_adjustment_types(
        &self,
        _call: &Call,
        _input: DescribeAdjustmentTypesInput,
    ) -> Result<DescribeAdjustmentTypesOutput, ApiError> {
        Ok(describe::adjustment_types())
    }

    async fn describe_auto_scaling_groups(
        &self,
        call: &Call,
        input: DescribeAutoScalingGroupsInput,
    ) -> Result<DescribeAutoScalingGroupsOutput, ApiError> {
        self.describe_groups(call, input).await
    }

    async fn describe_auto_scaling_instances(
        &self,
        call: &Call,
        input: DescribeAutoScalingInstancesInput,
    ) -> Result<DescribeAutoScalingInstancesOutput, ApiError> {
        self.describe_instances(call, input).await
    }

    async fn describe_auto_scaling_notification_types(
        &self,
        _call: &Call,
        _input: DescribeAutoScalingNotificationTypesInput,
    ) -> Result<DescribeAutoScalingNotificationTypesOutput, ApiError> {
        Ok(describe::notification_types())
    }

    async fn describe_instance_refreshes(
        &self,
        call: &Call,
        input: DescribeInstanceRefreshesInput,
    ) -> Result<DescribeInstanceRefreshesOutput, ApiError> {
        self.describe_refreshes(call, input).await
    }

    async fn describe_launch_configurations(
        &self,
        call: &Call,
        input: DescribeLaunchConfigurationsInput,
    ) -> Result<DescribeLaunchConfigurationsOutput, ApiError> {
        self.describe_configurations(call, input).await
    }

    async fn describe_lifecycle_hook_types(
        &self,
        _call: &Call,
        _input: DescribeLifecycleHookTypesInput,
    ) -> Result<DescribeLifecycleHookTypesOutput, ApiError> {
        Ok(hooks::types())
    }

    async fn describe_lifecycle_hooks(
        &self,
        call: &Call,
        input: DescribeLifecycleHooksInput,
    ) -> Result<DescribeLifecycleHooksOutput, ApiError> {
        self.describe_hooks(call, input).await
    }

    async fn describe_load_balancer_target_groups(
        &self,
        call: &Call,
        input: DescribeLoadBalancerTargetGroupsInput,
    ) -> Result<DescribeLoadBalancerTargetGroupsOutput, ApiError> {
        // None can be attached, so none is.
        self.group(call, &input.auto_scaling_group_name).await?;
        Ok(DescribeLoadBalancerTargetGroupsOutput::default())
    }

    async fn describe_load_balancers(
        &self,
        call: &Call,
        input: DescribeLoadBalancersInput,
    ) -> Result<DescribeLoadBalancersOutput, ApiError> {
        self.describe_balancers(call, input).await
    }

    async fn describe_metric_collection_types(
        &self,
        _call: &Call,
        _input: DescribeMetricCollectionTypesInput,
    ) -> Result<DescribeMetricCollectionTypesOutput, ApiError> {
        Ok(metrics::types())
    }

    async fn describe_notification_configurations(
        &self,
        call: &Call,
        input: DescribeNotificationConfigurationsInput,
    ) -> Result<DescribeNotificationConfigurationsOutput, ApiError> {
        for name in &input.auto_scaling_group_names {
            self.group(call, name).await?;
        }
        Ok(DescribeNotificationConfigurationsOutput::default())
    }

    async fn describe_policies(
        &self,
        call: &Call,
        input: DescribePoliciesInput,
    ) -> Result<DescribePoliciesOutput, ApiError> {
        self.describe_all_policies(call, input).await
    }

    async fn describe_scaling_activities(
        &self,
        call: &Call,
        input: DescribeScalingActivitiesInput,
    ) -> Result<DescribeScalingActivitiesOutput, ApiError> {
        self.activities(call, input).await
    }

    async fn describe_scaling_process_types(
        &self,
        _call: &Call,
        _input: DescribeScalingProcessTypesInput,
    ) -> Result<DescribeScalingProcessTypesOutput, ApiError> {
        Ok(processes::types())
    }

    async fn describe_scheduled_actions(
        &self,
        call: &Call,
        input: DescribeScheduledActionsInput,
    ) -> Result<DescribeScheduledActionsOutput, ApiError> {
        self.describe_actions(call, input).await
    }

    async fn describe_tags(&self, call: &Call, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
        self.read_tags(call, input).await
    }

    async fn describe_termination_policy_types(
        &self,
        _call: &Call,
        _input: DescribeTerminationPolicyTypesInput,
    ) -> Result<DescribeTerminationPolicyTypesOutput, ApiError> {
        Ok(termination::types())
    }

    async fn detach_instances(
        &self,
        call: &Call,
        input: DetachInstancesInput,
    ) -> Result<DetachInstancesOutput, ApiError> {
        self.detach(call, input).await
    }

    async fn detach_load_balancers(
        &self,
        call: &Call,
        input: DetachLoadBalancersInput,
    ) -> Result<DetachLoadBalancersOutput, ApiError> {
        self.detach_balancers(call, input).await?;
        Ok(DetachLoadBalancersOutput {})
    }

    async fn disable_metrics_collection(
        &self,
        call: &Call,
        input: DisableMetricsCollectionInput,
    ) -> Result<(), ApiError> {
        self.disable_metrics(call, input).await
    }

    async fn enable_metrics_collection(
        &self,
        call: &Call,
        input: EnableMetricsCollectionInput,
    ) -> Result<(), ApiError> {
        self.enable_metrics(call, input).await
    }

    async fn enter_standby(&self, call: &Call, input: EnterStandbyInput) -> Result<EnterStandbyOutput, ApiError> {
        self.enter(call, input).await
    }

    async fn execute_policy(&self, call: &Call, input: ExecutePolicyInput) -> Result<(), ApiError> {
        self.execute(call, input).await
    }

    async fn exit_standby(&self, call: &Call, input: ExitStandbyInput) -> Result<ExitStandbyOutput, ApiError> {
        self.exit(call, input).await
    }

    async fn put_lifecycle_hook(
        &self,
        call: &Call,
        input: PutLifecycleHookInput,
    ) -> Result<PutLifecycleHookOutput, ApiError> {
        self.put_hook(call, input).await?;
        Ok(PutLifecycleHookOutput {})
    }

    async fn put_notification_configuration(
        &self,
        call: &Call,
        input: PutNotificationConfigurationInput,
    ) -> Result<(), ApiError> {
        self.group(call, &input.auto_scaling_group_name).await?;
        Err(errors::topic_unreachable(&input.topic_arn))
    }

    async fn put_scaling_policy(
        &self,
        call: &Call,
        input: PutScalingPolicyInput,
    ) -> Result<PutScalingPolicyOutput, ApiError> {
        self.put_policy(call, input).await
    }

    async fn put_scheduled_update_group_action(
        &self,
        call: &Call,
        input: PutScheduledUpdateGroupActionInput,
    ) -> Result<(), ApiError> {
        self.put_action(call, input).await
    }

    async fn record_lifecycle_action_heartbeat(
        &self,
        call: &Call,
        input: RecordLifecycleActionHeartbeatInput,
    ) -> Result<RecordLifecycleActionHeartbeatOutput, ApiError> {
        self.heartbeat(call, input).await?;
        Ok(RecordLifecycleActionHeartbeatOutput {})
    }

    async fn resume_processes(&self, call: &Call, input: ResumeProcessesInput) -> Result<(), ApiError> {
        self.resume(call, input).await
    }

    async fn set_desired_capacity(&self, call: &Call, input: SetDesiredCapacityInput) -> Result<(), ApiError> {
        self.set_capacity(call, input).await
    }

    async fn set_instance_health(&self, call: &Call, input: SetInstanceHealthInput) -> Result<(), ApiError> {
        self.set_health(call, input).await
    }

    async fn set_instance_protection(
        &self,
        call: &Call,
        input: SetInstanceProtectionInput,
    ) -> Result<SetInstanceProtectionOutput, ApiError> {
        self.protect(call, input).await?;
        Ok(SetInstanceProtectionOutput {})
    }

    async fn start_instance_refresh(
        &self,
        call: &Call,
        input: StartInstanceRefreshInput,
    ) -> Result<StartInstanceRefreshOutput, ApiError> {
        self.start_refresh(call, input).await
    }

    async fn suspend_processes(&self, call: &Call, input: SuspendProcessesInput) -> Result<(), ApiError> {
        self.suspend(call, input).await
    }

    async fn terminate_instance_in_auto_scaling_group(
        &self,
        call: &Call,
        input: TerminateInstanceInAutoScalingGroupInput,
    ) -> Result<TerminateInstanceInAutoScalingGroupOutput, ApiError> {
        self.terminate_by_user(call, input).await
    }

    async fn update_auto_scaling_group(&self, call: &Call, input: UpdateAutoScalingGroupInput) -> Result<(), ApiError> {
        self.update_group(call, input).await
    }
}
