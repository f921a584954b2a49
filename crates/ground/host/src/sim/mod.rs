//! Simulations: a clock, ids and a disk that one seed replays.
//!
//! Invariants:
//! - The same seed and the same calls in the same order give the same answers, on any machine.
//! - A simulation is never kinder than the real thing: what an operating system may lose, [`SimDisk`] does lose
//!   under some seed.

mod clock;
mod disk;
mod inode;
mod names;
mod random;

pub use clock::SimClock;
pub use disk::{Faults, SECTOR_BYTES, SimDisk};
pub use random::{Rng, Seed, SimIds, for_each_seed};
