//! The instance that a tool runs in: its files, its environment, its clock, its programs.
//!
//! Invariants:
//! - Every absolute path that a tool touches goes through [`System::path`], so that a test can stand under a root of
//!   its own.
//! - A program's output that is kept is bounded by [`OUTPUT_BYTES_MAX`], and a daemon that it leaves behind with our
//!   pipe in hand holds us up no longer than [`LINGER`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use time::OffsetDateTime;

/// How much of a program's output is kept for the logs.
pub(crate) const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// How long to wait for more output once the program itself has ended.
const LINGER: Duration = Duration::from_millis(200);
/// Where programs are looked for when the environment does not say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/aws/bin";

/// The instance as a tool sees it.
pub(crate) struct System {
    root: PathBuf,
    environment: BTreeMap<String, String>,
}

/// A program to run, as templates write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// For the shell.
    Shell(String),
    /// A program and its arguments.
    Words(Vec<String>),
}

impl Line {
    /// A program and its arguments.
    pub(crate) fn words(words: &[&str]) -> Self {
        Self::Words(words.iter().map(|word| (*word).to_owned()).collect())
    }
}

/// How to run a [`Line`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// Takes the place of the whole environment.
    pub(crate) only_environment: Option<BTreeMap<String, String>>,
    /// Added to the environment.
    pub(crate) more_environment: BTreeMap<String, String>,
    /// The working directory, as the instance sees it.
    pub(crate) directory: Option<String>,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; minus the signal's number when a signal ended it.
    pub(crate) code: i32,
    /// What it wrote, both streams together.
    pub(crate) output: String,
}

impl Outcome {
    /// Whether it exited with 0.
    pub(crate) fn is_success(&self) -> bool {
        self.code == 0
    }
}

impl System {
    /// The instance that this process runs in.
    pub(crate) fn real() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let mut environment: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
        // User data may run with no PATH at all.
        environment.entry("PATH".to_owned()).or_insert_with(|| PATH_DEFAULT.to_owned());
        Self { root: PathBuf::from("/"), environment }
    }

    /// An instance below a directory, for tests.
    #[cfg(test)]
    pub(crate) fn under(root: &Path, environment: &[(&str, &str)]) -> Self {
        let mut environment: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.entry("PATH".to_owned()).or_insert_with(|| PATH_DEFAULT.to_owned());
        Self { root: root.to_owned(), environment }
    }

    /// Where a path of the instance really is.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// An environment variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The time now.
    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn unix_s(&self) -> u64 {
        u64::try_from(self.now().unix_timestamp()).unwrap_or(0)
    }

    /// The first program of that name on the PATH that is not this binary under another name.
    pub(crate) fn foreign_program(&self, name: &str) -> Option<PathBuf> {
        // By inode: the binary may be mounted or linked at several places.
        let inode = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let myself = inode(Path::new("/proc/self/exe"));
        let directories = self.variable("PATH").unwrap_or(PATH_DEFAULT).split(':').chain(PATH_DEFAULT.split(':'));
        directories
            .map(|directory| self.path(directory).join(name))
            .find(|candidate| is_program(candidate) && inode(candidate) != myself)
    }

    /// Whether a path of the instance is a program.
    pub(crate) fn has_program(&self, absolute: &str) -> bool {
        is_program(&self.path(absolute))
    }

    /// A program as a command of the standard library, with this instance's environment.
    pub(crate) fn command(&self, line: &Line, setting: &Setting) -> Command {
        let mut command = match line {
            Line::Shell(text) => {
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(text);
                command
            }
            Line::Words(words) => {
                let mut command = Command::new(words.first().map_or("", String::as_str));
                command.args(words.get(1..).unwrap_or_default());
                command
            }
        };
        command.env_clear();
        command.envs(setting.only_environment.as_ref().unwrap_or(&self.environment));
        command.envs(&setting.more_environment);
        if let Some(directory) = &setting.directory {
            command.current_dir(self.directory(directory));
        }
        command
    }

    fn directory(&self, written: &str) -> PathBuf {
        match (written.strip_prefix('~'), self.variable("HOME")) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => self.path(format!("{home}{rest}")),
            _ if written.starts_with('/') => self.path(written),
            _ => PathBuf::from(written),
        }
    }

    /// Runs a program to its end with its output kept.
    pub(crate) fn run(&self, line: &Line, setting: &Setting) -> io::Result<Outcome> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.command(line, setting);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // The command holds the pipe's other end; without this the pipe would never end.
        drop(command);
        let chunks = read_in_background(reader);
        let status = child.wait()?;
        Ok(Outcome { code: code(status), output: collect(&chunks) })
    }

    /// Runs a program that need not be there; a program that cannot be started counts as failed.
    pub(crate) fn try_run(&self, words: &[&str]) -> Outcome {
        self.run(&Line::words(words), &Setting::default())
            .unwrap_or_else(|error| Outcome { code: 127, output: error.to_string() })
    }

    /// Runs a program with our own input and output; its exit code.
    pub(crate) fn run_through(&self, line: &Line, setting: &Setting) -> io::Result<i32> {
        Ok(code(self.command(line, setting).status()?))
    }

    /// Becomes another program; comes back only when it cannot.
    pub(crate) fn become_program(&self, program: &Path, arguments: &[OsString]) -> io::Error {
        Command::new(program).args(arguments).env_clear().envs(&self.environment).exec()
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(1))
}

