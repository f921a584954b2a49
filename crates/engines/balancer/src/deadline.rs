//! Coarse timers.

use std::rc::Rc;
use std::sync::Arc;

use host::Clock;

use crate::worker::Worker;

/// A worker's timers.
pub(crate) struct Deadlines;

impl Deadlines {
    pub(crate) fn new(_clock: Arc<dyn Clock>) -> Self {
        Self
    }
}

pub(crate) async fn run(_worker: Rc<Worker>) {}
