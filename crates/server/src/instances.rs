//! [`Instances`]: the engine that runs instances, as EC2 and ELB are given it.
//!
//! Invariants:
//! - Starting costs no process: `ip`, `nft` and the tools' layer are for the first instance.
//! - Instances outlive this process, and the next one on the same directory adopts them; those of a server that keeps
//!   nothing end with it.
//! - What this machine cannot enforce is said, at the start and in the log.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anyhow::Context;
use api::{InstanceNetworks, Way};
use async_trait::async_trait;
use ec2::{InstanceEngine, InstanceOptions};
use host::{Clock, Ids};
use machines::{
    Engine, EngineError, InstanceId, InstanceSpec, Isolation, IsolationReport, Metadata, Networks, Options, VpcId,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::{Config, InstanceIsolation};

mod front_door;
mod tools;

use tools::Tools;

/// Records, disks and consoles, below the data directory.
const MACHINES_DIR: &str = "machines";
/// What is laid over images, below the data directory.
const TOOLS_DIR: &str = "instance-tools";
/// AWS gives an operating system some minutes; what runs here has no disks to unmount.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// How long the process before may take to let go of the engine's directory, and the pause between looks.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
const LET_GO_PAUSE: Duration = Duration::from_millis(50);

/// Runs instances.
pub struct Instances {
    /// Nothing once it is closed.
    engine: Mutex<Option<Engine>>,
    report: IsolationReport,
    tools: Arc<Tools>,
    is_passing: bool,
    /// Addresses that were found in a VPC's network, with that network.
    found: Mutex<HashMap<(String, Ipv4Addr), Weak<File>>>,
    /// VPCs whose networks are there.
    vpcs: watch::Sender<BTreeSet<VpcId>>,
}

/// Starts the engine, once the process before has let go of its directory: what it had begun may hold it for a moment
/// longer than the process held the data directory.
async fn start_engine(options: Options) -> Result<Engine, EngineError> {
    let given_up_at = tokio::time::Instant::now() + LET_GO_WITHIN;
    loop {
        match Engine::start(options.clone()).await {
            Err(EngineError::InUse(_)) if tokio::time::Instant::now() < given_up_at => {
                tokio::time::sleep(LET_GO_PAUSE).await;
            }
            started => return started,
        }
    }
}

/// What the banner says where no instances are run.
pub fn none() -> String {
    "none are run here: [instances] isolation is off, or the log says why".to_owned()
}

impl Instances {
    /// Starts the engine below `home` as the configuration says; `None` where there shall be none, or can't be.
    ///
    /// # Errors
    /// When the operator asked for what this machine cannot do.
    pub async fn start(
        config: &Config,
        home: &Path,
        is_passing: bool,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let isolation = match config.instance_isolation {
            InstanceIsolation::Off => return Ok(None),
            InstanceIsolation::Auto => Isolation::Auto,
            InstanceIsolation::Privileged => Isolation::Privileged,
            InstanceIsolation::Unprivileged => Isolation::Unprivileged,
        };
        let home = std::path::absolute(home).context("cannot find the data directory")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let options = Options {
            dir: home.join(MACHINES_DIR),
            clock,
            ids,
            isolation,
            init_program: program.clone(),
            // Messages, objects and keys are none of an instance's business.
            masked_paths: vec![home.clone()],
            egress_denied: Vec::new(),
            resolvers: Vec::new(),
            endpoint_addresses: vec![front_door::ADDRESS],
        };
        let engine = match start_engine(options).await {
            Ok(engine) => engine,
            Err(error @ EngineError::InUse(_)) => return Err(error).context("cannot run instances"),
            Err(error) if config.instance_isolation == InstanceIsolation::Auto => {
                warn!(%error, "no instances are run");
                return Ok(None);
            }
            Err(error) => return Err(error).context("cannot run instances"),
        };
        let report = engine.isolation().clone();
        for sentence in &report.not_enforced {
            warn!("instances: {sentence}");
        }
        let adopted = engine.instances().borrow().len();
        if adopted > 0 {
            info!(adopted, "instances of the process before");
        }
        engine.set_names(Arc::new(front_door::AwsNames));
        let tools = Arc::new(Tools {
            dir: home.join(TOOLS_DIR),
            program,
            authority: OnceLock::new(),
            laying: Mutex::default(),
        });
        let engine = Mutex::new(Some(engine));
        Ok(Some(Arc::new(Self {
            engine,
            report,
            tools,
            is_passing,
            found: Mutex::default(),
            vpcs: watch::Sender::default(),
        })))
    }

    /// How EC2 runs instances.
    pub fn options(self: Arc<Self>) -> InstanceOptions {
        InstanceOptions {
            layers: vec![self.tools.dir.clone()],
            environment: self.tools.environment(self.report.privileged),
            shutdown_grace: SHUTDOWN_GRACE,
            engine: self,
        }
    }

    /// What the banner says of them.
    pub fn told(&self) -> String {
        match self.report.privileged {
            true => "isolated: each has a root, a network and processes of its own".to_owned(),
            false => "plain processes of this user, not isolated; the log says what is not enforced".to_owned(),
        }
    }

    /// Lets go of the engine's directory. Instances go on, unless nothing is kept.
    ///
    /// # Errors
    /// When something of a server that keeps nothing could not be removed.
    pub async fn close(&self) -> Result<(), EngineError> {
        let Some(engine) = self.engine.lock().take() else { return Ok(()) };
        if self.is_passing { engine.purge().await } else { Ok(()) }
    }

    fn engine(&self) -> Result<Engine, EngineError> {
        self.engine.lock().clone().ok_or_else(|| EngineError::Unsupported("this server is about to end".to_owned()))
    }
}

#[async_trait]
impl InstanceEngine for Instances {
    async fn publish(&self, networks: Networks) -> Result<(), EngineError> {
        let vpcs: BTreeSet<VpcId> = networks.vpcs.keys().cloned().collect();
        // Whoever asks once it is closed is about to end as well, and has nothing to complain of.
        let Ok(engine) = self.engine() else { return std::future::pending().await };
        engine.publish(networks).await?;
        self.vpcs.send_if_modified(|known| std::mem::replace(known, vpcs.clone()) != vpcs);
        Ok(())
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        let (engine, tools) = (self.engine()?, self.tools.clone());
        let laid = tokio::task::spawn_blocking(move || tools.lay());
        laid.await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| EngineError::System { what: "cannot lay the instances' tools out".to_owned(), source })?;
        engine.launch(spec).await
    }

    async fn start_instance(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.engine()?.start_instance(id).await
    }

    async fn stop(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.engine()?.stop(id).await
    }

    async fn reboot(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.engine()?.reboot(id).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.engine()?.terminate(id).await
    }

    async fn forget(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.engine()?.forget(id).await
    }

    async fn modify(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        self.engine()?.modify(spec).await
    }

    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, EngineError> {
        self.engine()?.console(id).await
    }

    fn instances(&self) -> watch::Receiver<ec2::Instances> {
        match self.engine() {
            Ok(engine) => engine.instances(),
            // A receiver without a sender says that nothing will come.
            Err(_) => watch::channel(ec2::Instances::default()).1,
        }
    }

    fn set_metadata(&self, metadata: Arc<dyn Metadata>) {
        if let Ok(engine) = self.engine() {
            engine.set_metadata(metadata);
        }
    }
}

