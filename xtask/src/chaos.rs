//! `cargo x chaos`: backends die, configurations and certificates change, and no byte through the balancer is wrong.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long the load lasts.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
}

/// Runs the balancer's chaos test, optimised, for that long.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--release", "--package", "balancer", "--test", "chaos", "--", "--nocapture"])
        .env("MILLPOND_CHAOS_S", arguments.seconds.to_string())
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the chaos test failed; its output names the request");
    Ok(())
}
