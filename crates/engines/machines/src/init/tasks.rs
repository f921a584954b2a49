//! User data at work: one task after the other, while the first process looks after everything else.
//!
//! Invariants:
//! - One program runs at a time; the next begins when it has ended, whatever it left in the background.
//! - A task that fails is said on the console, and the next begins all the same, as cloud-init does.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::SigSet;
use nix::unistd::{Group, Pid, User};

use super::console::Console;
use crate::boot::Task;

pub(super) struct Tasks {
    left: VecDeque<Task>,
    current: Option<(Pid, bool)>,
    environment: Vec<(String, String)>,
    exit_code: i32,
    done: bool,
}

impl Tasks {
    pub(super) fn new(left: VecDeque<Task>, environment: Vec<(String, String)>) -> Self {
        Self { left, current: None, environment, exit_code: 0, done: false }
    }

    /// Goes on until a program runs, or nothing is left; then says (once) with which code user data ended.
    pub(super) fn go_on(&mut self, console: &mut Console, output: &File) -> Option<i32> {
        while self.current.is_none() {
            let Some(task) = self.left.pop_front() else {
                return (!std::mem::replace(&mut self.done, true)).then_some(self.exit_code);
            };
            match task {
                Task::Say(line) => console.say(&line),
                // Done before the privilege for it was dropped.
                Task::Hostname(_) => {}
                Task::Write { path, content, mode, owner, append } => {
                    if let Err(error) = write(&path, &content, mode, &owner, append) {
                        console.say(&format!("user data: cannot write {path}: {error}"));
                    }
                }
                Task::Run { argv, counts } => match self.spawn(&argv, output) {
                    Ok(pid) => self.current = Some((pid, counts)),
                    Err(error) => {
                        console.say(&format!("user data: cannot run {}: {error}", argv.join(" ")));
                        if counts {
                            self.exit_code = 127;
                        }
                    }
                },
            }
        }
        None
    }

    /// A process was reaped; if it was the current program, the next may begin.
    pub(super) fn ended(&mut self, pid: Pid, exit_code: i32, console: &mut Console) {
        let Some((_, counts)) = self.current.take_if(|(current, _)| *current == pid) else { return };
        if exit_code != 0 {
            console.say(&format!("user data: ended with exit code {exit_code}"));
        }
        if counts {
            self.exit_code = exit_code;
        }
    }

    /// Begins nothing more.
    pub(super) fn stop(&mut self) {
        self.left.clear();
        self.done = true;
    }

    /// The standard library hands down the signals that are blocked here; a server's processes must get theirs.
    fn spawn(&self, argv: &[String], output: &File) -> io::Result<Pid> {
        let program = CString::new(argv.first().ok_or(io::ErrorKind::InvalidInput)?.as_bytes())?;
        let arguments: Vec<CString> =
            argv.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let variable = |(name, value): &(String, String)| CString::new(format!("{name}={value}"));
        let environment: Vec<CString> = self.environment.iter().map(variable).collect::<Result<_, _>>()?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        let mut files = PosixSpawnFileActions::init()?;
        files.add_dup2(output.as_raw_fd(), 1)?;
        files.add_dup2(output.as_raw_fd(), 2)?;
        Ok(posix_spawnp(&program, &files, &attributes, &arguments, &environment)?)
    }
}

fn write(path: &str, content: &[u8], mode: u32, owner: &str, append: bool) -> io::Result<()> {
    let path = Path::new(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).mode(mode).write(true).append(append).truncate(!append);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    // The mode of creation is subject to the umask, and an older file has its own.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    if user.is_empty() && group.is_empty() {
        return Ok(());
    }
    let user = if user.is_empty() { None } else { Some(User::from_name(user)?.ok_or(io::ErrorKind::NotFound)?) };
    let gid = if group.is_empty() {
        user.as_ref().map(|user| user.gid)
    } else {
        Some(Group::from_name(group)?.ok_or(io::ErrorKind::NotFound)?.gid)
    };
    nix::unistd::chown(path, user.map(|user| user.uid), gid)?;
    Ok(())
}
