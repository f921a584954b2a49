//! CloudFormation (2010-05-15): templates made real, and kept so.
//!
//! Invariants:
//! - The intent of every step is durable before a service is called, and what came of it before the next step: after a
//!   crash at any moment the engine goes on, and neither makes a resource twice nor loses one.
//! - Resources are made, changed and deleted through the services' public operations alone.
//!
//! Knows nothing of HTTP and signatures, nor of any other service but its operations.

pub mod template;
