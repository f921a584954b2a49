//! The Query protocol: a form in, XML out.
//!
//! Invariants:
//! - A form names each value by its path: `Attribute.2.Name`. Fields that the schema doesn't know are skipped, and of
//!   equal fields the last one wins.
//! - What can't be read (a bad escape, no UTF-8, a list where a text should be) is `MalformedInput`; nothing is replaced
//!   by U+FFFD or silently dropped.
//!
//! Source: Smithy's `awsQuery` protocol; the names are resolved in the [schema](crate::schema).

mod form;
mod tree;
mod xml;

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{ApiError, Fault};
use crate::node::Node;
use crate::response::{EncodedResponse, REQUEST_ID_HEADER};
use crate::schema::{Operation, Service, Shape, Structure};
use crate::value::Value;

pub use form::{FIELDS_MAX, Fields, FormError, fields};
pub use xml::XmlWriter;

const CONTENT_TYPE: &str = "text/xml";

/// The value of a form's field; of several the last. `None` if there is none or the form can't be read: then
/// [`parse`] says so to the client.
pub fn field<'a>(form: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    for pair in fields(form) {
        let (key, value) = pair.ok()?;
        if key == name {
            found = Some(value);
        }
    }
    found
}

/// Parses a request's form as `structure`.
pub fn parse<'a>(structure: &'static Structure, form: &'a [u8]) -> Result<Node<'a>, ApiError> {
    tree::parse(structure, form).map_err(|refusal| {
        ApiError::sender("SerializationException", refusal.to_string()).with_query_code("MalformedInput")
    })
}

/// A success that answers with `output`.
pub fn response<T: Value>(
    service: &Service,
    operation: &'static Operation,
    request_id: &str,
    output: &T,
) -> EncodedResponse {
    let mut xml = opened(service, operation);
    if let (Some(structure), Some(wrapper)) = (operation.output, operation.result_wrapper) {
        xml.next_element(wrapper);
        output.write(&Shape::Structure(structure), &mut xml);
    }
    closed(xml, operation, request_id)
}

/// A success without output.
pub fn empty_response(service: &Service, operation: &'static Operation, request_id: &str) -> EncodedResponse {
    closed(opened(service, operation), operation, request_id)
}

/// An error.
pub fn error_response(service: &Service, request_id: &str, error: &ApiError) -> EncodedResponse {
    let mut xml = XmlWriter::new();
    xml.open_root("ErrorResponse", "", service.xml_namespace);
    xml.open("Error");
    xml.leaf(
        "Type",
        match error.fault {
            Fault::Sender => "Sender",
            Fault::Receiver => "Receiver",
        },
    );
    xml.leaf("Code", error.query_code.as_ref().unwrap_or(&error.code));
    xml.leaf("Message", error.query_message.as_ref().unwrap_or(&error.message));
    xml.empty("Detail");
    xml.close("Error");
    xml.leaf("RequestId", request_id);
    xml.close("ErrorResponse");
    with_body(error.status, request_id, xml.finish())
}

/// The answer to an action that the service doesn't have.
pub fn unknown_action(action: &str) -> ApiError {
    ApiError::sender("InvalidAction", format!("The action {action} is not valid for this endpoint."))
}

fn opened(service: &Service, operation: &'static Operation) -> XmlWriter {
    let mut xml = XmlWriter::new();
    xml.open_root(operation.name, "Response", service.xml_namespace);
    xml
}

fn closed(mut xml: XmlWriter, operation: &'static Operation, request_id: &str) -> EncodedResponse {
    xml.open("ResponseMetadata");
    xml.leaf("RequestId", request_id);
    xml.close("ResponseMetadata");
    xml.close_root(operation.name, "Response");
    with_body(200, request_id, xml.finish())
}

fn with_body(status: u16, request_id: &str, body: Bytes) -> EncodedResponse {
    EncodedResponse {
        status,
        content_type: CONTENT_TYPE,
        headers: vec![(REQUEST_ID_HEADER, request_id.to_owned())],
        body,
    }
}

#[cfg(test)]
mod tests;
