//! Launching: from a record to a first process that is ready.
//!
//! Invariants:
//! - Whatever fails, nothing is left running; what is left on disk, the next launch or the reaper overwrites.
//! - The thread that works in an instance's namespace ends there; if it ends early, the namespace and its cable go too.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

use crate::boot::{BOOT, Boot, DISK, MARK, PID, ROOT, Root, WORK};
use crate::files;
use crate::image::ImageRoot;
use crate::init::{ASKED, LAUNCHER};
use crate::instance::InstanceSpec;
use crate::network::config::{Interface, Subnet};
use crate::network::networks::Served;
use crate::network::{DNS_ADDRESS, METADATA_PORT_UNPRIVILEGED};
use crate::process::Process;
use crate::user_data;

/// A first process that takes longer has met something broken; ordinary is a twentieth of a second.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where programs are looked for, inside instances too.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All that a launch needs.
pub(crate) struct Launch {
    pub(crate) dir: PathBuf,
    pub(crate) spec: Arc<InstanceSpec>,
    pub(crate) init_program: PathBuf,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) first_boot: bool,
    pub(crate) interface: Interface,
    /// Its router; `None` when unprivileged.
    pub(crate) router: Option<(Arc<Served>, Subnet)>,
}

impl Launch {
    /// Starts it, on a thread of its own. The error is a sentence for whoever asked.
    pub(crate) fn run(self) -> Result<Process, String> {
        let name = "launch".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || self.on_this_thread());
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        thread.join().unwrap_or_else(|_| Err("the launch panicked".into()))
    }

    fn on_this_thread(self) -> Result<Process, String> {
        let because = |what: &str, error: io::Error| format!("{what}: {error}");
        self.write_files().map_err(|error| because("cannot write the instance's files", error))?;
        if let Some((router, subnet)) = &self.router {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| because("cannot make a namespace", error.into()))?;
            let plugged = router.router.plug(&self.interface, subnet);
            plugged.map_err(|error| because("cannot connect it to its VPC", error))?;
        }
        start_first(&self.init_program, &self.dir, &self.spec.id.0)
    }

    fn write_files(&self) -> io::Result<()> {
        if self.first_boot {
            // A launch that a crash broke off may have left half a disk.
            crate::reaper::remove_disk(&self.dir)?;
        }
        for directory in [DISK, WORK, ROOT] {
            std::fs::create_dir_all(self.dir.join(directory))?;
        }
        files::remove(&self.dir.join(PID))?;
        let boot = serde_json::to_vec(&self.boot()?).map_err(io::Error::other)?;
        files::write(&self.dir.join(BOOT), boot)?;
        // User data may hold passwords.
        std::fs::set_permissions(self.dir.join(BOOT), std::os::unix::fs::PermissionsExt::from_mode(0o600))
    }

    fn boot(&self) -> io::Result<Boot> {
        let home = self.dir.join(DISK);
        let base = if self.router.is_some() { String::new() } else { home.to_string_lossy().into_owned() };
        let mut environment = Vec::new();
        if self.router.is_none() {
            let address = loopback(self.interface.address);
            let endpoint = format!("http://{address}:{METADATA_PORT_UNPRIVILEGED}");
            environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), endpoint));
            environment.push(("MILLPOND_ADDRESS".to_owned(), address.to_string()));
        }
        environment.extend(self.spec.environment.iter().cloned());
        Ok(Boot {
            instance: self.spec.id.to_string(),
            init_program: self.init_program.clone(),
            root: self.router.as_ref().map(|_| self.root()).transpose()?,
            hostname: self.spec.hostname.clone(),
            address: self.interface.address,
            cgroups: self.cgroups.iter().map(|group| group.join("cgroup.procs")).collect(),
            environment,
            public_keys: self.spec.public_keys.clone(),
            tasks: user_data::tasks(self.spec.user_data.as_deref().unwrap_or_default(), self.first_boot, &base),
            first_boot: self.first_boot,
            shutdown_grace_ms: u64::try_from(self.spec.shutdown_grace.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn root(&self) -> io::Result<Root> {
        let image = &self.spec.image;
        let (lowest, masked) = match &image.root {
            ImageRoot::Host => (PathBuf::from("/"), self.masked.clone()),
            ImageRoot::Directory(directory) => (directory.clone(), Vec::new()),
        };
        let lower: Vec<PathBuf> = image.layers.iter().cloned().chain([lowest]).collect();
        if let Some(missing) = lower.iter().find(|layer| !layer.is_dir()) {
            return Err(io::Error::other(format!("its image {} is not there", missing.display())));
        }
        let search = self.spec.hostname.split_once('.').map_or_else(String::new, |(_, domain)| domain.to_owned());
        Ok(Root { lower, masked, resolver: DNS_ADDRESS, search })
    }
}

/// Starts the launcher in `dir`, in the calling thread's network, and waits until the first process is ready.
pub(crate) fn start_first(init_program: &Path, dir: &Path, mark: &str) -> Result<Process, String> {
    let mut launcher = Command::new(init_program);
    // A group of its own: what a terminal sends to the server's is not for instances.
    launcher.args([ASKED, LAUNCHER]).current_dir(dir).env_clear().process_group(0);
    // The mark tells an operator (and the reaper) whose processes these are.
    launcher.env(MARK, mark).env("PATH", PATH);
    launcher.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut launcher = launcher.spawn().map_err(|error| format!("cannot run {}: {error}", init_program.display()))?;
    let ready = launcher.stdout.take().ok_or_else(|| "no pipe".to_owned()).and_then(wait_until_ready);
    // The launcher ends by itself; the first process is the one that it wrote down.
    let _ = launcher.wait();
    let process = files::read_string(&dir.join(PID)).ok().and_then(|written| Process::find(&written));
    match (ready, process) {
        (Ok(()), Some(process)) => Ok(process),
        (Ok(()), None) => Err("its first process ended at once".into()),
        (Err(why), process) => {
            if let Some(process) = process {
                process.kill();
            }
            Err(why)
        }
    }
}

/// Which loopback address stands for a private one.
pub(crate) fn loopback(address: std::net::Ipv4Addr) -> std::net::Ipv4Addr {
    let [_, second, third, fourth] = address.octets();
    std::net::Ipv4Addr::new(127, second, third, fourth)
}

/// Reads what the launcher and the first process say, until the latter lets go.
#[allow(clippy::disallowed_methods, reason = "a deadline of real processes; nothing here is simulated")]
fn wait_until_ready(mut said: ChildStdout) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    let (mut all, mut chunk) = (Vec::new(), [0; 512]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(said.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        if matches!(ready, Ok(0)) {
            return Err(format!("its first process was not ready within {} s", READY_WITHIN.as_secs()));
        }
        match said.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot read from the launcher: {error}")),
        }
    }
    let all = String::from_utf8_lossy(&all);
    if all.lines().any(|line| line == "ready") {
        return Ok(());
    }
    let why = all.lines().find_map(|line| line.strip_prefix("failed "));
    Err(why.unwrap_or("its first process ended before it was ready").to_owned())
}

/// Paths of the host that no instance sees, besides the engine's own directory.
pub(crate) fn masked_paths(dir: &Path, more: &[PathBuf]) -> Vec<PathBuf> {
    const MASKED: &[&str] = &[
        "/boot",
        "/etc/NetworkManager/system-connections",
        "/etc/krb5.keytab",
        "/etc/ssl/private",
        "/etc/wireguard",
        "/home",
        "/media",
        "/mnt",
        "/root",
        "/tmp",
        "/var/crash",
        "/var/lib/containerd",
        "/var/lib/docker",
        "/var/log/journal",
        "/var/spool/cron",
        "/var/tmp",
    ];
    let keys = files::names(Path::new("/etc/ssh")).unwrap_or_default();
    let keys = keys.iter().filter(|name| name.starts_with("ssh_host_")).map(|name| Path::new("/etc/ssh").join(name));
    let all = MASKED.iter().map(PathBuf::from).chain(keys).chain([dir.to_owned()]).chain(more.iter().cloned());
    // Links are resolved: it is the place that is masked. Shorter paths first, so that what is inside one is left out.
    let mut all: Vec<PathBuf> = all.filter_map(|path| path.canonicalize().ok()).collect();
    all.sort();
    all.dedup();
    let mut masked: Vec<PathBuf> = Vec::new();
    for path in all {
        let inside = masked.iter().any(|above| path.starts_with(above));
        if !inside && path != Path::new("/") {
            masked.push(path);
        }
    }
    masked
}
