//! Heads of targets' answers.
//!
//! Invariants:
//! - Lines go out in runs as they came where they are written as we would write them; a line is dropped or rewritten where
//!   it is not, or is for the connection only.
//! - Framing is RFC 9112, 6.3; an answer that could end in two places is a [`BadResponse`].
//! - A line that ends in LF alone, and one that is folded, is put right; a control character in a value becomes a space.

use super::desync::{self, CHUNKED};
use super::headers::{self, Name, Options};
use super::request::keeps_alive;
use super::scan::{decimal, is_bad, is_blank, is_text, list, text_end, token_end, trim};
use super::{BadResponse, Framing, HEADERS_MAX, Persist, RequestHead, ResponseHead};
use crate::config::Limits;

const UPGRADE_REQUIRED: u16 = 426;

/// Reads the head at the beginning of `bytes`, and writes to `out` how a client is told of it; `persist` decides what it
/// says of the client's connection. `None` if the head isn't complete; `out` is of no use then.
///
/// # Errors
/// A client can't be told.
pub(crate) fn parse_response(
    bytes: &[u8],
    limits: &Limits,
    request: &RequestHead,
    out: &mut Vec<u8>,
    persist: impl FnOnce(&ResponseHead) -> Persist,
) -> Result<Option<ResponseHead>, BadResponse> {
    let Some(line) = status_line(bytes)? else { return bounded(None, bytes, limits) };
    let is_untold = request.minor == 0 || line.has_no_content();
    let mut omit = Omit { length: line.has_no_content(), coding: is_untold, is_untold, named: None };
    let start = out.len();
    loop {
        out.truncate(start);
        let mut pass = Pass { bytes, out: &mut *out, line, omit: &omit, run: 0, found: Found::default() };
        let Some(end) = pass.read()? else { return bounded(None, bytes, limits) };
        let found = pass.found;
        if let Some(more) = omit.after(&found) {
            omit = more;
            continue;
        }
        let (head, length) = settle(line, &found, request, end)?;
        push_framing(out, &omit, &found, length);
        if head.status == 101 || (head.status == UPGRADE_REQUIRED && found.upgrades) {
            out.extend_from_slice(b"Connection: upgrade\r\n");
        }
        match persist(&head) {
            Persist::Unsaid => {}
            Persist::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            Persist::Close => out.extend_from_slice(b"Connection: close\r\n"),
        }
        out.extend_from_slice(b"\r\n");
        if request.is_simple {
            out.truncate(start);
        }
        return bounded(Some(head), bytes, limits);
    }
}

fn bounded(head: Option<ResponseHead>, bytes: &[u8], limits: &Limits) -> Result<Option<ResponseHead>, BadResponse> {
    let length = head.map_or(bytes.len(), |head| head.bytes);
    if length > limits.response_head_bytes_max { Err(BadResponse) } else { Ok(head) }
}

#[derive(Clone, Copy)]
struct StatusLine {
    status: u16,
    minor: u8,
    /// It is written as we would write it.
    is_plain: bool,
    reason: (usize, usize),
    /// Where the headers begin.
    end: usize,
}

impl StatusLine {
    /// Interim answers and 204 say nothing of a body.
    fn has_no_content(&self) -> bool {
        matches!(self.status, 100..200 | 204)
    }
}

fn status_line(bytes: &[u8]) -> Result<Option<StatusLine>, BadResponse> {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    if bytes.get(..known) != START.get(..known) {
        return Err(BadResponse);
    }
    let Some(&[minor, space, a, b, c]) = bytes.get(7..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
    let status = decimal(&[a, b, c]).and_then(|status| u16::try_from(status).ok()).ok_or(BadResponse)?;
    if !minor.is_ascii_digit() || space != b' ' || status < 100 {
        return Err(BadResponse);
    }
    let Some(&next) = bytes.get(12) else { return Ok(None) };
    let reason_start = if next == b' ' { 13 } else { 12 };
    let reason_end = text_end(bytes, reason_start);
    let Some((end, is_crlf)) = line_end(bytes, reason_end)? else { return Ok(None) };
    if next != b' ' && reason_end > reason_start {
        return Err(BadResponse);
    }
    let is_plain = is_crlf && next == b' ' && minor == b'1';
    let minor = u8::from(minor > b'0');
    Ok(Some(StatusLine { status, minor, is_plain, reason: (reason_start, reason_end), end }))
}

/// Where the line ends whose text ends at `at`, and whether it does with CRLF.
fn line_end(bytes: &[u8], at: usize) -> Result<Option<(usize, bool)>, BadResponse> {
    match bytes.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Some((at + 2, true))),
        [b'\n', ..] => Ok(Some((at + 1, false))),
        [] | [b'\r'] => Ok(None),
        _ => Err(BadResponse),
    }
}

