//! The operations: a table of what each looks at, or changes in one transaction.
//!
//! Invariant: a change and its note for those who watch are one transaction.

use std::sync::Weak;

use api::Call;
use api::ec2::*;
use async_trait::async_trait;
use wire::ApiError;

use crate::errors::{self, Refusal};
use crate::request::Request;
use crate::{
    Ec2, addresses, images, instance_attributes, instance_profiles, instance_status, instance_types, instances,
    internet_gateways, key_pairs, launch_templates, network_acls, network_interfaces, regions, route_tables, routes,
    security_groups, subnets, tags, transitions, volumes, vpcs,
};

/// One line an operation: `look` reads one moment of the rows, `change` is one transaction, `always` is a change that
/// the API gives no trial of (`…_always` for the others), `ask` is a method of [`Ec2`] that waits for others, and `ask_as`
/// one that must know who asks.
macro_rules! operations {
    ($($kind:ident $name:ident($input:ident) -> $output:ty = $function:path;)*) => {
        #[async_trait]
        impl api::ec2::Ec2 for Ec2 {
            $(
                async fn $name(&self, call: &Call, input: $input) -> Result<$output, ApiError> {
                    operation!($kind, self, call, input, $function)
                }
            )*
        }
    };
}

macro_rules! operation {
    (look, $this:ident, $call:ident, $input:ident, $function:path) => {
        $this.look($this.request($call, $input.dry_run).await?, $input, $function).await
    };
    (change, $this:ident, $call:ident, $input:ident, $function:path) => {
        $this.change($this.request($call, $input.dry_run).await?, $input, $function).await
    };
    (always, $this:ident, $call:ident, $input:ident, $function:path) => {
        $this.change($this.request($call, None).await?, $input, $function).await
    };
    (look_always, $this:ident, $call:ident, $input:ident, $function:path) => {
        $this.look($this.request($call, None).await?, $input, $function).await
    };
    (ask, $this:ident, $call:ident, $input:ident, $function:path) => {
        $function($this, $this.request($call, $input.dry_run).await?, $input).await
    };
    (ask_as, $this:ident, $call:ident, $input:ident, $function:path) => {
        $function($this, $call, $this.request($call, $input.dry_run).await?, $input).await
    };
    (ask_always, $this:ident, $call:ident, $input:ident, $function:path) => {
        $function($this, $call, $this.request($call, None).await?, $input).await
    };
}

