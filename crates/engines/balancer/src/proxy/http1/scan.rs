//! The bytes that HTTP's grammar tells apart, and fast ways to the end of a run of them.
//!
//! Invariants:
//! - Every function takes any bytes and any start, and its result is never beyond their end.
//! - [`text_end`] and [`target_end`] look at eight bytes a step; they agree with [`is_text`] and [`is_target`] byte by byte.

/// `tchar` of RFC 9110, 5.6.2.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// What a header's value consists of: anything but control characters, of which a tab is none.
pub(super) fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// What a request's target consists of: no space, no control character.
pub(super) fn is_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// CR, LF and NUL: they end lines or strings for somebody.
pub(super) fn is_bad(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Without the spaces and tabs around.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, trimmed; empty ones too.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

pub(super) fn token_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(rest.len())
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bit of the first byte that is below `floor` (at most 0x80) or DEL; bits behind that one mean nothing.
fn first_below_or_del(word: u64, floor: u8) -> u64 {
    let below = word.wrapping_sub(LOW * u64::from(floor)) & !word;
    let del = word ^ (LOW * 0x7f);
    let is_del = del.wrapping_sub(LOW) & !del;
    (below | is_del) & HIGH
}

fn end(bytes: &[u8], start: usize, floor: u8, is_inside: impl Fn(u8) -> bool) -> usize {
    let mut at = start;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hit = first_below_or_del(u64::from_le_bytes(*word), floor);
        if hit == 0 {
            at += 8;
            continue;
        }
        at += (hit.trailing_zeros() / 8) as usize;
        if !bytes.get(at).is_some_and(|&byte| is_inside(byte)) {
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| !is_inside(byte)).unwrap_or(rest.len())
}

pub(super) fn text_end(bytes: &[u8], start: usize) -> usize {
    end(bytes, start, b' ', is_text)
}

pub(super) fn target_end(bytes: &[u8], start: usize) -> usize {
    end(bytes, start, b' ' + 1, is_target)
}

/// A length in decimal digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found_wherever_they_stand_and_whatever_they_are() {
        for byte in 0..=255_u8 {
            for place in 0..20 {
                let mut bytes = [b'x'; 20];
                bytes[place] = byte;
                // A second one behind: the first counts.
                bytes[19] = if place < 19 { 0 } else { byte };
                let expected = |is_inside: fn(u8) -> bool| bytes.iter().position(|&b| !is_inside(b)).unwrap_or(20);
                for start in 0..=place {
                    assert_eq!(text_end(&bytes, start), expected(is_text), "{byte:#x} at {place}");
                    assert_eq!(target_end(&bytes, start), expected(is_target), "{byte:#x} at {place}");
                    assert_eq!(token_end(&bytes, start), expected(is_token_byte), "{byte:#x} at {place}");
                }
            }
        }
        assert_eq!(text_end(b"abc", 7), 7);
    }

    #[test]
    fn a_decimal_is_digits_that_fit() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "+1", "-1", "1 ", "0x1", "1_0", "\u{661}"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn lists_and_blanks() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(list(b" a ,,b").collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
    }
}
