//! The balancer's own answers.
//!
//! Invariants:
//! - Status lines and bodies are ELB's; every one of them says how long it is.
//! - After a 4xx the connection is closed: what the client sends next can't be told from what was not understood.

use super::buffers::Buffer;
use super::connection::Connection;
use super::report::Report;

/// Why the balancer answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    BadRequest,
    MethodNotAllowed,
    RequestTimeout,
    BadGateway,
    AtCapacity,
    GatewayTimeout,
}

impl Answer {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BadGateway => 502,
            Self::AtCapacity => 503,
            Self::GatewayTimeout => 504,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::BadGateway => "BAD_GATEWAY",
            Self::AtCapacity => "Service Unavailable: Back-end server is at capacity",
            Self::GatewayTimeout => "GATEWAY_TIMEOUT",
        }
    }
}

/// Writes the answer. False if the client didn't take it.
pub(super) async fn write(connection: &mut Connection, answer: Answer, keep: bool) -> bool {
    let mut head = connection.worker.buffers.head();
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(itoa::Buffer::new().format(answer.status()).as_bytes());
    head.push(b' ');
    head.extend_from_slice(answer.reason().as_bytes());
    let connection_header = if keep { "keep-alive" } else { "close" };
    head.extend_from_slice(b"\r\nContent-Length: 0\r\nConnection: ");
    head.extend_from_slice(connection_header.as_bytes());
    head.extend_from_slice(b"\r\n\r\n");
    connection.write(&head, None).await.is_ok()
}

/// Refuses a request whose head could not be read; `input` holds what came of it.
pub(super) async fn refuse_unread(connection: &mut Connection, answer: Answer, input: &Buffer, mut report: Report) {
    write(connection, answer, false).await;
    let Some(route) = connection.slot.route() else { return };
    report.answered_by_balancer(answer.status());
    report.finish(connection, &route, None, input.unread());
}
