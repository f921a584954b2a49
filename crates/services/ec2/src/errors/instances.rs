//! What EC2 says when instances, or what they are started from, can't be as asked.
//!
//! Invariant: codes and sentences are AWS's wherever they are known.

use super::{Refusal, told};
use crate::rows::State;

pub(crate) fn key_format() -> Refusal {
    told("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
}

pub(crate) fn key_pair_exists() -> Refusal {
    told("InvalidKeyPair.Duplicate", "The keypair already exists")
}

pub(crate) fn no_such_key_pair(name: &str) -> Refusal {
    told("InvalidKeyPair.NotFound", format!("The key pair '{name}' does not exist"))
}

pub(crate) fn too_many_key_pairs() -> Refusal {
    told("KeyPairLimitExceeded", "The maximum number of key pairs has been reached.")
}

pub(crate) fn no_such_image(id: &str) -> Refusal {
    told("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"))
}

pub(crate) fn no_such_instance_types(names: &[String]) -> Refusal {
    told("InvalidInstanceType", format!("The following supplied instance types do not exist: [{}]", names.join(", ")))
}

pub(crate) fn no_such_instance_type(name: &str) -> Refusal {
    Refusal::InvalidValue(format!("Invalid value '{name}' for InstanceType."))
}

pub(crate) fn no_such_instance_profile(named: &str) -> Refusal {
    Refusal::InvalidValue(format!(
        "Value ({named}) for parameter iamInstanceProfile is invalid. Invalid IAM Instance Profile"
    ))
}

/// An instance that has a profile already.
pub(crate) fn profile_associated(id: &str) -> Refusal {
    told("IncorrectState", format!("There is an existing association for instance {id}"))
}

pub(crate) fn no_such_profile_association(id: &str) -> Refusal {
    told("NoSuchAssociation", format!("An invalid association-id of '{id}' was given"))
}

/// A launch template that was changed while an instance was started from it.
pub(crate) fn template_changed() -> Refusal {
    told("InvalidLaunchTemplateId.VersionNotFound", "The launch template was changed by another request; try again.")
}

/// A role's session that its role's policies do not let.
pub(crate) fn unauthorized(sentence: &str) -> Refusal {
    told("UnauthorizedOperation", format!("You are not authorized to perform this operation. {sentence}"))
}

pub(crate) fn template_name(name: &str) -> Refusal {
    told(
        "InvalidLaunchTemplateName.MalformedException",
        format!(
            "The launch template name '{name}' is invalid. A launch template name must be between 3 and 128 \
             characters, and may contain letters, numbers, and the following characters: - ( ) . / _."
        ),
    )
}

pub(crate) fn template_exists() -> Refusal {
    told("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
}

pub(crate) fn too_many_templates() -> Refusal {
    told("LaunchTemplateLimitExceeded", "The maximum number of launch templates has been reached.")
}

pub(crate) fn too_many_template_versions() -> Refusal {
    told("VersionLimitExceeded", "The maximum number of launch template versions has been reached.")
}

pub(crate) fn no_such_template_id(id: &str) -> Refusal {
    told(
        "InvalidLaunchTemplateId.NotFound",
        format!("The specified launch template, with template ID {id}, does not exist."),
    )
}

pub(crate) fn no_such_template_name(name: &str) -> Refusal {
    told(
        "InvalidLaunchTemplateName.NotFoundException",
        format!("The specified launch template, with template name {name}, does not exist."),
    )
}

pub(crate) fn no_such_template_version(id: &str, version: &str) -> Refusal {
    told(
        "InvalidLaunchTemplateId.VersionNotFound",
        format!("Could not find the specified version {version} for the launch template with ID {id}."),
    )
}

pub(crate) fn too_many_instances(asked: usize) -> Refusal {
    told(
        "InstanceLimitExceeded",
        format!(
            "You have requested more instances ({asked}) than your current instance limit of {} allows.",
            crate::run::INSTANCES_MAX
        ),
    )
}

pub(crate) fn min_above_max() -> Refusal {
    Refusal::InvalidValue("Min count must be less than or equal to max count".to_owned())
}

pub(crate) fn user_data_encoding() -> Refusal {
    told("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
}

pub(crate) fn user_data_too_long() -> Refusal {
    Refusal::InvalidValue("User data is limited to 16384 bytes".to_owned())
}

pub(crate) fn interfaces_and_instance_level() -> Refusal {
    told(
        "InvalidParameterCombination",
        "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same \
         request",
    )
}

pub(crate) fn address_for_many() -> Refusal {
    told("InvalidParameterCombination", "A private IP address can be specified only for one instance")
}

pub(crate) fn interface_for_many() -> Refusal {
    told("InvalidParameterCombination", "A network interface can be specified only for one instance")
}

pub(crate) fn no_default_vpc() -> Refusal {
    told("VPCIdNotSpecified", "No default VPC for this user")
}

pub(crate) fn no_default_subnet(vpc_id: &str) -> Refusal {
    told("MissingInput", format!("No subnets found for the default VPC '{vpc_id}'. Please specify a subnet."))
}

pub(crate) fn registered_machine(id: &str) -> Refusal {
    told(
        "UnsupportedOperation",
        format!(
            "The instance '{id}' is a machine that its operator registered; it is not run here. Remove it with \
             'millpond instances rm {id}'."
        ),
    )
}

pub(crate) fn wrong_state(id: &str, state: State) -> Refusal {
    told("IncorrectInstanceState", format!("The instance '{id}' is in the state '{}'.", state.name()))
}

pub(crate) fn cannot_stop(id: &str) -> Refusal {
    told("IncorrectInstanceState", format!("This instance '{id}' is not in a state from which it can be stopped."))
}

pub(crate) fn cannot_start(id: &str) -> Refusal {
    told("IncorrectInstanceState", format!("The instance '{id}' is not in a state from which it can be started."))
}

pub(crate) fn must_be_stopped(id: &str) -> Refusal {
    told("IncorrectInstanceState", format!("The instance '{id}' is not in the 'stopped' state."))
}

pub(crate) fn stop_protected(id: &str) -> Refusal {
    told(
        "OperationNotPermitted",
        format!(
            "The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again."
        ),
    )
}

pub(crate) fn termination_protected(id: &str) -> Refusal {
    told(
        "OperationNotPermitted",
        format!(
            "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try \
             again."
        ),
    )
}

pub(crate) fn no_hibernation() -> Refusal {
    told(
        "UnsupportedHibernationConfiguration",
        "The instance cannot be hibernated because it was not configured for hibernation.",
    )
}

pub(crate) fn no_engine() -> Refusal {
    told(
        "UnsupportedOperation",
        "Instances are not run here: the configuration has switched them off, or this machine can't.",
    )
}
