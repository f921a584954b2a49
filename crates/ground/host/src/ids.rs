//! Identifiers and randomness, seeded in tests.
//!
//! Invariant: every random byte in Millpond comes from an [`Ids`].

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

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        // A machine without randomness can keep no promise about keys: stopping is the only answer.
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}
