//! [`Engine`]: the door to everything here.
//!
//! Invariants:
//! - Each promise is durable before it is acknowledged.
//! - One task an instance carries its changes, in order; nobody waits for another instance.

mod start;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Clock, Ids};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bake::Oven;
use crate::boot::CONSOLE;
use crate::files;
use crate::image::{self, Image, ImageRoot};
use crate::instance::{Instance, InstanceId, InstanceSpec, InstanceState};
use crate::isolation::{Isolation, IsolationReport};
use crate::launch::loopback;
use crate::limits::Cgroups;
use crate::network::config::{Ipv4Network, Networks, VpcId, check_name};
use crate::network::dns::Names;
use crate::network::metadata::Metadata;
use crate::network::namespace::Namespace;
use crate::network::networks::{Live, blocking, listen};
use crate::record::Record;
use crate::worker::{Command, Wanted, Worker};

/// What AWS gives out of a console.
const CONSOLE_BYTES_MAX: usize = 64 << 10;
/// Where images are, in the engine's directory.
const IMAGES: &str = "images";
/// Commands to one instance that wait for their turn.
const COMMANDS_MAX: usize = 64;

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
    /// (files), besides `dir`, users' homes, keys, and other
    /// such places.
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
        state: InstanceState,
    },
    /// The VPC is not in the published networks.
    #[error("there is no VPC {0}")]
    NoSuchVpc(VpcId),
    /// A value that was to be published contradicts itself.
    #[error("{0}")]
    InvalidNetworks(String),
    /// Another engine, of this process or another, has not let go of the directory.
    #[error("another engine has {0}")]
    InUse(PathBuf),
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
    /// With the last clone every task of the engine ends.
    _stop: Arc<DropGuard>,
}

/// What the engine's tasks share.
pub(crate) struct Shared {
    /// The engine's own, canonical.
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) init_program: PathBuf,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) report: IsolationReport,
    pub(crate) cgroups: Cgroups,
    pub(crate) live: Arc<Live>,
    /// Which boot of the machine this is.
    pub(crate) machine_boot: String,
    /// Whether networks were published since the start.
    pub(crate) published: watch::Sender<bool>,
    pub(crate) stop: CancellationToken,
    instances: watch::Sender<Arc<BTreeMap<InstanceId, Arc<Instance>>>>,
    workers: Mutex<BTreeMap<InstanceId, mpsc::Sender<Command>>>,
    /// Held while an image is baked.
    baking: tokio::sync::Mutex<()>,
    /// Held for as long as the engine has its directory.
    _lock: File,
}

impl Engine {
    /// Takes over `options.dir`: adopts the instances of a previous process that still run, cleans what is half made,
    /// and waits for the first [`Engine::publish`] before it starts anything that should run and does not.
    pub async fn start(options: Options) -> Result<Self, EngineError> {
        let stop = CancellationToken::new();
        let guard = Arc::new(stop.clone().drop_guard());
        let (shared, found) = tokio::task::spawn_blocking(move || start::start(options, stop))
            .await
            .map_err(|error| EngineError::Unsupported(error.to_string()))??;
        let shared = Arc::new(shared);
        for found in found {
            Shared::employ(&shared, found.id, found.record, found.process);
        }
        Ok(Self { shared, _stop: guard })
    }

    /// What is enforced on this machine.
    pub fn isolation(&self) -> &IsolationReport {
        &self.shared.report
    }

    /// From now on, metadata come from `metadata`. Until the first call, instances that ask wait.
    pub fn set_metadata(&self, metadata: Arc<dyn Metadata>) {
        self.shared.live.metadata.documents.send_replace(Some(metadata));
    }

    /// From now on, `names` answers for names that no interface has.
    pub fn set_names(&self, names: Arc<dyn Names>) {
        *self.shared.live.resolver.names.write() = Some(names);
    }

    /// Makes `networks` what holds: VPCs come and go, filters change under running instances. Returns when it holds.
    /// What is refused changes nothing.
    pub async fn publish(&self, networks: Networks) -> Result<(), EngineError> {
        networks.check().map_err(EngineError::InvalidNetworks)?;
        let published = self.shared.live.publish(networks, self.shared.report.privileged).await;
        published.map_err(|source| EngineError::System { what: "cannot change the networks".into(), source })?;
        self.shared.published.send_replace(true);
        Ok(())
    }

