//! One task an instance: it alone changes the instance, in order.
//!
//! Invariants:
//! - A command is answered when its record is durable; what follows from the record is done after.
//! - The end of a first process is noticed by the kernel's handle on it, at once, whoever ended it.
//! - Nothing is started before networks were published: its interface is in them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::boot::{FAREWELL, PID};
use crate::engine::{EngineError, Shared};
use crate::files;
use crate::instance::{InstanceId, InstanceSpec, InstanceState, OnExit, Reason};
use crate::launch::{Launch, loopback};
use crate::limits;
use crate::network::METADATA_PORT_BEHIND;
use crate::network::config::VpcId;
use crate::network::networks::blocking;
use crate::process::Process;
use crate::reaper;
use crate::record::Record;

/// How much longer than its grace a first process may take before it is killed.
const KILL_AFTER_GRACE: Duration = Duration::from_secs(7);
/// A cgroup is busy until the kernel has buried its last process.
const CGROUP_TRIES: u32 = 100;
const CGROUP_TRY_EVERY: Duration = Duration::from_millis(20);

/// How long an engine of before may take to let go of an address, and the pause between looks.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
const LET_GO_PAUSE: Duration = Duration::from_millis(50);

/// What somebody wants of an instance.
pub(crate) struct Command {
    pub(crate) what: Wanted,
    /// Told when it is durable, or refused.
    pub(crate) answer: oneshot::Sender<Result<(), EngineError>>,
}

pub(crate) enum Wanted {
    Start,
    Stop,
    Reboot,
    Terminate,
    /// Terminate without grace.
    Purge,
    Modify(Arc<InstanceSpec>),
    Forget,
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: InstanceId,
    pub(crate) dir: PathBuf,
    pub(crate) record: Record,
    pub(crate) process: Option<AsyncFd<Process>>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// When a process that was asked to end is killed.
    pub(crate) deadline: Option<Instant>,
    /// Answers for metadata, when unprivileged.
    pub(crate) metadata: Option<Serving>,
}

