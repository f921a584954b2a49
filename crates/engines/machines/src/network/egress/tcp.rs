//! TCP that leaves a VPC.
//!
//! Invariants:
//! - Both ends are closed when either is, each half for itself; bytes under way are bounded by the sockets' buffers.
//! - Connections have a bound; more wait to be accepted.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Denied;

/// Connections of one VPC at a time.
const CONNECTIONS_MAX: usize = 4096;
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// Carries what the router sends to `listener`, for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, denied: Arc<Denied>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let denied = denied.clone();
        tokio::spawn(async move {
            carry(stream, &denied).await;
            drop(permit);
        });
    }
}

async fn carry(mut inside: TcpStream, denied: &Denied) {
    let destination = original_destination(&inside).filter(|destination| !denied.covers(*destination.ip()));
    let connected = match destination {
        Some(destination) => timeout(CONNECT_WITHIN, TcpStream::connect(SocketAddr::V4(destination))).await,
        None => Ok(Err(std::io::ErrorKind::PermissionDenied.into())),
    };
    let Ok(Ok(mut outside)) = connected else {
        // Closed with a reset: the instance must not take silence for an empty answer.
        let _ = socket2::SockRef::from(&inside).set_linger(Some(Duration::ZERO));
        return;
    };
    let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
    let _ = copy_bidirectional(&mut inside, &mut outside).await;
}

/// Where the instance wanted to go, before the router rewrote it.
fn original_destination(stream: &TcpStream) -> Option<SocketAddrV4> {
    socket2::SockRef::from(stream).original_dst_v4().ok()?.as_socket_ipv4()
}
