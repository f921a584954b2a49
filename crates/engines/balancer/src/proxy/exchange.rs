//! One request and its answer, from a complete head to the access record.
//!
//! Invariants:
//! - A request that may have reached a target is sent again only if its method is idempotent, all of it is still here,
//!   and the connection was an old one that closed without a byte of answer.
//! - An answer may come before the request's body is through; both then flow at once, and both connections end after.
//! - The client gets one final answer: a target's or ours, never a second one after the first has begun.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::answer::{self, Answer};
use super::buffers::{Buffer, Head};
use super::connection::{After, Connection, Interrupt};
use super::dispatch::{self, ATTEMPTS_MAX, Lease, Tried};
use super::flow::{self, Coding, Flow, FlowError};
use super::http1::{Framing, RequestHead};
use super::report::{Received, Report};
use super::response;
use super::stickiness::Session;
use crate::pool::BackendConnection;
use crate::state::{Route, TargetState};
use crate::surge::Refused;

/// A request under way.
pub(super) struct Exchange<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) route: &'a Route,
    pub(super) head: &'a RequestHead,
    pub(super) report: Report,
    /// The request, on its way to a target.
    pub(super) upload: Flow,
    /// The target takes no more of it, or the client gives no more.
    pub(super) is_upload_broken: bool,
    /// What the client sent behind a request to upgrade.
    pub(super) rest: Option<Buffer>,
    /// Which target the client belongs to.
    pub(super) session: Session,
}

/// How an exchange ended.
pub(super) enum Outcome {
    /// Nothing was answered yet: answer this.
    Answer(Answer),
    /// The target's answer went out in full; whether the connection may go on.
    Answered { keep: bool },
    /// What was begun can't be finished.
    Broken,
}

/// A target that has begun to answer.
pub(super) struct Answering<'a> {
    pub(super) lease: Lease<'a>,
    pub(super) backend: BackendConnection,
    /// What it said so far; not empty.
    pub(super) input: Buffer,
}

/// Why a target didn't answer.
enum SendError {
    /// It closed the connection.
    Closed,
    Interrupted(Interrupt),
    /// The client closed before its request was complete.
    ClientGone,
    /// The client's chunks make no sense.
    Malformed,
}

/// Serves the request whose head stands at the beginning of `input` and which `lead` says anew to a target. With what
/// came behind the request.
pub(super) async fn serve(
    connection: &mut Connection,
    mut input: Buffer,
    head: &RequestHead,
    lead: Head,
    received: Received,
) -> (After, Option<Buffer>) {
    // Before the route is read: a target that is cut off later is then noticed.
    connection.cut_generation = connection.worker.deadlines.generation();
    let Some(route) = connection.slot.route() else { return (After::CloseGently, None) };
    let has_body = head.framing != Framing::None;
    let behind = if has_body || head.upgrade { input.split_off(head.bytes) } else { None };
    let (body, rest) = if has_body { (behind, None) } else { (None, behind) };
    let upload = Flow::new(&connection.worker.buffers, lead, head.framing, coding_of(head.framing), body);
    let report = Report::new(received, head.desync);
    let session = Session::of(&route, input.unread().get(..head.bytes).unwrap_or_default());
    let mut exchange =
        Exchange { connection, route: &route, head, report, upload, is_upload_broken: false, rest, session };
    let outcome = exchange.run().await;
    let after = exchange.end(outcome, &input).await;
    let rest = if has_body {
        exchange.upload.take_rest()
    } else if head.upgrade {
        exchange.rest
    } else {
        input.consume(head.bytes);
        Some(input).filter(|input| !input.is_empty())
    };
    match after {
        // It may have sent more than we have read, and must get our answer all the same.
        After::Close if rest.is_some() => (After::CloseGently, None),
        after => (after, rest),
    }
}

/// A body's coding on its other side.
fn coding_of(framing: Framing) -> Coding {
    if framing == Framing::Chunked { Coding::Chunked } else { Coding::Plain }
}

