//! The constructor chain: what exists, and who is given whom. As every part takes only what stands before it, calls
//! between them cannot go in circles.
//!
//! Invariants:
//! - Services are opened on a data directory that this process holds, or on memory and a directory that ends with it.
//! - The data directory stays locked until the last service is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::Call;
use autoscaling::{Autoscaling, AutoscalingOptions};
use balancer::{Balancer, ListeningSocket};
use bytes::Bytes;
use cloudformation::{CloudFormation, CloudFormationOptions};
use ec2::{Ec2, Ec2Options, Images, Machines};
use ecr::{Ecr, EcrOptions};
use elb::{Elb, ElbOptions};
use host::{Clock, Disk, Ids, SystemClock, SystemDisk, SystemIds};
use iam::{Authenticator, Iam, Keys, MasterKey, MasterSeal, Mode, Sessions, Sts};
use parking_lot::Mutex;
use queue::Engine;
use s3::{S3, S3Options};
use sqs::{Sqs, SqsOptions};
use ssm::{Ssm, SsmOptions};
use store::Store;
use wire::EncodedResponse;

use crate::config::{AuthChoice, Config, Keep, LoadBalancing};
use crate::data_dir::DataDir;
use crate::facade::Facade;
use crate::front_door::ca::CertificateAuthority;
use crate::front_door::catalogue::{self, Service};
use crate::front_door::tls::Tls;
use crate::instances::Instances;
use crate::metrics::{QUEUES_MAX, Text};

/// Access records that are not in a bucket yet, below the data directory.
const ACCESS_RECORDS_DIR: &str = "access-records";
/// Those of a process that has handed over and finishes what it has begun.
const LEFT_RECORDS_DIR: &str = "access-records-left";
/// How often what load balancers are used for is made durable: a crash loses as much of it at most.
const METER_EVERY: Duration = Duration::from_secs(60);

/// The ground that services stand on.
pub struct Platform {
    home: Home,
    store: Store,
    disk: Arc<dyn Disk>,
    master_key: MasterKey,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    /// The source of all chance.
    pub ids: Arc<dyn Ids>,
}

/// Where state lives.
enum Home {
    Kept(DataDir),
    /// Removed with this; S3 streams bytes through it.
    Passing(Passing),
}

/// A directory that ends with the process.
struct Passing(PathBuf);

impl Passing {
    fn create(ids: &dyn Ids) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("millpond-{:016x}", ids.u64()));
        let created = std::fs::DirBuilder::new().mode(0o700).create(&path);
        created
            .with_context(|| format!("cannot create {}; set TMPDIR to a directory you may write", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Home {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir.path(),
            Self::Passing(passing) => &passing.0,
        }
    }
}

/// The services, open.
pub struct Services {
    /// Simple Queue Service.
    pub sqs: Sqs,
    /// Simple Storage Service.
    pub s3: S3,
    /// Security Token Service.
    pub sts: Sts,
    /// Identity and Access Management.
    pub iam: Iam,
    /// Temporary credentials, and what their holders may do.
    pub sessions: Arc<Sessions>,
    /// Elastic Compute Cloud.
    pub ec2: Ec2,
    /// Classic Elastic Load Balancing.
    pub elb: Elb,
    /// Auto Scaling.
    pub autoscaling: Autoscaling,
    /// Systems Manager's Parameter Store.
    pub ssm: Ssm,
    /// Elastic Container Registry.
    pub ecr: Ecr,
    /// CloudFormation, which may ask all the others.
    pub cloudformation: CloudFormation,
    /// What serves load balancers' traffic, on threads of its own. ELB alone publishes to it.
    pub balancer: Balancer,
    /// What runs instances, where they are run.
    pub instances: Option<Arc<Instances>>,
    engine: Engine,
    resetting: tokio::sync::Mutex<()>,
    /// Held, and with it the lock on the data directory, until all services are gone or it is released.
    home: Mutex<Option<Home>>,
}

