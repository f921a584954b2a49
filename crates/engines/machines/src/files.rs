//! Files under the engine's directory, `/proc` and `/sys`: the one place of the engine that touches them by path.
//!
//! Invariants:
//! - What is written durably is there whole or not at all, after a crash too.
//! - `host::Disk` is not for these: namespaces, cgroups and overlays exist on the real kernel only, so there is nothing
//!   to simulate.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes beside, syncs, renames, syncs the directory.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// Makes a name in its directory durable.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// A small file whole.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// A small file whole, as text.
pub(crate) fn read_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(io::Error::other)
}

/// Writes into a file that the kernel offers, or that nobody needs after a crash.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    fs::write(path, bytes)
}

/// Opens for reading.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Makes an empty file, or empties it.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn create(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// Renames, without a promise of durability.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Removes a file; that it is not there is fine.
#[allow(clippy::disallowed_methods, reason = "see the module's invariants")]
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it; that it is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names in a directory, sorted; none when it is not there.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
