//! A client's connection: its turns of idleness and of requests.
//!
//! Invariants:
//! - An idle connection is closed without a word: at the idle timeout, when its listener is gone, and
//!   after a moment when draining.
//! - A head must be complete one idle timeout after its first byte, however slowly its bytes drip.
//! - Reading a head costs time linear in its length, in however many pieces it comes.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use memchr::memmem;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::buffers::{Buffer, Head};
use super::exchange;
use super::flow;
use super::http1::{self, Forwarded, RefusalKind, RequestHead, Verdict};
use super::report::{Received, Report};
use crate::access_record::TlsInfo;
use crate::deadline::{Deadline, Tick};
use crate::state::{Slot, TargetState};
use crate::stream::Stream;
use crate::worker::Worker;

/// A connection that has been idle for so long (a sweep of the deadlines) gives back what serving requests needs.
const LINGER: Duration = Duration::from_millis(1);

/// How long an idle connection may still ask when draining has begun. A busy client asks within it, and hears in the
/// answer that it has to connect anew; closing at once would cross its next request on the way.
const DRAINING_IDLE: Duration = Duration::from_secs(1);

/// How long, and for how many bytes, we go on reading from a client that was told that its connection is closed:
/// closing at once would make its system discard our answer.
const CLOSING: Duration = Duration::from_secs(2);
const CLOSING_BYTES_MAX: usize = 1 << 20;

/// What comes after serving requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, for a while.
    Idle,
    /// The connection ends.
    Close,
}

/// Why a wait was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The deadline passed.
    TimedOut,
    /// The target is cut off.
    Cut,
}

/// How the connection goes on after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// With the next one.
    Keep,
    /// Not at all; the client knows.
    Close,
    /// Not at all, and the client may still be sending.
    CloseGently,
}

/// Whether a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Not,
    /// Soon: the answer to whatever it asks says so.
    Draining,
    /// Now, or after the request under way: nothing leads on from here.
    Gone,
}

/// A client's connection.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) slot: Arc<Slot>,
    pub(super) client: Stream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) tls: Option<TlsInfo>,
    pub(super) deadline: Deadline,
    /// When the connection has been idle for too long.
    idle_until: Tick,
    /// The generation that `leaving` speaks of.
    generation: u64,
    leaving: Leaving,
    /// The generation in which the request's target was looked at.
    pub(super) cut_generation: u64,
    /// The client may still be sending what we won't read.
    close_gently: bool,
}

impl Connection {
    pub(super) fn new(
        worker: Rc<Worker>,
        slot: Arc<Slot>,
        client: Stream,
        peer: SocketAddr,
        local: SocketAddr,
        tls: Option<TlsInfo>,
    ) -> Self {
        let deadline = worker.deadlines.register();
        let idle_until = worker.deadlines.now().after(idle_timeout(&slot));
        Self {
            worker,
            slot,
            client,
            peer,
            local,
            tls,
            deadline,
            idle_until,
            generation: u64::MAX,
            leaving: Leaving::Not,
            cut_generation: u64::MAX,
            close_gently: false,
        }
    }

