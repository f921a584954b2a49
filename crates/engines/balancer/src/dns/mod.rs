//! The DNS server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::health::Watched;
use crate::worker::Shared;

/// Where names are answered for, and which.
#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// UDP and TCP are served at each.
    pub listen: Vec<SocketAddr>,
    /// All names below it are ours.
    pub zone: String,
}

/// Answers for load balancers' names.
pub(crate) struct Server;

pub(crate) fn start(_runtime: &Handle, _options: DnsOptions, _shared: Arc<Shared>) -> io::Result<Server> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "DNS is not there yet"))
}

impl Server {
    pub(crate) fn publish(&self, _watched: Vec<Watched>) {}
}
