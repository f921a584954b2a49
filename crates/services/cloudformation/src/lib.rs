//! CloudFormation (2010-05-15): templates made real, and kept so.
//!
//! Invariants:
//! - The intent of every step is durable before a service is called, and what came of it before the next step: after a
//!   crash at any moment the engine goes on, and neither makes a resource twice nor loses one.
//! - Resources are made, changed and deleted through the services' public operations alone.
//! - The only places with AWS's sentences are `errors` (operations), `template::error` (templates) and
//!   `resources::failure` with the resource types (resources).
//!
//! Knows nothing of HTTP and signatures, nor of any other service but its operations.

mod api;
mod change_sets;
mod changes;
mod classic_json;
mod describe;
mod duration;
mod engine;
mod errors;
mod limits;
mod names;
mod nested;
mod policy;
mod prepare;
mod resources;
mod rows;
mod service;
mod signals;
mod stacks;
mod summary;
pub mod template;

pub use service::{CloudFormation, CloudFormationOptions, OpenError};
pub use signals::WAIT_PATH;
