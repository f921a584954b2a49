//! The reaper: ends what belongs to an instance, and removes what it leaves.
//!
//! Invariants:
//! - With process numbers of its own an instance ends with its first process: the kernel sees to it. Without, its
//!   processes are known by a mark in their environment, and by their descent while the first process lives.
//! - Removing is idempotent: whatever a crash left half removed, the next start removes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::boot::MARK;
use crate::files;

/// A process that forks faster than it is killed must lose: this often the list is read anew.
const ROUNDS_MAX: usize = 64;

/// Kills all processes that bear the mark of `instance`. For unprivileged instances.
pub(crate) fn kill_marked(instance: &str) {
    let mark = format!("{MARK}={instance}").into_bytes();
    let is_marked = |pid: u32| {
        let environment = files::read(Path::new(&format!("/proc/{pid}/environ"))).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    for _ in 0..ROUNDS_MAX {
        let marked: Vec<u32> = processes().into_iter().filter(|pid| is_marked(*pid)).collect();
        if marked.is_empty() {
            return;
        }
        marked.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Signals all that descend from `ancestor`.
pub(crate) fn signal_descendants(ancestor: u32, what: Signal) {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in processes() {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut seen = HashSet::new();
    let mut left = vec![ancestor];
    while let Some(pid) = left.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            if seen.insert(child) {
                signal(child, what);
                left.push(child);
            }
        }
    }
}

fn signal(pid: u32, what: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), what);
    }
}

fn processes() -> Vec<u32> {
    files::names(Path::new("/proc")).unwrap_or_default().iter().filter_map(|name| name.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = files::read_string(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Removes an instance's disk; a mask in it is a device node, which is a file as any other.
pub(crate) fn remove_disk(dir: &Path) -> io::Result<()> {
    for name in [crate::boot::DISK, crate::boot::WORK, crate::boot::ROOT] {
        files::remove_tree(&dir.join(name))?;
    }
    for name in [crate::boot::BOOT, crate::boot::PID, crate::boot::MILESTONES, crate::boot::FAREWELL] {
        files::remove(&dir.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command};

    use super::*;

    fn sleeper(instance: &str) -> Child {
        // A shell between, so that there is a descendant, in a session of its own.
        Command::new("sh").args(["-c", "setsid sleep 1000 & wait"]).env(MARK, instance).spawn().unwrap()
    }

    #[test]
    fn marked_processes_end_and_no_others() {
        let own = format!("i-reaper-{}", std::process::id());
        let (mut marked, mut other) = (sleeper(&own), sleeper(&format!("{own}0")));
        std::thread::sleep(std::time::Duration::from_millis(50));
        kill_marked(&own);
        assert_eq!(marked.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        kill_marked(&format!("{own}0"));
        assert_eq!(other.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn descendants_are_signalled_and_their_ancestor_is_not() {
        let mut ancestor = Command::new("sh").args(["-c", "(sleep 1000 & wait; exit 3); exit 4"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        signal_descendants(ancestor.id(), Signal::SIGTERM);
        assert_eq!(ancestor.wait().unwrap().code(), Some(4));
    }
}
