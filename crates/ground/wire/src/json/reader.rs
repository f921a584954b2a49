//! The JSON reader, guided by a schema.
//!
//! Invariants:
//! - It reads each byte of the document at most twice and keeps only what the schema knows.
//! - Depth is bounded by [`DEPTH_MAX`], also in what it skips.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;

use crate::node::{Budget, DEPTH_MAX, Node, TooManyValues};
use crate::schema::{List, Map, Shape, Structure};
use crate::value::EpochMs;

/// Why a document is refused; the text is AWS's where AWS has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the document is not UTF-8")]
    NotUtf8,
    #[error("the document is not valid JSON (byte {at})")]
    Syntax { at: usize },
    #[error("the document is nested too deeply")]
    TooDeep,
    #[error(transparent)]
    TooMany(#[from] TooManyValues),
    #[error("{found} can not be converted to {wanted}")]
    Kind { found: &'static str, wanted: &'static str },
    #[error("{0}")]
    Structure(&'static str),
    #[error("the number is out of range")]
    OutOfRange,
    #[error("the blob is not valid base64")]
    Base64,
}

// Recorded on AWS, whose one sentence ends with a full stop and whose other does not.
const STRUCTURE: &str = "Start of structure or map found where not expected.";
const LIST: &str = "Start of list found where not expected";

type Parsed<T> = Result<T, Refusal>;

/// Reads the whole body.
pub(super) fn document<'a>(structure: &'static Structure, body: &'a [u8]) -> Parsed<Node<'a>> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::NotUtf8)?;
    let mut reader = Reader { text, bytes: body, at: 0, depth: 0, budget: Budget::new() };
    reader.skip_space();
    if reader.at == body.len() {
        return Ok(Node::Structure(vec![None; structure.members.len()]));
    }
    let node = reader.value(&Shape::Structure(structure))?;
    reader.skip_space();
    if reader.at < body.len() {
        return Err(reader.syntax());
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    /// The same bytes as `text`.
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    budget: Budget,
}

