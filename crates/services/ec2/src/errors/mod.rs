//! [`Refusal`]: why EC2 refused, and in which words it says so.
//!
//! Invariant: these are the files of the crate with AWS's codes and sentences; none repeats what the store said.

mod instances;
mod network;

use std::borrow::Cow;

pub(crate) use instances::*;
pub(crate) use network::*;
use store::StoreError;
use wire::ApiError;

use crate::paging::RESULTS_MIN;

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    User(#[from] ApiError),
    #[error("nobody signed")]
    NotSigned,
    #[error("only a trial")]
    DryRun,
    #[error("{0} is missing")]
    Missing(Cow<'static, str>),
    #[error("{id} is no id of kind {kind}")]
    Malformed { kind: &'static str, id: String },
    #[error("there are no {kind} {ids:?}")]
    NotFound { kind: &'static str, ids: Vec<String> },
    #[error("there is no group called {name}")]
    NoSuchGroupName { name: String, vpc_id: String },
    #[error("there is no resource {0}")]
    NoSuchResource(String),
    #[error("filter {0:?} is not known")]
    UnknownFilter(String),
    #[error("too many filter values")]
    TooManyFilterValues,
    #[error("{0} results are too few to ask for")]
    MaxResults(i32),
    #[error("the token is not one of ours")]
    NextToken,
    #[error("{0} and {1} exclude each other")]
    Combination(&'static str, &'static str),
    #[error("{0}")]
    InvalidValue(String),
    #[error("there is a group {name} already")]
    GroupExists { name: String, vpc_id: String },
    #[error("the default group stays")]
    DefaultGroup { id: String, name: String },
    #[error("{0} is in use")]
    GroupInUse(String),
    #[error("the rule is there already: {0}")]
    RuleExists(String),
    #[error("no more groups")]
    TooManyGroups(String),
    #[error("no more rules")]
    TooManyRules,
    #[error("no more tags")]
    TooManyTags,
    #[error("no public address is left")]
    NoPublicAddress,
    #[error("no key could be made")]
    NoKey,
    #[error("the engine failed")]
    EngineFailed,
    #[error("generated code and schema have come apart")]
    Schema,
    #[error("{code}: {sentence}")]
    Told { code: &'static str, sentence: String },
}

fn told(code: &'static str, sentence: impl Into<String>) -> Refusal {
    Refusal::Told { code, sentence: sentence.into() }
}

/// A thing that is not there.
pub(crate) fn not_found(kind: &'static str, id: &str) -> Refusal {
    Refusal::NotFound { kind, ids: vec![id.to_owned()] }
}

/// A value that can't be one of its parameter's.
pub(crate) fn invalid_value(parameter: &str, value: &str) -> Refusal {
    Refusal::InvalidValue(format!("Value ({value}) for parameter {parameter} is invalid."))
}

/// A parameter that AWS has and nothing here honours.
pub(crate) fn unsupported_parameter(parameter: &str) -> Refusal {
    told("UnsupportedOperation", format!("The parameter {parameter} is not supported here."))
}

/// A value that AWS has and nothing here honours.
pub(crate) fn unsupported_value(parameter: &str, value: &str) -> Refusal {
    told("UnsupportedOperation", format!("The value '{value}' for parameter {parameter} is not supported here."))
}

/// An attribute that a resource hasn't.
pub(crate) fn unknown_attribute(attribute: &str) -> Refusal {
    Refusal::InvalidValue(format!(
        "Value ({attribute}) for parameter attribute is invalid. Unknown attribute: {attribute}"
    ))
}

/// A client token that came with another call before.
pub(crate) fn idempotent_mismatch() -> Refusal {
    told(
        "IdempotentParameterMismatch",
        "The client token you have provided is associated with a resource that was created with other parameters.",
    )
}

/// More client tokens than are remembered.
pub(crate) fn too_many_requests() -> Refusal {
    told("RequestLimitExceeded", "Request limit exceeded.")
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let client = |code: &'static str, sentence: String| Self::sender(code, sentence);
        match refusal {
            Refusal::User(error) => error,
            Refusal::Store(error) => {
                tracing::error!(%error, "EC2's rows could not be read or written");
                Self::receiver("InternalError", "An internal error has occurred")
            }
            Refusal::NotSigned => {
                client("AuthFailure", "AWS was not able to validate the provided access credentials".into())
                    .with_status(401)
            }
            Refusal::DryRun => {
                client("DryRunOperation", "Request would have succeeded, but DryRun flag is set.".into())
                    .with_status(412)
            }
            Refusal::Missing(name) => {
                client("MissingParameter", format!("The request must contain the parameter {name}"))
            }
            Refusal::Malformed { kind, id } => malformed(kind, &id),
            Refusal::NotFound { kind, ids } => missing(kind, &ids),
            Refusal::NoSuchGroupName { name, vpc_id } => client(
                "InvalidGroup.NotFound",
                format!("The security group '{name}' does not exist in default VPC '{vpc_id}'"),
            ),
            Refusal::NoSuchResource(id) => client("InvalidID", format!("The ID '{id}' is not valid")),
            Refusal::UnknownFilter(name) => client("InvalidParameterValue", format!("The filter '{name}' is invalid")),
            Refusal::TooManyFilterValues => client(
                "FilterLimitExceeded",
                "The maximum number of filter values specified on a single call is 200".into(),
            ),
            Refusal::MaxResults(results) => client(
                "InvalidParameterValue",
                format!(
                    "Value ( {results} ) for parameter maxResults is invalid. Expecting a value greater than \
                     {RESULTS_MIN}."
                ),
            ),
            Refusal::NextToken => client("InvalidNextToken", "The specified NextToken is not valid.".into()),
            Refusal::Combination(one, other) => client(
                "InvalidParameterCombination",
                format!("The parameter {one} cannot be used with the parameter {other}"),
            ),
            Refusal::InvalidValue(sentence) => client("InvalidParameterValue", sentence),
            Refusal::GroupExists { name, vpc_id } => client(
                "InvalidGroup.Duplicate",
                format!("The security group '{name}' already exists for VPC '{vpc_id}'"),
            ),
            Refusal::DefaultGroup { id, name } => client(
                "CannotDelete",
                format!("the specified group: \"{id}\" name: \"{name}\" cannot be deleted by a user"),
            ),
            Refusal::GroupInUse(id) => client("DependencyViolation", format!("resource {id} has a dependent object")),
            Refusal::RuleExists(rule) => {
                client("InvalidPermission.Duplicate", format!("the specified rule \"{rule}\" already exists"))
            }
            Refusal::TooManyGroups(vpc_id) => client(
                "SecurityGroupLimitExceeded",
                format!("The maximum number of security groups for VPC '{vpc_id}' has been reached."),
            ),
            Refusal::TooManyRules => client(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.".into(),
            ),
            Refusal::NoPublicAddress => {
                Self::receiver("InsufficientAddressCapacity", "Not enough available addresses to satisfy your request.")
            }
            Refusal::Told { code, sentence } => client(code, sentence),
            Refusal::EngineFailed | Refusal::NoKey | Refusal::Schema => {
                Self::receiver("InternalError", "An internal error has occurred")
            }
            Refusal::TooManyTags => {
                client("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.".into())
            }
        }
    }
}

fn malformed(kind: &'static str, id: &str) -> ApiError {
    let code = match kind {
        "i" => "InvalidInstanceID.Malformed",
        "sg" => "InvalidGroupId.Malformed",
        "sgr" => "InvalidSecurityGroupRuleId.Malformed",
        "ami" => "InvalidAMIID.Malformed",
        _ => "InvalidID",
    };
    let hint = if id.starts_with(&format!("{kind}-")) { String::new() } else { format!(" (expecting \"{kind}-...\")") };
    ApiError::sender(code, format!("Invalid id: \"{id}\"{hint}"))
}

fn missing(kind: &'static str, ids: &[String]) -> ApiError {
    let (code, noun) = match kind {
        "i" => ("InvalidInstanceID.NotFound", "instance ID"),
        "sg" => ("InvalidGroup.NotFound", "security group"),
        "sgr" => ("InvalidSecurityGroupRuleId.NotFound", "security group rule ID"),
        "subnet" => ("InvalidSubnetID.NotFound", "subnet ID"),
        "vpc" => ("InvalidVpcID.NotFound", "vpc ID"),
        "igw" => ("InvalidInternetGatewayID.NotFound", "internetGateway ID"),
        "rtb" => ("InvalidRouteTableID.NotFound", "routeTable ID"),
        "acl" => ("InvalidNetworkAclID.NotFound", "networkAcl ID"),
        "eni" => ("InvalidNetworkInterfaceID.NotFound", "networkInterface ID"),
        "eipalloc" => ("InvalidAllocationID.NotFound", "allocation ID"),
        "dopt" => ("InvalidDhcpOptionID.NotFound", "dhcpOption ID"),
        "key" => ("InvalidKeyPair.NotFound", "key pair ID"),
        "vol" => ("InvalidVolume.NotFound", "volume"),
        "lt" => ("InvalidLaunchTemplateId.NotFound", "launch template ID"),
        "ami" => ("InvalidAMIID.NotFound", "image id"),
        "pl" => ("InvalidPrefixListID.NotFound", "prefix list ID"),
        _ => ("InvalidID", "ID"),
    };
    let sentence = match ids {
        [id] => format!("The {noun} '{id}' does not exist"),
        ids => format!("The {noun}s '{}' do not exist", ids.join(", ")),
    };
    ApiError::sender(code, sentence)
}
