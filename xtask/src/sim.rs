//! `cargo x sim`: runs the queue engine's simulation, over many seeds or again over the one that failed.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Replay this one seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run this many seeds, from 0 up.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
}

/// Runs the simulation; a failure prints the seed that replays it.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let (variable, number) = match arguments.seed {
        Some(seed) => ("MILLPOND_SIM_SEED", seed),
        None => ("MILLPOND_SIM_SEEDS", arguments.seeds),
    };
    // In release: the same promises, and a thousand seeds take seconds.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--release", "--package", "queue", "simulation", "--", "--nocapture"])
        .env(variable, number.to_string())
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the simulation found a violation; the seed above replays it");
    Ok(())
}