impl<'a> Exchange<'a> {
    async fn run(&mut self) -> Outcome {
        if self.head.expect_continue && self.upload.is_waiting_for_body() {
            // The client waits for this before it sends its body; the target is not asked.
            if self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n", None).await.is_err() {
                return Outcome::Broken;
            }
        }
        match self.dispatch().await {
            Ok(answering) => response::relay(self, answering).await,
            Err(answer) => Outcome::Answer(answer),
        }
    }

    /// Finds a target that begins to answer.
    async fn dispatch(&mut self) -> Result<Answering<'a>, Answer> {
        let mut tried = Tried::default();
        loop {
            let lease = dispatch::choose(self.connection, self.route, self.session.target, tried).await;
            let lease = lease.map_err(|refused| match refused {
                Refused::Nobody if tried.count() > 0 => Answer::GatewayTimeout,
                Refused::Nobody | Refused::Spillover | Refused::TimedOut => Answer::AtCapacity,
            })?;
            if let Some((backend, input)) = self.ask(lease.target()).await? {
                return Ok(Answering { lease, backend, input });
            }
            tried.add(lease.index);
            if tried.count() == ATTEMPTS_MAX {
                return Err(Answer::GatewayTimeout);
            }
        }
    }

    /// Sends the request to `target`, and waits for the first bytes of its answer. `None` if it can't be connected to.
    async fn ask(
        &mut self,
        target: &std::sync::Arc<TargetState>,
    ) -> Result<Option<(BackendConnection, Buffer)>, Answer> {
        let mut fresh = false;
        loop {
            let connected = dispatch::connect(self.connection, self.route, target, fresh).await;
            let Ok(mut backend) = connected else { return Ok(None) };
            let sent_before = self.upload.wire_bytes;
            match self.send(&mut backend, target).await {
                Ok(input) => return Ok(Some((backend, input))),
                Err(SendError::Closed) => {
                    let is_untouched = self.upload.wire_bytes == sent_before;
                    let may_repeat = backend.reused && (is_untouched || self.head.idempotent);
                    if !may_repeat || !self.upload.rewind() {
                        return Err(if backend.reused { Answer::GatewayTimeout } else { Answer::BadGateway });
                    }
                    fresh = true;
                    self.is_upload_broken = false;
                }
                Err(SendError::Interrupted(Interrupt::TimedOut)) if self.is_client_late() => {
                    return Err(Answer::RequestTimeout);
                }
                Err(SendError::Interrupted(_)) => return Err(Answer::GatewayTimeout),
                Err(SendError::ClientGone) => return Err(Answer::RequestTimeout),
                Err(SendError::Malformed) => return Err(Answer::BadRequest),
            }
        }
    }

    /// Whether it is the client's body that is waited for.
    fn is_client_late(&self) -> bool {
        !self.is_upload_broken && !self.upload.is_done() && self.upload.waits_for_sender()
    }

    async fn send(&mut self, backend: &mut BackendConnection, target: &TargetState) -> Result<Buffer, SendError> {
        self.connection.deadline.set(self.route.load_balancer.idle_timeout);
        self.report.dispatched = None;
        let address = target.socket_address(&self.route.listener);
        poll_fn(|cx| {
            match self.poll_upload(cx, backend) {
                Poll::Ready(Err(FlowError::From)) => return Poll::Ready(Err(SendError::ClientGone)),
                Poll::Ready(Err(FlowError::Malformed)) => return Poll::Ready(Err(SendError::Malformed)),
                _ => {}
            }
            if self.report.dispatched.is_none() && self.upload.is_head_written() {
                self.report.dispatched = Some((Instant::now(), address));
            }
            match self.poll_answer(cx, backend) {
                Poll::Ready(Some(input)) => {
                    self.report.answered = Some(Instant::now());
                    return Poll::Ready(Ok(input));
                }
                Poll::Ready(None) => return Poll::Ready(Err(SendError::Closed)),
                Poll::Pending => {}
            }
            match self.connection.interrupt(cx, Some(target)) {
                Some(interrupt) => Poll::Ready(Err(SendError::Interrupted(interrupt))),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Moves the request along. An error of the target's side is remembered only: it may have answered before.
    pub(super) fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        backend: &mut BackendConnection,
    ) -> Poll<Result<(), FlowError>> {
        if self.is_upload_broken || self.upload.is_done() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.upload.poll(cx, &mut self.connection.client, &mut backend.stream);
        if self.upload.take_moved() {
            self.connection.deadline.set(self.route.load_balancer.idle_timeout);
        }
        match polled {
            Poll::Ready(Err(error)) => {
                self.is_upload_broken = true;
                if error == FlowError::To { Poll::Ready(Ok(())) } else { Poll::Ready(Err(error)) }
            }
            polled => polled,
        }
    }

    /// The first bytes of the target's answer; `None` if it closed.
    fn poll_answer(&self, cx: &mut Context<'_>, backend: &mut BackendConnection) -> Poll<Option<Buffer>> {
        // No buffer is held while the target thinks.
        if ready!(backend.stream.poll_read_ready(cx)).is_err() {
            return Poll::Ready(None);
        }
        let mut input = self.connection.worker.buffers.big();
        match ready!(flow::poll_read(cx, &mut backend.stream, &mut input)) {
            Ok(0) | Err(_) => Poll::Ready(None),
            Ok(_) => Poll::Ready(Some(input)),
        }
    }

    /// Whether the whole request went to the target.
    pub(super) fn is_request_through(&self) -> bool {
        !self.is_upload_broken && self.upload.is_done()
    }

    /// Answers where the target didn't, counts and records.
    async fn end(&mut self, outcome: Outcome, input: &Buffer) -> After {
        let after = match outcome {
            Outcome::Answered { keep: true } => After::Keep,
            Outcome::Answered { keep: false } if self.is_request_through() && !self.head.is_last => After::Close,
            Outcome::Answered { keep: false } => After::CloseGently,
            Outcome::Broken => After::Close,
            Outcome::Answer(answer) => {
                let keep = answer.status() >= 500
                    && self.head.keep_alive
                    && (self.head.framing == Framing::None || self.is_request_through())
                    && !self.connection.is_leaving();
                self.report.answered_by_balancer(answer.status());
                let is_written = answer::write(self.connection, answer, keep).await;
                if keep && is_written { After::Keep } else { After::CloseGently }
            }
        };
        self.report.received_bytes += self.upload.body_bytes;
        self.report.wire_bytes += self.upload.wire_bytes;
        self.report.finish(self.connection, self.route, Some(self.head), input.unread());
        after
    }
}
