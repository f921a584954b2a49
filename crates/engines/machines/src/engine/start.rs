//! Starting: from what is on disk to an engine that has it in hand.
//!
//! Invariants:
//! - A launch that a crash broke off is called off under the instance's lock: afterwards its first process is known, or
//!   there will never be one.
//! - A process that runs and should is adopted; one that should not is ended before anything else is done with it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use rustix::fs::FlockOperation;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{EngineError, Options, Shared};
use crate::bake::HALF;
use crate::boot::{BOOT, LOCK, MILESTONES, PID};
use crate::files;
use crate::instance::{InstanceId, InstanceState};
use crate::isolation;
use crate::launch::masked_paths;
use crate::limits::Cgroups;
use crate::network::dns::{Resolver, resolvers_of};
use crate::network::egress::Denied;
use crate::network::metadata::{Service, TokenKey};
use crate::network::networks::Live;
use crate::process::Process;
use crate::reaper;
use crate::record::Record;

pub(super) const INSTANCES: &str = "instances";
/// Baked layers.
pub(super) const LAYERS: &str = "layers";
const NAMESPACES: &str = "namespaces";
/// Held by the engine that has the directory.
const ENGINE_LOCK: &str = "LOCK";
const TOKEN_KEY: &str = "token.key";

/// An instance of a previous process.
pub(super) struct Found {
    pub(super) id: InstanceId,
    pub(super) record: Record,
    pub(super) process: Option<Process>,
}

pub(super) fn start(options: Options, stop: CancellationToken) -> Result<(Shared, Vec<Found>), EngineError> {
    let system = |what: String| move |source: io::Error| EngineError::System { what, source };
    let in_dir = || system(format!("cannot use {}", options.dir.display()));
    for name in [INSTANCES, LAYERS, NAMESPACES] {
        std::fs::create_dir_all(options.dir.join(name)).map_err(in_dir())?;
    }
    let dir = options.dir.canonicalize().map_err(in_dir())?;
    if dir.to_str().is_none_or(|dir| dir.contains([':', ',', '\\'])) {
        let why =
            format!("{} holds a colon, a comma or a backslash, which overlays cannot have in a path", dir.display());
        return Err(EngineError::Unsupported(why));
    }
    let lock = files::create(&dir.join(ENGINE_LOCK)).map_err(in_dir())?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| EngineError::InUse(dir.clone()))?;
    let init_program = options.init_program.canonicalize();
    let init_program = init_program.map_err(system(format!("cannot find {}", options.init_program.display())))?;
    let cgroups = Cgroups::find(&group_name(&dir));
    let report = isolation::report(options.isolation, cgroups.controllers()).map_err(EngineError::Unsupported)?;
    let machine_boot = files::read_string(Path::new("/proc/sys/kernel/random/boot_id")).map_err(in_dir())?;
    let key = token_key(&dir, &options).map_err(in_dir())?;
    end_baking(&dir.join(LAYERS)).map_err(in_dir())?;
    let found = find_all(&dir.join(INSTANCES), machine_boot.trim(), report.privileged).map_err(in_dir())?;
    let shared = Shared {
        live: Arc::new(live(&dir, &options, key)),
        masked: masked_paths(&dir, &options.masked_paths),
        dir,
        clock: options.clock,
        init_program,
        report,
        cgroups,
        machine_boot: machine_boot.trim().to_owned(),
        published: watch::Sender::new(false),
        stop,
        instances: watch::Sender::default(),
        workers: Mutex::default(),
        baking: tokio::sync::Mutex::default(),
        _lock: lock,
    };
    Ok((shared, found))
}

fn live(dir: &Path, options: &Options, key: TokenKey) -> Live {
    let published = Arc::new(ArcSwap::default());
    let mut upstream = options.resolvers.clone();
    if upstream.is_empty() {
        upstream = resolvers_of(&files::read_string(Path::new("/etc/resolv.conf")).unwrap_or_default());
    }
    Live {
        dir: dir.join(NAMESPACES),
        endpoints: options.endpoint_addresses.clone(),
        metadata: Arc::new(Service { documents: watch::Sender::default(), clock: options.clock.clone(), key }),
        resolver: Arc::new(Resolver { networks: published.clone(), names: RwLock::default(), upstream }),
        denied: Denied::new(&options.egress_denied),
        published,
        routers: Mutex::default(),
        publishing: tokio::sync::Mutex::default(),
    }
}

/// Two engines on one machine must not share cgroups: their directory tells them apart.
fn group_name(dir: &Path) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("millpond-{hex}")
}

fn token_key(dir: &Path, options: &Options) -> io::Result<TokenKey> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(TOKEN_KEY);
    if let Ok(Ok(key)) = files::read(&path).map(<[u8; 32]>::try_from) {
        return Ok(TokenKey(key));
    }
    let mut key = [0; 32];
    options.ids.fill(&mut key);
    files::write_durably(&path, &key)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(TokenKey(key))
}

/// What was half baked is thrown away, with whoever was at it.
fn end_baking(layers: &Path) -> io::Result<()> {
    for name in files::names(layers)?.into_iter().filter(|name| name.ends_with(HALF)) {
        let half = layers.join(name);
        call_off(&half)?;
        let builder = files::read_string(&half.join(PID)).ok().and_then(|written| Process::find(&written));
        if let Some(builder) = builder {
            builder.kill();
            builder.wait();
        }
        files::remove_tree(&half)?;
    }
    Ok(())
}

fn find_all(instances: &Path, machine_boot: &str, privileged: bool) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in files::names(instances)? {
        let dir = instances.join(&name);
        match find(&name, &dir, machine_boot, privileged) {
            Ok(instance) => found.extend(instance),
            // One broken record must not keep all others from their engine.
            Err(error) => warn!(instance = name, %error, "an instance's record cannot be read; it is left as it is"),
        }
    }
    Ok(found)
}

fn find(name: &str, dir: &Path, machine_boot: &str, privileged: bool) -> io::Result<Option<Found>> {
    call_off(dir)?;
    let process = files::read_string(&dir.join(PID)).ok().and_then(|written| Process::find(&written));
    let Some(record) = Record::read(dir)? else {
        end(process, name, privileged);
        files::remove_tree(dir)?;
        return Ok(None);
    };
    let is_ready = files::read_string(&dir.join(MILESTONES)).is_ok_and(|lines| lines.starts_with("ready\n"));
    let should_run = record.state == InstanceState::Running && record.machine_boot == machine_boot && is_ready;
    let id = InstanceId(name.into());
    let adopted = process.filter(|process| {
        // One that was asked to end is left to end: its task kills it at the deadline.
        let adopt =
            should_run || record.state == InstanceState::Stopping || record.state == InstanceState::ShuttingDown;
        if !adopt {
            process.kill();
            process.wait();
        }
        adopt
    });
    if adopted.is_none() && !privileged {
        reaper::kill_marked(name);
    }
    Ok(Some(Found { id, record, process: adopted }))
}

fn end(process: Option<Process>, name: &str, privileged: bool) {
    if let Some(process) = process {
        process.kill();
        process.wait();
    }
    if !privileged {
        reaper::kill_marked(name);
    }
}

/// A launcher at work is waited for; one that has not begun finds nothing to do.
fn call_off(dir: &Path) -> io::Result<()> {
    // In the order of the launcher: who removes the file before the launcher has the lock has called it off.
    let calling_off = dir.join(BOOT);
    files::remove(&calling_off)?;
    match files::open(&dir.join(LOCK)) {
        Ok(lock) => Ok(rustix::fs::flock(&lock, FlockOperation::LockExclusive)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
