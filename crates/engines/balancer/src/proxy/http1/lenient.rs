//! Request heads: the thorough way, for all that is not ordinary.
//!
//! Invariants:
//! - Every request gets its class; whether it is served depends on that, on the mode, and on there being one safe reading.
//! - Without a safe reading a request is refused in every mode: no certain end, no certain host, no certain target.
//! - What is dropped never was a proper header: its name is no token, empty, or made to look like one that frames.
//! - After a request whose framing others may doubt, its connection is not read any further, in no mode.

use std::borrow::Cow;

use super::desync::{self, CHUNKED, Parts, Reason, Tier, Verdict};
use super::headers::{self, Name, Options};
use super::request::{is_idempotent, keeps_alive};
use super::scan::{decimal, is_bad, is_blank, is_target, is_text, is_token, is_token_byte, list, trim};
use super::{Forwarded, Framing, HEADERS_MAX, METHOD_BYTES_MAX, Refusal, RefusalKind, RequestHead, Span};
use crate::config::{DesyncMode, Limits};

/// Empty lines before a request. Each could be the end of a head, so each makes us look at all of them.
const EMPTY_LINES_MAX: usize = 4;

/// Names that `Connection` may say: each is compared with each header's.
const NAMED_MAX: usize = 64;

/// As [`super::parse_request`].
pub(super) fn parse_request(
    bytes: &[u8],
    limits: &Limits,
    mode: DesyncMode,
    forwarded: &Forwarded,
    out: &mut Vec<u8>,
) -> Result<Option<RequestHead>, Refusal> {
    let Some(raw) = Raw::read(bytes, limits)? else { return Ok(None) };
    let items: Vec<_> = raw.fields.iter().map(|field| field.item).collect();
    let RequestLine { method, target, version } = raw.line;
    let desync = desync::classify(&Parts { method, target, version, headers: &items }, raw.found);
    if method.len() > METHOD_BYTES_MAX {
        return Err(Refusal { kind: RefusalKind::MethodTooLong, desync });
    }
    let refusal = Refusal::bad(desync);
    if !desync.is_allowed(mode) {
        return Err(refusal);
    }
    let mut reading = Reading::of(&raw).ok_or(refusal)?;
    // Defensive closes after all that is ambiguous; monitor only where one connection could carry two meanings.
    let closing_tier = if mode == DesyncMode::Monitor { Tier::Severe } else { Tier::Ambiguous };
    reading.is_doubtful |= desync.tier >= closing_tier;
    reading.write(&raw, forwarded, out);
    Ok(Some(reading.head(&raw, desync)))
}

/// A head taken apart, nothing of it judged.
struct Raw<'a> {
    bytes: &'a [u8],
    /// Bytes of the head, with its empty line.
    length: usize,
    line: RequestLine<'a>,
    /// A request of HTTP/0.9: nothing follows its line.
    is_simple: bool,
    fields: Vec<Field<'a>>,
    /// What the lines themselves showed.
    found: Verdict,
}

#[derive(Clone, Copy, Default)]
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: &'a [u8],
}

/// One line among the headers.
struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// It goes on with the one before.
    is_continuation: bool,
    has_colon: bool,
    /// As it is classified, which for a continuation may be a header of its own.
    item: (&'a [u8], &'a [u8]),
}

