//! Identifiers and randomness, seeded in tests.
//!
//! Invariant: every random byte in Millpond comes from an [`Ids`].

use std::cell::RefCell;

/// A source of random bytes and of the identifiers made from them.
pub trait Ids: Send + Sync + 'static {
    /// Fills `bytes` with randomness fit for keys and salts.
    fn fill(&self, bytes: &mut [u8]);

    /// A random 64-bit number.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random (version 4) UUID, RFC 9562 section 5.4.
    fn uuid(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        bytes
    }
}

/// Bytes drawn from the operating system at a time: a request draws its ids without a system call of its own.
const POOL_BYTES: usize = 1024;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], left: 0 }) };
}

/// Random bytes that nobody has seen yet; the last `left` of them.
struct Pool {
    bytes: [u8; POOL_BYTES],
    left: usize,
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > POOL_BYTES / 4 {
            return draw(bytes);
        }
        POOL.with_borrow_mut(|pool| {
            if pool.left < bytes.len() {
                draw(&mut pool.bytes);
                pool.left = POOL_BYTES;
            }
            let start = POOL_BYTES - pool.left;
            let taken = &mut pool.bytes[start..start + bytes.len()];
            bytes.copy_from_slice(taken);
            // What became a key must not stay behind in the pool.
            taken.fill(0);
            pool.left -= bytes.len();
        });
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
fn draw(bytes: &mut [u8]) {
    // A machine without randomness can keep no promise about keys: stopping is the only answer.
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_byte_of_the_pool_is_given_out_twice() {
        let ids: HashSet<[u8; 16]> = (0..10_000).map(|_| SystemIds.uuid()).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn long_keys_and_short_ones_are_filled_to_their_end() {
        for length in [1, 15, 16, 255, 256, 257, 5_000] {
            let mut bytes = vec![0; length];
            // A byte that is never anything but 0 in 64 draws was not filled.
            let mut ever = vec![0; length];
            for _ in 0..64 {
                SystemIds.fill(&mut bytes);
                ever.iter_mut().zip(&bytes).for_each(|(ever, byte)| *ever |= byte);
            }
            assert!(ever.iter().all(|byte| *byte != 0), "{length} bytes");
        }
    }
}
