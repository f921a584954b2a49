//! An instance's first processes: this very binary, started under a name that nobody types.
//!
//! Invariants:
//! - They run before any runtime or thread of the server starts: there may be hundreds of them.
//! - The first process never ends before every other process of its instance has.
//! - It holds no descriptor of a directory of the host, and no privilege that could change its network or its mounts.

mod console;
mod first;
mod front;
mod launcher;
mod privileges;
mod root;
mod tasks;

use std::ffi::OsStr;

/// The argument by which the binary knows that it is meant.
pub(crate) const ASKED: &str = "--instance-process";
/// Starts [`FIRST`] in namespaces of its own, and ends.
pub(crate) const LAUNCHER: &str = "launch";
/// Is an instance's process number 1.
pub(crate) const FIRST: &str = "first";

/// Becomes an instance's first process when this program was started as one (it then never returns); else does
/// nothing. A binary that is an [`crate::Options::init_program`] calls it as the first thing in `main`.
pub fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ASKED)) {
        return;
    }
    let role = arguments.next();
    close_inherited();
    let result = match role.as_deref().and_then(OsStr::to_str) {
        Some(LAUNCHER) => launcher::run(),
        Some(FIRST) => first::run(),
        _ => Err(format!("unknown role {role:?}")),
    };
    if let Err(why) = &result {
        // The engine reads standard output until the instance is ready.
        println!("failed {}", why.replace('\n', " "));
    }
    std::process::exit(i32::from(result.is_err()));
}

/// What the server's own parent left open (a lock, a pipe) must not live as long as an instance.
fn close_inherited() {
    let open = crate::files::names(std::path::Path::new("/proc/self/fd")).unwrap_or_default();
    for descriptor in open.iter().filter_map(|name| name.parse::<i32>().ok()).filter(|descriptor| *descriptor > 2) {
        // That of the list itself is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// A sentence for the operator out of an error and what was tried.
fn trying<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}
