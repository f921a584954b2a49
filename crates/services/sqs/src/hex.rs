//! Hexadecimal: digests and message ids as clients see them.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// 32 lower-case digits.
pub(crate) fn digest(bytes: &[u8; 16]) -> String {
    let mut text = [0; 32];
    write(&mut text, bytes);
    ascii(&text)
}

/// A UUID's 36 characters.
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = [b'-'; 36];
    write(&mut text[..8], &bytes[..4]);
    write(&mut text[9..13], &bytes[4..6]);
    write(&mut text[14..18], &bytes[6..8]);
    write(&mut text[19..23], &bytes[8..10]);
    write(&mut text[24..], &bytes[10..]);
    ascii(&text)
}

fn write(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn ascii(text: &[u8]) -> String {
    std::str::from_utf8(text).unwrap_or_default().to_owned()
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
