//! TCP and SSL listeners.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::access_record::TlsInfo;
use crate::state::Slot;
use crate::stream::Stream;
use crate::worker::Worker;

pub(crate) async fn serve(
    _worker: Rc<Worker>,
    _slot: Arc<Slot>,
    _client: Stream,
    _peer: SocketAddr,
    _local: SocketAddr,
    _tls: Option<TlsInfo>,
) {
}
