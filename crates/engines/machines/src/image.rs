//! Images: what an instance's root file system is laid over.
//!
//! Invariants:
//! - An image is never written to: an instance's changes go to a layer of its own.
//! - A half-unpacked tarball is never an image: it is unpacked beside and renamed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::network::config::check_name;

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

/// Unpacks a tarball (compressed in whatever way `tar` knows) as the image `name` among `images`.
pub(crate) fn unpack(images: &Path, name: &str, tarball: &Path) -> io::Result<Image> {
    check_name(name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    std::fs::create_dir_all(images)?;
    let (image, beside) = (images.join(name), images.join(format!("{name}{HALF}")));
    if image.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there is an image {name} already")));
    }
    files::remove_tree(&beside)?;
    std::fs::create_dir(&beside)?;
    let unpacked = tar(tarball, &beside);
    if unpacked.is_err() {
        files::remove_tree(&beside)?;
    }
    unpacked?;
    files::rename(&beside, &image)?;
    files::sync_parent(&image)?;
    Ok(of_directory(image))
}

/// All that were unpacked, by name.
pub(crate) fn list(images: &Path) -> io::Result<Vec<(String, Image)>> {
    let names = files::names(images)?.into_iter().filter(|name| !name.ends_with(HALF));
    Ok(names.map(|name| (name.clone(), of_directory(images.join(name)))).collect())
}

/// Removes one; instances that stand on it must be gone.
pub(crate) fn remove(images: &Path, name: &str) -> io::Result<()> {
    check_name(name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let beside = images.join(format!("{name}{HALF}"));
    if images.join(name).exists() {
        files::rename(&images.join(name), &beside)?;
    }
    files::remove_tree(&beside)
}

/// Ends the name of what is not, or no longer, whole.
const HALF: &str = ".half";

fn of_directory(directory: PathBuf) -> Image {
    Image { root: ImageRoot::Directory(directory), layers: Vec::new() }
}

fn tar(tarball: &Path, into: &Path) -> io::Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--numeric-owner").arg("--same-permissions").arg("--file").arg(tarball);
    let output = tar.arg("--directory").arg(into).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("tar cannot unpack {}: {}", tarball.display(), said.trim())))
}
