//! `millpond demo`: a newcomer's first minutes. A server of its own on a free port, real requests, real answers, and the
//! command for each; nothing is left behind.
//!
//! Invariants:
//! - Every line that looks like an answer is one; the tour stops at the first that is not as promised.
//! - However the tour ends, Ctrl-C included, so do its server, its instances and its worker.

mod queue;
mod servers;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use host::{Clock, SystemClock};
use http::Request;
use parking_lot::Mutex;

use super::client::{self, Answer};
use super::running::Running;
use crate::config::{Config, InstanceIsolation, Overrides};
use crate::shutdown::Signals;

pub(super) use queue::{WorkerArgs, work};

const REGION: &str = "us-east-1";
/// Between two steps, for who reads along.
const BREATH: Duration = Duration::from_millis(900);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Half {
    /// A load balancer and its servers, one of which is killed.
    Servers,
    /// A queue and its worker, who is killed too.
    Queue,
}

/// Starts a server, walks through it and stops it.
pub(super) fn run(half: Option<Half>) -> anyhow::Result<ExitCode> {
    let config = Config::load(Overrides {
        ephemeral: Some(true),
        listen: vec!["127.0.0.1:0".into()],
        config: Some("/dev/null".into()),
        region: Some(REGION.into()),
        instance_isolation: Some(InstanceIsolation::Unprivileged),
        ..Overrides::default()
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let running = Running::start(&config).await?;
        let address = *running.addresses.first().context("the server listens nowhere")?;
        let worker = Worker::default();
        let tour = Tour { address, worker: worker.clone() };
        let tour = tokio::task::spawn_blocking(move || tour.walk(half));
        let result = tokio::select! {
            result = tour => result?.map(|()| ExitCode::SUCCESS),
            () = signals.first() => Ok(ExitCode::from(130)),
        };
        worker.kill();
        running.stop(Duration::from_secs(1)).await?;
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

struct Tour {
    address: SocketAddr,
    worker: Worker,
}

impl Tour {
    fn walk(&self, half: Option<Half>) -> anyhow::Result<()> {
        println!("A Millpond of its own serves http://{}; it keeps nothing.", self.address);
        if half != Some(Half::Queue) {
            servers::walk(self)?;
        }
        if half != Some(Half::Servers) {
            queue::walk(self)?;
        }
        println!("\nStart your own with `millpond serve`; then `millpond aws …` and `millpond exec -- …` reach it.");
        Ok(())
    }

    fn signed(&self, service: &str, request: Request<Vec<u8>>) -> anyhow::Result<Answer> {
        let answer = client::send_signed(self.address, client::ANYBODY, service, REGION, SystemClock.now(), request)?;
        ensure!((200..300).contains(&answer.status), "answered {}: {}", answer.status, answer.text());
        Ok(answer)
    }
}

/// The process that works on the queue, while there is one; who has it can kill it.
#[derive(Clone, Default)]
struct Worker(Arc<Mutex<Option<Child>>>);

impl Worker {
    fn kill(&self) -> Option<u32> {
        let mut child = self.0.lock().take()?;
        let _ = child.kill();
        let _ = child.wait();
        Some(child.id())
    }
}

/// A step begins: at a terminal, once there was time to read the last one.
fn title(text: &str) {
    if std::io::stdout().is_terminal() {
        thread::sleep(BREATH);
    }
    println!("\n* {text}");
}

fn command(text: &str) {
    println!("  $ {text}");
}

fn answer(text: &str) {
    println!("    {text}");
}
