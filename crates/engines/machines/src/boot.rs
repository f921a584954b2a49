//! [`Boot`]: what the engine tells an instance's first process, as a file in the instance's directory.
//!
//! Invariants:
//! - The first process needs nothing else: it parses no user data and knows no network.
//! - The launcher reads it under the directory's lock; whoever removes it under that lock has called the launch off.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The file with a [`Boot`].
pub(crate) const BOOT: &str = "boot.json";
/// Locked by the launcher until [`PID`] is written.
pub(crate) const LOCK: &str = "lock";
/// The first process: its number and its start time, as the host counts them.
pub(crate) const PID: &str = "pid";
/// One line a milestone of this boot: `ready`, `user-data 0`.
pub(crate) const MILESTONES: &str = "milestones";
/// Console output of all boots, bounded.
pub(crate) const CONSOLE: &str = "console.log";
/// Why the first process ended, when it ended in good order: `poweroff` or `reboot`.
pub(crate) const FAREWELL: &str = "farewell";
/// The instance's own layer, and its home when unprivileged.
pub(crate) const DISK: &str = "disk";
/// What overlayfs needs beside it.
pub(crate) const WORK: &str = "work";
/// Where the root is mounted, in the instance's own mount namespace.
pub(crate) const ROOT: &str = "root";

/// The environment variable by which an unprivileged instance's processes are known.
pub(crate) const MARK: &str = "MILLPOND_INSTANCE";

/// Everything that the first process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Boot {
    pub(crate) instance: String,
    pub(crate) init_program: PathBuf,
    /// `None`: unprivileged.
    pub(crate) root: Option<Root>,
    pub(crate) hostname: String,
    pub(crate) address: Ipv4Addr,
    /// Files named `cgroup.procs` that the launcher writes itself into.
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) public_keys: Vec<String>,
    pub(crate) tasks: VecDeque<Task>,
    pub(crate) first_boot: bool,
    pub(crate) shutdown_grace_ms: u64,
}

/// A root file system of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Read-only layers, the uppermost first.
    pub(crate) lower: Vec<PathBuf>,
    /// Paths of the image that are hidden.
    pub(crate) masked: Vec<PathBuf>,
    /// Who answers names.
    pub(crate) resolver: Ipv4Addr,
    /// Domains that short names are looked up in.
    pub(crate) search: String,
}

/// One thing that user data asks for, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Writes a file, with the directories above it.
    Write {
        path: String,
        content: Vec<u8>,
        mode: u32,
        /// `user`, `user:group` or nothing.
        owner: String,
        append: bool,
    },
    /// Runs a program to its end.
    Run {
        argv: Vec<String>,
        /// Whether its exit code is that of the user data.
        counts: bool,
    },
    /// Changes the host's name.
    Hostname(String),
    /// Says something on the console.
    Say(String),
}