/// What is not passed on of a head; found out by reading it.
#[derive(Clone, Default)]
struct Omit {
    length: bool,
    coding: bool,
    /// The client is not told of a coding at all.
    is_untold: bool,
    /// Names that `Connection` says.
    named: Option<Vec<u8>>,
}

impl Omit {
    /// What must be dropped besides, now that all is known.
    fn after(&self, found: &Found) -> Option<Self> {
        let mut more = self.clone();
        more.length |= found.has_coding() && found.kept_length;
        more.coding |= found.codings.len() > 1 && found.kept_coding;
        if found.options.has_names && self.named.is_none() {
            more.named = Some(found.named.clone());
        }
        let is_more = more.length != self.length || more.coding != self.coding || more.named != self.named;
        is_more.then_some(more)
    }

    fn has_named(&self, name: &[u8]) -> bool {
        self.named.as_ref().is_some_and(|named| list(named).any(|option| option.eq_ignore_ascii_case(name)))
    }
}

/// What the headers say.
#[derive(Default)]
struct Found {
    /// Transfer codings; `None` in place of one that nobody knows.
    codings: Codings,
    lengths: u8,
    length: Option<u64>,
    is_length_bad: bool,
    kept_length: bool,
    kept_coding: bool,
    options: Options,
    named: Vec<u8>,
    upgrades: bool,
}

/// No list is made for the usual one.
#[derive(Default)]
enum Codings {
    #[default]
    None,
    Chunked,
    Several(Vec<Option<&'static str>>),
}

impl Codings {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Chunked => 1,
            Self::Several(codings) => codings.len(),
        }
    }

    fn add(&mut self, value: &[u8]) {
        if matches!(self, Self::None) && value.eq_ignore_ascii_case(CHUNKED.as_bytes()) {
            *self = Self::Chunked;
            return;
        }
        let mut codings = match std::mem::take(self) {
            Self::None => Vec::new(),
            Self::Chunked => vec![Some(CHUNKED)],
            Self::Several(codings) => codings,
        };
        codings.extend(list(value).map(desync::coding).filter(|coding| *coding != Some("identity")));
        *self = if codings.is_empty() { Self::None } else { Self::Several(codings) };
    }
}

impl Found {
    fn has_coding(&self) -> bool {
        self.codings.len() > 0
    }
}

/// One reading of a head.
struct Pass<'a> {
    bytes: &'a [u8],
    out: &'a mut Vec<u8>,
    line: StatusLine,
    omit: &'a Omit,
    /// Where the lines begin that are yet to be copied.
    run: usize,
    found: Found,
}

