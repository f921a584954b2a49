//! The engine over the real kernel: instances that run, networks that filter, and nothing left behind.
//!
//! Invariants:
//! - As root every test runs, and fails where the machine cannot do what it needs; as an ordinary user those of the
//!   privileged mode say so and the unprivileged mode's run.
//! - A test owns its engine, its directory and its names; a census before and after shows that nothing is left.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on must stop; its kernel is real"
)]

mod census;
mod lab;

mod egress;
mod images;
mod lifecycle;
mod limits;
mod network;
mod restart;
mod unprivileged;
