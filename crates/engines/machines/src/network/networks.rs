//! All routers with their services: what is published becomes what is there.
//!
//! Invariants:
//! - Publications take effect one after the other; each is whole before the next begins.
//! - A router of a previous process is taken over as it stands, with its filters, until the first publication.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::config::{Networks, Vpc, VpcId};
use super::dns::Resolver;
use super::egress::{self, Denied};
use super::metadata::{Asker, Service};
use super::namespace::Namespace;
use super::vpc::Router;
use super::{DNS_ADDRESS, EGRESS_ADDRESS, EGRESS_TCP_PORT, METADATA_ADDRESS, METADATA_PORT};
use crate::files;
use crate::instance::InstanceId;

/// What the kernel has of the published networks.
pub(crate) struct Live {
    /// Where namespaces are kept.
    pub(crate) dir: PathBuf,
    pub(crate) published: Arc<ArcSwap<Networks>>,
    pub(crate) endpoints: Vec<Ipv4Addr>,
    pub(crate) metadata: Arc<Service>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) denied: Arc<Denied>,
    pub(crate) routers: Mutex<BTreeMap<VpcId, Arc<Served>>>,
    /// Held while a publication takes effect.
    pub(crate) publishing: tokio::sync::Mutex<()>,
}

/// A router with the tasks that serve on it; they end with it.
pub(crate) struct Served {
    pub(crate) router: Router,
    tasks: Vec<AbortHandle>,
    /// The resolver's second address that is listened on; with another CIDR it would be another.
    resolver: Option<Ipv4Addr>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Live {
    /// Makes `networks` what holds. The kernel's part is skipped when there is none (unprivileged).
    pub(crate) async fn publish(self: &Arc<Self>, networks: Networks, privileged: bool) -> io::Result<()> {
        let _one_at_a_time = self.publishing.lock().await;
        self.published.store(Arc::new(networks));
        if !privileged {
            return Ok(());
        }
        let networks = self.published.load_full();
        for (id, vpc) in &networks.vpcs {
            self.converge(id, vpc).await?;
        }
        self.remove_all_but(&networks).await
    }

    async fn converge(self: &Arc<Self>, id: &VpcId, vpc: &Arc<Vpc>) -> io::Result<()> {
        let known = self.routers.lock().get(id).cloned();
        let path = self.dir.join(&*id.0);
        let (vpc, endpoints) = (vpc.clone(), self.endpoints.clone());
        if let Some(known) = known.clone().filter(|known| known.resolver == vpc.resolver()) {
            return blocking(move || known.router.converge(&vpc, &endpoints)).await;
        }
        drop(known);
        self.routers.lock().remove(id);
        let resolver = vpc.resolver();
        let (router, sockets) = blocking(move || {
            let router = Router::find_or_make(&path)?;
            router.converge(&vpc, &endpoints)?;
            let sockets = router.namespace.enter(|| Sockets::open(resolver))?;
            Ok((router, sockets))
        })
        .await?;
        let tasks = self.serve(id, &router.namespace, sockets)?;
        self.routers.lock().insert(id.clone(), Arc::new(Served { router, tasks, resolver }));
        Ok(())
    }

    fn serve(&self, id: &VpcId, namespace: &Namespace, sockets: Sockets) -> io::Result<Vec<AbortHandle>> {
        let mut tasks = Vec::new();
        let asker = Arc::new(InVpc { id: id.clone(), published: self.published.clone() });
        let metadata = tokio::net::TcpListener::from_std(sockets.metadata)?;
        tasks.push(tokio::spawn(self.metadata.clone().serve(metadata, asker)).abort_handle());
        for (tcp, udp) in sockets.dns {
            let (tcp, udp) = (tokio::net::TcpListener::from_std(tcp)?, tokio::net::UdpSocket::from_std(udp)?);
            tasks.push(tokio::spawn(self.resolver.clone().serve_tcp(id.clone(), tcp)).abort_handle());
            tasks.push(tokio::spawn(self.resolver.clone().serve_udp(id.clone(), udp)).abort_handle());
        }
        let tcp = tokio::net::TcpListener::from_std(sockets.egress_tcp)?;
        tasks.push(tokio::spawn(egress::serve_tcp(tcp, self.denied.clone())).abort_handle());
        let udp = tokio::net::UdpSocket::from_std(sockets.egress_udp)?;
        let serving = egress::serve_udp(udp, namespace.clone(), self.denied.clone());
        tasks.push(tokio::spawn(serving).abort_handle());
        Ok(tasks)
    }

    /// Removes the routers, also those of a previous process, that are in no published VPC.
    async fn remove_all_but(self: &Arc<Self>, networks: &Networks) -> io::Result<()> {
        self.routers.lock().retain(|id, _| networks.vpcs.contains_key(id));
        let kept: Vec<String> = networks.vpcs.keys().map(|id| id.0.to_string()).collect();
        let dir = self.dir.clone();
        blocking(move || {
            for name in files::names(&dir)?.into_iter().filter(|name| !kept.contains(name)) {
                Namespace::remove(&dir.join(name))?;
            }
            Ok(())
        })
        .await
    }

    /// The router that an instance's cable leads to.
    pub(crate) fn router(&self, vpc: &VpcId) -> Option<Arc<Served>> {
        self.routers.lock().get(vpc).cloned()
    }
}

/// The sockets of a router's services; made inside.
struct Sockets {
    metadata: TcpListener,
    dns: Vec<(TcpListener, UdpSocket)>,
    egress_tcp: TcpListener,
    egress_udp: UdpSocket,
}

impl Sockets {
    fn open(resolver: Option<Ipv4Addr>) -> io::Result<Self> {
        let mut dns = Vec::new();
        for address in [Some(DNS_ADDRESS), resolver].into_iter().flatten() {
            let udp = UdpSocket::bind((address, 53))?;
            udp.set_nonblocking(true)?;
            dns.push((listen(SocketAddrV4::new(address, 53))?, udp));
        }
        Ok(Self {
            metadata: listen(SocketAddrV4::new(METADATA_ADDRESS, METADATA_PORT))?,
            dns,
            egress_tcp: listen(SocketAddrV4::new(EGRESS_ADDRESS, EGRESS_TCP_PORT))?,
            egress_udp: egress::udp_socket()?,
        })
    }
}

/// Listens where the calling thread is.
pub(crate) fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    // The standard library's own has SO_REUSEADDR and a backlog that is the system's.
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// In a VPC the router's filter lets an address through only from the card that has it.
struct InVpc {
    id: VpcId,
    published: Arc<ArcSwap<Networks>>,
}

impl Asker for InVpc {
    fn at(&self, peer: SocketAddr) -> Option<InstanceId> {
        let IpAddr::V4(address) = peer.ip() else { return None };
        self.published.load().vpcs.get(&self.id)?.interface_at(address)?.instance.clone()
    }
}

/// Work that waits for the kernel, away from the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
