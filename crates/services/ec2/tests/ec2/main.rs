//! EC2 by its operations: each, and each of its errors.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers of an integration test"
)]

mod addresses;
mod asked;
mod attributes;
mod fake_engine;
mod images;
mod instances;
mod key_pairs;
mod launch_templates;
mod life;
mod metadata;
mod network;
mod network_acls;
mod network_interfaces;
mod platform;
mod route_tables;
mod run;
mod security_groups;
mod tagging;
mod vpcs;
mod wire;
