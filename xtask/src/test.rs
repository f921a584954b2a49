//! `cargo x test`: installs what the tests need, then runs every one of them and prints the totals.
//!
//! Invariants:
//! - On a fresh Debian machine with the Rust toolchain it needs nothing else; what it installs is pinned, and is kept
//!   in `.test-env/` (Python, Node) or comes from Debian (Chromium, nginx, MariaDB, testssl.sh, slowhttptest).
//! - A suite that could not run counts as a failure, never as a silence.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::debian::{self, ensure_installed};

/// What the user may choose.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the suites whose name contains this: rust, python, node, url2png.
    #[arg(long)]
    only: Option<String>,
}

/// Tests that passed and failed.
#[derive(Clone, Copy, Default)]
struct Totals {
    passed: u64,
    failed: u64,
}

struct Suite {
    name: &'static str,
    run: fn(&Environment) -> Result<Totals>,
}

const SUITES: &[Suite] = &[
    Suite { name: "rust", run: rust },
    Suite { name: "python", run: python },
    Suite { name: "node", run: node },
    Suite { name: "url2png", run: url2png },
];

/// Where things are.
pub(crate) struct Environment {
    root: PathBuf,
    /// `.test-env`, which git ignores.
    installed: PathBuf,
    millpond: PathBuf,
}

/// Installs, runs, adds up. Fails when a test failed or a suite could not run.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let environment = Environment::new(root);
    let wanted = |suite: &&Suite| arguments.only.as_deref().is_none_or(|only| suite.name.contains(only));
    let suites: Vec<&Suite> = SUITES.iter().filter(wanted).collect();
    ensure!(!suites.is_empty(), "no suite has that name; there are rust, python, node and url2png");
    let mut sum = Totals::default();
    let mut lines = Vec::new();
    for suite in suites {
        eprintln!("\n=== {} ===", suite.name);
        let totals = (suite.run)(&environment).unwrap_or_else(|error| {
            eprintln!("the {} suite could not run: {error:#}", suite.name);
            Totals { passed: 0, failed: 1 }
        });
        lines.push(format!("{:<8} {:>5} passed, {} failed", suite.name, totals.passed, totals.failed));
        sum.passed += totals.passed;
        sum.failed += totals.failed;
    }
    println!("\n{}", lines.join("\n"));
    println!("\n{} passed, {} failed", sum.passed, sum.failed);
    ensure!(sum.failed == 0, "tests failed; look above for the first one");
    Ok(())
}

fn rust(environment: &Environment) -> Result<Totals> {
    // Three different readers of HTTP stand behind the balancer in its smuggling test.
    ensure_installed("nginx", &["nginx-light"])?;
    ensure_installed("node", &["nodejs"])?;
    ensure_installed("python3", &["python3"])?;
    // Instances: their networks are made with these, and their tests ask with these.
    ensure_installed("nft", &["nftables"])?;
    ensure_installed("ip", &["iproute2"])?;
    let mut command = environment.cargo(&environment.root);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    cargo_test(command)
}

fn python(environment: &Environment) -> Result<Totals> {
    for (program, package) in [
        ("mariadbd", "mariadb-server"),
        ("mariadb", "mariadb-client"),
        ("testssl", "testssl.sh"),
        ("slowhttptest", "slowhttptest"),
        ("dig", "dnsutils"),
        ("openssl", "openssl"),
    ] {
        ensure_installed(program, &[package])?;
    }
    let folder = environment.root.join("tests/e2e/python");
    let legacy = environment.venv("venv-legacy", &folder.join("requirements-legacy.txt"))?;
    let mut command = environment.pytest("")?;
    command.args(["--timeout", "180", "-q"]).env("MILLPOND_LEGACY_PYTHON", legacy.join("bin/python"));
    environment.counted(command, |line, totals| {
        // 41 passed, 1 failed, 2 errors in 12.34s
        for (count, word) in numbers_before_words(line) {
            match word {
                "passed" => totals.passed += count,
                "failed" | "error" | "errors" => totals.failed += count,
                _ => {}
            }
        }
    })
}

fn node(environment: &Environment) -> Result<Totals> {
    environment.build_millpond()?;
    ensure_installed("npm", &["nodejs", "npm"])?;
    let folder = environment.installed.join("node");
    std::fs::create_dir_all(&folder)?;
    let files = [
        "package.json",
        "package-lock.json",
        "millpond.test.js",
        "capture.test.js",
        "program-of-2015.cjs",
        "cdk.test.js",
        "cdk-app.cjs",
    ];
    for file in files {
        std::fs::copy(environment.root.join("tests/e2e/node").join(file), folder.join(file))?;
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    succeed(install)?;
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap"]).current_dir(&folder);
    environment.counted(command, |line, totals| {
        // # pass 5
        if let Some(count) = line.strip_prefix("# pass ") {
            totals.passed += count.trim().parse().unwrap_or(0);
        } else if let Some(count) = line.strip_prefix("# fail ") {
            totals.failed += count.trim().parse().unwrap_or(0);
        }
    })
}

fn url2png(environment: &Environment) -> Result<Totals> {
    environment.build_millpond()?;
    ensure_installed("chromium", &["chromium"])?;
    ensure_installed("curl", &["curl"])?;
    // The example's README is run as it stands, and it types `aws`.
    let venv = environment.venv("venv", &environment.root.join("tests/e2e/python/requirements.txt"))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(venv.join("bin")).chain(std::env::split_paths(&path)))?;
    let mut command = environment.cargo(&environment.root.join("examples/url2png"));
    command.args(["test", "--no-fail-fast"]).env("MILLPOND_BIN", &environment.millpond).env("PATH", path);
    cargo_test(command)
}

