//! HTTP and HTTPS listeners.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::access_record::TlsInfo;
use crate::config::Limits;
use crate::state::Slot;
use crate::stream::Stream;
use crate::worker::Worker;

/// A worker's buffers.
pub(crate) struct Buffers;

impl Buffers {
    pub(crate) fn new(_limits: &Limits) -> Self {
        Self
    }
}

pub(crate) async fn serve(
    _worker: Rc<Worker>,
    _slot: Arc<Slot>,
    _client: Stream,
    _peer: SocketAddr,
    _local: SocketAddr,
    _tls: Option<TlsInfo>,
) {
}
