//! What can go wrong in a tool, in the words of the published ones.

/// Why a build stopped; `cfn-init` prints it and exits with 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// A sentence for the user.
    #[error("{0}")]
    Said(String),
    /// The same, with the exit code of the program that failed.
    #[error("{message} (return code {code})")]
    Failed {
        /// What could not be done.
        message: String,
        /// The program's exit code.
        code: i32,
    },
}

impl BuildError {
    /// An error with only a sentence.
    pub(crate) fn said(message: impl Into<String>) -> Self {
        Self::Said(message.into())
    }
}

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        Self::Said(error.to_string())
    }
}

/// What building returns.
pub(crate) type Result<T, E = BuildError> = std::result::Result<T, E>;
