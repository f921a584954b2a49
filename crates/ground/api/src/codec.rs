//! Which codec of `wire` a call wants: the one place where a [`Protocol`] is matched.
//!
//! Invariant: codecs belong to protocols, not to services, so every service speaks JSON and Query; what AWS itself
//! doesn't offer for a service is there for the console. Which of the two Query protocols it is, the service's schema
//! says, so that a call can't get it wrong.

use bytes::Bytes;
use wire::schema::{Operation, Service};
use wire::value::Value;
use wire::{ApiError, EncodedResponse, json, query, validate};

use crate::{Call, Protocol};

/// Parses, validates and binds an operation's input.
pub(crate) fn decode<T: Value>(
    service: &Service,
    operation: &'static Operation,
    call: &Call,
    body: &Bytes,
) -> Result<T, ApiError> {
    let node = match call.protocol {
        Protocol::Json10 | Protocol::Json11 => json::parse(operation.input, body)?,
        Protocol::Query | Protocol::Ec2Query => query::parse(service.dialect, operation.input, body)?,
        Protocol::RestXml => return Err(unknown_operation(service, call, operation.name)),
    };
    validate::check(service.violations, operation.input, &node)?;
    T::bind(node).map_err(|_| ApiError::receiver("InternalFailure", "The request could not be read."))
}

/// An operation's success, with what it answers.
pub(crate) fn encode<T: Value>(
    service: &Service,
    operation: &'static Operation,
    call: &Call,
    output: &T,
) -> EncodedResponse {
    let id = call.request_id.0.as_str();
    let Some(structure) = operation.output else { return encode_nothing(service, operation, call) };
    match call.protocol {
        Protocol::Json10 => json::response(json::Version::V1_0, structure, id, output),
        Protocol::Json11 => json::response(json::Version::V1_1, structure, id, output),
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => query::response(service, operation, id, output),
    }
}

/// An operation's success that has nothing more to say.
pub(crate) fn encode_nothing(service: &Service, operation: &'static Operation, call: &Call) -> EncodedResponse {
    let id = call.request_id.0.as_str();
    match call.protocol {
        Protocol::Json10 => json::empty_response(json::Version::V1_0, id),
        Protocol::Json11 => json::empty_response(json::Version::V1_1, id),
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => query::empty_response(service, operation, id),
    }
}

/// An error of this service.
pub(crate) fn encode_error(service: &Service, call: &Call, error: &ApiError) -> EncodedResponse {
    let id = call.request_id.0.as_str();
    match call.protocol {
        Protocol::Json10 => json::error_response(json::Version::V1_0, service, id, error),
        Protocol::Json11 => json::error_response(json::Version::V1_1, service, id, error),
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => query::error_response(service, id, error),
    }
}

/// The answer to an operation that this service doesn't have.
pub(crate) fn unknown_operation(service: &Service, call: &Call, operation: &str) -> ApiError {
    match call.protocol {
        Protocol::Json10 | Protocol::Json11 => json::unknown_operation(),
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => query::unknown_action(service.dialect, operation),
    }
}
