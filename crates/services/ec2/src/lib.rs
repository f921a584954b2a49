//! EC2 (2016-11-15), as far as servers must be named: instances, zones, security groups.
//!
//! Invariants:
//! - An instance is a row before anybody is told its id.
//! - The only place with EC2's sentences is `errors.rs`.