/// A binary that is built already, and tried instead of the release's.
fn named_millpond() -> Option<PathBuf> {
    std::env::var_os("MILLPOND_BIN").map(PathBuf::from)
}

fn cargo_test(command: Command) -> Result<Totals> {
    counted(command, |line, totals| {
        // test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
        if line.starts_with("test result: ") {
            for (count, word) in numbers_before_words(line) {
                match word {
                    "passed" => totals.passed += count,
                    "failed" => totals.failed += count,
                    _ => {}
                }
            }
        }
    })
}

impl Environment {
    pub(crate) fn new(root: &Path) -> Self {
        let root = root.to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let millpond = named_millpond().unwrap_or_else(|| target.join("release/millpond"));
        Self { installed: root.join(".test-env"), millpond, root }
    }

    /// pytest over a file of `tests/e2e/python`, or over all of them.
    pub(crate) fn pytest(&self, file: &str) -> Result<Command> {
        self.build_millpond()?;
        let folder = self.root.join("tests/e2e/python");
        let venv = self.venv("venv", &folder.join("requirements.txt"))?;
        let mut command = Command::new(venv.join("bin/python"));
        command.args(["-m", "pytest", "-p", "no:cacheprovider"]).arg(folder.join(file));
        command.env("MILLPOND_BIN", &self.millpond);
        Ok(command)
    }

    fn cargo(&self, folder: &Path) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(folder);
        command
    }

    /// The binary as users build it, unless the environment names another; cargo knows whether there is anything to do.
    fn build_millpond(&self) -> Result<()> {
        if named_millpond().is_some() {
            return Ok(());
        }
        let mut command = self.cargo(&self.root);
        command.args(["build", "--release", "--package", "millpond"]);
        succeed(command)
    }

    /// A Python environment with exactly the pinned packages; made anew when the pins change.
    fn venv(&self, name: &str, requirements: &Path) -> Result<PathBuf> {
        let venv = self.installed.join(name);
        let (wanted, marker) = (std::fs::read(requirements)?, venv.join("installed-requirements.txt"));
        if std::fs::read(&marker).is_ok_and(|installed| installed == wanted) {
            return Ok(venv);
        }
        eprintln!("installing {}", requirements.display());
        ensure_installed("python3", &["python3"])?;
        let create = || {
            let mut command = Command::new("python3");
            command.args(["-m", "venv", "--clear"]).arg(&venv);
            succeed(command)
        };
        // Debian keeps venv in a package of its own.
        create().or_else(|_| debian::install(&["python3-venv"]).and_then(|()| create()))?;
        let mut install = Command::new(venv.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements);
        succeed(install)?;
        std::fs::write(marker, wanted)?;
        Ok(venv)
    }

    fn counted(&self, mut command: Command, count: impl Fn(&str, &mut Totals)) -> Result<Totals> {
        command.env("MILLPOND_BIN", &self.millpond);
        counted(command, count)
    }
}

/// Runs `command`, shows what it prints, and counts as it goes. An exit code that no counted failure explains is one.
fn counted(mut command: Command, count: impl Fn(&str, &mut Totals)) -> Result<Totals> {
    let what = describe(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {what}"))?;
    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        println!("{line}");
        count(&line, &mut totals);
    }
    let status = child.wait()?;
    if !status.success() && totals.failed == 0 {
        eprintln!("{what} ended with {status}");
        totals.failed = 1;
    }
    if status.success() && totals.passed == 0 {
        bail!("{what} ran no test");
    }
    Ok(totals)
}

fn succeed(mut command: Command) -> Result<()> {
    let what = describe(&command);
    let status = command.status().with_context(|| format!("cannot run {what}"))?;
    ensure!(status.success(), "{what} ended with {status}");
    Ok(())
}

fn describe(command: &Command) -> String {
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// `["3 passed", "1 failed"]` out of a runner's closing line.
fn numbers_before_words(line: &str) -> Vec<(u64, &str)> {
    let words: Vec<&str> = line.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect();
    words.windows(2).filter_map(|pair| Some((pair[0].parse().ok()?, pair[1]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runners_closing_line_is_read_for_its_numbers() {
        let line = "test result: FAILED. 12 passed; 1 failed; 0 ignored";
        assert_eq!(numbers_before_words(line), [(12, "passed"), (1, "failed"), (0, "ignored")]);
        assert_eq!(numbers_before_words("3 failed, 41 passed in 1.2s")[1], (41, "passed"));
    }

    #[test]
    fn a_suite_that_runs_nothing_is_a_failure() {
        assert!(counted(Command::new("true"), |_, _| {}).is_err());
    }
}
