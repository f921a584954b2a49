//! What `systemctl` is called besides: `runlevel`, `shutdown` and their kin, which distributions link to it.
//!
//! Invariants:
//! - An instance is ended by asking its process 1, and only when that is this very binary: outside of an instance,
//!   process 1 is the host's.
//! - What asks for nothing that there is here is told so, and never becomes another program.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, Signal, kill_process};

use crate::system::System;

/// Prints the previous runlevel, which is unknown, and the one that means "several users, with a network".
pub(crate) fn runlevel(_system: &System, _arguments: &[OsString]) -> u8 {
    println!("N 3");
    0
}

/// `halt` and `poweroff`.
pub(crate) fn off(_system: &System, _arguments: &[OsString]) -> u8 {
    ask(Signal::TERM)
}

/// `reboot`.
pub(crate) fn reboot(_system: &System, _arguments: &[OsString]) -> u8 {
    ask(Signal::INT)
}

/// `shutdown [-h|-r] now|+0`; `-c` cancels what is never pending.
pub(crate) fn shutdown(_system: &System, arguments: &[OsString]) -> u8 {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let time = arguments.iter().find(|argument| !argument.to_string_lossy().starts_with('-'));
    if has("-c") {
        return 0;
    }
    // Without a time it is a minute from now; an instance does not need that minute.
    if time.is_some_and(|time| time != "now" && time != "+0" && time != "+1") {
        eprintln!("shutdown: only `now` is possible here: this instance has no init system that would wait");
        return 1;
    }
    ask(if has("-r") || has("--reboot") { Signal::INT } else { Signal::TERM })
}

/// `telinit 0` and `telinit 6`; any other level is the one that there is.
pub(crate) fn telinit(_system: &System, arguments: &[OsString]) -> u8 {
    match arguments.last().map(|level| level.to_string_lossy().into_owned()).as_deref() {
        Some("0") => ask(Signal::TERM),
        Some("6") => ask(Signal::INT),
        _ => 0,
    }
}

fn ask(signal: Signal) -> u8 {
    let inode = |path: &str| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let ours = inode("/proc/self/exe");
    if ours.is_none() || inode("/proc/1/exe") != ours {
        eprintln!("this is no instance of Millpond's: its process 1 is another program, which is left alone");
        return 1;
    }
    match Pid::from_raw(1).map(|first| kill_process(first, signal)) {
        Some(Ok(())) => 0,
        Some(Err(error)) => {
            eprintln!("process 1 cannot be asked: {error}");
            1
        }
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_an_instance_nobody_is_asked_to_end() {
        let root = tempfile::tempdir().unwrap();
        let system = System::under(root.path(), &[]);
        for (run, words) in [
            (off as fn(&System, &[OsString]) -> u8, &[][..]),
            (reboot, &[]),
            (shutdown, &["-h", "now"]),
            (telinit, &["0"]),
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(run(&system, &words), 1, "{words:?}");
        }
        assert_eq!(shutdown(&system, &["-h".into(), "23:00".into()]), 1);
        assert_eq!(shutdown(&system, &["-c".into()]), 0);
        assert_eq!(telinit(&system, &["3".into()]), 0);
    }
}
