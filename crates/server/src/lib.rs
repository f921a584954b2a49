//! The platform as one process: configuration, the front door, and the wiring of services to engines.
//!
//! Invariants:
//! - This is the only crate that knows every other, and the only one that reads the environment.
//! - A request reaches a service only through [`front_door`], which has authenticated it and bounded what it may cost.
//! - An acknowledged change is on disk before the process exits by any door but `kill -9`, and after that one too.
//!
//! Knows no AWS operation by its meaning; services do.

pub mod cli;
pub mod config;
pub mod data_dir;
pub mod descriptors;
pub mod facade;
pub mod front_door;
pub mod health;
pub mod instances;
pub mod load_balancer_metrics;
pub mod logging;
pub mod metrics;
pub mod shutdown;
pub mod systemd;
pub mod take_over;
pub mod wiring;
