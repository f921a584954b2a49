//! [`Failure`]: why a step did not come to its end.
//!
//! Invariant: what an operator reads as a resource's status reason is made here, in the form that AWS's have.

use store::StoreError;
use wire::ApiError;

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A service refused.
    #[error("{}", of_service(service, request_id, error))]
    Service {
        /// Its module's name.
        service: String,
        /// The id of the request.
        request_id: String,
        /// What it said.
        error: Box<ApiError>,
    },
    /// The resource cannot be what the template wants.
    #[error("{0}")]
    Refused(String),
    /// Another resource failed, or somebody changed his mind.
    #[error("Resource creation cancelled")]
    Cancelled,
    /// Our own rows cannot be written; the step is tried again.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// `The vpc ID 'vpc-1' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: …; Request ID: …; Proxy: null)`.
fn of_service(service: &str, request_id: &str, error: &ApiError) -> String {
    let service = match service {
        "ec2" => "AmazonEC2",
        "elb" => "AmazonElasticLoadBalancing",
        "autoscaling" => "AmazonAutoScaling",
        "sqs" => "AmazonSQS",
        "iam" => "AmazonIdentityManagement",
        "s3" => "Amazon S3",
        "cloudformation" => "AmazonCloudFormation",
        "ssm" => "AWSSimpleSystemsManagement",
        "ecr" => "AmazonECR",
        other => other,
    };
    let code = error.query_code.as_ref().unwrap_or(&error.code);
    let message = error.query_message.as_ref().unwrap_or(&error.message);
    let status = error.status;
    format!(
        "{message} (Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {request_id}; Proxy: null)"
    )
}

impl Failure {
    /// A refusal with a sentence.
    pub(crate) fn refused(sentence: impl Into<String>) -> Self {
        Self::Refused(sentence.into())
    }

    /// Whether a service refused with one of these codes, in whatever protocol's spelling.
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        let Self::Service { error, .. } = self else { return false };
        let query = error.query_code.as_deref();
        codes.iter().any(|code| error.code == *code || query == Some(*code))
    }

    /// Whether a service says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        let Self::Service { error, .. } = self else { return false };
        let code = error.query_code.as_ref().unwrap_or(&error.code);
        let is_one = |code: &str| {
            code.ends_with(".NotFound")
                || code.ends_with("NotFound")
                || code.ends_with("NotFoundException")
                || matches!(
                    code,
                    "NoSuchBucket"
                        | "NoSuchEntity"
                        | "NoSuchEntityException"
                        | "QueueDoesNotExist"
                        | "AWS.SimpleQueueService.NonExistentQueue"
                        | "NoSuchBucketPolicy"
                        | "NoSuchTagSet"
                        // What Systems Manager says of the tags of a parameter that is not there.
                        | "InvalidResourceId"
                )
        };
        error.status == 404 || is_one(code) || is_one(&error.code)
    }
}

/// Nothing to do where there is nothing.
pub(crate) fn unless_missing<T: Default>(outcome: Result<T, Failure>) -> Result<T, Failure> {
    match outcome {
        Err(failure) if failure.is_missing() => Ok(T::default()),
        other => other,
    }
}
