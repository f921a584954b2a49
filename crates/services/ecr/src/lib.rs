//! Elastic Container Registry's repositories, as records: what tools make so that they may push to it later.
//!
//! Invariants:
//! - A repository holds no image: nothing can be pushed, and every operation on images answers that it does not exist
//!   here. So no policy of lifecycle, scanning or mutability has anything to act on; they are checked and kept.
//! - What was answered is durable.
//!
//! Knows no registry, no image and no other service.

mod api_impl;
mod errors;
mod lifecycle;
mod policies;
mod repositories;
mod rows;
mod service;
mod tags;

#[cfg(test)]
mod tests;

pub use service::{Ecr, EcrOptions};
