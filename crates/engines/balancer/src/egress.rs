//! Connections to targets out of another network namespace, from a node's own address there.
//!
//! Invariants:
//! - Only the making of a socket happens inside: a socket stays in the namespace that it was made in, so whoever uses it
//!   need not be there.
//! - A thread that went inside is back before anything else happens on it. If it cannot come back the process ends:
//!   whatever it did next would be in the wrong network.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

/// Where a node's connections to its targets begin. Going there needs CAP_SYS_ADMIN.
#[derive(Clone, Debug)]
pub struct Egress {
    /// A network namespace (an open `/proc/…/ns/net`); `None` is the process's own.
    pub namespace: Option<Arc<File>>,
    /// The address that targets see; local to that namespace.
    pub source: IpAddr,
}

impl PartialEq for Egress {
    /// The same handle: two handles on one namespace count as two, which costs a new connection and nothing else.
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.namespace, &other.namespace) {
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            (None, None) => true,
            _ => false,
        };
        same && self.source == other.source
    }
}

impl Eq for Egress {}

/// Where a connection begins.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Wherever the system chooses.
    Host,
    /// A node's own place.
    Node(Egress),
    /// The node's own place, which it does not have: the target's address may be somebody else's on the host's network.
    Nowhere,
}

/// A target's address, and where the connection to it begins.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) address: SocketAddr,
    pub(crate) origin: Origin,
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self { address, origin: Origin::Host }
    }
}

impl Destination {
    /// Connects, for as long as it is polled.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        match &self.origin {
            Origin::Host => TcpStream::connect(self.address).await,
            Origin::Node(egress) => egress.socket(self.address)?.connect(self.address).await,
            Origin::Nowhere => Err(io::ErrorKind::NetworkUnreachable.into()),
        }
    }
}

impl Egress {
    fn socket(&self, to: SocketAddr) -> io::Result<TcpSocket> {
        let make = || {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
            // A closed connection's port may be used again at once: a node has one address for all its targets.
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(self.source, 0).into())?;
            Ok(TcpSocket::from_std_stream(socket.into()))
        };
        match &self.namespace {
            None => make(),
            Some(namespace) => inside(namespace, make),
        }
    }
}

thread_local! {
    /// The namespace that this thread belongs to, opened when it leaves it for the first time.
    static HOME: OnceCell<OwnedFd> = const { OnceCell::new() };
}

fn inside<T>(namespace: &File, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    HOME.with(|home| {
        if home.get().is_none() {
            let own = rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let _ = home.set(own);
        }
        let home = home.get().ok_or_else(|| io::Error::other("no home"))?;
        go_to(namespace)?;
        let _back = Back(home);
        make()
    })
}

/// Goes home when dropped, come what may.
struct Back<'a>(&'a OwnedFd);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if let Err(error) = go_to(self.0) {
            tracing::error!(%error, "a thread cannot leave a network namespace");
            std::process::abort();
        }
    }
}

fn go_to(namespace: impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
