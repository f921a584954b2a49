//! `ip` and `nft`: the programs by which a namespace's network is changed, fed with scripts that the engine wrote.
//!
//! Invariants:
//! - They work in the namespace of the calling thread.
//! - A script holds nothing from outside but addresses, numbers and names that [`super::config`] has checked.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Debian keeps them where only root's own leads.
const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin";

/// Runs the lines of an `ip -batch` script.
pub(crate) fn ip(lines: &str) -> io::Result<()> {
    run("ip", &["-batch", "-"], lines).map(|_| ())
}

/// Runs one `ip` command for what it prints.
pub(crate) fn ip_output(arguments: &[&str]) -> io::Result<String> {
    run("ip", arguments, "")
}

/// Runs an nft script: all of it takes effect at once, or nothing.
pub(crate) fn nft(script: &str) -> io::Result<()> {
    run("nft", &["-f", "-"], script).map(|_| ())
}

fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.env("PATH", PATH).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), said.trim())))
}

/// Whether both are there; none is run to find out.
pub(crate) fn are_installed() -> Result<(), String> {
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if !PATH.split(':').any(|directory| Path::new(directory).join(program).is_file()) {
            return Err(format!("{program} is not installed; install {package}"));
        }
    }
    Ok(())
}
