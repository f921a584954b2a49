//! Every generated input and output agrees with its schema: what is bound from a document is written as that document.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers of an integration test"
)]

use wire::json::{self, JsonWriter};
use wire::schema::{Shape, Structure};
use wire::value::Value;

/// A document with a value for every member, each different from all others. Written as our writer writes it: members in
/// the schema's order, keys sorted, no spaces.
fn sample(structure: &'static Structure, next: &mut u32) -> String {
    let members: Vec<String> = structure
        .members
        .iter()
        .map(|member| format!("\"{}\":{}", member.name, sample_of(&member.shape, next)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn sample_of(shape: &Shape, next: &mut u32) -> String {
    *next += 1;
    let n = *next;
    match shape {
        Shape::String => format!("\"text {n}\""),
        Shape::Integer | Shape::Long | Shape::Timestamp => n.to_string(),
        Shape::Double => format!("{n}.5"),
        Shape::Boolean => n.is_multiple_of(2).to_string(),
        // Four letters of base64 are three bytes, whatever the letters.
        Shape::Blob => format!("\"{n:04}\""),
        Shape::Structure(structure) => sample(structure, next),
        Shape::List(list) => format!("[{},{}]", sample_of(&list.item, next), sample_of(&list.item, next)),
        Shape::Map(map) => {
            format!("{{\"a{n}\":{},\"b{n}\":{}}}", sample_of(&map.value, next), sample_of(&map.value, next))
        }
    }
}

fn assert_agrees<T: Value>(structure: &'static Structure) {
    let document = sample(structure, &mut 0);
    let value = T::bind(json::parse(structure, document.as_bytes()).unwrap()).unwrap();
    let mut writer = JsonWriter::new();
    value.write(&Shape::Structure(structure), &mut writer);
    assert_eq!(writer.finish(), document, "{}", structure.name);
}

macro_rules! every_input_and_output {
    ($service:ident: $($operation:ident($input:ident $(=> $output:ident)?);)*) => {
        mod $service {
            use api::$service::*;
            use wire::schema::Operation;

            fn operation(name: &str) -> &'static Operation {
                SERVICE.operation(name).unwrap()
            }

            #[test]
            fn every_input_is_bound_and_written_as_its_schema_says() {
                let mut checked = 0;
                $(
                    super::assert_agrees::<$input>(operation(stringify!($operation)).input);
                    checked += 1;
                )*
                assert_eq!(checked, SERVICE.operations.len());
            }

            #[test]
            fn every_output_is_bound_and_written_as_its_schema_says() {
                let mut checked = 0;
                $($(
                    super::assert_agrees::<$output>(operation(stringify!($operation)).output.unwrap());
                    checked += 1;
                )?)*
                let answering = SERVICE.operations.iter().filter(|operation| operation.output.is_some());
                assert_eq!(checked, answering.count());
            }
        }
    };
}

every_input_and_output! {
    autoscaling:
    AttachInstances(AttachInstancesInput);
    AttachLoadBalancers(AttachLoadBalancersInput => AttachLoadBalancersOutput);
    BatchDeleteScheduledAction(BatchDeleteScheduledActionInput => BatchDeleteScheduledActionOutput);
    BatchPutScheduledUpdateGroupAction(BatchPutScheduledUpdateGroupActionInput => BatchPutScheduledUpdateGroupActionOutput);
    CancelInstanceRefresh(CancelInstanceRefreshInput => CancelInstanceRefreshOutput);
    CompleteLifecycleAction(CompleteLifecycleActionInput => CompleteLifecycleActionOutput);
    CreateAutoScalingGroup(CreateAutoScalingGroupInput);
    CreateLaunchConfiguration(CreateLaunchConfigurationInput);
    CreateOrUpdateTags(CreateOrUpdateTagsInput);
    DeleteAutoScalingGroup(DeleteAutoScalingGroupInput);
    DeleteLaunchConfiguration(DeleteLaunchConfigurationInput);
    DeleteLifecycleHook(DeleteLifecycleHookInput => DeleteLifecycleHookOutput);
    DeleteNotificationConfiguration(DeleteNotificationConfigurationInput);
    DeletePolicy(DeletePolicyInput);
    DeleteScheduledAction(DeleteScheduledActionInput);
    DeleteTags(DeleteTagsInput);
    DescribeAccountLimits(DescribeAccountLimitsInput => DescribeAccountLimitsOutput);
    DescribeAdjustmentTypes(DescribeAdjustmentTypesInput => DescribeAdjustmentTypesOutput);
    DescribeAutoScalingGroups(DescribeAutoScalingGroupsInput => DescribeAutoScalingGroupsOutput);
    DescribeAutoScalingInstances(DescribeAutoScalingInstancesInput => DescribeAutoScalingInstancesOutput);
    DescribeAutoScalingNotificationTypes(DescribeAutoScalingNotificationTypesInput => DescribeAutoScalingNotificationTypesOutput);
    DescribeInstanceRefreshes(DescribeInstanceRefreshesInput => DescribeInstanceRefreshesOutput);
    DescribeLaunchConfigurations(DescribeLaunchConfigurationsInput => DescribeLaunchConfigurationsOutput);
    DescribeLifecycleHookTypes(DescribeLifecycleHookTypesInput => DescribeLifecycleHookTypesOutput);
    DescribeLifecycleHooks(DescribeLifecycleHooksInput => DescribeLifecycleHooksOutput);
    DescribeLoadBalancerTargetGroups(DescribeLoadBalancerTargetGroupsInput => DescribeLoadBalancerTargetGroupsOutput);
    DescribeLoadBalancers(DescribeLoadBalancersInput => DescribeLoadBalancersOutput);
    DescribeMetricCollectionTypes(DescribeMetricCollectionTypesInput => DescribeMetricCollectionTypesOutput);
    DescribeNotificationConfigurations(DescribeNotificationConfigurationsInput => DescribeNotificationConfigurationsOutput);
    DescribePolicies(DescribePoliciesInput => DescribePoliciesOutput);
    DescribeScalingActivities(DescribeScalingActivitiesInput => DescribeScalingActivitiesOutput);
    DescribeScalingProcessTypes(DescribeScalingProcessTypesInput => DescribeScalingProcessTypesOutput);
    DescribeScheduledActions(DescribeScheduledActionsInput => DescribeScheduledActionsOutput);
    DescribeTags(DescribeTagsInput => DescribeTagsOutput);
    DescribeTerminationPolicyTypes(DescribeTerminationPolicyTypesInput => DescribeTerminationPolicyTypesOutput);
    DetachInstances(DetachInstancesInput => DetachInstancesOutput);
    DetachLoadBalancers(DetachLoadBalancersInput => DetachLoadBalancersOutput);
    DisableMetricsCollection(DisableMetricsCollectionInput);
    EnableMetricsCollection(EnableMetricsCollectionInput);
    EnterStandby(EnterStandbyInput => EnterStandbyOutput);
    ExecutePolicy(ExecutePolicyInput);
    ExitStandby(ExitStandbyInput => ExitStandbyOutput);
    PutLifecycleHook(PutLifecycleHookInput => PutLifecycleHookOutput);
    PutNotificationConfiguration(PutNotificationConfigurationInput);
    PutScalingPolicy(PutScalingPolicyInput => PutScalingPolicyOutput);
    PutScheduledUpdateGroupAction(PutScheduledUpdateGroupActionInput);
    RecordLifecycleActionHeartbeat(RecordLifecycleActionHeartbeatInput => RecordLifecycleActionHeartbeatOutput);
    ResumeProcesses(ResumeProcessesInput);
    SetDesiredCapacity(SetDesiredCapacityInput);
    SetInstanceHealth(SetInstanceHealthInput);
    SetInstanceProtection(SetInstanceProtectionInput => SetInstanceProtectionOutput);
    StartInstanceRefresh(StartInstanceRefreshInput => StartInstanceRefreshOutput);
    SuspendProcesses(SuspendProcessesInput);
    TerminateInstanceInAutoScalingGroup(TerminateInstanceInAutoScalingGroupInput => TerminateInstanceInAutoScalingGroupOutput);
    UpdateAutoScalingGroup(UpdateAutoScalingGroupInput);
}

every_input_and_output! {
    ec2:
    AllocateAddress(AllocateAddressInput => AllocateAddressOutput);
    AssociateAddress(AssociateAddressInput => AssociateAddressOutput);
    AssociateIamInstanceProfile(AssociateIamInstanceProfileInput => AssociateIamInstanceProfileOutput);
    AssociateRouteTable(AssociateRouteTableInput => AssociateRouteTableOutput);
    AttachInternetGateway(AttachInternetGatewayInput);
    AuthorizeSecurityGroupEgress(AuthorizeSecurityGroupEgressInput => AuthorizeSecurityGroupEgressOutput);
    AuthorizeSecurityGroupIngress(AuthorizeSecurityGroupIngressInput => AuthorizeSecurityGroupIngressOutput);
    CreateInternetGateway(CreateInternetGatewayInput => CreateInternetGatewayOutput);
    CreateKeyPair(CreateKeyPairInput => CreateKeyPairOutput);
    CreateLaunchTemplate(CreateLaunchTemplateInput => CreateLaunchTemplateOutput);
    CreateLaunchTemplateVersion(CreateLaunchTemplateVersionInput => CreateLaunchTemplateVersionOutput);
    CreateNetworkAcl(CreateNetworkAclInput => CreateNetworkAclOutput);
    CreateNetworkAclEntry(CreateNetworkAclEntryInput);
    CreateNetworkInterface(CreateNetworkInterfaceInput => CreateNetworkInterfaceOutput);
    CreateRoute(CreateRouteInput => CreateRouteOutput);
    CreateRouteTable(CreateRouteTableInput => CreateRouteTableOutput);
    CreateSecurityGroup(CreateSecurityGroupInput => CreateSecurityGroupOutput);
    CreateSubnet(CreateSubnetInput => CreateSubnetOutput);
    CreateTags(CreateTagsInput);
    CreateVpc(CreateVpcInput => CreateVpcOutput);
    DeleteInternetGateway(DeleteInternetGatewayInput);
    DeleteKeyPair(DeleteKeyPairInput => DeleteKeyPairOutput);
    DeleteLaunchTemplate(DeleteLaunchTemplateInput => DeleteLaunchTemplateOutput);
    DeleteLaunchTemplateVersions(DeleteLaunchTemplateVersionsInput => DeleteLaunchTemplateVersionsOutput);
    DeleteNetworkAcl(DeleteNetworkAclInput);
    DeleteNetworkAclEntry(DeleteNetworkAclEntryInput);
    DeleteNetworkInterface(DeleteNetworkInterfaceInput);
    DeleteRoute(DeleteRouteInput);
    DeleteRouteTable(DeleteRouteTableInput);
    DeleteSecurityGroup(DeleteSecurityGroupInput => DeleteSecurityGroupOutput);
    DeleteSubnet(DeleteSubnetInput);
    DeleteTags(DeleteTagsInput);
    DeleteVpc(DeleteVpcInput);
    DescribeAccountAttributes(DescribeAccountAttributesInput => DescribeAccountAttributesOutput);
    DescribeAddresses(DescribeAddressesInput => DescribeAddressesOutput);
    DescribeAvailabilityZones(DescribeAvailabilityZonesInput => DescribeAvailabilityZonesOutput);
    DescribeDhcpOptions(DescribeDhcpOptionsInput => DescribeDhcpOptionsOutput);
    DescribeIamInstanceProfileAssociations(DescribeIamInstanceProfileAssociationsInput => DescribeIamInstanceProfileAssociationsOutput);
    DescribeImages(DescribeImagesInput => DescribeImagesOutput);
    DescribeInstanceAttribute(DescribeInstanceAttributeInput => DescribeInstanceAttributeOutput);
    DescribeInstanceStatus(DescribeInstanceStatusInput => DescribeInstanceStatusOutput);
    DescribeInstanceTypes(DescribeInstanceTypesInput => DescribeInstanceTypesOutput);
    DescribeInstances(DescribeInstancesInput => DescribeInstancesOutput);
    DescribeInternetGateways(DescribeInternetGatewaysInput => DescribeInternetGatewaysOutput);
    DescribeKeyPairs(DescribeKeyPairsInput => DescribeKeyPairsOutput);
    DescribeLaunchTemplateVersions(DescribeLaunchTemplateVersionsInput => DescribeLaunchTemplateVersionsOutput);
    DescribeLaunchTemplates(DescribeLaunchTemplatesInput => DescribeLaunchTemplatesOutput);
    DescribeNetworkAcls(DescribeNetworkAclsInput => DescribeNetworkAclsOutput);
    DescribeNetworkInterfaces(DescribeNetworkInterfacesInput => DescribeNetworkInterfacesOutput);
    DescribeRegions(DescribeRegionsInput => DescribeRegionsOutput);
    DescribeRouteTables(DescribeRouteTablesInput => DescribeRouteTablesOutput);
    DescribeSecurityGroupRules(DescribeSecurityGroupRulesInput => DescribeSecurityGroupRulesOutput);
    DescribeSecurityGroups(DescribeSecurityGroupsInput => DescribeSecurityGroupsOutput);
    DescribeSubnets(DescribeSubnetsInput => DescribeSubnetsOutput);
    DescribeTags(DescribeTagsInput => DescribeTagsOutput);
    DescribeVolumes(DescribeVolumesInput => DescribeVolumesOutput);
    DescribeVpcAttribute(DescribeVpcAttributeInput => DescribeVpcAttributeOutput);
    DescribeVpcs(DescribeVpcsInput => DescribeVpcsOutput);
    DetachInternetGateway(DetachInternetGatewayInput);
    DisassociateAddress(DisassociateAddressInput);
    DisassociateIamInstanceProfile(DisassociateIamInstanceProfileInput => DisassociateIamInstanceProfileOutput);
    DisassociateRouteTable(DisassociateRouteTableInput);
    GetConsoleOutput(GetConsoleOutputInput => GetConsoleOutputOutput);
    ImportKeyPair(ImportKeyPairInput => ImportKeyPairOutput);
    ModifyInstanceAttribute(ModifyInstanceAttributeInput);
    ModifyInstanceMetadataOptions(ModifyInstanceMetadataOptionsInput => ModifyInstanceMetadataOptionsOutput);
    ModifyLaunchTemplate(ModifyLaunchTemplateInput => ModifyLaunchTemplateOutput);
    ModifyNetworkInterfaceAttribute(ModifyNetworkInterfaceAttributeInput);
    ModifySubnetAttribute(ModifySubnetAttributeInput);
    ModifyVpcAttribute(ModifyVpcAttributeInput);
    RebootInstances(RebootInstancesInput);
    ReleaseAddress(ReleaseAddressInput);
    ReplaceIamInstanceProfileAssociation(ReplaceIamInstanceProfileAssociationInput => ReplaceIamInstanceProfileAssociationOutput);
    ReplaceNetworkAclAssociation(ReplaceNetworkAclAssociationInput => ReplaceNetworkAclAssociationOutput);
    ReplaceNetworkAclEntry(ReplaceNetworkAclEntryInput);
    ReplaceRoute(ReplaceRouteInput);
    ReplaceRouteTableAssociation(ReplaceRouteTableAssociationInput => ReplaceRouteTableAssociationOutput);
    RevokeSecurityGroupEgress(RevokeSecurityGroupEgressInput => RevokeSecurityGroupEgressOutput);
    RevokeSecurityGroupIngress(RevokeSecurityGroupIngressInput => RevokeSecurityGroupIngressOutput);
    RunInstances(RunInstancesInput => RunInstancesOutput);
    StartInstances(StartInstancesInput => StartInstancesOutput);
    StopInstances(StopInstancesInput => StopInstancesOutput);
    TerminateInstances(TerminateInstancesInput => TerminateInstancesOutput);
    UpdateSecurityGroupRuleDescriptionsEgress(UpdateSecurityGroupRuleDescriptionsEgressInput => UpdateSecurityGroupRuleDescriptionsEgressOutput);
    UpdateSecurityGroupRuleDescriptionsIngress(UpdateSecurityGroupRuleDescriptionsIngressInput => UpdateSecurityGroupRuleDescriptionsIngressOutput);
}

every_input_and_output! {
    elb:
    AddTags(AddTagsInput => AddTagsOutput);
    ApplySecurityGroupsToLoadBalancer(ApplySecurityGroupsToLoadBalancerInput => ApplySecurityGroupsToLoadBalancerOutput);
    AttachLoadBalancerToSubnets(AttachLoadBalancerToSubnetsInput => AttachLoadBalancerToSubnetsOutput);
    ConfigureHealthCheck(ConfigureHealthCheckInput => ConfigureHealthCheckOutput);
    CreateAppCookieStickinessPolicy(CreateAppCookieStickinessPolicyInput => CreateAppCookieStickinessPolicyOutput);
    CreateLBCookieStickinessPolicy(CreateLBCookieStickinessPolicyInput => CreateLBCookieStickinessPolicyOutput);
    CreateLoadBalancer(CreateLoadBalancerInput => CreateLoadBalancerOutput);
    CreateLoadBalancerListeners(CreateLoadBalancerListenersInput => CreateLoadBalancerListenersOutput);
    CreateLoadBalancerPolicy(CreateLoadBalancerPolicyInput => CreateLoadBalancerPolicyOutput);
    DeleteLoadBalancer(DeleteLoadBalancerInput => DeleteLoadBalancerOutput);
    DeleteLoadBalancerListeners(DeleteLoadBalancerListenersInput => DeleteLoadBalancerListenersOutput);
    DeleteLoadBalancerPolicy(DeleteLoadBalancerPolicyInput => DeleteLoadBalancerPolicyOutput);
    DeregisterInstancesFromLoadBalancer(DeregisterInstancesFromLoadBalancerInput => DeregisterInstancesFromLoadBalancerOutput);
    DescribeAccountLimits(DescribeAccountLimitsInput => DescribeAccountLimitsOutput);
    DescribeInstanceHealth(DescribeInstanceHealthInput => DescribeInstanceHealthOutput);
    DescribeLoadBalancerAttributes(DescribeLoadBalancerAttributesInput => DescribeLoadBalancerAttributesOutput);
    DescribeLoadBalancerPolicies(DescribeLoadBalancerPoliciesInput => DescribeLoadBalancerPoliciesOutput);
    DescribeLoadBalancerPolicyTypes(DescribeLoadBalancerPolicyTypesInput => DescribeLoadBalancerPolicyTypesOutput);
    DescribeLoadBalancers(DescribeLoadBalancersInput => DescribeLoadBalancersOutput);
    DescribeTags(DescribeTagsInput => DescribeTagsOutput);
    DetachLoadBalancerFromSubnets(DetachLoadBalancerFromSubnetsInput => DetachLoadBalancerFromSubnetsOutput);
    DisableAvailabilityZonesForLoadBalancer(DisableAvailabilityZonesForLoadBalancerInput => DisableAvailabilityZonesForLoadBalancerOutput);
    EnableAvailabilityZonesForLoadBalancer(EnableAvailabilityZonesForLoadBalancerInput => EnableAvailabilityZonesForLoadBalancerOutput);
    ModifyLoadBalancerAttributes(ModifyLoadBalancerAttributesInput => ModifyLoadBalancerAttributesOutput);
    RegisterInstancesWithLoadBalancer(RegisterInstancesWithLoadBalancerInput => RegisterInstancesWithLoadBalancerOutput);
    RemoveTags(RemoveTagsInput => RemoveTagsOutput);
    SetLoadBalancerListenerSSLCertificate(SetLoadBalancerListenerSSLCertificateInput => SetLoadBalancerListenerSSLCertificateOutput);
    SetLoadBalancerPoliciesForBackendServer(SetLoadBalancerPoliciesForBackendServerInput => SetLoadBalancerPoliciesForBackendServerOutput);
    SetLoadBalancerPoliciesOfListener(SetLoadBalancerPoliciesOfListenerInput => SetLoadBalancerPoliciesOfListenerOutput);
}

every_input_and_output! {
    iam:
    AddRoleToInstanceProfile(AddRoleToInstanceProfileInput);
    AttachRolePolicy(AttachRolePolicyInput);
    CreateInstanceProfile(CreateInstanceProfileInput => CreateInstanceProfileOutput);
    CreatePolicy(CreatePolicyInput => CreatePolicyOutput);
    CreatePolicyVersion(CreatePolicyVersionInput => CreatePolicyVersionOutput);
    CreateRole(CreateRoleInput => CreateRoleOutput);
    DeleteInstanceProfile(DeleteInstanceProfileInput);
    DeletePolicy(DeletePolicyInput);
    DeletePolicyVersion(DeletePolicyVersionInput);
    DeleteRole(DeleteRoleInput);
    DeleteRolePermissionsBoundary(DeleteRolePermissionsBoundaryInput);
    DeleteRolePolicy(DeleteRolePolicyInput);
    DeleteServerCertificate(DeleteServerCertificateInput);
    DetachRolePolicy(DetachRolePolicyInput);
    GetInstanceProfile(GetInstanceProfileInput => GetInstanceProfileOutput);
    GetPolicy(GetPolicyInput => GetPolicyOutput);
    GetPolicyVersion(GetPolicyVersionInput => GetPolicyVersionOutput);
    GetRole(GetRoleInput => GetRoleOutput);
    GetRolePolicy(GetRolePolicyInput => GetRolePolicyOutput);
    GetServerCertificate(GetServerCertificateInput => GetServerCertificateOutput);
    ListAttachedRolePolicies(ListAttachedRolePoliciesInput => ListAttachedRolePoliciesOutput);
    ListEntitiesForPolicy(ListEntitiesForPolicyInput => ListEntitiesForPolicyOutput);
    ListInstanceProfileTags(ListInstanceProfileTagsInput => ListInstanceProfileTagsOutput);
    ListInstanceProfiles(ListInstanceProfilesInput => ListInstanceProfilesOutput);
    ListInstanceProfilesForRole(ListInstanceProfilesForRoleInput => ListInstanceProfilesForRoleOutput);
    ListPolicies(ListPoliciesInput => ListPoliciesOutput);
    ListPolicyTags(ListPolicyTagsInput => ListPolicyTagsOutput);
    ListPolicyVersions(ListPolicyVersionsInput => ListPolicyVersionsOutput);
    ListRolePolicies(ListRolePoliciesInput => ListRolePoliciesOutput);
    ListRoleTags(ListRoleTagsInput => ListRoleTagsOutput);
    ListRoles(ListRolesInput => ListRolesOutput);
    ListServerCertificateTags(ListServerCertificateTagsInput => ListServerCertificateTagsOutput);
    ListServerCertificates(ListServerCertificatesInput => ListServerCertificatesOutput);
    PutRolePermissionsBoundary(PutRolePermissionsBoundaryInput);
    PutRolePolicy(PutRolePolicyInput);
    RemoveRoleFromInstanceProfile(RemoveRoleFromInstanceProfileInput);
    SetDefaultPolicyVersion(SetDefaultPolicyVersionInput);
    TagInstanceProfile(TagInstanceProfileInput);
    TagPolicy(TagPolicyInput);
    TagRole(TagRoleInput);
    TagServerCertificate(TagServerCertificateInput);
    UntagInstanceProfile(UntagInstanceProfileInput);
    UntagPolicy(UntagPolicyInput);
    UntagRole(UntagRoleInput);
    UntagServerCertificate(UntagServerCertificateInput);
    UpdateAssumeRolePolicy(UpdateAssumeRolePolicyInput);
    UpdateRole(UpdateRoleInput => UpdateRoleOutput);
    UpdateRoleDescription(UpdateRoleDescriptionInput => UpdateRoleDescriptionOutput);
    UpdateServerCertificate(UpdateServerCertificateInput);
    UploadServerCertificate(UploadServerCertificateInput => UploadServerCertificateOutput);
}

every_input_and_output! {
    sqs:
    AddPermission(AddPermissionInput);
    CancelMessageMoveTask(CancelMessageMoveTaskInput => CancelMessageMoveTaskOutput);
    ChangeMessageVisibility(ChangeMessageVisibilityInput);
    ChangeMessageVisibilityBatch(ChangeMessageVisibilityBatchInput => ChangeMessageVisibilityBatchOutput);
    CreateQueue(CreateQueueInput => CreateQueueOutput);
    DeleteMessage(DeleteMessageInput);
    DeleteMessageBatch(DeleteMessageBatchInput => DeleteMessageBatchOutput);
    DeleteQueue(DeleteQueueInput);
    GetQueueAttributes(GetQueueAttributesInput => GetQueueAttributesOutput);
    GetQueueUrl(GetQueueUrlInput => GetQueueUrlOutput);
    ListDeadLetterSourceQueues(ListDeadLetterSourceQueuesInput => ListDeadLetterSourceQueuesOutput);
    ListMessageMoveTasks(ListMessageMoveTasksInput => ListMessageMoveTasksOutput);
    ListQueueTags(ListQueueTagsInput => ListQueueTagsOutput);
    ListQueues(ListQueuesInput => ListQueuesOutput);
    PurgeQueue(PurgeQueueInput);
    ReceiveMessage(ReceiveMessageInput => ReceiveMessageOutput);
    RemovePermission(RemovePermissionInput);
    SendMessage(SendMessageInput => SendMessageOutput);
    SendMessageBatch(SendMessageBatchInput => SendMessageBatchOutput);
    SetQueueAttributes(SetQueueAttributesInput);
    StartMessageMoveTask(StartMessageMoveTaskInput => StartMessageMoveTaskOutput);
    TagQueue(TagQueueInput);
    UntagQueue(UntagQueueInput);
}

every_input_and_output! {
    sts:
    AssumeRole(AssumeRoleInput => AssumeRoleOutput);
    GetCallerIdentity(GetCallerIdentityInput => GetCallerIdentityOutput);
    GetSessionToken(GetSessionTokenInput => GetSessionTokenOutput);
}

every_input_and_output! {
    cloudformation:
    CancelUpdateStack(CancelUpdateStackInput);
    ContinueUpdateRollback(ContinueUpdateRollbackInput => ContinueUpdateRollbackOutput);
    CreateChangeSet(CreateChangeSetInput => CreateChangeSetOutput);
    CreateStack(CreateStackInput => CreateStackOutput);
    DeleteChangeSet(DeleteChangeSetInput => DeleteChangeSetOutput);
    DeleteStack(DeleteStackInput);
    DescribeAccountLimits(DescribeAccountLimitsInput => DescribeAccountLimitsOutput);
    DescribeChangeSet(DescribeChangeSetInput => DescribeChangeSetOutput);
    DescribeStackEvents(DescribeStackEventsInput => DescribeStackEventsOutput);
    DescribeStackResource(DescribeStackResourceInput => DescribeStackResourceOutput);
    DescribeStackResources(DescribeStackResourcesInput => DescribeStackResourcesOutput);
    DescribeStacks(DescribeStacksInput => DescribeStacksOutput);
    ExecuteChangeSet(ExecuteChangeSetInput => ExecuteChangeSetOutput);
    GetStackPolicy(GetStackPolicyInput => GetStackPolicyOutput);
    GetTemplate(GetTemplateInput => GetTemplateOutput);
    GetTemplateSummary(GetTemplateSummaryInput => GetTemplateSummaryOutput);
    ListChangeSets(ListChangeSetsInput => ListChangeSetsOutput);
    ListExports(ListExportsInput => ListExportsOutput);
    ListImports(ListImportsInput => ListImportsOutput);
    ListStackResources(ListStackResourcesInput => ListStackResourcesOutput);
    ListStacks(ListStacksInput => ListStacksOutput);
    RollbackStack(RollbackStackInput => RollbackStackOutput);
    SetStackPolicy(SetStackPolicyInput);
    SignalResource(SignalResourceInput);
    UpdateStack(UpdateStackInput => UpdateStackOutput);
    UpdateTerminationProtection(UpdateTerminationProtectionInput => UpdateTerminationProtectionOutput);
    ValidateTemplate(ValidateTemplateInput => ValidateTemplateOutput);
}

every_input_and_output! {
    ecr:
    CreateRepository(CreateRepositoryInput => CreateRepositoryOutput);
    DeleteLifecyclePolicy(DeleteLifecyclePolicyInput => DeleteLifecyclePolicyOutput);
    DeleteRepository(DeleteRepositoryInput => DeleteRepositoryOutput);
    DeleteRepositoryPolicy(DeleteRepositoryPolicyInput => DeleteRepositoryPolicyOutput);
    DescribeRepositories(DescribeRepositoriesInput => DescribeRepositoriesOutput);
    GetLifecyclePolicy(GetLifecyclePolicyInput => GetLifecyclePolicyOutput);
    GetRepositoryPolicy(GetRepositoryPolicyInput => GetRepositoryPolicyOutput);
    ListTagsForResource(ListTagsForResourceInput => ListTagsForResourceOutput);
    PutImageScanningConfiguration(PutImageScanningConfigurationInput => PutImageScanningConfigurationOutput);
    PutImageTagMutability(PutImageTagMutabilityInput => PutImageTagMutabilityOutput);
    PutLifecyclePolicy(PutLifecyclePolicyInput => PutLifecyclePolicyOutput);
    SetRepositoryPolicy(SetRepositoryPolicyInput => SetRepositoryPolicyOutput);
    TagResource(TagResourceInput => TagResourceOutput);
    UntagResource(UntagResourceInput => UntagResourceOutput);
}

every_input_and_output! {
    ssm:
    AddTagsToResource(AddTagsToResourceInput => AddTagsToResourceOutput);
    DeleteParameter(DeleteParameterInput => DeleteParameterOutput);
    DeleteParameters(DeleteParametersInput => DeleteParametersOutput);
    DescribeParameters(DescribeParametersInput => DescribeParametersOutput);
    GetParameter(GetParameterInput => GetParameterOutput);
    GetParameterHistory(GetParameterHistoryInput => GetParameterHistoryOutput);
    GetParameters(GetParametersInput => GetParametersOutput);
    GetParametersByPath(GetParametersByPathInput => GetParametersByPathOutput);
    LabelParameterVersion(LabelParameterVersionInput => LabelParameterVersionOutput);
    ListTagsForResource(ListTagsForResourceInput => ListTagsForResourceOutput);
    PutParameter(PutParameterInput => PutParameterOutput);
    RemoveTagsFromResource(RemoveTagsFromResourceInput => RemoveTagsFromResourceOutput);
    UnlabelParameterVersion(UnlabelParameterVersionInput => UnlabelParameterVersionOutput);
}