impl InstanceNetworks for Instances {
    fn way_to(&self, instance_id: &str, address: Ipv4Addr) -> Option<Way> {
        let engine = self.engine().ok()?;
        engine.instance(&InstanceId(instance_id.into()))?;
        Some(match self.report.privileged {
            true => Way::Vpc,
            false => Way::Host(IpAddr::V4(engine.reachable(address))),
        })
    }

    fn network(&self, vpc_id: &str, address: Ipv4Addr) -> Option<Arc<File>> {
        let namespace = self.engine().ok()?.namespace(&VpcId(vpc_id.into())).ok()??;
        let key = (vpc_id.to_owned(), address);
        let known = self.found.lock().get(&key).and_then(Weak::upgrade);
        if known.is_none_or(|known| !Arc::ptr_eq(&known, namespace.file())) {
            // The engine may not have got that far with what was published last.
            namespace.enter(|| UdpSocket::bind((address, 0))).ok()?;
            let mut found = self.found.lock();
            found.retain(|_, network| network.strong_count() > 0);
            found.insert(key, Arc::downgrade(namespace.file()));
        }
        Some(namespace.file().clone())
    }
}

/// Where a tool's directory is on this machine: `/sbin` is a link to `/usr/sbin` on most, and must stay one.
fn resolved(directory: &Path) -> PathBuf {
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned())
}
