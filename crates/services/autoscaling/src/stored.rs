//! Requests as rows keep them: in JSON, by AWS's own schema.
//!
//! Invariant: what was written is read as it was, by the schema of the operation that it came with.

use ::api::autoscaling::SERVICE;
use wire::ApiError;
use wire::json::{self, JsonWriter};
use wire::schema::Shape;
use wire::value::Value;

use crate::errors;

/// An operation's input as text.
pub(crate) fn write<T: Value>(operation: &str, input: &T) -> Result<String, ApiError> {
    let operation = SERVICE.operation(operation).ok_or_else(|| unreadable(operation))?;
    let mut writer = JsonWriter::new();
    input.write(&Shape::Structure(operation.input), &mut writer);
    String::from_utf8(writer.finish().to_vec()).map_err(|_| unreadable(operation.name))
}

/// An operation's input from its text.
pub(crate) fn read<T: Value>(operation: &str, text: &str) -> Result<T, ApiError> {
    let schema = SERVICE.operation(operation).ok_or_else(|| unreadable(operation))?;
    let node = json::parse(schema.input, text.as_bytes()).map_err(|_| unreadable(operation))?;
    T::bind(node).map_err(|_| unreadable(operation))
}

fn unreadable(operation: &str) -> ApiError {
    tracing::error!(operation, "a stored request cannot be read");
    errors::internal()
}
