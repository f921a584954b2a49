//! `cargo x fuzz`: every parser of bytes from outside meets bytes that nobody would send.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the targets whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Builds and runs the targets one after the other; stops at the first that crashes.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let fuzz = root.join("fuzz");
    let targets = targets(&fuzz)?;
    let wanted = |name: &&String| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    for target in targets.iter().filter(wanted) {
        eprintln!("\n=== {target}, {} s ===", arguments.seconds);
        // libFuzzer's coverage needs flags that stable compilers keep for themselves; nothing else of nightly is used.
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["fuzz", "run", "--sanitizer", "none", target, "--"])
            .arg(format!("-max_total_time={}", arguments.seconds))
            .args(["-max_len=65536", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"])
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(&fuzz)
            .status()?;
        ensure!(status.success(), "{target} failed: its input is above (no `cargo fuzz`? cargo install cargo-fuzz)");
    }
    Ok(())
}

fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let folder = fuzz.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    ensure!(!names.is_empty(), "no target in {}", folder.display());
    Ok(names)
}
