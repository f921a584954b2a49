//! An instance's root file system: an overlay over its image, with devices and kernel file systems of its own.
//!
//! Invariants:
//! - Everything is mounted in the instance's own mount namespace, so it ends with the instance's last process.
//! - Nothing of the host is reachable but the image's files, and those of them that are masked are not.
//! - No device can be opened but those made here: the disk is mounted without devices, and making new ones is a
//!   privilege that the instance lacks.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Uid};
use rustix::fs::XattrFlags;

use super::trying;
use crate::boot::{Boot, DISK, ROOT, Root, Task, WORK};
use crate::files;

/// Paths of /proc that can change the host.
const PROC_READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Files of /proc that tell too much of the host.
const PROC_HIDDEN: &[&str] =
    &["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list", "/proc/kmsg"];
/// Directories that tell too much of the host.
const DIRECTORIES_HIDDEN: &[&str] = &["/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/kernel/debug"];
const DEVICES: &[(&str, u64, u64)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// A question that meets no engine (it was killed, it is being replaced) is asked again soon, and often enough for the next.
const RESOLVER_OPTIONS: &str = "timeout:2 attempts:5";

/// Makes the overlay the root of this process; runs in the instance's directory.
pub(super) fn enter(boot: &Boot, root: &Root) -> Result<(), String> {
    if boot.first_boot {
        for path in &root.masked {
            trying(&format!("cannot mask {}", path.display()), mask(path))?;
        }
    }
    let mut lower = root.lower.clone();
    let mut at = PathBuf::from(ROOT);
    if lower.len() > 1 && lower.last().is_some_and(|lowest| lowest == Path::new("/")) {
        at = trying("cannot mount the host's root", host_apart(&mut lower))?;
    }
    let overlay = overlay_options(&lower)?;
    let mounted = mount(Some("overlay"), &at, Some("overlay"), MsFlags::MS_NODEV, Some(overlay.as_str()));
    trying("cannot mount the overlay", mounted)?;
    trying("cannot enter the root", std::env::set_current_dir(&at))?;
    kernel_file_systems()?;
    // The old root ends up below the new one, and is let go from there.
    trying("cannot change the root", nix::unistd::pivot_root(".", "."))?;
    trying("cannot leave the old root", umount2(".", MntFlags::MNT_DETACH))?;
    trying("cannot enter the new root", std::env::set_current_dir("/"))?;
    confine_kernel_file_systems()?;
    trying("cannot write /etc", write_etc(boot, root))?;
    trying("cannot set the host name", nix::unistd::sethostname(hostname(boot)))
}

/// An overlay refuses a layer that lies inside another, and every directory lies inside `/`. So the host's root first
/// becomes an overlay of its own, in which no other layer lies. Gives back where the real one goes.
fn host_apart(lower: &mut Vec<PathBuf>) -> nix::Result<PathBuf> {
    mount(Some("tmpfs"), ROOT, Some("tmpfs"), MsFlags::empty(), Some("size=4k,mode=700"))?;
    let [empty, host, all] = ["empty", "host", "all"].map(|name| Path::new(ROOT).join(name));
    for directory in [&empty, &host, &all] {
        nix::unistd::mkdir(directory, Mode::S_IRWXU)?;
    }
    // A read-only overlay wants two layers.
    let options = format!("lowerdir=/:{}", empty.display());
    mount(Some("overlay"), &host, Some("overlay"), MsFlags::MS_RDONLY | MsFlags::MS_NODEV, Some(options.as_str()))?;
    lower.pop();
    lower.push(host);
    Ok(all)
}

fn overlay_options(lower: &[PathBuf]) -> Result<String, String> {
    let mut layers = Vec::new();
    for layer in lower {
        let layer = layer.to_str().ok_or("an image's path is not UTF-8")?;
        if layer.contains([':', ',', '\\']) {
            return Err(format!("the image's path {layer} holds a colon, a comma or a backslash; move it"));
        }
        layers.push(layer);
    }
    Ok(format!("lowerdir={},upperdir={DISK},workdir={WORK}", layers.join(":")))
}

/// Hides a path of the image: the instance sees an empty directory of the same mode, or no file.
fn mask(path: &Path) -> std::io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut above = PathBuf::new();
    for part in relative.parent().into_iter().flat_map(Path::components) {
        above.push(part);
        mirror(&above)?;
    }
    let ours = Path::new(DISK).join(relative);
    if metadata.is_dir() {
        mirror(relative)?;
        rustix::fs::setxattr(&ours, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
    } else {
        // Overlayfs reads a device 0/0 as "there is no such file".
        mknod(&ours, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?;
    }
    Ok(())
}

/// The same directory in the instance's layer, with the same owner and mode.
fn mirror(relative: &Path) -> std::io::Result<()> {
    let (theirs, ours) = (Path::new("/").join(relative), Path::new(DISK).join(relative));
    if ours.is_dir() {
        return Ok(());
    }
    let metadata = fs::metadata(theirs)?;
    fs::create_dir(&ours)?;
    nix::unistd::chown(&ours, Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid())))?;
    fs::set_permissions(&ours, metadata.permissions())
}

