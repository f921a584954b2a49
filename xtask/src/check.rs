//! `cargo x check`: what must hold before a commit, apart from the tests: format, clippy, tidy, and cargo-deny if it is
//! installed.
//!
//! Invariant: every check runs, so that one call shows all that is wrong.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// Folders with a workspace of their own, beside the root.
const WORKSPACES: &[&str] = &[".", "examples/url2png"];

/// Runs every check; fails when one did.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut failed = Vec::new();
    let mut note = |what: String, ok: bool| {
        if !ok {
            failed.push(what);
        }
    };
    for workspace in
        WORKSPACES.iter().map(|folder| root.join(folder)).filter(|folder| folder.join("Cargo.toml").exists())
    {
        for arguments in [
            &["fmt", "--all", "--check"][..],
            &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"],
        ] {
            note(format!("cargo {} in {}", arguments[0], workspace.display()), cargo(&workspace, arguments)?);
        }
    }
    note("cargo x tidy".to_owned(), crate::tidy::run(root).inspect_err(|error| eprintln!("{error:#}")).is_ok());
    if has_cargo_deny() {
        note("cargo deny".to_owned(), cargo(root, &["deny", "--workspace", "check"])?);
    } else {
        println!(
            "skip cargo deny: it is not installed; `cargo install --locked cargo-deny` adds licences and advisories"
        );
    }
    ensure!(failed.is_empty(), "these failed: {}", failed.join(", "));
    println!("all is well");
    Ok(())
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<bool> {
    println!("run  cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Ok(Command::new(cargo).args(arguments).current_dir(folder).status()?.success())
}

fn has_cargo_deny() -> bool {
    let mut command = Command::new("cargo-deny");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
