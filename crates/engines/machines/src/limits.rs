//! Limits: cgroups of version 2, of version 1, of both side by side, or none.
//!
//! Invariants:
//! - A limit that the machine does not enforce is reported ([`Cgroups::controllers`]), not feigned.
//! - Version 1: groups stand below the server's own, so an instance never gets more than its server. Version 2: beside
//!   it, because a group with processes of its own may not have groups with limits below it.

use std::io;
use std::path::{Path, PathBuf};

use crate::files;
use crate::instance::ResourceLimits;

/// The controllers that instances are limited by.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// How often a group is tried to be made.
const MAKE_TRIES: u32 = 5;
/// The period that processor time is counted over.
const CPU_PERIOD_US: u64 = 100_000;

/// This machine's cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroups {
    /// Controllers of version 1, each with the directory that instances' groups are made in.
    v1: Vec<(&'static str, PathBuf)>,
    /// The same of version 2, with the controllers that it enforces.
    v2: Option<(PathBuf, Vec<&'static str>)>,
}

impl Cgroups {
    /// Looks at this machine, as this process is allowed to use it. `name` tells one engine's groups from another's.
    pub(crate) fn find(name: &str) -> Self {
        let mounts = files::read_string(Path::new("/proc/self/mountinfo")).unwrap_or_default();
        let own = files::read_string(Path::new("/proc/self/cgroup")).unwrap_or_default();
        let v1 = CONTROLLERS.iter().filter_map(|controller| {
            let parent = v1_group(&mounts, &own, controller)?.join(name);
            usable(&parent).then_some((*controller, parent))
        });
        let v1: Vec<_> = v1.collect();
        let found = Self { v2: v2_group(&mounts, &own, name).filter(|(_, controllers)| !controllers.is_empty()), v1 };
        // Made to see whether it can be; it comes back with the first instance.
        found.remove_own();
        found
    }

    /// Which limits are enforced.
    pub(crate) fn controllers(&self) -> Vec<&'static str> {
        let v2 = self.v2.iter().flat_map(|(_, controllers)| controllers);
        self.v1.iter().map(|(controller, _)| controller).chain(v2).copied().collect()
    }

    /// An instance's groups, to be written down before they are made; they are what [`remove`] wants.
    pub(crate) fn groups(&self, instance: &str) -> Vec<PathBuf> {
        let v2 = self.v2.iter().map(|(parent, _)| parent);
        self.v1.iter().map(|(_, parent)| parent).chain(v2).map(|parent| parent.join(instance)).collect()
    }

    /// Makes them.
    pub(crate) fn make(&self, instance: &str, limits: &ResourceLimits) -> io::Result<()> {
        let mut made = self.try_make(instance, limits);
        for _ in 1..MAKE_TRIES {
            // The last instance of before may just have taken the parent away.
            if !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                break;
            }
            made = self.try_make(instance, limits);
        }
        made
    }

    fn try_make(&self, instance: &str, limits: &ResourceLimits) -> io::Result<()> {
        for (controller, parent) in &self.v1 {
            let group = parent.join(instance);
            std::fs::create_dir_all(&group)?;
            set_v1(controller, &group, limits)?;
        }
        if let Some((parent, controllers)) = &self.v2 {
            let group = parent.join(instance);
            std::fs::create_dir_all(parent)?;
            hand_down(parent, controllers);
            std::fs::create_dir_all(&group)?;
            set_v2(controllers, &group, limits)?;
        }
        Ok(())
    }

    /// Removes the engine's own groups, which must be without instances.
    pub(crate) fn remove_own(&self) {
        let v2 = self.v2.iter().map(|(parent, _)| parent);
        for parent in self.v1.iter().map(|(_, parent)| parent).chain(v2) {
            let _ = std::fs::remove_dir(parent);
        }
    }
}

/// Removes groups whose processes have ended; false while the kernel still counts one in.
pub(crate) fn remove(groups: &[PathBuf]) -> bool {
    let stays = |group: &&PathBuf| match std::fs::remove_dir(group) {
        Ok(()) => false,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    // Each is tried, whether or not another stays; the engine's own go with its last instance.
    let left = groups.iter().filter(stays).count();
    for parent in groups.iter().filter_map(|group| group.parent()) {
        let _ = std::fs::remove_dir(parent);
    }
    left == 0
}

fn usable(group: &Path) -> bool {
    std::fs::create_dir_all(group).is_ok()
}

/// This process's group in the hierarchy of a version 1 controller.
fn v1_group(mounts: &str, own: &str, controller: &str) -> Option<PathBuf> {
    let (root, mounted) = mounts.lines().find_map(|line| {
        let (mount, options) = line.split_once(" - ")?;
        let mut options = options.split(' ');
        let is_v1 = options.next() == Some("cgroup");
        let has = options.nth(1)?.split(',').any(|option| option == controller);
        (is_v1 && has).then(|| mounted_at(mount))?
    })?;
    let group = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let has = fields.next()?.split(',').any(|found| found == controller);
        if has { fields.next() } else { None }
    })?;
    Some(below(&mounted, &root, group))
}