fn kernel_file_systems() -> Result<(), String> {
    for directory in ["proc", "sys", "dev", "run", "tmp"] {
        trying(&format!("cannot make /{directory}"), fs::create_dir_all(directory))?;
    }
    let (no_suid, no_exec, no_dev) = (MsFlags::MS_NOSUID, MsFlags::MS_NOEXEC, MsFlags::MS_NODEV);
    let all = no_suid | no_exec | no_dev;
    let mounts = [
        ("proc", "proc", all, None),
        ("sysfs", "sys", all | MsFlags::MS_RDONLY, None),
        ("tmpfs", "dev", no_suid | no_exec, Some("mode=755,size=64k")),
        ("tmpfs", "run", no_suid | no_dev, Some("mode=755,size=64m")),
    ];
    for (kind, target, flags, data) in mounts {
        let mounted = mount(Some(kind), target, Some(kind), flags, data);
        trying(&format!("cannot mount {target}"), mounted)?;
    }
    trying("cannot fill /dev", devices())?;
    let data = Some("newinstance,ptmxmode=0666,mode=0620,gid=5");
    let mounted = mount(Some("devpts"), "dev/pts", Some("devpts"), no_suid | no_exec, data);
    trying("cannot mount dev/pts", mounted)?;
    let mounted = mount(Some("tmpfs"), "dev/shm", Some("tmpfs"), all, Some("mode=1777,size=64m"));
    trying("cannot mount dev/shm", mounted)
}

fn devices() -> std::io::Result<()> {
    for (name, major, minor) in DEVICES {
        let path = Path::new("dev").join(name);
        mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(*major, *minor))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    }
    for directory in ["dev/pts", "dev/shm"] {
        fs::create_dir(directory)?;
    }
    symlink("/proc/self/fd", "dev/fd")?;
    symlink("/proc/self/fd/0", "dev/stdin")?;
    symlink("/proc/self/fd/1", "dev/stdout")?;
    symlink("/proc/self/fd/2", "dev/stderr")?;
    symlink("pts/ptmx", "dev/ptmx")?;
    fs::create_dir("run/lock")?;
    fs::set_permissions("run/lock", fs::Permissions::from_mode(0o1777))
}

fn confine_kernel_file_systems() -> Result<(), String> {
    let all = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    for path in PROC_READ_ONLY.iter().filter(|path| Path::new(path).exists()) {
        let bound = mount(Some(*path), *path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>);
        trying(&format!("cannot bind {path}"), bound)?;
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | all;
        let remounted = mount(None::<&str>, *path, None::<&str>, flags, None::<&str>);
        trying(&format!("cannot make {path} read-only"), remounted)?;
    }
    for path in PROC_HIDDEN.iter().filter(|path| Path::new(path).exists()) {
        let bound = mount(Some("/dev/null"), *path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        trying(&format!("cannot hide {path}"), bound)?;
    }
    for path in DIRECTORIES_HIDDEN.iter().filter(|path| Path::new(path).exists()) {
        let data = Some("size=0,mode=555");
        let mounted = mount(Some("tmpfs"), *path, Some("tmpfs"), all | MsFlags::MS_RDONLY, data);
        trying(&format!("cannot hide {path}"), mounted)?;
    }
    Ok(())
}

/// What user data says at the first boot, what stands in the file later.
fn hostname(boot: &Boot) -> String {
    let asked =
        boot.tasks.iter().find_map(|task| if let Task::Hostname(name) = task { Some(name.clone()) } else { None });
    let written = || files::read_string(Path::new("/etc/hostname")).ok().map(|name| name.trim().to_owned());
    asked.or_else(written).filter(|name| !name.is_empty() && name.len() <= 64).unwrap_or_else(|| boot.hostname.clone())
}

fn write_etc(boot: &Boot, root: &Root) -> std::io::Result<()> {
    fs::create_dir_all("/etc")?;
    // A link may lead into a resolver's directory under /run, which is not there.
    files::remove(Path::new("/etc/resolv.conf"))?;
    let search = if root.search.is_empty() { String::new() } else { format!("search {}\n", root.search) };
    let resolver = format!("nameserver {}\n{search}options {RESOLVER_OPTIONS}\n", root.resolver);
    files::write(Path::new("/etc/resolv.conf"), resolver)?;
    if !boot.first_boot {
        return Ok(());
    }
    let short = boot.hostname.split('.').next().unwrap_or_default();
    files::remove(Path::new("/etc/hostname"))?;
    files::write(Path::new("/etc/hostname"), format!("{}\n", boot.hostname))?;
    files::remove(Path::new("/etc/hosts"))?;
    // Without a name for its own address Apache waits some nine seconds at its start.
    let own = format!("{} {} {short}\n", boot.address, boot.hostname);
    files::write(Path::new("/etc/hosts"), format!("127.0.0.1 localhost\n{own}::1 localhost ip6-localhost\n"))?;
    if root.lower.last().is_some_and(|lowest| lowest == Path::new("/")) {
        lock_passwords()?;
    }
    authorize_keys(&boot.public_keys)
}

/// The host's password hashes are none of an instance's business.
fn lock_passwords() -> std::io::Result<()> {
    for path in ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"].map(Path::new) {
        let Ok(shadow) = files::read_string(path) else { continue };
        let mut locked = String::new();
        for line in shadow.lines() {
            let mut fields: Vec<&str> = line.split(':').collect();
            if let Some(hash) = fields.get_mut(1) {
                *hash = "*";
            }
            locked.push_str(&fields.join(":"));
            locked.push('\n');
        }
        files::write(path, locked)?;
    }
    Ok(())
}

fn authorize_keys(keys: &[String]) -> std::io::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let directory = Path::new("/root").join(".ssh");
    fs::create_dir_all(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    let path = directory.join("authorized_keys");
    files::write(&path, keys.iter().map(|key| format!("{}\n", key.trim())).collect::<String>())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
}
