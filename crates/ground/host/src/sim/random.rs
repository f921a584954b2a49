//! Chance from a seed, and the loop that tries many seeds and names the one that failed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use parking_lot::Mutex;

use crate::Ids;

/// What a simulated run is made from; printing it lets anybody replay the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The environment variable that makes [`for_each_seed`] run one seed only.
const ONE_SEED_VARIABLE: &str = "MILLPOND_SIM_SEED";
/// The environment variable that says how many seeds [`for_each_seed`] runs.
const SEED_COUNT_VARIABLE: &str = "MILLPOND_SIM_SEEDS";

/// Runs `scenario` once per seed: `0..count`, or `0..$MILLPOND_SIM_SEEDS`, or only `$MILLPOND_SIM_SEED`.
///
/// # Panics
/// When the scenario does, after printing the seed that replays the failure; and when a variable holds no number.
#[allow(clippy::disallowed_methods, reason = "a test's own knobs; production never calls this")]
pub fn for_each_seed(count: u64, scenario: impl Fn(Seed)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
    };
    let seeds = match number(ONE_SEED_VARIABLE) {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..number(SEED_COUNT_VARIABLE).unwrap_or(count),
    };
    for seed in seeds {
        // The scenario's state dies with the panic, so nothing half-changed is seen again.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(Seed(seed)))) {
            eprintln!("failed with seed {seed}; replay it with {ONE_SEED_VARIABLE}={seed}");
            resume_unwind(panic);
        }
    }
}

/// A small random number generator for simulations: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", OOPSLA 2014). Not fit for keys.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that always gives the same numbers for the same seed.
    pub fn new(seed: Seed) -> Self {
        Self(seed.0)
    }

    /// The next number, any of 2^64.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a multiply-shift is below 2^-32 for every bound that a simulation uses.
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// An index into something of `length`; 0 when `length` is 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True once in `n` times; never when `n` is 0.
    pub fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.below(u64::from(n)) == 0
    }

    /// One of `choices`, or `None` when there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.index(choices.len()))
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }

    /// A generator of its own, so that two parts of a simulation do not disturb each other's luck.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }
}

/// Identifiers that a seed determines. Not fit for keys.
#[derive(Debug)]
pub struct SimIds(Mutex<Rng>);

impl SimIds {
    /// Ids that are always the same for the same seed, as long as callers come in the same order.
    pub fn new(seed: Seed) -> Self {
        Self(Mutex::new(Rng::new(seed)))
    }
}

impl Ids for SimIds {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_another_seed_others() {
        let ids = |seed| {
            let ids = SimIds::new(Seed(seed));
            (ids.u64(), ids.uuid())
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // From the reference implementation by Sebastiano Vigna, seed 1234567.
        let mut rng = Rng::new(Seed(1_234_567));
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = Rng::new(Seed(3));
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[rng.index(7)] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
        assert!(!rng.one_in(0) && rng.one_in(1));
    }

    #[test]
    fn a_failing_scenario_fails_the_loop() {
        let result = catch_unwind(|| for_each_seed(5, |seed| assert!(seed.0 < 3, "seed three is unlucky")));
        assert!(result.is_err());
    }
}
