//! After a 101: the connection belongs to the upgraded protocol, and its bytes pass as they come.
//!
//! Invariants:
//! - Nothing the client sent behind its request goes to the target before the target said 101.
//! - One side's end is passed on to the other; the relay ends with both, or after an idle timeout of silence.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::buffers::{Buffer, Head};
use super::dispatch::Lease;
use super::exchange::{Exchange, Outcome};
use super::flow::{Coding, Flow, FlowError};
use super::http1::Framing;
use crate::pool::BackendConnection;
use crate::stream::Stream;

/// Relays bytes both ways. `lead` is the target's 101, `input` what it sent behind.
pub(super) async fn relay(
    exchange: &mut Exchange<'_>,
    lease: Lease<'_>,
    mut backend: BackendConnection,
    lead: Head,
    input: Buffer,
) -> Outcome {
    exchange.report.elb_status = Some(101);
    exchange.report.backend_status = Some(101);
    let idle_timeout = exchange.route.load_balancer.idle_timeout;
    let buffers = exchange.connection.worker.buffers.clone();
    let rest = exchange.rest.take();
    let mut down = Half::new(Flow::new(&buffers, lead, Framing::UntilClose, Coding::Plain, Some(input)));
    let mut up = Half::new(Flow::new(&buffers, buffers.head(), Framing::UntilClose, Coding::Plain, rest));
    exchange.connection.deadline.set(idle_timeout);
    poll_fn(|cx| {
        let is_down_over = down.poll(cx, &mut backend.stream, &mut exchange.connection.client);
        let is_up_over = up.poll(cx, &mut exchange.connection.client, &mut backend.stream);
        if up.flow.take_moved() | down.flow.take_moved() {
            exchange.connection.deadline.set(idle_timeout);
        }
        if (is_down_over && is_up_over) || down.has_failed || up.has_failed {
            return Poll::Ready(());
        }
        match exchange.connection.interrupt(cx, Some(lease.target())) {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    })
    .await;
    exchange.report.sent_bytes = down.flow.body_bytes;
    exchange.report.wire_bytes += down.flow.wire_bytes + up.flow.wire_bytes;
    exchange.report.received_bytes = up.flow.body_bytes;
    Outcome::Answered { keep: false }
}

/// One direction.
struct Half {
    flow: Flow,
    /// The sender's end was passed on.
    is_over: bool,
    has_failed: bool,
}

impl Half {
    fn new(flow: Flow) -> Self {
        Self { flow, is_over: false, has_failed: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> bool {
        if self.is_over || self.has_failed {
            return self.is_over;
        }
        match self.flow.poll(cx, from, to) {
            Poll::Pending => {}
            Poll::Ready(Err(FlowError::From | FlowError::To | FlowError::Malformed)) => self.has_failed = true,
            Poll::Ready(Ok(())) => match Pin::new(to).poll_shutdown(cx) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    self.is_over = true;
                    self.has_failed = result.is_err();
                }
            },
        }
        self.is_over
    }
}
