//! `cargo x crash`: `kill -9` under load, again and again, and nothing acknowledged is missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often the server is killed and started again.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
}

/// Runs the server's crash test, optimised, for that many rounds.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--release", "--package", "millpond", "--test", "crash", "--", "--nocapture"])
        .env("MILLPOND_CRASH_ROUNDS", arguments.rounds.to_string())
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the crash test failed; its output names the message");
    Ok(())
}
