//! Process number 1 of an instance: starts user data, keeps the console, reaps, shuts down.
//!
//! Invariants:
//! - It waits for nothing but `poll`: whatever an instance's processes do, it reaps and obeys.
//! - It ends last: every other process is asked, then killed, then reaped before.
//! - It says why it ends ([`FAREWELL`]); if that is missing, it was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::console::Console;
use super::tasks::Tasks;
use super::{front, privileges, root, trying};
use crate::boot::{BOOT, Boot, CONSOLE, DISK, FAREWELL, MARK, MILESTONES};
use crate::files;
use crate::launch::{PATH, loopback};
use crate::network::{METADATA_PORT_BEHIND, METADATA_PORT_UNPRIVILEGED};

/// Console output read at a time.
const CHUNK_BYTES: usize = 8 << 10;
/// Chunks read in a row before other things have their turn.
const CHUNKS_MAX: usize = 16;
/// After SIGKILL only the kernel can hold a process back; nobody waits longer for it.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// Where user data's output goes inside the instance as well.
const OUTPUT_LOG: &str = "/var/log/cloud-init-output.log";

struct First {
    signals: SignalFd,
    console: Console,
    /// What was printed to /dev/console; an unprivileged instance has none.
    console_pipe: Option<File>,
    /// What user data and its descendants print.
    output: File,
    output_writer: File,
    output_log: Option<File>,
    milestones: File,
    farewell: File,
    tasks: Tasks,
    grace: Duration,
    /// It only has its process group and its descendants to itself, not a namespace.
    privileged: bool,
}

/// Why it ends.
#[derive(Clone, Copy)]
enum Farewell {
    PowerOff,
    Reboot,
}

/// Runs in the instance's directory, in the instance's namespaces; never returns in good order.
pub(super) fn run() -> Result<(), String> {
    let mut go = [0; 2];
    trying("nobody said go", io::stdin().read_exact(&mut go))?;
    let boot: Boot = trying(BOOT, files::read(Path::new(BOOT)).map_err(|error| error.to_string()))
        .and_then(|bytes| trying(BOOT, serde_json::from_slice(&bytes)))?;
    let signals = trying("cannot block signals", block_signals())?;
    let open = || -> io::Result<(Console, File, File)> {
        let console = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(CONSOLE)?;
        Ok((Console::new(console)?, files::create(Path::new(MILESTONES))?, files::create(Path::new(FAREWELL))?))
    };
    let (mut console, milestones, farewell) = trying("cannot open the instance's files", open())?;
    let console_pipe = match &boot.root {
        Some(overlay) => {
            root::enter(&boot, overlay)?;
            privileges::drop_most()?;
            Some(trying("cannot make /dev/console", console_pipe())?)
        }
        None => {
            trying("cannot enter its home", enter_home())?;
            let address = loopback(boot.address);
            if let Err(error) = front::open(address, METADATA_PORT_UNPRIVILEGED, METADATA_PORT_BEHIND) {
                console.say(&format!("no metadata: cannot listen on {address}:{METADATA_PORT_UNPRIVILEGED}: {error}"));
            }
            None
        }
    };
    let (read, write) = trying("cannot make a pipe", nix::unistd::pipe2(OFlag::O_CLOEXEC))?;
    trying("cannot make a pipe", rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK))?;
    let output_log =
        boot.root.as_ref().and_then(|_| OpenOptions::new().create(true).append(true).open(OUTPUT_LOG).ok());
    let privileged = boot.root.is_some();
    let first = First {
        signals,
        console,
        console_pipe,
        output: File::from(read),
        output_writer: File::from(write),
        output_log,
        milestones,
        farewell,
        grace: Duration::from_millis(boot.shutdown_grace_ms),
        tasks: Tasks::new(boot.tasks, environment(&boot.instance, boot.environment, privileged)),
        privileged,
    };
    first.live()
}

fn block_signals() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGPWR, Signal::SIGHUP, Signal::SIGPIPE] {
        signals.add(signal);
    }
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Programs open it, write a line and close it; it stays open here, so they never meet an end.
fn console_pipe() -> io::Result<File> {
    nix::unistd::mkfifo("/dev/console", Mode::from_bits_truncate(0o622))?;
    fs::set_permissions("/dev/console", std::os::unix::fs::PermissionsExt::from_mode(0o622))?;
    OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/dev/console")
}

/// An unprivileged instance: descendants that lose their parent come here, and the home is its own.
fn enter_home() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let _ = rustix::process::setsid();
    if rustix::process::getpid().is_init() {
        // With process numbers of its own, /proc must show those.
        let flags = nix::mount::MsFlags::empty();
        let _ = nix::mount::mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>);
    }
    std::env::set_current_dir(DISK)
}