impl Platform {
    /// Takes the data directory, or makes a passing one, and opens the store.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);
        let (home, store) = match &config.keep {
            Keep::Dir(path) => {
                let dir = DataDir::open(path)?;
                let store = open_store(dir.path())?;
                (Home::Kept(dir), store)
            }
            Keep::Nothing => {
                (Home::Passing(Passing::create(&*ids)?), Store::in_memory().context("cannot open SQLite")?)
            }
        };
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk::new(home.path().into()));
        let master_key = match (&home, &config.master_key) {
            (_, Some(key)) => key.clone(),
            (Home::Kept(_), None) => MasterKey::load_or_create(&*disk, &*ids)?,
            (Home::Passing(_), None) => {
                let mut bytes = [0; 32];
                ids.fill(&mut bytes);
                MasterKey::from_bytes(bytes)
            }
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let sessions = Arc::new(Sessions::new(store.clone(), &master_key, clock.clone(), ids.clone()));
        Ok(Self { home, store, disk, master_key, sessions, clock, ids })
    }

    /// Opens the access keys and decides the mode, by the rule that local mode never leaves this machine.
    pub fn authenticator(&self, config: &Config) -> anyhow::Result<Authenticator> {
        let keys = Keys::open(self.store.clone(), &self.master_key, self.clock.clone(), self.ids.clone())?;
        let mode = choose_mode(config, keys.is_empty()?)?;
        let (sessions, clock) = (self.sessions.clone(), self.clock.clone());
        Ok(Authenticator::new(mode, Arc::new(keys), sessions, clock, config.account.clone()))
    }

    /// Opens the certificate authority, and TLS for the names that are served.
    pub fn tls(&self, config: &Config) -> anyhow::Result<Tls> {
        let now = self.clock.now();
        let authority = match self.home {
            Home::Kept(_) => CertificateAuthority::load_or_create(&*self.disk, now)?,
            Home::Passing(_) => CertificateAuthority::passing(now)?,
        };
        Ok(Tls::new(config, Arc::new(authority), self.clock.clone())?)
    }

    /// Opens all services, each on those before it.
    ///
    /// `inherited` are sockets of load balancers that another process listens on; if this one takes over from it, its
    /// DNS server answers too until it ends.
    pub async fn services(
        self,
        config: &Config,
        inherited: Vec<ListeningSocket>,
        takes_over: bool,
    ) -> anyhow::Result<Services> {
        let engine = self.queue_engine()?;
        let sqs = self.sqs(config, &engine).await?;
        let s3 = self.s3(config)?;
        let iam = Iam::open(self.store.clone(), &self.master_key, self.clock.clone(), self.ids.clone())?;
        let instances = self.instances(config).await?;
        let ec2 = self.ec2(config, instances.as_ref())?;
        let balancer = self.balancer(&config.load_balancing, inherited, takes_over)?;
        let elb = self.elb(&config.load_balancing, &ec2, &iam, &s3, &balancer, instances.as_ref()).await?;
        ec2.ask_before_delete(elb.security_group_users());
        let autoscaling = self.autoscaling(&ec2, &elb).await?;
        let ssm = self.ssm(&ec2)?;
        let ecr = Ecr::open(EcrOptions { store: self.store.clone(), clock: self.clock.clone() });
        let facade = Facade {
            sqs: sqs.clone(),
            s3: s3.clone(),
            iam: iam.clone(),
            sessions: self.sessions.clone(),
            ec2: ec2.clone(),
            elb: elb.clone(),
            autoscaling: autoscaling.clone(),
            ssm: ssm.clone(),
            ecr: ecr.clone(),
        };
        let cloudformation = self.cloudformation(facade).await?;
        let (resetting, home) = (tokio::sync::Mutex::default(), Mutex::new(Some(self.home)));
        Ok(Services {
            sqs,
            s3,
            sts: Sts::new(self.sessions.clone()),
            iam,
            sessions: self.sessions,
            ec2,
            elb,
            autoscaling,
            ssm,
            ecr,
            cloudformation,
            balancer,
            instances,
            engine,
            resetting,
            home,
        })
    }

    fn queue_engine(&self) -> anyhow::Result<Engine> {
        // The engine logs what it recovered.
        let (engine, _) = Engine::open(queue::Options {
            disk: matches!(self.home, Home::Kept(_)).then(|| self.disk.clone()),
            dir: "journal".into(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            limits: queue::Limits::default(),
            writer: queue::Writer::Thread,
        })
        .context("cannot open the message journal")?;
        Ok(engine)
    }

    async fn sqs(&self, config: &Config, engine: &Engine) -> anyhow::Result<Sqs> {
        let options = SqsOptions {
            store: self.store.clone(),
            engine: engine.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            cooldowns: config.sqs_cooldowns,
        };
        Ok(Sqs::open(options).await?)
    }

    fn s3(&self, config: &Config) -> anyhow::Result<S3> {
        let options = S3Options {
            store: self.store.clone(),
            disk: self.disk.clone(),
            // `blobs` and `tmp` stand beside the journal.
            dir: PathBuf::new(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            base_domains: config.base_domains.clone(),
        };
        Ok(S3::open(options)?)
    }

    async fn instances(&self, config: &Config) -> anyhow::Result<Option<Arc<Instances>>> {
        let is_passing = matches!(self.home, Home::Passing(_));
        Instances::start(config, self.home.path(), is_passing, self.clock.clone(), self.ids.clone()).await
    }

    fn ec2(&self, config: &Config, instances: Option<&Arc<Instances>>) -> anyhow::Result<Ec2> {
        let options = Ec2Options {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            zones: config.load_balancing.zone_names(),
            region: config.region.clone(),
            instances: instances.map(|instances| instances.clone().options()),
            unknown_images: config.unknown_images.clone(),
            instance_roles: Some(self.sessions.clone()),
        };
        Ok(Ec2::open(options)?)
    }

    fn balancer(
        &self,
        config: &LoadBalancing,
        inherited: Vec<ListeningSocket>,
        takes_over: bool,
    ) -> anyhow::Result<Balancer> {
        let dns = (!config.dns_listen.is_empty())
            .then(|| balancer::DnsOptions { listen: config.dns_listen.clone(), zone: config.dns_domain.clone() });
        let options = balancer::Options {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            disk: self.disk.clone(),
            spool_dir: ACCESS_RECORDS_DIR.into(),
            limits: config.limits.clone(),
            worker_threads: config.worker_threads,
            dns,
            inherited,
            takes_over,
        };
        Balancer::start(options).context("cannot start the load balancers")
    }

    async fn elb(
        &self,
        config: &LoadBalancing,
        ec2: &Ec2,
        iam: &Iam,
        s3: &S3,
        balancer: &Balancer,
        instances: Option<&Arc<Instances>>,
    ) -> anyhow::Result<Elb> {
        let options = ElbOptions {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            ec2: Arc::new(ec2.clone()),
            certificates: Arc::new(iam.clone()),
            object_store: Arc::new(s3.clone()),
            balancer: balancer.clone(),
            zones: config.zones.clone(),
            instance_networks: instances.map(|instances| instances.clone() as Arc<dyn api::InstanceNetworks>),
            dns_domain: config.dns_domain.clone(),
        };
        Ok(Elb::open(options).await?)
    }

    async fn autoscaling(&self, ec2: &Ec2, elb: &Elb) -> anyhow::Result<Autoscaling> {
        let options = AutoscalingOptions {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            ec2: Arc::new(ec2.clone()),
            elb: Arc::new(elb.clone()),
        };
        Ok(Autoscaling::open(options).await?)
    }

    fn ssm(&self, ec2: &Ec2) -> anyhow::Result<Ssm> {
        let options = SsmOptions {
            store: self.store.clone(),
            clock: self.clock.clone(),
            secrets: Arc::new(MasterSeal::new(&self.master_key, self.ids.clone())),
            ec2: Arc::new(ec2.clone()),
        };
        Ok(Ssm::open(options)?)
    }

    async fn cloudformation(&self, facade: Facade) -> anyhow::Result<CloudFormation> {
        let options = CloudFormationOptions {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            platform: Arc::new(facade),
        };
        Ok(CloudFormation::open(options).await?)
    }
}

/// Opens the store in a data directory, whether or not a server is using it.
fn open_store(data_dir: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(&data_dir.join("control.sqlite"))?)
}

