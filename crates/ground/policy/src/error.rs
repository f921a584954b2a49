//! What is wrong with a policy, and where.

use std::fmt;

/// A policy that cannot be accepted. Displays as the problem and its place:
/// `Policy has invalid action, at Statement[0].Action`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    problem: Problem,
    place: String,
}

/// What is wrong. Displays as the sentence that S3 answers with (`MalformedPolicy`), where S3 has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not JSON, or not an object.
    #[error("Policies must be valid JSON and the first byte must be '{{'")]
    NotJson,
    /// A name stands twice in one object.
    #[error("Duplicate field {0}")]
    DuplicateField(String),
    /// A name that the language does not have.
    #[error("Unknown field {0}")]
    UnknownField(String),
    /// A required element is missing.
    #[error("Missing required field {0}")]
    MissingField(&'static str),
    /// An element that a policy of this kind may not have.
    #[error("Has prohibited field {0}")]
    ProhibitedField(&'static str),
    /// Two elements of which a statement has one: `Action` and `NotAction`.
    #[error("Statement must not contain both {0} and {1}")]
    Contradiction(&'static str, &'static str),
    /// An element has a JSON type that it can't have.
    #[error("Invalid policy syntax.")]
    WrongType,
    /// `Version` is neither 2008-10-17 nor 2012-10-17.
    #[error("The policy must contain a valid version string")]
    InvalidVersion,
    /// `Statement` is an empty list.
    #[error("Could not parse the policy: Statement is empty!")]
    NoStatements,
    /// `Effect` is neither `Allow` nor `Deny`.
    #[error("Invalid effect: {0}")]
    InvalidEffect(String),
    /// An action is neither `*` nor `service:Name`.
    #[error("Policy has invalid action")]
    InvalidAction,
    /// A resource is neither `*` nor an ARN.
    #[error("Policy has invalid resource")]
    InvalidResource,
    /// A principal that cannot exist.
    #[error("Invalid principal in policy")]
    InvalidPrincipal,
    /// An operator that the language does not have.
    #[error("Invalid Condition type : {0}")]
    InvalidOperator(String),
    /// A condition key that is not `prefix:name`.
    #[error("Policy has an invalid condition key")]
    InvalidConditionKey,
    /// A value that its operator cannot compare with.
    #[error("Invalid condition value {0:?}")]
    InvalidConditionValue(String),
    /// Two statements have the same `Sid`, where the service wants them distinct.
    #[error("Statement IDs (SID) in a single policy must be unique: {0}")]
    DuplicateSid(String),
    /// More of something than the service takes.
    #[error("Policy exceeds the maximum of {max} {what}")]
    TooMany {
        /// `bytes`, `statements`, `principals` or `conditions`.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
}

impl PolicyError {
    pub(crate) fn new(problem: Problem, place: impl Into<String>) -> Self {
        Self { problem, place: place.into() }
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Where: `Statement[0].Condition.IpAddress`, or a line and column; empty for the document as a whole.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(formatter, "{}", self.problem),
            place => write!(formatter, "{}, at {place}", self.problem),
        }
    }
}

impl std::error::Error for PolicyError {}
