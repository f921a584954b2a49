//! [`ApiError`]: what a client is told.
//!
//! Invariant: an `ApiError` is built only in a service's `errors.rs` (the one file that knows AWS's codes and
//! sentences) or by this crate for faults of the protocol itself; it never carries internal detail.

use std::borrow::Cow;

/// Whose fault an error is; AWS's Query protocol calls it `Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong; sending it again changes nothing.
    Sender,
    /// The server failed; the same request may succeed later.
    Receiver,
}

/// An error in AWS's terms, ready for any protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The shape name, as the JSON protocols give it in `__type` (`QueueDoesNotExist`).
    pub code: Cow<'static, str>,
    /// The Query protocol's code where it differs (`AWS.SimpleQueueService.NonExistentQueue`).
    pub query_code: Option<Cow<'static, str>>,
    /// HTTP status.
    pub status: u16,
    /// Who is at fault.
    pub fault: Fault,
    /// The sentence for the client; names the offending value.
    pub message: String,
    /// The sentence in the Query protocol where it differs.
    pub query_message: Option<String>,
}

impl ApiError {
    /// An error of the client's, HTTP 400.
    pub fn sender(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            query_code: None,
            status: 400,
            fault: Fault::Sender,
            message: message.into(),
            query_message: None,
        }
    }

    /// An error of ours, HTTP 500. `message` must not carry internal detail.
    pub fn receiver(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status: 500, fault: Fault::Receiver, ..Self::sender(code, message) }
    }

    /// The same error with another HTTP status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same error with the Query protocol's own code.
    #[must_use]
    pub fn with_query_code(self, code: impl Into<Cow<'static, str>>) -> Self {
        Self { query_code: Some(code.into()), ..self }
    }

    /// The same error with the Query protocol's own sentence.
    #[must_use]
    pub fn with_query_message(self, message: impl Into<String>) -> Self {
        Self { query_message: Some(message.into()), ..self }
    }
}
