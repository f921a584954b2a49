//! [`Machines`] and [`Balancers`]: what Auto Scaling asks of EC2 and ELB, and no more.
//!
//! Invariant: each is AWS's operation as it stands in `api`; the two traits only leave out what is never asked.

use std::sync::Arc;

use ::api::Call;
use ::api::ec2::Ec2;
use ::api::elb::Elb;
use async_trait::async_trait;
use wire::ApiError;

/// What is asked of EC2.
#[async_trait]
pub(crate) trait Machines: Send + Sync + 'static {
    async fn create_tags(&self, call: &Call, input: ::api::ec2::CreateTagsInput) -> Result<(), ApiError>;
    async fn describe_availability_zones(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeAvailabilityZonesInput,
    ) -> Result<::api::ec2::DescribeAvailabilityZonesOutput, ApiError>;
    async fn describe_instances(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeInstancesInput,
    ) -> Result<::api::ec2::DescribeInstancesOutput, ApiError>;
    async fn describe_launch_template_versions(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeLaunchTemplateVersionsInput,
    ) -> Result<::api::ec2::DescribeLaunchTemplateVersionsOutput, ApiError>;
    async fn describe_subnets(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeSubnetsInput,
    ) -> Result<::api::ec2::DescribeSubnetsOutput, ApiError>;
    async fn run_instances(
        &self,
        call: &Call,
        input: ::api::ec2::RunInstancesInput,
    ) -> Result<::api::ec2::RunInstancesOutput, ApiError>;
    async fn terminate_instances(
        &self,
        call: &Call,
        input: ::api::ec2::TerminateInstancesInput,
    ) -> Result<::api::ec2::TerminateInstancesOutput, ApiError>;
}

#[async_trait]
impl Machines for Arc<dyn Ec2> {
    async fn create_tags(&self, call: &Call, input: ::api::ec2::CreateTagsInput) -> Result<(), ApiError> {
        self.as_ref().create_tags(call, input).await
    }

    async fn describe_availability_zones(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeAvailabilityZonesInput,
    ) -> Result<::api::ec2::DescribeAvailabilityZonesOutput, ApiError> {
        self.as_ref().describe_availability_zones(call, input).await
    }

    async fn describe_instances(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeInstancesInput,
    ) -> Result<::api::ec2::DescribeInstancesOutput, ApiError> {
        self.as_ref().describe_instances(call, input).await
    }

    async fn describe_launch_template_versions(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeLaunchTemplateVersionsInput,
    ) -> Result<::api::ec2::DescribeLaunchTemplateVersionsOutput, ApiError> {
        self.as_ref().describe_launch_template_versions(call, input).await
    }

    async fn describe_subnets(
        &self,
        call: &Call,
        input: ::api::ec2::DescribeSubnetsInput,
    ) -> Result<::api::ec2::DescribeSubnetsOutput, ApiError> {
        self.as_ref().describe_subnets(call, input).await
    }

    async fn run_instances(
        &self,
        call: &Call,
        input: ::api::ec2::RunInstancesInput,
    ) -> Result<::api::ec2::RunInstancesOutput, ApiError> {
        self.as_ref().run_instances(call, input).await
    }

    async fn terminate_instances(
        &self,
        call: &Call,
        input: ::api::ec2::TerminateInstancesInput,
    ) -> Result<::api::ec2::TerminateInstancesOutput, ApiError> {
        self.as_ref().terminate_instances(call, input).await
    }
}

/// What is asked of ELB.
#[async_trait]
pub(crate) trait Balancers: Send + Sync + 'static {
    async fn deregister_instances_from_load_balancer(
        &self,
        call: &Call,
        input: ::api::elb::DeregisterInstancesFromLoadBalancerInput,
    ) -> Result<::api::elb::DeregisterInstancesFromLoadBalancerOutput, ApiError>;
    async fn describe_instance_health(
        &self,
        call: &Call,
        input: ::api::elb::DescribeInstanceHealthInput,
    ) -> Result<::api::elb::DescribeInstanceHealthOutput, ApiError>;
    async fn describe_load_balancers(
        &self,
        call: &Call,
        input: ::api::elb::DescribeLoadBalancersInput,
    ) -> Result<::api::elb::DescribeLoadBalancersOutput, ApiError>;
    async fn register_instances_with_load_balancer(
        &self,
        call: &Call,
        input: ::api::elb::RegisterInstancesWithLoadBalancerInput,
    ) -> Result<::api::elb::RegisterInstancesWithLoadBalancerOutput, ApiError>;
}

#[async_trait]
impl Balancers for Arc<dyn Elb> {
    async fn deregister_instances_from_load_balancer(
        &self,
        call: &Call,
        input: ::api::elb::DeregisterInstancesFromLoadBalancerInput,
    ) -> Result<::api::elb::DeregisterInstancesFromLoadBalancerOutput, ApiError> {
        self.as_ref().deregister_instances_from_load_balancer(call, input).await
    }

    async fn describe_instance_health(
        &self,
        call: &Call,
        input: ::api::elb::DescribeInstanceHealthInput,
    ) -> Result<::api::elb::DescribeInstanceHealthOutput, ApiError> {
        self.as_ref().describe_instance_health(call, input).await
    }

    async fn describe_load_balancers(
        &self,
        call: &Call,
        input: ::api::elb::DescribeLoadBalancersInput,
    ) -> Result<::api::elb::DescribeLoadBalancersOutput, ApiError> {
        self.as_ref().describe_load_balancers(call, input).await
    }

    async fn register_instances_with_load_balancer(
        &self,
        call: &Call,
        input: ::api::elb::RegisterInstancesWithLoadBalancerInput,
    ) -> Result<::api::elb::RegisterInstancesWithLoadBalancerOutput, ApiError> {
        self.as_ref().register_instances_with_load_balancer(call, input).await
    }
}