/// Opens the access keys in a data directory, whether or not a server is using it; a running server notices changes.
pub fn open_keys(config: &Config, data_dir: &Path) -> anyhow::Result<Keys> {
    let master_key = match &config.master_key {
        Some(key) => key.clone(),
        None => MasterKey::load_or_create(&SystemDisk::new(data_dir.into()), &SystemIds)?,
    };
    Ok(Keys::open(open_store(data_dir)?, &master_key, Arc::new(SystemClock), Arc::new(SystemIds))?)
}

/// Opens the registered machines in a data directory, whether or not a server is using it; a running server notices
/// changes.
pub fn open_machines(config: &Config, data_dir: &Path) -> anyhow::Result<Machines> {
    let (clock, ids, zones) = (Arc::new(SystemClock), Arc::new(SystemIds), config.load_balancing.zone_names());
    Ok(Machines::open(open_store(data_dir)?, clock, ids, zones, config.region.clone())?)
}

/// Opens the operator's images in a data directory, whether or not a server is using it; a running server notices
/// changes.
pub fn open_images(data_dir: &Path) -> anyhow::Result<Images> {
    Ok(Images::open(open_store(data_dir)?, Arc::new(SystemClock), Arc::new(SystemIds)))
}

/// The rule of the two modes. Local mode is what laptops and CI want, and nothing that a network may reach.
fn choose_mode(config: &Config, no_keys: bool) -> anyhow::Result<Mode> {
    let loopback = config.is_loopback_only();
    let how = match &config.keep {
        Keep::Dir(dir) => format!("create one with `millpond keys create --data-dir {}`", dir.display()),
        Keep::Nothing => {
            "leave out --ephemeral, which keeps no keys, and create one with `millpond keys create`".into()
        }
    };
    match (config.auth, no_keys) {
        (None | Some(AuthChoice::Local), true) if loopback => Ok(Mode::Local),
        (Some(AuthChoice::Local), true) => {
            anyhow::bail!("cannot use --auth local: it takes any key, so every listener must be on loopback; {how}")
        }
        (Some(AuthChoice::Local), false) => anyhow::bail!(
            "cannot use --auth local: access keys exist; leave the option out, or remove them with `millpond keys rm`"
        ),
        (_, true) if !loopback => anyhow::bail!(
            "cannot listen beyond loopback without access keys: anybody who reaches this machine could use it; {how}, or listen on 127.0.0.1"
        ),
        (_, true) => anyhow::bail!("cannot use --auth strict without access keys: nobody could sign; {how}"),
        (_, false) => Ok(Mode::Strict),
    }
}

