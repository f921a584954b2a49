//! CloudFormation over a cloud in memory.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers of an integration test"
)]

mod cloud;
mod crash;
mod deletion;
mod many;
mod panics;
mod parameter_store;
mod platform;
mod policies;
mod requests;
mod signals;
mod stacks;
mod updates;
