//! [`SignedBody`]: a request's body, held against what its signature promised while it streams by.
//!
//! Invariants:
//! - The body ends without error only if its bytes are the signed ones: whoever reads it commits nothing before it saw
//!   the end (`None`), and throws away what it wrote on an error.
//! - No copy and no buffer: a piece of payload is a slice of what came in.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ApiError;
use crate::aws_chunked::{ChunkError, Decoder};
use crate::signature::hex_string;

/// Why a body was refused.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed; there is nobody to tell.
    #[error("the request's body ended early: {0}")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
    /// The body is not the one that was signed.
    #[error("the body hashes to {computed}, not to the signed {claimed}")]
    ContentSha256Mismatch {
        /// `x-amz-content-sha256`.
        claimed: String,
        /// The body's real SHA-256.
        computed: String,
    },
    /// A streamed upload is malformed or wrongly signed.
    #[error(transparent)]
    Chunked(#[from] ChunkError),
}

impl BodyError {
    /// In S3's words; `None` when the connection failed.
    pub fn to_s3(&self) -> Option<ApiError> {
        match self {
            Self::Transport(_) => None,
            Self::ContentSha256Mismatch { .. } => Some(ApiError::sender(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )),
            Self::Chunked(error) => Some(error.to_s3()),
        }
    }
}

/// What the signature promised about a body.
#[derive(Debug)]
pub enum Promise {
    /// Nothing.
    Nothing,
    /// Its SHA-256.
    Sha256([u8; 32]),
    /// Its framing, and in it the chunks' signatures.
    Chunked(Box<Decoder>),
}

#[derive(Debug)]
enum Check {
    Nothing,
    Sha256 {
        claimed: [u8; 32],
        hash: Sha256,
    },
    Chunked {
        decoder: Box<Decoder>,
        input: Bytes,
        handed_out: u64,
    },
    /// The verdict was good.
    Over,
    /// The verdict was bad: nothing more comes out.
    Failed,
}

/// A body that is verified while it is read. Yields data frames only.
#[derive(Debug)]
pub struct SignedBody<B> {
    inner: B,
    check: Check,
}

impl<B> SignedBody<B> {
    /// Holds `inner` against a promise.
    pub fn new(inner: B, promise: Promise) -> Self {
        let check = match promise {
            Promise::Nothing => Check::Nothing,
            Promise::Sha256(claimed) => Check::Sha256 { claimed, hash: Sha256::new() },
            Promise::Chunked(decoder) => Check::Chunked { decoder, input: Bytes::new(), handed_out: 0 },
        };
        Self { inner, check }
    }
}

impl Check {
    /// The next payload out of what came in already.
    fn payload_at_hand(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Self::Chunked { decoder, input, handed_out } = self else { return Ok(None) };
        let payload = decoder.decode(input)?;
        *handed_out += payload.as_ref().map_or(0, |data| data.len() as u64);
        Ok(payload)
    }

    /// Takes in what came from the client; what of it can be handed out as it is.
    fn take(&mut self, data: Bytes) -> Option<Bytes> {
        match self {
            Self::Nothing | Self::Over => Some(data),
            Self::Failed => None,
            Self::Sha256 { hash, .. } => {
                hash.update(&data);
                Some(data)
            }
            Self::Chunked { input, .. } => {
                *input = data;
                None
            }
        }
    }

    /// The verdict at the end.
    fn end(&mut self) -> Result<(), BodyError> {
        match std::mem::replace(self, Self::Over) {
            Self::Nothing | Self::Over | Self::Failed => Ok(()),
            Self::Sha256 { claimed, hash } => judge_sha256(&claimed, hash),
            Self::Chunked { mut decoder, .. } => Ok(decoder.finish()?),
        }
    }
}

fn judge_sha256(claimed: &[u8; 32], hash: Sha256) -> Result<(), BodyError> {
    let computed: [u8; 32] = hash.finalize().into();
    if bool::from(computed.ct_eq(claimed)) {
        return Ok(());
    }
    Err(BodyError::ContentSha256Mismatch { claimed: hex_string(claimed), computed: hex_string(&computed) })
}

impl<B> SignedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll_payload(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(payload) = self.check.payload_at_hand()? {
                return Poll::Ready(Ok(Some(payload)));
            }
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else {
                return Poll::Ready(self.check.end().map(|()| None));
            };
            let frame = frame.map_err(|error| BodyError::Transport(error.into()))?;
            // HTTP's own trailers are nobody's here: S3's stand inside the aws-chunked body.
            let Ok(data) = frame.into_data() else { continue };
            let Some(payload) = self.check.take(data) else { continue };
            // Readers that count bytes stop before the end: give them the verdict with the last piece.
            if self.inner.is_end_stream() {
                self.check.end()?;
            }
            return Poll::Ready(Ok(Some(payload)));
        }
    }
}