fn environment(instance: &str, more: Vec<(String, String)>, privileged: bool) -> Vec<(String, String)> {
    let mut environment = vec![("PATH".to_owned(), PATH.to_owned()), ("LANG".to_owned(), "C.UTF-8".to_owned())];
    if privileged {
        for (name, value) in [("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/bash")] {
            environment.push((name.to_owned(), value.to_owned()));
        }
    } else {
        let home = std::env::current_dir().unwrap_or_default();
        environment.push(("HOME".to_owned(), home.to_string_lossy().into_owned()));
        environment.push((MARK.to_owned(), instance.to_owned()));
    }
    environment.extend(more);
    environment
}

impl First {
    fn live(mut self) -> Result<(), String> {
        let _ = self.milestones.write_all(b"ready\n");
        // Nobody may be left to hear it; the next engine reads the milestone.
        let _ = writeln!(io::stdout(), "ready");
        trying("cannot let go of the engine", let_go_of_the_engine())?;
        self.start_next();
        loop {
            self.wait(None);
            self.copy_output();
            if let Some(farewell) = self.reap_and_obey() {
                self.shut_down(farewell);
            }
        }
    }

    fn start_next(&mut self) {
        if let Some(exit_code) = self.tasks.go_on(&mut self.console, &self.output_writer) {
            let _ = self.milestones.write_all(format!("user-data {exit_code}\n").as_bytes());
        }
    }

    /// Until there is something to do.
    fn wait(&self, within: Option<Duration>) {
        let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut watched = vec![watch(self.signals.as_fd()), watch(self.output.as_fd())];
        watched.extend(self.console_pipe.as_ref().map(|pipe| watch(pipe.as_fd())));
        let timeout = within.map_or(PollTimeout::NONE, |within| {
            PollTimeout::try_from(within + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let _ = poll(&mut watched, timeout);
    }

    fn copy_output(&mut self) {
        let mut chunk = [0; CHUNK_BYTES];
        for _ in 0..CHUNKS_MAX {
            let Ok(read @ 1..) = self.output.read(&mut chunk) else { break };
            self.console.write(&chunk[..read]);
            if let Some(log) = &mut self.output_log {
                let _ = log.write_all(&chunk[..read]);
            }
        }
        let Some(console_pipe) = &mut self.console_pipe else { return };
        for _ in 0..CHUNKS_MAX {
            let Ok(read @ 1..) = console_pipe.read(&mut chunk) else { break };
            self.console.write(&chunk[..read]);
        }
    }

    /// Signals of init systems: TERM and PWR power off, INT (and HUP) reboot.
    fn reap_and_obey(&mut self) -> Option<Farewell> {
        let mut farewell = None;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGTERM | Signal::SIGPWR) => farewell = Some(Farewell::PowerOff),
                Ok(Signal::SIGINT) => farewell = Some(Farewell::Reboot),
                _ => {}
            }
        }
        self.reap();
        farewell
    }

    /// Buries whoever has ended, and lets user data go on. True: there was nobody left before it did.
    fn reap(&mut self) -> bool {
        let is_alone = loop {
            let (pid, exit_code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                other => break other == Err(Errno::ECHILD),
            };
            // What it printed last belongs before what the next one prints first.
            self.copy_output();
            self.tasks.ended(pid, exit_code, &mut self.console);
        };
        self.start_next();
        is_alone
    }

    fn shut_down(&mut self, farewell: Farewell) -> ! {
        self.tasks.stop();
        let word = match farewell {
            Farewell::PowerOff => "poweroff",
            Farewell::Reboot => "reboot",
        };
        let _ = self.farewell.write_all(word.as_bytes());
        self.end_all(Signal::SIGTERM, self.grace);
        self.end_all(Signal::SIGKILL, KILLED_WITHIN);
        self.copy_output();
        std::process::exit(0)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a deadline of the real kernel's processes; nothing here is simulated"
    )]
    fn end_all(&mut self, signal: Signal, within: Duration) {
        let deadline = Instant::now() + within;
        self.signal_all(signal);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.copy_output();
            while let Ok(Some(_)) = self.signals.read_signal() {}
            if self.reap() || left.is_zero() {
                return;
            }
            self.wait(Some(left));
        }
    }

    fn signal_all(&self, signal: Signal) {
        if self.privileged || rustix::process::getpid().is_init() {
            let _ = kill(Pid::from_raw(-1), signal); // All of the namespace but this one.
        } else {
            crate::reaper::signal_descendants(std::process::id(), signal);
        }
    }
}

/// The pipe to the engine ends here; so the engine knows that "ready" was the last word.
fn let_go_of_the_engine() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null).map_err(io::Error::from)
}
