//! Bodies: requests' under a bound of bytes, time and memory; answers' whole or streamed.
//!
//! Invariants:
//! - All bodies that are held whole take at most `limits.body_memory_max` together, counted as their bytes arrive.
//! - A body that came in one piece is never copied.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::connection::Connection;
use crate::config::Limits;

/// Whatever a stream may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request's body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Longer than a body that is held in memory may be.
    #[error("the body is longer than {max} bytes")]
    TooLong {
        /// `limits.body_bytes_max`.
        max: usize,
    },
    /// No byte for too long, or not complete in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// All memory for bodies is taken.
    #[error("too many bodies are held in memory")]
    NoMemory,
    /// The client went away or broke the framing.
    #[error("the body ended early: {0}")]
    Broken(#[from] hyper::Error),
}

/// A request's body as it comes off the socket, held to the limits on its time.
pub(super) struct RequestBody {
    inner: Incoming,
    connection: Arc<Connection>,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, connection: Arc<Connection>) -> Self {
        Self { inner, connection }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.connection.is_body_late() {
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.connection.body_ended();
        }
        polled.map_err(BodyError::Broken)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            self.connection.body_abandoned();
        }
        self.connection.body_ended();
    }
}

/// The memory that bodies held whole may take together.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicUsize::new(0) })
    }

    /// Bytes taken now.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before = self.budget.taken.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.budget.max { Err(BodyError::NoMemory) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Relaxed);
    }
}

/// A body held whole, and the memory it takes.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _share: Share,
}

/// Reads a body to its end.
pub(super) async fn collect(body: RequestBody, limits: &Limits, budget: &Arc<Budget>) -> Result<Whole, BodyError> {
    let started_ms = body.connection.coarse_ms();
    let connection = body.connection.clone();
    let check_time = || {
        let waited_ms = connection.coarse_ms().saturating_sub(started_ms);
        if u128::from(waited_ms) > limits.body_timeout.as_millis() { Err(BodyError::TimedOut) } else { Ok(()) }
    };
    collect_frames(body, limits.body_bytes_max, budget, check_time).await
}

async fn collect_frames<B>(
    mut body: B,
    max: usize,
    budget: &Arc<Budget>,
    check_time: impl Fn() -> Result<(), BodyError>,
) -> Result<Whole, BodyError>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
{
    let mut share = Share { budget: budget.clone(), bytes: 0 };
    // What announces too much is refused before a byte of it is read.
    if body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLong { max });
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        check_time()?;
        let so_far = first.len() + rest.len();
        if data.len() > max - so_far {
            return Err(BodyError::TooLong { max });
        }
        share.grow(data.len())?;
        if so_far == 0 {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    let bytes = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Whole { bytes, _share: share })
}

/// An answer's body. Tells its connection when it is done.
pub struct Body {
    content: Content,
    /// Held only for its drop.
    _in_flight: Option<InFlight>,
}

enum Content {
    Whole(Option<Bytes>),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self { content: Content::Whole(None), _in_flight: None }
    }

    /// These bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty())), _in_flight: None }
    }

    /// What `body` yields.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { content: Content::Stream(Box::pin(body.map_err(Into::into))), _in_flight: None }
    }

    /// The same body, holding `in_flight` until it is through or given up.
    pub(super) fn holding(self, in_flight: InFlight) -> Self {
        Self { _in_flight: Some(in_flight), ..self }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}

/// A request between its head and the end of its answer.
pub(super) struct InFlight(pub(super) Arc<Connection>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    struct Pieces(VecDeque<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    async fn whole(pieces: &[&'static str], max: usize, budget: &Arc<Budget>) -> Result<Whole, BodyError> {
        let pieces = Pieces(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect());
        collect_frames(pieces, max, budget, || Ok(())).await
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let piece = "all of it";
        let body = whole(&[piece], 100, &Budget::new(100)).await.unwrap();
        assert_eq!(body.bytes.as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        assert_eq!(whole(&["a", "", "bc", "d"], 4, &Budget::new(100)).await.unwrap().bytes, "abcd");
        assert!(whole(&[], 4, &Budget::new(100)).await.unwrap().bytes.is_empty());
    }

    #[tokio::test]
    async fn a_body_beyond_its_bound_is_refused() {
        let refused = whole(&["abc", "de"], 4, &Budget::new(100)).await;
        assert!(matches!(refused, Err(BodyError::TooLong { max: 4 })));
    }

    #[tokio::test]
    async fn memory_is_taken_while_a_body_lives_and_refused_when_none_is_left() {
        let budget = Budget::new(10);
        let held = whole(&["12345678"], 100, &budget).await.unwrap();
        assert_eq!(budget.taken(), 8);
        assert!(matches!(whole(&["123"], 100, &budget).await, Err(BodyError::NoMemory)));
        assert_eq!(budget.taken(), 8);
        drop(held);
        assert_eq!(budget.taken(), 0);
        whole(&["123"], 100, &budget).await.unwrap();
    }
}
