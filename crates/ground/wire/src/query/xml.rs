//! The XML writer of the Query protocol.
//!
//! Invariants:
//! - What comes out is well-formed if the calls come in a document's order. Characters that XML 1.0 does not have, in
//!   any spelling (control characters, U+FFFE, U+FFFF), leave as U+FFFD.
//! - A parser gives back the text that went in: a bare `\r` would come back as `\n`, so it leaves as `&#13;`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::schema::{List, Map, Member, Shape, Structure};
use crate::value::{EpochMs, Value, Writer};

/// Writes one XML document.
#[derive(Debug)]
pub struct XmlWriter {
    out: Vec<u8>,
    /// The element that the next value stands in.
    next: &'static str,
    /// Whether the next structure stands in no element.
    bare: bool,
    /// What is open, outermost first.
    open: Vec<Open>,
}

#[derive(Debug)]
enum Open {
    /// A structure without an element.
    Bare,
    /// An element to be closed.
    Structure(&'static str),
    /// `items` is the element of each item; `around` the list's own, unless it is flat.
    List { items: &'static str, around: Option<&'static str> },
    /// `pairs` is the element of each pair; `around` the map's own, unless it is flat.
    Map { map: &'static Map, pairs: &'static str, around: Option<&'static str> },
}

impl XmlWriter {
    /// A document with nothing but its declaration.
    pub fn new() -> Self {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"<?xml version=\"1.0\"?>");
        Self { out, next: "", bare: false, open: Vec::new() }
    }

    /// The document's bytes.
    pub fn finish(self) -> Bytes {
        self.out.into()
    }

    /// The root, `<NAMESUFFIX xmlns="…">`.
    pub(super) fn open_root(&mut self, name: &str, suffix: &str, namespace: &str) {
        self.all(&["<", name, suffix, " xmlns=\"", namespace, "\">"]);
    }

    pub(super) fn close_root(&mut self, name: &str, suffix: &str) {
        self.all(&["</", name, suffix, ">"]);
    }

    pub(super) fn open(&mut self, name: &str) {
        self.all(&["<", name, ">"]);
    }

    pub(super) fn close(&mut self, name: &str) {
        self.all(&["</", name, ">"]);
    }

    pub(super) fn empty(&mut self, name: &str) {
        self.all(&["<", name, "/>"]);
    }

    /// An element that holds text.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.open(name);
        self.text(text);
        self.close(name);
    }

    /// Writes a structure's members without an element around them.
    pub(super) fn members_of<T: Value>(&mut self, structure: &'static Structure, value: &T) {
        self.bare = true;
        value.write(&Shape::Structure(structure), self);
    }

    /// Names the element of the next value.
    pub(super) fn next_element(&mut self, name: &'static str) {
        self.next = name;
    }

    fn all(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        // Most text has no escapes. A fold, not `any`: without an early exit the compiler checks 16 bytes at a time.
        if !bytes.iter().fold(false, |found, byte| found | may_need_escape(*byte)) {
            self.out.extend_from_slice(bytes);
            return;
        }
        let mut plain = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let (escape, taken): (&[u8], usize) = match byte {
                b'<' => (b"&lt;", 1),
                b'>' => (b"&gt;", 1),
                b'&' => (b"&amp;", 1),
                b'"' => (b"&quot;", 1),
                b'\r' => (b"&#13;", 1),
                0..0x20 if !matches!(byte, b'\t' | b'\n') => (REPLACEMENT, 1),
                // U+FFFE and U+FFFF; every character that begins with this byte has three.
                0xef if matches!(bytes[at..], [_, 0xbf, 0xbe | 0xbf, ..]) => (REPLACEMENT, 3),
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[plain..at]);
            self.out.extend_from_slice(escape);
            plain = at + taken;
        }
        self.out.extend_from_slice(&bytes[plain..]);
    }
}

/// U+FFFD, which stands for what XML cannot hold.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Whether a byte may begin something that does not go out as it is.
fn may_need_escape(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'&' | b'"' | 0xef) | (byte < 0x20) & (byte != b'\t') & (byte != b'\n')
}

impl Default for XmlWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer for XmlWriter {
    fn member(&mut self, member: &'static Member) {
        self.next = member.xml_name;
    }

    fn begin_structure(&mut self) {
        if std::mem::take(&mut self.bare) {
            self.open.push(Open::Bare);
            return;
        }
        let name = self.next;
        self.open(name);
        self.open.push(Open::Structure(name));
    }

    fn end_structure(&mut self) {
        if let Some(Open::Structure(name)) = self.open.pop() {
            self.close(name);
        }
    }

    fn begin_list(&mut self, list: &'static List) {
        let name = self.next;
        if let Some(items) = list.item_name {
            self.open(name);
            self.open.push(Open::List { items, around: Some(name) });
        } else {
            self.open.push(Open::List { items: name, around: None });
        }
    }

    fn item(&mut self) {
        if let Some(Open::List { items, .. }) = self.open.last() {
            self.next = items;
        }
    }

    fn end_list(&mut self) {
        if let Some(Open::List { around: Some(name), .. }) = self.open.pop() {
            self.close(name);
        }
    }

    fn begin_map(&mut self, map: &'static Map) {
        let name = self.next;
        if let Some(pairs) = map.entry_name {
            self.open(name);
            self.open.push(Open::Map { map, pairs, around: Some(name) });
        } else {
            self.open.push(Open::Map { map, pairs: name, around: None });
        }
    }

    fn key(&mut self, key: &str) {
        if let Some(&Open::Map { map, pairs, .. }) = self.open.last() {
            self.open(pairs);
            self.leaf(map.key_name, key);
            self.next = map.value_name;
        }
    }

    fn end_entry(&mut self) {
        if let Some(&Open::Map { pairs, .. }) = self.open.last() {
            self.close(pairs);
        }
    }

    fn end_map(&mut self) {
        if let Some(Open::Map { around: Some(name), .. }) = self.open.pop() {
            self.close(name);
        }
    }

    fn string(&mut self, value: &str) {
        self.leaf(self.next, value);
    }

    fn integer(&mut self, value: i64) {
        self.leaf(self.next, itoa::Buffer::new().format(value));
    }

    fn double(&mut self, value: f64) {
        let text = if value.is_nan() {
            "NaN".to_owned()
        } else if value.is_infinite() {
            if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        } else {
            format!("{value:?}")
        };
        self.leaf(self.next, &text);
    }

    fn boolean(&mut self, value: bool) {
        self.leaf(self.next, if value { "true" } else { "false" });
    }

    fn blob(&mut self, value: &[u8]) {
        self.leaf(self.next, &STANDARD.encode(value));
    }

    fn timestamp(&mut self, EpochMs(ms): EpochMs) {
        // Outside the years 0 to 9999 there is no such text; no service has such moments.
        let moment =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        self.leaf(self.next, &moment.format(&Rfc3339).unwrap_or_default());
    }
}
