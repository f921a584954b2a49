//! The servers under test: started, watched through /proc, and ended with the bench.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// One `millpond serve` with a data directory of its own, ended when dropped.
pub(crate) struct Millpond {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    directory: tempfile::TempDir,
}

impl Millpond {
    /// Starts `binary` and waits until it answers.
    pub(crate) fn start(binary: &Path, data: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(data)?;
        Self::start_in(binary, directory, flags)
    }

    /// Starts `binary` on a directory that may hold keys already.
    pub(crate) fn start_in(binary: &Path, directory: tempfile::TempDir, flags: &[&str]) -> anyhow::Result<Self> {
        let endpoint_file = directory.path().join("endpoint");
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir(directory.path()))
            .arg("--endpoint-file")
            .arg(&endpoint_file)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}; build it with cargo build --release", binary.display()))?;
        let started = Instant::now();
        let endpoint = loop {
            match std::fs::read_to_string(&endpoint_file) {
                Ok(text) if !text.trim().is_empty() => break text,
                _ if started.elapsed() > Duration::from_secs(20) || child.try_wait()?.is_some() => {
                    bail!("millpond did not start")
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let address = endpoint.trim().trim_start_matches("http://").to_owned();
        Ok(Self { child, address, directory })
    }

    /// What the process has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.child.id())
    }

    /// The directory that goes with this server.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Where below a bench's directory the server keeps its data.
pub(crate) fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}

impl Drop for Millpond {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time, microseconds; the kernel counts in steps of 10,000.
    pub(crate) cpu_us: u64,
    /// Resident memory, bytes.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// Reads /proc/PID; fails when the process has gone.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The command's name, in parentheses, may hold spaces: count from behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').context("no command in stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let resident_pages: u64 = fields[21].parse()?;
        Ok(Self { cpu_us: ticks * 10_000, resident_bytes: resident_pages * 4096 })
    }
}
