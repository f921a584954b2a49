//! An instance: what it is made from, which state it is in, and why.
//!
//! Invariants:
//! - States change along AWS's arrows only: pending → running → stopping → stopped → pending …, and from anywhere
//!   through shutting-down to terminated, which is final.
//! - A reason says who ended it; it is there in every state after running.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::Image;

/// Tells one instance from any other that ever was: `i-0123456789abcdef0`. Lowercase letters, digits and dashes, at
/// most 64 of them; [`crate::Engine::launch`] refuses others, because it becomes a file's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(pub Arc<str>);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an instance is made from; kept on disk for as long as the instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its identity. Its interface is the one in [`crate::Networks`] that names it, and is published before the launch.
    pub id: InstanceId,
    /// What its root file system is laid over.
    pub image: Image,
    /// Its host name, `ip-10-0-0-5.ec2.internal`.
    pub hostname: String,
    /// Neither base64 nor gzip any more: a script, `#cloud-config`, or a MIME archive of them.
    pub user_data: Option<Vec<u8>>,
    /// OpenSSH public keys, for root's authorized_keys.
    pub public_keys: Vec<String>,
    /// What it may use of the machine.
    pub limits: ResourceLimits,
    /// What becomes of it when its processes end by themselves, or are killed.
    pub on_exit: OnExit,
    /// More variables for the environment of its first processes, such as `AWS_DEFAULT_REGION`.
    pub environment: Vec<(String, String)>,
    /// How long its processes have between SIGTERM and SIGKILL when it is stopped or terminated.
    pub shutdown_grace: Duration,
}

/// What an instance may use of the machine. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Processor time, in thousandths of a processor.
    pub cpu_millis: Option<u64>,
}

/// What becomes of an instance whose processes end by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExit {
    /// It is stopped: its disk stays.
    #[default]
    Stop,
    /// It is terminated.
    Terminate,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    /// Being made.
    Pending,
    /// Its first process runs; its user data may still be at work.
    Running,
    /// On its way to stopped.
    Stopping,
    /// No process, but its disk.
    Stopped,
    /// On its way to terminated.
    ShuttingDown,
    /// Nothing left but its record and its console output, until [`crate::Engine::forget`].
    Terminated,
}

/// Who or what ended an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Somebody called [`crate::Engine::stop`] or [`crate::Engine::terminate`].
    Asked,
    /// It shut itself down from inside.
    ShutDownInside,
    /// Its first process was killed, from outside or for want of memory.
    Killed,
    /// It could not be started; the sentence says what to do.
    LaunchFailed(String),
}

/// How its user data ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDataResult {
    /// The exit code of the last part; 128 and the signal's number where a signal ended it.
    pub exit_code: i32,
}

/// An instance as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What it was made from.
    pub spec: Arc<InstanceSpec>,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Who or what ended it, in the states after running.
    pub reason: Option<Reason>,
    /// When it was last started (AWS's launch time changes with each start).
    pub started: Timestamp,
    /// When it came into its state.
    pub since: Timestamp,
    /// Its first process, by the host's number, while running.
    pub pid: Option<u32>,
    /// Where its processes are reached: the interface's private address, or a loopback address when unprivileged.
    pub address: Option<Ipv4Addr>,
    /// Its own files, for an operator who looks after it: disk and console output.
    pub dir: PathBuf,
}
