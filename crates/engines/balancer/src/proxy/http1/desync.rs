//! How dangerous a request is where servers in a row read it differently.
//!
//! Invariants:
//! - Classes and reasons are those of AWS's http-desync-guardian, which ELB asks: `testdata/desync` is the proof.
//! - The gravest finding counts; among equals the first, in the order headers, framing, method, version, target.

use super::scan::{is_bad, is_blank, is_target, is_text, is_token_byte, list, trim};
use crate::config::DesyncMode;

/// A request's class, from harmless to grave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    #[default]
    Compliant,
    /// Not what the RFCs say, but read in one way by all.
    Acceptable,
    /// Read in different ways.
    Ambiguous,
    /// Nobody sends it without bad intent.
    Severe,
}

/// Why, by AWS's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    #[default]
    Compliant,
    AmbiguousUri,
    BadContentLength,
    BadHeader,
    BadMethod,
    BadTransferEncoding,
    BadUri,
    BadVersion,
    BothTeClPresent,
    DuplicateContentLength,
    EmptyHeader,
    GetHeadZeroContentLength,
    MissingHeaderColon,
    MissingUri,
    MultilineHeader,
    MultipleContentLength,
    MultipleTransferEncodingChunked,
    NonCompliantHeader,
    NonCompliantVersion,
    NonCrLfLineTermination,
    SpaceInUri,
    SuspiciousHeader,
    UndefinedContentLengthSemantics,
    UndefinedTransferEncodingSemantics,
}

/// A class with its reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) tier: Tier,
    pub(crate) reason: Reason,
}

impl Verdict {
    /// Takes a finding, if it is graver than what was found before.
    pub(super) fn raise(&mut self, tier: Tier, reason: Reason) {
        if tier > self.tier {
            *self = Self { tier, reason };
        }
    }

    /// Whether a load balancer in this mode serves such a request at all.
    pub(super) fn is_allowed(self, mode: DesyncMode) -> bool {
        match mode {
            DesyncMode::Monitor => true,
            DesyncMode::Defensive => self.tier < Tier::Severe,
            DesyncMode::Strictest => self.tier == Tier::Compliant,
        }
    }
}

/// A request's parts as they came, before anything was understood.
pub(super) struct Parts<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    /// Empty for HTTP/0.9.
    pub(super) version: &'a [u8],
    pub(super) headers: &'a [(&'a [u8], &'a [u8])],
}

/// Classifies a request, `found` being what its lines showed already.
pub(super) fn classify(parts: &Parts<'_>, found: Verdict) -> Verdict {
    let mut verdict = found;
    if parts.version >= &b"HTTP/2"[..] && parts.version.starts_with(b"HTTP/") {
        verdict.raise(Tier::Severe, Reason::BadVersion);
        return verdict;
    }
    let version = if trim(parts.version).is_empty() { &b"HTTP/0.9"[..] } else { parts.version };
    let (codings, lengths) = check_headers(parts.headers, &mut verdict);
    check_framing(parts.method, version, &codings, &lengths, &mut verdict);
    if !parts.method.iter().all(|&byte| is_token_byte(byte)) {
        verdict.raise(Tier::Severe, Reason::BadMethod);
    }
    check_version(version, &mut verdict);
    check_target(parts.target, &mut verdict);
    verdict
}

/// Judges each header by itself; with the values of those that frame, or seem to.
fn check_headers<'a>(headers: &[(&'a [u8], &'a [u8])], verdict: &mut Verdict) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let (mut codings, mut lengths) = (Vec::new(), Vec::new());
    for &(name, value) in headers {
        let is_bad = name.iter().chain(value).any(|&byte| is_bad(byte));
        let is_clean = name.iter().all(|&byte| is_token_byte(byte)) && value.iter().all(|&byte| is_text(byte));
        if is_bad {
            verdict.raise(Tier::Severe, Reason::BadHeader);
        } else if !is_clean {
            verdict.raise(Tier::Acceptable, Reason::NonCompliantHeader);
        }
        if matches!(trim(name), [] | [b':', ..]) {
            verdict.raise(Tier::Ambiguous, Reason::EmptyHeader);
            continue;
        }
        let (likeness, values) = match (resemblance(name, b"transfer-encoding"), resemblance(name, b"content-length")) {
            (Likeness::None, likeness) => (likeness, &mut lengths),
            (likeness, _) => (likeness, &mut codings),
        };
        match likeness {
            Likeness::Same => values.push(value),
            Likeness::Letters if !is_bad => {
                values.push(value);
                verdict.raise(Tier::Ambiguous, Reason::SuspiciousHeader);
            }
            Likeness::Letters | Likeness::None => {}
        }
    }
    (codings, lengths)
}

fn check_framing(method: &[u8], version: &[u8], codings: &[&[u8]], lengths: &[&[u8]], verdict: &mut Verdict) {
    if version <= &b"HTTP/1.0"[..] && !codings.is_empty() {
        return verdict.raise(Tier::Ambiguous, Reason::UndefinedTransferEncodingSemantics);
    }
    if version < &b"HTTP/1.0"[..] && !lengths.is_empty() {
        return verdict.raise(Tier::Ambiguous, Reason::UndefinedContentLengthSemantics);
    }
    check_codings(codings, verdict);
    let length = check_lengths(lengths, verdict);
    if method == b"GET" || method == b"HEAD" {
        if !codings.is_empty() {
            verdict.raise(Tier::Ambiguous, Reason::UndefinedTransferEncodingSemantics);
        }
        match length {
            Some(0) => verdict.raise(Tier::Acceptable, Reason::GetHeadZeroContentLength),
            Some(_) => verdict.raise(Tier::Ambiguous, Reason::UndefinedContentLengthSemantics),
            None => {}
        }
    }
    if length.is_some() && !codings.is_empty() {
        verdict.raise(Tier::Ambiguous, Reason::BothTeClPresent);
    }
}

