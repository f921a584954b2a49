//! The payload that the queue engine keeps for us: one message as SQS knows it, in bytes.
//!
//! Invariants:
//! - The first byte is the layout's version; every version ever released stays readable.
//! - Digests are computed once, on send: a receive copies them.
//! - Decoding borrows from the payload and checks every length: a damaged payload is an error, never a panic.
//!
//! Layout 1: version, flags, MD5 of the body (16), then each part that the flags announce: MD5 of the attributes (16);
//! sender (u8 length); trace header (u16); group id (u8); attributes (u8 count, each name u16, type u16, kind u8,
//! value u32); the body takes the rest. Integers are little-endian.

use bytes::Bytes;

use crate::message_attributes::{Attribute, Md5Digest, Value};

const VERSION: u8 = 1;
const HAS_ATTRIBUTES: u8 = 1;
const HAS_TRACE_HEADER: u8 = 2;
const HAS_GROUP_ID: u8 = 4;
const KNOWN_FLAGS: u8 = HAS_ATTRIBUTES | HAS_TRACE_HEADER | HAS_GROUP_ID;
const KIND_TEXT: u8 = 1;
const KIND_BINARY: u8 = 2;

/// A message on its way into the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// The body.
    pub(crate) body: &'a str,
    /// Its MD5.
    pub(crate) body_md5: Md5Digest,
    /// User attributes, sorted by name.
    pub(crate) attributes: &'a [Attribute<'a>],
    /// Their MD5; there when they are.
    pub(crate) attributes_md5: Option<Md5Digest>,
    /// SenderId; at most 255 bytes count.
    pub(crate) sender_id: &'a str,
    /// AWSTraceHeader.
    pub(crate) trace_header: Option<&'a str>,
    /// MessageGroupId.
    pub(crate) group_id: Option<&'a str>,
}

/// A payload that does not hold what it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Written by a newer release.
    #[error("message payload of version {0}, written by a newer release")]
    Version(u8),
    /// Shorter than it says, or not text where text must be.
    #[error("damaged message payload")]
    Damaged,
}

impl Outgoing<'_> {
    /// The bytes to hand to the engine.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        bytes.push(VERSION);
        bytes.push(
            flag(self.attributes_md5.is_some(), HAS_ATTRIBUTES)
                | flag(self.trace_header.is_some(), HAS_TRACE_HEADER)
                | flag(self.group_id.is_some(), HAS_GROUP_ID),
        );
        bytes.extend_from_slice(&self.body_md5);
        if let Some(md5) = self.attributes_md5 {
            bytes.extend_from_slice(&md5);
        }
        put_u8(&mut bytes, self.sender_id);
        if let Some(trace_header) = self.trace_header {
            put_u16(&mut bytes, trace_header);
        }
        if let Some(group_id) = self.group_id {
            put_u8(&mut bytes, group_id);
        }
        if self.attributes_md5.is_some() {
            put_attributes(&mut bytes, self.attributes);
        }
        bytes.extend_from_slice(self.body.as_bytes());
        Bytes::from(bytes)
    }

    /// The exact length: a vector with room to spare would cost `Bytes` another allocation.
    fn encoded_bytes(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|attribute| attribute.bytes() + 9).sum();
        let attributes = self.attributes_md5.map_or(0, |md5| md5.len() + 1 + attributes);
        let trace_header = self.trace_header.map_or(0, |text| 2 + text.len());
        let group_id = self.group_id.map_or(0, |text| 1 + text.len());
        2 + self.body_md5.len() + attributes + 1 + self.sender_id.len() + trace_header + group_id + self.body.len()
    }
}

/// A message as it comes out of the queue, borrowed from its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    /// The body.
    pub(crate) body: &'a str,
    /// Its MD5.
    pub(crate) body_md5: Md5Digest,
    /// The MD5 of all attributes; there when they are.
    pub(crate) attributes_md5: Option<Md5Digest>,
    /// SenderId.
    pub(crate) sender_id: &'a str,
    /// AWSTraceHeader.
    pub(crate) trace_header: Option<&'a str>,
    /// MessageGroupId.
    pub(crate) group_id: Option<&'a str>,
    attribute_count: u8,
    attributes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Reads a payload.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader(payload);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let flags = reader.u8()?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Unreadable::Damaged);
        }
        let body_md5 = reader.md5()?;
        let attributes_md5 = if flags & HAS_ATTRIBUTES != 0 { Some(reader.md5()?) } else { None };
        let sender_id = reader.text_u8()?;
        let trace_header = if flags & HAS_TRACE_HEADER != 0 { Some(reader.text_u16()?) } else { None };
        let group_id = if flags & HAS_GROUP_ID != 0 { Some(reader.text_u8()?) } else { None };
        let attribute_count = if flags & HAS_ATTRIBUTES != 0 { reader.u8()? } else { 0 };
        let attributes = reader.0;
        for _ in 0..attribute_count {
            reader.attribute()?;
        }
        let attributes = &attributes[..attributes.len() - reader.0.len()];
        let body = text(reader.0)?;
        Ok(Self { body, body_md5, attributes_md5, sender_id, trace_header, group_id, attribute_count, attributes })
    }

    /// The user attributes, sorted by name.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + Clone + use<'a> {
        let mut reader = Reader(self.attributes);
        // `decode` has read them all once, so none is lost here.
        (0..self.attribute_count).map_while(move |_| reader.attribute().ok())
    }

    /// How many user attributes there are.
    pub(crate) fn attribute_count(&self) -> usize {
        usize::from(self.attribute_count)
    }
}