impl<'a> Raw<'a> {
    /// `None` while the head isn't complete.
    fn read(bytes: &'a [u8], limits: &Limits) -> Result<Option<Self>, Refusal> {
        let mut lines = Lines { bytes, at: 0, found: Verdict::default() };
        let Some(start) = lines.skip_empty() else { return Err(Refusal::bad(lines.found)) };
        if bytes.get(start).is_some_and(|&byte| !is_token_byte(byte)) && bytes.get(start..) != Some(b"\r") {
            let mut found = lines.found;
            found.raise(Tier::Severe, Reason::BadMethod);
            return Err(Refusal::bad(found));
        }
        let bad = |found: Verdict| Err(Refusal::bad(found));
        let partial = |found| if bytes.len() > limits.request_head_bytes_max { bad(found) } else { Ok(None) };
        let Some(first) = lines.next_line() else {
            let is_long = bytes.len() - start > limits.request_line_bytes_max + 2;
            return if is_long { bad(lines.found) } else { partial(lines.found) };
        };
        if first.len() > limits.request_line_bytes_max || lines.at > limits.request_head_bytes_max {
            return bad(lines.found);
        }
        let line = split_request_line(first, &mut lines.found);
        let mut raw = Self { bytes, length: lines.at, line, is_simple: false, fields: Vec::new(), found: lines.found };
        let is_path = line.target.starts_with(b"/") && trim(line.target).iter().all(|&byte| is_target(byte));
        if line.version.is_empty() && line.method == b"GET" && is_path {
            raw.is_simple = true;
            return Ok(Some(raw));
        }
        loop {
            let Some(line) = lines.next_line() else { return partial(lines.found) };
            if lines.at > limits.request_head_bytes_max {
                return bad(lines.found);
            }
            if line.is_empty() {
                break;
            }
            if line.len() > limits.header_bytes_max || raw.fields.len() == HEADERS_MAX {
                return bad(lines.found);
            }
            let field = raw.field(line, &mut lines.found);
            raw.fields.push(field);
        }
        raw.length = lines.at;
        raw.found = lines.found;
        Ok(Some(raw))
    }

    fn field(&self, line: &'a [u8], found: &mut Verdict) -> Field<'a> {
        let colon = memchr::memchr(b':', line);
        let (name, value) = colon.map_or((line, &b""[..]), |colon| (&line[..colon], &line[colon + 1..]));
        let is_continuation = line.first().is_some_and(|&byte| is_blank(byte));
        let mut field = Field { name, value, is_continuation, has_colon: colon.is_some(), item: (name, value) };
        if !is_continuation {
            if colon.is_none() {
                found.raise(Tier::Ambiguous, Reason::MissingHeaderColon);
            }
            return field;
        }
        let continued = self.fields.iter().rev().find(|field| !field.is_continuation && field.has_colon);
        let is_media_type = continued.is_some_and(|field| field.name.eq_ignore_ascii_case(b"content-type"));
        if !is_media_type {
            found.raise(Tier::Ambiguous, Reason::MultilineHeader);
        }
        if let Some(continued) = continued
            && (is_media_type || colon.is_none())
        {
            field.item = (continued.name, name);
        }
        field.value = line;
        field
    }

    fn span(&self, part: &[u8]) -> Span {
        let start = part.as_ptr().addr().saturating_sub(self.bytes.as_ptr().addr());
        Span::new(start, start + part.len())
    }
}

/// Lines that end in LF, and should in CRLF.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    found: Verdict,
}

impl<'a> Lines<'a> {
    /// Empty lines before a request: some old clients send one behind a body. Where the request begins; `None` if there
    /// are too many.
    fn skip_empty(&mut self) -> Option<usize> {
        for _ in 0..=EMPTY_LINES_MAX {
            match self.bytes.get(self.at..).unwrap_or_default() {
                [b'\r', b'\n', ..] => self.at += 2,
                [b'\n', ..] => {
                    self.found.raise(Tier::Acceptable, Reason::NonCrLfLineTermination);
                    self.at += 1;
                }
                _ => return Some(self.at),
            }
        }
        None
    }

    /// The next line without its end.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let line = &rest[..memchr::memchr(b'\n', rest)?];
        self.at += line.len() + 1;
        let bare = line.strip_suffix(b"\r");
        if bare.is_none() {
            self.found.raise(Tier::Acceptable, Reason::NonCrLfLineTermination);
        }
        Some(bare.unwrap_or(line))
    }
}

/// The method ends at the first space, and the version begins behind the last that stands before something.
fn split_request_line<'a>(line: &'a [u8], found: &mut Verdict) -> RequestLine<'a> {
    let Some(space) = memchr::memchr(b' ', line) else {
        found.raise(Tier::Ambiguous, Reason::MissingUri);
        return RequestLine { method: line, ..RequestLine::default() };
    };
    let (method, rest) = (&line[..space], &line[space + 1..]);
    let padding = rest.iter().rev().take_while(|&&byte| is_blank(byte)).count();
    let (target, version) = match memchr::memrchr(b' ', &rest[..rest.len() - padding]) {
        Some(space) => (&rest[..space], &rest[space + 1..]),
        None if rest.starts_with(b"HTTP/1.") => (&b""[..], rest),
        None => (rest, &b""[..]),
    };
    if trim(target).is_empty() {
        found.raise(Tier::Ambiguous, Reason::MissingUri);
    }
    RequestLine { method, target, version }
}