operations! {
    change allocate_address(AllocateAddressInput) -> AllocateAddressOutput = addresses::allocate;
    change associate_address(AssociateAddressInput) -> AssociateAddressOutput = addresses::associate;
    ask_always associate_iam_instance_profile(AssociateIamInstanceProfileInput) -> AssociateIamInstanceProfileOutput = instance_profiles::associate;
    change associate_route_table(AssociateRouteTableInput) -> AssociateRouteTableOutput = route_tables::associate;
    change attach_internet_gateway(AttachInternetGatewayInput) -> () = internet_gateways::attach;
    change authorize_security_group_egress(AuthorizeSecurityGroupEgressInput) -> AuthorizeSecurityGroupEgressOutput = security_groups::authorize_egress;
    change authorize_security_group_ingress(AuthorizeSecurityGroupIngressInput) -> AuthorizeSecurityGroupIngressOutput = security_groups::authorize_ingress;
    change create_internet_gateway(CreateInternetGatewayInput) -> CreateInternetGatewayOutput = internet_gateways::create;
    ask create_key_pair(CreateKeyPairInput) -> CreateKeyPairOutput = new_key_pair;
    change create_launch_template(CreateLaunchTemplateInput) -> CreateLaunchTemplateOutput = launch_templates::create;
    change create_launch_template_version(CreateLaunchTemplateVersionInput) -> CreateLaunchTemplateVersionOutput = launch_templates::create_version;
    change create_network_acl(CreateNetworkAclInput) -> CreateNetworkAclOutput = network_acls::create;
    change create_network_acl_entry(CreateNetworkAclEntryInput) -> () = network_acls::create_entry;
    change create_network_interface(CreateNetworkInterfaceInput) -> CreateNetworkInterfaceOutput = network_interfaces::create;
    change create_route(CreateRouteInput) -> CreateRouteOutput = routes::create;
    change create_route_table(CreateRouteTableInput) -> CreateRouteTableOutput = route_tables::create;
    change create_security_group(CreateSecurityGroupInput) -> CreateSecurityGroupOutput = security_groups::create;
    change create_subnet(CreateSubnetInput) -> CreateSubnetOutput = subnets::create;
    change create_tags(CreateTagsInput) -> () = tags::create;
    change create_vpc(CreateVpcInput) -> CreateVpcOutput = vpcs::create;
    change delete_internet_gateway(DeleteInternetGatewayInput) -> () = internet_gateways::delete;
    change delete_key_pair(DeleteKeyPairInput) -> DeleteKeyPairOutput = key_pairs::delete;
    change delete_launch_template(DeleteLaunchTemplateInput) -> DeleteLaunchTemplateOutput = launch_templates::delete;
    change delete_launch_template_versions(DeleteLaunchTemplateVersionsInput) -> DeleteLaunchTemplateVersionsOutput = launch_templates::delete_versions;
    change delete_network_acl(DeleteNetworkAclInput) -> () = network_acls::delete;
    change delete_network_acl_entry(DeleteNetworkAclEntryInput) -> () = network_acls::delete_entry;
    change delete_network_interface(DeleteNetworkInterfaceInput) -> () = network_interfaces::delete;
    change delete_route(DeleteRouteInput) -> () = routes::delete;
    change delete_route_table(DeleteRouteTableInput) -> () = route_tables::delete;
    ask delete_security_group(DeleteSecurityGroupInput) -> DeleteSecurityGroupOutput = delete_unused_group;
    change delete_subnet(DeleteSubnetInput) -> () = subnets::delete;
    change delete_tags(DeleteTagsInput) -> () = tags::delete;
    change delete_vpc(DeleteVpcInput) -> () = vpcs::delete;
    look describe_account_attributes(DescribeAccountAttributesInput) -> DescribeAccountAttributesOutput = regions::account_attributes;
    look describe_addresses(DescribeAddressesInput) -> DescribeAddressesOutput = addresses::describe;
    look describe_availability_zones(DescribeAvailabilityZonesInput) -> DescribeAvailabilityZonesOutput = regions::zones;
    look describe_dhcp_options(DescribeDhcpOptionsInput) -> DescribeDhcpOptionsOutput = vpcs::describe_dhcp_options;
    look_always describe_iam_instance_profile_associations(DescribeIamInstanceProfileAssociationsInput) -> DescribeIamInstanceProfileAssociationsOutput = instance_profiles::describe;
    look describe_images(DescribeImagesInput) -> DescribeImagesOutput = images::describe;
    look describe_instance_attribute(DescribeInstanceAttributeInput) -> DescribeInstanceAttributeOutput = instance_attributes::describe;
    look describe_instance_status(DescribeInstanceStatusInput) -> DescribeInstanceStatusOutput = instance_status::describe;
    look describe_instance_types(DescribeInstanceTypesInput) -> DescribeInstanceTypesOutput = instance_types::describe;
    look describe_instances(DescribeInstancesInput) -> DescribeInstancesOutput = instances::describe;
    look describe_internet_gateways(DescribeInternetGatewaysInput) -> DescribeInternetGatewaysOutput = internet_gateways::describe;
    look describe_key_pairs(DescribeKeyPairsInput) -> DescribeKeyPairsOutput = key_pairs::describe;
    look describe_launch_template_versions(DescribeLaunchTemplateVersionsInput) -> DescribeLaunchTemplateVersionsOutput = launch_templates::describe_versions;
    look describe_launch_templates(DescribeLaunchTemplatesInput) -> DescribeLaunchTemplatesOutput = launch_templates::describe;
    look describe_network_acls(DescribeNetworkAclsInput) -> DescribeNetworkAclsOutput = network_acls::describe;
    look describe_network_interfaces(DescribeNetworkInterfacesInput) -> DescribeNetworkInterfacesOutput = network_interfaces::describe;
    look describe_regions(DescribeRegionsInput) -> DescribeRegionsOutput = regions::regions;
    look describe_route_tables(DescribeRouteTablesInput) -> DescribeRouteTablesOutput = route_tables::describe;
    look describe_security_group_rules(DescribeSecurityGroupRulesInput) -> DescribeSecurityGroupRulesOutput = security_groups::describe_rules;
    look describe_security_groups(DescribeSecurityGroupsInput) -> DescribeSecurityGroupsOutput = security_groups::describe;
    look describe_subnets(DescribeSubnetsInput) -> DescribeSubnetsOutput = subnets::describe;
    look describe_tags(DescribeTagsInput) -> DescribeTagsOutput = tags::describe;
    look describe_volumes(DescribeVolumesInput) -> DescribeVolumesOutput = volumes::describe;
    look describe_vpc_attribute(DescribeVpcAttributeInput) -> DescribeVpcAttributeOutput = vpcs::describe_attribute;
    look describe_vpcs(DescribeVpcsInput) -> DescribeVpcsOutput = vpcs::describe;
    change detach_internet_gateway(DetachInternetGatewayInput) -> () = internet_gateways::detach;
    change disassociate_address(DisassociateAddressInput) -> () = addresses::disassociate;
    always disassociate_iam_instance_profile(DisassociateIamInstanceProfileInput) -> DisassociateIamInstanceProfileOutput = instance_profiles::disassociate;
    change disassociate_route_table(DisassociateRouteTableInput) -> () = route_tables::disassociate;
    ask get_console_output(GetConsoleOutputInput) -> GetConsoleOutputOutput = console_output;
    change import_key_pair(ImportKeyPairInput) -> ImportKeyPairOutput = key_pairs::import;
    change modify_instance_attribute(ModifyInstanceAttributeInput) -> () = instance_attributes::modify;
    change modify_instance_metadata_options(ModifyInstanceMetadataOptionsInput) -> ModifyInstanceMetadataOptionsOutput = instance_attributes::modify_metadata;
    change modify_launch_template(ModifyLaunchTemplateInput) -> ModifyLaunchTemplateOutput = launch_templates::modify;
    change modify_network_interface_attribute(ModifyNetworkInterfaceAttributeInput) -> () = network_interfaces::modify;
    always modify_subnet_attribute(ModifySubnetAttributeInput) -> () = subnets::modify;
    always modify_vpc_attribute(ModifyVpcAttributeInput) -> () = vpcs::modify_attribute;
    change reboot_instances(RebootInstancesInput) -> () = transitions::reboot;
    change release_address(ReleaseAddressInput) -> () = addresses::release;
    ask_always replace_iam_instance_profile_association(ReplaceIamInstanceProfileAssociationInput) -> ReplaceIamInstanceProfileAssociationOutput = instance_profiles::replace;
    change replace_network_acl_association(ReplaceNetworkAclAssociationInput) -> ReplaceNetworkAclAssociationOutput = network_acls::replace_association;
    change replace_network_acl_entry(ReplaceNetworkAclEntryInput) -> () = network_acls::replace_entry;
    change replace_route(ReplaceRouteInput) -> () = routes::replace;
    change replace_route_table_association(ReplaceRouteTableAssociationInput) -> ReplaceRouteTableAssociationOutput = route_tables::replace_association;
    change revoke_security_group_egress(RevokeSecurityGroupEgressInput) -> RevokeSecurityGroupEgressOutput = security_groups::revoke_egress;
    change revoke_security_group_ingress(RevokeSecurityGroupIngressInput) -> RevokeSecurityGroupIngressOutput = security_groups::revoke_ingress;
    ask_as run_instances(RunInstancesInput) -> RunInstancesOutput = instance_profiles::run_instances;
    change start_instances(StartInstancesInput) -> StartInstancesOutput = transitions::start;
    change stop_instances(StopInstancesInput) -> StopInstancesOutput = transitions::stop;
    change terminate_instances(TerminateInstancesInput) -> TerminateInstancesOutput = transitions::terminate;
    change update_security_group_rule_descriptions_egress(UpdateSecurityGroupRuleDescriptionsEgressInput) -> UpdateSecurityGroupRuleDescriptionsEgressOutput = security_groups::describe_egress;
    change update_security_group_rule_descriptions_ingress(UpdateSecurityGroupRuleDescriptionsIngressInput) -> UpdateSecurityGroupRuleDescriptionsIngressOutput = security_groups::describe_ingress;
}

