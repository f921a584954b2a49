//! What ECR says when it refuses: the only place with AWS's codes and sentences.
//!
//! Invariant: no sentence repeats what the store said.

use ::api::ecr::errors as codes;
use store::StoreError;
use wire::ApiError;

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
        tracing::error!(%error, "the store of repositories failed");
        Self(codes::server_exception("The server has encountered an error while processing the request."))
    }
}

/// Nobody signed.
pub(crate) fn anonymous() -> ApiError {
    ApiError::sender("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
}

pub(crate) fn invalid(parameter: &str, constraint: &str) -> ApiError {
    codes::invalid_parameter_exception(format!(
        "Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'"
    ))
}

pub(crate) fn name() -> ApiError {
    let pattern = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
    invalid("repositoryName", &format!("must satisfy regular expression '{pattern}'"))
}

pub(crate) fn lifecycle(problem: &str) -> ApiError {
    invalid("LifecyclePolicyText", &format!("Lifecycle policy validation failure: {problem}"))
}

pub(crate) fn policy() -> ApiError {
    invalid("PolicyText", "Invalid repository policy provided")
}

pub(crate) fn key() -> ApiError {
    codes::kms_exception("There are no keys here: a repository's encryptionType can be AES256 only.")
}

pub(crate) fn exists(name: &str, registry: &str) -> ApiError {
    codes::repository_already_exists_exception(format!(
        "The repository with name '{name}' already exists in the registry with id '{registry}'"
    ))
}

pub(crate) fn not_found(name: &str, registry: &str) -> ApiError {
    codes::repository_not_found_exception(format!(
        "The repository with name '{name}' does not exist in the registry with id '{registry}'"
    ))
}

pub(crate) fn too_many_repositories(max: usize) -> ApiError {
    codes::limit_exceeded_exception(format!(
        "The maximum number of repositories in the registry has been reached: {max}"
    ))
}

pub(crate) fn no_lifecycle_policy(name: &str, registry: &str) -> ApiError {
    codes::lifecycle_policy_not_found_exception(format!(
        "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{registry}'"
    ))
}

pub(crate) fn no_policy(name: &str, registry: &str) -> ApiError {
    codes::repository_policy_not_found_exception(format!(
        "Repository policy does not exist for the repository with name '{name}' in the registry with id '{registry}'"
    ))
}

pub(crate) fn tag(sentence: String) -> ApiError {
    codes::invalid_tag_parameter_exception(sentence)
}

pub(crate) fn too_many_tags(max: usize) -> ApiError {
    codes::too_many_tags_exception(format!("A repository can have at most {max} tags"))
}

pub(crate) fn next_token() -> ApiError {
    invalid("nextToken", "must be a token of an earlier answer")
}
