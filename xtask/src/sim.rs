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
    let listed = simulation(root, "--list").output()?;
    // A filter that matches nothing would else look like a thousand seeds without a violation.
    ensure!(
        String::from_utf8_lossy(&listed.stdout).contains(": test"),
        "there is no test with `simulation` in its name, or it does not compile:\n{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let status = simulation(root, "--nocapture").env(variable, number.to_string()).status()?;
    ensure!(status.success(), "the simulation found a violation; the seed above replays it");
    Ok(())
}

/// In release: the same promises, and a thousand seeds take seconds.
fn simulation(root: &Path, flag: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--release", "--package", "queue", "simulation", "--", flag]).current_dir(root);
    command
}