impl Services {
    /// Lets a service answer a document; `None` for one that is not here, or takes no documents.
    pub async fn answer(
        &self,
        service: &Service,
        call: &Call,
        operation: &str,
        document: Bytes,
    ) -> Option<EncodedResponse> {
        // Boxed: a request pays for its own service's future, not for the largest.
        let encoded = match service {
            Service::Sqs => Box::pin(self.sqs.handle(call, operation, document)).await,
            Service::Elb => Box::pin(self.elb.handle(call, operation, document)).await,
            Service::Autoscaling => Box::pin(self.autoscaling.handle(call, operation, document)).await,
            Service::Cloudformation => Box::pin(self.cloudformation.handle(call, operation, document)).await,
            Service::Ec2 => Box::pin(self.ec2.handle(call, operation, document)).await,
            Service::Iam => Box::pin(self.iam.handle(call, operation, document)).await,
            Service::Sts => Box::pin(self.sts.handle(call, operation, document)).await,
            Service::Ssm => Box::pin(self.ssm.handle(call, operation, document)).await,
            Service::Ecr => Box::pin(self.ecr.handle(call, operation, document)).await,
            Service::S3 | Service::Other(_) => return None,
        };
        Some(encoded)
    }

    /// From now on nothing waits: long polls answer at once.
    pub fn drain(&self) {
        self.sqs.drain();
        self.s3.drain();
    }

    /// Makes everything durable and stops what runs in the background.
    pub async fn close(&self) -> anyhow::Result<()> {
        self.note_usage().await;
        // Before those that they ask.
        self.cloudformation.close().await;
        self.autoscaling.close().await;
        self.elb.close().await;
        if let Some(instances) = &self.instances {
            instances.close().await?;
        }
        self.s3.close().await;
        Ok(self.sqs.close().await?)
    }

    /// Lets go of the data directory, for the process that takes over. Only the balancer may be used after it, and it
    /// keeps what it records elsewhere.
    pub fn release(&self) {
        *self.home.lock() = None;
    }

