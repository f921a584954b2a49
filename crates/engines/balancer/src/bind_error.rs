//! Why an address is not served, and what an operator can do about it.
//!
//! Invariant: every failure ends with a sentence that says what to do next.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

/// An address that cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub failure: BindFailure,
}

/// Why an address cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindFailure {
    /// Ports below 1024 are for the privileged.
    PermissionDenied,
    /// Somebody else listens there, or it is reserved.
    InUse,
    /// No interface of this machine has the address.
    NotLocal,
    /// The configuration has it twice; the first is served.
    Duplicate,
    /// The process may open no more files.
    TooManyFiles,
    /// The listener's TLS cannot be set up.
    Tls(String),
    /// The balancer drains or is gone.
    ShuttingDown,
    /// Anything else that the kernel says.
    Other(String),
}

impl From<&io::Error> for BindFailure {
    fn from(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::ACCESS | Errno::PERM) => Self::PermissionDenied,
            Some(Errno::ADDRINUSE) => Self::InUse,
            Some(Errno::ADDRNOTAVAIL) => Self::NotLocal,
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyFiles,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        match &self.failure {
            BindFailure::PermissionDenied => f.write_str(
                "permission denied; run with CAP_NET_BIND_SERVICE, or set the sysctl \
                 net.ipv4.ip_unprivileged_port_start to this port or below, or choose a port above 1023 (and map this \
                 one to it)",
            ),
            BindFailure::InUse => f.write_str(
                "the address is in use; stop what listens there (`ss -ltnp` names it) or choose another port",
            ),
            BindFailure::NotLocal => f.write_str(
                "no interface has this address; the addresses of every [[zone]] must be on this machine (`ip address \
                 add` puts them there)",
            ),
            BindFailure::Duplicate => {
                f.write_str("two listeners have this address and port; give one of them another port")
            }
            BindFailure::TooManyFiles => {
                f.write_str("too many open files; raise the limit (`ulimit -n`, or LimitNOFILE= in systemd)")
            }
            BindFailure::Tls(reason) => write!(f, "{reason}; check the listener's certificate and policy"),
            BindFailure::ShuttingDown => f.write_str("the balancer is shutting down; start it again"),
            BindFailure::Other(reason) => write!(f, "{reason}; the system's log may know more"),
        }
    }
}

impl std::error::Error for BindError {}