impl<'a> Reader<'a> {
    fn value(&mut self, shape: &Shape) -> Parsed<Node<'a>> {
        self.skip_space();
        match shape {
            Shape::Structure(structure) => self.structure(structure),
            Shape::List(list) => self.list(list),
            Shape::Map(map) => self.map(map),
            Shape::String => self.text_of("a String").map(Node::String),
            Shape::Blob => {
                let text = self.text_of("a Blob")?;
                STANDARD.decode(text.as_bytes()).map(|bytes| Node::Blob(bytes.into())).map_err(|_| Refusal::Base64)
            }
            Shape::Boolean => self.boolean(),
            Shape::Integer => {
                let number = self.whole_number("an Integer")?;
                Ok(Node::Integer(number.clamp(i32::MIN.into(), i32::MAX.into())))
            }
            Shape::Long => self.whole_number("a Long").map(Node::Integer),
            Shape::Double => self.double(),
            Shape::Timestamp => self.timestamp(),
        }
    }

    fn structure(&mut self, structure: &'static Structure) -> Parsed<Node<'a>> {
        self.open(b'{')?;
        self.budget.spend(structure.members.len())?;
        let mut slots: Vec<Option<Node<'a>>> = vec![None; structure.members.len()];
        let mut first = true;
        while let Some(name) = self.next_name(&mut first)? {
            let Some(index) = structure.members.iter().position(|member| member.name == name) else {
                self.skip_value()?;
                continue;
            };
            slots[index] = if self.null() { None } else { Some(self.value(&structure.members[index].shape)?) };
        }
        Ok(Node::Structure(slots))
    }

    fn map(&mut self, map: &'static Map) -> Parsed<Node<'a>> {
        self.open(b'{')?;
        let mut pairs = BTreeMap::new();
        let mut first = true;
        while let Some(key) = self.next_name(&mut first)? {
            if self.null() {
                return Err(Refusal::Structure("a map may not hold null"));
            }
            self.budget.spend(1)?;
            let value = self.value(&map.value)?;
            pairs.insert(key, value);
        }
        Ok(Node::Map(pairs))
    }

    fn list(&mut self, list: &'static List) -> Parsed<Node<'a>> {
        self.open(b'[')?;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            self.depth -= 1;
            return Ok(Node::List(items));
        }
        loop {
            self.skip_space();
            if self.null() {
                return Err(Refusal::Structure("a list may not hold null"));
            }
            self.budget.spend(1)?;
            items.push(self.value(&list.item)?);
            self.skip_space();
            if self.take(b']') {
                self.depth -= 1;
                return Ok(Node::List(items));
            }
            self.expect(b',')?;
        }
    }

    /// The name of the next member and its colon, or `None` at the end of the object.
    fn next_name(&mut self, first: &mut bool) -> Parsed<Option<Cow<'a, str>>> {
        self.skip_space();
        if self.take(b'}') {
            // A comma before the brace never gets here: after one, a name must come.
            self.depth -= 1;
            return Ok(None);
        }
        if !*first {
            self.expect(b',')?;
            self.skip_space();
        }
        *first = false;
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(Some(name))
    }

    /// Enters a list or an object, or says in AWS's words what stands there instead.
    fn open(&mut self, bracket: u8) -> Parsed<()> {
        match self.peek() {
            Some(byte) if byte == bracket => {
                self.at += 1;
                self.depth += 1;
                if self.depth > DEPTH_MAX { Err(Refusal::TooDeep) } else { Ok(()) }
            }
            Some(b'{') => Err(Refusal::Structure(STRUCTURE)),
            Some(b'[') => Err(Refusal::Structure(LIST)),
            Some(_) => {
                self.skip_value()?;
                Err(Refusal::Structure(if bracket == b'[' { "Expected list or null" } else { "Expected null" }))
            }
            None => Err(self.syntax()),
        }
    }

    fn text_of(&mut self, wanted: &'static str) -> Parsed<Cow<'a, str>> {
        if self.peek() == Some(b'"') { self.string() } else { Err(self.mismatch(wanted)) }
    }

    fn boolean(&mut self) -> Parsed<Node<'a>> {
        if self.word(b"true") {
            Ok(Node::Boolean(true))
        } else if self.word(b"false") {
            Ok(Node::Boolean(false))
        } else {
            Err(self.mismatch("a Boolean"))
        }
    }

    fn whole_number(&mut self, wanted: &'static str) -> Parsed<i64> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.mismatch(wanted));
        }
        let digits = self.number()?;
        if let Ok(number) = digits.parse() {
            return Ok(number);
        }
        // With a fraction, which AWS cuts off, or beyond the range, which AWS lets the service refuse in the words that
        // it has for what is too much. This cast does both.
        digits.parse::<f64>().map(|number| number as i64).map_err(|_| self.syntax())
    }

    fn double(&mut self) -> Parsed<Node<'a>> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?.parse::<f64>().map_err(|_| self.syntax())?;
                if number.is_finite() { Ok(Node::Double(number)) } else { Err(Refusal::OutOfRange) }
            }
            Some(b'"') => match self.string()?.as_ref() {
                "NaN" => Ok(Node::Double(f64::NAN)),
                "Infinity" => Ok(Node::Double(f64::INFINITY)),
                "-Infinity" => Ok(Node::Double(f64::NEG_INFINITY)),
                _ => Err(Refusal::Kind { found: "STRING_VALUE", wanted: "a Double" }),
            },
            _ => Err(self.mismatch("a Double")),
        }
    }

    fn timestamp(&mut self) -> Parsed<Node<'a>> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.mismatch("milliseconds since epoch"));
        }
        let ms = (self.number()?.parse::<f64>().map_err(|_| self.syntax())? * 1000.0).round();
        // Beyond this a double no longer counts single milliseconds; it is the year 287,396.
        const MS_MAX: f64 = 9_007_199_254_740_992.0;
        if ms.abs() <= MS_MAX { Ok(Node::Timestamp(EpochMs(ms as i64))) } else { Err(Refusal::OutOfRange) }
    }

    /// What stands here instead of what was wanted, by AWS's names for JSON's tokens.
    fn mismatch(&mut self, wanted: &'static str) -> Refusal {
        let found = match self.peek() {
            Some(b'{') => return Refusal::Structure(STRUCTURE),
            Some(b'[') => return Refusal::Structure(LIST),
            Some(b'"') => "STRING_VALUE",
            Some(b't') => "TRUE_VALUE",
            Some(b'f') => "FALSE_VALUE",
            Some(b'-' | b'0'..=b'9') => "NUMBER_VALUE",
            _ => return self.syntax(),
        };
        match self.skip_value() {
            Ok(()) => Refusal::Kind { found, wanted },
            Err(refusal) => refusal,
        }
    }

    fn skip_value(&mut self) -> Parsed<()> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => {
                self.open(b'{')?;
                let mut first = true;
                while self.next_name(&mut first)?.is_some() {
                    self.skip_value()?;
                }
                Ok(())
            }
            Some(b'[') => self.skip_list(),
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            _ if self.word(b"true") || self.word(b"false") || self.word(b"null") => Ok(()),
            _ => Err(self.syntax()),
        }
    }

    fn skip_list(&mut self) -> Parsed<()> {
        self.open(b'[')?;
        self.skip_space();
        if self.take(b']') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            self.skip_value()?;
            self.skip_space();
            if self.take(b']') {
                self.depth -= 1;
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// A string, borrowed from the document unless it has escapes.
    fn string(&mut self) -> Parsed<Cow<'a, str>> {
        self.expect(b'"')?;
        let start = self.at;
        let end = start + memchr2(b'"', b'\\', &self.bytes[start..]).ok_or_else(|| self.syntax())?;
        self.refuse_control(start, end)?;
        self.at = end;
        if self.take(b'"') {
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        let mut decoded = String::with_capacity(2 * (end - start) + 16);
        decoded.push_str(&self.text[start..end]);
        while !self.take(b'"') {
            self.expect(b'\\')?;
            decoded.push(self.escaped()?);
            let start = self.at;
            let end = start + memchr2(b'"', b'\\', &self.bytes[start..]).ok_or_else(|| self.syntax())?;
            self.refuse_control(start, end)?;
            decoded.push_str(&self.text[start..end]);
            self.at = end;
        }
        Ok(Cow::Owned(decoded))
    }

    /// JSON wants control characters escaped.
    fn refuse_control(&self, start: usize, end: usize) -> Parsed<()> {
        // A fold, not `any`: without an early exit the compiler checks 16 bytes at a time.
        let found = self.bytes[start..end].iter().fold(false, |found, byte| found | (*byte < 0x20));
        if found { Err(self.syntax()) } else { Ok(()) }
    }

    fn escaped(&mut self) -> Parsed<char> {
        let letter = self.peek().ok_or_else(|| self.syntax())?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => letter.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.escaped_unicode(),
            _ => return Err(self.syntax()),
        })
    }

    fn escaped_unicode(&mut self) -> Parsed<char> {
        let unit = self.hex4()?;
        let code = match unit {
            0xD800..=0xDBFF if self.word(b"\\u") => match self.hex4()? {
                low @ 0xDC00..=0xDFFF => 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                _ => return Err(self.syntax()),
            },
            _ => unit,
        };
        // Half a surrogate pair is no character.
        char::from_u32(code).ok_or_else(|| self.syntax())
    }

    fn hex4(&mut self) -> Parsed<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or_else(|| self.syntax())?;
        let mut value = 0;
        for digit in digits {
            value = value * 16 + char::from(*digit).to_digit(16).ok_or_else(|| self.syntax())?;
        }
        self.at += 4;
        Ok(value)
    }

    /// A number's text, by JSON's grammar.
    fn number(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        _ = self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Parsed<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.syntax()) }
    }

    fn null(&mut self) -> bool {
        self.word(b"null")
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { Err(self.syntax()) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn syntax(&self) -> Refusal {
        Refusal::Syntax { at: self.at }
    }
}
