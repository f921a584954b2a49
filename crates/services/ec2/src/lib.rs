//! EC2 (2016-11-15), as far as servers must be named: instances, zones, networks, security groups, tags.
//!
//! An instance is a machine that the operator has and has [registered](Machines). Every account has a default VPC in
//! every region, in it a default subnet for each of the region's zones and a default security group; other VPCs there
//! are none.
//!
//! Invariants:
//! - An instance is a row before anybody is told its id. So is a security group, but the default ones, whose ids follow
//!   from account and region and which get a row when their rules change.
//! - Rows are read for each call: what another process has registered is there at once.
//! - The only place with EC2's sentences is `errors.rs`.
//!
//! Knows nothing of load balancers: who uses a security group, [`api::SecurityGroupUsers`] answers.

mod api_impl;
mod errors;
mod filters;
mod instances;
mod machines;
mod network;
mod paging;
mod place;
mod rows;
mod rules;
mod security_groups;
mod service;
mod tags;

pub use machines::{MACHINES_MAX, Machine, Machines, MachinesError, NewMachine};
pub use place::OpenError;
pub use service::{Ec2, Ec2Options};
