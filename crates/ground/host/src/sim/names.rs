//! The simulated names: what a listing shows, and what a crash leaves of it.
//!
//! Invariants:
//! - An operation on names is atomic: a rename never leaves both names, nor neither.
//! - Operations that share a name survive in order; others survive each by itself.
//! - A file has one name: there are no hard links.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Rng;
use crate::FileKind;

/// Which inode.
pub(super) type Id = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(Id),
    Directory,
}

#[derive(Clone, Debug)]
enum Operation {
    Create { path: PathBuf, id: Id },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, id: Id },
}

impl Operation {
    /// The name whose directory must be synced to make this durable.
    fn target(&self) -> &Path {
        match self {
            Self::Create { path, .. } | Self::Remove { path } => path,
            Self::Rename { to, .. } => to,
        }
    }

    fn names(&self) -> impl Iterator<Item = &Path> {
        let source = if let Self::Rename { from, .. } = self { Some(from.as_path()) } else { None };
        source.into_iter().chain([self.target()])
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<Operation>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Entry> {
        if path.as_os_str().is_empty() { Some(Entry::Directory) } else { self.live.get(path).copied() }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<Id> {
        match self.get(path) {
            Some(Entry::File(id)) => Ok(id),
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn directory(&self, path: &Path) -> io::Result<()> {
        match self.get(path) {
            Some(Entry::Directory) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, FileKind)>> {
        self.directory(path)?;
        let inside = self.live.iter().filter(|(name, _)| name.parent() == Some(path));
        let mut entries: Vec<_> = inside
            .filter_map(|(name, entry)| {
                let kind = if *entry == Entry::Directory { FileKind::Directory } else { FileKind::File };
                Some((name.file_name()?.to_str()?.to_owned(), kind))
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Durable at once, as [`crate::Disk::create_dir_all`] promises.
    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut directory = PathBuf::new();
        for name in path {
            directory.push(name);
            match self.get(&directory) {
                Some(Entry::Directory) => {}
                Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    self.live.insert(directory.clone(), Entry::Directory);
                    // A file whose removal is still pending stands there on the platter; the sync made that durable.
                    self.sync_dir(directory.parent().unwrap_or(Path::new("")));
                    self.durable.insert(directory.clone(), Entry::Directory);
                }
            }
        }
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path, id: Id) -> io::Result<()> {
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        if self.get(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.live.insert(path.to_path_buf(), Entry::File(id));
        self.pending.push(Operation::Create { path: path.to_path_buf(), id });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<Id> {
        let id = self.file(path)?;
        self.live.remove(path);
        self.pending.push(Operation::Remove { path: path.to_path_buf() });
        Ok(id)
    }

    /// The inode that stood at `to`, if any.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<Id>> {
        let id = self.file(from)?;
        self.directory(to.parent().unwrap_or(Path::new("")))?;
        let replaced = match self.get(to) {
            _ if from == to => return Ok(None),
            Some(Entry::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Entry::File(replaced)) => Some(replaced),
            None => None,
        };
        self.live.remove(from);
        self.live.insert(to.to_path_buf(), Entry::File(id));
        self.pending.push(Operation::Rename { from: from.to_path_buf(), to: to.to_path_buf(), id });
        Ok(replaced)
    }

    /// A rename out of `directory` is not made durable by this: only the directory that it leads to does that.
    pub(super) fn sync_dir(&mut self, directory: &Path) {
        self.settle(|operation| operation.target().parent() == Some(directory));
    }

    /// What is left after the power failed: of the pending operations those that `survives` says, and what these need.
    pub(super) fn crash(mut self, rng: &mut Rng, mut survives: impl FnMut(&mut Rng) -> bool) -> Self {
        self.settle(|_| survives(rng));
        Self { live: self.durable.clone(), durable: self.durable, pending: Vec::new() }
    }

    /// Every inode that has a name, or may have one after a crash.
    pub(super) fn reachable(&self) -> BTreeSet<Id> {
        let named = self.live.values().chain(self.durable.values());
        let named = named.filter_map(|entry| if let Entry::File(id) = entry { Some(*id) } else { None });
        let pending = self.pending.iter().filter_map(|operation| match operation {
            Operation::Create { id, .. } | Operation::Rename { id, .. } => Some(*id),
            Operation::Remove { .. } => None,
        });
        named.chain(pending).collect()
    }

    /// Makes the chosen operations durable, together with the earlier ones that share a name with them.
    fn settle(&mut self, mut chosen: impl FnMut(&Operation) -> bool) {
        let mut needed: BTreeSet<PathBuf> = BTreeSet::new();
        let mut settled = vec![false; self.pending.len()];
        for (operation, settled) in self.pending.iter().zip(&mut settled).rev() {
            if chosen(operation) || operation.names().any(|name| needed.contains(name)) {
                needed.extend(operation.names().map(Path::to_path_buf));
                *settled = true;
            }
        }
        for (operation, settled) in std::mem::take(&mut self.pending).into_iter().zip(settled) {
            if !settled {
                self.pending.push(operation);
                continue;
            }
            match operation {
                Operation::Create { path, id } => {
                    self.durable.insert(path, Entry::File(id));
                }
                Operation::Remove { path } => {
                    self.durable.remove(&path);
                }
                Operation::Rename { from, to, id } => {
                    self.durable.remove(&from);
                    self.durable.insert(to, Entry::File(id));
                }
            }
        }
    }
}
