//! [`Running`]: a server that accepts connections, from opening everything to letting go of it.
//!
//! Invariants:
//! - A drain answers everything that was accepted, within the drain time, and syncs.
//! - While a successor takes over, load balancers are served by this process until that one does; API requests wait in
//!   the kernel's queue while neither has the data directory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use balancer::{Balancer, ListeningSocket};
use iam::Mode;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::serve::url;
use crate::config::{Config, Keep};
use crate::front_door::stream::Serves;
use crate::front_door::{FrontDoor, listener};
use crate::take_over::{Desk, Predecessor, Sockets, Successor};
use crate::wiring::Platform;

/// A server that accepts connections.
pub(super) struct Running {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) tls_addresses: Vec<SocketAddr>,
    pub(super) front_door: Arc<FrontDoor>,
    pub(super) mode: Mode,
    accepting: JoinSet<()>,
    /// Beside `accepting`: a drain is held to its limits too.
    watching: JoinSet<()>,
    /// The sockets that `accepting` accepts from, for the next process.
    sockets: Vec<std::net::TcpListener>,
    /// Where the next process asks; nowhere for a server that keeps nothing.
    desk: Option<Desk>,
    /// Whether the process before has not ended yet.
    is_second: Arc<AtomicBool>,
}

/// What became of handing over.
pub(super) enum HandOver {
    /// The next process serves; this one has nothing left to do.
    Done,
    /// The next process failed; this one goes on.
    Failed(Running),
}

