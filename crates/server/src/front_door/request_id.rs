//! Request ids: unique, cheap, and shaped like AWS's.
//!
//! They are no secret: a random start and a counter through a mixing function, so that a request costs no system call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ::host::Ids;
use api::RequestId;

/// The source of this process's request ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    seed: [u64; 2],
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(ids: &dyn Ids) -> Self {
        Self { seed: [ids.u64(), ids.u64()], count: AtomicU64::new(0) }
    }

    /// A version 4 UUID's text that this process has not given before.
    pub(super) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Relaxed);
        // Mixing is a bijection, so the first half alone is unique for as long as the counter is, but for six bits.
        let (high, low) = (mix(self.seed[0].wrapping_add(count)), mix(self.seed[1] ^ count));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_be_bytes());
        bytes[8..].copy_from_slice(&high.to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        RequestId(text(bytes))
    }
}

/// SplitMix64's finaliser.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn text(bytes: [u8; 16]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_distinct_and_look_like_uuids() {
        let ids = RequestIds { seed: [1, 2], count: AtomicU64::new(0) };
        let drawn: HashSet<String> = (0..10_000).map(|_| ids.next().0).collect();
        assert_eq!(drawn.len(), 10_000);
        for id in drawn {
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        }
    }
}
