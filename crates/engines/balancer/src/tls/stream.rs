//! [`TlsStream`]: a TLS connection over a socket, with buffers lent by the thread.
//!
//! Invariants:
//! - An idle connection holds no buffer: reads decrypt in the thread's scratch space, writes encrypt there, and only
//!   what is left over (half a record, what the socket would not take) moves to the connection until it is done with.
//! - Leftovers are bounded: half a record or one flight of the handshake, one record's plaintext, [`UNSENT_MAX`].
//! - What was put out first is sent first: handshake records, tickets and key updates keep their place before data.
//! - An end without close_notify is an error, so nobody mistakes a cut for an end.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::session::{Encrypted, FRAGMENT_MAX, RECORD_OVERHEAD_MAX, Session, Step, Want};
use super::suites;
use crate::access_record::TlsInfo;

/// What one read takes at most, leftovers included: a whole handshake message (rustls' bound is 64 KB) and more.
const READ_MAX: usize = 80 << 10;
/// What one read takes at least: a request, or a flight of the handshake, comes in one.
const READ_MIN: usize = 4 << 10;
/// Records that one write makes at most.
const WRITE_RECORDS_MAX: usize = 4;
/// Encrypted bytes that may wait for the socket; one write's records and whatever alerts and tickets there are.
const UNSENT_MAX: usize = 128 << 10;

thread_local! {
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_MAX]);
    static ENCRYPTED: RefCell<Encrypted> = RefCell::new(Encrypted {
        records: vec![0; WRITE_RECORDS_MAX * (FRAGMENT_MAX + RECORD_OVERHEAD_MAX) + UNSENT_MAX / 8],
        filled: 0,
        gathered: Vec::with_capacity(FRAGMENT_MAX),
        taken: 0,
    });
}

/// A TLS connection, client's or server's.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: Session,
    /// Received, not yet deframed: half a record mostly.
    incoming: Vec<u8>,
    /// Whether `incoming` may hold a whole record.
    incoming_is_fresh: bool,
    /// Decrypted, not yet read.
    plaintext: Leftover,
    /// Encrypted, not yet sent.
    unsent: Leftover,
    /// Whether the socket has refused `unsent`; until then it may travel with what is written next.
    is_blocked: bool,
    /// The peer has said close_notify.
    peer_closed: bool,
    /// The peer has ended without.
    is_cut: bool,
    /// We have said close_notify.
    close_sent: bool,
    /// Nothing more comes or goes.
    failed: bool,
}

/// Bytes of which a part is done with; takes no memory when all of it is.
#[derive(Default)]
struct Leftover {
    bytes: Vec<u8>,
    start: usize,
}

impl Leftover {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn advance(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.bytes.len() {
            *self = Self::default();
        }
    }
}

impl TlsStream {
    pub(super) fn new(tcp: TcpStream, session: Session) -> Self {
        Self {
            tcp,
            session,
            incoming: Vec::new(),
            incoming_is_fresh: false,
            plaintext: Leftover::default(),
            unsent: Leftover::default(),
            is_blocked: false,
            peer_closed: false,
            is_cut: false,
            close_sent: false,
            failed: false,
        }
    }

    /// What the handshake agreed on, once it is over.
    pub(super) fn info(&self) -> TlsInfo {
        let common = self.session.common();
        suites::info(common.protocol_version(), common.negotiated_cipher_suite())
    }

