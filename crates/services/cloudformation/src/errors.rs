//! The one file that knows CloudFormation's error codes and the sentences of its operations. What is wrong with a
//! template, `template::error` says; why a resource failed, `resources::failure`.
//!
//! Invariants:
//! - Every `ApiError` of this crate is built here; the other files name the situation, never the wording.
//! - No sentence carries internal detail: what went wrong inside goes to the log under the request's id.

use std::fmt::Display;

use api::Call;
use api::cloudformation::errors as model;
use store::StoreError;
use wire::ApiError;

use crate::template::TemplateError;

/// CloudFormation's code for whatever is wrong with a request.
pub(crate) fn validation(sentence: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationError", sentence)
}

/// A template or its parameters are refused.
pub(crate) fn template(error: &TemplateError) -> ApiError {
    validation(error.to_string())
}

/// A change set's template is refused: the same, in the request that makes it.
pub(crate) fn missing_authentication_token() -> ApiError {
    ApiError::sender("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
}

/// Our fault.
pub(crate) fn internal() -> ApiError {
    ApiError::receiver("InternalFailure", "The request processing has failed because of an unknown error.")
}

/// The store failed; the log says why.
pub(crate) fn from_store(call: &Call, error: &StoreError) -> ApiError {
    tracing::error!(request_id = %call.request_id, %error, "the store failed");
    internal()
}

/// `RoleARN` names no role that CloudFormation may act with.
pub(crate) fn role_cannot_be_assumed(arn: &str) -> ApiError {
    validation(format!("Role {arn} is invalid or cannot be assumed"))
}

/// A session with policies of its own asks for what would be done with all that its role may.
pub(crate) fn narrowed_session() -> ApiError {
    validation("A session with a session policy can work on a stack only if the stack has a RoleARN")
}

// --- stacks ------------------------------------------------------------------------------------------------------

/// DescribeStacks and others of a stack that is not there.
pub(crate) fn stack_with_id(name: &str) -> ApiError {
    validation(format!("Stack with id {name} does not exist"))
}

/// The same, as UpdateStack and DescribeStackEvents say it.
pub(crate) fn stack_in_brackets(name: &str) -> ApiError {
    validation(format!("Stack [{name}] does not exist"))
}

/// The same, as DescribeStackResource says it.
pub(crate) fn stack_in_quotes(name: &str) -> ApiError {
    validation(format!("Stack '{name}' does not exist"))
}

pub(crate) fn stack_exists(name: &str) -> ApiError {
    model::already_exists_exception(format!("Stack [{name}] already exists"))
}

pub(crate) fn stack_name(name: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
    ))
}

pub(crate) fn too_many_stacks(max: usize) -> ApiError {
    model::limit_exceeded_exception(format!("Limit for stack has been exceeded: {max}"))
}

pub(crate) fn cannot_be(id: &str, status: &str, what: &str) -> ApiError {
    validation(format!("Stack:{id} is in {status} state and can not be {what}."))
}

pub(crate) fn cannot_be_deleted(name: &str, status: &str) -> ApiError {
    validation(format!("Stack [{name}] cannot be deleted while in status {status}"))
}

pub(crate) fn protected(name: &str) -> ApiError {
    validation(format!("Stack [{name}] cannot be deleted while TerminationProtection is enabled"))
}

pub(crate) fn protected_nested(name: &str) -> ApiError {
    validation(format!("TerminationProtection of the nested stack [{name}] is its root stack's"))
}

pub(crate) fn no_updates() -> ApiError {
    validation("No updates are to be performed.")
}

pub(crate) fn cannot_cancel(status: &str) -> ApiError {
    validation(format!("CancelUpdateStack cannot be called from current stack status {status}"))
}

pub(crate) fn cannot_continue(id: &str, status: &str) -> ApiError {
    validation(format!("Stack:{id} is in {status} state and can not continue rollback."))
}

pub(crate) fn cannot_skip(names: &[&str]) -> ApiError {
    validation(format!(
        "The following resource(s) [{}] cannot be skipped: they are not in UPDATE_FAILED",
        names.join(", ")
    ))
}

pub(crate) fn retained_unknown(names: &[&str]) -> ApiError {
    validation(format!("The specified resources to retain do not exist in a deletable state: [{}]", names.join(", ")))
}

pub(crate) fn retain_without_failure() -> ApiError {
    validation("The stack is not in DELETE_FAILED state: RetainResources cannot be specified.")
}

pub(crate) fn type_changed(names: &[&str]) -> ApiError {
    validation(format!(
        "Update of resource type is not permitted. The new template modifies resource type of the following resources: [{}]",
        names.join(", ")
    ))
}

pub(crate) fn insufficient_capabilities(needed: &[&str]) -> ApiError {
    model::insufficient_capabilities_exception(format!("Requires capabilities : [{}]", needed.join(", ")))
}

