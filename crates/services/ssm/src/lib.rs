//! Systems Manager's Parameter Store: named texts with versions, in hierarchies, some of them secret.
//!
//! Invariants:
//! - A value that was answered with its version is durable; a version never changes its value.
//! - A SecureString stands in the store only sealed under the master key, bound to its account, region, name and
//!   version: a row that was moved does not open.
//! - `name` and `/name` are one parameter; a parameter's place in the hierarchy is its key, so that a hierarchy is a
//!   range of keys.
//!
//! Knows no key and no cipher ([`api::Secrets`] has both), and nothing of Systems Manager beyond Parameter Store.

mod api_impl;
mod delete;
mod describe;
mod errors;
mod filters;
mod get;
mod images;
mod labels;
mod limits;
mod names;
mod paging;
mod public;
mod put;
mod rows;
mod service;
mod tags;

#[cfg(test)]
mod tests;

pub use service::{OpenError, Ssm, SsmOptions};
