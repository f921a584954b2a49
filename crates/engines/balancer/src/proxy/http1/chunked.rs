//! Bodies in chunks, decoded as they come.
//!
//! Invariants:
//! - What is decoded depends on the bytes only, not on how they were cut on their way.
//! - A line ends in CRLF and nothing else; a size is at most sixteen hexadecimal digits. Whoever reads it otherwise reads
//!   another message, so anything else is an error.
//! - Extensions are dropped; trailers are kept unless they would say something about framing or routing.

use std::ops::Range;

use super::headers::Name;
use super::scan::{is_blank, is_text, is_token, text_end, trim};

/// Bytes of a chunk's extensions.
const EXTENSION_BYTES_MAX: usize = 4 << 10;

/// Bytes of all trailers.
const TRAILER_BYTES_MAX: usize = 16 << 10;

/// Hexadecimal digits of a chunk's size: more don't fit 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// Decodes one body.
#[derive(Debug, Default)]
pub(crate) struct ChunkDecoder {
    state: State,
    /// What is left of the chunk, or what is known of its size.
    left: u64,
    digits: u8,
    extension_bytes: usize,
    /// The trailers that are passed on, each with its CRLF, and behind them the line that is being read.
    trailers: Vec<u8>,
    kept_bytes: usize,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Blanks behind the size, which some servers fill it up with.
    Blank,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    Ended,
}

/// What the first bytes of the input were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChunkEvent {
    /// This part of the input is data; none where it is empty.
    Data(Range<usize>),
    /// There is nothing left of the input.
    More,
    /// The body is complete.
    End,
}

/// The chunks make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl ChunkDecoder {
    /// Takes bytes from the front of `input`, and says how many and what they were.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, ChunkEvent), BadChunk> {
        let mut used = 0;
        while let Some(&byte) = input.get(used) {
            match self.state {
                State::Data => return Ok(self.data(input, used)),
                State::Trailer => {
                    let end = text_end(input, used);
                    self.trailer_text(input.get(used..end).unwrap_or_default())?;
                    used = end;
                    match input.get(used) {
                        None => break,
                        Some(b'\r') => self.state = State::TrailerLf,
                        Some(_) => return Err(BadChunk),
                    }
                }
                State::Ended => return Ok((used, ChunkEvent::End)),
                _ => self.line_byte(byte)?,
            }
            used += 1;
            if self.state == State::Ended {
                return Ok((used, ChunkEvent::End));
            }
        }
        Ok((used, if self.state == State::Ended { ChunkEvent::End } else { ChunkEvent::More }))
    }

    /// The trailers to pass on, each with its CRLF.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.trailers.get(..self.kept_bytes).unwrap_or_default()
    }

    fn data(&mut self, input: &[u8], used: usize) -> (usize, ChunkEvent) {
        let here = input.len() - used;
        let count = usize::try_from(self.left).map_or(here, |left| left.min(here));
        self.left -= count as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        (used + count, ChunkEvent::Data(used..used + count))
    }

    /// One byte of what stands around the data.
    fn line_byte(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size, byte) if byte.is_ascii_hexdigit() => return self.digit(byte),
            (State::Size | State::Blank | State::Extension, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size | State::Blank, b';') if self.digits > 0 => State::Extension,
            (State::Size | State::Blank, byte) if self.digits > 0 && is_blank(byte) => self.extended(State::Blank)?,
            (State::Extension, byte) if is_text(byte) => self.extended(State::Extension)?,
            (State::SizeEnd, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                self.extension_bytes = 0;
                State::Size
            }
            (State::TrailerLf, b'\n') => self.trailer_end()?,
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), BadChunk> {
        if self.digits == SIZE_DIGITS_MAX {
            return Err(BadChunk);
        }
        let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
        self.digits += 1;
        self.left = (self.left << 4) | u64::from(digit);
        Ok(())
    }

    fn extended(&mut self, state: State) -> Result<State, BadChunk> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX { Err(BadChunk) } else { Ok(state) }
    }

    fn trailer_text(&mut self, text: &[u8]) -> Result<(), BadChunk> {
        self.trailer_bytes += text.len();
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(BadChunk);
        }
        self.trailers.extend_from_slice(text);
        Ok(())
    }

    fn trailer_end(&mut self) -> Result<State, BadChunk> {
        self.trailer_bytes += 2;
        let line = self.trailers.get(self.kept_bytes..).unwrap_or_default();
        if line.is_empty() {
            return Ok(State::Ended);
        }
        let colon = memchr::memchr(b':', line).ok_or(BadChunk)?;
        let name = &line[..colon];
        if !is_token(name) {
            return Err(BadChunk);
        }
        let is_kept = Name::of(name) == Name::Other && !is_forbidden(name);
        if is_kept {
            let line = [name, b": ", trim(&line[colon + 1..]), b"\r\n"].concat();
            self.trailers.truncate(self.kept_bytes);
            self.trailers.extend_from_slice(&line);
            self.kept_bytes = self.trailers.len();
        } else {
            self.trailers.truncate(self.kept_bytes);
        }
        Ok(State::Trailer)
    }
}

/// What a trailer must not say, RFC 9110, 6.5.1: a server that merges it into the head would be told it too late.
fn is_forbidden(name: &[u8]) -> bool {
    let names =
        ["trailer", "content-encoding", "content-type", "content-range", "authorization", "cookie", "set-cookie"];
    names.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}
