//! [`Refusal`]: why an operation of IAM was refused, and what AWS says then.
//!
//! Invariant: no sentence repeats a private key or what the store said.

use api::iam::errors;
use store::StoreError;
use wire::ApiError;

use crate::names::TAGS_MAX;
use crate::server_certificates::{CERTIFICATES_MAX, Unfit};

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    User(#[from] ApiError),
    #[error("no certificate {0}")]
    NoSuchCertificate(String),
    #[error("there is a certificate {0} already")]
    Exists(String),
    #[error("the account has {CERTIFICATES_MAX} certificates already")]
    TooMany,
    #[error("certificate {id} is in use by {user}")]
    InUse { id: String, user: String },
    #[error("{parameter} is no name")]
    Name { parameter: &'static str },
    #[error("{parameter} is no path")]
    Path { parameter: &'static str },
    #[error("{parameter} has characters that PEM does not have")]
    Characters { parameter: &'static str },
    #[error("a tag key came twice")]
    DuplicateTag,
    #[error("a tag has characters that tags may not have")]
    TagCharacters,
    #[error("a tag key begins with aws:")]
    ReservedTag,
    #[error("a tag key is empty or too long")]
    TagKeyLength,
    #[error("more than {TAGS_MAX} tags")]
    TooManyTags,
    #[error("the marker is not one that we gave")]
    Marker,
    /// `NoSuchEntity`.
    #[error("{0}")]
    NotFound(String),
    /// `EntityAlreadyExists`.
    #[error("{0}")]
    AlreadyThere(String),
    /// `DeleteConflict`.
    #[error("{0}")]
    DeleteConflict(String),
    /// `LimitExceeded`.
    #[error("{0}")]
    Limit(String),
    /// `MalformedPolicyDocument`.
    #[error("{0}")]
    Malformed(String),
    /// `InvalidInput`.
    #[error("{0}")]
    Invalid(String),
    /// `AccessDenied`.
    #[error("{0}")]
    Denied(String),
    #[error("the private key of {0} does not open with this master key")]
    Sealed(String),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let validation = |sentence: String| Self::sender("ValidationError", sentence);
        match refusal {
            Refusal::User(error) => error,
            Refusal::Unfit(unfit) => unfit_to_api(unfit),
            Refusal::NoSuchCertificate(name) => {
                errors::no_such_entity_exception(format!("The Server Certificate with name {name} cannot be found."))
            }
            Refusal::Exists(name) => errors::entity_already_exists_exception(format!(
                "The Server Certificate with name {name} already exists."
            )),
            Refusal::TooMany => errors::limit_exceeded_exception(format!(
                "Cannot exceed quota for ServerCertificatesPerAccount: {CERTIFICATES_MAX}"
            )),
            Refusal::InUse { id, user } => errors::delete_conflict_exception(format!(
                "Certificate: {id} is currently in use by {user}. Please remove it first before deleting it from IAM."
            )),
            Refusal::Name { parameter } => validation(format!(
                "The specified value for {parameter} is invalid. It must contain only alphanumeric characters and/or \
                 the following: +=,.@_-"
            )),
            Refusal::Path { parameter } => validation(format!(
                "The specified value for {parameter} is invalid. It must begin and end with / and contain only \
                 alphanumeric characters and/or / characters."
            )),
            Refusal::Characters { parameter } => validation(format!(
                "The specified value for {parameter} is invalid. It must contain only printable ASCII characters."
            )),
            Refusal::DuplicateTag => errors::invalid_input_exception(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ),
            Refusal::TagCharacters => errors::invalid_input_exception(
                "Tag keys and values may contain only letters, digits, spaces and the following: _.:/=+-@",
            ),
            Refusal::ReservedTag => {
                errors::invalid_input_exception("Tag keys that begin with aws: are reserved for system use.")
            }
            Refusal::TagKeyLength => errors::invalid_input_exception("Tag keys have 1 to 128 characters."),
            Refusal::TooManyTags => errors::limit_exceeded_exception(format!(
                "The number of tags has reached the maximum limit: {TAGS_MAX}"
            )),
            Refusal::Marker => validation("Invalid Marker.".to_owned()),
            Refusal::NotFound(sentence) => errors::no_such_entity_exception(sentence),
            Refusal::AlreadyThere(sentence) => errors::entity_already_exists_exception(sentence),
            Refusal::DeleteConflict(sentence) => errors::delete_conflict_exception(sentence),
            Refusal::Limit(sentence) => errors::limit_exceeded_exception(sentence),
            Refusal::Malformed(sentence) => errors::malformed_policy_document_exception(sentence),
            Refusal::Invalid(sentence) => errors::invalid_input_exception(sentence),
            Refusal::Denied(sentence) => Self::sender("AccessDenied", sentence).with_status(403),
            Refusal::Store(_) | Refusal::Sealed(_) => {
                tracing::error!(error = %refusal, "what IAM keeps could not be read or written");
                errors::service_failure_exception(
                    "The request processing has failed because of an unknown error, exception or failure.",
                )
            }
        }
    }
}

// --- roles -------------------------------------------------------------------------------------------------------

pub(crate) fn no_such_role(name: &str) -> Refusal {
    Refusal::NotFound(format!("The role with name {name} cannot be found."))
}

pub(crate) fn role_exists(name: &str) -> Refusal {
    Refusal::AlreadyThere(format!("Role with name {name} already exists."))
}

pub(crate) fn no_such_role_policy(name: &str) -> Refusal {
    Refusal::NotFound(format!("The role policy with name {name} cannot be found."))
}

/// `RolesPerAccount`, `PoliciesPerRole`, `ACLSizePerRole` and their like.
pub(crate) fn quota(name: &str, max: usize) -> Refusal {
    Refusal::Limit(format!("Cannot exceed quota for {name}: {max}"))
}

pub(crate) fn inline_policies_too_long(role: &str, max: usize) -> Refusal {
    Refusal::Limit(format!("Maximum policy size of {max} bytes exceeded for role {role}"))
}

/// `first` is what has to be done first, `delete policies`.
pub(crate) fn entity_in_use(first: &str) -> Refusal {
    Refusal::DeleteConflict(format!("Cannot delete entity, must {first} first."))
}

// --- managed policies --------------------------------------------------------------------------------------------

pub(crate) fn no_such_policy(arn: &str) -> Refusal {
    Refusal::NotFound(format!("Policy {arn} was not found."))
}

pub(crate) fn not_attachable(arn: &str) -> Refusal {
    Refusal::NotFound(format!("Policy {arn} does not exist or is not attachable."))
}

pub(crate) fn not_attached(arn: &str) -> Refusal {
    Refusal::NotFound(format!("Policy {arn} was not found."))
}

pub(crate) fn no_such_version(arn: &str, version: &str) -> Refusal {
    Refusal::NotFound(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

pub(crate) fn policy_exists(name: &str) -> Refusal {
    Refusal::AlreadyThere(format!("A policy called {name} already exists. Duplicate names are not allowed."))
}

pub(crate) fn too_many_versions(max: usize) -> Refusal {
    Refusal::Limit(format!(
        "A managed policy can have up to {max} versions. Before you create a new version, you must delete an existing \
         version."
    ))
}

pub(crate) fn policy_has_versions() -> Refusal {
    Refusal::DeleteConflict(
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The \
         default version is deleted with the policy."
            .to_owned(),
    )
}

pub(crate) fn policy_is_attached() -> Refusal {
    Refusal::DeleteConflict("Cannot delete a policy attached to entities.".to_owned())
}

pub(crate) fn default_version() -> Refusal {
    Refusal::DeleteConflict("Cannot delete the default version of a policy.".to_owned())
}

pub(crate) fn not_an_arn(arn: &str) -> Refusal {
    Refusal::Invalid(format!("ARN {arn} is not valid."))
}

/// A change to a policy of AWS's.
pub(crate) fn aws_policy(arn: &str) -> Refusal {
    Refusal::Denied(format!("Policy {arn} is an AWS managed policy, which cannot be changed."))
}

// --- instance profiles -------------------------------------------------------------------------------------------

pub(crate) fn no_such_profile(name: &str) -> Refusal {
    Refusal::NotFound(format!("Instance Profile {name} cannot be found."))
}

pub(crate) fn profile_exists(name: &str) -> Refusal {
    Refusal::AlreadyThere(format!("Instance Profile {name} already exists."))
}

pub(crate) fn role_not_in_profile(role: &str, profile: &str) -> Refusal {
    Refusal::NotFound(format!("The role with name {role} cannot be found in instance profile {profile}."))
}

fn unfit_to_api(unfit: Unfit) -> ApiError {
    let malformed = |sentence: &str| errors::malformed_certificate_exception(sentence);
    match unfit {
        Unfit::Certificate => malformed("Unable to parse certificate. Please ensure the certificate is in PEM format."),
        Unfit::SeveralCertificates => malformed(
            "The certificate body must hold exactly one certificate; the others belong into the certificate chain.",
        ),
        Unfit::NotYetValid => malformed("The certificate is not valid yet: its start date lies in the future."),
        Unfit::Expired => malformed("The certificate has expired: its end date lies in the past."),
        Unfit::Chain => {
            malformed("Unable to parse certificate chain. Please ensure each certificate is in PEM format.")
        }
        Unfit::ChainTooLong => malformed(&format!("Unable to validate certificate chain: {unfit}.")),
        Unfit::ChainOrder { index } => malformed(&format!(
            "Unable to validate certificate chain. The certificate chain must start with the immediate signing \
             certificate, followed by any intermediaries in order. The index within the chain of the invalid \
             certificate is: {index}"
        )),
        Unfit::ChainAlgorithm { .. } => malformed(&format!("Unable to validate certificate chain: {unfit}.")),
        Unfit::Key => malformed("Unable to parse private key. Please ensure the private key is in PEM format."),
        Unfit::EncryptedKey => {
            malformed("The private key is encrypted. Remove its passphrase first, for example with \"openssl pkey\".")
        }
        Unfit::KeyKind => malformed(
            "The private key is not supported. Use RSA with 2048 to 8192 bits, or ECDSA on P-256, P-384 or P-521.",
        ),
        Unfit::KeyMismatch => {
            errors::key_pair_mismatch_exception("The private key does not match the public key of the certificate.")
        }
    }
}
