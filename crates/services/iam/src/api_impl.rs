//! The operations: a table of which function answers each.
//!
//! Invariant: an operation's rules stand in the file of its subject; here is none.

use api::Call;
use api::iam::*;
use async_trait::async_trait;
use wire::ApiError;

use crate::policies::versions;
use crate::roles::{attached, inline};
use crate::{Iam, instance_profiles, policies, roles, server_certificates};

macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ty = $function:path;)*) => {
        #[async_trait]
        impl api::iam::Iam for Iam {
            $(
                async fn $name(&self, call: &Call, input: $input) -> Result<$output, ApiError> {
                    $function(self, call, input).await
                }
            )*
        }
    };
}

operations! {
    add_role_to_instance_profile(AddRoleToInstanceProfileInput) -> () = instance_profiles::add_role;
    attach_role_policy(AttachRolePolicyInput) -> () = attached::attach;
    create_instance_profile(CreateInstanceProfileInput) -> CreateInstanceProfileOutput = instance_profiles::create;
    create_policy(CreatePolicyInput) -> CreatePolicyOutput = policies::operations::create;
    create_policy_version(CreatePolicyVersionInput) -> CreatePolicyVersionOutput = versions::create;
    create_role(CreateRoleInput) -> CreateRoleOutput = roles::operations::create;
    delete_instance_profile(DeleteInstanceProfileInput) -> () = instance_profiles::delete;
    delete_policy(DeletePolicyInput) -> () = policies::operations::delete;
    delete_policy_version(DeletePolicyVersionInput) -> () = versions::delete;
    delete_role(DeleteRoleInput) -> () = roles::operations::delete;
    delete_role_permissions_boundary(DeleteRolePermissionsBoundaryInput) -> () = attached::delete_boundary;
    delete_role_policy(DeleteRolePolicyInput) -> () = inline::delete;
    delete_server_certificate(DeleteServerCertificateInput) -> () = server_certificates::operations::delete;
    detach_role_policy(DetachRolePolicyInput) -> () = attached::detach;
    get_instance_profile(GetInstanceProfileInput) -> GetInstanceProfileOutput = instance_profiles::get;
    get_policy(GetPolicyInput) -> GetPolicyOutput = policies::operations::get;
    get_policy_version(GetPolicyVersionInput) -> GetPolicyVersionOutput = versions::get;
    get_role(GetRoleInput) -> GetRoleOutput = roles::operations::get;
    get_role_policy(GetRolePolicyInput) -> GetRolePolicyOutput = inline::get;
    get_server_certificate(GetServerCertificateInput) -> GetServerCertificateOutput = server_certificates::operations::get;
    list_attached_role_policies(ListAttachedRolePoliciesInput) -> ListAttachedRolePoliciesOutput = attached::list;
    list_entities_for_policy(ListEntitiesForPolicyInput) -> ListEntitiesForPolicyOutput = policies::operations::entities;
    list_instance_profile_tags(ListInstanceProfileTagsInput) -> ListInstanceProfileTagsOutput = instance_profiles::list_tags;
    list_instance_profiles(ListInstanceProfilesInput) -> ListInstanceProfilesOutput = instance_profiles::list;
    list_instance_profiles_for_role(ListInstanceProfilesForRoleInput) -> ListInstanceProfilesForRoleOutput = instance_profiles::list_for_role;
    list_policies(ListPoliciesInput) -> ListPoliciesOutput = policies::operations::list;
    list_policy_tags(ListPolicyTagsInput) -> ListPolicyTagsOutput = policies::operations::list_tags;
    list_policy_versions(ListPolicyVersionsInput) -> ListPolicyVersionsOutput = versions::list;
    list_role_policies(ListRolePoliciesInput) -> ListRolePoliciesOutput = inline::list;
    list_role_tags(ListRoleTagsInput) -> ListRoleTagsOutput = roles::operations::list_tags;
    list_roles(ListRolesInput) -> ListRolesOutput = roles::operations::list;
    list_server_certificate_tags(ListServerCertificateTagsInput) -> ListServerCertificateTagsOutput = server_certificates::operations::list_tags;
    list_server_certificates(ListServerCertificatesInput) -> ListServerCertificatesOutput = server_certificates::operations::list;
    put_role_permissions_boundary(PutRolePermissionsBoundaryInput) -> () = attached::put_boundary;
    put_role_policy(PutRolePolicyInput) -> () = inline::put;
    remove_role_from_instance_profile(RemoveRoleFromInstanceProfileInput) -> () = instance_profiles::remove_role;
    set_default_policy_version(SetDefaultPolicyVersionInput) -> () = versions::set_default;
    tag_instance_profile(TagInstanceProfileInput) -> () = instance_profiles::tag;
    tag_policy(TagPolicyInput) -> () = policies::operations::tag;
    tag_role(TagRoleInput) -> () = roles::operations::tag;
    tag_server_certificate(TagServerCertificateInput) -> () = server_certificates::operations::tag;
    untag_instance_profile(UntagInstanceProfileInput) -> () = instance_profiles::untag;
    untag_policy(UntagPolicyInput) -> () = policies::operations::untag;
    untag_role(UntagRoleInput) -> () = roles::operations::untag;
    untag_server_certificate(UntagServerCertificateInput) -> () = server_certificates::operations::untag;
    update_assume_role_policy(UpdateAssumeRolePolicyInput) -> () = roles::operations::update_trust;
    update_role(UpdateRoleInput) -> UpdateRoleOutput = roles::operations::update;
    update_role_description(UpdateRoleDescriptionInput) -> UpdateRoleDescriptionOutput = roles::operations::update_description;
    update_server_certificate(UpdateServerCertificateInput) -> () = server_certificates::operations::update;
    upload_server_certificate(UploadServerCertificateInput) -> UploadServerCertificateOutput = server_certificates::operations::upload;
}
