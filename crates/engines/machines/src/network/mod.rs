//! Networks: a router namespace a VPC, a pair of virtual cards an instance, filters between them.
//!
//! Invariant: what the kernel has is a function of the published [`config::Networks`] and of the running instances.

pub(crate) mod config;
pub(crate) mod dns;
pub(crate) mod metadata;
pub(crate) mod namespace;