/// A place beside this process's group of version 2, with the controllers that reach it.
fn v2_group(mounts: &str, own: &str, name: &str) -> Option<(PathBuf, Vec<&'static str>)> {
    let (root, mounted) = mounts.lines().find_map(|line| {
        let (mount, options) = line.split_once(" - ")?;
        options.starts_with("cgroup2 ").then(|| mounted_at(mount))?
    })?;
    let group = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = below(&mounted, &root, group);
    let parent = if own == mounted { own } else { own.parent()?.to_owned() };
    let offered = files::read_string(&parent.join("cgroup.controllers")).ok()?;
    let wanted = CONTROLLERS.iter().filter(|wanted| offered.split_ascii_whitespace().any(|found| found == **wanted));
    let wanted: Vec<&'static str> = wanted.copied().collect();
    if wanted.is_empty() {
        return None;
    }
    let ours = parent.join(name);
    if !usable(&ours) {
        return None;
    }
    hand_down(&parent, &wanted);
    hand_down(&ours, &wanted);
    let enforced = files::read_string(&ours.join("cgroup.subtree_control")).ok()?;
    let enforced = wanted.into_iter().filter(|wanted| enforced.split_ascii_whitespace().any(|found| found == *wanted));
    Some((ours, enforced.collect()))
}

/// Version 2: lets the groups below have these controllers, as far as the kernel allows.
fn hand_down(group: &Path, controllers: &[&str]) {
    for controller in controllers {
        let _ = files::write(&group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// From a line of mountinfo: which group the mount shows at its top, and where it is.
fn mounted_at(mount: &str) -> Option<(String, PathBuf)> {
    let mut fields = mount.split(' ').skip(3);
    Some((fields.next()?.to_owned(), PathBuf::from(fields.next()?)))
}

fn below(mounted: &Path, root: &str, group: &str) -> PathBuf {
    let relative = group.strip_prefix(root.trim_end_matches('/')).unwrap_or(group);
    let relative = relative.trim_matches('/');
    if relative.is_empty() { mounted.to_owned() } else { mounted.join(relative) }
}

fn set_v1(controller: &str, group: &Path, limits: &ResourceLimits) -> io::Result<()> {
    match controller {
        "memory" => {
            let bytes = limits.memory_bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
            files::write(&group.join("memory.limit_in_bytes"), bytes)
        }
        "pids" => files::write(&group.join("pids.max"), or_max(limits.pids)),
        _ => {
            let quota = limits.cpu_millis.map_or_else(|| "-1".to_owned(), |millis| cpu_quota_us(millis).to_string());
            files::write(&group.join("cpu.cfs_period_us"), CPU_PERIOD_US.to_string())?;
            files::write(&group.join("cpu.cfs_quota_us"), quota)
        }
    }
}

fn set_v2(controllers: &[&str], group: &Path, limits: &ResourceLimits) -> io::Result<()> {
    for controller in controllers {
        match *controller {
            "memory" => {
                files::write(&group.join("memory.max"), or_max(limits.memory_bytes))?;
                // One process of a server killed leaves it half dead: the kernel may choose, as on a machine of its own.
                let _ = files::write(&group.join("memory.oom.group"), "0");
            }
            "pids" => files::write(&group.join("pids.max"), or_max(limits.pids))?,
            _ => {
                let quota = or_max(limits.cpu_millis.map(cpu_quota_us));
                files::write(&group.join("cpu.max"), format!("{quota} {CPU_PERIOD_US}"))?;
            }
        }
    }
    Ok(())
}

fn or_max(limit: Option<u64>) -> String {
    limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string())
}

/// The kernel refuses less than a millisecond.
fn cpu_quota_us(millis: u64) -> u64 {
    (millis.saturating_mul(CPU_PERIOD_US) / 1000).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const HYBRID_OWN: &str = "5:cpu,cpuacct:/\n4:memory:/user/session\n0::/\n";

    #[test]
    fn a_group_of_version_1_stands_below_the_servers_own() {
        let find = |controller| v1_group(HYBRID_MOUNTS, HYBRID_OWN, controller);
        assert_eq!(find("memory").unwrap(), Path::new("/sys/fs/cgroup/memory/user/session"));
        assert_eq!(find("cpu").unwrap(), Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(find("pids"), None);
    }

    #[test]
    fn inside_a_container_the_mounts_own_root_is_taken_off() {
        let mounts = "30 25 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let own = "4:memory:/docker/abc/server\n";
        assert_eq!(v1_group(mounts, own, "memory").unwrap(), Path::new("/sys/fs/cgroup/memory/server"));
    }

    #[test]
    fn processor_time_below_what_the_kernel_takes_is_rounded_up() {
        assert_eq!((cpu_quota_us(1), cpu_quota_us(500), cpu_quota_us(2000)), (1000, 50_000, 200_000));
    }
}
