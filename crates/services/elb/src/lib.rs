//! Classic Elastic Load Balancing (2012-06-01): AWS's words for the balancer.
//!
//! Invariants:
//! - A change is durable first, then live, then answered.
//! - The only place with ELB's sentences is `errors.rs`; what the balancer serves is a pure function of the rows.
