//! An instance's first process: this very binary, started under a name that nobody types.
//!
//! Invariants:
//! - It runs before any runtime, thread or allocator-heavy part of the server starts: there may be hundreds of it.
//! - It never exits before every other process of its instance has.

/// Becomes an instance's first process when this program was started as one (it then never returns); else does
/// nothing. A binary that is an [`crate::Options::init_program`] calls it as the first thing in `main`.
pub fn run_if_asked() {}