    /// Makes an instance. When this returns it is durable and pending; [`Engine::instances`] tells the rest.
    pub async fn launch(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        let id = spec.id.clone();
        check_name(&id.0).map_err(|_| EngineError::InvalidId(id.0.to_string()))?;
        if self.shared.live.published.load().interface_of(&id).is_none() {
            return Err(EngineError::NoInterface(id));
        }
        let record = Record::new(spec, self.shared.clock.now());
        let (dir, written) = (self.shared.dir_of(&id), record.clone());
        let made = blocking(move || {
            std::fs::create_dir(&dir)?;
            written.write(&dir)?;
            files::sync_parent(&dir)
        });
        match made.await {
            Ok(()) => Shared::employ(&self.shared, id, record, None),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(EngineError::InstanceExists(id)),
            Err(source) => return Err(EngineError::System { what: format!("cannot write {id} down"), source }),
        }
        Ok(())
    }

    /// Starts a stopped instance over its disk as it was left.
    pub async fn start_instance(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.shared.command(id, Wanted::Start).await
    }

    /// Ends the processes of a running instance; its disk stays. Returns once that is durable; done when stopped.
    pub async fn stop(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.shared.command(id, Wanted::Stop).await
    }

    /// Ends the processes of a running instance and starts it anew over its disk. It stays running meanwhile, as on AWS.
    pub async fn reboot(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.shared.command(id, Wanted::Reboot).await
    }

    /// Ends an instance and removes its disk, from any state. Returns once that is durable; done when terminated.
    /// Terminating twice is not an error.
    pub async fn terminate(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.shared.command(id, Wanted::Terminate).await
    }

    /// Removes the record and the console output of a terminated instance.
    pub async fn forget(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.shared.command(id, Wanted::Forget).await
    }

    /// Changes what a stopped instance is made from (user data, limits, …) for its next start; `on_exit`,
    /// `shutdown_grace` also of a running one. The id stays.
    pub async fn modify(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        let id = spec.id.clone();
        self.shared.command(&id, Wanted::Modify(Arc::new(spec))).await
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
    pub async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, EngineError> {
        let known = self.instance(id).ok_or_else(|| EngineError::NoSuchInstance(id.clone()))?;
        let path = known.dir.join(CONSOLE);
        let all = blocking(move || match files::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        });
        let what = format!("cannot read the console of {id}");
        let mut all = all.await.map_err(|source| EngineError::System { what, source })?;
        all.drain(..all.len().saturating_sub(CONSOLE_BYTES_MAX));
        Ok(all)
    }

    /// Makes a tarball (compressed or not) an image; it is there whole or not at all.
    pub async fn add_image(&self, name: &str, tarball: &Path) -> Result<Image, EngineError> {
        let (images, name, tarball) = (self.shared.dir.join(IMAGES), name.to_owned(), tarball.to_owned());
        let what = format!("cannot make {} the image {name}", tarball.display());
        let unpacked = blocking(move || image::unpack(&images, &name, &tarball)).await;
        unpacked.map_err(|source| EngineError::System { what, source })
    }

    /// The image with these packages in it, installed by its own package manager with the host's network. Takes as long
    /// as that does, the first time; whoever is launched over it finds them there, offline too.
    pub async fn bake(&self, image: &Image, packages: &[String]) -> Result<Image, EngineError> {
        if !self.shared.report.privileged {
            return Err(EngineError::Unsupported(
                "an image can be baked only where instances have a root of their own".into(),
            ));
        }
        let _one_at_a_time = self.shared.baking.lock().await;
        let oven = Oven {
            layers: self.shared.dir.join(start::LAYERS),
            init_program: self.shared.init_program.clone(),
            masked: self.shared.masked.clone(),
            resolvers: self.shared.live.resolver.upstream.clone(),
        };
        let (image, packages) = (image.clone(), packages.to_vec());
        let what = format!("cannot bake {} into an image", packages.join(", "));
        let baked = blocking(move || oven.bake(&image, &packages)).await;
        baked.map_err(|source| EngineError::System { what, source })
    }

    /// The images that were made here, by name.
    pub async fn images(&self) -> Result<Vec<(String, Image)>, EngineError> {
        let images = self.shared.dir.join(IMAGES);
        let listed = blocking(move || image::list(&images)).await;
        listed.map_err(|source| EngineError::System { what: "cannot list the images".into(), source })
    }

