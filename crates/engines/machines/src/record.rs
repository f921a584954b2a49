//! [`Record`]: what is kept of an instance, from its launch until it is forgotten.
//!
//! Invariants:
//! - It is written before what it says is done, and before it is acknowledged.
//! - It says enough to go on from any crash: what should be (its state), and where to look for what is.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::instance::{Instance, InstanceSpec, InstanceState, Reason};

/// The format's number; a newer one is refused.
const VERSION: u32 = 1;
/// The file with a [`Record`], in the instance's directory.
pub(crate) const RECORD: &str = "record.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) spec: Arc<InstanceSpec>,
    pub(crate) state: InstanceState,
    pub(crate) reason: Option<Reason>,
    #[serde(with = "millis")]
    pub(crate) started: Timestamp,
    #[serde(with = "millis")]
    pub(crate) since: Timestamp,
    /// Whether its first boot is behind it: user data ran, passwords were locked.
    pub(crate) booted: bool,
    /// Its processes may be missing although it runs: they are being started anew.
    pub(crate) rebooting: bool,
    /// Which boot of the machine its processes belong to.
    pub(crate) machine_boot: String,
    /// To be removed when it has ended.
    pub(crate) cgroups: Vec<PathBuf>,
    /// Its private address at its last start; its cable is named after it.
    pub(crate) address: Option<Ipv4Addr>,
    /// Its VPC then.
    pub(crate) vpc: Option<String>,
}

impl Record {
    pub(crate) fn new(spec: InstanceSpec, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            spec: Arc::new(spec),
            state: InstanceState::Pending,
            reason: None,
            started: now,
            since: now,
            booted: false,
            rebooting: false,
            machine_boot: String::new(),
            cgroups: Vec::new(),
            address: None,
            vpc: None,
        }
    }

    /// The record in `dir`; `None` when a crash came before it was written.
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let bytes = match files::read(&dir.join(RECORD)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let record: Self = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if record.version > VERSION {
            return Err(io::Error::other(format!("{} is of a newer version", dir.join(RECORD).display())));
        }
        Ok(Some(record))
    }

    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        files::write_durably(&dir.join(RECORD), &bytes)
    }

    /// What is told of it.
    pub(crate) fn view(&self, dir: &Path, pid: Option<u32>, reachable: impl Fn(Ipv4Addr) -> Ipv4Addr) -> Instance {
        Instance {
            spec: self.spec.clone(),
            state: self.state,
            reason: self.reason.clone(),
            started: self.started,
            since: self.since,
            pid,
            address: self.address.map(reachable),
            dir: dir.to_owned(),
        }
    }
}

/// A timestamp as its milliseconds.
mod millis {
    use host::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.as_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(from).map(Timestamp)
    }
}
