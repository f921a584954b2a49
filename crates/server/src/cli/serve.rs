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
use tracing::{error, info};

use super::ServeArgs;
use super::running::{HandOver, Running};
use crate::config::{Config, Keep};
use crate::descriptors::{self, Carried};
use crate::front_door::catalogue;
use crate::instances;
use crate::logging;
use crate::shutdown::Signals;
use crate::systemd;
use crate::take_over::Successor;

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
    let result = runtime.block_on(serve(config, args.take_over, args.endpoint_file.as_deref()));
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

/// Why a server that runs shall not go on.
enum End {
    Signal,
    Successor(Successor),
    Failure(Arc<str>),
}

async fn serve(config: Config, take_over: bool, endpoint_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot take over signals")?;
    let starting = async { if take_over { Running::take_over(&config).await } else { Running::start(&config).await } };
    let mut running = tokio::select! {
        running = starting => running?,
        () = signals.first() => return Ok(ExitCode::SUCCESS),
    };
    if let Some(path) = endpoint_file {
        write_endpoint(path, &running.endpoint())
            .with_context(|| format!("cannot write the endpoint to {}", path.display()))?;
    }
    announce(&config, &running);
    systemd::ready();
    let failure = loop {
        let end = tokio::select! {
            () = signals.first() => End::Signal,
            successor = running.successor() => End::Successor(successor),
            reason = running.front_door.services().poisoned() => End::Failure(reason),
        };
        match end {
            End::Signal => break None,
            End::Failure(reason) => break Some(reason),
            End::Successor(successor) => {
                let (handed_over, is_signalled) = signals.during(running.hand_over(successor, &config)).await;
                match handed_over? {
                    HandOver::Done => {
                        info!("stopped; the other server serves");
                        return Ok(ExitCode::SUCCESS);
                    }
                    HandOver::Failed(again) => {
                        running = again;
                        if is_signalled {
                            break None;
                        }
                    }
                }
            }
        }
    };
    tokio::spawn(async move { signals.force().await });
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