/// A request as it is understood: the only reading that will be told to a target.
struct Reading<'a> {
    minor: u8,
    /// What stands in the request line, control characters and spaces still in it.
    path: &'a [u8],
    host: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    /// Headers to pass on, in order.
    headers: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    forwarded_for: Vec<Cow<'a, [u8]>>,
    codings: Vec<&'static str>,
    length: Option<u64>,
    upgrade: Option<Cow<'a, [u8]>>,
    options: Options,
    expect_continue: bool,
    /// Somebody else could see another end of this request.
    is_doubtful: bool,
}

impl<'a> Reading<'a> {
    /// `None` if there is no safe one.
    fn of(raw: &Raw<'a>) -> Option<Self> {
        let line = raw.line;
        if !is_token(line.method) || line.method == b"CONNECT" || line.target.iter().any(|&byte| is_bad(byte)) {
            return None;
        }
        let (authority, path) = split_target(trim(line.target), line.method)?;
        let mut reading = Self {
            minor: minor_of(line.version, raw.is_simple)?,
            path,
            host: None,
            agent: None,
            headers: Vec::with_capacity(raw.fields.len()),
            forwarded_for: Vec::new(),
            codings: Vec::new(),
            length: None,
            upgrade: None,
            options: Options::default(),
            expect_continue: false,
            is_doubtful: raw.is_simple || raw.found.tier >= Tier::Ambiguous,
        };
        let mut framing = FramingFields::default();
        reading.read_fields(&raw.fields, &mut framing)?;
        reading.remove_named(&raw.fields)?;
        reading.settle_framing(&framing, raw.is_simple || trim(line.version) == b"HTTP/0.9")?;
        reading.settle_host(authority)?;
        reading.settle_upgrade();
        Some(reading)
    }

