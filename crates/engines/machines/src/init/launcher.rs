//! The launcher: enters cgroups and namespaces, starts the first process in them, writes down its number, and ends.
//!
//! Invariants:
//! - It works under the lock of the instance's directory (its working directory): whoever takes the lock after a
//!   crash knows that nothing more will be started.
//! - The first process does nothing before its number is on disk: a crash in between leaves no orphan, because the
//!   first process ends when nobody says "go".

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::FlockOperation;

use super::{ASKED, FIRST, trying};
use crate::boot::{BOOT, Boot, LOCK, PID};
use crate::{files, process};

/// Runs in the instance's directory, and in its network namespace.
pub(super) fn run() -> Result<(), String> {
    let lock = trying("cannot open the lock", files::create(Path::new(LOCK)))?;
    trying("cannot lock", rustix::fs::flock(&lock, FlockOperation::LockExclusive))?;
    let boot: Boot =
        trying("the launch was called off", files::read(Path::new(BOOT)).map_err(|error| error.to_string()))
            .and_then(|bytes| trying(BOOT, serde_json::from_slice(&bytes)))?;
    for procs in &boot.cgroups {
        trying(&format!("cannot enter {}", procs.display()), files::write(procs, "0"))?;
    }
    if boot.root.is_some() {
        enter_namespaces(&boot.init_program)?;
    } else {
        enter_user_namespaces();
    }
    start_first(&boot, lock)
}

fn enter_namespaces(init_program: &Path) -> Result<(), String> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    trying("cannot make namespaces", unshare(flags))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    trying("cannot make mounts private", mount(None::<&str>, "/", None::<&str>, private, None::<&str>))?;
    // Through /proc/1/exe the instance's root could write to the host's binary, did it not lead over a read-only mount.
    let bind = MsFlags::MS_BIND;
    trying("cannot bind the init program", mount(Some(init_program), init_program, None::<&str>, bind, None::<&str>))?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    let again = mount(None::<&str>, init_program, None::<&str>, read_only, None::<&str>);
    trying("cannot make the init program read-only", again)
}

/// As far as an ordinary user gets: process numbers of its own, so that no process outlives the first.
fn enter_user_namespaces() {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let flags =
        CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC;
    if unshare(flags).is_err() {
        return; // The first process makes do with being a subreaper.
    }
    // Whoever was nobody before stays who they were: files keep their owner.
    let _ = files::write(Path::new("/proc/self/setgroups"), "deny");
    let _ = files::write(Path::new("/proc/self/uid_map"), format!("{user} {user} 1"));
    let _ = files::write(Path::new("/proc/self/gid_map"), format!("{group} {group} 1"));
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let _ = mount(None::<&str>, "/", None::<&str>, private, None::<&str>);
}

fn start_first(boot: &Boot, lock: File) -> Result<(), String> {
    let mut first = Command::new(&boot.init_program);
    first.args([ASKED, FIRST]).stdin(Stdio::piped());
    let mut child = trying("cannot start the first process", first.spawn())?;
    let number = child.id();
    let recorded = process::start_time(number)
        .and_then(|start_time| files::write_durably(Path::new(PID), format!("{number} {start_time}").as_bytes()));
    trying("cannot write down the first process", recorded)?;
    println!("pid {number}");
    drop(lock);
    let mut go = child.stdin.take().ok_or("no pipe to the first process")?;
    trying("the first process ended early", go.write_all(b"go"))
}
