//! [`Engine`]: the door to everything here.
//!
//! Invariants:
//! - Each promise is durable before it is acknowledged.
//! - One task an instance carries its changes, in order; nobody waits for another instance.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;

use host::{Clock, Ids};
use tokio::sync::watch;

use crate::instance::{Instance, InstanceId, InstanceSpec};
use crate::isolation::{Isolation, IsolationReport};
use crate::network::config::{Ipv4Network, Networks, VpcId};
use crate::network::dns::Names;
use crate::network::metadata::Metadata;
use crate::network::namespace::Namespace;

/// What an engine needs.
#[derive(Clone)]
pub struct Options {
    /// Everything on disk: records, disks, console output, namespace handles. One engine has it at a time.
    pub dir: PathBuf,
    /// Stamps states.
    pub clock: Arc<dyn Clock>,
    /// Makes tokens.
    pub ids: Arc<dyn Ids>,
    /// How far instances are kept apart.
    pub isolation: Isolation,
    /// The binary that calls [`crate::init::run_if_asked`] first thing in `main`: the server's own.
    pub init_program: PathBuf,
    /// Absolute paths of the host that instances over [`crate::ImageRoot::Host`] see empty (directories) or not at all
    /// (files), besides those of [`Options::masked_paths_default`] and `dir`.
    pub masked_paths: Vec<PathBuf>,
    /// Destinations outside the VPC that no instance reaches through the host, besides link-local, loopback and the
    /// host's own addresses.
    pub egress_denied: Vec<Ipv4Network>,
    /// Who is asked for names that nobody here knows; the host's `/etc/resolv.conf` when empty.
    pub resolvers: Vec<SocketAddr>,
    /// Addresses (link-local, such as 169.254.169.252) that each VPC's router has besides those for metadata and DNS,
    /// so that [`Engine::bind_tcp`] can serve there.
    pub endpoint_addresses: Vec<Ipv4Addr>,
}

/// Why something was refused, or failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The id names no instance.
    #[error("there is no instance {0}")]
    NoSuchInstance(InstanceId),
    /// The id was used before.
    #[error("instance {0} exists already")]
    InstanceExists(InstanceId),
    /// The id cannot be a file's name.
    #[error("{0:?} is no instance id: lowercase letters, digits and dashes, 64 at most")]
    InvalidId(String),
    /// No published interface names the instance.
    #[error("no interface in the published networks belongs to {0}; publish it before the launch")]
    NoInterface(InstanceId),
    /// The instance's state does not allow it.
    #[error("instance {id} is {state:?}")]
    WrongState {
        /// Which.
        id: InstanceId,
        /// Its state.
        state: crate::instance::InstanceState,
    },
    /// The VPC is not in the published networks.
    #[error("there is no VPC {0}")]
    NoSuchVpc(VpcId),
    /// A value that was to be published contradicts itself.
    #[error("{0}")]
    InvalidNetworks(String),
    /// Something that this machine lacks.
    #[error("{0}")]
    Unsupported(String),
    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried, and with what.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The engine; clones share it. Dropping the last clone leaves instances running: the next start adopts them.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    report: IsolationReport,
    instances: watch::Sender<Arc<BTreeMap<InstanceId, Arc<Instance>>>>,
}

impl Engine {
    /// Takes over `options.dir`: adopts the instances of a previous process that still run, cleans what is half made,
    /// and waits for the first [`Engine::publish`] before it starts anything that should run and does not.
    pub async fn start(_options: Options) -> Result<Self, EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// What is enforced on this machine.
    pub fn isolation(&self) -> &IsolationReport {
        &self.shared.report
    }

    /// From now on, metadata come from `metadata`. Until the first call, instances that ask get 503.
    pub fn set_metadata(&self, _metadata: Arc<dyn Metadata>) {}

    /// From now on, `names` answers for names that no interface has.
    pub fn set_names(&self, _names: Arc<dyn Names>) {}

    /// Makes `networks` what holds: VPCs come and go, filters change under running instances. Returns when it holds.
    /// What is refused changes nothing.
    pub async fn publish(&self, _networks: Networks) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Makes an instance. When this returns it is durable and pending; [`Engine::instances`] tells the rest.
    pub async fn launch(&self, _spec: InstanceSpec) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Starts a stopped instance over its disk as it was left.
    pub async fn start_instance(&self, _id: &InstanceId) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Ends the processes of a running instance; its disk stays. Returns once that is durable; done when stopped.
    pub async fn stop(&self, _id: &InstanceId) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Ends the processes of a running instance and starts it anew over its disk. It stays running meanwhile, as on AWS.
    pub async fn reboot(&self, _id: &InstanceId) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Ends an instance and removes its disk, from any state. Returns once that is durable; done when terminated.
    /// Terminating twice is not an error.
    pub async fn terminate(&self, _id: &InstanceId) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Removes the record and the console output of a terminated instance.
    pub async fn forget(&self, _id: &InstanceId) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Changes what a stopped instance is made from (user data, limits, …) for its next start; `on_exit`,
    /// `shutdown_grace` also of a running one. The id stays.
    pub async fn modify(&self, _spec: InstanceSpec) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// All instances as they are now, and a notice at each change; never blocks, never misses the newest.
    pub fn instances(&self) -> watch::Receiver<Arc<BTreeMap<InstanceId, Arc<Instance>>>> {
        self.shared.instances.subscribe()
    }

    /// One instance as it is now.
    pub fn instance(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.shared.instances.borrow().get(id).cloned()
    }

    /// The newest console output, at most 64 KiB of it.
    pub async fn console(&self, _id: &InstanceId) -> Result<Vec<u8>, EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// A VPC's router: balancer nodes open sockets there, bound to their addresses. `None` when unprivileged: open
    /// them as usual then.
    pub fn namespace(&self, _vpc: &VpcId) -> Result<Option<Namespace>, EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Listens on an address of the VPC's router (an endpoint address, or a balancer node's). When unprivileged, on the
    /// loopback address that stands for it.
    pub async fn bind_tcp(&self, _vpc: &VpcId, _address: SocketAddrV4) -> Result<std::net::TcpListener, EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }

    /// Where a private address is reached from the server when unprivileged (127.31.38.5 for 172.31.38.5); the address
    /// itself otherwise.
    pub fn reachable(&self, address: Ipv4Addr) -> Ipv4Addr {
        address
    }

    /// Ends and removes everything: instances, networks, files. The engine is of no use afterwards.
    pub async fn purge(self) -> Result<(), EngineError> {
        Err(EngineError::Unsupported("not yet built".into()))
    }
}
