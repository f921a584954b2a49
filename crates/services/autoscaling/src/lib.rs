//! Auto Scaling (2011-01-01): groups of instances that keep their size.
//!
//! Invariants:
//! - State is in rows only. What is to be done next follows from a group's row and from what EC2 and ELB say, so a crash
//!   between any two steps loses nothing and launches nothing twice.
//! - An instance is an intent in a row before EC2 is asked for it; the intent's client token finds it again.
//! - The only place with Auto Scaling's sentences is `errors`, those of activities stand in `causes`; AWS's limits stand
//!   in `limits`.
//!
//! Knows nothing of HTTP, of how an instance is made, and of how load is balanced: it asks `api::ec2::Ec2` and
//! `api::elb::Elb` as a user would.

mod activities;
mod api;
mod calls;
mod causes;
mod converge;
mod cron;
mod describe;
mod draft;
mod errors;
mod groups;
mod health;
mod hooks;
mod instances;
mod launch_configurations;
mod launch_source;
mod lifecycle;
mod limits;
mod live;
mod load_balancers;
mod metrics;
mod paging;
mod placement;
mod plan;
mod policies;
mod ports;
mod processes;
mod refresh;
mod rows;
mod scheduled_actions;
mod service;
mod service_call;
mod standby;
mod stored;
mod tags;
mod termination;
#[cfg(test)]
mod tests;
mod update;
mod world;

pub use service::{Autoscaling, AutoscalingOptions, OpenError};