/// A group that somebody outside uses is kept.
async fn delete_unused_group(
    ec2: &Ec2,
    request: Request,
    input: DeleteSecurityGroupInput,
) -> Result<DeleteSecurityGroupOutput, ApiError> {
    let id = ec2.look(request.clone(), input, security_groups::to_delete).await?;
    let users = ec2.inner.group_users.read().as_ref().and_then(Weak::upgrade);
    if let Some(users) = users
        && users.uses_group(&request.place.account, &request.place.region, &id).await?
    {
        return Err(Refusal::GroupInUse(id).into());
    }
    ec2.change(request, id, security_groups::delete).await
}

/// A key takes its time to be made, so it is made before the transaction.
async fn new_key_pair(ec2: &Ec2, request: Request, input: CreateKeyPairInput) -> Result<CreateKeyPairOutput, ApiError> {
    let (kind, ids) = (key_pairs::kind_of(&input)?, request.inner.ids.clone());
    let made = tokio::task::spawn_blocking(move || key_pairs::generate(kind, &*ids)).await;
    let key = made.ok().flatten().ok_or(Refusal::NoKey)?;
    ec2.change(request, (input, key), key_pairs::create).await
}

/// What an instance wrote on its console.
async fn console_output(
    ec2: &Ec2,
    request: Request,
    input: GetConsoleOutputInput,
) -> Result<GetConsoleOutputOutput, ApiError> {
    let id = ec2.look(request.clone(), input.instance_id, instances::with_console).await?;
    let Some(instances) = &ec2.inner.instances else { return Err(errors::no_engine().into()) };
    instances::console_output(&*instances.engine, &request, id).await
}