impl Pass<'_> {
    /// Where the head ends.
    fn read(&mut self) -> Result<Option<usize>, BadResponse> {
        let mut at = self.line.end;
        if !self.line.is_plain {
            let (start, end) = self.line.reason;
            self.out.extend_from_slice(b"HTTP/1.1 ");
            headers::push_number(self.out, self.line.status.into());
            self.out.push(b' ');
            self.out.extend_from_slice(self.bytes.get(start..end).unwrap_or_default());
            self.out.extend_from_slice(b"\r\n");
            self.run = at;
        }
        for _ in 0..=HEADERS_MAX {
            match self.bytes.get(at..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {
                    self.flush(at);
                    return Ok(Some(at + 2));
                }
                [b'\n', ..] => {
                    self.flush(at);
                    return Ok(Some(at + 1));
                }
                [] | [b'\r'] => return Ok(None),
                _ => {}
            }
            let Some(next) = self.header(at)? else { return Ok(None) };
            at = next;
        }
        Err(BadResponse)
    }

    /// Reads one header; where the next begins.
    fn header(&mut self, at: usize) -> Result<Option<usize>, BadResponse> {
        let name_end = token_end(self.bytes, at);
        if name_end == self.bytes.len() {
            return Ok(None);
        }
        let value_start = name_end + 2;
        let value_end = text_end(self.bytes, value_start);
        let [b':', b' ', first, ..] = self.bytes.get(name_end..).unwrap_or_default() else {
            return self.crooked(at, name_end);
        };
        let [b'\r', b'\n', next, ..] = self.bytes.get(value_end..).unwrap_or_default() else {
            return self.crooked(at, name_end);
        };
        let value = self.bytes.get(value_start..value_end).unwrap_or_default();
        if name_end == at || is_blank(*first) || is_blank(*next) || value.last().is_none_or(|&byte| is_blank(byte)) {
            return self.crooked(at, name_end);
        }
        let name = self.bytes.get(at..name_end).unwrap_or_default();
        if !self.take(name, value) {
            self.flush(at);
            self.run = value_end + 2;
        }
        Ok(Some(value_end + 2))
    }

    /// Reads one that is not written as we would write it.
    fn crooked(&mut self, at: usize, name_end: usize) -> Result<Option<usize>, BadResponse> {
        let rest = self.bytes.get(name_end..).unwrap_or_default();
        // RFC 9112, 5.1: blanks before the colon are to be removed.
        let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
        match rest.get(blanks) {
            None => return Ok(None),
            Some(b':') if name_end > at => {}
            Some(_) => return Err(BadResponse),
        }
        let mut value = Vec::new();
        let mut from = name_end + blanks + 1;
        let end = loop {
            let line = self.bytes.get(from..).unwrap_or_default();
            let Some(length) = memchr::memchr(b'\n', line) else { return Ok(None) };
            let text = &line[..length];
            value.extend_from_slice(trim(text.strip_suffix(b"\r").unwrap_or(text)));
            from += length + 1;
            match self.bytes.get(from) {
                None => return Ok(None),
                Some(&byte) if is_blank(byte) => value.push(b' '),
                Some(_) => break from,
            }
        };
        if value.iter().any(|&byte| is_bad(byte)) {
            return Err(BadResponse);
        }
        for byte in value.iter_mut().filter(|byte| !is_text(**byte)) {
            *byte = b' ';
        }
        self.flush(at);
        self.run = end;
        let name = self.bytes.get(at..name_end).unwrap_or_default();
        let value = trim(&value);
        if self.take(name, value) {
            headers::push_line(self.out, name, value);
        }
        Ok(Some(end))
    }

    /// Whether the header is passed on as it is.
    fn take(&mut self, name: &[u8], value: &[u8]) -> bool {
        let found = &mut self.found;
        match Name::of(name) {
            Name::ContentLength => {
                found.lengths = found.lengths.saturating_add(1);
                for element in list(value) {
                    let number = decimal(element);
                    found.is_length_bad |=
                        number.is_none() || found.length.is_some_and(|length| Some(length) != number);
                    found.length = found.length.or(number);
                }
                let is_plain = value.iter().all(u8::is_ascii_digit);
                let is_kept = !self.omit.length && found.lengths == 1 && is_plain;
                found.kept_length |= is_kept;
                is_kept
            }
            Name::TransferEncoding => {
                found.codings.add(value);
                let is_kept = !self.omit.coding && matches!(found.codings, Codings::Chunked);
                found.kept_coding |= is_kept;
                is_kept
            }
            Name::Connection => {
                found.options.add(value);
                if found.options.has_names && self.omit.named.is_none() {
                    found.named.extend_from_slice(value);
                    found.named.push(b',');
                }
                false
            }
            Name::Upgrade => {
                found.upgrades = true;
                matches!(self.line.status, 101 | UPGRADE_REQUIRED)
            }
            Name::HopByHop => false,
            _ => !self.omit.has_named(name),
        }
    }

    fn flush(&mut self, end: usize) {
        self.out.extend_from_slice(self.bytes.get(self.run..end).unwrap_or_default());
        self.run = end;
    }
}

/// Where the answer's body ends, and the length to tell of.
fn settle(
    line: StatusLine,
    found: &Found,
    request: &RequestHead,
    end: usize,
) -> Result<(ResponseHead, Option<u64>), BadResponse> {
    let is_chunked = match &found.codings {
        Codings::None => false,
        Codings::Chunked => true,
        Codings::Several(codings) => {
            let is_last = matches!(codings.last(), Some(Some(CHUNKED)));
            let chunks = codings.iter().filter(|&&coding| coding == Some(CHUNKED)).count();
            // What else it is coded in can't be told to a client of HTTP/1.0.
            if !is_last || chunks != 1 || codings.contains(&None) || (request.minor == 0 && codings.len() > 1) {
                return Err(BadResponse);
            }
            true
        }
    };
    if found.is_length_bad && !is_chunked {
        return Err(BadResponse);
    }
    let framing = match found.length {
        _ if request.is_head || line.has_no_content() || line.status == 304 => Framing::None,
        _ if is_chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    let is_doubtful = is_chunked && (found.lengths > 0 || line.minor == 0);
    let keep_alive = keeps_alive(found.options, line.minor) && !is_doubtful;
    let length = found.length.filter(|_| !is_chunked);
    Ok((ResponseHead { bytes: end, status: line.status, framing, keep_alive }, length))
}

/// The headers that frame, where they were not passed on as they came.
fn push_framing(out: &mut Vec<u8>, omit: &Omit, found: &Found, length: Option<u64>) {
    if let Some(length) = length.filter(|_| !omit.length && !found.kept_length) {
        headers::push_line(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
    }
    if let Codings::Several(codings) = &found.codings
        && !found.kept_coding
        && !omit.is_untold
    {
        let codings: Vec<_> = codings.iter().copied().flatten().collect();
        headers::push_line(out, b"Transfer-Encoding", codings.join(", ").as_bytes());
    }
}