    fn read_fields(&mut self, fields: &[Field<'a>], framing: &mut FramingFields) -> Option<()> {
        let mut rest = fields;
        while let [field, behind @ ..] = rest {
            if field.is_continuation || !field.has_colon || field.name.iter().any(|&byte| is_bad(byte)) {
                return None;
            }
            let count = behind.iter().take_while(|field| field.is_continuation).count();
            let (continuations, behind) = behind.split_at(count);
            let values = [field].into_iter().chain(continuations).map(|field| field.value);
            let is_clean = values.flatten().all(|&byte| is_text(byte));
            let is_framing = matches!(Name::of(trim(field.name)), Name::ContentLength | Name::TransferEncoding);
            if is_framing && !is_clean {
                return None;
            }
            let value = joined(field.value, continuations);
            self.read_field(field.name, value, framing)?;
            rest = behind;
        }
        Some(())
    }

    fn read_field(&mut self, name: &'a [u8], value: Cow<'a, [u8]>, framing: &mut FramingFields) -> Option<()> {
        if !is_token(name) {
            return self.read_misnamed(name, &value, framing);
        }
        match Name::of(name) {
            Name::Other => self.headers.push((name, value)),
            Name::UserAgent => {
                if let Cow::Borrowed(agent) = &value {
                    self.agent.get_or_insert(agent);
                }
                self.headers.push((name, value));
            }
            Name::Host => match value {
                // A second one, or one that could be two: whom would the target believe?
                Cow::Borrowed(host) if self.host.is_none() && headers::is_host(host) => self.host = Some(host),
                _ => return None,
            },
            Name::ContentLength => framing.add_length(&value),
            Name::TransferEncoding => framing.add_codings(&value),
            Name::Connection => self.options.add(&value),
            Name::Upgrade => {
                let is_first = self.upgrade.is_none();
                self.upgrade = Some(if is_first { value } else { Cow::Borrowed(&b""[..]) });
            }
            Name::Expect => self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::ForwardedFor => self.forwarded_for.push(value),
            Name::Suspicious => self.is_doubtful = true,
            Name::HopByHop | Name::Proxy | Name::ForwardedOurs => {}
        }
        Some(())
    }

    /// A name that is no token is not passed on. Blanks around one that frames are what everybody overlooks, so its
    /// meaning holds; around `Host` they are as good as a second host.
    fn read_misnamed(&mut self, name: &[u8], value: &[u8], framing: &mut FramingFields) -> Option<()> {
        if desync::is_padded(name, b"host") {
            return None;
        }
        if desync::is_padded(name, b"content-length") {
            framing.add_length(value);
        } else if desync::is_padded(name, b"transfer-encoding") {
            framing.add_codings(value);
        }
        let could_frame = desync::resembles_framing(name) || desync::spells_framing(name);
        self.is_doubtful |= could_frame || trim(name).is_empty();
        Some(())
    }

    /// Removes the headers that `Connection` names. What the relay itself answers for stays: nobody may have it removed.
    fn remove_named(&mut self, fields: &[Field<'_>]) -> Option<()> {
        if !self.options.has_names {
            return Some(());
        }
        let options = fields.iter().filter(|field| Name::of(field.name) == Name::Connection);
        let named: Vec<_> = options.flat_map(|field| list(field.value)).take(NAMED_MAX + 1).collect();
        if named.len() > NAMED_MAX {
            return None;
        }
        let is_named = |name: &[u8]| named.iter().any(|option| option.eq_ignore_ascii_case(name));
        self.headers.retain(|(name, _)| !is_named(name));
        Some(())
    }

    fn settle_framing(&mut self, fields: &FramingFields, is_http_0_9: bool) -> Option<()> {
        if is_http_0_9 {
            // It knows no bodies.
            self.is_doubtful |= fields.has_codings || fields.length.is_some() || fields.is_length_bad;
            self.options.close = true;
            return Some(());
        }
        self.is_doubtful |= fields.is_doubtful;
        if fields.has_codings {
            // RFC 9112, 6.3: it overrides a length, and without chunks at its end a request has none.
            self.is_doubtful |= fields.length.is_some() || fields.is_length_bad || self.minor == 0;
            self.codings = fields.chunked()?;
            return Some(());
        }
        if fields.is_length_bad {
            return None;
        }
        self.length = fields.length;
        Some(())
    }

    fn settle_host(&mut self, authority: Option<&'a [u8]>) -> Option<()> {
        if let Some(authority) = authority {
            // RFC 9112, 3.2.2: what `Host` says is ignored then.
            self.host = Some(authority);
        }
        (self.host.is_some() || self.minor == 0).then_some(())
    }

    /// Another protocol is asked for properly, or not at all. HTTP/2 is not: its requests would pass unseen.
    fn settle_upgrade(&mut self) {
        let is_asked = self.options.upgrade && self.minor > 0 && self.framing() == Framing::None && !self.is_doubtful;
        let is_other = |value: &Cow<'_, [u8]>| {
            list(value).all(|protocol| {
                let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
                let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
                is_token(name) && !is("h2c") && !is("h2") && !is("http") && !is("tls")
            })
        };
        self.upgrade = self.upgrade.take().filter(|value| is_asked && is_other(value));
    }

    fn framing(&self) -> Framing {
        match (self.codings.is_empty(), self.length) {
            (false, _) => Framing::Chunked,
            (true, Some(length)) => Framing::Length(length),
            (true, None) => Framing::None,
        }
    }

    fn write(&self, raw: &Raw<'_>, forwarded: &Forwarded, out: &mut Vec<u8>) {
        out.extend_from_slice(raw.line.method);
        out.push(b' ');
        push_path(out, self.path);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        match self.host {
            Some(host) => headers::push_line(out, b"Host", host),
            None => headers::push_own_host(out, forwarded.node),
        }
        for (name, value) in &self.headers {
            headers::push_line(out, name, value);
        }
        if !self.codings.is_empty() {
            headers::push_line(out, b"Transfer-Encoding", self.codings.join(", ").as_bytes());
        } else if let Some(length) = self.length {
            headers::push_line(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        if let Some(upgrade) = &self.upgrade {
            headers::push_line(out, b"Upgrade", upgrade);
            headers::push_line(out, b"Connection", b"upgrade");
        }
        headers::push_forwarded(out, forwarded, self.forwarded_for.iter().map(AsRef::as_ref));
        out.extend_from_slice(b"\r\n");
    }

    fn head(&self, raw: &Raw<'_>, desync: Verdict) -> RequestHead {
        RequestHead {
            bytes: raw.length,
            framing: self.framing(),
            minor: self.minor,
            is_simple: raw.is_simple,
            keep_alive: keeps_alive(self.options, self.minor) && !self.is_doubtful,
            expect_continue: self.expect_continue && self.minor > 0,
            upgrade: self.upgrade.is_some(),
            is_head: raw.line.method == b"HEAD",
            idempotent: is_idempotent(raw.line.method),
            is_last: self.is_doubtful,
            desync,
            method: raw.span(raw.line.method),
            target: raw.span(self.path),
            host: self.host.map(|host| raw.span(host)).unwrap_or_default(),
            agent: self.agent.map(|agent| raw.span(agent)),
        }
    }
}

/// What the headers that frame say together.
#[derive(Default)]
struct FramingFields {
    has_codings: bool,
    /// All of them; `None` in place of one that nobody knows.
    codings: Vec<Option<&'static str>>,
    length: Option<u64>,
    is_length_bad: bool,
    is_doubtful: bool,
}

impl FramingFields {
    fn add_length(&mut self, value: &[u8]) {
        for element in list(value) {
            let number = decimal(element);
            self.is_doubtful |= self.length.is_some();
            self.is_length_bad |= number.is_none() || self.length.is_some_and(|length| Some(length) != number);
            self.length = self.length.or(number);
        }
    }

    fn add_codings(&mut self, value: &[u8]) {
        self.has_codings = true;
        self.codings.extend(list(value).map(desync::coding));
    }

    /// The codings to tell a target of: chunks once and last, and before them what the content is coded in.
    fn chunked(&self) -> Option<Vec<&'static str>> {
        let mut codings = self.codings.iter().copied().collect::<Option<Vec<_>>>()?;
        codings.retain(|&coding| coding != "identity");
        let chunks = codings.iter().rev().take_while(|&&coding| coding == CHUNKED).count();
        let inner = codings.len() - chunks;
        if chunks == 0 || codings.get(..inner)?.contains(&CHUNKED) {
            return None;
        }
        codings.truncate(inner + 1);
        Some(codings)
    }
}

/// The version's minor number, 1 for those that are yet to come.
fn minor_of(version: &[u8], is_simple: bool) -> Option<u8> {
    match trim(version) {
        b"" if is_simple => Some(0),
        b"HTTP/0.9" | b"HTTP/1.0" => Some(0),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => Some(1),
        _ => None,
    }
}

/// A target's authority, where it names one, and its path.
fn split_target<'a>(target: &'a [u8], method: &[u8]) -> Option<(Option<&'a [u8]>, &'a [u8])> {
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Some((None, target));
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    let rest = target.get(scheme.len()..)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (!authority.is_empty() && headers::is_host(authority)).then_some((Some(authority), path))
}

/// A path whose spaces and control characters are escaped.
fn push_path(out: &mut Vec<u8>, path: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if !path.starts_with(b"/") && path != b"*" {
        out.push(b'/');
    }
    for &byte in path {
        if is_target(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// A value on one line, without control characters.
fn joined<'a>(value: &'a [u8], continuations: &[Field<'a>]) -> Cow<'a, [u8]> {
    let value = trim(value);
    if continuations.is_empty() && value.iter().all(|&byte| is_text(byte)) {
        return Cow::Borrowed(value);
    }
    let mut all = value.to_vec();
    for continuation in continuations {
        all.push(b' ');
        all.extend_from_slice(trim(continuation.value));
    }
    for byte in all.iter_mut().filter(|byte| !is_text(**byte)) {
        // RFC 9110, 5.5.
        *byte = b' ';
    }
    Cow::Owned(trim(&all).to_vec())
}