fn read_in_background(mut reader: io::PipeReader) -> Receiver<Vec<u8>> {
    let (sender, chunks) = channel();
    std::thread::spawn(move || {
        let mut kept = 0;
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            // Read on when enough is kept: a full pipe would stop the program.
            let wanted = count.min(OUTPUT_BYTES_MAX - kept);
            kept += wanted;
            if sender.send(buffer[..wanted].to_vec()).is_err() {
                return;
            }
        }
    });
    chunks
}

fn collect(chunks: &Receiver<Vec<u8>>) -> String {
    let mut bytes = Vec::new();
    while let Ok(chunk) = chunks.recv_timeout(LINGER) {
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The process's exit code as the shell would see it.
pub(crate) fn exit_code(code: i32) -> u8 {
    match code {
        0..=255 => u8::try_from(code).unwrap_or(1),
        signal if signal < 0 => u8::try_from(128 - signal).unwrap_or(255),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        System::under(directory.path(), &[]).run(&Line::Shell(text.into()), &Setting::default()).unwrap()
    }

    #[test]
    fn a_programs_two_streams_and_code_are_kept() {
        let outcome = shell("echo out; echo err >&2; exit 3");
        assert_eq!((outcome.code, outcome.output.as_str()), (3, "out\nerr\n"));
        assert_eq!(shell("kill -9 $$").code, -9);
        assert_eq!(exit_code(-9), 137);
    }

    #[test]
    fn a_daemon_that_keeps_our_pipe_does_not_hold_us_up() {
        let started = std::time::Instant::now();
        assert_eq!(shell("sleep 30 & echo started").output, "started\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn output_beyond_the_bound_is_dropped_and_the_program_goes_on() {
        let outcome = shell("head -c 3000000 /dev/zero; exit 4");
        assert_eq!((outcome.code, outcome.output.len()), (4, OUTPUT_BYTES_MAX));
    }

    #[test]
    fn paths_stay_under_the_root() {
        let system = System::under(Path::new("/tmp/x"), &[("HOME", "/users/me")]);
        assert_eq!(system.path("/etc/passwd"), Path::new("/tmp/x/etc/passwd"));
        assert_eq!(system.directory("~/a"), Path::new("/tmp/x/users/me/a"));
        assert_eq!(system.directory("~"), Path::new("/tmp/x/users/me"));
    }
}
