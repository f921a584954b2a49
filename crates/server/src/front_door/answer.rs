//! Answers: a service's bytes as HTTP, and the errors that are told before any service is reached.
//!
//! Invariants:
//! - An error is written in the protocol that the client speaks, whether or not its service is here.
//! - Every answer names its request in the header that its protocol uses for that.

use api::{Call, Protocol};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use wire::{ApiError, EncodedResponse};

use super::body::{Body, BodyError};
use super::catalogue::{self, Service};
use super::origin::Refusal;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
static S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// A service's answer as HTTP.
pub fn from_encoded(encoded: EncodedResponse) -> Response<Body> {
    let mut response = Response::new(Body::whole(encoded.body));
    *response.status_mut() = StatusCode::from_u16(encoded.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.reserve(encoded.headers.len() + 2);
    if !encoded.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoded.content_type));
    }
    for (name, value) in encoded.headers {
        let known = name.eq_ignore_ascii_case(REQUEST_ID.as_str()).then(|| REQUEST_ID.clone());
        let name = known.or_else(|| HeaderName::from_bytes(name.as_bytes()).ok());
        if let (Some(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// An error of a service, or in a service's name, as its client understands it.
pub fn error(service: &Service, call: &Call, error: &ApiError, details: &[(&str, String)]) -> Response<Body> {
    match (service.document(), call.protocol) {
        (Some(document), _) => from_encoded((document.encode_error)(call, error)),
        (_, Protocol::Json10 | Protocol::Json11) => json_error(call, error),
        (_, Protocol::Query | Protocol::Ec2Query) => query_error(call, error),
        (_, Protocol::RestXml) => s3_error(call, error, details),
    }
}

fn with_body(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn naming(mut response: Response<Body>, header: &HeaderName, call: &Call) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(&call.request_id.0) {
        response.headers_mut().insert(header, id);
    }
    response
}

fn json_error(call: &Call, error: &ApiError) -> Response<Body> {
    let body = serde_json::json!({ "__type": error.code, "message": error.message }).to_string();
    let content_type = match call.protocol {
        Protocol::Json11 => "application/x-amz-json-1.1",
        _ => "application/x-amz-json-1.0",
    };
    naming(with_body(error.status, content_type, body), &REQUEST_ID, call)
}

fn query_error(call: &Call, error: &ApiError) -> Response<Body> {
    let fault = match error.fault {
        wire::Fault::Sender => "Sender",
        wire::Fault::Receiver => "Receiver",
    };
    let code = error.query_code.as_ref().unwrap_or(&error.code);
    let message = error.query_message.as_ref().unwrap_or(&error.message);
    let body = format!(
        "<?xml version=\"1.0\"?><ErrorResponse><Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message>\
         </Error><RequestId>{}</RequestId></ErrorResponse>",
        escape(code),
        escape(message),
        call.request_id
    );
    naming(with_body(error.status, "text/xml", body), &REQUEST_ID, call)
}

fn s3_error(call: &Call, error: &ApiError, details: &[(&str, String)]) -> Response<Body> {
    use std::fmt::Write;
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>",
        escape(&error.code),
        escape(&error.message)
    );
    for (name, value) in details {
        // Writing to a String cannot fail.
        let _ = write!(body, "<{name}>{}</{name}>", escape(value));
    }
    let _ = write!(body, "<RequestId>{}</RequestId><HostId>millpond</HostId></Error>", call.request_id);
    naming(with_body(error.status, "application/xml", body), &S3_REQUEST_ID, call)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 has no way to write these.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// One sentence for people and scripts, outside of AWS's protocols.
pub fn plain(status: StatusCode, sentence: &str) -> Response<Body> {
    with_body(status.as_u16(), "text/plain; charset=utf-8", format!("{sentence}\n"))
}

/// The same answer, after which the connection closes: what is left of the request is not worth reading.
pub fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What the client is told when its body could not be read.
pub fn body_error(error: &BodyError) -> ApiError {
    match error {
        // AWS's own front end says this in plain text, which the SDKs choke on; the sentence is its.
        BodyError::TooLong { max } => {
            ApiError::sender("RequestEntityTooLarge", format!("HTTP content length exceeded {max} bytes."))
                .with_status(413)
        }
        BodyError::TimedOut => ApiError::sender(
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ),
        BodyError::NoMemory => {
            ApiError::receiver("ServiceUnavailable", "The server holds too many requests. Try again.").with_status(503)
        }
        BodyError::Broken(_) => ApiError::sender("IncompleteBody", "The request body terminated unexpectedly."),
    }
}

/// What the client is told when the front door turns it away.
pub fn refusal(refusal: Refusal) -> ApiError {
    ApiError::sender("AccessDenied", refusal.to_string()).with_status(403)
}

/// What the client is told about a service that is not here.
pub fn no_such_service(name: &str, protocol: Protocol) -> ApiError {
    let message = format!("Millpond has no service {name:?}; it has {}.", catalogue::names());
    match protocol {
        Protocol::Json10 | Protocol::Json11 => ApiError::sender("UnknownOperationException", message),
        Protocol::Query | Protocol::Ec2Query => ApiError::sender("InvalidAction", message),
        Protocol::RestXml => ApiError::sender("NotImplemented", message).with_status(501),
    }
}

/// What the client is told when we failed it; the log knows more.
pub fn internal() -> ApiError {
    ApiError::receiver("InternalFailure", "The request processing has failed because of an unknown error.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_cannot_break_out_of_an_error() {
        assert_eq!(escape("<a href=\"x\">&\u{1}\n"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}\n");
    }
}
