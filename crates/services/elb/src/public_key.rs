//! Public keys of backend servers, as a `PublicKeyPolicyType` holds them: base64 of DER, without PEM's lines.
//!
//! Invariant: a key that is accepted decodes to a SubjectPublicKeyInfo-like DER sequence; nothing else is kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a key at most: an RSA key of 16,384 bits has about 2,100.
const KEY_BYTES_MAX: usize = 4096;

/// The key's DER. PEM lines around it and white space within are forgiven.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let body = text.lines().filter(|line| !line.starts_with("-----"));
    let compact: String = body.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    if compact.len() > KEY_BYTES_MAX * 2 {
        return None;
    }
    let der = STANDARD.decode(compact).ok()?;
    (der.len() <= KEY_BYTES_MAX && is_sequence(&der)).then_some(der)
}

/// Whether this is one DER SEQUENCE, whole.
fn is_sequence(der: &[u8]) -> bool {
    let length = match der {
        [0x30, short, ..] if *short < 0x80 => usize::from(*short) + 2,
        [0x30, 0x81, length, ..] => usize::from(*length) + 3,
        [0x30, 0x82, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + 4,
        _ => return false,
    };
    length == der.len() && length > 2
}
