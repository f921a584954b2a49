//! The operations: thin, each a look or one transaction.
//!
//! Invariant: a change and its note for those who watch are one transaction.

use std::sync::Weak;

use api::Call;
use api::ec2::*;
use async_trait::async_trait;
use store::{Transaction, View};
use wire::ApiError;

use crate::errors::Refusal;
use crate::place::{Layout, Place};
use crate::rows::touch;
use crate::rules::{self, Legacy};
use crate::service::Inner;
use crate::{Ec2, instances, network, security_groups, tags};

impl Ec2 {
    /// Looks at one moment of the rows.
    async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>, &Layout) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        let this = self.clone();
        Ok(self.inner.store.read_async(move |view| look(view, &this.inner.layout)).await?)
    }

    /// Changes rows in one transaction.
    async fn change<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>, &Inner) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        let this = self.clone();
        let written = self.inner.store.write_async(move |tx| {
            let answer = change(tx, &this.inner)?;
            touch(tx)?;
            Ok::<_, Refusal>(answer)
        });
        Ok(written.await?)
    }

    /// Whether somebody outside uses a group.
    async fn is_in_use(&self, place: &Place, group_id: &str) -> Result<bool, ApiError> {
        let users = self.inner.group_users.read().as_ref().and_then(Weak::upgrade);
        match users {
            Some(users) => users.uses_group(&place.account, &place.region, group_id).await,
            None => Ok(false),
        }
    }
}

