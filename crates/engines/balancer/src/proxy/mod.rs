//! The HTTP relay: serves one client connection from its first byte to its last.
//!
//! Invariants:
//! - Requests of a connection are served one after the other, each answered before the next is looked at.
//! - What a target gets was written anew from what the parser understood; no byte of a request's head is copied blindly.
//! - Bodies stream: a connection holds at most a head and one big buffer for each direction.
//! - While nothing comes, a connection holds no buffer, and after a moment's idleness nothing but its own small state.
//! - A body that a target cuts off is cut off for the client too: an end is never made up.
//! - Every request leaves exactly one access record and is counted exactly once.

mod answer;
mod balance;
mod buffers;
mod connection;
mod dispatch;
mod exchange;
mod flow;
pub(crate) mod http1;
mod report;
mod response;
mod stickiness;
#[cfg(test)]
mod tests;
mod upgrade;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use buffers::Buffers;

use crate::access_record::TlsInfo;
use crate::state::Slot;
use crate::stream::Stream;
use crate::worker::Worker;
use connection::{Connection, Next};

/// Serves `client`, who connected from `peer` to `local`, until one side closes; `seat` is dropped then.
///
/// Not an `async fn`: that would keep a second place for each of its arguments in the state of every idle connection.
pub(crate) fn serve<S: 'static>(
    worker: Rc<Worker>,
    slot: Arc<Slot>,
    seat: S,
    client: Stream,
    (peer, local): (SocketAddr, SocketAddr),
    tls: Option<TlsInfo>,
) -> impl Future<Output = ()> + 'static {
    let mut connection = Connection::new(worker, slot, client, peer, local, tls);
    async move {
        let _seat = &seat;
        while let Some(input) = connection.first_bytes().await {
            // All that a request needs lives in this box, and an idle connection has none.
            match Box::pin(connection.serve_requests(input)).await {
                Next::Idle => {}
                Next::Close => break,
            }
        }
        if connection.needs_farewell() {
            Box::pin(connection.close()).await;
        }
    }
}