fn put_u8(bytes: &mut Vec<u8>, text: &str) {
    let cut = &text.as_bytes()[..text.floor_char_boundary(usize::from(u8::MAX))];
    bytes.push(u8::try_from(cut.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(cut);
}

fn put_u16(bytes: &mut Vec<u8>, text: &str) {
    let cut = &text.as_bytes()[..text.floor_char_boundary(usize::from(u16::MAX))];
    bytes.extend_from_slice(&u16::try_from(cut.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(cut);
}

fn put_attributes(bytes: &mut Vec<u8>, attributes: &[Attribute<'_>]) {
    bytes.push(u8::try_from(attributes.len()).unwrap_or(u8::MAX));
    for attribute in attributes {
        put_u16(bytes, attribute.name);
        put_u16(bytes, attribute.data_type);
        bytes.push(match attribute.value {
            Value::Text(_) => KIND_TEXT,
            Value::Binary(_) => KIND_BINARY,
        });
        let value = attribute.value.bytes();
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(value);
    }
}

#[derive(Clone)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable::Damaged)
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn md5(&mut self) -> Result<Md5Digest, Unreadable> {
        self.array()
    }

    fn text_u8(&mut self) -> Result<&'a str, Unreadable> {
        let length = self.u8()?;
        text(self.take(usize::from(length))?)
    }

    fn text_u16(&mut self) -> Result<&'a str, Unreadable> {
        let length = u16::from_le_bytes(self.array()?);
        text(self.take(usize::from(length))?)
    }

    fn attribute(&mut self) -> Result<Attribute<'a>, Unreadable> {
        let name = self.text_u16()?;
        let data_type = self.text_u16()?;
        let kind = self.u8()?;
        let length = u32::from_le_bytes(self.array()?);
        let value = self.take(usize::try_from(length).map_err(|_| Unreadable::Damaged)?)?;
        let value = match kind {
            KIND_TEXT => Value::Text(text(value)?),
            KIND_BINARY => Value::Binary(value),
            _ => return Err(Unreadable::Damaged),
        };
        Ok(Attribute { name, data_type, value })
    }
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> [Attribute<'static>; 2] {
        [
            Attribute { name: "a", data_type: "String.x", value: Value::Text("ä") },
            Attribute { name: "b", data_type: "Binary", value: Value::Binary(&[0, 255]) },
        ]
    }

    fn full(attributes: &[Attribute<'static>]) -> Bytes {
        let message = Outgoing {
            body: "hello\r\n",
            body_md5: [7; 16],
            attributes,
            attributes_md5: Some([9; 16]),
            sender_id: "123456789012",
            trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793"),
            group_id: Some("tenant"),
        };
        message.encode()
    }

    #[test]
    fn a_message_comes_back_as_it_went_in() {
        let attributes = attributes();
        let bytes = full(&attributes);
        let stored = Stored::decode(&bytes).unwrap();
        assert_eq!((stored.body, stored.body_md5), ("hello\r\n", [7; 16]));
        assert_eq!(stored.attributes_md5, Some([9; 16]));
        assert_eq!(stored.sender_id, "123456789012");
        assert_eq!(stored.trace_header, Some("Root=1-5759e988-bd862e3fe1be46a994272793"));
        assert_eq!(stored.group_id, Some("tenant"));
        assert_eq!(stored.attributes().collect::<Vec<_>>(), attributes);
        assert_eq!(stored.attribute_count(), 2);
    }

    #[test]
    fn the_length_of_a_payload_is_known_before_it_is_written() {
        let attributes = attributes();
        let all = Outgoing {
            body: "body",
            body_md5: [0; 16],
            attributes: &attributes,
            attributes_md5: Some([0; 16]),
            sender_id: "123456789012",
            trace_header: Some("Root=1"),
            group_id: Some("g"),
        };
        assert_eq!(all.encode().len(), all.encoded_bytes());
        let plain = Outgoing { attributes: &[], attributes_md5: None, trace_header: None, group_id: None, ..all };
        assert_eq!(plain.encode().len(), plain.encoded_bytes());
    }

    #[test]
    fn a_plain_message_costs_32_bytes_beside_its_body() {
        let message = Outgoing {
            body: "x",
            body_md5: [1; 16],
            attributes: &[],
            attributes_md5: None,
            sender_id: "123456789012",
            trace_header: None,
            group_id: None,
        };
        let bytes = message.encode();
        assert_eq!(bytes.len(), 32);
        let stored = Stored::decode(&bytes).unwrap();
        assert_eq!((stored.body, stored.attributes().count(), stored.trace_header), ("x", 0, None));
    }

    #[test]
    fn every_payload_of_layout_1_stays_readable() {
        let fixture = b"\x01\x00AAAAAAAAAAAAAAAA\x0c000000000000hello";
        let stored = Stored::decode(fixture).unwrap();
        assert_eq!((stored.body, stored.sender_id, stored.body_md5), ("hello", "000000000000", [b'A'; 16]));
    }

    #[test]
    fn a_payload_cut_anywhere_is_an_error_or_a_shorter_body_never_a_panic() {
        let attributes = attributes();
        let bytes = full(&attributes);
        let head = bytes.len() - "hello\r\n".len();
        for cut in 0..head {
            assert_eq!(Stored::decode(&bytes[..cut]), Err(Unreadable::Damaged), "{cut}");
        }
        assert!(Stored::decode(&bytes[..head]).is_ok());
    }

    #[test]
    fn a_payload_of_a_newer_release_says_so() {
        assert_eq!(Stored::decode(&[2, 0]), Err(Unreadable::Version(2)));
        assert_eq!(Stored::decode(&[1, 0x80]), Err(Unreadable::Damaged));
    }
}
