//! What Parameter Store says when it refuses: the only place with AWS's codes and sentences.
//!
//! Invariant: no sentence repeats the value of a SecureString, or what the store said.

use ::api::ssm::errors as codes;
use store::StoreError;
use wire::ApiError;

use crate::limits::{ADVANCED_BYTES_MAX, LABELS_MAX, PARAMETERS_MAX, STANDARD_BYTES_MAX, TAGS_MAX};

/// What ends a transaction of ours.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of parameters failed");
        Self(internal())
    }
}

pub(crate) fn internal() -> ApiError {
    codes::internal_server_error("An error occurred on the server side.")
}

pub(crate) fn validation(sentence: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationException", sentence.into())
}

/// Nobody signed.
pub(crate) fn anonymous() -> ApiError {
    ApiError::sender("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
}

pub(crate) fn not_found(name: &str) -> ApiError {
    codes::parameter_not_found(format!("Parameter {name} not found."))
}

pub(crate) fn version_not_found(name: &str, version: impl std::fmt::Display) -> ApiError {
    codes::parameter_version_not_found(format!(
        "Systems Manager could not find version {version} of {name}. Verify the version and try again."
    ))
}

pub(crate) fn exists() -> ApiError {
    codes::parameter_already_exists(
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
    )
}

pub(crate) fn too_many_parameters() -> ApiError {
    codes::parameter_limit_exceeded(format!(
        "The account has {PARAMETERS_MAX} parameters in this region already. Delete one or more parameters and try \
         again."
    ))
}

pub(crate) fn not_fully_qualified() -> ApiError {
    validation("Parameter name must be a fully qualified name.")
}

pub(crate) fn name() -> ApiError {
    validation(
        "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of \
         sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following \
         3 symbols .-_",
    )
}

pub(crate) fn reserved_prefix() -> ApiError {
    validation("Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
}

pub(crate) fn reserved(name: &str) -> ApiError {
    ApiError::sender("AccessDeniedException", format!("No access to reserved parameter name: {name}."))
}

pub(crate) fn name_too_long(max: usize) -> ApiError {
    validation(format!("Parameter name: can't be longer than {max} characters."))
}

pub(crate) fn too_many_levels(name: &str, max: usize) -> ApiError {
    codes::hierarchy_level_limit_exceeded_exception(format!(
        "Parameter {name} has too many levels: a hierarchy can have a maximum of {max} levels."
    ))
}

pub(crate) fn path() -> ApiError {
    validation(
        "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward \
         slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, \
         numbers, or the following symbols: . (period), - (hyphen), _ (underscore). Special characters are not \
         allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". Valid example: \
         /get/parameters2-/by1./path0_.",
    )
}

pub(crate) fn empty_value() -> ApiError {
    validation(
        "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length \
         greater than or equal to 1.",
    )
}

pub(crate) fn nested_value() -> ApiError {
    validation("Parameter value can't nest another parameter. Do not use \"{{}}\" in the value.")
}

pub(crate) fn standard_too_long() -> ApiError {
    validation(format!(
        "Standard tier parameters support a maximum parameter value of {STANDARD_BYTES_MAX} characters. To create a \
         larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see \
         https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
    ))
}

pub(crate) fn advanced_too_long() -> ApiError {
    validation(format!(
        "Advanced tier parameters support a maximum parameter value of {ADVANCED_BYTES_MAX} characters."
    ))
}

pub(crate) fn downgrade() -> ApiError {
    validation(
        "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the \
         advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter \
         and recreate it as a standard parameter.",
    )
}

pub(crate) fn type_required() -> ApiError {
    validation("A parameter type is required when you create a parameter.")
}

pub(crate) fn key_without_secret() -> ApiError {
    validation("KeyId is required for SecureString type parameter only.")
}

pub(crate) fn key_id(key: &str) -> ApiError {
    codes::invalid_key_id(format!(
        "Invalid keyId {key}: there is no key but alias/aws/ssm, which seals under the master key of this server."
    ))
}

pub(crate) fn data_type(data_type: &str) -> ApiError {
    validation(format!("The following data type is not supported: {data_type} (Data type names are all lowercase.)"))
}

pub(crate) fn no_image(value: &str) -> ApiError {
    validation(format!("Parameter value, {value}, is not a valid image ID for data type aws:ec2:image."))
}

pub(crate) fn policies() -> ApiError {
    codes::invalid_policy_type_exception(
        "The policy type is not supported: this Parameter Store has no parameter policies.",
    )
}

pub(crate) fn bad_pattern(pattern: &str) -> ApiError {
    codes::invalid_allowed_pattern_exception(format!("The allowed pattern is no regular expression: {pattern}"))
}

pub(crate) fn pattern_mismatch(pattern: &str) -> ApiError {
    codes::parameter_pattern_mismatch_exception(format!(
        "Parameter value, cannot be validated against allowedPattern: {pattern}"
    ))
}

pub(crate) fn tags_and_overwrite() -> ApiError {
    validation(
        "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
         overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
         RemoveTagsFromResource.",
    )
}

pub(crate) fn oldest_is_labelled(name: &str, version: u64) -> ApiError {
    codes::parameter_max_version_limit_exceeded(format!(
        "You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. \
         Version {version}, the oldest version, can't be deleted because it has a label associated with it. Move the \
         label to another version of the parameter, and try again."
    ))
}

pub(crate) fn too_many_labels() -> ApiError {
    codes::parameter_version_label_limit_exceeded(format!(
        "A parameter version can have maximum {LABELS_MAX} labels. Move one or more labels to another version and try \
         again."
    ))
}

pub(crate) fn tag(sentence: impl Into<String>) -> ApiError {
    validation(sentence)
}

pub(crate) fn too_many_tags() -> ApiError {
    codes::too_many_tags_error(format!("A parameter can have at most {TAGS_MAX} tags."))
}

pub(crate) fn resource_id(id: &str) -> ApiError {
    codes::invalid_resource_id(format!("The resource ID \"{id}\" is not valid. Verify the ID and try again."))
}

pub(crate) fn resource_type(name: &str) -> ApiError {
    codes::invalid_resource_type(format!("There are no resources of type {name} here; only Parameter can be tagged."))
}

pub(crate) fn next_token() -> ApiError {
    codes::invalid_next_token("The specified token isn't valid.")
}

pub(crate) fn filter_key(key: &str, valid: &[&str]) -> ApiError {
    let valid = valid.join(", ");
    codes::invalid_filter_key(format!(
        "The following filter key is not valid: {key}. Valid filter keys include: [{valid}]."
    ))
}

pub(crate) fn filter_key_unknown(number: usize, key: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '{key}' at 'parameterFilters.{number}.member.key' failed to satisfy \
         constraint: Member must satisfy regular expression pattern: \
         tag:.+|Name|Type|KeyId|Path|Label|Tier|DataType"
    ))
}

pub(crate) fn filter_option(option: &str, valid: &[&str]) -> ApiError {
    let valid = valid.join(", ");
    codes::invalid_filter_option(format!(
        "The following filter option is not valid: {option}. Valid options include: [{valid}]."
    ))
}

pub(crate) fn filter_value(value: &str, valid: &[&str]) -> ApiError {
    let valid = valid.join(", ");
    codes::invalid_filter_value(format!(
        "The following filter value is not valid: {value}. Valid values include: [{valid}]."
    ))
}

pub(crate) fn filter_without_values(key: &str) -> ApiError {
    codes::invalid_filter_value(format!("The following filter values are missing : null for filter key {key}."))
}

pub(crate) fn filter_twice(key: &str) -> ApiError {
    codes::invalid_filter_key(format!(
        "The following filter is duplicated in the request: {key}. A request can contain only one occurrence of a \
         specific filter."
    ))
}

pub(crate) fn two_kinds_of_filters() -> ApiError {
    validation("You can use either Filters or ParameterFilters in a single request.")
}
