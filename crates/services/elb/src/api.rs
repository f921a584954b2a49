//! The 29 operations, each leading to the file that knows its subject.
//!
//! Invariant: what changes a load balancer goes through [`Elb::to_the_end`], so that a client who hangs up leaves
//! nothing half done.

use ::api::Call;
use ::api::elb::*;
use async_trait::async_trait;
use wire::ApiError;

use crate::limits;
use crate::policy_types::{self, APP_COOKIE, LB_COOKIE};
use crate::service::Elb;

fn attribute(name: &str, value: String) -> PolicyAttribute {
    PolicyAttribute { attribute_name: Some(name.to_owned()), attribute_value: Some(value) }
}

#[async_trait]
impl ::api::elb::Elb for Elb {
    async fn add_tags(&self, call: &Call, input: AddTagsInput) -> Result<AddTagsOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.tag(&call, input).await }).await?;
        Ok(AddTagsOutput {})
    }

    async fn apply_security_groups_to_load_balancer(
        &self,
        call: &Call,
        input: ApplySecurityGroupsToLoadBalancerInput,
    ) -> Result<ApplySecurityGroupsToLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.apply_security_groups(&call, input).await }).await
    }

    async fn attach_load_balancer_to_subnets(
        &self,
        call: &Call,
        input: AttachLoadBalancerToSubnetsInput,
    ) -> Result<AttachLoadBalancerToSubnetsOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.attach_subnets(&call, input).await }).await
    }

    async fn configure_health_check(
        &self,
        call: &Call,
        input: ConfigureHealthCheckInput,
    ) -> Result<ConfigureHealthCheckOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.configure_health(&call, input).await }).await
    }

    async fn create_app_cookie_stickiness_policy(
        &self,
        call: &Call,
        input: CreateAppCookieStickinessPolicyInput,
    ) -> Result<CreateAppCookieStickinessPolicyOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        let attributes = vec![attribute("CookieName", input.cookie_name)];
        self.to_the_end(async move {
            elb.create_policy(&call, &input.load_balancer_name, &input.policy_name, APP_COOKIE, attributes).await
        })
        .await?;
        Ok(CreateAppCookieStickinessPolicyOutput {})
    }

    async fn create_lb_cookie_stickiness_policy(
        &self,
        call: &Call,
        input: CreateLBCookieStickinessPolicyInput,
    ) -> Result<CreateLBCookieStickinessPolicyOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        let period = input.cookie_expiration_period;
        let attributes =
            period.map(|seconds| attribute("CookieExpirationPeriod", seconds.to_string())).into_iter().collect();
        self.to_the_end(async move {
            elb.create_policy(&call, &input.load_balancer_name, &input.policy_name, LB_COOKIE, attributes).await
        })
        .await?;
        Ok(CreateLBCookieStickinessPolicyOutput {})
    }

    async fn create_load_balancer(
        &self,
        call: &Call,
        input: CreateLoadBalancerInput,
    ) -> Result<CreateLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.create(&call, input).await }).await
    }

    async fn create_load_balancer_listeners(
        &self,
        call: &Call,
        input: CreateLoadBalancerListenersInput,
    ) -> Result<CreateLoadBalancerListenersOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.create_listeners(&call, input).await }).await?;
        Ok(CreateLoadBalancerListenersOutput {})
    }

    async fn create_load_balancer_policy(
        &self,
        call: &Call,
        input: CreateLoadBalancerPolicyInput,
    ) -> Result<CreateLoadBalancerPolicyOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move {
            elb.create_policy(
                &call,
                &input.load_balancer_name,
                &input.policy_name,
                &input.policy_type_name,
                input.policy_attributes,
            )
            .await
        })
        .await?;
        Ok(CreateLoadBalancerPolicyOutput {})
    }

    async fn delete_load_balancer(
        &self,
        call: &Call,
        input: DeleteLoadBalancerInput,
    ) -> Result<DeleteLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.delete(&call, input).await }).await?;
        Ok(DeleteLoadBalancerOutput {})
    }

    async fn delete_load_balancer_listeners(
        &self,
        call: &Call,
        input: DeleteLoadBalancerListenersInput,
    ) -> Result<DeleteLoadBalancerListenersOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.delete_listeners(&call, input).await }).await?;
        Ok(DeleteLoadBalancerListenersOutput {})
    }

    async fn delete_load_balancer_policy(
        &self,
        call: &Call,
        input: DeleteLoadBalancerPolicyInput,
    ) -> Result<DeleteLoadBalancerPolicyOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.delete_policy(&call, input).await }).await?;
        Ok(DeleteLoadBalancerPolicyOutput {})
    }

    async fn deregister_instances_from_load_balancer(
        &self,
        call: &Call,
        input: DeregisterInstancesFromLoadBalancerInput,
    ) -> Result<DeregisterInstancesFromLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.deregister(&call, input).await }).await
    }

    async fn describe_account_limits(
        &self,
        _call: &Call,
        input: DescribeAccountLimitsInput,
    ) -> Result<DescribeAccountLimitsOutput, ApiError> {
        limits::describe(&input)
    }

    async fn describe_instance_health(
        &self,
        call: &Call,
        input: DescribeInstanceHealthInput,
    ) -> Result<DescribeInstanceHealthOutput, ApiError> {
        self.describe_health(call, input).await
    }

    async fn describe_load_balancer_attributes(
        &self,
        call: &Call,
        input: DescribeLoadBalancerAttributesInput,
    ) -> Result<DescribeLoadBalancerAttributesOutput, ApiError> {
        self.describe_attributes(call, input).await
    }

    async fn describe_load_balancer_policies(
        &self,
        call: &Call,
        input: DescribeLoadBalancerPoliciesInput,
    ) -> Result<DescribeLoadBalancerPoliciesOutput, ApiError> {
        self.describe_policies(call, input).await
    }

    async fn describe_load_balancer_policy_types(
        &self,
        _call: &Call,
        input: DescribeLoadBalancerPolicyTypesInput,
    ) -> Result<DescribeLoadBalancerPolicyTypesOutput, ApiError> {
        let policy_type_descriptions = policy_types::describe(&input.policy_type_names)?;
        Ok(DescribeLoadBalancerPolicyTypesOutput { policy_type_descriptions })
    }

    async fn describe_load_balancers(
        &self,
        call: &Call,
        input: DescribeLoadBalancersInput,
    ) -> Result<DescribeLoadBalancersOutput, ApiError> {
        self.describe_all(call, input).await
    }

    async fn describe_tags(&self, call: &Call, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
        self.read_tags(call, input).await
    }

    async fn detach_load_balancer_from_subnets(
        &self,
        call: &Call,
        input: DetachLoadBalancerFromSubnetsInput,
    ) -> Result<DetachLoadBalancerFromSubnetsOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.detach_subnets(&call, input).await }).await
    }

    async fn disable_availability_zones_for_load_balancer(
        &self,
        call: &Call,
        input: DisableAvailabilityZonesForLoadBalancerInput,
    ) -> Result<DisableAvailabilityZonesForLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.disable_zones(&call, input).await }).await
    }

    async fn enable_availability_zones_for_load_balancer(
        &self,
        call: &Call,
        input: EnableAvailabilityZonesForLoadBalancerInput,
    ) -> Result<EnableAvailabilityZonesForLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.enable_zones(&call, input).await }).await
    }

    async fn modify_load_balancer_attributes(
        &self,
        call: &Call,
        input: ModifyLoadBalancerAttributesInput,
    ) -> Result<ModifyLoadBalancerAttributesOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.modify_attributes(&call, input).await }).await
    }

    async fn register_instances_with_load_balancer(
        &self,
        call: &Call,
        input: RegisterInstancesWithLoadBalancerInput,
    ) -> Result<RegisterInstancesWithLoadBalancerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.register(&call, input).await }).await
    }

    async fn remove_tags(&self, call: &Call, input: RemoveTagsInput) -> Result<RemoveTagsOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.untag(&call, input).await }).await?;
        Ok(RemoveTagsOutput {})
    }

    async fn set_load_balancer_listener_ssl_certificate(
        &self,
        call: &Call,
        input: SetLoadBalancerListenerSSLCertificateInput,
    ) -> Result<SetLoadBalancerListenerSSLCertificateOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.set_certificate(&call, input).await }).await?;
        Ok(SetLoadBalancerListenerSSLCertificateOutput {})
    }

    async fn set_load_balancer_policies_for_backend_server(
        &self,
        call: &Call,
        input: SetLoadBalancerPoliciesForBackendServerInput,
    ) -> Result<SetLoadBalancerPoliciesForBackendServerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.set_backend_policies(&call, input).await }).await?;
        Ok(SetLoadBalancerPoliciesForBackendServerOutput {})
    }

    async fn set_load_balancer_policies_of_listener(
        &self,
        call: &Call,
        input: SetLoadBalancerPoliciesOfListenerInput,
    ) -> Result<SetLoadBalancerPoliciesOfListenerOutput, ApiError> {
        let (elb, call) = (self.clone(), call.clone());
        self.to_the_end(async move { elb.set_listener_policies(&call, input).await }).await?;
        Ok(SetLoadBalancerPoliciesOfListenerOutput {})
    }
}