    /// Bytes of memory in buffers.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.incoming.capacity() + self.plaintext.bytes.capacity() + self.unsent.bytes.capacity()
    }

    #[cfg(test)]
    pub(super) fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    #[cfg(test)]
    pub(super) fn common(&self) -> &rustls::CommonState {
        self.session.common()
    }

    /// Ready when the handshake is over, all that we had to say sent, but for session tickets: they go with the first
    /// bytes of the answer, or when there is nothing to read.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.process(None, &mut None) {
                Err(e) => return Poll::Ready(Err(self.fail(cx, e))),
                Ok(Step::PeerClosed) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                // TLS 1.3 lets a server send before the client has finished; to us it is not a connection until then.
                Ok(_) if !self.session.common().is_handshaking() => {
                    if !self.may_defer() {
                        ready!(self.poll_send(cx))?;
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => {
                    ready!(self.poll_send(cx))?;
                    ready!(self.poll_fill(cx, READ_MIN, &mut None))?;
                }
            }
        }
    }

    /// Whether only session tickets can be unsent when the handshake is over. Else it is what the peer waits for.
    fn may_defer(&self) -> bool {
        let is_tls13 = self.session.common().protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        is_tls13 && matches!(self.session, Session::Server(_))
    }

    /// See [`crate::stream::Stream::poll_read_ready`].
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.plaintext.is_empty() && !self.peer_closed {
            self.check_readable()?;
            ready!(self.poll_more(cx, FRAGMENT_MAX, &mut None))?;
        }
        Poll::Ready(Ok(()))
    }

    fn check_readable(&self) -> io::Result<()> {
        match (self.failed, self.is_cut) {
            (true, _) => Err(io::ErrorKind::NotConnected.into()),
            (_, true) => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Decrypts what there is, else reads; ready when either has led to something.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        sink: &mut Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<()>> {
        if self.incoming_is_fresh {
            return match self.process(None, sink) {
                Ok(_) => Poll::Ready(Ok(())),
                Err(e) => Poll::Ready(Err(self.fail(cx, e))),
            };
        }
        match self.poll_fill(cx, wanted, sink) {
            Poll::Pending => {
                // Nothing to wait with it for.
                if let Poll::Ready(Err(e)) = self.poll_send(cx) {
                    return Poll::Ready(Err(e));
                }
                Poll::Pending
            }
            ready => ready,
        }
    }

    /// Reads from the socket once and decrypts what came.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        sink: &mut Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<()>> {
        INCOMING.with_borrow_mut(|scratch| {
            let held = self.incoming.len();
            let room = scratch.len() - held;
            if room == 0 {
                let e = io::Error::new(io::ErrorKind::InvalidData, "a TLS message is too long");
                return Poll::Ready(Err(self.fail(cx, e)));
            }
            let size = wanted.saturating_add(8 * RECORD_OVERHEAD_MAX).max(READ_MIN).min(room);
            let mut buf = ReadBuf::new(&mut scratch[held..held + size]);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buf))?;
            let read = buf.filled().len();
            if read == 0 {
                self.is_cut = true;
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            scratch[..held].copy_from_slice(&self.incoming);
            match self.process(Some(&mut scratch[..held + read]), sink) {
                Ok(_) => Poll::Ready(Ok(())),
                Err(e) => Poll::Ready(Err(self.fail(cx, e))),
            }
        })
    }

    /// Steps through what has come, into `sink` and then into `plaintext`, until that holds something, the bytes are
    /// used up, or the peer has closed.
    fn process(&mut self, received: Option<&mut [u8]>, sink: &mut Option<&mut ReadBuf<'_>>) -> io::Result<Step> {
        let mut own = if received.is_none() { std::mem::take(&mut self.incoming) } else { Vec::new() };
        let from_own = received.is_none();
        let bytes = received.unwrap_or(&mut own);
        let mut done = 0;
        let mut delivered = false;
        let result = loop {
            let plaintext = &mut self.plaintext;
            let mut deliver = |data: &[u8]| {
                let direct = sink.as_mut().map_or(0, |sink| {
                    let n = if plaintext.is_empty() { data.len().min(sink.remaining()) } else { 0 };
                    sink.put_slice(&data[..n]);
                    n
                });
                delivered = true;
                plaintext.bytes.extend_from_slice(&data[direct..]);
            };
            let had = self.unsent.bytes.len();
            let (discard, step) =
                self.session.step(&mut bytes[done..], &mut self.unsent.bytes, &mut deliver, Want::Read);
            done += discard;
            if had == 0 {
                self.is_blocked = false;
            }
            match step {
                Ok(Step::Again) if self.unsent.bytes.len() <= UNSENT_MAX => {}
                Ok(Step::Again) => break Err(io::Error::other("the peer asks for answers and does not read them")),
                Ok(Step::Plaintext) => {
                    let is_full = sink.as_ref().is_none_or(|sink| sink.remaining() == 0);
                    if is_full || !self.plaintext.is_empty() {
                        self.incoming_is_fresh = done < bytes.len();
                        break Ok(Step::Plaintext);
                    }
                }
                Ok(step) => {
                    self.incoming_is_fresh = false;
                    self.peer_closed |= step == Step::PeerClosed;
                    break Ok(if delivered && step == Step::Traffic { Step::Plaintext } else { step });
                }
                Err(e) => break Err(e),
            }
        };
        if from_own {
            self.incoming = own;
            self.discard_incoming(done);
        } else if done < bytes.len() {
            self.incoming.clear();
            self.incoming.extend_from_slice(&bytes[done..]);
        } else {
            self.incoming = Vec::new();
        }
        result
    }

    /// Lets go of what of `incoming` is done with, and of its memory with the last of it.
    fn discard_incoming(&mut self, done: usize) {
        if done >= self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..done);
        }
    }

    /// Sends what waits. Ready when all of it is sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.tcp).poll_write(cx, self.unsent.rest()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.unsent.advance(n),
                Poll::Ready(Err(e)) => {
                    self.failed = true;
                    return Poll::Ready(Err(e));
                }
                Poll::Pending => {
                    self.is_blocked = true;
                    return Poll::Pending;
                }
            }
        }
        self.is_blocked = false;
        Poll::Ready(Ok(()))
    }

    /// Encrypts and sends; what the socket does not take at once waits in `unsent`.
    fn poll_encrypt(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.failed || self.close_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.is_blocked || self.unsent.rest().len() > UNSENT_MAX / 16 {
            ready!(self.poll_send(cx))?;
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ENCRYPTED.with_borrow_mut(|encrypted| {
            if let Err(e) = self.encrypt(slices, encrypted) {
                return Poll::Ready(Err(self.fail(cx, e)));
            }
            let records = &encrypted.records[..encrypted.filled];
            let sent = match Pin::new(&mut self.tcp).poll_write(cx, records) {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(e)) => {
                    self.failed = true;
                    return Poll::Ready(Err(e));
                }
                Poll::Pending => 0,
            };
            if sent < records.len() {
                self.unsent = Leftover { bytes: records[sent..].to_vec(), start: 0 };
                self.is_blocked = true;
            }
            Poll::Ready(Ok(encrypted.taken))
        })
    }

    /// Puts what is unsent and then records of `slices` into `encrypted`.
    fn encrypt(&mut self, slices: &[IoSlice<'_>], encrypted: &mut Encrypted) -> io::Result<()> {
        (encrypted.filled, encrypted.taken) = (0, 0);
        loop {
            let waiting = self.unsent.rest().len();
            if encrypted.filled == 0 && waiting > 0 {
                if waiting > UNSENT_MAX / 8 {
                    return Err(io::Error::other("too much waits to be sent"));
                }
                encrypted.records[..waiting].copy_from_slice(self.unsent.rest());
                encrypted.filled = waiting;
                self.unsent = Leftover::default();
            }
            let plaintext = &mut self.plaintext.bytes;
            let mut deliver = |data: &[u8]| plaintext.extend_from_slice(data);
            let want = Want::Encrypt(slices, encrypted);
            let (discard, step) = self.session.step(&mut self.incoming, &mut self.unsent.bytes, &mut deliver, want);
            self.discard_incoming(discard);
            match step? {
                Step::Traffic => return Ok(()),
                // An answer to the peer (a key update) came between: it goes first.
                Step::Again if encrypted.taken == 0 => {
                    if !self.unsent.is_empty() {
                        let more = std::mem::take(&mut self.unsent);
                        let end = encrypted.filled + more.rest().len();
                        let Some(room) = encrypted.records.get_mut(encrypted.filled..end) else {
                            return Err(io::Error::other("too much waits to be sent"));
                        };
                        room.copy_from_slice(more.rest());
                        encrypted.filled = end;
                    }
                }
                Step::PeerClosed => self.peer_closed = true,
                Step::Plaintext | Step::Again => {}
                Step::Handshaking => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// Says why to the peer, if that is possible at once, and ends the connection.
    fn fail(&mut self, cx: &mut Context<'_>, e: io::Error) -> io::Error {
        if !self.failed {
            self.failed = true;
            // rustls has queued an alert. As long as it has, a step looks at no bytes: after an error it must not,
            // since they are no longer where they were.
            while self.session.common().wants_write() {
                if self.session.step(&mut [], &mut self.unsent.bytes, &mut |_| {}, Want::Read).1.is_err() {
                    break;
                }
            }
            let _ = self.poll_send(cx);
        }
        e
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        loop {
            if !this.plaintext.is_empty() {
                let rest = this.plaintext.rest();
                let n = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..n]);
                this.plaintext.advance(n);
            }
            if buf.filled().len() > before || this.peer_closed {
                return Poll::Ready(Ok(()));
            }
            this.check_readable()?;
            let wanted = buf.remaining();
            ready!(this.poll_more(cx, wanted, &mut Some(buf)))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_encrypt(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_encrypt(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.close_sent && !this.failed {
            let plaintext = &mut this.plaintext.bytes;
            let mut deliver = |data: &[u8]| plaintext.extend_from_slice(data);
            let (discard, step) =
                this.session.step(&mut this.incoming, &mut this.unsent.bytes, &mut deliver, Want::CloseNotify);
            this.discard_incoming(discard);
            match step {
                Ok(Step::Traffic) => this.close_sent = true,
                Ok(Step::Again | Step::Plaintext) => {}
                Ok(Step::PeerClosed) => this.peer_closed = true,
                Ok(Step::Handshaking) => break,
                Err(e) => return Poll::Ready(Err(this.fail(cx, e))),
            }
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}
