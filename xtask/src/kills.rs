//! `cargo x kills`: `kill -9` of Millpond while stacks are made, changed and taken away, again and again.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::test::Environment;

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Lives of each stack; five kills in each.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Where the moments of the kills come from; a random one unless given. Each run prints its own.
    #[arg(long)]
    seed: Option<u32>,
    /// Only the template whose test's name contains this: example, book.
    #[arg(long)]
    only: Option<String>,
}

/// Runs the Python tests that kill, for that many rounds. `MILLPOND_BIN` may name a binary that is built already.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let environment = Environment::new(root);
    let seed = arguments.seed.unwrap_or_else(|| std::process::id() ^ time_s());
    println!("{} rounds; again with: cargo x kills --rounds {0} --seed {seed}", arguments.rounds);
    let mut command = environment.pytest("test_cloudformation_kills.py")?;
    command.args(["-s", "-v"]);
    if let Some(only) = &arguments.only {
        command.args(["-k", only]);
    }
    command.env("MILLPOND_KILL_ROUNDS", arguments.rounds.to_string()).env("MILLPOND_KILL_SEED", seed.to_string());
    ensure!(command.status()?.success(), "the kill test failed; its output tells the stack's story");
    Ok(())
}

fn time_s() -> u32 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u32::try_from(since.as_secs() & 0xffff_ffff).unwrap_or(0)
}
