//! EC2 (2016-11-15), as far as servers need it: instances and what they are started from, networks, security groups,
//! tags.
//!
//! An instance is a process tree that an engine runs ([`InstanceEngine`]), or a machine that the operator has and has
//! [registered](Machines). Every account has a default VPC in every region, in it a default subnet for each of the
//! region's zones, a way out and a default security group; it makes others as it likes.
//!
//! Invariants:
//! - An instance is a row before anybody is told its id. So is everything else, the default things included: they are
//!   rows before the first call of their account in their region is answered.
//! - Rows are read for each call: what another process has registered is there at once.
//! - What the engine enforces is a pure function of the rows, published after each change.
//! - The only place with EC2's sentences is `errors`.
//!
//! Knows nothing of load balancers: who uses a security group, [`api::SecurityGroupUsers`] answers.

mod address_pool;
mod addresses;
mod api_impl;
mod cidr;
mod client_tokens;
mod defaults;
mod engine;
mod errors;
mod filters;
mod identity;
mod images;
mod instance_attributes;
mod instance_profiles;
mod instance_status;
mod instance_types;
mod instances;
mod internet_gateways;
mod key_pairs;
mod launch_templates;
mod life;
mod listing;
mod metadata;
mod moments;
mod network_acls;
mod network_interfaces;
mod paging;
mod place;
mod reconcile;
mod regions;
mod registered;
mod request;
mod route_tables;
mod routes;
mod rows;
mod rules;
mod run;
mod security_groups;
mod service;
mod subnets;
mod tags;
mod to_engine;
mod to_networks;
mod transitions;
mod volumes;
mod vpcs;

pub use engine::{InstanceEngine, InstanceOptions, Instances};
pub use images::{CatalogueImage, Images, ImagesError, NewImage, UnknownImages};
pub use place::OpenError;
pub use registered::{MACHINES_MAX, Machine, Machines, MachinesError, NewMachine};
pub use service::{Ec2, Ec2Options};
