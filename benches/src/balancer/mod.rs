//! The balancer beside HAProxy and nginx: CPU microseconds per request, latency it adds, memory per idle connection.
//!
//! Invariants:
//! - All balancers stand before the same two servers and meet the same clients, within seconds of each other, since the
//!   machine's own pace drifts over minutes: a ratio compares figures of one round, and the rounds' median is printed.
//! - A balancer has the first core; clients and servers share the second. Its CPU time is read from /proc.

mod backend;
mod load;
mod millpond;
mod peers;
mod report;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, ensure};

use self::load::Shape;
use self::peers::Peer;
use self::report::{Figure, Report};

pub(crate) use self::backend::serve as serve_backend;

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The binary to measure.
    #[arg(long, default_value = "target/release/millpond")]
    millpond: PathBuf,
    /// Seconds that each workload is measured in each round, after half a second of warm-up.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How many rounds; the median of them is printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the workloads whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Which balancers are measured; `direct` is none at all, `engine` is Millpond's data plane without the rest of it (the
    /// balancer's example `relay`).
    #[arg(long, value_delimiter = ',', default_value = "direct,millpond,haproxy,nginx")]
    balancers: Vec<String>,
    /// Where figures (JSON) and the plot (SVG) are written.
    #[arg(long, default_value = "target/bench-balancer")]
    out: PathBuf,
}

/// Which listener a workload goes to.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    Http,
    Https,
    Tcp,
}

struct Workload {
    name: &'static str,
    door: Door,
    connections: usize,
    body_bytes: usize,
    connection_per_request: bool,
}

const fn keep_alive(name: &'static str, door: Door, connections: usize, body_bytes: usize) -> Workload {
    Workload { name, door, connections, body_bytes, connection_per_request: false }
}

const WORKLOADS: &[Workload] = &[
    keep_alive("http keep-alive 1 KB, 64 connections", Door::Http, 64, 1024),
    keep_alive("http keep-alive 1 KB, one connection", Door::Http, 1, 1024),
    keep_alive("https keep-alive 1 KB, 64 connections", Door::Https, 64, 1024),
    Workload {
        name: "tls full handshakes",
        door: Door::Https,
        connections: 16,
        body_bytes: 1024,
        connection_per_request: true,
    },
    keep_alive("http 100 KB bodies, 16 connections", Door::Http, 16, 100 << 10),
    Workload {
        name: "http connection per request",
        door: Door::Http,
        connections: 32,
        body_bytes: 1024,
        connection_per_request: true,
    },
    keep_alive("tcp 1 KB, 64 connections", Door::Tcp, 64, 1024),
    keep_alive("tcp 100 KB, 16 connections", Door::Tcp, 16, 100 << 10),
];

/// Idle connections of a kind held open at a time: what a process that may open 20,000 files can promise. Millpond and
/// HAProxy both count two descriptors a connection, so that a held one can always be given a server.
const IDLE: usize = 9_500;

/// Runs every workload against every balancer, prints the table and writes figures and plot.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.out)?;
    let home = std::fs::canonicalize(&arguments.out)?;
    make_certificate(&home)?;
    pin_to_second_core()?;
    let _backend = Backend::start()?;
    let mut report = Report::default();
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        // New for every round: none profits from what it learned in the last.
        let peers = arguments.balancers.iter().map(|name| start(name, arguments, &home));
        let peers = peers.collect::<anyhow::Result<Vec<Peer>>>()?;
        for workload in WORKLOADS.iter().filter(|workload| wanted(workload.name)) {
            for peer in &peers {
                measure(peer, workload, arguments, &mut report).await?;
            }
            report.end_round(workload.name);
        }
        if wanted(report::LATENCY) {
            for peer in &peers {
                measure_latency(peer, arguments, &mut report).await?;
            }
            report.end_round(report::LATENCY);
        }
    }
    for name in arguments.balancers.iter().filter(|name| *name != "direct" && wanted("idle")) {
        measure_idle(start(name, arguments, &home)?, &mut report).await?;
    }
    report.print();
    report.write(&home)
}

fn start(name: &str, arguments: &Arguments, home: &Path) -> anyhow::Result<Peer> {
    let _ = std::fs::remove_dir_all(home.join(name));
    match name {
        "millpond" => millpond::start(&arguments.millpond, home),
        "haproxy" => peers::haproxy(home),
        "nginx" => peers::nginx(home),
        "engine" => millpond::start_engine(),
        "direct" => Ok(Peer::direct()),
        _ => anyhow::bail!("no balancer is called {name:?}; there are direct, millpond, engine, haproxy and nginx"),
    }
}

