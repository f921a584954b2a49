//! The incremental decoder.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    CHUNK_BYTES_MIN, CHUNK_HEADER_BYTES_MAX, ChunkError, ChunkSigner, Streaming, TRAILERS_BYTES_MAX, Trailers,
};
use crate::signature::unhex;

const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
/// Line ends that some clients put after the end.
const TAIL_BYTES_MAX: usize = 8;

/// What a [`Decoder`] is told about the body.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kind of body.
    pub streaming: Streaming,
    /// `x-amz-decoded-content-length`.
    pub decoded_length: Option<u64>,
    /// `x-amz-trailer`: the names of the trailing headers, lower case.
    pub announced_trailers: Vec<HeaderName>,
    /// Verifies the signatures; `None` looks at the framing only.
    pub signer: Option<ChunkSigner>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A chunk's header line.
    ChunkHeader,
    /// A chunk's data, of which so many bytes are still to come.
    Data { left: u64 },
    /// The line end after a chunk's data.
    DataEnd,
    /// A trailing header's line.
    Trailer,
    /// After the end.
    Tail,
}

/// Takes an `aws-chunked` body apart; see the [module](super) for what it promises.
#[derive(Debug)]
pub struct Decoder {
    options: Options,
    state: State,
    /// The unfinished line.
    line: Vec<u8>,
    /// The chunk at hand, from 1.
    chunk: u64,
    chunk_bytes: u64,
    chunk_hash: Sha256,
    /// The signature that the chunk at hand carries.
    chunk_signature: [u8; 32],
    /// All payload whose chunk header was read.
    payload_bytes: u64,
    trailers: Vec<(HeaderName, HeaderValue)>,
    trailer_bytes: usize,
    trailer_signature: Option<[u8; 32]>,
    tail_bytes: usize,
    slot: Trailers,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            state: State::ChunkHeader,
            line: Vec::new(),
            chunk: 0,
            chunk_bytes: 0,
            chunk_hash: Sha256::new(),
            chunk_signature: [0; 32],
            payload_bytes: 0,
            trailers: Vec::new(),
            trailer_bytes: 0,
            trailer_signature: None,
            tail_bytes: 0,
            slot: Trailers::default(),
        }
    }

    /// Where the trailing headers appear when the body has ended well.
    pub fn trailers(&self) -> Trailers {
        self.slot.clone()
    }

    /// Bytes of payload that the whole body holds, where the client said so.
    pub fn decoded_length(&self) -> Option<u64> {
        self.options.decoded_length
    }

    /// Takes from the front of `input` up to and with the next payload, which it returns without copying; `None` when
    /// all of `input` was taken and no payload came. After an error the decoder is of no further use.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        while !input.is_empty() {
            match self.state {
                State::Data { left } => return Ok(Some(self.take_data(input, left))),
                State::ChunkHeader => {
                    if self.take_line(input, CHUNK_HEADER_BYTES_MAX, ChunkError::Malformed("a shorter chunk header"))? {
                        self.begin_chunk()?;
                    }
                }
                State::DataEnd => {
                    if self.take_line(input, 2, ChunkError::Malformed("a line end after the chunk"))? {
                        self.end_chunk()?;
                    }
                }
                State::Trailer => {
                    let room = TRAILERS_BYTES_MAX - self.trailer_bytes;
                    if self.take_line(input, room, ChunkError::Trailer("shorter trailing headers"))? {
                        self.trailer_line()?;
                    }
                }
                State::Tail => self.take_tail(input)?,
            }
        }
        Ok(None)
    }

    /// The input has ended: the verdict on the whole body. Fills the [`Trailers`].
    pub fn finish(&mut self) -> Result<(), ChunkError> {
        match self.state {
            State::Tail => {}
            // Some clients leave out the last line end.
            State::Trailer => {
                if !self.line.is_empty() {
                    self.trailer_line()?;
                }
            }
            State::ChunkHeader | State::Data { .. } | State::DataEnd => return Err(ChunkError::EndsInTheMiddle),
        }
        if self.options.decoded_length.is_some_and(|declared| declared != self.payload_bytes) {
            return Err(self.wrong_length(self.payload_bytes));
        }
        let headers = self.judge_trailers()?;
        self.slot.fill(headers);
        Ok(())
    }

    fn wrong_length(&self, found: u64) -> ChunkError {
        ChunkError::WrongLength { found, declared: self.options.decoded_length }
    }

    /// Takes bytes into `line` up to a line feed; whether the line is whole. `most` bounds the line with its end.
    fn take_line(&mut self, input: &mut Bytes, most: usize, too_long: ChunkError) -> Result<bool, ChunkError> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |at| at + 1);
        if self.line.len() + taken > most {
            return Err(too_long);
        }
        self.line.extend_from_slice(&input[..taken]);
        input.advance(taken);
        Ok(end.is_some())
    }

    fn begin_chunk(&mut self) -> Result<(), ChunkError> {
        let header = parse_chunk_header(without_end(&self.line), self.options.streaming.is_signed())?;
        self.line.clear();
        if header.bytes > 0 && self.chunk > 0 && self.chunk_bytes < CHUNK_BYTES_MIN {
            return Err(ChunkError::ChunkTooSmall { chunk: self.chunk, bytes: self.chunk_bytes });
        }
        let payload_bytes = self.payload_bytes.saturating_add(header.bytes);
        if self.options.decoded_length.is_some_and(|declared| payload_bytes > declared) {
            return Err(self.wrong_length(payload_bytes));
        }
        self.payload_bytes = payload_bytes;
        self.chunk += 1;
        self.chunk_bytes = header.bytes;
        self.chunk_signature = header.signature;
        self.chunk_hash = Sha256::new();
        match header.bytes {
            0 => self.last_chunk(),
            left => {
                self.state = State::Data { left };
                Ok(())
            }
        }
    }

    fn last_chunk(&mut self) -> Result<(), ChunkError> {
        self.verify_chunk()?;
        // Without trailers one line end is left, which some clients leave out.
        self.state = if self.options.streaming.has_trailers() { State::Trailer } else { State::Tail };
        Ok(())
    }

    fn take_data(&mut self, input: &mut Bytes, left: u64) -> Bytes {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let data = input.split_to(taken);
        if self.verifies() {
            self.chunk_hash.update(&data);
        }
        let left = left - taken as u64;
        self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
        data
    }

    fn end_chunk(&mut self) -> Result<(), ChunkError> {
        if self.line != b"\r\n" {
            return Err(ChunkError::Malformed("a line end after the chunk"));
        }
        self.line.clear();
        self.state = State::ChunkHeader;
        self.verify_chunk()
    }

    fn verifies(&self) -> bool {
        self.options.signer.is_some() && self.options.streaming.is_signed()
    }

    fn verify_chunk(&mut self) -> Result<(), ChunkError> {
        if !self.options.streaming.is_signed() {
            return Ok(());
        }
        let Some(signer) = &mut self.options.signer else { return Ok(()) };
        let computed = signer.sign_chunk(&self.chunk_hash.finalize_reset().into());
        if bool::from(computed.ct_eq(&self.chunk_signature)) {
            Ok(())
        } else {
            Err(ChunkError::SignatureMismatch { chunk: self.chunk })
        }
    }

    fn trailer_line(&mut self) -> Result<(), ChunkError> {
        self.trailer_bytes += self.line.len();
        let line = std::mem::take(&mut self.line);
        let line = without_end(&line);
        if line.is_empty() {
            // AWS's own example has an empty line before the trailer's signature.
            let awaits_signature = self.options.streaming.is_signed() && self.trailer_signature.is_none();
            if !awaits_signature {
                self.state = State::Tail;
            }
            return Ok(());
        }
        let malformed = ChunkError::Trailer("a line of the form name:value");
        let Some(colon) = memchr::memchr(b':', line) else { return Err(malformed) };
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(trimmed(&line[colon + 1..])))
        else {
            return Err(malformed);
        };
        if name == TRAILER_SIGNATURE {
            let signature = value.to_str().ok().and_then(unhex);
            let signature = signature.ok_or(ChunkError::Trailer("a signature of 64 hexadecimal digits"))?;
            if !self.options.streaming.is_signed() || self.trailer_signature.replace(signature).is_some() {
                return Err(ChunkError::Trailer("one signature at most, of a signed body"));
            }
        } else if self.trailer_signature.is_some() {
            return Err(ChunkError::Trailer("nothing after the signature"));
        } else {
            self.trailers.push((name, value));
        }
        Ok(())
    }

    fn judge_trailers(&mut self) -> Result<HeaderMap, ChunkError> {
        let announced = &self.options.announced_trailers;
        if self.trailers.iter().any(|(name, _)| !announced.contains(name)) {
            return Err(ChunkError::Trailer("only headers that x-amz-trailer announces"));
        }
        if announced.iter().any(|wanted| !self.trailers.iter().any(|(name, _)| name == wanted)) {
            return Err(ChunkError::Trailer("all headers that x-amz-trailer announces"));
        }
        if self.options.streaming == Streaming::SignedTrailer {
            self.verify_trailer()?;
        }
        Ok(self.trailers.drain(..).collect())
    }

    fn verify_trailer(&mut self) -> Result<(), ChunkError> {
        let signature = self.trailer_signature.ok_or(ChunkError::Trailer("an x-amz-trailer-signature"))?;
        let Some(signer) = &mut self.options.signer else { return Ok(()) };
        let mut sorted: Vec<_> = self.trailers.iter().collect();
        sorted.sort_by_key(|(name, _)| name.as_str());
        let mut lines = Vec::new();
        for (name, value) in sorted {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.push(b':');
            lines.extend_from_slice(value.as_bytes());
            lines.push(b'\n');
        }
        if bool::from(signer.sign_trailer(&lines).ct_eq(&signature)) {
            Ok(())
        } else {
            Err(ChunkError::SignatureMismatch { chunk: self.chunk + 1 })
        }
    }

    fn take_tail(&mut self, input: &mut Bytes) -> Result<(), ChunkError> {
        self.tail_bytes += input.len();
        if self.tail_bytes > TAIL_BYTES_MAX || input.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            return Err(ChunkError::Malformed("nothing after the end"));
        }
        input.clear();
        Ok(())
    }
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A header's value without the blanks around it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

struct ChunkHeader {
    bytes: u64,
    signature: [u8; 32],
}

/// `10000;chunk-signature=<64 digits>`, or `10000` alone in an unsigned body.
fn parse_chunk_header(line: &[u8], signed: bool) -> Result<ChunkHeader, ChunkError> {
    let line = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed("a chunk header in ASCII"))?;
    let (size, extension) = line.split_once(';').unwrap_or((line, ""));
    let well_formed = (1..=16).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes = if well_formed { u64::from_str_radix(size, 16).ok() } else { None };
    let bytes = bytes.ok_or(ChunkError::Malformed("a chunk size in hexadecimal"))?;
    if !signed {
        return Ok(ChunkHeader { bytes, signature: [0; 32] });
    }
    let signature = extension.strip_prefix("chunk-signature=").and_then(unhex);
    let signature = signature.ok_or(ChunkError::Malformed("a chunk signature of 64 hexadecimal digits"))?;
    Ok(ChunkHeader { bytes, signature })
}
