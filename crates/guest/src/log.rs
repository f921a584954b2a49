//! The log files of the published tools: `/var/log/cfn-init.log` and `/var/log/cfn-init-cmd.log`.
//!
//! Invariants:
//! - A log that cannot be written never stops a tool: the lines go to standard error instead.
//! - A file grows to [`FILE_BYTES_MAX`] at most before it is put aside, and [`FILES_MAX`] of those are kept.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use time::macros::format_description;

use crate::system::System;

/// At which size a log file is put aside.
const FILE_BYTES_MAX: u64 = 5 << 20;
/// How many files that were put aside are kept.
const FILES_MAX: u32 = 5;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Written with `--verbose` only.
    Debug,
    /// The course of things.
    Info,
    /// Worth a look.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

/// One log.
pub(crate) struct Log<'a> {
    system: &'a System,
    path: PathBuf,
    file: RefCell<Option<File>>,
    level: Level,
    /// Whether lines say which process wrote them, and where they go when there is no file.
    names_process: bool,
}

/// The two logs of a tool.
pub(crate) struct Logs<'a> {
    /// What the tool did.
    pub(crate) main: Log<'a>,
    /// What the commands said that it ran.
    pub(crate) commands: Log<'a>,
}

impl<'a> Logs<'a> {
    /// Opens `/var/log/NAME` and the log of commands.
    pub(crate) fn open(system: &'a System, name: &str, is_verbose: bool) -> Self {
        let level = if is_verbose { Level::Debug } else { Level::Info };
        let main = Log::open(system, name, level, false);
        if main.file.borrow().is_none() {
            eprintln!("Could not open /var/log/{name} for logging.  Using stderr instead.");
        }
        Self { main, commands: Log::open(system, "cfn-init-cmd.log", Level::Debug, true) }
    }
}

impl<'a> Log<'a> {
    fn open(system: &'a System, name: &str, level: Level, names_process: bool) -> Self {
        let path = system.path("/var/log").join(name);
        let file = RefCell::new(append_to(&path));
        Self { system, path, file, level, names_process }
    }

    /// Writes a line of [`Level::Debug`].
    pub(crate) fn debug(&self, message: impl Display) {
        self.write(Level::Debug, &message);
    }

    /// Writes a line of [`Level::Info`].
    pub(crate) fn info(&self, message: impl Display) {
        self.write(Level::Info, &message);
    }

    /// Writes a line of [`Level::Warning`].
    pub(crate) fn warning(&self, message: impl Display) {
        self.write(Level::Warning, &message);
    }

    /// Writes a line of [`Level::Error`].
    pub(crate) fn error(&self, message: impl Display) {
        self.write(Level::Error, &message);
    }

    /// Writes each line of a program's output, indented.
    pub(crate) fn output(&self, level: Level, output: &str) {
        for line in output.lines() {
            self.write(level, &format_args!("\t{line}"));
        }
    }

    fn write(&self, level: Level, message: &dyn Display) {
        if level < self.level {
            return;
        }
        let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second],[subsecond digits:3]");
        let now = self.system.now().format(form).unwrap_or_default();
        let process = if self.names_process { format!(" P{}", std::process::id()) } else { String::new() };
        let line = format!("{now}{process} [{}] {message}\n", level.name());
        let mut file = self.file.borrow_mut();
        match file.as_mut() {
            Some(open) => {
                let _ = open.write_all(line.as_bytes());
                if open.metadata().is_ok_and(|found| found.len() > FILE_BYTES_MAX) {
                    put_aside(&self.path);
                    *file = append_to(&self.path);
                }
            }
            // What commands said was asked for by nobody who reads standard error.
            None if !self.names_process => eprint!("{line}"),
            None => {}
        }
    }
}

fn append_to(path: &Path) -> Option<File> {
    OpenOptions::new().create(true).append(true).mode(0o644).open(path).ok()
}

fn put_aside(path: &Path) {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..FILES_MAX).rev() {
        let _ = std::fs::rename(numbered(number), numbered(number + 1));
    }
    let _ = std::fs::rename(path, numbered(1));
}

/// `text` in the middle of a line of dashes, as the published tools head their sections.
pub(crate) fn centered(text: &str) -> String {
    format!("{text:-^60}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var/log")).unwrap();
        root
    }

    #[test]
    fn lines_have_a_date_and_a_level_and_debug_needs_verbose() {
        let root = instance();
        let system = System::under(root.path(), &[]);
        let logs = Logs::open(&system, "cfn-init.log", false);
        logs.main.debug("hidden");
        logs.main.info("shown");
        logs.commands.output(Level::Info, "a\nb");
        let written = std::fs::read_to_string(root.path().join("var/log/cfn-init.log")).unwrap();
        assert!(written.ends_with(" [INFO] shown\n") && written.starts_with("20"), "{written}");
        assert_eq!(written.lines().count(), 1);
        let commands = std::fs::read_to_string(root.path().join("var/log/cfn-init-cmd.log")).unwrap();
        assert!(commands.contains(&format!(" P{} [INFO] \ta\n", std::process::id())), "{commands}");
    }

    #[test]
    fn a_log_that_grew_too_large_is_put_aside() {
        let root = instance();
        let system = System::under(root.path(), &[]);
        let log = Log::open(&system, "cfn-init.log", Level::Info, false);
        log.info("x".repeat(6 << 20));
        log.info("fresh");
        let at = |name: &str| std::fs::metadata(root.path().join("var/log").join(name)).unwrap().len();
        assert!(at("cfn-init.log.1") > FILE_BYTES_MAX && at("cfn-init.log") < 100);
    }

    #[test]
    fn titles_stand_in_the_middle() {
        assert_eq!(centered("Starting build"), "-----------------------Starting build-----------------------");
    }
}
