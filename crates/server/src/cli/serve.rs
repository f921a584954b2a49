//! `millpond serve`: from configuration to serving, and from the first signal to exit.
//!
//! Invariants:
//! - "Ready" is printed when the next request will be served, and not before.
//! - A drain answers everything that was accepted, within the drain time, and syncs; only then does the process exit 0.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use iam::Mode;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::ServeArgs;
use crate::config::{Config, Keep};
use crate::descriptors::{self, Carried};
use crate::front_door::stream::Serves;
use crate::front_door::{FrontDoor, catalogue, listener};
use crate::instances;
use crate::logging;
use crate::shutdown::Signals;
use crate::wiring::Platform;

/// Serves until told to stop.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(args.overrides)?;
    logging::start(&config)?;
    fit_descriptors(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("millpond-worker")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config, args.endpoint_file.as_deref()));
    // A client that never takes its answer must not keep the process: everything that counts is synced by now.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Lowers the limits on connections to what the system lets this process open.
fn fit_descriptors(config: &mut Config) {
    let (front_door, balancer) =
        (&mut config.limits.connections_max, &mut config.load_balancing.limits.connections_max);
    let carried = descriptors::carried(Carried { front_door: *front_door, balancer: *balancer });
    (*front_door, *balancer) = (carried.front_door, carried.balancer);
}

/// A server that accepts connections.
pub(super) struct Running {
    pub(super) addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    pub(super) front_door: Arc<FrontDoor>,
    pub(super) mode: Mode,
    accepting: JoinSet<()>,
    /// Beside `accepting`: a drain is held to its limits too.
    watching: JoinSet<()>,
}

impl Running {
    /// Opens everything and starts to accept.
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let platform = Platform::open(config)?;
        let authenticator = platform.authenticator(config)?;
        let mode = authenticator.mode().map_err(|error| anyhow::anyhow!("cannot read the access keys: {error}"))?;
        let tls = platform.tls(config)?;
        let (listeners, addresses) = listener::bind(&config.listen)?;
        let (tls_listeners, tls_addresses) = listener::bind(&config.tls_listen)?;
        let ids = platform.ids.clone();
        let services = platform.services(config).await?;
        let front_door = Arc::new(FrontDoor::new(config, &*ids, services, authenticator, tls));
        let listeners = listeners.into_iter().map(|listener| (listener, Serves::Both));
        let listeners = listeners.chain(tls_listeners.into_iter().map(|listener| (listener, Serves::TlsOnly)));
        let accepting = accept(listeners, config, &front_door);
        let mut watching = JoinSet::new();
        let watched = front_door.clone();
        watching.spawn(async move { watched.watch_over_connections().await });
        if let Some(instances) = front_door.services().instances.clone() {
            watching.spawn(instances.serve_front_door(front_door.clone()));
        }
        Ok(Self { addresses, tls_addresses, front_door, mode, accepting, watching })
    }

    /// The URL to reach the first address by.
    pub(super) fn endpoint(&self) -> String {
        self.addresses.first().map(|address| url(*address)).unwrap_or_default()
    }

    /// Stops accepting, lets what is in flight finish within `timeout`, and makes everything durable.
    pub(super) async fn stop(mut self, timeout: Duration) -> anyhow::Result<()> {
        self.accepting.shutdown().await;
        let services = self.front_door.services();
        services.drain();
        tokio::join!(self.finish_requests(timeout), services.balancer.drain(timeout));
        self.watching.shutdown().await;
        services.close().await
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

fn accept(
    listeners: impl Iterator<Item = (TcpListener, Serves)>,
    config: &Config,
    front_door: &Arc<FrontDoor>,
) -> JoinSet<()> {
    let slots = Arc::new(Semaphore::new(config.limits.connections_max));
    let mut accepting = JoinSet::new();
    for (listener, serves) in listeners {
        accepting.spawn(listener::accept(listener, serves, front_door.clone(), slots.clone()));
    }
    accepting
}

async fn serve(config: Config, endpoint_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot take over signals")?;
    let running = tokio::select! {
        running = Running::start(&config) => running?,
        () = signals.first() => return Ok(ExitCode::SUCCESS),
    };
    if let Some(path) = endpoint_file {
        write_endpoint(path, &running.endpoint())
            .with_context(|| format!("cannot write the endpoint to {}", path.display()))?;
    }
    announce(&config, &running);
    let failure = tokio::select! {
        () = signals.first() => None,
        reason = running.front_door.services().poisoned() => Some(reason),
    };
    tokio::spawn(signals.force());
    if let Some(reason) = failure {
        error!(%reason, "the message journal failed; stopping, so that nothing is acknowledged that may be lost");
        // Waiting receives end with an error by themselves; there is nothing to sync.
        let _ = running.stop(Duration::from_secs(2)).await;
        anyhow::bail!("the message journal failed: {reason}; look at the disk, then start again");
    }
    running.stop(config.drain_timeout).await.context("cannot close what is on disk; the next start will recover it")?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The URL that a client on this machine reaches an address by.
pub(super) fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// Complete or not there: whoever waits for the file reads it the moment it appears.
fn write_endpoint(path: &Path, endpoint: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).open(&unfinished)?;
    writeln!(file, "{endpoint}")?;
    rename(&unfinished, path)
}

#[allow(clippy::disallowed_methods, reason = "the operator's file, not state")]
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)
}

fn announce(config: &Config, running: &Running) {
    let endpoint = running.endpoint();
    let mut urls: Vec<String> = running.addresses.iter().map(|address| url(*address)).collect();
    urls.extend(running.tls_addresses.iter().map(|address| url(*address).replacen("http", "https", 1)));
    let data = match &config.keep {
        Keep::Dir(path) => path.display().to_string(),
        Keep::Nothing => "nowhere: --ephemeral keeps nothing".into(),
    };
    let (keys, credentials) = match running.mode {
        Mode::Local => (
            "local: any access key is taken, as only this machine can reach it; a 12-digit one selects that account",
            " AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
        ),
        Mode::Strict => ("strict: only keys made with `millpond keys create`", ""),
    };
    let text = format!(
        "Millpond {version} serves {titles}\n\
         \x20 endpoint  {urls}\n\
         \x20 region    {region} (any other works too), account {account}\n\
         \x20 data      {data}\n\
         \x20 keys      {keys}\n\
         \x20 instances {instances}\n\
         \x20 try       millpond aws --endpoint {endpoint} sqs create-queue --queue-name jobs\n\
         \x20 or set    export AWS_ENDPOINT_URL={endpoint} AWS_REGION={region}{credentials}\n\
         Ready on {endpoint}\n",
        version = env!("CARGO_PKG_VERSION"),
        titles = catalogue::titles(),
        urls = urls.join(" "),
        region = config.region,
        account = config.account,
        instances = running.front_door.services().instances.as_ref().map_or_else(instances::none, |run| run.told()),
    );
    // Whoever started us may have closed its end: serving matters more than saying so.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    info!(%endpoint, mode = ?running.mode, "ready");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_this_machine_can_reach() {
        assert_eq!(url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(url("[::]:4566".parse().unwrap()), "http://[::1]:4566");
        assert_eq!(url("10.1.2.3:4566".parse().unwrap()), "http://10.1.2.3:4566");
    }
}
