//! [`Namespace`]: a handle on a VPC's router, for whoever opens sockets there.
//!
//! Invariants:
//! - A socket stays in the namespace that it was made in: only its making happens inside.
//! - A thread that entered comes back, or ends the process: nothing may go on in the wrong network.

use std::fs::File;
use std::sync::Arc;

/// A network namespace. Cheap to clone; keeps the namespace alive.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// The open handle (`/proc/…/ns/net`), for `setns`.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}