async fn measure(peer: &Peer, workload: &Workload, arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let Some(address) = door(peer, workload.door) else { return Ok(()) };
    let shape = Shape {
        tls: workload.door == Door::Https,
        connections: workload.connections,
        body_bytes: workload.body_bytes,
        connection_per_request: workload.connection_per_request,
        rate: None,
    };
    let measured = Duration::from_secs(arguments.seconds);
    let seen = load::run(address, shape, measured, || peer.cpu_us()).await;
    let seen = seen.with_context(|| format!("{}, {}", peer.name, workload.name))?;
    let figure = Figure {
        cpu_us: seen.cpu_us_a_request(),
        requests_per_second: seen.requests_per_second(),
        p50_ms: seen.latencies.quantile_ms(0.50),
        p99_ms: seen.latencies.quantile_ms(0.99),
    };
    eprintln!("  {:<9} {:<40} {figure}", peer.name, workload.name);
    report.add(workload.name, peer.name, figure);
    Ok(())
}

/// Requests a second of the latency workload: about half of what one core of the slowest balancer carries.
const HALF_LOAD: u64 = 8_000;

async fn measure_latency(peer: &Peer, arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let shape =
        Shape { tls: false, connections: 64, body_bytes: 1024, connection_per_request: false, rate: Some(HALF_LOAD) };
    let seen = load::run(peer.http, shape, Duration::from_secs(arguments.seconds), || peer.cpu_us()).await?;
    let figure = Figure {
        cpu_us: seen.cpu_us_a_request(),
        requests_per_second: seen.requests_per_second(),
        p50_ms: seen.latencies.quantile_ms(0.50),
        p99_ms: seen.latencies.quantile_ms(0.99),
    };
    eprintln!("  {:<9} {:<40} {figure}", peer.name, report::LATENCY);
    report.add(report::LATENCY, peer.name, figure);
    Ok(())
}

async fn measure_idle(peer: Peer, report: &mut Report) -> anyhow::Result<()> {
    for (tls, name) in [(false, report::IDLE_PLAIN), (true, report::IDLE_TLS)] {
        let Some(address) = door(&peer, if tls { Door::Https } else { Door::Http }) else { continue };
        let before = peer.resident_bytes()?;
        let held = load::hold(address, tls, IDLE, async || {
            tokio::time::sleep(Duration::from_secs(2)).await;
            peer.resident_bytes()
        });
        let grown = held.await.with_context(|| format!("{}, {name}", peer.name))?.saturating_sub(before);
        let kb = grown as f64 / IDLE as f64 / 1024.0;
        eprintln!("  {:<9} {name:<40} {kb:.1} KB a connection", peer.name);
        report.add_memory(name, peer.name, kb);
        // What it gives back is no part of the next figure.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

fn door(peer: &Peer, door: Door) -> Option<SocketAddr> {
    match door {
        Door::Http => Some(peer.http),
        Door::Https => peer.https,
        Door::Tcp => Some(peer.tcp),
    }
}

/// The servers, in a process of their own.
struct Backend(Child);

impl Backend {
    fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("backend").args(peers::BACKENDS.map(|address| address.to_string()));
        let child = Self(command.spawn()?);
        let started = std::time::Instant::now();
        while peers::BACKENDS.iter().any(|address| std::net::TcpStream::connect(address).is_err()) {
            ensure!(started.elapsed() < Duration::from_secs(10), "the servers do not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(child)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This process, and the servers that it starts, leave the first core to the balancer.
fn pin_to_second_core() -> anyhow::Result<()> {
    let status =
        Command::new("taskset").args(["--cpu-list", "-p", "1", &std::process::id().to_string()]).output()?.status;
    ensure!(status.success(), "cannot pin to the second core: this bench wants two");
    Ok(())
}

/// An ECDSA certificate for all balancers.
fn make_certificate(home: &Path) -> anyhow::Result<()> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = rcgen::CertificateParams::new(vec!["bench.example.com".to_owned()])?;
    parameters.not_after = rcgen::date_time_ymd(2099, 1, 1);
    let certificate = parameters.self_signed(&key)?;
    std::fs::write(home.join("certificate.pem"), certificate.pem())?;
    std::fs::write(home.join("key.pem"), key.serialize_pem())?;
    Ok(())
}
