//! [`Namespace`]: a handle on a VPC's router, for whoever opens sockets there.
//!
//! Invariants:
//! - A socket stays in the namespace that it was made in: only its making happens inside.
//! - Whoever enters does so on a thread of its own, which ends inside: no thread can be left in the wrong network.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::files;

/// The file system that namespaces' handles are files of.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace. Cheap to clone; keeps the namespace alive.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// The open handle (of the kind of `/proc/self/ns/net`), for `setns`.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Does `work` inside, on a thread of its own, and waits for it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = || {
                setns(&self.file, CloneFlags::CLONE_NEWNET)?;
                work()
            };
            thread::Builder::new()
                .name("in-namespace".into())
                .spawn_scoped(scope, inside)?
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the work in the namespace panicked")))
        })
    }

    /// The namespace that is kept at `path`, if one is.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match files::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let kind = rustix::fs::fstatfs(&file)?.f_type;
        // After a reboot the file is there, and nothing is mounted on it.
        Ok((kind.cast_unsigned() == NSFS_MAGIC).then(|| Self { file: Arc::new(file) }))
    }

    /// Makes a namespace, lets `set_up` work in it, and keeps it at `path` if that succeeds.
    pub(crate) fn make(path: &Path, set_up: impl FnOnce() -> io::Result<()> + Send) -> io::Result<Self> {
        files::create(path)?;
        thread::scope(|scope| {
            let inside = || {
                unshare(CloneFlags::CLONE_NEWNET)?;
                set_up()?;
                let own = Path::new("/proc/thread-self/ns/net");
                mount(Some(own), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
                Ok(())
            };
            thread::Builder::new()
                .name("new-namespace".into())
                .spawn_scoped(scope, inside)?
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the work in the namespace panicked")))
        })?;
        Self::open(path)?.ok_or_else(|| io::Error::other("the namespace was not kept"))
    }

    /// Lets go of the namespace that is kept at `path`.
    pub(crate) fn remove(path: &Path) -> io::Result<()> {
        while Self::open(path)?.is_some() {
            umount2(path, MntFlags::MNT_DETACH)?;
        }
        files::remove(path)
    }
}
