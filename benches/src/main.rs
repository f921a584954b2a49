//! Honest comparisons: Millpond beside its peers, in the same run, on the same two cores.
//!
//! Invariants:
//! - Load and server share the machine, and every figure says so: CPU a message is the server's own, read from /proc.
//! - A peer is set up to promise what Millpond promises (durable before the answer), or the table says what it lacks.
//!
//! `cargo x bench queue`, `cargo x bench idle` and `cargo x bench balancer` run them.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock and the real disk")]

mod aws_client;
mod balancer;
mod bare_log;
mod idle;
mod latency;
mod process;
mod queue;
mod rabbitmq;
mod sqs_client;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measures Millpond beside its peers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Sends, receives and deletes together over HTTP, beside RabbitMQ's quorum queues and a bare log.
    Queue {
        /// The binary to measure.
        #[arg(long, default_value = "target/release/millpond")]
        millpond: PathBuf,
        /// Seconds that each workload is measured, after 2 s of warm-up.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Where the servers keep their data; a real disk, or durability costs nothing.
        #[arg(long, default_value = "target/bench-data")]
        data: PathBuf,
        /// Leave RabbitMQ out.
        #[arg(long)]
        without_rabbitmq: bool,
    },
    /// What an idle server costs: 1,000 long polls, 1,000 queues.
    Idle {
        /// The binary to measure.
        #[arg(long, default_value = "target/release/millpond")]
        millpond: PathBuf,
        /// Seconds that each state is watched.
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// Where the server keeps its data.
        #[arg(long, default_value = "target/bench-data")]
        data: PathBuf,
    },
    /// HTTP, HTTPS and TCP through the load balancer, beside HAProxy and nginx.
    Balancer(balancer::Arguments),
    /// The servers behind the balancers; `balancer` starts it.
    #[command(hide = true)]
    Backend {
        /// Where to listen.
        addresses: Vec<std::net::SocketAddr>,
    },
}

fn main() -> anyhow::Result<()> {
    // One thread for the load: it must not take both cores from the server that it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Arguments::parse().bench {
        Bench::Queue { millpond, seconds, data, without_rabbitmq } => {
            std::fs::create_dir_all(&data)?;
            runtime.block_on(queue::run(&millpond, &data, Duration::from_secs(seconds), !without_rabbitmq))
        }
        Bench::Idle { millpond, seconds, data } => {
            std::fs::create_dir_all(&data)?;
            runtime.block_on(idle::run(&millpond, &data, Duration::from_secs(seconds)))
        }
        Bench::Balancer(arguments) => runtime.block_on(balancer::run(&arguments)),
        Bench::Backend { addresses } => runtime.block_on(balancer::serve_backend(&addresses)),
    }
}
