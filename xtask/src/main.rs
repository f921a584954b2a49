//! Millpond's task runner: `cargo x help`.
//!
//! Invariant: this file is the table of subcommands and nothing else; each lives in the file of its name.

#![expect(clippy::disallowed_methods, reason = "a task runner works on the tree itself; no simulation sees it")]

mod bench;
mod chaos;
mod check;
mod codegen;
mod crash;
mod debian;
mod fuzz;
mod kills;
mod model;
mod sim;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Millpond's task runner.
#[derive(Parser)]
#[command(name = "cargo x", about, disable_help_subcommand = false)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Cut a service's API model out of the botocore release pinned in models/services.toml.
    Model(model::Arguments),
    /// Write crates/ground/api/src/<service>.rs from models/.
    Codegen,
    /// Install what the tests need and run them all; prints the totals last.
    Test(test::Arguments),
    /// What must hold before a commit, apart from the tests: format, clippy, tidy, cargo-deny.
    Check,
    /// Read the source for what neither compiler nor clippy hold.
    Tidy,
    /// Run the queue engine's simulation over many seeds, or replay one.
    Sim(sim::Arguments),
    /// Kill the server under load, again and again, and look for what it acknowledged.
    Crash(crash::Arguments),
    /// Kill the server while stacks are made, changed and taken away, and look for what is missing or left.
    Kills(kills::Arguments),
    /// Load through the balancer while backends die, configurations change and certificates rotate.
    Chaos(chaos::Arguments),
    /// Run the fuzz targets.
    Fuzz(fuzz::Arguments),
    /// Measure the release binary beside its peers.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let root = workspace_root();
    match Arguments::parse().task {
        Task::Model(arguments) => model::run(&root, &arguments),
        Task::Codegen => codegen::run(&root),
        Task::Test(arguments) => test::run(&root, &arguments),
        Task::Check => check::run(&root),
        Task::Tidy => tidy::run(&root),
        Task::Sim(arguments) => sim::run(&root, &arguments),
        Task::Crash(arguments) => crash::run(&root, &arguments),
        Task::Kills(arguments) => kills::run(&root, &arguments),
        Task::Chaos(arguments) => chaos::run(&root, &arguments),
        Task::Fuzz(arguments) => fuzz::run(&root, &arguments),
        Task::Bench(arguments) => bench::run(&root, &arguments),
    }
}

/// The folder that holds the workspace, wherever `cargo x` was called from.
fn workspace_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
