//! The Query protocol: a form in, XML out.
//!
//! Invariants:
//! - A form names each value by its path: `Attribute.2.Name`. Fields that the schema doesn't know are skipped (but see
//!   EC2, below), and of equal fields the last one wins.
//! - What can't be read (a bad escape, no UTF-8, a list where a text should be) is `MalformedInput`; nothing is replaced
//!   by U+FFFD or silently dropped.
//!
//! EC2 speaks a dialect, which a service's schema names: all lists are flat in forms, an answer has no wrapper, an error
//! another root, and a field that the schema doesn't know is refused.
//!
//! Sources: Smithy's `awsQuery` and `ec2Query` protocols; the names are resolved in the [schema](crate::schema).

mod ec2;
mod form;
mod tree;
mod xml;

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{ApiError, Fault};
use crate::node::Node;
use crate::response::{EncodedResponse, REQUEST_ID_HEADER};
use crate::schema::{Dialect, Operation, Service, Shape, Structure};
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
pub fn parse<'a>(dialect: Dialect, structure: &'static Structure, form: &'a [u8]) -> Result<Node<'a>, ApiError> {
    tree::parse(dialect, structure, form).map_err(|refusal| match dialect {
        Dialect::Aws => {
            ApiError::sender("SerializationException", refusal.to_string()).with_query_code("MalformedInput")
        }
        Dialect::Ec2 => ec2::refused(&refusal),
    })
}

/// A success that answers with `output`.
pub fn response<T: Value>(
    service: &Service,
    operation: &'static Operation,
    request_id: &str,
    output: &T,
) -> EncodedResponse {
    if service.dialect == Dialect::Ec2 {
        return ec2::response(service, operation, request_id, output);
    }
    let mut xml = opened(service, operation);
    if let (Some(structure), Some(wrapper)) = (operation.output, operation.result_wrapper) {
        xml.next_element(wrapper);
        output.write(&Shape::Structure(structure), &mut xml);
    }
    closed(xml, operation, request_id)
}

/// A success without output.
pub fn empty_response(service: &Service, operation: &'static Operation, request_id: &str) -> EncodedResponse {
    if service.dialect == Dialect::Ec2 {
        return ec2::empty_response(service, operation, request_id);
    }
    closed(opened(service, operation), operation, request_id)
}

/// An error.
pub fn error_response(service: &Service, request_id: &str, error: &ApiError) -> EncodedResponse {
    if service.dialect == Dialect::Ec2 {
        return ec2::error_response(request_id, error);
    }
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
pub fn unknown_action(dialect: Dialect, action: &str) -> ApiError {
    let place = match dialect {
        Dialect::Aws => "endpoint",
        Dialect::Ec2 => "web service",
    };
    ApiError::sender("InvalidAction", format!("The action {action} is not valid for this {place}."))
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