    /// From now on access records are kept where the process that takes over finds them in the end.
    pub async fn leave_access_records(&self) {
        if let Err(error) = self.balancer.records().move_to(LEFT_RECORDS_DIR.into()).await {
            tracing::error!(%error, "access records of what is still to finish will be lost");
        }
    }

    /// Takes in the access records of a process that has handed over and ended.
    pub async fn adopt_access_records(&self) {
        if let Err(error) = self.balancer.records().adopt(LEFT_RECORDS_DIR.into()).await {
            tracing::error!(%error, "cannot take in the access records of the process before; the next start tries again");
        }
    }

    /// Empties all services. Access keys stay.
    pub async fn reset(&self) -> anyhow::Result<()> {
        let _alone = self.resetting.lock().await;
        // First who would make again what the others forget.
        self.cloudformation.reset().await?;
        self.autoscaling.reset().await?;
        self.elb.reset().await?;
        self.ec2.reset().await?;
        self.iam.reset().await?;
        self.ssm.reset().await?;
        self.ecr.reset().await?;
        self.sqs.reset().await?;
        Ok(self.s3.reset().await?)
    }

    /// Resolves with the reason when the journal fails; the process should then exit non-zero.
    pub async fn poisoned(&self) -> Arc<str> {
        let mut poisoned = self.engine.poisoned();
        match poisoned.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The engine is gone without having failed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Each service and whether it runs.
    pub fn health(&self) -> Vec<(&'static str, &'static str)> {
        let queue = if self.engine.poisoned().borrow().is_some() { "error" } else { "running" };
        let documents = catalogue::DOCUMENTS.iter().map(|document| match document.service {
            Service::Sqs => (document.name, queue),
            _ => (document.name, "running"),
        });
        documents.chain([(catalogue::S3, "running")]).collect()
    }

    /// Writes the counters of engines and services.
    pub async fn write_metrics(&self, text: &mut Text) {
        crate::metrics::write_journal(text, &self.engine.stats());
        crate::metrics::write_queues(text, &self.sqs.queue_stats(QUEUES_MAX));
        crate::metrics::write_objects(text, &self.s3.stats());
        match self.elb.owners().await {
            Ok(owners) => crate::load_balancer_metrics::write(text, &self.balancer, &owners),
            Err(error) => tracing::error!(%error, "cannot find out whose load balancers are"),
        }
    }

    /// Notes what load balancers are used for, for as long as it is polled.
    pub async fn meter(&self) {
        let mut tick = tokio::time::interval(METER_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.note_usage().await;
        }
    }

    async fn note_usage(&self) {
        if let Err(error) = self.elb.meter(&self.balancer.stats()).await {
            tracing::error!(%error, "cannot keep what load balancers were used for");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn mode(listen: &str, auth: Option<AuthChoice>, no_keys: bool) -> Result<Mode, String> {
        let config = Config::load(Overrides { listen: vec![listen.into()], auth, ..Overrides::default() }).unwrap();
        choose_mode(&config, no_keys).map_err(|error| error.to_string())
    }

    #[test]
    fn local_mode_is_the_default_on_loopback_without_keys_and_impossible_otherwise() {
        let (local, strict) = (Some(AuthChoice::Local), Some(AuthChoice::Strict));
        assert_eq!(mode("127.0.0.1:0", None, true), Ok(Mode::Local));
        assert_eq!(mode("[::1]:0", local, true), Ok(Mode::Local));
        assert_eq!(mode("127.0.0.1:0", None, false), Ok(Mode::Strict));
        assert_eq!(mode("0.0.0.0:0", None, false), Ok(Mode::Strict));
        assert_eq!(mode("127.0.0.1:0", strict, false), Ok(Mode::Strict));
        for (listen, auth, no_keys) in [
            ("0.0.0.0:0", None, true),
            ("0.0.0.0:0", local, true),
            ("0.0.0.0:0", local, false),
            ("127.0.0.1:0", local, false),
            ("127.0.0.1:0", strict, true),
        ] {
            let sentence = mode(listen, auth, no_keys).unwrap_err();
            assert!(sentence.contains("millpond keys"), "says how: {sentence}");
        }
    }
}