impl Running {
    /// Opens everything and starts to accept.
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        Self::start_with(config, Sockets::default(), None).await
    }

    /// The same with the sockets of the process that has the data directory, if there is one.
    pub(super) async fn take_over(config: &Config) -> anyhow::Result<Self> {
        let Keep::Dir(data_dir) = &config.keep else {
            anyhow::bail!("cannot take over with --ephemeral: the two servers meet in the data directory");
        };
        let asked = Predecessor::ask(data_dir).await;
        match asked.with_context(|| format!("cannot take over from the server that uses {}", data_dir.display()))? {
            Some((predecessor, sockets)) => Self::start_with(config, sockets, Some(predecessor)).await,
            None => {
                info!("there is no running server to take over from");
                Self::start(config).await
            }
        }
    }

    async fn start_with(
        config: &Config,
        mut sockets: Sockets,
        mut predecessor: Option<Predecessor>,
    ) -> anyhow::Result<Self> {
        // What can fail without the data directory fails before the other process lets go of it.
        let (listeners, addresses) = listener::bind(&config.listen, &mut sockets.front_door)?;
        let (tls_listeners, tls_addresses) = listener::bind(&config.tls_listen, &mut sockets.front_door)?;
        let listeners: Vec<(TcpListener, Serves)> = (listeners.into_iter().map(|listener| (listener, Serves::Both)))
            .chain(tls_listeners.into_iter().map(|listener| (listener, Serves::TlsOnly)))
            .collect();
        let kept = listeners.iter().map(|(listener, _)| duplicate(listener)).collect::<std::io::Result<_>>();
        let kept = kept.context("cannot keep a socket")?;
        if let Some(predecessor) = &mut predecessor {
            info!("waiting for the other server to let go of the data directory");
            predecessor.released().await.context("the other server did not hand over")?;
        }
        let takes_over = predecessor.is_some() || !sockets.balancer.is_empty();
        let platform = Platform::open(config)?;
        let authenticator = platform.authenticator(config)?;
        let mode = authenticator.mode().map_err(|error| anyhow::anyhow!("cannot read the access keys: {error}"))?;
        let tls = platform.tls(config)?;
        let ids = platform.ids.clone();
        let services = platform.services(config, sockets.balancer, takes_over).await?;
        let front_door = Arc::new(FrontDoor::new(config, &*ids, services, authenticator, tls));
        let desk = match &config.keep {
            Keep::Dir(path) => Some(open_desk(path)?),
            Keep::Nothing => None,
        };
        let accepting = accept(listeners, config, &front_door);
        let running = Self {
            addresses,
            tls_addresses,
            mode,
            accepting,
            watching: watch(&front_door),
            front_door,
            sockets: kept,
            desk,
            is_second: Arc::default(),
        };
        running.part_from(predecessor).await;
        Ok(running)
    }

    /// Tells the process before that it may go, and takes in what it leaves.
    async fn part_from(&self, predecessor: Option<Predecessor>) {
        let services = self.front_door.services();
        let Some(mut predecessor) = predecessor else { return services.adopt_access_records().await };
        if let Err(error) = predecessor.serving().await {
            warn!(%error, "the other server ended early");
        }
        self.is_second.store(true, Relaxed);
        let (front_door, is_second) = (self.front_door.clone(), self.is_second.clone());
        tokio::spawn(async move {
            predecessor.gone().await;
            info!("the other server has ended");
            front_door.services().adopt_access_records().await;
            is_second.store(false, Relaxed);
        });
    }

    /// The URL to reach the first address by.
    pub(super) fn endpoint(&self) -> String {
        self.addresses.first().map(|address| url(*address)).unwrap_or_default()
    }

    /// Waits for a process that wants to take over and may.
    pub(super) async fn successor(&self) -> Successor {
        let Some(desk) = &self.desk else { return std::future::pending().await };
        loop {
            let successor = desk.next().await;
            if !self.is_second.load(Relaxed) {
                return successor;
            }
            successor.refuse("the running server waits for the one before it to end; try again later").await;
        }
    }

    /// Stops accepting, lets what is in flight finish within `timeout`, and makes everything durable.
    pub(super) async fn stop(mut self, timeout: Duration) -> anyhow::Result<()> {
        self.accepting.shutdown().await;
        self.sockets.clear();
        let services = self.front_door.services();
        services.drain();
        tokio::join!(self.finish_requests(timeout), services.balancer.drain(timeout));
        self.watching.shutdown().await;
        services.close().await
    }

    /// Hands everything over to the next process, and finishes what load balancers have begun.
    ///
    /// # Errors
    /// What is on disk could not be closed, or this process could not go on where the next one failed.
    pub(super) async fn hand_over(mut self, mut successor: Successor, config: &Config) -> anyhow::Result<HandOver> {
        info!("another server takes over");
        let front_door = self.front_door.clone();
        let services = front_door.services();
        let balancer = services.balancer.clone();
        let sockets = match self.give_sockets(&mut successor).await {
            Ok(sockets) => sockets,
            Err(error) => {
                warn!(%error, "the other server did not take the sockets; going on");
                balancer.hand_over_failed();
                return Ok(HandOver::Failed(self));
            }
        };
        self.accepting.shutdown().await;
        services.drain();
        self.finish_requests(config.drain_timeout).await;
        self.watching.shutdown().await;
        services.leave_access_records().await;
        services.close().await?;
        services.release();
        let served = successor.release().await;
        let Err(error) = served else {
            drop(sockets);
            balancer.drain(config.drain_timeout).await;
            return Ok(HandOver::Done);
        };
        error!(%error, "the other server ended before it served; starting again");
        drop((self, front_door));
        let again = Self::start_with(config, sockets, None).await.context("cannot start again")?;
        tokio::spawn(drain(balancer, config.drain_timeout));
        Ok(HandOver::Failed(again))
    }

    async fn give_sockets(&self, successor: &mut Successor) -> std::io::Result<Sockets> {
        let front_door = self
            .sockets
            .iter()
            .map(|socket| Ok(ListeningSocket { address: socket.local_addr()?, fd: socket.try_clone()?.into() }));
        let sockets = Sockets {
            front_door: front_door.collect::<std::io::Result<_>>()?,
            balancer: self.front_door.services().balancer.listening()?,
        };
        successor.give(&sockets).await?;
        Ok(sockets)
    }

    async fn finish_requests(&self, timeout: Duration) {
        if tokio::time::timeout(timeout, self.front_door.drain()).await.is_err() {
            let connections = self.front_door.connections();
            warn!(connections, "requests in flight did not finish in time; closing their connections");
            self.front_door.close_connections();
            let _ = tokio::time::timeout(Duration::from_secs(1), self.front_door.drain()).await;
        }
    }
}

async fn drain(balancer: Balancer, within: Duration) {
    balancer.drain(within).await;
}

fn open_desk(data_dir: &Path) -> anyhow::Result<Desk> {
    Desk::open(data_dir).with_context(|| format!("cannot make a socket in {}", data_dir.display()))
}

fn duplicate(listener: &TcpListener) -> std::io::Result<std::net::TcpListener> {
    use std::os::fd::AsFd;
    Ok(listener.as_fd().try_clone_to_owned()?.into())
}

fn accept(listeners: Vec<(TcpListener, Serves)>, config: &Config, front_door: &Arc<FrontDoor>) -> JoinSet<()> {
    let slots = Arc::new(Semaphore::new(config.limits.connections_max));
    let mut accepting = JoinSet::new();
    for (listener, serves) in listeners {
        accepting.spawn(listener::accept(listener, serves, front_door.clone(), slots.clone()));
    }
    accepting
}

fn watch(front_door: &Arc<FrontDoor>) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    let watched = front_door.clone();
    watching.spawn(async move { watched.watch_over_connections().await });
    let metered = front_door.clone();
    watching.spawn(async move { metered.services().meter().await });
    if let Some(instances) = front_door.services().instances.clone() {
        watching.spawn(instances.serve_front_door(front_door.clone()));
    }
    watching
}
