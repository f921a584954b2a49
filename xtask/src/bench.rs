//! `cargo x bench`: builds the release binary and measures it beside its peers.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is given to the bench: `queue`, `idle`, and their flags (`queue --help`).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "queue")]
    bench: Vec<String>,
}

/// Builds `millpond` and `benches` in release, then runs the bench.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    cargo(root, &["build", "--release", "--package", "millpond"], &[])?;
    cargo(root, &["run", "--release", "--package", "benches", "--"], &arguments.bench)
}

fn cargo(root: &Path, fixed: &[&str], given: &[String]) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(fixed)
        .args(given)
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "cargo {} ended with {status}", fixed.join(" "));
    Ok(())
}
