//! Bytes both ways between the captive's sockets and the world outside.
//!
//! Invariants:
//! - At most [`CONNECTIONS_MAX`] connections are relayed at once; further ones wait in the kernel's queue.
//! - A side that ends its half keeps the other half open: requests may be followed by an end long before their answer.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Each costs two descriptors and two small buffers.
const CONNECTIONS_MAX: usize = 400;

/// Where connections go.
#[derive(Clone, Debug)]
pub(super) enum Outside {
    /// There.
    Address(SocketAddr),
    /// To a name and a port, looked up each time.
    Name(String),
}

impl Outside {
    async fn connect(&self) -> std::io::Result<TcpStream> {
        match self {
            Self::Address(address) => TcpStream::connect(address).await,
            Self::Name(name) => TcpStream::connect(name.as_str()).await,
        }
    }
}

/// Relays for as long as what comes out lives.
pub(super) fn serve(ways: impl Iterator<Item = (OwnedFd, Outside)>) -> std::io::Result<JoinSet<()>> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut serving = JoinSet::new();
    for (socket, outside) in ways {
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        serving.spawn(accept(listener, outside, slots.clone()));
    }
    Ok(serving)
}

async fn accept(listener: tokio::net::TcpListener, outside: Outside, slots: Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((inside, _)) => {
                let outside = outside.clone();
                tokio::spawn(async move {
                    relay(inside, &outside).await;
                    drop(slot);
                });
            }
            // Out of descriptors: trying again at once would only burn CPU.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn relay(mut inside: TcpStream, outside: &Outside) {
    // Dropping the client's connection says what there is to say: nobody answers there.
    let Ok(mut outside) = outside.connect().await else { return };
    let _ = inside.set_nodelay(true);
    let _ = outside.set_nodelay(true);
    let _ = copy_bidirectional(&mut inside, &mut outside).await;
}
