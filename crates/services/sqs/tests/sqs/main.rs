//! The service as its clients see it, over an engine and a store in memory, with time in the test's hand.
//!
//! Invariant: each test owns its platform; none waits for real time.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot go on has to say where")]

mod access;
mod batches;
mod cost;
mod messages;
mod move_tasks;
mod platform;
mod polling;
mod protocols;
mod queues;
mod redrive;
mod restart;
