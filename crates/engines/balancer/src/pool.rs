//! Idle connections to targets.

use crate::config::Limits;

/// A worker's idle connections.
pub(crate) struct Pools;

impl Pools {
    pub(crate) fn new(_limits: &Limits) -> Self {
        Self
    }
}
