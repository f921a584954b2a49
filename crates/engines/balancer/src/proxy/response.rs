//! A target's answer on its way to the client.
//!
//! Invariants:
//! - Interim answers (1xx) are passed on, except to HTTP/1.0 clients, who don't know them, and no more than
//!   [`INTERIM_MAX`] of them: a target that never comes to its answer is one that failed.
//! - A connection goes back to the pool only if request and answer were complete and nothing came behind.
//! - An answer that ends early ends with an error for the client too: by the missing bytes, or by a reset where its
//!   end is the connection's.

use std::future::poll_fn;
use std::task::Poll;

use super::answer::Answer;
use super::buffers::Buffer;
use super::connection::Interrupt;
use super::exchange::{Answering, Exchange, Outcome};
use super::flow::{self, Coding, Flow, FlowError};
use super::http1::{self, Framing, Persist, ResponseHead};
use super::upgrade;
use crate::pool::BackendConnection;
use crate::state::TargetState;

/// Enough for a slow operation to say every ten seconds for a quarter of an hour that it is being processed (102).
const INTERIM_MAX: u32 = 100;

/// Passes an answer on, to its end.
pub(super) async fn relay(exchange: &mut Exchange<'_>, answering: Answering<'_>) -> Outcome {
    let Answering { lease, mut backend, mut input } = answering;
    let target = lease.target();
    let mut lead = exchange.connection.worker.buffers.head();
    let worker = exchange.connection.worker.clone();
    let limits = &worker.shared.limits;
    let mut interim = 0;
    let (head, persist) = loop {
        lead.clear();
        let mut persist = Persist::Close;
        let request = exchange.head;
        let parsed = http1::parse_response(input.unread(), limits, request, &mut lead, |head| {
            persist = persist_of(exchange, head);
            persist
        });
        match parsed {
            Err(_) => return Outcome::Answer(Answer::BadGateway),
            Ok(None) => {
                if let Err(answer) = read_more(exchange, &mut backend, target, &mut input).await {
                    return Outcome::Answer(answer);
                }
            }
            Ok(Some(head)) if head.status == 101 => {
                if !exchange.head.upgrade {
                    return Outcome::Answer(Answer::BadGateway);
                }
                input.consume(head.bytes);
                return upgrade::relay(exchange, lease, backend, lead, input).await;
            }
            Ok(Some(head)) if head.status < 200 => {
                interim += 1;
                if interim > INTERIM_MAX {
                    return Outcome::Answer(Answer::BadGateway);
                }
                input.consume(head.bytes);
                if exchange.head.minor > 0 && exchange.connection.write(&lead, Some(target)).await.is_err() {
                    return Outcome::Broken;
                }
            }
            Ok(Some(head)) => break (head, persist),
        }
    };
    if !exchange.head.is_simple {
        exchange.session.tell(exchange.route, lease.index, &mut lead);
    }
    exchange.report.elb_status = Some(head.status);
    exchange.report.backend_status = Some(head.status);
    input.consume(head.bytes);
    let is_chunked = head.framing == Framing::Chunked && exchange.head.minor > 0;
    let coding = if is_chunked { Coding::Chunked } else { Coding::Plain };
    let buffers = &exchange.connection.worker.buffers;
    let mut download = Flow::new(buffers, lead, head.framing, coding, Some(input));
    let is_through = pass_on(exchange, &mut backend, target, &mut download).await;
    exchange.report.sent_bytes = download.body_bytes;
    exchange.report.wire_bytes += download.wire_bytes;
    if !is_through {
        if ends_with_connection(exchange, &head) {
            reset(exchange);
        }
        return Outcome::Broken;
    }
    let is_clean = exchange.is_request_through() && download.take_rest().is_none();
    if is_clean && head.keep_alive && !exchange.head.is_last && head.framing != Framing::UntilClose {
        let until = exchange.connection.worker.deadlines.now().after(exchange.route.load_balancer.idle_timeout);
        exchange.connection.worker.pools.put(backend, until);
    }
    Outcome::Answered { keep: persist != Persist::Close && exchange.is_request_through() }
}

/// Whether the client can tell the answer's end by the connection's only.
fn ends_with_connection(exchange: &Exchange<'_>, head: &ResponseHead) -> bool {
    let request = exchange.head;
    request.is_simple || head.framing == Framing::UntilClose || (head.framing == Framing::Chunked && request.minor == 0)
}

/// What the client is told of its connection.
fn persist_of(exchange: &mut Exchange<'_>, head: &ResponseHead) -> Persist {
    let close = !exchange.head.keep_alive
        || ends_with_connection(exchange, head)
        || !exchange.is_request_through()
        || exchange.connection.is_leaving();
    match exchange.head.minor {
        _ if close => Persist::Close,
        0 => Persist::KeepAlive,
        _ => Persist::Unsaid,
    }
}

/// Reads more of a head that is not complete.
async fn read_more(
    exchange: &mut Exchange<'_>,
    backend: &mut BackendConnection,
    target: &TargetState,
    input: &mut Buffer,
) -> Result<(), Answer> {
    input.compact();
    if input.unread().len() >= exchange.connection.worker.shared.limits.response_head_bytes_max {
        return Err(Answer::BadGateway);
    }
    exchange.connection.deadline.set(exchange.route.load_balancer.idle_timeout);
    poll_fn(|cx| {
        let _ = exchange.poll_upload(cx, backend);
        match flow::poll_read(cx, &mut backend.stream, input) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Answer::BadGateway)),
            Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
            Poll::Pending => {}
        }
        match exchange.connection.interrupt(cx, Some(target)) {
            Some(Interrupt::TimedOut | Interrupt::Cut) => Poll::Ready(Err(Answer::GatewayTimeout)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Passes the answer on, and what is left of the request the other way. Whether the answer came through.
async fn pass_on(
    exchange: &mut Exchange<'_>,
    backend: &mut BackendConnection,
    target: &TargetState,
    download: &mut Flow,
) -> bool {
    let idle_timeout = exchange.route.load_balancer.idle_timeout;
    exchange.connection.deadline.set(idle_timeout);
    poll_fn(|cx| {
        let _ = exchange.poll_upload(cx, backend);
        let polled = download.poll(cx, &mut backend.stream, &mut exchange.connection.client);
        if download.take_moved() {
            exchange.connection.deadline.set(idle_timeout);
        }
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(true),
            Poll::Ready(Err(FlowError::From | FlowError::Malformed | FlowError::To)) => Poll::Ready(false),
            Poll::Pending if exchange.connection.interrupt(cx, Some(target)).is_some() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes the client's connection end with an error: an orderly end would say that the answer was complete.
fn reset(exchange: &Exchange<'_>) {
    if let Some(tcp) = exchange.connection.client.plain() {
        // Where it fails there is no connection left.
        let _ = tcp.set_zero_linger();
    }
}
