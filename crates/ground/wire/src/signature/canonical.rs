//! The canonical forms that SigV4 hashes: path, query and headers.
//!
//! Invariant: linear in the input (the query's sort aside), and total: any bytes have a canonical form.
//! Source: "Create a signed AWS API request" in the IAM user guide.

use http::HeaderMap;

/// How a service writes the path into the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathStyle {
    /// S3: the decoded path encoded once, `//` and `..` kept, because they are legal in keys.
    S3,
    /// Everybody else: the path as sent, normalised as RFC 3986 has it, encoded once more.
    Normalized,
}

impl PathStyle {
    pub(crate) fn of_service(service: &str) -> Self {
        if service == "s3" { Self::S3 } else { Self::Normalized }
    }
}

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// AWS's `UriEncode` of one byte.
fn push_encoded_byte(out: &mut Vec<u8>, byte: u8, keep_slash: bool) {
    if is_unreserved(byte) || (keep_slash && byte == b'/') {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', HEX_UPPER[usize::from(byte >> 4)], HEX_UPPER[usize::from(byte & 15)]]);
    }
}

/// AWS's `UriEncode` of bytes taken as they are.
pub(crate) fn push_encoded(out: &mut Vec<u8>, bytes: &[u8], keep_slash: bool) {
    for byte in bytes {
        push_encoded_byte(out, *byte, keep_slash);
    }
}

/// The byte at the head of `bytes` with one level of percent-encoding undone, and how many bytes it took.
/// A `%` that no two hexadecimal digits follow stands for itself.
fn decoded_head(bytes: &[u8]) -> (u8, usize) {
    match bytes {
        [b'%', high, low, ..] => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, 3),
            _ => (b'%', 1),
        },
        [byte, ..] => (*byte, 1),
        [] => (0, 0),
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Decodes and encodes again, so that every spelling of a text becomes the canonical one.
fn push_recoded(out: &mut Vec<u8>, mut bytes: &[u8], keep_slash: bool, plus_is_space: bool) {
    while !bytes.is_empty() {
        let (byte, taken) = decoded_head(bytes);
        let byte = if plus_is_space && taken == 1 && byte == b'+' { b' ' } else { byte };
        push_encoded_byte(out, byte, keep_slash);
        bytes = &bytes[taken..];
    }
}

/// Percent-decodes bytes; the inverse of [`push_encoded`].
pub(crate) fn decoded(mut bytes: &[u8], plus_is_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let (byte, taken) = decoded_head(bytes);
        out.push(if plus_is_space && taken == 1 && byte == b'+' { b' ' } else { byte });
        bytes = &bytes[taken..];
    }
    out
}

/// The canonical URI of a path as it stands in the request line.
pub(crate) fn push_path(out: &mut Vec<u8>, raw: &[u8], style: PathStyle) {
    match style {
        PathStyle::S3 if raw.is_empty() => out.push(b'/'),
        PathStyle::S3 => push_recoded(out, raw, true, false),
        PathStyle::Normalized => push_normalized_path(out, raw),
    }
}

fn push_normalized_path(out: &mut Vec<u8>, raw: &[u8]) {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in raw.split(|b| *b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    out.push(b'/');
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        push_encoded(out, segment, false);
    }
    let ends_in_directory = raw.ends_with(b"/") || raw.ends_with(b"/.") || raw.ends_with(b"/..");
    if ends_in_directory && !segments.is_empty() {
        out.push(b'/');
    }
}

/// The canonical query string of a query as it stands in the request line, leaving out the parameter `except`.
pub(crate) fn push_query(out: &mut Vec<u8>, raw: &str, except: Option<&str>) {
    if raw.is_empty() {
        return;
    }
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query_pairs(raw)
        .map(|(name, value)| (recoded(name), recoded(value)))
        .filter(|(name, _)| except.is_none_or(|except| name != except.as_bytes()))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn recoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    push_recoded(&mut out, text.as_bytes(), false, true);
    out
}

/// The `name=value` pairs of a query string, still encoded; empty pieces are none.
pub(crate) fn query_pairs(raw: &str) -> impl Iterator<Item = (&str, &str)> {
    raw.split('&').filter(|piece| !piece.is_empty()).map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

/// A header's value as SigV4 has it: all values joined by commas, each trimmed, runs of spaces made one.
pub(crate) fn push_header_values(out: &mut Vec<u8>, headers: &HeaderMap, name: &str) {
    for (index, value) in headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_trimmed(out, value.as_bytes());
    }
}

fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    let mut after_space = false;
    for byte in value {
        let is_space = *byte == b' ';
        if !(is_space && after_space) {
            out.push(*byte);
        }
        after_space = is_space;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(raw: &str, style: PathStyle) -> String {
        let mut out = Vec::new();
        push_path(&mut out, raw.as_bytes(), style);
        String::from_utf8(out).unwrap()
    }

    fn query(raw: &str) -> String {
        let mut out = Vec::new();
        push_query(&mut out, raw, Some("X-Amz-Signature"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn s3_keeps_its_path_and_encodes_it_once() {
        for (raw, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/a//b/../c/", "/a//b/../c/"),
            ("/my%20key", "/my%20key"),
            ("/my+key!", "/my%2Bkey%21"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/100%", "/100%25"),
            ("/a%2Fb", "/a/b"),
        ] {
            assert_eq!(path(raw, PathStyle::S3), expected, "{raw}");
        }
    }

    #[test]
    fn the_other_services_normalise_their_path_and_encode_it_twice() {
        for (raw, expected) in [
            ("", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/a/./b/../../c", "/c"),
            ("/../..", "/"),
            ("//example//", "/example/"),
            ("/my%20key", "/my%2520key"),
            ("/a/b/..", "/a/"),
        ] {
            assert_eq!(path(raw, PathStyle::Normalized), expected, "{raw}");
        }
    }

    #[test]
    fn the_query_is_decoded_encoded_and_sorted() {
        assert_eq!(query("b=2&a=1&a=0"), "a=0&a=1&b=2");
        assert_eq!(query("acl"), "acl=");
        assert_eq!(query("prefix=a+b&marker=c%2fd"), "marker=c%2Fd&prefix=a%20b");
        assert_eq!(query("x=1&X-Amz-Signature=abc&&=v"), "=v&x=1");
        assert_eq!(query("q=a=b"), "q=a%3Db");
    }

    #[test]
    fn header_values_are_trimmed_and_joined() {
        let mut headers = HeaderMap::new();
        headers.append("my-header", "  a   b  c ".parse().unwrap());
        headers.append("my-header", "d".parse().unwrap());
        let mut out = Vec::new();
        push_header_values(&mut out, &headers, "my-header");
        assert_eq!(out, b"a b c,d");
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_canonical_path(raw in proptest::collection::vec(any::<u8>(), 0..80)) {
            for style in [PathStyle::S3, PathStyle::Normalized] {
                let mut out = Vec::new();
                push_path(&mut out, &raw, style);
                prop_assert!(out.iter().all(|b| is_unreserved(*b) || matches!(b, b'/' | b'%')));
            }
        }

        #[test]
        fn canonicalising_a_query_twice_changes_nothing(raw in "[ -~]{0,60}") {
            let once = query(&raw);
            prop_assert_eq!(query(&once), once);
        }

        #[test]
        fn decoding_undoes_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut out = Vec::new();
            push_encoded(&mut out, &bytes, false);
            prop_assert_eq!(decoded(&out, true), bytes);
        }
    }
}
