//! `cargo x bench`: builds the release binary and measures it beside its peers.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::debian::{ensure_installed, install};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is given to the bench: `queue`, `idle`, `balancer`, and their flags (`queue --help`).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "queue")]
    bench: Vec<String>,
}

/// Installs the balancer's peers where they are missing, builds `millpond` and `benches` in release, then runs the bench.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    if arguments.bench.first().is_some_and(|bench| bench == "balancer") {
        ensure_installed("haproxy", &["haproxy"])?;
        ensure_installed("nginx", &["nginx-light"])?;
        if !Path::new("/usr/lib/nginx/modules/ngx_stream_module.so").exists() {
            install(&["libnginx-mod-stream"])?;
        }
    }
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
