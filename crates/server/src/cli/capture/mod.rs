//! `millpond exec --capture`: one command for which AWS's names are Millpond, and nothing else on the machine changed.
//!
//! ```text
//! this process                          the captive (private user, mount and network namespaces)
//!   spawns ──────────────────────────▶    opens the door, unshares, mounts, binds sockets on its own loopback
//!   ◀─────────────── the sockets ─────    becomes the command
//!   accepts on them, relays to Millpond and to what --reach names, answers DNS, until the command ends
//! ```
//!
//! A socket stays in the namespace that it was made in, whoever holds it: so bytes leave the captive's network through
//! sockets alone, with no interface, address or rule on the host.
//!
//! Invariants:
//! - The host's DNS, certificates, ports and mounts stay as they are, also when either process is killed.
//! - The captive reaches Millpond and what was named with `--reach`; it has no other network.
//! - The command's exit code is ours.

pub(super) mod captive;
mod dns;
mod reach;
mod relay;

use std::ffi::OsString;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use self::dns::Names;
use self::reach::Reach;
use super::client;

/// Where AWS's names lead inside; not 127.0.0.1, whose ports are the command's own.
const AWS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);
/// Where names are answered inside.
const DNS_ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 66, 0, 53), 53);
/// How long the captive may take to set itself up.
const SETUP_LIMIT: Duration = Duration::from_secs(20);
/// Sockets that the captive may hand over at once.
pub(super) const SOCKETS_MAX: usize = 128;

/// Files that the captive sees in the place of others.
const RESOLV_CONF: &str = "resolv.conf";
const NSSWITCH_CONF: &str = "nsswitch.conf";
const CA_BUNDLE: &str = "ca-bundle.pem";
const CA: &str = "ca.pem";
const DOOR: &str = "door";

/// What programs read to know whom to trust.
const TRUST_VARIABLES: &[&str] = &[
    "SSL_CERT_FILE",
    "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
];
/// Proxies cannot be reached from inside, and would lead past Millpond from outside.
const PROXY_VARIABLES: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
/// Where distributions keep whom they trust.
const TRUST_STORES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A socket on the captive's loopback, and where its connections go.
struct Way {
    inside: SocketAddrV4,
    outside: relay::Outside,
}

/// What is captured, and for whom.
pub(super) struct Capture<'a> {
    /// The server's URL.
    pub(super) endpoint: &'a str,
    /// Domains that it serves beside AWS's.
    pub(super) base_domains: &'a [String],
    /// What else is to be reached.
    pub(super) reach: &'a [String],
    /// The command.
    pub(super) command: &'a [OsString],
}

/// Runs the command; `environment` puts Millpond's settings into its environment.
pub(super) fn run(capture: &Capture<'_>, environment: impl FnOnce(&mut Command)) -> anyhow::Result<ExitCode> {
    let server = client::address_of(capture.endpoint)
        .with_context(|| format!("--capture needs a plain http:// endpoint, and {} is none", capture.endpoint))?;
    let reaches = reach::read(capture.reach)?;
    let place = prepare(server)?;
    let ways = ways(capture.endpoint, server, &reaches);
    let mut command = Command::new("/proc/self/exe");
    command.arg("captive").arg("--place").arg(place.path());
    for way in &ways {
        command.arg("--listen").arg(way.inside.to_string());
    }
    command.arg("--").args(capture.command);
    environment(&mut command);
    trust(&mut command, place.path());
    let names = Names::new(AWS_ADDRESS, capture.base_domains, &reaches);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(supervise(command, place.path(), ways, names))?;
    // Relays under way end with the command: nobody is left to read.
    runtime.shutdown_background();
    Ok(ExitCode::from(code(status)))
}

/// A directory with what the captive is to see.
fn prepare(server: SocketAddr) -> anyhow::Result<TempDir> {
    let place = tempfile::Builder::new().prefix("millpond-capture-").tempdir().context("cannot make a directory")?;
    // The command may be another user's by the time it reads these, and they are no secrets.
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755))?;
    let certificate = certificate(server)?;
    let mut bundle = TRUST_STORES.iter().find_map(|store| std::fs::read_to_string(store).ok()).unwrap_or_default();
    if !bundle.is_empty() && !bundle.ends_with('\n') {
        bundle.push('\n');
    }
    bundle.push_str(&certificate);
    write(place.path(), CA, &certificate)?;
    write(place.path(), CA_BUNDLE, &bundle)?;
    write(place.path(), RESOLV_CONF, &format!("nameserver {}\noptions timeout:2 attempts:2\n", DNS_ADDRESS.ip()))?;
    // Without this, a resolver daemon of the host would be asked over its socket file.
    write(place.path(), NSSWITCH_CONF, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")?;
    Ok(place)
}

