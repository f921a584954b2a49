//! Telling systemd, where it has started us, that we serve, and as which process.
//!
//! Invariant: without `NOTIFY_SOCKET` in the environment nothing happens; a message that cannot be sent is logged and
//! forgotten.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says that this process serves, and that it is the main one: after a take-over systemd still knows the one before.
#[allow(clippy::disallowed_methods, reason = "systemd speaks through the environment")]
pub fn ready() {
    let Some(socket) = std::env::var("NOTIFY_SOCKET").ok().filter(|socket| !socket.is_empty()) else { return };
    let message = format!("READY=1\nMAINPID={}\n", std::process::id());
    if let Err(error) = send(&socket, message.as_bytes()) {
        tracing::warn!(%error, socket, "cannot tell systemd that we serve");
    }
}

fn send(socket: &str, message: &[u8]) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_at_a_path_and_at_an_abstract_name() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("notify");
        let name = format!("millpond-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let cases = [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}")),
        ];
        for (receiver, socket) in cases {
            send(&socket, b"READY=1").unwrap();
            let mut buffer = [0; 16];
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 7, "{socket}");
        }
        assert!(send("/nowhere/notify", b"READY=1").is_err());
    }
}
