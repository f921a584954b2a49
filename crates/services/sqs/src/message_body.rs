//! Message bodies: the characters that they may hold.
//!
//! Invariant: [`has_only_valid_characters`] looks at each byte once and allocates nothing: every message passes it.

/// Whether a text holds only `#x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD #x10000-#x10FFFF`.
///
/// A `str` holds no surrogates, so what remains to find are the control characters below 0x20 and U+FFFE and U+FFFF.
pub(crate) fn has_only_valid_characters(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Two branch-free passes: the compiler turns each into vector code.
    let control = bytes.iter().fold(false, |found, &b| found | (b < 0x20 && b != b'\t' && b != b'\n' && b != b'\r'));
    if control {
        return false;
    }
    let maybe_noncharacter = bytes.iter().fold(false, |found, &b| found | (b == 0xef));
    !maybe_noncharacter || !bytes.windows(3).any(|w| w[0] == 0xef && w[1] == 0xbf && w[2] >= 0xbe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_character_at_the_edges_of_the_allowed_ranges() {
        for good in
            ['\t', '\n', '\r', ' ', '~', '\u{7f}', '\u{d7ff}', '\u{e000}', '\u{fffd}', '\u{10000}', '\u{10ffff}']
        {
            assert!(has_only_valid_characters(&format!("a{good}b")), "{good:?}");
        }
        for bad in ['\0', '\u{8}', '\u{b}', '\u{c}', '\u{e}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
            assert!(!has_only_valid_characters(&format!("a{bad}b")), "{bad:?}");
            assert!(!has_only_valid_characters(&bad.to_string()), "{bad:?}");
        }
    }

    #[test]
    fn neighbours_of_the_noncharacters_pass() {
        assert!(has_only_valid_characters("\u{feff}\u{ff5e}\u{fffc}\u{10fffe}"));
        assert!(has_only_valid_characters(""));
    }
}
