//! How far instances are kept apart, and what is not enforced.
//!
//! Invariant: what is reported as enforced is; a fallback is never silent.

use std::path::Path;

use caps::{CapSet, Capability};
use nix::sched::{CloneFlags, unshare};

use crate::files;
use crate::network::programs;

/// What an operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Privileged where this process may, else unprivileged.
    #[default]
    Auto,
    /// Namespaces, overlays, packet filters; refuses to start without the privileges.
    Privileged,
    /// Plain processes on loopback addresses.
    Unprivileged,
}

/// What is enforced on this machine, for an operator to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationReport {
    /// Whether instances have namespaces, an overlay and a network of their own.
    pub privileged: bool,
    /// Which limits the machine's cgroups enforce, by their controllers' names: `memory`, `pids`, `cpu`.
    pub limits: Vec<&'static str>,
    /// A sentence for each promise of AWS's that does not hold here. Empty: all hold.
    pub not_enforced: Vec<String>,
}

/// What a machine can do, and what of it is wanted. The error says what is missing.
pub(crate) fn report(wanted: Isolation, limits: Vec<&'static str>) -> Result<IsolationReport, String> {
    let missing =
        if wanted == Isolation::Unprivileged { Some("it was asked for".to_owned()) } else { what_is_missing() };
    match (wanted, missing) {
        (Isolation::Privileged, Some(missing)) => Err(format!("instances cannot be isolated here: {missing}")),
        (_, None) => Ok(IsolationReport { privileged: true, not_enforced: without(&limits), limits }),
        (_, Some(missing)) => {
            let mut not_enforced = vec![
                format!("instances are plain processes of this user ({missing})"),
                "instances see the host's files, and may change those that this user may".into(),
                "security groups and network ACLs are not enforced: every local process reaches every instance".into(),
                "private addresses stand for loopback addresses: 172.31.38.5 is reached at 127.31.38.5".into(),
                "169.254.169.254 does not answer; AWS_EC2_METADATA_SERVICE_ENDPOINT names the address that does".into(),
                "any local process can read an instance's metadata".into(),
            ];
            not_enforced.extend(without(&limits));
            Ok(IsolationReport { privileged: false, limits, not_enforced })
        }
    }
}

fn without(limits: &[&str]) -> Vec<String> {
    let missing = ["memory", "pids", "cpu"].into_iter().filter(|name| !limits.contains(name));
    missing
        .map(|name| format!("the limit of an instance's {name} is not enforced: no such cgroup can be made here"))
        .collect()
}

fn what_is_missing() -> Option<String> {
    let needed = [
        (Capability::CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
        (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN"),
        (Capability::CAP_NET_RAW, "CAP_NET_RAW"),
        (Capability::CAP_MKNOD, "CAP_MKNOD"),
        (Capability::CAP_SETPCAP, "CAP_SETPCAP"),
        (Capability::CAP_CHOWN, "CAP_CHOWN"),
        (Capability::CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    ];
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    if let Some((_, name)) = needed.iter().find(|(capability, _)| !held.contains(capability)) {
        return Some(format!("this process lacks {name}; run it as root"));
    }
    if let Err(why) = programs::are_installed() {
        return Some(why);
    }
    if !files::read_string(Path::new("/proc/filesystems")).is_ok_and(|list| list.contains("\toverlay\n")) {
        return Some("the kernel has no overlay file system; load the module overlay".into());
    }
    let allowed = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)).join();
    match allowed {
        Ok(Ok(())) => None,
        _ => Some("namespaces cannot be made; a container must be started with --privileged".into()),
    }
}
