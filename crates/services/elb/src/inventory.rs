//! [`Inventory`]: what ELB asks of EC2, a few of its many operations, so that tests can put something else in its place.
//!
//! Invariant: nothing is decided here; each method is the operation of that name.

use std::sync::Arc;

use api::Call;
use api::ec2::{
    CreateNetworkInterfaceInput, DeleteNetworkInterfaceInput, DescribeInstancesInput, DescribeInstancesOutput,
    DescribeNetworkInterfacesInput, DescribeNetworkInterfacesOutput, DescribeSecurityGroupsInput,
    DescribeSecurityGroupsOutput, DescribeSubnetsInput, DescribeSubnetsOutput, Ec2,
    ModifyNetworkInterfaceAttributeInput,
};
use async_trait::async_trait;
use wire::ApiError;

/// EC2 as ELB sees it.
#[async_trait]
pub(crate) trait Inventory: Send + Sync + 'static {
    async fn instances(&self, call: &Call, input: DescribeInstancesInput) -> Result<DescribeInstancesOutput, ApiError>;
    async fn groups(
        &self,
        call: &Call,
        input: DescribeSecurityGroupsInput,
    ) -> Result<DescribeSecurityGroupsOutput, ApiError>;
    async fn subnets(&self, call: &Call, input: DescribeSubnetsInput) -> Result<DescribeSubnetsOutput, ApiError>;
    async fn interfaces(
        &self,
        call: &Call,
        input: DescribeNetworkInterfacesInput,
    ) -> Result<DescribeNetworkInterfacesOutput, ApiError>;
    async fn create_interface(&self, call: &Call, input: CreateNetworkInterfaceInput) -> Result<(), ApiError>;
    async fn modify_interface(&self, call: &Call, input: ModifyNetworkInterfaceAttributeInput) -> Result<(), ApiError>;
    async fn delete_interface(&self, call: &Call, input: DeleteNetworkInterfaceInput) -> Result<(), ApiError>;
}

/// The service itself.
pub(crate) struct FromEc2(pub(crate) Arc<dyn Ec2>);

#[async_trait]
impl Inventory for FromEc2 {
    async fn instances(&self, call: &Call, input: DescribeInstancesInput) -> Result<DescribeInstancesOutput, ApiError> {
        self.0.describe_instances(call, input).await
    }

    async fn groups(
        &self,
        call: &Call,
        input: DescribeSecurityGroupsInput,
    ) -> Result<DescribeSecurityGroupsOutput, ApiError> {
        self.0.describe_security_groups(call, input).await
    }

    async fn subnets(&self, call: &Call, input: DescribeSubnetsInput) -> Result<DescribeSubnetsOutput, ApiError> {
        self.0.describe_subnets(call, input).await
    }

    async fn interfaces(
        &self,
        call: &Call,
        input: DescribeNetworkInterfacesInput,
    ) -> Result<DescribeNetworkInterfacesOutput, ApiError> {
        self.0.describe_network_interfaces(call, input).await
    }

    async fn create_interface(&self, call: &Call, input: CreateNetworkInterfaceInput) -> Result<(), ApiError> {
        self.0.create_network_interface(call, input).await.map(drop)
    }

    async fn modify_interface(&self, call: &Call, input: ModifyNetworkInterfaceAttributeInput) -> Result<(), ApiError> {
        self.0.modify_network_interface_attribute(call, input).await.map(drop)
    }

    async fn delete_interface(&self, call: &Call, input: DeleteNetworkInterfaceInput) -> Result<(), ApiError> {
        self.0.delete_network_interface(call, input).await.map(drop)
    }
}
