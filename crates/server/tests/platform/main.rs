//! The whole platform over HTTP: the built binary as a child process, and requests as clients send them.

#![allow(clippy::unwrap_used, reason = "a test's helper fails as the test does")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the process under test")]

mod auth;
mod autoscaling;
mod browser;
mod capture;
mod cloudformation;
mod commands;
mod instances;
mod limits;
mod load_balancer;
mod pages;
mod routing;
mod running_instances;
mod shutdown;
mod start;
mod support;
mod take_over;
mod tls;