impl<B> Body for SignedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if matches!(this.check, Check::Failed) {
            return Poll::Ready(None);
        }
        let payload = ready!(this.poll_payload(context));
        if payload.is_err() {
            this.check = Check::Failed;
        }
        Poll::Ready(payload.transpose().map(|payload| payload.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self.check {
            Check::Nothing | Check::Over => self.inner.is_end_stream(),
            Check::Failed => true,
            // There is a verdict to be given yet.
            Check::Sha256 { .. } | Check::Chunked { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.check {
            Check::Chunked { decoder, handed_out, .. } => decoder
                .decoded_length()
                .map_or_else(SizeHint::default, |length| SizeHint::with_exact(length.saturating_sub(*handed_out))),
            _ => self.inner.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use super::*;
    use crate::aws_chunked::{Options, Streaming};

    /// A body in pieces; `announces_end` as hyper's does when it knows the length.
    struct Pieces {
        left: VecDeque<Bytes>,
        announces_end: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
        }

        fn is_end_stream(&self) -> bool {
            self.announces_end && self.left.is_empty()
        }
    }

    fn pieces(of: &[&'static [u8]], announces_end: bool) -> Pieces {
        Pieces { left: of.iter().map(|piece| Bytes::from_static(piece)).collect(), announces_end }
    }

    /// Reads to the end: the bytes that came out, and the error that ended them.
    fn read(mut body: SignedBody<Pieces>) -> (Vec<u8>, Option<BodyError>) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut bytes = Vec::new();
        loop {
            match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => bytes.extend_from_slice(&frame.into_data().unwrap()),
                Poll::Ready(Some(Err(error))) => {
                    assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
                    return (bytes, Some(error));
                }
                Poll::Ready(None) => return (bytes, None),
                Poll::Pending => panic!("nothing to wait for"),
            }
        }
    }

    fn sha256(of: &[u8]) -> Promise {
        Promise::Sha256(Sha256::digest(of).into())
    }

    #[test]
    fn the_signed_body_comes_through() {
        for announces_end in [false, true] {
            let body = SignedBody::new(pieces(&[b"hel", b"lo"], announces_end), sha256(b"hello"));
            assert!(!body.is_end_stream());
            let (bytes, error) = read(body);
            assert_eq!(bytes, b"hello");
            assert!(error.is_none());
        }
        let empty = SignedBody::new(pieces(&[], true), sha256(b""));
        assert!(read(empty).1.is_none());
    }

    #[test]
    fn another_body_than_the_signed_one_ends_in_an_error() {
        let (bytes, error) = read(SignedBody::new(pieces(&[b"hel", b"lo"], false), sha256(b"hullo")));
        assert_eq!(bytes, b"hello");
        assert_eq!(error.unwrap().to_s3().unwrap().code, "XAmzContentSHA256Mismatch");
        assert!(read(SignedBody::new(pieces(&[], true), sha256(b"hello"))).1.is_some());
    }

    #[test]
    fn a_reader_that_counts_bytes_gets_the_verdict_before_the_last_of_them() {
        let (bytes, error) = read(SignedBody::new(pieces(&[b"hel", b"lo"], true), sha256(b"hullo")));
        assert_eq!(bytes, b"hel");
        assert!(error.is_some());
    }

    #[test]
    fn a_chunked_body_tells_its_real_length_and_ends_with_its_verdict() {
        let options = Options {
            streaming: Streaming::UnsignedTrailer,
            decoded_length: Some(5),
            announced_trailers: vec![],
            signer: None,
        };
        let promise = || Promise::Chunked(Box::new(Decoder::new(options.clone())));
        let good = SignedBody::new(pieces(&[b"5\r\nhe", b"llo\r", b"\n0\r\n\r\n"], true), promise());
        assert_eq!(good.size_hint().exact(), Some(5));
        let (bytes, error) = read(good);
        assert_eq!(bytes, b"hello");
        assert!(error.is_none());

        let (bytes, error) = read(SignedBody::new(pieces(&[b"5\r\nhe", b"llo\r"], true), promise()));
        assert_eq!(bytes, b"hello");
        assert_eq!(error.unwrap().to_s3().unwrap().code, "IncompleteBody");
    }
}
