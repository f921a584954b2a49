//! The constructor chain: what exists, and who is given whom. As every part takes only what stands before it, calls
//! between them cannot go in circles.
//!
//! Invariants:
//! - Services are opened on a data directory that this process holds, or on memory and a directory that ends with it.
//! - The data directory stays locked until the last service is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use host::{Clock, Disk, Ids, SystemClock, SystemDisk, SystemIds};
use iam::{Authenticator, Keys, MasterKey, Mode};
use store::Store;

use crate::config::{AuthChoice, Config, Keep};
use crate::data_dir::DataDir;
use crate::metrics::{QUEUES_MAX, Text};

/// The ground that services stand on.
pub struct Platform {
    home: Home,
    store: Store,
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

/// The services, open.
pub struct Services {
    /// Simple Queue Service.
    pub sqs: sqs::Sqs,
    /// Simple Storage Service.
    pub s3: s3::S3,
    /// Security Token Service.
    pub sts: iam::Sts,
    engine: queue::Engine,
    resetting: tokio::sync::Mutex<()>,
    /// Held, and with it the lock on the data directory, until all services are gone.
    _home: Home,
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
        Ok(Self { home, store, clock: Arc::new(SystemClock), ids })
    }

    /// Opens the access keys and decides the mode, by the rule that local mode never leaves this machine.
    pub fn authenticator(&self, config: &Config) -> anyhow::Result<Authenticator> {
        let master_key = match (&self.home, &config.master_key) {
            (_, Some(key)) => key.clone(),
            (Home::Kept(dir), None) => MasterKey::load_or_create(&SystemDisk::new(dir.path().into()), &*self.ids)?,
            (Home::Passing(_), None) => {
                let mut bytes = [0; 32];
                self.ids.fill(&mut bytes);
                MasterKey::from_bytes(bytes)
            }
        };
        let keys = Keys::open(self.store.clone(), &master_key, self.clock.clone(), self.ids.clone())?;
        let mode = choose_mode(config, keys.is_empty()?)?;
        Ok(Authenticator::new(mode, Arc::new(keys), self.clock.clone(), config.account.clone()))
    }

    /// Opens all services.
    pub async fn services(self, config: &Config) -> anyhow::Result<Services> {
        let disk: Arc<dyn Disk> = match &self.home {
            Home::Kept(dir) => Arc::new(SystemDisk::new(dir.path().into())),
            Home::Passing(passing) => Arc::new(SystemDisk::new(passing.0.clone())),
        };
        // The engine logs what it recovered.
        let (engine, _) = queue::Engine::open(queue::Options {
            disk: matches!(self.home, Home::Kept(_)).then(|| disk.clone()),
            dir: "journal".into(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            limits: queue::Limits::default(),
            writer: queue::Writer::Thread,
        })
        .context("cannot open the message journal")?;
        let sqs = sqs::Sqs::open(sqs::SqsOptions {
            store: self.store.clone(),
            engine: engine.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            cooldowns: config.sqs_cooldowns,
        })
        .await?;
        let s3 = s3::S3::open(s3::S3Options {
            store: self.store,
            disk,
            // `blobs` and `tmp` stand beside the journal.
            dir: PathBuf::new(),
            clock: self.clock,
            ids: self.ids,
            base_domains: config.base_domains.clone(),
        })?;
        Ok(Services { sqs, s3, sts: iam::Sts, engine, resetting: tokio::sync::Mutex::default(), _home: self.home })
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
    /// From now on nothing waits: long polls answer at once.
    pub fn drain(&self) {
        self.sqs.drain();
        self.s3.drain();
    }

    /// Makes everything durable and stops what runs in the background.
    pub async fn close(&self) -> anyhow::Result<()> {
        self.s3.close().await;
        Ok(self.sqs.close().await?)
    }

    /// Empties all services. Access keys stay.
    pub async fn reset(&self) -> anyhow::Result<()> {
        let _alone = self.resetting.lock().await;
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
    pub fn health(&self) -> [(&'static str, &'static str); 3] {
        let queue = if self.engine.poisoned().borrow().is_some() { "error" } else { "running" };
        [("s3", "running"), ("sqs", queue), ("sts", "running")]
    }

    /// Writes the counters of engine and services.
    pub fn write_metrics(&self, text: &mut Text) {
        crate::metrics::write_journal(text, &self.engine.stats());
        crate::metrics::write_queues(text, &self.sqs.queue_stats(QUEUES_MAX));
        crate::metrics::write_objects(text, &self.s3.stats());
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
