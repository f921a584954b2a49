//! [`Session`]: rustls' state machine for one connection, without buffers of its own.
//!
//! Invariants:
//! - Every step is given the same undiscarded bytes as the one before, and more behind them: rustls keeps positions in
//!   them (and half a handshake message, decrypted in place) between steps.
//! - Nothing is held here: plaintext goes to the caller's sink, records go to the caller's buffer.

use std::io::{self, IoSlice};

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus, WriteTraffic};

/// The most plaintext that a record carries.
pub(super) const FRAGMENT_MAX: usize = 16 << 10;

/// What a record may be longer than its plaintext, generously: header, explicit nonce, tag, inner type.
pub(super) const RECORD_OVERHEAD_MAX: usize = 64;

/// One side's state.
pub(super) enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What to do once the session can carry traffic.
pub(super) enum Want<'a> {
    /// Only look at what came.
    Read,
    /// Encrypt as much as fits.
    Encrypt(&'a [IoSlice<'a>], &'a mut Encrypted),
    /// Tell the peer that nothing more will come.
    CloseNotify,
}

/// Where encrypted records go.
pub(super) struct Encrypted {
    /// Its length is its capacity; the first `filled` bytes are to be sent.
    pub(super) records: Vec<u8>,
    pub(super) filled: usize,
    /// Gathers small slices to one record.
    pub(super) gathered: Vec<u8>,
    /// Plaintext bytes that have become records.
    pub(super) taken: usize,
}

/// What a step has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The sink was given plaintext.
    Plaintext,
    /// Records were put out, or were noted as put out; there may be more.
    Again,
    /// The peer will send nothing more.
    PeerClosed,
    /// Nothing more to do without more bytes; the handshake is not over.
    Handshaking,
    /// Nothing more to do without more bytes; what was wanted is done.
    Traffic,
}

impl Session {
    /// Goes as far as rustls goes in one step; says how many bytes of `incoming` are done with, and what happened.
    pub(super) fn step(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        plaintext: &mut dyn FnMut(&[u8]),
        want: Want<'_>,
    ) -> (usize, io::Result<Step>) {
        match self {
            Self::Client(client) => handle(client.process_tls_records(incoming), outgoing, plaintext, want),
            Self::Server(server) => handle(server.process_tls_records(incoming), outgoing, plaintext, want),
        }
    }

    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outgoing: &mut Vec<u8>,
    plaintext: &mut dyn FnMut(&[u8]),
    want: Want<'_>,
) -> (usize, io::Result<Step>) {
    let UnbufferedStatus { mut discard, state } = status;
    let state = match state {
        Ok(state) => state,
        Err(e) => return (discard, Err(io::Error::new(io::ErrorKind::InvalidData, e))),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plaintext(record.payload);
                }
                Some(Err(e)) => break Err(io::Error::new(io::ErrorKind::InvalidData, e)),
                None => break Ok(Step::Plaintext),
            }
        },
        ConnectionState::EncodeTlsData(mut data) => encode(|buffer| data.encode(buffer), outgoing),
        ConnectionState::TransmitTlsData(data) => {
            // They wait in `outgoing`, which keeps their place before anything later.
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::PeerClosed),
        ConnectionState::BlockedHandshake => Ok(Step::Handshaking),
        ConnectionState::WriteTraffic(mut traffic) => match want {
            Want::Read => Ok(Step::Traffic),
            Want::Encrypt(slices, to) => encrypt(&mut traffic, slices, to).map(|()| Step::Traffic),
            Want::CloseNotify => close_notify(&mut traffic, outgoing).map(|()| Step::Traffic),
        },
        // No early data is ever accepted.
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "early data was never offered")),
    };
    (discard, step)
}

fn encode(
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, rustls::unbuffered::EncodeError>,
    outgoing: &mut Vec<u8>,
) -> io::Result<Step> {
    use rustls::unbuffered::EncodeError;
    let start = outgoing.len();
    let needed = match encode(&mut []) {
        Ok(_) => return Ok(Step::Again),
        Err(EncodeError::InsufficientSize(e)) => e.required_size,
        Err(e) => return Err(io::Error::other(e)),
    };
    outgoing.resize(start + needed, 0);
    let written = encode(&mut outgoing[start..]).map_err(io::Error::other)?;
    outgoing.truncate(start + written);
    Ok(Step::Again)
}

fn close_notify<Data>(traffic: &mut WriteTraffic<'_, Data>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let start = outgoing.len();
    outgoing.resize(start + 4 * RECORD_OVERHEAD_MAX, 0);
    match traffic.queue_close_notify(&mut outgoing[start..]) {
        Ok(written) => {
            outgoing.truncate(start + written);
            Ok(())
        }
        Err(e) => {
            outgoing.truncate(start);
            Err(io::Error::other(e))
        }
    }
}

/// Makes records of as much as `to` has room for: full ones from large slices as they lie, and of small slices that
/// follow each other one together.
fn encrypt<Data>(traffic: &mut WriteTraffic<'_, Data>, slices: &[IoSlice<'_>], to: &mut Encrypted) -> io::Result<()> {
    let (mut index, mut offset) = (0, 0);
    while index < slices.len() {
        let room = (to.records.len() - to.filled).saturating_sub(2 * RECORD_OVERHEAD_MAX).min(FRAGMENT_MAX);
        // A record is only begun where a whole one fits, except where it is all that is left: short records in
        // the middle of a body would cost a seal and an unseal each.
        if room < FRAGMENT_MAX {
            break;
        }
        let slice = &slices[index][offset..];
        let is_last = slices[index + 1..].iter().all(|slice| slice.is_empty());
        let fragment = if is_last || slice.len() >= FRAGMENT_MAX {
            let fragment = &slice[..slice.len().min(FRAGMENT_MAX)];
            offset += fragment.len();
            fragment
        } else {
            gather(slices, &mut index, &mut offset, &mut to.gathered);
            &to.gathered[..]
        };
        let written = traffic.encrypt(fragment, &mut to.records[to.filled..]).map_err(io::Error::other)?;
        to.filled += written;
        to.taken += fragment.len();
        if index < slices.len() && offset >= slices[index].len() {
            (index, offset) = (index + 1, 0);
        }
    }
    Ok(())
}

fn gather(slices: &[IoSlice<'_>], index: &mut usize, offset: &mut usize, gathered: &mut Vec<u8>) {
    gathered.clear();
    while *index < slices.len() && gathered.len() < FRAGMENT_MAX {
        let slice = &slices[*index][*offset..];
        let part = &slice[..slice.len().min(FRAGMENT_MAX - gathered.len())];
        gathered.extend_from_slice(part);
        *offset += part.len();
        if *offset < slices[*index].len() {
            return;
        }
        (*index, *offset) = (*index + 1, 0);
    }
}
