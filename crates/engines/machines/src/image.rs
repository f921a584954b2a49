//! Images: what an instance's root file system is laid over.
//!
//! Invariants:
//! - An image is never written to: an instance's changes go to a layer of its own.
//! - A half-unpacked tarball is never an image: it is unpacked beside and renamed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A root file system with what is laid over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The lowest layer.
    pub root: ImageRoot,
    /// Directories laid over the root, the first one uppermost: tools, certificates. Each is a tree from `/` on.
    pub layers: Vec<PathBuf>,
}

/// Where a root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageRoot {
    /// The host's own, with its secrets masked ([`crate::Options::masked_paths`]).
    Host,
    /// A directory with a root file system, `debootstrap`'s for instance.
    Directory(PathBuf),
}