fn write(place: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(place.join(name))?;
    Ok(file.write_all(text.as_bytes())?)
}

fn certificate(server: SocketAddr) -> anyhow::Result<String> {
    let request = http::Request::get("/_millpond/ca.pem").header("host", server.to_string()).body(Vec::new())?;
    let answer = client::send(server, request).context("cannot ask the server for its certificate")?;
    anyhow::ensure!(
        answer.status == 200,
        "the server at {server} has no certificate of its own; it is too old for this"
    );
    Ok(answer.text())
}

/// Every socket that the captive is to make.
fn ways(endpoint: &str, server: SocketAddr, reaches: &[Reach]) -> Vec<Way> {
    let to_server = |inside: SocketAddrV4| Way { inside, outside: relay::Outside::Address(server) };
    let mut ways = vec![to_server(SocketAddrV4::new(AWS_ADDRESS, 443)), to_server(SocketAddrV4::new(AWS_ADDRESS, 80))];
    // Where it says `localhost`, or wherever Millpond itself sends somebody, the port is the same inside.
    if server.ip().is_loopback() || endpoint.contains("localhost") {
        ways.push(to_server(SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port())));
    }
    for reach in reaches {
        if ways.iter().all(|way| way.inside != reach.inside) {
            ways.push(Way { inside: reach.inside, outside: relay::Outside::Name(reach.outside.clone()) });
        }
    }
    ways
}

fn trust(command: &mut Command, place: &Path) {
    for name in TRUST_VARIABLES {
        command.env(name, place.join(CA_BUNDLE));
    }
    command.env("NODE_EXTRA_CA_CERTS", place.join(CA));
    command.env_remove("AWS_ENDPOINT_URL");
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
}

/// Starts the captive, serves it, and waits for its end.
async fn supervise(command: Command, place: &Path, ways: Vec<Way>, names: Names) -> anyhow::Result<ExitStatus> {
    let door = UnixListener::bind(place.join(DOOR)).context("cannot make a socket for the captive")?;
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().context("cannot start")?;
    let setup = tokio::time::timeout(SETUP_LIMIT, take_sockets(&door, ways.len() + 1));
    let (stream, mut sockets) = tokio::select! {
        taken = setup => taken.context("the command's namespaces were not ready in time")??,
        // It has said why, on standard error.
        status = child.wait() => return Ok(status?),
    };
    let dns = sockets.pop().context("the captive has handed over too few sockets")?;
    let mut serving = relay::serve(ways.into_iter().zip(sockets).map(|(way, socket)| (socket, way.outside)))?;
    serving.spawn(dns::serve(dns, names)?);
    stream.writable().await?;
    stream.try_write(b"!").context("the captive has gone")?;
    wait(&mut child).await
}

/// The sockets that the captive has made, in the order that it was told, the one for DNS last.
async fn take_sockets(door: &UnixListener, count: usize) -> anyhow::Result<(UnixStream, Vec<OwnedFd>)> {
    let (stream, _) = door.accept().await?;
    let mut sockets = Vec::new();
    while sockets.len() < count {
        stream.readable().await?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = stream.try_io(tokio::io::Interest::READABLE, || {
            let flags = RecvFlags::CMSG_CLOEXEC;
            Ok(recvmsg(&stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?)
        });
        match received {
            Ok(message) if message.bytes == 0 => anyhow::bail!("the captive ended before it was ready"),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                sockets.extend(fds);
            }
        }
    }
    Ok((stream, sockets))
}

/// Waits for the command, and passes on what tells us to end.
async fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    // A terminal's Ctrl-C reaches the command by itself: we only must not die of it first.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        let passed_on = tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupt.recv() => None,
            _ = quit.recv() => None,
            _ = terminate.recv() => Some(rustix::process::Signal::TERM),
            _ = hang_up.recv() => Some(rustix::process::Signal::HUP),
        };
        let id = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let (Some(signal), Some(id)) = (passed_on, id) {
            let _ = rustix::process::kill_process(id, signal);
        }
    }
}

/// What a shell would say.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}
