//! AWS JSON 1.0 and 1.1: a document in, a document out.
//!
//! Invariants:
//! - A document that isn't JSON, or that holds something of another kind than its schema says, is a
//!   `SerializationException`, in AWS's words. A number where a text should be, or the other way round, is refused; of a
//!   whole number the fraction is cut off, and one beyond its range becomes the nearest in it: so does AWS.
//! - Members that the schema doesn't know are skipped, `null` members are absent, the last of equal keys wins.
//!
//! Source: Smithy's AWS JSON protocols and `awsQueryCompatible` trait.

mod reader;
mod writer;

use bytes::Bytes;

use crate::error::{ApiError, Fault};
use crate::node::Node;
use crate::response::{EncodedResponse, REQUEST_ID_HEADER};
use crate::schema::{Service, Shape, Structure};
use crate::value::{Value, Writer};

pub use writer::JsonWriter;

/// Which of the two protocols; they differ in their name only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `application/x-amz-json-1.0`
    V1_0,
    /// `application/x-amz-json-1.1`
    V1_1,
}

impl Version {
    /// The `Content-Type` of requests and answers.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1_0 => "application/x-amz-json-1.0",
            Self::V1_1 => "application/x-amz-json-1.1",
        }
    }
}

/// Errors that AWS's framework makes and not the service; SDKs know them by this namespace.
const FRAMEWORK_NAMESPACE: &str = "com.amazon.coral.service";
const FRAMEWORK_ERRORS: [&str; 6] = [
    "InternalFailure",
    "InvalidParameterValueException",
    "MissingRequiredParameterException",
    "SerializationException",
    "ServiceUnavailable",
    "UnknownOperationException",
];

/// Parses a request's document as `structure`. An empty body is an empty document.
pub fn parse<'a>(structure: &'static Structure, body: &'a [u8]) -> Result<Node<'a>, ApiError> {
    reader::document(structure, body).map_err(|refusal| {
        ApiError::sender("SerializationException", refusal.to_string()).with_query_code("MalformedInput")
    })
}

/// A success that answers with `output`, which `structure` describes.
pub fn response<T: Value>(
    version: Version,
    structure: &'static Structure,
    request_id: &str,
    output: &T,
) -> EncodedResponse {
    let mut writer = JsonWriter::new();
    output.write(&Shape::Structure(structure), &mut writer);
    with_body(version, 200, request_id, writer.finish())
}

/// A success without output: no body at all.
pub fn empty_response(version: Version, request_id: &str) -> EncodedResponse {
    with_body(version, 200, request_id, Bytes::new())
}

/// An error. SDKs take its code from `x-amzn-query-error` first, which is the Query protocol's, so that code written
/// before SQS spoke JSON keeps working.
pub fn error_response(version: Version, service: &Service, request_id: &str, error: &ApiError) -> EncodedResponse {
    let code = error.code.as_ref();
    let namespace = if FRAMEWORK_ERRORS.contains(&code) { FRAMEWORK_NAMESPACE } else { service.shape_namespace };
    let mut writer = JsonWriter::new();
    writer.begin_structure();
    writer.name("__type");
    writer.string(&format!("{namespace}#{code}"));
    if !error.message.is_empty() {
        writer.name("message");
        writer.string(&error.message);
    }
    writer.end_structure();
    let mut response = with_body(version, error.status, request_id, writer.finish());
    let fault = match error.fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    };
    let query_code = error.query_code.as_ref().unwrap_or(&error.code);
    response.headers.push(("x-amzn-query-error", format!("{query_code};{fault}")));
    response
}

/// The answer to an operation that the service doesn't have. AWS says nothing but the code, with HTTP 400.
pub fn unknown_operation() -> ApiError {
    ApiError::sender("UnknownOperationException", "")
}

fn with_body(version: Version, status: u16, request_id: &str, body: Bytes) -> EncodedResponse {
    EncodedResponse {
        status,
        content_type: version.content_type(),
        headers: vec![(REQUEST_ID_HEADER, request_id.to_owned())],
        body,
    }
}

#[cfg(test)]
mod tests;
