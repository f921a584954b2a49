//! Requests to a queue's own URL, as the Query protocol has them: the path says which queue is meant.
//!
//! Invariants:
//! - A QueueUrl in the form wins over the path.
//! - Only Query requests are placed by their path; JSON requests always carry their QueueUrl.

use api::{Call, Protocol};
use bytes::Bytes;
use wire::{ApiError, EncodedResponse};

use crate::errors;
use crate::queue_url;

/// What becomes of a request after a look at its path.
pub(crate) enum Placed {
    /// Go on with this body.
    Body(Bytes),
    /// Answer with this.
    Answer(EncodedResponse),
    /// Refuse.
    Refused(ApiError),
}

/// Adds the path's queue to a Query request that names none.
pub(crate) fn place(call: &Call, operation: &str, body: Bytes) -> Placed {
    let at_queue = call.protocol == Protocol::Query && queue_url::parse_request_path(&call.path).is_some();
    if !at_queue {
        return Placed::Body(body);
    }
    match operation {
        "" => Placed::Answer(unknown_operation(call)),
        "CreateQueue" | "ListQueues" => Placed::Refused(errors::invalid_action(operation)),
        _ if wire::query::field(&body, "QueueUrl").is_some() => Placed::Body(body),
        _ => Placed::Body(with_queue_url(&body, &call.path)),
    }
}

/// The path is percent-encoded already; `+` and `&` mean more in a form than in a path.
fn with_queue_url(body: &[u8], path: &str) -> Bytes {
    let mut form = Vec::with_capacity(body.len() + path.len() + 16);
    form.extend_from_slice(body);
    if !body.is_empty() {
        form.push(b'&');
    }
    form.extend_from_slice(b"QueueUrl=");
    for byte in path.bytes() {
        match byte {
            b'+' => form.extend_from_slice(b"%2B"),
            b'&' => form.extend_from_slice(b"%26"),
            _ => form.push(byte),
        }
    }
    Bytes::from(form)
}

/// What AWS answers to a GET of a queue's URL that names no action.
fn unknown_operation(call: &Call) -> EncodedResponse {
    EncodedResponse {
        status: 404,
        content_type: "text/xml",
        headers: vec![("x-amzn-RequestId", call.request_id.0.clone())],
        body: Bytes::from_static(b"<UnknownOperationException/>\n"),
    }
}