    /// Removes an image that was made here. Refused while an instance that is not terminated stands on it.
    pub async fn remove_image(&self, name: &str) -> Result<(), EngineError> {
        let (images, name) = (self.shared.dir.join(IMAGES), name.to_owned());
        let of_image = ImageRoot::Directory(images.join(&name));
        let stands = |one: &&Arc<Instance>| one.spec.image.root == of_image && one.state != InstanceState::Terminated;
        if let Some(user) = self.shared.instances.borrow().values().find(stands) {
            return Err(EngineError::Unsupported(format!("the image {name} is in use by {}", user.spec.id)));
        }
        let what = format!("cannot remove the image {name}");
        let removed = blocking(move || image::remove(&images, &name)).await;
        removed.map_err(|source| EngineError::System { what, source })
    }

    /// A VPC's router: balancer nodes open sockets there, bound to their addresses. `None` when unprivileged: open
    /// them as usual then.
    pub fn namespace(&self, vpc: &VpcId) -> Result<Option<Namespace>, EngineError> {
        if !self.shared.report.privileged {
            return Ok(None);
        }
        let router = self.shared.live.router(vpc).ok_or_else(|| EngineError::NoSuchVpc(vpc.clone()))?;
        Ok(Some(router.router.namespace.clone()))
    }

    /// Listens on an address of the VPC's router (an endpoint address, or a balancer node's). When unprivileged, on the
    /// loopback address that stands for it.
    pub async fn bind_tcp(&self, vpc: &VpcId, address: SocketAddrV4) -> Result<std::net::TcpListener, EngineError> {
        let namespace = self.namespace(vpc)?;
        let bound = blocking(move || match namespace {
            Some(namespace) => namespace.enter(|| listen(address)),
            None => listen(SocketAddrV4::new(loopback(*address.ip()), address.port())),
        });
        bound
            .await
            .map_err(|source| EngineError::System { what: format!("cannot listen on {address} in {vpc}"), source })
    }

    /// Where a private address is reached from the server when unprivileged (127.31.38.5 for 172.31.38.5); the address
    /// itself otherwise.
    pub fn reachable(&self, address: Ipv4Addr) -> Ipv4Addr {
        self.shared.reachable(address)
    }

    /// Ends and removes everything: instances, networks, files. The engine is of no use afterwards.
    pub async fn purge(self) -> Result<(), EngineError> {
        let ids: Vec<InstanceId> = self.instances().borrow().keys().cloned().collect();
        for id in &ids {
            self.shared.command(id, Wanted::Purge).await?;
        }
        let mut instances = self.instances();
        let ended = |all: &Arc<BTreeMap<InstanceId, Arc<Instance>>>| {
            all.values().all(|instance| instance.state == InstanceState::Terminated)
        };
        let _ = instances.wait_for(ended).await;
        self.publish(Networks::default()).await?;
        self.shared.stop.cancel();
        let shared = self.shared.clone();
        let removed = blocking(move || {
            shared.cgroups.remove_own();
            files::remove_tree(&shared.dir)
        });
        removed.await.map_err(|source| EngineError::System { what: "cannot remove the engine's files".into(), source })
    }
}

impl Shared {
    pub(crate) fn dir_of(&self, id: &InstanceId) -> PathBuf {
        self.dir.join(start::INSTANCES).join(&*id.0)
    }

    pub(crate) fn reachable(&self, address: Ipv4Addr) -> Ipv4Addr {
        if self.report.privileged { address } else { loopback(address) }
    }

    pub(crate) fn show(&self, id: &InstanceId, instance: Instance) {
        self.instances.send_modify(|all| {
            Arc::make_mut(all).insert(id.clone(), Arc::new(instance));
        });
    }

    pub(crate) fn hide(&self, id: &InstanceId) {
        self.workers.lock().remove(id);
        self.instances.send_modify(|all| {
            Arc::make_mut(all).remove(id);
        });
    }

    /// Gives an instance its task.
    fn employ(shared: &Arc<Self>, id: InstanceId, record: Record, process: Option<crate::process::Process>) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let dir = shared.dir_of(&id);
        // Without the runtime's help its end would not be noticed; the runtime refuses only when it is shutting down.
        let process = process.and_then(|process| process.watched().ok());
        let pid = process.as_ref().map(|process| process.get_ref().number);
        let worker = Worker {
            shared: shared.clone(),
            id: id.clone(),
            dir: dir.clone(),
            record: record.clone(),
            process,
            commands,
            deadline: None,
            metadata: None,
        };
        shared.show(&id, record.view(&dir, pid, |address| shared.reachable(address)));
        shared.workers.lock().insert(id, sender);
        tokio::spawn(worker.run());
    }

    async fn command(&self, id: &InstanceId, what: Wanted) -> Result<(), EngineError> {
        let gone = || EngineError::NoSuchInstance(id.clone());
        let worker = self.workers.lock().get(id).cloned().ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        worker.send(Command { what, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
