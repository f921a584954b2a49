//! The JSON writer.
//!
//! Invariant: what comes out is valid JSON if the calls come in a document's order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::schema::{List, Map, Member};
use crate::value::{EpochMs, Writer};

/// Writes one JSON document.
#[derive(Debug)]
pub struct JsonWriter {
    out: Vec<u8>,
}

impl JsonWriter {
    /// An empty document.
    pub fn new() -> Self {
        Self { out: Vec::with_capacity(512) }
    }

    /// The document's bytes.
    pub fn finish(self) -> Bytes {
        self.out.into()
    }

    /// A member's name.
    pub(super) fn name(&mut self, name: &str) {
        self.separate();
        self.quote(name);
        self.out.push(b':');
    }

    /// A comma, unless this is the first thing in its container or the value of a name. The last byte tells: a
    /// finished value never ends with one of these.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    fn quote(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.out.push(b'"');
        // Most text has no escapes. A fold, not `any`: without an early exit the compiler checks 16 bytes at a time.
        if !bytes.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
            self.out.extend_from_slice(bytes);
            self.out.push(b'"');
            return;
        }
        let mut plain = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if needs_escape(byte) {
                self.out.extend_from_slice(&bytes[plain..at]);
                plain = at + 1;
                self.escape(byte);
            }
        }
        self.out.extend_from_slice(&bytes[plain..]);
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
            b'\n' => self.out.extend_from_slice(b"\\n"),
            b'\r' => self.out.extend_from_slice(b"\\r"),
            b'\t' => self.out.extend_from_slice(b"\\t"),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

impl Default for JsonWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer for JsonWriter {
    fn member(&mut self, member: &'static Member) {
        self.separate();
        // The names of members are AWS's identifiers: nothing in them needs an escape.
        self.out.push(b'"');
        self.out.extend_from_slice(member.name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn begin_structure(&mut self) {
        self.out.push(b'{');
    }

    fn end_structure(&mut self) {
        self.out.push(b'}');
    }

    fn begin_list(&mut self, _: &'static List) {
        self.out.push(b'[');
    }

    fn item(&mut self) {
        self.separate();
    }

    fn end_list(&mut self) {
        self.out.push(b']');
    }

    fn begin_map(&mut self, _: &'static Map) {
        self.out.push(b'{');
    }

    fn key(&mut self, key: &str) {
        self.name(key);
    }

    fn end_entry(&mut self) {}

    fn end_map(&mut self) {
        self.out.push(b'}');
    }

    fn string(&mut self, value: &str) {
        self.quote(value);
    }

    fn integer(&mut self, value: i64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.out.extend_from_slice(format!("{value:?}").as_bytes());
        } else {
            // JSON has no such numbers; Smithy gives them as text.
            let name = if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            self.quote(name);
        }
    }

    fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn blob(&mut self, value: &[u8]) {
        self.quote(&STANDARD.encode(value));
    }

    fn timestamp(&mut self, EpochMs(ms): EpochMs) {
        let (seconds, rest) = (ms.div_euclid(1000), ms.rem_euclid(1000));
        if rest == 0 {
            self.integer(seconds);
        } else {
            self.double(ms as f64 / 1000.0);
        }
    }
}
