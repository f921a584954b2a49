//! Privileges: what root of an instance may, which is less than root of the host.
//!
//! Invariants:
//! - Dropped from the bounding set, so that no set-user-id program brings them back.
//! - "No new privileges" is not set: sudo works inside an instance as on any server.

use caps::{CapSet, Capability, CapsHashSet};

use super::trying;

/// What servers need inside their own file system and network. Not among them, above all: SYS_ADMIN, NET_ADMIN,
/// SYS_MODULE, SYS_RAWIO, MKNOD, DAC_READ_SEARCH, SYS_BOOT, SYS_TIME, SYSLOG, BPF, PERFMON.
const KEPT: &[Capability] = &[
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_KILL,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYS_NICE,
];

/// Drops the rest, from this process and all that it starts.
pub(super) fn drop_most() -> Result<(), String> {
    let bounding = trying("cannot read capabilities", caps::read(None, CapSet::Bounding))?;
    for capability in bounding.into_iter().filter(|capability| !KEPT.contains(capability)) {
        trying("cannot drop a capability", caps::drop(None, CapSet::Bounding, capability))?;
    }
    let held = trying("cannot read capabilities", caps::read(None, CapSet::Permitted))?;
    let kept: CapsHashSet = KEPT.iter().copied().filter(|capability| held.contains(capability)).collect();
    trying("cannot drop capabilities", caps::clear(None, CapSet::Inheritable))?;
    trying("cannot drop capabilities", caps::set(None, CapSet::Effective, &kept))?;
    trying("cannot drop capabilities", caps::set(None, CapSet::Permitted, &kept))
}
