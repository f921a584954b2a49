//! Hexadecimal: digests and message ids as clients see them.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// 32 lower-case digits.
pub(crate) fn digest(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(32);
    push(&mut text, bytes);
    text
}

/// A UUID's 36 characters.
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    let mut rest = bytes.as_slice();
    for (index, length) in [4, 2, 2, 2, 6].into_iter().enumerate() {
        if index > 0 {
            text.push('-');
        }
        let (group, after) = rest.split_at(length);
        push(&mut text, group);
        rest = after;
    }
    text
}

fn push(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_ids_are_lower_case() {
        let bytes = [0x00, 0x01, 0x0f, 0x10, 0xff, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(digest(&bytes), "00010f10ff05060708090a0b0c0d0e0f");
        assert_eq!(uuid(&bytes), "00010f10-ff05-0607-0809-0a0b0c0d0e0f");
    }
}
