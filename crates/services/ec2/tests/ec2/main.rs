//! EC2 by its operations: each, and each of its errors.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers of an integration test"
)]

mod instances;
mod network;
mod not_yet;
mod platform;
mod security_groups;
mod tagging;
mod wire;
