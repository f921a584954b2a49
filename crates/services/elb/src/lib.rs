//! Classic Elastic Load Balancing (2012-06-01): AWS's words for the balancer.
//!
//! Invariants:
//! - A change is durable first, then live, then answered.
//! - What the balancer serves is a pure function (`to_balancer`) of the rows and of what EC2 and IAM say; a reconciler
//!   repairs whatever a lost hint or a crash left behind.
//! - The only place with ELB's sentences is `errors`, AWS's limits stand in `limits`.
//!
//! Knows nothing of HTTP, signatures and sockets.

mod access;
mod access_log;
mod api;
mod attributes;
mod data_plane;
mod describe;
mod errors;
mod health_check;
mod instances;
mod interfaces;
mod inventory;
mod limits;
mod listeners;
mod live;
mod load_balancers;
mod placement;
mod policies;
mod policy_types;
mod public_key;
mod publisher;
mod rows;
mod security_policies;
mod service;
mod service_call;
mod status;
mod tags;
#[cfg(test)]
mod tests;
mod to_balancer;
mod usage;
mod world;
mod zones;

pub use publisher::PublishError;
pub use service::{Elb, ElbOptions, OpenError};
pub use status::{Entrance, InstanceStatus, ListenerStatus, NodeStatus, Status};
pub use usage::Usage;
pub use zones::Zone;
