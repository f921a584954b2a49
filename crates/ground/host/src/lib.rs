//! The outside world behind traits: time, identifiers and disk, each with a simulation.
//!
//! Invariants:
//! - No other crate below `server` reads the clock, draws randomness or touches a file by itself
//!   (`clippy.toml` holds this), so that one seed replays a whole run.
//! - A simulation is never kinder than the real thing.
//!
//! Knows nothing of AWS, HTTP or queues.

mod clock;
mod disk;
mod ids;
pub mod sim;

pub use clock::{Clock, SystemClock, Timestamp};
pub use disk::{Disk, DiskFile, FileKind, Space, SystemDisk};
pub use ids::{Ids, SystemIds};