impl Worker {
    /// Until the instance is forgotten, or the engine is gone.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let mut published = self.shared.published.subscribe();
        self.show();
        if self.process.is_some() {
            self.serve_metadata();
            // Adopted. The engine of before may have written down that it should end, and no more.
            let should_end = matches!(self.record.state, InstanceState::Stopping | InstanceState::ShuttingDown);
            if should_end || self.record.rebooting {
                self.ask_to_end();
            }
        } else {
            self.settle().await;
        }
        loop {
            if self.should_start() && *published.borrow() {
                self.boot().await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = published.changed(), if self.should_start() => {}
                command = self.commands.recv() => {
                    let Some(command) = command else { return };
                    if self.obey(command).await {
                        return;
                    }
                }
                () = ended(self.process.as_ref()) => self.on_end().await,
                () = until(self.deadline) => {
                    self.deadline = None;
                    if let Some(process) = &self.process {
                        process.get_ref().kill();
                    }
                }
            }
        }
    }

    fn should_start(&self) -> bool {
        self.process.is_none() && matches!(self.record.state, InstanceState::Pending | InstanceState::Running)
    }

    /// True when nothing is left to look after.
    async fn obey(&mut self, command: Command) -> bool {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
        let state = self.record.state;
        let done = match (command.what, state) {
            (Wanted::Forget, Terminated) => {
                let forgotten = self.forget().await;
                let gone = forgotten.is_ok();
                let _ = command.answer.send(forgotten);
                return gone;
            }
            (Wanted::Start, Stopped) => self.change(|record| record.state = Pending).await,
            (Wanted::Start, Pending | Running)
            | (Wanted::Stop, Stopping | Stopped)
            | (Wanted::Terminate, ShuttingDown | Terminated)
            | (Wanted::Purge, Terminated) => Ok(()),
            (Wanted::Stop, Running) => self.end(Stopping, false).await,
            (Wanted::Reboot, Running) => {
                let done = self.change(|record| record.rebooting = true).await;
                self.ask_to_end();
                done
            }
            (Wanted::Terminate, _) => self.end(ShuttingDown, false).await,
            (Wanted::Purge, _) => self.end(ShuttingDown, true).await,
            (Wanted::Modify(spec), state) if state != Terminated => self.modify(&spec, state).await,
            _ => Err(EngineError::WrongState { id: self.id.clone(), state }),
        };
        let _ = command.answer.send(done);
        // A stop or an end of what has no process is over at once; it is told first that it is accepted.
        if self.process.is_none() && matches!(self.record.state, Stopping | ShuttingDown) {
            self.settle().await;
        }
        false
    }

    async fn end(&mut self, state: InstanceState, at_once: bool) -> Result<(), EngineError> {
        self.change(|record| {
            record.state = state;
            record.rebooting = false;
            record.reason = Some(Reason::Asked);
        })
        .await?;
        match &self.process {
            Some(process) if at_once => process.get_ref().kill(),
            _ => self.ask_to_end(),
        }
        Ok(())
    }

    fn ask_to_end(&mut self) {
        if let Some(process) = &self.process {
            process.get_ref().ask_to_end();
            self.deadline = Some(Instant::now() + self.record.spec.shutdown_grace + KILL_AFTER_GRACE);
        }
    }

    async fn modify(&mut self, spec: &Arc<InstanceSpec>, state: InstanceState) -> Result<(), EngineError> {
        let mut new = InstanceSpec::clone(spec);
        if state != InstanceState::Stopped {
            // The rest holds from its next start on, which is not this one.
            let (on_exit, shutdown_grace) = (new.on_exit, new.shutdown_grace);
            new = InstanceSpec { on_exit, shutdown_grace, ..InstanceSpec::clone(&self.record.spec) };
            if new != **spec {
                return Err(EngineError::WrongState { id: self.id.clone(), state });
            }
        }
        self.change(|record| record.spec = Arc::new(new)).await
    }

    /// Its first process has ended, or was never found.
    async fn on_end(&mut self) {
        self.process = None;
        self.deadline = None;
        self.settle().await;
    }

    /// Removes what the run leaves, and brings the state to rest.
    async fn settle(&mut self) {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
        let farewell = files::read_string(&self.dir.join(FAREWELL)).unwrap_or_default();
        let ran = self.record.machine_boot == self.shared.machine_boot;
        self.clean_run().await;
        let (next, reason) = match self.record.state {
            Stopping => (Stopped, Some(Reason::Asked)),
            ShuttingDown => (ShuttingDown, Some(Reason::Asked)),
            // Started (again) as soon as it may be: new, rebooting, or its machine was switched off meanwhile.
            Pending => return,
            Running if self.record.rebooting || farewell == "reboot" || !ran => {
                let _ = self.change(|record| record.rebooting = true).await;
                return;
            }
            Running => {
                let reason = if farewell == "poweroff" { Reason::ShutDownInside } else { Reason::Killed };
                let next = if self.record.spec.on_exit == OnExit::Stop { Stopped } else { ShuttingDown };
                (next, Some(reason))
            }
            Stopped | Terminated => return,
        };
        info!(instance = %self.id, state = ?next, ?reason, "instance ended");
        self.come_to_rest(next, reason).await;
    }

    async fn come_to_rest(&mut self, next: InstanceState, reason: Option<Reason>) {
        let rest = |record: &mut Record, state| {
            record.state = state;
            record.reason.clone_from(&reason);
        };
        if next == InstanceState::ShuttingDown {
            if self.record.state != next {
                let _ = self.change(|record| rest(record, next)).await;
            }
            let dir = self.dir.clone();
            if let Err(error) = blocking(move || reaper::remove_disk(&dir)).await {
                warn!(instance = %self.id, %error, "cannot remove an instance's disk; the next start tries again");
                return;
            }
            let _ = self.change(|record| rest(record, InstanceState::Terminated)).await;
        } else {
            let _ = self.change(|record| rest(record, next)).await;
        }
    }

    /// Removes what one run leaves behind: processes without a namespace, its cable, its cgroups.
    async fn clean_run(&mut self) {
        self.metadata = None;
        let (shared, record, dir, id) = (self.shared.clone(), self.record.clone(), self.dir.clone(), self.id.clone());
        let cleaned = blocking(move || {
            if !shared.report.privileged {
                reaper::kill_marked(&id.0);
            }
            let router = record.vpc.as_ref().and_then(|vpc| shared.live.router(&VpcId(vpc.as_str().into())));
            let unplugged = match (router, record.address) {
                (Some(router), Some(address)) => router.router.unplug(address),
                _ => Ok(()),
            };
            remove_cgroups(&record.cgroups)?;
            files::remove(&dir.join(PID))?;
            unplugged
        });
        if let Err(error) = cleaned.await {
            warn!(instance = %self.id, %error, "cannot clean up after an instance");
        }
    }

    async fn boot(&mut self) {
        let booted = self.try_boot().await;
        let failed = match booted {
            Ok(process) => match process.watched() {
                Ok(process) => {
                    self.process = Some(process);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            Err(why) => Some(why),
        };
        let Some(why) = failed else {
            self.serve_metadata();
            let now = self.shared.clock.now();
            let _ = self
                .change(|record| {
                    record.state = InstanceState::Running;
                    record.reason = None;
                    record.booted = true;
                    if !std::mem::take(&mut record.rebooting) {
                        record.started = now;
                    }
                })
                .await;
            return;
        };
        warn!(instance = %self.id, why, "instance could not be started");
        self.clean_run().await;
        // As on AWS: a new one is terminated, one with a past is stopped.
        let next = if self.record.booted { InstanceState::Stopped } else { InstanceState::ShuttingDown };
        self.come_to_rest(next, Some(Reason::LaunchFailed(why))).await;
    }

    async fn try_boot(&mut self) -> Result<Process, String> {
        let shared = self.shared.clone();
        let networks = shared.live.published.load_full();
        let (vpc, network, interface) =
            networks.interface_of(&self.id).ok_or("no interface in the published networks belongs to it")?;
        let subnet = network.subnets.get(&interface.subnet).ok_or("its subnet is not there")?;
        let router = match shared.live.router(vpc) {
            Some(router) => Some((router, subnet.clone())),
            None if shared.report.privileged => return Err(format!("{vpc} has no router")),
            None => None,
        };
        let cgroups = shared.cgroups.groups(&self.id.0);
        let (address, vpc) = (interface.address, vpc.0.to_string());
        self.change(|record| {
            record.cgroups.clone_from(&cgroups);
            record.address = Some(address);
            record.vpc = Some(vpc);
            record.machine_boot.clone_from(&shared.machine_boot);
        })
        .await
        .map_err(|error| error.to_string())?;
        let made = shared.cgroups.make(&self.id.0, &self.record.spec.limits);
        made.map_err(|error| format!("cannot make its cgroups: {error}"))?;
        let launch = Launch {
            dir: self.dir.clone(),
            spec: self.record.spec.clone(),
            init_program: shared.init_program.clone(),
            masked: shared.masked.clone(),
            cgroups,
            first_boot: !self.record.booted,
            interface: interface.clone(),
            router,
        };
        tokio::task::spawn_blocking(move || launch.run()).await.map_err(|error| error.to_string())?
    }

    /// An unprivileged instance asks on its own loopback address, so the listener knows who asks. Its first process
    /// listens there, and passes on to here.
    fn serve_metadata(&mut self) {
        let Some(address) = self.record.address.filter(|_| !self.shared.report.privileged) else { return };
        let address = SocketAddr::from((loopback(address), METADATA_PORT_BEHIND));
        let (service, id) = (self.shared.live.metadata.clone(), self.id.clone());
        let serving = tokio::spawn(async move {
            match bind_when_free(address).await {
                Ok(listener) => service.serve(listener, Arc::new(Alone(id))).await,
                Err(error) => warn!(instance = %id, %address, %error, "cannot serve metadata"),
            }
        });
        self.metadata = Some(Serving(serving.abort_handle()));
    }

    /// Changes the record: on disk, then in sight.
    async fn change(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), EngineError> {
        let mut new = self.record.clone();
        change(&mut new);
        if new.state != self.record.state {
            new.since = self.shared.clock.now();
        }
        let (written, dir) = (new.clone(), self.dir.clone());
        blocking(move || written.write(&dir)).await.map_err(|source| EngineError::System {
            what: format!("cannot write the record of {}", self.id),
            source,
        })?;
        self.record = new;
        self.show();
        Ok(())
    }

    fn show(&self) {
        let pid = self.process.as_ref().map(|process| process.get_ref().number);
        self.shared.show(&self.id, self.record.view(&self.dir, pid, |address| self.shared.reachable(address)));
    }

    async fn forget(&mut self) -> Result<(), EngineError> {
        let dir = self.dir.clone();
        let removed = blocking(move || {
            // Without its record it is half made, whatever else a crash leaves of it.
            files::remove(&dir.join(crate::record::RECORD))?;
            files::sync_parent(&dir.join(crate::record::RECORD))?;
            files::remove_tree(&dir)
        });
        let what = format!("cannot remove what is left of {}", self.id);
        removed.await.map_err(|source| EngineError::System { what, source })?;
        self.shared.hide(&self.id);
        Ok(())
    }
}

fn remove_cgroups(cgroups: &[PathBuf]) -> std::io::Result<()> {
    for _ in 0..CGROUP_TRIES {
        if limits::remove(cgroups) {
            return Ok(());
        }
        std::thread::sleep(CGROUP_TRY_EVERY);
    }
    Err(std::io::Error::other("its cgroups stay busy"))
}

/// A task that serves; it ends with this, and with the engine.
pub(crate) struct Serving(tokio::task::AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn bind_when_free(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let given_up_at = Instant::now() + LET_GO_WITHIN;
    loop {
        match tokio::net::TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < given_up_at => {
                tokio::time::sleep(LET_GO_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Whoever connects to an instance's own loopback address is taken to be that instance.
struct Alone(InstanceId);

impl crate::network::metadata::Asker for Alone {
    fn at(&self, _: std::net::SocketAddr) -> Option<InstanceId> {
        Some(self.0.clone())
    }
}

async fn ended(process: Option<&AsyncFd<Process>>) {
    match process {
        Some(process) => {
            let _ = process.readable().await;
        }
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