pub(crate) fn unknown_capability(name: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '[{name}]' at 'capabilities' failed to satisfy constraint: Member must satisfy \
         constraint: [Member must satisfy enum value set: [CAPABILITY_NAMED_IAM, CAPABILITY_IAM, CAPABILITY_AUTO_EXPAND]]"
    ))
}

// --- what a request brings ---------------------------------------------------------------------------------------

pub(crate) fn no_template() -> ApiError {
    validation("Either Template URL or Template Body must be specified.")
}

pub(crate) fn two_templates() -> ApiError {
    validation("Only one of TemplateBody, TemplateURL or UsePreviousTemplate may be specified.")
}

pub(crate) fn body_too_long(max: usize) -> ApiError {
    validation(format!(
        "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less \
         than or equal to {max}"
    ))
}

pub(crate) fn template_url() -> ApiError {
    validation("TemplateURL must be a supported URL.")
}

pub(crate) fn template_object(error: &ApiError) -> ApiError {
    validation(format!("S3 error: {}", if error.message.is_empty() { error.code.as_ref() } else { &error.message }))
}

pub(crate) fn template_no_text() -> ApiError {
    validation("Template format error: the template is not UTF-8 text.")
}

pub(crate) fn parameter_twice(name: &str) -> ApiError {
    validation(format!("Parameter {name} is given twice"))
}

pub(crate) fn parameter_missing_in_account(name: &str, value: &str) -> ApiError {
    validation(format!("Parameter validation failed: parameter value {value} for parameter name {name} does not exist"))
}

pub(crate) fn parameter_store(names: &[&str]) -> ApiError {
    validation(format!("Unable to fetch parameters [{}] from parameter store for this account.", names.join(",")))
}

pub(crate) fn parameter_store_secret(name: &str) -> ApiError {
    validation(format!(
        "Parameters [{name}] referenced by template have types not supported by CloudFormation: SecureString."
    ))
}

pub(crate) fn tag(sentence: impl Into<String>) -> ApiError {
    validation(sentence)
}

pub(crate) fn stack_policy(sentence: impl Display) -> ApiError {
    validation(format!("Error validating stack policy: {sentence}"))
}

pub(crate) fn two_policies() -> ApiError {
    validation("You cannot specify both StackPolicyURL and StackPolicyBody.")
}

pub(crate) fn disable_and_on_failure() -> ApiError {
    validation("Either DisableRollback or OnFailure can be specified, not both.")
}

/// A parameter of AWS's that nothing here would honour.
pub(crate) fn unsupported(parameter: &str, value: impl Display) -> ApiError {
    validation(format!("{parameter} is not supported here: {value}"))
}

pub(crate) fn next_token() -> ApiError {
    validation("NextToken is not valid")
}

// --- resources ---------------------------------------------------------------------------------------------------

pub(crate) fn resource(logical: &str, stack: &str) -> ApiError {
    validation(format!("Resource {logical} does not exist for stack {stack}"))
}

pub(crate) fn physical(physical: &str) -> ApiError {
    validation(format!("Stack for {physical} does not exist"))
}

pub(crate) fn name_or_physical() -> ApiError {
    validation("Either StackName or PhysicalResourceId must be specified, not both")
}

pub(crate) fn cannot_be_signalled(logical: &str, status: &str) -> ApiError {
    validation(format!("Resource {logical} is in {status} state and can not be signaled."))
}

pub(crate) fn too_many_signals(logical: &str) -> ApiError {
    validation(format!("Resource {logical} was sent too many signals"))
}

pub(crate) fn signal_data() -> ApiError {
    validation("A signal is a JSON object with Status (SUCCESS or FAILURE), Reason, UniqueId and Data")
}

pub(crate) fn signal_url() -> ApiError {
    ApiError::sender("AccessDenied", "Access Denied").with_status(403)
}

pub(crate) fn export(name: &str) -> ApiError {
    validation(format!("Export '{name}' is not imported by any stack."))
}

// --- change sets -------------------------------------------------------------------------------------------------

pub(crate) fn change_set(name: &str) -> ApiError {
    model::change_set_not_found_exception(format!("ChangeSet [{name}] does not exist"))
}

pub(crate) fn change_set_exists(name: &str) -> ApiError {
    model::already_exists_exception(format!("ChangeSet {name} already exists"))
}

pub(crate) fn change_set_name(name: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
    ))
}

pub(crate) fn change_set_without_stack() -> ApiError {
    validation("StackName must be specified if ChangeSetName is not specified as an ARN.")
}

pub(crate) fn change_set_status(name: &str, execution: &str) -> ApiError {
    model::invalid_change_set_status_exception(format!(
        "ChangeSet [{name}] cannot be executed in its current execution status of [{execution}]"
    ))
}

pub(crate) fn change_set_busy(name: &str, status: &str) -> ApiError {
    model::invalid_change_set_status_exception(format!(
        "ChangeSet [{name}] cannot be deleted in its current status of [{status}]"
    ))
}

pub(crate) fn change_set_type(kind: &str) -> ApiError {
    validation(format!("ChangeSetType {kind} is not supported here; CREATE and UPDATE are"))
}
