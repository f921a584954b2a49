//! How EC2's dialect of the Query protocol answers.
//!
//! Invariant: an answer's members stand in its root, after the request's id; a success without any is `<return>`.
//!
//! Source: Smithy's `ec2Query` protocol. Its own spelling of `requestId` is older than what EC2 sends, so EC2's is here.

use super::tree::Refusal;
use super::{CONTENT_TYPE, XmlWriter};
use crate::error::ApiError;
use crate::response::{EncodedResponse, REQUEST_ID_HEADER};
use crate::schema::{Operation, Service};
use crate::value::Value;

/// What EC2 says of a form that it can't read.
pub(super) fn refused(refusal: &Refusal) -> ApiError {
    let code = match refusal {
        Refusal::Unknown(_) => "UnknownParameter",
        Refusal::Value { .. } => "InvalidParameterValue",
        _ => "MalformedQueryString",
    };
    ApiError::sender(code, refusal.to_string())
}

/// A success that answers with `output`.
pub(super) fn response<T: Value>(
    service: &Service,
    operation: &'static Operation,
    request_id: &str,
    output: &T,
) -> EncodedResponse {
    let mut xml = opened(service, operation, request_id);
    if let Some(structure) = operation.output {
        xml.members_of(structure, output);
    }
    closed(xml, operation, request_id)
}

/// A success without output.
pub(super) fn empty_response(service: &Service, operation: &'static Operation, request_id: &str) -> EncodedResponse {
    let mut xml = opened(service, operation, request_id);
    xml.leaf("return", "true");
    closed(xml, operation, request_id)
}

/// An error.
pub(super) fn error_response(request_id: &str, error: &ApiError) -> EncodedResponse {
    let mut xml = XmlWriter::new();
    for element in ["Response", "Errors", "Error"] {
        xml.open(element);
    }
    xml.leaf("Code", error.query_code.as_ref().unwrap_or(&error.code));
    xml.leaf("Message", error.query_message.as_ref().unwrap_or(&error.message));
    xml.close("Error");
    xml.close("Errors");
    xml.leaf("RequestID", request_id);
    xml.close("Response");
    with_body(error.status, request_id, xml)
}

fn opened(service: &Service, operation: &'static Operation, request_id: &str) -> XmlWriter {
    let mut xml = XmlWriter::new();
    xml.open_root(operation.name, "Response", service.xml_namespace);
    xml.leaf("requestId", request_id);
    xml
}

fn closed(mut xml: XmlWriter, operation: &'static Operation, request_id: &str) -> EncodedResponse {
    xml.close_root(operation.name, "Response");
    with_body(200, request_id, xml)
}

fn with_body(status: u16, request_id: &str, xml: XmlWriter) -> EncodedResponse {
    EncodedResponse {
        status,
        content_type: CONTENT_TYPE,
        headers: vec![(REQUEST_ID_HEADER, request_id.to_owned())],
        body: xml.finish(),
    }
}

#[cfg(test)]
mod tests;
