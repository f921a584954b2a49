//! The captive: makes itself private namespaces, hands its sockets over, and becomes the command.
//!
//! Invariants:
//! - What is mounted is mounted in a mount namespace of our own, whose changes reach nobody else.
//! - An ordinary user stays who they are, and has no privileges inside once the command runs.
//! - Is told to end when the process that serves it has gone: without it there is no network.

use std::ffi::OsString;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, recv, send, sendmsg, socket,
};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::{CA_BUNDLE, DNS_ADDRESS, DOOR, NSSWITCH_CONF, RESOLV_CONF, SOCKETS_MAX, TRUST_STORES};

/// What the process that serves us says.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CaptiveArgs {
    /// The directory that it has prepared
    #[arg(long)]
    place: PathBuf,
    /// Where sockets are to be made
    #[arg(long)]
    listen: Vec<SocketAddrV4>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the command; comes back only with an error.
pub(in crate::cli) fn run(args: &CaptiveArgs) -> anyhow::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // Before the network is left: the door is a file, and open files come along.
    let mut door =
        UnixStream::connect(args.place.join(DOOR)).context("cannot reach the process that started this one")?;
    leave_namespaces()?;
    mount_over(&args.place)?;
    raise_loopback().context("cannot bring up the loopback of the private network")?;
    let listeners = args.listen.iter().map(|address| {
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address} in the private network"))
    });
    let listeners = listeners.collect::<anyhow::Result<Vec<TcpListener>>>()?;
    let dns = UdpSocket::bind(DNS_ADDRESS).context("cannot answer DNS in the private network")?;
    let sockets: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).chain([dns.as_fd()]).collect();
    hand_over(&door, &sockets)?;
    // Until it serves, a name that is asked would have to be asked again.
    door.read_exact(&mut [0]).context("the process that started this one has gone")?;
    drop((listeners, dns, door));
    let (program, arguments) = args.command.split_first().context("there is no command")?;
    let error = Command::new(program).args(arguments).exec();
    anyhow::bail!("cannot run {}: {error}", program.to_string_lossy())
}

fn leave_namespaces() -> anyhow::Result<()> {
    let private = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || unshare(private).is_err() {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        unshare(private | CloneFlags::CLONE_NEWUSER).context(
            "this system does not let an ordinary user make namespaces (kernel.unprivileged_userns_clone, \
             kernel.apparmor_restrict_unprivileged_userns or a container's seccomp); run this as root",
        )?;
        map_ids(user, group).context("cannot map this user into the private namespaces")?;
    }
    // A change here must not spread to the host, nor one there to us.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).context("cannot make mounts private")
}

/// Everybody is who they are.
fn map_ids(user: u32, group: u32) -> io::Result<()> {
    put("/proc/self/setgroups", "deny")?;
    put("/proc/self/uid_map", &format!("{user} {user} 1"))?;
    put("/proc/self/gid_map", &format!("{group} {group} 1"))
}

fn put(file: &str, text: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

fn mount_over(place: &Path) -> anyhow::Result<()> {
    let mut pairs = vec![(RESOLV_CONF, "/etc/resolv.conf"), (NSSWITCH_CONF, "/etc/nsswitch.conf")];
    pairs.extend(TRUST_STORES.iter().map(|store| (CA_BUNDLE, *store)));
    let mut done: Vec<PathBuf> = Vec::new();
    for (file, target) in pairs {
        // Several names may lead to one file.
        let Ok(target) = std::fs::canonicalize(target) else { continue };
        if done.contains(&target) {
            continue;
        }
        mount_bind(place.join(file), &target).with_context(|| format!("cannot mount over {}", target.display()))?;
        done.push(target);
    }
    Ok(())
}

/// Sets the loopback's "up" flag: one request to the kernel, one answer.
fn raise_loopback() -> io::Result<()> {
    const NEW_LINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 0x5;
    const UP: u32 = 1;
    /// In a new network namespace it is the first and only one.
    const LOOPBACK: i32 = 1;
    let mut request = Vec::with_capacity(32);
    request.extend(32_u32.to_ne_bytes());
    request.extend(NEW_LINK.to_ne_bytes());
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    // Sequence, port; then family and padding, type.
    request.extend([0; 8]);
    request.extend([0; 4]);
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    // Protocol 0 is NETLINK_ROUTE.
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&kernel, &request, SendFlags::empty())?;
    let mut answer = [0; 128];
    recv(&kernel, &mut answer, rustix::net::RecvFlags::empty())?;
    // Behind the header of 16 bytes stands 0, or minus the error.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

fn hand_over(door: &UnixStream, sockets: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    anyhow::ensure!(
        ancillary.push(SendAncillaryMessage::ScmRights(sockets)),
        "there are too many sockets to hand over"
    );
    sendmsg(door, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty()).context("cannot hand the sockets over")?;
    Ok(())
}
