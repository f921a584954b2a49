//! Queue names: what a queue may be called.
//!
//! Invariant: a [`QueueName`] holds 1 to 80 of `[A-Za-z0-9_-]`, a FIFO one ends in `.fifo` (which counts).
//! Names are case-sensitive.

use std::fmt;
use std::sync::Arc;

use wire::ApiError;

use crate::errors;
use crate::limits::QUEUE_NAME_MAX;

const FIFO_SUFFIX: &str = ".fifo";

/// A well-formed queue name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueueName(Arc<str>);

impl QueueName {
    /// A standard queue's name.
    pub(crate) fn parse_standard(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(errors::queue_name_empty());
        }
        if text.len() > QUEUE_NAME_MAX || !is_plain(text) {
            return Err(errors::queue_name_malformed());
        }
        Ok(Self(text.into()))
    }

    /// A FIFO queue's name.
    pub(crate) fn parse_fifo(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(errors::queue_name_empty());
        }
        match text.strip_suffix(FIFO_SUFFIX) {
            Some(stem) if !stem.is_empty() && text.len() <= QUEUE_NAME_MAX && is_plain(stem) => Ok(Self(text.into())),
            _ => Err(errors::fifo_queue_name_malformed()),
        }
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a name is a FIFO queue's.
pub(crate) fn is_fifo(name: &str) -> bool {
    name.ends_with(FIFO_SUFFIX)
}

/// The alphabet that queue names, labels and batch entry ids share.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_80_letters_digits_hyphens_and_underscores() {
        assert!(QueueName::parse_standard("a").is_ok());
        assert!(QueueName::parse_standard("A-Za_z09").is_ok());
        assert!(QueueName::parse_standard(&"q".repeat(80)).is_ok());
        let long = QueueName::parse_standard(&"q".repeat(81)).unwrap_err();
        assert_eq!(
            long.message,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        );
        for bad in ["a b", "a/b", "a.b", "ä", "orders.fifo"] {
            assert_eq!(QueueName::parse_standard(bad).unwrap_err(), long, "{bad}");
        }
        assert_eq!(QueueName::parse_standard("").unwrap_err().message, "Queue name cannot be empty");
    }

    #[test]
    fn a_fifo_name_ends_in_fifo_and_the_suffix_counts() {
        assert!(QueueName::parse_fifo("orders.fifo").is_ok());
        assert!(QueueName::parse_fifo(&format!("{}.fifo", "q".repeat(75))).is_ok());
        for bad in ["orders", ".fifo", "a.b.fifo", &format!("{}.fifo", "q".repeat(76))] {
            assert_eq!(QueueName::parse_fifo(bad).unwrap_err().query_code.as_deref(), Some("InvalidParameterValue"));
        }
        assert!(is_fifo("orders.fifo") && !is_fifo("orders"));
    }
}