#[async_trait]
impl api::ec2::Ec2 for Ec2 {
    async fn describe_instances(
        &self,
        call: &Call,
        input: DescribeInstancesInput,
    ) -> Result<DescribeInstancesOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, layout| instances::describe(view, layout, &place, input)).await
    }

    async fn describe_instance_status(
        &self,
        call: &Call,
        input: DescribeInstanceStatusInput,
    ) -> Result<DescribeInstanceStatusOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, layout| instances::describe_status(view, layout, &place, input)).await
    }

    async fn describe_regions(
        &self,
        call: &Call,
        input: DescribeRegionsInput,
    ) -> Result<DescribeRegionsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Ok(DescribeRegionsOutput { regions: network::regions(&self.inner.layout, call, input)? })
    }

    async fn describe_availability_zones(
        &self,
        call: &Call,
        input: DescribeAvailabilityZonesInput,
    ) -> Result<DescribeAvailabilityZonesOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let availability_zones = network::zones(&self.inner.layout, &place, input)?;
        Ok(DescribeAvailabilityZonesOutput { availability_zones })
    }

    async fn describe_vpcs(&self, call: &Call, input: DescribeVpcsInput) -> Result<DescribeVpcsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, _| network::vpcs(view, &place, input)).await
    }

    async fn describe_subnets(
        &self,
        call: &Call,
        input: DescribeSubnetsInput,
    ) -> Result<DescribeSubnetsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, layout| network::subnets(view, layout, &place, input)).await
    }

    async fn describe_account_attributes(
        &self,
        call: &Call,
        input: DescribeAccountAttributesInput,
    ) -> Result<DescribeAccountAttributesOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let account_attributes = network::account_attributes(&place, &input.attribute_names)?;
        Ok(DescribeAccountAttributesOutput { account_attributes })
    }

    async fn describe_security_groups(
        &self,
        call: &Call,
        input: DescribeSecurityGroupsInput,
    ) -> Result<DescribeSecurityGroupsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, _| security_groups::describe(view, &place, input)).await
    }

    async fn create_security_group(
        &self,
        call: &Call,
        input: CreateSecurityGroupInput,
    ) -> Result<CreateSecurityGroupOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let id = self.new_id("sg");
        let output = CreateSecurityGroupOutput {
            group_id: Some(id.clone()),
            security_group_arn: Some(security_groups::arn(&place, &id)),
            tags: Vec::new(),
        };
        let tags = self.change(move |tx, _| security_groups::create(tx, &place, &id, input)).await?;
        Ok(CreateSecurityGroupOutput { tags, ..output })
    }

    async fn delete_security_group(
        &self,
        call: &Call,
        input: DeleteSecurityGroupInput,
    ) -> Result<DeleteSecurityGroupOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let found = place.clone();
        let group = self
            .look(move |view, _| {
                security_groups::find(view, &found, security_groups::named(&input.group_id, &input.group_name)?)
            })
            .await?;
        if self.is_in_use(&place, &group.id).await? {
            return Err(Refusal::GroupInUse(group.id).into());
        }
        let id = group.id.clone();
        self.change(move |tx, _| security_groups::delete(tx, &place, &id)).await?;
        Ok(DeleteSecurityGroupOutput { group_id: Some(group.id), r#return: Some(true) })
    }

    async fn authorize_security_group_ingress(
        &self,
        call: &Call,
        input: AuthorizeSecurityGroupIngressInput,
    ) -> Result<AuthorizeSecurityGroupIngressOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let legacy = Legacy {
            ip_protocol: input.ip_protocol,
            from_port: input.from_port,
            to_port: input.to_port,
            cidr_ip: input.cidr_ip,
            source_group_name: input.source_security_group_name,
            source_group_owner: input.source_security_group_owner_id,
        };
        let permissions = rules::permissions(legacy, input.ip_permissions)?;
        let tags = tags::specified(input.tag_specifications, "security-group-rule")?;
        let security_group_rules = self
            .change(move |tx, inner| {
                let named = security_groups::named(&input.group_id, &input.group_name)?;
                let group = security_groups::find(tx, &place, named)?;
                let new_id = || crate::service::new_id(&*inner.ids, "sgr");
                security_groups::authorize(tx, &place, group, &permissions, &tags, new_id)
            })
            .await?;
        Ok(AuthorizeSecurityGroupIngressOutput { r#return: Some(true), security_group_rules })
    }

    async fn revoke_security_group_ingress(
        &self,
        call: &Call,
        input: RevokeSecurityGroupIngressInput,
    ) -> Result<RevokeSecurityGroupIngressOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let legacy = Legacy {
            ip_protocol: input.ip_protocol,
            from_port: input.from_port,
            to_port: input.to_port,
            cidr_ip: input.cidr_ip,
            source_group_name: input.source_security_group_name,
            source_group_owner: input.source_security_group_owner_id,
        };
        let ids = input.security_group_rule_ids;
        let permissions = if ids.is_empty() { rules::permissions(legacy, input.ip_permissions)? } else { Vec::new() };
        let (revoked_security_group_rules, unknown_ip_permissions) = self
            .change(move |tx, _| {
                let named = security_groups::named(&input.group_id, &input.group_name)?;
                let group = security_groups::find(tx, &place, named)?;
                if ids.is_empty() {
                    security_groups::revoke(tx, &place, group, permissions)
                } else {
                    security_groups::revoke_by_id(tx, &place, group, &ids)
                }
            })
            .await?;
        Ok(RevokeSecurityGroupIngressOutput {
            r#return: Some(true),
            revoked_security_group_rules,
            unknown_ip_permissions,
        })
    }

    async fn create_tags(&self, call: &Call, input: CreateTagsInput) -> Result<(), ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let checked = tags::checked(input.tags)?;
        self.change(move |tx, inner| tags::create(tx, &inner.layout, &place, &input.resources, &checked)).await
    }

    async fn delete_tags(&self, call: &Call, input: DeleteTagsInput) -> Result<(), ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.change(move |tx, inner| tags::delete(tx, &inner.layout, &place, &input.resources, &input.tags)).await
    }

    async fn describe_tags(&self, call: &Call, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, _| tags::describe(view, &place, input)).await
    }

    async fn allocate_address(
        &self,
        call: &Call,
        input: AllocateAddressInput,
    ) -> Result<AllocateAddressOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn associate_address(
        &self,
        call: &Call,
        input: AssociateAddressInput,
    ) -> Result<AssociateAddressOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn associate_route_table(
        &self,
        call: &Call,
        input: AssociateRouteTableInput,
    ) -> Result<AssociateRouteTableOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn attach_internet_gateway(&self, call: &Call, input: AttachInternetGatewayInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn authorize_security_group_egress(
        &self,
        call: &Call,
        input: AuthorizeSecurityGroupEgressInput,
    ) -> Result<AuthorizeSecurityGroupEgressOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_internet_gateway(
        &self,
        call: &Call,
        input: CreateInternetGatewayInput,
    ) -> Result<CreateInternetGatewayOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_key_pair(&self, call: &Call, input: CreateKeyPairInput) -> Result<CreateKeyPairOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_launch_template(
        &self,
        call: &Call,
        input: CreateLaunchTemplateInput,
    ) -> Result<CreateLaunchTemplateOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_launch_template_version(
        &self,
        call: &Call,
        input: CreateLaunchTemplateVersionInput,
    ) -> Result<CreateLaunchTemplateVersionOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_network_acl(
        &self,
        call: &Call,
        input: CreateNetworkAclInput,
    ) -> Result<CreateNetworkAclOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_network_acl_entry(&self, call: &Call, input: CreateNetworkAclEntryInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_network_interface(
        &self,
        call: &Call,
        input: CreateNetworkInterfaceInput,
    ) -> Result<CreateNetworkInterfaceOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_route(&self, call: &Call, input: CreateRouteInput) -> Result<CreateRouteOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_route_table(
        &self,
        call: &Call,
        input: CreateRouteTableInput,
    ) -> Result<CreateRouteTableOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_subnet(&self, call: &Call, input: CreateSubnetInput) -> Result<CreateSubnetOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn create_vpc(&self, call: &Call, input: CreateVpcInput) -> Result<CreateVpcOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_internet_gateway(&self, call: &Call, input: DeleteInternetGatewayInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_key_pair(&self, call: &Call, input: DeleteKeyPairInput) -> Result<DeleteKeyPairOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_launch_template(
        &self,
        call: &Call,
        input: DeleteLaunchTemplateInput,
    ) -> Result<DeleteLaunchTemplateOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_launch_template_versions(
        &self,
        call: &Call,
        input: DeleteLaunchTemplateVersionsInput,
    ) -> Result<DeleteLaunchTemplateVersionsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_network_acl(&self, call: &Call, input: DeleteNetworkAclInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_network_acl_entry(&self, call: &Call, input: DeleteNetworkAclEntryInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_network_interface(&self, call: &Call, input: DeleteNetworkInterfaceInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_route(&self, call: &Call, input: DeleteRouteInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_route_table(&self, call: &Call, input: DeleteRouteTableInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_subnet(&self, call: &Call, input: DeleteSubnetInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn delete_vpc(&self, call: &Call, input: DeleteVpcInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_addresses(
        &self,
        call: &Call,
        input: DescribeAddressesInput,
    ) -> Result<DescribeAddressesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_dhcp_options(
        &self,
        call: &Call,
        input: DescribeDhcpOptionsInput,
    ) -> Result<DescribeDhcpOptionsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_images(&self, call: &Call, input: DescribeImagesInput) -> Result<DescribeImagesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_instance_attribute(
        &self,
        call: &Call,
        input: DescribeInstanceAttributeInput,
    ) -> Result<DescribeInstanceAttributeOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_instance_types(
        &self,
        call: &Call,
        input: DescribeInstanceTypesInput,
    ) -> Result<DescribeInstanceTypesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_internet_gateways(
        &self,
        call: &Call,
        input: DescribeInternetGatewaysInput,
    ) -> Result<DescribeInternetGatewaysOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_key_pairs(
        &self,
        call: &Call,
        input: DescribeKeyPairsInput,
    ) -> Result<DescribeKeyPairsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_launch_template_versions(
        &self,
        call: &Call,
        input: DescribeLaunchTemplateVersionsInput,
    ) -> Result<DescribeLaunchTemplateVersionsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_launch_templates(
        &self,
        call: &Call,
        input: DescribeLaunchTemplatesInput,
    ) -> Result<DescribeLaunchTemplatesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_network_acls(
        &self,
        call: &Call,
        input: DescribeNetworkAclsInput,
    ) -> Result<DescribeNetworkAclsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_network_interfaces(
        &self,
        call: &Call,
        input: DescribeNetworkInterfacesInput,
    ) -> Result<DescribeNetworkInterfacesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_route_tables(
        &self,
        call: &Call,
        input: DescribeRouteTablesInput,
    ) -> Result<DescribeRouteTablesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_security_group_rules(
        &self,
        call: &Call,
        input: DescribeSecurityGroupRulesInput,
    ) -> Result<DescribeSecurityGroupRulesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_volumes(
        &self,
        call: &Call,
        input: DescribeVolumesInput,
    ) -> Result<DescribeVolumesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn describe_vpc_attribute(
        &self,
        call: &Call,
        input: DescribeVpcAttributeInput,
    ) -> Result<DescribeVpcAttributeOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn detach_internet_gateway(&self, call: &Call, input: DetachInternetGatewayInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn disassociate_address(&self, call: &Call, input: DisassociateAddressInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn disassociate_route_table(&self, call: &Call, input: DisassociateRouteTableInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn get_console_output(
        &self,
        call: &Call,
        input: GetConsoleOutputInput,
    ) -> Result<GetConsoleOutputOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn import_key_pair(&self, call: &Call, input: ImportKeyPairInput) -> Result<ImportKeyPairOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn modify_instance_attribute(
        &self,
        call: &Call,
        input: ModifyInstanceAttributeInput,
    ) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn modify_instance_metadata_options(
        &self,
        call: &Call,
        input: ModifyInstanceMetadataOptionsInput,
    ) -> Result<ModifyInstanceMetadataOptionsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn modify_launch_template(
        &self,
        call: &Call,
        input: ModifyLaunchTemplateInput,
    ) -> Result<ModifyLaunchTemplateOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn modify_network_interface_attribute(
        &self,
        call: &Call,
        input: ModifyNetworkInterfaceAttributeInput,
    ) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn modify_subnet_attribute(&self, call: &Call, _input: ModifySubnetAttributeInput) -> Result<(), ApiError> {
        Self::enter(call, None)?;
        Err(Refusal::NotHere.into())
    }

    async fn modify_vpc_attribute(&self, call: &Call, _input: ModifyVpcAttributeInput) -> Result<(), ApiError> {
        Self::enter(call, None)?;
        Err(Refusal::NotHere.into())
    }

    async fn reboot_instances(&self, call: &Call, input: RebootInstancesInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn release_address(&self, call: &Call, input: ReleaseAddressInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn replace_network_acl_association(
        &self,
        call: &Call,
        input: ReplaceNetworkAclAssociationInput,
    ) -> Result<ReplaceNetworkAclAssociationOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn replace_network_acl_entry(&self, call: &Call, input: ReplaceNetworkAclEntryInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn replace_route(&self, call: &Call, input: ReplaceRouteInput) -> Result<(), ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn replace_route_table_association(
        &self,
        call: &Call,
        input: ReplaceRouteTableAssociationInput,
    ) -> Result<ReplaceRouteTableAssociationOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn revoke_security_group_egress(
        &self,
        call: &Call,
        input: RevokeSecurityGroupEgressInput,
    ) -> Result<RevokeSecurityGroupEgressOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn run_instances(&self, call: &Call, input: RunInstancesInput) -> Result<RunInstancesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn start_instances(&self, call: &Call, input: StartInstancesInput) -> Result<StartInstancesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn stop_instances(&self, call: &Call, input: StopInstancesInput) -> Result<StopInstancesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn terminate_instances(
        &self,
        call: &Call,
        input: TerminateInstancesInput,
    ) -> Result<TerminateInstancesOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn update_security_group_rule_descriptions_egress(
        &self,
        call: &Call,
        input: UpdateSecurityGroupRuleDescriptionsEgressInput,
    ) -> Result<UpdateSecurityGroupRuleDescriptionsEgressOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }

    async fn update_security_group_rule_descriptions_ingress(
        &self,
        call: &Call,
        input: UpdateSecurityGroupRuleDescriptionsIngressInput,
    ) -> Result<UpdateSecurityGroupRuleDescriptionsIngressOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Err(Refusal::NotHere.into())
    }
}