    /// Waits for the next request's first bytes. `None` if the connection has to end.
    pub(super) async fn first_bytes(&mut self) -> Option<Buffer> {
        self.deadline.set_at(self.idle_until);
        let mut is_hurried = false;
        poll_fn(|cx| {
            match self.leaving() {
                Leaving::Not => {}
                Leaving::Gone => return Poll::Ready(None),
                Leaving::Draining if is_hurried => {}
                Leaving::Draining => {
                    is_hurried = true;
                    let until = self.worker.deadlines.now().after(DRAINING_IDLE);
                    self.deadline.set_at(until.min(self.idle_until));
                }
            }
            match self.poll_first_bytes(cx) {
                Poll::Ready(read) => Poll::Ready(read.unwrap_or(None)),
                Poll::Pending if self.deadline.is_due(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Serves the request that `input` begins, and those that follow, until there are none for a while.
    pub(super) async fn serve_requests(&mut self, mut input: Buffer) -> Next {
        loop {
            let received = Received { at: Instant::now() };
            let rest = match self.serve_request(input, received).await {
                (After::Keep, rest) => rest,
                (After::Close, _) => return Next::Close,
                (After::CloseGently, _) => {
                    self.close_gently = true;
                    return Next::Close;
                }
            };
            self.idle_until = self.worker.deadlines.now().after(idle_timeout(&self.slot));
            input = match rest {
                Some(rest) if self.leaving() != Leaving::Gone => rest,
                Some(_) => return Next::Close,
                None => match self.next_bytes().await {
                    Ok(input) => input,
                    Err(next) => return next,
                },
            };
        }
    }

    /// Waits a moment for the first bytes of the next request.
    async fn next_bytes(&mut self) -> Result<Buffer, Next> {
        self.deadline.set_at(self.worker.deadlines.now().after(LINGER).min(self.idle_until));
        poll_fn(|cx| {
            if self.leaving() == Leaving::Gone {
                return Poll::Ready(Err(Next::Close));
            }
            match self.poll_first_bytes(cx) {
                Poll::Ready(Ok(Some(input))) => Poll::Ready(Ok(input)),
                Poll::Ready(_) => Poll::Ready(Err(Next::Close)),
                Poll::Pending if self.deadline.is_due(cx) => Poll::Ready(Err(Next::Idle)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// `None` at the client's end.
    fn poll_first_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Buffer>>> {
        // No buffer is held while nothing comes.
        ready!(self.client.poll_read_ready(cx))?;
        let mut input = self.worker.buffers.small();
        let count = ready!(flow::poll_read(cx, &mut self.client, &mut input))?;
        Poll::Ready(Ok((count > 0).then_some(input)))
    }

    /// Reads the rest of a head and serves its request; with what came behind the request.
    async fn serve_request(&mut self, mut input: Buffer, received: Received) -> (After, Option<Buffer>) {
        match self.head(&mut input).await {
            Ok((head, lead)) => exchange::serve(self, input, &head, lead, received).await,
            Err(HeadError::Gone) => (After::Close, None),
            Err(HeadError::Refused(answer, desync)) => {
                answer::refuse_unread(self, answer, &input, Report::new(received, desync)).await;
                (After::CloseGently, None)
            }
        }
    }

    /// Reads until the head at the beginning of `input` is complete.
    async fn head(&mut self, input: &mut Buffer) -> Result<(RequestHead, Head), HeadError> {
        let forwarded = Forwarded {
            client: self.peer.ip(),
            proto: if self.tls.is_some() { "https" } else { "http" },
            port: self.local.port(),
            node: self.local.ip(),
        };
        let mut lead = self.worker.buffers.head();
        let mode = self.slot.peek().as_ref().map(|route| route.load_balancer.desync_mode).unwrap_or_default();
        let mut parsed = Parsed::default();
        let mut is_timed = false;
        loop {
            if parsed.is_worth_another(input.unread()) {
                match http1::parse_request(input.unread(), &self.worker.shared.limits, mode, &forwarded, &mut lead) {
                    Ok(Some(head)) => return Ok((head, lead)),
                    Ok(None) => lead.clear(),
                    Err(refusal) => {
                        let answer = match refusal.kind {
                            RefusalKind::Bad => Answer::BadRequest,
                            RefusalKind::MethodTooLong => Answer::MethodNotAllowed,
                        };
                        return Err(HeadError::Refused(answer, refusal.desync));
                    }
                }
            }
            if !is_timed {
                // Once, not at each byte: a client that drips is not idle, but not welcome either.
                is_timed = true;
                self.deadline.set(idle_timeout(&self.slot));
            }
            if input.space().is_empty() {
                input.compact();
                if input.space().is_empty() && !input.grow() {
                    return Err(HeadError::Refused(Answer::BadRequest, Verdict::default()));
                }
            }
            poll_fn(|cx| match flow::poll_read(cx, &mut self.client, input) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(HeadError::Gone)),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Pending if self.deadline.is_due(cx) => {
                    Poll::Ready(Err(HeadError::Refused(Answer::RequestTimeout, Verdict::default())))
                }
                Poll::Pending => Poll::Pending,
            })
            .await?;
        }
    }

    /// Whether the connection should end once nothing is under way: its listener is gone, or all are leaving.
    pub(super) fn is_leaving(&mut self) -> bool {
        self.leaving() != Leaving::Not
    }

    fn leaving(&mut self) -> Leaving {
        let generation = self.worker.deadlines.generation();
        if generation != self.generation {
            self.generation = generation;
            self.leaving = if self.slot.peek().is_none() {
                Leaving::Gone
            } else if self.worker.shared.draining.is_cancelled() {
                Leaving::Draining
            } else {
                Leaving::Not
            };
        }
        self.leaving
    }

    /// Writes all of `bytes` to the client, within the idle timeout.
    pub(super) async fn write(&mut self, mut bytes: &[u8], target: Option<&TargetState>) -> io::Result<()> {
        self.deadline.set(idle_timeout(&self.slot));
        poll_fn(|cx| {
            while !bytes.is_empty() {
                match Pin::new(&mut self.client).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if self.interrupt(cx, target).is_some() => {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            Pin::new(&mut self.client).poll_flush(cx)
        })
        .await
    }

    /// Why a wait that concerns `target` should end, if it should; if not, the task is woken when it should.
    pub(super) fn interrupt(&mut self, cx: &Context<'_>, target: Option<&TargetState>) -> Option<Interrupt> {
        if self.deadline.is_due(cx) {
            return Some(Interrupt::TimedOut);
        }
        let generation = self.worker.deadlines.generation();
        if generation != self.cut_generation {
            self.cut_generation = generation;
            return target.filter(|target| target.cut.is_cancelled()).map(|_| Interrupt::Cut);
        }
        None
    }

    /// Whether more is to be done for the connection's end than to drop it.
    pub(super) fn needs_farewell(&self) -> bool {
        self.close_gently || self.client.plain().is_none()
    }

    /// Ends the connection: in TLS with a farewell, and patiently if the client may still be sending.
    pub(super) async fn close(&mut self) {
        self.deadline.set(CLOSING);
        let mut left = if self.close_gently { CLOSING_BYTES_MAX } else { 0 };
        let mut is_shut = false;
        poll_fn(|cx| {
            if !is_shut {
                match Pin::new(&mut self.client).poll_shutdown(cx) {
                    Poll::Pending if self.deadline.is_due(cx) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(())) => is_shut = true,
                }
            }
            while left > 0 {
                let mut waste = self.worker.buffers.small();
                match flow::poll_read(cx, &mut self.client, &mut waste) {
                    Poll::Ready(Ok(0) | Err(_)) => break,
                    Poll::Ready(Ok(count)) => left = left.saturating_sub(count),
                    Poll::Pending if self.deadline.is_due(cx) => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Why there is no head.
enum HeadError {
    /// The client went away.
    Gone,
    /// It is told why, and goes.
    Refused(Answer, Verdict),
}

/// How long either side may be silent.
pub(super) fn idle_timeout(slot: &Slot) -> Duration {
    slot.peek().as_ref().map_or(Duration::ZERO, |route| route.load_balancer.idle_timeout)
}

/// What a parser has seen of a head without finding its end.
#[derive(Default)]
struct Parsed {
    bytes: usize,
    /// The first line was among it.
    has_line: bool,
}

impl Parsed {
    /// Whether a parser could find more in `bytes` than it did before; it is asked then. Without this question a head
    /// that comes byte by byte would be parsed as often as it has bytes.
    fn is_worth_another(&mut self, bytes: &[u8]) -> bool {
        let news = bytes.get(self.bytes.saturating_sub(3)..).unwrap_or_default();
        let has_line = self.has_line || memchr::memchr(b'\n', news).is_some();
        let is_worth = self.bytes == 0
            || bytes.len() >= self.bytes * 2
            // A request of HTTP/0.9 is complete with its line.
            || has_line != self.has_line
            || memmem::find(news, b"\n\r\n").is_some()
            || memmem::find(news, b"\n\n").is_some();
        if is_worth {
            *self = Self { bytes: bytes.len(), has_line };
        }
        is_worth
    }
}