fn check_codings(codings: &[&[u8]], verdict: &mut Verdict) {
    let mut was_chunked = false;
    for element in codings.iter().flat_map(|value| list(value)) {
        let Some(coding) = coding(element) else {
            verdict.raise(Tier::Severe, Reason::BadTransferEncoding);
            continue;
        };
        let is_chunked = coding == CHUNKED;
        if is_chunked && was_chunked {
            verdict.raise(Tier::Severe, Reason::MultipleTransferEncodingChunked);
        }
        was_chunked = is_chunked;
    }
}

fn check_lengths(lengths: &[&[u8]], verdict: &mut Verdict) -> Option<u64> {
    let mut length = None;
    for value in lengths {
        // The oracle's library reads an empty value as zero. It is refused as having no reading, whatever its class.
        let digits = trim(value);
        let number = if digits.is_empty() { Some(0) } else { super::scan::decimal(digits) };
        match (number, length) {
            (None, _) => verdict.raise(Tier::Severe, Reason::BadContentLength),
            (Some(number), None) => length = Some(number),
            (Some(number), Some(earlier)) if number == earlier => {
                verdict.raise(Tier::Ambiguous, Reason::DuplicateContentLength);
            }
            (Some(_), Some(_)) => verdict.raise(Tier::Severe, Reason::MultipleContentLength),
        }
    }
    length
}

fn check_version(version: &[u8], verdict: &mut Verdict) {
    let bare = trim(version);
    match bare {
        b"HTTP/0.9" => verdict.raise(Tier::Acceptable, Reason::NonCompliantVersion),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
            if bare.len() != version.len() || *minor > b'1' {
                verdict.raise(Tier::Acceptable, Reason::NonCompliantVersion);
            }
        }
        _ => verdict.raise(Tier::Severe, Reason::BadVersion),
    }
}

fn check_target(target: &[u8], verdict: &mut Verdict) {
    for &byte in target.iter().filter(|&&byte| !is_target(byte)) {
        match byte {
            byte if is_bad(byte) => verdict.raise(Tier::Severe, Reason::BadUri),
            b' ' => verdict.raise(Tier::Acceptable, Reason::SpaceInUri),
            _ => verdict.raise(Tier::Ambiguous, Reason::AmbiguousUri),
        }
    }
}

pub(super) const CHUNKED: &str = "chunked";

/// The transfer coding that a list's element names, without its parameters.
pub(super) fn coding(element: &[u8]) -> Option<&'static str> {
    let name = trim(element.split(|&byte| byte == b';').next().unwrap_or_default());
    let known = [CHUNKED, "compress", "deflate", "gzip", "identity"];
    known.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.as_bytes()))
}

/// How alike two names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    None,
    /// Their letters are the same, what stands between and around them is not.
    Letters,
    Same,
}

/// Whether somebody could take this name for one of the two that frame, though it is neither.
pub(super) fn resembles_framing(name: &[u8]) -> bool {
    let first = name.iter().find(|byte| byte.is_ascii_alphanumeric());
    match first {
        Some(b't' | b'T') => resemblance(name, b"transfer-encoding") == Likeness::Letters,
        Some(b'c' | b'C') => resemblance(name, b"content-length") == Likeness::Letters,
        _ => false,
    }
}

/// How alike `name` is to `framing`, which is lowercase words with hyphens between them.
fn resemblance(name: &[u8], framing: &[u8]) -> Likeness {
    if name.eq_ignore_ascii_case(framing) {
        return Likeness::Same;
    }
    let skip = |mut at: usize, is_skipped: fn(u8) -> bool| {
        while name.get(at).is_some_and(|&byte| is_skipped(byte)) {
            at += 1;
        }
        at
    };
    let is_mark: fn(u8) -> bool = |byte| !byte.is_ascii_alphanumeric();
    if name.len() < framing.len() {
        return Likeness::None;
    }
    let mut at = skip(0, is_mark);
    for &letter in framing {
        if at == name.len() {
            return Likeness::None;
        }
        if letter == b'-' {
            // Whatever stands there separates words for somebody.
            at = skip(at + 1, is_mark);
            continue;
        }
        match letter_end(name, at, letter) {
            Some(end) => at = skip(end, |byte| byte <= b' '),
            None => break,
        }
    }
    if skip(at, is_mark) == name.len() { Likeness::Letters } else { Likeness::None }
}

/// Where the letter ends that stands at `at`, if it is this one. ſ and ı become S and I when Unicode is uppercased.
fn letter_end(name: &[u8], at: usize, letter: u8) -> Option<usize> {
    let rest = name.get(at..).unwrap_or_default();
    match (letter, rest) {
        (_, [byte, ..]) if byte.to_ascii_lowercase() == letter => Some(at + 1),
        (b's', [0xc5, 0xbf, ..]) | (b'i', [0xc4, 0xb1, ..]) => Some(at + 2),
        _ => None,
    }
}

/// Whether only blanks set this name apart from `known`.
pub(super) fn is_padded(name: &[u8], known: &[u8]) -> bool {
    name.iter().any(|&byte| is_blank(byte)) && trim(name).eq_ignore_ascii_case(known)
}

/// Whether this name has the letters of one that frames, whatever stands between them.
pub(super) fn spells_framing(name: &[u8]) -> bool {
    [&b"transferencoding"[..], b"contentlength"].iter().any(|framing| {
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
        letters.eq(framing.iter().copied())
    })
}
